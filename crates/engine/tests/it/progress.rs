//! How pods get on, and when they are given up.

use bluegreen_api::{Color, Side};
use bluegreen_engine::observed::{
    ColorSeen, DeploymentSeen, Owner, PodSeen, PodTrouble, Progress,
    progress::{fold, hopeless, hopeless_at, ready_pods, trouble},
};
use jiff::Timestamp;

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub fn side() -> Side {
    Side {
        color: Color::Green,
        revision: "new".into(),
        number: 2,
        image: "shop:2".into(),
        replicas: 3,
        ports: vec![],
        generation: Some(2),
        ready_when_left: None,
        starting_since: None,
    }
}

pub fn pod(name: &str) -> PodSeen {
    PodSeen {
        name: name.into(),
        revision: "new".into(),
        ip: None,
        ports: vec![],
        ready: false,
        deleting: false,
        created: at(0),
        ready_changed: None,
        restarts: 0,
        trouble: None,
        waits: None,
    }
}

pub fn ready(name: &str, since: i64) -> PodSeen {
    PodSeen { ready: true, ready_changed: Some(at(since)), ..pod(name) }
}

pub fn troubled(name: &str, reason: &str) -> PodSeen {
    PodSeen { trouble: Some(PodTrouble { reason: reason.into(), message: String::new(), container: None }), ..pod(name) }
}

fn deployment(replicas: i32) -> DeploymentSeen {
    DeploymentSeen {
        uid: "uid".into(),
        resource_version: "1".into(),
        generation: 2,
        owner: Owner::Us,
        deleting: false,
        labels_intact: true,
        settings_intact: true,
        written: String::new(),
        revision: "new".into(),
        epoch: String::new(),
        arrival: String::new(),
        applied_generation: None,
        replicas,
        min_ready_seconds: 0,
        observed_generation: 2,
        total: 0,
        updated: 0,
        ready: 0,
        available: replicas,
        replica_failure: None,
    }
}

/// A Deployment of three with these pods.
pub fn color(pods: &[PodSeen]) -> ColorSeen {
    ColorSeen { deployment: Some(deployment(3)), pods: pods.to_vec(), progress: None, told: None }
}

fn progress(high_water: i32, at_: i64, short_since: Option<i64>) -> Progress {
    let short_since = short_since.map(at);
    // Of three pods all that are missing make a color short, and here none of them lacks room.
    Progress { revision: "new".into(), generation: 2, high_water, at: at(at_), short_since, failing_since: short_since, none_since: None }
}

/// As that, and none was ready since then.
fn none_ready(progress: Progress, since: i64) -> Progress {
    Progress { none_since: Some(at(since)), ..progress }
}

// === progress ===

#[test]
fn a_first_look_takes_the_time_of_progress_from_the_pods() {
    let strangers = PodSeen { revision: "old".into(), ..ready("x", 90) };
    let looks = [
        (vec![ready("a", 10), ready("b", 20), pod("c"), strangers.clone()], progress(2, 20, Some(100)), "the latest that got ready"),
        (
            vec![PodSeen { created: at(7), ..pod("a") }, PodSeen { created: at(5), ..pod("b") }],
            none_ready(progress(0, 5, Some(100)), 100),
            "the first that was made",
        ),
        (vec![strangers], none_ready(progress(0, 100, Some(100)), 100), "now, when there is none"),
        (vec![ready("a", 10), ready("b", 20), ready("c", 30)], progress(3, 30, None), "all are ready: none is missing"),
    ];
    for (pods, expected, why) in looks {
        assert_eq!(fold(None, &color(&pods), at(100)), Some(expected), "{why}");
    }
    assert_eq!(fold(None, &ColorSeen::default(), at(100)), None, "without a Deployment there is none");
}

#[test]
fn progress_is_another_ready_pod_and_nothing_else() {
    let two = [ready("a", 10), ready("b", 20)];
    let after = |before: Progress, seen: &ColorSeen| fold(Some(&before), seen, at(100)).unwrap();
    assert_eq!(after(progress(1, 10, Some(5)), &color(&two)), progress(2, 100, Some(5)));
    assert_eq!(after(progress(2, 20, Some(5)), &color(&two)), progress(2, 20, Some(5)), "as many as before");
    assert_eq!(after(progress(3, 30, None), &color(&two)), progress(3, 30, Some(100)), "one was lost: it is missing from now on");
    let smaller = ColorSeen { deployment: Some(deployment(2)), ..color(&two) };
    assert_eq!(after(progress(3, 30, Some(5)), &smaller), progress(2, 30, None), "one was scaled away");
    let former = Progress { revision: "old".into(), ..progress(3, 30, Some(5)) };
    assert_eq!(after(former, &color(&two)), progress(2, 20, Some(5)), "another revision begins anew, with as few pods as before");
}

#[test]
fn a_change_that_was_not_taken_up_yet_moves_no_mark() {
    let mut seen = color(&[ready("a", 10), ready("b", 20), ready("c", 30)]);
    seen.deployment = Some(DeploymentSeen { observed_generation: 1, ..deployment(3) });
    assert_eq!(fold(None, &seen, at(100)), None);
    assert_eq!(
        fold(Some(&progress(1, 10, Some(5))), &seen, at(100)),
        Some(progress(1, 10, None)),
        "whether pods are missing is seen anyway"
    );
}

