//! `cargo xtask prove`: the promises of the design, attacked for longer than the tests of each day do.

mod copy;
mod coverage;
pub(crate) mod faults;
mod mutants;
mod night;

use std::process::ExitCode;

use anyhow::Result;

use crate::built::cargo;
use crate::interrupt;
use crate::run::{Outcome, Report, Settings, clusters, program};

#[derive(clap::Subcommand)]
pub(crate) enum Task {
    /// Run what is long or random by nature, in parts of at most an hour; each writes its row of docs/coverage.md.
    ///
    /// All parts take about seven hours. Each runs by itself and in any order: `--part churn --part mutants-1`.
    Night(night::Options),
    /// Explore every interleaving to a depth: the real decision and the real loop in a small world.
    ///
    /// The usual search takes a few minutes and is one of the tests; the deep one has three revisions and two faults.
    Model {
        #[arg(long)]
        deep: bool,
    },
    /// Run many seeded stories with faults, half of the seeds fixed and half fresh: of the engine, and of the whole operator.
    ///
    /// One that fails is told with the command that replays it.
    Seeds {
        /// How many of each half; by itself 5000 of the engine's, and 500 of the whole operator's, which take twenty times as long.
        count: Option<u32>,
        /// Only the stories of one of them.
        #[arg(long)]
        of: Option<Stories>,
        /// Tell this story once more, and no other.
        #[arg(long, requires = "of", conflicts_with = "count")]
        seed: Option<u64>,
    },
    /// Break the engine on purpose, by each patch in crates/engine/faults, and show how the check that it names notices.
    Faults {
        /// Run all checks on each patch, and show every one that notices.
        #[arg(long)]
        all_checks: bool,
        /// Only patches whose names contain one of these.
        filters: Vec<String>,
    },
    /// Make small changes to the code that decides, each of which some test must notice: many hours for all.
    Mutants {
        /// Only those in lines that were changed since this commit.
        #[arg(long)]
        since: Option<String>,
        /// Only every n-th, beginning with the k-th: k/n.
        #[arg(long)]
        shard: Option<String>,
    },
    /// Faults on a real API server, between it and the operator, while fifty rollouts come and go.
    ///
    /// It takes half of the minutes once more with an operator that loses its leadership again and again.
    Churn {
        #[arg(long, default_value_t = 60.0)]
        minutes: f64,
    },
}

/// Whose stories.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Stories {
    /// The decision in a small world.
    Engine,
    /// All of the operator, on an API server in its own process.
    Operator,
}

impl Stories {
    const ALL: [Self; 2] = [Self::Engine, Self::Operator];

    const fn name(self) -> &'static str {
        match self {
            Self::Engine => "stories of the engine",
            Self::Operator => "stories of the whole operator",
        }
    }

    /// The package and the test in it.
    const fn test(self) -> [&'static str; 2] {
        match self {
            Self::Engine => ["bluegreen-engine", "simulation"],
            Self::Operator => ["bluegreen-sim", "stories"],
        }
    }

    const fn usual_count(self) -> u32 {
        match self {
            Self::Engine => 5000,
            Self::Operator => 500,
        }
    }
}

/// How far the model is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Search {
    Usual,
    Deep,
}

pub(crate) fn run(task: &Task) -> Result<ExitCode> {
    interrupt::watch()?;
    let mut report = Report::new();
    match task {
        Task::Night(options) => return night::run(options),
        Task::Model { deep } => {
            report.part("the model", || model(if *deep { Search::Deep } else { Search::Usual }))?;
        }
        Task::Seeds { count, of, seed } => {
            for stories in Stories::ALL.into_iter().filter(|stories| of.is_none_or(|of| of == *stories)) {
                report.part(stories.name(), || seeds(stories, *count, *seed))?;
            }
        }
        Task::Faults { all_checks, filters } => {
            let each = if *all_checks { faults::each_by_all } else { faults::each_by_its_check };
            report.part("broken on purpose", || each(filters))?;
        }
        Task::Mutants { since, shard } => {
            report.part("mutants", || mutants::run(since.as_deref(), shard.as_deref()))?;
        }
        Task::Churn { minutes } => {
            report.part("churn", || clusters::churn(&Settings::default(), *minutes))?;
        }
    }
    Ok(report.close(true))
}

fn model(search: Search) -> Result<Outcome> {
    let mut command = cargo();
    command.args(["test", "--release", "--package", "bluegreen-engine", "--test", "model", "--", "--nocapture"]);
    if search == Search::Deep {
        command.env("MODEL", "deep");
    }
    program::tests(&mut command).map(Outcome::Ran)
}

/// The tests themselves say how a story that failed is replayed.
fn seeds(stories: Stories, count: Option<u32>, seed: Option<u64>) -> Result<Outcome> {
    let ([package, test], count) = (stories.test(), count.unwrap_or(stories.usual_count()));
    let mut command = cargo();
    command.args(["test", "--release", "--package", package, "--test", test, "--", "--nocapture", "whatever_happens"]);
    let results = program::tests(match seed {
        Some(seed) => command.env("SEED", seed.to_string()),
        None => command.env("SEEDS", count.to_string()),
    })?;
    Ok(Outcome::Ran(results))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::Stories;
    use crate::built::root;

    /// Links of the page in the form [`name`](../path).
    fn links(page: &str) -> Vec<(&str, &str)> {
        let mut links = Vec::new();
        for part in page.split("[`").skip(1) {
            if let Some((name, rest)) = part.split_once("`](../")
                && let Some((path, _)) = rest.split_once(')')
                && !name.contains(char::is_whitespace)
            {
                links.push((name, path));
            }
        }
        links
    }

    #[test]
    fn stories_are_of_tests_that_say_how_one_is_replayed() {
        for (stories, source) in Stories::ALL.into_iter().zip(["crates/engine/tests/simulation.rs", "tests/sim/tests/stories/main.rs"]) {
            let [package, test] = stories.test();
            let source = fs::read_to_string(root().join(source)).unwrap();
            assert!(source.contains(&format!("SEED={{seed}} cargo test -p {package} --test {test}")), "{test}");
            assert!(source.contains("fn whatever_happens"), "{test}");
        }
    }

    #[test]
    fn every_name_on_the_pages_of_promises_and_security_exists() {
        let read = |page: &str| fs::read_to_string(root().join("docs").join(page)).unwrap();
        let (promises, coverage) = (read("promises.md"), read("coverage.md"));
        assert!(links(&promises).len() > 50, "{}", links(&promises).len());
        let security = read("security.md");
        let security = links(&security);
        assert!(security.len() > 20, "{}", security.len());
        for (name, path) in links(&promises).into_iter().chain(links(&coverage)).chain(security) {
            let path = root().join(path);
            assert!(path.exists(), "{}", path.display());
            if path.is_dir() || name.contains(['.', '/']) {
                continue;
            }
            let code = fs::read_to_string(&path).unwrap();
            let is_there = ["fn ", "struct ", "enum ", "const "].iter().any(|what| {
                code.match_indices(&format!("{what}{name}")).any(|(at, found)| {
                    let next = code[at + found.len()..].chars().next();
                    next.is_none_or(|next| !next.is_alphanumeric() && next != '_')
                })
            });
            assert!(is_there, "{name} is not in {}", path.display());
        }
    }
}
