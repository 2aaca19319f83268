//! What `spec` asks for, checked once and with its defaults put in.

use crate::{
    gates::{self, GateDefinition, Kind, Stage},
    metric::Server,
    observed::Observed,
    revision, score,
    templates::Group,
};
use bluegreen_api::{
    BlueGreenRolloutSpec, BlueGreenRolloutStatus, Check, Duration, Lifetime, Metric, MonitoringFailure, OnUnknown, PromotionMode, Score,
    ServicePort, TemplateReference, VerificationFailure,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;
use std::{borrow::Cow, time};

/// Why `spec` can't be carried out: a sentence for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

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
            Group::all(stage, own, templates, &spec.parameters, &seen.namespace, &seen.templates)
                .and_then(|groups| gates::definitions(stage, &groups, prometheus))
                .and_then(|gates| score::with(stage, gates, score))
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
    score::drop_if_empty(&mut gates);
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

/// The settings that hold for whatever revision is live or on its way. They are read anew at each look.
#[derive(Clone, Debug)]
pub struct Settings {
    pub replicas: i32,
    pub min_ready_seconds: i32,
    pub history_limit: usize,
    pub progress_deadline: time::Duration,
    pub paused: bool,
    pub preview_replicas: Option<IntOrString>,
    pub verify_initial: bool,
    pub verification_timeout: time::Duration,
    pub on_verification_failure: VerificationFailure,
    pub approval: bool,
    pub promote_after: time::Duration,
    pub promotion_timeout: Option<time::Duration>,
    pub bake: time::Duration,
    pub on_monitoring_failure: MonitoringFailure,
    pub on_unknown: OnUnknown,
    pub drain: time::Duration,
    pub after: Lifetime,
    pub after_abort: time::Duration,
}

impl Settings {
    fn of(spec: &BlueGreenRolloutSpec) -> Self {
        let or = |duration: Option<Duration>, default: u64| duration.unwrap_or(Duration::from_secs(default)).0;
        let verification = spec.verification.clone().unwrap_or_default();
        let promotion = spec.promotion.clone().unwrap_or_default();
        let monitoring = spec.monitoring.clone().unwrap_or_default();
        let scale_down = spec.scale_down.clone().unwrap_or_default();
        Self {
            replicas: spec.replicas.max(0),
            min_ready_seconds: spec.min_ready_seconds.unwrap_or(0),
            history_limit: usize::try_from(spec.revision_history_limit.unwrap_or(10)).unwrap_or(10).max(2),
            progress_deadline: or(spec.progress_deadline, 600),
            paused: spec.paused,
            preview_replicas: spec.preview.as_ref().and_then(|preview| preview.replicas.clone()),
            verify_initial: verification.initial,
            verification_timeout: or(verification.timeout, 3600),
            on_verification_failure: verification.on_failure.unwrap_or(VerificationFailure::Abort),
            approval: promotion.mode == Some(PromotionMode::Manual),
            promote_after: or(promotion.after, 0),
            promotion_timeout: promotion.timeout.map(|timeout| timeout.0),
            bake: if spec.monitoring.is_some() { or(monitoring.duration, 600) } else { time::Duration::ZERO },
            on_monitoring_failure: monitoring.on_failure.unwrap_or(MonitoringFailure::RollBack),
            on_unknown: monitoring.on_unknown.unwrap_or(OnUnknown::Hold),
            drain: or(scale_down.drain, 10),
            after: scale_down.after.unwrap_or(Lifetime::For(Duration::from_secs(30))),
            after_abort: or(scale_down.after_abort, 30),
        }
    }

    /// Full size of a candidate: what it needs to take over all traffic from an active side that asks for `active` pods.
    pub fn full_size(&self, active: i32) -> i32 {
        self.replicas.max(active).max(1)
    }

    /// Size of a candidate before its promotion.
    pub fn preview_size(&self, active: i32) -> i32 {
        let full = self.full_size(active);
        match &self.preview_replicas {
            None => full,
            Some(IntOrString::Int(count)) => (*count).clamp(1, full),
            Some(IntOrString::String(percent)) => {
                let percent = percent.trim_end_matches('%').parse::<u8>().map_or(100, i64::from);
                let count = (i64::from(self.replicas) * percent + 99) / 100;
                i32::try_from(count).unwrap_or(full).clamp(1, full)
            }
        }
    }
}

/// The revision that `spec` asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// The short hash; that of the stored revision with the same content if there is one.
    pub hash: String,
    /// Hash of the content, whatever the collision count.
    pub digest: String,
    /// What `status.collisionCount` must be for this hash.
    pub collision_count: i64,
    pub image: String,
    /// The pod template with the image put in.
    pub template: Value,
    pub ports: Vec<ServicePort>,
}

