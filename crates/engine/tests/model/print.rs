//! The fingerprint of a state. What can't make a difference to anything that follows is left out or made a relation, so that
//! states merge: times are ages that saturate, versions, generations and epochs are compared with what they are compared with.

use crate::world::{COLORS, Deployment, Operator, Pod, Reconcile, Service, World, index, second};
use bluegreen_api::{BlueGreenRolloutStatus, Clock, Gate, Side};
use bluegreen_engine::{
    Decision, Effect,
    decision::{Change, Guard, Manner},
    pass::Step,
};
use bluegreen_gates::reading::Measurement;
use jiff::Timestamp;
use std::hash::{Hash, Hasher};

/// Longer ago than every deadline: all the same.
const LONG_AGO: i64 = 400;

/// 128 bits, for a set that holds millions and must not take two states for one.
struct Print(u128);

impl Hasher for Print {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word) ^ ((chunk.len() as u64) << 59));
        }
    }

    fn write_u8(&mut self, i: u8) {
        self.write_u64(u64::from(i));
    }

    fn write_u64(&mut self, word: u64) {
        let mixed = (self.0 ^ u128::from(word)).wrapping_mul(0x2360_ED05_1FC6_5DA4_4385_DF64_9FCC_F645);
        self.0 = mixed ^ (mixed >> 61);
    }

    fn write_usize(&mut self, i: usize) {
        self.write_u64(i as u64);
    }

    fn finish(&self) -> u64 {
        self.0 as u64
    }
}

impl World {
    /// With what may still happen, or without: for what happens when nothing but the schedule goes on.
    pub fn print(&self, with_budget: bool) -> u128 {
        let mut print = Print(0x5851_F42D_4C95_7F2D);
        let p = &mut print;
        if with_budget {
            self.left.hash(p);
        }
        let rollout = &self.rollout;
        (rollout.image, rollout.replicas, rollout.paused, rollout.settings, rollout.deleting, self.broken).hash(p);
        rollout.orders.hash(p);
        self.status(p, &rollout.status);
        for color in 0..2 {
            self.deployment(p, self.deployments[color].as_deref());
        }
        for service in &self.services {
            self.service(p, service.as_deref());
        }
        self.pods(p, &self.pods);
        let gone = self.endpoints.iter().filter(|name| !self.pods.iter().any(|pod| pod.name == **name)).count();
        gone.hash(p);
        for revision in self.revisions.iter() {
            (&revision.hash, revision.number, &revision.digest).hash(p);
        }
        self.before(p);
        self.operator(p, &self.operator);
        self.rival.is_some().hash(p);
        if let Some(rival) = &self.rival {
            self.operator(p, rival);
        }
        self.notes(p);
        // A second round, so that what came last is spread as well.
        p.write_u64(1);
        p.write_u64(2);
        print.0
    }

    fn age(&self, at: i64) -> i64 {
        (self.now - at).clamp(-LONG_AGO, LONG_AGO)
    }

    fn age_of(&self, at: Timestamp) -> i64 {
        self.age(second(at))
    }

    fn notes(&self, p: &mut Print) {
        let attempt = self.rollout.status.attempt;
        self.notes.protected.hash(p);
        (self.notes.approved == Some(attempt)).hash(p);
        for evidence in self.notes.evidence.iter().filter(|evidence| evidence.attempt == attempt) {
            (&evidence.gate, &evidence.definition, &evidence.revision, evidence.good).hash(p);
        }
    }

    fn before(&self, p: &mut Print) {
        let before = &self.before;
        if self.left.stales == 0 {
            return;
        }
        before.rollout.is_some().hash(p);
        if let Some(rollout) = &before.rollout {
            (rollout.image, rollout.replicas, rollout.paused, rollout.settings, rollout.deleting, self.rollout.by).hash(p);
            rollout.orders.hash(p);
            self.status(p, &rollout.status);
        }
        for color in 0..2 {
            self.deployment(p, before.deployments[color].as_deref());
            self.deployments[color].as_ref().map(|deployment| deployment.by).hash(p);
        }
        self.service(p, before.active.as_deref());
        self.services[0].as_ref().map(|service| service.by).hash(p);
        before.pods.is_some().hash(p);
        if let Some(pods) = &before.pods {
            self.pods(p, pods);
        }
        if let Some(endpoints) = &before.endpoints {
            let of = |pod: &&Pod| endpoints.contains(&pod.name);
            (endpoints.len(), self.pods.iter().filter(of).count(), self.pods.iter().filter(|pod| pod.ready).filter(of).count()).hash(p);
        }
    }

    fn deployment(&self, p: &mut Print, deployment: Option<&Deployment>) {
        deployment.is_some().hash(p);
        let Some(deployment) = deployment else { return };
        let told = deployment.told;
        (&*deployment.revision, deployment.edited, deployment.labels_intact, deployment.replicas).hash(p);
        (deployment.generation - told.observed).clamp(0, 1).hash(p);
        (told.total, told.updated, told.ready).hash(p);
        self.epoch(p, &deployment.epoch);
        self.arrival(p, &deployment.arrival);
    }

