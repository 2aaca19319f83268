//! The objects as they are written.

use crate::world::{Ask, World};
use bluegreen_api::{Color, Side};
use bluegreen_engine::{
    Observed,
    decision::{Role, Target},
    observed::{labels, services},
    render,
};
use insta::assert_yaml_snapshot;
use serde_json::{Value, json};
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
    assert_yaml_snapshot!(render::deployment(&seen, Color::Green, 4, &revision["data"]));
}

#[test]
fn a_service_has_the_name_settings_and_ports_of_spec() {
    let seen = seen();
    let target = target(&seen, Color::Blue, HASH);
    assert_yaml_snapshot!("active_service", render::service(&seen, Role::Active, &target));
    assert_yaml_snapshot!("preview_service", render::service(&seen, Role::Preview, &target));
}

/// And named after the rollout.
#[test]
fn a_service_without_settings_is_plain() {
    let seen = plain();
    let target = target(&seen, Color::Blue, HASH);
    assert_yaml_snapshot!("plain_service", render::service(&seen, Role::Active, &target));
    let preview = render::service(&seen, Role::Preview, &target);
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
        let service = render::service(seen, role, &target(seen, color, revision));
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
    let live = render::deployment(&seen, Color::Blue, 3, &render::controller_revision(&seen, HASH, 7)["data"]);
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
    let deployment = render::deployment(&seen, Color::Blue, 3, &render::controller_revision(&seen, HASH, 7)["data"]);
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
    let service = labels(&render::service(&seen, Role::Active, &target(&seen, Color::Blue, HASH)));
    assert!(services::service_labels_intact(&seen, Role::Active, &service));
    for key in service.keys() {
        let mut changed = service.clone();
        changed.insert(key.clone(), "changed".into());
        assert!(!services::service_labels_intact(&seen, Role::Active, &changed), "the Service with another {key}");
    }
}

/// Annotations of others are theirs.
#[test]
fn type_and_annotations_of_a_service_are_those_of_spec() {
    let seen = seen();
    let map = |value: Value| serde_json::from_value::<BTreeMap<String, String>>(value).unwrap();
    let asked = map(json!({"example.com/zone": "a"}));
    let intact =
        |type_: &str, annotations: &BTreeMap<String, String>| services::service_settings_intact(&seen, Role::Active, type_, annotations);
    assert!(intact("NodePort", &asked));
    assert!(intact("NodePort", &map(json!({"example.com/zone": "a", "of-others": "b"}))));
    assert!(!intact("ClusterIP", &asked));
    assert!(!intact("NodePort", &map(json!({"example.com/zone": "b"}))));
    assert!(!intact("NodePort", &BTreeMap::new()));
    assert!(services::service_settings_intact(&plain(), Role::Preview, "ClusterIP", &BTreeMap::new()));
}
