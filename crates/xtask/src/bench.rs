//! `cargo xtask bench`: what a rollout costs, beside the budgets of the design.

mod analysis;
mod figures;
mod observer;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bluegreen_cluster::audit::AuditLog;
use bluegreen_cluster::binaries::words;
use bluegreen_cluster::{Cluster, Kind, OPERATOR, SYSTEM_NAMESPACE};
use serde_json::{Value, json};

use self::figures::{Cpu, Requests, Table, memory, quantile};
use self::observer::Observer;
use crate::built::binary;
use crate::interrupt;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// How many rollouts there are; each is updated twice.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=2000))]
    rollouts: u16,
    #[command(subcommand)]
    part: Option<Part>,
}

#[derive(clap::Subcommand)]
enum Part {
    /// How often each way of judging condemns a healthy release, and how soon it finds a bad one: a simulation, five minutes, no cluster.
    Analysis {
        /// How many candidates are judged in each case.
        #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u32).range(10..=100_000))]
        candidates: u32,
    },
}

const NAME: &str = "bench";
const REST: Duration = Duration::from_secs(60);
/// What the operator calls itself to the API server begins so.
const USER_AGENT: &str = "bluegreen";

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if let Some(Part::Analysis { candidates }) = options.part {
        print!("{}", analysis::figures(candidates)?);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(obstacle) = Cluster::obstacle(Kind::Fake) {
        bail!("{obstacle}");
    }
    interrupt::watch()?;
    eprintln!("Building the operator as it is shipped (about three minutes the first time) …");
    let operator = binary("bluegreen-operator", true)?;
    interrupt::check()?;
    if let Ok(left) = Cluster::attach(NAME) {
        left.down()?;
    }
    let mut cluster = Cluster::up(Kind::Fake, NAME)?;
    let outcome = measure(&mut cluster, &operator, usize::from(options.rollouts));
    match &outcome {
        Err(_) if interrupt::check().is_ok() => {
            let dir = cluster.dir().join("logs");
            eprintln!(
                "The cluster {NAME} is left for a look; logs are in {}. `cargo xtask cluster down --name {NAME}` ends it.",
                dir.display()
            );
        }
        _ => cluster.down()?,
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

struct Bench<'a> {
    cluster: &'a Cluster,
    observer: Observer,
    audit: AuditLog,
    pid: i32,
    rollouts: usize,
    table: Table,
}

/// What a part of the run took of the API server and of the processor.
struct Cost {
    requests: Requests,
    cpu: Cpu,
}

fn measure(cluster: &mut Cluster, operator: &Path, rollouts: usize) -> Result<()> {
    let kubeconfig = cluster.install()?;
    // A busy machine is no reason to lose the lease in the middle of a measurement.
    let args =
        ["--listen=127.0.0.1:0", &format!("--lease-namespace={SYSTEM_NAMESPACE}"), "--lease-duration=60"].map(str::to_owned).to_vec();
    let env = BTreeMap::from([("KUBECONFIG".to_owned(), kubeconfig.display().to_string())]);
    cluster.start_program(OPERATOR, operator, args, env)?;
    let pid = cluster.programs().iter().find(|program| program.name == OPERATOR).and_then(|program| program.pid);
    kubectl(cluster, &["create", "namespace", NAME])?;
    let mut bench = Bench {
        observer: Observer::of(cluster, NAME)?,
        audit: AuditLog::from_now(&cluster.audit_log())?,
        pid: pid.context("the operator was started, but has no process id")?,
        cluster,
        rollouts,
        table: Table::default(),
    };
    println!("{rollouts} rollouts of two replicas, without analysis, on fake nodes; requests counted by the API server's audit log.");
    bench.deploy()?;
    bench.one_at_a_time()?;
    bench.all_at_once()?;
    bench.at_rest()?;
    println!("\nBeside the budgets of design.md, section 9:\n\n{}", bench.table.text());
    Ok(())
}

impl Bench<'_> {
    fn name(number: usize) -> String {
        format!("shop-{number}")
    }

    /// All of them, with this image.
    fn manifests(&self, image: &str) -> String {
        let one = |number| -> Value {
            json!({
                "apiVersion": "bluegreen.dev/v1alpha1",
                "kind": "BlueGreenRollout",
                "metadata": {"name": Self::name(number), "namespace": NAME},
                "spec": {
                    "image": image,
                    "replicas": 2,
                    "template": {"spec": {"containers": [{"name": "shop", "ports": [{"name": "http", "containerPort": 8080}]}]}},
                    "service": {"ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
                    // Waiting costs nothing that is measured.
                    "scaleDown": {"drain": "1s", "after": "1s"},
                },
            })
        };
        let items: Vec<_> = (0..self.rollouts).map(one).collect();
        json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
    }

    fn until_all_serve(&mut self, image: &str) -> Result<()> {
        let rollouts = self.rollouts;
        self.observer.until("all rollouts serve and are at rest", |seen| {
            seen.values().filter(|watched| watched.settled.as_deref() == Some(image)).count() == rollouts
        })
    }

    /// What the operator used since the last time this was asked.
    fn cost(&mut self, before: Cpu) -> Result<Cost> {
        // The audit log is written a moment after the answer.
        interrupt::sleep(Duration::from_millis(500))?;
        Ok(Cost { requests: Requests::of(&self.audit.requests()?, USER_AGENT), cpu: Cpu::of(self.pid)?.since(before) })
    }

    fn tell(&self, cost: &Cost) {
        for line in cost.requests.lines(self.rollouts) {
            println!("{line}");
        }
        let each = |count: usize| count as f64 / self.rollouts as f64;
        println!("  together {:.2} a rollout; besides, {} for leases and watches in all", each(cost.requests.all()), cost.requests.apart);
        println!("  processor time of the operator: {}", cost.cpu.told(self.rollouts));
    }

    fn deploy(&mut self) -> Result<()> {
        let started = Instant::now();
        self.cluster.apply(&self.manifests("registry.example/shop:1.0.0"))?;
        self.until_all_serve("registry.example/shop:1.0.0")?;
        println!("\nDeployed for the first time, in {}:", words(started.elapsed()));
        let cost = self.cost(Cpu::default())?;
        self.tell(&cost);
        Ok(())
    }

    fn one_at_a_time(&mut self) -> Result<()> {
        const IMAGE: &str = "registry.example/shop:2.0.0";
        let (started, before) = (Instant::now(), Cpu::of(self.pid)?);
        let patch = json!({"spec": {"image": IMAGE}}).to_string();
        for number in 0..self.rollouts {
            let name = Self::name(number);
            kubectl(self.cluster, &["patch", "bgr", &name, "--namespace", NAME, "--type=merge", "--patch", &patch])?;
            let what = format!("{name} serves the new image and is at rest");
            self.observer.until(&what, |seen| seen.get(&name).is_some_and(|watched| watched.settled.as_deref() == Some(IMAGE)))?;
            if (number + 1) % 10 == 0 {
                eprintln!("  updated {} of {} [{}]", number + 1, self.rollouts, words(started.elapsed()));
            }
        }
        println!("\nUpdated one at a time, from the patch until the old color is scaled down, in {}:", words(started.elapsed()));
        let cost = self.cost(before)?;
        self.tell(&cost);
        let mut switches: Vec<_> = self.observer.rollouts.values().flat_map(|watched| watched.switches.iter().copied()).collect();
        ensure!(switches.len() == self.rollouts, "{} rollouts were updated, but {} switches were seen", self.rollouts, switches.len());
        switches.sort_unstable();
        let at = |share| quantile(&switches, share);
        println!(
            "  preview available → active Service switched: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, at most {:.1} ms\n  \
             (from the event of the Deployment that has all pods new and available to that of the Service's new selector, as two watches tell them)",
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0)
        );
        self.table.compare("API requests a rollout", 12.0, cost.requests.all() as f64 / self.rollouts as f64, "");
        self.table.compare("operator CPU a rollout, one at a time", 5.0, cost.cpu.each(self.rollouts), " ms");
        self.table.compare("available → switched, p50", 12.0, at(0.5), " ms");
        self.table.compare("available → switched, p99", 40.0, at(0.99), " ms");
        Ok(())
    }

    fn all_at_once(&mut self) -> Result<()> {
        const IMAGE: &str = "registry.example/shop:3.0.0";
        let (started, before) = (Instant::now(), Cpu::of(self.pid)?);
        let list = self.cluster.dir().join("rollouts.json");
        std::fs::write(&list, self.manifests(IMAGE)).with_context(|| format!("cannot write {}", list.display()))?;
        // One kubectl for all of them: starting a hundred would take the processor from what is measured.
        let patch = json!({"spec": {"image": IMAGE}}).to_string();
        kubectl(self.cluster, &["patch", "--filename", &list.display().to_string(), "--type=merge", "--patch", &patch])?;
        let patched = started.elapsed();
        self.until_all_serve(IMAGE)?;
        let last = self.observer.rollouts.values().filter_map(|watched| watched.switched).max();
        let switched = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(started));
        println!(
            "\nUpdated all at once: patched within {}, all switched after {}, all at rest after {}:",
            words(patched),
            words(switched),
            words(started.elapsed())
        );
        let cost = self.cost(before)?;
        self.tell(&cost);
        self.table.compare("API requests a rollout, all at once", 12.0, cost.requests.all() as f64 / self.rollouts as f64, "");
        self.table.compare("operator CPU a rollout, all at once", 5.0, cost.cpu.each(self.rollouts), " ms");
        let measured = format!("{} for {}", words(switched), self.rollouts);
        self.table.row("patched at once → all switched", "not by us", &measured, "told");
        Ok(())
    }

    fn at_rest(&mut self) -> Result<()> {
        // Pods still end, and the last events are written.
        interrupt::sleep(Duration::from_secs(5))?;
        self.audit.requests()?;
        let before = Cpu::of(self.pid)?;
        eprintln!("\nLooking for {} s at what the operator does when there is nothing to do …", REST.as_secs());
        interrupt::sleep(REST)?;
        let cost = self.cost(before)?;
        let (now, most) = memory(self.pid)?;
        println!(
            "\nAt rest for {} s: {} requests, {} of them writes; besides, {} for leases and watches.",
            REST.as_secs(),
            cost.requests.all(),
            cost.requests.writes(),
            cost.requests.apart
        );
        for line in cost.requests.lines(1) {
            println!("{line}");
        }
        println!("  processor time of the operator: {} ms; resident memory {now:.1} MiB, at most {most:.1} MiB", cost.cpu.each(1));
        self.table.compare("writes at rest in a minute", 0.0, cost.requests.writes() as f64, "");
        let what = format!("resident memory at {} rollouts (budget: at 1000)", self.rollouts);
        self.table.compare(&what, 48.0, now, " MiB");
        self.table.row("cold start with 1000 rollouts", "2 s", "-", "not measured here");
        Ok(())
    }
}

fn kubectl(cluster: &Cluster, words: &[&str]) -> Result<()> {
    let output = cluster.kubectl(words).stdin(Stdio::null()).output().context("cannot start kubectl")?;
    ensure!(output.status.success(), "`kubectl {}` failed: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
