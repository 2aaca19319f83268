//! The armed switch: what comes between the decision and the pods is passed over in no case, also when both come at once.

use crate::failures::turn_pods;
use bluegreen_api::{Color, Phase};
use bluegreen_e2e::{
    Rollout, Seen, Space,
    manifest::named,
    merged,
    patience::{self, long_enough},
    shop,
};
use bluegreen_witness::Kind;
use serde_json::{Value, json};

/// A rollout whose switch is armed, and whose candidate's pods wait for [`Armed::pods_come`].
struct Armed<'s> {
    space: &'s Space,
    rollout: Rollout<'s>,
    version: String,
    revision: String,
    /// Where the record was when the candidate began.
    began: usize,
}

impl<'s> Armed<'s> {
    async fn begin(space: &'s Space, name: &str) -> Self {
        let rollout = space.rollout(&named(merged(shop(), &json!({"scaleDown": {"drain": "1s", "after": "1s"}})), name)).await;
        rollout.until_healthy("1.0.0").await;
        let (version, began) = (format!("2.0.0-{name}-unready"), rollout.mark());
        rollout.version(&version).await;
        let pods_start = |seen: &Seen| seen.status.armed && seen.is(Phase::DeployingPreview);
        let revision = rollout.until("the switch is armed", pods_start).await.candidate().revision.clone();
        let armed = Self { space, rollout, version, revision, began };
        let asked = armed.rollout.now().candidate().replicas;
        let what = "the pods of the candidate run";
        patience::until(what, async || (armed.pods().len() >= usize::try_from(asked).unwrap()).then_some(())).await;
        armed
    }

    fn pods(&self) -> Vec<Value> {
        let image = json!(format!("registry.example/shop:{}", self.version));
        let mut pods = self.space.pods(&[("bluegreen.dev/rollout", &self.rollout.name)]);
        pods.retain(|pod| pod["spec"]["containers"][0]["image"] == image && pod["status"]["phase"] == "Running");
        pods
    }

    async fn pods_come(&self) {
        turn_pods(self.space, &self.version, true).await;
    }

    /// Whether the active Service has ever led users to the candidate.
    fn was_switched(&self) -> bool {
        let led = |object: &Value| object["spec"]["selector"]["bluegreen.dev/revision"] == *self.revision;
        let events = self.space.record.since(self.began);
        events.iter().any(|event| event.kind == Kind::Service && event.name == self.rollout.name && led(&event.object))
    }

    #[track_caller]
    fn assert_not_switched(&self, what: &str) {
        assert!(!self.was_switched(), "{}: {what}, and users were sent to {}", self.rollout.name, self.version);
    }
}

async fn a_pause_holds_it(space: &Space) {
    let armed = Armed::begin(space, "paused").await;
    armed.rollout.spec(&json!({"paused": true})).await;
    armed.pods_come().await;
    let held = armed.rollout.until("is paused", |seen| seen.works() == "Paused").await;
    assert!(!held.status.armed, "{:?}", held.status);
    long_enough().await;
    armed.assert_not_switched("it is paused");
    armed.rollout.spec(&json!({"paused": false})).await;
    armed.rollout.until_healthy(&armed.version).await;
}

async fn an_order_ends_it(space: &Space) {
    let armed = Armed::begin(space, "ordered").await;
    armed.rollout.order("abort", &armed.revision).await;
    armed.pods_come().await;
    armed.rollout.until_phase(Phase::Aborted).await;
    armed.assert_not_switched("it was aborted");
}

async fn another_image_takes_its_place(space: &Space) {
    let armed = Armed::begin(space, "replaced").await;
    armed.rollout.version("3.0.0").await;
    armed.pods_come().await;
    armed.rollout.until_healthy("3.0.0").await;
    armed.assert_not_switched("spec asks for another image");
}

async fn a_revert_ends_it(space: &Space) {
    let armed = Armed::begin(space, "reverted").await;
    armed.rollout.version("1.0.0").await;
    armed.pods_come().await;
    armed.rollout.until_healthy("1.0.0").await;
    armed.assert_not_switched("spec asks for the former image");
}

async fn a_size_of_zero_holds_it(space: &Space) {
    let armed = Armed::begin(space, "empty").await;
    armed.rollout.spec(&json!({"replicas": 0})).await;
    armed.pods_come().await;
    armed.rollout.until("waits for replicas", |seen| seen.works() == "NoReplicas" && !seen.status.armed).await;
    long_enough().await;
    armed.assert_not_switched("no pods are asked for");
}

async fn a_gate_that_is_added_is_asked(space: &Space) {
    let armed = Armed::begin(space, "gated").await;
    armed.rollout.spec(&json!({"promotion": {"mode": "Manual"}})).await;
    armed.pods_come().await;
    armed.rollout.until("waits for approval", |seen| seen.works() == "AwaitingApproval").await;
    armed.assert_not_switched("nobody has approved it");
    armed.rollout.order("promote", &armed.revision).await;
    armed.rollout.until_healthy(&armed.version).await;
}

async fn a_pod_that_is_lost_is_waited_for(space: &Space) {
    let armed = Armed::begin(space, "short").await;
    let pods = armed.pods();
    let ready = json!({"metadata": {"annotations": {"test.bluegreen.dev/ready": "true"}}});
    for pod in &pods[1..] {
        space.patch(Kind::Pod, pod["metadata"]["name"].as_str().unwrap(), &ready).await;
    }
    long_enough().await;
    armed.assert_not_switched("one of its pods is missing");
    armed.pods_come().await;
    armed.rollout.until_healthy(&armed.version).await;
}

/// Its pods would be there in full, of a template that nobody asked for.
async fn an_edit_by_hand_is_put_right_before_it(space: &Space) {
    let armed = Armed::begin(space, "edited").await;
    let edit = json!({"spec": {"template": {"metadata": {"annotations": {"edited": "by hand"}}}}});
    space.tamper(Kind::Deployment, &armed.rollout.deployment_name(Color::Green), &edit).await;
    // The pods of the edit come and go, and those that take their place are no other than those that were recorded.
    let switched = async || {
        armed.pods_come().await;
        armed.was_switched().then_some(())
    };
    patience::until("it is switched", switched).await;
    armed.rollout.until_healthy(&armed.version).await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn nothing_that_comes_before_the_pods_is_passed_over() {
    let space = Space::new("armed").await;
    let _operator = space.operator();
    tokio::join!(
        a_pause_holds_it(&space),
        an_order_ends_it(&space),
        another_image_takes_its_place(&space),
        a_revert_ends_it(&space),
        a_size_of_zero_holds_it(&space),
        a_gate_that_is_added_is_asked(&space),
        a_pod_that_is_lost_is_waited_for(&space),
        an_edit_by_hand_is_put_right_before_it(&space),
    );
    space.end().await;
}
