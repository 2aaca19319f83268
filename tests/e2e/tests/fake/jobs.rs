//! Jobs as checks and as metrics: run once, waited for through restarts, and gone when nobody waits for them.

use bluegreen_api::{GateState, Phase};
use bluegreen_e2e::{
    Rollout, Seen, Space,
    manifest::metric,
    merged,
    patience::{self, pause, stretched, text},
    shop,
};
use k8s_openapi::api::batch::v1::Job;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use std::time::Duration;

/// On fake nodes the tag of its image says what becomes of a Job: `…-fail`, `…-unready` never ends, any other succeeds.
fn testing(tag: &str, more: &Value) -> Value {
    let containers = json!([{"name": "tests", "image": format!("registry.example/tests:{tag}"), "args": ["--at", "$(BLUEGREEN_ADDRESS)"]}]);
    let mut job = json!({"template": {"spec": {"template": {"spec": {"containers": containers}}}}});
    job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"verification": {"checks": [{"name": "smoke", "job": job}]}})
}

fn merged_verification(mut spec: Value, more: &Value) -> Value {
    spec["verification"].as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    spec
}

/// The same Job, for each reading of a metric.
fn measuring(tag: &str, more: &Value) -> Value {
    let job = &testing(tag, &json!({}))["verification"]["checks"][0]["job"];
    let mut metric = json!({"name": "smoke", "max": "1", "job": job});
    metric.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"verification": {"metrics": [metric]}})
}

fn measured_for(timeout: &str) -> Value {
    testing("1.0-unready", &json!({"timeout": timeout}))["verification"]["checks"][0]["job"].clone()
}

async fn live<'s>(space: &'s Space, spec: &Value) -> Rollout<'s> {
    let rollout = space.rollout(&merged(shop(), spec)).await;
    rollout.until_healthy("1.0.0").await;
    rollout.version("2.0.0").await;
    rollout
}

async fn jobs(space: &Space) -> Vec<Job> {
    Api::<Job>::namespaced(space.client.clone(), &space.name).list(&ListParams::default()).await.unwrap().items
}

/// The only one, once there is one.
async fn job(space: &Space) -> Job {
    let only = async || match jobs(space).await.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        several => panic!("{} Jobs", several.len()),
    };
    patience::until("there is a Job", only).await
}

/// The oldest, once there is one: on a busy machine the Job of the next reading is there before the test has looked.
async fn oldest_job(space: &Space) -> Job {
    let oldest = async || jobs(space).await.into_iter().min_by_key(ResourceExt::creation_timestamp);
    patience::until("there is a Job", oldest).await
}

/// It goes with its pods, in the cluster's own time.
async fn until_no_job(space: &Space) {
    let none = async || jobs(space).await.iter().all(|job| job.metadata.deletion_timestamp.is_some()).then_some(());
    patience::until("all Jobs are deleted", none).await;
}

async fn until_another(space: &Space, first: &Job) {
    let another = async || jobs(space).await.iter().any(|job| job.uid() != first.uid()).then_some(());
    patience::until("there is another Job", another).await;
}

