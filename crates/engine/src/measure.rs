//! What is to be measured now: a pure function of what was seen. The operator makes the running measurements equal to it.

use crate::{
    checks::{self, CheckKind, CheckPlan, Exchange},
    clock,
    gates::{GateDefinition, Kind, Stage},
    job::{self, JobRun},
    metric::{Factor, Judge, Limits, MetricPlan},
    observed::{Observed, PodSeen},
    plan::Plan,
    query::{self, Variables},
    question::Question,
};
use bluegreen_api::{Color, FactorOf, Gate, GateState, Phase, Scheme, Side};
use http::HeaderMap;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::time::Duration;

/// One measurement that should be running.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub gate: String,
    pub definition: String,
    pub attempt: i64,
    pub revision: String,
    /// When it is to be taken.
    pub due: Timestamp,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// A request to each of these pods.
    Http { targets: Vec<HttpTarget>, scheme: Scheme, path: String, exchange: Box<Exchange> },
    /// One request.
    Url {
        /// With its variables put in.
        url: String,
        exchange: Box<Exchange>,
    },
    /// One try.
    Webhook {
        /// With its variables put in.
        url: String,
        headers: HeaderMap,
        body: String,
        timeout: Duration,
    },
    /// A Job, to its end.
    Job(Box<JobRun>),
    /// Questions that are asked at the same time: about both sides, in a comparison.
    Metric {
        /// With their variables put in.
        questions: Vec<Question>,
        /// In the rollout's namespace.
        credentials: Option<Secret>,
        timeout: Duration,
    },
}

/// A Secret by its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Secret {
    pub namespace: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpTarget {
    pub pod: String,
    pub ip: String,
    pub port: u16,
}

/// The measurements that should be running.
pub fn wanted(seen: &Observed) -> Vec<Wanted> {
    let status = &seen.status;
    if status.gates.is_empty() {
        // Only what is recorded is measured; what `spec` asks for need not be worked out for it.
        return vec![];
    }
    let plan = Plan::of(seen);
    let (stage, side) = match status.phase {
        Some(Phase::Verifying | Phase::AwaitingPromotion) => (Stage::Verification, status.preview.as_ref()),
        Some(Phase::Initializing) if plan.settings.verify_initial => (Stage::Verification, status.active.as_ref()),
        Some(Phase::Monitoring) => (Stage::Monitoring, status.active.as_ref()),
        _ => return vec![],
    };
    let definitions = match stage {
        Stage::Verification => &plan.verification,
        Stage::Monitoring => &plan.monitoring,
    };
    let (Some(side), Ok(definitions)) = (side, definitions) else { return vec![] };
    let held = plan.settings.paused || status.paused_by_order || plan.settings.replicas == 0;
    if seen.deleting || (held && stage == Stage::Verification) {
        return vec![];
    }
    let decided = |gate: &Gate| gate.state == GateState::Failed && gate.name.starts_with(stage.prefix());
    if status.gates.iter().any(decided) {
        // What one gate has condemned no other can save: a person decides.
        return vec![];
    }
    let open: Vec<_> =
        definitions.iter().filter_map(|definition| Some((definition, open_gate(status.gates.as_slice(), definition)?))).collect();
    // Checks come first, one after the other; metrics when all of them have passed.
    let (checks, metrics): (Vec<_>, Vec<_>) = open.into_iter().partition(|(definition, _)| matches!(definition.kind, Kind::Check(_)));
    if let Some((definition, gate)) = checks.first() {
        let first = wanted_one(seen, side, definition, gate);
        if stage == Stage::Verification {
            return first.into_iter().collect();
        }
        return first.into_iter().chain(metrics.iter().filter_map(|(definition, gate)| wanted_one(seen, side, definition, gate))).collect();
    }
    metrics.iter().filter_map(|(definition, gate)| wanted_one(seen, side, definition, gate)).collect()
}

fn open_gate<'a>(gates: &'a [Gate], definition: &GateDefinition) -> Option<&'a Gate> {
    let gate = gates.iter().find(|gate| gate.name == definition.name && gate.definition == definition.definition)?;
    matches!(gate.state, GateState::Running | GateState::Inconclusive).then_some(gate)
}

