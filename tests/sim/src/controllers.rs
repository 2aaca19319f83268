//! What else runs in a cluster: the controllers of Deployments and of EndpointSlices, a kubelet, the collector of garbage.
//! Pods behave as the suffix of their image says.

use crate::{
    dice::Dice,
    fields::Writer,
    resource::{self, DEPLOYMENT, POD, Resource, SERVICE, SLICE},
    server::ApiServer,
    store::{Store, second},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until};

/// An annotation on a pod: whether it is ready, whatever its image says.
pub const READY: &str = "test.bluegreen.dev/ready";

/// How long a pod takes to end.
const GRACE: Duration = Duration::from_secs(1);

/// The controllers of one cluster.
pub struct Controllers {
    server: ApiServer,
    dice: Dice,
    /// When each pod was seen first, by its uid.
    born: BTreeMap<String, Instant>,
    ending: BTreeMap<String, Instant>,
    pods: u64,
    /// Of the template of each Deployment, by its uid, in a generation.
    hashes: BTreeMap<String, (i64, String)>,
    /// Of each Deployment, by its uid: the template whose pods its status counts, and from when on it counts them anew.
    counted: BTreeMap<String, (String, Instant)>,
    slices_follow: Arc<AtomicBool>,
}

/// What becomes of a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Ready,
    Slow,
    Unready,
    Crashes,
    Missing,
    Invalid,
}

fn fate(pod: &Value) -> Fate {
    match pod["spec"]["containers"][0]["image"].as_str().and_then(|image| image.rsplit('-').next()) {
        Some("slow") => Fate::Slow,
        Some("unready") => Fate::Unready,
        Some("crash") => Fate::Crashes,
        Some("missing") => Fate::Missing,
        Some("invalid") => Fate::Invalid,
        _ => Fate::Ready,
    }
}

fn writer(manager: &str, status: bool) -> Writer {
    Writer { manager: manager.to_owned(), apply: false, status }
}

/// What is at a path without escapes: they would cost most of a story's time.
fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    path.split('/').skip(1).fold(value, |value, step| &value[step]).as_str().unwrap_or_default()
}

fn uid(object: &Value) -> &str {
    text(object, "/metadata/uid")
}

pub fn is_ending(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

pub fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    !is_ending(pod) && conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Whether all labels that a selector names are there; an empty one selects nothing.
fn selects(selector: &Value, object: &Value) -> bool {
    let Some(selector) = selector.as_object().filter(|selector| !selector.is_empty()) else { return false };
    selector.iter().all(|(key, value)| object["metadata"]["labels"][key] == *value)
}

fn controller(object: &Value) -> Option<&str> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true).and_then(|owner| owner["uid"].as_str())
}

