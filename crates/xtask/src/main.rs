//! The project's own tasks, so that nothing has to be remembered or typed twice: `cargo xtask --help`.

mod bench;
mod built;
mod cluster;
mod demo;
mod generate;
mod image;
mod interrupt;
mod prove;
mod run;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Tasks of the bluegreen project.
///
/// Everything that a task needs is built or installed by it, and it says so first.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Real Kubernetes on this machine, to try things on: up, down, status, kubectl.
    #[command(subcommand)]
    Cluster(cluster::Task),
    /// Watch the operator at work: a real cluster comes up, and versions come and go under load.
    Demo(demo::Options),
    /// Run every test that this machine can run, and name what it could not run and why.
    ///
    /// Lints and the tests of the crates first; then tests against real Kubernetes: on fake nodes, and on a real node
    /// with real traffic (root on Debian). The clusters are brought up for it and taken down at the end.
    Test(test::Options),
    /// Attack the promises for longer than the tests of each day do: model, seeds, faults, mutants, churn.
    #[command(subcommand)]
    Prove(prove::Task),
    /// Measure the cost of a rollout on fake nodes, beside the project's budgets and beside an earlier commit.
    Bench(bench::Options),
    /// Make the operator's image, for `ctr`, `docker` or a registry, without a container tool.
    Image(image::Options),
    /// Write the files below config and charts that follow from code: CRDs, what the operator may do, the chart's schema.
    Generate {
        /// Write nothing; fail if a file isn't current, and name it.
        #[arg(long)]
        check: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Args::parse().task {
        Task::Cluster(task) => cluster::run(task),
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Prove(task) => prove::run(&task),
        Task::Bench(options) => bench::run(&options),
        Task::Image(options) => image::run(&options),
        Task::Generate { check } => generate::run(check),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
