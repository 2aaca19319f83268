//! Whose doing it was that requests failed.

use bluegreen_e2e::traffic::Counted;
use bluegreen_load::Answer;
use jiff::Timestamp;

/// When all pods that users could reach were dead: a Service leads to no pod but these until kube-proxy has followed.
///
/// kube-proxy writes all its rules at once. So the first new connection that the standby answers is also the moment from which none
/// is led to a dead pod, and every request that was under way when the pods were killed, or was sent from then until that moment, had
/// no other pod than a dead one to go to. Each of them may fail, and no other: the order of events decides, no clock.
#[derive(Debug)]
pub(super) struct Tally {
    killed: Timestamp,
    followed: Timestamp,
}

/// How many requests failed in the hands of dying pods.
#[derive(Debug)]
pub(super) struct InHand {
    /// Until the active Service was written.
    pub(super) before_the_write: usize,
    /// Until kube-proxy followed.
    pub(super) after_it: usize,
}

impl Tally {
    /// `killed`: when the first pod was. `back`: the version of the standby.
    pub(super) fn of(counted: &Counted, killed: Timestamp, back: &str) -> Self {
        let is_back = |answer: &&Answer| answer.at >= killed && answer.new_connection && answer.version.as_deref() == Some(back);
        let followed = counted.answers.iter().find(is_back).map(|answer| answer.at);
        Self { killed, followed: followed.unwrap_or_else(|| panic!("{back} answered nobody new since {killed}")) }
    }

    fn had_in_hand(&self, answer: &Answer) -> bool {
        let ended = answer.at + jiff::SignedDuration::from_micros(answer.microseconds.into());
        ended >= self.killed && answer.at < self.followed
    }

    /// The requests that failed: those that dying pods had in hand, and all others.
    fn failed<'a>(&self, counted: &'a Counted) -> (Vec<&'a Answer>, Vec<&'a Answer>) {
        let failed = counted.answers.iter().filter(|answer| answer.failure.is_some());
        failed.partition(|answer| self.had_in_hand(answer))
    }

    /// Counts those that failed in the hands of dying pods.
    ///
    /// # Panics
    ///
    /// Another one failed.
    pub(super) fn assert_no_other_failed(&self, counted: &Counted, written: Timestamp) -> InHand {
        let (in_hand, others) = self.failed(counted);
        assert!(others.is_empty(), "{} requests failed that no dying pod had in hand ({self:?}): {others:#?}", others.len());
        let before_the_write = in_hand.iter().filter(|answer| answer.at < written).count();
        InHand { before_the_write, after_it: in_hand.len() - before_the_write }
    }
}

/// Prints what was counted, where the night finds it.
pub(super) fn covered(scene: &str, counted: &Counted, in_hand: usize) {
    let summary = &counted.summary;
    println!("covered: {scene}: {} requests, {} failed, {in_hand} of them in the hands of dying pods", summary.sent, summary.failed);
}

/// The same where no pod died but in its own time.
pub(super) fn assert_none_failed(scene: &str, counted: &Counted) {
    counted.assert_none_failed();
    covered(scene, counted, 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use bluegreen_load::{Failure, Summary};

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(millis).unwrap()
    }

    #[test]
    fn dying_pods_had_in_hand_what_came_until_traffic_followed() {
        let answer = |millis: i64, took: u32, version: Option<&str>| Answer {
            at: at(millis),
            microseconds: took * 1000,
            new_connection: true,
            version: version.map(str::to_owned),
            failure: version.is_none().then(|| Failure { kind: "refused".into(), message: String::new() }),
            ..Answer::default()
        };
        let answers = vec![
            answer(10, 5, None),
            answer(20, 100, None),
            answer(30, 1, Some("1")),
            answer(110, 1, None),
            answer(120, 1, Some("2")),
            answer(130, 1, None),
            answer(140, 1, Some("1")),
            answer(150, 1, None),
        ];
        let counted = Counted { summary: Summary::default(), answers };
        let tally = Tally::of(&counted, at(100), "1");
        let moments = |answers: Vec<&Answer>| answers.iter().map(|answer| answer.at.as_millisecond()).collect::<Vec<_>>();
        let (in_hand, others) = tally.failed(&counted);
        assert_eq!((moments(in_hand), moments(others)), (vec![20, 110, 130], vec![10, 150]));
    }
}