impl Wanted {
    fn parse(seen: &Observed) -> Result<Self, Invalid> {
        let (template, image) = with_image(&seen.spec, &seen.name)?;
        let ports = seen.spec.service.ports.clone();
        let digest = revision::digest(&template, &ports);
        let known = seen.revisions.iter().find(|revision| revision.digest == digest || revision::is_restored(revision, &digest));
        let (hash, collision_count) = match known {
            Some(revision) => (revision.hash.clone(), seen.status.collision_count),
            None => revision::free_hash(&digest, seen.status.collision_count, &seen.revisions),
        };
        Ok(Self { hash, digest, collision_count, image, template, ports })
    }
}

/// The template with `spec.image` in its container, and the image that names the revision to people.
fn with_image(spec: &BlueGreenRolloutSpec, name: &str) -> Result<(Value, String), Invalid> {
    let mut template = spec.template.0.clone();
    let containers = template.pointer_mut("/spec/containers").and_then(Value::as_array_mut);
    let Some(containers) = containers.filter(|containers| !containers.is_empty()) else {
        return Err(Invalid("spec.template has no containers: add one to spec.template.spec.containers".into()));
    };
    let index = chosen(containers, spec, name)?;
    let container = &mut containers[index];
    let container_name = container["name"].as_str().unwrap_or_default().to_owned();
    let own = container.get("image").and_then(Value::as_str).filter(|image| !image.is_empty()).map(str::to_owned);
    let image = match (&spec.image, own) {
        (Some(_), Some(_)) => {
            return Err(Invalid(format!(
                "two images: spec.image and the image of container {container_name} in spec.template are both set; keep one"
            )));
        }
        (None, None) => {
            return Err(Invalid(format!("no image: set spec.image, or the image of container {container_name} in spec.template")));
        }
        (Some(image), None) => {
            let Some(fields) = container.as_object_mut() else {
                return Err(Invalid("a container in spec.template.spec.containers is not an object with a name".into()));
            };
            fields.insert("image".into(), Value::String(image.clone()));
            image.clone()
        }
        (None, Some(own)) => own,
    };
    Ok((template, image))
}

/// The image that names a revision to people, of a template as it runs.
pub(crate) fn image_in(template: &Value, spec: &BlueGreenRolloutSpec, name: &str) -> Option<String> {
    let containers = template.pointer("/spec/containers")?.as_array()?;
    let container = containers.get(chosen(containers, spec, name).ok()?)?;
    container.get("image").and_then(Value::as_str).map(str::to_owned)
}

