//! Jobs that checks and metrics run: how they are made, and what their end says.

use super::LONGEST_JOB;
use crate::{
    hash,
    invalid::Invalid,
    reading::{CheckOutcome, Reading},
    text::{Words, around, bounded, excerpt},
};
use bluegreen_api::{Duration, Gate, JobCheck, depth, names};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time;

/// A Job's name becomes a label of its pods, which has at most 63 characters; a hyphen and the hash take eleven of them.
const LONGEST_NAME: usize = 63 - 11;

/// The operator ends a Job in time and tells its last words; this long after it the cluster does, if there is no operator.
const GRACE: time::Duration = time::Duration::from_secs(60);

/// How long a Job stays that has ended, in seconds: to be looked at. Of a metric every reading leaves one.
pub const STAYS: u32 = 600;
pub const STAYS_AFTER_READING: u32 = 120;

/// From one Job of a metric that can't be judged to the next, at least.
pub const PAUSE: time::Duration = time::Duration::from_mins(10);

/// Lines of a log that are told, and characters of each.
const LINES: usize = 3;
const LINE: usize = 80;

/// A Job as a check or a metric asks for it, with its defaults.
#[derive(Clone, Debug, PartialEq)]
pub struct JobPlan {
    pub metadata: Value,
    pub spec: Value,
    pub timeout: time::Duration,
}

/// For whom Jobs run: their names follow from it, so that they are found again after a restart.
#[derive(Clone, Copy, Debug)]
pub struct For<'a> {
    /// The uid of the rollout.
    pub uid: &'a str,
    pub rollout: &'a str,
    pub attempt: i64,
    pub revision: &'a str,
}

/// One Job to be run and waited for.
#[derive(Clone, Debug, PartialEq)]
pub struct JobRun {
    pub namespace: String,
    pub name: String,
    /// Of a metric: the value of the label that its Jobs have. Each reading runs one of its own; of a check there is one, by its name.
    pub metric: Option<String>,
    /// The uid of the rollout that owns it.
    pub owner: String,
    /// As it is created.
    pub object: Value,
    /// From its creation.
    pub timeout: time::Duration,
}

/// What became of a Job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEnd {
    /// The API server would not create it.
    Refused {
        code: u16,
        why: String,
    },
    /// Nobody can tell whether it was created, or another one is in its place.
    NotBegun(String),
    Succeeded,
    /// In the words of its condition.
    Failed {
        reason: String,
        message: String,
    },
    /// Its time was over first.
    TimedOut,
    /// Somebody deleted it.
    Deleted,
    /// Nobody can tell whether it has ended.
    Unread(String),
}

/// What the last of a Job's pods left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Of the container that failed.
    pub exit_code: Option<i32>,
    /// The end of its log, or why it can't be read.
    pub log: Option<Result<String, String>>,
    /// No container of any of them ever ran, and why.
    pub never_ran: Option<String>,
}

