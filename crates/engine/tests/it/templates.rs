//! Templates of gates: what becomes of a rollout that names one which is missing, can't be read, changes, or goes.

use crate::world::World;
use bluegreen_api::{GateState, Phase, TemplateKind};
use bluegreen_engine::{Decision, decide, observed::*};
use bluegreen_gates::{
    reading::{Outcome, Reading},
    templates::TemplateSeen,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

fn slo(max: &str) -> Value {
    let metric = |name: &str, max: &str| json!({"name": name, "max": max, "interval": "5s", "count": 10, "prometheus": {"query": name}});
    json!({"checks": [{"name": "home", "http": {}}], "metrics": [metric("errors", max), metric("slow", "1")]})
}

/// Named in both stages.
fn spec() -> Value {
    let templates = json!([{"name": "slo"}]);
    json!({"verification": {"templates": templates}, "monitoring": {"duration": "5m", "templates": templates}})
}

trait Templates {
    fn sees(&mut self, template: TemplateSeen);
    fn has(&mut self, template: Value);
    fn gate(&self, name: &str) -> Option<GateState>;
    fn told(&self) -> String;
}

impl Templates for World {
    fn sees(&mut self, template: TemplateSeen) {
        self.gate_templates.insert((TemplateKind::GateTemplate, "slo".into()), template);
    }

    fn has(&mut self, template: Value) {
        self.sees(TemplateSeen::There(serde_json::from_value(template).unwrap()));
    }

    fn gate(&self, name: &str) -> Option<GateState> {
        self.status.gates.iter().find(|gate| gate.name == name).map(|gate| gate.state)
    }

    fn told(&self) -> String {
        let reason = self.condition("Ready").map(|(_, reason)| reason).unwrap_or_default();
        format!("{reason}: {}", self.status.message)
    }
}

const MISSING: &str =
    "InvalidSpec: spec is invalid: spec.verification.templates: GateTemplate web/slo doesn't exist: create it, or remove it from spec";

fn live() -> World {
    let mut world = World::new(spec());
    world.has(slo("1"));
    world.settle();
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.story());
    world
}

/// The check has passed, and metrics have readings that say nothing yet.
fn halfway() -> World {
    let mut world = live();
    world.image("shop:2");
    world.run(600, |world| world.gate("verification/slo/home") == Some(GateState::Passed));
    world.run_for(20);
    assert_eq!(world.gate("verification/slo/errors"), Some(GateState::Running), "{}", world.story());
    world
}

fn bad_errors(gate: &str, image: &str, _: Timestamp) -> Outcome {
    Outcome::reading(Reading::Value(if gate.ends_with("/slo/errors") && image == "shop:2" { 5.0 } else { 0.0 }))
}

#[test]
fn a_rollout_goes_live_once_its_missing_template_is_there() {
    let mut world = World::new(spec());
    world.settle();
    assert_eq!((world.told().as_str(), world.writes), (MISSING, 0), "{}", world.story());
    world.has(slo("1"));
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}

#[test]
fn a_metric_that_is_left_out_at_a_stage_has_no_weight_there() {
    let stage = |min: &str| json!({"score": {"min": min}, "templates": [{"name": "slo"}]});
    let mut world = World::new(json!({"verification": stage("50%"), "monitoring": stage("100%")}));
    world.change(json!({"monitoring": {"duration": "1m"}}));
    let compared = json!({"name": "compared", "weight": 1, "comparison": {"errors": "e", "requests": "r"}});
    let errors = json!({"name": "errors", "weight": 1, "max": "1", "interval": "5s", "count": 2, "prometheus": {"query": "q"}});
    world.has(json!({"metrics": [compared]}));
    world.settle();
    let nothing = "spec.monitoring.score is set, but no metric has a weight: set weight, or remove score";
    assert_eq!(world.told(), format!("InvalidSpec: spec is invalid: {nothing}"));
    world.has(json!({"metrics": [compared, errors]}));
    world.settle();
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
    let gates = |gate: &&bluegreen_api::GateResult| gate.name.starts_with("monitoring/");
    let told: Vec<_> = world.status.history[0].gates.iter().filter(gates).map(|gate| gate.name.as_str()).collect();
    assert_eq!(told, ["monitoring/slo/errors", "monitoring/score"]);
}

