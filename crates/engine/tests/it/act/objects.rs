//! The objects as they are written.

use crate::world::{Ask, World};
use bluegreen_api::{Color, Side};
use bluegreen_engine::{
    Observed,
    decision::{Extent, Manner, Role, Target},
    observed::{Owner, RevisionSeen, ServiceSeen, deployments, labels, services},
    render,
};
use insta::assert_yaml_snapshot;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

const HASH: &str = "abcdefghij";

/// A rollout that uses every field that ends up in an object.
fn seen() -> Observed {
    World::new(json!({
        "minReadySeconds": 5,
        "template": {
            "metadata": {"labels": {"team": "web"}, "annotations": {"prometheus.io/scrape": "true"}},
            "spec": {"serviceAccountName": "shop", "containers": [
                {"name": "proxy", "image": "proxy:1"},
                {"name": "shop", "ports": [{"name": "http", "containerPort": 8080}], "env": [{"name": "A", "value": "1"}]},
            ]},
        },
        "service": {
            "ports": [
                {"name": "http", "port": 80, "targetPort": "http", "nodePort": 30080, "appProtocol": "kubernetes.io/h2c"},
                {"name": "dns", "port": 53, "protocol": "UDP"},
            ],
            "active": {"name": "front", "type": "NodePort", "labels": {"tier": "front"}, "annotations": {"example.com/zone": "a"}},
            "preview": {"name": "trial", "type": "LoadBalancer", "labels": {"tier": "trial"}},
        },
    }))
    .seen()
}

fn plain() -> Observed {
    World::new(json!({})).seen()
}

fn target(seen: &Observed, color: Color, revision: &str) -> Target {
    Target { color, revision: revision.into(), ports: seen.asked.spec.service.ports.clone() }
}

fn side(seen: &Observed, color: Color, revision: &str) -> Side {
    Side {
        color,
        revision: revision.into(),
        number: 3,
        image: "shop:3".into(),
        replicas: 3,
        ports: seen.asked.spec.service.ports.clone(),
        generation: None,
        ready_when_left: None,
        starting_since: None,
    }
}

fn labels(of: &Value) -> BTreeMap<String, String> {
    serde_json::from_value(of["metadata"]["labels"].clone()).unwrap()
}

/// And what it was made from.
#[test]
fn a_revision_holds_the_users_template_with_our_labels() {
    assert_yaml_snapshot!(render::controller_revision(&seen(), HASH, 7));
}

#[test]
fn a_deployment_runs_what_its_revision_holds_in_its_color() {
    let seen = seen();
    let revision = render::controller_revision(&seen, HASH, 7);
    assert_yaml_snapshot!(render::deployment(&seen, (Color::Green, 4, &Manner::Arrival("3".into())), &revision["data"]));
}

#[test]
fn a_service_has_the_name_settings_and_ports_of_spec() {
    let seen = seen();
    let target = target(&seen, Color::Blue, HASH);
    assert_yaml_snapshot!("active_service", render::service(&seen, Role::Active, &target, Extent::Whole));
    assert_yaml_snapshot!("preview_service", render::service(&seen, Role::Preview, &target, Extent::Whole));
}

/// And named after the rollout.
#[test]
fn a_service_without_settings_is_plain() {
    let seen = plain();
    let target = target(&seen, Color::Blue, HASH);
    assert_yaml_snapshot!("plain_service", render::service(&seen, Role::Active, &target, Extent::Whole));
    let preview = render::service(&seen, Role::Preview, &target, Extent::Whole);
    assert_eq!((&preview["metadata"]["name"], &preview["spec"]["type"]), (&json!("shop-preview"), &json!("ClusterIP")));
}

