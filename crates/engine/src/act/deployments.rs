//! Deployments: a color's template and size.

use crate::{
    decision::{Change, Effect, Guard},
    intent::{leaving_due, scale_down_due},
    observed::{
        DeploymentSeen, Observed, Owner,
        facts::{as_we_left_it, reached, selects, surely_ready, touchable},
    },
    plan::Plan,
};
use bluegreen_api::{BlueGreenRolloutStatus, Color, Phase, Side};

pub(crate) fn write(seen: &Observed, plan: &Plan<'_>, status: &BlueGreenRolloutStatus, side: &Side) -> Option<Effect> {
    let replicas = if scales_down(seen, plan, status, side) { 0 } else { side.replicas };
    let apply = Change::ApplyDeployment { color: side.color, revision: side.revision.clone(), replicas };
    // Stored, or written earlier in this list. A Deployment of the revision is enough to store it again.
    let stored = seen.revisions.iter().any(|revision| revision.hash == side.revision);
    let writable = plan.wants(&side.revision);
    let Some(deployment) = &seen.color(side.color).deployment else {
        return (stored || writable).then_some(Effect { change: apply, guard: Guard::Absent, why: "the Deployment is missing" });
    };
    let known = stored || writable || deployment.revision == side.revision;
    let lets_go = deployment.revision != side.revision || replicas < deployment.replicas;
    let serves = status.active.as_ref().is_some_and(|active| active.color == side.color);
    if deployment.deleting || !touchable(&deployment.owner) || !known || (lets_go && !serves && reached(seen, side.color)) {
        return None;
    }
    let guard = Guard::ResourceVersion(deployment.resource_version.clone());
    if let Some(why) = deployment_drift(plan, side, deployment) {
        return Some(Effect { change: apply, guard, why });
    }
    (deployment.replicas != replicas).then_some(Effect {
        change: Change::Scale { color: side.color, replicas },
        guard,
        why: "the Deployment has another size than recorded",
    })
}

fn deployment_drift(plan: &Plan<'_>, side: &Side, deployment: &DeploymentSeen) -> Option<&'static str> {
    if deployment.revision != side.revision {
        return Some("the Deployment has another revision than recorded");
    }
    if deployment.owner != Owner::Us || !deployment.labels_intact {
        return Some("the Deployment has lost its labels or its owner");
    }
    if deployment.min_ready_seconds != plan.settings.min_ready_seconds {
        return Some("minReadySeconds changed");
    }
    (!as_we_left_it(side, deployment)).then_some("another client changed the Deployment")
}

/// The standby goes now. While the rollout is held its clock stands still, and its time doesn't come.
fn scales_down(seen: &Observed, plan: &Plan<'_>, status: &BlueGreenRolloutStatus, side: &Side) -> bool {
    let is_standby = status.standby.as_ref().is_some_and(|standby| standby.color == side.color);
    let active_serves = status.active.as_ref().is_some_and(|active| surely_ready(seen, active) > 0 || plan.settings.replicas == 0);
    status.phase == Some(Phase::ScalingDown)
        && is_standby
        && active_serves
        && seen.sees_all()
        && scale_down_due(plan, status).is_some_and(|due| due <= seen.now)
}

/// A color without a role runs no pods; one that leaves does until its time has come.
pub(crate) fn unused_color(seen: &Observed, plan: &Plan<'_>, status: &BlueGreenRolloutStatus) -> Option<Effect> {
    let used = |color: Color| [&status.active, &status.standby, &status.preview].into_iter().flatten().any(|side| side.color == color);
    let color = [Color::Blue, Color::Green].into_iter().find(|color| !used(*color))?;
    let leaves = status.leaving.as_ref().is_some_and(|leaving| leaving.color == color);
    if leaves && leaving_due(plan, status).is_none_or(|due| due > seen.now) {
        return None;
    }
    let deployment = seen.color(color).deployment.as_ref()?;
    // Before it goes, traffic must be where it belongs.
    let elsewhere = status.active.as_ref().is_some_and(|active| selects(seen, active)) || status.phase == Some(Phase::Initializing);
    // One that was ours and is handed over again goes like any other: the phase waits for it.
    let ours = matches!(deployment.owner, Owner::Us | Owner::Orphan) || (leaves && touchable(&deployment.owner));
    let ours = ours && !deployment.deleting;
    (ours && elsewhere && !reached(seen, color) && deployment.replicas > 0).then(|| Effect {
        change: Change::Scale { color, replicas: 0 },
        guard: Guard::ResourceVersion(deployment.resource_version.clone()),
        why: "the color is no longer in use",
    })
}
