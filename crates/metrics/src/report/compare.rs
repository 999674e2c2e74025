//! Two reports side by side: what is different by more than chance of measurement, and conditions by which a pipeline fails.
//!
//! Counts, rates, minima, maxima and means are exact. A percentile is within 1 % of a measured value in either report, and rounded to a tenth, so two
//! of them differ where they are further apart than both errors together.

mod condition;

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde::Serialize;

use super::document::{Document, Figures, Stats};
use super::names::visible;
use crate::sketch::RELATIVE_ACCURACY;

pub use condition::{Condition, Held};

/// Half of the last digit that a report gives.
const ROUNDING: f64 = 0.05;
/// What Artillery measures of each URL is left out of the table.
const HIDDEN: &str = "plugins.metrics-by-endpoint";

/// One figure in both reports.
#[derive(Serialize, Clone, Debug, PartialEq)]
pub struct Row {
    /// Its name, such as `http.response_time.p95`.
    pub metric: String,
    /// In the first; `None` where it has none.
    pub a: Option<f64>,
    /// In the second.
    pub b: Option<f64>,
    /// By what part of the first it changed; `None` where that is nothing, or not there.
    pub change: Option<f64>,
    /// Whether they differ by more than they may be off.
    pub differs: bool,
}

impl Row {
    /// Of what is not there nobody knows whether it differs, where `is_known` is false.
    fn new(metric: String, a: Option<f64>, b: Option<f64>, is_percentile: bool, is_known: bool) -> Self {
        let change = a.zip(b).filter(|(a, _)| *a != 0.0).map(|(a, b)| (b - a) / a.abs());
        let differs = match (a, b) {
            (Some(a), Some(b)) if is_percentile => {
                (a - b).abs() > RELATIVE_ACCURACY * (a.abs() + b.abs()) + 2.0 * ROUNDING
            }
            (Some(a), Some(b)) => a != b,
            (a, b) => is_known && a != b,
        };
        Self { metric, a, b, change, differs }
    }
}

/// A figure of a distribution by its name.
type Figure = (&'static str, fn(&Figures) -> Option<f64>, bool);

const FIGURES: [Figure; 10] = [
    ("count", |f| f.count, false),
    ("min", |f| f.min, false),
    ("mean", |f| f.mean, false),
    ("median", |f| f.median, true),
    ("p75", |f| f.p75, true),
    ("p90", |f| f.p90, true),
    ("p95", |f| f.p95, true),
    ("p99", |f| f.p99, true),
    ("p999", |f| f.p999, true),
    ("max", |f| f.max, false),
];

/// All figures of two reports, by name. A counter that one of them does not have is 0 there if it is complete, and not known if it is not.
pub fn rows(a: &Document, b: &Document) -> Vec<Row> {
    let is_known = a.gap().is_none() && b.gap().is_none();
    let mut rows = Vec::new();
    let mut row = |name: String, of: &dyn Fn(&Document) -> Option<f64>, is_percentile: bool| {
        rows.push(Row::new(name, of(a), of(b), is_percentile, is_known));
    };
    let names = |of: fn(&Stats) -> Vec<&String>| {
        let names: BTreeSet<&String> = of(&a.aggregate).into_iter().chain(of(&b.aggregate)).collect();
        names.into_iter().filter(|name| !name.contains(HIDDEN))
    };
    for name in names(|stats| stats.counters.keys().collect()) {
        row(name.clone(), &|document| document.counted(name), false);
    }
    for name in names(|stats| stats.rates.keys().collect()) {
        row(name.clone(), &|document| document.aggregate.rates.get(name).copied(), false);
    }
    for name in names(|stats| stats.summaries.keys().collect()) {
        for (figure, of, is_percentile) in FIGURES {
            let value = |document: &Document| document.aggregate.summaries.get(name).and_then(of);
            row(format!("{name}.{figure}"), &value, is_percentile);
        }
    }
    rows
}

/// Writes a table. Marked with `*` is what differs by more than it may be off.
///
/// # Errors
/// Of the writer.
pub fn write_text(a: (&str, &Document), b: (&str, &Document), mut to: impl Write) -> io::Result<()> {
    let rows = rows(a.1, b.1);
    let width = rows.iter().map(|row| row.metric.chars().count()).max().unwrap_or(0).clamp(10, 60);
    for (which, report) in [("A", a), ("B", b)] {
        writeln!(to, "{which}: {}", heading(report))?;
        if let Some(gap) = report.1.gap() {
            writeln!(to, "   not complete, so that counts may be larger, and others are not known: {gap}")?;
        }
    }
    writeln!(to)?;
    writeln!(to, "  {:width$} {:>14} {:>14} {:>10}", "", "A", "B", "change")?;
    for Row { metric, a, b, change, differs } in &rows {
        let value = |value: &Option<f64>| value.map_or_else(|| "–".to_owned(), |value| value.to_string());
        let change = change.map_or_else(String::new, |change| format!("{:+.1} %", change * 100.0));
        let mark = if *differs { '*' } else { ' ' };
        let metric = visible(metric);
        writeln!(to, "{mark} {metric:width$} {:>14} {:>14} {change:>10}", value(a), value(b))?;
    }
    writeln!(
        to,
        "\n* differs by more than percentiles may be off (1 % in each report); counts and means are exact"
    )
}

fn heading((name, document): (&str, &Document)) -> String {
    let verdict = document.loadtest.as_ref().map_or("no verdict", |section| &section.verdict.outcome);
    format!("{} ({}, {})", visible(name), visible(&document.title()), visible(verdict))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    pub(super) fn document(requests: u64, errors: u64, p95: f64) -> Document {
        let summary = json!({ "min": 1, "max": 300, "count": requests, "mean": 20.5, "median": 15, "p95": p95, "p99": 200 });
        let document = json!({
            "aggregate": {
                "counters": { "http.requests": requests, "errors.ETIMEDOUT": errors },
                "rates": { "http.request_rate": 12 },
                "summaries": { "http.response_time": summary },
            },
        });
        Document::parse(document.to_string().as_bytes()).expect("a report")
    }

    #[test]
    fn a_percentile_differs_only_by_more_than_both_may_be_off() {
        let differs = |a: f64, b: f64| {
            let rows = rows(&document(10, 0, a), &document(10, 0, b));
            rows.iter().find(|row| row.metric == "http.response_time.p95").expect("a row").differs
        };
        assert!(
            !differs(100.0, 100.0) && !differs(100.0, 102.0) && !differs(102.0, 100.0) && !differs(1.0, 1.1)
        );
        assert!(differs(100.0, 103.0) && differs(0.0, 1.0));
        let counts = rows(&document(10, 0, 1.0), &document(11, 0, 1.0));
        assert!(
            counts.iter().any(|row| row.metric == "http.requests" && row.differs && row.change == Some(0.1))
        );
    }

    #[test]
    fn the_table_marks_what_differs() {
        let mut written = Vec::new();
        let (a, b) = (document(1000, 0, 100.0), document(900, 3, 100.5));
        write_text(("a.json", &a), ("b.json", &b), &mut written).expect("written");
        let written = String::from_utf8(written).expect("UTF-8");
        let line = |start: &str| {
            written
                .lines()
                .find(|line| line.starts_with(start))
                .unwrap_or_else(|| panic!("{start}: {written}"))
        };
        assert!(line("* http.requests").ends_with("1000            900    -10.0 %"), "{written}");
        assert!(line("  http.response_time.p95").ends_with("+0.5 %"), "{written}");
        assert!(written.starts_with("A: a.json (artillery run, no verdict)\n"), "{written}");
    }
}
