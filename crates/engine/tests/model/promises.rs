//! The promises of safety, each a small question to every write that reaches the API server. What a person does breaks none of
//! them; what an operator writes may. Before the first Healthy there is nothing to protect.

use crate::{
    broken::{Broken, holds},
    world::{COLORS, Deployment, Evidence, Pod, World, index, second},
};
use bluegreen_api::{BlueGreenRolloutStatus, Color, Gate, GateState, Lifetime, Phase, PromotionMode, Side};
use bluegreen_engine::{
    Decision, Effect, Observed, Why,
    decision::{Change, Role, Target},
};
use jiff::Timestamp;

/// A status is about to be recorded over the one in the world.
pub fn record(world: &World, seen: &Observed, next: &BlueGreenRolloutStatus) -> Result<(), Broken> {
    let step = Step { world, seen, old: &world.rollout.status, next };
    nothing_is_written_for_what_is_being_deleted(seen)?;
    step.conditions_say_one_thing()?;
    step.conditions_are_of_the_generation_that_was_seen()?;
    step.nothing_is_tried_while_paused()?;
    step.switch_is_recorded_only_for_a_side_that_is_there_in_full()?;
    step.every_gate_has_passed_for_this_attempt()?;
    step.a_person_has_approved()?;
    if world.notes.protected {
        step.active_side_moves_only_by_a_switch()?;
        step.rebuilt_active_side_is_the_one_that_serves()?;
        step.active_side_is_not_shrunk()?;
        step.standby_is_kept()?;
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
    let write = Write { world, seen };
    match &effect.change {
        Change::LeadService { role: Role::Active, target, .. } => write.active_service_goes_where_it_may(target),
        Change::ApplyDeployment { color, revision, replicas } => write.pods_are_kept(*color, Some(revision), *replicas),
        Change::Scale { color, replicas } => write.pods_are_kept(*color, None, *replicas),
        Change::DeleteRevision { hash } => write.revision_is_not_needed(hash),
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

fn is(side: &Option<Side>, of: &Side) -> bool {
    side.as_ref().is_some_and(|side| same(side, of))
}

fn ready(seen: &Observed, color: Color, revision: &str) -> i32 {
    let pods = seen.color(color).pods.iter().filter(|pod| pod.ready && !pod.deleting && pod.revision == revision);
    i32::try_from(pods.count()).unwrap_or(i32::MAX)
}

fn ready_now(world: &World, color: Color, revision: &str) -> i32 {
    let pods = world.pods.iter().filter(|pod| pod.ready && pod.color == color && *pod.revision == *revision);
    i32::try_from(pods.count()).unwrap_or(i32::MAX)
}

/// As the Deployment itself told, when it was looked at: nothing but this revision, all of it available.
fn available(seen: &Observed, color: Color, revision: &str) -> i32 {
    let Some(deployment) = seen.color(color).deployment.as_ref() else { return 0 };
    let settled = deployment.observed_generation >= deployment.generation && deployment.total == deployment.updated;
    if settled && deployment.revision == revision { deployment.updated.min(deployment.available) } else { 0 }
}

fn service_selects(seen: &Observed, side: &Side) -> bool {
    let selected = |key: &str| seen.service(Role::Active).and_then(|service| service.selector.get(key)).cloned();
    selected("bluegreen.dev/color").as_deref() == Some(side.color.as_str())
        && selected("bluegreen.dev/revision").as_deref() == Some(&side.revision)
}

/// Seconds of the phase that count.
fn counted(status: &BlueGreenRolloutStatus, now: i64) -> i64 {
    let Some(clock) = &status.clock else { return 0 };
    clock.stopped.map_or(now, second) - second(clock.since) - clock.excluded_millis / 1000
}

fn seconds(duration: Option<bluegreen_api::Duration>, default: i64) -> i64 {
    duration.map_or(default, |duration| i64::try_from(duration.0.as_secs()).unwrap_or(i64::MAX))
}

fn drain(seen: &Observed) -> i64 {
    seconds(seen.asked.spec.scale_down.as_ref().and_then(|it| it.drain), 10)
}

/// None: the former side stays.
fn stands_by(seen: &Observed) -> Option<i64> {
    match seen.asked.spec.scale_down.as_ref().and_then(|it| it.after) {
        Some(Lifetime::Never) => None,
        Some(Lifetime::For(after)) => Some(seconds(Some(after), 0)),
        None => Some(30),
    }
}

// === what is recorded ===

struct Step<'a> {
    world: &'a World,
    seen: &'a Observed,
    old: &'a BlueGreenRolloutStatus,
    next: &'a BlueGreenRolloutStatus,
}

impl Step<'_> {
    fn enters(&self, phase: Phase) -> bool {
        self.next.phase == Some(phase) && self.old.phase != Some(phase)
    }

    /// The candidate that the record decides to switch to.
    fn to_switch(&self) -> Option<&Side> {
        // Where somebody led the Service there by hand, one record passes through the switch.
        let at_once = self.next.active.as_ref().filter(|now| self.old.phase != Some(Phase::Promoting) && is(&self.old.preview, now));
        self.next.preview.as_ref().filter(|_| self.enters(Phase::Promoting)).or(at_once)
    }

    /// Where somebody led the Service to the standby by hand, the record that begins the way back ends it.
    fn goes_back_at_once(&self) -> bool {
        self.enters(Phase::RollingBack) && self.next.active.as_ref().is_some_and(|now| is(&self.old.standby, now))
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

    // Promise 1

    fn active_side_moves_only_by_a_switch(&self) -> Result<(), Broken> {
        let (Some(was), Some(now)) = (&self.old.active, &self.next.active) else { return Ok(()) };
        if same(was, now) {
            return Ok(());
        }
        let by_switch = match self.old.phase {
            Some(Phase::Promoting) => is(&self.old.preview, now),
            Some(Phase::RollingBack) => is(&self.old.standby, now),
            _ => self.to_switch().is_some() || self.goes_back_at_once(),
        };
        holds(1, by_switch, || format!("the active side moves from {} to {} in {:?}", was.color, now.color, self.old.phase))?;
        holds(1, service_selects(self.seen, now), || format!("{} is told active, and the Service doesn't select it", now.color))
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
            Some(Phase::RollingBack) => is(&self.next.active, was) || ready(self.seen, was.color, &was.revision) == 0,
            _ if self.goes_back_at_once() => true,
            Some(Phase::ScalingDown) => counted(self.old, self.world.now) >= drain(self.seen),
            // It was to stay for ever, and makes room for a candidate.
            Some(Phase::Healthy) => true,
            _ => false,
        };
        holds(2, may_go, || format!("the standby is given up in {:?}", self.old.phase))
    }

    // Promise 12

    fn the_switch_is_over_when_the_endpoints_show_it(&self) -> Result<(), Broken> {
        let begins = self.enters(Phase::Monitoring) && self.old.phase == Some(Phase::Promoting);
        let Some(active) = self.next.active.as_ref().filter(|_| begins) else { return Ok(()) };
        let own = |name: &str| self.seen.color(active.color).pods.iter().any(|pod| pod.name == name && pod.revision == active.revision);
        let others = self.seen.endpoints.pods.iter().filter(|pod| pod.ready && !own(&pod.pod)).count();
        let shown = others == 0 && !self.seen.endpoints.pods.is_empty();
        holds(12, shown, || format!("the drain of the former side begins while {others} endpoints still lead there"))
    }

    // Promise 3

    fn switch_is_recorded_only_for_a_side_that_is_there_in_full(&self) -> Result<(), Broken> {
        let Some(candidate) = self.to_switch() else { return Ok(()) };
        let there = available(self.seen, candidate.color, &candidate.revision);
        let asked = candidate.replicas.max(self.seen.asked.spec.replicas).max(1);
        holds(1, there >= asked, || format!("the switch is recorded with {there} of {asked} pods available"))?;
        holds(1, ready(self.seen, candidate.color, &candidate.revision) > 0, || "the switch is recorded with no pod ready".into())?;
        // As it was seen: an edit after that is nobody's fault.
        let seen = self.seen.color(candidate.color).deployment.as_ref();
        let ours = seen.is_some_and(|seen| seen.applied_generation.or(candidate.generation) == Some(seen.generation));
        holds(3, ours, || "the switch is recorded while the candidate's Deployment is as somebody else edited it".into())
    }

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
            GateState::Running | GateState::Failed => false,
        }
    }

    fn a_person_has_approved(&self) -> Result<(), Broken> {
        let manual = self.seen.asked.spec.promotion.as_ref().is_some_and(|it| it.mode == Some(PromotionMode::Manual));
        let approved = self.world.notes.approved == Some(self.next.attempt);
        let decided = self.to_switch().is_none() || !manual || approved;
        holds(3, decided, || format!("the switch is recorded, and nobody has approved attempt {}", self.next.attempt))
    }

    // Promise 4

    fn rebuilt_active_side_is_the_one_that_serves(&self) -> Result<(), Broken> {
        let (None, Some(now)) = (&self.old.phase, &self.next.active) else { return Ok(()) };
        let selected = self.world.services[0].as_ref().and_then(|service| service.selects.as_ref());
        let serves = selected.filter(|(color, _)| self.world.deployments[index(*color)].is_some());
        holds(4, serves.is_none_or(|(color, _)| *color == now.color), || {
            format!("the status was lost; {} is taken for the active side, and the Service selects the other", now.color)
        })
    }

    // Promise 9

    fn nothing_is_tried_while_paused(&self) -> Result<(), Broken> {
        let forward = [Phase::DeployingPreview, Phase::ScalingUp, Phase::Promoting];
        let tries = forward.into_iter().any(|phase| self.enters(phase)) && self.old.phase.is_some();
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

struct Write<'a> {
    world: &'a World,
    seen: &'a Observed,
}