impl JobPlan {
    /// What is wrong with a Job is told when `spec` is read, as far as it can be known without the API server.
    /// `stays`: for how many seconds after its end, if the Job itself doesn't say.
    pub fn of(job: &JobCheck, stays: u32) -> Result<Self, Invalid> {
        if depth::is_too_deep(&job.template.0) {
            return Err(Invalid(format!("job.template is nested deeper than {} levels: no field of a Job is", depth::DEEPEST)));
        }
        let mut spec = job.template.0.get("spec").filter(|spec| spec.is_object()).cloned().unwrap_or_else(|| json!({}));
        let metadata = job.template.0.get("metadata").cloned().unwrap_or_default();
        if spec["suspend"] == true {
            return Err(Invalid("a suspended Job never ends: remove suspend from job.template.spec".into()));
        }
        let containers = spec.pointer("/template/spec/containers").and_then(Value::as_array);
        if containers.is_none_or(|containers| containers.is_empty() || !containers.iter().all(Value::is_object)) {
            return Err(Invalid("the Job has no containers: add one to job.template.spec.template.spec.containers".into()));
        }
        if spec.pointer("/template/spec/restartPolicy").is_some_and(|policy| policy == "Always") {
            return Err(Invalid("a Job whose containers are always restarted never ends: set restartPolicy to Never or OnFailure".into()));
        }
        for labels in [metadata.pointer("/labels"), spec.pointer("/template/metadata/labels")].into_iter().flatten() {
            let ours = labels.as_object().and_then(|labels| labels.keys().find(|name| name.starts_with(names::PREFIX)));
            if let Some(ours) = ours {
                return Err(Invalid(format!(
                    "the Job has the label {ours}, and labels with that prefix are the operator's: choose another name"
                )));
            }
        }
        let timeout =
            job.timeout.map_or(time::Duration::from_mins(10), |timeout| timeout.0).clamp(time::Duration::from_secs(1), LONGEST_JOB);
        let fields = [
            ("backoffLimit", json!(0)),
            ("ttlSecondsAfterFinished", json!(stays)),
            ("activeDeadlineSeconds", json!((timeout + GRACE).as_secs())),
        ];
        for (field, default) in fields {
            if spec[field].is_null() {
                spec[field] = default;
            }
        }
        let pods = &mut spec["template"]["spec"];
        if pods["restartPolicy"].is_null() {
            pods["restartPolicy"] = json!("Never");
        }
        if pods["restartPolicy"] == "Never" && spec["podFailurePolicy"].is_null() {
            // A node that is drained says nothing of the version: another pod takes over.
            let disrupted = json!({"type": "DisruptionTarget", "status": "True"});
            spec["podFailurePolicy"] = json!({"rules": [{"action": "Ignore", "onPodConditions": [disrupted]}]});
        }
        Ok(Self { metadata, spec, timeout })
    }
}

/// The name of a check's Job: a gate that begins again, as after a retry, runs another one.
pub fn name(of: For<'_>, gate: &Gate) -> String {
    name_at(of, gate, gate.since)
}

/// The name of the Job for a metric's reading that is due then.
pub fn name_at(of: For<'_>, gate: &Gate, due: Timestamp) -> String {
    let hash = hash::definition(&json!([of.uid, gate.name, gate.definition, due.to_string(), of.attempt, of.revision]));
    let own = gate.name.rsplit('/').next().unwrap_or(&gate.name);
    let readable: String = format!("{}-{own}", of.rollout).chars().take(LONGEST_NAME).collect();
    format!("{}-{hash}", readable.trim_end_matches('-'))
}

/// The label that the Jobs of a metric have in common while it judges this revision.
pub fn label(of: For<'_>, gate: &Gate) -> String {
    hash::definition(&json!([of.uid, gate.name, gate.definition, of.attempt, of.revision]))
}

/// The command by which a person finds the Jobs of a metric.
pub fn selector(namespace: &str, label: &str) -> String {
    format!("kubectl get jobs -n {namespace} -l {}={label}", names::METRIC_LABEL)
}

