//! Properties of `decide` over arbitrary inputs: any status beside any children, whether or not a story leads there. Statuses are
//! edited by hand, restored from backups and written by other versions; children are deleted, relabelled and scaled by anybody.
//!
//! `PROPTEST_CASES=100000 cargo test -p bluegreen-engine --test properties` tries longer.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod world;

use bluegreen_api::{BlueGreenRolloutStatus, Clock, Color, Ending, Gate, GateState, Measured, Outcome as Ended, Phase, Rejected, Side};
use bluegreen_engine::{
    Decision, Effect, Observed, decide,
    decision::{Change, Object, Role},
    measure,
    observed::*,
    render,
};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::OnceLock};
use world::World;

const IMAGES: [&str; 3] = ["shop:1", "shop:2", "shop:3"];
const NOW: i64 = world::START + 100_000;

// === what is generated ===

fn settings() -> [Value; 7] {
    let metric = json!({"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "interval": "5s", "count": 3});
    [
        json!({}),
        json!({"verification": {"checks": [{"name": "home", "http": {}}], "metrics": [metric], "onFailure": "Pause"}, "promotion": {"mode": "Manual"}}),
        json!({"verification": {"metrics": [metric], "initial": true}, "preview": {"replicas": "34%"}, "scaleDown": {"after": "Never"}}),
        json!({"monitoring": {"duration": "5m", "metrics": [metric], "onUnknown": "RollBack"}, "scaleDown": {"drain": "0s", "after": "0s", "afterAbort": "0s"}}),
        json!({"monitoring": {"duration": "5m", "checks": [{"name": "home", "http": {}}], "onFailure": "Pause"}, "promotion": {"after": "20s", "timeout": "2m"}}),
        json!({"container": "nobody", "revisionHistoryLimit": 2}),
        json!({
            "verification": {"score": {"min": "60%"}, "metrics": soft(), "onFailure": "Pause"},
            "monitoring": {"duration": "5m", "score": {"min": "60%"}, "metrics": soft()},
        }),
    ]
}

/// Metrics of which any two are enough for 60 %.
fn soft() -> [Value; 3] {
    ["errors", "latency", "queue"]
        .map(|name| json!({"name": name, "prometheus": {"query": "q"}, "max": "1%", "interval": "5s", "count": 3, "weight": 2}))
}

/// The side that a rollout of this image has first: its hash and ports are those that `spec` asks for.
fn side(image: usize) -> Side {
    static SIDES: OnceLock<Vec<Side>> = OnceLock::new();
    let made = |image: &&str| match decide(&World::new(json!({"image": image})).seen()) {
        Decision::Record(status) => status.active.unwrap(),
        other => panic!("{other:?}"),
    };
    SIDES.get_or_init(|| IMAGES.iter().map(made).collect())[image].clone()
}

/// The gates as these settings define them, so that results of generated statuses count.
fn gates(setting: usize) -> Vec<Gate> {
    static GATES: OnceLock<Vec<Vec<Gate>>> = OnceLock::new();
    let made = |spec: Value| {
        let mut world = World::new(spec);
        world.run_for(20);
        world.image("shop:2");
        let mut gates = BTreeMap::new();
        for _ in 0..40 {
            world.run_for(1);
            gates.extend(world.status.gates.iter().map(|gate| (gate.name.clone(), gate.clone())));
            if world.phase() == Phase::AwaitingPromotion {
                world.order("promote");
            }
        }
        gates.into_values().collect()
    };
    GATES.get_or_init(|| settings().into_iter().map(made).collect())[setting].clone()
}

fn at(offset: i64) -> Timestamp {
    Timestamp::from_second(NOW + offset).unwrap()
}

/// Mostly the past, sometimes the future: clocks are set back.
fn times() -> impl Strategy<Value = Timestamp> + Clone {
    prop_oneof![8 => -20_000_i64..=0, 2 => -60_i64..=0, 1 => 0_i64..5_000].prop_map(at)
}

fn images() -> impl Strategy<Value = usize> + Clone {
    0..IMAGES.len()
}

fn colors() -> impl Strategy<Value = Color> {
    prop_oneof![Just(Color::Blue), Just(Color::Green)]
}

fn sides(color: Color) -> impl Strategy<Value = Side> {
    (images(), 0..6_i32, proptest::option::of(0..4_i64)).prop_map(move |(image, replicas, generation)| Side {
        color,
        replicas,
        generation,
        number: i64::try_from(image).unwrap() + 1,
        ..side(image)
    })
}

/// Sides that a record can hold: the active one in its color, another in the other.
#[derive(Clone, Debug)]
struct Sides {
    active: Option<Side>,
    preview: Option<Side>,
    standby: Option<Side>,
    leaving: Option<Side>,
    previous: Option<Side>,
}

fn all_sides() -> BoxedStrategy<Sides> {
    colors()
        .prop_flat_map(|color| {
            let other = || proptest::option::weighted(0.6, sides(color.other()));
            (proptest::option::weighted(0.95, sides(color)), 0..4_u8, other(), other()).prop_map(|(active, role, other, previous)| {
                let as_role = |wanted: u8| other.clone().filter(|_| role == wanted);
                Sides { active, preview: as_role(0), standby: as_role(1), leaving: as_role(2), previous }
            })
        })
        .boxed()
}

fn states() -> impl Strategy<Value = GateState> {
    prop_oneof![
        Just(GateState::Running),
        Just(GateState::Passed),
        Just(GateState::Passed),
        Just(GateState::Failed),
        Just(GateState::Inconclusive)
    ]
}

fn clocks() -> impl Strategy<Value = Clock> {
    (times(), 0..20_000_000_i64, proptest::option::of(times()), proptest::option::of(times()))
        .prop_map(|(since, excluded_millis, stopped, accounted_until)| Clock { since, excluded_millis, stopped, accounted_until })
}

fn endings() -> impl Strategy<Value = Ending> {
    let outcomes = prop_oneof![Just(Ended::Aborted), Just(Ended::RolledBack), Just(Ended::Reverted)];
    (outcomes, any::<bool>(), any::<bool>()).prop_map(|(outcome, ordered, slow)| Ending {
        outcome,
        reason: "Ordered".into(),
        message: "because".into(),
        ordered,
        slow,
    })
}

fn rejections() -> impl Strategy<Value = Rejected> {
    (images(), times()).prop_map(|(image, at)| {
        let Side { revision, number, image, .. } = side(image);
        Rejected { revision, number, attempt: 1, image, reason: "Hopeless".into(), message: "because".into(), at }
    })
}

fn statuses(setting: usize) -> BoxedStrategy<BlueGreenRolloutStatus> {
    let phases = proptest::option::weighted(0.95, proptest::sample::select(Phase::ALL.to_vec()));
    let gates = gates(setting);
    let states = proptest::collection::vec((states(), 0..9_i32, times()), gates.len());
    let some = (
        proptest::option::weighted(0.9, clocks()),
        proptest::option::of(endings()),
        proptest::option::of(rejections()),
        proptest::option::of(0..4_i32),
    );
    (phases, all_sides(), states, some, any::<bool>(), 0..4_i64)
        .prop_map(move |(phase, sides, states, (clock, ending, rejected, waiting), paused, attempt)| {
            let with = |(gate, (state, good, since)): (&Gate, &(GateState, i32, Timestamp))| Gate {
                state: *state,
                since: *since,
                measured: gate.measured.as_ref().map(|_| Measured {
                    good: *good,
                    covered_millis: i64::from(*good) * 60_000,
                    ..Measured::default()
                }),
                ..gate.clone()
            };
            BlueGreenRolloutStatus {
                observed_generation: 1,
                phase,
                attempt,
                revisions: 3,
                active: sides.active,
                preview: sides.preview,
                standby: sides.standby,
                leaving: sides.leaving,
                previous: sides.previous,
                rejected,
                gates: gates.iter().zip(&states).map(with).collect(),
                ending,
                clock,
                paused_by_order: paused,
                waiting_replicas: waiting,
                ..Default::default()
            }
        })
        .boxed()
}

fn owners() -> impl Strategy<Value = Owner> {
    prop_oneof![
        12 => Just(Owner::Us),
        1 => Just(Owner::Orphan),
        1 => Just(Owner::Former),
        1 => any::<bool>().prop_map(|adopt| Owner::Foreign { who: "somebody".into(), adopt }),
    ]
}

fn pods(revision: String) -> BoxedStrategy<PodSeen> {
    let reasons = prop_oneof![Just("ImagePullBackOff"), Just("CrashLoopBackOff"), Just("InvalidImageName"), Just("Unschedulable")];
    let trouble = proptest::option::weighted(
        0.3,
        reasons.prop_map(|reason| PodTrouble { reason: reason.into(), message: "because".into(), container: None }),
    );
    ("[a-z]{5}", proptest::bool::weighted(0.7), proptest::bool::weighted(0.1), times(), 0..8_i32, trouble)
        .prop_map(move |(name, ready, deleting, created, restarts, trouble)| PodSeen {
            name,
            revision: revision.clone(),
            ip: Some("192.0.2.1".into()),
            ports: BTreeMap::from([("http".to_owned(), 8080)]),
            ready,
            deleting,
            created,
            ready_changed: Some(created),
            restarts,
            trouble: trouble.filter(|_| !ready),
        })
        .boxed()
}

fn deployments() -> BoxedStrategy<DeploymentSeen> {
    let counts = (0..6_i32, 0..6_i32, 0..6_i32, 0..6_i32);
    let flags = (proptest::bool::weighted(0.05), proptest::bool::weighted(0.95), proptest::bool::weighted(0.8));
    (images(), owners(), flags, 1..4_i64, proptest::option::weighted(0.8, 0..4_i64), counts)
        .prop_map(|(image, owner, (deleting, labels_intact, settled), generation, applied, (replicas, total, updated, available))| {
            let (total, updated, available) = if settled { (replicas, replicas, replicas) } else { (total, updated, available) };
            DeploymentSeen {
                uid: "uid".into(),
                resource_version: "7".into(),
                generation,
                owner,
                deleting,
                labels_intact,
                revision: side(image).revision,
                epoch: String::new(),
                applied_generation: if settled { Some(generation) } else { applied },
                replicas,
                min_ready_seconds: 0,
                observed_generation: if settled { generation } else { 1 },
                total,
                updated,
                ready: available,
                available,
                replica_failure: None,
            }
        })
        .boxed()
}

fn color_seen() -> BoxedStrategy<ColorSeen> {
    let progress = proptest::option::of((0..6_i32, times(), proptest::option::of(times())));
    proptest::option::weighted(0.9, deployments())
        .prop_flat_map(|deployment| {
            let revision = deployment.as_ref().map_or_else(|| side(0).revision, |deployment| deployment.revision.clone());
            (Just(deployment), proptest::collection::vec(pods(revision), 0..5))
        })
        .prop_flat_map(move |(deployment, pods)| (Just(deployment), Just(pods), progress.clone()))
        .prop_map(|(deployment, pods, progress)| ColorSeen {
            progress: deployment.as_ref().zip(progress).map(|(deployment, (high_water, at, short_since))| Progress {
                revision: deployment.revision.clone(),
                generation: deployment.generation,
                high_water,
                at,
                short_since,
            }),
            deployment: deployment.map_or(ObjectSeen::Absent, ObjectSeen::There),
            pods,
        })
        .boxed()
}

fn services() -> BoxedStrategy<ObjectSeen<ServiceSeen>> {
    let selected = proptest::option::weighted(0.9, (colors(), images()));
    (proptest::bool::weighted(0.95), selected, owners(), any::<(bool, bool)>(), proptest::bool::weighted(0.03))
        .prop_map(|(there, selected, owner, (labels_intact, settings_intact), deleting)| {
            let selector = selected.map(|(color, image)| {
                let Side { revision, ports, .. } = side(image);
                render::selector("shop", &bluegreen_engine::decision::Target { color, revision, ports })
            });
            let service = ServiceSeen {
                resource_version: "9".into(),
                owner,
                deleting,
                labels_intact,
                settings_intact,
                epoch: String::new(),
                selector: selector.unwrap_or_default(),
                ports: render::service_ports(Role::Active, &side(0).ports),
                former: None,
            };
            if there { ObjectSeen::There(service) } else { ObjectSeen::Absent }
        })
        .boxed()
}

fn refusals() -> impl Strategy<Value = Vec<Refusal>> {
    let objects = prop_oneof![
        colors().prop_map(Object::Deployment),
        Just(Object::Service(Role::Active)),
        Just(Object::Service(Role::Preview)),
        images().prop_map(|image| Object::Revision(side(image).revision)),
    ];
    let codes = proptest::sample::select(vec![0_u16, 403, 422, 500]);
    let refusal = (objects, codes, times(), 1..40_u32, 1..3_i64).prop_map(|(object, code, at, times, generation)| Refusal {
        object,
        code,
        message: "no".into(),
        at,
        times,
        generation,
    });
    proptest::collection::vec(refusal, 0..2)
}

fn orders() -> impl Strategy<Value = BTreeMap<String, String>> {
    let verb = proptest::sample::select(vec!["promote", "accept", "abort", "rollback", "retry", "pause", "resume"]);
    let order = (verb, images()).prop_map(|(verb, image)| (format!("bluegreen.dev/{verb}"), side(image).revision));
    proptest::collection::btree_map(order.clone().prop_map(|(verb, _)| verb), order.prop_map(|(_, revision)| revision), 0..3)
}

fn worlds() -> BoxedStrategy<Observed> {
    let specs = (images(), 0..6_i32, proptest::bool::weighted(0.1));
    (0..settings().len())
        .prop_flat_map(move |setting| {
            let children = (color_seen(), color_seen(), services(), services());
            let beside = (
                refusals(),
                orders(),
                proptest::option::of((proptest::option::of(times()), times())),
                proptest::collection::vec(images(), 0..4),
            );
            (Just(setting), specs.clone(), statuses(setting), children, beside)
        })
        .prop_map(
            |(
                setting,
                (image, replicas, paused),
                status,
                (blue, green, active_service, preview_service),
                (refusals, annotations, absence, stored),
            )| {
                let mut spec = settings()[setting].clone();
                world::merge(&mut spec, json!({"image": IMAGES[image], "replicas": replicas, "paused": paused}));
                let mut seen = World::new(spec).seen();
                let selected = active_service.as_ref().map(|service| service.selector.clone()).unwrap_or_default();
                let names: Vec<_> = [(Color::Blue, &blue), (Color::Green, &green)]
                    .into_iter()
                    .filter(|(color, _)| selected.get("bluegreen.dev/color").map(String::as_str) == Some(color.as_str()))
                    .flat_map(|(_, seen)| {
                        seen.pods.iter().filter(|pod| pod.ready).map(|pod| EndpointSeen { pod: pod.name.clone(), ready: true })
                    })
                    .collect();
                seen.now = at(0);
                seen.status = status;
                (seen.blue, seen.green) = (blue, green);
                (seen.active_service, seen.preview_service) = (active_service, preview_service);
                seen.endpoints = EndpointsSeen { pods: names, changed: None };
                seen.revisions = stored
                    .into_iter()
                    .map(|image| RevisionSeen {
                        hash: side(image).revision,
                        number: i64::try_from(image).unwrap() + 1,
                        digest: format!("digest-{image}"),
                        image: IMAGES[image].into(),
                        ports: side(image).ports,
                        owner: Owner::Us,
                    })
                    .collect();
                seen.refusals = refusals;
                seen.annotations = annotations;
                seen.absence = absence.map(|(from, to)| Absence { from, to });
                seen
            },
        )
        .boxed()
}

// === what is asked ===

fn ready(seen: &Observed, color: Color, revision: &str) -> usize {
    seen.color(color).pods.iter().filter(|pod| pod.ready && !pod.deleting && pod.revision == revision).count()
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

fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), max_shrink_iters: 5_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Totality: a panic takes down the leader for all rollouts, again and again.
    #[test]
    fn whatever_is_seen_there_is_one_decision_and_it_is_always_the_same(seen in worlds()) {
        prop_assert_eq!(decide(&seen), decide(&seen));
        let _ = measure::wanted(&seen);
    }

    /// Promise 1: the active Service is sent to the recorded active side, or by a recorded switch to a side with ready pods.
    #[test]
    fn the_active_service_goes_only_where_a_record_leads_it(seen in worlds()) {
        let (seen, decision, _) = settled(&seen);
        let Decision::Act(effects) = decision else { return Ok(()) };
        for effect in effects {
            let Change::ApplyService { role: Role::Active, target } = effect.change else { continue };
            let is = |side: &Option<Side>| side.as_ref().is_some_and(|side| side.color == target.color && side.revision == target.revision);
            let nothing = target.revision == bluegreen_engine::decision::Target::NOTHING;
            let status = &seen.status;
            let (switch, to) = match status.phase {
                Some(Phase::Promoting) => (true, is(&status.preview)),
                Some(Phase::RollingBack) => (true, is(&status.standby)),
                Some(Phase::Initializing) => (false, nothing),
                _ => (false, false),
            };
            prop_assert!(is(&status.active) || to, "sent to {target:?} in {:?}", status.phase);
            let selected = seen.active_service.as_ref().is_some_and(|service| service.selector == render::selector("shop", &target));
            if switch && to && !selected && !is(&status.active) {
                prop_assert!(ready(&seen, target.color, &target.revision) > 0, "switched to no ready pod in {:?}", status.phase);
            }
        }
    }

    /// Promise 2: what serves and what stands by keep their template and are never asked for less than is recorded for them.
    #[test]
    fn the_active_side_and_the_standby_are_neither_shrunk_nor_changed(seen in worlds()) {
        let (seen, decision, _) = settled(&seen);
        let Decision::Act(effects) = decision else { return Ok(()) };
        let status = &seen.status;
        for effect in effects {
            let (color, revision, replicas) = match effect.change {
                Change::ApplyDeployment { color, revision, replicas } => (color, Some(revision), replicas),
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
                let here = status.active.as_ref().is_some_and(|active| seen.active_service.as_ref().is_some_and(|service| {
                    service.selector.get("bluegreen.dev/color").map(String::as_str) == Some(active.color.as_str())
                }));
                prop_assert!(here || status.phase == Some(Phase::Initializing), "{color} was emptied while users may still reach it");
            }
        }
    }

    /// Promise 2: no record asks for less than `replicas` of the active side, nor shrinks a standby that stays one.
    /// (A status without a phase is rebuilt from what is there: its standby is as large as its Deployment.)
    #[test]
    fn no_record_takes_pods_from_the_active_side_that_replicas_asks_for(seen in worlds()) {
        let Decision::Record(next) = decide(&seen) else { return Ok(()) };
        if let Some(active) = &next.active {
            // What was recorded may stand for as long as a fence is refused; it never goes down.
            let before = seen.status.active.as_ref().filter(|before| (before.color, &before.revision) == (active.color, &active.revision));
            let kept = before.is_some_and(|before| active.replicas >= before.replicas);
            prop_assert!(active.replicas >= seen.spec.replicas || kept, "{} of {}", active.replicas, seen.spec.replicas);
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
    fn the_switch_is_recorded_only_with_every_gate_passed(seen in worlds()) {
        let Decision::Record(next) = decide(&seen) else { return Ok(()) };
        if next.phase != Some(Phase::Promoting) || seen.status.phase == Some(Phase::Promoting) {
            return Ok(());
        }
        let candidate = next.preview.as_ref().unwrap();
        let deployment = seen.color(candidate.color).deployment.as_ref().unwrap();
        prop_assert!(deployment.revision == candidate.revision && deployment.available >= candidate.replicas.max(seen.spec.replicas));
        prop_assert!(ready(&seen, candidate.color, &candidate.revision) > 0 && seen.spec.replicas > 0 && !seen.spec.paused);
        let approved = next.gates.iter().any(|gate| gate.name == "approval" && gate.state == GateState::Passed);
        let setting = seen.spec.verification.clone().unwrap_or_default();
        // What has a weight may be bad: the score decides for it.
        let metrics = setting.metrics.iter().filter(|metric| metric.weight.is_none()).map(|metric| metric.name.as_str());
        let score = setting.score.iter().map(|_| "score");
        for name in setting.checks.iter().map(|check| check.name.as_str()).chain(metrics).chain(score) {
            let gate = next.gates.iter().find(|gate| gate.name == format!("verification/{name}"));
            let passed = gate.is_some_and(|gate| gate.state == GateState::Passed || (gate.state == GateState::Inconclusive && approved));
            prop_assert!(passed, "{name} has not passed: {gate:?}");
        }
        if setting.score.is_some() {
            // Each of the three counts alike, and 60 % of them are two: whatever the gate of the score says.
            let of = |state: GateState| next.gates.iter().filter(|gate| gate.weight.is_some() && gate.name.starts_with("verification/") && gate.state == state).count();
            prop_assert!(of(GateState::Passed) >= 2 || (approved && of(GateState::Failed) <= 1), "{:?}", next.gates);
        }
    }

    /// Promise 10: in a world that stands still, records come to an end: no two states take turns.
    #[test]
    fn a_world_that_stands_still_is_soon_all_recorded(seen in worlds()) {
        let (_, decision, records) = settled(&seen);
        let ends = !matches!(decision, Decision::Record(_));
        prop_assert!(ends, "{records} records and no end");
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
                Object::Service(role) => role == Role::Active,
                Object::Deployment(color) => live().any(|side| side.color == color),
                Object::Revision(hash) => live().any(|side| side.revision == hash),
            })
            .collect();
        prop_assert!(protects.is_sorted_by(|before, after| before >= after), "{effects:?}");
    }

    /// An object that is being deleted, or is somebody else's, gets no effect; neither does anything while the rollout is being deleted.
    #[test]
    fn what_is_not_ours_or_is_going_is_not_touched(seen in worlds()) {
        let mut going = seen.clone();
        going.deleting = true;
        let waits = matches!(decide(&going), Decision::Wait { .. });
        prop_assert!(waits);
        let (seen, Decision::Act(effects), _) = settled(&seen) else { return Ok(()) };
        for effect in effects {
            let (owner, deleting) = match effect.object() {
                Object::Deployment(color) => match &seen.color(color).deployment { ObjectSeen::There(it) => (it.owner.clone(), it.deleting), ObjectSeen::Absent => continue },
                Object::Service(Role::Active) => match &seen.active_service { ObjectSeen::There(it) => (it.owner.clone(), it.deleting), ObjectSeen::Absent => continue },
                Object::Service(Role::Preview) => match &seen.preview_service { ObjectSeen::There(it) => (it.owner.clone(), it.deleting), ObjectSeen::Absent => continue },
                Object::Revision(_) => continue,
            };
            prop_assert!(!deleting, "{:?} is being deleted", effect.change);
            let another = matches!(owner, Owner::Former | Owner::Foreign { adopt: false, .. });
            prop_assert!(!another, "{:?} is of {owner:?}", effect.change);
        }
    }

    /// Promise 7: what is written belongs to the rollout, and goes with it.
    #[test]
    fn what_is_written_is_owned_by_the_rollout(seen in worlds()) {
        let (seen, Decision::Act(effects), _) = settled(&seen) else { return Ok(()) };
        for Effect { change, .. } in effects {
            let written = match &change {
                Change::ApplyService { role, target } => render::service(&seen, *role, target),
                Change::WriteRevision { hash, number } => render::controller_revision(&seen, hash, *number),
                Change::RestoreRevision { hash, number, .. } => render::restored_revision(&seen, hash, *number, &json!({})),
                Change::ApplyDeployment { color, replicas, .. } => render::deployment(&seen, *color, *replicas, &json!({})),
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
        prop_assert!(!given_up || (ready == Some(false) && is("Promoted") == Some(false)), "{next:?}");
        let ended = matches!(next.phase, Some(Phase::Healthy | Phase::ScalingDown));
        prop_assert!(is("Promoted") == Some(false) || ended, "{:?}", next.phase);
        let rests = matches!(next.phase, Some(Phase::Healthy | Phase::Aborted | Phase::RolledBack));
        prop_assert!(next.phase == seen.status.phase || next.phase.is_none() || next.clock.is_none() == rests, "a phase that ends has a clock, one that rests has none");
        let long = |text: &str| text.chars().count() > 256;
        let messages = next.gates.iter().map(|gate| &gate.message).chain(next.history.iter().map(|attempt| &attempt.message));
        prop_assert!(!messages.chain([&next.message]).any(|message| long(message)));
        let readings = |gate: &Gate| gate.measured.as_ref().map_or(0, |measured| measured.readings.len());
        prop_assert!(next.history.len() <= 10 && next.gates.iter().all(|gate| readings(gate) <= 10));
        prop_assert!(roles(&next).into_iter().flatten().all(|side| side.replicas >= 0));
        let colors: Vec<_> = roles(&next).into_iter().flatten().map(|side| side.color).collect();
        prop_assert!(colors.len() < 2 || (colors.len() == 2 && colors[0] != colors[1]), "two roles in one color: {colors:?}");
    }

    /// Promise 9: with a watch down nothing is tried, switched, scaled down or passed; what protects goes on.
    #[test]
    fn with_old_eyes_nothing_goes_forward(seen in worlds(), age in 0..60_i64) {
        let mut seen = seen;
        seen.blind = Some(Blind { why: "pods: forbidden".into(), since: at(-age) });
        let from = seen.status.phase;
        let forward = |to: Option<Phase>| match to {
            Some(Phase::DeployingPreview | Phase::Verifying | Phase::ScalingUp | Phase::Promoting) => true,
            Some(Phase::ScalingDown) => from == Some(Phase::Monitoring),
            _ => false,
        };
        match decide(&seen) {
            // A person's accept is a person's.
            Decision::Record(next) if !seen.annotations.contains_key("bluegreen.dev/accept") => {
                prop_assert!(next.phase == seen.status.phase || !forward(next.phase), "{:?} → {:?}", seen.status.phase, next.phase);
            }
            Decision::Act(effects) => {
                for effect in effects {
                    let to_candidate = |target: &bluegreen_engine::decision::Target| {
                        seen.status.preview.as_ref().is_some_and(|side| (side.color, &side.revision) == (target.color, &target.revision))
                    };
                    let shown = |target: &bluegreen_engine::decision::Target| {
                        seen.active_service.as_ref().is_some_and(|service| service.selector == render::selector("shop", target))
                    };
                    if let Change::ApplyService { role: Role::Active, target } = &effect.change {
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

    /// Promise 11: a wait never names a time that is over: the loop around it would spin.
    #[test]
    fn a_wait_says_why_and_ends_in_the_future(seen in worlds()) {
        let Decision::Wait { until, why } = settled(&seen).1 else { return Ok(()) };
        prop_assert!(!why.0.is_empty());
        prop_assert!(until.is_none_or(|until| until > seen.now), "{until:?} is over");
    }

    /// Promise 11: what time alone decides is awaited: nothing is decided before the time that a wait names, nor ever when it names none.
    #[test]
    fn nothing_is_decided_before_the_time_that_a_wait_names(seen in worlds(), seconds in 1..40_000_i64) {
        // Nothing leaves in another phase: what is on its way out there is of no story.
        let mut seen = seen;
        let leaves = matches!(seen.status.phase, Some(Phase::Aborting | Phase::RollingBack));
        seen.status.leaving = seen.status.leaving.filter(|_| leaves);
        let (mut seen, Decision::Wait { until, .. }, _) = settled(&seen) else { return Ok(()) };
        seen.now = at(seconds);
        if until.is_none_or(|until| seen.now < until) {
            let later = decide(&seen);
            let waits = matches!(later, Decision::Wait { .. });
            prop_assert!(waits, "after {seconds} s, awaited {until:?}: {later:?}");
        }
    }
}
