//! The operator of an earlier commit is replaced by this one while a version is monitored.

use crate::{manifest, moment, pods, tally::assert_none_failed, until_monitored, until_rolled_back};
use bluegreen_api::{Color, Phase};
use bluegreen_e2e::{
    Ground, Space,
    patience::{self, long_enough},
    traffic::operator,
};
use bluegreen_witness::Kind;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Where the night built the earlier operator, and the `config` that belongs to it.
fn earlier(variable: &str) -> PathBuf {
    std::env::var_os(variable).unwrap_or_else(|| panic!("{variable} is not set: cargo xtask prove night --part scenes sets it")).into()
}

fn install(ground: &Ground, namespace: &str, config: &Path) {
    let path = |path: &str| config.join(path).display().to_string();
    ground.run(&["apply", "-k", &path("crd")]);
    ground.run(&["apply", "-f", &path("rbac/aggregated.yaml")]);
    ground.run(&["apply", "--namespace", namespace, "-f", &path("rbac/namespaced/operator.yaml")]);
}

/// The definitions and permissions of an earlier commit: those of this one come back, whatever happens.
struct Earlier<'s> {
    space: &'s Space,
}

impl<'s> Earlier<'s> {
    async fn install(space: &'s Space) -> Self {
        let installed = Self { space };
        install(space.ground, &space.name, &earlier("BLUEGREEN_EARLIER_CONFIG"));
        until_defined(space, false).await;
        installed
    }

    async fn upgrade(self) {
        let space = self.space;
        drop(self);
        until_defined(space, true).await;
    }
}

impl Drop for Earlier<'_> {
    fn drop(&mut self) {
        install(self.space.ground, &self.space.name, Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../config")));
    }
}

/// Waits until the API server knows a field that the earlier definition doesn't have, or doesn't know it any more: it takes a
/// definition up in its own time.
async fn until_defined(space: &Space, known: bool) {
    let is = async || (space.kubectl_told(&["explain", "bgr.status.standby.readyWhenLeft"]).await.success == known).then_some(());
    patience::until("the API server serves the definition that was applied", is).await;
}

/// What users and their neighbours have of a Service.
fn kept(service: &Value) -> Value {
    json!({"labels": service["metadata"]["labels"], "annotations": service["metadata"]["annotations"], "spec": service["spec"]})
}

/// Whether all that `before` has is in `after`, below too. What is new is nothing that was removed.
fn has(after: &Value, before: &Value) -> bool {
    match (after, before) {
        (Value::Object(after), Value::Object(before)) => {
            before.iter().all(|(key, value)| after.get(key).is_some_and(|after| has(after, value)))
        }
        _ => after == before,
    }
}

#[tokio::test]
#[ignore = "needs a cluster with a real node: cargo xtask prove night --part scenes"]
async fn an_upgrade_in_monitoring_removes_nothing() {
    let space = Space::new("upgrade").await;
    let earlier_version = Earlier::install(&space).await;
    let mut old = space.operator_from(&earlier("BLUEGREEN_EARLIER_OPERATOR"), "old");
    let active = json!({"type": "NodePort", "labels": {"tier": "front"}, "annotations": {"example.com/zone": "a"}});
    let preview = json!({"labels": {"tier": "test"}});
    let spec = json!({"replicas": 3, "service": {"active": active, "preview": preview}});
    let (rollout, watched, users) = until_monitored(&space, &manifest(&spec)).await;
    let of_others = json!({"metadata": {"labels": {"of-others": "x"}, "annotations": {"of-others": "x"}}, "spec": {"trafficDistribution": "PreferClose"}});
    let services = ["shop", "shop-preview"];
    for service in services {
        space.patch(Kind::Service, service, &of_others).await;
        space.until(Kind::Service, service, "has what others add", |seen| seen["metadata"]["labels"]["of-others"] == "x").await;
    }
    space.until_quiet().await;
    let before = services.map(|service| kept(&space.seen(Kind::Service, service).unwrap()));
    assert_eq!(
        (&before[0]["spec"]["type"], &before[0]["labels"]["tier"], &before[1]["labels"]["tier"]),
        (&json!("NodePort"), &json!("front"), &json!("test"))
    );
    let [blue, green] = [Color::Blue, Color::Green].map(|color| pods(&space, color));
    assert_eq!((blue.len(), green.len()), (3, 3));

    let mark = rollout.mark();
    earlier_version.upgrade().await;
    moment().await;
    tokio::task::spawn_blocking(move || old.terminate()).await.unwrap();
    let mut requests = space.requests();
    let _new = operator(&space);
    long_enough().await;
    space.until_quiet().await;
    let asked = requests();
    let writes: Vec<_> = asked.iter().filter(|request| !["get", "list"].contains(&request.verb.as_str())).collect();
    println!(
        "the operator that took over wrote {} times: {:?}",
        writes.len(),
        writes.iter().map(|write| (&write.verb, &write.resource)).collect::<Vec<_>>()
    );
    assert!(!asked.is_empty(), "the operator that took over never looked");
    for event in space.record.since(mark).iter().filter(|event| event.kind == Kind::Service) {
        let index = services.iter().position(|service| *service == event.name).unwrap();
        let now = kept(&event.object);
        assert!(
            !event.deleted && has(&now, &before[index]),
            "of {} something was removed: {now:#}, before: {:#}",
            event.name,
            before[index]
        );
    }
    let now = rollout.now();
    assert_eq!((now.phase(), now.serves(), now.status.attempt), (Some(Phase::Monitoring), "2.0.0", watched.status.attempt));
    assert_eq!([Color::Blue, Color::Green].map(|color| pods(&space, color)), [blue.clone(), green], "no pod was replaced or restarted");

    // And the way back that the former operator left works.
    rollout.order("rollback", &watched.active().revision).await;
    until_rolled_back(&space, &rollout, &users, &blue).await;
    assert_none_failed("an upgrade from 3ce269e in Monitoring", &users.end().await);
    space.end().await;
}