#[test]
fn empty_labels_in_a_template_are_no_obstacle_to_ours() {
    for metadata in [json!(null), json!({}), json!({"labels": null})] {
        let mut seen = plain();
        seen.ask(|spec| spec.template.0["metadata"] = metadata);
        let revision = render::controller_revision(&seen, HASH, 1);
        let template = &revision["data"]["spec"]["template"]["metadata"];
        let version = ("app.kubernetes.io/version", "1");
        assert_eq!(template["labels"], json!({"bluegreen.dev/rollout": "shop", "bluegreen.dev/revision": HASH, version.0: version.1}));
    }
}

/// And nothing else is added for it: what a revision is named by stays.
#[test]
fn a_version_that_the_user_gives_is_the_label_of_pods() {
    let version = |template: Value, image: &str| {
        let mut seen = plain();
        seen.ask(|spec| {
            spec.template.0["metadata"] = template;
            spec.image = Some(image.into());
        });
        render::controller_revision(&seen, HASH, 1)["data"]["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/version"].clone()
    };
    assert_eq!(version(json!({}), "shop:2.0.1"), json!("2.0.1"));
    assert_eq!(version(json!({"labels": {"app.kubernetes.io/version": "own"}}), "shop:2.0.1"), json!("own"));
    assert_eq!(version(json!({}), "shop@sha256:0123"), json!(null));
}

#[test]
fn the_smaller_writes_change_one_thing_each() {
    assert_eq!(render::scale(3), json!({"spec": {"replicas": 3}}));
    assert_eq!(render::fence("4"), json!({"metadata": {"annotations": {"bluegreen.dev/epoch": "4"}}}));
    assert_yaml_snapshot!("adopted_revision", render::adopt_revision(&plain()));
}

#[test]
fn the_active_service_remembers_the_revision_it_left() {
    let mut seen = plain();
    seen.status.active = Some(side(&seen, Color::Blue, "one"));
    seen.status.preview = Some(side(&seen, Color::Green, "two"));
    seen.status.previous = Some(side(&seen, Color::Green, "zero"));
    let former = |seen: &Observed, role: Role, color: Color, revision: &str| {
        let service = render::service(seen, role, &target(seen, color, revision), Extent::Bare);
        service["metadata"]["annotations"]["bluegreen.dev/former-revision"].as_str().map(str::to_owned)
    };
    let told = |color: Color, revision: &str| former(&seen, Role::Active, color, revision);
    assert_eq!(told(Color::Green, "two").as_deref(), Some("one"), "the candidate is promoted: the live side is left");
    assert_eq!(told(Color::Blue, "one").as_deref(), Some("zero"), "a repair keeps what was left before");
    assert_eq!(told(Color::Blue, "two").as_deref(), Some("zero"), "the candidate's revision in the other color is no promotion");
    assert_eq!(told(Color::Green, "three").as_deref(), Some("zero"), "nor is another revision in its color");
    assert_eq!(told(Color::Green, "zero"), None, "nothing is left for itself");
    assert_eq!(former(&seen, Role::Preview, Color::Green, "two"), None, "only users are switched");
}

#[test]
fn a_lost_revision_is_written_again_as_its_pods_run() {
    let mut seen = seen();
    let live = render::deployment(&seen, (Color::Blue, 3, &Manner::Apply), &render::controller_revision(&seen, HASH, 7)["data"]);
    seen.status.standby = Some(Side { image: "shop:2".into(), ..side(&seen, Color::Green, "another") });
    seen.status.active = Some(side(&seen, Color::Blue, HASH));
    assert_yaml_snapshot!("restored_revision", render::restored_revision(&seen, HASH, 7, &live));
}

#[test]
fn a_lost_revision_that_spec_names_gets_its_digest_back() {
    let seen = World::live(json!({})).seen();
    let hash = seen.status.active.as_ref().unwrap().revision.clone();
    let restored = render::restored_revision(&seen, &hash, 1, &json!({}));
    assert_eq!(restored["metadata"]["annotations"]["bluegreen.dev/digest"], json!(seen.revisions[0].digest));
}