    /// Only whether it is of the attempt that is recorded can ever be met.
    fn arrival(&self, p: &mut Print, marker: &str) {
        let (attempt, back) = marker.split_once('-').map_or((marker, false), |(attempt, _)| (attempt, true));
        let attempt = attempt.parse::<i64>().map_or(-1, |attempt| (attempt - self.rollout.status.attempt).clamp(-1, 1));
        (attempt, back && attempt >= 0).hash(p);
    }

    fn service(&self, p: &mut Print, service: Option<&Service>) {
        service.is_some().hash(p);
        let Some(service) = service else { return };
        (service.selects.as_ref().map(|(color, revision)| (*color, &**revision)), service.former.as_deref()).hash(p);
        (service.led_by_hand, service.ports_intact).hash(p);
        self.epoch(p, &service.epoch);
    }

    fn epoch(&self, p: &mut Print, epoch: &str) {
        let parts = epoch.split_once('.').and_then(|(epoch, term)| Some((epoch.parse::<i64>().ok()?, term.parse::<i64>().ok()?)));
        let Some((epoch, term)) = parts else { return (-1_i64).hash(p) };
        // Only the epoch that the next withdrawal would write can ever be met.
        let next = epoch - self.rollout.status.epoch;
        if next < 1 { (-1_i64).hash(p) } else { (next, term).hash(p) }
    }

    fn pods(&self, p: &mut Print, pods: &[Pod]) {
        let kind = |pod: &Pod| {
            let changed = pod.ready_changed.map(|at| self.age(at));
            let serves = self.endpoints.contains(&pod.name);
            (pod.color, pod.revision.clone(), pod.edited, pod.ready, serves, self.age(pod.created), changed)
        };
        let mut kinds: Vec<_> = pods.iter().map(kind).collect();
        kinds.sort();
        kinds.hash(p);
    }

    // === the recorded status ===

    fn status(&self, p: &mut Print, status: &BlueGreenRolloutStatus) {
        status.phase.map(|phase| phase as u8).hash(p);
        (self.rollout.generation - status.observed_generation).clamp(0, 1).hash(p);
        (timeless(&status.message), status.revisions, status.replicas, &status.selector).hash(p);
        (self.rollout.status.attempt - status.attempt).hash(p);
        for side in [&status.active, &status.preview, &status.standby, &status.leaving, &status.previous] {
            self.side(p, side.as_ref());
        }
        status.rejected.as_ref().map(|rejected| (&rejected.revision, &rejected.reason)).hash(p);
        status.rejections.iter().for_each(|rejection| rejection.revision.hash(p));
        for gate in &status.gates {
            self.gate(p, gate);
        }
        status.ending.as_ref().map(|ending| (ending.outcome as u8, &ending.reason, ending.ordered, ending.slow)).hash(p);
        self.clock(p, status.clock.as_ref());
        status.orders.hash(p);
        status.ignored_orders.hash(p);
        (status.paused_by_order, status.armed, status.waiting_replicas, status.collision_count, status.current.is_some()).hash(p);
        (status.epoch - self.rollout.status.epoch).hash(p);
        for condition in &status.conditions {
            (&condition.type_, &condition.status, &condition.reason).hash(p);
        }
    }

    fn side(&self, p: &mut Print, side: Option<&Side>) {
        side.is_some().hash(p);
        let Some(side) = side else { return };
        let is = self.deployments[index(side.color)].as_ref().map(|deployment| deployment.generation);
        let differs = is.zip(side.generation).map(|(is, was)| (is - was).clamp(-1, 3));
        (side.color, &side.revision, side.replicas, differs, side.generation.is_some()).hash(p);
        (side.ready_when_left, side.starting_since.map(|at| self.age_of(at))).hash(p);
    }

    fn gate(&self, p: &mut Print, gate: &Gate) {
        (&gate.name, gate.state as u8, &gate.definition, self.age_of(gate.since)).hash(p);
        if let Some(measured) = &gate.measured {
            (measured.good, measured.bad_in_row, measured.no_data_in_row, measured.errors_in_row, measured.covered_millis).hash(p);
            measured.readings.first().map(|reading| self.age_of(reading.at)).hash(p);
        }
    }

    fn clock(&self, p: &mut Print, clock: Option<&Clock>) {
        clock.is_some().hash(p);
        let Some(clock) = clock else { return };
        let end = clock.stopped.map_or(self.now, second);
        let counted = (end - second(clock.since) - clock.excluded_millis / 1000).clamp(0, LONG_AGO);
        let unaccounted = self
            .operator
            .absence
            .is_some_and(|absence| absence.to > clock.since && clock.accounted_until.is_none_or(|until| absence.to > until));
        (counted, self.age_of(clock.since), clock.stopped.is_some(), unaccounted).hash(p);
    }

    // === operators ===

