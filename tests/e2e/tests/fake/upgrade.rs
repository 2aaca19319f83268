//! An operator of another version, that renders pods differently, starts no rollout and restarts no pod.

use bluegreen_api::{Color, Phase};
use bluegreen_cluster::paths;
use bluegreen_e2e::{Space, merged, patience::long_enough, shop};
use bluegreen_witness::Kind;
use serde_json::{Value, json};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The label that the other version adds to pods.
const ADDED: &str = "bluegreen.dev/rendered-by";

/// The operator that renders pods as another version might. It is built where the real one is, since little differs, and copied
/// from there before the real one takes its place again.
fn another() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let target = paths::cluster_root().parent().unwrap().to_path_buf();
        let copy = paths::cluster_root().join("bin/operator-with-another-rendering");
        build(&["--features", "bluegreen-engine/another-rendering"]);
        fs::copy(target.join("debug/bluegreen-operator"), &copy).unwrap();
        build(&[]);
        copy
    })
}

/// With the features and the environment that everything is built with for these tests: with others, all dependencies would be built
/// again. The whole workspace and a test, however small, make the features the same.
fn build(more: &[&str]) {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Meant for this test and its harness: build scripts ask for them, and would take this build for another one.
    let ours = |name: &str| name == "RUSTC_BOOTSTRAP" || name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
        cargo.env_remove(name);
    }
    cargo.args(["build", "--quiet", "--workspace", "--bin=bluegreen-operator", "--test=counting"]).args(more);
    assert!(cargo.status().unwrap().success(), "the operator can't be built {more:?}");
}

fn template(space: &Space, name: &str) -> Value {
    space.seen(Kind::Deployment, name).unwrap()["spec"]["template"].clone()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_upgrade_renders_only_the_next_version_anew() {
    let another = tokio::task::spawn_blocking(another).await.unwrap();
    let space = Space::new("upgrade").await;
    let mut old = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    let (pods, before) = (rollout.pods(Color::Blue), template(&space, "shop-blue"));
    tokio::task::block_in_place(|| old.terminate());
    let mut requests = space.requests();
    let _new = space.operator_from(another, "two");
    long_enough().await;
    long_enough().await;
    let writes: Vec<_> = requests().into_iter().filter(|request| !["get", "list"].contains(&request.verb.as_str())).collect();
    assert_eq!(writes, [], "nothing is written for another version of the operator");

    // Repairs give back what was there, not what would be rendered today.
    let version = space.tamper(Kind::Deployment, "shop-blue", &json!({"metadata": {"labels": {"bluegreen.dev/color": "pink"}}})).await;
    let repaired = |blue: &Value| blue["metadata"]["labels"]["bluegreen.dev/color"] == "blue";
    space.until_newer(version, Kind::Deployment, "shop-blue", "is repaired", repaired).await;
    assert_eq!((template(&space, "shop-blue"), rollout.pods(Color::Blue), rollout.now().status.attempt), (before.clone(), pods, 1));
    let version = space.tamper_delete(Kind::Deployment, "shop-blue").await;
    let again = space
        .until_newer(version, Kind::Deployment, "shop-blue", "is there again", |blue| {
            !blue.is_null() && blue["metadata"]["annotations"]["test.bluegreen.dev/deleted"].is_null()
        })
        .await;
    assert_eq!(again["spec"]["template"], before);

    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    assert_eq!(template(&space, "shop-green")["metadata"]["labels"][ADDED], "another-version", "the other version is at work");
    space.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_upgrade_midway_keeps_the_pods() {
    let another = tokio::task::spawn_blocking(another).await.unwrap();
    let space = Space::new("upgrade-midway").await;
    let mut old = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"promotion": {"mode": "Manual"}, "monitoring": {"duration": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let waits = rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    let (blue, green) = (rollout.pods(Color::Blue), rollout.pods(Color::Green));
    tokio::task::block_in_place(|| old.terminate());
    let _new = space.operator_from(another, "two");
    long_enough().await;
    rollout.order("promote", &waits.candidate().revision).await;
    rollout.until_phase(Phase::Monitoring).await;
    assert_eq!((rollout.pods(Color::Blue), rollout.pods(Color::Green)), (blue.clone(), green));
    rollout.order("rollback", &waits.candidate().revision).await;
    let back = rollout.until_phase(Phase::RolledBack).await;
    assert_eq!((back.serves(), rollout.pods(Color::Blue)), ("1.0.0", blue));
    space.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_revision_lost_after_an_upgrade_is_not_rendered_anew() {
    let another = tokio::task::spawn_blocking(another).await.unwrap();
    let space = Space::new("upgrade-lost").await;
    let mut old = space.operator();
    let rollout = space.rollout(&shop()).await;
    let healthy = rollout.until_healthy("1.0.0").await;
    let (pods, before) = (rollout.pods(Color::Blue), template(&space, "shop-blue"));
    tokio::task::block_in_place(|| old.terminate());
    let _new = space.operator_from(another, "two");
    let name = format!("shop-{}", healthy.active().revision);
    let good = space.seen(Kind::Revision, &name).unwrap();
    space.delete(Kind::Revision, &name).await;
    let again = |now: &Value| !now.is_null() && now["metadata"]["uid"] != good["metadata"]["uid"];
    space.until(Kind::Revision, &name, "is there again", again).await;
    let version = space.tamper(Kind::Deployment, "shop-blue", &json!({"metadata": {"labels": {"bluegreen.dev/color": "pink"}}})).await;
    let repaired = |blue: &Value| blue["metadata"]["labels"]["bluegreen.dev/color"] == "blue";
    space.until_newer(version, Kind::Deployment, "shop-blue", "is repaired", repaired).await;
    long_enough().await;
    assert_eq!((template(&space, "shop-blue"), rollout.pods(Color::Blue)), (before, pods));
    assert_eq!(rollout.now().status.attempt, 1);
    space.end().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_status_lost_during_the_upgrade_starts_no_rollout() {
    let another = tokio::task::spawn_blocking(another).await.unwrap();
    let space = Space::new("upgrade-status").await;
    let mut old = space.operator();
    let rollout = space.rollout(&shop()).await;
    let healthy = rollout.until_healthy("1.0.0").await;
    let pods = rollout.pods(Color::Blue);
    tokio::task::block_in_place(|| old.terminate());
    rollout.lose_status().await;
    let mark = rollout.mark();
    let _new = space.operator_from(another, "two");
    let rebuilt = rollout.until_after(mark, "is healthy again", |seen| seen.is(Phase::Healthy)).await;
    long_enough().await;
    assert_eq!(rebuilt.active().revision, healthy.active().revision);
    assert_eq!((rollout.now().phase(), rollout.pods(Color::Blue)), (Some(Phase::Healthy), pods));
    assert!(rollout.deployment(Color::Green).is_null());
    space.end().await;
}
