//! What a color runs beside what a new Deployment of the same template would run: sequences of generated templates, with edits by hand
//! between. `BLUEGREEN_SEQUENCES` says how many, `BLUEGREEN_SEED` repeats the dice.

use bluegreen_api::Phase;
use bluegreen_e2e::{Space, dice::Dice, manifest::named, merged, patience, shop};
use bluegreen_witness::Kind;
use futures::{StreamExt, stream};
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};

/// So many at once: more would wait for the controllers.
const AT_ONCE: usize = 12;
/// Versions of a sequence, each in the place of the one before.
const VERSIONS: u64 = 4;

/// Fields of a pod's spec, and values of each. A null is a key without a value.
fn pod_fields() -> Vec<(&'static str, Value)> {
    vec![
        ("serviceAccount", json!(["old", null])),
        ("serviceAccountName", json!(["robot", ""])),
        ("automountServiceAccountToken", json!([false, true, null])),
        ("terminationGracePeriodSeconds", json!([0, 5])),
        ("dnsPolicy", json!(["Default", "ClusterFirst"])),
        ("dnsConfig", json!([{"options": [{"name": "ndots", "value": "2"}]}, null])),
        ("enableServiceLinks", json!([false, true])),
        ("hostNetwork", json!([true, false])),
        ("hostPID", json!([true])),
        ("hostAliases", json!([[{"ip": "192.0.2.1", "hostnames": ["a"]}], null])),
        ("hostname", json!(["web"])),
        ("subdomain", json!(["pods"])),
        ("setHostnameAsFQDN", json!([true, false])),
        ("shareProcessNamespace", json!([true])),
        ("securityContext", json!([{"runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}}, {}, null])),
        ("nodeSelector", json!([{"kubernetes.io/os": "linux"}, {}, null])),
        ("tolerations", json!([[{"key": "a", "operator": "Exists"}], [], null])),
        (
            "affinity",
            json!([{"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}}}]}}, null]),
        ),
        (
            "topologySpreadConstraints",
            json!([[{
                "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"a": "b"}},
            }]]),
        ),
        ("imagePullSecrets", json!([[{"name": "registry"}], null])),
        ("priorityClassName", json!(["system-cluster-critical"])),
        ("preemptionPolicy", json!(["PreemptLowerPriority"])),
        ("schedulerName", json!(["default-scheduler"])),
        ("restartPolicy", json!(["Always"])),
        ("os", json!([{"name": "linux"}])),
        ("readinessGates", json!([[{"conditionType": "example.com/ready"}]])),
        (
            "volumes",
            json!([[{"name": "tmp"}], [{"name": "tmp", "emptyDir": null}], [{"name": "tmp", "configMap": {"name": "a"}}],
            [{"name": "tmp", "emptyDir": {"sizeLimit": 1_000_000}}], null]),
        ),
        (
            "initContainers",
            json!([[{"name": "first", "image": "first:1"}], [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}], null]),
        ),
    ]
}

fn container_fields() -> Vec<(&'static str, Value)> {
    vec![
        ("command", json!([["serve"], null])),
        ("args", json!([["-v"], []])),
        ("workingDir", json!(["/srv"])),
        (
            "env",
            json!([[{"name": "A", "value": "1"}], [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}], [{"name": "A"}],
            [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}], null]),
        ),
        ("envFrom", json!([[{"configMapRef": {"name": "a", "optional": true}}], null])),
        (
            "ports",
            json!([[{"containerPort": 8080}], [{"name": "http", "containerPort": 8080}, {"name": "admin", "containerPort": 8080}], null]),
        ),
        (
            "resources",
            json!([{"limits": {"cpu": 0.5}}, {"requests": {"cpu": 0.01, "memory": "64Mi"}}, {"limits": {"memory": 100_000_000}}, {}, null]),
        ),
        ("livenessProbe", json!([{"httpGet": {"port": 8080}}, {"tcpSocket": {"port": 8080}, "periodSeconds": 3}])),
        ("startupProbe", json!([{"exec": {"command": ["true"]}, "failureThreshold": 30}])),
        ("readinessProbe", json!([{"grpc": {"port": 8080}}, {"httpGet": {"path": "/ready", "port": 8080, "scheme": "HTTPS"}}])),
        ("lifecycle", json!([{"preStop": {"sleep": {"seconds": 1}}}, {"preStop": {"httpGet": {"port": 8080}}}, null])),
        ("imagePullPolicy", json!(["Always", "IfNotPresent"])),
        ("securityContext", json!([{"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}, {}])),
        ("stdin", json!([true])),
        ("tty", json!([true, false])),
        ("terminationMessagePath", json!(["/tmp/end"])),
        ("terminationMessagePolicy", json!(["FallbackToLogsOnError"])),
        ("resizePolicy", json!([[{"resourceName": "cpu", "restartPolicy": "NotRequired"}]])),
    ]
}

/// What somebody does to the Deployment of a candidate.
fn edits() -> Vec<Value> {
    let spec = |spec: Value| json!({"spec": {"template": {"spec": spec}}});
    vec![
        spec(json!({"serviceAccountName": "intruder", "serviceAccount": "intruder"})),
        spec(json!({"nodeSelector": {"kubernetes.io/arch": "amd64"}})),
        spec(json!({"terminationGracePeriodSeconds": 77, "dnsPolicy": "Default"})),
        spec(json!({"securityContext": {"fsGroup": 7}, "hostAliases": [{"ip": "192.0.2.9", "hostnames": ["b"]}]})),
        spec(json!({"volumes": [{"name": "tmp", "emptyDir": {}}, {"name": "more", "emptyDir": {}}]})),
        json!({"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}, "labels": {"tier": "mine"}}}}}),
        json!({"spec": {"paused": true}}),
    ]
}

/// Each field is there once in four times.
fn some(dice: &Dice, fields: &[(&str, Value)], of: &mut Value) {
    for (name, values) in fields {
        if dice.roll(0..4) == 0 {
            of[*name] = dice.pick(values.as_array().unwrap()).clone();
        }
    }
}

fn template(dice: &Dice, version: u64) -> Value {
    let mut container = json!({"name": "shop", "image": format!("registry.example/shop:{version}")});
    some(dice, &container_fields(), &mut container);
    let mut metadata = json!({});
    some(dice, &[("labels", json!([{"tier": "web"}, {}, null])), ("annotations", json!([{"a": "b"}, {}, null]))], &mut metadata);
    let mut spec = json!({"containers": [container]});
    some(dice, &pod_fields(), &mut spec);
    json!({"metadata": metadata, "spec": spec})
}

/// A template as a new Deployment would have it, or what the API server says against it.
async fn fresh(space: &Space, template: &Value) -> Result<Value, String> {
    let mut template = template.clone();
    if !template["metadata"]["labels"].is_object() {
        template["metadata"]["labels"] = json!({});
    }
    template["metadata"]["labels"]["bluegreen.dev/fresh"] = json!("fresh");
    let object: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "fresh"},
        "spec": {"selector": {"matchLabels": {"bluegreen.dev/fresh": "fresh"}}, "template": template},
    }))
    .unwrap();
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let created = space.api(Kind::Deployment).create(&params, &object).await.map_err(|error| error.to_string())?;
    Ok(bare(&created.data["spec"]["template"]))
}

/// Without what is the operator's.
fn bare(template: &Value) -> Value {
    let mut template = template.clone();
    let metadata = template["metadata"].as_object_mut().unwrap();
    metadata.remove("creationTimestamp");
    if let Some(labels) = metadata.get_mut("labels").and_then(Value::as_object_mut) {
        labels.retain(|key, _| !key.starts_with("bluegreen.dev/") && key != "app.kubernetes.io/version");
    }
    metadata.retain(|_, map| map.as_object().is_none_or(|map| !map.is_empty()));
    template
}

/// The whole template anew, as `kubectl replace` would send it.
async fn ask_for(space: &Space, name: &str, template: &Value) {
    loop {
        let mut rollout = space.api(Kind::Rollout).get(name).await.unwrap();
        rollout.data["spec"]["template"] = template.clone();
        match space.api(Kind::Rollout).replace(name, &PostParams::default(), &rollout).await {
            Ok(_) => return,
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => panic!("a Deployment takes it, and a rollout doesn't: {error}\n{template:#}"),
        }
    }
}

/// Whether a pod of the Deployment was compared with one of the fresh template. Some templates are a Deployment's, and no pod's: their
/// service account is missing.
async fn pod_is_fresh(space: &Space, deployment: &Value, fresh: &Value) -> bool {
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "fresh", "labels": labels}, "spec": fresh["spec"]});
    let object: DynamicObject = serde_json::from_value(object).unwrap();
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let Ok(created) = space.api(Kind::Pod).create(&params, &object).await else { return false };
    let label = |key: &'static str| (key, labels[key].as_str().unwrap());
    let selector = ["bluegreen.dev/rollout", "bluegreen.dev/color", "bluegreen.dev/revision"].map(label);
    let pod = patience::until("a pod of the version is there", async || space.pods(&selector).pop()).await;
    assert_eq!(alike(&pod["spec"]), alike(&created.data["spec"]), "a pod isn't what one of a new Deployment would be");
    true
}

/// Without what differs from pod to pod: its node, and the name of the volume with its token.
fn alike(spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec.as_object_mut().unwrap().remove("nodeName");
    let mut text = spec.to_string();
    while let Some(at) = text.find("kube-api-access-") {
        text.replace_range(at..at + "kube-api-access-12345".len(), "token");
    }
    serde_json::from_str(&text).unwrap()
}

/// What a sequence came to.
#[derive(Debug, Default)]
struct Compared {
    versions: u64,
    /// Of one in ten sequences.
    pods: u64,
    /// Templates that no Deployment takes.
    refused: u64,
}

async fn sequence(space: &Space, seed: u64, number: u64) -> Compared {
    let dice = Dice::new(seed.wrapping_add(number));
    let name = format!("s{number}");
    let plain = json!({
        "image": null, "replicas": 1, "promotion": {"mode": "Manual"}, "progressDeadline": "1h",
        "template": {"spec": {"containers": [{"name": "shop", "image": "registry.example/shop:0"}]}},
        "service": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
    });
    space.rollout(&named(merged(shop(), &plain), &name)).await;
    space.until(Kind::Rollout, &name, "is Healthy", |rollout| rollout["status"]["phase"] == json!(Phase::Healthy)).await;
    let (green, mut compared) = (format!("{name}-green"), Compared::default());
    for version in 1..=VERSIONS {
        let template = template(&dice, version);
        let Ok(fresh) = fresh(space, &template).await else {
            compared.refused += 1;
            continue;
        };
        if compared.versions > 0 && dice.roll(0..2) == 0 {
            // An edit that doesn't go with the template is refused, as a person's would be.
            let _ = space.try_patch(Kind::Deployment, &green, dice.pick(&edits())).await;
        }
        ask_for(space, &name, &template).await;
        let image = json!(format!("registry.example/shop:{version}"));
        let arrived = |deployment: &Value| deployment.pointer("/spec/template/spec/containers/0/image") == Some(&image);
        let deployment = space.until(Kind::Deployment, &green, "takes the next version", arrived).await;
        let stored = bare(&deployment["spec"]["template"]);
        assert_eq!(
            stored, fresh,
            "seed {seed}, sequence {number}, version {version}: it isn't what a new Deployment would run, of\n{template:#}"
        );
        assert!(deployment["spec"]["paused"].is_null(), "it is paused still");
        compared.versions += 1;
        if number.is_multiple_of(10) {
            compared.pods += u64::from(pod_is_fresh(space, &deployment, &fresh).await);
        }
    }
    space.delete(Kind::Rollout, &name).await;
    compared
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_color_runs_what_a_new_deployment_would_run() {
    let given = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let (seed, sequences) = (given("BLUEGREEN_SEED").unwrap_or(1), given("BLUEGREEN_SEQUENCES").unwrap_or(200_u64));
    let space = Space::new("templates-differ").await;
    let operator = space.operator();
    let all = stream::iter(0..sequences).map(|number| sequence(&space, seed, number)).buffer_unordered(AT_ONCE);
    let sum = async |sum: Compared, one: Compared| Compared {
        versions: sum.versions + one.versions,
        pods: sum.pods + one.pods,
        refused: sum.refused + one.refused,
    };
    let Compared { versions, pods, refused } = all.fold(Compared::default(), sum).await;
    println!(
        "covered: {sequences} sequences of templates, {versions} versions compared, with the pods of {pods}, {refused} that no Deployment takes"
    );
    assert!(versions > sequences, "too few templates were valid: {versions} of {}", sequences * VERSIONS);
    assert!(pods * 20 > sequences, "too few pods were compared: {pods}");
    drop(operator);
    // Edits by hand are what it is about.
    space.end_unjudged();
}

fn of_a_deployment(template: &Value) -> Value {
    let mut template = template.clone();
    template["metadata"] = json!({"labels": {"app": "shop"}});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "like-shop"},
        "spec": {"selector": {"matchLabels": {"app": "shop"}}, "template": template},
    })
}

fn of_a_rollout(template: &Value) -> Value {
    let mut manifest = merged(shop(), &json!({"image": null}));
    manifest["spec"]["template"] = template.clone();
    manifest
}

fn pod(container: &Value, spec: &Value) -> Value {
    let mut pod = json!({"spec": spec});
    pod["spec"]["containers"] = json!([{"name": "shop", "image": "registry.example/shop:1"}]);
    for (key, value) in container.as_object().unwrap() {
        pod["spec"]["containers"][0][key] = value.clone();
    }
    pod
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_rollout_takes_what_a_deployment_takes() {
    let space = Space::without_operator("templates-taken").await;
    let taken = [
        pod(&json!({"resources": {"limits": {"cpu": 0.5, "memory": 100_000_000}}}), &json!({})),
        pod(&json!({"env": null, "resources": null}), &json!({"nodeSelector": null, "volumes": null})),
        pod(&json!({}), &json!({"serviceAccount": "robot"})),
        pod(&json!({"ports": [{"name": "a", "containerPort": 80}]}), &json!({"volumes": [{"name": "a", "emptyDir": null}]})),
    ];
    for template in &taken {
        for verb in [&["create"][..], &["apply"], &["apply", "--server-side"]] {
            let args = [&["--namespace", space.name.as_str()][..], verb, &["--dry-run=server", "-f", "-"]].concat();
            for manifest in [of_a_deployment(template), of_a_rollout(template)] {
                let told = space.ground.told_of(&args, &manifest);
                assert!(told.success, "{verb:?}: {}\n{manifest:#}", told.error);
            }
        }
    }
    space.end().await;
}

/// At the earliest place: by the schema what it knows, and by the condition what only the Deployment knows.
#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_rollout_refuses_what_a_deployment_refuses() {
    let space = Space::new("templates-refused").await;
    let _operator = space.operator();
    let at_once = [
        (of_a_rollout(&pod(&json!({}), &json!({"terminationGracePeriodSeconds": "5s"}))), "terminationGracePeriodSeconds"),
        (merged(shop(), &json!({"service": {"ports": [{"port": 80, "targetPort": "8080"}]}})), "must contain at least one letter (a-z)"),
    ];
    for (manifest, words) in &at_once {
        let told = space.try_rollout(manifest).await.err().unwrap_or_else(|| panic!("it was taken: {manifest:#}"));
        assert!(told.contains(words), "{told}");
    }
    let later = [
        ("number", pod(&json!({"env": [{"name": "A", "value": 1}]}), &json!({})), "env.value"),
        ("unknown", pod(&json!({"imagePullPolice": "Always"}), &json!({})), "imagePullPolice"),
        ("port", pod(&json!({"ports": [{"containerPort": 0}]}), &json!({})), "containerPort"),
        ("mount", pod(&json!({"volumeMounts": [{"name": "a", "mountPath": "/a"}]}), &json!({})), "volumeMounts"),
    ];
    for (name, template, words) in later {
        assert!(fresh(&space, &template).await.is_err() || name == "unknown", "a Deployment takes it: {template:#}");
        space.rollout(&named(of_a_rollout(&template), name)).await;
        let says = |rollout: &Value| rollout["status"]["message"].as_str().is_some_and(|message| message.contains(words));
        space.until(Kind::Rollout, name, &format!("says {words}"), says).await;
    }
    space.end().await;
}
