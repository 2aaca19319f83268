//! One operator with so many rollouts on a cluster of their own: deployed, updated one at a time and all at once, at rest.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bluegreen_cluster::audit::AuditLog;
use bluegreen_cluster::binaries::words;
use bluegreen_cluster::{Cluster, OPERATOR, SYSTEM_NAMESPACE, Signal};

use super::NAME;
use super::figures::{self, Cpu, Requests, memory, quantile};
use super::load;
use super::observer::Observer;
use super::operators::Operator;
use super::table::Figure;
use crate::interrupt;

const REST: Duration = Duration::from_secs(60);
/// A busy machine is no reason to lose the lease in the middle of a measurement.
const ARGUMENTS: &[&str] = &["--listen=127.0.0.1:0", "--lease-duration=60"];
/// The operator's user agent begins so.
const USER_AGENT: &str = "bluegreen";

pub(super) struct Run<'a> {
    pub(super) cluster: Cluster,
    pub(super) operator: &'a Operator,
    pub(super) observer: Observer,
    pub(super) rollouts: usize,
    pub(super) figures: Vec<Figure>,
    kubeconfig: String,
    audit: AuditLog,
    versions: u32,
}

/// Requests and CPU time of a part of the run.
struct Cost {
    requests: Requests,
    cpu: Cpu,
}

impl<'a> Run<'a> {
    /// Installs the CRD and RBAC of the operator, and starts it.
    pub(super) fn begin(cluster: Cluster, operator: &'a Operator, rollouts: usize) -> Result<Self> {
        let kubeconfig = cluster.install_from(&operator.config)?.display().to_string();
        load::kubectl(&cluster, &["create", "namespace", NAME])?;
        let mut run = Self {
            observer: Observer::of(&cluster, NAME, rollouts)?,
            audit: AuditLog::from_now(&cluster.audit_log())?,
            cluster,
            operator,
            rollouts,
            figures: Vec::new(),
            kubeconfig,
            versions: 0,
        };
        run.start(OPERATOR, ARGUMENTS)?;
        Ok(run)
    }

    pub(super) fn start(&mut self, name: &str, args: &[&str]) -> Result<()> {
        let lease = format!("--lease-namespace={SYSTEM_NAMESPACE}");
        let args = args.iter().copied().chain([lease.as_str()]).map(str::to_owned).collect();
        let env = BTreeMap::from([("KUBECONFIG".to_owned(), self.kubeconfig.clone())]);
        let program: &Path = &self.operator.program;
        self.cluster.start_program(name, program, args, env)
    }

