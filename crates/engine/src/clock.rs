//! Time that counts: not while held, and not while no operator was there to look.

use crate::observed::Absence;
use bluegreen_api::Clock;
use jiff::Timestamp;
use std::time::Duration;

/// A clock that starts now. Absences that ended before now don't touch it.
pub fn started(now: Timestamp) -> Clock {
    Clock { since: now, excluded_millis: 0, stopped: None, accounted_until: None }
}

/// How much time has counted.
pub fn elapsed(clock: &Clock, now: Timestamp) -> Duration {
    let end = clock.stopped.unwrap_or(now);
    let millis = (end.as_millisecond() - clock.since.as_millisecond()).saturating_sub(clock.excluded_millis);
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

/// When the clock will have counted that much; never while it stands still.
pub fn due(clock: &Clock, after: Duration) -> Option<Timestamp> {
    if clock.stopped.is_some() {
        return None;
    }
    let after = i64::try_from(after.as_millis()).ok()?;
    let millis = clock.since.as_millisecond().checked_add(clock.excluded_millis)?.checked_add(after)?;
    Timestamp::from_millisecond(millis).ok()
}

/// Stops or restarts the clock.
pub fn hold(clock: &mut Clock, held: bool, now: Timestamp) {
    match (clock.stopped, held) {
        (None, true) => clock.stopped = Some(now),
        (Some(stopped), false) => {
            clock.excluded_millis = clock.excluded_millis.saturating_add((now.as_millisecond() - stopped.as_millisecond()).max(0));
            clock.stopped = None;
        }
        (None, false) | (Some(_), true) => {}
    }
}

/// Takes out the time in which nobody looked.
pub fn account(clock: &mut Clock, absence: Absence) {
    if absence.to <= clock.since || clock.accounted_until.is_some_and(|until| absence.to <= until) {
        return;
    }
    let from = absence.from.map_or(clock.since, |from| from.max(clock.since));
    let to = clock.stopped.map_or(absence.to, |stopped| absence.to.min(stopped));
    // What was held and went unseen at the same time is taken out once.
    let all = (absence.to.as_millisecond() - clock.since.as_millisecond()).max(0);
    clock.excluded_millis = clock.excluded_millis.saturating_add((to.as_millisecond() - from.as_millisecond()).max(0)).min(all);
    clock.accounted_until = Some(absence.to);
}

/// A time to the second, as conditions and people have it.
pub(crate) fn whole_second(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// Settings from which on the end of a wait is shown with its day.
const WITH_DAY: Duration = Duration::from_secs(12 * 3600);

/// The end of a wait that long, as people read it. It follows from the setting alone whether the day is shown, so that the text stays.
pub(crate) fn shown(at: Timestamp, wait: Duration) -> String {
    at.strftime(if wait < WITH_DAY { "%H:%M:%SZ" } else { "%Y-%m-%d %H:%MZ" }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + seconds).unwrap()
    }

    #[test]
    fn the_end_of_a_long_wait_is_shown_with_its_day() {
        let end = at(0);
        assert_eq!(shown(end, Duration::from_secs(12 * 3600 - 1)), "13:46:40Z");
        assert_eq!(shown(end, Duration::from_secs(12 * 3600)), "1970-01-12 13:46Z");
    }

    #[test]
    fn held_time_does_not_count() {
        let mut clock = started(at(0));
        hold(&mut clock, true, at(10));
        assert_eq!(elapsed(&clock, at(100)), Duration::from_secs(10));
        assert_eq!(due(&clock, Duration::from_secs(30)), None);
        hold(&mut clock, false, at(100));
        assert_eq!(elapsed(&clock, at(110)), Duration::from_secs(20));
        assert_eq!(due(&clock, Duration::from_secs(30)), Some(at(120)));
    }

    #[test]
    fn time_without_an_operator_is_taken_out_once() {
        let mut clock = started(at(0));
        let absence = Absence { from: Some(at(20)), to: at(3620) };
        account(&mut clock, absence);
        account(&mut clock, absence);
        assert_eq!(elapsed(&clock, at(3620)), Duration::from_secs(20));
    }

    #[test]
    fn an_absence_of_unknown_length_takes_out_everything() {
        let mut clock = started(at(0));
        account(&mut clock, Absence { from: None, to: at(500) });
        assert_eq!(elapsed(&clock, at(503)), Duration::from_secs(3));
    }

    #[test]
    fn an_absence_while_held_is_not_taken_out_twice() {
        let mut clock = started(at(0));
        hold(&mut clock, true, at(10));
        account(&mut clock, Absence { from: Some(at(20)), to: at(100) });
        hold(&mut clock, false, at(110));
        assert_eq!(elapsed(&clock, at(115)), Duration::from_secs(15));
    }

    #[test]
    fn a_clock_set_back_yields_no_negative_time() {
        assert_eq!(elapsed(&started(at(100)), at(0)), Duration::ZERO);
    }
    #[test]
    fn time_both_held_and_unseen_is_taken_out_once() {
        let mut clock = started(at(0));
        hold(&mut clock, true, at(10));
        hold(&mut clock, false, at(50));
        account(&mut clock, Absence { from: None, to: at(100) });
        assert_eq!(elapsed(&clock, at(103)), Duration::from_secs(3));
    }

    #[test]
    fn an_absence_before_the_clock_started_does_not_count() {
        for to in [50, 100] {
            let mut clock = started(at(100));
            account(&mut clock, Absence { from: Some(at(0)), to: at(to) });
            assert_eq!(clock, started(at(100)));
        }
    }
}
