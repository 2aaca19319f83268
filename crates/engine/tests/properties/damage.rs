//! Promise 4: what is lost or edited is put back where the record leads, and is never read as permission.

use crate::{
    rollouts::{asked_of_a_candidate, endpoints_follow},
    settled,
    told::{of_change, of_decision, recorded as told},
    worlds::{config, recorded},
};
use bluegreen_api::{BlueGreenRolloutStatus, Color, Phase, Side};
use bluegreen_engine::{
    Decision, Effect, Observed, decide,
    decision::{Change, Object, Role, Target},
    makes_an_armed_switch,
    observed::*,
};
use proptest::{collection::vec, prelude::*};

/// What somebody does to an object of ours, or what becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    /// The active Service selects nothing.
    NoSelector,
    /// It selects pods that nobody has.
    OtherSelector,
    NoService,
    OtherPorts,
    OtherSettings,
    /// A Deployment is deleted, its pods are not gone yet.
    NoDeployment(Whose),
    NoLabels(Whose),
    OtherSize(Whose),
    OtherTemplate(Whose),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Active,
    Other,
}

fn damages() -> impl Strategy<Value = Damage> {
    let whose = || prop_oneof![Just(Whose::Active), Just(Whose::Other)];
    prop_oneof![
        Just(Damage::NoSelector),
        Just(Damage::OtherSelector),
        Just(Damage::NoService),
        Just(Damage::OtherPorts),
        Just(Damage::OtherSettings),
        whose().prop_map(Damage::NoDeployment),
        whose().prop_map(Damage::NoLabels),
        whose().prop_map(Damage::OtherSize),
        whose().prop_map(Damage::OtherTemplate)
    ]
}

impl Damage {
    fn object(self, active: Color) -> Object {
        match self {
            Self::NoSelector | Self::OtherSelector | Self::NoService | Self::OtherPorts | Self::OtherSettings => {
                Object::Service(Role::Active)
            }
            Self::NoDeployment(whose) | Self::NoLabels(whose) | Self::OtherSize(whose) | Self::OtherTemplate(whose) => {
                Object::Deployment(if whose == Whose::Active { active } else { active.other() })
            }
        }
    }

    /// Users are led nowhere.
    fn leads_nowhere(self) -> bool {
        matches!(self, Self::NoSelector | Self::OtherSelector | Self::NoService)
    }

    fn happens(self, seen: &mut Observed, active: Color) {
        match self.object(active) {
            Object::Service(_) => self.happens_to_the_service(seen),
            Object::Deployment(Color::Blue) => self.happens_to(&mut seen.blue.deployment),
            Object::Deployment(Color::Green) => self.happens_to(&mut seen.green.deployment),
            Object::Revision(_) => unreachable!("nothing happens to revisions here"),
        }
        endpoints_follow(seen);
    }

    fn happens_to_the_service(self, seen: &mut Observed) {
        if self == Self::NoService {
            seen.services.remove(&Role::Active);
        }
        let Some(service) = seen.services.get_mut(&Role::Active) else { return };
        match self {
            Self::NoSelector => service.selector.clear(),
            Self::OtherSelector => _ = service.selector.insert("bluegreen.dev/revision".into(), "somebodys".into()),
            Self::OtherPorts => service.ports.iter_mut().for_each(|port| port.port += 1),
            _ => service.settings_intact = false,
        }
    }

    fn happens_to(self, object: &mut Option<DeploymentSeen>) {
        if matches!(self, Self::NoDeployment(_)) {
            *object = None;
        }
        let Some(deployment) = object else { return };
        match self {
            Self::NoLabels(_) => deployment.labels_intact = false,
            Self::OtherSize(_) => (deployment.replicas, deployment.generation) = (9, deployment.generation + 1),
            _ => (deployment.revision, deployment.generation) = ("somebodys".into(), deployment.generation + 1),
        }
    }
}

/// Where users belong.
fn place(status: &BlueGreenRolloutStatus) -> Option<(Color, &str)> {
    status.active.as_ref().map(|active| (active.color, active.revision.as_str()))
}

fn is_fence(effect: &Effect) -> bool {
    matches!(effect.change, Change::Fence { .. })
}

fn same(side: &Option<Side>, target: &Target) -> bool {
    side.as_ref().is_some_and(|side| (side.color, &side.revision) == (target.color, &target.revision))
}

/// The write makes of its object what the record says.
fn leads_back(change: &Change, status: &BlueGreenRolloutStatus) -> bool {
    let side = |color: Color| [&status.active, &status.standby, &status.preview].into_iter().flatten().find(|side| side.color == color);
    match change {
        Change::SettleService { .. } | Change::SettleDeployment { .. } => true,
        Change::LeadService { target, .. } => match status.phase {
            Some(Phase::Promoting) => same(&status.active, target) || same(&status.preview, target),
            Some(Phase::DeployingPreview) if status.armed => same(&status.active, target) || same(&status.preview, target),
            Some(Phase::RollingBack) => same(&status.active, target) || same(&status.standby, target),
            Some(Phase::Initializing) => same(&status.active, target) || target.revision == Target::NOTHING,
            _ => same(&status.active, target),
        },
        Change::WriteDeployment { color, revision, replicas, .. } => {
            side(*color).is_some_and(|side| side.revision == *revision && side.replicas == *replicas)
        }
        Change::Scale { color, replicas } => side(*color).is_some_and(|side| side.replicas == *replicas),
        _ => false,
    }
}

