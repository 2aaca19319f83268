//! A candidate is brought to full size.

use crate::world::Ask;
use crate::{
    decided::phase,
    edits::{Edit, deployment},
    world::World,
};
use bluegreen_api::{Color, Gate, GateState, Phase};
use bluegreen_engine::{Observed, decision::Object};
use serde_json::json;

// Found by attack.
#[test]
fn a_refused_scale_up_is_shown() {
    let mut world = World::live(json!({"promotion": {"mode": "Manual"}, "preview": {"replicas": 1}}));
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.refuse = Some((Object::Deployment(Color::Green), 403, "denied by a webhook".into()));
    world.order("promote");
    world.run_for(60);
    assert!(world.status.message.contains("denied"), "{} {}", world.phase(), world.status.message);
}

/// While it is on its way to full size.
#[test]
fn a_candidate_goes_back_to_wait_when_any_gate_shuts() {
    let spec = json!({
        "verification": {"checks": [{"name": "home", "http": {}}]}, "promotion": {"mode": "Manual"}, "preview": {"replicas": 1}
    });
    let mut world = World::in_phase(spec, "shop:2", Phase::AwaitingPromotion);
    world.order("promote");
    // Its other pods take their time.
    world.deployments.get_mut(&Color::Green).unwrap().image = "shop:2-slow".into();
    world.run_until(Phase::ScalingUp);
    world.run_for(5);
    let seen = world.seen();
    fn verified(seen: &mut Observed) -> &mut Gate {
        seen.status.gates.iter_mut().find(|gate| gate.name == "verification/home").unwrap()
    }
    let stays = |edit: Edit| phase(&seen, edit) == Phase::ScalingUp;
    assert!(stays(|_| {}));
    assert!(!stays(|seen| seen.ask(|spec| spec.paused = true)));
    assert!(!stays(|seen| seen.status.paused_by_order = true));
    assert!(!stays(|seen| seen.ask(|spec| spec.replicas = 0)));
    assert!(!stays(|seen| verified(seen).definition = "old".into()), "it runs anew");
    assert!(!stays(|seen| verified(seen).state = GateState::Running));
    assert!(!stays(|seen| verified(seen).state = GateState::Failed));
    assert!(!stays(|seen| verified(seen).state = GateState::Inconclusive), "nobody decided that one");
    assert!(!stays(|seen| seen.status.gates.retain(|gate| gate.name != "approval")), "nobody approved");
    assert!(!stays(|seen| seen.status.gates.iter_mut().for_each(|gate| gate.state = GateState::Running)), "nobody approved yet");
    fn automatic(seen: &mut Observed) {
        seen.status.gates.retain(|gate| gate.name != "approval");
        seen.ask(|spec| spec.promotion = None);
    }
    assert!(stays(automatic), "nobody has to");
    fn full(seen: &mut Observed) {
        let target = seen.status.preview.as_ref().unwrap().replicas;
        let deployment = deployment(&mut seen.green);
        (deployment.available, deployment.ready, deployment.updated, deployment.total) = (target, target, target, target);
        seen.green.pods.iter_mut().for_each(|pod| pod.ready = true);
    }
    assert_eq!(phase(&seen, full), Phase::Promoting);
    fn nobody_seen(seen: &mut Observed) {
        full(seen);
        seen.green.pods.iter_mut().for_each(|pod| pod.ready = false);
    }
    assert!(stays(nobody_seen), "no ready pod of it is seen");
    // The counts that a Deployment reports for a new size may be from before it.
    fn one_seen(seen: &mut Observed) {
        full(seen);
        seen.green.pods.iter_mut().skip(1).for_each(|pod| pod.ready = false);
    }
    assert!(stays(one_seen), "the Deployment reports them all, and one is seen");
}
