//! ControllerRevisions: stored before they are deployed, restored when lost, pruned when nothing needs them.

use crate::{
    decision::{Change, Effect, Guard, Object},
    observed::{Observed, Owner},
    plan::Plan,
};
use bluegreen_api::{BlueGreenRolloutStatus, Color, Phase, Side};

pub(crate) fn write(seen: &Observed, plan: &Plan<'_>, status: &BlueGreenRolloutStatus, side: &Side) -> Option<Effect> {
    let hash = side.revision.clone();
    let effect = |change, why| Some(Effect { change, guard: Guard::None, why });
    if let Some(stored) = seen.revisions.iter().find(|revision| revision.hash == side.revision) {
        return if stored.owner == Owner::Orphan {
            effect(Change::AdoptRevision { hash }, "the ControllerRevision has no owner")
        } else {
            None
        };
    }
    let number = side.number;
    // What runs was rendered by the code of its time; only what runs nowhere is rendered by today's.
    let runs = |color: &Color| seen.color(*color).deployment.as_ref().is_some_and(|deployment| deployment.revision == side.revision);
    if let Some(color) = [side.color, side.color.other()].into_iter().find(runs) {
        return effect(Change::RestoreRevision { hash, number, color }, "the ControllerRevision was lost");
    }
    if plan.wants(&side.revision) {
        return effect(Change::WriteRevision { hash, number }, "the revision is not stored yet");
    }
    // One that lost its label with the ControllerRevision is still there under its name, and nothing else would look for it.
    let has_run = status.phase != Some(Phase::Initializing) && status.preview.as_ref().is_none_or(|preview| preview.color != side.color);
    let unseen = seen.color(side.color).deployment.as_ref().is_none();
    // Once is enough: where it is gone as well, it stays so.
    let gone = seen.refusals.iter().any(|refusal| refusal.code == 404 && refusal.object == Object::Revision(hash.clone()));
    let restore = Change::RestoreRevision { hash, number, color: side.color };
    if has_run && unseen && !gone { effect(restore, "the ControllerRevision was lost, and its Deployment is not seen") } else { None }
}

/// The oldest revisions beyond the limit, none of which is needed for a way back.
pub(crate) fn housekeeping(seen: &Observed, plan: &Plan<'_>, status: &BlueGreenRolloutStatus) -> Vec<Effect> {
    let sides = [&status.active, &status.standby, &status.preview, &status.previous, &status.leaving];
    let needed = |hash: &str| {
        sides.into_iter().flatten().any(|side| side.revision == hash)
            || status.rejected.as_ref().is_some_and(|rejected| rejected.revision == hash)
            || plan.wants(hash)
    };
    let settled = matches!(status.phase, Some(Phase::Healthy | Phase::Aborted | Phase::RolledBack));
    let excess = seen.revisions.len().saturating_sub(plan.settings.history_limit);
    if !settled || excess == 0 {
        return vec![];
    }
    let mut spare: Vec<_> = seen.revisions.iter().filter(|revision| revision.owner == Owner::Us && !needed(&revision.hash)).collect();
    spare.sort_by_key(|revision| revision.number);
    spare
        .into_iter()
        .take(excess)
        .map(|revision| Effect {
            change: Change::DeleteRevision { hash: revision.hash.clone() },
            guard: Guard::None,
            why: "more revisions than revisionHistoryLimit",
        })
        .collect()
}
