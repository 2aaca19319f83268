//! Deployments: a color's template and size.

use crate::{
    decision::{Change, Effect, Guard, Manner, Object, Part},
    intent::{leaving_due, scale_down_due},
    observed::{
        DeploymentSeen, Observed, Owner, Refusal,
        arrival::{arrival, arrived},
        facts::{as_we_left_it, reached, selects, surely_ready, touchable},
        short::{Short, short},
    },
    plan::Plan,
};
use bluegreen_api::{BlueGreenRolloutStatus, Color, Phase, Side};

pub(crate) fn write(seen: &Observed, plan: &Plan<'_>, status: &BlueGreenRolloutStatus, side: &Side) -> Option<Effect> {
    let replicas = if scales_down(seen, plan, status, side) { 0 } else { side.replicas };
    let write = |manner| Change::WriteDeployment { color: side.color, revision: side.revision.clone(), replicas, manner };
    let marker = arrival(status, side);
    let whole = || marker.clone().map_or(Manner::Whole, Manner::Arrival);
    // Stored, or written earlier in this list. A Deployment of the revision is enough to store it again.
    let stored = seen.revisions.iter().any(|revision| revision.hash == side.revision);
    let writable = plan.wants(&side.revision);
    let Some(deployment) = &seen.color(side.color).deployment else {
        return (stored || writable).then_some(Effect { change: write(whole()), guard: Guard::Absent, why: "the Deployment is missing" });
    };
    let known = stored || writable || deployment.revision == side.revision;
    let arrives = deployment.revision != side.revision || !arrived(status, side, deployment);
    let lets_go = arrives || replicas < deployment.replicas;
    let serves = status.active.as_ref().is_some_and(|active| active.color == side.color);
    if deployment.deleting || !touchable(&deployment.owner) || !known || (lets_go && !serves && reached(seen, side.color)) {
        return None;
    }
    let guard = Guard::ResourceVersion(deployment.resource_version.clone());
    if arrives {
        let same = deployment.revision == side.revision;
        let why = if same { "the color gets a role that it didn't have" } else { "the Deployment has another revision than recorded" };
        return Some(Effect { change: write(whole()), guard, why });
    }
    let scale = || Effect {
        change: Change::Scale { color: side.color, replicas },
        guard: guard.clone(),
        why: "the Deployment has another size than recorded",
    };
    if let Some(why) = deployment_drift(plan, side, deployment) {
        let of_whole = |refusal: &&Refusal| refusal.object == Object::Deployment(side.color) && refusal.part == Part::Whole;
        let refusal = seen.refusals.iter().find(of_whole);
        if refusal.is_some() && deployment.replicas != replicas {
            // What is refused of the template or of a setting doesn't stop the size.
            return Some(scale());
        }
        let manner = if refusal.is_some_and(no_apply_takes) { Manner::Whole } else { Manner::Apply };
        return Some(Effect { change: write(manner), guard, why });
    }
    (deployment.replicas != replicas).then(scale)
}

/// The write of labels and annotations that are asked for. A refusal of it holds back nothing else.
pub(crate) fn settle(seen: &Observed, color: Color) -> Option<Effect> {
    let deployment = seen.color(color).deployment.as_ref()?;
    let ours = deployment.owner == Owner::Us && !deployment.deleting;
    (ours && !deployment.settings_intact).then(|| Effect {
        change: Change::SettleDeployment { color },
        guard: Guard::ResourceVersion(deployment.resource_version.clone()),
        why: "the Deployment has other labels or annotations than spec.deployment",
    })
}

/// A list of the template names one key twice: a Deployment may be created so, and no apply takes it.
fn no_apply_takes(refusal: &Refusal) -> bool {
    refusal.message.contains("failed to create typed patch object")
}

fn deployment_drift(plan: &Plan<'_>, side: &Side, deployment: &DeploymentSeen) -> Option<&'static str> {
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
    // Short for its own doing, the live side may have to be given up yet. Want of room is another matter: the standby is the room.
    let fails = |active: &Side| short(seen.color(active.color), &active.revision, active.replicas) == Some(Short::OwnDoing);
    let serves = |active: &Side| plan.settings.replicas == 0 || (surely_ready(seen, active) > 0 && !fails(active));
    let active_serves = status.active.as_ref().is_some_and(serves);
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
