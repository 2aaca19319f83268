//! When a gate is asked. A stage is matched by its name here and nowhere else.

use bluegreen_api::Gate;

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

    /// Where it stands in a rollout.
    pub const fn section(self) -> &'static str {
        match self {
            Self::Verification => "spec.verification",
            Self::Monitoring => "spec.monitoring",
        }
    }
}
