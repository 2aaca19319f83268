//! The table at the end: figures of one or two operators, beside the budgets.

/// One thing that was measured.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Figure {
    what: String,
    value: f64,
    unit: &'static str,
    budget: Option<f64>,
}

impl Figure {
    pub(super) fn new(what: &str, value: f64, unit: &'static str) -> Self {
        Self { what: what.to_owned(), value, unit, budget: None }
    }

    pub(super) fn within(mut self, budget: f64) -> Self {
        self.budget = Some(budget);
        self
    }
}

/// All measurements of one thing.
struct Row {
    rollouts: usize,
    what: String,
    unit: &'static str,
    budget: Option<f64>,
    /// A column for each operator; in it a value for each round.
    values: Vec<Vec<f64>>,
}

pub(super) struct Table {
    labels: Vec<String>,
    rows: Vec<Row>,
}

impl Table {
    /// The last operator is the one that budgets are for; one before it is compared with.
    pub(super) fn new(labels: &[String]) -> Self {
        Self { labels: labels.to_vec(), rows: Vec::new() }
    }

    pub(super) fn add(&mut self, rollouts: usize, label: &str, figures: Vec<Figure>) {
        let Some(column) = self.labels.iter().position(|one| one == label) else { return };
        for Figure { what, value, unit, budget } in figures {
            let at = match self.rows.iter().position(|row| row.rollouts == rollouts && row.what == what) {
                Some(at) => at,
                None => {
                    self.rows.push(Row { rollouts, what, unit, budget, values: vec![Vec::new(); self.labels.len()] });
                    self.rows.len() - 1
                }
            };
            self.rows[at].values[column].push(value);
        }
    }

    pub(super) fn text(&self) -> String {
        let mut lines: Vec<Vec<String>> = Vec::new();
        let mut rollouts = None;
        for row in &self.rows {
            if rollouts != Some(row.rollouts) {
                if rollouts.is_some() {
                    lines.push(Vec::new());
                }
                rollouts = Some(row.rollouts);
                lines.push(self.head(row.rollouts));
            }
            lines.push(row.cells());
        }
        let columns = lines.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
        let widths: Vec<_> = (0..columns).map(|column| width(column).unwrap_or_default()).collect();
        let line = |cells: &Vec<String>| {
            let cell = |(column, cell): (usize, &String)| {
                let width = widths[column];
                // Words to the left, numbers to the right.
                if column == 0 || column + 1 == columns { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            };
            cells.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let mut text = lines.iter().map(line).collect::<Vec<_>>().join("\n");
        if self.labels.len() > 1 {
            text.push_str("\n\nThe ratio is the last operator's figure divided by the first one's. Times and CPU of one run compare with each other only; the budgets are for the machine that they were set on.");
        }
        text
    }

    fn head(&self, rollouts: usize) -> Vec<String> {
        let ratio = (self.labels.len() > 1).then(|| "ratio".to_owned());
        [format!("{rollouts} rollouts"), "budget".into()]
            .into_iter()
            .chain(self.labels.iter().cloned())
            .chain(ratio)
            .chain([String::new()])
            .collect()
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let averages: Vec<_> = self.values.iter().map(|values| average(values)).collect();
        let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}{}", self.unit));
        let budget = self.budget.map_or("-".to_owned(), |budget| format!("{budget}{}", self.unit));
        let ratio = match averages.as_slice() {
            [earlier, this] => Some(ratio(*earlier, *this)),
            _ => None,
        };
        let verdict = match (self.budget, averages.last().copied().flatten()) {
            (Some(budget), Some(value)) if value <= budget => "within",
            (Some(_), Some(_)) => "OVER",
            _ => "",
        };
        let values = averages.into_iter().map(shown);
        [format!("  {}", self.what), budget].into_iter().chain(values).chain(ratio).chain([verdict.to_owned()]).collect()
    }
}

fn average(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn ratio(earlier: Option<f64>, this: Option<f64>) -> String {
    match (earlier, this) {
        (Some(earlier), Some(this)) if earlier > 0.0 => format!("{:.2}", this / earlier),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpu(value: f64) -> Vec<Figure> {
        vec![Figure::new("CPU a rollout", value, " ms").within(6.0)]
    }

    #[test]
    fn two_operators_stand_side_by_side_with_the_ratio() {
        let mut table = Table::new(&["3ce269e".into(), "this".into()]);
        table.add(200, "3ce269e", cpu(16.0));
        table.add(200, "this", cpu(5.0));
        table.add(1000, "this", cpu(7.0));
        // Another round.
        table.add(200, "this", cpu(6.0));
        let text = table.text();
        let lines: Vec<_> = text.lines().take(5).collect();
        assert_eq!(
            lines,
            [
                "200 rollouts     budget   3ce269e     this  ratio",
                "  CPU a rollout    6 ms  16.00 ms  5.50 ms   0.34  within",
                "",
                "1000 rollouts    budget   3ce269e     this  ratio",
                "  CPU a rollout    6 ms         -  7.00 ms      -  OVER",
            ]
        );
    }

    #[test]
    fn one_operator_stands_beside_the_budget_alone() {
        let mut table = Table::new(&["this".into()]);
        table.add(20, "this", vec![Figure::new("writes", 0.0, "").within(0.0), Figure::new("memory", 18.0, " MiB")]);
        assert_eq!(table.text(), "20 rollouts  budget       this\n  writes          0       0.00  within\n  memory          -  18.00 MiB");
    }

    #[test]
    fn nothing_has_no_ratio() {
        assert_eq!(ratio(Some(0.0), Some(0.0)), "-");
        assert_eq!(ratio(Some(4.0), Some(1.0)), "0.25");
    }
}