#[test]
fn a_label_of_ours_that_was_changed_or_taken_away_is_missed() {
    let seen = seen();
    let deployment = render::deployment(&seen, (Color::Blue, 3, &Manner::Apply), &render::controller_revision(&seen, HASH, 7)["data"]);
    let (object, template) = (labels(&deployment), labels(&deployment["spec"]["template"]));
    assert!(labels::deployment_labels_intact("shop", Color::Blue, &object, &template));
    assert!(!labels::deployment_labels_intact("shop", Color::Green, &object, &template));
    for key in object.keys() {
        let mut without = object.clone();
        without.remove(key);
        assert!(!labels::deployment_labels_intact("shop", Color::Blue, &without, &template), "the Deployment without {key}");
    }
    let others = ["team", "app.kubernetes.io/version"];
    for key in template.keys().filter(|key| !others.contains(&key.as_str())) {
        let mut without = template.clone();
        without.remove(key);
        assert!(!labels::deployment_labels_intact("shop", Color::Blue, &object, &without), "its template without {key}");
        without.insert(key.clone(), "changed".into());
        assert!(!labels::deployment_labels_intact("shop", Color::Blue, &object, &without), "its template with another {key}");
    }
    let service = labels(&render::service(&seen, Role::Active, &target(&seen, Color::Blue, HASH), Extent::Whole));
    assert!(services::service_labels_intact(&seen, Role::Active, &service));
    for key in service.keys().filter(|key| *key != "tier") {
        let mut changed = service.clone();
        changed.insert(key.clone(), "changed".into());
        assert!(!services::service_labels_intact(&seen, Role::Active, &changed), "the Service with another {key}");
    }
}

/// Labels, annotations and fields of others are theirs; what was asked for and is no more has to go.
#[test]
fn settings_of_a_service_are_those_of_spec() {
    let seen = with_fields();
    const WRITTEN: &str = r#"{"annotations":["example.com/zone"],"fields":["ipFamilies","sessionAffinity"],"labels":["tier"]}"#;
    let map = |value: &Value| serde_json::from_value::<BTreeMap<String, String>>(value.clone()).unwrap();
    let intact = |edit: fn(&mut Value)| {
        let mut has = json!({
            "type": "NodePort",
            "labels": {"tier": "front", "of-others": "b"},
            "annotations": {"example.com/zone": "a", "of-others": "b", "bluegreen.dev/settings": WRITTEN},
            "fields": {"sessionAffinity": "ClientIP", "ipFamilies": ["IPv4", "IPv6"], "internalTrafficPolicy": "Cluster"},
        });
        edit(&mut has);
        let fields = has["fields"].as_object().unwrap();
        let (mut labels, annotations) = (map(&has["labels"]), map(&has["annotations"]));
        labels.extend(services::own_labels(&seen, Role::Active));
        let has = services::Has { type_: has["type"].as_str().unwrap(), labels: &labels, annotations: &annotations, fields };
        services::service_settings_intact(&seen, Role::Active, &has)
    };
    assert!(intact(|_| {}));
    assert!(intact(|has| has["fields"]["internalTrafficPolicy"] = json!("Local")), "nobody asked for it");
    assert!(!intact(|has| has["type"] = json!("ClusterIP")));
    assert!(!intact(|has| has["labels"]["tier"] = json!("back")));
    assert!(!intact(|has| has["annotations"]["example.com/zone"] = json!("b")));
    assert!(!intact(|has| has["fields"]["sessionAffinity"] = json!("None")));
    assert!(!intact(|has| has["fields"]["ipFamilies"] = json!(["IPv6"])));
    assert!(!intact(|has| has["annotations"]["bluegreen.dev/settings"] = json!("{}")), "what is written is to be known");
    const MORE: &str = r#"{"annotations":["example.com/zone"],"fields":["ipFamilies","sessionAffinity"],"labels":["gone","tier"]}"#;
    assert!(!intact(|has| has["annotations"]["bluegreen.dev/settings"] = json!(MORE)), "what it asks for no more is still there");
    let mut named = plain();
    named.ask(|spec| spec.service.preview = serde_json::from_value(json!({"labels": {"app.kubernetes.io/name": "mine"}})).unwrap());
    let (own, none) = (services::own_labels(&named, Role::Preview), BTreeMap::new());
    let has = services::Has { type_: "ClusterIP", labels: &own, annotations: &none, fields: &Map::new() };
    assert!(services::service_settings_intact(&named, Role::Preview, &has), "a label of ours is ours");
    let plain_one = services::Has { type_: "ClusterIP", labels: &own, annotations: &none, fields: &Map::new() };
    assert!(services::service_settings_intact(&plain(), Role::Preview, &plain_one), "an upgrade writes nothing to a plain Service");
}

