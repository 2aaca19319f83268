//! No status: a new rollout, or one whose status was lost. What is there decides.

use super::{
    draft::Draft,
    hold::{self, Hold},
    stay::{Stay, Step},
};
use crate::{
    decision::Role,
    observed::{
        ColorSeen, DeploymentSeen,
        facts::{fenced, selects, serves_nobody, touchable},
    },
};
use bluegreen_api::{Color, Phase, Side, names, reasons};

pub(super) fn start(draft: &mut Draft<'_>) -> Step {
    let seen = draft.seen;
    if let Some(blocked) = hold::blocked(draft).or_else(|| hold::late(seen)) {
        return blocked.into();
    }
    let mut sides = [Color::Blue, Color::Green].map(|color| match ours(seen.color(color)) {
        Some(deployment) => Some(rebuilt(draft, color, &deployment.revision, deployment.replicas)),
        None => selected(draft, color),
    });
    draft.forget();
    let Some(color) = active_color(draft, &sides) else { return fresh(draft) };
    if draft.status().epoch == 0 {
        draft.withdraw_all(fenced(seen));
        return Stay::working(reasons::INITIALIZING, "The status was lost; rebuilding it from the existing objects").into();
    }
    let index = |color: Color| usize::from(color == Color::Green);
    let other = sides[index(color.other())].take().filter(|side| side.replicas > 0);
    if let Some(active) = sides[index(color)].take() {
        draft.rebuilt(active.clone());
        take_up(draft, &active, other);
    }
    Step::Again
}

/// Gives the color that isn't active its role. Only what is known to have been live is a way back.
fn take_up(draft: &mut Draft<'_>, live: &Side, other: Option<Side>) {
    let former = draft.seen.service(Role::Active).and_then(|service| service.former.as_deref());
    match other {
        // It has passed no gate yet, and is asked again.
        _ if serves_nobody(draft.seen) => draft.enter(Phase::Initializing),
        Some(side) if draft.wants(Some(&side)) => draft.rebuilt_candidate(side),
        Some(side) if former == Some(side.revision.as_str()) => draft.rebuilt_standby(side),
        _ if draft.ready_pods(live) == 0 && draft.wants(Some(live)) && !selects(draft.seen, live) => draft.enter(Phase::Initializing),
        _ => draft.enter(Phase::Healthy),
    }
}

fn ours(color: &ColorSeen) -> Option<&DeploymentSeen> {
    // One that lost its labels and was handed over is known by those of its pods.
    color.deployment.as_ref().filter(|deployment| touchable(&deployment.owner) && !deployment.revision.is_empty())
}

/// The side that serves lost its Deployment together with the status: the active Service names it still, and what it ran is stored.
fn selected(draft: &Draft<'_>, color: Color) -> Option<Side> {
    let selector = &draft.seen.service(Role::Active)?.selector;
    let revision = selector.get(names::REVISION_LABEL)?;
    let stored = draft.seen.revisions.iter().any(|stored| stored.hash == *revision);
    let lost = draft.seen.color(color).deployment.as_ref().is_none();
    let here = selector.get(names::COLOR_LABEL).is_some_and(|selected| selected == color.as_str());
    (stored && lost && here).then(|| rebuilt(draft, color, revision, draft.settings().replicas))
}

/// A side as its Deployment told.
fn rebuilt(draft: &Draft<'_>, color: Color, hash: &str, replicas: i32) -> Side {
    let revision = draft.seen.revisions.iter().find(|revision| revision.hash == hash);
    let wanted = draft.wanted().filter(|wanted| wanted.hash == hash);
    let selects = |selector: &std::collections::BTreeMap<String, String>| selector.get(names::REVISION_LABEL).is_some_and(|it| it == hash);
    let selected = draft.seen.service(Role::Active).filter(|service| selects(&service.selector));
    let ports = revision
        .map(|revision| revision.ports.clone())
        .filter(|ports| !ports.is_empty())
        .or_else(|| wanted.map(|wanted| wanted.content.ports.clone()))
        .or_else(|| selected.map(|service| service.ports.clone()))
        .unwrap_or_else(|| draft.plan.asked.spec.service.ports.clone());
    Side {
        color,
        revision: hash.to_owned(),
        number: revision.map_or(1, |revision| revision.number),
        image: revision
            .map(|revision| revision.image.clone())
            .or_else(|| wanted.map(|wanted| wanted.content.image.clone()))
            .unwrap_or_default(),
        replicas,
        ports,
        generation: None,
        ready_when_left: None,
        starting_since: None,
    }
}

/// The color that the active Service selects; else the one with ready pods, of two the larger; else any that is there.
fn active_color(draft: &Draft<'_>, sides: &[Option<Side>; 2]) -> Option<Color> {
    let present = || sides.iter().flatten();
    let service = draft.seen.service(Role::Active);
    let selected = service.and_then(|service| service.selector.get(names::COLOR_LABEL));
    let by_service = present().find(|side| selected.is_some_and(|color| color == side.color.as_str()));
    let by_size = || present().max_by_key(|side| (draft.ready_pods(side), side.replicas, side.color == Color::Blue));
    by_service.or_else(by_size).map(|side| side.color)
}

/// Nothing is there yet.
fn fresh(draft: &mut Draft<'_>) -> Step {
    // The very first deployment has no gate to wait with zero replicas for.
    if let Some(held) = hold::held(draft).filter(|held| held.by != Hold::NoReplicas) {
        return held.into();
    }
    if let Some(wanted) = draft.wanted() {
        draft.begin_first(wanted, Color::Blue);
        return Step::Again;
    }
    Stay::stalled(reasons::INVALID_SPEC, "spec is invalid").into()
}
