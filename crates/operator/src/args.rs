//! The command line.

use crate::{lease::Times, measure::Signer};
use bluegreen_gates::ask::allowed::{Allowed, Source};
use clap::{Parser, ValueEnum};
use std::{net::SocketAddr, path::PathBuf, time::Duration};

/// With its commit, where it was built for an image.
const VERSION: &str = match option_env!("BLUEGREEN_VERSION") {
    Some(version) => version,
    None => env!("CARGO_PKG_VERSION"),
};

/// Operates BlueGreenRollouts: deploys each change beside the live version, verifies the new version, switches all traffic to it at once,
/// monitors it, and goes back at once if it fails.
///
/// The cluster is found as by kubectl: from KUBECONFIG, ~/.kube/config, or the service account of the pod.
/// Several operators may run; one leads, the others stand by with full caches. The CustomResourceDefinitions must be installed.
#[derive(Clone, Debug, Parser)]
#[command(name = "bluegreen-operator", version, long_version = VERSION, max_term_width = 120)]
pub struct Args {
    /// Namespace of the rollouts to operate. Default: all namespaces, which needs a ClusterRole
    #[arg(long, env = "BLUEGREEN_NAMESPACE", value_name = "NAMESPACE")]
    pub namespace: Option<String>,

    /// Address that serves /metrics, /healthz and /readyz
    #[arg(long, env = "BLUEGREEN_LISTEN", value_name = "ADDRESS", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,

    /// Default Prometheus, for rollouts that name none, as http://prometheus.monitoring:9090
    #[arg(long, env = "BLUEGREEN_PROMETHEUS_ADDRESS", value_name = "URL")]
    pub prometheus_address: Option<Source>,

    /// Directory with credentials for the default Prometheus, in files named like the keys of a Secret: token, username, password, ca.crt,
    /// tls.crt, tls.key. The files are read again every 30 seconds, so that a mounted Secret or token may change. The credentials are sent
    /// to no address that a rollout names
    #[arg(long, env = "BLUEGREEN_PROMETHEUS_CREDENTIALS", value_name = "DIRECTORY", requires = "prometheus_address")]
    pub prometheus_credentials: Option<PathBuf>,

    /// Source that rollouts may ask beside their own pods, the Services of their namespace and the default Prometheus, for metrics, checks
    /// and webhooks: same scheme, host and port, same path or below. The host may begin with *., as https://*.example.com. May be repeated.
    /// The proxy of the environment is used for allowed sources only. Metadata addresses of clouds are never asked
    #[arg(long, env = "BLUEGREEN_ALLOWED_SOURCES", value_name = "URL", value_delimiter = ',')]
    pub allowed_source: Vec<Source>,

    /// Old name of --allowed-source
    #[arg(long, env = "BLUEGREEN_ALLOWED_METRIC_SOURCES", value_name = "URL", value_delimiter = ',', hide = true)]
    pub allowed_metric_source: Vec<Source>,

    /// Let rollouts ask any address but the metadata addresses of clouds, for development only. With this flag anyone who may write a
    /// rollout can reach whatever the operator can reach, its own machine included
    #[arg(long, env = "BLUEGREEN_ALLOW_ANY_SOURCE")]
    pub allow_any_source: bool,

    /// Let rollouts ask pods and allowed sources at loopback addresses, for development only
    #[arg(long, env = "BLUEGREEN_ALLOW_LOOPBACK_TARGETS", hide = true)]
    pub allow_loopback_targets: bool,

    /// File with the key that signs webhooks: the header Bluegreen-Signature is the HMAC-SHA256 of the body. The file is read for each
    /// request, so that a mounted Secret may change; white space at its end is not part of the key. While the file is unreadable, no
    /// webhook is sent
    #[arg(long, env = "BLUEGREEN_WEBHOOK_KEY_FILE", value_name = "FILE")]
    pub webhook_key_file: Option<PathBuf>,

    /// Namespace of the Lease for leader election. Default: the operator's own namespace
    #[arg(long, env = "BLUEGREEN_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,

    /// Name of the Lease for leader election. Operators with different rollouts need different Leases
    #[arg(long, env = "BLUEGREEN_LEASE_NAME", value_name = "NAME", default_value = "bluegreen-operator")]
    pub lease_name: String,

    /// Seconds without a renewal after which another operator may take over the Lease
    #[arg(long, env = "BLUEGREEN_LEASE_DURATION", value_name = "SECONDS", default_value_t = 15, value_parser = clap::value_parser!(u64).range(3..=3600))]
    pub lease_duration: u64,

    /// Seconds without a renewal after which the leader stops, less than --lease-duration. Default: two thirds of --lease-duration
    #[arg(long, env = "BLUEGREEN_LEASE_RENEW_DEADLINE", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(2..=3600))]
    pub lease_renew_deadline: Option<u64>,

