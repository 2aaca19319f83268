//! What an outsider can know of the moment at which something is written.

use super::{COLOR, REVISION, World};
use crate::{
    Event, Kind,
    object::{active_service, drain, is_controlled_by, numbers, owners, stands_by, time},
    promises::{Aim, Decided, Facts, NOTHING, Role, Side},
};
use bluegreen_api::{Color, Phase};
use jiff::SignedDuration;
use serde_json::Value;

impl<'a> Aim<'a> {
    pub(super) fn of_selector(selector: &'a Value) -> Option<Self> {
        Some(Self { color: color(selector[COLOR].as_str()?)?, revision: selector[REVISION].as_str()? })
    }
}

pub(super) fn color(named: &str) -> Option<Color> {
    [Color::Blue, Color::Green].into_iter().find(|color| color.as_str() == named)
}

const fn place(role: Role) -> &'static str {
    match role {
        Role::Active => "active",
        Role::Standby => "standby",
        Role::Preview => "preview",
    }
}

impl<'a> Decided<'a> {
    /// As far as it can be read: it may be that of another version.
    pub(super) fn in_status(status: &'a Value) -> Self {
        let side = |role: Role| {
            let side = &status[place(role)];
            let aim = Aim { color: color(side["color"].as_str()?)?, revision: side["revision"].as_str()? };
            let replicas = side["replicas"].as_i64().unwrap_or(1);
            Some(Side { role, aim, replicas, ready_when_left: side["readyWhenLeft"].as_i64() })
        };
        Self {
            phase: serde_json::from_value::<Phase>(status["phase"].clone()).ok(),
            active: side(Role::Active),
            standby: side(Role::Standby),
            preview: side(Role::Preview),
            armed: status["armed"] == true && status["phase"] == "DeployingPreview",
            ordered: status["ending"]["ordered"] == true,
            slow: status["ending"]["slow"] == true,
        }
    }
}

/// An event of a rollout's, over the object as it was before.
pub(super) struct Moment<'w> {
    pub world: &'w World,
    pub event: &'w Event,
    pub rollout: &'w Value,
    pub before: Option<&'w Value>,
}

impl Moment<'_> {
    fn name(&self) -> &str {
        self.rollout["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// When a status is lost, its decisions were made nevertheless.
    fn status(&self) -> &Value {
        self.world.decided.get(self.name()).unwrap_or(&Value::Null)
    }

    /// The present `spec`, and the one that the operator has seen.
    fn specs(&self) -> impl Iterator<Item = &Value> {
        [Some(&self.rollout["spec"]), self.world.observed_spec(self.rollout)].into_iter().flatten()
    }
}

impl Facts for Moment<'_> {
    fn decided(&self) -> Decided<'_> {
        Decided::in_status(self.status())
    }

    fn was_healthy(&self) -> bool {
        false
    }

    fn asked(&self) -> i64 {
        self.specs().filter_map(|spec| spec["replicas"].as_i64()).min().unwrap_or(1)
    }

    fn led_to(&self) -> Option<Aim<'_>> {
        self.world.led_to(self.rollout)
    }

    fn stays_at(&self, aim: Aim<'_>) -> bool {
        let selected = self.before.and_then(|service| Aim::of_selector(&service["spec"]["selector"]));
        self.led_to() == Some(aim) && selected == Some(aim)
    }

    /// It may have led elsewhere since the operator looked.
    fn saw_service_at(&self, _: Aim<'_>) -> Option<bool> {
        None
    }

    fn has_ports_of(&self, side: &Side<'_>) -> bool {
        numbers(&self.status()[place(side.role)]["ports"]) == numbers(&self.event.object["spec"]["ports"])
    }

    fn ready(&self, aim: Aim<'_>) -> (i64, i64) {
        self.world.ready(self.event, self.name(), aim)
    }

    fn reachable(&self, side: &Side<'_>) -> i64 {
        self.world.serving(self.event, self.name(), side.aim, &self.status()[place(side.role)]["ports"]).1
    }

    /// What a Deployment reports may be from before, and is no excuse: pods are counted themselves.
    fn available(&self, side: &Side<'_>) -> i64 {
        self.reachable(side)
    }

    fn live(&self, active: &Side<'_>) -> i64 {
        self.world.reported_ready(self.event, self.name(), active.aim)
    }

    fn may_lack_room(&self) -> bool {
        true
    }

    /// The operator counts from what it saw of pods, by its own clock.
    fn no_further_pod_comes(&self, _: &Side<'_>) -> bool {
        true
    }

    /// EndpointSlices aren't watched.
    fn endpoints_in(&self, _: Color) -> usize {
        0
    }

    /// Whatever of it doesn't count: its writer may not have known that yet.
    fn lasted(&self) -> Option<SignedDuration> {
        Some(self.event.seen.duration_since(time(&self.status()["clock"]["since"])?))
    }

    fn drain(&self) -> SignedDuration {
        self.specs().map(drain).min().unwrap_or_default()
    }

    fn stands_by(&self) -> Option<SignedDuration> {
        self.specs().filter_map(stands_by).min()
    }

    fn serves_still(&self) -> Option<Aim<'_>> {
        let service = self.world.object(Kind::Service, active_service(self.rollout))?;
        // Somebody else's, or that of a former rollout and on its way out.
        if !owners(service).is_empty() && !is_controlled_by(service, self.rollout) {
            return None;
        }
        let aim = Aim::of_selector(&service["spec"]["selector"]).filter(|aim| aim.revision != NOTHING)?;
        match self.world.object(Kind::Deployment, &format!("{}-{}", self.name(), aim.color)) {
            // A rebuilt status gives nothing another template.
            Some(deployment) => (deployment["spec"]["template"]["metadata"]["labels"][REVISION] == *aim.revision).then_some(aim),
            None => self.world.object(Kind::Revision, &format!("{}-{}", self.name(), aim.revision)).map(|_| aim),
        }
    }
}
