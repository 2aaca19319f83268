//! Arbitrary worlds: any status beside any children, with results of any kind.

use crate::rollouts::lead;
use crate::world::{Ask, ask};
use crate::{
    results::{Said, anything_said, of_readings, results, twists},
    rollouts::{IMAGES, Rollout, as_recorded, at, endpoints_follow, led_to, rollouts, side, stored, target},
    told::Case,
};
use bluegreen_api::{
    Attempt, BlueGreenRolloutStatus, Clock, Color, Ending, GateState, Measured, Outcome as Ended, Phase, PhaseTime, Protocol, Rejected,
    Rejection, Side, TemplateKind,
};
use bluegreen_engine::{
    decision::{Object, Part, Role},
    observed::{ports::NamedPort, *},
};
use bluegreen_gates::templates::{TemplateSeen, Templates};
use jiff::Timestamp;
use proptest::{collection::vec, option, prelude::*, test_runner::RngSeed};
use std::{
    collections::BTreeMap,
    time::{SystemTime, UNIX_EPOCH},
};

pub fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(400);
    let fresh = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_nanos() as u64);
    let seed = std::env::var("PROPTEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(fresh);
    eprintln!("replay with: PROPTEST_SEED={seed} PROPTEST_CASES={cases}");
    let rng_seed = RngSeed::Fixed(seed);
    ProptestConfig { cases, max_shrink_iters: 5_000, failure_persistence: None, rng_seed, ..ProptestConfig::default() }
}

// === times, sides ===

/// Mostly the past, sometimes the future: clocks are set back.
pub fn times() -> impl Strategy<Value = Timestamp> + Clone {
    prop_oneof![8 => -20_000_i64..=0, 2 => -60_i64..=0, 1 => 0_i64..5_000].prop_map(at)
}

pub fn images() -> impl Strategy<Value = usize> + Clone {
    0..IMAGES.len()
}

fn colors() -> impl Strategy<Value = Color> {
    prop_oneof![Just(Color::Blue), Just(Color::Green)]
}

/// A side of a revision as it is numbered when all of them are stored.
pub fn numbered(image: usize, color: Color, replicas: i32) -> Side {
    Side { color, replicas, number: i64::try_from(image).unwrap() + 1, ..side(image) }
}

fn sides(color: Color) -> impl Strategy<Value = Side> {
    (images(), 0..6_i32, option::of(0..4_i64), option::of(0..6_i32), option::weighted(0.2, times())).prop_map(
        move |(image, replicas, generation, ready_when_left, starting_since)| Side {
            generation,
            ready_when_left,
            starting_since,
            ..numbered(image, color, replicas)
        },
    )
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
            let other = || option::weighted(0.6, sides(color.other()));
            (option::weighted(0.95, sides(color)), 0..4_u8, other(), other()).prop_map(|(active, role, other, previous)| {
                let as_role = |wanted: u8| other.clone().filter(|_| role == wanted);
                Sides { active, preview: as_role(0), standby: as_role(1), leaving: as_role(2), previous }
            })
        })
        .boxed()
}

// === statuses ===

fn clocks() -> impl Strategy<Value = Clock> {
    (times(), 0..20_000_000_i64, option::of(times()), option::of(times()))
        .prop_map(|(since, excluded_millis, stopped, accounted_until)| Clock { since, excluded_millis, stopped, accounted_until })
}

pub fn endings() -> impl Strategy<Value = Ending> {
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
    (images(), times()).prop_map(|(image, at)| rejected(image, at))
}

fn rejected(image: usize, at: Timestamp) -> Rejected {
    let Side { revision, number, image, .. } = side(image);
    Rejected { revision, number, attempt: 1, image, reason: "Hopeless".into(), message: "because".into(), at }
}

/// What was given up, the newest and all.
fn given_up() -> impl Strategy<Value = (Option<Rejected>, Vec<Rejection>)> {
    (option::of(rejections()), vec(rejections(), 0..3), prop_oneof![3 => Just(0_usize), 1 => 8..12_usize]).prop_map(
        |(newest, earlier, others)| {
            let of_nobody = (0..others).map(|number| format!("gone{number}"));
            let others = of_nobody.map(|revision| Rejected { revision, ..earlier.first().cloned().unwrap_or_else(|| rejected(0, at(-9))) });
            let all = newest.iter().chain(&earlier).cloned().chain(others).map(|it| Rejection::from(&it)).collect();
            (newest, all)
        },
    )
}