fn with_fields() -> Observed {
    let mut seen = seen();
    seen.ask(|spec| {
        let active = spec.service.active.as_mut().unwrap();
        (active.session_affinity, active.ip_families) = (Some("ClientIP".into()), Some(vec!["IPv4".into()]));
    });
    seen
}

fn live(seen: &Observed) -> ServiceSeen {
    World::live(json!({}))
        .seen()
        .services
        .remove(&Role::Active)
        .map(|service| ServiceSeen { selector: labels::selector("shop", &target(seen, Color::Green, "old")), ..service })
        .unwrap()
}

#[test]
fn settings_that_spec_asks_for_no_more_are_removed() {
    let seen = with_fields();
    let written = r#"{"annotations":["gone","bluegreen.dev/epoch"],"fields":["trafficDistribution","selector"],"labels":["old","app.kubernetes.io/name"]}"#;
    let service = ServiceSeen { written: written.into(), ..live(&seen) };
    let patch = render::settle(&seen, Role::Active, &service, false);
    let removed =
        |map: &Value| map.as_object().unwrap().iter().filter(|(_, value)| value.is_null()).map(|(key, _)| key.clone()).collect::<Vec<_>>();
    assert_eq!(removed(&patch["metadata"]["labels"]), ["old"]);
    assert_eq!(removed(&patch["metadata"]["annotations"]), ["gone"], "not the operator's own, whoever wrote that");
    assert_eq!(removed(&patch["spec"]), ["trafficDistribution"]);
    assert_yaml_snapshot!("settled_service", patch);
}

#[test]
fn a_deployment_loses_what_spec_asks_for_no_more() {
    let asked = json!({"deployment": {
        "labels": {"team": "a", "app.kubernetes.io/name": "theirs"},
        "annotations": {"page": "x"},
    }});
    let seen = World::live(asked).seen();
    let written = r#"{"annotations":["gone","bluegreen.dev/epoch"],"labels":["old","app.kubernetes.io/name"]}"#;
    let patch = render::settle_deployment(&seen, written);
    let names = json!({"annotations": ["page"], "labels": ["team"]}).to_string();
    let metadata = json!({
        "labels": {"old": null, "team": "a"},
        "annotations": {"gone": null, "page": "x", "bluegreen.dev/settings": names},
    });
    assert_eq!(patch, json!({"metadata": metadata}), "not the operator's own, whoever asks");
    let labels = |entries: &[(&str, &str)]| entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let intact = |team: &str, names: &str| {
        let (has, annotations) =
            (labels(&[("team", team), ("theirs", "stays")]), labels(&[("page", "x"), ("bluegreen.dev/settings", names)]));
        deployments::settings_intact(&seen, &has, &annotations)
    };
    assert_eq!([intact("a", &names), intact("b", &names), intact("a", written)], [true, false, false]);
}

