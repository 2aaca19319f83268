//! A Pod as it is cached: its progress, or the cause of its trouble in its own words.

use super::{Haste, Kind, Wire};
use crate::{clock, intern::Text};
use bluegreen_api::{Color, Protocol, names};
use bluegreen_engine::observed::{ObjectKind, PodTrouble, PodWait};
use jiff::Timestamp;
use serde::Deserialize;
use std::net::IpAddr;

/// Messages of a kubelet can be whole stack traces.
const MESSAGE: usize = 256;

#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    pub color: Option<Color>,
    pub revision: Text,
    pub ip: Option<IpAddr>,
    /// Named ports of containers and restartable init containers.
    pub ports: Box<[(Text, Protocol, u16)]>,
    pub ready: bool,
    pub deleting: bool,
    pub created: Timestamp,
    pub ready_changed: Option<Timestamp>,
    pub restarts: i32,
    pub trouble: Option<Box<PodTrouble>>,
    pub waits: Option<Box<PodWait>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WireSpec {
    node_name: Option<String>,
    containers: Option<Vec<Container>>,
    init_containers: Option<Vec<Container>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Container {
    name: String,
    ports: Option<Vec<Port>>,
    /// Of an init container: Always makes it a sidecar, which runs beside the others.
    restart_policy: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Port {
    name: Option<Text>,
    container_port: i32,
    protocol: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct WireStatus {
    #[serde(rename = "podIP")]
    pod_ip: Option<String>,
    /// Why the pod as a whole failed: Evicted, for one.
    reason: Option<String>,
    message: Option<String>,
    conditions: Option<Vec<Condition>>,
    container_statuses: Option<Vec<ContainerStatus>>,
    init_container_statuses: Option<Vec<ContainerStatus>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
    last_transition_time: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerStatus {
    name: String,
    ready: bool,
    started: Option<bool>,
    restart_count: i32,
    state: Option<State>,
    last_state: Option<State>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct State {
    running: Option<serde::de::IgnoredAny>,
    waiting: Option<Waiting>,
    terminated: Option<Terminated>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Waiting {
    reason: Option<String>,
    message: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Terminated {
    reason: Option<String>,
    message: Option<String>,
    exit_code: i32,
}

impl Terminated {
    fn words(&self) -> String {
        let reason = self.reason.as_deref().unwrap_or("Error");
        match self.message.as_deref().map(str::trim).filter(|message| !message.is_empty()) {
            Some(message) => format!("{reason}, exit code {}: {message}", self.exit_code),
            None => format!("{reason}, exit code {}", self.exit_code),
        }
    }
}

impl WireSpec {
    /// An init container that runs on beside the others.
    fn is_sidecar(&self, name: &str) -> bool {
        let mut inits = self.init_containers.iter().flatten();
        inits.any(|container| container.name == name && container.restart_policy.as_deref() == Some("Always"))
    }
}

impl ContainerStatus {
    fn waits(&self) -> Option<PodWait> {
        let container = self.name.clone();
        match &self.state {
            _ if self.ready => None,
            Some(State { running: Some(_), .. }) => Some(PodWait::Ready { container }),
            _ => Some(PodWait::Start { container }),
        }
    }

    fn waits_as_init(&self, sidecar: bool) -> Option<PodWait> {
        let container = self.name.clone();
        match &self.state {
            _ if sidecar && (self.started == Some(true) || self.ready) => None,
            Some(State { terminated: Some(terminated), .. }) if !sidecar && terminated.exit_code == 0 => None,
            Some(State { running: Some(_), .. }) if sidecar => Some(PodWait::Ready { container }),
            Some(State { running: Some(_), .. }) => Some(PodWait::Init { container }),
            _ => Some(PodWait::Start { container }),
        }
    }

    fn restarts(&self, last: &Terminated) -> String {
        let times = if self.restart_count == 1 { "once".to_owned() } else { format!("{} times", self.restart_count) };
        format!("restarted {times}, last: {}", last.words())
    }

    fn trouble(&self) -> Option<PodTrouble> {
        let state = self.state.as_ref()?;
        let told = |reason: &str, message: String| PodTrouble {
            reason: reason.to_owned(),
            message: shortened(&message),
            container: Some(self.name.clone()),
        };
        if let Some(waiting) = &state.waiting {
            let reason = waiting.reason.as_deref().unwrap_or_default();
            if matches!(reason, "" | "ContainerCreating" | "PodInitializing") {
                return None;
            }
            // The back-off says nothing about the crash; how the container ended does.
            let last = self.last_state.as_ref().and_then(|state| state.terminated.as_ref());
            let message = match last.filter(|_| reason == "CrashLoopBackOff") {
                Some(last) => self.restarts(last),
                None => waiting.message.clone().unwrap_or_default(),
            };
            return Some(told(reason, message));
        }
        let last = self.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        if let (true, Some(last), None) = (!self.ready && self.restart_count > 0, last, &state.terminated) {
            // It runs for the moment. Between two crashes that is no better news.
            return Some(told("Restarted", self.restarts(last)));
        }
        let terminated = state.terminated.as_ref().filter(|terminated| terminated.exit_code != 0)?;
        Some(told(terminated.reason.as_deref().unwrap_or("Error"), terminated.words()))
    }
}

impl WireStatus {
    fn condition(&self, type_: &str) -> Option<&Condition> {
        self.conditions.as_deref().unwrap_or_default().iter().find(|condition| condition.type_ == type_)
    }

    /// The first that is not done with, in the order in which they run.
    fn waits(&self, spec: &WireSpec) -> PodWait {
        if self.condition("PodScheduled").is_none_or(|condition| condition.status != "True") && spec.node_name.is_none() {
            return PodWait::Node;
        }
        let inits = self.init_container_statuses.as_deref().unwrap_or_default();
        let containers = self.container_statuses.as_deref().unwrap_or_default();
        if inits.is_empty() && containers.is_empty() {
            return PodWait::Kubelet { node: spec.node_name.clone().unwrap_or_default() };
        }
        let waits = inits.iter().find_map(|init| init.waits_as_init(spec.is_sidecar(&init.name)));
        waits.or_else(|| containers.iter().find_map(ContainerStatus::waits)).unwrap_or_else(|| {
            let message = self.condition("Ready").and_then(|ready| ready.message.as_deref()).filter(|message| !message.is_empty());
            PodWait::Gate { message: shortened(message.unwrap_or("its containers are ready, and it is not")) }
        })
    }

    fn containers(&self) -> impl Iterator<Item = &ContainerStatus> {
        self.init_container_statuses.as_deref().unwrap_or_default().iter().chain(self.container_statuses.as_deref().unwrap_or_default())
    }

    fn trouble(&self) -> Option<PodTrouble> {
        if let Some(reason) = self.reason.as_deref().filter(|reason| !reason.is_empty()) {
            let message = shortened(self.message.as_deref().unwrap_or_default());
            return Some(PodTrouble { reason: reason.to_owned(), message, container: None });
        }
        let unscheduled = self.condition("PodScheduled").filter(|condition| condition.status == "False");
        if let Some(condition) = unscheduled {
            return Some(PodTrouble {
                reason: condition.reason.clone().unwrap_or_else(|| "Unschedulable".into()),
                message: shortened(condition.message.as_deref().unwrap_or_default()),
                container: None,
            });
        }
        self.containers().find_map(ContainerStatus::trouble)
    }
}

pub fn shortened(message: &str) -> String {
    let message = message.trim();
    match message.char_indices().nth(MESSAGE) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

/// In the order in which a Service finds them.
fn named_ports(spec: WireSpec) -> Box<[(Text, Protocol, u16)]> {
    let sidecars = spec.init_containers.into_iter().flatten().filter(|container| container.restart_policy.as_deref() == Some("Always"));
    let containers = spec.containers.into_iter().flatten().chain(sidecars);
    let ports = containers.filter_map(|container| container.ports).flatten();
    let protocol = |port: &Port| match port.protocol.as_deref() {
        None | Some("TCP") => Some(Protocol::TCP),
        Some("UDP") => Some(Protocol::UDP),
        Some("SCTP") => Some(Protocol::SCTP),
        Some(_) => None,
    };
    ports
        .filter_map(|port| Some((protocol(&port)?, port.name?, u16::try_from(port.container_port).ok()?)))
        .map(|(protocol, name, number)| (name, protocol, number))
        .collect()
}

impl Kind for Pod {
    type Of = k8s_openapi::api::core::v1::Pod;
    type Wire = Wire<WireSpec, WireStatus>;
    const KIND: ObjectKind = ObjectKind::Pod;

    fn trim(wire: Self::Wire) -> Self {
        let Wire { metadata, spec, status } = wire;
        let (spec, status) = (spec.unwrap_or_default(), status.unwrap_or_default());
        let trouble = status.trouble().map(Box::new);
        let is_ready = status.condition("Ready").is_some_and(|ready| ready.status == "True");
        let waits = (!is_ready && trouble.is_none()).then(|| Box::new(status.waits(&spec)));
        let ready = status.condition("Ready");
        Self {
            color: match metadata.label(names::COLOR_LABEL) {
                Some("blue") => Some(Color::Blue),
                Some("green") => Some(Color::Green),
                _ => None,
            },
            revision: Text::of(metadata.label(names::REVISION_LABEL).unwrap_or_default()),
            ip: status.pod_ip.as_deref().and_then(|ip| ip.parse().ok()),
            ports: named_ports(spec),
            ready: is_ready,
            deleting: metadata.deleting(),
            // The API server writes it. One that can't be counted with makes no pod old.
            created: metadata.creation_timestamp.map_or(Timestamp::UNIX_EPOCH, |at| at.parse().unwrap_or_else(|_| clock::now())),
            ready_changed: ready.and_then(|ready| ready.last_transition_time.as_ref()?.parse().ok()),
            restarts: status.containers().map(|container| container.restart_count).max().unwrap_or(0),
            trouble,
            waits,
        }
    }

    /// Who counts are pods that are ready, and who is told are those in trouble.
    fn haste(before: Option<&Self>, after: Option<&Self>) -> Haste {
        let serves = |pod: Option<&Self>| pod.is_some_and(|pod| pod.ready && !pod.deleting);
        let told = |pod: Option<&Self>| pod.map(|pod| (pod.restarts, pod.trouble.clone()));
        let quiet = |pod: Option<&Self>| told(pod).is_none_or(|(restarts, trouble)| restarts == 0 && trouble.is_none());
        match told(before) == told(after) || (quiet(before) && quiet(after)) {
            _ if serves(before) != serves(after) => Haste::First,
            true => Haste::Soon,
            false => Haste::InTurn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::sample::arrive;
    use serde_json::{Value, json};

    fn pod(status: Value) -> Pod {
        arrive::<Pod>(json!({
            "metadata": {
                "name": "shop-green-1", "creationTimestamp": "2026-01-01T00:00:00Z",
                "labels": {"bluegreen.dev/color": "green", "bluegreen.dev/revision": "abc"}
            },
            "spec": {"containers": [{"name": "shop", "ports": [{"name": "http", "containerPort": 8080}, {"containerPort": 9090}]}]},
            "status": status
        }))
        .body
    }

    #[test]
    fn a_ready_pod_has_an_address_and_no_trouble() {
        let pod = pod(json!({
            "podIP": "10.0.0.7",
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:05Z"}],
            "containerStatuses": [{"name": "shop", "restartCount": 2, "state": {"running": {"startedAt": "2026-01-01T00:00:01Z"}}}]
        }));
        assert_eq!((pod.color, &*pod.revision, pod.ready, pod.restarts), (Some(Color::Green), "abc", true, 2));
        assert_eq!(pod.ip, Some("10.0.0.7".parse().unwrap()));
        assert_eq!(pod.ports.as_ref(), [(Text::of("http"), Protocol::TCP, 8080)]);
        assert_eq!(pod.ready_changed, Some("2026-01-01T00:00:05Z".parse().unwrap()));
        assert_eq!(pod.trouble, None);
    }

    #[test]
    fn ports_are_those_of_containers_that_run_beside_each_other() {
        let port = |name: &str, number: i32, protocol: &str| json!({"name": name, "containerPort": number, "protocol": protocol});
        let pod = arrive::<Pod>(json!({
            "metadata": {"name": "shop-green-1"},
            "spec": {
                "initContainers": [
                    {"name": "migrate", "ports": [port("once", 1, "TCP")]},
                    {"name": "mesh", "restartPolicy": "Always", "ports": [port("mesh", 2, "SCTP")]},
                ],
                "containers": [{"name": "shop", "ports": [port("dns", 53, "UDP"), port("odd", 54, "QUIC"), {"name": "http", "containerPort": 80}]}],
            }
        }))
        .body;
        let of = |name: &str, protocol, number| (Text::of(name), protocol, number);
        assert_eq!(pod.ports.as_ref(), [of("dns", Protocol::UDP, 53), of("http", Protocol::TCP, 80), of("mesh", Protocol::SCTP, 2)]);
    }

    #[test]
    fn trouble_is_told_in_the_pods_own_words() {
        for (status, reason, message, container) in [
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: Insufficient cpu."}]}),
                "Unschedulable",
                "0/1 nodes: Insufficient cpu.",
                None,
            ),
            (
                json!({"containerStatuses": [{"name": "shop", "state": {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}}]}),
                "ErrImagePull",
                "no such image",
                Some("shop"),
            ),
            (
                json!({"containerStatuses": [{"name": "shop", "restartCount": 5,
                    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
                    "lastState": {"terminated": {"reason": "OOMKilled", "exitCode": 137}}}]}),
                "CrashLoopBackOff",
                "restarted 5 times, last: OOMKilled, exit code 137",
                Some("shop"),
            ),
            (
                json!({"initContainerStatuses": [{"name": "migrate", "state": {"terminated": {"exitCode": 1, "message": "no database\n"}}}]}),
                "Error",
                "Error, exit code 1: no database",
                Some("migrate"),
            ),
            (json!({"reason": "Evicted", "message": "low on memory"}), "Evicted", "low on memory", None),
        ] {
            let trouble = pod(status).trouble.unwrap();
            assert_eq!((trouble.reason.as_str(), trouble.message.as_str(), trouble.container.as_deref()), (reason, message, container));
        }
    }

    #[test]
    fn what_a_pod_waits_for_is_the_first_that_is_not_done() {
        let scheduled =
            || json!([{"type": "PodScheduled", "status": "True"}, {"type": "Ready", "status": "False", "message": "gate x is not met"}]);
        let (running, waiting) = (json!({"running": {}}), json!({"waiting": {"reason": "PodInitializing"}}));
        let status = |name: &str, ready: bool, state: &Value| json!({"name": name, "ready": ready, "state": state});
        let ended = status("migrate", true, &json!({"terminated": {"exitCode": 0, "reason": "Completed"}}));
        let sidecar = json!({"name": "mesh", "ready": false, "started": true, "state": running});
        let start = |container: &str| PodWait::Start { container: container.into() };
        let cases = [
            (json!([]), json!([]), PodWait::Kubelet { node: "node-1".into() }),
            (json!([status("migrate", false, &waiting)]), json!([status("shop", false, &waiting)]), start("migrate")),
            (
                json!([status("migrate", false, &running)]),
                json!([status("shop", false, &waiting)]),
                PodWait::Init { container: "migrate".into() },
            ),
            (
                json!([ended, status("mesh", false, &running)]),
                json!([status("shop", false, &waiting)]),
                PodWait::Ready { container: "mesh".into() },
            ),
            (json!([ended, sidecar]), json!([status("shop", false, &waiting)]), start("shop")),
            (
                json!([ended, sidecar]),
                json!([status("a", true, &running), status("shop", false, &running)]),
                PodWait::Ready { container: "shop".into() },
            ),
            (json!([]), json!([status("shop", true, &running)]), PodWait::Gate { message: "gate x is not met".into() }),
        ];
        let of = |status: Value| {
            let spec = json!({"nodeName": "node-1", "initContainers": [{"name": "migrate"}, {"name": "mesh", "restartPolicy": "Always"}]});
            arrive::<Pod>(json!({"metadata": {"name": "shop-green-1"}, "spec": spec, "status": status})).body.waits.map(|waits| *waits)
        };
        for (inits, containers, wait) in cases {
            let told = json!({"conditions": scheduled(), "initContainerStatuses": inits, "containerStatuses": containers});
            assert_eq!(of(told.clone()), Some(wait), "{told}");
        }
        assert_eq!(arrive::<Pod>(json!({"metadata": {"name": "shop-green-1"}})).body.waits.map(|waits| *waits), Some(PodWait::Node));
        assert_eq!(of(json!({"conditions": [{"type": "Ready", "status": "True"}]})), None);
    }

    #[test]
    fn a_pod_that_is_being_made_is_in_no_trouble() {
        for reason in ["ContainerCreating", "PodInitializing"] {
            let pod = pod(json!({"containerStatuses": [{"name": "shop", "state": {"waiting": {"reason": reason}}}]}));
            assert_eq!((pod.trouble, pod.ready), (None, false));
        }
    }

    #[test]
    fn long_messages_are_cut_between_letters() {
        assert_eq!(shortened(&"é".repeat(300)).chars().count(), MESSAGE + 1);
    }

    #[test]
    fn readiness_of_a_pod_goes_first_and_its_trouble_in_turn() {
        let ready = pod(json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:05Z"}]}));
        let coming = Pod { ready: false, ready_changed: None, ..ready.clone() };
        let with_address = Pod { ip: Some("10.0.0.7".parse().unwrap()), ..coming.clone() };
        let going = Pod { deleting: true, ..ready.clone() };
        let trouble = PodTrouble { reason: "ErrImagePull".into(), message: String::new(), container: None };
        let troubled = Pod { trouble: Some(Box::new(trouble)), ..coming.clone() };
        let restarted = Pod { restarts: 1, ..coming.clone() };
        let cases = [
            (None, Some(&coming), Haste::Soon),
            (Some(&coming), Some(&with_address), Haste::Soon),
            (Some(&coming), Some(&ready), Haste::First),
            (Some(&ready), Some(&coming), Haste::First),
            (Some(&ready), Some(&going), Haste::First),
            (Some(&going), None, Haste::Soon),
            (Some(&ready), None, Haste::First),
            (Some(&coming), Some(&troubled), Haste::InTurn),
            (Some(&coming), Some(&restarted), Haste::InTurn),
            (None, Some(&troubled), Haste::InTurn),
            (Some(&troubled), None, Haste::InTurn),
            (Some(&coming), None, Haste::Soon),
        ];
        for (before, after, haste) in cases {
            assert_eq!(Pod::haste(before, after), haste, "{before:?} → {after:?}");
        }
    }
}
