//! Jobs as they are created for a check or a metric of a rollout.

use crate::{
    observed::{
        Observed,
        facts::{jobs_of, role},
        labels::object_labels,
        services::service_name,
    },
    render::{map_at, metadata},
};
use bluegreen_api::{Gate, Side, names};
use bluegreen_gates::{
    ask::{
        job::{self, JobPlan, JobRun},
        variables::Variables,
    },
    stage::Stage,
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// For whom a Job runs.
#[derive(Clone, Copy)]
pub(super) struct Purpose<'a> {
    pub seen: &'a Observed,
    pub side: &'a Side,
    pub stage: Stage,
    pub gate: &'a Gate,
    pub variables: &'a Variables<'a>,
}

impl Purpose<'_> {
    /// The Job of a check. Its name tells it from every other, so that it is found again after a restart.
    pub(super) fn of_check(self, plan: &JobPlan) -> JobRun {
        let name = job::name(jobs_of(self.seen, &self.side.revision), self.gate);
        self.run(plan, name, None)
    }

    /// The Job of a metric's reading that is due then. One that still runs after a restart is found by its label.
    pub(super) fn of_reading(self, plan: &JobPlan, due: Timestamp) -> JobRun {
        let of = jobs_of(self.seen, &self.side.revision);
        self.run(plan, job::name_at(of, self.gate, due), Some(job::label(of, self.gate)))
    }

    fn run(self, plan: &JobPlan, name: String, metric: Option<String>) -> JobRun {
        let seen = self.seen;
        let mut metadata = metadata(seen, name.clone(), object_labels(&seen.name));
        if let Some(metric) = &metric {
            metadata["labels"][names::METRIC_LABEL] = json!(metric);
        }
        for field in ["labels", "annotations"] {
            if let (Some(own), Some(all)) = (plan.metadata.get(field).and_then(Value::as_object), map_at(&mut metadata, &[field])) {
                for (key, value) in own {
                    // What the operator writes stays as it is.
                    all.entry(key).or_insert_with(|| value.clone());
                }
            }
        }
        let mut spec = plan.spec.clone();
        let environment = self.environment();
        for containers in ["containers", "initContainers"] {
            let containers = spec.pointer_mut(&format!("/template/spec/{containers}")).and_then(Value::as_array_mut);
            containers.into_iter().flatten().for_each(|container| put_before(container, &environment));
        }
        JobRun {
            namespace: seen.namespace.clone(),
            name,
            metric,
            owner: seen.uid.clone(),
            object: json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}),
            timeout: plan.timeout,
        }
    }

    fn environment(self) -> Vec<Value> {
        let Self { seen, side, .. } = self;
        let port = side.ports.first().map(|port| format!(":{}", port.port)).unwrap_or_default();
        let address = format!("{}.{}.svc{port}", service_name(seen, role(self.stage)), seen.namespace);
        let Variables { namespace, rollout, color, revision, .. } = *self.variables;
        [
            ("ADDRESS", address.as_str()),
            ("NAMESPACE", namespace),
            ("ROLLOUT", rollout),
            ("COLOR", color),
            ("REVISION", revision),
            ("IMAGE", &side.image),
            ("ATTEMPT", &seen.status.attempt.to_string()),
        ]
        .into_iter()
        .map(|(name, value)| json!({"name": format!("BLUEGREEN_{name}"), "value": value}))
        .collect()
    }
}

/// First, so that the container's own variables, its command and its arguments can refer to them.
fn put_before(container: &mut Value, environment: &[Value]) {
    let own = container.get("env").and_then(Value::as_array).cloned().unwrap_or_default();
    if let Some(container) = container.as_object_mut() {
        container.insert("env".into(), environment.iter().cloned().chain(own).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_variables_come_before_the_containers_own() {
        let ours = [json!({"name": "BLUEGREEN_COLOR", "value": "green"})];
        let mut container = json!({"name": "tests", "env": [{"name": "AT", "value": "$(BLUEGREEN_COLOR)"}]});
        put_before(&mut container, &ours);
        assert_eq!(container["env"], json!([ours[0], {"name": "AT", "value": "$(BLUEGREEN_COLOR)"}]));
        let mut bare = json!({"name": "tests"});
        put_before(&mut bare, &ours);
        assert_eq!(bare["env"], json!(ours));
    }
}