    /// Unique name of this process as holder of the Lease. Default: the name of the pod, else a generated name
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    pub identity: Option<String>,

    /// Number of rollouts that are reconciled at the same time
    #[arg(long, env = "BLUEGREEN_CONCURRENCY", value_name = "NUMBER", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub concurrency: u16,

    /// Number of worker threads
    #[arg(long, env = "BLUEGREEN_THREADS", value_name = "NUMBER", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub threads: u16,

    /// Log level (error, warn, info, debug, trace), or levels by module, as info,bluegreen_operator=debug
    #[arg(long, env = "BLUEGREEN_LOG", value_name = "FILTER", default_value = "info")]
    pub log: String,

    /// Log format: text for people, json for programs
    #[arg(long, env = "BLUEGREEN_LOG_FORMAT", value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "--lease-renew-deadline ({deadline}s) must be less than --lease-duration ({duration}s): a leader must stop before another operator may begin"
)]
pub struct InvalidTimes {
    deadline: u64,
    duration: u64,
}

impl Args {
    pub fn times(&self) -> Result<Times, InvalidTimes> {
        let duration = self.lease_duration;
        let deadline = self.lease_renew_deadline.unwrap_or(duration * 2 / 3);
        if deadline >= duration {
            return Err(InvalidTimes { deadline, duration });
        }
        Ok(Times {
            duration: Duration::from_secs(duration),
            renew_deadline: Duration::from_secs(deadline),
            retry: Duration::from_millis(deadline * 200).min(Duration::from_secs(2)),
        })
    }

    /// What rollouts may ask.
    pub fn allowed(&self) -> Allowed {
        Allowed {
            sources: self.allowed_source.iter().chain(&self.allowed_metric_source).cloned().collect(),
            prometheus: self.prometheus_address.clone(),
            any: self.allow_any_source,
            machine: self.allow_loopback_targets,
        }
    }

    pub fn signer(&self) -> Signer {
        Signer(self.webhook_key_file.clone())
    }

    /// Unique for each process, also on one machine.
    pub fn identity(&self) -> String {
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let made_up = || {
            let start = jiff::Timestamp::now().as_nanosecond();
            format!("{}_{}_{start}", host().trim(), std::process::id())
        };
        self.identity.clone().filter(|name| !name.is_empty()).unwrap_or_else(made_up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_leader_stops_before_others_begin() {
        let times = |args: &[&str]| Args::try_parse_from([&["bluegreen-operator"], args].concat()).unwrap().times();
        let default = times(&[]).unwrap();
        assert_eq!((default.duration.as_secs(), default.renew_deadline.as_secs(), default.retry.as_secs()), (15, 10, 2));
        assert!(times(&["--lease-renew-deadline", "15"]).is_err());
        let short = times(&["--lease-duration", "3"]).unwrap();
        assert_eq!((short.renew_deadline.as_secs(), short.retry.as_millis()), (2, 400));
    }

    #[test]
    fn nothing_is_allowed_unless_a_flag_says_so() {
        let allowed = |args: &[&str]| Args::try_parse_from([&["x"], args].concat()).map(|args| args.allowed());
        let none = allowed(&[]).unwrap();
        assert!(none.sources.is_empty() && none.prometheus.is_none() && !none.any && !none.machine);
        let both =
            ["--allowed-source", "http://a:9090", "--allowed-source=https://*.example.com,http://b", "--allowed-metric-source", "http://c"];
        assert_eq!(allowed(&both).unwrap().sources.len(), 4);
        assert!(allowed(&["--allow-any-source"]).unwrap().any);
        for wrong in ["a:9090", "http://me:secret@a"] {
            let error = allowed(&["--allowed-source", wrong]).unwrap_err().to_string();
            assert!(error.contains("a source must"), "{error}");
        }
    }

    #[test]
    fn the_credentials_of_a_prometheus_need_its_address() {
        let parsed = |args: &[&str]| Args::try_parse_from([&["x", "--prometheus-credentials", "/etc/prometheus"], args].concat());
        let error = parsed(&[]).unwrap_err().to_string();
        assert!(error.contains("--prometheus-address <URL>"), "{error}");
        assert_eq!(parsed(&["--prometheus-address", "http://a:9090"]).unwrap().prometheus_credentials, Some("/etc/prometheus".into()));
    }

    #[test]
    fn webhooks_are_signed_when_a_key_file_is_named() {
        let signer = |args: &[&str]| Args::try_parse_from([&["x"], args].concat()).unwrap().signer().0;
        assert_eq!(signer(&["--webhook-key-file", "/etc/key"]), Some("/etc/key".into()));
        assert_eq!(signer(&[]), None);
    }
}