fn attempt(image: usize, phases: usize) -> Attempt {
    Attempt {
        attempt: 1,
        revision: side(image).revision,
        number: 1,
        image: IMAGES[image].into(),
        from_image: "shop:0".into(),
        by: "kubectl".into(),
        phases: vec![PhaseTime { phase: Phase::Promoting, at: at(-40_000) }; phases],
        gates: vec![],
        outcome: None,
        reason: String::new(),
        message: String::new(),
        finished: None,
    }
}

/// The attempt under way, and how many are finished: edited by hand they may be more than are kept.
fn attempts() -> impl Strategy<Value = (Option<Attempt>, Vec<Attempt>)> {
    let current = option::of((images(), prop_oneof![4 => 0..4_usize, 1 => 30..40_usize]));
    (current, prop_oneof![2 => Just(0_usize), 1 => 0..10_usize, 1 => 10..13_usize]).prop_map(|(current, finished)| {
        let ended = Attempt { outcome: Some(Ended::Promoted), ..attempt(0, 1) };
        (current.map(|(image, phases)| attempt(image, phases)), vec![ended; finished])
    })
}

fn statuses(rollout: &'static Rollout) -> BoxedStrategy<BlueGreenRolloutStatus> {
    let phases = option::weighted(0.95, proptest::sample::select(Phase::ALL.to_vec()));
    let some = (option::weighted(0.9, clocks()), option::of(endings()), given_up(), option::of(0..4_i32));
    let numbers = (0..4_i64, prop_oneof![3 => Just(0_i64), 1 => 1..4_i64]);
    (phases, all_sides(), vec(twists(), rollout.gates.len()), some, (any::<bool>(), any::<bool>()), numbers, attempts())
        .prop_map(
            move |(
                phase,
                sides,
                twists,
                (clock, ending, (rejected, rejections), waiting_replicas),
                (paused_by_order, armed),
                (attempt, epoch),
                (current, history),
            )| {
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
                    rejections,
                    gates: rollout.gates.iter().zip(&twists).map(|(gate, twist)| twist.of(gate)).collect(),
                    ending,
                    clock,
                    paused_by_order,
                    armed,
                    waiting_replicas,
                    epoch,
                    current,
                    history,
                    ..Default::default()
                }
            },
        )
        .boxed()
}

// === children ===

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
    let trouble =
        option::weighted(0.3, reasons.prop_map(|reason| PodTrouble { reason: reason.into(), message: "because".into(), container: None }));
    // Most have the port that the Services lead to; some have it for another protocol, or by another name.
    let http = || NamedPort::tcp("http", 8080);
    let ports = prop_oneof![
        12 => Just(vec![http()]),
        2 => Just(vec![NamedPort::tcp("debug", 9090), http()]),
        1 => Just(vec![NamedPort { protocol: Protocol::UDP, ..http() }]),
        1 => Just(vec![NamedPort::tcp("web", 8080)]),
    ];
    let container = || "shop".to_owned();
    let waits = prop_oneof![
        Just(PodWait::Node),
        Just(PodWait::Kubelet { node: "node-1".into() }),
        Just(PodWait::Start { container: container() }),
        Just(PodWait::Init { container: "migrate".into() }),
        Just(PodWait::Ready { container: container() }),
        Just(PodWait::Gate { message: "a gate is not met".into() }),
    ];
    let why = (trouble, waits);
    ("[a-z]{5}", proptest::bool::weighted(0.7), proptest::bool::weighted(0.1), times(), 0..8_i32, why, ports)
        .prop_map(move |(name, ready, deleting, created, restarts, (trouble, waits), ports)| PodSeen {
            name,
            revision: revision.clone(),
            ip: Some("192.0.2.1".into()),
            ports,
            ready,
            deleting,
            created,
            ready_changed: Some(created),
            restarts,
            waits: Some(waits).filter(|_| !ready && trouble.is_none()),
            trouble: trouble.filter(|_| !ready),
        })
        .boxed()
}

