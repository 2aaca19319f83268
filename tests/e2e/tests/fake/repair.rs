//! What nobody should do to the operator's objects, in every phase that lasts: it is put right on the watch event, no gate is
//! skipped for it, and nothing that serves is restarted. That no promise is broken meanwhile is the witness's to say.

use bluegreen_api::{Color, Phase, Side};
use bluegreen_e2e::{
    Answer, Prometheus, Rollout, Space,
    manifest::metric,
    merged,
    patience::{self, long_enough},
    shop,
};
use bluegreen_witness::Kind;
use serde_json::{Value, json};
use std::sync::Arc;

/// Everything that is done to a rollout whose active side is of this color.
async fn tampered(space: &Space, rollout: &Rollout<'_>, active: Color) {
    let phase = rollout.now().phase();
    let pods = rollout.pods(active);
    services_are_edited(space, rollout).await;
    deployments_are_relabelled(space, rollout).await;
    assert_eq!(rollout.pods(active), pods, "no pod of the live side was restarted");
    deployments_are_scaled(space, rollout).await;
    deployments_are_deleted(space, rollout, active).await;
    assert_eq!(rollout.now().active().color, active);
    assert_eq!(rollout.now().phase(), phase, "{}", rollout.now().status.message);
}

async fn services_are_edited(space: &Space, rollout: &Rollout<'_>) {
    for service in ["shop", "shop-preview"] {
        let good = space.seen(Kind::Service, service).unwrap();
        let selector = &good["spec"]["selector"];
        let other = if selector["bluegreen.dev/color"] == "blue" { "green" } else { "blue" };
        for edit in [
            json!({"spec": {"selector": null}}),
            json!({"spec": {"selector": {"bluegreen.dev/color": other}}}),
            json!({"spec": {"selector": {"bluegreen.dev/revision": null}}}),
            json!({"metadata": {"labels": {"bluegreen.dev/role": null}}}),
            json!({"metadata": {"labels": {"bluegreen.dev/rollout": null}}}),
        ] {
            let version = space.tamper(Kind::Service, service, &edit).await;
            let back = |now: &Value| now["spec"]["selector"] == *selector && now["metadata"]["labels"] == good["metadata"]["labels"];
            space.until_newer(version, Kind::Service, service, &format!("is repaired after {edit}"), back).await;
        }
    }
    let good = rollout.selector();
    let version = space.tamper_delete(Kind::Service, "shop").await;
    space.until_newer(version, Kind::Service, "shop", "is there again", |now| now["spec"]["selector"] == good).await;
}

fn deployments(space: &Space) -> Vec<Arc<Value>> {
    let all = space.record.all(Kind::Deployment).into_iter();
    all.filter(|deployment| deployment["spec"]["replicas"] != 0).collect()
}

async fn deployments_are_relabelled(space: &Space, _: &Rollout<'_>) {
    for good in deployments(space) {
        let name = good["metadata"]["name"].as_str().unwrap();
        for label in ["bluegreen.dev/revision", "bluegreen.dev/color", "app.kubernetes.io/managed-by", "bluegreen.dev/rollout"] {
            for value in [json!("pink"), Value::Null] {
                let version = space.tamper(Kind::Deployment, name, &json!({"metadata": {"labels": {label: value}}})).await;
                let back = |now: &Value| now["metadata"]["labels"] == good["metadata"]["labels"];
                space.until_newer(version, Kind::Deployment, name, &format!("has its label {label} again after {value}"), back).await;
            }
        }
    }
}

async fn deployments_are_scaled(space: &Space, rollout: &Rollout<'_>) {
    let now = rollout.now();
    for good in deployments(space) {
        let name = good["metadata"]["name"].as_str().unwrap();
        // A version that is watched and has no pod for a moment is rolled back, and rightly.
        let watched = now.is(Phase::Monitoring) && good["metadata"]["labels"]["bluegreen.dev/color"] == json!(now.active().color);
        for replicas in if watched { &[4, 1][..] } else { &[4, 1, 0] } {
            let version = space.tamper(Kind::Deployment, name, &json!({"spec": {"replicas": replicas}})).await;
            let back = |now: &Value| now["spec"]["replicas"] == good["spec"]["replicas"];
            space.until_newer(version, Kind::Deployment, name, &format!("has its size again after {replicas}"), back).await;
        }
    }
    all_available(space).await;
}

