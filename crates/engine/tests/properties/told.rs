//! A world in some twenty lines: what a failing property shows. What is as usual isn't told.

use crate::{
    rollouts::{NOW, image_of},
    worlds::worlds,
};
use bluegreen_api::{Attempt, BlueGreenRolloutStatus, Color, Gate, GateState, Side};
use bluegreen_engine::decision::Role;
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Change, Object},
    observed::*,
};
use bluegreen_gates::{reading::Measurement, templates::TemplateSeen};
use jiff::Timestamp;
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use std::{fmt, ops::Deref, thread};

/// A world that a property is about.
#[derive(Clone)]
pub struct Case {
    /// What the rollout asks for.
    pub what: &'static str,
    pub seen: Observed,
}

impl Deref for Case {
    type Target = Observed;

    fn deref(&self) -> &Observed {
        &self.seen
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        self.lines().iter().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

impl Case {
    fn lines(&self) -> Vec<String> {
        let seen = &self.seen;
        let recorded = [format!("status: {}", status(&seen.status)), format!("sides:  {}", sides(&seen.status))];
        let mut lines = vec![format!("spec:   {}", self.spec())];
        lines.extend(recorded);
        lines.extend(gates(&seen.status.gates));
        lines.extend([Color::Blue, Color::Green].map(|color| format!("{color}: {}", side(seen.color(color)))));
        lines.push(format!("active Service: {}, with {}", service(seen.service(Role::Active)), endpoints(seen)));
        lines.push(format!("preview Service: {}", service(seen.service(Role::Preview))));
        let stored: Vec<_> = seen.revisions.iter().map(|stored| Some(format!("{}{}", stored.image, clash(stored)))).collect();
        lines.push(format!("stored: {}", listed(&stored)));
        lines.extend(seen.results.iter().map(|result| shortened(&of_result(result, seen), 160)));
        lines.extend(beside(seen));
        lines.push(shortened(&format!("so it   {}", decided(seen)), 600));
        lines
    }

    fn spec(&self) -> String {
        let spec = &self.seen.asked.spec;
        let image = spec.image.as_deref().unwrap_or("no image");
        listed(&[
            Some(format!("{image} ×{}", spec.replicas)),
            Some(self.what.to_owned()),
            spec.paused.then(|| "paused".into()),
            self.seen.deleting.then(|| "being deleted".into()),
        ])
    }
}

/// What is there of it, in one line.
fn listed(items: &[Option<String>]) -> String {
    let words: Vec<_> = items.iter().flatten().map(String::as_str).collect();
    if words.is_empty() { "nothing".into() } else { words.join(", ") }
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

/// Seconds from now.
fn when(time: Timestamp) -> String {
    format!("{:+} s", time.as_second() - NOW)
}

fn named(side: &Side) -> String {
    format!("{} {} ×{}", side.color, image_of(&side.revision), side.replicas)
}

fn status(status: &BlueGreenRolloutStatus) -> String {
    let clock = status.clock.as_ref().map(|clock| {
        let stopped = clock.stopped.map(|at| format!(", stopped at {}", when(at))).unwrap_or_default();
        let excluded = if clock.excluded_millis == 0 { String::new() } else { format!(" less {} s", clock.excluded_millis / 1000) };
        format!("its clock runs since {}{excluded}{stopped}", when(clock.since))
    });
    let ending = status.ending.as_ref().map(|ending| {
        let how = [(ending.ordered, " by order"), (ending.slow, " the slow way")];
        let how: String = how.iter().filter(|(is, _)| *is).map(|(_, words)| *words).collect();
        format!("ends as {:?}{how}", ending.outcome)
    });
    listed(&[
        Some(status.phase.map_or("no phase".into(), |phase| phase.to_string())),
        Some(format!("attempt {}", status.attempt)),
        (status.epoch != 0).then(|| format!("epoch {}", status.epoch)),
        clock,
        ending,
        status.rejected.as_ref().map(|rejected| format!("rejected {}", image_of(&rejected.revision))),
        status.paused_by_order.then(|| "paused by order".into()),
        status.waiting_replicas.map(|replicas| format!("{replicas} replicas wait")),
        status.current.as_ref().map(attempt),
        (!status.history.is_empty()).then(|| format!("{} in history", status.history.len())),
    ])
}

fn attempt(attempt: &Attempt) -> String {
    let Attempt { image, from_image, phases, .. } = attempt;
    format!("from {from_image} to {image} through {} phases", phases.len())
}

fn sides(status: &BlueGreenRolloutStatus) -> String {
    let roles = [
        ("active", &status.active),
        ("preview", &status.preview),
        ("standby", &status.standby),
        ("leaving", &status.leaving),
        ("previous", &status.previous),
    ];
    listed(&roles.map(|(role, side)| side.as_ref().map(|side| format!("{role} {}", named(side)))))
}

/// One line for each of which something is known, and one for all others.
fn gates(gates: &[Gate]) -> Vec<String> {
    let untouched = |gate: &&Gate| {
        let nothing = gate.measured.as_ref().is_none_or(|measured| measured.good == 0 && measured.readings.is_empty());
        gate.state == GateState::Running && nothing && gate.tries.is_none() && gate.definition != "another"
    };
    let mut lines: Vec<_> = gates.iter().filter(|gate| !untouched(gate)).map(|gate| format!("gate    {}", of_gate(gate))).collect();
    let others = gates.iter().filter(untouched).count();
    if others > 0 {
        lines.push(format!("        {others} gates run without a result"));
    }
    lines
}

fn of_gate(gate: &Gate) -> String {
    let readings = gate.measured.as_ref().and_then(|measured| Some((measured.readings.len(), measured.readings.first()?.at)));
    listed(&[
        Some(format!("{} {:?} since {}", gate.name, gate.state, when(gate.since))),
        (gate.definition == "another").then(|| "defined otherwise".into()),
        gate.measured.as_ref().map(|measured| format!("{} good", measured.good)),
        readings.map(|(count, latest)| format!("{count} readings, the latest at {}", when(latest))),
        gate.tries.as_ref().map(|tries| format!("{} tries, the latest at {}", tries.failed, when(tries.at))),
        (gate.message.len() > 256).then(|| "a message that is too long".into()),
    ])
}

fn side(color: &ColorSeen) -> String {
    let ready = color.pods.iter().filter(|pod| pod.ready && !pod.deleting).count();
    let pods = format!("{ready} of {} pods ready", color.pods.len());
    let Some(seen) = color.deployment.as_ref() else { return format!("no Deployment, {pods}") };
    let known = seen.applied_generation.is_none_or(|applied| applied == seen.generation);
    let counts = [seen.total, seen.updated, seen.available, seen.ready];
    let trouble = color.pods.iter().find_map(|pod| pod.trouble.as_ref());
    let others = color.pods.iter().filter(|pod| pod.revision != seen.revision).count();
    listed(&[
        Some(format!("{} ×{}, {pods}", image_of(&seen.revision), seen.replicas)),
        (others > 0).then(|| format!("{others} of another revision")),
        (counts != [seen.replicas; 4]).then(|| format!("total, updated, available, ready {counts:?}")),
        (seen.observed_generation < seen.generation).then(|| "not taken up".into()),
        (!known).then(|| "edited".into()),
        ours(&seen.owner, seen.deleting, seen.labels_intact),
        trouble.map(|trouble| trouble.reason.clone()),
        color.progress.as_ref().and_then(|progress| progress.short_since).map(|since| format!("short since {}", when(since))),
        color.progress.as_ref().and_then(|progress| progress.failing_since).map(|since| format!("failing since {}", when(since))),
        color.progress.as_ref().and_then(|progress| progress.none_since).map(|since| format!("none ready since {}", when(since))),
    ])
}

/// What is unusual about an object that we write.
fn ours(owner: &Owner, deleting: bool, labels_intact: bool) -> Option<String> {
    let unusual = [
        (*owner != Owner::Us).then(|| format!("of {owner:?}")),
        deleting.then(|| "being deleted".into()),
        (!labels_intact).then(|| "without our labels".into()),
    ];
    unusual.iter().any(Option::is_some).then(|| listed(&unusual))
}

fn service(service: Option<&ServiceSeen>) -> String {
    let Some(seen) = service else { return "not there".into() };
    let selected = |key: &str| seen.selector.get(key).map(String::as_str);
    let to = match (selected("bluegreen.dev/color"), selected("bluegreen.dev/revision")) {
        (Some(color), Some(revision)) => format!("leads to {color} {}", image_of(revision)),
        _ => "leads nowhere".into(),
    };
    listed(&[
        Some(to),
        ours(&seen.owner, seen.deleting, seen.labels_intact),
        (!seen.settings_intact).then(|| "its settings were changed".into()),
        (!seen.epoch.is_empty()).then(|| format!("epoch {}", seen.epoch)),
    ])
}

fn endpoints(seen: &Observed) -> String {
    let of = |color: Color| {
        let pods = || seen.color(color).pods.iter().map(|pod| &pod.name);
        let count = seen.endpoints.pods.iter().filter(|endpoint| pods().any(|pod| *pod == endpoint.pod)).count();
        (count > 0).then(|| format!("{count} endpoints of {color}"))
    };
    listed(&[Color::Blue, Color::Green].map(of))
}

fn clash(stored: &RevisionSeen) -> &'static str {
    if stored.digest.starts_with("digest-") { " (a clash)" } else { "" }
}

fn of_result(result: &Measurement, seen: &Observed) -> String {
    let Measurement { gate, definition, attempt, revision, at, outcome, .. } = result;
    let former = [
        (*attempt != seen.status.attempt).then(|| format!("of attempt {attempt}")),
        (definition == "former").then(|| "of another definition".into()),
        (revision == "former").then(|| "of another revision".into()),
    ];
    let of = if former.iter().any(Option::is_some) { format!(", {}", listed(&former)) } else { String::new() };
    format!("result  {gate} at {}{of}: {outcome:?}", when(*at))
}

fn beside(seen: &Observed) -> Vec<String> {
    let refused =
        seen.refusals.iter().map(|it| format!("refused {} times, {} at {}: {}", it.times, it.code, when(it.at), object(&it.object)));
    let orders = seen.annotations.iter().map(|(verb, revision)| format!("ordered {verb}={}", image_of(revision)));
    let absence = seen.absence.map(|absence| {
        let from = absence.from.map_or("an unknown time".into(), when);
        format!("nobody looked from {from} to {}", when(absence.to))
    });
    let down = seen.late.iter().map(|late| format!("a watch is late since {}: {late}", when(late.since)));
    let templates = seen.asked.templates.iter().filter(|(_, template)| !matches!(template, TemplateSeen::There(_)));
    let templates = templates.map(|((kind, name), template)| format!("{kind} {name}: {template:?}"));
    refused.chain(orders).chain(absence).chain(down).chain(templates).collect()
}

fn object(object: &Object) -> String {
    match object {
        Object::Deployment(color) => format!("Deployment {color}"),
        Object::Service(role) => format!("{} Service", role.as_str()),
        Object::Revision(hash) => format!("ControllerRevision {}", image_of(hash)),
    }
}

/// In a thread of its own: a decision that panics is told as well.
fn decided(seen: &Observed) -> String {
    let world = seen.clone();
    match thread::spawn(move || decide(&world)).join() {
        Ok(decision) => of_decision(&decision),
        Err(_) => "panics".into(),
    }
}

/// What was decided, in a line.
pub fn of_decision(decision: &Decision) -> String {
    match decision {
        Decision::Record(next) => format!("records {}", recorded(next)),
        Decision::Act(effects) => format!("does {}", effects.iter().map(|effect| of_change(&effect.change)).collect::<Vec<_>>().join("; ")),
        Decision::Wait { until, why } => format!("waits until {}: {why}", until.map_or("something changes".into(), when)),
    }
}

/// What was recorded, in a line.
pub fn recorded(next: &BlueGreenRolloutStatus) -> String {
    let gates: Vec<_> = gates(&next.gates).iter().map(|line| Some(line.trim().to_owned())).collect();
    format!("{} ({}; {}): {}", status(next), sides(next), listed(&gates), next.message)
}

pub fn of_change(change: &Change) -> String {
    match change {
        Change::WriteRevision { hash, .. } => format!("write ControllerRevision {}", image_of(hash)),
        Change::RestoreRevision { hash, color, .. } => format!("restore ControllerRevision {} from {color}", image_of(hash)),
        Change::DeleteRevision { hash } => format!("delete ControllerRevision {}", image_of(hash)),
        Change::AdoptRevision { hash } => format!("adopt ControllerRevision {}", image_of(hash)),
        Change::WriteDeployment { color, revision, replicas, .. } => format!("apply Deployment {color} {} ×{replicas}", image_of(revision)),
        Change::Scale { color, replicas } => format!("scale {color} to {replicas}"),
        Change::LeadService { role, target, .. } => {
            format!("lead the {} Service to {} {}", role.as_str(), target.color, image_of(&target.revision))
        }
        Change::SettleDeployment { color } => format!("settle {color}"),
        Change::SettleService { role, .. } => format!("settle the {} Service", role.as_str()),
        Change::ReleaseService { role } => format!("release the {} Service", role.as_str()),
        Change::Fence { object: fenced, epoch } => format!("fence {} with {epoch}", object(fenced)),
    }
}

/// A counterexample is to be read in one go.
#[test]
fn any_world_is_told_on_half_a_page() {
    let (mut runner, worlds) = (TestRunner::deterministic(), worlds());
    for _ in 0..100 {
        let told = format!("{:#?}", worlds.new_tree(&mut runner).unwrap().current());
        assert!(told.lines().count() <= 36 && told.contains("so it "), "{told}");
    }
}
