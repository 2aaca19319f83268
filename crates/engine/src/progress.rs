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
        // Pods that were scaled away are to come anew.
        Some(progress) if ready <= progress.high_water => (progress.high_water.min(deployment.replicas), progress.at),
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
    // The earliest by name, so that the sentence stays the same from look to look.
    let troubled = waiting_pods(seen, revision).filter(|pod| pod.trouble.is_some()).min_by(|a, b| a.name.cmp(&b.name));
    let failure = seen.deployment.as_ref().and_then(|deployment| deployment.replica_failure.as_ref());
    troubled.and_then(sentence).or_else(|| failure.map(|failure| format!("pods can't be created: {failure}")))
}

fn waiting_pods<'a>(seen: &'a ColorSeen, revision: &str) -> impl Iterator<Item = &'a PodSeen> {
    seen.pods.iter().filter(move |pod| pod.revision == revision && !pod.ready && !pod.deleting)
}

fn sentence(pod: &PodSeen) -> Option<String> {
    let trouble = pod.trouble.as_ref()?;
    let container = trouble.container.as_ref().map(|name| format!(" container {name}")).unwrap_or_default();
    let message = if trouble.message.is_empty() { String::new() } else { format!(": {}", trouble.message) };
    Some(format!("pod {}{container} {}{message}", pod.name, trouble.reason))
}

/// The kind of trouble that a sentence tells of. Pods come and go, and count their restarts: that alone is no news.
pub(crate) fn kind_of_trouble(sentence: &str) -> Option<&'static str> {
    const KINDS: [(&str, &[&str]); 6] = [
        ("image", &["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"]),
        ("crash", &["CrashLoopBackOff", "Restarted", "RunContainerError", "OOMKilled", "StartError", "ContainerCannotRun"]),
        ("config", &["CreateContainerConfigError", "CreateContainerError"]),
        ("schedule", &["Unschedulable"]),
        ("create", &["pods can't be created"]),
        ("ended", &[" Error", " Completed"]),
    ];
    let told = |words: &[&str]| words.iter().any(|word| sentence.contains(word));
    let kind = KINDS.iter().find(|(_, words)| told(words)).map(|(kind, _)| *kind)?;
    // A container that ended is about to be told as a crash loop.
    Some(if kind == "ended" { "crash" } else { kind })
}

/// Why pods of the revision can never get ready, if so: waiting for the deadline would be of no use.
pub fn hopeless(seen: &ColorSeen, revision: &str, now: Timestamp) -> Option<String> {
    let never_ready = ready_pods(seen, revision) == 0
        && seen.progress.as_ref().is_none_or(|progress| progress.revision != revision || progress.high_water == 0);
    let lost = |pod: &&PodSeen| {
        let reason = pod.trouble.as_ref().map(|trouble| trouble.reason.as_str()).unwrap_or_default();
        let age = now.as_millisecond() - pod.created.as_millisecond();
        let unpullable = unpulled(pod) && u128::try_from(age).is_ok_and(|age| age >= UNPULLABLE.as_millis());
        matches!(reason, "InvalidImageName" | "ErrImageNeverPull") || (never_ready && (pod.restarts >= RESTARTS || unpullable))
    };
    let pod = waiting_pods(seen, revision).filter(lost).min_by(|a, b| a.name.cmp(&b.name))?;
    Some(sentence(pod).unwrap_or_else(|| format!("a container of pod {} restarted {} times and was never ready", pod.name, pod.restarts)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_is_news_when_it_is_of_another_kind() {
        let kinds = [
            ("pod a container shop ErrImagePull: not found", Some("image")),
            ("pod b container shop ImagePullBackOff: back-off", Some("image")),
            ("pod a container shop CrashLoopBackOff: back-off 10s", Some("crash")),
            ("pod a container shop Error", Some("crash")),
            ("pod a container shop Completed", Some("crash")),
            ("pod a container shop CreateContainerConfigError: no secret", Some("config")),
            ("pod a Unschedulable: 0/3 nodes are available", Some("schedule")),
            ("pods can't be created: exceeded quota", Some("create")),
            ("Deploying revision 2 (shop:2) to green", None),
        ];
        for (sentence, kind) in kinds {
            assert_eq!(kind_of_trouble(sentence), kind, "{sentence}");
        }
    }
}
