//! What is to be measured now: a pure function of what was seen. The operator makes the running measurements equal to it.

mod jobs;
mod pods;

use crate::{
    clock,
    observed::{Observed, facts::can_run, targets::targets},
};
use bluegreen_api::{Color, FactorOf, Gate, GateState, Phase, Side};
use bluegreen_gates::{
    ask::{
        Ask, FLOOR, What, job,
        question::{Question, Secret, Whose},
        variables::{self, Variables},
    },
    check::{self, CheckKind, CheckPlan},
    gates::{GateDefinition, Kind},
    metric::{Judge, MetricPlan},
    stage::Stage,
    weigh::values::Factor,
};
use jiff::Timestamp;
use jobs::Purpose;
pub use pods::puzzling_pods;
use std::time::Duration;

/// The measurements that should be running.
pub fn wanted(seen: &Observed) -> Vec<Ask> {
    let status = &seen.status;
    if status.gates.is_empty() || status.unknown_word().is_some() {
        // Only what is recorded is measured; what `spec` asks for need not be worked out for it.
        return vec![];
    }
    let (asked, settings) = (&seen.asked, &seen.asked.settings);
    let (stage, side) = match status.phase {
        Some(Phase::Verifying | Phase::AwaitingPromotion) => (Stage::Verification, status.preview.as_ref()),
        Some(Phase::Initializing) if settings.verify_initial => (Stage::Verification, status.active.as_ref()),
        Some(Phase::Monitoring) => (Stage::Monitoring, status.active.as_ref()),
        _ => return vec![],
    };
    let (Some(side), Ok(definitions)) = (side, asked.gates(stage, stage.is_after_the_switch() || status.preview.is_some())) else {
        return vec![];
    };
    let held = settings.paused || status.paused_by_order || settings.replicas == 0;
    if seen.deleting || (held && !stage.is_after_the_switch()) {
        return vec![];
    }
    let decided = |gate: &Gate| gate.state == GateState::Failed && gate.decides() && stage.has(gate);
    if status.gates.iter().any(decided) {
        // What one gate has condemned no other can save: a person decides.
        return vec![];
    }
    // A score that is reached needs no more of those that count in it.
    let reached = status.gates.iter().any(|gate| gate.name == stage.score() && gate.state == GateState::Passed);
    let counts = |definition: &&GateDefinition| definition.weight.is_none() || !reached;
    let open: Vec<_> = definitions
        .iter()
        .filter(counts)
        .filter_map(|definition| Some((definition, open_gate(status.gates.as_slice(), definition)?)))
        .collect();
    // Checks come first, one after the other; metrics when all of them have passed.
    let (checks, metrics): (Vec<_>, Vec<_>) = open.into_iter().partition(|(definition, _)| matches!(definition.kind, Kind::Check(_)));
    // One that nobody can judge is tried on, and holds up none of those after it.
    let first = checks.iter().position(|(_, gate)| gate.state == GateState::Running);
    let checks = checks.iter().take(first.map_or(checks.len(), |first| first + 1));
    let metrics = metrics.iter().filter(|_| first.is_none() || stage.is_after_the_switch());
    checks.chain(metrics).filter_map(|(definition, gate)| wanted_one(seen, side, definition, gate)).collect()
}

fn open_gate<'a>(gates: &'a [Gate], definition: &GateDefinition) -> Option<&'a Gate> {
    let gate = gates.iter().find(|gate| gate.name == definition.name && gate.definition == definition.definition)?;
    matches!(gate.state, GateState::Running | GateState::Inconclusive).then_some(gate)
}

fn wanted_one(seen: &Observed, side: &Side, definition: &GateDefinition, gate: &Gate) -> Option<Ask> {
    let results = || seen.results.iter().filter(|result| result.gate == gate.name && result.definition == gate.definition);
    let latest = results()
        .map(|result| result.at)
        .chain(gate.measured.iter().flat_map(|measured| measured.readings.first().map(|reading| reading.at)))
        .chain(gate.tries.iter().map(|tries| tries.at))
        .max();
    let (interval, first) = match &definition.kind {
        Kind::Check(CheckPlan { kind: CheckKind::Job(_), interval }) if gate.state == GateState::Inconclusive => {
            (job::PAUSE.max(*interval), Duration::ZERO)
        }
        Kind::Check(plan) => (plan.interval, Duration::ZERO),
        Kind::Metric(plan) => (interval(plan, gate), plan.initial_delay),
        Kind::Score(_) | Kind::Unknown(_) => return None,
    };
    let start = seen.status.clock.as_ref().and_then(|clock| clock::due(&bluegreen_api::Clock { stopped: None, ..clock.clone() }, first))?;
    let due = match latest {
        Some(latest) => latest.checked_add(interval.max(FLOOR)).ok()?,
        None => start,
    };
    let what = match &definition.kind {
        Kind::Check(plan) => check(seen, side, plan, definition.stage, gate)?,
        Kind::Metric(MetricPlan { judge: Judge::Job { job, .. }, patience, .. }) => {
            if !can_run(seen, side, definition.stage) {
                return None;
            }
            let variables = &variables(seen, (side.color, &side.revision), patience.interval, due);
            let purpose = Purpose { seen, side, stage: definition.stage, gate, variables };
            What::Reading(Box::new(purpose.of_reading(job, due)))
        }
        Kind::Metric(plan) => metric(seen, side, plan, due.max(seen.now))?,
        Kind::Score(_) | Kind::Unknown(_) => return None,
    };
    Some(Ask {
        gate: gate.name.clone(),
        definition: gate.definition.clone(),
        attempt: seen.status.attempt,
        revision: side.revision.clone(),
        due,
        what,
    })
}

