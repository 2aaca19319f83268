//! Objects that are made to be read by nobody, beside rollouts of others.

use bluegreen_e2e::{LEASE, OwnGround, Space, manifest::named, merged, patience, shop};
use serde_json::{Value, json};
use std::time::Instant;

fn nested(levels: usize) -> Value {
    (0..levels).fold(json!(1), |inner, _| json!({"a": inner}))
}

/// What a tenant may write into objects of a namespace of theirs. Nobody records what happens there: the witness couldn't read it either.
fn bad_objects(own: &OwnGround) {
    let ground = own.ground;
    ground.run(&["create", "namespace", "bad"]);
    let create = |manifest: &Value| {
        let told = ground.told_of(&["create", "--namespace", "bad", "-f", "-"], manifest);
        assert!(told.success, "{}", told.error);
    };
    create(&shop());
    create(&named(merged(shop(), &json!({"template": {"spec": {"x": nested(150)}}})), "deep"));
    let labels = json!({"bluegreen.dev/rollout": "shop"});
    let metadata = |name: &str| json!({"name": name, "namespace": "bad", "labels": labels});
    let ports = json!([{"port": 80}]);
    create(&json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata("late"), "spec": {"ports": ports}}));
    let year = json!([{"op": "replace", "path": "/metadata/managedFields/0/time", "value": "9999-12-31T23:59:59Z"}]).to_string();
    ground.run(&["patch", "service", "late", "--namespace", "bad", "--type=json", "-p", &year]);
    // Kept and passed on as it is.
    create(&json!({
        "apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata("odd"), "revision": 7, "data": {"deep": nested(150)},
    }));
}

async fn says(space: &Space, name: &str, field: &str, words: &str) {
    let path = format!("-o=jsonpath={{{field}}}");
    let says = async || space.ground.told(&["get", "bgr", name, "--namespace", "bad", &path]).output.contains(words).then_some(());
    patience::until(&format!("{name} says {words:?}"), says).await;
}

/// Promise 14, with the objects of which each once stopped all rollouts of the cluster.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn objects_that_nobody_can_read_stop_no_other_rollout() {
    let own = OwnGround::up("e2e-unreadable");
    let space = Space::on(own.ground, "others").await;
    let kubeconfig = tokio::task::block_in_place(|| own.install_operator());
    let mut operator = space.operator_for_all(&kubeconfig, LEASE);
    let mut rollouts = Vec::new();
    for number in 0..12 {
        rollouts.push(space.rollout(&named(shop(), &format!("shop-{number}"))).await);
    }
    let promoted = async |version: &str| {
        let began = Instant::now();
        for rollout in &rollouts {
            rollout.version(version).await;
        }
        for rollout in &rollouts {
            rollout.until_healthy(version).await;
        }
        began.elapsed()
    };
    for rollout in &rollouts {
        rollout.until_healthy("1.0.0").await;
    }
    let without = promoted("2.0.0").await;
    let memory = operator.resident_memory();
    tokio::task::block_in_place(|| bad_objects(&own));
    says(&space, "deep", ".status.message", "spec.template is nested deeper than 40 levels").await;
    let beside = promoted("3.0.0").await;
    let memory_beside = operator.resident_memory();
    // The next one has to read them before it leads.
    tokio::task::block_in_place(|| operator.kill());
    let operator = space.operator_for_all(&kubeconfig, LEASE);
    let after = promoted("4.0.0").await;
    says(&space, "shop", ".status.phase", "Healthy").await;
    println!(
        "covered: 12 promotions took {without:.1?} without, {beside:.1?} beside objects that can't be read, {after:.1?} after a restart; \
         memory {memory:?} KiB without, {memory_beside:?} KiB beside them, {:?} KiB after a restart",
        operator.resident_memory()
    );
    let log = operator.log();
    // A watch may fail for another cause than an object that can't be read.
    assert!(!log.contains("Error deserializing response") && !log.contains("\"items\""), "{log}");
    space.end().await;
}
