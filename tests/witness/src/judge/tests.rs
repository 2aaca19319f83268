//! Stories in which a promise is broken, and the same ones in which it is kept.

use super::*;
use crate::{KnownUpTo, MARK, MARK_DELETED};
use serde_json::json;

const DRAIN: &str = "1s";

/// Objects of one rollout, `shop`, as they change.
#[derive(Clone)]
struct Story {
    events: Vec<Event>,
    spec: Value,
    generation: i64,
    now: Timestamp,
}

impl Story {
    fn begin() -> Self {
        let spec = json!({"replicas": 2, "scaleDown": {"drain": DRAIN, "after": DRAIN}});
        Self { events: vec![], spec, generation: 1, now: "2026-01-01T00:00:00Z".parse().unwrap() }
    }

    fn add(mut self, kind: Kind, name: &str, mut object: Value) -> Self {
        let version = self.events.len() as u64 + 1;
        object["metadata"]["name"] = name.into();
        self.events.push(Event { kind, name: name.into(), version, deleted: false, object: Arc::new(object), seen: self.now, known: None });
        self
    }

    /// The latest version of an object, changed.
    fn edit(self, kind: Kind, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let latest = self.events.iter().rev().find(|event| event.kind == kind && event.name == name).unwrap();
        let mut object = Value::clone(&latest.object);
        change(&mut object);
        self.add(kind, name, object)
    }

    fn delete(mut self, kind: Kind, name: &str) -> Self {
        self = self.edit(kind, name, |_| {});
        self.events.last_mut().unwrap().deleted = true;
        self
    }

    fn later(mut self, seconds: i64) -> Self {
        self.now += SignedDuration::from_secs(seconds);
        self
    }

    fn spec(mut self, spec: &Value) -> Self {
        for (key, value) in spec.as_object().unwrap() {
            self.spec[key] = value.clone();
        }
        self.generation += 1;
        self
    }

    fn status(self, phase: &str, mut status: Value) -> Self {
        status["phase"] = phase.into();
        status["observedGeneration"] = self.generation.into();
        let (spec, generation) = (self.spec.clone(), self.generation);
        let metadata = json!({"uid": "of-shop", "generation": generation});
        self.add(Kind::Rollout, "shop", json!({"metadata": metadata, "spec": spec, "status": status}))
    }

    fn service(self, color: &str, revision: &str) -> Self {
        let selector = json!({ROLLOUT: "shop", COLOR: color, REVISION: revision});
        self.add(Kind::Service, "shop", json!({"metadata": ours(), "spec": {"selector": selector, "ports": [{"port": 80}]}}))
    }

    fn deployment(self, color: &str, revision: &str, replicas: i64) -> Self {
        let template = json!({"metadata": {"labels": {REVISION: revision}}, "spec": {"image": revision}});
        self.add(
            Kind::Deployment,
            &format!("shop-{color}"),
            json!({"metadata": ours(), "spec": {"replicas": replicas, "template": template}}),
        )
    }