/// From one reading to the next. While nobody can judge, and a person may be waited for, Jobs are few.
fn interval(plan: &MetricPlan, gate: &Gate) -> Duration {
    match (&plan.judge, gate.state) {
        (Judge::Job { .. }, GateState::Inconclusive) => plan.patience.interval.max(job::PAUSE),
        _ => plan.patience.interval,
    }
}

fn variables<'a>(seen: &'a Observed, side: (Color, &'a str), interval: Duration, at: Timestamp) -> Variables<'a> {
    let (color, revision) = side;
    let status = &seen.status;
    let other_color = color.other();
    let sides = [&status.active, &status.standby, &status.preview];
    let other = sides.into_iter().flatten().find(|other| other.color == other_color);
    let pods = |color: Color, revision: &str| {
        let of_it = seen.color(color).pods.iter().filter(|pod| pod.revision == revision);
        of_it.map(|pod| pod.name.as_str()).collect()
    };
    Variables {
        namespace: &seen.namespace,
        rollout: &seen.name,
        color: color.as_str(),
        revision,
        pods: pods(color, revision),
        other_color: other_color.as_str(),
        other_revision: other.map_or("", |other| &other.revision),
        other_pods: other.map(|other| pods(other_color, &other.revision)).unwrap_or_default(),
        interval,
        at,
        window: Duration::ZERO,
    }
}

fn check(seen: &Observed, side: &Side, plan: &CheckPlan, stage: Stage, gate: &Gate) -> Option<What> {
    let variables = &variables(seen, (side.color, &side.revision), plan.interval, seen.now);
    Some(match &plan.kind {
        CheckKind::Pods { scheme, path, port, exchange } => {
            // None while no pod is ready.
            let targets = Some(targets(seen, side, port.as_ref())).filter(|targets| !targets.is_empty())?;
            What::Http { targets, scheme: *scheme, path: path.clone(), exchange: exchange.clone() }
        }
        // There is nobody to ask about.
        CheckKind::Url { url, .. } | CheckKind::Webhook { url, .. } if variables.nobody(url).is_some() => return None,
        CheckKind::Url { url, exchange } => What::Url { url: variables::resolve_url(url, variables), exchange: exchange.clone() },
        CheckKind::Webhook { url, headers, timeout, .. } => What::Webhook {
            url: variables::resolve_url(url, variables),
            headers: headers.clone(),
            body: check::question(variables, &gate.name, &side.image, seen.status.attempt),
            timeout: *timeout,
        },
        CheckKind::Job(_) if !can_run(seen, side, stage) => return None,
        CheckKind::Job(job) => What::Job(Box::new(Purpose { seen, side, stage, gate, variables }.of_check(job))),
    })
}

fn metric(seen: &Observed, side: &Side, plan: &MetricPlan, at: Timestamp) -> Option<What> {
    let credentials = match &plan.credentials {
        Whose::Nobody => Whose::Nobody,
        Whose::Secret(named) => Whose::Secret(Secret { namespace: seen.namespace.clone(), name: named.secret_name.clone() }),
        Whose::Operator => Whose::Operator,
    };
    Some(What::Metric { questions: questions(seen, side, plan, at)?, credentials, timeout: plan.timeout })
}

/// What a metric asks of a side, and of the active side beside it where it compares; None when there is none, or a Job measures.
fn questions(seen: &Observed, side: &Side, plan: &MetricPlan, at: Timestamp) -> Option<Vec<Question>> {
    let of =
        |question: &Question, side: &Side| question.resolved(&variables(seen, (side.color, &side.revision), plan.patience.interval, at));
    let active = || seen.status.active.as_ref();
    Some(match &plan.judge {
        Judge::Limits { question, traffic, limits } => {
            let beside = match limits.factor {
                Some(Factor { of: FactorOf::BeforeSwitch, .. }) => Some(before_the_switch(seen, side, plan.patience.interval, question)?),
                Some(Factor { of: FactorOf::ActiveSide, .. }) => Some(of(question, active()?)),
                None if limits.names_active() => Some(of(question, active()?)),
                None => None,
            };
            // How many requests it rests on comes last.
            let requests = traffic.as_ref().map(|traffic| of(&traffic.requests, side));
            [Some(of(question, side)), beside, requests].into_iter().flatten().collect()
        }
        Judge::Job { .. } => return None,
        Judge::Comparison { errors, requests, .. } => {
            vec![of(errors, side), of(requests, side), of(errors, active()?), of(requests, active()?)]
        }
        Judge::Latency { buckets, .. } => vec![of(buckets, side), of(buckets, active()?)],
    })
}

/// The same question about the side that was left, at the moment of the switch.
fn before_the_switch(seen: &Observed, side: &Side, interval: Duration, question: &Question) -> Option<Question> {
    let status = &seen.status;
    let promoting = status.current.iter().flat_map(|attempt| &attempt.phases).rev().find(|it| it.phase == Phase::Promoting);
    // A rollout whose status was lost knows no earlier time than this.
    let at = promoting.map(|it| it.at).or_else(|| status.clock.as_ref().map(|clock| clock.since))?;
    let former = status.standby.as_ref().map_or("", |former| &former.revision);
    Some(question.resolved(&variables(seen, (side.color.other(), former), interval, at)).about(at))
}