/// Repair goes on.
#[test]
fn nothing_is_promoted_while_a_template_is_missing() {
    let mut world = live();
    world.sees(TemplateSeen::Absent);
    world.image("shop:2");
    world.settle();
    assert_eq!((world.phase(), world.told().as_str()), (Phase::Healthy, MISSING), "{}", world.story());
    world.services.get_mut("active").unwrap().selector.clear();
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "repair goes on");
    world.has(slo("1"));
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
}

/// Gates that had passed stay passed.
#[test]
fn verification_holds_while_its_template_is_missing() {
    let mut world = halfway();
    let home = world.status.gates.iter().find(|gate| gate.name == "verification/slo/home").cloned().unwrap();
    world.sees(TemplateSeen::Absent);
    // Longer than verification may take.
    world.run_for(4000);
    assert_eq!((world.phase(), world.told().as_str()), (Phase::Verifying, MISSING), "{}", world.story());
    world.has(slo("1"));
    world.run_for(2);
    assert_eq!(world.status.gates.iter().find(|gate| gate.name == home.name), Some(&home), "{}", world.story());
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
    assert_eq!(world.status.history[0].attempt, world.status.attempt, "one story");
}

#[test]
fn a_candidate_whose_template_is_missing_can_be_given_up() {
    let mut world = halfway();
    world.sees(TemplateSeen::Absent);
    world.run_for(60);
    world.order("abort");
    world.run_until(Phase::Aborted);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}

/// The way back stays open, and it goes on where it was.
#[test]
fn monitoring_holds_while_its_template_is_missing() {
    let mut world = live();
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.run_for(100);
    let good =
        |world: &World| world.status.gates.iter().find(|gate| gate.name == "monitoring/slo/errors").unwrap().measured.clone().unwrap().good;
    let before = good(&world);
    assert!(before > 5, "{}", world.story());
    world.sees(TemplateSeen::Absent);
    world.run_for(4000);
    let missing =
        "Inconclusive: monitoring/slo/* could not be judged: spec.monitoring.templates: GateTemplate web/slo doesn't exist: create it";
    assert!(world.phase() == Phase::Monitoring && world.told().starts_with(missing), "{}\n{}", world.told(), world.story());
    assert!(world.status.standby.is_some() && world.ready("shop:1") == 3, "the standby stands by");
    let mut given_up = world.clone();
    given_up.order("rollback");
    given_up.settle();
    assert_eq!(given_up.phase(), Phase::RolledBack, "{}", given_up.story());
    world.has(slo("1"));
    world.run_for(10);
    assert!(world.phase() == Phase::Monitoring && good(&world) >= before, "{}", world.story());
    world.settle();
    assert_eq!((world.phase(), world.serves().as_deref()), (Phase::Healthy, Some("shop:2")), "{}", world.story());
}

#[test]
fn on_unknown_decides_about_a_template_that_is_gone() {
    // What comes after that is held by the spec, which names it still.
    for (on_unknown, ends) in [("RollBack", Phase::RolledBack), ("Pass", Phase::ScalingDown)] {
        let templates = json!([{"name": "slo"}]);
        let mut world = World::new(json!({"monitoring": {"duration": "5m", "onUnknown": on_unknown, "templates": templates}}));
        world.has(slo("1"));
        world.settle();
        world.image("shop:2");
        world.run_until(Phase::Monitoring);
        world.run_for(100);
        world.sees(TemplateSeen::Absent);
        world.run_for(100);
        let told = &world.status.message;
        let named = "; monitoring/slo/* can't be judged: spec.monitoring.templates: GateTemplate web/slo doesn't exist";
        assert!(told.contains(named) && told.contains(&format!("onUnknown: {on_unknown} decides at")), "{told}");
        world.run_for(400);
        assert_eq!(world.phase(), ends, "{}", world.story());
    }
}