    fn pods(mut self, color: &str, revision: &str, count: usize, ready: bool) -> Self {
        for number in 0..count {
            let labels = json!({ROLLOUT: "shop", COLOR: color, REVISION: revision});
            let status = json!({"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]});
            self = self.add(Kind::Pod, &format!("shop-{revision}-{number}"), json!({"metadata": {"labels": labels}, "status": status}));
        }
        self
    }

    /// `one` serves from blue.
    fn healthy() -> Self {
        Self::begin()
            .status("Initializing", json!({"active": side("blue", "one")}))
            .service("blue", "one")
            .deployment("blue", "one", 2)
            .pods("blue", "one", 2, true)
            .status("Healthy", json!({"active": side("blue", "one")}))
    }

    /// `two` is in green at full size, ready to be switched to.
    fn verified() -> Self {
        Self::healthy()
            .spec(&json!({"image": "two"}))
            .status("DeployingPreview", json!({"active": side("blue", "one"), "preview": side("green", "two")}))
            .deployment("green", "two", 2)
            .pods("green", "two", 2, true)
    }

    fn promoting(self, more: Value) -> Self {
        let mut status = json!({"active": side("blue", "one"), "preview": side("green", "two"), "current": {"revision": "two"}});
        for (key, value) in more.as_object().unwrap() {
            status[key] = value.clone();
        }
        self.status("Promoting", status)
    }

    fn after_the_switch(self, phase: &str) -> Self {
        let since = self.now.to_string();
        self.status(phase, json!({"active": side("green", "two"), "standby": side("blue", "one"), "clock": {"since": since}}))
    }

    /// `two` serves from green, `one` stands by in blue.
    fn promoted(phase: &str) -> Self {
        Self::verified().promoting(json!({})).service("green", "two").after_the_switch(phase)
    }

    #[track_caller]
    fn breaks(self, promise: u8, word: &str) {
        let broken = judge(&self.events, &[]);
        assert!(broken.iter().any(|what| what.starts_with(&format!("promise {promise}:")) && what.contains(word)), "{broken:#?}");
    }

    #[track_caller]
    fn keeps(self) {
        let broken = judge(&self.events, &[]);
        assert!(broken.is_empty(), "{broken:#?}");
    }
}

fn ours() -> Value {
    json!({"ownerReferences": [{"uid": "of-shop"}], "labels": {ROLLOUT: "shop"}})
}

fn side(color: &str, revision: &str) -> Value {
    json!({"color": color, "revision": revision, "replicas": 2, "ports": [{"port": 80}]})
}

fn marked(object: &mut Value) {
    object["metadata"]["annotations"][MARK] = json!("1");
}

const SHOP: (Kind, &str) = (Kind::Service, "shop");
const BLUE: (Kind, &str) = (Kind::Deployment, "shop-blue");

#[test]
fn a_promotion_and_a_scale_down_keep_every_promise() {
    Story::promoted("ScalingDown").later(2).deployment("blue", "one", 0).keeps();
}

#[test]
fn events_that_come_out_of_order_are_put_into_it() {
    let mut story = Story::promoted("Monitoring");
    story.events.reverse();
    story.keeps();
}

#[test]
fn what_nobody_saw_in_full_is_not_judged() {
    let story = Story::verified().service("green", "two");
    let moved = story.events.len() as u64;
    assert_eq!(judge(&story.events, std::slice::from_ref(&(moved..moved + 1))), Vec::<String>::new());
    assert_ne!(judge(&story.events, std::slice::from_ref(&(moved + 1..moved + 2))), Vec::<String>::new());
}

#[test]
fn the_active_service_moves_only_where_a_recorded_decision_says() {
    Story::verified().service("green", "two").breaks(1, "no recorded decision");
    Story::promoted("Monitoring").service("blue", "one").breaks(1, "no recorded decision");
    Story::verified().edit(SHOP.0, SHOP.1, |service| service["spec"]["selector"] = json!({})).breaks(1, "lost its selector");
    Story::verified().delete(SHOP.0, SHOP.1).breaks(1, "deleted");
}

#[test]
fn a_promotion_needs_all_pods_and_the_ports_of_its_revision() {
    let without = |count| {
        let story = Story::healthy().deployment("green", "two", 2).pods("green", "two", count, true);
        story.promoting(json!({})).service("green", "two")
    };
    without(1).breaks(1, "1 ready pods that have its ports, where 2 were needed");
    without(2).keeps();
    let ports = |service: &mut Value| service["spec"]["ports"] = json!([{"port": 81}]);
    Story::promoted("Monitoring").edit(SHOP.0, SHOP.1, ports).breaks(1, "ports");
}

/// A switch by a Service that targets a port by its name, to pods with this `spec`.
fn switched_by_name(spec: &Value) -> Story {
    let ports = json!([{"port": 80, "targetPort": "http"}]);
    let mut two = side("green", "two");
    two["ports"] = ports.clone();
    let mut story = Story::verified();
    for number in 0..2 {
        story = story.edit(Kind::Pod, &format!("shop-two-{number}"), |pod| pod["spec"] = spec.clone());
    }
    story.promoting(json!({"preview": two})).edit(SHOP.0, SHOP.1, |service| {
        service["spec"]["selector"] = json!({ROLLOUT: "shop", COLOR: "green", REVISION: "two"});
        service["spec"]["ports"] = ports;
    })
}

#[test]
fn a_switch_needs_pods_with_the_named_port() {
    let container = |port: Value| json!({"containers": [{"name": "shop", "ports": [port]}]});
    let sidecar = |policy: &str| json!({"initContainers": [{"restartPolicy": policy, "ports": [{"name": "http", "containerPort": 8080}]}]});
    let judged = |spec: Value| switched_by_name(&spec);
    judged(container(json!({"name": "http", "containerPort": 8080}))).keeps();
    judged(sidecar("Always")).keeps();
    let none = "0 ready pods that have its ports";
    judged(container(json!({"name": "web", "containerPort": 8080}))).breaks(1, none);
    judged(container(json!({"name": "http", "containerPort": 8080, "protocol": "UDP"}))).breaks(1, none);
    judged(sidecar("Never")).breaks(1, none);
    judged(json!({})).breaks(1, none);
}

#[test]
fn a_roll_back_needs_as_many_pods_as_are_left_or_an_order() {
    let back = |left, standing_by, ordered| rolling_back(left, standing_by, &json!({"ordered": ordered})).service("blue", "one");
    back(2, 1, false).breaks(1, "1 ready pods that have its ports, where 2 were needed");
    back(2, 1, true).keeps();
    back(1, 1, false).keeps();
    back(0, 0, true).breaks(1, "0 ready pods");
}

/// Users are on their way back to blue, of which so many pods are ready beside those of green.
fn rolling_back(left: usize, standing_by: usize, ending: &Value) -> Story {
    let story = Story::promoted("Monitoring").pods("green", "two", 2, false).pods("green", "two", left, true);
    let story = story.pods("blue", "one", 2, false).pods("blue", "one", standing_by, true);
    story.status("RollingBack", json!({"active": side("green", "two"), "standby": side("blue", "one"), "ending": ending}))
}

#[test]
fn a_side_deployed_again_is_complete_before_it_takes_over() {
    let back = |left, standing_by| rolling_back(left, standing_by, &json!({"slow": true, "ordered": true})).service("blue", "one");
    back(1, 1).breaks(1, "1 ready pods that have its ports, where 2 were needed");
    back(1, 2).keeps();
    back(0, 1).keeps();
}

#[test]
fn a_way_back_that_somebody_undid_needs_its_pods_again() {
    let back = rolling_back(0, 2, &json!({})).service("blue", "one");
    let undone = back.edit(SHOP.0, SHOP.1, |service| {
        marked(service);
        service["spec"]["selector"] = json!({});
    });
    let again = |story: Story| {
        let selector = json!({ROLLOUT: "shop", COLOR: "blue", REVISION: "one"});
        story.edit(SHOP.0, SHOP.1, |service| service["spec"]["selector"] = selector)
    };
    again(undone.clone()).keeps();
    again(undone.pods("blue", "one", 2, false)).breaks(1, "0 ready pods");
}

#[test]
fn what_a_test_does_is_no_breach_and_its_repair_neither() {
    let stripped = Story::healthy().edit(SHOP.0, SHOP.1, |service| {
        marked(service);
        service["spec"]["selector"] = json!({});
    });
    stripped.clone().keeps();
    stripped.service("blue", "one").keeps();
    let scaled = Story::healthy().edit(BLUE.0, BLUE.1, |deployment| {
        marked(deployment);
        deployment["spec"]["replicas"] = json!(0);
    });
    scaled.keeps();
}

#[test]
fn protected_sides_are_not_scaled_below_what_replicas_asks() {
    Story::verified().deployment("blue", "one", 1).breaks(2, "from 2 to 1");
    Story::promoted("Monitoring").deployment("blue", "one", 0).breaks(2, "from 2 to 0");
    Story::promoted("Monitoring").deployment("green", "two", 1).breaks(2, "from 2 to 1");
    let smaller = Story::healthy().spec(&json!({"replicas": 1})).status("Healthy", json!({"active": side("blue", "one")}));
    smaller.deployment("blue", "one", 1).keeps();
    // Even if the status said otherwise: what the active Service leads to is protected.
    Story::healthy().status("Healthy", json!({"active": side("green", "two")})).deployment("blue", "one", 0).breaks(2, "from 2 to 0");
}

#[test]
fn the_standby_keeps_its_size_while_the_new_version_is_watched() {
    let fewer = Story::promoted("Monitoring").spec(&json!({"replicas": 1})).after_the_switch("Monitoring");
    fewer.deployment("blue", "one", 1).breaks(2, "the standby shrank");
}

#[test]
fn the_former_side_goes_after_its_drain_while_another_serves() {
    Story::promoted("ScalingDown").deployment("blue", "one", 0).breaks(12, "drained");
    Story::promoted("ScalingDown").later(1).deployment("blue", "one", 0).breaks(2, "before its time");
    let stays = Story::promoted("Monitoring").spec(&json!({"scaleDown": {"after": "Never"}})).after_the_switch("ScalingDown");
    stays.later(3600).deployment("blue", "one", 0).breaks(2, "before its time");
    let grown = |phase: &str| Story::promoted(phase).edit(BLUE.0, BLUE.1, |blue| blue["spec"]["replicas"] = json!(4));
    for phase in ["Monitoring", "ScalingDown"] {
        grown(phase).deployment("blue", "one", 2).keeps();
    }
    grown("ScalingDown").deployment("blue", "one", 1).breaks(12, "drained");
    let broken = Story::promoted("ScalingDown").later(2).pods("green", "two", 2, false);
    broken.deployment("blue", "one", 0).breaks(2, "way back");
}

#[test]
fn what_an_operator_learns_late_it_may_not_know_yet() {
    let broken = |seconds: i64| {
        let unready = Story::promoted("ScalingDown").later(2).pods("green", "two", 2, false);
        let story = unready.later(seconds).deployment("blue", "one", 0);
        let mut world = World { lag: SignedDuration::from_secs(5), ..World::default() };
        world.see_in_order(story.events.iter());
        world.broken
    };
    assert_eq!(broken(4), [""; 0]);
    assert!(broken(6)[0].contains("way back"), "{:?}", broken(6));
}

#[test]
fn protected_sides_keep_their_template() {
    Story::promoted("Monitoring").deployment("green", "three", 2).breaks(2, "another pod template");
    Story::promoted("Monitoring").deployment("blue", "three", 2).breaks(2, "another pod template");
    Story::promoted("ScalingDown").later(1).deployment("blue", "three", 2).breaks(2, "another pod template");
    Story::verified().deployment("green", "three", 2).keeps();
    Story::begin()
        .status("Initializing", json!({"active": side("blue", "one")}))
        .service("blue", "one")
        .deployment("blue", "one", 2)
        .status("Initializing", json!({"active": side("blue", "two")}))
        .deployment("blue", "two", 2)
        .keeps();
}

/// An orphan is led by its bare selector first, and gets its owner with the next write.
#[test]
fn an_orphan_leads_where_it_was_led_before_it_was_owned() {
    let orphan = Story::verified().edit(SHOP.0, SHOP.1, |service| {
        marked(service);
        service["metadata"]["ownerReferences"] = json!(null);
        service["spec"]["selector"] = json!({});
    });
    let lost = orphan.edit(Kind::Rollout, "shop", |rollout| rollout["status"] = json!({"observedGeneration": -1}));
    let selector = json!({ROLLOUT: "shop", COLOR: "green", REVISION: "two"});
    let rebuilt = lost.status("Healthy", json!({"active": side("green", "two")}));
    let led = rebuilt.edit(SHOP.0, SHOP.1, |service| service["spec"]["selector"] = selector);
    let owned = led.edit(SHOP.0, SHOP.1, |service| service["metadata"]["ownerReferences"] = ours()["ownerReferences"].clone());
    owned.deployment("blue", "three", 2).keeps();
}

#[test]
fn a_first_revision_that_users_reach_is_not_replaced() {
    let first = |ready| {
        let story = Story::begin().status("Initializing", json!({"active": side("blue", "one")}));
        story.service("blue", "one").deployment("blue", "one", 2).pods("blue", "one", 2, ready)
    };
    let replaced = |story: Story| story.spec(&json!({"image": "two"})).status("Initializing", json!({"active": side("blue", "two")}));
    replaced(first(false)).deployment("blue", "two", 2).keeps();
    replaced(first(false)).pods("blue", "one", 2, true).deployment("blue", "two", 2).keeps();
    replaced(first(true)).breaks(2, "replaced in its color");
    first(true).deployment("blue", "two", 2).breaks(2, "another pod template");
}

#[test]
fn a_standby_may_take_the_place_of_a_rejected_candidate() {
    let back = json!({"active": side("green", "two"), "standby": side("blue", "one"), "ending": {"slow": true}});
    let aborted = Story::promoted("Healthy").status("Healthy", json!({"active": side("green", "two")})).deployment("blue", "three", 0);
    let deleted = aborted.clone().edit(BLUE.0, BLUE.1, |deployment| deployment["metadata"]["annotations"][MARK_DELETED] = json!("true"));
    deleted.delete(BLUE.0, BLUE.1).status("RollingBack", back.clone()).deployment("blue", "one", 2).keeps();
    let again = aborted.status("RollingBack", back).deployment("blue", "one", 2);
    again.clone().keeps();
    again.deployment("blue", "three", 2).breaks(2, "another pod template");
}

#[test]
fn a_deployment_that_was_deleted_comes_back_as_it_was() {
    let gone = Story::healthy().edit(BLUE.0, BLUE.1, |deployment| deployment["metadata"]["annotations"][MARK_DELETED] = json!("true"));
    let gone = gone.delete(BLUE.0, BLUE.1);
    gone.clone().deployment("blue", "one", 2).keeps();
    gone.deployment("blue", "three", 2).breaks(2, "another pod template");
    Story::healthy().delete(BLUE.0, BLUE.1).breaks(2, "a Deployment was deleted");
}

#[test]
fn a_template_the_test_edited_is_put_right_at_any_time() {
    let edited = Story::healthy().edit(BLUE.0, BLUE.1, |deployment| {
        marked(deployment);
        deployment["spec"]["template"]["spec"]["image"] = json!("evil");
    });
    let put_right =
        |story: Story, image: &str| story.edit(BLUE.0, BLUE.1, |deployment| deployment["spec"]["template"]["spec"]["image"] = json!(image));
    let told = edited.edit(BLUE.0, BLUE.1, |deployment| deployment["status"] = json!({"replicas": 2}));
    put_right(told.clone(), "one").keeps();
    put_right(told, "another").breaks(2, "another pod template");
}

#[test]
fn a_deployment_owes_nothing_to_a_former_rollout() {
    /// What was added last is another rollout's.
    fn of_another(mut story: Story, path: &str) -> Story {
        let event = story.events.last_mut().unwrap();
        *Arc::make_mut(&mut event.object).pointer_mut(path).unwrap() = json!("of-another");
        story
    }
    let mut story = Story::healthy().delete(Kind::Rollout, "shop");
    story.generation = 1;
    let story = of_another(story.status("Initializing", json!({"active": side("blue", "two")})), "/metadata/uid");
    let story = story.delete(BLUE.0, BLUE.1).deployment("blue", "two", 2);
    of_another(story, "/metadata/ownerReferences/0/uid").keeps();
}

#[test]
fn the_switch_is_decided_only_with_every_gate_passed() {
    let metrics = json!({"verification": {"metrics": [{"name": "errors"}]}});
    let gate = |state: &str| json!({"gates": [{"name": "verification/errors", "state": state}]});
    let with = |gates: Value| Story::verified().spec(&metrics).status("Verifying", json!({"active": side("blue", "one")})).promoting(gates);
    with(gate("Passed")).keeps();
    for state in ["Running", "Failed", "Inconclusive"] {
        with(gate(state)).breaks(3, "errors");
    }
    with(json!({})).breaks(3, "missing");
    let decided = json!({"gates": [{"name": "verification/errors", "state": "Inconclusive"}, {"name": "approval", "state": "Passed"}]});
    with(decided).keeps();
    let soft = |state: &str| {
        let metrics = json!({"verification": {"score": {"min": "50%"}, "metrics": [{"name": "errors", "weight": 1}]}});
        let gates =
            json!([{"name": "verification/errors", "weight": 1, "state": "Failed"}, {"name": "verification/score", "state": state}]);
        Story::verified().spec(&metrics).status("Verifying", json!({"active": side("blue", "one")})).promoting(json!({"gates": gates}))
    };
    soft("Passed").keeps();
    soft("Failed").breaks(3, "score");
    let manual = |gates: Value| Story::verified().spec(&json!({"promotion": {"mode": "Manual"}})).promoting(gates);
    manual(json!({})).breaks(3, "without the approval");
    manual(json!({"gates": [{"name": "approval", "state": "Passed"}]})).keeps();
    Story::verified().spec(&json!({"paused": true})).promoting(json!({})).breaks(3, "paused");
    Story::verified().promoting(json!({"current": {"revision": "three"}})).breaks(3, "not the one of the attempt");
}

#[test]
fn the_active_side_changes_only_by_a_switch() {
    Story::verified().status("Healthy", json!({"active": side("green", "two")})).breaks(1, "without a switch");
}

#[test]
fn a_rebuilt_status_says_what_the_active_service_says() {
    let lost = Story::promoted("Monitoring").edit(Kind::Rollout, "shop", |rollout| rollout["status"] = json!({"observedGeneration": -1}));
    lost.clone().after_the_switch("Monitoring").keeps();
    lost.status("Healthy", json!({"active": side("blue", "one")})).breaks(4, "rebuilt");
}

#[test]
fn a_rebuilt_status_names_what_the_active_service_names() {
    let gone = |story: Story| {
        let gone = story.edit(BLUE.0, BLUE.1, |deployment| deployment["metadata"]["annotations"][MARK_DELETED] = json!("true"));
        gone.delete(BLUE.0, BLUE.1).edit(Kind::Rollout, "shop", |rollout| rollout["status"] = json!({"observedGeneration": -1}))
    };
    let other = |story: Story| gone(story).status("Healthy", json!({"active": side("green", "two")}));
    let stored = |story: Story| story.add(Kind::Revision, "shop-one", json!({"metadata": ours()}));
    other(stored(Story::verified())).breaks(4, "rebuilt");
    gone(stored(Story::verified())).status("Healthy", json!({"active": side("blue", "one")})).keeps();
    // Lost with the status: the Deployment and the revision that it ran.
    other(Story::verified()).keeps();
}

#[test]
fn a_decision_was_made_though_its_status_is_lost_since() {
    let lost = |story: Story| story.edit(Kind::Rollout, "shop", |rollout| rollout["status"] = json!({"observedGeneration": -1}));
    let stripped = lost(Story::verified()).edit(SHOP.0, SHOP.1, |service| {
        marked(service);
        service["spec"]["selector"] = json!({});
    });
    let led = |color: &str, revision: &str| {
        let selector = json!({ROLLOUT: "shop", COLOR: color, REVISION: revision});
        stripped.clone().edit(SHOP.0, SHOP.1, |service| service["spec"]["selector"] = selector)
    };
    led("blue", "one").keeps();
    led("green", "two").breaks(1, "no recorded decision");
}

#[test]
fn a_write_that_leaves_the_selector_as_it_is_leads_nowhere() {
    let stripped = Story::verified().edit(SHOP.0, SHOP.1, |service| {
        marked(service);
        service["spec"]["selector"] = json!({});
    });
    let fence = |service: &mut Value| service["metadata"]["annotations"]["bluegreen.dev/epoch"] = json!("1.1");
    stripped.edit(SHOP.0, SHOP.1, fence).keeps();
}

/// A switch, the pods of which end just before it. `told`: up to so many versions before the switch.
fn switched_after_its_pods_ended(known: Option<(u64, u64)>) -> Story {
    let count = |story: Story, available: i64| {
        story.edit(Kind::Deployment, "shop-green", |deployment| {
            deployment["status"] = json!({"availableReplicas": available, "observedGeneration": null});
        })
    };
    let mut story = count(count(Story::verified(), 2).promoting(json!({})).pods("green", "two", 1, false), 1).service("green", "two");
    let switch = story.events.last_mut().unwrap();
    let before = |versions: u64| switch.version - versions;
    switch.known = known.map(|(pods, deployments)| KnownUpTo { pods: before(pods), deployments: before(deployments) });
    story
}

#[test]
fn a_switch_is_judged_by_what_its_writer_knew_of_the_pods() {
    switched_after_its_pods_ended(None).breaks(1, "1 ready pods");
    switched_after_its_pods_ended(Some((1, 1))).breaks(1, "1 ready pods");
    // What a Deployment reports may be from before: that its watch was late excuses nothing.
    switched_after_its_pods_ended(Some((1, 2))).breaks(1, "1 ready pods");
    // The watch of pods was late.
    switched_after_its_pods_ended(Some((3, 1))).keeps();
}

#[test]
fn what_belongs_to_others_is_left_alone() {
    let theirs = Story::begin().add(SHOP.0, SHOP.1, json!({"metadata": {}, "spec": {"selector": {"app": "theirs"}}}));
    let written = json!([{"manager": "bluegreen"}]);
    theirs.clone().edit(SHOP.0, SHOP.1, |service| service["metadata"]["managedFields"] = written.clone()).breaks(6, "somebody else");
    theirs.edit(SHOP.0, SHOP.1, |service| service["spec"]["selector"] = json!({"app": "other"})).keeps();
    let spec_written = |rollout: &mut Value| rollout["metadata"]["managedFields"] = json!([{"manager": "bluegreen"}]);
    Story::healthy().edit(Kind::Rollout, "shop", spec_written).breaks(6, "other than the status");
}

#[test]
fn conditions_are_what_kstatus_reads() {
    let with = |conditions: &[(&str, &str)], observed: i64| {
        let conditions: Vec<_> =
            conditions.iter().map(|(type_, status)| json!({"type": type_, "status": status, "observedGeneration": observed})).collect();
        Story::begin().status("Healthy", json!({"conditions": conditions}))
    };
    with(&[("Ready", "True")], 1).keeps();
    with(&[("Promoted", "True")], 1).breaks(11, "Ready is missing");
    with(&[("Ready", "False"), ("Reconciling", "True"), ("Stalled", "True")], 1).breaks(11, "both there");
    with(&[("Ready", "False"), ("Stalled", "False")], 1).breaks(11, "without being True");
    with(&[("Ready", "True")], 0).breaks(11, "one record");
}

#[test]
fn a_stored_revision_holds_what_its_name_says() {
    let stored = |named: &str, held: &str| {
        let data = json!({"spec": {"template": {"metadata": {"labels": {REVISION: held}}}}});
        let labels = json!({ROLLOUT: "shop", REVISION: named});
        Story::healthy().add(Kind::Revision, &format!("shop-{named}"), json!({"metadata": {"labels": labels}, "data": data}))
    };
    stored("two", "two").keeps();
    stored("two", "one").breaks(8, "holds revision");
}
