//! What is to be measured now: a pure function of what was seen. The operator makes the running measurements equal to it.

use crate::{
    clock,
    gates::{GateDefinition, Kind, Stage},
    metric::{Judge, Limits, MetricPlan},
    observed::{Observed, PodSeen},
    plan::Plan,
    query::{self, Variables},
};
use bluegreen_api::{Gate, GateState, HttpCheck, Phase, Side};
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
    Http {
        targets: Vec<HttpTarget>,
        path: String,
        /// Empty: 200 to 299.
        expected: Vec<u16>,
        timeout: Duration,
        attempts: u32,
        interval: Duration,
    },
    Prometheus {
        address: String,
        /// With its variables put in.
        query: String,
        timeout: Duration,
    },
    /// Queries about two sides, asked at the same time.
    Queries { address: String, queries: Vec<String>, timeout: Duration },
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
        .max();
    let (what, interval, first) = match &definition.kind {
        Kind::Check(http) => (http_check(seen, side, http)?, interval_of(http), Duration::ZERO),
        Kind::Metric(plan) => (metric(seen, side, plan)?, plan.interval, plan.initial_delay),
    };
    let start = seen.status.clock.as_ref().and_then(|clock| clock::due(&bluegreen_api::Clock { stopped: None, ..clock.clone() }, first))?;
    let due = match latest {
        Some(latest) => latest.checked_add(interval).ok()?,
        None => start,
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

fn metric(seen: &Observed, side: &Side, plan: &MetricPlan) -> Option<What> {
    let (address, timeout) = (plan.address.clone(), plan.timeout);
    let of = |query: &str, side: &Side| {
        let variables = Variables { namespace: &seen.namespace, rollout: &seen.name, color: side.color.as_str(), revision: &side.revision };
        query::resolve(query, &variables)
    };
    let active = || seen.status.active.as_ref();
    let queries = match &plan.judge {
        Judge::Limits { query, limits: Limits { factor: None, .. } } => {
            return Some(What::Prometheus { address, query: of(query, side), timeout });
        }
        Judge::Limits { query, .. } => vec![of(query, side), of(query, active()?)],
        Judge::Comparison { errors, requests, .. } => {
            vec![of(errors, side), of(requests, side), of(errors, active()?), of(requests, active()?)]
        }
    };
    Some(What::Queries { address, queries, timeout })
}

fn interval_of(http: &HttpCheck) -> Duration {
    http.interval.map_or(Duration::from_secs(2), |interval| interval.0)
}

/// A request to each ready pod; none while no pod is ready.
fn http_check(seen: &Observed, side: &Side, http: &HttpCheck) -> Option<What> {
    let port =
        http.port.clone().or_else(|| side.ports.first().map(|port| port.target_port.clone().unwrap_or(IntOrString::Int(port.port))))?;
    let pods = seen.color(side.color).pods.iter().filter(|pod| pod.revision == side.revision && pod.ready && !pod.deleting);
    let targets: Vec<_> = pods.filter_map(|pod| target(pod, &port)).collect();
    if targets.is_empty() {
        return None;
    }
    Some(What::Http {
        targets,
        path: http.path.clone().unwrap_or_else(|| "/".into()),
        expected: http.expected_statuses.iter().filter_map(|status| u16::try_from(*status).ok()).collect(),
        timeout: http.timeout.map_or(Duration::from_secs(5), |timeout| timeout.0),
        attempts: http.attempts.and_then(|attempts| u32::try_from(attempts).ok()).unwrap_or(3).max(1),
        interval: interval_of(http),
    })
}

fn target(pod: &PodSeen, port: &IntOrString) -> Option<HttpTarget> {
    let port = match port {
        IntOrString::Int(number) => u16::try_from(*number).ok()?,
        IntOrString::String(name) => *pod.ports.get(name)?,
    };
    Some(HttpTarget { pod: pod.name.clone(), ip: pod.ip.clone()?, port })
}
