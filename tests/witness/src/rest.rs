//! Promise 10: where a rollout may rest once nothing happens any more.

use crate::advice;
use bluegreen_api::{BlueGreenRollout, BlueGreenRolloutStatus, Phase, reasons};
use std::fmt;

/// The part of `spec` that says where a rollout may rest.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub generation: i64,
    pub paused: bool,
    pub replicas: i32,
    /// The image that is to serve. None: no word on it.
    pub image: Option<&'a str>,
}

impl<'a> Asked<'a> {
    pub fn by(rollout: &'a BlueGreenRollout) -> Self {
        Self {
            generation: rollout.metadata.generation.unwrap_or_default(),
            paused: rollout.spec.paused,
            replicas: rollout.spec.replicas,
            image: rollout.spec.image.as_deref(),
        }
    }
}

/// Why a rollout doesn't rest, or doesn't rest well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// The latest `spec` isn't answered.
    Unobserved { generation: i64, observed: i64 },
    /// Something is under way.
    UnderWay { phase: Option<Phase>, message: String },
    /// It waits for a person and names neither an order nor a change of `spec`.
    NoAdvice { phase: Option<Phase>, message: String },
    /// It gave a revision up, and nothing says why.
    NoReason { phase: Phase },
    /// It is Ready, and users reach something else than the active side.
    Reached { active: String, reached: Vec<String> },
    /// It is Healthy with another image than the one that `spec` asks for.
    Another { active: String, asked: String },
    /// It is Healthy and Ready, and isn't Promoted.
    NotPromoted { message: String },
}

/// Whether a rollout rests where promise 10 allows: at Healthy, Aborted or RolledBack, or at something that waits for a person and
/// says what to do; and users reach what the status says. `reached`: the images that the active Service reaches.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn at_rest(asked: &Asked<'_>, status: &BlueGreenRolloutStatus, reached: &[String]) -> Result<(), Why> {
    let (phase, message) = (status.phase, status.message.clone());
    if status.observed_generation != asked.generation {
        return Err(Why::Unobserved { generation: asked.generation, observed: status.observed_generation });
    }
    let waits = waits_for_a_person(asked, status);
    if !waits && !matches!(phase, Some(Phase::Healthy | Phase::Aborted | Phase::RolledBack)) {
        return Err(Why::UnderWay { phase, message });
    }
    if waits && advice(&message).is_empty() && !message.to_lowercase().contains("spec") {
        return Err(Why::NoAdvice { phase, message });
    }
    if let Some(phase @ (Phase::Aborted | Phase::RolledBack)) = phase
        && (message.is_empty() || status.rejected.as_ref().is_none_or(|rejected| rejected.reason.is_empty()))
    {
        return Err(Why::NoReason { phase });
    }
    let active = status.active.as_ref().map(|active| active.image.clone()).unwrap_or_default();
    let ready = is_true(status, reasons::READY);
    if ready && reached != [active.as_str()] {
        return Err(Why::Reached { active, reached: reached.to_vec() });
    }
    if phase == Some(Phase::Healthy) && !waits {
        if let Some(asked) = asked.image.filter(|asked| *asked != active) {
            return Err(Why::Another { active, asked: asked.to_owned() });
        }
        if ready && !is_true(status, reasons::PROMOTED) {
            return Err(Why::NotPromoted { message });
        }
    }
    Ok(())
}

/// Nothing but a person can end this wait.
fn waits_for_a_person(asked: &Asked<'_>, status: &BlueGreenRolloutStatus) -> bool {
    let ready = status.conditions.iter().find(|condition| condition.type_ == reasons::READY);
    match ready.filter(|ready| ready.status != "True").map_or("", |ready| ready.reason.as_str()) {
        reasons::AWAITING_APPROVAL | reasons::INCONCLUSIVE => true,
        reasons::PAUSED => asked.paused || status.paused_by_order,
        reasons::NO_REPLICAS => asked.replicas == 0,
        _ => is_true(status, reasons::STALLED),
    }
}

fn is_true(status: &BlueGreenRolloutStatus, type_: &str) -> bool {
    status.conditions.iter().any(|condition| condition.type_ == type_ && condition.status == "True")
}

impl fmt::Display for Why {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |phase: &Option<Phase>| phase.map_or("no phase", Phase::as_str);
        match self {
            Self::Unobserved { generation, observed } => write!(to, "status answers generation {observed}, and spec is at {generation}"),
            Self::UnderWay { phase, message } => write!(to, "{} is no place to rest: {message:?}", named(phase)),
            Self::NoAdvice { phase, message } => {
                write!(to, "it waits for a person in {} and doesn't say what to do: {message:?}", named(phase))
            }
            Self::NoReason { phase } => write!(to, "it is {phase} and doesn't say why"),
            Self::Reached { active, reached } => write!(to, "it is Ready with {active}, and users reach {reached:?}"),
            Self::Another { active, asked } => write!(to, "it is Healthy with {active}, and spec asks for {asked}"),
            Self::NotPromoted { message } => write!(to, "it is Healthy and Ready, and not Promoted: {message:?}"),
        }
    }
}

#[cfg(test)]
mod tests;
