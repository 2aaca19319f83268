//! `cargo xtask cluster …`

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use bluegreen_cluster::binaries::words;
use bluegreen_cluster::{Cluster, Kind};
use clap::Subcommand;

#[derive(Subcommand)]
pub(crate) enum Task {
    /// Bring a cluster up and leave it running.
    ///
    /// With --fake (the default): etcd, API server, controllers and scheduler are real; nodes and pods are played by
    /// kwok. It needs no root, starts in about 5 s, and holds thousands of pods. A pod's fate is chosen by the end of
    /// its image's tag: -unready, -slow, -crash, -missing, -invalid, -fail.
    ///
    /// With --node: a real kubelet with containerd, kube-proxy and Prometheus too, all in a network namespace of
    /// their own. It needs root and Debian's packages (installed if missing), and starts in about 7 s.
    ///
    /// The first time, Kubernetes is built from source by Go: six to nine minutes on two cores.
    #[command(verbatim_doc_comment)]
    Up {
        /// Nodes and pods are played by kwok; nothing runs in them.
        #[arg(long, conflicts_with = "node")]
        fake: bool,
        /// One real node: real pods, real traffic, Prometheus.
        #[arg(long)]
        node: bool,
        /// Any number of clusters run at once, each by its name.
        #[arg(long, default_value = "dev")]
        name: String,
    },
    /// End a cluster at once and remove all that was its own (under 1 s; a real node: a few seconds).
    Down {
        #[arg(long, default_value = "dev")]
        name: String,
    },
    /// Show the clusters of this checkout: kind, address, and which of their programs run.
    Status,
    /// Run kubectl on a cluster: `cargo xtask cluster kubectl -- get pods -A`.
    Kubectl {
        #[arg(long, default_value = "dev")]
        name: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
}

pub(crate) fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Up { node, name, fake: _ } => up(if node { Kind::Node } else { Kind::Fake }, &name),
        Task::Down { name } => {
            Cluster::attach(&name)?.down()?;
            println!("Cluster {name} is gone.");
            Ok(ExitCode::SUCCESS)
        }
        Task::Status => status(),
        Task::Kubectl { name, args } => {
            let status = Cluster::attach(&name)?.kubectl(args).status().context("cannot start kubectl")?;
            Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
        }
    }
}

fn up(kind: Kind, name: &str) -> Result<ExitCode> {
    let started = Instant::now();
    let cluster = Cluster::up(kind, name)?;
    println!("Cluster {name} is ready after {}: {}", words(started.elapsed()), cluster.server());
    println!();
    if kind == Kind::Fake {
        println!("  export KUBECONFIG={}", cluster.kubeconfig().display());
    }
    println!("  cargo xtask cluster kubectl --name {name} -- get nodes");
    println!("  cargo xtask cluster down --name {name}");
    Ok(ExitCode::SUCCESS)
}

fn status() -> Result<ExitCode> {
    let names = Cluster::names();
    if names.is_empty() {
        println!("No cluster. Bring one up with `cargo xtask cluster up`.");
    }
    for name in names {
        let cluster = Cluster::attach(&name)?;
        let kind = match cluster.kind() {
            Kind::Fake => "fake nodes",
            Kind::Node => "a real node",
        };
        println!("{name}: {kind}, {}, {}", cluster.server(), cluster.kubeconfig().display());
        for program in cluster.programs() {
            let state = if program.running { "running" } else { "stopped" };
            let pid = program.pid.map_or_else(String::new, |pid| format!("pid {pid}"));
            println!("  {:<24} {state}  {pid:<11} {}", program.name, program.log.display());
        }
    }
    Ok(ExitCode::SUCCESS)
}