fn wanted_one(seen: &Observed, side: &Side, definition: &GateDefinition, gate: &Gate) -> Option<Wanted> {
    let results = || seen.results.iter().filter(|result| result.gate == gate.name && result.definition == gate.definition);
    let latest = results()
        .map(|result| result.at)
        .chain(gate.measured.iter().flat_map(|measured| measured.readings.first().map(|reading| reading.at)))
        .chain(gate.tries.iter().map(|tries| tries.at))
        .max();
    let (interval, first) = match &definition.kind {
        Kind::Check(plan) => (plan.interval, Duration::ZERO),
        Kind::Metric(plan) => (plan.interval, plan.initial_delay),
    };
    let start = seen.status.clock.as_ref().and_then(|clock| clock::due(&bluegreen_api::Clock { stopped: None, ..clock.clone() }, first))?;
    let due = match latest {
        Some(latest) => latest.checked_add(interval).ok()?,
        None => start,
    };
    let what = match &definition.kind {
        Kind::Check(plan) => check(seen, side, plan, definition.stage, gate)?,
        Kind::Metric(plan) => metric(seen, side, plan, due.max(seen.now))?,
    };
    Some(Wanted {
        gate: gate.name.clone(),
        definition: gate.definition.clone(),
        attempt: seen.status.attempt,
        revision: side.revision.clone(),
        due,
        what,
    })
}

fn variables<'a>(seen: &'a Observed, side: (Color, &'a str), interval: Duration, at: Timestamp) -> Variables<'a> {
    let (color, revision) = side;
    let status = &seen.status;
    let other_color = color.other();
    let sides = [&status.active, &status.standby, &status.preview];
    let other = sides.into_iter().flatten().find(|other| other.color == other_color);
    Variables {
        namespace: &seen.namespace,
        rollout: &seen.name,
        color: color.as_str(),
        revision,
        other_color: other_color.as_str(),
        other_revision: other.map_or("", |other| &other.revision),
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
            let targets = Some(ready_pods(seen, side, port.as_ref())).filter(|targets| !targets.is_empty())?;
            What::Http { targets, scheme: *scheme, path: path.clone(), exchange: exchange.clone() }
        }
        CheckKind::Url { url, exchange } => What::Url { url: query::resolve_url(url, variables), exchange: exchange.clone() },
        CheckKind::Webhook { url, headers, timeout, .. } => What::Webhook {
            url: query::resolve_url(url, variables),
            headers: headers.clone(),
            body: checks::question(variables, &gate.name, &side.image, seen.status.attempt),
            timeout: *timeout,
        },
        CheckKind::Job(_) if !job::can_run(seen, side, stage) => return None,
        CheckKind::Job(job) => What::Job(Box::new(job.run(seen, side, stage, variables, gate))),
    })
}

fn metric(seen: &Observed, side: &Side, plan: &MetricPlan, at: Timestamp) -> Option<What> {
    let credentials = plan.credentials.as_ref();
    let credentials = credentials.map(|named| Secret { namespace: seen.namespace.clone(), name: named.secret_name.clone() });
    Some(What::Metric { questions: questions(seen, side, plan, at)?, credentials, timeout: plan.timeout })
}

/// What a metric asks of a side, and of the active side beside it where it compares; None when there is none.
pub(crate) fn questions(seen: &Observed, side: &Side, plan: &MetricPlan, at: Timestamp) -> Option<Vec<Question>> {
    let of = |question: &Question, side: &Side| question.resolved(&variables(seen, (side.color, &side.revision), plan.interval, at));
    let active = || seen.status.active.as_ref();
    Some(match &plan.judge {
        Judge::Limits { question, limits: Limits { factor: None, .. } } => vec![of(question, side)],
        Judge::Limits { question, limits: Limits { factor: Some(Factor { of: FactorOf::BeforeSwitch, .. }), .. } } => {
            vec![of(question, side), before_the_switch(seen, side, plan.interval, question)?]
        }
        Judge::Limits { question, .. } => vec![of(question, side), of(question, active()?)],
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

/// Where the pods are asked: at the port that is named, else at that of the Service.
fn ready_pods(seen: &Observed, side: &Side, port: Option<&IntOrString>) -> Vec<HttpTarget> {
    let of_service = || side.ports.first().map(|port| port.target_port.clone().unwrap_or(IntOrString::Int(port.port)));
    let Some(port) = port.cloned().or_else(of_service) else { return vec![] };
    let pods = seen.color(side.color).pods.iter().filter(|pod| pod.revision == side.revision && pod.ready && !pod.deleting);
    pods.filter_map(|pod| target(pod, &port)).collect()
}

fn target(pod: &PodSeen, port: &IntOrString) -> Option<HttpTarget> {
    let port = match port {
        IntOrString::Int(number) => u16::try_from(*number).ok()?,
        IntOrString::String(name) => *pod.ports.get(name)?,
    };
    Some(HttpTarget { pod: pod.name.clone(), ip: pod.ip.clone()?, port })
}
