//! What `spec` asks for, worked out once for each generation by who reads the object, and carried along.

pub mod content;
pub mod settings;

pub use content::Content;
pub use settings::Settings;

use crate::bytes;
use bluegreen_api::BlueGreenRolloutSpec;
use bluegreen_gates::{
    ask::prometheus::Server,
    gates::{self, GateDefinition, Kind, Surroundings},
    invalid::Invalid,
    stage::Stage,
    templates::{Group, Templates},
};
use serde_json::Value;

/// The largest `spec`: an object of 1.5 MiB is the largest that can be written, and it holds status and `managedFields` too.
const LARGEST: usize = 768 * 1024;

/// `spec` with its defaults, and what follows from it. The parts that can be wrong are results of their own, so that a bad query stops
/// no repair.
#[derive(Clone, Debug)]
pub struct Asked {
    pub spec: BlueGreenRolloutSpec,
    /// As JSON.
    pub bytes: usize,
    /// Those that it names, as they were seen.
    pub templates: Templates,
    pub settings: Settings,
    pub content: Result<Content, Invalid>,
    /// One for each of [`Stage::ALL`].
    gates: [Gates; Stage::ALL.len()],
    /// It leaves no room for a status.
    too_large: Option<Invalid>,
}

#[derive(Clone, Debug)]
struct Gates {
    stage: Stage,
    all: Result<Vec<GateDefinition>, Invalid>,
    /// Those of a side that has no other beside it: the first revision has nothing to be compared with.
    alone: Vec<GateDefinition>,
    /// What is asked after the switch where something is wrong: what is right, and the rest as what nobody can judge.
    able: Vec<GateDefinition>,
}

impl Asked {
    /// Of a rollout of this namespace and name. `default_prometheus`: the one to ask where the rollout names none.
    pub fn of(
        spec: BlueGreenRolloutSpec,
        (namespace, rollout): (&str, &str),
        templates: Templates,
        default_prometheus: Option<&str>,
    ) -> Self {
        let prometheus = prometheus(&spec, default_prometheus);
        let ports = ports(&spec.template.0);
        let surroundings = Surroundings { prometheus: prometheus.as_ref().map(Option::as_ref), ports: Some(&ports) };
        let gates = |stage: Stage| {
            let asked = stage.of(&spec);
            let groups = Group::all(stage, (asked.checks, asked.metrics), asked.templates, &spec.parameters, namespace, &templates);
            let planned = gates::planned(stage, &groups, surroundings);
            let all = planned.iter().cloned().map(|gate| gate.map_err(|gate| gate.why)).collect::<Result<Vec<_>, _>>();
            let all = prometheus.as_ref().map_err(Clone::clone).and(all).and_then(|all| gates::with(stage, all, asked.score));
            let alone = all.as_deref().map(alone).unwrap_or_default();
            let able = if all.is_err() && stage.is_after_the_switch() { gates::able(stage, planned, asked.score) } else { vec![] };
            Gates { stage, all, alone, able }
        };
        let (settings, content, gates) = (Settings::of(&spec), Content::of(&spec, rollout), Stage::ALL.map(gates));
        let bytes = bytes::of(&spec);
        let too_large = (bytes > LARGEST)
            .then(|| Invalid(format!("spec has {bytes} bytes, at most {LARGEST} leave room for status: move parts to a ConfigMap")));
        Self { spec, bytes, templates, settings, content, gates, too_large }
    }

    /// The gates of a stage; those that compare only where there is another side.
    pub fn gates(&self, stage: Stage, beside_another: bool) -> Result<&[GateDefinition], &Invalid> {
        let Some(gates) = self.gates.iter().find(|gates| gates.stage == stage) else { return Ok(&[]) };
        if gates.all.is_err() && stage.is_after_the_switch() {
            return Ok(&gates.able);
        }
        gates.all.as_ref().map(|all| if beside_another { all.as_slice() } else { gates.alone.as_slice() })
    }

    /// What is wrong with `spec`, if anything is.
    pub fn invalid(&self) -> Option<&Invalid> {
        let of_gates = || self.gates.iter().find_map(|gates| gates.all.as_ref().err());
        self.too_large.as_ref().or(self.content.as_ref().err()).or_else(of_gates)
    }
}

fn alone(gates: &[GateDefinition]) -> Vec<GateDefinition> {
    let mut gates = gates.to_vec();
    gates.retain_mut(|gate| match &mut gate.kind {
        Kind::Metric(plan) => plan.alone(),
        Kind::Check(_) | Kind::Score(_) | Kind::Unknown(_) => true,
    });
    gates::drop_if_empty(&mut gates);
    gates
}

/// The names of the ports of a template's containers.
fn ports(template: &Value) -> Vec<&str> {
    let containers = ["containers", "initContainers"].into_iter().filter_map(|list| template["spec"][list].as_array());
    let ports = containers.flatten().filter_map(|container| container["ports"].as_array()).flatten();
    ports.filter_map(|port| port["name"].as_str()).collect()
}

/// The Prometheus to ask where a metric names none: what the rollout names, else the operator's own.
fn prometheus(spec: &BlueGreenRolloutSpec, default: Option<&str>) -> Result<Option<Server>, Invalid> {
    let Some(named) = spec.sources.as_ref().and_then(|sources| sources.prometheus.as_ref()) else {
        return Ok(default.map(Server::of_operator));
    };
    let server = Server::named(&named.address, named.credentials.clone()).with(&named.headers);
    server.map(Some).map_err(|Invalid(why)| Invalid(format!("spec.sources.prometheus: {why}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A `spec` with these fields, and else the least that one has.
    pub(super) fn spec(fields: &Value) -> BlueGreenRolloutSpec {
        let mut all = json!({"replicas": 3, "template": {"spec": {"containers": []}}, "service": {"ports": [{"port": 80}]}});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }
}
