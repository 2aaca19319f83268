//! The next step of a candidate for leadership: a pure function of the Lease as it was read and of what is remembered of it.
//!
//! Whether somebody else's lease has run out is judged by how long *this* process has seen it unchanged, never by the other's clock.

use bluegreen_engine::observed::Absence;
use jiff::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// How long a lease is good without being renewed.
    pub duration: Duration,
    /// A leader who could not renew for this long stops to lead.
    pub renew_deadline: Duration,
    /// The pause between two tries.
    pub retry: Duration,
}

impl Times {
    /// Nothing is begun this shortly before the deadline.
    pub fn margin(&self) -> Duration {
        (self.renew_deadline / 5).min(Duration::from_secs(1))
    }
}

/// The Lease as the API server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    pub resource_version: String,
    /// Empty: nobody.
    pub holder: String,
    pub renewed: Option<Timestamp>,
    /// How long the holder's lease is good.
    pub duration: Option<Duration>,
    pub transitions: i64,
}

/// The latest version of the Lease, and when this process saw it first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    pub record: Record,
    pub at: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write our name into it, as the holder of this term.
    Acquire {
        term: i64,
    },
    Renew,
    /// Somebody else leads.
    Wait(Duration),
}

/// The sighting after another look: the time of the first look at a version is kept.
pub fn sighted(former: Option<Sighting>, record: Record, now: Instant) -> Sighting {
    match former {
        Some(former) if former.record == record => former,
        _ => Sighting { record, at: now },
    }
}

/// `sighting`: None if there is no Lease. `leading`: this process holds it, as far as it knows.
pub fn next(sighting: Option<&Sighting>, me: &str, leading: bool, now: Instant, times: &Times) -> Step {
    let Some(Sighting { record, at }) = sighting else { return Step::Acquire { term: 1 } };
    if record.holder == me && leading {
        return Step::Renew;
    }
    // Our own name without our leading it is that of a former life: it may have acted since, so that a new term begins.
    if record.holder.is_empty() || record.holder == me {
        return Step::Acquire { term: record.transitions + 1 };
    }
    // The holder may count on a longer lease than we would.
    let good_for = record.duration.unwrap_or(times.duration).max(times.duration);
    let left = good_for.saturating_sub(now.saturating_duration_since(*at));
    if left.is_zero() { Step::Acquire { term: record.transitions + 1 } } else { Step::Wait(left.min(times.retry)) }
}

/// The time without a leader that ends with an acquisition. A gap that a lease could have covered is none.
pub fn absence(former: Option<&Record>, now: Timestamp, times: &Times) -> Option<Absence> {
    let from = former.and_then(|record| record.renewed);
    let covered = from.is_some_and(|from| now.duration_since(from).unsigned_abs() < times.duration);
    (!covered).then_some(Absence { from, to: now })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Times =
        Times { duration: Duration::from_secs(15), renew_deadline: Duration::from_secs(10), retry: Duration::from_secs(2) };

    fn held(holder: &str, at: Instant) -> Sighting {
        Sighting { record: Record { holder: holder.into(), transitions: 4, ..Record::default() }, at }
    }

    #[test]
    fn the_next_step_follows_from_the_lease_and_its_age() {
        let at = Instant::now();
        let later = |seconds: u64| at + Duration::from_secs(seconds);
        for (what, sighting, leading, now, step) in [
            ("no lease at all", None, false, at, Step::Acquire { term: 1 }),
            ("released", Some(held("", at)), false, at, Step::Acquire { term: 5 }),
            ("held by another, just seen", Some(held("other", at)), false, at, Step::Wait(Duration::from_secs(2))),
            ("held by another, nearly run out", Some(held("other", at)), false, later(14), Step::Wait(Duration::from_secs(1))),
            ("held by another, run out", Some(held("other", at)), false, later(15), Step::Acquire { term: 5 }),
            ("ours", Some(held("me", at)), true, later(60), Step::Renew),
            ("ours of a former life", Some(held("me", at)), false, at, Step::Acquire { term: 5 }),
            ("lost to another", Some(held("other", at)), true, at, Step::Wait(Duration::from_secs(2))),
        ] {
            assert_eq!(next(sighting.as_ref(), "me", leading, now, &TIMES), step, "{what}");
        }
    }

    #[test]
    fn a_holder_with_a_longer_lease_is_given_its_time() {
        let at = Instant::now();
        let mut sighting = held("other", at);
        sighting.record.duration = Some(Duration::from_secs(60));
        assert_eq!(next(Some(&sighting), "me", false, at + Duration::from_secs(59), &TIMES), Step::Wait(Duration::from_secs(1)));
    }

    #[test]
    fn only_a_changed_lease_is_seen_anew() {
        let at = Instant::now();
        let later = at + Duration::from_secs(5);
        let first = held("other", at);
        assert_eq!(sighted(Some(first.clone()), first.record.clone(), later), first);
        let renewed = Record { resource_version: "2".into(), ..first.record.clone() };
        assert_eq!(sighted(Some(first), renewed, later).at, later);
    }

    #[test]
    fn a_gap_that_a_lease_could_cover_is_no_absence() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().unwrap();
        let renewed = |at: &str| Record { renewed: Some(at.parse().unwrap()), ..Record::default() };
        assert_eq!(absence(Some(&renewed("2026-01-01T00:00:50Z")), now, &TIMES), None);
        let from = "2026-01-01T00:00:30Z".parse().unwrap();
        assert_eq!(absence(Some(&renewed("2026-01-01T00:00:30Z")), now, &TIMES), Some(Absence { from: Some(from), to: now }));
        assert_eq!(absence(None, now, &TIMES), Some(Absence { from: None, to: now }), "nobody knows of an earlier operator");
    }
}
