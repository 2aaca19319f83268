use super::*;
use crate::clock;
use bluegreen_api::Color;
use bluegreen_engine::{
    Why,
    asked::Asked,
    decision::{Change, Guard, Manner},
    observed::Identity,
};
use bluegreen_gates::templates::Templates;
use serde_json::json;
use std::sync::Arc;

/// What the loop did, in order.
#[derive(Default)]
struct Script {
    did: Vec<&'static str>,
    looks: i64,
    gone_after: Option<i64>,
    stale_records: usize,
    refused_effects: usize,
    not_leading: bool,
}

fn observed(looks: i64) -> Observed {
    let spec = json!({
        "image": "shop:1",
        "template": {"spec": {"containers": [{"name": "shop"}]}},
        "service": {"ports": [{"port": 80}]},
    });
    let rollout = Identity { namespace: "a".into(), name: "shop".into(), uid: "u".into(), generation: looks };
    let asked = Asked::of(serde_json::from_value(spec).unwrap(), ("a", "shop"), Templates::new(), None);
    Observed::nothing_but(rollout, Arc::new(asked), BlueGreenRolloutStatus::default(), clock::now())
}

impl World for Script {
    async fn look(&mut self) -> Result<Sight, Trouble> {
        self.looks += 1;
        if self.gone_after.is_some_and(|last| self.looks > last) {
            return Ok(Sight::Gone);
        }
        Ok(Sight::Seen(Box::new(observed(self.looks))))
    }

    async fn record(&mut self, _: &Observed, _: &BlueGreenRolloutStatus) -> Result<(), Trouble> {
        if self.stale_records > 0 {
            self.stale_records -= 1;
            return Err(Trouble::Stale);
        }
        self.did.push("record");
        Ok(())
    }

    async fn perform(&mut self, _: &Observed, _: &Effect) -> Result<Performed, Trouble> {
        if self.not_leading {
            return Err(Trouble::NotLeading);
        }
        if self.refused_effects > 0 {
            self.refused_effects -= 1;
            return Ok(Performed::Refused);
        }
        self.did.push("perform");
        Ok(Performed::Done)
    }

    fn measure(&mut self, _: &Observed) {
        self.did.push("measure");
    }
}

fn record(message: String) -> Decision {
    Decision::Record(Box::new(BlueGreenRolloutStatus { message, ..BlueGreenRolloutStatus::default() }))
}

fn delete(hash: String) -> Effect {
    Effect { change: Change::DeleteRevision { hash }, guard: Guard::None, why: "test" }
}

fn wait_now() -> Decision {
    Decision::Wait { until: None, why: Why("test".into()) }
}

#[tokio::test]
async fn it_records_then_acts_then_waits_and_measures() {
    let decide = |seen: &Observed| match seen.generation {
        1 => record("one".into()),
        2 => Decision::Act(vec![delete("a".into()), delete("b".into())]),
        _ => wait_now(),
    };
    let mut script = Script::default();
    assert_eq!(reconcile(&mut script, decide).await.unwrap(), Next::In(RESYNC));
    assert_eq!(script.did, ["record", "perform", "perform", "measure"]);
}

#[tokio::test]
async fn a_record_that_came_too_late_is_decided_anew() {
    let decide = |seen: &Observed| if seen.generation < 3 { record(format!("{}", seen.generation)) } else { wait_now() };
    let mut script = Script { stale_records: 1, ..Script::default() };
    reconcile(&mut script, decide).await.unwrap();
    assert_eq!(script.did, ["record", "measure"]);
}

/// Somebody annotated the rollout: what is to be recorded is the same as before.
#[tokio::test]
async fn a_changed_rollout_may_lead_to_the_same_decision_again() {
    let decide = |seen: &Observed| if seen.generation < 4 { record("one".into()) } else { wait_now() };
    let mut script = Script { stale_records: 2, ..Script::default() };
    assert_eq!(reconcile(&mut script, decide).await.unwrap(), Next::In(RESYNC));
    assert_eq!(script.did, ["record", "measure"]);
}

/// `spec` changed while the API server didn't answer: a refusal of the former one holds nothing back.
#[tokio::test]
async fn what_was_refused_may_be_tried_again_at_once() {
    let decide = |seen: &Observed| if seen.generation < 3 { Decision::Act(vec![delete("a".into())]) } else { wait_now() };
    let mut script = Script { refused_effects: 1, ..Script::default() };
    assert_eq!(reconcile(&mut script, decide).await.unwrap(), Next::In(RESYNC));
    assert_eq!(script.did, ["perform", "measure"]);
}

#[tokio::test]
async fn the_same_decision_twice_is_not_carried_out_twice() {
    let mut script = Script::default();
    assert_eq!(reconcile(&mut script, |_| Decision::Act(vec![delete("a".into())])).await.unwrap(), Next::BackOff);
    assert_eq!(script.did, ["perform"]);
}

#[tokio::test]
async fn a_loop_that_does_not_settle_ends() {
    let mut script = Script::default();
    let decide = |seen: &Observed| record(seen.generation.to_string());
    assert_eq!(reconcile(&mut script, decide).await.unwrap(), Next::In(Duration::from_secs(1)));
    assert_eq!(script.did.len(), bluegreen_engine::pass::TURNS);
}

#[tokio::test]
async fn who_has_lost_leadership_stops_in_the_middle() {
    let mut script = Script { not_leading: true, ..Script::default() };
    let decide = |_: &Observed| Decision::Act(vec![delete("a".into())]);
    assert!(matches!(reconcile(&mut script, decide).await, Err(Trouble::NotLeading)));
}

#[tokio::test]
async fn a_rollout_that_is_gone_is_forgotten() {
    let mut script = Script { gone_after: Some(1), ..Script::default() };
    assert_eq!(reconcile(&mut script, |_| record("x".into())).await.unwrap(), Next::Forget);
}

#[test]
fn it_waits_exactly_until_then_and_never_spins() {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let now = at("2026-01-01T00:00:00Z");
    assert_eq!(wait(at("2026-01-01T00:00:02.5Z"), now), Duration::from_millis(2500));
    assert_eq!(wait(now, now), Duration::from_millis(100));
    assert_eq!(wait(at("2025-01-01T00:00:00Z"), now), Duration::from_millis(100));
    assert_eq!(wait(at("2027-01-01T00:00:00Z"), now), RESYNC);
}

/// The collector of garbage does so, when a rollout was deleted and the operator hears of that last.
#[test]
fn what_somebody_deletes_at_once_is_no_fault_of_the_operator() {
    let stored = |change| Effect { change, guard: Guard::None, why: "test" };
    let written = stored(Change::WriteRevision { hash: "a".into(), number: 1 });
    let restored = stored(Change::RestoreRevision { hash: "a".into(), number: 1, color: Color::Blue });
    let made = Effect {
        guard: Guard::Absent,
        ..stored(Change::WriteDeployment { color: Color::Blue, revision: "a".into(), replicas: 1, manner: Manner::Whole })
    };
    assert!(makes_only(&Decision::Act(vec![written, made])));
    assert!(makes_only(&Decision::Act(vec![restored.clone()])));
    assert!(!makes_only(&Decision::Act(vec![restored, delete("b".into())])));
}
