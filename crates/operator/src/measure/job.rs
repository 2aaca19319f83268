//! Jobs of checks and metrics: created or found again, waited for, and asked for their last words.

use crate::watches::{self, Pause};
use bluegreen_api::names;
use bluegreen_gates::{
    ask::job::{JobEnd, JobRun, Remains},
    reading::{CheckOutcome, Reading},
};
use futures::StreamExt;
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ContainerStatus, Pod},
    },
    apimachinery::pkg::apis::meta::v1::Time,
};
use kube::{
    Api, Client, Error, Resource, ResourceExt,
    api::{DeleteParams, ListParams, LogParams, Preconditions},
};
use std::{pin::pin, time::Duration};
use tokio::time::{sleep, timeout};

/// A request about a Job is answered in this time, or not at all.
const PATIENCE: Duration = Duration::from_secs(10);

/// What of a log is read: some lines, each of which has 16 KiB at most as runtimes keep it. What is beyond would be missing from its end.
const LOG_LINES: i64 = 10;
const LOG_BYTES: i64 = 256 << 10;

#[derive(Clone)]
pub struct Jobs {
    client: Client,
}

impl Jobs {
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Runs a Job whose end decides.
    pub async fn check(&self, run: &JobRun) -> CheckOutcome {
        let (run, end, remains) = self.run(run).await;
        run.outcome(&end, &remains)
    }

    /// Runs a Job that tells a number.
    pub async fn read(&self, run: &JobRun) -> Reading {
        let (run, end, remains) = self.run(run).await;
        run.reading(&end, &remains)
    }

    /// To its end. One that is there already, from before a restart, is waited for until its time is over.
    async fn run(&self, run: &JobRun) -> (JobRun, JobEnd, Remains) {
        let (job, left) = match self.begin(run).await.map_err(|end| allowed(end, run)) {
            Ok(Begun::New(job)) => (job, run.timeout),
            Ok(Begun::Found(job)) => {
                let left = run.timeout.saturating_sub(age(&job));
                (job, left)
            }
            Err(end) => return (run.clone(), end, Remains::default()),
        };
        // One that was found may be of another reading.
        let run = JobRun { name: job.name_any(), ..run.clone() };
        let end = match ended(&job) {
            Some(end) => end,
            None => match timeout(left, self.end(&run)).await {
                Ok(end) => end,
                Err(_) => self.late(&run).await,
            },
        };
        let remains = match end {
            JobEnd::Deleted | JobEnd::Unread(_) => Remains::default(),
            _ => self.remains(&run, end == JobEnd::Succeeded).await,
        };
        if end == JobEnd::TimedOut {
            self.delete(&job).await;
        }
        (run, end, remains)
    }

    /// It is no longer wanted. One whose creation is still on its way comes a moment later.
    pub async fn abandon(&self, run: &JobRun) {
        for wait in [Duration::ZERO, PATIENCE] {
            sleep(wait).await;
            let found = match &run.metric {
                Some(metric) => self.running(run, metric).await,
                None => in_time(self.jobs(run).get_opt(&run.name)).await,
            };
            if let Ok(Some(job)) = found {
                if is_of(&job, run) {
                    self.delete(&job).await;
                }
                return;
            }
        }
    }

    /// The Job of a metric that still runs, whichever reading it is for: begun before a restart, or by a request whose answer was lost.
    async fn running(&self, run: &JobRun, metric: &str) -> Result<Option<Job>, String> {
        let of_metric = ListParams::default().labels(&format!("{}={metric}", names::METRIC_LABEL));
        let all = in_time(self.jobs(run).list(&of_metric)).await?;
        Ok(all.into_iter().find(|job| is_of(job, run) && ended(job).is_none() && job.metadata.deletion_timestamp.is_none()))
    }