/// Its other owners stay.
#[test]
fn a_service_that_is_adopted_gets_an_owner_more() {
    let seen = plain();
    let other = json!({"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "9"});
    let marked =
        |owner: Owner| render::settle(&seen, Role::Active, &ServiceSeen { owner, other_owners: vec![other.clone()], ..live(&seen) }, true);
    let owners = marked(Owner::Orphan)["metadata"]["ownerReferences"].clone();
    assert_eq!((&owners[0]["uid"], &owners[1]), (&json!("uid"), &other));
    assert_eq!(marked(Owner::Us)["metadata"]["ownerReferences"], Value::Null);
    assert_eq!(marked(Owner::Us)["spec"], Value::Null, "nothing else is in it");
}

#[test]
fn a_service_is_led_by_its_selector_and_ports_alone() {
    let seen = seen();
    let mut service = live(&seen);
    service.selector.insert("tier".into(), "web".into());
    assert_yaml_snapshot!("led_service", render::lead(&seen, Role::Active, &service, &target(&seen, Color::Blue, HASH), Extent::Whole));
}

/// Ports that a Service has, and those that are written: `port name nodePort appProtocol`.
#[test]
fn ports_left_open_stay_as_they_are() {
    let mut seen = plain();
    let ports = |value: Value| serde_json::from_value::<Vec<bluegreen_api::ServicePort>>(value).unwrap();
    let stored = RevisionSeen {
        hash: "old".into(),
        number: 1,
        digest: String::new(),
        image: String::new(),
        ports: ports(json!([{"name": "a", "port": 1, "appProtocol": "h2c"}, {"name": "b", "port": 2}])),
        owner: Owner::Us,
    };
    seen.revisions = vec![stored];
    let written = |are: Value, wanted: Value, extent: Extent| {
        let service = ServiceSeen { ports: ports(are), ..live(&seen) };
        let target = Target { ports: ports(wanted), ..target(&seen, Color::Blue, HASH) };
        let written = services::ports_to_write(&seen, Role::Active, Some(&service), &target, extent);
        let words = |port: &bluegreen_api::ServicePort| {
            let name = port.name.as_deref().unwrap_or("-");
            format!("{} {name} {} {}", port.port, port.node_port.unwrap_or(0), port.app_protocol.as_deref().unwrap_or("-"))
        };
        written.iter().map(words).collect::<Vec<_>>()
    };
    let a =
        |node_port: Option<i32>, protocol: Option<&str>| json!({"name": "a", "port": 1, "nodePort": node_port, "appProtocol": protocol});
    let one = |are: Value, wanted: Value, extent: Extent| written(json!([are]), json!([wanted]), extent);
    assert_eq!(one(a(Some(30001), Some("http")), a(None, None), Extent::Whole), ["1 a 30001 http"], "of the cluster, and of somebody");
    assert_eq!(one(a(None, Some("h2c")), a(None, None), Extent::Whole), ["1 a 0 -"], "the revision that is left asked for it");
    assert_eq!(one(a(Some(30001), None), a(Some(30002), Some("x")), Extent::Whole), ["1 a 30002 x"]);
    assert_eq!(one(a(Some(30001), None), a(Some(30002), None), Extent::Bare), ["1 a 30001 -"], "node ports are denied");
    // Others' ports.
    let mine = a(None, None);
    let other = |name: Option<&str>, port: i32, node_port: Option<i32>| json!({"name": name, "port": port, "nodePort": node_port});
    let beside = |other: Value, extent: Extent| written(json!([mine, other]), json!([mine]), extent);
    assert_eq!(beside(other(Some("debug"), 9, None), Extent::Whole), ["1 a 0 -", "9 debug 0 -"], "it stays");
    assert_eq!(beside(other(Some("debug"), 9, None), Extent::Bare), ["1 a 0 -"]);
    assert_eq!(beside(other(Some("b"), 2, None), Extent::Whole), ["1 a 0 -"], "of an earlier revision");
    assert_eq!(beside(other(Some("a"), 9, None), Extent::Whole), ["1 a 0 -"], "it has the name of ours");
    assert_eq!(beside(other(None, 9, None), Extent::Whole), ["1 a 0 -"], "it has no name");
    let taken = written(json!([mine, other(Some("debug"), 9, Some(30005))]), json!([a(Some(30005), None)]), Extent::Whole);
    assert_eq!(taken, ["1 a 30005 -"], "it has the node port of ours");
}