/// The same for the same template on every machine.
fn hash(template: &Value) -> String {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    format!("{:08x}", template.to_string().bytes().fold(0xCBF2_9CE4_8422_2325, fold) & 0xFFFF_FFFF)
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The pods of a moment, found by who has to do with them: looked through for each Deployment they would cost most of a large story's time.
#[derive(Default)]
struct Pods {
    by_controller: BTreeMap<String, Vec<Arc<Value>>>,
    /// Of nobody.
    free: Vec<Arc<Value>>,
    by_rollout: BTreeMap<String, Vec<Arc<Value>>>,
}

const ROLLOUT: &str = "bluegreen.dev/rollout";

impl Pods {
    fn of(all: Vec<Arc<Value>>) -> Self {
        let mut pods = Self::default();
        for pod in all {
            let rollout = pod["metadata"]["labels"][ROLLOUT].as_str().unwrap_or_default();
            pods.by_rollout.entry(rollout.to_owned()).or_default().push(pod.clone());
            match controller(&pod).map(str::to_owned) {
                Some(controller) => pods.by_controller.entry(controller).or_default().push(pod),
                None => pods.free.push(pod),
            }
        }
        pods
    }

    fn controlled_by(&self, deployment: &Value) -> Vec<Arc<Value>> {
        let pods = self.by_controller.get(uid(deployment)).into_iter().flatten();
        pods.filter(|pod| !is_ending(pod)).cloned().collect()
    }

    fn selected_by(&self, selector: &Value) -> Vec<Arc<Value>> {
        let candidates = match selector[ROLLOUT].as_str() {
            Some(rollout) => self.by_rollout.get(rollout).into_iter().flatten().collect::<Vec<_>>(),
            None => self.by_rollout.values().flatten().collect(),
        };
        candidates.into_iter().filter(|pod| selects(selector, pod)).cloned().collect()
    }
}

impl Controllers {
    /// The controllers, and whether EndpointSlices follow the pods.
    pub fn new(server: &ApiServer, dice: Dice) -> (Self, Arc<AtomicBool>) {
        let slices_follow = Arc::new(AtomicBool::new(true));
        let controllers = Self {
            server: server.clone(),
            dice,
            born: BTreeMap::new(),
            ending: BTreeMap::new(),
            pods: 0,
            hashes: BTreeMap::new(),
            counted: BTreeMap::new(),
            slices_follow: slices_follow.clone(),
        };
        (controllers, slices_follow)
    }

    /// For ever.
    pub async fn run(mut self) {
        let news = self.server.news();
        loop {
            let before = self.server.look(|store| store.news);
            let due = self.round();
            if self.server.look(|store| store.news) != before {
                sleep(self.dice.millis(2, 25)).await;
                continue;
            }
            let changed = async {
                while self.server.look(|store| store.news) == before {
                    news.notified().await;
                }
            };
            let due = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => futures::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = changed => sleep(self.dice.millis(2, 25)).await,
                () = due => {}
            }
        }
    }

    fn all(&self, resource: &'static Resource) -> Vec<Arc<Value>> {
        self.server.look(|store| store.all(resource).cloned().collect())
    }

    /// Does what is to be done, and tells when there will be more.
    fn round(&mut self) -> Option<Instant> {
        self.collect();
        // What is done for one Deployment changes no other's pods, but for those that it adopts.
        let mut pods = self.pods();
        for deployment in self.all(&DEPLOYMENT) {
            self.deploy(&deployment, &mut pods);
        }
        let mut due = self.run_pods();
        let pods = self.pods();
        for deployment in self.all(&DEPLOYMENT) {
            let counts = self.count(&deployment, &pods);
            due = due.into_iter().chain(counts).min();
        }
        if self.slices_follow.load(Ordering::Relaxed) {
            for service in self.all(&SERVICE) {
                self.follow(&service, &pods);
            }
        }
        due
    }

    fn collect(&self) {
        let garbage = self.server.look(Store::garbage);
        for place in garbage {
            let Some(resource) = resource::ALL.iter().find(|resource| resource.plural == place.plural) else { continue };
            let _ = self.server.write(|store| store.delete(resource, &place.namespace, &place.name, &Value::Null));
        }
    }

    // === Deployments ===

    fn pods(&self) -> Pods {
        Pods::of(self.all(&POD))
    }

    fn deploy(&mut self, deployment: &Value, all: &mut Pods) {
        if is_ending(deployment) {
            return;
        }
        if self.adopt(deployment, all) {
            *all = self.pods();
        }
        let hash = self.hash(deployment);
        let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(1);
        let (surge, unavailable) = ((wanted + 3) / 4, wanted / 4);
        let pods = all.controlled_by(deployment);
        let (mut new, mut old): (Vec<_>, Vec<_>) =
            pods.into_iter().partition(|pod| text(pod, "/metadata/labels/pod-template-hash") == hash);
        // Those that serve go last.
        new.sort_by_key(|pod| !is_ready(pod));
        old.sort_by_key(|pod| is_ready(pod));
        let room = if old.is_empty() { wanted } else { wanted + surge } - whole(old.len());
        for _ in whole(new.len())..wanted.min(room) {
            self.create_pod(deployment, &hash);
        }
        for pod in new.iter().skip(usize::try_from(wanted).unwrap_or_default()) {
            self.delete_pod(pod);
        }
        let mut serving = whole(new.iter().chain(&old).filter(|pod| is_ready(pod)).count());
        for pod in old {
            if is_ready(&pod) {
                if serving <= wanted - unavailable {
                    continue;
                }
                serving -= 1;
            }
            self.delete_pod(&pod);
        }
    }

    /// Pods that its selector takes and nobody controls become its own.
    fn adopt(&self, deployment: &Value, pods: &Pods) -> bool {
        let selector = &deployment["spec"]["selector"]["matchLabels"];
        let mut some = false;
        for pod in pods.free.iter().filter(|pod| !is_ending(pod) && selects(selector, pod)) {
            some = true;
            self.edit(&POD, pod, "kube-controller-manager", false, |pod| {
                pod["metadata"]["ownerReferences"] = owned_by(deployment, "Deployment")
            });
        }
        some
    }

    fn create_pod(&mut self, deployment: &Value, hash: &str) {
        self.pods += 1;
        let template = &deployment["spec"]["template"];
        let mut pod = json!({
            "metadata": {
                "name": format!("{}-{hash}-{}", text(deployment, "/metadata/name"), self.pods),
                "labels": template["metadata"]["labels"],
                "ownerReferences": owned_by(deployment, "Deployment"),
            },
            "spec": template["spec"],
        });
        if text(&pod, "/spec/containers/0/image").ends_with("-renamed") {
            pod["spec"]["containers"][0]["ports"] = json!([{"name": "web", "containerPort": 8080}]);
        }
        pod["metadata"]["labels"]["pod-template-hash"] = json!(hash);
        if !template["metadata"]["annotations"].is_null() {
            pod["metadata"]["annotations"] = template["metadata"]["annotations"].clone();
        }
        let _ = self
            .server
            .write(|store| store.create(&POD, text(deployment, "/metadata/namespace"), pod, &writer("kube-controller-manager", false)));
    }

    fn delete_pod(&self, pod: &Value) {
        let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
        let _ = self.server.write(|store| store.delete(&POD, namespace, name, &Value::Null));
    }

    fn hash(&mut self, deployment: &Value) -> String {
        let generation = deployment["metadata"]["generation"].as_i64().unwrap_or_default();
        if let Some((of, hash)) = self.hashes.get(uid(deployment))
            && *of == generation
        {
            return hash.clone();
        }
        let hash = hash(&deployment["spec"]["template"]);
        self.hashes.insert(uid(deployment).to_owned(), (generation, hash.clone()));
        hash
    }

    /// The status of a Deployment, and when there will be more to tell. As the real controller does, it reports a new size as observed
    /// with the counts that it has of the ReplicaSet, which another controller brings up to date later.
    fn count(&mut self, deployment: &Value, pods: &Pods) -> Option<Instant> {
        let hash = self.hash(deployment);
        let (generation, observed) = (&deployment["metadata"]["generation"], &deployment["status"]["observedGeneration"]);
        let resized = !observed.is_null() && observed != generation;
        let anew = self.counted.get(uid(deployment)).filter(|(counted, _)| *counted == hash).map(|(_, anew)| *anew);
        let anew = match anew {
            Some(_) if resized => Instant::now() + self.dice.millis(0, 100),
            Some(anew) => anew,
            None => Instant::now(),
        };
        self.counted.insert(uid(deployment).to_owned(), (hash.clone(), anew));
        if resized && anew > Instant::now() {
            let generation = generation.clone();
            self.edit(&DEPLOYMENT, deployment, "kube-controller-manager", true, |now| now["status"]["observedGeneration"] = generation);
        }
        if anew > Instant::now() {
            return Some(anew);
        }
        let pods = pods.controlled_by(deployment);
        let ready = pods.iter().filter(|pod| is_ready(pod)).count();
        let updated = pods.iter().filter(|pod| text(pod, "/metadata/labels/pod-template-hash") == hash).count();
        let mut status = json!({"observedGeneration": deployment["metadata"]["generation"]});
        for (field, count) in
            [("replicas", pods.len()), ("updatedReplicas", updated), ("readyReplicas", ready), ("availableReplicas", ready)]
        {
            if count > 0 {
                status[field] = json!(count);
            }
        }
        if deployment["status"] != status {
            self.edit(&DEPLOYMENT, deployment, "kube-controller-manager", true, |deployment| deployment["status"] = status);
        }
        None
    }

    fn edit(&self, resource: &'static Resource, object: &Value, manager: &str, status: bool, change: impl FnOnce(&mut Value)) {
        let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
        self.server.write(|store| {
            let Some(present) = store.get(resource, namespace, name) else { return };
            let mut present = Value::clone(present);
            change(&mut present);
            let _ = store.update(resource, namespace, name, present, &writer(manager, status));
        });
    }

    // === pods ===

    fn run_pods(&mut self) -> Option<Instant> {
        let (now, mut due) = (Instant::now(), None::<Instant>);
        let mut again = |at: Instant| due = Some(due.map_or(at, |due| due.min(at)));
        let pods = self.all(&POD);
        let uids: BTreeSet<&str> = pods.iter().map(|pod| uid(pod)).collect();
        self.born.retain(|uid, _| uids.contains(uid.as_str()));
        self.ending.retain(|uid, _| uids.contains(uid.as_str()));
        for pod in &pods {
            if is_ending(pod) {
                let ends = *self.ending.entry(uid(pod).to_owned()).or_insert(now + GRACE);
                if ends <= now {
                    let (namespace, name) = (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"));
                    self.server.write(|store| store.remove(&POD, namespace, name));
                } else {
                    again(ends);
                }
                continue;
            }
            let dice = &self.dice;
            let born = *self.born.entry(uid(pod).to_owned()).or_insert_with(|| now + dice.millis(200, 2_500));
            let begins = born + if fate(pod) == Fate::Slow { Duration::from_secs(40) } else { Duration::ZERO };
            if begins > now {
                again(begins);
                continue;
            }
            let restarts = i64::try_from((now - born).as_secs() / 10).unwrap_or_default().min(7);
            if fate(pod) == Fate::Crashes && restarts < 7 {
                again(born + Duration::from_secs(10) * u32::try_from(restarts + 1).unwrap_or_default());
            }
            let status = status(pod, restarts);
            if !alike(&pod["status"], &status) {
                self.edit(&POD, pod, "kubelet", true, |pod| pod["status"] = status);
            }
        }
        due
    }

    // === EndpointSlices ===

    fn follow(&self, service: &Value, pods: &Pods) {
        let (namespace, name) = (text(service, "/metadata/namespace"), text(service, "/metadata/name"));
        let pods = pods.selected_by(&service["spec"]["selector"]).into_iter().filter(|pod| !text(pod, "/status/podIP").is_empty());
        let endpoints: Vec<Value> = pods
            .map(|pod| {
                json!({
                    "addresses": [pod["status"]["podIP"]],
                    "conditions": {"ready": is_ready(&pod), "serving": is_ready(&pod), "terminating": is_ending(&pod)},
                    "targetRef": {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": namespace, "uid": pod["metadata"]["uid"]},
                })
            })
            .collect();
        let mut labels = service["metadata"]["labels"].clone();
        labels["kubernetes.io/service-name"] = json!(name);
        let slice = format!("{name}-slice");
        let manager = writer("kube-controller-manager", false);
        let present = self.server.look(|store| store.get(&SLICE, namespace, &slice).cloned());
        match present {
            Some(present) if controller(&present) == Some(uid(service)) => {
                if present["endpoints"] != json!(endpoints) || present["metadata"]["labels"] != labels {
                    self.edit(&SLICE, &present, "kube-controller-manager", false, |slice| {
                        slice["endpoints"] = json!(endpoints);
                        slice["metadata"]["labels"] = labels;
                    });
                }
            }
            Some(_) => {}
            None => {
                let object = json!({
                    "metadata": {"name": slice, "labels": labels, "ownerReferences": owned_by(service, "Service")},
                    "addressType": "IPv4",
                    "endpoints": endpoints,
                });
                let _ = self.server.write(|store| store.create(&SLICE, namespace, object, &manager));
            }
        }
    }
}

fn owned_by(owner: &Value, kind: &str) -> Value {
    let metadata = &owner["metadata"];
    json!([{"apiVersion": owner["apiVersion"], "kind": kind, "name": metadata["name"], "uid": metadata["uid"], "controller": true, "blockOwnerDeletion": true}])
}

/// The same but for the times.
fn alike(one: &Value, other: &Value) -> bool {
    let facts = |status: &Value| {
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let conditions: Vec<_> = conditions.map(|condition| (condition["type"].clone(), condition["status"].clone())).collect();
        (conditions, status["containerStatuses"].clone())
    };
    facts(one) == facts(other)
}

fn status(pod: &Value, restarts: i64) -> Value {
    let told = pod["metadata"]["annotations"][READY].as_str();
    let ready = match fate(pod) {
        Fate::Missing | Fate::Invalid => false,
        fate => told.map_or(matches!(fate, Fate::Ready | Fate::Slow), |told| told == "true"),
    };
    let number = text(pod, "/metadata/name").rsplit('-').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default();
    let container = &pod["spec"]["containers"][0];
    let (restarts, state) = match fate(pod) {
        Fate::Missing => (0, json!({"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}})),
        Fate::Invalid => (0, json!({"waiting": {"reason": "InvalidImageName", "message": "couldn't parse image name"}})),
        Fate::Crashes if restarts > 0 => {
            (restarts, json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off restarting failed container"}}))
        }
        _ => (0, json!({"running": {}})),
    };
    let condition = |type_: &str| json!({"type": type_, "status": if ready { "True" } else { "False" }, "lastTransitionTime": second()});
    json!({
        "phase": if matches!(fate(pod), Fate::Missing | Fate::Invalid) { "Pending" } else { "Running" },
        "podIP": format!("10.{}.{}.{}", number / 65536, number / 256 % 256, number % 256),
        "conditions": [condition("ContainersReady"), condition("Ready")],
        "containerStatuses": [{"name": container["name"], "image": container["image"], "ready": ready, "restartCount": restarts, "state": state}],
    })
}
