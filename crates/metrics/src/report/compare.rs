//! Two reports side by side: what is different by more than chance of measurement, and conditions by which a pipeline fails.
//!
//! Counts are exact. Rates are rounded to whole numbers, and figures of distributions to a tenth; a percentile is within 1 % of a measured value, too.
//! So two of them differ where they are further apart than both errors together.

mod about;
mod condition;

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde::Serialize;

use super::document::{Document, Figures, Stats};
use super::names::visible;
use crate::sketch::RELATIVE_ACCURACY;

pub use about::{About, about};
pub use condition::{Condition, Held};

/// Of two figures so much may be lost where a computer takes one from the other.
const DOUBT: f64 = 1e-9;
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

/// By how much a figure of a report may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Off {
    /// By nothing.
    Exact,
    /// By half of its last digit.
    Rounded(f64),
    /// By that of a tenth, and by what bins are wide.
    Percentile,
}

impl Off {
    const RATE: Self = Self::Rounded(0.5);
    const TENTH: Self = Self::Rounded(0.05);

    /// Because it is rounded; conditions take percentiles as they are told.
    fn by_rounding(self) -> f64 {
        match self {
            Self::Exact | Self::Percentile => 0.0,
            Self::Rounded(half) => half,
        }
    }

    fn of(self, value: f64) -> f64 {
        match self {
            Self::Percentile => RELATIVE_ACCURACY * value.abs() + Self::TENTH.by_rounding(),
            Self::Exact | Self::Rounded(_) => self.by_rounding(),
        }
    }

    /// Whether two differ by more than both may be off.
    fn differ(self, a: f64, b: f64) -> bool {
        match self {
            Self::Exact => a != b,
            _ => (a - b).abs() > self.of(a) + self.of(b) + DOUBT * (a.abs() + b.abs()),
        }
    }
}

impl Row {
    /// Of what is not there nobody knows whether it differs, where `is_known` is false.
    fn new(metric: String, a: Option<f64>, b: Option<f64>, off: Off, is_known: bool) -> Self {
        let change = a.zip(b).filter(|(a, _)| *a != 0.0).map(|(a, b)| (b - a) / a.abs());
        let differs = match (a, b) {
            (Some(a), Some(b)) => off.differ(a, b),
            (a, b) => is_known && a != b,
        };
        Self { metric, a, b, change, differs }
    }
}

/// A figure of a distribution by its name.
type Figure = (&'static str, fn(&Figures) -> Option<f64>, Off);

const FIGURES: [Figure; 10] = [
    ("count", |f| f.count, Off::Exact),
    ("min", |f| f.min, Off::TENTH),
    ("mean", |f| f.mean, Off::TENTH),
    ("median", |f| f.median, Off::Percentile),
    ("p75", |f| f.p75, Off::Percentile),
    ("p90", |f| f.p90, Off::Percentile),
    ("p95", |f| f.p95, Off::Percentile),
    ("p99", |f| f.p99, Off::Percentile),
    ("p999", |f| f.p999, Off::Percentile),
    ("max", |f| f.max, Off::TENTH),
];

/// All figures of two reports, by name. A counter that one of them does not have is 0 there if it is complete, and not known if it is not.
pub fn rows(a: &Document, b: &Document) -> Vec<Row> {
    let is_known = a.gap().is_none() && b.gap().is_none();
    let mut rows = Vec::new();
    let mut row = |name: String, of: &dyn Fn(&Document) -> Option<f64>, off: Off| {
        rows.push(Row::new(name, of(a), of(b), off, is_known));
    };
    let names = |of: fn(&Stats) -> Vec<&String>| {
        let names: BTreeSet<&String> = of(&a.aggregate).into_iter().chain(of(&b.aggregate)).collect();
        names.into_iter().filter(|name| !name.contains(HIDDEN))
    };
    for name in names(|stats| stats.counters.keys().collect()) {
        row(name.clone(), &|document| document.counted(name), Off::Exact);
    }
    for name in names(|stats| stats.rates.keys().collect()) {
        row(name.clone(), &|document| document.aggregate.rates.get(name).copied(), Off::RATE);
    }
    for name in names(|stats| stats.summaries.keys().collect()) {
        for (figure, of, off) in FIGURES {
            let value = |document: &Document| document.aggregate.summaries.get(name).and_then(of);
            row(format!("{name}.{figure}"), &value, off);
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
    for (which, (name, document)) in [("A", a), ("B", b)] {
        writeln!(to, "{which}: {} {}", visible(name), about(document))?;
        if let Some(gap) = document.gap() {
            writeln!(to, "   not complete, so that counts may be larger, and others are not known: {gap}")?;
        } else if let Some(why) = document.partial() {
            writeln!(to, "   not the whole load, so that conditions on its figures may not be told: {why}")?;
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
        "\n* differs by more than it may be off: counts are exact, rates rounded to whole numbers, and others to a tenth; percentiles are within 1 %"
    )
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
    fn what_is_rounded_differs_only_by_more_than_half_of_the_last_digit_of_each() {
        for (off, a, b, differs) in [
            (Off::RATE, 2.0, 1.0, false), // 1.6 and 1.4
            (Off::RATE, 0.0, 1.0, false),
            (Off::RATE, 3.0, 1.0, true),
            (Off::TENTH, 20.4, 20.5, false),
            (Off::TENTH, 20.5, 20.4, false),
            (Off::TENTH, 20.4, 20.6, true),
            (Off::TENTH, -0.1, 0.1, true),
            (Off::Exact, 9_007_199_254_740_991.0, 9_007_199_254_740_990.0, true),
        ] {
            assert_eq!(off.differ(a, b), differs, "{off:?} of {a} and {b}");
        }
        let of = |mean: f64, rate: u64| {
            let summary = json!({ "min": 1, "max": 2, "count": 1, "mean": mean, "median": 1 });
            let aggregate = json!({ "rates": { "http.request_rate": rate }, "summaries": { "http.response_time": summary } });
            Document::parse(json!({ "aggregate": aggregate }).to_string().as_bytes()).expect("a report")
        };
        assert!(rows(&of(20.5, 1), &of(20.4, 2)).iter().all(|row| !row.differs));
        let rows = rows(&of(20.5, 1), &of(20.3, 3));
        let differ: Vec<_> = rows.iter().filter(|row| row.differs).map(|row| &*row.metric).collect();
        assert_eq!(differ, ["http.request_rate", "http.response_time.mean"]);
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
