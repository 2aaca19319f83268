//! Properties of `decide` over arbitrary inputs: any status beside any children, whether or not a story leads there. Statuses are
//! edited by hand, restored from backups and written by other versions; children are deleted, relabelled and scaled by anybody; results
//! come late, twice, or of something else. A world that breaks a property is told in some twenty lines.
//!
//! `PROPTEST_CASES=100000 cargo test -p bluegreen-engine --test properties` tries longer.

#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "it/world/mod.rs"]
mod world;

#[path = "properties/damage.rs"]
mod damage;
#[path = "properties/measured.rs"]
mod measured;
#[path = "properties/refused.rs"]
mod refused;
#[path = "properties/results.rs"]
mod results;
#[path = "properties/rollouts.rs"]
mod rollouts;
#[path = "properties/told.rs"]
mod told;
#[path = "properties/worlds.rs"]
mod worlds;

use bluegreen_api::{BlueGreenRolloutStatus, Color, Gate, GateState, Outcome as Ended, Phase, PromotionMode, Protocol, Side, names};
use bluegreen_engine::{
    Decision, Effect, Observed, decide,
    decision::{Change, Manner, Object, Part, Role, Target},
    measure,
    observed::*,
    render,
};
use proptest::prelude::*;
use results::anything_said;
use rollouts::{asked_of_a_candidate, at, endpoints_follow, target};
use serde_json::json;
use told::Case;
use world::World;
use worlds::{config, recorded, with_any_active_side, worlds};

// === what is asked ===

/// Ready pods of a revision that a Service leads to by its port `http`.
fn reachable(seen: &Observed, color: Color, revision: &str) -> usize {
    let has_port = |pod: &&PodSeen| pod.ports.iter().any(|port| port.name == "http" && port.protocol == Protocol::TCP);
    let pods = seen.color(color).pods.iter().filter(|pod| pod.ready && !pod.deleting && pod.revision == revision);
    pods.filter(has_port).count()
}

fn roles(status: &BlueGreenRolloutStatus) -> [&Option<Side>; 3] {
    [&status.active, &status.standby, &status.preview]
}

/// Recording again and again in a world that stands still; the last decision, and how many records it took.
fn settled(seen: &Observed) -> (Observed, Decision, usize) {
    let mut seen = seen.clone();
    for records in 0.. {
        match decide(&seen) {
            Decision::Record(status) if records < 8 => {
                seen.status = *status;
                seen.results.clear();
            }
            other => return (seen, other, records),
        }
    }
    unreachable!("the loop has an end")
}

/// The longest message in status, in characters.
const LONGEST: usize = 256;

fn is_long(text: &str) -> bool {
    text.chars().count() > LONGEST
}

/// Arbitrary worlds, and such in which gates have just been measured.
fn worlds_and_measured() -> impl Strategy<Value = Case> {
    prop_oneof![2 => worlds(), 1 => worlds::measured(anything_said())]
}

/// The milliseconds of the phase that count for a drain: those of a pause count too, for what protects nobody any more isn't held by it.
fn elapsed(seen: &Observed) -> i64 {
    let clock = seen.status.clock.as_ref();
    clock.map_or(0, |clock| seen.now.as_millisecond() - clock.since.as_millisecond() - clock.excluded_millis)
}

fn drain(seen: &Observed) -> i64 {
    let drain = seen.asked.spec.scale_down.as_ref().and_then(|it| it.drain).map_or(10_000, |drain| drain.0.as_millis());
    i64::try_from(drain).unwrap()
}

/// Nobody of them is ready any more.
fn lose_readiness(color: &mut ColorSeen) {
    color.pods.iter_mut().for_each(|pod| pod.ready = false);
    if let Some(deployment) = &mut color.deployment {
        (deployment.ready, deployment.available) = (0, 0);
    }
}