fn chosen(containers: &[Value], spec: &BlueGreenRolloutSpec, name: &str) -> Result<usize, Invalid> {
    let position = |wanted: &str| containers.iter().position(|container| container["name"].as_str() == Some(wanted));
    let names = || containers.iter().filter_map(|container| container["name"].as_str()).collect::<Vec<_>>().join(", ");
    match &spec.container {
        Some(wanted) => position(wanted)
            .ok_or_else(|| Invalid(format!("spec.container names {wanted}, but the containers in spec.template are: {}", names()))),
        None if containers.len() == 1 || spec.image.is_none() => Ok(position(name).unwrap_or(0)),
        None => position(name).ok_or_else(|| {
            Invalid(format!("spec.template has several containers ({}): name the one that gets spec.image in spec.container", names()))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(fields: &Value) -> BlueGreenRolloutSpec {
        let mut all = json!({"replicas": 3, "template": {"spec": {"containers": []}}, "service": {"ports": [{"port": 80}]}});
        all.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        serde_json::from_value(all).unwrap()
    }

    fn with_containers(containers: &Value, image: Option<&str>, container: Option<&str>) -> BlueGreenRolloutSpec {
        spec(&json!({"template": {"spec": {"containers": containers}}, "image": image, "container": container}))
    }

    #[test]
    fn the_image_goes_into_the_container_it_is_meant_for() {
        let bare = |name: &str| json!({"name": name});
        let made = |name: &str, image: &str| json!({"name": name, "image": image});
        let image = Some("shop:2");
        let cases = [
            (json!([bare("main")]), image, None, "shop:2", json!([made("main", "shop:2")])),
            (json!([bare("proxy"), bare("shop")]), image, None, "shop:2", json!([bare("proxy"), made("shop", "shop:2")])),
            (json!([bare("proxy"), bare("shop")]), image, Some("proxy"), "shop:2", json!([made("proxy", "shop:2"), bare("shop")])),
            (json!([made("main", "")]), image, None, "shop:2", json!([made("main", "shop:2")])),
            (json!([made("a", "a:1"), made("shop", "b:1")]), None, None, "b:1", json!([made("a", "a:1"), made("shop", "b:1")])),
            (json!([made("a", "a:1"), made("b", "b:1")]), None, None, "a:1", json!([made("a", "a:1"), made("b", "b:1")])),
        ];
        for (containers, image, container, expected, written) in cases {
            let (template, named) = with_image(&with_containers(&containers, image, container), "shop").unwrap();
            assert_eq!((named.as_str(), &template["spec"]["containers"]), (expected, &written), "{containers}");
        }
    }

    #[test]
    fn an_image_that_is_missing_or_meant_for_no_container_is_told_with_what_to_do() {
        let (one, two) = (json!([{"name": "main", "image": "main:1"}]), json!([{"name": "a"}, {"name": "b"}]));
        let cases = [
            (json!([]), None, None, "spec.template has no containers: add one to spec.template.spec.containers"),
            (
                one.clone(),
                Some("shop:2"),
                None,
                "two images: spec.image and the image of container main in spec.template are both set; keep one",
            ),
            (two.clone(), None, None, "no image: set spec.image, or the image of container a in spec.template"),
            (
                two.clone(),
                Some("shop:2"),
                None,
                "spec.template has several containers (a, b): name the one that gets spec.image in spec.container",
            ),
            (two, Some("shop:2"), Some("c"), "spec.container names c, but the containers in spec.template are: a, b"),
            (json!(["a"]), Some("shop:2"), None, "a container in spec.template.spec.containers is not an object with a name"),
        ];
        for (containers, image, container, expected) in cases {
            let error = with_image(&with_containers(&containers, image, container), "shop").unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn a_candidate_is_as_large_as_asked_and_never_empty_or_larger_than_full() {
        let size = |replicas: i32, preview: Value, active: i32| {
            Settings::of(&spec(&json!({"replicas": replicas, "preview": {"replicas": preview}}))).preview_size(active)
        };
        let cases = [
            (10, json!(null), 0, 10, "all of them"),
            (10, json!(3), 0, 3, "a number"),
            (10, json!(30), 0, 10, "at most full size"),
            (10, json!(0), 0, 1, "at least one"),
            (10, json!("25%"), 0, 3, "a share, rounded up"),
            (10, json!("20%"), 0, 2, "an even share"),
            (10, json!("100%"), 0, 10, "all of them"),
            (10, json!("0%"), 0, 1, "at least one"),
            (0, json!("50%"), 0, 1, "one to be verified"),
            (3, json!(null), 5, 5, "as many as serve now"),
        ];
        for (replicas, preview, active, expected, why) in cases {
            assert_eq!(size(replicas, preview.clone(), active), expected, "{why}: {preview} of {replicas} beside {active}");
        }
    }
}