/// What is recorded first in place of a lost status, after all that it may have asked for is fenced. None: something else is done before.
fn rebuilt(seen: &Observed) -> Option<BlueGreenRolloutStatus> {
    let mut seen = seen.clone();
    for _ in 0..6 {
        match decide(&seen) {
            Decision::Record(status) if status.phase.is_none() => seen.status = *status,
            Decision::Record(status) => return Some(*status),
            Decision::Act(effects) => effects.into_iter().try_for_each(|effect| fenced(&mut seen, effect.change))?,
            Decision::Wait { .. } => return None,
        }
    }
    None
}

fn fenced(seen: &mut Observed, change: Change) -> Option<()> {
    let Change::Fence { object, epoch } = change else { return None };
    let color = match object {
        Object::Service(_) => {
            let service = seen.services.get_mut(&Role::Active)?;
            service.epoch = epoch;
            return Some(());
        }
        Object::Deployment(Color::Blue) => &mut seen.blue,
        Object::Deployment(Color::Green) => &mut seen.green,
        Object::Revision(_) => return None,
    };
    let Some(deployment) = &mut color.deployment else { return None };
    deployment.epoch = epoch;
    Some(())
}

proptest! {
    #![proptest_config(config())]

    /// Whatever is lost or edited: nothing is promoted, and users' side becomes no other, that wouldn't have without it.
    #[test]
    fn what_was_lost_or_edited_permits_nothing(case in recorded(&Phase::ALL), damages in vec(damages(), 1..4)) {
        let active = case.status.active.as_ref().unwrap().color;
        let mut seen = case.seen.clone();
        damages.iter().for_each(|damage| damage.happens(&mut seen, active));
        let Decision::Record(next) = decide(&seen) else { return Ok(()) };
        let promotes = next.phase == Some(Phase::Promoting) && case.status.phase != Some(Phase::Promoting);
        let moves = place(&next) != place(&case.status);
        let led_nowhere = damages.iter().any(|damage| damage.leads_nowhere());
        prop_assert!(!(moves && led_nowhere), "promise 4: users belong elsewhere since the Service leads nowhere: {}", told(&next));
        if promotes || moves {
            let whole = decide(&case);
            // What was armed is about to be done, and damage may make it a record.
            let armed = |effect: &Effect| makes_an_armed_switch(&case, effect);
            if matches!(&whole, Decision::Act(effects) if effects.iter().any(armed)) {
                return Ok(());
            }
            let without = matches!(&whole, Decision::Record(would) if place(would) == place(&next) && (!promotes || would.phase == next.phase));
            prop_assert!(without, "promise 4: it records {}, and as it was it {}", told(&next), of_decision(&whole));
        }
    }

    /// Whatever is lost or edited of what serves or stands by, or is to: the next write to it makes it what is recorded.
    #[test]
    fn what_was_lost_or_edited_is_put_back_where_the_record_leads(case in recorded(&Phase::ALL), damage in damages()) {
        let active = case.status.active.as_ref().unwrap().color;
        let mut seen = case.seen.clone();
        damage.happens(&mut seen, active);
        let (seen, decision, _) = settled(&seen);
        let (status, object) = (&seen.status, damage.object(active));
        let has_a_role = match &object {
            // The former side is to go.
            Object::Deployment(color) if status.phase == Some(Phase::ScalingDown) => place(status).is_some_and(|(active, _)| active == *color),
            Object::Deployment(color) => [&status.active, &status.standby, &status.preview].into_iter().flatten().any(|side| side.color == *color),
            _ => true,
        };
        if !has_a_role {
            return Ok(());
        }
        let effects = if let Decision::Act(effects) = &decision { effects.as_slice() } else { &[] };
        if !effects.is_empty() && effects.iter().all(is_fence) {
            return Ok(());
        }
        let write = effects.iter().find(|effect| effect.object() == object).map(|effect| &effect.change);
        prop_assert!(write.is_some(), "promise 4: nothing is done about {damage:?}: it {}", of_decision(&decision));
        let back = write.is_some_and(|write| leads_back(write, status));
        prop_assert!(back, "promise 4: after {damage:?} it would {}", write.map(of_change).unwrap_or_default());
    }

    /// A lost status is rebuilt around the side that the Service leads to, and makes nobody pass what is to be passed.
    /// And promotes nothing that is not verified.
    #[test]
    fn a_lost_status_is_rebuilt_around_what_serves(case in recorded(&Phase::ALL)) {
        let mut seen = case.seen.clone();
        seen.status = BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
        let next = rebuilt(&seen);
        prop_assert!(next.is_some(), "promise 4: it isn't rebuilt, or something is done before: it {}", of_decision(&decide(&seen)));
        let next = next.unwrap();
        let led_to = |key: &str| seen.service(Role::Active).and_then(|service| service.selector.get(key)).cloned();
        let serves = (led_to("bluegreen.dev/color"), led_to("bluegreen.dev/revision"));
        let active = next.active.as_ref().map(|active| (active.color.to_string(), active.revision.clone()));
        prop_assert!(serves == active.unzip(), "promise 4: it is rebuilt as {}", told(&next));
        let asked = asked_of_a_candidate(&seen);
        prop_assert!(next.phase != Some(Phase::Promoting) || asked.is_empty(), "promise 4: nobody has asked {asked:?}: {}", told(&next));
    }
}
