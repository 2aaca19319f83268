//! The rollouts that properties are about: among them they have every kind of check and metric, templates, weights and rehearsals.

use crate::world::{Ask, START, World};
use bluegreen_api::{BlueGreenRolloutStatus, Check, Color, Gate, Metric, Phase, Side, TemplateKind, TemplateReference};
use bluegreen_engine::{
    Decision, Observed, decide,
    decision::{Role, Target},
    observed::{ports::NamedPort, *},
    render,
};
use bluegreen_gates::templates::{TemplateSeen, Templates};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::OnceLock};

pub const IMAGES: [&str; 3] = ["shop:1", "shop:2", "shop:3"];
pub const NOW: i64 = START + 100_000;

pub fn at(offset: i64) -> Timestamp {
    Timestamp::from_second(NOW + offset).unwrap()
}

/// A rollout of which nothing is there yet.
pub struct Rollout {
    /// What it asks for, in a few words.
    pub what: &'static str,
    pub base: Observed,
    /// Its gates as `spec` defines them, so that results of generated statuses count.
    pub gates: Vec<Gate>,
}

pub fn rollouts() -> &'static [Rollout] {
    static ALL: OnceLock<Vec<Rollout>> = OnceLock::new();
    ALL.get_or_init(|| specs().into_iter().map(Rollout::of).collect())
}

