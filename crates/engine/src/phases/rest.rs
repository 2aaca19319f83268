//! At rest: the active side serves and nothing is under way.

use crate::{
    decision::Role,
    draft::{Draft, Stay, Step, ending},
    gates::around,
    observed::{ObjectSeen, Observed, Owner},
    orders::Verb,
    render,
};
use bluegreen_api::{Color, Lifetime, Outcome, Phase, Side, names, reasons};

pub(super) fn healthy(draft: &mut Draft<'_>) -> Step {
    let Some(active) = draft.status.active.clone() else {
        draft.status.phase = None;
        return Step::Again;
    };
    let given_up = give_up_live(draft, &active);
    if let Some(Step::Again) = given_up {
        return Step::Again;
    }
    if draft.status.standby.is_some() && draft.wants(draft.status.standby.as_ref()) {
        return if draft.roll_back(ending(Outcome::Reverted, reasons::REVERTED, "spec went back to the former revision")) {
            Step::Again
        } else {
            serving(draft, &active).into()
        };
    }
    if let Some(stay) = draft.plan.invalid().and_then(|_| draft.held()) {
        return stay.into();
    }
    if let Some(wanted) = draft.new_candidate() {
        return match draft.held() {
            Some(stay) => stay.into(),
            None => {
                draft.begin_candidate(wanted);
                Step::Again
            }
        };
    }
    if draft.status.standby.is_some() && draft.settings().after != Lifetime::Never {
        // It was to stay for ever, and now it isn't.
        draft.enter(Phase::ScalingDown);
        return Step::Again;
    }
    given_up.unwrap_or_else(|| {
        let stay = serving(draft, &active);
        // Nobody else would tell of a pause before a new version has waited for its end.
        let paused = draft.pause().map(|pause| format!(". {}", pause.message)).unwrap_or_default();
        Stay { message: around("", &stay.message, &paused), ..stay }.into()
    })
}

/// A person wants the live revision gone though its story is over.
fn give_up_live(draft: &mut Draft<'_>, active: &Side) -> Option<Step> {
    let verb = [Verb::Rollback, Verb::Abort].into_iter().find(|verb| draft.ordered(*verb, &active.revision))?;
    let message = format!("revision {} was given up by order ({})", active.number, verb.as_str());
    let mut ending = ending(Outcome::RolledBack, reasons::ORDERED, &message);
    ending.ordered = true;
    if draft.roll_back(ending) {
        draft.spend(verb);
        return Some(Step::Again);
    }
    // Not spent: it stays told for as long as it is asked.
    let stay = serving(draft, active);
    let why = format!("it can't be given up as ordered ({}): no former revision is stored. Change spec instead", verb.as_str());
    Some(Stay { message: format!("{}; {why}", stay.message), ..stay }.into())
}

fn serving(draft: &Draft<'_>, active: &Side) -> Stay {
    degraded(draft, active)
        .unwrap_or_else(|| Stay::ready(reasons::AVAILABLE, format!("Revision {} ({}) serves", active.number, active.image)))
}

/// The active side has fewer pods than it should.
pub(super) fn degraded(draft: &Draft<'_>, active: &Side) -> Option<Stay> {
    let size = active.replicas;
    // Those of another revision, that the Deployment still counts, serve nobody.
    let of_revision = draft.ready_pods(active);
    let available = draft.color_of(active).deployment.as_ref().map_or(0, |deployment| deployment.available.min(of_revision));
    // As a Deployment counts itself available: a quarter may be missing.
    (available < size - size / 4).then(|| {
        let trouble = draft.trouble(active).map(|trouble| format!(": {trouble}")).unwrap_or_default();
        Stay::working(
            reasons::DEGRADED,
            format!("Revision {} ({}) serves with fewer pods than it should{trouble}", active.number, active.image),
        )
    })
}