    async fn begin(&self, run: &JobRun) -> Result<Begun, JobEnd> {
        if let Some(metric) = &run.metric
            && let Some(job) = self.running(run, metric).await.map_err(JobEnd::NotBegun)?
        {
            return Ok(Begun::Found(job));
        }
        match timeout(PATIENCE, self.create(run)).await {
            Ok(Ok(created)) => return Ok(Begun::New(created)),
            Ok(Err(Error::Api(status))) if status.reason == "AlreadyExists" => {}
            Ok(Err(Error::Api(status))) => return Err(JobEnd::Refused { code: status.code, why: status.message.clone() }),
            Ok(Err(why)) => return Err(JobEnd::NotBegun(format!("no answer from the API server: {why}"))),
            Err(_) => return Err(JobEnd::NotBegun(LATE.into())),
        }
        match in_time(self.jobs(run).get(&run.name)).await {
            Ok(job) if !is_of(&job, run) => Err(JobEnd::NotBegun("a Job with this name belongs to another owner: delete that Job".into())),
            Ok(job) if job.metadata.deletion_timestamp.is_some() => {
                Err(JobEnd::NotBegun("an earlier Job with this name is being deleted".into()))
            }
            Ok(job) => Ok(Begun::Found(job)),
            Err(why) => Err(JobEnd::NotBegun(why)),
        }
    }

    /// As it was written: a field that this program doesn't know is the API server's to take or to refuse.
    async fn create(&self, run: &JobRun) -> Result<Job, Error> {
        let path = Job::url_path(&(), Some(&run.namespace));
        let request = http::Request::post(format!("{path}?fieldManager={}&fieldValidation=Strict", names::FIELD_MANAGER))
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(run.object.to_string().into_bytes())
            .map_err(Error::HttpError)?;
        self.client.request(request).await
    }

    /// Its time is over: whether it has ended all the same, and nobody had told.
    async fn late(&self, run: &JobRun) -> JobEnd {
        match in_time(self.jobs(run).get_opt(&run.name)).await {
            Ok(Some(job)) => ended(&job).unwrap_or(JobEnd::TimedOut),
            Ok(None) => JobEnd::Deleted,
            Err(why) => JobEnd::Unread(why),
        }
    }

    /// Waits, through whatever trouble the API server has.
    async fn end(&self, run: &JobRun) -> JobEnd {
        let mut seen = pin!(watches::of_one(self.jobs(run), &run.name));
        let mut pause = Pause::default();
        while let Some(job) = seen.next().await {
            match job {
                Ok(Some(job)) => {
                    if let Some(end) = ended(&job) {
                        return end;
                    }
                    pause = Pause::default();
                }
                Ok(None) => return JobEnd::Deleted,
                Err(why) => {
                    tracing::debug!(job = %run.name, %why, "reading the Job failed; retrying");
                    pause.rest().await;
                }
            }
        }
        JobEnd::Deleted
    }

