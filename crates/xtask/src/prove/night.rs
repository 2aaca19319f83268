//! `cargo xtask prove night`: what is long or random by nature, in parts of at most an hour.

use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Result, ensure};
use bluegreen_cluster::{Cluster, Kind};

use super::coverage::{self, Row};
use super::{Search, Stories, faults, model, mutants, seeds};
use crate::bench::operators;
use crate::built::{cargo, root};
use crate::image;
use crate::interrupt;
use crate::run::settings::commit;
use crate::run::{Outcome, Report, Settings, clusters, program};

/// How many cases each property is tried with.
const CASES: u32 = 20_000;
/// How many arbitrary texts each reader of them is tried with.
const TEXTS: u32 = 200_000;
/// Fixed seeds, and as many fresh ones.
const SEEDS_OF_ENGINE: u32 = 10_000;
const SEEDS_OF_OPERATOR: u32 = 1_000;
/// Half as many follow with leadership lost again and again, and both take their time to come to rest.
const MINUTES_OF_CHURN: f64 = 32.0;
const SWITCHES: u32 = 30;
const SEQUENCES_OF_TEMPLATES: u32 = 3_000;
const STORIES_BESIDE_A_REAL_SERVER: u32 = 200;
const ROLLOUTS_THAT_MEASURE: u32 = 500;
/// The sample of mutants is tried in so many parts.
const PARTS: usize = 6;
/// An operator that wrote Services by server-side apply, and statuses with fewer fields. Users upgrade from it.
const EARLIER: &str = "3ce269e238966c8c1d2f6b7a411a7f1ed02f8a94";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only these parts, in this order. May be given several times.
    #[arg(long = "part", value_name = "NAME")]
    parts: Vec<String>,
    /// Show the parts, what each covers and about how long it takes; run none.
    #[arg(long, conflicts_with = "parts")]
    list: bool,
}

struct Part {
    name: &'static str,
    covers: &'static str,
    /// About how long it takes, of the 60 that it may take.
    minutes: u32,
    run: fn() -> Result<Outcome>,
}

const fn part(name: &'static str, minutes: u32, covers: &'static str, run: fn() -> Result<Outcome>) -> Part {
    Part { name, covers, minutes, run }
}

/// In the order in which the page has them. None needs another.
const NIGHT: &[Part] = &[
    part("mutants-1", 35, "a sixth of 300 mutants, drawn by the commit; 95 of 100 are noticed", || mutants::of_commit(1, PARTS)),
    part("mutants-2", 35, "the second sixth", || mutants::of_commit(2, PARTS)),
    part("mutants-3", 35, "the third sixth", || mutants::of_commit(3, PARTS)),
    part("mutants-4", 35, "the fourth sixth", || mutants::of_commit(4, PARTS)),
    part("mutants-5", 35, "the fifth sixth", || mutants::of_commit(5, PARTS)),
    part("mutants-6", 35, "the last sixth", || mutants::of_commit(6, PARTS)),
    part("model-full", 10, "every interleaving of two revisions, to the depth of the usual search", || model(Search::Usual)),
    part("model-deep", 30, "three revisions and two faults of each kind", || model(Search::Deep)),
    part("seeds-engine", 10, "stories of the engine, half of the seeds fixed and half fresh", || {
        seeds(Stories::Engine, Some(SEEDS_OF_ENGINE), None)
    }),
    part("seeds-operator", 20, "stories of the whole operator, half of the seeds fixed and half fresh", || {
        seeds(Stories::Operator, Some(SEEDS_OF_OPERATOR), None)
    }),
    part("properties", 20, "each property of the decision with 20,000 arbitrary cases", properties),
    part("fuzz", 10, "everything that reads what users write, with arbitrary texts and depths", fuzz),
    part("measuring", 5, "500 rollouts that measure every second", measuring),
    part("conformance", 5, "the simulated API server beside a real one, story by story", conformance),
    part("templates", 40, "sequences of generated pod templates in one color, each beside what a new Deployment would run", templates),
    part("faults", 15, "the engine broken by each patch, and every check that notices", || faults::each_by_all(&[])),
    part("churn", 58, "fifty rollouts behind a proxy that deals out a network's faults", || {
        clusters::churn(&Settings::default(), MINUTES_OF_CHURN)
    }),
    part("switches", 15, "thirty switches on a real node under 200 requests a second with and without keep-alive", switches),
    part(
        "scenes",
        15,
        "a full node, the death of all live pods, a label that is denied and an upgrade under 200 requests a second",
        scenes,
    ),
    part(
        "install",
        15,
        "the image as it is shipped, installed by its chart on a real node: promotions, both operators lost, upgrade and removal under 200 requests a second",
        install,
    ),
];

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    if options.list {
        let rows = NIGHT.iter().map(|part| format!("{:15} about {:2} min  {}", part.name, part.minutes, part.covers));
        println!("{}", rows.collect::<Vec<_>>().join("\n"));
        return Ok(ExitCode::SUCCESS);
    }
    let wanted = wanted(&options.parts)?;
    let order: Vec<_> = NIGHT.iter().map(|part| part.name).collect();
    let mut report = Report::new();
    for part in wanted {
        // Before it begins: who commits meanwhile has not changed what was built.
        let (commit, started) = (checked_out(), Instant::now());
        let outcome = report.part(part.name, part.run)?;
        if let Some(row) = Row::of(part.name, outcome, commit, started.elapsed()) {
            coverage::write(&row, &order)?;
        }
    }
    Ok(report.close(true))
}

