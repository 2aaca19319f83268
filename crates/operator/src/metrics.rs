//! The operator's own metrics. No label holds the name of an object, so the number of series stays bounded.

use bluegreen_api::{Attempt, BlueGreenRolloutStatus, GateState, Outcome, Phase};
use bluegreen_engine::observed::ObjectKind;
use jiff::Timestamp;
use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use std::{fmt, time::Duration};

/// A label whose values are words of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Word(pub &'static str);

impl EncodeLabelValue for Word {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        EncodeLabelValue::encode(&self.0, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByResult {
    result: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByPhase {
    phase: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByStep {
    from: Word,
    to: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    outcome: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByMeasurement {
    kind: Word,
    result: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByVerdict {
    stage: Word,
    state: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByRequest {
    verb: Word,
    resource: Word,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: Word,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByKind {
    kind: Word,
}

type Timings<L> = Family<L, Histogram, fn() -> Histogram>;

#[derive(Clone, Debug)]
pub struct Metrics {
    reconciles: Family<ByResult, Counter>,
    reconcile_time: Histogram,
    transitions: Family<ByStep, Counter>,
    phase_time: Timings<ByPhase>,
    promotion_time: Histogram,
    attempts: Family<ByOutcome, Counter>,
    measurements: Family<ByMeasurement, Counter>,
    verdicts: Family<ByVerdict, Counter>,
    requests: Family<ByRequest, Counter>,
    phases: Family<ByPhase, Gauge>,
    queue: Family<ByState, Gauge>,
    unread: Family<ByKind, Gauge>,
    waiting_for_place: Gauge,
    place_time: Histogram,
    leading: Gauge,
}

fn short() -> Histogram {
    Histogram::new([0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0])
}

fn long() -> Histogram {
    Histogram::new([0.1, 0.5, 1.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0, 3600.0, 21_600.0, 86_400.0])
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            reconciles: Family::default(),
            reconcile_time: short(),
            transitions: Family::default(),
            phase_time: Family::new_with_constructor(long),
            promotion_time: long(),
            attempts: Family::default(),
            measurements: Family::default(),
            verdicts: Family::default(),
            requests: Family::default(),
            phases: Family::default(),
            queue: Family::default(),
            unread: Family::default(),
            waiting_for_place: Gauge::default(),
            place_time: short(),
            leading: Gauge::default(),
        }
    }
}

impl Metrics {
    pub fn register(&self) -> Registry {
        let mut all = Registry::with_prefix("bluegreen");
        all.register("reconciles", "Reconciles of rollouts by result", self.reconciles.clone());
        all.register_with_unit("reconcile", "Duration of a reconcile", Unit::Seconds, self.reconcile_time.clone());
        all.register("transitions", "Recorded transitions between phases", self.transitions.clone());
        all.register_with_unit(
            "phase",
            "Time that rollouts spent in a phase, counted when they leave it",
            Unit::Seconds,
            self.phase_time.clone(),
        );
        all.register_with_unit(
            "promotion",
            "Time from the start of an attempt to the switch to its revision",
            Unit::Seconds,
            self.promotion_time.clone(),
        );
        all.register("attempts", "Finished attempts by outcome", self.attempts.clone());
        all.register("measurements", "Checks and readings by kind and result", self.measurements.clone());
        all.register("gate_verdicts", "Gate verdicts by stage and state", self.verdicts.clone());
        all.register("api_requests", "Requests to the API server by verb, resource and code", self.requests.clone());
        all.register("rollouts", "Rollouts by phase", self.phases.clone());
        all.register("queue_depth", "Queued rollouts by state: ready, or waiting for a time", self.queue.clone());
        all.register("unreadable_objects", "Objects that can't be read, by kind: only what belongs to them is held", self.unread.clone());
        all.register(
            "measurements_waiting",
            "Measurements that wait for a place among the requests in flight",
            self.waiting_for_place.clone(),
        );
        all.register_with_unit(
            "measurement_wait",
            "Time that measurements waited for a place, of those that had to wait",
            Unit::Seconds,
            self.place_time.clone(),
        );
        all.register("leading", "1 while this operator is the leader, else 0", self.leading.clone());
        all
    }

    pub fn reconciled(&self, result: &'static str, took: Duration) {
        self.reconciles.get_or_create(&ByResult { result: Word(result) }).inc();
        self.reconcile_time.observe(took.as_secs_f64());
    }

    pub fn measured(&self, kind: &'static str, result: &'static str) {
        self.measurements.get_or_create(&ByMeasurement { kind: Word(kind), result: Word(result) }).inc();
    }

    pub fn requested(&self, verb: &'static str, resource: &'static str, code: u16) {
        self.requests.get_or_create(&ByRequest { verb: Word(verb), resource: Word(resource), code }).inc();
    }

    pub fn set_leading(&self, leading: bool) {
        self.leading.set(i64::from(leading));
    }

    pub fn set_unread(&self, counts: impl IntoIterator<Item = (ObjectKind, usize)>) {
        for (kind, count) in counts {
            self.unread.get_or_create(&ByKind { kind: Word(kind.as_str()) }).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    /// One more, or one less.
    pub fn waits_for_place(&self, more: i64) {
        self.waiting_for_place.inc_by(more);
    }

    pub fn waited_for_place(&self, time: Duration) {
        self.place_time.observe(time.as_secs_f64());
    }

    pub fn set_queue(&self, (ready, later): (usize, usize)) {
        for (state, depth) in [("ready", ready), ("waiting", later)] {
            self.queue.get_or_create(&ByState { state: Word(state) }).set(i64::try_from(depth).unwrap_or(i64::MAX));
        }
    }

    /// One for each rollout.
    pub fn set_phases(&self, phases: impl Iterator<Item = Option<Phase>>) {
        let mut counts = [0_i64; Phase::ALL.len() + 1];
        for phase in phases {
            let place = phase.and_then(|phase| Phase::ALL.iter().position(|is| *is == phase)).unwrap_or(Phase::ALL.len());
            counts[place] += 1;
        }
        for (place, count) in counts.into_iter().enumerate() {
            let phase = Word(Phase::ALL.get(place).map_or("None", |phase| phase.as_str()));
            self.phases.get_or_create(&ByPhase { phase }).set(count);
        }
    }

    /// Counts the times and outcomes of a Record. The history has the phases that were passed within one record.
    pub fn recorded(&self, old: &BlueGreenRolloutStatus, new: &BlueGreenRolloutStatus) {
        let attempts = new.current.iter().chain(&new.history);
        for attempt in attempts {
            let known = old.current.iter().chain(&old.history).find(|known| known.attempt == attempt.attempt);
            self.stepped(attempt, known.map_or(0, |known| known.phases.len()));
            if let Some(outcome) = attempt.outcome.filter(|_| known.is_none_or(|known| known.outcome.is_none())) {
                self.attempts.get_or_create(&ByOutcome { outcome: Word(word(outcome)) }).inc();
            }
        }
        self.judged(old, new);
        if let (Some(from), Some(to)) = (old.phase, new.phase)
            && from != to
        {
            self.transitions.get_or_create(&ByStep { from: Word(from.as_str()), to: Word(to.as_str()) }).inc();
        }
    }

    /// Counts gates that reached another verdict, or began anew and reached a verdict. The history has the gates of an attempt that ended.
    fn judged(&self, old: &BlueGreenRolloutStatus, new: &BlueGreenRolloutStatus) {
        let of_ended = |attempt: &&Attempt| {
            let known = old.history.iter().any(|known| known.attempt == attempt.attempt);
            !known && attempt.attempt == old.attempt
        };
        let ended = new.history.iter().filter(of_ended).flat_map(|attempt| &attempt.gates);
        let ended =
            ended.filter(|result| !new.gates.iter().any(|gate| gate.name == result.name)).map(|result| (&result.name, result.state, None));
        let there = new.gates.iter().map(|gate| (&gate.name, gate.state, Some(&gate.definition)));
        for (name, state, definition) in there.chain(ended) {
            let same =
                old.gates.iter().find(|gate| gate.name == *name && definition.is_none_or(|definition| gate.definition == *definition));
            if state != GateState::Running && same.is_none_or(|same| same.state != state) {
                self.verdicts.get_or_create(&ByVerdict { stage: Word(stage(name)), state: Word(verdict(state)) }).inc();
            }
        }
    }

    fn stepped(&self, attempt: &Attempt, known: usize) {
        let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64().max(0.0);
        for place in known.max(1)..attempt.phases.len() {
            let (left, entered) = (&attempt.phases[place - 1], &attempt.phases[place]);
            self.phase_time.get_or_create(&ByPhase { phase: Word(left.phase.as_str()) }).observe(seconds(left.at, entered.at));
            if left.phase == Phase::Promoting && entered.phase != Phase::RollingBack {
                self.promotion_time.observe(seconds(attempt.phases[0].at, entered.at));
            }
        }
    }
}

fn stage(gate: &str) -> &'static str {
    match gate.split_once('/') {
        Some(("verification", _)) => "verification",
        Some(("monitoring", _)) => "monitoring",
        _ => "approval",
    }
}

const fn verdict(state: GateState) -> &'static str {
    match state {
        GateState::Running => "Running",
        GateState::Passed => "Passed",
        GateState::Failed => "Failed",
        GateState::Inconclusive => "Inconclusive",
        GateState::Unknown => "Unknown",
    }
}

const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Promoted => "Promoted",
        Outcome::Aborted => "Aborted",
        Outcome::RolledBack => "RolledBack",
        Outcome::Reverted => "Reverted",
        Outcome::Superseded => "Superseded",
        Outcome::Unknown => "Unknown",
    }
}

/// All metrics as Prometheus reads them.
pub fn text(registry: &Registry) -> Result<String, fmt::Error> {
    let mut page = String::new();
    text::encode(&mut page, registry)?;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bluegreen_api::PhaseTime;

    fn status(phase: Phase, phases: &[(Phase, &str)]) -> BlueGreenRolloutStatus {
        let phases = phases.iter().map(|(phase, at)| PhaseTime { phase: *phase, at: at.parse().unwrap() }).collect();
        let current = serde_json::json!({"attempt": 2, "revision": "abc", "number": 2, "image": "shop:2"});
        let current = Attempt { phases, ..serde_json::from_value(current).unwrap() };
        BlueGreenRolloutStatus { phase: Some(phase), current: Some(current), ..BlueGreenRolloutStatus::default() }
    }

    #[test]
    fn a_record_that_passes_several_phases_counts_the_time_of_each() {
        let metrics = Metrics::default();
        let old = status(Phase::DeployingPreview, &[(Phase::DeployingPreview, "2026-01-01T00:00:00Z")]);
        let new = status(
            Phase::Monitoring,
            &[
                (Phase::DeployingPreview, "2026-01-01T00:00:00Z"),
                (Phase::Promoting, "2026-01-01T00:00:20Z"),
                (Phase::Monitoring, "2026-01-01T00:00:21Z"),
            ],
        );
        metrics.recorded(&old, &new);
        metrics.recorded(&new, &new);
        let page = text(&metrics.register()).unwrap();
        for line in [
            "bluegreen_phase_seconds_sum{phase=\"DeployingPreview\"} 20.0",
            "bluegreen_phase_seconds_count{phase=\"Promoting\"} 1",
            "bluegreen_promotion_seconds_sum 21.0",
            "bluegreen_transitions_total{from=\"DeployingPreview\",to=\"Monitoring\"} 1",
        ] {
            assert!(page.contains(line), "{line} is missing in\n{page}");
        }
    }

    #[test]
    fn a_verdict_is_counted_when_it_turns_and_once() {
        let gate = |name: &str, state: &str, definition: &str| {
            serde_json::from_value(
                serde_json::json!({"name": name, "state": state, "definition": definition, "since": "2026-01-01T00:00:00Z"}),
            )
            .unwrap()
        };
        let with = |gates: Vec<bluegreen_api::Gate>| BlueGreenRolloutStatus { attempt: 2, gates, ..BlueGreenRolloutStatus::default() };
        let metrics = Metrics::default();
        let steps = [
            with(vec![gate("verification/errors", "Running", "a"), gate("monitoring/errors", "Running", "a")]),
            with(vec![gate("verification/errors", "Inconclusive", "a"), gate("monitoring/errors", "Running", "a")]),
            with(vec![gate("verification/errors", "Inconclusive", "a"), gate("monitoring/errors", "Running", "a")]),
            with(vec![gate("verification/errors", "Passed", "a"), gate("monitoring/errors", "Running", "a")]),
            with(vec![gate("verification/errors", "Passed", "b"), gate("monitoring/errors", "Running", "a")]),
        ];
        for pair in steps.windows(2) {
            metrics.recorded(&pair[0], &pair[1]);
        }
        // A gate that fails together with its attempt is in the history only.
        let result = serde_json::json!({"name": "monitoring/errors", "state": "Failed"});
        let ended = serde_json::json!({"attempt": 2, "revision": "abc", "number": 2, "image": "shop:2", "gates": [result]});
        let ended = BlueGreenRolloutStatus { history: vec![serde_json::from_value(ended).unwrap()], ..with(vec![]) };
        metrics.recorded(&steps[4], &ended);
        metrics.recorded(&ended, &ended);
        let page = text(&metrics.register()).unwrap();
        for (stage, state, count) in [("verification", "Inconclusive", 1), ("verification", "Passed", 2), ("monitoring", "Failed", 1)] {
            let line = format!("bluegreen_gate_verdicts_total{{stage=\"{stage}\",state=\"{state}\"}} {count}\n");
            assert!(page.contains(&line), "{line} is missing in\n{page}");
        }
        assert_eq!(page.matches("bluegreen_gate_verdicts_total{").count(), 3, "{page}");
    }

    #[test]
    fn rollouts_are_counted_by_phase_with_zeros() {
        let metrics = Metrics::default();
        metrics.set_phases([Some(Phase::Healthy), Some(Phase::Healthy), None].into_iter());
        let page = text(&metrics.register()).unwrap();
        for line in
            ["bluegreen_rollouts{phase=\"Healthy\"} 2", "bluegreen_rollouts{phase=\"None\"} 1", "bluegreen_rollouts{phase=\"Aborted\"} 0"]
        {
            assert!(page.contains(line), "{line} is missing in\n{page}");
        }
    }
}
