//! A cluster, the operators in it, what people do there, and the record of it all.

use crate::{
    controllers::{Controllers, READY, is_ready},
    dice::Dice,
    fields::Writer,
    line::{Faults, Made},
    log::Log,
    process::{NAMESPACE, Seat},
    resource::{CLUSTER_GATE_TEMPLATE, DEPLOYMENT, POD, REVISION, ROLLOUT, Resource, SERVICE},
    server::ApiServer,
    store::{self, Change, Store},
};
use bluegreen_operator::clock;
use bluegreen_witness::{Event, Kind, MARK, MARK_DELETED, judge, reached};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    runtime::Builder,
    time::{Instant, sleep},
};

/// When every story begins.
const START: i64 = 1_800_000_000;

/// So long after a clock was put back requests may arrive that were decided before, each after others that nobody answered.
const UNDER_WAY: Duration = Duration::from_secs(900);

/// Everything that a story has to do with. Time is the runtime's, and passes only when nobody has anything to do.
pub struct World {
    pub server: ApiServer,
    pub dice: Dice,
    pub seats: Vec<Seat>,
    slices_follow: Arc<AtomicBool>,
    log: Log,
    marks: Cell<u64>,
    /// uids of Deployments that were to outlive their rollout.
    orphaned: RefCell<Vec<Value>>,
    notes: RefCell<Vec<(Instant, Timestamp, String)>>,
    /// When clocks were put back, and by how much.
    put_back: RefCell<Vec<(Instant, SignedDuration)>>,
}

/// Lets a story happen: the same one for the same seed.
pub fn run<T>(seed: u64, story: impl AsyncFnOnce(&mut World) -> T) -> T {
    let log = Log::default();
    let _logged = log.listen();
    #[expect(clippy::expect_used, reason = "there is no story without it")]
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        #[expect(clippy::expect_used, reason = "a constant")]
        clock::simulate(Timestamp::from_second(START).expect("a time"));
        let mut world = World::new(seed, log.clone());
        story(&mut world).await
    })
}

impl World {
    fn new(seed: u64, log: Log) -> Self {
        let (server, dice) = (ApiServer::default(), Dice::new(seed));
        let (controllers, slices_follow) = Controllers::new(&server, dice.fork());
        tokio::spawn(controllers.run());
        Self {
            server,
            dice,
            seats: vec![],
            slices_follow,
            log,
            marks: Cell::new(0),
            orphaned: RefCell::default(),
            notes: RefCell::default(),
            put_back: RefCell::default(),
        }
    }

    /// An operator begins.
    pub fn operator(&mut self, name: &'static str, faults: Faults, dies_after: Option<u64>) {
        let seat = Seat::new(&self.server, name, self.dice.fork(), faults, dies_after);
        self.seats.push(seat);
    }

    pub fn set_faults(&self, faults: Faults) {
        self.seats.iter().for_each(|seat| seat.set_faults(faults));
    }