    /// Exit code and log of the last pod; of the last failed pod if the Job failed.
    async fn remains(&self, run: &JobRun, succeeded: bool) -> Remains {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &run.namespace);
        let of_job = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={}", run.name));
        let mut all = match in_time(pods.list(&of_job)).await {
            Ok(all) => all.items,
            Err(why) => return Remains { log: Some(Err(why)), ..Remains::default() },
        };
        if !all.iter().any(has_run) {
            return Remains {
                never_ran: Some(all.iter().find_map(obstacle).unwrap_or_else(|| "the Job has no pods".into())),
                ..Remains::default()
            };
        }
        all.sort_by_key(ResourceExt::creation_timestamp);
        let (pod, (container, exit_code)) = if succeeded {
            // What one that failed has said is not what the Job has come to.
            let Some(pod) = all.iter().rfind(|pod| is_in(pod, "Succeeded")) else { return Remains::default() };
            (pod, (first_container(pod), None))
        } else {
            let Some(pod) = all.iter().rfind(|pod| is_in(pod, "Failed")).or(all.last()) else { return Remains::default() };
            (pod, spoke_last(pod))
        };
        let asked = LogParams { container, tail_lines: Some(LOG_LINES), limit_bytes: Some(LOG_BYTES), ..LogParams::default() };
        let log = match timeout(PATIENCE, pods.logs(&pod.name_any(), &asked)).await {
            // A number that was cut is another number.
            Ok(Ok(log)) if i64::try_from(log.len()).is_ok_and(|length| length >= LOG_BYTES) => Err("its last lines are too long".into()),
            Ok(log) => log.map_err(|why| why.to_string()),
            Err(_) => Err("no answer in time".into()),
        };
        Remains { exit_code, log: Some(log), never_ran: None }
    }

    /// That very one: another of its name may have been begun since.
    async fn delete(&self, job: &Job) {
        let (name, namespace) = (&job.name_any(), &job.namespace().unwrap_or_default());
        let preconditions = Preconditions { uid: job.uid(), resource_version: None };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::background() };
        let jobs: Api<Job> = Api::namespaced(self.client.clone(), namespace);
        match timeout(PATIENCE, jobs.delete(name, &params)).await {
            Ok(Err(Error::Api(status))) if matches!(status.code, 404 | 409) => {}
            Ok(Ok(_)) => tracing::info!(job = %name, %namespace, "deleted a Job that is no longer needed"),
            Ok(Err(why)) => tracing::warn!(job = %name, %namespace, "deleting a Job that is no longer needed failed: {why}"),
            Err(_) => tracing::warn!(job = %name, %namespace, "deleting a Job that is no longer needed timed out"),
        }
    }

    fn jobs(&self, run: &JobRun) -> Api<Job> {
        Api::namespaced(self.client.clone(), &run.namespace)
    }
}

const LATE: &str = "no answer from the API server in time";

/// The answer, or why there is none.
pub(super) async fn in_time<T>(request: impl Future<Output = Result<T, Error>>) -> Result<T, String> {
    match timeout(PATIENCE, request).await {
        Ok(answer) => answer.map_err(|why| why.to_string()),
        Err(_) => Err(LATE.into()),
    }
}

/// Rights to run Jobs come with a binding of their own.
fn allowed(end: JobEnd, run: &JobRun) -> JobEnd {
    // A quota is a refusal with the same code.
    let may_not = |why: &str| why.contains("is forbidden: User") && why.contains("resource \"jobs\"");
    if matches!(&end, JobEnd::Refused { why, .. } | JobEnd::NotBegun(why) if may_not(why)) {
        return JobEnd::NotBegun(format!(
            "the operator may not run Jobs in namespace {}: bind the ClusterRole bluegreen-operator-jobs to it there (docs/analysis.md)",
            run.namespace
        ));
    }
    end
}

enum Begun {
    New(Job),
    /// Begun before a restart, or by a request whose answer was lost.
    Found(Job),
}

fn is_of(job: &Job, run: &JobRun) -> bool {
    job.owner_references().iter().any(|owner| owner.uid == run.owner)
}

/// As far as our clock agrees with that of the API server, which wrote the time.
fn age(job: &Job) -> Duration {
    let created = job.metadata.creation_timestamp.as_ref().map(|Time(created)| crate::clock::now().duration_since(*created));
    created.and_then(|age| Duration::try_from(age).ok()).unwrap_or_default()
}

fn ended(job: &Job) -> Option<JobEnd> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    conditions.iter().filter(|condition| condition.status == "True").find_map(|condition| match condition.type_.as_str() {
        "Complete" => Some(JobEnd::Succeeded),
        "Failed" => Some(JobEnd::Failed {
            reason: condition.reason.clone().unwrap_or_default(),
            message: condition.message.clone().unwrap_or_default(),
        }),
        _ => None,
    })
}

fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status.flat_map(|status| status.init_container_statuses.iter().chain(&status.container_statuses)).flatten()
}

fn has_run(pod: &Pod) -> bool {
    containers(pod).any(|container| {
        let states = [&container.state, &container.last_state].into_iter().flatten();
        states.into_iter().any(|state| state.running.is_some() || state.terminated.is_some())
    })
}

