//! `cargo xtask bench`: the cost of a rollout, beside the project's budgets and beside an earlier commit.

mod analysis;
mod figures;
mod leaders;
mod load;
mod neighbors;
mod observer;
pub(crate) mod operators;
mod profile;
mod run;
mod table;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bluegreen_cluster::binaries::words;
use bluegreen_cluster::{Cluster, Kind};

use self::operators::Operator;
use self::run::Run;
use self::table::Table;
use crate::interrupt;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    /// Number of rollouts, of two replicas each. Cold start and change of leader are measured with the largest number.
    #[arg(long, value_delimiter = ',', default_values_t = [200, 1000], value_parser = clap::value_parser!(u16).range(1..=2000))]
    rollouts: Vec<u16>,
    /// Number of these rollouts that are also updated one at a time; each takes about three seconds.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=2000), value_name = "ROLLOUTS")]
    one_at_a_time: u16,
    /// Measure the operator of an earlier commit too, and show both side by side.
    ///
    /// The commit is built in a checkout of its own below target/bench, once, and runs with its own CRD and RBAC.
    #[arg(long, value_name = "COMMIT", conflicts_with = "profile")]
    beside: Option<String>,
    /// Number of measurements of each operator; the order turns round each time, and the table shows the average.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=20))]
    rounds: u8,
    /// Number of cold starts, of changes of leader by SIGTERM, and of those by SIGKILL; the table shows the median of each.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(0..=50))]
    restarts: u8,
    /// Show the functions in which the operator spends its CPU time, by perf, instead of the table.
    #[arg(long)]
    profile: bool,
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
    /// What other rollouts feel of objects that are made to cost a lot, or to be read by nobody: ten minutes, on fake nodes.
    Neighbors {
        /// Number of rollouts beside them, of two replicas each.
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=2000))]
        rollouts: u16,
        /// How often all of them are updated at once: without the objects, beside them, and after a restart of the operator.
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=100))]
        rounds: u8,
    },
}

/// Name of the cluster, and of the namespace in it.
const NAME: &str = "bench";

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if let Some(Part::Analysis { candidates }) = options.part {
        print!("{}", analysis::figures(candidates)?);
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(obstacle) = Cluster::obstacle(Kind::Fake) {
        bail!("{obstacle}");
    }
    interrupt::watch()?;
    if let Some(Part::Neighbors { rollouts, rounds }) = options.part {
        let operators = operators::of(None)?;
        let operator = operators.first().context("there is no operator")?;
        return on_fresh_cluster(|cluster| {
            neighbors::measure(&mut Run::begin(cluster, operator, usize::from(rollouts))?, usize::from(rounds))
        });
    }
    let sizes = sizes(&options.rollouts);
    let one_at_a_time = usize::from(options.one_at_a_time);
    if options.profile {
        let size = sizes.last().copied().context("no number of rollouts is given")?;
        profile::obstacle()?;
        let operator = operators::for_profile()?;
        return on_fresh_cluster(|cluster| profile::take(cluster, &operator, size, one_at_a_time));
    }

    let plan = Plan { sizes, one_at_a_time, restarts: usize::from(options.restarts), rounds: usize::from(options.rounds) };
    let operators = operators::of(options.beside.as_deref())?;
    interrupt::check()?;
    println!("{}", plan.text(&operators));
    let labels: Vec<_> = operators.iter().map(|operator| operator.label.clone()).collect();
    let mut table = Table::new(&labels);
    let started = Instant::now();
    let turns = turns(&plan, operators.len());
    for (number, turn) in turns.iter().enumerate() {
        let operator = operators.get(turn.operator).context("a turn of no operator")?;
        println!(
            "\n== {} of {}: {} with {} rollouts [{}]",
            number + 1,
            turns.len(),
            operator.label,
            turn.rollouts,
            words(started.elapsed())
        );
        on_fresh_cluster(|cluster| {
            let mut run = Run::begin(cluster, operator, turn.rollouts)?;
            run.deploy()?;
            run.one_at_a_time(plan.one_at_a_time)?;
            run.all_at_once()?;
            run.at_rest()?;
            if turn.restarts {
                leaders::measure(&mut run, plan.restarts)?;
            }
            table.add(turn.rollouts, &operator.label, run.figures);
            Ok(())
        })?;
    }
    println!("\n{}", table.text());
    Ok(ExitCode::SUCCESS)
}