impl JobRun {
    /// What the check has come to.
    pub fn outcome(&self, end: &JobEnd, remains: &Remains) -> CheckOutcome {
        let Self { name, .. } = self;
        let log = match &remains.log {
            None => String::new(),
            Some(Ok(log)) => last_words(log).map(|words| format!(": {words}")).unwrap_or_default(),
            Some(Err(why)) => format!(" (its log can't be read: {why})"),
        };
        let of_pods = |reason: &str| ["BackoffLimitExceeded", "PodFailurePolicy"].contains(&reason);
        match (end, remains.exit_code) {
            (JobEnd::Refused { code, why }, _) => self.refused(*code, why),
            (JobEnd::NotBegun(why), _) => CheckOutcome::NotDone(format!("Job {name} was not created: {why}")),
            (JobEnd::Succeeded, _) => CheckOutcome::Passed(format!("Job {name} succeeded{log}")),
            (JobEnd::Failed { reason, .. }, Some(code)) if of_pods(reason) => {
                CheckOutcome::Failed(format!("Job {name} failed with exit code {code}{log}"))
            }
            (JobEnd::Failed { reason, message }, _) => CheckOutcome::Failed(format!("Job {name} failed, {reason}: {message}{log}")),
            (JobEnd::TimedOut, _) => match &remains.never_ran {
                Some(why) => {
                    CheckOutcome::NotDone(format!("Job {name} did not start within {} (job.timeout): {why}", Duration(self.timeout)))
                }
                None => CheckOutcome::Failed(format!("Job {name} did not finish within {} (job.timeout){log}", Duration(self.timeout))),
            },
            (JobEnd::Deleted, _) => CheckOutcome::NotDone(format!("Job {name} was deleted before it finished; running it again")),
            (JobEnd::Unread(why), _) => CheckOutcome::NotDone(format!("Job {name} can't be read: {why}")),
        }
    }

    /// What a metric reads of it. Whatever keeps the number from coming is the source's trouble, and no word on the version.
    pub fn reading(&self, end: &JobEnd, remains: &Remains) -> Reading {
        let Self { name, .. } = self;
        let unread = |why: &str| Reading::Failed(format!("Job {name} succeeded, but its log can't be read: {why}"));
        match (end, &remains.log) {
            (JobEnd::Succeeded, Some(Ok(log))) => self.last_number(log),
            (JobEnd::Succeeded, Some(Err(why))) => unread(why),
            (JobEnd::Succeeded, None) => unread(remains.never_ran.as_deref().unwrap_or("it left no pod")),
            _ => match self.outcome(end, remains) {
                CheckOutcome::Passed(why) | CheckOutcome::Failed(why) | CheckOutcome::NotDone(why) => Reading::Failed(why),
            },
        }
    }

    fn last_number(&self, log: &str) -> Reading {
        let Some(line) = log.lines().map(str::trim).rfind(|line| !line.is_empty()) else { return Reading::NoData };
        match line.parse::<f64>() {
            Ok(number) if number.is_nan() => Reading::NotANumber,
            Ok(number) => Reading::Value(number),
            Err(_) => {
                let told = Words::Quoted.of(line.as_bytes());
                Reading::Failed(format!("Job {} succeeded, but the last line of its log is not a number{told}", self.name))
            }
        }
    }

    /// It could not be created, in the API server's words. What is wrong with it stays wrong; a quota, a policy or a permission may be mended.
    fn refused(&self, code: u16, why: &str) -> CheckOutcome {
        let Self { name, .. } = self;
        let by_a_webhook = why.starts_with("admission webhook");
        if matches!(code, 400 | 422) && !by_a_webhook {
            return CheckOutcome::Failed(bounded(&format!("The API server refused Job {name}: {why}")));
        }
        CheckOutcome::NotDone(around(&format!("Job {name} can't be created: "), why, "; retrying"))
    }
}

