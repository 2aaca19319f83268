//! How the pods of a revision get on: the high-water mark of its ready pods, and why they don't.

use crate::observed::{ColorSeen, PodSeen, Progress};
use jiff::Timestamp;
use std::time::Duration;

/// Restarts of one container after which pods that were never ready are given up.
const RESTARTS: i32 = 5;
/// How long an image may fail to be pulled before pods that were never ready are given up.
const UNPULLABLE: Duration = Duration::from_secs(120);

/// The progress after a look at the color. The operator keeps it between looks; a new process starts from what the pods tell.
pub fn fold(previous: Option<&Progress>, seen: &ColorSeen, now: Timestamp) -> Option<Progress> {
    let deployment = seen.deployment.as_ref()?;
    let ready = ready_pods(seen, &deployment.revision);
    let short_since = (ready < deployment.replicas).then(|| previous.and_then(|progress| progress.short_since).unwrap_or(now));
    let same = previous.filter(|progress| progress.revision == deployment.revision);
    if deployment.observed_generation < deployment.generation {
        // Not taken up yet: the time of the pods has not begun, or stands where it was.
        return same.map(|progress| Progress { short_since, ..progress.clone() });
    }
    let (high_water, at) = match same {
        Some(progress) if ready <= progress.high_water => (progress.high_water, progress.at),
        Some(_) => (ready, now),
        None => (ready, begun(seen, &deployment.revision).unwrap_or(now)),
    };
    Some(Progress { revision: deployment.revision.clone(), generation: deployment.generation, high_water, at, short_since })
}

/// When the pods of a revision last made progress, as far as they tell.
fn begun(seen: &ColorSeen, revision: &str) -> Option<Timestamp> {
    let pods = || seen.pods.iter().filter(move |pod| pod.revision == revision);
    let ready = pods().filter(|pod| pod.ready).filter_map(|pod| pod.ready_changed).max();
    ready.or_else(|| pods().map(|pod| pod.created).min())
}

/// Pods of the revision that serve.
pub fn ready_pods(seen: &ColorSeen, revision: &str) -> i32 {
    let count = seen.pods.iter().filter(|pod| pod.revision == revision && pod.ready && !pod.deleting).count();
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// What keeps the pods of a revision from getting ready, in one sentence with their own reason.
pub fn trouble(seen: &ColorSeen, revision: &str) -> Option<String> {
    let pod = troubled(seen, revision);
    let failure = seen.deployment.as_ref().and_then(|deployment| deployment.replica_failure.clone());
    match (pod, failure) {
        (Some((pod, trouble)), _) => {
            let container = trouble.container.as_ref().map(|name| format!(" container {name}")).unwrap_or_default();
            let message = if trouble.message.is_empty() { String::new() } else { format!(": {}", trouble.message) };
            Some(format!("pod {}{container} {}{message}", pod.name, trouble.reason))
        }
        (None, Some(failure)) => Some(format!("pods can't be created: {failure}")),
        (None, None) => None,
    }
}

/// The pod to name: the earliest by name, so that the sentence stays the same from look to look.
fn troubled<'a>(seen: &'a ColorSeen, revision: &str) -> Option<(&'a PodSeen, &'a crate::observed::PodTrouble)> {
    let pods = seen.pods.iter().filter(|pod| pod.revision == revision && !pod.ready && !pod.deleting);
    pods.filter_map(|pod| pod.trouble.as_ref().map(|trouble| (pod, trouble))).min_by(|a, b| a.0.name.cmp(&b.0.name))
}

/// Why pods of the revision can never get ready, if so: waiting for the deadline would be of no use.
pub fn hopeless(seen: &ColorSeen, revision: &str, now: Timestamp) -> Option<String> {
    let pods = || seen.pods.iter().filter(move |pod| pod.revision == revision && !pod.deleting);
    let reason = |pod: &PodSeen| pod.trouble.as_ref().map(|trouble| trouble.reason.clone()).unwrap_or_default();
    let never_ready = ready_pods(seen, revision) == 0
        && seen.progress.as_ref().is_none_or(|progress| progress.revision != revision || progress.high_water == 0);
    let given_up = pods().any(|pod| {
        let reason = reason(pod);
        let age = now.as_millisecond() - pod.created.as_millisecond();
        let unpullable = matches!(reason.as_str(), "ErrImagePull" | "ImagePullBackOff") && u128::try_from(age).is_ok_and(|age| age >= UNPULLABLE.as_millis());
        matches!(reason.as_str(), "InvalidImageName" | "ErrImageNeverPull") || (never_ready && (pod.restarts >= RESTARTS || unpullable))
    });
    given_up.then(|| trouble(seen, revision).unwrap_or_else(|| format!("a container of revision {revision} restarted {RESTARTS} times and was never ready")))
}

/// When something that is not yet hopeless would be: the pull of an image has an end.
pub fn hopeless_at(seen: &ColorSeen, revision: &str) -> Option<Timestamp> {
    let pods = seen.pods.iter().filter(|pod| pod.revision == revision && !pod.deleting);
    pods.filter(|pod| pod.trouble.as_ref().is_some_and(|trouble| matches!(trouble.reason.as_str(), "ErrImagePull" | "ImagePullBackOff")))
        .filter_map(|pod| pod.created.checked_add(UNPULLABLE).ok())
        .min()
}
