//! Whatever an object holds, its list is read, and the others in it as they are.

use super::*;
use crate::kinds::{Deployment, EndpointSlice, Pod, Revision, Rollout, Service, Template};
use bluegreen_api::{ClusterGateTemplate, GateTemplate};
use kube::core::{ObjectList, WatchEvent};
use proptest::prelude::*;
use serde_json::{Value, json};

fn one(spec: &str) -> String {
    let metadata = r#"{"name":"shop","namespace":"web","uid":"u","resourceVersion":"7","labels":{"bluegreen.dev/rollout":"shop"}}"#;
    format!(r#"{{"metadata":{metadata},{spec}}}"#)
}

/// Objects in a list, and the first of them in an event, as kube's client reads them.
fn list<T: Kind>(objects: &[String]) -> Vec<Arriving<T>> {
    let text = format!(r#"{{"kind":"List","apiVersion":"v1","metadata":{{"resourceVersion":"9"}},"items":[{}]}}"#, objects.join(","));
    let event = format!(r#"{{"type":"ADDED","object":{}}}"#, objects[0]);
    assert!(matches!(serde_json::from_str(&event), Ok(WatchEvent::<Arriving<T>>::Added(_))), "{event}");
    serde_json::from_str::<ObjectList<Arriving<T>>>(&text).unwrap_or_else(|error| panic!("{error}: {text}")).items
}

/// What a client may write there, and a number or a depth that only some parsers take.
fn wire() -> impl Strategy<Value = String> {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just(r#""9999-12-31T23:59:59Z""#.to_owned()),
        Just(r#""10000-01-01T00:00:00Z""#.to_owned()),
        Just(r#""\ud800""#.to_owned()),
        Just("1e999".to_owned()),
        Just("-0".to_owned()),
        Just("99999999999999999999999".to_owned()),
        Just("-9223372036854775809".to_owned()),
        Just("0.5".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        ".{0,20}".prop_map(|text| Value::String(text).to_string()),
        (100..400_usize).prop_map(nested),
        Just(Value::String("x".repeat(300_000)).to_string()),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let names = prop_oneof![
            4 => prop::sample::select(&FIELDS[..]).prop_map(|name| Value::String(name.to_owned()).to_string()),
            1 => ".{0,8}".prop_map(|text| Value::String(text).to_string()),
        ];
        let fields = prop::collection::vec((names, inner.clone()), 0..5);
        let object = fields.prop_map(|fields| {
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name}:{value}")).collect();
            // The same name may come twice.
            format!("{{{}}}", fields.join(","))
        });
        prop_oneof![2 => object, 1 => prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(",")))]
    })
}

/// Fields that are looked at, of all kinds.
const FIELDS: [&str; 40] = [
    "spec",
    "status",
    "template",
    "metadata",
    "labels",
    "annotations",
    "ownerReferences",
    "managedFields",
    "time",
    "fieldsV1",
    "f:spec",
    "creationTimestamp",
    "deletionTimestamp",
    "generation",
    "name",
    "uid",
    "replicas",
    "minReadySeconds",
    "observedGeneration",
    "conditions",
    "type",
    "lastTransitionTime",
    "message",
    "selector",
    "ports",
    "port",
    "targetPort",
    "nodePort",
    "endpoints",
    "targetRef",
    "ready",
    "revision",
    "data",
    "containers",
    "containerPort",
    "containerStatuses",
    "restartCount",
    "state",
    "podIP",
    "phase",
];

/// Metadata as the API server keeps it true, with what clients may write into the rest of it.
fn metadata() -> impl Strategy<Value = String> {
    let free = prop::sample::select(&["managedFields", "ownerReferences", "annotations", "creationTimestamp", "deletionTimestamp"][..]);
    (free, wire()).prop_map(|(name, value)| {
        format!(
            r#"{{"name":"shop","namespace":"web","uid":"u","resourceVersion":"7","labels":{{"bluegreen.dev/rollout":"shop"}},"{name}":{value}}}"#
        )
    })
}

fn taken<T: Kind>(object: &str, sound: &str) -> Result<(), TestCaseError> {
    let items = list::<T>(&[object.to_owned(), one(sound)]);
    let [first, second] = &items[..] else { return Err(TestCaseError::fail("not two")) };
    prop_assert!(second.read.is_ok(), "{:?}", second.read);
    for item in [first, second] {
        let Head { namespace, name, resource_version, rollout, .. } = item.head();
        prop_assert_eq!((&**namespace, &**name, &**resource_version, rollout.as_deref()), ("web", "shop", "7", Some("shop")));
    }
    if let Ok(seen) = &first.read {
        // Nor does any of it make the cache panic.
        let _ = T::haste(Some(&seen.body), None);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Promise 14, for what lists and watches bring.
    #[test]
    fn an_object_never_fails_its_list(metadata in metadata(), spec in wire(), status in wire(), other in wire()) {
        let object = format!(
            r#"{{"metadata":{metadata},"spec":{spec},"status":{status},"endpoints":{other},"data":{other},"revision":{other}}}"#
        );
        let template = r#""spec":{"template":{}}"#;
        taken::<Rollout>(&object, template)?;
        taken::<Deployment>(&object, template)?;
        taken::<Service>(&object, r#""spec":{}"#)?;
        taken::<Pod>(&object, r#""spec":{}"#)?;
        taken::<EndpointSlice>(&object, r#""endpoints":null"#)?;
        taken::<Revision>(&object, r#""data":{}"#)?;
        taken::<Template<GateTemplate>>(&object, r#""spec":{}"#)?;
        taken::<Template<ClusterGateTemplate>>(&object, r#""spec":{}"#)?;
    }

    /// A rollout that the operator can read at all is one that it can decide about or names what is wrong with.
    #[test]
    fn what_a_rollout_holds_makes_no_reader_panic(spec in wire(), status in wire()) {
        let object = one(&format!(r#""spec":{spec},"status":{status}"#));
        for item in list::<Rollout>(&[object]) {
            let body = item.read.unwrap().body;
            let _ = (body.spec(), body.status());
        }
    }
}

fn read<T: Kind>(object: &str) -> Seen<T> {
    list::<T>(&[object.to_owned()]).remove(0).read.unwrap()
}

#[test]
fn a_time_that_nobody_can_count_with_leaves_the_object_readable() {
    for time in ["9999-12-31T23:59:59Z", "10000-01-01T11:59:59Z", "0000-01-01T00:00:00Z", "soon"] {
        let managed = json!([{"manager": "kubectl", "operation": "Update", "time": time, "fieldsV1": {"f:spec": {}}}]);
        let conditions = json!([{"type": "Ready", "status": "True", "lastTransitionTime": time}]);
        let metadata = json!({
            "name": "shop", "creationTimestamp": time, "deletionTimestamp": time, "managedFields": managed,
        });
        let object = json!({"metadata": metadata, "spec": {"template": {}}, "status": {"conditions": conditions}}).to_string();
        assert!(read::<Service>(&object).body.deleting);
        assert_eq!(&*read::<Rollout>(&object).body.by, "kubectl");
        assert!(read::<Deployment>(&object).body.deleting);
        let pod = read::<Pod>(&object).body;
        assert!(pod.ready && (pod.ready_changed.is_none() || time.starts_with('0')), "{time}: {:?}", pod.ready_changed);
    }
}

#[test]
fn a_rollout_nested_150_deep_is_read_and_its_template_named() {
    let deep = format!("{}1{}", r#"{"a":"#.repeat(150), "}".repeat(150));
    let spec =
        format!(r#""spec":{{"replicas":2,"template":{{"spec":{{"containers":[],"x":{deep}}}}},"service":{{"ports":[{{"port":80}}]}}}}"#);
    let body = read::<Rollout>(&one(&spec)).body;
    let spec = body.spec().unwrap();
    assert_eq!(spec.replicas, 2, "what else it asks for is known");
    assert!(bluegreen_api::depth::is_too_deep(&spec.template.0));
}

#[test]
fn an_object_that_cannot_be_read_has_its_name_and_the_cause() {
    let items = list::<Deployment>(&[one(r#""spec":{"replicas":"many","template":{}}"#), one(r#""spec":{"replicas":3,"template":{}}"#)]);
    let Err(Unread { head, why }) = &items[0].read else { panic!("{:?}", items[0].read) };
    assert_eq!((&*head.namespace, &*head.name, head.rollout.as_deref(), head.version()), ("web", "shop", Some("shop"), 7));
    assert!(why.contains("many") && why.len() <= CAUSE, "{why}");
    assert_eq!(items[1].read.as_ref().unwrap().body.replicas, 3);
}
