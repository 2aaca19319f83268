//! What is told about a step that was recorded: three events a rollout, two where nothing is monitored, and one for each trouble.

use crate::{observed::Observed, plan};
use bluegreen_api::{Attempt, BlueGreenRolloutStatus, Gate, GateState, Outcome, Phase, reasons};
use bluegreen_gates::stage::Stage;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// An event to be sent after a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// Normal or Warning.
    pub type_: &'static str,
    pub reason: String,
    pub action: String,
    pub note: String,
    /// Attempt and transition: a repeat of the same is no second event.
    pub key: String,
}

/// The events between two recorded statuses.
pub fn between(old: &BlueGreenRolloutStatus, new: &BlueGreenRolloutStatus) -> Vec<Announcement> {
    let mut events = Vec::new();
    events.extend(finished(old, new));
    events.extend(started(old, new));
    events.extend(promoted(old, new));
    events.extend(verdicts(old, new));
    events.extend(ignored(old, new));
    events.extend(trouble(old, new));
    events
}

/// What the operator can see in a candidate that may not be meant so, when it is recorded.
pub fn warnings(seen: &Observed, new: &BlueGreenRolloutStatus) -> Vec<Announcement> {
    let content = plan::wanted(seen).filter(|wanted| {
        let begun = new.current.as_ref().filter(|_| new.attempt > seen.status.attempt);
        begun.is_some_and(|attempt| attempt.revision == wanted.hash)
    });
    let undeclared = content.map(|wanted| wanted.content.undeclared.as_slice()).filter(|ports| !ports.is_empty());
    let warning = undeclared.map(|ports| {
        let ports = ports.iter().map(i32::to_string).collect::<Vec<_>>().join(", ");
        let number = new.current.as_ref().map(|attempt| attempt.number).unwrap_or_default();
        let note = format!(
            "No container of revision {number} declares port {ports}, the targetPort of spec.service.ports. Traffic goes there all the same: check the number"
        );
        let (type_, reason, action) = ("Warning", "PortNotDeclared".to_owned(), "Deploy".to_owned());
        Announcement { type_, key: format!("{}-{reason}", new.attempt), reason, action, note }
    });
    warning.into_iter().collect()
}

fn normal(attempt: i64, reason: &str, action: &str, note: String) -> Announcement {
    Announcement { type_: "Normal", reason: reason.into(), action: action.into(), note, key: format!("{attempt}-{reason}") }
}

fn started(old: &BlueGreenRolloutStatus, new: &BlueGreenRolloutStatus) -> Option<Announcement> {
    let current = new.current.as_ref().filter(|_| new.attempt > old.attempt && new.phase != Some(Phase::RollingBack))?;
    let by = if current.by.is_empty() { String::new() } else { format!(", asked for by {}", current.by) };
    Some(normal(current.attempt, "RolloutStarted", "Deploy", format!("Deploying revision {} ({}){by}", current.number, current.image)))
}

fn promoted(old: &BlueGreenRolloutStatus, new: &BlueGreenRolloutStatus) -> Option<Announcement> {
    let goes_back = new.phase == Some(Phase::RollingBack);
    let candidate = old.preview.as_ref().filter(|_| !goes_back)?;
    let active = new.active.as_ref().filter(|active| active.revision == candidate.revision && active.color == candidate.color)?;
    // The next one may have begun in the same record.
    let attempt = new.current.iter().chain(&new.history).find(|attempt| attempt.attempt == old.attempt);
    let live = if attempt.is_some_and(is_unwatched) { "is live and " } else { "" };
    Some(normal(old.attempt, "Promoted", "Promote", format!("Revision {} ({}) {live}serves all traffic", active.number, active.image)))
}

fn finished(old: &BlueGreenRolloutStatus, new: &BlueGreenRolloutStatus) -> Vec<Announcement> {
    let known = |attempt: &Attempt| old.history.iter().any(|old| old.attempt == attempt.attempt && old.finished == attempt.finished);
    // Where nothing lay between the switch and the end, one event told both.
    let told = |attempt: &Attempt| attempt.outcome == Some(Outcome::Promoted) && is_unwatched(attempt);
    new.history.iter().filter(|attempt| !known(attempt) && !told(attempt)).map(finish).collect()
}

