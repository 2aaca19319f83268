//! Which writes protect the live side, and which take something from it.

use crate::{
    decision::{Change, Effect, Object, Part, Role},
    intent::{armed, switches_to},
    observed::Observed,
};
use bluegreen_api::{BlueGreenRolloutStatus, Color, Phase, Side};

/// Effects on what serves, or would serve at once if it had to.
pub(crate) fn protects(effect: &Effect, status: &BlueGreenRolloutStatus) -> bool {
    let color = |color: Color| [&status.active, &status.standby].into_iter().flatten().any(|side| side.color == color);
    match effect.object() {
        // Settings serve nobody, and node ports wait for whoever holds them.
        Object::Service(role) => role.is_protected() && !matches!(effect.part(), Part::NodePorts | Part::Settings | Part::Leftovers),
        Object::Deployment(it) => color(it),
        Object::Revision(hash) => [&status.active, &status.standby].into_iter().flatten().any(|side| side.revision == hash),
    }
}

/// The effect is a switch that was decided before the candidate's pods were there: no record has asked since whether the rollout is still
/// the one that was seen.
pub fn makes_an_armed_switch(seen: &Observed, effect: &Effect) -> bool {
    armed(&seen.status).is_some_and(|candidate| leads_users_to(effect, candidate))
}

fn leads_users_to(effect: &Effect, side: &Side) -> bool {
    match &effect.change {
        Change::LeadService { role: Role::Active, target, .. } => (target.color, &target.revision) == (side.color, &side.revision),
        _ => false,
    }
}

/// Effects that move users to the candidate, or take the way back from them: they may be withdrawn, so what is to be recorded is
/// recorded first. A former leader's record that is still on its way then comes too late.
pub(crate) fn gives_way(effect: &Effect, status: &BlueGreenRolloutStatus) -> bool {
    let shrinks = |color: Color, replicas: i32| {
        let standby = status.standby.as_ref().filter(|_| status.phase == Some(Phase::ScalingDown));
        standby.is_some_and(|standby| standby.color == color && replicas < standby.replicas)
    };
    match &effect.change {
        Change::LeadService { .. } => switches_to(status).is_some_and(|candidate| leads_users_to(effect, candidate)),
        Change::WriteDeployment { color, replicas, .. } | Change::Scale { color, replicas } => shrinks(*color, *replicas),
        _ => false,
    }
}
