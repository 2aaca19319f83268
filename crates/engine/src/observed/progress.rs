//! How the pods of a revision get on: the high-water mark of its ready pods, and why they don't.

use super::{
    ColorSeen, PodSeen, Progress, laggards, ports,
    short::{Short, short},
    trouble::{Trouble, of_pod, waiting_pods},
};
use bluegreen_api::{Side, TroubleKind};
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
    let since = |is: bool, before: fn(&Progress) -> Option<Timestamp>| is.then(|| previous.and_then(before).unwrap_or(now));
    let short_since = since(ready < deployment.replicas, |progress| progress.short_since);
    let failing = short(seen, &deployment.revision, deployment.replicas) == Some(Short::OwnDoing);
    let failing_since = since(failing, |progress| progress.failing_since);
    let none_since = since(ready == 0 && deployment.replicas > 0, |progress| progress.none_since);
    let same = previous.filter(|progress| progress.revision == deployment.revision);
    if deployment.observed_generation < deployment.generation {
        // Not taken up yet: the time of the pods has not begun, or stands where it was.
        return same.map(|progress| Progress { short_since, failing_since, none_since, ..progress.clone() });
    }
    let (high_water, at) = match same {
        // Pods that were scaled away are to come anew.
        Some(progress) if ready <= progress.high_water => (progress.high_water.min(deployment.replicas), progress.at),
        Some(_) => (ready, now),
        None => (ready, begun(seen, &deployment.revision).unwrap_or(now)),
    };
    let (revision, generation) = (deployment.revision.clone(), deployment.generation);
    Some(Progress { revision, generation, high_water, at, short_since, failing_since, none_since })
}

/// When the pods of a revision last made progress, as far as they tell.
fn begun(seen: &ColorSeen, revision: &str) -> Option<Timestamp> {
    let pods = || seen.pods.iter().filter(move |pod| pod.revision == revision);
    let ready = pods().filter(|pod| pod.ready).filter_map(|pod| pod.ready_changed).max();
    ready.or_else(|| pods().map(|pod| pod.created).min())
}

/// How many pods of the revision serve.
pub fn ready_pods(seen: &ColorSeen, revision: &str) -> i32 {
    i32::try_from(serving_pods(seen, revision).count()).unwrap_or(i32::MAX)
}

/// Pods of the revision that serve: ready, and not on their way out.
pub fn serving_pods<'a>(seen: &'a ColorSeen, revision: &'a str) -> impl Iterator<Item = &'a PodSeen> {
    seen.pods.iter().filter(move |pod| pod.revision == revision && pod.ready && !pod.deleting)
}

/// What keeps the pods of a side from getting ready or from being reached, in one sentence with their own reason; and where nothing does,
/// what they wait for, once that takes long.
pub fn trouble(seen: &ColorSeen, side: &Side, now: Timestamp) -> Option<Trouble> {
    // The earliest by name, so that the sentence stays the same from look to look.
    let troubled = waiting_pods(seen, &side.revision).filter(|pod| pod.trouble.is_some()).min_by(|a, b| a.name.cmp(&b.name));
    let failure = seen.deployment.as_ref().and_then(|deployment| deployment.replica_failure.as_ref());
    let create = |failure: &String| Trouble { kind: Some(TroubleKind::Create), sentence: format!("pods can't be created: {failure}") };
    troubled
        .and_then(|pod| of_pod(seen, pod))
        .or_else(|| ports::lacking(seen, side).map(Trouble::of_ports))
        .or_else(|| failure.map(create))
        .or_else(|| laggards::slow(seen, side, now))
}

/// Why pods of the side can never get ready or be reached, if so: waiting for the deadline would be of no use.
pub fn hopeless(seen: &ColorSeen, side: &Side, now: Timestamp) -> Option<Trouble> {
    never_ready(seen, &side.revision, now).or_else(|| ports::never(seen, side).map(Trouble::of_ports))
}

fn never_ready(seen: &ColorSeen, revision: &str, now: Timestamp) -> Option<Trouble> {
    let none_yet = ready_pods(seen, revision) == 0
        && seen.progress.as_ref().is_none_or(|progress| progress.revision != revision || progress.high_water == 0);
    let lost = |pod: &&PodSeen| {
        let reason = pod.trouble.as_ref().map(|trouble| trouble.reason.as_str()).unwrap_or_default();
        let age = now.as_millisecond() - pod.created.as_millisecond();
        let unpullable = unpulled(pod) && u128::try_from(age).is_ok_and(|age| age >= UNPULLABLE.as_millis());
        matches!(reason, "InvalidImageName" | "ErrImageNeverPull") || (none_yet && (pod.restarts >= RESTARTS || unpullable))
    };
    let pod = waiting_pods(seen, revision).filter(lost).min_by(|a, b| a.name.cmp(&b.name))?;
    Some(of_pod(seen, pod).unwrap_or_else(|| {
        let sentence = format!("pod {}: a container restarted {} times and was never ready", pod.name, pod.restarts);
        Trouble { kind: Some(TroubleKind::Crash), sentence }
    }))
}

fn unpulled(pod: &PodSeen) -> bool {
    pod.trouble.as_ref().is_some_and(|trouble| matches!(trouble.reason.as_str(), "ErrImagePull" | "ImagePullBackOff"))
}

/// When something that is not yet hopeless would be: the pull of an image has an end.
pub fn hopeless_at(seen: &ColorSeen, revision: &str, now: Timestamp) -> Option<Timestamp> {
    waiting_pods(seen, revision)
        .filter(|pod| unpulled(pod))
        .filter_map(|pod| pod.created.checked_add(UNPULLABLE).ok())
        .filter(|at| *at > now)
        .min()
}
