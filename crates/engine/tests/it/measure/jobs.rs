//! Jobs that are run for checks and metrics.

use super::{asked_first, result, unmeasured};
use bluegreen_api::{GateState, Phase};
use bluegreen_engine::{Decision, Observed, decide, decision::Role, measure};
use bluegreen_gates::{
    ask::{What, job::JobRun},
    reading::Measurement,
};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::time::Duration;

#[test]
fn a_job_has_a_name_of_its_attempt_shown_before_it_ends() {
    let containers = json!([{"name": "tests", "image": "tests:1"}]);
    let template = json!({"metadata": {"labels": {"team": "a", "app.kubernetes.io/name": "b"}}, "spec": {"template": {"spec": {"containers": containers, "initContainers": containers}}}});
    let long = "a-name-that-is-as-long-as-a-name-of-a-check-may-be-so-that-it-is-cut";
    let of = |name: &str, stage: &str, phase: Phase| {
        unmeasured(json!({stage: {"checks": [{"name": name, "job": {"template": template}}]}}), phase)
    };
    let job = |seen: &Observed| match asked_first(seen) {
        What::Job(job) => *job,
        what => panic!("{what:?}"),
    };
    let seen = of("smoke", "verification", Phase::Verifying);
    let run = job(&seen);
    let mut fresh = seen.clone();
    fresh.status.gates.clear();
    fresh.now += SignedDuration::from_secs(1);
    let Decision::Record(begun) = decide(&fresh) else { panic!("no gates begin") };
    fresh.status = *begun;
    assert_eq!(
        fresh.status.gates[0].message,
        format!("running as Job {0}; logs: kubectl logs -f job/{0} -n {1}", job(&fresh).name, fresh.namespace)
    );
    assert_ne!(job(&fresh).name, run.name, "a gate that begins again runs another one");
    // Until its Service leads to the candidate it would test what serves already.
    let Some(preview) = fresh.services.get_mut(&Role::Preview) else { panic!("no preview Service") };
    preview.selector.insert("bluegreen.dev/color".into(), "blue".into());
    assert_eq!(measure::wanted(&fresh), []);
    let Decision::Record(waits) = decide(&fresh) else { panic!("it isn't told") };
    assert_eq!(waits.gates[0].message, "waiting until Service shop-preview selects the candidate");
    assert_eq!((run.namespace.as_str(), run.owner.as_str(), run.timeout), ("web", seen.uid.as_str(), Duration::from_mins(10)));
    let metadata = &run.object["metadata"];
    assert_eq!((&metadata["name"], &metadata["namespace"]), (&json!(run.name), &json!("web")));
    assert_eq!((&metadata["labels"]["team"], &metadata["labels"]["app.kubernetes.io/name"]), (&json!("a"), &json!("shop")));
    assert_eq!(metadata["ownerReferences"][0]["uid"], json!(seen.uid));
    for containers in ["containers", "initContainers"] {
        let address = &run.object["spec"]["template"]["spec"][containers][0]["env"][0];
        assert_eq!(*address, json!({"name": "BLUEGREEN_ADDRESS", "value": "shop-preview.web.svc:80"}));
    }
    let pods = &run.object["spec"]["template"]["metadata"];
    assert!(pods.is_null(), "no Service finds them: {pods}");

    let mut again = seen.clone();
    again.status.attempt += 1;
    assert_ne!(job(&again).name, run.name, "what was tried before says nothing about this attempt");
    let after = job(&of(long, "monitoring", Phase::Monitoring));
    assert_eq!(after.object["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"], "shop.web.svc:80");
    assert!(after.name.len() == 63 && after.name.starts_with("shop-a-name"), "{}", after.name);
}

/// A world that verifies by a metric of a Job, and has no reading yet.
fn measured_by_a_job(more: Value) -> Observed {
    let template = json!({"spec": {"template": {"spec": {"containers": [{"name": "load", "image": "load:1"}]}}}});
    let mut metric = json!({"name": "load", "max": "1", "job": {"template": template, "timeout": "3m"}});
    metric.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    unmeasured(json!({"verification": {"metrics": [metric]}}), Phase::Verifying)
}