fn wanted(names: &[String]) -> Result<Vec<&'static Part>> {
    if names.is_empty() {
        return Ok(NIGHT.iter().collect());
    }
    for name in names {
        ensure!(
            NIGHT.iter().any(|part| part.name == name),
            "the night has no part {name}; `cargo xtask prove night --list` shows the parts"
        );
    }
    Ok(names.iter().filter_map(|name| NIGHT.iter().find(|part| part.name == name)).collect())
}

/// The commit, and whether something was changed since, the page itself aside.
fn checked_out() -> String {
    let commit = commit().unwrap_or_else(|| "no commit".to_owned());
    let mut status = Command::new("git");
    status.current_dir(root()).args(["status", "--porcelain", "--untracked-files=no", "--", ".", ":!docs/coverage.md"]);
    let changed = status.output().is_ok_and(|output| !output.stdout.is_empty());
    format!("{}{}", commit.get(..7).unwrap_or(&commit), if changed { ", changed" } else { "" })
}

fn properties() -> Result<Outcome> {
    let mut command = cargo();
    command.args(["test", "--release", "--package", "bluegreen-engine", "--test", "properties"]);
    let mut results = program::tests(command.env("PROPTEST_CASES", CASES.to_string()))?;
    results.covered.push(format!("{} properties, {CASES} cases each", results.passed + results.failed));
    Ok(Outcome::Ran(results))
}

/// In a release build; overflows are found all the same.
fn fuzz() -> Result<Outcome> {
    let mut command = cargo();
    command.args(["test", "--release", "--package", "bluegreen-gates", "--test", "fuzz"]);
    command.env("CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS", "true").env("PROPTEST_MAX_SHRINK_TIME", "60000");
    let mut results = program::tests(command.env("PROPTEST_CASES", TEXTS.to_string()))?;
    results.covered.push(format!("{} readers of texts, {TEXTS} texts each", results.passed + results.failed));
    Ok(Outcome::Ran(results))
}

fn measuring() -> Result<Outcome> {
    let mut command = cargo();
    command.args(["test", "--release", "--package", "bluegreen-sim", "--test", "measuring", "--", "--nocapture"]);
    let mut results = program::tests(command.env("ROLLOUTS", ROLLOUTS_THAT_MEASURE.to_string()))?;
    results.covered.push(format!("{ROLLOUTS_THAT_MEASURE} rollouts"));
    Ok(Outcome::Ran(results))
}

fn conformance() -> Result<Outcome> {
    let settings = Settings::default().with("SEEDS", STORIES_BESIDE_A_REAL_SERVER);
    clusters::one(Kind::Fake, &settings, "conformance")
}

fn templates() -> Result<Outcome> {
    let settings = Settings::of_commit().with("BLUEGREEN_SEQUENCES", SEQUENCES_OF_TEMPLATES);
    clusters::on_fake_nodes(&settings, &["--show-output".to_owned(), "a_color_runs_what_a_new_deployment_would_run".to_owned()])
}

fn switches() -> Result<Outcome> {
    clusters::one(Kind::Node, &Settings::default().with("BLUEGREEN_SWITCHES", SWITCHES), "node_traffic")
}

/// With the operator of an earlier commit, which is built once as `cargo xtask bench --beside` builds it.
fn scenes() -> Result<Outcome> {
    if let Some(obstacle) = Cluster::obstacle(Kind::Node) {
        return Ok(Outcome::CouldNotRun(obstacle));
    }
    let earlier = match operators::of_commit(EARLIER) {
        Ok(earlier) => earlier,
        Err(error) => {
            interrupt::check()?;
            return Ok(Outcome::CouldNotRun(format!("the operator of {EARLIER} is missing: {error:#}")));
        }
    };
    let config = earlier.config.with_file_name("");
    let settings = Settings::default()
        .with("BLUEGREEN_EARLIER_OPERATOR", earlier.program.display())
        .with("BLUEGREEN_EARLIER_CONFIG", config.display());
    clusters::one(Kind::Node, &settings, clusters::SCENES)
}

/// The image is built first: about ten minutes, once.
fn install() -> Result<Outcome> {
    if let Some(obstacle) = Cluster::obstacle(Kind::Node) {
        return Ok(Outcome::CouldNotRun(obstacle));
    }
    let image = image::for_tests()?;
    clusters::one(Kind::Node, &Settings::default().with("BLUEGREEN_IMAGE", image.display()), clusters::INSTALL)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn parts_are_run_as_they_were_asked_for() {
        let names = |names: &[&str]| {
            let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
            wanted(&names).map(|parts| parts.iter().map(|part| part.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["switches", "mutants-2"]).unwrap(), ["switches", "mutants-2"]);
        assert_eq!(names(&[]).unwrap().len(), NIGHT.len());
        assert!(names(&["switches", "mutants"]).unwrap_err().to_string().contains("prove night --list"));
    }

    #[test]
    fn no_part_takes_more_than_an_hour() {
        assert!(NIGHT.iter().all(|part| part.minutes <= 60));
    }

    #[test]
    fn the_page_has_rows_of_parts_that_there_are() {
        let page = fs::read_to_string(coverage::page()).unwrap();
        for part in coverage::parts_on(&page) {
            assert!(NIGHT.iter().any(|known| known.name == part), "{part} is no part of the night");
        }
        for part in NIGHT {
            assert!(page.contains(part.covers), "the page doesn't say what {} covers: {}", part.name, part.covers);
        }
    }
}
