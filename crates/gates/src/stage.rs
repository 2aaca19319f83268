//! When a gate is asked. A stage is matched by its name here and nowhere else.

use bluegreen_api::{BlueGreenRolloutSpec, BlueGreenRolloutStatus, Check, Gate, Metric, Score, Side, TemplateReference};

/// When a gate is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before the switch, of the candidate.
    Verification,
    /// After it, of the new active side.
    Monitoring,
}

impl Stage {
    pub const ALL: [Self; 2] = [Self::Verification, Self::Monitoring];

    /// The gate is one of this stage.
    pub fn has(self, gate: &Gate) -> bool {
        gate.name.starts_with(self.prefix())
    }

    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Verification => "verification/",
            Self::Monitoring => "monitoring/",
        }
    }

    /// The name of the gate in which metrics with a weight decide together.
    pub const fn score(self) -> &'static str {
        match self {
            Self::Verification => "verification/score",
            Self::Monitoring => "monitoring/score",
        }
    }

    /// It judges what users have already: it lasts for a time instead of a number of readings, and there is a time before it to compare with.
    pub const fn is_after_the_switch(self) -> bool {
        match self {
            Self::Verification => false,
            Self::Monitoring => true,
        }
    }

    /// The side that is judged at it, which before the first switch is the only one.
    pub fn side(self, status: &BlueGreenRolloutStatus) -> Option<&Side> {
        match self {
            Self::Verification => status.preview.as_ref().or(status.active.as_ref()),
            Self::Monitoring => status.active.as_ref(),
        }
    }

    /// What a rollout asks for at it.
    pub fn of(self, spec: &BlueGreenRolloutSpec) -> Section<'_> {
        match self {
            Self::Verification => {
                spec.verification.as_ref().map(|it| Section::of(&it.checks, &it.metrics, &it.templates, it.score.as_ref()))
            }
            Self::Monitoring => spec.monitoring.as_ref().map(|it| Section::of(&it.checks, &it.metrics, &it.templates, it.score.as_ref())),
        }
        .unwrap_or_default()
    }

    /// Where it stands in a rollout.
    pub const fn section(self) -> &'static str {
        match self {
            Self::Verification => "spec.verification",
            Self::Monitoring => "spec.monitoring",
        }
    }
}

/// What a rollout asks for at one stage.
#[derive(Clone, Copy, Debug, Default)]
pub struct Section<'a> {
    pub checks: &'a [Check],
    pub metrics: &'a [Metric],
    pub templates: &'a [TemplateReference],
    pub score: Option<&'a Score>,
}

impl<'a> Section<'a> {
    const fn of(checks: &'a [Check], metrics: &'a [Metric], templates: &'a [TemplateReference], score: Option<&'a Score>) -> Self {
        Self { checks, metrics, templates, score }
    }
}
