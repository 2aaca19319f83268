//! How many ready pods a standby must have before users go back to it.

use crate::{
    clock,
    intent::one_pod_is_enough,
    observed::{
        Observed,
        facts::{ready, surely_reachable, taken_up},
        progress::serving_pods,
        short::{half, three_quarters},
    },
    plan::Plan,
};
use bluegreen_api::{BlueGreenRolloutStatus, Side};
use jiff::Timestamp;
use std::time::Duration;

/// So long no further pod of the standby must have got ready before fewer than all are taken for what there is.
const SETTLED: Duration = Duration::from_secs(30);

/// The standby has as many ready pods as the side being left, or all it asks for; when no further pod comes, three quarters of those that it
/// had and half as many as the side being left; on a person's order, and from a side with no ready pod, one.
pub(crate) fn can_take_over(seen: &Observed, plan: &Plan<'_>, status: &BlueGreenRolloutStatus, active: &Side, standby: &Side) -> bool {
    let slow = is_slow(status);
    // What is seen of its pods may be those of its former life, until our write of it is taken up.
    if slow && !taken_up(seen, standby) {
        return false;
    }
    let (left, has) = (ready(seen, active), surely_reachable(seen, standby));
    let all = match (one_pod_is_enough(status), slow) {
        (true, _) => 1,
        // Deployed again: full size before it takes over from a side that still serves.
        (false, true) if left > 0 => standby.replicas,
        (false, _) => standby.replicas.min(left),
    };
    let (of_its_own, of_the_other) = fewest(standby, left);
    let enough = || has >= of_its_own.max(of_the_other).max(1);
    has >= all.max(1) || (!slow && enough() && settled_at(seen, plan, status, standby).is_some_and(|at| at <= seen.now))
}

/// The two numbers that a standby must have of which no further pod gets ready: three quarters of those that it had when it was left, and
/// half as many as the side being left has.
pub(crate) fn fewest(standby: &Side, left: i32) -> (i32, i32) {
    (three_quarters(standby.ready_when_left.unwrap_or(standby.replicas)), half(left))
}

/// When no further pod of the standby is waited for. One that comes and goes puts it off, a deadline at most.
pub(crate) fn settled_at(seen: &Observed, plan: &Plan<'_>, status: &BlueGreenRolloutStatus, standby: &Side) -> Option<Timestamp> {
    if is_slow(status) {
        return None;
    }
    let clock = status.clock.as_ref()?;
    let own = serving_pods(seen.color(standby.color), &standby.revision);
    let latest = own.filter_map(|pod| pod.ready_changed).chain([clock.since]).max()?;
    let settled = latest.checked_add(SETTLED).ok();
    [settled, clock::due(clock, plan.settings.progress_deadline.max(SETTLED))].into_iter().flatten().min()
}

fn is_slow(status: &BlueGreenRolloutStatus) -> bool {
    status.ending.as_ref().is_some_and(|ending| ending.slow)
}
