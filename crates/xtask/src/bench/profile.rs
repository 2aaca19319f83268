//! Where the CPU time goes: the operator under `perf` while rollouts are updated one at a time and all at once.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use bluegreen_cluster::{Cluster, OPERATOR};
use rustix::process::{Pid, Signal, kill_process};

use super::operators::Operator;
use super::run::Run;
use crate::built::target;
use crate::interrupt::{Ended, spawn};

/// Samples a second; no divisor of anything that beats by itself.
const FREQUENCY: &str = "997";
/// Functions that are shown.
const FUNCTIONS: usize = 40;

/// Fails with a message that says what to do where there is no profiler.
pub(super) fn obstacle() -> Result<()> {
    let version = Command::new("perf").arg("version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match version {
        Ok(status) if status.success() => Ok(()),
        _ => bail!("perf is missing, which takes the profile: `apt-get install linux-perf` on Debian"),
    }
}

pub(super) fn take(cluster: Cluster, operator: &Operator, rollouts: usize, one_at_a_time: usize) -> Result<()> {
    let directory = target().join("bench/profile");
    std::fs::create_dir_all(&directory).with_context(|| format!("cannot make the directory {}", directory.display()))?;
    let mut run = Run::begin(cluster, operator, rollouts)?;
    run.deploy()?;
    let one = recorded(&run, &directory.join("one-at-a-time.perf"))?;
    run.one_at_a_time(one_at_a_time)?;
    one.show("updated one at a time")?;
    let all = recorded(&run, &directory.join("all-at-once.perf"))?;
    run.all_at_once()?;
    all.show("updated all at once")
}

struct Recording {
    perf: Ended,
    file: String,
}

fn recorded(run: &Run<'_>, file: &Path) -> Result<Recording> {
    let (pid, file) = (run.pid()?.to_string(), file.display().to_string());
    let mut perf = Command::new("perf");
    perf.args(["record", "--quiet", "--freq", FREQUENCY, "--call-graph", "fp", "--output", &file, "--pid", &pid]);
    Ok(Recording { perf: spawn(perf.stdout(Stdio::null()))?, file })
}

impl Recording {
    fn show(mut self, when: &str) -> Result<()> {
        let child = &mut self.perf.0;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("perf has no process id")?;
        // One that has ended by itself has printed why.
        let _ = kill_process(pid, Signal::INT);
        child.wait().context("cannot wait for perf")?;
        let own = self.report(&["--no-children"])?;
        let inclusive = self.report(&["--children"])?;
        println!("\nCPU time of the operator while rollouts were {when}, by crate (a function counts for the crate of its name):\n");
        for (name, share) in by_crate(&own).into_iter().take(20) {
            println!("  {share:>6.2} %  {name}");
        }
        println!("\nBy function, with all that it calls:\n");
        for (share, name) in inclusive.iter().filter(|(_, name)| is_ours(name)).take(FUNCTIONS) {
            println!("  {share:>6.2} %  {name}");
        }
        println!("\nBy function alone:\n");
        for (share, name) in own.iter().take(FUNCTIONS) {
            println!("  {share:>6.2} %  {name}");
        }
        println!("\nMore: perf report --no-inline --input {}", self.file);
        Ok(())
    }

    fn report(&self, words: &[&str]) -> Result<Vec<(f64, String)>> {
        let mut perf = Command::new("perf");
        perf.args(["report", "--stdio", "--no-inline", "--call-graph", "none", "--sort", "symbol", "--input", &self.file]).args(words);
        let output = perf.stdin(Stdio::null()).output().context("cannot start perf")?;
        ensure!(output.status.success(), "perf cannot read its record: {}", String::from_utf8_lossy(&output.stderr).trim());
        let lines = functions(&String::from_utf8_lossy(&output.stdout));
        ensure!(!lines.is_empty(), "perf took no sample of {OPERATOR}");
        Ok(lines)
    }
}

/// The lines of a report: share and symbol, the largest first as perf prints them. With children there are two shares, of which the first counts.
fn functions(report: &str) -> Vec<(f64, String)> {
    let line = |line: &str| {
        let line = line.trim();
        let share = line.split_once('%').and_then(|(share, _)| share.parse().ok())?;
        let (_, symbol) = line.split_once("[.] ").or_else(|| line.split_once("[k] "))?;
        // Columns that perf adds, and leaves empty, stand behind several spaces.
        let symbol = symbol.split_once("  ").map_or(symbol, |(symbol, _)| symbol);
        let kernel = if line.contains("[k] ") { "kernel::" } else { "" };
        Some((share, format!("{kernel}{symbol}")))
    };
    report.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(line).collect()
}

fn by_crate(functions: &[(f64, String)]) -> Vec<(String, f64)> {
    let mut crates: BTreeMap<String, f64> = BTreeMap::new();
    for (share, name) in functions {
        *crates.entry(crate_of(name).to_owned()).or_default() += share;
    }
    let mut crates: Vec<_> = crates.into_iter().collect();
    crates.sort_by(|(_, one), (_, other)| other.total_cmp(one));
    crates
}

/// The first name of a path, as `serde_json` of `<serde_json::value::Value as core::fmt::Display>::fmt`.
fn crate_of(symbol: &str) -> &str {
    let start = symbol.trim_start_matches(['<', '&', '*', '[', '(']);
    let start = ["mut ", "const ", "dyn "].iter().fold(start, |rest, word| rest.strip_prefix(word).unwrap_or(rest));
    match start.split_once("::") {
        Some((name, _)) if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => name,
        _ => "C and others",
    }
}

fn is_ours(symbol: &str) -> bool {
    crate_of(symbol).starts_with("bluegreen")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_from_the_report_and_added_up_by_crate() {
        let report = "# Children  Self\n\
                      \n    21.50%     1.00%  [.] <serde_json::value::Value as core::fmt::Display>::fmt\n\
                      \x20   10.25%     0.25%  [.] serde_json::ser::to_vec\n\
                      \x20    5.00%     5.00%  [k] tcp_sendmsg\n\
                      \x20    2.00%     2.00%  [.] malloc          -      -    \n";
        let functions = functions(report);
        assert_eq!(functions[2], (5.0, "kernel::tcp_sendmsg".to_owned()));
        assert_eq!(functions[3].1, "malloc");
        let crates = by_crate(&functions);
        assert_eq!(crates, [("serde_json".to_owned(), 31.75), ("kernel".to_owned(), 5.0), ("C and others".to_owned(), 2.0)]);
    }

    #[test]
    fn the_crate_is_the_first_name_of_a_path() {
        assert_eq!(crate_of("<&mut bluegreen_engine::plan::Plan as core::fmt::Debug>::fmt"), "bluegreen_engine");
        assert!(is_ours("bluegreen_operator::shell::Shell::look::{{closure}}"));
        assert_eq!(crate_of("__memmove_avx"), "C and others");
    }
}
