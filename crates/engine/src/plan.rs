//! What `spec` asks for, checked once and with its defaults put in.

use crate::{
    gates::{self, GateDefinition, Stage},
    observed::Observed,
    revision,
};
use bluegreen_api::{
    BlueGreenRolloutSpec, Duration, Lifetime, MonitoringFailure, OnUnknown, PromotionMode, ServicePort, VerificationFailure,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::Value;
use std::time;

/// Why `spec` can't be carried out: a sentence for its author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

/// `spec` with its defaults. The parts that can be wrong are results of their own, so that a bad query stops no repair.
#[derive(Clone, Debug)]
pub struct Plan {
    pub settings: Settings,
    pub wanted: Result<Wanted, Invalid>,
    pub verification: Result<Vec<GateDefinition>, Invalid>,
    pub monitoring: Result<Vec<GateDefinition>, Invalid>,
}

impl Plan {
    pub fn of(seen: &Observed) -> Self {
        let spec = &seen.spec;
        let verification = spec.verification.clone().unwrap_or_default();
        let monitoring = spec.monitoring.clone().unwrap_or_default();
        let source = spec.sources.as_ref().and_then(|sources| sources.prometheus.as_ref());
        let address = source.map(|source| source.address.as_str()).or(seen.default_prometheus.as_deref());
        Self {
            settings: Settings::of(spec),
            wanted: Wanted::parse(seen),
            verification: gates::definitions(Stage::Verification, &verification.checks, &verification.metrics, address),
            monitoring: gates::definitions(Stage::Monitoring, &monitoring.checks, &monitoring.metrics, address),
        }
    }

    /// What is wrong with `spec`, if anything is.
    pub fn invalid(&self) -> Option<&Invalid> {
        self.wanted.as_ref().err().or(self.verification.as_ref().err()).or(self.monitoring.as_ref().err())
    }
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