/// And what it had found stays found.
#[test]
fn other_gates_are_asked_on_without_a_template_that_is_gone() {
    let mut world = live();
    let own = json!({"name": "own", "max": "1", "interval": "5s", "prometheus": {"query": "q"}});
    world.change(json!({"monitoring": {"metrics": [own]}}));
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.run_for(50);
    world.sees(TemplateSeen::Absent);
    world.run_for(20);
    let mut good = world.clone();
    let readings =
        |world: &World| world.status.gates.iter().find(|gate| gate.name == "monitoring/own").unwrap().measured.clone().unwrap().good;
    let before = readings(&good);
    good.run_for(60);
    assert!(readings(&good) > before, "{}", good.story());
    world.gauge = |gate, _, _| Outcome::reading(Reading::Value(if gate == "monitoring/own" { 5.0 } else { 0.0 }));
    world.run_until(Phase::RolledBack);
    assert!(world.status.rejected.as_ref().unwrap().message.starts_with("monitoring/own failed: "), "{}", world.story());
}

#[test]
fn a_failed_gate_of_a_template_aborts_before_the_switch() {
    let mut world = live();
    world.gauge = bad_errors;
    world.image("shop:2");
    world.run_until(Phase::Aborted);
    assert!(
        world.status.rejected.as_ref().unwrap().message.starts_with("verification/slo/errors failed: 5 is above the limit of 1"),
        "{}",
        world.story()
    );
}

#[test]
fn a_failed_gate_of_a_template_rolls_back_after_the_switch() {
    let mut world = World::new(json!({"monitoring": {"duration": "5m", "templates": [{"name": "slo"}]}}));
    world.has(slo("1"));
    world.settle();
    world.gauge = bad_errors;
    world.image("shop:2");
    world.run_until(Phase::RolledBack);
    assert!(world.status.rejected.as_ref().unwrap().message.starts_with("monitoring/slo/errors failed: "), "{}", world.story());
}

#[test]
fn a_changed_template_begins_only_changed_gates_anew() {
    let mut world = halfway();
    let gate = |world: &World, name: &str| world.status.gates.iter().find(|gate| gate.name == name).cloned().unwrap();
    let good = |world: &World, name: &str| gate(world, name).measured.unwrap().good;
    let (home, errors) = (gate(&world, "verification/slo/home"), gate(&world, "verification/slo/errors"));
    let before = good(&world, "verification/slo/errors");
    assert!(before > 2 && good(&world, "verification/slo/slow") == before, "{}", world.story());
    world.has(slo("2"));
    world.run_for(1);
    assert_eq!(gate(&world, "verification/slo/home"), home);
    assert_ne!(gate(&world, "verification/slo/errors").definition, errors.definition, "{}", world.story());
    assert!(good(&world, "verification/slo/errors") < 2 && good(&world, "verification/slo/slow") >= before, "{}", world.story());
}

#[test]
fn a_template_changed_before_the_switch_is_measured_again() {
    let mut manual = spec();
    manual["promotion"] = json!({"mode": "Manual"});
    let mut world = World::new(manual);
    world.has(slo("1"));
    world.settle();
    world.image("shop:2");
    world.run_until(Phase::AwaitingPromotion);
    world.gauge = |gate, _, _| Outcome::reading(Reading::Value(if gate == "verification/slo/errors" { 0.7 } else { 0.0 }));
    world.has(slo("0.5"));
    world.order("promote");
    world.run_until(Phase::Aborted);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}

#[test]
fn the_first_revision_is_verified_without_what_only_compares() {
    let mut initial = spec();
    initial["verification"]["initial"] = json!(true);
    let mut world = World::new(initial);
    let mut template = slo("1");
    template["metrics"].as_array_mut().unwrap().push(json!({"name": "compared", "comparison": {"errors": "e", "requests": "r"}}));
    world.has(template);
    world.run(600, |world| !world.status.gates.is_empty());
    let names: Vec<_> = world.status.gates.iter().map(|gate| gate.name.clone()).collect();
    assert_eq!(names, ["verification/slo/home", "verification/slo/errors", "verification/slo/slow"]);
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "{}", world.story());
}

