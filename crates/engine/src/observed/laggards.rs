//! What pods wait for that are neither ready nor in trouble: told once they take long, with the cause that only their events know.

use super::{
    ColorSeen, PodSeen, PodWait, PodWarning,
    trouble::{Trouble, is_crash, is_probe, waiting_pods, warning},
};
use bluegreen_api::{Side, TroubleKind};
use jiff::Timestamp;
use std::time::Duration;

/// So old is a pod whose events are read: most are ready by then, and cost no request.
const PUZZLING: Duration = Duration::from_secs(10);
/// So old is a pod of which it is told what it waits for. Its events have been read by then.
const SLOW: Duration = Duration::from_secs(15);
/// From one reading of a pod's events to the next; twice as long each time.
const AGAIN: Duration = Duration::from_secs(30);
const AGAIN_AT_MOST: Duration = Duration::from_secs(600);

/// What a pod of the side waits for that takes long.
pub fn slow(seen: &ColorSeen, side: &Side, now: Timestamp) -> Option<Trouble> {
    first(laggards(seen, &side.revision).filter(|pod| since(pod.created, now) >= SLOW)).and_then(|pod| told(seen, pod))
}

/// What a pod of the side waits for, however young it is.
pub fn laggard(seen: &ColorSeen, side: &Side) -> Option<Trouble> {
    first(laggards(seen, &side.revision)).and_then(|pod| told(seen, pod))
}

/// The pod of a side whose events may know what its status doesn't tell, if it is time to read them.
pub fn puzzling<'a>(seen: &'a ColorSeen, revision: &str, now: Timestamp) -> Option<&'a str> {
    let pod = puzzle(seen, revision)?;
    (read_at(seen, pod)? <= now).then_some(&pod.name)
}

/// When there is more to tell of the pods of a side, or to read of their events, though nothing happens.
pub fn due(seen: &ColorSeen, revision: &str, now: Timestamp) -> Option<Timestamp> {
    let slow = laggards(seen, revision).filter_map(|pod| pod.created.checked_add(SLOW).ok());
    let read = puzzle(seen, revision).and_then(|pod| read_at(seen, pod));
    slow.chain(read).filter(|at| *at > now).min()
}

/// The earliest by name, so that the sentence stays the same from look to look.
fn first<'a>(pods: impl Iterator<Item = &'a PodSeen>) -> Option<&'a PodSeen> {
    pods.min_by(|a, b| a.name.cmp(&b.name))
}

fn laggards<'a>(seen: &'a ColorSeen, revision: &str) -> impl Iterator<Item = &'a PodSeen> {
    waiting_pods(seen, revision).filter(|pod| pod.waits.is_some())
}

/// One that ends again and again says how, and only an event may say why: a probe that fails has it killed.
fn puzzle<'a>(seen: &'a ColorSeen, revision: &str) -> Option<&'a PodSeen> {
    let in_trouble = waiting_pods(seen, revision).any(|pod| pod.trouble.is_some());
    let crashes = |pod: &&PodSeen| pod.trouble.as_ref().is_some_and(is_crash);
    if in_trouble { first(waiting_pods(seen, revision).filter(crashes)) } else { first(laggards(seen, revision)) }
}

fn read_at(seen: &ColorSeen, pod: &PodSeen) -> Option<Timestamp> {
    match seen.told.as_ref().filter(|read| read.pod == pod.name) {
        Some(read) => {
            let times = 2_u32.saturating_pow(read.times.saturating_sub(1));
            read.at.checked_add(AGAIN.saturating_mul(times).min(AGAIN_AT_MOST)).ok()
        }
        None => pod.created.checked_add(PUZZLING).ok(),
    }
}

fn since(at: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(at)).unwrap_or_default()
}

fn told(seen: &ColorSeen, pod: &PodSeen) -> Option<Trouble> {
    let wait = pod.waits.as_ref()?;
    let name = &pod.name;
    let (kind, container, sentence) = match wait {
        PodWait::Node => (TroubleKind::Start, None, format!("pod {name}: it has no node yet: is the scheduler at work?")),
        PodWait::Kubelet { node } => {
            (TroubleKind::Start, None, format!("pod {name}: node {node} has not begun with it: is its kubelet at work?"))
        }
        PodWait::Start { container } => (TroubleKind::Start, Some(container), format!("pod {name}: container {container} has not started")),
        PodWait::Init { container } => {
            (TroubleKind::Init, Some(container), format!("pod {name}: init container {container} has not ended"))
        }
        PodWait::Ready { container } => {
            (TroubleKind::Readiness, Some(container), format!("pod {name}: container {container} is not ready"))
        }
        PodWait::Gate { message } => (TroubleKind::Readiness, None, format!("pod {name}: {message}")),
    };
    let container = container.map(String::as_str);
    let counts = |warning: &PodWarning| match wait {
        PodWait::Ready { .. } => is_probe(warning, container),
        PodWait::Init { .. } | PodWait::Gate { .. } => false,
        _ => warning.container.is_none() || warning.container.as_deref() == container,
    };
    Some(match warning(seen, pod, counts) {
        Some(warning) => {
            let kind = if kind == TroubleKind::Start { kind_of(&warning.reason) } else { kind };
            Trouble { kind: Some(kind), sentence: format!("{sentence}: {}: {}", warning.reason, warning.message) }
        }
        None => Trouble { kind: Some(kind), sentence },
    })
}

/// Of a container that has not started, by the reason of an event.
fn kind_of(reason: &str) -> TroubleKind {
    match reason {
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" => TroubleKind::Volume,
        "FailedCreatePodSandBox" | "NetworkNotReady" => TroubleKind::Sandbox,
        _ => TroubleKind::Start,
    }
}
