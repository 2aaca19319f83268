//! The promises of safety, each a small question to every write that reaches the API server. What a person does breaks none of
//! them; what an operator writes may. Before the first Healthy there is nothing to protect. The rules that an outsider can judge too are
//! the witness's, asked with the facts of the model.

use crate::{
    facts::{Moment, counted},
    world::{Evidence, World, index},
};
use bluegreen_api::{BlueGreenRolloutStatus, Color, Gate, GateState, Phase, PromotionMode, Side};
use bluegreen_engine::{
    Decision, Effect, Observed, Why,
    decision::{Change, Role},
};
use bluegreen_witness::promises::{
    Aim, Broken, Decided, Facts, active_side_moves_only_by_a_switch, holds, rebuilt_active_side_is_the_one_that_serves,
    service_goes_where_it_may, service_has_the_ports_of_its_side, size_is_kept, template_is_kept,
};
use jiff::Timestamp;

/// A status is about to be recorded over the one in the world.
pub fn record(world: &World, seen: &Observed, next: &BlueGreenRolloutStatus) -> Result<(), Broken> {
    let step = Step { world, seen, moment: Moment { world, seen, target: None }, old: &world.rollout.status, next };
    nothing_is_written_for_what_is_being_deleted(seen)?;
    step.conditions_say_one_thing()?;
    step.conditions_are_of_the_generation_that_was_seen()?;
    step.nothing_is_tried_while_paused()?;
    step.every_gate_has_passed_for_this_attempt()?;
    step.a_person_has_approved()?;
    if world.notes.protected {
        let (old, new) = (Decided::from(step.old), Decided::from(next));
        active_side_moves_only_by_a_switch(&step.moment, &old, &new)?;
        rebuilt_active_side_is_the_one_that_serves(&step.moment, &old, &new)?;
        step.active_side_is_not_shrunk()?;
        step.standby_is_kept()?;
        step.what_a_standby_had_is_remembered()?;
        step.the_switch_is_over_when_the_endpoints_show_it()?;
    }
    Ok(())
}

/// An effect has passed its guard and is about to be carried out.
pub fn effect(world: &World, seen: &Observed, effect: &Effect) -> Result<(), Broken> {
    nothing_is_written_for_what_is_being_deleted(seen)?;
    if !world.notes.protected {
        return Ok(());
    }
    let moment = Moment { world, seen, target: None };
    match &effect.change {
        Change::LeadService { role: Role::Active, target, .. } => {
            let (to, moment) = (Aim { color: target.color, revision: &target.revision }, Moment { target: Some(target), ..moment });
            service_goes_where_it_may(&moment, to)?;
            users_go_to_a_candidate_as_it_was_recorded(&moment, to)?;
            nothing_stands_before_an_armed_switch(&moment, to)?;
            service_has_the_ports_of_its_side(&moment, to)
        }
        Change::WriteDeployment { color, revision, replicas, .. } => deployment_is_kept(&moment, *color, Some(revision), *replicas),
        Change::Scale { color, replicas } => deployment_is_kept(&moment, *color, None, *replicas),
        Change::DeleteRevision { hash } => revision_is_not_needed(moment.status(), hash),
        _ => Ok(()),
    }
}

/// Promise 11: a wait says what it waits for, and not for a time that is over.
pub fn wait(seen: &Observed, until: Option<Timestamp>, why: &Why) -> Result<(), Broken> {
    holds(11, !why.0.trim().is_empty(), || "it waits and doesn't say for what".into())?;
    holds(11, until.is_none_or(|until| until > seen.now), || format!("it waits ({why}) until a time that is over"))?;
    holds(11, seen.deleting || !seen.status.message.is_empty(), || "the status says nothing".into())
}

/// Promise 7. A request that was on its way when somebody deleted the rollout is another matter.
fn nothing_is_written_for_what_is_being_deleted(seen: &Observed) -> Result<(), Broken> {
    holds(7, !seen.deleting, || "it writes though it has seen that the rollout is being deleted".into())
}

fn same(a: &Side, b: &Side) -> bool {
    (a.color, &a.revision) == (b.color, &b.revision)
}

fn aim(side: &Side) -> Aim<'_> {
    Aim { color: side.color, revision: &side.revision }
}

fn is(side: &Option<Side>, of: &Side) -> bool {
    side.as_ref().is_some_and(|side| same(side, of))
}