struct Plan {
    sizes: Vec<usize>,
    one_at_a_time: usize,
    restarts: usize,
    rounds: usize,
}

impl Plan {
    fn text(&self, operators: &[Operator]) -> String {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let origins: Vec<_> = operators.iter().map(|operator| format!("  {}: {}", operator.label, operator.origin)).collect();
        let minutes = self.time(operators.len()).as_secs().div_ceil(60);
        format!(
            "Rollouts of two replicas without analysis, on fake nodes; about {minutes} minutes on two cores (this machine has {cores}). The load average is {}.\n\
             {}\n\
             Each operator runs alone, with its own CRD and RBAC, on a new cluster for each number of rollouts, one after the other in turn.\n\
             Requests are counted in the API server's audit log, CPU time and memory in /proc.",
            load_average(),
            origins.join("\n")
        )
    }

    /// As it was on two cores.
    fn time(&self, operators: usize) -> Duration {
        let of_size = |size: &usize| 90.0 + 3.0 * self.one_at_a_time.min(*size) as f64 + 0.4 * *size as f64;
        let restarts = 40.0 * self.restarts as f64;
        let once = self.sizes.iter().map(of_size).sum::<f64>() + restarts;
        Duration::from_secs_f64(once * (operators * self.rounds) as f64)
    }
}

/// The numbers of rollouts, each once, the smallest first.
fn sizes(given: &[u16]) -> Vec<usize> {
    let mut sizes: Vec<_> = given.iter().copied().map(usize::from).collect();
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

/// One operator on one cluster.
#[derive(Debug, PartialEq, Eq)]
struct Turn {
    operator: usize,
    rollouts: usize,
    restarts: bool,
}

/// The order turns round each time: a machine that grows slower or faster then favours neither.
fn turns(plan: &Plan, operators: usize) -> Vec<Turn> {
    let mut turns = Vec::new();
    for round in 0..plan.rounds {
        for rollouts in &plan.sizes {
            let restarts = plan.restarts > 0 && plan.sizes.last() == Some(rollouts);
            let turn = |operator| Turn { operator, rollouts: *rollouts, restarts };
            if round % 2 == 0 { turns.extend((0..operators).map(turn)) } else { turns.extend((0..operators).rev().map(turn)) }
        }
    }
    turns
}

/// Programs that wanted to run in the last minute, on average.
fn load_average() -> String {
    let all = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    all.split(' ').next().unwrap_or("unknown").to_owned()
}

/// A cluster that nothing ran on before; after a failure it is left for a look.
fn on_fresh_cluster(measure: impl FnOnce(Cluster) -> Result<()>) -> Result<ExitCode> {
    interrupt::check()?;
    if let Ok(left) = Cluster::attach(NAME) {
        left.down()?;
    }
    let cluster = Cluster::up(Kind::Fake, NAME)?;
    let logs = cluster.dir().join("logs");
    let outcome = measure(cluster);
    if outcome.is_err() && interrupt::check().is_ok() {
        eprintln!(
            "The cluster {NAME} is left for a look; logs are in {}. `cargo xtask cluster down --name {NAME}` ends it.",
            logs.display()
        );
    } else {
        Cluster::attach(NAME)?.down()?;
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(rounds: usize) -> Plan {
        Plan { sizes: sizes(&[1000, 200, 200]), one_at_a_time: 100, restarts: 3, rounds }
    }

    #[test]
    fn the_order_of_operators_turns_round_each_time() {
        let turns = turns(&plan(2), 2);
        let order: Vec<_> = turns.iter().map(|turn| (turn.rollouts, turn.operator)).collect();
        assert_eq!(order, [(200, 0), (200, 1), (1000, 0), (1000, 1), (200, 1), (200, 0), (1000, 1), (1000, 0)]);
    }

    #[test]
    fn restarts_are_measured_with_the_largest_number_only() {
        let turns = turns(&plan(1), 1);
        assert_eq!(turns.iter().map(|turn| (turn.rollouts, turn.restarts)).collect::<Vec<_>>(), [(200, false), (1000, true)]);
    }
}
