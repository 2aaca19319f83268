//! `docs/coverage.md`: what each part of the night covered last. Each part writes its own row, and no other.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use jiff::Timestamp;

use crate::built::root;
use crate::run::{Outcome, Results, budget};

const HEAD: &str = "| part | covered | found | when (UTC) | commit | minutes |";
const LINE: &str = "|---|---|---|---|---|---|";

/// A row of the table: how a part ended, last.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) part: String,
    pub(super) covered: String,
    pub(super) found: String,
    pub(super) when: Timestamp,
    pub(super) commit: String,
    pub(super) took: Duration,
}

impl Row {
    /// `None` for a part that could not run: what was covered last stands.
    pub(super) fn of(part: &str, outcome: &Outcome, commit: String, took: Duration) -> Option<Self> {
        let Outcome::Ran(results) = outcome else { return None };
        let (covered, found) = (covered(results), found(results));
        Some(Self { part: part.to_owned(), covered, found, when: Timestamp::now(), commit, took })
    }

    fn line(&self) -> String {
        let Self { part, covered, found, when, commit, took } = self;
        let [covered, found] = [covered, found].map(|text| cell(text));
        format!("| {part} | {covered} | {found} | {} | {commit} | {:.0} |", when.strftime("%Y-%m-%d"), budget::minutes(*took))
    }
}

fn covered(results: &Results) -> String {
    match results.covered.as_slice() {
        [] => format!("{} tests passed, {} failed", results.passed, results.failed),
        said => said.join("; "),
    }
}

fn found(results: &Results) -> String {
    let why = |why: &String| why.lines().filter(|line| !line.contains(" panicked at ")).take(2).collect::<Vec<_>>().join(" ");
    let failed = results.names.iter().map(|name| format!("**failed**: {name}"));
    let all: Vec<_> =
        failed.chain(results.whys.iter().map(why)).chain(results.found.iter().cloned()).filter(|text| !text.is_empty()).collect();
    match (results.failed, all.is_empty()) {
        (0, true) => "nothing".to_owned(),
        (_, true) => "**failed**".to_owned(),
        (_, false) => all.join("; "),
    }
}

/// A text as one cell can hold it.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Writes the row of one part into the page, where its earlier row stood.
pub(super) fn write(row: &Row, order: &[&str]) -> Result<()> {
    let path = page();
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    fs::write(&path, with(&text, row, order)?).with_context(|| format!("cannot write {}", path.display()))
}

pub(super) fn page() -> PathBuf {
    root().join("docs/coverage.md")
}

/// The page with this row. Rows stand in the order of the parts; others stay as they are.
fn with(page: &str, row: &Row, order: &[&str]) -> Result<String> {
    let (before, table) = page.split_once(&format!("{HEAD}\n{LINE}\n")).context("docs/coverage.md has no table of what was covered")?;
    let rows: Vec<_> = table.lines().take_while(|line| line.starts_with("| ")).collect();
    let after = table.lines().skip(rows.len()).map(|line| format!("{line}\n")).collect::<String>();
    ensure!(order.contains(&row.part.as_str()), "{} is no part of the night", row.part);
    let place = |line: &str| order.iter().position(|part| Some(*part) == part_of(line)).unwrap_or(order.len());
    let new = row.line();
    let mut rows: Vec<_> = rows.into_iter().filter(|line| part_of(line) != Some(&row.part)).chain([new.as_str()]).collect();
    rows.sort_by_key(|line| place(line));
    Ok(format!("{before}{HEAD}\n{LINE}\n{}\n{after}", rows.join("\n")))
}

fn part_of(line: &str) -> Option<&str> {
    line.strip_prefix("| ")?.split(" | ").next()
}

/// The parts that have a row.
#[cfg(test)]
pub(super) fn parts_on(page: &str) -> Vec<&str> {
    let table = page.split_once(LINE).map(|(_, table)| table.trim_start()).unwrap_or_default();
    table.lines().take_while(|line| line.starts_with("| ")).filter_map(part_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORDER: [&str; 3] = ["model-full", "churn", "switches"];

    fn row(part: &str, covered: &str) -> Row {
        Row {
            part: part.into(),
            covered: covered.into(),
            found: "nothing".into(),
            when: "2026-11-30T23:59:59Z".parse().unwrap(),
            commit: "3ce269e".into(),
            took: Duration::from_secs(150),
        }
    }

    fn table(rows: &[&str]) -> String {
        let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
        format!("# Covered\n\n{HEAD}\n{LINE}\n{rows}\nAnd what else.\n")
    }

    #[test]
    fn a_row_takes_the_place_of_the_earlier_one_and_of_no_other() {
        let (model, switches) = ("| model-full | 4 states | nothing | d | c | 1 |", "| switches | 30 | **failed**: x | d | c | 9 |");
        let of_churn = |covered: &str| format!("| churn | {covered} | nothing | 2026-11-30 | 3ce269e | 2 |");
        let empty = with(&table(&[]), &row("churn", "7 kills"), &ORDER).unwrap();
        assert_eq!(empty, table(&[&of_churn("7 kills")]));
        let page = table(&[model, switches, "| gone | 1 | nothing | d | c | 1 |"]);
        let once = with(&page, &row("churn", "7 kills"), &ORDER).unwrap();
        assert_eq!(once, table(&[model, &of_churn("7 kills"), switches, "| gone | 1 | nothing | d | c | 1 |"]));
        let twice = with(&once, &row("churn", "8 kills"), &ORDER).unwrap();
        assert_eq!(twice, once.replace("7 kills", "8 kills"));
        assert_eq!(parts_on(&twice), ["model-full", "churn", "switches", "gone"]);
    }

    #[test]
    fn a_page_without_its_table_is_not_written() {
        assert!(with("# Covered\n", &row("churn", ""), &ORDER).is_err());
        assert!(with(&table(&[]), &row("lunch", ""), &ORDER).is_err());
    }

    #[test]
    fn a_part_that_failed_has_a_row_and_one_not_run_has_none() {
        let of = |outcome| Row::of("churn", &outcome, "3ce269e".into(), Duration::ZERO).map(|row| (row.covered, row.found));
        let results = |passed, failed| Results { passed, failed, ..Results::default() };
        let said = |covered: &str, found: &str| Some((covered.to_owned(), found.to_owned()));
        assert_eq!(of(Outcome::Ran(results(2, 0))), said("2 tests passed, 0 failed", "nothing"));
        assert_eq!(of(Outcome::Ran(results(1, 1))), said("1 tests passed, 1 failed", "**failed**"));
        let named = Results {
            names: vec!["churn::a".into()],
            whys: vec!["thread 'a' (7) panicked at b:1:2:\nleft\nright\nmore".into()],
            covered: vec!["7 kills".into(), "3 ends".into()],
            ..results(0, 1)
        };
        assert_eq!(of(Outcome::Ran(named)), said("7 kills; 3 ends", "**failed**: churn::a; left right"));
        let missed = Results { found: vec!["replace | with &".into()], ..results(99, 0) };
        assert_eq!(of(Outcome::Ran(missed)), said("99 tests passed, 0 failed", "replace | with &"));
        assert_eq!(of(Outcome::CouldNotRun("no root".into())), None);
    }

    #[test]
    fn a_cell_is_one_line_and_ends_where_it_ends() {
        assert_eq!(cell("a | b\n  c"), "a \\| b c");
    }
}
