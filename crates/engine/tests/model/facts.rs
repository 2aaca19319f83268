//! What the rules of promises must know, from the model: the cluster as it is, and what the operator that writes had seen of it.

use crate::world::{Text, World, at, index, second};
use bluegreen_api::{BlueGreenRolloutStatus, Color, Duration, Lifetime};
use bluegreen_engine::{
    Observed,
    decision::{Role, Target},
};
use bluegreen_witness::promises::{Aim, Decided, Facts, Side};
use jiff::SignedDuration;

/// An operator is about to write this.
pub struct Moment<'a> {
    pub world: &'a World,
    pub seen: &'a Observed,
    /// Where it leads the active Service.
    pub target: Option<&'a Target>,
}

impl Moment<'_> {
    /// Where somebody empties the status while a request is under way, what was recorded before is what there is to go by.
    pub fn status(&self) -> &BlueGreenRolloutStatus {
        let recorded = &self.world.rollout.status;
        if recorded.phase.is_none() { &self.seen.status } else { recorded }
    }

    /// By its pods, and as the Deployment itself told when it was looked at: nothing but this revision, all of it available.
    pub fn complete(&self, aim: Aim<'_>) -> i64 {
        let told = self.seen.color(aim.color).deployment.as_ref().filter(|deployment| deployment.revision == aim.revision);
        let settled = told.filter(|told| told.observed_generation >= told.generation && told.total == told.updated);
        settled.map_or(0_i64, |told| told.updated.min(told.available).into()).min(self.ready(aim).0)
    }

    fn selects(&self) -> Option<Aim<'_>> {
        self.world.services[0].as_ref()?.selects.as_ref().map(aim)
    }

    fn led_by_hand(&self) -> bool {
        self.world.services[0].as_ref().is_some_and(|service| service.led_by_hand)
    }
}

fn aim((color, revision): &(Color, Text)) -> Aim<'_> {
    Aim { color: *color, revision }
}

fn whole(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration.0).unwrap()
}

/// The time of its phase that counts.
pub fn counted(status: &BlueGreenRolloutStatus, now: i64) -> Option<SignedDuration> {
    let clock = status.clock.as_ref()?;
    let until = clock.stopped.unwrap_or_else(|| at(now));
    Some(until.duration_since(clock.since) - SignedDuration::from_millis(clock.excluded_millis))
}

impl Facts for Moment<'_> {
    fn decided(&self) -> Decided<'_> {
        self.status().into()
    }

    fn known(&self) -> Decided<'_> {
        (&self.seen.status).into()
    }

    fn was_healthy(&self) -> bool {
        self.world.notes.protected
    }

    fn asked(&self) -> i64 {
        self.seen.asked.spec.replicas.min(self.world.rollout.replicas).into()
    }

    /// A request on its way can't know where somebody has led users meanwhile.
    fn led_to(&self) -> Option<Aim<'_>> {
        self.selects().filter(|_| !self.led_by_hand())
    }

    fn stays_at(&self, aim: Aim<'_>) -> bool {
        self.selects() == Some(aim)
    }

    fn saw_service_at(&self, aim: Aim<'_>) -> Option<bool> {
        let selected = |key: &str| self.seen.service(Role::Active).and_then(|service| service.selector.get(key)).map(String::as_str);
        Some(selected("bluegreen.dev/color") == Some(aim.color.as_str()) && selected("bluegreen.dev/revision") == Some(aim.revision))
    }

    fn has_ports_of(&self, side: &Side<'_>) -> bool {
        let status = self.status();
        let sides = [&status.active, &status.standby, &status.preview].into_iter().flatten();
        let mut recorded = sides.filter(|recorded| (recorded.color, &*recorded.revision) == (side.aim.color, side.aim.revision));
        self.target.is_some_and(|target| recorded.all(|recorded| recorded.ports == target.ports))
    }

    fn ready(&self, aim: Aim<'_>) -> (i64, i64) {
        let pods = self.seen.color(aim.color).pods.iter();
        let ready = pods.filter(|pod| pod.ready && !pod.deleting && pod.revision == aim.revision).count();
        let ready = i64::try_from(ready).unwrap();
        (ready, ready)
    }

    /// All pods of this world have the port.
    fn reachable(&self, side: &Side<'_>) -> i64 {
        self.ready(side.aim).1
    }

    fn available(&self, side: &Side<'_>) -> i64 {
        self.complete(side.aim)
    }

    fn live(&self, active: &Side<'_>) -> i64 {
        self.ready(active.aim).1
    }

    /// What is missing is the live side's own doing.
    fn may_lack_room(&self) -> bool {
        false
    }

    /// For 30 s of this phase, or all its deadline long.
    fn no_further_pod_comes(&self, standby: &Side<'_>) -> bool {
        let status = &self.seen.status;
        let Some(began) = status.clock.as_ref().map(|clock| second(clock.since)) else { return false };
        let own = self.seen.color(standby.aim.color).pods.iter().filter(|pod| pod.revision == standby.aim.revision && pod.ready);
        let latest = own.filter_map(|pod| pod.ready_changed).map(second).fold(began, i64::max);
        self.world.now - latest >= 30 || counted(status, self.world.now) >= Some(SignedDuration::from_mins(2))
    }

    fn endpoints_in(&self, color: Color) -> usize {
        let reached = self.world.pods.iter().filter(|pod| pod.color == color && pod.ready && self.world.endpoints.contains(&pod.name));
        if self.led_by_hand() { 0 } else { reached.count() }
    }

    /// As it was seen: a pause that came later can't call back a request that is on its way.
    fn lasted(&self) -> Option<SignedDuration> {
        counted(&self.seen.status, self.world.now)
    }

    fn drain(&self) -> SignedDuration {
        let drain = self.seen.asked.spec.scale_down.as_ref().and_then(|it| it.drain);
        drain.map_or(SignedDuration::from_secs(10), whole)
    }

    fn stands_by(&self) -> Option<SignedDuration> {
        match self.seen.asked.spec.scale_down.as_ref().and_then(|it| it.after) {
            Some(Lifetime::Never) => None,
            Some(Lifetime::For(after)) => Some(whole(after)),
            None => Some(SignedDuration::from_secs(30)),
        }
    }

    fn serves_still(&self) -> Option<Aim<'_>> {
        let aim = self.selects()?;
        match &self.world.deployments[index(aim.color)] {
            // A rebuilt status gives nothing another template.
            Some(deployment) => Some(Aim { revision: &deployment.revision, ..aim }),
            None => self.world.revisions.iter().any(|stored| stored.hash == aim.revision).then_some(aim),
        }
    }
}