    /// The CustomResourceDefinition is of an earlier version, which doesn't know these fields of status.
    pub fn drop_from_status(&self, fields: &[&'static str]) {
        self.server.write(|store| store.drops = fields.to_vec());
    }

    pub fn slices_follow(&self, follow: bool) {
        self.slices_follow.store(follow, Ordering::Relaxed);
        // So that the controllers look at them once more.
        self.note(&format!("EndpointSlices follow: {follow}"));
        self.server.write(|store| {
            store.version += 1;
            store.news += 1;
        });
    }

    /// The clocks of all machines are put forward, or back.
    pub fn jump(&self, seconds: i64) {
        self.note(&format!("all clocks are put {seconds}s"));
        let by = SignedDuration::from_secs(seconds);
        clock::simulate(clock::now() + by);
        if by.is_negative() {
            self.put_back.borrow_mut().push((Instant::now(), by.abs()));
        }
    }

    /// By so many seconds in all: what was to be waited for may come so much later.
    pub fn put_back(&self) -> u64 {
        self.put_back.borrow().iter().map(|(_, by)| by.unsigned_abs().as_secs()).sum()
    }

    pub async fn pass(&self, seconds: u64) {
        sleep(Duration::from_secs(seconds)).await;
    }

    pub fn note(&self, what: &str) {
        self.notes.borrow_mut().push((Instant::now(), clock::now(), format!("----- {what}")));
    }

    // === what people do ===

    fn user(&self) -> Writer {
        Writer { manager: "kubectl".to_owned(), apply: false, status: false }
    }

    fn user_writes(&self, write: impl FnOnce(&mut Store) -> store::Answer) {
        if let Err(refused) = self.server.write(write) {
            self.note(&format!("refused: {}", refused.message));
        }
    }

    pub fn create(&self, name: &str, spec: &Value) {
        let mut rollout = shop();
        rollout["metadata"]["name"] = json!(name);
        store::merge(&mut rollout["spec"], spec);
        self.note(&format!("{name} is created: {spec}"));
        self.user_writes(|store| store.create(&ROLLOUT, NAMESPACE, rollout, &self.user()));
    }

    pub fn spec(&self, name: &str, spec: &Value) {
        self.note(&format!("{name}: {spec}"));
        self.user_writes(|store| store.merge(&ROLLOUT, NAMESPACE, name, &json!({"spec": spec}), &self.user()));
    }

    /// A template of gates is made, or changed.
    pub fn template(&self, resource: &'static Resource, name: &str, spec: &Value) {
        self.note(&format!("{} {name}: {spec}", resource.kind));
        let namespace = if *resource == CLUSTER_GATE_TEMPLATE { "" } else { NAMESPACE };
        let (object, user) = (json!({"metadata": {"name": name}, "spec": spec}), self.user());
        self.user_writes(|store| match store.get(resource, namespace, name) {
            Some(_) => store.merge(resource, namespace, name, &object, &user),
            None => store.create(resource, namespace, object, &user),
        });
    }

    pub fn image(&self, name: &str, version: &str) {
        self.spec(name, &json!({"image": image(version)}));
    }

    /// An order that can be given again and again.
    pub fn order(&self, name: &str, verb: &str, revision: &str) {
        self.order_for(name, verb, &format!("{revision}/{}", self.mark()));
    }

    pub fn order_for(&self, name: &str, verb: &str, value: &str) {
        self.note(&format!("{name}: {verb} {value}"));
        let patch = json!({"metadata": {"annotations": {format!("bluegreen.dev/{verb}"): value}}});
        self.user_writes(|store| store.merge(&ROLLOUT, NAMESPACE, name, &patch, &self.user()));
    }

    pub fn lose_status(&self, name: &str) {
        self.note(&format!("{name}: the status is emptied"));
        let writer = Writer { status: true, ..self.user() };
        let emptied = json!({"observedGeneration": -1});
        self.user_writes(|store| {
            store.patch(&ROLLOUT, NAMESPACE, name, &json!([{"op": "add", "path": "/status", "value": emptied}]), &writer)
        });
    }

    /// As another version of the operator would write it.
    pub fn write_status(&self, name: &str, status: &Value) {
        self.note(&format!("{name}: somebody writes the status: {status}"));
        let writer = Writer { status: true, ..self.user() };
        self.user_writes(|store| store.merge(&ROLLOUT, NAMESPACE, name, &json!({"status": status}), &writer));
    }

    fn mark(&self) -> u64 {
        self.marks.set(self.marks.get() + 1);
        self.marks.get()
    }

    /// A change by hand of what the operator owns.
    pub fn edit(&self, resource: &'static Resource, name: &str, patch: &Value) {
        self.note(&format!("{} {name} is edited by hand: {patch}", resource.kind));
        let mut patch = patch.clone();
        patch["metadata"]["annotations"][MARK] = json!(self.mark().to_string());
        self.user_writes(|store| store.merge(resource, NAMESPACE, name, &patch, &self.user()));
    }

    pub fn delete(&self, resource: &'static Resource, name: &str) {
        self.note(&format!("{} {name} is deleted by hand", resource.kind));
        let patch = json!({"metadata": {"annotations": {MARK_DELETED: "1", MARK: self.mark().to_string()}}});
        self.user_writes(|store| store.merge(resource, NAMESPACE, name, &patch, &self.user()));
        self.user_writes(|store| store.delete(resource, NAMESPACE, name, &Value::Null));
    }

    /// As `kubectl delete --cascade=orphan` and the collector of garbage do it.
    pub async fn orphan(&self, name: &str) {
        self.note(&format!("{name} is deleted, and what it owns is orphaned"));
        let Some(rollout) = self.get(&ROLLOUT, name) else { return };
        let finalizers = |finalizers: Value| json!({"metadata": {"finalizers": finalizers}});
        self.user_writes(|store| store.merge(&ROLLOUT, NAMESPACE, name, &finalizers(json!(["orphan"])), &self.user()));
        self.user_writes(|store| store.delete(&ROLLOUT, NAMESPACE, name, &Value::Null));
        sleep(self.dice.millis(2, 60)).await;
        let owned = |object: &Value| object["metadata"]["ownerReferences"][0]["uid"] == rollout["metadata"]["uid"];
        for resource in [&DEPLOYMENT, &SERVICE, &REVISION] {
            for object in self.all(resource).iter().filter(|object| owned(object)) {
                let name = object["metadata"]["name"].as_str().unwrap_or_default();
                self.edit(resource, name, &json!({"metadata": {"ownerReferences": null}}));
                if *resource == DEPLOYMENT {
                    self.orphaned.borrow_mut().push(object["metadata"]["uid"].clone());
                }
            }
        }
        sleep(self.dice.millis(2, 60)).await;
        self.user_writes(|store| store.merge(&ROLLOUT, NAMESPACE, name, &finalizers(Value::Null), &self.user()));
    }

    /// All pods of this version say so themselves from now on.
    pub fn readiness(&self, rollout: &str, version: &str, ready: bool) {
        self.note(&format!("{rollout}: pods of {version} ready: {ready}"));
        for pod in self.pods(rollout).iter().filter(|pod| pod["spec"]["containers"][0]["image"] == image(version)) {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let patch = json!({"metadata": {"annotations": {READY: ready.to_string()}}});
            self.user_writes(|store| store.merge(&POD, NAMESPACE, name, &patch, &self.user()));
        }
    }

    // === what there is ===

    pub fn get(&self, resource: &'static Resource, name: &str) -> Option<Arc<Value>> {
        self.server.look(|store| store.get(resource, NAMESPACE, name).cloned())
    }

    pub fn all(&self, resource: &'static Resource) -> Vec<Arc<Value>> {
        self.server.look(|store| store.all(resource).cloned().collect())
    }

    pub fn status(&self, name: &str) -> Value {
        self.get(&ROLLOUT, name).map(|rollout| rollout["status"].clone()).unwrap_or_default()
    }

    pub fn phase(&self, name: &str) -> String {
        self.status(name)["phase"].as_str().unwrap_or_default().to_owned()
    }

    pub fn pods(&self, rollout: &str) -> Vec<Arc<Value>> {
        let pods = self.all(&POD).into_iter();
        pods.filter(|pod| pod["metadata"]["labels"]["bluegreen.dev/rollout"] == rollout).collect()
    }

    /// The images that the active Service reaches.
    pub fn reached(&self, rollout: &str) -> Vec<String> {
        let pods = self.pods(rollout);
        self.get(&SERVICE, rollout).map(|service| reached(&service, pods.iter().map(|pod| &**pod))).unwrap_or_default()
    }

    /// Requests of operators since then, but for those that go on for ever.
    pub fn made_since(&self, since: Instant) -> Vec<Made> {
        self.seats.iter().flat_map(Seat::made).filter(|made| made.at >= since && !made.goes_on).collect()
    }

    /// Waits until something is so; false if it isn't in time. What lasts long is looked at seldom.
    pub async fn until(&self, seconds: u64, is: impl Fn(&Self) -> bool) -> bool {
        let began = Instant::now();
        let ends = began + Duration::from_secs(seconds);
        while !is(self) {
            if Instant::now() >= ends {
                return false;
            }
            sleep((began.elapsed() / 50).max(Duration::from_millis(500))).await;
        }
        true
    }

    /// Waits until no operator has asked for anything for a while, looks that come by themselves included.
    pub async fn until_quiet(&self, seconds: u64) -> bool {
        let since = |world: &Self| world.seats.iter().filter_map(Seat::latest).max().map_or(Duration::MAX, |at| at.elapsed());
        self.until(seconds, |world| since(world) > Duration::from_secs(320)).await
    }

    // === what came of it ===

    fn history(&self) -> Vec<Change> {
        self.server.look(|store| store.history.clone())
    }

    /// The promises that were broken, and what the operator itself calls a fault of its own.
    pub fn broken(&self) -> Vec<String> {
        let events: Vec<Event> = self.history().iter().filter_map(|change| event(change, self.decided(change))).collect();
        let faults = ["a fault of the operator", "doesn't settle", "the same was decided again"];
        let told = self.log.lines().into_iter().filter(|line| faults.iter().any(|fault| line.contains(fault)));
        judge(&events, &[]).into_iter().chain(told).chain(self.lost()).collect()
    }

    /// The latest time at which this may have been decided, by the clock of then: it may have been put back while the request was under way.
    fn decided(&self, change: &Change) -> Timestamp {
        let put_back = self.put_back.borrow();
        let meanwhile = put_back.iter().filter(|(moment, _)| *moment <= change.moment && change.moment < *moment + UNDER_WAY);
        meanwhile.fold(change.at, |at, (_, by)| at + *by)
    }

    /// Promise 7: what was to outlive its rollout is there, unless it was deleted since, by itself or with a later rollout.
    fn lost(&self) -> Vec<String> {
        let history = self.history();
        let by_hand = |object: &Value| !object["metadata"]["annotations"][MARK_DELETED].is_null();
        let owner_deleted = |object: &Value| {
            let owner = &object["metadata"]["ownerReferences"][0]["uid"];
            history.iter().any(|change| change.deleted && change.object["metadata"]["uid"] == *owner && by_hand(&change.object))
        };
        let gone = history.iter().filter(|change| change.deleted && self.orphaned.borrow().contains(&change.object["metadata"]["uid"]));
        let lost = gone.filter(|change| !by_hand(&change.object) && !owner_deleted(&change.object));
        lost.map(|change| {
            format!("promise 7: Deployment {} outlived its rollout, and was deleted at version {}", change.place.name, change.version)
        })
        .collect()
    }

    /// The story, a line for each thing that happened, in their order and with the time that the clock showed.
    pub fn story(&self) -> String {
        let mut lines = self.notes.borrow().clone();
        lines.extend(self.history().iter().filter_map(|change| Some((change.moment, change.at, told(change)?))));
        lines.sort_by_key(|(moment, _, _)| *moment);
        let lines: Vec<String> = lines
            .iter()
            .map(|(_, at, line)| {
                format!("{:9.3}  {line}", at.duration_since(Timestamp::from_second(START).unwrap_or_default()).as_secs_f64())
            })
            .collect();
        format!("{}\n{}", lines.join("\n"), self.log.lines().join("\n"))
    }
}

/// A rollout of two replicas whose waits are seconds.
fn shop() -> Value {
    json!({
        "apiVersion": "bluegreen.dev/v1alpha1",
        "kind": "BlueGreenRollout",
        "metadata": {"name": "shop"},
        "spec": {
            "image": image("1.0.0"),
            "replicas": 2,
            "template": {"spec": {"containers": [{"name": "shop", "ports": [{"name": "http", "containerPort": 8080}]}]}},
            "service": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
            "progressDeadline": "1m",
            "scaleDown": {"drain": "1s", "after": "1s", "afterAbort": "1s"},
        },
    })
}

pub fn image(version: &str) -> String {
    format!("registry.example/shop:{version}")
}

fn event(change: &Change, seen: Timestamp) -> Option<Event> {
    let kinds = [
        (&ROLLOUT, Kind::Rollout),
        (&DEPLOYMENT, Kind::Deployment),
        (&SERVICE, Kind::Service),
        (&POD, Kind::Pod),
        (&REVISION, Kind::Revision),
    ];
    let (_, kind) = kinds.into_iter().find(|(resource, _)| resource.plural == change.place.plural)?;
    let Change { place, version, deleted, object, known, .. } = change;
    Some(Event { kind, name: place.name.clone(), version: *version, deleted: *deleted, object: object.clone(), seen, known: *known })
}

fn told(change: &Change) -> Option<String> {
    let Change { place, version, before, deleted, object, .. } = change;
    let what = if *deleted {
        "deleted".to_owned()
    } else {
        match place.plural {
            "bluegreenrollouts" if before.as_ref().is_some_and(|before| before["status"] == object["status"]) => return None,
            "bluegreenrollouts" => {
                format!("{} {}", object["status"]["phase"].as_str().unwrap_or("-"), object["status"]["message"].as_str().unwrap_or("-"))
            }
            "deployments" => format!(
                "{} replicas of {} (generation {}, epoch {}) status {}",
                object["spec"]["replicas"],
                object["spec"]["template"]["metadata"]["labels"]["bluegreen.dev/revision"],
                object["metadata"]["generation"],
                object["metadata"]["annotations"]["bluegreen.dev/epoch"],
                object["status"]
            ),
            "services" => format!("selects {}", object["spec"]["selector"]),
            "pods" => {
                format!("ready {}{}", is_ready(object), if object["metadata"]["deletionTimestamp"].is_null() { "" } else { ", ends" })
            }
            "controllerrevisions" => "written".to_owned(),
            "events" => format!("{}", object["note"]),
            _ => return None,
        }
    };
    Some(format!("{version} {} {}: {what}", place.plural, place.name))
}