impl Write<'_> {
    /// Where somebody empties the status while a request is under way, what was recorded before is what there is to go by.
    fn status(&self) -> &BlueGreenRolloutStatus {
        let recorded = &self.world.rollout.status;
        if recorded.phase.is_none() { &self.seen.status } else { recorded }
    }

    // Promise 1

    fn active_service_goes_where_it_may(&self, target: &Target) -> Result<(), Broken> {
        let to = |side: &Option<Side>| side.as_ref().is_some_and(|side| (side.color, &side.revision) == (target.color, &target.revision));
        let selected = self.world.services[0].as_ref().and_then(|service| service.selects.as_ref());
        let stays = selected.is_some_and(|(color, revision)| *color == target.color && **revision == *target.revision);
        if stays || to(&self.status().active) {
            return Ok(());
        }
        match self.status().phase {
            Some(Phase::Promoting) if to(&self.status().preview) => self.candidate_is_there_in_full(target),
            Some(Phase::RollingBack) if to(&self.status().standby) => self.standby_can_take_over(target),
            phase => holds(1, false, || format!("the active Service is sent to {} in {phase:?}, and nobody recorded that", target.color)),
        }
    }

    fn candidate_is_there_in_full(&self, target: &Target) -> Result<(), Broken> {
        let there = available(self.seen, target.color, &target.revision);
        let asked = self.seen.asked.spec.replicas.min(self.world.rollout.replicas).max(1);
        holds(1, there >= asked, || format!("it is promoted with {there} of {asked} pods available"))?;
        holds(1, ready(self.seen, target.color, &target.revision) > 0, || "it is promoted with no pod ready".into())
    }

    fn standby_can_take_over(&self, target: &Target) -> Result<(), Broken> {
        let (Some(standby), Some(active)) = (&self.status().standby, &self.status().active) else { return Ok(()) };
        let (ordered, slow) = self.status().ending.as_ref().map_or((false, false), |ending| (ending.ordered, ending.slow));
        let has = ready(self.seen, target.color, &target.revision);
        let left = ready(self.seen, active.color, &active.revision);
        let enough = match (ordered && !slow, slow) {
            (true, _) => 1,
            (false, true) if left > 0 => standby.replicas,
            (false, _) => standby.replicas.min(left).max(1),
        };
        holds(1, has >= enough, || format!("it is rolled back to {has} ready pods, {enough} are needed"))
    }

    // Promise 2

    fn pods_are_kept(&self, color: Color, revision: Option<&str>, replicas: i32) -> Result<(), Broken> {
        let Some(deployment) = &self.world.deployments[index(color)] else { return Ok(()) };
        let asked = self.seen.asked.spec.replicas.min(self.world.rollout.replicas);
        let shrinks = replicas < deployment.replicas && replicas < asked;
        let changes = revision.is_some_and(|revision| *revision != *deployment.revision);
        if !shrinks && !changes {
            return Ok(());
        }
        let is_of = |side: &Option<Side>| side.as_ref().is_some_and(|side| side.color == color && *side.revision == *deployment.revision);
        let what = if changes { "re-templated" } else { "scaled down" };
        holds(2, !is_of(&self.status().active), || format!("the active side, {color}, is {what}"))?;
        self.what_serves_is_kept(color, deployment, what)?;
        if is_of(&self.status().standby) && deployment.replicas > 0 {
            holds(2, !changes, || format!("the standby, {color}, is {what}"))?;
            self.standby_goes_only_in_its_time(color)?;
        }
        Ok(())
    }

    fn what_serves_is_kept(&self, color: Color, deployment: &Deployment, what: &str) -> Result<(), Broken> {
        if self.world.services[0].as_ref().is_some_and(|service| service.led_by_hand) {
            // A request on its way can't know where somebody has led users meanwhile.
            return Ok(());
        }
        let selected = self.world.services[0].as_ref().and_then(|service| service.selects.as_ref());
        let serves = selected.is_some_and(|(to, revision)| *to == color && *revision == deployment.revision);
        let users = serves && ready_now(self.world, color, &deployment.revision) > 0;
        holds(2, !users, || format!("{color} is {what}, and the active Service still selects its pods"))?;
        let reached = |pod: &&Pod| pod.color == color && pod.ready && self.world.endpoints.contains(&pod.name);
        let reached = self.world.pods.iter().filter(reached).count();
        holds(12, reached == 0, || format!("{color} is {what}, and {reached} of its pods still are endpoints of the active Service"))
    }

    fn standby_goes_only_in_its_time(&self, color: Color) -> Result<(), Broken> {
        let status = self.status();
        holds(2, status.phase == Some(Phase::ScalingDown), || format!("the standby, {color}, is scaled down in {:?}", status.phase))?;
        // By what was seen of it: a pause that came later can't call back a request that is on its way.
        let seen = &self.seen.status;
        let (so_far, after) = (counted(seen, self.world.now), stands_by(self.seen));
        let over = after.is_some_and(|after| so_far >= drain(self.seen) + after);
        holds(2, over, || format!("the standby, {color}, is scaled down after {so_far} s, before its time"))?;
        let paused = self.seen.asked.spec.paused || seen.paused_by_order;
        holds(9, !paused, || format!("the way back, {color}, is scaled down while paused"))
    }

    // Promise 4

    fn revision_is_not_needed(&self, hash: &str) -> Result<(), Broken> {
        let sides = [&self.status().active, &self.status().standby, &self.status().preview];
        let needed = sides.into_iter().flatten().any(|side| side.revision == hash);
        holds(4, !needed, || format!("the ControllerRevision {hash} is deleted, and a side runs it"))
    }
}

/// What serves now, for a story's end.
pub fn serving(world: &World) -> Option<Color> {
    let (color, revision) = world.services[0].as_ref()?.selects.as_ref()?;
    COLORS.into_iter().find(|it| it == color && ready_now(world, *it, revision) > 0)
}
