//! What other rollouts feel of objects that are made to cost a lot, or to be read by nobody.

use std::io::Write;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use bluegreen_cluster::{Cluster, OPERATOR, Signal};
use serde_json::{Value, json};

use super::figures::{memory, quantile};
use super::load;
use super::run::Run;

/// The namespace of those who write such objects.
const HOSTILE: &str = "hostile";

/// Updates all rollouts so many times without the objects, beside them, and beside them once the operator was started anew.
pub(super) fn measure(run: &mut Run<'_>, rounds: usize) -> Result<()> {
    run.deploy()?;
    let mut lines = vec![promotions(run, "without", rounds)?];
    load::kubectl(&run.cluster, &["create", "namespace", HOSTILE])?;
    let refused = write_all(&run.cluster)?;
    lines.push(promotions(run, "beside them", rounds)?);
    run.end(OPERATOR, Signal::KILL)?;
    run.cluster.start_process(OPERATOR)?;
    lines.push(promotions(run, "after a restart", rounds)?);
    println!("\nThe API server took none of these: {}", refused.join("; "));
    println!("\npreview available → active Service switched, of {} rollouts updated at once {rounds} times:", run.rollouts);
    lines.iter().for_each(|line| println!("  {line}"));
    Ok(())
}

fn promotions(run: &mut Run<'_>, when: &str, rounds: usize) -> Result<String> {
    let all: Vec<_> = (0..run.rollouts).collect();
    run.observer.forget_switches();
    for round in 1..=rounds {
        let image = run.next_image();
        load::patch_all(&run.cluster, &all, &image)?;
        run.until_settled(&all, &image)?;
        eprintln!("  {when}: {round} of {rounds}");
    }
    let mut switches: Vec<_> = run.observer.seen.rollouts.values().flat_map(|watched| watched.switches.iter().copied()).collect();
    switches.sort_unstable();
    ensure!(switches.len() == run.rollouts * rounds, "{} switches were seen of {}", switches.len(), run.rollouts * rounds);
    let at = |share| quantile(&switches, share);
    let (now, most) = memory(run.pid()?)?;
    Ok(format!(
        "{when:<16} p50 {:>7.1} ms, p99 {:>7.1} ms, at most {:>7.1} ms; resident memory {now:.1} MiB, at most {most:.1} MiB",
        at(0.5),
        at(0.99),
        at(1.0)
    ))
}

/// Writes the objects, and returns the names of those that the API server refuses.
fn write_all(cluster: &Cluster) -> Result<Vec<String>> {
    let mut refused = Vec::new();
    for (what, object) in objects() {
        let mut kubectl = cluster.kubectl(["create", "--namespace", HOSTILE, "--filename", "-"]);
        let mut child =
            kubectl.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().context("cannot start kubectl")?;
        child.stdin.take().context("kubectl has no input")?.write_all(object.to_string().as_bytes())?;
        if !child.wait_with_output()?.status.success() {
            refused.push(what.to_owned());
        }
    }
    let year = json!([{"op": "replace", "path": "/metadata/managedFields/0/time", "value": "9999-12-31T23:59:59Z"}]).to_string();
    load::kubectl(cluster, &["patch", "service", "late", "--namespace", HOSTILE, "--type=json", "--patch", &year])?;
    Ok(refused)
}

/// Each has stopped or slowed all rollouts of a cluster once.
fn objects() -> Vec<(&'static str, Value)> {
    let rollout = |name: &str, more: &Value| {
        let mut object: Value = json!({
            "apiVersion": "bluegreen.dev/v1alpha1",
            "kind": "BlueGreenRollout",
            "metadata": {"name": name},
            "spec": {
                "image": "registry.example/shop:1.0.0",
                "template": {"spec": {"containers": [{"name": "shop", "ports": [{"name": "http", "containerPort": 8080}]}]}},
                "service": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
            },
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            object["spec"][field] = value.clone();
        }
        object
    };
    let nested = (0..150).fold(json!(1), |inner, _| json!({"a": inner}));
    let mut deep = rollout("deep", &json!({}));
    deep["spec"]["template"]["spec"]["x"] = nested.clone();
    let metadata = |name: &str| json!({"name": name, "labels": {"bluegreen.dev/rollout": "shop"}});
    // Nobody allows that address: it is not asked.
    let checked = |path: &str| {
        let check = json!({"name": "home", "http": {"url": "http://192.0.2.1/", "interval": "0s", "expectedBody": {"jsonPath": path, "equals": "1"}}});
        json!({"verification": {"initial": true, "checks": [check]}})
    };
    vec![
        ("a filter in a filter, 45 deep", rollout("nested", &checked(&format!("${}", "[?@".repeat(45))))),
        ("a check every 0 s", rollout("eager-1", &checked("$.a[?@.b == 1]"))),
        ("another check every 0 s", rollout("eager-2", &checked("$..a[?length(@) > 1 && count(@.*) > 1]"))),
        ("a template 150 levels deep", deep),
        ("a Service", json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata("late"), "spec": {"ports": [{"port": 80}]}})),
        (
            "a revision 150 levels deep",
            json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata("odd"), "revision": 7, "data": {"deep": nested}}),
        ),
    ]
}