#[test]
fn a_first_revision_with_a_missing_template_does_not_serve() {
    let mut initial = spec();
    initial["verification"]["initial"] = json!(true);
    let mut world = World::new(initial);
    world.has(slo("1"));
    world.run(600, |world| world.gate("verification/slo/home") == Some(GateState::Passed));
    world.sees(TemplateSeen::Absent);
    world.run_for(600);
    assert_eq!((world.serves(), world.told().as_str()), (None, MISSING), "{}", world.story());
}

fn down(world: &World) -> Late {
    Late { kind: ObjectKind::GateTemplate, why: "forbidden".into(), since: world.now }
}

const CANT_WATCH: &str = "WatchDown: On hold: the operator can't watch GateTemplates: forbidden. Repair and rollback still work";

#[test]
fn an_unreadable_template_is_shown_after_a_moment() {
    let mut world = live();
    world.image("shop:2");
    (world.gate_templates, world.late) = (Default::default(), vec![down(&world)]);
    world.sees(TemplateSeen::Unknown("listing".into()));
    let Decision::Wait { until: Some(until), .. } = decide(&world.seen()) else { panic!("{}", world.story()) };
    assert_eq!(until.duration_since(world.now).as_secs(), 10);
    world.run_for(60);
    assert_eq!((world.phase(), world.told().as_str()), (Phase::Healthy, CANT_WATCH), "{}", world.story());
    world.services.get_mut("active").unwrap().selector.clear();
    world.run_for(5);
    assert_eq!(world.serves().as_deref(), Some("shop:1"), "repair goes on");
    world.late = vec![];
    world.has(slo("1"));
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
}

#[test]
fn a_lost_status_is_rebuilt_though_templates_cannot_be_read() {
    let mut world = live();
    world.status = bluegreen_api::BlueGreenRolloutStatus { observed_generation: -1, ..Default::default() };
    (world.gate_templates, world.late) = (Default::default(), vec![down(&world)]);
    world.sees(TemplateSeen::Unknown("forbidden".into()));
    world.run_for(60);
    assert_eq!(world.status.active.as_ref().map(|side| side.image.as_str()), Some("shop:1"), "{}", world.story());
    assert_eq!(world.serves().as_deref(), Some("shop:1"));
}

/// The way back goes on.
#[test]
fn nothing_passes_while_the_watch_of_templates_is_down() {
    let mut world = halfway();
    world.late = vec![down(&world)];
    world.run_for(4000);
    assert_eq!((world.phase(), world.told().as_str()), (Phase::Verifying, CANT_WATCH), "{}", world.story());
    let mut aborted = world.clone();
    aborted.order("abort");
    aborted.run_for(60);
    assert_eq!((aborted.phase(), aborted.ready("shop:2")), (Phase::Aborted, 0), "its time comes all the same\n{}", aborted.story());
    world.late = vec![];
    world.settle();
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "{}", world.story());
}

/// The watch of its templates.
#[test]
fn a_rollout_at_rest_stays_ready_with_that_watch_down() {
    let mut world = live();
    world.late = vec![down(&world)];
    let records = world.records;
    world.run_for(600);
    assert_eq!((world.is("Ready"), world.records), (true, records), "{}", world.story());
}

/// The rollout of the sample beside its template, live.
fn of_the_sample() -> World {
    let text = include_str!("../../../../config/samples/slo.yaml");
    let mut objects = serde_yaml_ng::Deserializer::from_str(text).map(|object| Value::deserialize(object).unwrap());
    let (template, mut rollout) = (objects.next().unwrap(), objects.next().unwrap());
    rollout["spec"]["image"] = json!("shop:1");
    let mut world = World::new(rollout["spec"].clone());
    let template = TemplateSeen::There(serde_json::from_value(template["spec"].clone()).unwrap());
    world.gate_templates.insert((TemplateKind::ClusterGateTemplate, "slo".into()), template);
    world.settle();
    assert_eq!(world.phase(), Phase::Healthy, "{}", world.story());
    world
}