proptest! {
    #![proptest_config(config())]

    /// Totality: a panic takes down the leader for all rollouts, again and again.
    #[test]
    fn each_world_leads_to_one_decision_always_the_same(seen in worlds()) {
        let same = decide(&seen) == decide(&seen);
        prop_assert!(same, "two decisions about one world");
        let _ = measure::wanted(&seen);
    }

    /// Promise 1: the active Service is sent to the recorded active side, or by a recorded switch to a side with ready pods that have its
    /// port.
    #[test]
    fn the_active_service_goes_only_where_a_record_leads_it(seen in worlds()) {
        let (seen, decision, _) = settled(&seen);
        let Decision::Act(effects) = decision else { return Ok(()) };
        for effect in effects {
            let Change::LeadService { role: Role::Active, target, .. } = effect.change else { continue };
            let is = |side: &Option<Side>| side.as_ref().is_some_and(|side| side.color == target.color && side.revision == target.revision);
            let nothing = target.revision == Target::NOTHING;
            let status = &seen.status;
            let (switch, to) = match status.phase {
                Some(Phase::Promoting) => (true, is(&status.preview)),
                Some(Phase::DeployingPreview) if status.armed => (true, is(&status.preview)),
                Some(Phase::RollingBack) => (true, is(&status.standby)),
                Some(Phase::Initializing) => (false, nothing),
                _ => (false, false),
            };
            prop_assert!(is(&status.active) || to, "promise 1: sent to {} {} in {:?}", target.color, target.revision, status.phase);
            let selected = seen.service(Role::Active).is_some_and(|service| service.selector == labels::selector("shop", &target));
            if switch && to && !selected && !is(&status.active) {
                let pods = reachable(&seen, target.color, &target.revision);
                prop_assert!(pods > 0, "switched to no ready pod with the port in {:?}", status.phase);
            }
        }
    }

    /// Promise 2: what serves and what stands by keep their template and are never asked for less than is recorded for them.
    #[test]
    fn active_side_and_standby_are_neither_shrunk_nor_changed(seen in worlds()) {
        let (seen, decision, _) = settled(&seen);
        let Decision::Act(effects) = decision else { return Ok(()) };
        let status = &seen.status;
        for effect in effects {
            let (color, revision, replicas) = match effect.change {
                Change::WriteDeployment { color, revision, replicas, .. } => (color, Some(revision), replicas),
                Change::Scale { color, replicas } => (color, None, replicas),
                _ => continue,
            };
            let going = status.phase == Some(Phase::ScalingDown);
            for (side, may_go) in [(&status.active, false), (&status.standby, going)] {
                let Some(side) = side.as_ref().filter(|side| side.color == color) else { continue };
                prop_assert!(revision.as_ref().is_none_or(|revision| *revision == side.revision), "{color} is to run {revision:?} in {:?}", status.phase);
                prop_assert!(replicas >= side.replicas || may_go, "{color} is to have {replicas} of {} in {:?}", side.replicas, status.phase);
            }
            if roles(status).into_iter().flatten().all(|side| side.color != color) {
                let here = status.active.as_ref().is_some_and(|active| seen.service(Role::Active).is_some_and(|service| {
                    service.selector.get("bluegreen.dev/color").map(String::as_str) == Some(active.color.as_str())
                }));
                prop_assert!(here || status.phase == Some(Phase::Initializing), "{color} was emptied while users may still reach it");
            }
        }
    }

    /// Promise 2: no record asks for less than `replicas` of the active side, nor shrinks a standby that stays one.
    /// (A status without a phase is rebuilt from what is there: its standby is as large as its Deployment.)
    #[test]
    fn no_record_takes_pods_of_replicas_from_the_active_side(seen in worlds()) {
        let Decision::Record(next) = decide(&seen) else { return Ok(()) };
        if let Some(active) = &next.active {
            // What was recorded may stand for as long as a fence is refused; it never goes down.
            let before = seen.status.active.as_ref().filter(|before| (before.color, &before.revision) == (active.color, &active.revision));
            let kept = before.is_some_and(|before| active.replicas >= before.replicas);
            prop_assert!(active.replicas >= seen.asked.spec.replicas || kept, "{} of {}", active.replicas, seen.asked.spec.replicas);
        }
        if let (Some(before), Some(after)) = (&seen.status.standby, &next.standby)
            && (before.color, &before.revision) == (after.color, &after.revision)
            && seen.status.phase.is_some()
        {
            prop_assert!(after.replicas >= before.replicas);
        }
    }

    /// Promise 3: the switch is recorded only for a candidate that is there in full, with every gate of today's definition passed,
    /// or inconclusive and decided by a person.
    #[test]
    fn the_switch_is_recorded_only_with_every_gate_passed(seen in worlds_and_measured()) {
        let Decision::Record(next) = decide(&seen) else { return Ok(()) };
        // Armed, and made: what has become of its gates since is of no switch.
        let led_to = |side: &Side| seen.service(Role::Active).is_some_and(|service| service.selector == labels::selector("shop", &target(side)));
        let was_armed = seen.status.armed && seen.status.phase == Some(Phase::DeployingPreview);
        let was_made = was_armed && seen.status.preview.as_ref().is_some_and(led_to);
        if next.phase != Some(Phase::Promoting) || seen.status.phase == Some(Phase::Promoting) || was_made {
            return Ok(());
        }
        let candidate = next.preview.as_ref().unwrap();
        let deployment = seen.color(candidate.color).deployment.as_ref().unwrap();
        prop_assert!(deployment.revision == candidate.revision && deployment.available >= candidate.replicas.max(seen.asked.spec.replicas));
        prop_assert!(reachable(&seen, candidate.color, &candidate.revision) > 0 && seen.asked.spec.replicas > 0 && !seen.asked.spec.paused);
        let approved = next.gates.iter().any(|gate| gate.name == "approval" && gate.state == GateState::Passed);
        for name in asked_of_a_candidate(&seen) {
            let state = next.gates.iter().find(|gate| gate.name == name).map(|gate| gate.state);
            let passed = state == Some(GateState::Passed) || (state == Some(GateState::Inconclusive) && approved);
            prop_assert!(passed, "promise 3: it is promoted with {name} {state:?}");
        }
        if seen.asked.spec.verification.as_ref().is_some_and(|verification| verification.score.is_some()) {
            // Each of the three counts alike, and 60 % of them are two: whatever the gate of the score says.
            let of = |state: GateState| next.gates.iter().filter(|gate| gate.weight.is_some() && gate.name.starts_with("verification/") && gate.state == state).count();
            prop_assert!(of(GateState::Passed) >= 2 || (approved && of(GateState::Failed) <= 1), "promise 3: {}", told::recorded(&next));
        }
    }

    /// Promise 3: a switch is armed only where nothing but pods stands before it.
    #[test]
    fn a_switch_is_armed_only_where_pods_alone_are_missing(seen in worlds_and_measured()) {
        let Decision::Record(next) = decide(&seen) else { return Ok(()) };
        // In any other phase the word means nothing.
        if !next.armed || next.phase != Some(Phase::DeployingPreview) {
            return Ok(());
        }
        let spec = &seen.asked.spec;
        let promotion = spec.promotion.clone().unwrap_or_default();
        let candidate = next.preview.as_ref().unwrap();
        prop_assert!(seen.asked.invalid().is_none() && !spec.paused && !next.paused_by_order && spec.replicas > 0 && candidate.replicas >= spec.replicas);
        prop_assert!(promotion.mode.is_none_or(|mode| mode == PromotionMode::Automatic) && promotion.after.is_none_or(|after| after.0.is_zero()));
        prop_assert_eq!(asked_of_a_candidate(&seen), Vec::<String>::new());
        prop_assert!(seen.sees_all(), "what is seen may be old");
        // Armed anew only with its attempt.
        prop_assert!(seen.status.armed || next.attempt > seen.status.attempt);
    }

    /// Promise 1: an armed switch is made for a candidate that is there in full, as it was recorded, and before nothing else.
    #[test]
    fn an_armed_switch_is_made_when_the_pods_are_there(seen in worlds()) {
        let Decision::Act(effects) = decide(&seen) else { return Ok(()) };
        let Some(candidate) = seen.status.preview.as_ref().filter(|_| seen.status.phase == Some(Phase::DeployingPreview)) else { return Ok(()) };
        for effect in effects {
            let Change::LeadService { role: Role::Active, target, .. } = effect.change else { continue };
            let stays = seen.service(Role::Active).is_some_and(|service| service.selector == labels::selector("shop", &target));
            if stays || (target.color, &target.revision) != (candidate.color, &candidate.revision) || Some(&target.revision) == seen.status.active.as_ref().map(|side| &side.revision) {
                continue;
            }
            let deployment = seen.color(candidate.color).deployment.as_ref().unwrap();
            prop_assert!(seen.status.armed && !seen.asked.spec.paused && !seen.status.paused_by_order && seen.sees_all());
            prop_assert!(deployment.revision == candidate.revision && deployment.available >= candidate.replicas.max(seen.asked.spec.replicas));
            prop_assert!(deployment.applied_generation.or(candidate.generation) == Some(deployment.generation), "as somebody edited it");
            prop_assert!(reachable(&seen, candidate.color, &candidate.revision) >= usize::try_from(candidate.replicas).unwrap());
        }
    }

    /// Promise 10: in a world that stands still, records come to an end: no two states take turns.
    #[test]
    fn a_world_that_stands_still_is_soon_all_recorded(seen in worlds()) {
        let (_, decision, records) = settled(&seen);
        let ends = !matches!(decision, Decision::Record(_));
        prop_assert!(ends, "promise 10: {records} records and no end");
    }

    /// What protects the live side comes first: should the operator die in between, that is done.
    #[test]
    fn protection_comes_first(seen in worlds()) {
        let (seen, Decision::Act(effects), _) = settled(&seen) else { return Ok(()) };
        // Fences come before a record, in whatever order.
        if effects.iter().any(|effect| matches!(effect.change, Change::Fence { .. })) {
            return Ok(());
        }
        let live = || [&seen.status.active, &seen.status.standby].into_iter().flatten();
        let protects: Vec<_> = effects
            .iter()
            .map(|effect| match effect.object() {
                Object::Service(role) => {
                    // Settings serve nobody; without its marks a Service is not known as ours.
                    let settings = matches!(effect.part(), Part::NodePorts | Part::Settings | Part::Leftovers);
                    let marked = seen.service(role).is_none_or(|it| it.owner == Owner::Us && it.labels_intact);
                    role == Role::Active && !(settings && marked)
                }
                Object::Deployment(color) => live().any(|side| side.color == color),
                Object::Revision(hash) => live().any(|side| side.revision == hash),
            })
            .collect();
        prop_assert!(protects.is_sorted_by(|before, after| before >= after), "it {}", told::of_decision(&Decision::Act(effects)));
    }

    /// An object that is being deleted, or is somebody else's, gets no effect; neither does anything while the rollout is being deleted.
    #[test]
    fn what_is_not_ours_or_is_going_is_not_touched(seen in worlds()) {
        let mut going = seen.seen.clone();
        going.deleting = true;
        let waits = matches!(decide(&going), Decision::Wait { .. });
        prop_assert!(waits, "promise 7: it doesn't wait while it is being deleted");
        let (seen, Decision::Act(effects), _) = settled(&seen) else { return Ok(()) };
        for effect in effects {
            let (owner, deleting) = match effect.object() {
                Object::Deployment(color) => match &seen.color(color).deployment { Some(it) => (it.owner.clone(), it.deleting), None => continue },
                Object::Service(Role::Active) => match seen.service(Role::Active) { Some(it) => (it.owner.clone(), it.deleting), None => continue },
                Object::Service(Role::Preview) => match seen.service(Role::Preview) { Some(it) => (it.owner.clone(), it.deleting), None => continue },
                Object::Revision(_) => continue,
            };
            prop_assert!(!deleting, "promise 7: {}, which is being deleted", told::of_change(&effect.change));
            let another = matches!(owner, Owner::Former | Owner::Foreign { adopt: false, .. });
            prop_assert!(!another, "promise 6: {}, which is of {owner:?}", told::of_change(&effect.change));
        }
    }

    /// Promise 15: a color that gets a role, or another revision, takes its template whole. Only what has its role already is applied or
    /// scaled, beside what others added.
    #[test]
    fn a_color_gets_a_role_by_a_whole_write_only(seen in worlds()) {
        let (seen, Decision::Act(effects), _) = settled(&seen) else { return Ok(()) };
        for Effect { change, .. } in effects {
            let (color, revision) = match change {
                Change::WriteDeployment { color, revision, manner: Manner::Apply, .. } => (color, Some(revision)),
                Change::Scale { color, .. } => (color, None),
                _ => continue,
            };
            let Some(deployment) = &seen.color(color).deployment else { continue };
            prop_assert!(revision.is_none_or(|revision| revision == deployment.revision), "{color} runs {} and is applied", deployment.revision);
            let serves = [&seen.status.active, &seen.status.standby].into_iter().flatten().any(|side| side.color == color);
            let candidate = seen.status.preview.as_ref().filter(|candidate| candidate.color == color && !serves);
            let Some(candidate) = candidate else { continue };
            let arrived = candidate.generation.is_some() || deployment.arrival == seen.status.attempt.to_string();
            prop_assert!(arrived && candidate.revision == deployment.revision, "{color} has not arrived as a candidate: {}", deployment.arrival);
        }
    }

    /// Promise 7: what is written belongs to the rollout, and goes with it.
    #[test]
    fn what_is_written_is_owned_by_the_rollout(seen in worlds()) {
        let (seen, Decision::Act(effects), _) = settled(&seen) else { return Ok(()) };
        for Effect { change, .. } in effects {
            let written = match &change {
                Change::LeadService { role, target, extent } if seen.service(*role).is_none() => render::service(&seen, *role, target, *extent),
                Change::SettleService { role, marks_only } => match seen.service(*role) {
                    Some(service) if service.owner != Owner::Us => render::settle(&seen, *role, service, *marks_only),
                    _ => continue,
                },
                Change::WriteRevision { hash, number } => render::controller_revision(&seen, hash, *number),
                Change::RestoreRevision { hash, number, .. } => render::restored_revision(&seen, hash, *number, &json!({})),
                Change::WriteDeployment { color, replicas, manner, .. } => render::deployment(&seen, (*color, *replicas, manner), &json!({})),
                _ => continue,
            };
            let owner = &written["metadata"]["ownerReferences"][0];
            prop_assert!(owner["uid"] == seen.uid && owner["controller"] == true, "{written:#}");
        }
    }

    /// Promise 8: what runs somewhere is stored as it runs. Today's code renders only what runs nowhere.
    #[test]
    fn what_runs_is_not_rendered_anew(seen in worlds()) {
        let (seen, Decision::Act(effects), _) = settled(&seen) else { return Ok(()) };
        for effect in effects {
            let Change::WriteRevision { hash, .. } = effect.change else { continue };
            let runs = [&seen.blue, &seen.green].into_iter().any(|seen| seen.deployment.as_ref().is_some_and(|it| it.revision == hash));
            prop_assert!(!runs, "{hash} runs");
        }
    }

    /// Promises 9 and 11: phase and conditions tell the same, in one record, in bounds, of the generation that was seen.
    #[test]
    fn a_record_says_where_the_rollout_stands(seen in worlds()) {
        let Decision::Record(next) = decide(&seen) else { return Ok(()) };
        let is = |type_: &str| next.conditions.iter().find(|condition| condition.type_ == type_).map(|condition| condition.status == "True");
        let (ready, reconciling, stalled) = (is("Ready"), is("Reconciling"), is("Stalled"));
        prop_assert!(ready.is_some() && is("Promoted").is_some());
        prop_assert!([reconciling, stalled].into_iter().flatten().all(|is| is), "they are there while they hold");
        prop_assert_eq!(ready == Some(true), reconciling.is_none() && stalled.is_none(), "{:?}", &next.conditions);
        prop_assert!(reconciling.is_none() || stalled.is_none(), "{:?}", &next.conditions);
        prop_assert!(next.conditions.iter().all(|condition| condition.observed_generation == Some(seen.generation) && !condition.reason.is_empty()));
        prop_assert!(next.observed_generation == seen.generation && !next.message.is_empty());
        let given_up = matches!(next.phase, Some(Phase::Aborted | Phase::RolledBack));
        prop_assert!(!given_up || (ready == Some(false) && is("Promoted") == Some(false)), "{}", told::recorded(&next));
        let ended = matches!(next.phase, Some(Phase::Healthy | Phase::ScalingDown));
        prop_assert!(is("Promoted") == Some(false) || ended, "{:?}", next.phase);
        let rests = matches!(next.phase, Some(Phase::Healthy | Phase::Aborted | Phase::RolledBack));
        prop_assert!(next.phase == seen.status.phase || next.phase.is_none() || next.clock.is_none() == rests, "a phase that ends has a clock, one that rests has none");
        prop_assert!(roles(&next).into_iter().flatten().all(|side| side.replicas >= 0));
        let colors: Vec<_> = roles(&next).into_iter().flatten().map(|side| side.color).collect();
        prop_assert!(colors.len() < 2 || (colors.len() == 2 && colors[0] != colors[1]), "two roles in one color: {colors:?}");
    }

    /// Status is bounded whatever was in it before: what a record adds to is cut to its bound, and nothing grows beyond it.
    #[test]
    fn what_a_record_adds_to_stays_within_its_bounds(seen in worlds_and_measured()) {
        let Decision::Record(next) = decide(&seen) else { return Ok(()) };
        let before = &seen.status;
        let messages = next.conditions.iter().map(|condition| &condition.message).chain([&next.message]);
        let reasons = next.ending.iter().map(|ending| &ending.message).chain(next.rejected.iter().map(|rejected| &rejected.message));
        prop_assert!(!messages.chain(reasons).any(|message| is_long(message)), "{}", told::recorded(&next));
        let bytes = serde_json::to_vec(&*next).unwrap().len();
        prop_assert!(bytes <= 384 * 1024, "a status of {bytes} bytes");
        prop_assert!(next.conditions.len() <= 3 && next.orders.len() <= 56 && next.ignored_orders.len() <= 8, "{} conditions", next.conditions.len());
        prop_assert!(next.rejections.len() <= 10 || next.rejections.len() <= before.rejections.len(), "{} rejections", next.rejections.len());
        if next.history != before.history {
            prop_assert!(next.history.len() <= 10 && !is_long(&next.history[0].message), "{} in history", next.history.len());
        }
        let phases = |status: &BlueGreenRolloutStatus| status.current.as_ref().map(|attempt| attempt.phases.clone()).unwrap_or_default();
        let count = phases(&next).len();
        prop_assert!(count <= 32 || phases(&next) == phases(before), "{count} phases of an attempt");
        for gate in &next.gates {
            let was = before.gates.iter().find(|was| was.name == gate.name);
            let same_words = was.is_some_and(|was| was.message == gate.message);
            prop_assert!(!is_long(&gate.message) || same_words, "the message of {} has {} bytes", gate.name, gate.message.len());
            let readings = |gate: &Gate| gate.measured.as_ref().map(|measured| measured.readings.clone()).unwrap_or_default();
            let count = readings(gate).len();
            prop_assert!(count <= 10 || was.is_some_and(|was| readings(was) == readings(gate)), "{count} readings of {}", gate.name);
        }
    }

    /// An order for a revision that there is none of changes nothing now, and is spent, so that it changes nothing later.
    #[test]
    fn an_order_for_nobody_is_spent_and_changes_nothing(seen in worlds(), verb in 0..7_usize) {
        let verb = ["promote", "accept", "abort", "rollback", "retry", "pause", "resume"][verb];
        let key = format!("bluegreen.dev/{verb}.somebody");
        let mut ordered = Observed::clone(&seen);
        ordered.annotations.insert(key, "nobody/1/ada".into());
        let ((without, as_before, _), (with, decision, _)) = (settled(&seen), settled(&ordered));
        prop_assert_eq!(without.status.phase, with.status.phase);
        prop_assert_eq!(&without.status.gates, &with.status.gates);
        let undisturbed = with.status.phase.is_some() && seen.late.is_empty() && seen.refusals.is_empty() && !seen.deleting;
        if let (Decision::Wait { .. }, Decision::Wait { .. }, true) = (as_before, decision, undisturbed) {
            prop_assert!(with.status.orders.contains_key(&format!("{verb}.somebody")), "{}", told::recorded(&with.status));
        }
    }

    /// Promise 5: once the standby has every ready pod that it is asked for, the next write is the switch back to it. Whatever became of the
    /// side being left, of the Service, and of what the operator can see.
    #[test]
    fn the_way_back_is_taken_whatever_became_of_the_side_being_left(
        case in with_any_active_side(recorded(&[Phase::RollingBack])),
        service in 0..3_u8,
        is_blind in any::<bool>(),
    ) {
        let mut seen = case.seen.clone();
        seen.late = Vec::from_iter(is_blind.then(|| Late { kind: ObjectKind::Pod, why: "forbidden".into(), since: at(-600) }));
        if service == 2 {
            seen.services.remove(&Role::Active);
        } else if let (1, Some(it)) = (service, seen.services.get_mut(&Role::Active)) {
            it.selector.clear();
        }
        endpoints_follow(&mut seen);
        let standby = seen.status.standby.as_ref().unwrap();
        let decision = decide(&seen);
        let back = |effect: &Effect| matches!(&effect.change, Change::LeadService { role: Role::Active, target: to, .. } if *to == target(standby));
        let taken = matches!(&decision, Decision::Act(effects) if effects.iter().any(back));
        prop_assert!(taken, "promise 5: the way back is open and not taken: it {}", told::of_decision(&decision));
    }

    /// Promise 5: with both sides broken the Service stays where it is, and a person is told.
    #[test]
    fn with_both_sides_broken_it_holds_and_says_so(case in recorded(&[Phase::RollingBack])) {
        let mut seen = case.seen.clone();
        lose_readiness(&mut seen.blue);
        lose_readiness(&mut seen.green);
        endpoints_follow(&mut seen);
        let (seen, decision, _) = settled(&seen);
        let waits = matches!(decision, Decision::Wait { .. });
        prop_assert!(waits && seen.status.phase == Some(Phase::RollingBack), "promise 5: it {}", told::of_decision(&decision));
        let stalled = seen.status.conditions.iter().find(|condition| condition.type_ == "Stalled");
        prop_assert!(stalled.is_some_and(|stalled| stalled.reason == "BothSidesBroken"), "promise 5: {}", told::recorded(&seen.status));
    }

    /// What is gone back from is told with the image that serves after it, also when it had long been live.
    #[test]
    fn an_attempt_to_go_back_is_from_the_image_that_is_gone_back_to(
        case in prop_oneof![1 => worlds(), 1 => recorded(&[Phase::Monitoring])],
        is_ordered in any::<bool>(),
    ) {
        let mut seen = case.seen.clone();
        if let Some(active) = seen.status.active.as_ref().filter(|_| is_ordered) {
            seen.annotations.insert("bluegreen.dev/rollback".into(), active.revision.clone());
        }
        let Decision::Record(next) = decide(&seen) else { return Ok(()) };
        let goes_back = matches!(next.phase, Some(Phase::RollingBack | Phase::RolledBack));
        let went_back = matches!(seen.status.phase, Some(Phase::RollingBack | Phase::RolledBack));
        if !goes_back || went_back || seen.status.current.is_some() {
            return Ok(());
        }
        let attempt = next.current.as_ref().unwrap_or_else(|| &next.history[0]);
        let serves = next.standby.as_ref().or(next.active.as_ref()).unwrap();
        prop_assert!(attempt.from_image == serves.image, "it goes back to {}, and says from {}", serves.image, attempt.from_image);
    }

    /// Promise 12: no pods are taken from a side that endpoints of the active Service lead to, or whose drain is not over.
    #[test]
    fn no_side_goes_while_users_may_be_on_it(
        case in prop_oneof![2 => worlds(), 1 => recorded(&[Phase::ScalingDown, Phase::RollingBack, Phase::Aborting])],
        lags in any::<bool>(),
    ) {
        let mut seen = case.seen.clone();
        if lags {
            // As long as slices lag, they hold pods of both sides.
            let pods = seen.blue.pods.iter().chain(&seen.green.pods).filter(|pod| pod.ready);
            seen.endpoints.pods = pods.map(|pod| EndpointSeen { pod: pod.name.clone(), ready: true }).collect();
        }
        let (seen, Decision::Act(effects), _) = settled(&seen) else { return Ok(()) };
        let status = &seen.status;
        for effect in effects {
            let (color, revision, replicas) = match &effect.change {
                Change::WriteDeployment { color, revision, replicas, .. } => (*color, Some(revision), *replicas),
                Change::Scale { color, replicas } => (*color, None, *replicas),
                _ => continue,
            };
            let is = |side: &Option<Side>| side.as_ref().is_some_and(|side| side.color == color);
            let Some(deployment) = seen.color(color).deployment.as_ref().filter(|_| !is(&status.active)) else { continue };
            if replicas >= deployment.replicas && revision.is_none_or(|revision| *revision == deployment.revision) {
                continue;
            }
            let how = told::of_change(&effect.change);
            let is_endpoint = |name: &str| seen.endpoints.pods.iter().any(|endpoint| endpoint.ready && endpoint.pod == name);
            prop_assert!(!seen.color(color).pods.iter().any(|pod| is_endpoint(&pod.name)), "promise 12: {how}, which users still reach");
            let stood_by = status.standby.as_ref().is_some_and(|standby| standby.color == color && replicas < standby.replicas);
            let has_a_role = is(&status.standby) || is(&status.preview);
            let left = is(&status.leaving) && !has_a_role && status.phase != Some(Phase::Aborting);
            let late = elapsed(&seen) - drain(&seen);
            prop_assert!(late >= 0 || !(stood_by || left), "promise 12: {how}, {} ms before its drain is over", -late);
        }
    }

    /// Promise 9: with a watch down nothing is tried, switched, scaled down or passed; what protects goes on.
    #[test]
    fn with_old_eyes_nothing_goes_forward(case in worlds(), age in 0..60_i64) {
        let mut seen = case.seen.clone();
        seen.late = vec![Late { kind: ObjectKind::Pod, why: "forbidden".into(), since: at(-age) }];
        let from = seen.status.phase;
        let forward = |to: Option<Phase>| match to {
            Some(Phase::DeployingPreview | Phase::Verifying | Phase::ScalingUp | Phase::Promoting) => true,
            Some(Phase::ScalingDown) => from == Some(Phase::Monitoring),
            _ => false,
        };
        match decide(&seen) {
            // A person's accept is a person's.
            Decision::Record(next) if !seen.annotations.contains_key("bluegreen.dev/accept") => {
                prop_assert!(next.phase == seen.status.phase || !forward(next.phase), "promise 9: {:?} → {:?}", seen.status.phase, next.phase);
            }
            Decision::Act(effects) => {
                for effect in effects {
                    let to_candidate = |target: &Target| {
                        seen.status.preview.as_ref().is_some_and(|side| (side.color, &side.revision) == (target.color, &target.revision))
                    };
                    let shown = |target: &Target| {
                        seen.service(Role::Active).is_some_and(|service| service.selector == labels::selector("shop", target))
                    };
                    if let Change::LeadService { role: Role::Active, target, .. } = &effect.change {
                        prop_assert!(!to_candidate(target) || shown(target), "switched in {:?}", seen.status.phase);
                    }
                    if let (Change::Scale { color, replicas: 0 }, Some(Phase::ScalingDown)) = (&effect.change, seen.status.phase) {
                        let standby = seen.status.standby.as_ref().is_some_and(|side| side.color == *color && side.replicas > 0);
                        prop_assert!(!standby, "the way back goes");
                    }
                }
            }
            _ => {}
        }
    }

    /// Promise 14: an object that is there and can't be read is not written, and nothing is decided by what it seems not to be.
    #[test]
    fn what_cannot_be_read_is_neither_written_nor_missed(case in worlds(), which in 0..4_usize, was_read in any::<bool>()) {
        let mut seen = case.seen.clone();
        let object = [Object::Service(Role::Active), Object::Service(Role::Preview), Object::Deployment(Color::Blue), Object::Deployment(Color::Green)][which]
            .clone();
        let (kind, name) = match &object {
            Object::Service(role) => (ObjectKind::Service, services::service_name(&seen, *role)),
            Object::Deployment(color) => (ObjectKind::Deployment, names::deployment(&seen.name, *color)),
            Object::Revision(_) => return Ok(()),
        };
        match &object {
            _ if was_read => {}
            Object::Service(role) => drop(seen.services.remove(role)),
            Object::Deployment(Color::Blue) => seen.blue.deployment = None,
            _ => seen.green.deployment = None,
        }
        seen.unread = vec![Unread { kind, name: name.clone(), why: "invalid type".into(), since: at(-60) }];
        match decide(&seen) {
            Decision::Act(effects) => {
                prop_assert!(effects.iter().all(|effect| effect.object() != object), "promise 14: {effects:?}");
            }
            Decision::Record(next) => {
                let of = |status: &BlueGreenRolloutStatus| {
                    (status.phase, status.attempt, status.active.clone(), status.standby.clone(), status.preview.clone(), status.epoch)
                };
                prop_assert!(of(&next) == of(&seen.status), "promise 14: {}", told::recorded(&next));
                prop_assert!(next.message.contains(&name), "promise 14: it says {}", next.message);
            }
            Decision::Wait { .. } => {}
        }
    }

    /// Promise 11: a wait never names a time that is over: the loop around it would spin.
    #[test]
    fn a_wait_says_why_and_ends_in_the_future(seen in worlds()) {
        let Decision::Wait { until, why } = settled(&seen).1 else { return Ok(()) };
        prop_assert!(!why.0.is_empty(), "promise 11: it doesn't say why");
        prop_assert!(until.is_none_or(|until| until > seen.now), "{until:?} is over");
    }

    /// Promise 11: what time alone decides is awaited: nothing is decided before the time that a wait names, nor ever when it names none.
    #[test]
    fn nothing_is_decided_before_the_time_that_a_wait_names(case in worlds(), seconds in 1..40_000_i64) {
        // Nothing leaves in another phase: what is on its way out there is of no story.
        let mut seen = case.seen.clone();
        let leaves = matches!(seen.status.phase, Some(Phase::Aborting | Phase::RollingBack));
        seen.status.leaving = seen.status.leaving.filter(|_| leaves);
        let (mut seen, Decision::Wait { until, .. }, _) = settled(&seen) else { return Ok(()) };
        seen.now = at(seconds);
        if until.is_none_or(|until| seen.now < until) {
            let later = decide(&seen);
            let waits = matches!(later, Decision::Wait { .. });
            prop_assert!(waits, "promise 11: after {seconds} s, awaited {until:?}, it {}", told::of_decision(&later));
        }
    }
}

proptest! {
    // Each is a story of some minutes.
    #![proptest_config(ProptestConfig { cases: config().cases / 16 + 1, max_shrink_iters: 100, ..config() })]

    /// What is gone back from, right after the switch or long after it, ends in history with the image that serves.
    #[test]
    fn a_rolled_back_attempt_is_shown_with_the_image_that_serves(watched in 0..100_u32, stays in any::<bool>(), seconds in 5..300_i64) {
        let after = if stays { "Never" } else { "20s" };
        let mut world = World::live(json!({"monitoring": {"duration": format!("{watched}s")}, "scaleDown": {"after": after}}));
        world.image("shop:2");
        world.run_for(seconds);
        let Some(active) = world.status.active.clone().filter(|active| active.image == "shop:2") else { return Ok(()) };
        world.order_for("rollback", &active.revision);
        world.settle();
        let ended = &world.status.history[0];
        let told = (ended.outcome, Some(ended.from_image.clone()));
        prop_assert!(told == (Some(Ended::RolledBack), world.serves()), "{told:?}\n{}", world.story());
    }
}
