//! Queries that are ready-made: what most metrics ask, for whoever doesn't want to write PromQL.

use crate::invalid::Invalid;
use bluegreen_api::{Duration, ReadyMetric, ReadyQuery, ReadySource};

const DEFAULT_WINDOW: Duration = Duration::from_secs(60);
const SHORTEST_WINDOW: Duration = Duration::from_secs(10);

/// The pods of the side that is judged, as labels.
const PODS: &str = r#"namespace="{{ namespace }}",pod=~"{{ pods }}""#;

/// The query in PromQL, one number, with its variables in it.
pub fn query(ready: &ReadyQuery) -> Result<String, Invalid> {
    let window = ready.window.unwrap_or(DEFAULT_WINDOW);
    if window < SHORTEST_WINDOW {
        return Err(Invalid("a window of less than 10s holds too few scrapes: set at least 10s".into()));
    }
    match (ready.metric, ready.source.map(Requests::of)) {
        (ReadyMetric::ErrorRate, Some(requests)) => Ok(requests.share_of_failed(window)),
        (ReadyMetric::SuccessRate, Some(requests)) => Ok(format!("1 - {}", requests.share_of_failed(window))),
        (ReadyMetric::LatencyP50, Some(requests)) => Ok(requests.latency("0.5", window)),
        (ReadyMetric::LatencyP95, Some(requests)) => Ok(requests.latency("0.95", window)),
        (ReadyMetric::LatencyP99, Some(requests)) => Ok(requests.latency("0.99", window)),
        (ReadyMetric::RequestRate, Some(requests)) => Ok(requests.rate("", window)),
        (ReadyMetric::CPU, None) => {
            let used = format!("sum by (pod, container) (rate(container_cpu_usage_seconds_total{{{PODS},container!=\"\"}}[{window}]))");
            Ok(nearest_to_limit(&used, "cpu"))
        }
        (ReadyMetric::Memory, None) => {
            // Not a sum: what a container used that is gone is still told for a while beside what the next one uses.
            let used =
                format!("max by (pod, container) (max_over_time(container_memory_working_set_bytes{{{PODS},container!=\"\"}}[{window}]))");
            Ok(nearest_to_limit(&used, "memory"))
        }
        (ReadyMetric::Restarts, None) => Ok(format!("sum(increase(kube_pod_container_status_restarts_total{{{PODS}}}[{window}]))")),
        (ReadyMetric::CPU | ReadyMetric::Memory | ReadyMetric::Restarts, Some(_)) => {
            Err(Invalid("CPU, Memory and Restarts have no source: remove source".into()))
        }
        (
            ReadyMetric::ErrorRate
            | ReadyMetric::SuccessRate
            | ReadyMetric::LatencyP50
            | ReadyMetric::LatencyP95
            | ReadyMetric::LatencyP99
            | ReadyMetric::RequestRate,
            None,
        ) => Err(Invalid("metrics of requests need a source: set HTTP, OpenTelemetry, Istio or Linkerd".into())),
    }
}

/// How many requests there were in the window, in PromQL. None where none are counted.
pub fn requests(ready: &ReadyQuery) -> Option<String> {
    let Requests { counter, all, .. } = Requests::of(ready.source?);
    Some(format!("sum(increase({counter}{{{PODS}{all}}}[{}]))", ready.window.unwrap_or(DEFAULT_WINDOW)))
}

/// The share that is used of each container's limit, and the largest of these. Containers without a limit fall out.
fn nearest_to_limit(used: &str, resource: &str) -> String {
    format!("max({used} / max by (pod, container) (kube_pod_container_resource_limits{{{PODS},resource=\"{resource}\"}}))")
}

/// How a source counts requests. Labels have a comma before them, for they come after those of the pods.
struct Requests {
    counter: &'static str,
    /// The histogram of latencies.
    buckets: &'static str,
    /// What makes seconds of a latency.
    in_seconds: &'static str,
    /// What picks the requests that users send to the pods.
    all: &'static str,
    /// What picks the failed ones of these.
    failed: &'static str,
    /// What picks those of which it is known whether they failed.
    known: &'static str,
}

impl Requests {
    const fn of(source: ReadySource) -> Self {
        match source {
            ReadySource::HTTP => Self {
                counter: "http_requests_total",
                buckets: "http_request_duration_seconds_bucket",
                in_seconds: "",
                all: "",
                failed: r#",code=~"5..""#,
                known: r#",code!="""#,
            },
            ReadySource::OpenTelemetry => Self {
                counter: "http_server_request_duration_seconds_count",
                buckets: "http_server_request_duration_seconds_bucket",
                in_seconds: "",
                all: "",
                failed: r#",http_response_status_code=~"5..""#,
                known: r#",http_response_status_code!="""#,
            },
            ReadySource::Istio => Self {
                counter: "istio_requests_total",
                buckets: "istio_request_duration_milliseconds_bucket",
                in_seconds: " / 1000",
                all: r#",reporter="destination""#,
                failed: r#",response_code=~"5..""#,
                known: r#",response_code!="""#,
            },
            // The proxy counts probes, and requests to itself, as any others: with them a side that nobody asks would have traffic.
            ReadySource::Linkerd => Self {
                counter: "response_total",
                buckets: "response_latency_ms_bucket",
                in_seconds: " / 1000",
                all: r#",direction="inbound",route_name!="probe",target_port!="4191""#,
                failed: r#",classification="failure""#,
                known: r#",classification!="""#,
            },
        }
    }

    /// A second, of those that these labels pick.
    fn rate(&self, labels: &str, window: Duration) -> String {
        let Self { counter, all, .. } = self;
        format!("sum(rate({counter}{{{PODS}{all}{labels}}}[{window}]))")
    }