fn is_in(pod: &Pod, phase: &str) -> bool {
    pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some(phase)
}

/// As the Job has them; statuses are sorted by name.
fn first_container(pod: &Pod) -> Option<String> {
    pod.spec.as_ref()?.containers.first().map(|container| container.name.clone())
}

/// Why a pod has not run, in the cluster's words.
fn obstacle(pod: &Pod) -> Option<String> {
    let waiting = |container: &ContainerStatus| container.state.as_ref()?.waiting.clone();
    let of_container = containers(pod).find_map(waiting).map(|waiting| (waiting.reason, waiting.message));
    let conditions = || pod.status.iter().flat_map(|status| &status.conditions).flatten();
    let of_pod = || conditions().find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    let (reason, message) = of_container.or_else(|| of_pod().map(|condition| (condition.reason.clone(), condition.message.clone())))?;
    Some([reason, message].into_iter().flatten().collect::<Vec<_>>().join(": "))
}

/// The container to listen to, and how it failed: of several the first that failed.
fn spoke_last(pod: &Pod) -> (Option<String>, Option<i32>) {
    let Some(status) = &pod.status else { return (None, None) };
    let failure = |container: &ContainerStatus| {
        let states = [&container.state, &container.last_state].into_iter().flatten();
        states.filter_map(|state| state.terminated.as_ref()).map(|end| end.exit_code).find(|code| *code != 0)
    };
    let failed = containers(pod).find_map(|container| Some((container.name.clone(), failure(container)?)));
    match failed {
        Some((name, code)) => (Some(name), Some(code)),
        None => (status.container_statuses.iter().flatten().next().map(|container| container.name.clone()), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn ended_with(conditions: Value) -> Option<JobEnd> {
        ended(&serde_json::from_value(json!({"metadata": {}, "status": {"conditions": conditions}})).unwrap())
    }

    #[test]
    fn a_job_has_ended_only_when_its_last_condition_says_so() {
        let condition = |type_: &str, status: &str| json!({"type": type_, "status": status, "reason": "R", "message": "m"});
        let failed = JobEnd::Failed { reason: "R".into(), message: "m".into() };
        assert_eq!(ended_with(json!([])), None);
        assert_eq!(ended_with(json!([condition("FailureTarget", "True"), condition("SuccessCriteriaMet", "True")])), None);
        assert_eq!(ended_with(json!([condition("Complete", "False")])), None);
        assert_eq!(ended_with(json!([condition("SuccessCriteriaMet", "True"), condition("Complete", "True")])), Some(JobEnd::Succeeded));
        assert_eq!(ended_with(json!([condition("FailureTarget", "True"), condition("Failed", "True")])), Some(failed));
    }

    #[test]
    fn the_failed_container_is_read_also_when_it_runs_again() {
        let ended = |code: i32| json!({"terminated": {"exitCode": code}});
        let container = |name: &str, state: Value, last: Value| json!({"name": name, "image": "", "imageID": "", "ready": false, "restartCount": 0, "state": state, "lastState": last});
        let spoke = |status: Value| spoke_last(&serde_json::from_value(json!({"metadata": {}, "status": status})).unwrap());
        let named = |name: &str| Some(name.to_owned());
        let (good, bad) = (container("sidecar", ended(0), json!({})), container("test", ended(3), json!({})));
        assert_eq!(spoke(json!({"containerStatuses": [good, bad]})), (named("test"), Some(3)));
        assert_eq!(spoke(json!({"containerStatuses": [good]})), (named("sidecar"), None));
        let again = container("test", json!({"running": {}}), ended(4));
        assert_eq!(spoke(json!({"containerStatuses": [again]})), (named("test"), Some(4)));
        assert_eq!(spoke(json!({"initContainerStatuses": [bad], "containerStatuses": [good]})), (named("test"), Some(3)));
        assert_eq!(spoke(json!({})), (None, None));
    }
}