fn told(seen: &Seen) -> (GateState, String) {
    let gates = &seen.status.history[0].gates;
    let gate = gates.iter().find(|gate| gate.name == "verification/smoke").unwrap();
    (gate.state, gate.message.clone())
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_job_runs_once_the_operator_may_run_jobs() {
    let space = Space::new("job-allowed").await;
    space.kubectl(&["delete", "rolebinding", "bluegreen-operator-jobs"]).await;
    let _operator = space.operator();
    let rollout = live(&space, &testing("1.0", &json!({}))).await;
    let may_not =
        format!("the operator may not run Jobs in namespace {}: bind the ClusterRole bluegreen-operator-jobs to it there", space.name);
    rollout.until("is told what to grant", |seen| seen.status.gates.iter().any(|gate| gate.message.contains(&may_not))).await;
    assert!(jobs(&space).await.is_empty());
    let operator = format!("--serviceaccount={}:bluegreen-operator", space.name);
    space.kubectl(&["create", "rolebinding", "bluegreen-operator-jobs", "--clusterrole=bluegreen-operator-jobs", &operator]).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_job_that_succeeds_opens_the_way_and_knows_what_it_tests() {
    let space = Space::new("job-passes").await;
    let _operator = space.operator();
    let rollout = live(&space, &testing("1.0", &json!({}))).await;
    let named =
        rollout.until("names its Job", |seen| seen.status.gates.iter().any(|gate| gate.message.starts_with("running as Job "))).await;
    let (job, candidate) = (job(&space).await, named.candidate().clone());
    let told_name = named.status.gates[0].message.strip_prefix("running as Job ").and_then(|rest| rest.split(';').next()).unwrap();
    assert_eq!((job.name_any(), job.owner_references()[0].name.as_str()), (told_name.to_owned(), "shop"));
    let spec = serde_json::to_value(job.spec.unwrap()).unwrap();
    assert_eq!((&spec["backoffLimit"], &spec["ttlSecondsAfterFinished"]), (&json!(0), &json!(600)));
    let container = &spec["template"]["spec"]["containers"][0];
    let value = |name: &str| {
        let all = container["env"].as_array().unwrap();
        all.iter().find(|variable| variable["name"] == format!("BLUEGREEN_{name}")).map(|variable| variable["value"].clone()).unwrap()
    };
    assert_eq!(value("ADDRESS"), format!("shop-preview.{}.svc:80", space.name));
    assert_eq!((value("COLOR"), value("REVISION")), (json!("green"), json!(candidate.revision)));
    assert_eq!((value("IMAGE"), value("ATTEMPT")), (json!("registry.example/shop:2.0.0"), json!("2")));
    let live = rollout.until_healthy("2.0.0").await;
    assert_eq!(told(&live).0, GateState::Passed);
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_job_that_fails_aborts_with_its_exit_code() {
    let space = Space::new("job-fails").await;
    let _operator = space.operator();
    let rollout = live(&space, &testing("1.0-fail", &json!({}))).await;
    let aborted = rollout.until_phase(Phase::Aborted).await;
    let (state, message) = told(&aborted);
    assert!(state == GateState::Failed && message.contains(" failed with exit code 1"), "{message}");
    assert_eq!(aborted.status.rejected.as_ref().unwrap().reason, "CheckFailed");
    assert_eq!(jobs(&space).await.len(), 1, "it stays, to be looked at");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_job_out_of_time_fails_and_is_deleted() {
    let space = Space::new("job-endless").await;
    let _operator = space.operator();
    let rollout = live(&space, &testing("1.0-unready", &json!({"timeout": "3s"}))).await;
    let aborted = rollout.until_phase(Phase::Aborted).await;
    let (state, message) = told(&aborted);
    assert!(state == GateState::Failed && message.contains(" did not finish within 3s"), "{message}");
    until_no_job(&space).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_restart_of_the_operator_runs_no_job_twice() {
    let space = Space::new("job-restart").await;
    let mut operator = space.operator();
    let (timeout, away) = (Duration::from_secs(24), Duration::from_secs(20));
    let rollout = live(&space, &testing("1.0-unready", &json!({"timeout": text(timeout)}))).await;
    let before = job(&space).await;
    operator.kill();
    pause(away).await;
    let _operator = space.operator();
    let aborted = rollout.until_phase(Phase::Aborted).await;
    let message = told(&aborted).1;
    assert!(message.starts_with(&format!("Job {} did not finish within {}", before.name_any(), text(timeout))), "{message}");
    // Its time ran from its creation, not from the restart.
    let created = before.creation_timestamp().unwrap().0;
    let ended = aborted.status.history[0].finished.unwrap();
    assert!(ended.duration_since(created).unsigned_abs() < stretched(away + timeout), "{created} {ended}");
    let others: Vec<_> = jobs(&space).await.into_iter().filter(|job| job.uid() != before.uid()).collect();
    assert!(others.is_empty(), "{others:#?}");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_job_that_nobody_waits_for_any_more_is_deleted() {
    let space = Space::new("job-abandoned").await;
    let _operator = space.operator();
    let rollout = live(&space, &testing("1.0-unready", &json!({}))).await;
    job(&space).await;
    let candidate = rollout.now().candidate().revision.clone();
    rollout.order("abort", &candidate).await;
    rollout.until_phase(Phase::Aborted).await;
    until_no_job(&space).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_retry_runs_the_job_again() {
    let space = Space::new("job-retry").await;
    let _operator = space.operator();
    let rollout = live(&space, &merged_verification(testing("1.0-fail", &json!({})), &json!({"onFailure": "Pause"}))).await;
    let held = rollout.until("is held", |seen| seen.stalled() == "CheckFailed").await;
    let first = job(&space).await;
    rollout.order("retry", &held.candidate().revision).await;
    until_another(&space, &first).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_field_that_no_job_has_is_refused_and_not_left_out() {
    let space = Space::new("job-typo").await;
    let _operator = space.operator();
    let mut spec = testing("1.0", &json!({}));
    spec["verification"]["checks"][0]["job"]["template"]["spec"]["template"]["spec"]["containers"][0]["comand"] = json!(["/test"]);
    let aborted = live(&space, &spec).await.until_phase(Phase::Aborted).await;
    let message = told(&aborted).1;
    assert!(message.starts_with("The API server refused Job") && message.contains("comand"), "{message}");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_job_that_somebody_deletes_is_run_again() {
    let space = Space::new("job-deleted").await;
    let _operator = space.operator();
    let rollout = live(&space, &testing("1.0-unready", &json!({}))).await;
    let first = job(&space).await;
    space.kubectl(&["delete", "job", &first.name_any(), "--wait=false"]).await;
    rollout.until("says so", |seen| seen.status.gates.iter().any(|gate| gate.message.contains("was deleted before it finished"))).await;
    until_another(&space, &first).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_job_that_a_quota_holds_up_waits() {
    let space = Space::new("job-quota").await;
    let _operator = space.operator();
    space.kubectl(&["create", "quota", "no-jobs", "--hard=count/jobs.batch=0"]).await;
    let rollout = live(&space, &testing("1.0", &json!({}))).await;
    let held =
        |seen: &Seen| seen.status.gates.iter().any(|gate| gate.message.contains("can't be created") && gate.message.contains("no-jobs"));
    rollout.until("is held up by the quota", held).await;
    space.kubectl(&["delete", "quota", "no-jobs"]).await;
    rollout.until_healthy("2.0.0").await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_job_that_the_api_server_refuses_fails_in_its_words() {
    let space = Space::new("job-refused").await;
    let _operator = space.operator();
    let twice = json!([{"name": "tests", "image": "a"}, {"name": "tests", "image": "b"}]);
    let job = json!({"template": {"spec": {"template": {"spec": {"containers": twice}}}}});
    let rollout = live(&space, &json!({"verification": {"checks": [{"name": "smoke", "job": job}]}})).await;
    let aborted = rollout.until_phase(Phase::Aborted).await;
    let message = told(&aborted).1;
    assert!(message.starts_with("The API server refused Job shop-smoke-") && message.contains("Duplicate value"), "{message}");
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn after_the_switch_a_job_tests_what_serves() {
    let space = Space::new("job-after").await;
    let _operator = space.operator();
    let mut spec = testing("1.0-fail", &json!({}));
    let checks = spec["verification"]["checks"].take();
    let passes = metric("errors", "http://127.0.0.1:1", "errors");
    let spec = json!({"monitoring": {"duration": "1m", "checks": checks, "metrics": [passes]}});
    let rollout = live(&space, &spec).await;
    let job = job(&space).await;
    let back = rollout.until_phase(Phase::RolledBack).await;
    assert_eq!((back.serves(), back.status.rejected.as_ref().unwrap().reason.as_str()), ("1.0.0", "CheckFailed"));
    let env = serde_json::to_value(&job.spec.unwrap().template.spec.unwrap().containers[0].env).unwrap();
    assert_eq!(env[0], json!({"name": "BLUEGREEN_ADDRESS", "value": format!("shop.{}.svc:80", space.name)}));
    space.end().await;
}

/// Nobody keeps the logs of fake nodes.
#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn a_number_that_cannot_be_read_condemns_nobody() {
    let space = Space::new("job-number").await;
    let _operator = space.operator();
    let rollout = live(&space, &measuring("1.0", &json!({"errorLimit": 1}))).await;
    let inconclusive = |seen: &Seen| seen.status.gates.iter().any(|gate| gate.state == GateState::Inconclusive);
    let held = rollout.until("can't be judged", inconclusive).await;
    let (gate, job) = (&held.status.gates[0], oldest_job(&space).await);
    assert!(held.serves() == "1.0.0" && gate.message.contains(" succeeded, but its log can't be read: "), "{}", gate.message);
    let measured = gate.measured.as_ref().unwrap();
    let label = format!("kubectl get jobs -n {} -l bluegreen.dev/metric={}", space.name, job.labels()["bluegreen.dev/metric"]);
    assert_eq!((&measured.asked, measured.readings[0].value.as_str()), (&vec![label], "Failed"));
    assert_eq!(job.spec.unwrap().ttl_seconds_after_finished, Some(120));
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn each_reading_runs_a_job_of_its_own() {
    let space = Space::new("job-readings").await;
    let _operator = space.operator();
    live(&space, &measuring("1.0-fail", &json!({"interval": "1s", "errorLimit": 1000}))).await;
    let first = oldest_job(&space).await;
    until_another(&space, &first).await;
    space.end().await;
}

#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_job_of_a_reading_without_a_use_is_deleted() {
    let space = Space::new("job-left").await;
    let _operator = space.operator();
    let rollout = live(&space, &measuring("1.0-unready", &json!({}))).await;
    oldest_job(&space).await;
    rollout.order("abort", &rollout.now().candidate().revision).await;
    rollout.until_phase(Phase::Aborted).await;
    until_no_job(&space).await;
    space.end().await;
}

/// The reading before it was in the memory of the operator only.
#[tokio::test]
#[ignore = "needs a cluster: cargo xtask test"]
async fn the_job_of_a_reading_is_found_after_a_restart() {
    let space = Space::new("job-found").await;
    let mut operator = space.operator();
    // The second is still running when the operator is killed, also on a busy machine.
    live(&space, &measuring("1.0-unready", &json!({"interval": "1s", "errorLimit": 1000, "job": measured_for("20s")}))).await;
    let first = oldest_job(&space).await;
    until_another(&space, &first).await;
    operator.kill();
    // Before the next operator can delete it.
    let running = |all: Vec<Job>| all.into_iter().filter(|job| job.metadata.deletion_timestamp.is_none()).collect::<Vec<_>>();
    let second = running(jobs(&space).await).into_iter().find(|job| job.uid() != first.uid()).unwrap();
    let _operator = space.operator();
    let third = async || {
        let now = running(jobs(&space).await);
        assert!(now.len() <= 1, "{now:#?}");
        now.first().is_some_and(|job| job.uid() != second.uid()).then_some(())
    };
    patience::until("there is a third Job", third).await;
    space.end().await;
}
