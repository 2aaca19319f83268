//! What is told of pods that only take long.

use crate::{
    progress::{at, color, pod, ready, side, troubled},
    world::World,
};
use bluegreen_api::{Color, Phase, TroubleKind};
use bluegreen_engine::{
    Observed,
    measure::puzzling_pods,
    observed::{
        ColorSeen, EventsRead, PodSeen, PodWait, PodWarning,
        laggards::{due, laggard, puzzling, slow},
        progress::trouble,
    },
};
use serde_json::json;

fn waits(name: &str, wait: PodWait) -> PodSeen {
    PodSeen { waits: Some(wait), ..pod(name) }
}

fn runs(name: &str) -> PodSeen {
    waits(name, PodWait::Ready { container: "shop".into() })
}

fn mounts(name: &str) -> PodSeen {
    waits(name, PodWait::Start { container: "shop".into() })
}

fn warning(reason: &str, message: &str, second: i64) -> PodWarning {
    PodWarning { reason: reason.into(), message: message.into(), container: None, at: at(second) }
}

fn told(pod: &str, second: i64, times: u32, warnings: &[PodWarning]) -> Option<EventsRead> {
    Some(EventsRead { pod: pod.into(), at: at(second), times, warnings: warnings.to_vec() })
}

#[test]
fn what_a_pod_waits_for_is_told_by_name() {
    let container = || "shop".to_owned();
    let cases = [
        (PodWait::Node, TroubleKind::Start, "pod a: it has no node yet: is the scheduler at work?"),
        (
            PodWait::Kubelet { node: "node-1".into() },
            TroubleKind::Start,
            "pod a: node node-1 has not begun with it: is its kubelet at work?",
        ),
        (PodWait::Start { container: container() }, TroubleKind::Start, "pod a: container shop has not started"),
        (PodWait::Init { container: "migrate".into() }, TroubleKind::Init, "pod a: init container migrate has not ended"),
        (PodWait::Ready { container: container() }, TroubleKind::Readiness, "pod a: container shop is not ready"),
        (PodWait::Gate { message: "a gate is not met".into() }, TroubleKind::Readiness, "pod a: a gate is not met"),
    ];
    for (wait, kind, sentence) in cases {
        let told = laggard(&color(&[waits("a", wait)]), &side()).unwrap();
        assert_eq!((told.kind, told.sentence.as_str(), told.is_a_wait()), (Some(kind), sentence, true));
    }
}

#[test]
fn a_wait_is_told_once_it_takes_long() {
    let seen = color(&[ready("a", 3), runs("c"), PodSeen { created: at(-1), ..runs("d") }, PodSeen { deleting: true, ..runs("b") }]);
    let named = |second: i64| slow(&seen, &side(), at(second)).map(|told| told.sentence.split(':').next().unwrap().to_owned());
    assert_eq!([named(13), named(14), named(15)], [None, Some("pod d".into()), Some("pod c".into())]);
    assert_eq!(laggard(&seen, &side()).unwrap().sentence, "pod c: container shop is not ready", "it is the deadline's to ask");
    assert_eq!(trouble(&seen, &side(), at(15)), slow(&seen, &side(), at(15)));
    let beside = ColorSeen { pods: vec![runs("a"), troubled("b", "Unschedulable")], ..seen };
    assert_eq!(trouble(&beside, &side(), at(99)).unwrap().sentence, "pod b: Unschedulable", "trouble is told first");
}

#[test]
fn the_cause_is_the_latest_warning_that_names_one() {
    let secret = warning("FailedMount", "secret \"x\" not found", 20);
    let summary = warning("FailedMount", "Unable to attach or mount volumes: timed out", 60);
    let other = PodWarning { container: Some("sidecar".into()), ..warning("Unhealthy", "of another container", 70) };
    let of =
        |pod: PodSeen, warnings: &[PodWarning]| laggard(&ColorSeen { told: told("a", 70, 1, warnings), ..color(&[pod]) }, &side()).unwrap();

    let mount = of(mounts("a"), &[secret.clone(), summary.clone(), other.clone()]);
    assert_eq!(mount.sentence, "pod a: container shop has not started: FailedMount: secret \"x\" not found");
    assert_eq!((mount.kind, mount.is_a_wait()), (Some(TroubleKind::Volume), false), "nobody need wait to know that");
    assert_eq!(
        of(mounts("a"), &[summary]).sentence,
        "pod a: container shop has not started: FailedMount: Unable to attach or mount volumes: timed out"
    );
    assert_eq!(of(mounts("a"), &[warning("FailedCreatePodSandBox", "no network", 9)]).kind, Some(TroubleKind::Sandbox));
    assert_eq!(of(mounts("a"), std::slice::from_ref(&other)).sentence, "pod a: container shop has not started");
    assert_eq!(of(mounts("b"), &[secret]).sentence, "pod b: container shop has not started", "those of another pod");

    let probe = PodWarning { container: Some("shop".into()), ..warning("Unhealthy", "Readiness probe failed: 503", 30) };
    // That it could not be mounted at first is over.
    let unready = of(runs("a"), &[probe, other, warning("FailedMount", "timed out", 40)]);
    assert_eq!(unready.sentence, "pod a: container shop is not ready: Unhealthy: Readiness probe failed: 503");
    assert!(unready.is_a_wait(), "a program that takes its time fails its probe");
    let init = waits("a", PodWait::Init { container: "migrate".into() });
    assert_eq!(of(init, &[warning("FailedMount", "timed out", 40)]).sentence, "pod a: init container migrate has not ended");
}

