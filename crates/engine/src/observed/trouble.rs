//! What keeps a pod from getting ready, in its own words and those of its events.

use super::{ColorSeen, PodSeen, PodTrouble, PodWarning};
use bluegreen_api::TroubleKind;
use std::fmt;

/// What keeps pods from getting ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Pods come and go, and count their restarts: only another kind is news.
    pub kind: Option<TroubleKind>,
    /// In the words of a pod or of its Deployment.
    pub sentence: String,
}

impl Trouble {
    pub(super) const fn of_ports(sentence: String) -> Self {
        Self { kind: None, sentence }
    }

    /// The pods are on their way, as far as anybody knows: it only takes long.
    pub const fn is_a_wait(&self) -> bool {
        matches!(self.kind, Some(TroubleKind::Init | TroubleKind::Start | TroubleKind::Readiness))
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

pub(super) fn waiting_pods<'a>(seen: &'a ColorSeen, revision: &str) -> impl Iterator<Item = &'a PodSeen> {
    seen.pods.iter().filter(move |pod| pod.revision == revision && !pod.ready && !pod.deleting)
}

/// The latest of these warnings about the pod: events live for an hour, and most of them are of what is over.
pub(super) fn warning<'a>(seen: &'a ColorSeen, pod: &PodSeen, counts: impl Fn(&PodWarning) -> bool) -> Option<&'a PodWarning> {
    let read = seen.told.as_ref().filter(|read| read.pod == pod.name)?;
    // "Unable to attach or mount volumes" names no cause; a failed mount does.
    let names_a_cause = |warning: &PodWarning| !warning.message.starts_with("Unable to attach or mount");
    read.warnings.iter().filter(|warning| counts(warning)).max_by_key(|warning| (names_a_cause(warning), warning.at))
}

/// A probe of this container failed.
pub(super) fn is_probe(warning: &PodWarning, container: Option<&str>) -> bool {
    warning.reason == "Unhealthy" && warning.container.as_deref() == container
}

/// In the words of the pod.
pub(super) fn of_pod(seen: &ColorSeen, pod: &PodSeen) -> Option<Trouble> {
    let trouble = pod.trouble.as_ref()?;
    let container = trouble.container.as_ref().map(|name| format!(", container {name}")).unwrap_or_default();
    let message = if trouble.message.is_empty() { String::new() } else { format!(": {}", trouble.message) };
    // A container is killed for its liveness and startup probes.
    let killed = |warning: &PodWarning| {
        is_crash(trouble) && is_probe(warning, trouble.container.as_deref()) && !warning.message.starts_with("Readiness")
    };
    let probe = warning(seen, pod, killed);
    let probe = probe.map(|warning| format!("; {}", warning.message)).unwrap_or_default();
    Some(Trouble { kind: kind_of(&trouble.reason), sentence: format!("pod {}{container}: {}{message}{probe}", pod.name, trouble.reason) })
}

pub(super) fn is_crash(trouble: &PodTrouble) -> bool {
    kind_of(&trouble.reason) == Some(TroubleKind::Crash)
}

/// By the reason that a container or a condition of a pod gives.
fn kind_of(reason: &str) -> Option<TroubleKind> {
    Some(match reason {
        "ErrImagePull" | "ImagePullBackOff" | "InvalidImageName" | "ErrImageNeverPull" | "ImageInspectError" => TroubleKind::Image,
        "CrashLoopBackOff" | "Restarted" | "RunContainerError" | "OOMKilled" | "StartError" | "ContainerCannotRun" => TroubleKind::Crash,
        // A container that ended is about to be told as a crash loop.
        "Error" | "Completed" => TroubleKind::Crash,
        "CreateContainerConfigError" | "CreateContainerError" => TroubleKind::Config,
        "Unschedulable" => TroubleKind::Schedule,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_has_the_kind_of_its_reason() {
        let kinds = [
            ("ErrImagePull", Some(TroubleKind::Image)),
            ("ImagePullBackOff", Some(TroubleKind::Image)),
            ("CrashLoopBackOff", Some(TroubleKind::Crash)),
            ("Error", Some(TroubleKind::Crash)),
            ("Completed", Some(TroubleKind::Crash)),
            ("CreateContainerConfigError", Some(TroubleKind::Config)),
            ("Unschedulable", Some(TroubleKind::Schedule)),
            ("ContainersNotReady", None),
        ];
        for (reason, kind) in kinds {
            assert_eq!(kind_of(reason), kind, "{reason}");
        }
    }
}
