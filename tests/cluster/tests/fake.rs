//! The cluster of fake nodes, tried on itself.
//!
//! Ignored by default: the first run builds Kubernetes from source, for minutes. `cargo test -p bluegreen-cluster -- --ignored`

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::net::Ipv4Addr;
use std::time::Duration;

use bluegreen_cluster::audit::AuditLog;
use bluegreen_cluster::{Cluster, Kind, Signal, patience};

/// Takes the cluster down also when an assertion fails.
struct Guard(Option<Cluster>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(cluster) = self.0.take() {
            cluster.down().unwrap();
        }
    }
}

fn output(cluster: &Cluster, args: &[&str]) -> String {
    let output = cluster.kubectl(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn eventually(what: &str, happened: impl Fn() -> bool) {
    patience::until(|| happened().then_some(())).unwrap_or_else(|waited| panic!("not within {waited:?}: {what}"));
}

fn pod(name: &str) -> String {
    format!(
        r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "{name}"}},
            "spec": {{"containers": [{{"name": "shop", "image": "registry.example/shop:1.0.0-{name}"}}]}}}}"#
    )
}

const WAITING: &str = "jsonpath={.status.containerStatuses[0].state.waiting.reason}";
const READY: &str = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}"#;
const READY_SINCE: &str = r#"jsonpath={.status.conditions[?(@.type=="Ready")].lastTransitionTime}"#;
const RESTARTS: &str = "jsonpath={.status.containerStatuses[0].restartCount}";

#[test]
#[ignore = "builds Kubernetes from source, minutes the first time"]
fn a_cluster_of_fake_nodes_does_what_tests_rely_on() {
    patience::slow_down();
    let mut guard = Guard(Some(Cluster::up(Kind::Fake, "self-test").unwrap()));
    let cluster = guard.0.as_mut().unwrap();
    pods_meet_the_fate_that_their_image_names(cluster);
    a_running_pod_turns_unready_and_ready_again(cluster);
    requests_are_counted(cluster);
    programs_can_be_killed_frozen_and_started_again(cluster);

    let dir = cluster.dir().to_path_buf();
    let pids: Vec<_> = cluster.programs().into_iter().filter_map(|program| program.pid).collect();
    assert!(Cluster::up(Kind::Fake, "self-test").unwrap_err().to_string().contains("is up already"));
    guard.0.take().unwrap().down().unwrap();
    assert!(!dir.exists());
    for pid in pids {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        assert!(command.is_empty(), "process {pid} outlived its cluster");
    }
}

fn pods_meet_the_fate_that_their_image_names(cluster: &Cluster) {
    for name in ["good", "unready", "slow", "crash", "missing", "invalid"] {
        cluster.create(&pod(name)).unwrap();
    }
    let get = |name: &str, what: &str| output(cluster, &["get", "pod", name, "-o", what]);
    eventually("a good pod is ready", || get("good", READY) == "True");
    eventually("a crashing pod restarts again and again", || {
        get("crash", RESTARTS).parse().unwrap_or(0) >= 5 && get("crash", WAITING) == "CrashLoopBackOff"
    });
    eventually("a missing image backs off", || get("missing", WAITING) == "ImagePullBackOff");
    eventually("an invalid name is told", || get("invalid", WAITING) == "InvalidImageName");
    eventually("a slow pod gets ready", || get("slow", READY) == "True");
    let moment = |what: &str| get("slow", what).parse::<jiff::Timestamp>().unwrap();
    let took = moment(READY_SINCE).duration_since(moment("jsonpath={.metadata.creationTimestamp}"));
    // Both times are in whole seconds.
    assert!(took.as_secs() >= 4, "a slow pod is ready after 5 s, and this one was after {took:?}");
    assert_eq!(get("unready", READY), "False");
    // No connection can be made to such an address, so that no question to the pod leaves the machine.
    let address = get("good", "jsonpath={.status.podIP} {.status.hostIP}");
    assert!(address.split(' ').all(|address| address.parse::<Ipv4Addr>().unwrap().is_multicast()), "{address}");
}

fn a_running_pod_turns_unready_and_ready_again(cluster: &Cluster) {
    let get = || output(cluster, &["get", "pod", "good", "-o", READY]);
    output(cluster, &["annotate", "pod", "good", "test.bluegreen.dev/ready=false"]);
    eventually("turns unready", || get() == "False");
    output(cluster, &["annotate", "--overwrite", "pod", "good", "test.bluegreen.dev/ready=true"]);
    eventually("turns ready", || get() == "True");
    output(cluster, &["annotate", "pod", "good", "test.bluegreen.dev/ready-"]);
    // What a test writes itself stays.
    let status = r#"{"status": {"conditions": [{"type": "Ready", "status": "False"}]}}"#;
    output(cluster, &["patch", "pod", "good", "--subresource=status", "-p", status]);
    std::thread::sleep(patience::stretched(Duration::from_secs(1)));
    assert_eq!(get(), "False");
}

fn requests_are_counted(cluster: &Cluster) {
    let mut log = AuditLog::from_now(&cluster.audit_log()).unwrap();
    output(cluster, &["create", "configmap", "counted"]);
    let requests = log.requests().unwrap();
    let ours: Vec<_> = requests.iter().filter(|request| request.user_agent.starts_with("kubectl/")).collect();
    assert!(ours.iter().any(|request| request.verb == "create" && request.resource == "configmaps" && request.code == 201));
    assert!(log.requests().unwrap().iter().all(|request| request.name != "counted"));
}

fn programs_can_be_killed_frozen_and_started_again(cluster: &mut Cluster) {
    cluster.stop_process("etcd").unwrap();
    cluster.stop_process("kube-apiserver").unwrap();
    assert!(!cluster.kubectl(["get", "configmaps", "--request-timeout=2s"]).output().unwrap().status.success());
    cluster.start_process("etcd").unwrap();
    cluster.start_process("kube-apiserver").unwrap();
    output(cluster, &["get", "configmap", "counted"]);

    cluster.signal_process("kwok", Signal::STOP).unwrap();
    output(cluster, &["delete", "pod", "slow", "--wait=false"]);
    std::thread::sleep(patience::stretched(Duration::from_secs(2)));
    output(cluster, &["get", "pod", "slow"]);
    cluster.signal_process("kwok", Signal::CONT).unwrap();
    eventually("a frozen program goes on", || !cluster.kubectl(["get", "pod", "slow"]).output().unwrap().status.success());
}