/// A candidate was given up; the last good revision serves.
pub(super) fn given_up(draft: &mut Draft<'_>) -> Step {
    let Some(active) = draft.status.active.clone() else {
        draft.status.phase = None;
        return Step::Again;
    };
    let Some(rejected) = draft.status.rejected.clone() else {
        draft.rest(Phase::Healthy);
        return Step::Again;
    };
    if let Some(Step::Again) = give_up_live(draft, &active) {
        return Step::Again;
    }
    if draft.wants(Some(&active)) {
        draft.rest(Phase::Healthy);
        return Step::Again;
    }
    if let Some(stay) = draft.plan.invalid().and_then(|_| draft.held()) {
        return stay.into();
    }
    let retry = draft.ordered(Verb::Retry, &rejected.revision);
    let wanted = if retry { draft.wanted() } else { draft.new_candidate() };
    if let Some(wanted) = wanted {
        return match draft.held() {
            Some(stay) => stay.into(),
            None => {
                draft.begin_candidate(wanted);
                Step::Again
            }
        };
    }
    let (what, reason) = match draft.phase() {
        Some(Phase::RolledBack) => ("rolled back", reasons::ROLLED_BACK),
        _ => ("aborted", reasons::ABORTED),
    };
    let before = format!("Revision {} ({}) was {what}: ", rejected.number, rejected.image);
    let serves = format!("Revision {} ({}) serves", active.number, active.image);
    // While paused, neither would begin anything.
    let again = || format!("Change spec, or try again with {}", draft.order(Verb::Retry, &rejected.revision));
    let after = format!(". {serves}. {}", draft.pause().map_or_else(again, |pause| pause.message));
    Stay::stalled(reason, around(&before, &rejected.message, &after)).into()
}

/// An object that has one of our names and can't be written: it is somebody else's, or on its way out.
pub(crate) fn blocked(draft: &Draft<'_>) -> Option<Stay> {
    foreign(draft.seen).or_else(|| leaving(draft.seen))
}

/// An object that is being deleted, ours or that of a former rollout of the same name.
fn leaving(seen: &Observed) -> Option<Stay> {
    let services = [(Role::Active, &seen.active_service), (Role::Preview, &seen.preview_service)];
    let gone = |owner: &Owner, deleting: bool| deleting || *owner == Owner::Former;
    let service = services.into_iter().find(|(_, service)| service.as_ref().is_some_and(|it| gone(&it.owner, it.deleting)));
    let mut colors = [Color::Blue, Color::Green].into_iter();
    let color = colors.find(|color| seen.color(*color).deployment.as_ref().is_some_and(|it| gone(&it.owner, it.deleting)));
    let name = service
        .map(|(role, _)| format!("Service {}", render::service_name(seen, role)))
        .or_else(|| color.map(|color| format!("Deployment {}", names::deployment(&seen.name, color))))?;
    Some(Stay::working(reasons::BEING_DELETED, format!("Waiting for {name} to be gone: it is being deleted, and is made anew then")))
}

fn foreign(seen: &Observed) -> Option<Stay> {
    for role in [Role::Active, Role::Preview] {
        let service = match role {
            Role::Active => &seen.active_service,
            Role::Preview => &seen.preview_service,
        };
        if let ObjectSeen::There(service) = service
            && let Owner::Foreign { who, adopt: false } = &service.owner
        {
            let name = render::service_name(seen, role);
            return Some(Stay::stalled(
                reasons::NOT_OURS,
                format!(
                    "Service {name} belongs to {who} and is left alone: annotate it with {}={} to hand it over, or choose another spec.service.{}.name",
                    names::ADOPT_ANNOTATION,
                    seen.name,
                    role.as_str()
                ),
            ));
        }
    }
    for color in [Color::Blue, Color::Green] {
        if let ObjectSeen::There(deployment) = &seen.color(color).deployment
            && let Owner::Foreign { who, adopt: false } = &deployment.owner
        {
            return Some(Stay::stalled(
                reasons::NOT_OURS,
                format!(
                    "Deployment {}-{color} belongs to {who} and is left alone: annotate it with {}={} to hand it over, or name the rollout otherwise",
                    seen.name,
                    names::ADOPT_ANNOTATION,
                    seen.name
                ),
            ));
        }
    }
    None
}
