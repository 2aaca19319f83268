//! Settings with their defaults: they hold for whatever revision is live or on its way.

use bluegreen_api::{BlueGreenRolloutSpec, Duration, Lifetime, MonitoringFailure, OnUnknown, PromotionMode, VerificationFailure};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::time;

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
    /// Verified, shown, and never switched to.
    pub never: bool,
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
    pub fn of(spec: &BlueGreenRolloutSpec) -> Self {
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
            never: promotion.mode == Some(PromotionMode::Never),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asked::tests::spec;
    use serde_json::{Value, json};

    #[test]
    fn a_candidate_is_never_empty_or_larger_than_full() {
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
