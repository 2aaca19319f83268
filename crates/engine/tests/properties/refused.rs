//! Writes that the API server refuses, and what they may hold back.

use crate::{
    rollouts::{endpoints_follow, target},
    told,
    worlds::{config, recorded, with_any_active_side},
};
use bluegreen_api::{Color, Phase};
use bluegreen_engine::{
    Decision, Effect, decide,
    decision::{Change, Object, Part, Role},
    observed::Refusal,
};
use jiff::SignedDuration;
use proptest::{collection::vec, prelude::*, sample::select};

/// Writes besides that of where the active Service leads.
fn elsewhere() -> impl Strategy<Value = (Object, Part)> {
    let active = select(vec![Part::Settings, Part::Marks, Part::NodePorts, Part::Leftovers, Part::Fence("1.1".into())]);
    let parts = select(vec![Part::Whole, Part::Bare, Part::Settings, Part::Fence("1.1".into())]);
    let others = select(vec![Object::Service(Role::Preview), Object::Deployment(Color::Blue), Object::Deployment(Color::Green)]);
    prop_oneof![active.prop_map(|part| (Object::Service(Role::Active), part)), (others, parts)]
}

proptest! {
    #![proptest_config(config())]

    /// Promise 16: once the standby has every ready pod, only a refusal of the switch itself stands in the way of the way back: no setting of
    /// a Service, no node port, no fence, no other object.
    #[test]
    fn only_a_refusal_of_its_own_write_stops_the_way_back(
        case in with_any_active_side(recorded(&[Phase::RollingBack])),
        refused in vec(elsewhere(), 0..6),
        code in select(vec![0_u16, 400, 403, 422, 500]),
        is_there in any::<bool>(),
        more_is_denied in any::<bool>(),
    ) {
        let mut seen = case.seen.clone();
        if let Some(service) = seen.services.get_mut(&Role::Active) {
            (service.labels_intact, service.settings_intact) = (false, false);
        }
        if !is_there {
            seen.services.remove(&Role::Active);
        }
        endpoints_follow(&mut seen);
        let (at, generation) = (seen.now, seen.generation);
        let refusal = |object: Object, part: Part, code: u16| Refusal {
            object, part, code, message: "no".into(), at, times: 9, denied_since: None, generation,
        };
        seen.refusals = refused.into_iter().map(|(object, part)| refusal(object, part, code)).collect();
        if more_is_denied {
            seen.refusals.push(refusal(Object::Service(Role::Active), Part::Whole, 422));
        }
        let standby = seen.status.standby.as_ref().unwrap();
        let decision = decide(&seen);
        let back = |effect: &Effect| matches!(&effect.change, Change::LeadService { role: Role::Active, target: to, .. } if *to == target(standby));
        let taken = matches!(&decision, Decision::Act(effects) if effects.iter().any(back));
        prop_assert!(taken, "promise 16: the way back is open and not taken: it {}", told::of_decision(&decision));
    }

    /// A request of the leader before may be under way for as long as one may take: until then a fence that is denied is waited for.
    #[test]
    fn a_fence_is_left_out_only_when_it_stays_denied(
        case in recorded(&[Phase::ScalingDown]),
        code in select(vec![0_u16, 403, 422, 500]),
        (since, last) in (0..40_i64, 0..90_i64),
    ) {
        let mut seen = case.seen.clone();
        let Some(active) = &seen.status.active else { return Ok(()) };
        seen.annotations = [("bluegreen.dev/rollback".to_owned(), active.revision.clone())].into();
        seen.status.orders.clear();
        let Decision::Act(fences) = decide(&seen) else { return Ok(()) };
        if !fences.iter().all(|fence| matches!(fence.change, Change::Fence { .. })) {
            return Ok(());
        }
        let at = seen.now - SignedDuration::from_secs(last);
        let denied_since = Refusal::denies(code).then_some(at - SignedDuration::from_secs(since));
        let refused = fences.iter().map(Effect::place).map(|(object, part)| Refusal {
            object, part, code, message: "no".into(), at, times: 2, denied_since, generation: seen.generation,
        });
        seen.refusals = refused.collect();
        let goes_on = matches!(decide(&seen), Decision::Record(next) if next.phase == Some(Phase::RollingBack));
        let may = Refusal::denies(code) && since > 10 && last <= 60;
        prop_assert!(goes_on == may, "promise 16: denied for {since}s with {code}, the last time {last}s ago");
    }
}
