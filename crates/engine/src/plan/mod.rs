//! What `spec` asks for, checked once and with its defaults put in.

pub mod settings;
pub mod wanted;

pub use settings::Settings;
pub use wanted::Wanted;

use crate::observed::Observed;
use bluegreen_api::{BlueGreenRolloutStatus, Check, Metric, Score, TemplateReference};
use bluegreen_gates::{
    ask::prometheus::Server,
    gates::{self, GateDefinition, Kind},
    invalid::Invalid,
    stage::Stage,
    templates::Group,
};
use std::borrow::Cow;

/// `spec` with its defaults. The parts that can be wrong are results of their own, so that a bad query stops no repair.
#[derive(Clone, Debug)]
pub struct Plan {
    pub settings: Settings,
    pub wanted: Result<Wanted, Invalid>,
    verification: Result<Vec<GateDefinition>, Invalid>,
    monitoring: Result<Vec<GateDefinition>, Invalid>,
}

impl Plan {
    pub fn of(seen: &Observed) -> Self {
        let spec = &seen.spec;
        let verification = spec.verification.clone().unwrap_or_default();
        let monitoring = spec.monitoring.clone().unwrap_or_default();
        let prometheus = prometheus(seen);
        let definitions = |stage: Stage, own: (&[Check], &[Metric]), templates: &[TemplateReference], score: Option<&Score>| {
            let prometheus = prometheus.as_ref().map_err(Clone::clone)?.as_ref();
            Group::all(stage, own, templates, &spec.parameters, &seen.namespace, &seen.templates.by_name)
                .and_then(|groups| gates::definitions(stage, &groups, prometheus))
                .and_then(|gates| gates::with(stage, gates, score))
        };
        let own = (verification.checks.as_slice(), verification.metrics.as_slice());
        Self {
            settings: Settings::of(spec),
            wanted: Wanted::parse(seen),
            verification: definitions(Stage::Verification, own, &verification.templates, verification.score.as_ref()),
            monitoring: definitions(
                Stage::Monitoring,
                (&monitoring.checks, &monitoring.metrics),
                &monitoring.templates,
                monitoring.score.as_ref(),
            ),
        }
    }

    /// The gates of a stage, for the side that is judged at it while the status is this. Asked at each step of a decision: one that
    /// begins without a status may come to a candidate.
    pub fn gates(&self, stage: Stage, status: &BlueGreenRolloutStatus) -> Result<Cow<'_, [GateDefinition]>, &Invalid> {
        match stage {
            Stage::Verification if status.preview.is_none() => self.verification.as_ref().map(|gates| Cow::Owned(of_the_first(gates))),
            Stage::Verification => self.verification.as_ref().map(Into::into),
            Stage::Monitoring => self.monitoring.as_ref().map(Into::into),
        }
    }

    /// What is wrong with `spec`, if anything is.
    pub fn invalid(&self) -> Option<&Invalid> {
        self.wanted.as_ref().err().or(self.verification.as_ref().err()).or(self.monitoring.as_ref().err())
    }
}

/// The gates of the first revision, which has nothing to be compared with.
fn of_the_first(gates: &[GateDefinition]) -> Vec<GateDefinition> {
    let mut gates = gates.to_vec();
    gates.retain_mut(|gate| match &mut gate.kind {
        Kind::Metric(plan) => plan.alone(),
        Kind::Check(_) | Kind::Score(_) => true,
    });
    gates::drop_if_empty(&mut gates);
    gates
}

/// The Prometheus to ask where a metric names none: what the rollout names, else the operator's own.
fn prometheus(seen: &Observed) -> Result<Option<Server>, Invalid> {
    let Some(named) = seen.spec.sources.as_ref().and_then(|sources| sources.prometheus.as_ref()) else {
        return Ok(seen.default_prometheus.as_deref().map(Server::of_operator));
    };
    let server = Server::named(&named.address, named.credentials.clone()).with(&named.headers);
    server.map(Some).map_err(|Invalid(why)| Invalid(format!("spec.sources.prometheus: {why}")))
}