/// The last lines that say something, in one.
fn last_words(log: &str) -> Option<String> {
    let lines: Vec<_> = log.lines().map(|line| excerpt(line.as_bytes(), LINE)).filter(|line| !line.is_empty()).collect();
    let words = lines[lines.len().saturating_sub(LINES)..].join(" / ");
    (!words.is_empty()).then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &Value) -> JobCheck {
        serde_json::from_value(json!({"template": template})).unwrap()
    }

    fn with_pods(pods: &Value) -> Value {
        json!({"spec": {"template": {"spec": pods}}})
    }

    fn run() -> JobRun {
        let timeout = time::Duration::from_secs(90);
        JobRun { namespace: "web".into(), name: "shop-smoke-x".into(), metric: None, owner: "uid".into(), object: json!({}), timeout }
    }

    #[test]
    fn what_is_wrong_with_a_job_is_told_when_it_is_read() {
        let one = json!([{"name": "tests", "image": "tests:1"}]);
        let without = "the Job has no containers: add one to job.template.spec.template.spec.containers";
        let cases = [
            (json!({}), without),
            (with_pods(&json!({"containers": []})), without),
            (with_pods(&json!({"containers": ["tests"]})), without),
            (
                with_pods(&json!({"containers": one, "restartPolicy": "Always"})),
                "a Job whose containers are always restarted never ends: set restartPolicy to Never or OnFailure",
            ),
            (
                json!({"spec": {"suspend": true, "template": {"spec": {"containers": one}}}}),
                "a suspended Job never ends: remove suspend from job.template.spec",
            ),
            (
                json!({"spec": {"template": {"metadata": {"labels": {"bluegreen.dev/color": "blue"}}, "spec": {"containers": one}}}}),
                "the Job has the label bluegreen.dev/color, and labels with that prefix are the operator's: choose another name",
            ),
        ];
        for (template, expected) in cases {
            assert_eq!(JobPlan::of(&check(&template), STAYS).unwrap_err().to_string(), expected, "{template}");
        }
    }

    #[test]
    fn a_job_has_defaults_and_keeps_its_own_settings() {
        let one = json!([{"name": "tests", "image": "tests:1"}]);
        let plan = JobPlan::of(&check(&with_pods(&json!({"containers": one}))), STAYS).unwrap();
        let expected = json!({
            "backoffLimit": 0,
            "ttlSecondsAfterFinished": 600,
            "activeDeadlineSeconds": 660,
            "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]},
            "template": {"spec": {"containers": one, "restartPolicy": "Never"}},
        });
        assert_eq!((plan.spec, plan.timeout), (expected, time::Duration::from_mins(10)));
        let own = json!({
            "backoffLimit": 3,
            "ttlSecondsAfterFinished": 5,
            "activeDeadlineSeconds": 7,
            "template": {"spec": {"containers": one, "restartPolicy": "OnFailure"}},
        });
        assert_eq!(JobPlan::of(&check(&json!({"spec": own})), STAYS_AFTER_READING).unwrap().spec, own);
    }

    #[test]
    fn the_end_of_a_job_is_told_with_its_last_words() {
        let failed =
            JobEnd::Failed { reason: "BackoffLimitExceeded".into(), message: "Job has reached the specified backoff limit".into() };
        let log = |text: &str| Some(Ok(text.to_owned()));
        let remains = |exit_code, log| Remains { exit_code, log, never_ran: None };
        let late = JobEnd::Failed { reason: "DeadlineExceeded".into(), message: "too late".into() };
        let never_ran = Remains { never_ran: Some("image can't be pulled".into()), ..Remains::default() };
        let long = format!("first\n\n  {}\nsecond\nthird\n", "x".repeat(100));
        let cases = [
            (&JobEnd::Succeeded, remains(None, log("12 of 12 passed\n")), "Passed Job shop-smoke-x succeeded: 12 of 12 passed"),
            (&JobEnd::Succeeded, remains(None, log(" \n")), "Passed Job shop-smoke-x succeeded"),
            (&failed, remains(Some(3), log("a\nb\nc\nd\n")), "Failed Job shop-smoke-x failed with exit code 3: b / c / d"),
            (
                &failed,
                remains(Some(3), Some(Err("no node".into()))),
                "Failed Job shop-smoke-x failed with exit code 3 (its log can't be read: no node)",
            ),
            (
                &failed,
                Remains::default(),
                "Failed Job shop-smoke-x failed, BackoffLimitExceeded: Job has reached the specified backoff limit",
            ),
            (
                &JobEnd::TimedOut,
                remains(None, log("still at it")),
                "Failed Job shop-smoke-x did not finish within 1m30s (job.timeout): still at it",
            ),
            (&late, remains(Some(3), None), "Failed Job shop-smoke-x failed, DeadlineExceeded: too late"),
            (&JobEnd::TimedOut, never_ran, "NotDone Job shop-smoke-x did not start within 1m30s (job.timeout): image can't be pulled"),
            (&JobEnd::Deleted, Remains::default(), "NotDone Job shop-smoke-x was deleted before it finished; running it again"),
            (
                &JobEnd::Succeeded,
                remains(None, log(&long)),
                &format!("Passed Job shop-smoke-x succeeded: {}… / second / third", "x".repeat(LINE - 1)),
            ),
        ];
        for (end, remains, expected) in cases {
            let told = match run().outcome(end, &remains) {
                CheckOutcome::Passed(message) => format!("Passed {message}"),
                CheckOutcome::Failed(message) => format!("Failed {message}"),
                CheckOutcome::NotDone(message) => format!("NotDone {message}"),
            };
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn the_last_line_of_a_job_is_a_number_or_its_source_failed() {
        let log = |text: &str| Remains { log: Some(Ok(text.to_owned())), ..Remains::default() };
        let failed = |why: &str| Reading::Failed(format!("Job shop-smoke-x{why}"));
        let no_number = |line: &str| failed(&format!(" succeeded, but the last line of its log is not a number: {line:?}"));
        for (said, reading) in [
            ("warming up\n0.25\n", Reading::Value(0.25)),
            ("1\n 12 \r\n\n  \n", Reading::Value(12.0)),
            ("-1e3", Reading::Value(-1000.0)),
            ("+Inf\n", Reading::Value(f64::INFINITY)),
            ("NaN\n", Reading::NotANumber),
            ("", Reading::NoData),
            ("\n \n", Reading::NoData),
            ("0.5\ndone\n", no_number("done")),
            ("5 ms\n", no_number("5 ms")),
            ("1%\n", no_number("1%")),
        ] {
            assert_eq!(run().reading(&JobEnd::Succeeded, &log(said)), reading, "{said:?}");
        }
        let unread = Remains { log: Some(Err("no node".into())), ..Remains::default() };
        assert_eq!(run().reading(&JobEnd::Succeeded, &unread), failed(" succeeded, but its log can't be read: no node"));
        let gone = Remains { never_ran: Some("it has no pods".into()), ..Remains::default() };
        assert_eq!(run().reading(&JobEnd::Succeeded, &gone), failed(" succeeded, but its log can't be read: it has no pods"));
        let limit = JobEnd::Failed { reason: "BackoffLimitExceeded".into(), message: "no".into() };
        for (end, why) in [
            (limit, " failed with exit code 2: 0.5"),
            (JobEnd::TimedOut, " did not finish within 1m30s (job.timeout): 0.5"),
            (JobEnd::Deleted, " was deleted before it finished; running it again"),
            (
                JobEnd::NotBegun("a former one of this name is being deleted".into()),
                " was not created: a former one of this name is being deleted",
            ),
        ] {
            let remains = Remains { exit_code: Some(2), ..log("0.5\n") };
            assert_eq!(run().reading(&end, &remains), failed(why), "a number of a Job that didn't succeed is none");
        }
        for (code, words) in
            [(422, "The API server refused Job shop-smoke-x: no"), (403, "Job shop-smoke-x can't be created: no; retrying")]
        {
            let refused = JobEnd::Refused { code, why: "no".into() };
            assert_eq!(run().reading(&refused, &Remains::default()), Reading::Failed(words.into()));
        }
    }

    #[test]
    fn a_wrong_job_fails_and_a_hindered_one_waits() {
        let refused = |code, why: &str| run().outcome(&JobEnd::Refused { code, why: why.into() }, &Remains::default());
        for (code, fails) in [(400, true), (422, true), (403, false), (404, false), (409, false), (500, false), (0, false)] {
            let outcome = refused(code, "no");
            assert_eq!(matches!(outcome, CheckOutcome::Failed(_)), fails, "{code}: {outcome:?}");
        }
        assert!(matches!(refused(400, "admission webhook \"a\" denied the request"), CheckOutcome::NotDone(_)));
    }
}