// === what is recorded ===

struct Step<'a> {
    world: &'a World,
    seen: &'a Observed,
    moment: Moment<'a>,
    old: &'a BlueGreenRolloutStatus,
    next: &'a BlueGreenRolloutStatus,
}

impl Step<'_> {
    fn enters(&self, phase: Phase) -> bool {
        self.next.phase == Some(phase) && self.old.phase != Some(phase)
    }

    fn ready(&self, side: &Side) -> i64 {
        self.moment.ready(aim(side)).0
    }

    /// The candidate that the record decides to switch to.
    fn to_switch(&self) -> Option<&Side> {
        if self.switched() {
            return None;
        }
        // Where somebody led the Service there by hand, one record passes through the switch.
        let at_once = self.next.active.as_ref().filter(|now| is(&self.old.preview, now));
        let decided = Decided::from(self.next).switches_to().is_some();
        self.next.preview.as_ref().filter(|_| decided).or(at_once)
    }

    /// Where somebody led the Service to the standby by hand, the record that begins the way back ends it.
    fn goes_back_at_once(&self) -> bool {
        self.enters(Phase::RollingBack) && self.next.active.as_ref().is_some_and(|now| is(&self.old.standby, now))
    }

    /// The switch was recorded before; or armed, and made. What has become of its gates since is of no switch.
    fn switched(&self) -> bool {
        let made = |candidate: &Side| self.moment.saw_service_at(aim(candidate)) == Some(true);
        self.old.phase == Some(Phase::Promoting) || (self.old.armed && self.old.preview.as_ref().is_some_and(made))
    }

    fn paused(&self) -> bool {
        self.seen.asked.spec.paused || self.next.paused_by_order
    }

    // Section 7: kstatus

    fn conditions_say_one_thing(&self) -> Result<(), Broken> {
        let true_ones = |type_: &str| self.next.conditions.iter().any(|it| it.type_ == type_ && it.status == "True");
        let there = |type_: &str| self.next.conditions.iter().any(|it| it.type_ == type_);
        holds(10, !(true_ones("Reconciling") && true_ones("Stalled")), || "Reconciling and Stalled at once".into())?;
        holds(10, there("Ready") && there("Promoted"), || "Ready and Promoted are not both told".into())
    }

    fn conditions_are_of_the_generation_that_was_seen(&self) -> Result<(), Broken> {
        let generations = self.next.conditions.iter().map(|it| it.observed_generation);
        let all = generations.chain([Some(self.next.observed_generation)]).all(|it| it == Some(self.world.rollout.generation));
        holds(10, all, || "a condition or the status is of another generation than the spec that it answers".into())
    }

    // Promise 2

    fn active_side_is_not_shrunk(&self) -> Result<(), Broken> {
        let (Some(was), Some(now)) = (&self.old.active, &self.next.active) else { return Ok(()) };
        let shrinks = same(was, now) && now.replicas < was.replicas && now.replicas < self.seen.asked.spec.replicas;
        holds(2, !shrinks, || format!("{} replicas are recorded for the active side", now.replicas))
    }

    fn standby_is_kept(&self) -> Result<(), Broken> {
        let Some(was) = &self.old.standby else { return Ok(()) };
        if let Some(now) = self.next.standby.as_ref().filter(|now| same(was, now)) {
            return holds(2, now.replicas >= was.replicas, || "the standby is recorded smaller".into());
        }
        let may_go = match self.old.phase {
            Some(Phase::RollingBack) => is(&self.next.active, was) || self.ready(was) == 0,
            _ if self.goes_back_at_once() => true,
            Some(Phase::ScalingDown) => counted(self.old, self.world.now) >= Some(self.moment.drain()),
            // It was to stay for ever, and makes room for a candidate.
            Some(Phase::Healthy) => true,
            _ => false,
        };
        holds(2, may_go, || format!("the standby is given up in {:?}", self.old.phase))
    }

    fn what_a_standby_had_is_remembered(&self) -> Result<(), Broken> {
        let left = self.next.standby.as_ref().filter(|now| is(&self.old.active, now) && self.switched());
        let Some(left) = left else { return Ok(()) };
        let had = self.ready(left);
        holds(1, left.ready_when_left.map(i64::from) == Some(had), || {
            format!("it was left with {had} ready pods, told as {:?}", left.ready_when_left)
        })
    }

    // Promise 12

    fn the_switch_is_over_when_the_endpoints_show_it(&self) -> Result<(), Broken> {
        let begins = self.switched() && (self.enters(Phase::Monitoring) || self.enters(Phase::ScalingDown));
        let Some(active) = self.next.active.as_ref().filter(|_| begins) else { return Ok(()) };
        let own = |name: &str| self.seen.color(active.color).pods.iter().any(|pod| pod.name == name && pod.revision == active.revision);
        let others = self.seen.endpoints.pods.iter().filter(|pod| pod.ready && !own(&pod.pod)).count();
        let shown = others == 0 && !self.seen.endpoints.pods.is_empty();
        holds(12, shown, || format!("the drain of the former side begins while {others} endpoints still lead there"))
    }

    // Promise 3

    fn every_gate_has_passed_for_this_attempt(&self) -> Result<(), Broken> {
        let Some(candidate) = self.to_switch() else { return Ok(()) };
        let verification = self.seen.asked.spec.verification.clone().unwrap_or_default();
        let checks = verification.checks.iter().map(|check| (check.name.as_str(), 1));
        // What has a weight may be bad: the score decides for it.
        let deciding = verification.metrics.iter().filter(|metric| metric.weight.is_none());
        let metrics = deciding.map(|metric| (metric.name.as_str(), metric.count.unwrap_or(5)));
        let score = verification.score.iter().map(|_| ("score", 0));
        for (name, count) in checks.chain(metrics).chain(score) {
            let gate = self.next.gates.iter().find(|gate| gate.name == format!("verification/{name}"));
            let passed = gate.is_some_and(|gate| self.is_decided(gate, candidate, count));
            holds(3, passed, || format!("the switch is recorded, and {name} hasn't passed for it: {gate:?}"))?;
        }
        Ok(())
    }

    /// By as many good results as the witness saw, of this attempt and the gate as it is defined now; or by a person.
    fn is_decided(&self, gate: &Gate, candidate: &Side, count: i32) -> bool {
        let today = definition_of_today(self.seen, &gate.name);
        let of_this = |it: &&Evidence| {
            let this = it.attempt == self.next.attempt && it.revision == candidate.revision;
            this && it.gate == gate.name && Some(&it.definition) == today.as_ref()
        };
        let good = self.world.notes.evidence.iter().find(of_this).map_or(0, |it| it.good);
        match gate.state {
            GateState::Passed => good >= count,
            GateState::Inconclusive => self.world.notes.approved == Some(self.next.attempt),
            GateState::Running | GateState::Failed | GateState::Unknown => false,
        }
    }

    fn a_person_has_approved(&self) -> Result<(), Broken> {
        let manual = self.seen.asked.spec.promotion.as_ref().is_some_and(|it| it.mode == Some(PromotionMode::Manual));
        let approved = self.world.notes.approved == Some(self.next.attempt);
        let decided = self.to_switch().is_none() || !manual || approved;
        holds(3, decided, || format!("the switch is recorded, and nobody has approved attempt {}", self.next.attempt))
    }

    // Promise 9

    fn nothing_is_tried_while_paused(&self) -> Result<(), Broken> {
        let forward = [Phase::DeployingPreview, Phase::ScalingUp, Phase::Promoting];
        // What was armed, and made before the pause, is seen and told after it.
        let tries = forward.into_iter().any(|phase| self.enters(phase)) && self.old.phase.is_some() && !self.switched();
        holds(9, !(tries && self.paused()), || format!("{:?} is begun while paused", self.next.phase))?;
        let begins = self.next.attempt > self.old.attempt && self.next.preview.is_some() && self.old.phase.is_some();
        holds(9, !(begins && self.paused()), || "an attempt is begun while paused".into())
    }
}

