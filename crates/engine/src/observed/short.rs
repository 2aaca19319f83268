//! Whether a side is short of pods, and whose doing that is.

use super::{ColorSeen, PodSeen};

/// Fewer than three quarters of the size asked for are available.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// Pods that crash, aren't ready or can't be pulled: with room for all others there would be too few still.
    OwnDoing,
    /// Pods that no node has room for, or that a quota or a webhook refuses, would make it enough.
    NoRoom,
}

/// Three quarters, rounded up: as a Deployment counts itself available, a quarter may be missing.
pub const fn three_quarters(of: i32) -> i32 {
    of - of / 4
}

/// Half, rounded up.
pub const fn half(of: i32) -> i32 {
    of - of / 2
}

/// Whether a color is short of pods of a revision, where so many are asked for.
pub fn short(seen: &ColorSeen, revision: &str, size: i32) -> Option<Short> {
    let (needed, has) = (three_quarters(size), available(seen, revision));
    (has < needed).then(|| if has.saturating_add(without_room(seen, revision, size)) < needed { Short::OwnDoing } else { Short::NoRoom })
}

/// Those of another revision, that the Deployment still counts, serve nobody.
fn available(seen: &ColorSeen, revision: &str) -> i32 {
    let ready = count(seen, revision, |pod| pod.ready);
    seen.deployment.as_ref().map_or(0, |deployment| deployment.available.min(ready))
}

fn count(seen: &ColorSeen, revision: &str, such: impl Fn(&PodSeen) -> bool) -> i32 {
    let pods = seen.pods.iter().filter(|pod| pod.revision == revision && !pod.deleting && such(pod));
    i32::try_from(pods.count()).unwrap_or(i32::MAX)
}

/// Pods that would be there if there were room for them.
fn without_room(seen: &ColorSeen, revision: &str, size: i32) -> i32 {
    let unschedulable = |pod: &PodSeen| !pod.ready && pod.trouble.as_ref().is_some_and(|trouble| trouble.reason == "Unschedulable");
    let refused = seen.deployment.as_ref().is_some_and(|deployment| deployment.replica_failure.is_some());
    let not_made = if refused { size.saturating_sub(count(seen, revision, |_| true)).max(0) } else { 0 };
    count(seen, revision, unschedulable).saturating_add(not_made)
}