#[test]
fn a_probe_that_kills_is_told_with_the_crash() {
    let mut crash = troubled("a", "CrashLoopBackOff");
    crash.trouble.as_mut().unwrap().container = Some("shop".into());
    let seen = |warnings: &[PodWarning]| ColorSeen { told: told("a", 5, 1, warnings), ..color(&[crash.clone()]) };
    let of = |warnings: &[PodWarning]| trouble(&seen(warnings), &side(), at(5)).unwrap().sentence;
    let probe = |message: &str, second: i64| PodWarning { container: Some("shop".into()), ..warning("Unhealthy", message, second) };
    let killed = probe("Liveness probe failed: 500", 3);
    let others = [warning("BackOff", "Back-off restarting failed container", 5), probe("Readiness probe failed: refused", 5)];
    let all = [&[killed][..], &others].concat();
    assert_eq!(of(&all), "pod a, container shop: CrashLoopBackOff; Liveness probe failed: 500");
    assert_eq!(of(&others), "pod a, container shop: CrashLoopBackOff", "nothing is killed for these");
}

#[test]
fn events_of_one_pod_are_read_ever_more_rarely() {
    let seen = |told| ColorSeen { told, ..color(&[runs("b"), runs("a"), ready("c", 0)]) };
    let read = |told: Option<EventsRead>, second: i64| puzzling(&seen(told), "new", at(second)).map(str::to_owned);
    assert_eq!([read(None, 9), read(None, 10)], [None, Some("a".into())]);
    for (times, wait) in [(1, 30), (2, 60), (5, 480), (6, 600), (u32::MAX, 600)] {
        let before = || told("a", 100, times, &[]);
        assert_eq!([read(before(), 99 + wait), read(before(), 100 + wait)], [None, Some("a".into())], "{times}");
    }
    assert_eq!(read(told("b", 10, 3, &[]), 11), Some("a".into()), "another pod is in the way");
    assert_eq!(puzzling(&color(&[troubled("a", "Unschedulable"), runs("b")]), "new", at(99)), None, "its status tells");
    assert_eq!(puzzling(&color(&[troubled("a", "CrashLoopBackOff")]), "new", at(99)), Some("a"));
}

#[test]
fn a_look_is_due_when_there_is_more_to_tell() {
    let seen = |told| ColorSeen { told, ..color(&[runs("a"), PodSeen { created: at(7), ..runs("b") }]) };
    let next = |told: Option<EventsRead>, second: i64| due(&seen(told), "new", at(second));
    assert_eq!(next(None, 2), Some(at(10)), "its events");
    assert_eq!(next(told("a", 10, 1, &[]), 11), Some(at(15)), "that it takes long");
    assert_eq!(next(told("a", 10, 1, &[]), 15), Some(at(22)), "that the other does");
    assert_eq!(next(told("a", 10, 1, &[]), 22), Some(at(40)), "its events again");
    assert_eq!(due(&color(&[ready("a", 0)]), "new", at(2)), None);
}

#[test]
fn a_deadline_that_passes_names_the_pod_and_its_container() {
    let mut world = World::live(json!({"progressDeadline": "12s"}));
    world.image("shop:2-unready");
    world.settle();
    assert_eq!(world.phase(), Phase::Aborted);
    let message = world.status.rejected.as_ref().unwrap().message.clone();
    assert!(message.starts_with("no progress for 12s (progressDeadline): pod shop-"), "{message}");
    assert!(message.contains(": container shop is not ready"), "{message}");
}

#[test]
fn pods_that_take_long_cost_one_record_and_are_no_trouble() {
    let mut world = World::live(json!({"progressDeadline": "10m"}));
    world.image("shop:2-migrates");
    world.run_for(14);
    assert!(!world.status.message.contains("init container"), "{}", world.status.message);
    world.run_for(3);
    assert!(world.status.message.contains(": init container migrate has not ended"), "{}", world.status.message);
    assert!(!world.story().contains("PodTrouble"), "{}", world.story());
    let recorded = world.status.clone();
    world.run_for(300);
    assert_eq!(world.status, recorded, "nothing more is written: {}", world.story());
}

#[test]
fn a_secret_that_is_missing_is_told_as_trouble() {
    let mut world = World::live(json!({"progressDeadline": "10m"}));
    world.image("shop:2-mounts");
    world.run_for(12);
    let puzzling = puzzling_pods(&world.seen());
    let [(color, pod)] = puzzling.as_slice() else { panic!("{puzzling:?}") };
    assert_eq!(*color, Color::Green);
    let going = Observed { deleting: true, ..world.seen() };
    assert!(puzzling_pods(&going).is_empty(), "nobody waits for the pods of a rollout that is being deleted");
    let missing = PodWarning { at: world.now, ..warning("FailedMount", "secret \"shop\" not found", 0) };
    world.told.insert(*color, EventsRead { pod: pod.clone(), at: world.now, times: 1, warnings: vec![missing] });
    assert!(puzzling_pods(&world.seen()).is_empty());
    world.run_for(5);
    let message = &world.status.message;
    assert!(message.contains("container shop has not started: FailedMount: secret \"shop\" not found"), "{message}");
    assert!(world.story().contains("PodTrouble"), "{}", world.story());
}
