//! The image as it is shipped, installed by its chart on a real node, and what becomes of users while it comes, moves and goes:
//! `cargo xtask prove night --part install`, which makes the image first.

use bluegreen_api::Phase;
use bluegreen_cluster::SYSTEM_NAMESPACE;
use bluegreen_e2e::{
    Ground, Space,
    helm::{CHART, Helm, uids},
    manifest::probed,
    merged,
    patience::{self, pause},
    shop,
    traffic::{Connections, Load},
};
use serde_json::json;
use std::{path::PathBuf, time::Duration};

/// Requests a second.
const RATE: u32 = 200;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster and the image: cargo xtask prove night --part install"]
async fn the_image_and_its_chart_operate_under_load() {
    let ground = Ground::get();
    let image = PathBuf::from(std::env::var_os("BLUEGREEN_IMAGE").unwrap());
    let (repository, tag) = ("image.repository=registry.example/bluegreen", format!("image.tag={}", env!("CARGO_PKG_VERSION")));
    let space = Space::new("installed").await;
    let helm = Helm::on(ground);
    let words = ["-n", SYSTEM_NAMESPACE, "--set", repository, "--set", &tag, "--wait", "--timeout=5m"];
    tokio::task::block_in_place(|| {
        ground.import(&image);
        // The definitions are there already, for other tests.
        helm.run(&[&["install", "bluegreen", CHART, "--create-namespace", "--take-ownership"], words.as_slice()].concat());
    });
    let readable = json!({"template": probed(), "scaleDown": {"drain": "3s", "after": "1s"}});
    let rollout = space.rollout(&merged(shop(), &readable)).await;
    rollout.until_healthy("1.0.0").await;
    let users = Load::on(&space, "shop", RATE, Connections::New).await;
    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;

    // The leader and the one that stands by go at once, in the middle of a rollout.
    rollout.version("3.0.0").await;
    rollout.until_phase(Phase::DeployingPreview).await;
    ground.run(&["delete", "pods", "-n", SYSTEM_NAMESPACE, "-l", "app.kubernetes.io/name=bluegreen", "--wait=false"]);
    rollout.until_healthy("3.0.0").await;

    let former = async || space.pods(&[("bluegreen.dev/color", "green")]).is_empty().then_some(());
    patience::until("the pods of the former side are gone", former).await;
    space.until_quiet().await;
    let children = || uids(ground, "bluegreenrollouts,deployments,services,pods", &space.name);
    let before = children();
    tokio::task::block_in_place(|| {
        helm.run(&[&["upgrade", "bluegreen", CHART, "--set=replicas=1,logs.level=debug"], words.as_slice()].concat());
        helm.run(&["rollback", "bluegreen", "1", "-n", SYSTEM_NAMESPACE, "--wait", "--timeout=5m"]);
        helm.run(&["uninstall", "bluegreen", "-n", SYSTEM_NAMESPACE, "--wait"]);
    });
    pause(Duration::from_secs(2)).await;
    assert_eq!(children(), before, "what serves goes on serving, on the same pods");
    let counted = users.end().await;
    println!(
        "covered: two promotions, both operators lost, upgrade, rollback, removal: {} requests, none of which failed",
        counted.summary.sent
    );
    counted.assert_none_failed();
    space.end().await;
}