/// It passed from the switch to the end of the former side in one moment: it was not monitored.
fn is_unwatched(attempt: &Attempt) -> bool {
    let entered = |phase: Phase| attempt.phases.iter().rev().find(|entered| entered.phase == phase).map(|entered| entered.at);
    entered(Phase::Monitoring).is_some_and(|watched| entered(Phase::ScalingDown) == Some(watched))
}

fn finish(attempt: &Attempt) -> Announcement {
    let revision = format!("Revision {} ({})", attempt.number, attempt.image);
    let (type_, reason, note) = match attempt.outcome {
        Some(Outcome::Promoted | Outcome::Unknown) | None => ("Normal", "RolloutFinished", format!("{revision} is live")),
        Some(Outcome::Aborted) => ("Warning", "Aborted", format!("{revision} was aborted: {}", attempt.message)),
        Some(Outcome::RolledBack) => ("Warning", "RolledBack", format!("{revision} was rolled back: {}", attempt.message)),
        Some(Outcome::Reverted) => ("Normal", "Reverted", format!("{revision} was reverted: {}", attempt.message)),
        Some(Outcome::Superseded) => ("Normal", "Superseded", format!("{revision} was superseded: {}", attempt.message)),
    };
    Announcement { type_, reason: reason.into(), action: "Finish".into(), note, key: format!("{}-{reason}", attempt.attempt) }
}

/// Gates that turned, where neither the end of the attempt nor what it waits for tells of it.
fn verdicts<'a>(old: &'a BlueGreenRolloutStatus, new: &'a BlueGreenRolloutStatus) -> impl Iterator<Item = Announcement> + 'a {
    let turned = |gate: &&Gate| {
        let before = old.gates.iter().find(|before| (&before.name, &before.definition) == (&gate.name, &gate.definition));
        before.is_none_or(|before| before.state != gate.state)
    };
    new.gates.iter().filter(turned).filter_map(|gate| {
        let watched = Stage::Monitoring.has(gate);
        let reason = match gate.state {
            GateState::Failed if !gate.decides() => "GateFailed",
            GateState::Inconclusive if watched || !gate.decides() => "GateInconclusive",
            GateState::Passed if gate.measured.as_ref().is_some_and(|measured| measured.dry_run.is_some()) => "DryRunNotPassed",
            _ => return None,
        };
        Some(Announcement {
            type_: "Warning",
            reason: reason.into(),
            action: "Judge".into(),
            note: format!("{}: {}", gate.name, gate.message),
            key: format!("{}-{}-{reason}", new.attempt, gate.name),
        })
    })
}

/// Orders that came to nothing, each once.
fn ignored<'a>(old: &'a BlueGreenRolloutStatus, new: &'a BlueGreenRolloutStatus) -> impl Iterator<Item = Announcement> + 'a {
    let fresh = new.ignored_orders.iter().filter(|ignored| !old.ignored_orders.contains(ignored));
    fresh.map(|ignored| Announcement {
        type_: "Warning",
        reason: "OrderIgnored".into(),
        action: "Order".into(),
        note: format!("{} ignored: {}", ignored.order, ignored.message),
        key: format!("{}-{}", new.attempt, ignored.order),
    })
}

/// A trouble that is new, or of another kind than before. The end of an attempt is told by its own event.
fn trouble(old: &BlueGreenRolloutStatus, new: &BlueGreenRolloutStatus) -> Option<Announcement> {
    let of = |status: &BlueGreenRolloutStatus| {
        status.conditions.iter().find(|condition| is_trouble(condition)).map(|condition| condition.reason.clone())
    };
    let reason = of(new)?;
    let ended = [reasons::ABORTED, reasons::ROLLED_BACK].contains(&reason.as_str());
    (!ended && of(old).as_ref() != Some(&reason)).then(|| Announcement {
        type_: "Warning",
        key: format!("{}-{}-{reason}", new.attempt, new.observed_generation),
        reason,
        action: "Wait".into(),
        note: new.message.clone(),
    })
}

fn is_trouble(condition: &Condition) -> bool {
    const WORKING: [&str; 5] =
        [reasons::POD_TROUBLE, reasons::ENDPOINTS_STALE, reasons::REFUSED, reasons::INCONCLUSIVE, reasons::ROLLING_BACK];
    let open = condition.status == "True";
    open && (condition.type_ == reasons::STALLED
        || (condition.type_ == reasons::RECONCILING && WORKING.contains(&condition.reason.as_str())))
}