/// What the sample's metrics read, and what those of that name do.
fn but(gate: &str, name: &str, odd: [f64; 2]) -> Outcome {
    let (kind, good) = match gate.rsplit('/').next().unwrap() {
        "error-rate" => ("error-rate", vec![0.01, 0.005]),
        "latency" => ("latency", vec![0.2, 0.15]),
        kind => (kind, vec![0.8]),
    };
    let values = if kind == name { odd[..good.len()].to_vec() } else { good };
    Outcome::Readings(values.into_iter().map(Reading::Value).collect())
}

#[test]
fn the_sample_passes_at_each_of_its_limits() {
    let mut world = of_the_sample();
    world.gauge = |gate, _, _| but(gate, "", [0.0; 2]);
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    assert_eq!(world.serves().as_deref(), Some("shop:2"), "at every limit it is good: {}", world.story());
}

#[test]
fn the_sample_gives_readings_above_its_limits_five_minutes() {
    type Gauge = fn(&str, &str, Timestamp) -> Outcome;
    let cases: [(Gauge, &str); 6] = [
        (|gate, _, _| but(gate, "error-rate", [0.011, 0.02]), "error-rate failed: 0.011 is above the limit of 0.01"),
        (|gate, _, _| but(gate, "error-rate", [0.009, 0.004]), "error-rate failed: 0.009 is more than 2 times the active side's 0.004"),
        (|gate, _, _| but(gate, "latency", [0.21, 0.2]), "latency failed: 0.21 is above the limit of 0.2"),
        (|gate, _, _| but(gate, "latency", [0.19, 0.12]), "latency failed: 0.19 is more than 1.5 times the active side's 0.12"),
        (|gate, _, _| but(gate, "cpu", [0.81, 0.0]), "cpu failed: 0.81 is above the limit of 0.8"),
        (|gate, _, _| but(gate, "memory", [0.81, 0.0]), "memory failed: 0.81 is above the limit of 0.8"),
    ];
    for (gauge, why) in cases {
        let mut world = of_the_sample();
        world.gauge = gauge;
        world.image("shop:2");
        world.run_until(Phase::Verifying);
        world.run_for(299);
        assert_eq!(world.phase(), Phase::Verifying, "{why}: {}", world.story());
        world.run_until(Phase::Aborted);
        let rejected = world.status.rejected.as_ref().unwrap();
        assert_eq!(rejected.message, format!("verification/slo/{why}, for 5m of 5m (failureFor)"));
    }
}

#[test]
fn the_sample_judges_before_the_switch_and_after_it() {
    let mut world = of_the_sample();
    world.image("shop:2");
    for (phase, stage) in [(Phase::Verifying, "verification"), (Phase::Monitoring, "monitoring")] {
        world.run_until(phase);
        world.run_for(1);
        let names: Vec<_> = world.status.gates.iter().map(|gate| gate.name.clone()).filter(|name| name.starts_with(stage)).collect();
        assert_eq!(names, ["error-rate", "latency", "cpu", "memory"].map(|name| format!("{stage}/slo/{name}")), "{}", world.story());
    }
}

#[test]
fn a_way_back_has_its_deadline_though_templates_cannot_be_read() {
    let mut world = live();
    world.image("shop:2");
    world.run_until(Phase::Monitoring);
    world.late = vec![down(&world)];
    world.run_for(60);
    assert!(world.status.clock.as_ref().is_some_and(|clock| clock.stopped.is_some()), "what is to pass waits\n{}", world.story());
    world.order("rollback");
    world.run_until(Phase::RollingBack);
    assert!(world.status.clock.as_ref().is_some_and(|clock| clock.stopped.is_none()), "{}", world.story());
}