    /// Sends a signal that ends a program, and waits until it has ended.
    pub(super) fn end(&self, name: &str, signal: Signal) -> Result<()> {
        self.cluster.signal_process(name, signal)?;
        let until = Instant::now() + Duration::from_secs(60);
        while self.cluster.programs().iter().any(|program| program.name == name && program.running) {
            interrupt::check()?;
            ensure!(Instant::now() < until, "{name} still runs 60 s after {signal:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    pub(super) fn pid(&self) -> Result<i32> {
        let program = self.cluster.programs().into_iter().find(|program| program.name == OPERATOR);
        match program {
            Some(program) if program.running => program.pid.context("the operator has no process id"),
            Some(program) => bail!("the operator has ended by itself; its log is {}", program.log.display()),
            None => bail!("the operator was never started"),
        }
    }

    /// An image that no rollout had before.
    pub(super) fn next_image(&mut self) -> String {
        self.versions += 1;
        load::image(self.versions)
    }

    pub(super) fn until_settled(&mut self, numbers: &[usize], image: &str) -> Result<()> {
        let names: Vec<_> = numbers.iter().copied().map(load::name).collect();
        let what = format!("{} rollouts serve {image} and are at rest", names.len());
        self.observer.until(&what, |seen| {
            names.iter().all(|name| seen.rollouts.get(name).is_some_and(|watched| watched.settled.as_deref() == Some(image)))
        })
    }

    fn all(&self) -> Vec<usize> {
        (0..self.rollouts).collect()
    }

    /// The cost since the last call, and since this CPU time.
    fn cost(&mut self, before: Cpu) -> Result<Cost> {
        // The audit log is written a moment after the answer.
        interrupt::sleep(Duration::from_millis(500))?;
        Ok(Cost { requests: Requests::of(&self.audit.requests()?, USER_AGENT), cpu: Cpu::of(self.pid()?)?.since(before) })
    }

    fn report(cost: &Cost, rollouts: usize) {
        for line in cost.requests.lines(rollouts) {
            println!("{line}");
        }
        let each = cost.requests.all() as f64 / rollouts as f64;
        println!("  together {each:.2} a rollout; besides, {} for leases and watches in all", cost.requests.apart);
        println!("  CPU time of the operator: {}", cost.cpu.text(rollouts));
    }

    pub(super) fn deploy(&mut self) -> Result<()> {
        let started = Instant::now();
        let (all, image) = (self.all(), self.next_image());
        load::create(&self.cluster, &all, &image)?;
        self.until_settled(&all, &image)?;
        println!("\nDeployed for the first time, in {}:", words(started.elapsed()));
        let cost = self.cost(Cpu::default())?;
        Self::report(&cost, self.rollouts);
        Ok(())
    }

    pub(super) fn one_at_a_time(&mut self, sample: usize) -> Result<()> {
        let (numbers, image) = (load::sample(sample, self.rollouts), self.next_image());
        let (started, before) = (Instant::now(), Cpu::of(self.pid()?)?);
        self.observer.forget_switches();
        for (done, number) in numbers.iter().enumerate() {
            load::patch(&self.cluster, *number, &image)?;
            self.until_settled(&[*number], &image)?;
            if (done + 1) % 10 == 0 {
                eprintln!("  updated {} of {} [{}]", done + 1, numbers.len(), words(started.elapsed()));
            }
        }
        println!(
            "\n{} updated one at a time, from the patch until the old color is scaled down, in {}:",
            numbers.len(),
            words(started.elapsed())
        );
        let cost = self.cost(before)?;
        Self::report(&cost, numbers.len());
        let mut switches: Vec<_> = self.observer.seen.rollouts.values().flat_map(|watched| watched.switches.iter().copied()).collect();
        ensure!(switches.len() == numbers.len(), "{} rollouts were updated, but {} switches were seen", numbers.len(), switches.len());
        switches.sort_unstable();
        let at = |share| quantile(&switches, share);
        println!(
            "  preview available → active Service switched: p50 {:.1} ms, p90 {:.1} ms, p99 {:.1} ms, at most {:.1} ms\n  \
             (from the event of the Deployment that has all pods new and available to that of the Service's new selector, as two watches show them)",
            at(0.5),
            at(0.9),
            at(0.99),
            at(1.0)
        );
        self.figures.extend([
            Figure::new("API requests a rollout, one at a time", cost.requests.all() as f64 / numbers.len() as f64, "").within(10.0),
            Figure::new("CPU a rollout, one at a time", cost.cpu.each(numbers.len()), " ms").within(figures::CPU_BUDGET),
            Figure::new("available → switched, p50", at(0.5), " ms").within(10.9),
            Figure::new("available → switched, p90", at(0.9), " ms").within(30.8),
            Figure::new("available → switched, p99", at(0.99), " ms"),
        ]);
        Ok(())
    }

    pub(super) fn all_at_once(&mut self) -> Result<()> {
        let (all, image) = (self.all(), self.next_image());
        let (started, before) = (Instant::now(), Cpu::of(self.pid()?)?);
        load::patch_all(&self.cluster, &all, &image)?;
        let patched = started.elapsed();
        self.until_settled(&all, &image)?;
        let last = self.observer.seen.rollouts.values().filter_map(|watched| watched.switched).max();
        let switched = last.map_or(Duration::ZERO, |last| last.saturating_duration_since(started));
        println!(
            "\nAll {} updated at once: patched within {}, all switched after {}, all at rest after {}:",
            self.rollouts,
            words(patched),
            words(switched),
            words(started.elapsed())
        );
        let cost = self.cost(before)?;
        Self::report(&cost, self.rollouts);
        self.figures.extend([
            Figure::new("API requests a rollout, all at once", cost.requests.all() as f64 / self.rollouts as f64, "").within(10.0),
            Figure::new("CPU a rollout, all at once", cost.cpu.each(self.rollouts), " ms").within(figures::CPU_BUDGET),
            Figure::new("first patch → all switched, all at once", switched.as_secs_f64(), " s"),
        ]);
        Ok(())
    }

    pub(super) fn at_rest(&mut self) -> Result<()> {
        // Pods still end, and the last events are written.
        interrupt::sleep(Duration::from_secs(5))?;
        self.audit.requests()?;
        let before = Cpu::of(self.pid()?)?;
        eprintln!("\nWatching the operator for {} s while there is nothing to do …", REST.as_secs());
        interrupt::sleep(REST)?;
        let cost = self.cost(before)?;
        let (now, most) = memory(self.pid()?)?;
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
        println!("  CPU time of the operator: {} ms; resident memory {now:.1} MiB, at most {most:.1} MiB", cost.cpu.each(1));
        let resident = Figure::new("resident memory at rest", now, " MiB");
        self.figures.extend([
            Figure::new("writes at rest in a minute", cost.requests.writes() as f64, "").within(0.0),
            Figure::new("CPU at rest in a minute", cost.cpu.each(1), " ms"),
            if self.rollouts >= 1000 { resident.within(48.0) } else { resident },
            Figure::new("resident memory, the most it had", most, " MiB"),
        ]);
        Ok(())
    }
}