impl Rollout {
    fn of((what, spec): (&'static str, Value)) -> Self {
        let mut world = World::new(spec);
        world.gate_templates = templates();
        let base = Observed { now: at(0), ..world.seen() };
        let gates = gates(&base);
        Self { what, base, gates }
    }
}

fn specs() -> [(&'static str, Value); 13] {
    let home = json!({"name": "home", "http": {}});
    let errors = json!({"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "interval": "5s", "count": 3});
    let slo = json!([{"name": "slo", "parameters": {"most": "2%"}}, {"kind": "ClusterGateTemplate", "name": "house"}]);
    [
        ("nothing is asked", json!({})),
        (
            "a check, a metric and an approval",
            json!({"verification": {"checks": [home], "metrics": [errors], "onFailure": "Pause"}, "promotion": {"mode": "Manual"}}),
        ),
        (
            "the first revision is verified too, the former side never goes",
            json!({"verification": {"metrics": [errors], "initial": true}, "preview": {"replicas": "34%"}, "scaleDown": {"after": "Never"}}),
        ),
        (
            "a metric after the switch, nothing is drained",
            json!({"monitoring": {"duration": "5m", "metrics": [errors], "onUnknown": "RollBack"}, "scaleDown": {"drain": "0s", "after": "0s", "afterAbort": "0s"}}),
        ),
        (
            "a check after the switch, the switch has its time",
            json!({"monitoring": {"duration": "5m", "checks": [home], "onFailure": "Pause"}, "promotion": {"after": "20s", "timeout": "2m"}}),
        ),
        ("a container that isn't there", json!({"container": "nobody", "revisionHistoryLimit": 2})),
        (
            "scores",
            json!({
                "verification": {"score": {"min": "60%"}, "metrics": soft(), "onFailure": "Pause"},
                "monitoring": {"duration": "5m", "score": {"min": "60%"}, "metrics": soft()},
            }),
        ),
        (
            "checks of every kind",
            json!({"verification": {"checks": checks()}, "monitoring": {"duration": "5m", "checks": checks(), "onUnknown": "Pass"}}),
        ),
        ("metrics of every kind", json!({"verification": {"metrics": metrics("beside")}, "monitoring": {"metrics": metrics("before")}})),
        ("nothing but comparisons", json!({"verification": {"metrics": comparisons()}})),
        (
            "comparisons, a rehearsal and an approval",
            json!({"verification": {"metrics": [comparisons()[0], comparisons()[1], rehearsal()]}, "promotion": {"mode": "Manual"}}),
        ),
        (
            "templates",
            json!({"verification": {"templates": slo, "checks": [home]}, "monitoring": {"duration": "5m", "templates": [slo[0]]}}),
        ),
        (
            "a rehearsal before and after the switch, a drain of a minute",
            json!({
                "verification": {"metrics": [rehearsal()]},
                "monitoring": {"duration": "1m", "metrics": [rehearsal()], "onFailure": "Pause"},
                "scaleDown": {"drain": "1m"},
            }),
        ),
    ]
}

/// Metrics of which any two are enough for 60 %.
fn soft() -> [Value; 3] {
    ["errors", "latency", "queue"]
        .map(|name| json!({"name": name, "prometheus": {"query": "q"}, "max": "1%", "interval": "5s", "count": 3, "weight": 2}))
}

/// The name of a gate says what answers it takes: see `worlds.rs`.
fn checks() -> Value {
    json!([
        {"name": "home", "http": {"attempts": 1, "interval": "0s"}},
        {"name": "shown", "http": {"url": "http://shop-preview.web.svc/", "attempts": 2, "interval": "0s"}},
        {"name": "asked", "webhook": {"url": "http://gate.web.svc/may-it", "attempts": 2}},
        {"name": "suite", "job": job()},
    ])
}

fn job() -> Value {
    json!({"template": {"spec": {"template": {"spec": {"containers": [{"name": "suite", "image": "suite:1"}]}}}}})
}

/// `compared`: with the side beside it, or with the time before the switch.
fn metrics(compared: &str) -> Value {
    let of = if compared == "before" { json!("BeforeSwitch") } else { json!("ActiveSide") };
    let url = "http://numbers.web.svc/?from={{ start }}&to={{ end }}";
    json!([
        {"name": "errors", "prometheus": {"query": "e"}, "max": "1%", "min": "-1", "interval": "5s", "count": 1},
        {"name": compared, "prometheus": {"query": "e"}, "max": "50%", "maxFactor": "2", "factorFrom": "1%", "factorOf": of, "count": 1},
        {"name": "steady", "prometheus": {"query": "q"}, "goodIf": "value < 1.0 || value < previous", "count": 2, "failureLimit": 2},
        {"name": "outside", "web": {"url": url, "jsonPath": "$.value"}, "max": "1", "count": 1, "failureFor": "10s", "noDataLimit": 2},
        {"name": "counted", "job": job(), "max": "1", "count": 1, "errorLimit": 2},
        {"name": "few", "prometheus": {"query": "e", "requests": "n", "minRequests": 5}, "max": "1%", "count": 1, "noDataLimit": 2},
    ])
}

fn comparisons() -> [Value; 2] {
    [
        json!({"name": "compared", "comparison": {"errors": "e", "requests": "r", "minRequests": 1}, "count": 1}),
        json!({"name": "slower", "latency": {"buckets": "b", "minRequests": 1}, "count": 1}),
    ]
}

fn rehearsal() -> Value {
    json!({"name": "rehearsed", "prometheus": {"query": "e"}, "max": "1%", "dryRun": true, "count": 1, "noDataLimit": 1, "errorLimit": 1})
}

fn templates() -> Templates {
    let slo = json!({
        "parameters": [{"name": "most", "default": "1%"}],
        "checks": [{"name": "home", "http": {}}],
        "metrics": [{"name": "errors", "prometheus": {"query": "e"}, "max": "{{ parameters.most }}", "count": 2}],
    });
    let house = json!({"checks": [{"name": "asked", "webhook": {"url": "http://gate.web.svc/may-it"}}]});
    let there = |template: Value| TemplateSeen::There(serde_json::from_value(template).unwrap());
    let own = ((TemplateKind::GateTemplate, "slo".to_owned()), there(slo));
    let of_the_cluster = ((TemplateKind::ClusterGateTemplate, "house".to_owned()), there(house));
    BTreeMap::from([own, of_the_cluster])
}

/// Those of both stages, before anything is measured, and an approval.
fn gates(base: &Observed) -> Vec<Gate> {
    let of = |image: usize, color: Color| Some(Side { color, ..side(image) });
    let empty = || BlueGreenRolloutStatus { observed_generation: 1, attempt: 1, revisions: 2, ..Default::default() };
    let verifying =
        BlueGreenRolloutStatus { phase: Some(Phase::Verifying), active: of(0, Color::Blue), preview: of(1, Color::Green), ..empty() };
    let monitoring =
        BlueGreenRolloutStatus { phase: Some(Phase::Monitoring), active: of(1, Color::Green), standby: of(0, Color::Blue), ..empty() };
    let mut gates = Vec::new();
    for status in [verifying, monitoring] {
        let mut seen = Observed { status, ..base.clone() };
        seen.ask(|spec| spec.image = Some(IMAGES[1].into()));
        seen.annotations.insert("bluegreen.dev/promote".into(), side(1).revision);
        as_recorded(&mut seen);
        match decide(&seen) {
            Decision::Record(next) => gates.extend(next.gates),
            Decision::Wait { .. } => {}
            Decision::Act(effects) => panic!("there is nothing to do: {effects:?}"),
        }
    }
    gates
}

/// The names of the gates that decide about a candidate, as `spec` and its templates have them. What has a weight may be bad: the score
/// decides for it.
pub fn asked_of_a_candidate(seen: &Observed) -> Vec<String> {
    let Some(verification) = &seen.asked.spec.verification else { return vec![] };
    let named = |template: &str, checks: &[Check], metrics: &[Metric]| -> Vec<String> {
        let metrics = metrics.iter().filter(|metric| metric.weight.is_none()).map(|metric| &metric.name);
        checks.iter().map(|check| &check.name).chain(metrics).map(|name| format!("verification/{template}{name}")).collect()
    };
    let mut names = named("", &verification.checks, &verification.metrics);
    names.extend(verification.score.iter().map(|_| "verification/score".to_owned()));
    for TemplateReference { kind, name, .. } in &verification.templates {
        if let Some(TemplateSeen::There(template)) = seen.asked.templates.get(&(*kind, name.clone())) {
            names.extend(named(&format!("{name}/"), &template.checks, &template.metrics));
        }
    }
    names
}

// === sides and revisions ===

struct Made {
    side: Side,
    digest: String,
}

/// What a rollout of this image has first: its hash and ports are those that `spec` asks for.
fn made(image: usize) -> &'static Made {
    static MADE: OnceLock<Vec<Made>> = OnceLock::new();
    let make = |image: &&str| {
        let seen = World::new(json!({"image": image})).seen();
        let side = match decide(&seen) {
            Decision::Record(status) => status.active.unwrap(),
            other => panic!("{other:?}"),
        };
        let object = render::controller_revision(&seen, &side.revision, 1);
        let digest = object["metadata"]["annotations"]["bluegreen.dev/digest"].as_str().unwrap().to_owned();
        Made { side, digest }
    };
    &MADE.get_or_init(|| IMAGES.iter().map(make).collect())[image]
}

pub fn side(image: usize) -> Side {
    made(image).side.clone()
}

/// The image of a revision, or its hash if it is of none.
pub fn image_of(revision: &str) -> &str {
    (0..IMAGES.len()).find(|image| made(*image).side.revision == revision).map_or(revision, |image| IMAGES[image])
}

/// As it was written when the revision was first wanted; `clash`: by another content that has the same short hash.
pub fn stored(image: usize, clash: bool) -> RevisionSeen {
    let Made { side, digest } = made(image);
    RevisionSeen {
        hash: side.revision.clone(),
        number: i64::try_from(image).unwrap() + 1,
        digest: if clash { format!("digest-{image}") } else { digest.clone() },
        image: IMAGES[image].into(),
        ports: side.ports.clone(),
        owner: Owner::Us,
    }
}

// === a world that is as its status says ===

/// A Service is this one, or isn't there.
pub fn lead(seen: &mut Observed, role: Role, service: Option<ServiceSeen>) {
    match service {
        Some(service) => _ = seen.services.insert(role, service),
        None => _ = seen.services.remove(&role),
    }
}

/// What each side asks for is there, and each Service leads where it should.
pub fn as_recorded(seen: &mut Observed) {
    let status = seen.status.clone();
    let sides = || [&status.active, &status.standby, &status.preview, &status.leaving].into_iter().flatten();
    let of = |color: Color| sides().find(|side| side.color == color).map(in_full).unwrap_or_default();
    (seen.blue, seen.green) = (of(Color::Blue), of(Color::Green));
    lead(seen, Role::Active, led_to(Role::Active, status.active.as_ref()));
    lead(seen, Role::Preview, led_to(Role::Preview, status.preview.as_ref().or(status.active.as_ref())));
    endpoints_follow(seen);
    seen.revisions = (0..IMAGES.len()).map(|image| stored(image, false)).collect();
    seen.refusals.clear();
}

/// A side whose pods are all there and ready.
pub fn in_full(side: &Side) -> ColorSeen {
    let Side { replicas, ref revision, color, .. } = *side;
    let deployment = DeploymentSeen {
        uid: format!("uid-{color}"),
        resource_version: "7".into(),
        generation: 1,
        owner: Owner::Us,
        deleting: false,
        labels_intact: true,
        settings_intact: true,
        written: String::new(),
        revision: revision.clone(),
        epoch: String::new(),
        arrival: String::new(),
        applied_generation: Some(1),
        replicas,
        min_ready_seconds: 0,
        observed_generation: 1,
        total: replicas,
        updated: replicas,
        ready: replicas,
        available: replicas,
        replica_failure: None,
    };
    let pod = |number: i32| PodSeen {
        name: format!("shop-{color}-{number}"),
        revision: revision.clone(),
        ip: Some("192.0.2.1".into()),
        ports: vec![NamedPort::tcp("http", 8080)],
        ready: true,
        deleting: false,
        created: at(-30_000),
        ready_changed: Some(at(-30_000)),
        restarts: 0,
        trouble: None,
        waits: None,
    };
    ColorSeen { deployment: Some(deployment), pods: (0..replicas).map(pod).collect(), progress: None, told: None }
}

pub fn target(side: &Side) -> Target {
    Target { color: side.color, revision: side.revision.clone(), ports: side.ports.clone() }
}

/// A Service of ours that selects this side; none where there is no side.
pub fn led_to(role: Role, side: Option<&Side>) -> Option<ServiceSeen> {
    let side = side?;
    Some(ServiceSeen {
        resource_version: "9".into(),
        owner: Owner::Us,
        deleting: false,
        labels_intact: true,
        settings_intact: true,
        written: String::new(),
        other_owners: vec![],
        leftovers: false,
        epoch: String::new(),
        selector: labels::selector("shop", &target(side)),
        ports: services::service_ports(role, &side.ports),
        former: None,
    })
}

/// Endpoints of the active Service are the ready pods that it selects.
pub fn endpoints_follow(seen: &mut Observed) {
    let selected = seen.service(Role::Active).map(|service| service.selector.clone()).unwrap_or_default();
    let led_to = |color: Color| selected.get("bluegreen.dev/color").map(String::as_str) == Some(color.as_str());
    let pods = [Color::Blue, Color::Green].into_iter().filter(|color| led_to(*color)).flat_map(|color| &seen.color(color).pods);
    let pods = pods.filter(|pod| pod.ready).map(|pod| EndpointSeen { pod: pod.name.clone(), ready: true }).collect();
    seen.endpoints = EndpointsSeen { pods, changed: None };
}