fn deployments() -> BoxedStrategy<DeploymentSeen> {
    let counts = (0..6_i32, 0..6_i32, 0..6_i32, 0..6_i32);
    let weighted = proptest::bool::weighted;
    let flags = (weighted(0.05), weighted(0.95), weighted(0.95), weighted(0.8));
    (images(), owners(), flags, 1..4_i64, option::weighted(0.8, 0..4_i64), counts)
        .prop_map(
            |(
                image,
                owner,
                (deleting, labels_intact, settings_intact, settled),
                generation,
                applied,
                (replicas, total, updated, available),
            )| {
                let (total, updated, available) = if settled { (replicas, replicas, replicas) } else { (total, updated, available) };
                DeploymentSeen {
                    uid: "uid".into(),
                    resource_version: "7".into(),
                    generation,
                    owner,
                    deleting,
                    labels_intact,
                    settings_intact,
                    written: String::new(),
                    revision: side(image).revision,
                    epoch: String::new(),
                    arrival: String::new(),
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
            },
        )
        .boxed()
}

pub fn color_seen() -> BoxedStrategy<ColorSeen> {
    let since = || option::of(times());
    let progress = option::of((0..6_i32, times(), (since(), since(), since())));
    option::weighted(0.9, deployments())
        .prop_flat_map(|deployment| {
            let revision = deployment.as_ref().map_or_else(|| side(0).revision, |deployment| deployment.revision.clone());
            (Just(deployment), vec(pods(revision), 0..5))
        })
        .prop_flat_map(move |(deployment, pods)| (Just(deployment), Just(pods), progress.clone(), option::of(events_read())))
        .prop_map(|(deployment, pods, progress, told)| (of_one_of(told, &pods), deployment, pods, progress))
        .prop_map(|(told, deployment, pods, progress)| ColorSeen {
            progress: deployment.as_ref().zip(progress).map(|(deployment, (high_water, at, (short_since, failing_since, none_since)))| {
                Progress {
                    revision: deployment.revision.clone(),
                    generation: deployment.generation,
                    high_water,
                    at,
                    short_since,
                    failing_since,
                    none_since,
                }
            }),
            deployment,
            pods,
            told,
        })
        .boxed()
}

/// Most were read of a pod that is there.
fn of_one_of(told: Option<EventsRead>, pods: &[PodSeen]) -> Option<EventsRead> {
    let pod = pods.iter().min_by(|a, b| a.name.cmp(&b.name));
    told.map(|told| EventsRead { pod: pod.filter(|_| told.times % 4 > 0).map_or(told.pod.clone(), |pod| pod.name.clone()), ..told })
}

fn events_read() -> BoxedStrategy<EventsRead> {
    let reasons = prop_oneof![Just("FailedMount"), Just("FailedCreatePodSandBox"), Just("Unhealthy")];
    let warning =
        (reasons, times()).prop_map(|(reason, at)| PodWarning { reason: reason.into(), message: "because".into(), container: None, at });
    ("[a-z]{5}", times(), any::<u32>(), vec(warning, 0..3))
        .prop_map(|(pod, at, times, warnings)| EventsRead { pod, at, times, warnings })
        .boxed()
}

fn services() -> BoxedStrategy<Option<ServiceSeen>> {
    let selected = option::weighted(0.9, (colors(), images()));
    (proptest::bool::weighted(0.95), selected, owners(), any::<(bool, bool)>(), proptest::bool::weighted(0.03))
        .prop_map(|(there, selected, owner, (labels_intact, settings_intact), deleting)| {
            let selector = selected.map(|(color, image)| labels::selector("shop", &target(&Side { color, ..side(image) })));
            let service = ServiceSeen {
                resource_version: "9".into(),
                owner,
                deleting,
                labels_intact,
                settings_intact,
                written: String::new(),
                other_owners: vec![],
                leftovers: false,
                epoch: String::new(),
                selector: selector.unwrap_or_default(),
                ports: services::service_ports(Role::Active, &side(0).ports),
                former: None,
            };
            if there { Some(service) } else { None }
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
    let parts = prop_oneof![3 => Just(Part::Whole), 1 => Just(Part::Bare), 1 => Just(Part::Settings), 1 => (0..3_i64).prop_map(|epoch| Part::Fence(format!("{epoch}.1")))];
    let since = option::of(times());
    let refusal =
        (objects, parts, codes, times(), 1..40_u32, since, 1..3_i64).prop_map(|(object, part, code, at, times, since, generation)| {
            Refusal {
                object,
                part,
                code,
                message: "no".into(),
                at,
                times,
                denied_since: since.filter(|_| Refusal::denies(code)),
                generation,
            }
        });
    vec(refusal, 0..2)
}

fn orders() -> impl Strategy<Value = BTreeMap<String, String>> {
    let verb = proptest::sample::select(vec!["promote", "accept", "abort", "rollback", "retry", "pause", "resume"]);
    let order = (verb, images()).prop_map(|(verb, image)| (format!("bluegreen.dev/{verb}"), side(image).revision));
    proptest::collection::btree_map(order.clone().prop_map(|(verb, _)| verb), order.prop_map(|(_, revision)| revision), 0..3)
}

/// What is wrong with the templates, if anything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TemplatesAre {
    There,
    Missing,
    Unknown,
    Unwatched,
}

fn templates() -> impl Strategy<Value = TemplatesAre> {
    prop_oneof![7 => Just(TemplatesAre::There), 1 => Just(TemplatesAre::Missing), 1 => Just(TemplatesAre::Unknown), 1 => Just(TemplatesAre::Unwatched)]
}

impl TemplatesAre {
    fn of(self, seen: &Observed) -> Templates {
        let mut templates = seen.asked.templates.clone();
        let slo = (TemplateKind::GateTemplate, "slo".to_owned());
        match self {
            Self::There | Self::Unwatched => {}
            Self::Missing => _ = templates.insert(slo, TemplateSeen::Absent),
            Self::Unknown => _ = templates.insert(slo, TemplateSeen::Unknown("forbidden".into())),
        }
        templates
    }

    /// For so long that it is told.
    fn late(self) -> Option<Late> {
        (self == Self::Unwatched).then(|| Late { kind: ObjectKind::GateTemplate, why: "forbidden".into(), since: at(-600) })
    }
}

// === all of it ===

pub fn worlds() -> BoxedStrategy<Case> {
    let specs = (images(), 0..6_i32, proptest::bool::weighted(0.1));
    (0..rollouts().len())
        .prop_flat_map(move |rollout| {
            let children = (color_seen(), color_seen(), services(), services());
            let stored = vec((images(), proptest::bool::weighted(0.3)), 0..4);
            let beside = (refusals(), orders(), option::of((option::of(times()), times())), stored, templates());
            // Some are as their status says, so that there is something to decide.
            let whole = proptest::bool::weighted(0.25);
            let measured = results(anything_said(), times(), 4);
            (Just(rollout), specs.clone(), statuses(&rollouts()[rollout]), children, beside, measured, whole)
        })
        .prop_map(
            |(
                rollout,
                (image, replicas, paused),
                status,
                (blue, green, active_service, preview_service),
                (refusals, annotations, absence, stored_images, templates),
                results,
                whole,
            )| {
                let Rollout { what, base, gates } = &rollouts()[rollout];
                let mut seen = base.clone();
                let mut spec = seen.asked.spec.clone();
                (spec.image, spec.replicas, spec.paused) = (Some(IMAGES[image].into()), replicas, paused);
                seen.asked = ask(spec, templates.of(&seen));
                seen.results = results.iter().filter_map(|result| result.measurement(gates, &status)).collect();
                seen.status = status;
                seen.annotations = annotations;
                seen.absence = absence.map(|(from, to)| Absence { from, to });
                seen.late.extend(templates.late());
                (seen.blue, seen.green) = (blue, green);
                lead(&mut seen, Role::Active, active_service);
                lead(&mut seen, Role::Preview, preview_service);
                endpoints_follow(&mut seen);
                seen.revisions = stored_images.into_iter().map(|(image, clash)| stored(image, clash)).collect();
                seen.refusals = refusals;
                if whole {
                    as_recorded(&mut seen);
                }
                Case { what, seen }
            },
        )
        .boxed()
}

/// Each color has taken its template whole in the role that the status gives it.
fn have_arrived(seen: &mut Observed) {
    let status = seen.status.clone();
    for side in [&status.active, &status.standby, &status.preview].into_iter().flatten() {
        let color = if side.color == Color::Blue { &mut seen.blue } else { &mut seen.green };
        if let (Some(deployment), Some(marker)) = (&mut color.deployment, arrival::arrival(&status, side)) {
            deployment.arrival = marker;
        }
    }
}

/// Worlds in which all is as the status says, in these phases; what `spec` asks for is on its way or live. Nothing waits for a person.
pub fn recorded(phases: &'static [Phase]) -> BoxedStrategy<Case> {
    (0..rollouts().len(), proptest::sample::select(phases), colors(), 1..5_i32, any::<bool>(), endings(), 0..5_000_i64)
        .prop_map(|(rollout, phase, color, replicas, switched, ending, since)| {
            let Rollout { what, base, gates } = &rollouts()[rollout];
            let mut seen = base.clone();
            seen.ask(|spec| spec.replicas = replicas);
            let first = Some(numbered(0, color, replicas));
            let second = Some(numbered(1, color.other(), replicas));
            let under_way = matches!(
                phase,
                Phase::DeployingPreview | Phase::Verifying | Phase::AwaitingPromotion | Phase::ScalingUp | Phase::Promoting
            );
            let live = matches!(phase, Phase::Monitoring | Phase::ScalingDown | Phase::RollingBack);
            let goes_back = matches!(phase, Phase::Aborting | Phase::RollingBack);
            seen.ask(|spec| spec.image = Some(IMAGES[usize::from(under_way || live)].into()));
            let rests = matches!(phase, Phase::Healthy | Phase::Aborted | Phase::RolledBack);
            let clock = Clock { since: at(-since), excluded_millis: 0, stopped: None, accounted_until: None };
            let (active, other) = if live { (second, first) } else { (first, second) };
            seen.status = BlueGreenRolloutStatus {
                observed_generation: 1,
                phase: Some(phase),
                attempt: 2,
                revisions: 2,
                active,
                preview: other.clone().filter(|_| under_way),
                armed: switched && phase == Phase::DeployingPreview,
                standby: other.clone().filter(|_| live),
                leaving: other.clone().filter(|_| phase == Phase::Aborting),
                previous: other.filter(|_| live),
                gates: gates.clone(),
                ending: goes_back.then_some(ending),
                clock: (!rests).then_some(clock),
                ..Default::default()
            };
            as_recorded(&mut seen);
            have_arrived(&mut seen);
            if let Some(to) = seen.status.preview.clone().filter(|_| switched && phase == Phase::Promoting) {
                lead(&mut seen, Role::Active, led_to(Role::Active, Some(&to)));
                endpoints_follow(&mut seen);
            }
            Case { what, seen }
        })
        .boxed()
}

/// When the gates of worlds that are measured began.
pub const BEGAN: i64 = -10_000;

/// Such worlds, measured: gates that are asked in it have run since the phase began, and these results have come for them.
pub fn measured(said: impl Strategy<Value = Said> + 'static) -> BoxedStrategy<Case> {
    let phases = &[Phase::Verifying, Phase::Verifying, Phase::AwaitingPromotion, Phase::ScalingUp, Phase::Monitoring];
    let state = prop_oneof![3 => Just(GateState::Running), 1 => Just(GateState::Inconclusive)];
    let gates = vec((state, 0..4_i32, 0..13_usize), 32);
    (recorded(phases), gates, results(said, (-5_000_i64..0).prop_map(at), 6))
        .prop_map(|(Case { what, mut seen }, running, results)| {
            for (gate, (state, counter, readings)) in seen.status.gates.iter_mut().zip(running) {
                (gate.state, gate.since) = (state, at(BEGAN));
                if let Some(measured) = &mut gate.measured {
                    *measured = Measured { covered_millis: 0, ..of_readings(counter, readings, at(-9_000)) };
                }
            }
            let gates = seen.status.gates.clone();
            seen.results = results.iter().filter_map(|result| result.measurement(&gates, &seen.status)).collect();
            Case { what, seen }
        })
        .boxed()
}

/// What the active side's Deployment and pods may look like, in a world that is otherwise as the status says.
pub fn with_any_active_side(world: BoxedStrategy<Case>) -> BoxedStrategy<Case> {
    (world, color_seen())
        .prop_map(|(Case { what, mut seen }, broken)| {
            let color = seen.status.active.as_ref().map(|active| active.color);
            match color {
                Some(Color::Blue) => seen.blue = broken,
                Some(Color::Green) => seen.green = broken,
                None => {}
            }
            endpoints_follow(&mut seen);
            Case { what, seen }
        })
        .boxed()
}