/// How a gate is defined now: as the engine would begin it anew.
fn definition_of_today(seen: &Observed, gate: &str) -> Option<String> {
    let mut asked = seen.clone();
    asked.status.phase = Some(Phase::Verifying);
    asked.status.gates.clear();
    asked.results.clear();
    match bluegreen_engine::decide(&asked) {
        Decision::Record(status) => status.gates.into_iter().find(|it| it.name == gate).map(|it| it.definition),
        Decision::Act(_) | Decision::Wait { .. } => None,
    }
}

// === what is written ===

/// Promise 3, as its writer saw the candidate: an edit after that is nobody's fault.
fn users_go_to_a_candidate_as_it_was_recorded(moment: &Moment<'_>, to: Aim<'_>) -> Result<(), Broken> {
    let Some(candidate) = switched_to(moment, to) else { return Ok(()) };
    let deployment = moment.seen.color(to.color).deployment.as_ref();
    let ours = deployment.is_some_and(|seen| seen.applied_generation.or(candidate.generation) == Some(seen.generation));
    holds(3, ours, || "users are sent to the candidate while its Deployment is as somebody else edited it".into())
}

/// Promises 3 and 9: a switch that was armed while pods started asks at its last look for all that may stand before it. A request that is
/// on its way is not called back by what came later.
fn nothing_stands_before_an_armed_switch(moment: &Moment<'_>, to: Aim<'_>) -> Result<(), Broken> {
    let (seen, status) = (moment.seen, &moment.seen.status);
    let Some(candidate) = switched_to(moment, to).filter(|_| status.phase != Some(Phase::Promoting)) else { return Ok(()) };
    let asked = &seen.asked.spec;
    let names = |verb: &str| {
        let given = seen.annotations.get(&format!("bluegreen.dev/{verb}"));
        given.is_some_and(|value| value.starts_with(&candidate.revision) && status.orders.get(verb) != Some(value))
    };
    let ordered = ["abort", "rollback", "pause"].into_iter().find(|verb| names(verb));
    let promotion = asked.promotion.clone().unwrap_or_default();
    let image = asked.image.as_deref();
    for (stands, what) in [
        (!status.armed, "no decision"),
        (asked.paused || status.paused_by_order, "a pause"),
        (ordered.is_some(), "an order"),
        (image != Some(candidate.image.as_str()), "another image in spec"),
        (asked.replicas == 0, "a size of 0"),
        (asked.verification.is_some(), "a gate"),
        (promotion.mode.is_some_and(|mode| mode != PromotionMode::Automatic), "a person's approval"),
        (promotion.after.is_some(), "a time"),
        (!seen.late.is_empty() || !seen.unread.is_empty(), "something that can't be seen"),
    ] {
        holds(3, !stands, || format!("the armed switch is made though {what} stands before it: {ordered:?}"))?;
    }
    Ok(())
}

