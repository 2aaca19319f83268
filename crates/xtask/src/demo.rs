//! `cargo xtask demo`: what the operator is for, shown as it happens.

mod own;
mod plan;
mod story;
mod timeline;
mod traffic;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use bluegreen_cluster::binaries::words;
use bluegreen_cluster::{Cluster, Kind, OPERATOR, SYSTEM_NAMESPACE};

use self::plan::Plan;
use self::story::Story;
use crate::built::binary;
use crate::interrupt;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// On fake nodes, without root: the same story without traffic and without Prometheus.
    #[arg(long)]
    fake: bool,
    /// On the cluster that KUBECONFIG names, as that of kind or minikube: the same story without traffic.
    #[arg(long, conflicts_with = "fake")]
    own_cluster: bool,
    /// Compile the operator as it is shipped, optimized: about 8 minutes the first time instead of 2.
    #[arg(long)]
    release: bool,
}

/// The cluster's name.
const NAME: &str = "demo";

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    let started = Instant::now();
    let plan = || Plan::of(options).text(std::thread::available_parallelism().map_or(1, usize::from));
    if options.own_cluster {
        println!("{}", plan());
        interrupt::watch()?;
        own::run(options.release)?;
        return Ok(ExitCode::SUCCESS);
    }
    let kind = if options.fake { Kind::Fake } else { Kind::Node };
    if let Some(obstacle) = Cluster::obstacle(kind) {
        if kind == Kind::Node && Cluster::obstacle(Kind::Fake).is_none() {
            bail!(
                "{obstacle}.\nThe same story without traffic runs on fake nodes by `cargo xtask demo --fake`, and on a cluster of your own by \
                 `KUBECONFIG=… cargo xtask demo --own-cluster`."
            );
        }
        bail!("{obstacle}");
    }
    println!("{}", plan());
    interrupt::watch()?;
    if let Ok(cluster) = Cluster::attach(NAME) {
        eprintln!("Taking down the cluster of an earlier demo …");
        cluster.down()?;
    }
    eprintln!("Compiling the operator and the load generator …");
    let operator = binary("bluegreen-operator", options.release)?;
    let load = binary("bluegreen-load", options.release)?;
    interrupt::check()?;
    let nodes = if options.fake { "fake nodes" } else { "a real node: kubelet, containerd, kube-proxy, Prometheus" };
    eprintln!("Bringing up Kubernetes with {nodes} …");
    let mut cluster = Cluster::up(kind, NAME)?;
    let outcome = begin(&mut cluster, &operator).and_then(|()| {
        println!("\nKubernetes with {nodes} is up, and the operator runs on it [{}].", words(started.elapsed()));
        let kubectl = |words: &[&str]| cluster.kubectl(words);
        let story = Story::begin(&kubectl, cluster.dir(), kind == Kind::Node)?;
        match kind {
            Kind::Node => story.with_traffic(&cluster, &load),
            Kind::Fake => story.without_traffic(|color| story::unready_by_annotation(&kubectl, color)),
        }
    });
    match outcome {
        Ok(()) => {
            println!("\nThat was all, in {}.", words(started.elapsed()));
            look_around();
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            if interrupt::check().is_err() {
                // As it is on disk: the story has started programs too.
                Cluster::attach(NAME)?.down()?;
                return Err(error);
            }
            let log = cluster.dir().join("logs").join(format!("{OPERATOR}.log"));
            eprintln!("error: {error:#}\nThe operator's log is {}.", log.display());
            look_around();
            Ok(ExitCode::FAILURE)
        }
    }
}

/// The resource, the operator's account, and the operator itself, under no more rights than it has anywhere.
fn begin(cluster: &mut Cluster, operator: &std::path::Path) -> Result<()> {
    let kubeconfig = cluster.install().context("cannot install the operator")?;
    let mut args = vec!["--listen=127.0.0.1:18080".to_owned(), format!("--lease-namespace={SYSTEM_NAMESPACE}")];
    // After a lost lease on a busy machine nothing would start the operator again.
    args.push("--lease-duration=60".to_owned());
    args.extend(cluster.prometheus().map(|address| format!("--prometheus-address={address}")));
    let env = BTreeMap::from([("KUBECONFIG".to_owned(), kubeconfig.display().to_string())]);
    cluster.start_program(OPERATOR, operator, args, env)
}

fn look_around() {
    println!(
        "\nThe cluster and the operator are still there. To look around, and to try a version of your own (1.0.0 to 9.0.0, also with -unready, \
         -slow, -crash, -errors, -latency, -errors-under-load, -latency-under-load):\n
  cargo xtask cluster kubectl --name {NAME} -- get bgr -n demo -o wide
  cargo xtask cluster kubectl --name {NAME} -- get bgr shop -n demo -o yaml
  cargo xtask cluster kubectl --name {NAME} -- get events -n demo
  cargo xtask cluster kubectl --name {NAME} -- explain bgr.spec.promotion
  cargo xtask cluster kubectl --name {NAME} -- patch bgr shop -n demo --type merge -p '{{\"spec\":{{\"image\":\"registry.example/shop:5.0.0\"}}}}'
\nTo take it down:\n
  cargo xtask cluster down --name {NAME}"
    );
}