#[test]
fn only_pods_of_the_revision_that_serve_and_stay_are_ready_pods() {
    let pods = [
        ready("a", 0),
        ready("b", 0),
        pod("c"),
        PodSeen { deleting: true, ..ready("d", 0) },
        PodSeen { revision: "old".into(), ..ready("e", 0) },
    ];
    assert_eq!(ready_pods(&color(&pods), "new"), 2);
    assert_eq!(ready_pods(&color(&pods), "none"), 0);
}

// === trouble ===

/// The first by name.
#[test]
fn trouble_is_that_of_the_first_pod_that_should_get_ready() {
    let detailed = PodTrouble { reason: "CrashLoopBackOff".into(), message: "back-off".into(), container: Some("shop".into()) };
    let bad = PodSeen { trouble: Some(detailed), ..pod("m") };
    let others = [
        PodSeen { revision: "old".into(), ..troubled("a", "Evicted") },
        PodSeen { deleting: true, ..troubled("b", "Evicted") },
        PodSeen { ready: true, ..troubled("c", "Evicted") },
        pod("d"),
        troubled("z", "Unschedulable"),
    ];
    let mut seen = color(&others);
    assert_eq!(trouble(&seen, &side(), at(1)).unwrap().sentence, "pod z: Unschedulable");
    seen.pods.push(bad);
    assert_eq!(trouble(&seen, &side(), at(1)).unwrap().sentence, "pod m, container shop: CrashLoopBackOff: back-off");
    seen.deployment = Some(DeploymentSeen { replica_failure: Some("exceeded quota".into()), ..deployment(3) });
    assert_eq!(trouble(&seen, &side(), at(1)).unwrap().sentence, "pod m, container shop: CrashLoopBackOff: back-off", "pods know more");
    seen.pods.clear();
    assert_eq!(trouble(&seen, &side(), at(1)).unwrap().sentence, "pods can't be created: exceeded quota");
    assert_eq!(trouble(&color(&[pod("a")]), &side(), at(1)), None);
}

// === pods that are given up ===

const MINUTES: i64 = 60;

#[test]
fn only_pods_that_can_never_get_ready_are_given_up() {
    let restarted = |restarts: i32| PodSeen { restarts, ..troubled("a", "CrashLoopBackOff") };
    let cases = [
        (restarted(5), 1, true, "five restarts"),
        (restarted(4), 1, false, "four restarts"),
        (PodSeen { deleting: true, ..restarted(9) }, 1, false, "it goes anyway"),
        (PodSeen { revision: "old".into(), ..restarted(9) }, 1, false, "another revision's"),
        (troubled("a", "ImagePullBackOff"), 120, true, "two minutes without an image"),
        (troubled("a", "ErrImagePull"), 120, true, "two minutes without an image"),
        (troubled("a", "ImagePullBackOff"), 119, false, "not that long"),
        (troubled("a", "Unschedulable"), 60 * MINUTES, false, "a node may come"),
        (pod("a"), 60 * MINUTES, false, "slow is not hopeless"),
        (troubled("a", "InvalidImageName"), 1, true, "no such name"),
        (troubled("a", "ErrImageNeverPull"), 1, true, "never to be pulled"),
    ];
    for (pod, second, given_up, why) in cases {
        assert_eq!(hopeless(&color(&[pod]), &side(), at(second)).is_some(), given_up, "{why}");
    }
}

#[test]
fn once_a_pod_was_ready_others_are_not_given_up_for_restarts() {
    let crashing = PodSeen { restarts: 9, ..troubled("a", "CrashLoopBackOff") };
    let given_up =
        |pods: &[PodSeen], progress: Option<Progress>| hopeless(&ColorSeen { progress, ..color(pods) }, &side(), at(1)).is_some();
    assert!(!given_up(&[crashing.clone(), ready("b", 0)], None), "one is ready");
    assert!(!given_up(std::slice::from_ref(&crashing), Some(progress(1, 0, None))), "one was");
    assert!(given_up(std::slice::from_ref(&crashing), Some(progress(0, 0, None))), "none was");
    let former = Progress { revision: "old".into(), ..progress(3, 0, None) };
    assert!(given_up(&[crashing], Some(former)), "only one of another revision was");
    assert!(given_up(&[troubled("a", "InvalidImageName"), ready("b", 0)], None), "a name that is none stays none");
}

#[test]
fn the_reason_to_give_up_is_that_of_the_first_pod_by_name() {
    let silent = PodSeen { restarts: 6, ..pod("a") };
    let loud = PodSeen { restarts: 6, ..troubled("b", "CrashLoopBackOff") };
    let told = |pods: &[PodSeen]| hopeless(&color(pods), &side(), at(1)).unwrap().sentence;
    assert_eq!(told(&[loud.clone(), silent]), "pod a: a container restarted 6 times and was never ready");
    assert_eq!(told(&[loud]), "pod b: CrashLoopBackOff");
}

/// From the first pod that lacks it.
#[test]
fn an_image_is_awaited_for_two_minutes_from_the_first_pod() {
    let lacking = |name: &str, created: i64| PodSeen { created: at(created), ..troubled(name, "ErrImagePull") };
    let seen = color(&[lacking("a", 10), lacking("b", 5), PodSeen { created: at(1), ..pod("c") }, ready("d", 2)]);
    assert_eq!(hopeless_at(&seen, "new", at(20)), Some(at(125)));
    assert_eq!(hopeless_at(&seen, "new", at(125)), Some(at(130)), "the first has had its time");
    assert_eq!(hopeless_at(&seen, "new", at(130)), None);
    assert_eq!(hopeless_at(&color(&[pod("a")]), "new", at(20)), None);
}