/// What came of a reading of the candidate, five seconds after the gate had begun.
fn read(seen: &Observed) -> Measurement {
    let at = seen.status.gates[0].since.checked_add(SignedDuration::from_secs(5)).unwrap();
    let revision = seen.status.preview.as_ref().unwrap().revision.clone();
    Measurement { revision, asked: asked_first(seen).asked(), ..result(seen, "verification/load", at) }
}

fn run_for_it(seen: &Observed) -> JobRun {
    let What::Reading(run) = asked_first(seen) else { panic!("no Job") };
    *run
}

/// Once its Service leads to the candidate.
#[test]
fn a_metric_runs_a_job_for_each_reading() {
    let mut seen = measured_by_a_job(json!({}));
    let run = run_for_it(&seen);
    assert!(run.name.starts_with("shop-load-"), "{}", run.name);
    assert_eq!((run.namespace.as_str(), run.owner.as_str(), run.timeout), ("web", seen.uid.as_str(), Duration::from_mins(3)));
    let spec = &run.object["spec"];
    assert_eq!((&spec["backoffLimit"], &spec["ttlSecondsAfterFinished"]), (&json!(0), &json!(120)));
    let address = &spec["template"]["spec"]["containers"][0]["env"][0];
    assert_eq!(*address, json!({"name": "BLUEGREEN_ADDRESS", "value": "shop-preview.web.svc:80"}));

    let reading = read(&seen);
    seen.results = vec![reading.clone()];
    let next = measure::wanted(&seen).remove(0);
    assert_eq!(next.due.duration_since(reading.at), SignedDuration::from_mins(1), "from the end of the one before");

    let Some(preview) = seen.services.get_mut(&Role::Preview) else { panic!("no preview Service") };
    preview.selector.insert("bluegreen.dev/color".into(), "blue".into());
    assert_eq!(measure::wanted(&seen), [], "it would measure what serves already");
}

/// While the same is judged.
#[test]
fn each_reading_has_a_job_and_all_of_them_one_label() {
    let seen = measured_by_a_job(json!({}));
    let (first, reading) = (run_for_it(&seen), read(&seen));
    assert_eq!(first.object["metadata"]["labels"]["bluegreen.dev/metric"], json!(first.metric));
    let mut later = seen.clone();
    later.now += SignedDuration::from_secs(9);
    assert_eq!(run_for_it(&later), first, "time passes before it is due");
    later.results = vec![reading.clone()];
    let second = run_for_it(&later);
    assert!(second.name != first.name && second.metric == first.metric, "the next reading");
    type Change = fn(&mut Observed);
    let changes: [(&str, Change); 3] = [
        ("another attempt", |seen| seen.status.attempt += 1),
        ("another revision", |seen| seen.status.preview.as_mut().unwrap().revision = "another".into()),
        ("another rollout of its name", |seen| seen.uid = "another".into()),
    ];
    for (what, change) in changes {
        let mut seen = seen.clone();
        change(&mut seen);
        let gate = &seen.status.gates[0];
        assert!(measure::wanted(&seen).is_empty() || run_for_it(&seen).metric != first.metric, "{what}: {}", gate.name);
    }
}

/// And shows how to find them.
#[test]
fn an_inconclusive_metric_of_a_job_runs_few_of_them() {
    let mut seen = measured_by_a_job(json!({"noDataLimit": 1}));
    let (ran, reading) = (run_for_it(&seen), read(&seen));
    seen.now = reading.at;
    seen.results = vec![reading.clone()];
    assert_eq!(measure::wanted(&seen)[0].due, reading.at + SignedDuration::from_mins(1), "the usual time, as long as it runs");
    let Decision::Record(turned) = decide(&seen) else { panic!("nothing turns") };
    let gate = &turned.gates[0];
    assert_eq!((gate.state, gate.since), (GateState::Inconclusive, reading.at));
    assert_eq!(
        gate.measured.as_ref().unwrap().asked,
        [format!("kubectl get jobs -n {} -l bluegreen.dev/metric={}", ran.namespace, ran.metric.unwrap())]
    );
    seen.status = *turned;
    assert_eq!(measure::wanted(&seen)[0].due, reading.at + SignedDuration::from_mins(10), "a person may be waited for");
}