/// One after the other, each when all are up again: with no pod left anywhere there would be nothing to protect.
async fn deployments_are_deleted(space: &Space, _: &Rollout<'_>, active: Color) {
    let mut good = deployments(space);
    good.retain(|deployment| deployment["metadata"]["labels"]["bluegreen.dev/color"] != json!(active) || deployments(space).len() == 1);
    for good in good {
        let name = good["metadata"]["name"].as_str().unwrap();
        let version = space.tamper_delete(Kind::Deployment, name).await;
        let back = |now: &Value| {
            let same = |path: &str| now.pointer(path) == good.pointer(path);
            now["metadata"]["uid"] != good["metadata"]["uid"]
                && same("/spec/replicas")
                && same("/spec/template/metadata/labels")
                && same("/spec/template/spec/containers")
        };
        space.until_newer(version, Kind::Deployment, name, "is there again as it was", back).await;
    }
    all_available(space).await;
}

/// Waits until every Deployment has all its pods, ready where they can get ready, and those of a deleted one are gone.
async fn all_available(space: &Space) {
    for deployment in deployments(space) {
        let hopeless = deployment["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().ends_with("-unready");
        let counted = if hopeless { "unavailableReplicas" } else { "availableReplicas" };
        let name = deployment["metadata"]["name"].as_str().unwrap();
        let full = |now: &Value| {
            let status = |field: &str| now["status"][field].as_i64().unwrap_or(0);
            let size = &now["spec"]["replicas"];
            status("observedGeneration") == now["metadata"]["generation"] && status(counted) == *size && status("replicas") == *size
        };
        let size = space.until(Kind::Deployment, name, "has all its pods", full).await["spec"]["replicas"].clone();
        let color = deployment["spec"]["template"]["metadata"]["labels"]["bluegreen.dev/color"].as_str().unwrap();
        let all = async || (json!(space.pods(&[("bluegreen.dev/color", color)]).len()) == size).then_some(());
        patience::until(&format!("{name} has {size} pods"), all).await;
    }
}

/// Loses the status and waits until it is rebuilt: the same side is active, and no pod of it was restarted.
async fn status_lost(rollout: &Rollout<'_>, active: Color) {
    let (before, pods, mark) = (rollout.now(), rollout.pods(active), rollout.mark());
    rollout.lose_status().await;
    let rebuilt = rollout.until_after(mark, "has a status again", |seen| seen.status.active.is_some() && seen.status.phase.is_some()).await;
    assert_eq!((&rebuilt.active().revision, rebuilt.active().color), (&before.active().revision, active));
    assert_eq!(rollout.pods(active), pods, "no pod of the live side was restarted");
}

fn slow_deadline(spec: &Value) -> Value {
    merged(merged(shop(), &json!({"progressDeadline": "1h"})), spec)
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn in_healthy() {
    let space = Space::new("in-healthy").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    tampered(&space, &rollout, Color::Blue).await;
    status_lost(&rollout, Color::Blue).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn in_initializing() {
    let space = Space::new("in-initializing").await;
    let _operator = space.operator();
    let rollout = space.rollout(&slow_deadline(&json!({"image": "registry.example/shop:1.0.0-unready"}))).await;
    rollout.until_phase(Phase::Initializing).await;
    space.until(Kind::Service, "shop-preview", "is there", |service| !service.is_null()).await;
    space.until(Kind::Deployment, "shop-blue", "has its pods", |blue| blue["status"]["unavailableReplicas"] == 2).await;
    space.record.catch_up().await;
    tampered(&space, &rollout, Color::Blue).await;
    status_lost(&rollout, Color::Blue).await;
    rollout.version("1.0.0").await;
    rollout.until_healthy("1.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn in_deploying_preview() {
    let space = Space::new("in-deploying").await;
    let _operator = space.operator();
    let rollout = space.rollout(&slow_deadline(&json!({}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0-unready").await;
    rollout.until_phase(Phase::DeployingPreview).await;
    space.until(Kind::Deployment, "shop-green", "is there", |deployment| !deployment.is_null()).await;
    tampered(&space, &rollout, Color::Blue).await;
    status_lost(&rollout, Color::Blue).await;
    rollout.until_phase(Phase::DeployingPreview).await;
    rollout.version("3.0.0").await;
    rollout.until_healthy("3.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn in_verifying() {
    let space = Space::new("in-verifying").await;
    let _operator = space.operator();
    let prometheus = Prometheus::start(Answer::Value(0.0)).await;
    let mut endless = metric("errors", &prometheus.address, "errors");
    endless["count"] = json!(10_000);
    let rollout = space.rollout(&merged(shop(), &json!({"verification": {"metrics": [endless]}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until_phase(Phase::Verifying).await;
    preview_is_shown(&space, &rollout).await;
    tampered(&space, &rollout, Color::Blue).await;
    status_lost(&rollout, Color::Blue).await;
    let again = rollout.until_phase(Phase::Verifying).await;
    assert_eq!(again.serves(), "1.0.0");
    rollout.spec(&json!({"verification": {"metrics": [metric("errors", &prometheus.address, "errors")]}})).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

/// Waits until the preview Service leads to the candidate.
async fn preview_is_shown(space: &Space, rollout: &Rollout<'_>) {
    preview_shows(space, "shows the candidate", rollout.now().candidate()).await;
}

/// Waits until the preview Service leads to a side.
async fn preview_shows(space: &Space, what: &str, side: &Side) {
    let shown = |service: &Value| service["spec"]["selector"]["bluegreen.dev/revision"] == *side.revision;
    space.until(Kind::Service, "shop-preview", what, shown).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn in_awaiting_promotion() {
    let space = Space::new("in-awaiting").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"promotion": {"mode": "Manual"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    preview_is_shown(&space, &rollout).await;
    tampered(&space, &rollout, Color::Blue).await;
    status_lost(&rollout, Color::Blue).await;
    let waits = rollout.until("waits for approval again", |seen| seen.works() == "AwaitingApproval").await;
    long_enough().await;
    assert_eq!(rollout.now().serves(), "1.0.0");
    rollout.order("promote", &waits.candidate().revision).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn in_scaling_up() {
    let space = Space::new("in-scaling-up").await;
    let _operator = space.operator();
    let rollout = space.rollout(&slow_deadline(&json!({"replicas": 3, "preview": {"replicas": 1}}))).await;
    rollout.until_healthy("1.0.0").await;
    // It lasts until there is room for more.
    let four = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "four"}, "spec": {"hard": {"pods": "4"}}});
    let applied = space.ground.told_of(&["apply", "-f", "-", "--namespace", &space.name], &four);
    assert!(applied.success, "{}", applied.error);
    rollout.version("2.0.0").await;
    rollout.until_phase(Phase::ScalingUp).await;
    let pods = rollout.pods(Color::Blue);
    services_are_edited(&space, &rollout).await;
    deployments_are_relabelled(&space, &rollout).await;
    assert_eq!(rollout.pods(Color::Blue), pods);
    status_lost(&rollout, Color::Blue).await;
    space.ground.run(&["delete", "resourcequota", "four", "--namespace", &space.name]);
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn in_monitoring() {
    let space = Space::new("in-monitoring").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"monitoring": {"duration": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let monitoring = rollout.until_phase(Phase::Monitoring).await;
    preview_shows(&space, "shows the active side", monitoring.active()).await;
    tampered(&space, &rollout, Color::Green).await;
    let standby = rollout.pods(Color::Blue);
    status_lost(&rollout, Color::Green).await;
    let rebuilt = rollout.until_phase(Phase::Monitoring).await;
    assert_eq!(rollout.pods(Color::Blue), standby, "no pod of the standby was restarted");
    rollout.order("rollback", &rebuilt.active().revision).await;
    let back = rollout.until_phase(Phase::RolledBack).await;
    assert_eq!(back.serves(), "1.0.0");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn in_scaling_down() {
    let space = Space::new("in-scaling-down").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"scaleDown": {"after": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let scaling_down = rollout.until_phase(Phase::ScalingDown).await;
    preview_shows(&space, "shows the active side", scaling_down.active()).await;
    tampered(&space, &rollout, Color::Green).await;
    status_lost(&rollout, Color::Green).await;
    rollout.spec(&json!({"scaleDown": {"after": "0s"}})).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn in_aborting() {
    let space = Space::new("in-aborting").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"promotion": {"mode": "Manual"}, "scaleDown": {"afterAbort": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let waits = rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    rollout.order("abort", &waits.candidate().revision).await;
    let aborting = rollout.until_phase(Phase::Aborting).await;
    preview_shows(&space, "shows the active side", aborting.active()).await;
    let pods = rollout.pods(Color::Blue);
    services_are_edited(&space, &rollout).await;
    assert_eq!(rollout.pods(Color::Blue), pods);
    rollout.spec(&json!({"scaleDown": {"afterAbort": "0s"}})).await;
    rollout.until_phase(Phase::Aborted).await;
    tampered(&space, &rollout, Color::Blue).await;
    // What was rejected is lost with the status: it is a candidate again, and its gates are asked again.
    status_lost(&rollout, Color::Blue).await;
    rollout.until("waits for approval again", |seen| seen.works() == "AwaitingApproval").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_side_that_lost_its_label_unseen_goes_nevertheless() {
    let space = Space::new("leaves").await;
    let mut operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"promotion": {"mode": "Manual"}, "scaleDown": {"afterAbort": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let waits = rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    rollout.order("abort", &waits.candidate().revision).await;
    rollout.until_phase(Phase::Aborting).await;
    operator.kill();
    space.tamper(Kind::Deployment, "shop-green", &json!({"metadata": {"labels": {"bluegreen.dev/rollout": null}}})).await;
    rollout.spec(&json!({"scaleDown": {"afterAbort": "0s"}})).await;
    let _operator = space.operator();
    rollout.until_phase(Phase::Aborted).await;
    rollout.until_size(Color::Green, 0).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn in_rolling_back() {
    let space = Space::new("in-rolling-back").await;
    let _operator = space.operator();
    let rollout = space.rollout(&merged(shop(), &json!({"monitoring": {"duration": "1h"}, "scaleDown": {"drain": "1h"}}))).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    let monitoring = rollout.until_phase(Phase::Monitoring).await;
    rollout.order("rollback", &monitoring.active().revision).await;
    let back = rollout.until("has switched back", |seen| seen.is(Phase::RollingBack) && seen.serves() == "1.0.0").await;
    preview_shows(&space, "shows the active side", back.active()).await;
    let pods = rollout.pods(Color::Blue);
    services_are_edited(&space, &rollout).await;
    assert_eq!(rollout.pods(Color::Blue), pods);
    rollout.spec(&json!({"scaleDown": {"drain": "0s"}})).await;
    rollout.until_phase(Phase::RolledBack).await;
    tampered(&space, &rollout, Color::Blue).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_edited_template_is_put_right_and_annotations_stay() {
    let space = Space::new("template-edited").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    rollout.until_healthy("1.0.0").await;
    let edit = json!({"spec": {"template": {"spec": {"containers": [{"name": "shop", "image": "evil:1"}]}}}});
    let version = space.tamper(Kind::Deployment, "shop-blue", &edit).await;
    let image = |blue: &Value| blue["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/shop:1.0.0";
    space.until_newer(version, Kind::Deployment, "shop-blue", "has its image again", image).await;
    // What `kubectl rollout restart` writes is nobody's but the user's.
    let restart =
        json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}}}});
    space.tamper(Kind::Deployment, "shop-blue", &restart).await;
    long_enough().await;
    let blue = rollout.deployment(Color::Blue);
    assert_eq!(blue["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"], "2026-01-01T00:00:00Z");
    rollout.until_healthy("1.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_lost_controller_revision_is_written_again_from_what_runs() {
    let space = Space::new("revision-lost").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    let healthy = rollout.until_healthy("1.0.0").await;
    let name = format!("shop-{}", healthy.active().revision);
    let good = space.until(Kind::Revision, &name, "is there", |revision| !revision.is_null()).await;
    space.delete(Kind::Revision, &name).await;
    let again = |now: &Value| !now.is_null() && now["metadata"]["uid"] != good["metadata"]["uid"];
    space.until(Kind::Revision, &name, "is there again", again).await;
    let version = space.tamper_delete(Kind::Deployment, "shop-blue").await;
    let back = |blue: &Value| blue["spec"]["template"]["spec"]["containers"][0]["image"] == "registry.example/shop:1.0.0";
    space.until_newer(version, Kind::Deployment, "shop-blue", "is there again", back).await;
    rollout.until_healthy("1.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn an_object_that_does_not_parse_stops_no_other() {
    let space = Space::new("unreadable").await;
    let _operator = space.operator();
    let rollout = space.rollout(&shop()).await;
    let other = space.rollout(&bluegreen_e2e::manifest::named(shop(), "other")).await;
    rollout.until_healthy("1.0.0").await;
    other.until_healthy("1.0.0").await;
    let params = kube::api::PatchParams::default();
    let dancing = kube::api::Patch::Merge(json!({"status": {"phase": "Dancing"}}));
    space.api(Kind::Rollout).patch_status("other", &params, &dancing).await.unwrap();
    rollout.version("2.0.0").await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}
