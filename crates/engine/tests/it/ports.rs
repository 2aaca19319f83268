//! A revision's named ports, and whether its pods have them.

use crate::{decided::phase, edits::green, scene::reason, world::World};
use bluegreen_api::{Color, Phase, Protocol};
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Object, Role},
    events::warnings,
    observed::{facts, ports, ports::NamedPort},
};
use serde_json::json;

/// Its containers name their port otherwise than `targetPort` does, and it is ready.
#[test]
fn a_candidate_without_the_named_port_is_never_switched_to() {
    let mut world = World::live(json!({}));
    world.image("shop:2-renamed");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Aborted, Some("shop:1")), "{}", world.story());
    let rejected = world.status.rejected.clone().unwrap();
    assert_eq!(rejected.reason, "Hopeless");
    let said = "pod shop-green-4 has no container port named http, which spec.service.ports names as targetPort";
    assert_eq!(rejected.message, said);
    assert!(world.status.message.contains(said), "{}", world.status.message);
}

/// By number, or by default the number of the port itself.
#[test]
fn a_target_port_that_is_a_number_is_taken_as_it_is() {
    for target in [json!(8080), json!(9999), json!(null)] {
        let mut world = World::live(json!({"service": {"ports": [{"name": "http", "port": 80, "targetPort": target}]}}));
        world.image("shop:2-renamed");
        world.settle();
        assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2-renamed")), "{target}");
    }
}

/// A first revision has nothing to go back to: it says so, and the next `spec` is taken.
#[test]
fn a_first_revision_without_the_named_port_is_stalled() {
    let mut world = World::new(json!({"image": "shop:1-renamed"}));
    world.run_for(30);
    assert_eq!((world.phase(), reason(&world).as_str()), (Phase::Initializing, "Hopeless"), "{}", world.story());
    assert!(world.status.message.contains("has no container port named http"), "{}", world.status.message);
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")));
}

#[test]
fn a_number_that_no_container_declares_is_warned_of_once() {
    let mut world = World::live(json!({"service": {"ports": [{"name": "http", "port": 80, "targetPort": 9999}]}}));
    let before = world.seen();
    assert_eq!(warnings(&before, &before.status), []);
    world.image("shop:2");
    let seen = world.seen();
    let Decision::Record(begun) = decide(&seen) else { panic!("{}", world.story()) };
    let told = warnings(&seen, &begun);
    let note = "No container of revision 2 declares port 9999, the targetPort of spec.service.ports. Traffic goes there all the same: check the number";
    assert_eq!(
        told.iter().map(|event| (event.type_, event.reason.as_str(), event.note.as_str())).collect::<Vec<_>>(),
        [("Warning", "PortNotDeclared", note)]
    );
    world.run_until(Phase::ScalingDown);
    let seen = world.seen();
    assert_eq!(warnings(&seen, &seen.status), [], "the same attempt");
    let mut declared = World::live(json!({}));
    declared.image("shop:2");
    let seen = declared.seen();
    let Decision::Record(begun) = decide(&seen) else { panic!("{}", declared.story()) };
    assert_eq!(warnings(&seen, &begun), [], "a name is no number");
}

#[test]
fn a_port_counts_by_its_name_and_protocol() {
    let world = World::in_phase(json!({"promotion": {"mode": "Manual"}}), "shop:2", Phase::AwaitingPromotion);
    let full = |ports: &[NamedPort]| {
        let mut seen = world.seen();
        seen.green.pods[0].ports = ports.to_vec();
        let side = seen.status.preview.clone().unwrap();
        (facts::fully_available(&seen, &side), ports::lacking(&seen.green, &side))
    };
    let http = || NamedPort::tcp("http", 8080);
    assert_eq!(full(&[NamedPort::tcp("debug", 9090), http()]), (true, None));
    for ports in [vec![], vec![NamedPort::tcp("web", 8080)], vec![NamedPort { protocol: Protocol::UDP, ..http() }]] {
        let (available, why) = full(&ports);
        let why = why.unwrap_or_default();
        assert!(!available && why.starts_with("pod shop-green-4 has no container port named http, which"), "{ports:?}: {why}");
    }
    let mut seen = world.seen();
    let mut side = seen.status.preview.clone().unwrap();
    side.ports[0].protocol = Some(Protocol::UDP);
    seen.green.pods.truncate(1);
    let why = ports::lacking(&seen.green, &side).unwrap();
    assert!(why.starts_with("pod shop-green-4 has no container port named http (UDP), which"), "{why}");
}

fn rename(seen: &mut Observed) {
    seen.green.pods.iter_mut().for_each(|pod| pod.ports = vec![NamedPort::tcp("web", 8080)]);
}

/// What somebody edits is no word on the release: the operator repairs it first.
#[test]
fn an_edited_candidate_is_not_given_up_for_its_ports() {
    let mut world = World::in_phase(json!({"promotion": {"after": "1s"}}), "shop:2-slow", Phase::DeployingPreview);
    world.run_for(10);
    let seen = world.seen();
    assert_eq!(phase(&seen, |_| {}), Phase::DeployingPreview);
    assert_eq!(phase(&seen, rename), Phase::Aborting);
    assert_eq!(
        phase(&seen, |seen| {
            rename(seen);
            green(seen).generation += 1;
        }),
        Phase::DeployingPreview,
        "edited by somebody, and not observed yet"
    );
    assert_eq!(
        phase(&seen, |seen| {
            rename(seen);
            let deployment = green(seen);
            deployment.applied_generation = Some(deployment.generation - 1);
        }),
        Phase::DeployingPreview,
        "another client's template"
    );
    assert_eq!(
        phase(&seen, |seen| {
            rename(seen);
            green(seen).total += 1;
        }),
        Phase::DeployingPreview,
        "pods of another template are on their way out"
    );
    assert_eq!(
        phase(&seen, |seen| {
            rename(seen);
            seen.green.pods.iter_mut().for_each(|pod| pod.deleting = true);
        }),
        Phase::DeployingPreview,
        "those that go are no candidates"
    );
}

/// Pods that took the place of others after the switch was recorded.
#[test]
fn a_recorded_switch_is_withdrawn_when_pods_lose_the_port() {
    let mut world = World::live_unarmed(json!({}));
    world.image("shop:2");
    world.refuse = Some((Object::Service(Role::Active), 500, "request timed out".into()));
    world.run_until(Phase::Promoting);
    world.run_for(1);
    world.refuse = None;
    for pod in world.pods.iter_mut().filter(|pod| pod.color == Color::Green) {
        pod.image = "shop:2-renamed".into();
    }
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Aborted, Some("shop:1")), "{}", world.story());
}

/// One that was edited while it stood by, for one.
#[test]
fn a_standby_without_the_named_port_is_not_gone_back_to() {
    let mut world = World::in_phase(json!({"monitoring": {"duration": "10m"}}), "shop:2", Phase::Monitoring);
    for pod in world.pods.iter_mut().filter(|pod| pod.color == Color::Blue) {
        pod.image = "shop:1-renamed".into();
    }
    world.order("rollback");
    world.run_for(30);
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RollingBack, Some("shop:2")), "{}", world.story());
    assert!(world.status.message.contains("has no container port named http"), "{}", world.status.message);
    for pod in world.pods.iter_mut().filter(|pod| pod.color == Color::Blue) {
        pod.image = "shop:1".into();
    }
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::RolledBack, Some("shop:1")), "{}", world.story());
}