/// The candidate that a write sends users to, who are elsewhere.
fn switched_to<'a>(moment: &'a Moment<'_>, to: Aim<'_>) -> Option<&'a Side> {
    let candidate = moment.seen.status.preview.as_ref().filter(|candidate| aim(candidate) == to)?;
    (!moment.stays_at(to)).then_some(candidate)
}

/// Promises 2, 12 and 9. `revision`: that of the template that is written with the size.
fn deployment_is_kept(moment: &Moment<'_>, color: Color, revision: Option<&str>, replicas: i32) -> Result<(), Broken> {
    let Some(deployment) = &moment.world.deployments[index(color)] else { return Ok(()) };
    let runs = Some(&*deployment.revision);
    size_is_kept(moment, color, runs, (deployment.replicas.into(), replicas.into()))?;
    if let Some(becomes) = revision.filter(|becomes| Some(*becomes) != runs) {
        template_is_kept(moment, color, runs, becomes)?;
    }
    // As it was seen: what was ordered later can't call back a request that is on its way.
    let paused = moment.seen.asked.spec.paused || moment.seen.status.paused_by_order;
    let is_standby =
        moment.status().standby.as_ref().is_some_and(|standby| standby.color == color && *standby.revision == *deployment.revision);
    let goes = is_standby && replicas < deployment.replicas && i64::from(replicas) < moment.asked();
    holds(9, !(goes && paused), || format!("the way back, {color}, is scaled down while paused"))
}

/// Promise 4
fn revision_is_not_needed(status: &BlueGreenRolloutStatus, hash: &str) -> Result<(), Broken> {
    let sides = [&status.active, &status.standby, &status.preview];
    let needed = sides.into_iter().flatten().any(|side| side.revision == hash);
    holds(4, !needed, || format!("the ControllerRevision {hash} is deleted, and a side runs it"))
}

/// What serves now, for a story's end.
pub fn serving(world: &World) -> Option<Color> {
    let (color, revision) = world.services[0].as_ref()?.selects.as_ref()?;
    let ready = world.pods.iter().any(|pod| pod.ready && pod.color == *color && pod.revision == *revision);
    ready.then_some(*color)
}