    fn operator(&self, p: &mut Print, operator: &Operator) {
        (operator.term, operator.until.map(|at| self.age(at).min(0))).hash(p);
        for due in &operator.due {
            (&due.gate, &due.definition, &due.revision, due.attempt - self.rollout.status.attempt, self.age(due.at).min(0)).hash(p);
        }
        for color in COLORS {
            let deployment = self.deployments[index(color)].as_ref();
            let applied = operator.applied[index(color)].filter(|(uid, _)| deployment.is_some_and(|it| it.uid == *uid));
            applied.zip(deployment).map(|((_, applied), it)| (it.generation - applied).clamp(0, 1)).hash(p);
            let progress = operator.progress[index(color)].as_ref();
            let ages = |at: Timestamp| self.age_of(at);
            // Of a side that is to have no pods the mark comes and goes.
            let mark = |high_water: i32| deployment.map_or(0, |it| high_water.min(it.replicas));
            progress.map(|it| (&it.revision, mark(it.high_water), ages(it.at))).hash(p);
            progress.map(|it| [it.short_since, it.failing_since, it.none_since].map(|since| since.map(ages))).hash(p);
        }
        for result in &operator.results {
            self.result(p, result);
        }
        operator.pass.is_some().hash(p);
        if let Some(held) = &operator.pass {
            self.reconcile(p, held);
        }
    }

    fn result(&self, p: &mut Print, result: &Measurement) {
        (&result.gate, &result.definition, &result.revision, result.attempt - self.rollout.status.attempt).hash(p);
        self.age_of(result.at).hash(p);
        match &result.outcome {
            bluegreen_gates::reading::Outcome::Check(check) => (0, std::mem::discriminant(check)).hash(p),
            bluegreen_gates::reading::Outcome::Readings(readings) => {
                let value = readings
                    .first()
                    .map(|reading| (std::mem::discriminant(reading), *reading == bluegreen_gates::reading::Reading::Value(0.0)));
                (1, value).hash(p);
            }
        }
    }

    fn reconcile(&self, p: &mut Print, held: &Reconcile) {
        (held.step == Step::Look).hash(p);
        match held.pass.last() {
            Some(Decision::Record(status)) => {
                (held.version == self.rollout.version).hash(p);
                self.status(p, status);
            }
            Some(Decision::Act(effects)) => {
                // Those that were answered matter only as a list that could be decided again.
                held.answered.hash(p);
                for effect in effects {
                    self.effect(p, effect);
                }
                self.what_it_saw(p, held);
            }
            Some(Decision::Wait { .. }) | None => {}
        }
    }

    /// What a witness asks of an effect that is under way.
    fn what_it_saw(&self, p: &mut Print, held: &Reconcile) {
        let Some(seen) = held.pass.seen().filter(|_| held.step != Step::Look) else { return };
        (seen.asked.spec.replicas, seen.asked.spec.paused).hash(p);
        for color in COLORS {
            let seen = seen.color(color);
            let told = seen
                .deployment
                .as_ref()
                .map(|it| (&it.revision, it.total, it.updated, it.available, it.observed_generation >= it.generation));
            told.hash(p);
            seen.pods.iter().filter(|pod| pod.ready).count().hash(p);
        }
    }

    fn effect(&self, p: &mut Print, effect: &Effect) {
        match &effect.change {
            Change::WriteRevision { hash, .. } | Change::RestoreRevision { hash, .. } => (0, hash).hash(p),
            Change::DeleteRevision { hash } | Change::AdoptRevision { hash } => (1, hash).hash(p),
            Change::WriteDeployment { color, revision, replicas, manner } => {
                (2, *color, revision, *replicas).hash(p);
                if let Manner::Arrival(marker) = manner {
                    self.arrival(p, marker);
                }
            }
            Change::Scale { color, replicas } => (3, *color, *replicas).hash(p),
            Change::LeadService { role, target, extent } => (4, *role, *extent, target.color, &target.revision).hash(p),
            Change::SettleDeployment { color } => (8, *color).hash(p),
            Change::SettleService { role, marks_only } => (6, *role, *marks_only).hash(p),
            Change::ReleaseService { role } => (7, *role).hash(p),
            Change::Fence { object, epoch } => {
                (5, object).hash(p);
                self.epoch(p, epoch);
            }
        }
        let version = self.version_of(&effect.object());
        let passes = match &effect.guard {
            Guard::Absent => version.is_none(),
            Guard::ResourceVersion(wanted) => version.is_some_and(|version| version.to_string() == *wanted),
            Guard::None => true,
        };
        passes.hash(p);
    }
}

/// A message without the times in it: they follow from the clock, which is part of the print as an age.
pub fn timeless(message: &str) -> String {
    let is_time = |word: &&str| word.ends_with('Z') && word.contains(':') && word.starts_with(|first: char| first.is_ascii_digit());
    let words = message.split(' ').map(|word| if is_time(&word.trim_end_matches([',', ';', '.'])) { "then" } else { word });
    words.collect::<Vec<_>>().join(" ")
}