    /// A series of failed requests begins with the first of them: without one none failed. That holds only where there are requests of which
    /// the label tells whether they failed, so the 0 stands above the line: below it there is no data as long as none of these was counted,
    /// as in a program that uses another label, and 0 / 0 as long as none is.
    fn share_of_failed(&self, window: Duration) -> String {
        format!("({} or vector(0)) / {}", self.rate(self.failed, window), self.rate(self.known, window))
    }

    fn latency(&self, quantile: &str, window: Duration) -> String {
        let Self { buckets, in_seconds, all, .. } = self;
        format!("histogram_quantile({quantile}, sum by (le) (rate({buckets}{{{PODS}{all}}}[{window}]))){in_seconds}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        gates::Kind,
        metric::{
            MetricPlan,
            tests::{defined, metric, prometheus},
        },
        stage::Stage,
    };
    use serde_json::{Value, json};

    /// Where users look a query up.
    const PAGE: &str = include_str!("../../../../docs/ready-metrics.md");

    fn shown(source: Option<ReadySource>, metric: ReadyMetric) -> Option<&'static str> {
        let heading = source.map_or_else(|| "No source".to_owned(), |source| source.to_string());
        let section = PAGE.split("\n## ").find(|section| section.starts_with(&format!("{heading}\n"))).unwrap();
        section.split("\n# ").find_map(|entry| entry.strip_prefix(&format!("{metric}\n")))?.lines().next()
    }

    /// With every source, and with none.
    fn all() -> impl Iterator<Item = (Option<ReadySource>, ReadyMetric)> {
        let sources = ReadySource::ALL.into_iter().map(Some).chain([None]);
        sources.flat_map(|source| ReadyMetric::ALL.into_iter().map(move |metric| (source, metric)))
    }

    #[test]
    fn ready_metrics_ask_exactly_as_the_docs_show() {
        for (source, metric) in all() {
            let asked = query(&ReadyQuery { metric, source, window: None });
            assert_eq!(asked.ok().as_deref(), shown(source, metric), "{metric} of {source:?}");
        }
        assert_eq!(all().filter(|(source, metric)| shown(*source, *metric).is_some()).count(), 27);
    }

    /// A program with another label has no errors by this query, whatever it answers.
    #[test]
    fn a_share_needs_requests_whose_result_is_known() {
        for source in ReadySource::ALL {
            for metric in [ReadyMetric::ErrorRate, ReadyMetric::SuccessRate] {
                let asked = query(&ReadyQuery { metric, source: Some(source), window: None }).unwrap();
                let (failed, all) = asked.split_once(" or vector(0)) / ").unwrap();
                let label = |part: &str, sign: &str| {
                    let matchers = part.split(['{', ',', '}']);
                    matchers.filter_map(|it| it.split_once(sign)).map(|(name, _)| name.to_owned()).next_back().unwrap()
                };
                assert!(all.ends_with("!=\"\"}[1m]))"), "{all}");
                let tells = if source == ReadySource::Linkerd { "=" } else { "=~" };
                assert_eq!(label(failed, tells), label(all, "!="), "{asked}");
            }
        }
    }

    #[test]
    fn the_first_reading_waits_for_a_window_of_the_new_version() {
        let mut read = 0;
        for (source, what) in all() {
            let ready = ReadyQuery { metric: what, source, window: Some(Duration::from_secs(90)) };
            if query(&ready).is_err() {
                continue;
            }
            let metric = metric(&json!({"prometheus": {"ready": ready}}));
            let plan = MetricPlan::of(Stage::Monitoring, &metric, Some(&prometheus("http://prometheus")), 0).unwrap();
            assert_eq!(Duration(plan.initial_delay), Duration::from_secs(90), "{what} of {source:?}");
            read += 1;
        }
        assert_eq!(read, 27);
        let usual = defined(Stage::Monitoring, metric(&json!({"prometheus": {"ready": {"metric": "Memory"}}})));
        let Kind::Metric(plan) = usual.kind else { panic!("no metric") };
        assert_eq!(Duration(plan.initial_delay), Duration::from_secs(60));
    }

    #[test]
    fn errors_of_a_ready_metric_are_shown_before_any_query() {
        let told = |asked: Value| {
            let metric = metric(&json!({"prometheus": asked}));
            MetricPlan::of(Stage::Verification, &metric, Some(&prometheus("http://prometheus")), 0).err().map(|Invalid(why)| why)
        };
        let no_source = "metrics of requests need a source: set HTTP, OpenTelemetry, Istio or Linkerd";
        let a_source = "CPU, Memory and Restarts have no source: remove source";
        let too_short = "a window of less than 10s holds too few scrapes: set at least 10s";
        let one_of_both = "set exactly one of query and ready";
        for (asked, why) in [
            (json!({"ready": {"metric": "ErrorRate"}}), Some(no_source)),
            (json!({"ready": {"metric": "LatencyP99"}}), Some(no_source)),
            (json!({"ready": {"metric": "CPU", "source": "HTTP"}}), Some(a_source)),
            (json!({"ready": {"metric": "Restarts", "source": "Linkerd"}}), Some(a_source)),
            (json!({"ready": {"metric": "Restarts", "window": "9s999ms"}}), Some(too_short)),
            (json!({"ready": {"metric": "Restarts", "window": "10s"}}), None),
            (json!({"ready": {"metric": "Restarts"}, "query": "up"}), Some(one_of_both)),
            (json!({}), Some(one_of_both)),
        ] {
            assert_eq!(told(asked.clone()).as_deref(), why, "{asked}");
        }
    }
}
