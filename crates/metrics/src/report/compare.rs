//! Two reports side by side: what is different by more than chance of measurement, and conditions by which a pipeline fails.
//!
//! Counts, rates, minima, maxima and means are exact. A percentile is within 1 % of a measured value in either report, and rounded to a tenth, so two
//! of them differ where they are further apart than both errors together.

use std::collections::BTreeSet;
use std::io::{self, Write};

use serde::Serialize;

use super::document::{Document, Figures, Stats};
use super::html::visible;
use crate::sketch::RELATIVE_ACCURACY;

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
    fn new(metric: String, a: Option<f64>, b: Option<f64>, is_percentile: bool) -> Self {
        let change = a.zip(b).filter(|(a, _)| *a != 0.0).map(|(a, b)| (b - a) / a.abs());
        let differs = match (a, b) {
            (Some(a), Some(b)) if is_percentile => {
                (a - b).abs() > RELATIVE_ACCURACY * (a.abs() + b.abs()) + 2.0 * ROUNDING
            }
            (a, b) => a != b,
        };
        Self { metric, a, b, change, differs }
    }
}

/// A figure of a distribution by its name.
type Figure = (&'static str, fn(&Figures) -> f64, bool);

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

/// All figures of two reports, by name.
pub fn rows(a: &Document, b: &Document) -> Vec<Row> {
    let (a, b) = (&a.aggregate, &b.aggregate);
    let mut rows = Vec::new();
    let names = |of: fn(&Stats) -> Vec<&String>| {
        let names: BTreeSet<&String> = of(a).into_iter().chain(of(b)).collect();
        names.into_iter().filter(|name| !name.contains(HIDDEN))
    };
    for name in names(|stats| stats.counters.keys().collect()) {
        // a counter that is not there has counted nothing
        let count = |stats: &Stats| Some(stats.counters.get(name).copied().unwrap_or(0.0));
        rows.push(Row::new(name.clone(), count(a), count(b), false));
    }
    for name in names(|stats| stats.rates.keys().collect()) {
        let rate = |stats: &Stats| stats.rates.get(name).copied();
        rows.push(Row::new(name.clone(), rate(a), rate(b), false));
    }
    for name in names(|stats| stats.summaries.keys().collect()) {
        for (figure, of, is_percentile) in FIGURES {
            let value = |stats: &Stats| stats.summaries.get(name).map(of);
            rows.push(Row::new(format!("{name}.{figure}"), value(a), value(b), is_percentile));
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
    writeln!(to, "A: {}\nB: {}\n", heading(a), heading(b))?;
    writeln!(to, "  {:width$} {:>14} {:>14} {:>10}", "", "A", "B", "change")?;
    for Row { metric, a, b, change, differs } in &rows {
        let value = |value: &Option<f64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
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
    format!("{name} ({}, {})", visible(&document.title()), visible(verdict))
}

/// When a comparison fails: `METRIC > VALUE` or `METRIC < VALUE`.
///
/// METRIC is the name of a counter, of a rate, or of a distribution and a figure (`http.response_time.p95`); `min`, `mean`, `median` (or `p50`), `p75`, `p90`,
/// `p95`, `p99`, `p999`, `max` and `count` are those of `http.response_time`, `requests` is `http.requests`, and `errors` all errors together. VALUE is a number, which
/// the second report is held against; with a sign (`+5`, `-5`) it is a change from the first to the second, and with `%` as well one in parts of the first.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    metric: String,
    is_above: bool,
    value: Value,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Absolute(f64),
    Change(f64),
    Relative(f64),
}

/// What comes of a condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Whether it holds, and the comparison fails.
    pub holds: bool,
    /// With the values, in words.
    pub words: String,
}

impl std::str::FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |at: usize, what: &str| wrong(text, at, what);
        let at = text.find(['>', '<']).ok_or_else(|| wrong(text.trim_end().len(), "there is no > or <"))?;
        let (metric, rest) = text.split_at(at);
        let metric = metric.trim();
        if metric.is_empty() {
            return Err(wrong(at, "there is no metric before it"));
        }
        let is_above = rest.starts_with('>');
        let value = rest[1..].trim();
        let begins = text.len() - rest[1..].trim_start().len();
        let (number, is_relative) =
            value.strip_suffix('%').map_or((value, false), |number| (number.trim(), true));
        let is_change = number.starts_with(['+', '-']);
        let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| {
            wrong(begins, if value.is_empty() { "there is no value" } else { "this is no number" })
        })?;
        let value = match (is_relative, is_change) {
            (true, true) => Value::Relative(number / 100.0),
            (true, false) => return Err(wrong(begins, "a percentage is a change: give it a sign")),
            (false, true) => Value::Change(number),
            (false, false) => Value::Absolute(number),
        };
        Ok(Self { text: text.trim().to_owned(), metric: metric.to_owned(), is_above, value })
    }
}

/// What is wrong with a condition, with a mark below the character where it is.
fn wrong(text: &str, at: usize, what: &str) -> String {
    let column = text[..at].chars().count();
    format!(
        "{what}, at character {}\n  {}\n  {}^\ngive METRIC > VALUE or METRIC < VALUE, such as 'p95 > +10%'",
        column + 1,
        visible(text),
        " ".repeat(column)
    )
}

impl Condition {
    /// What comes of it.
    ///
    /// # Errors
    /// It cannot be told: a report has no such figure, or the change is one of nothing. In words.
    pub fn evaluate(&self, a: &Document, b: &Document) -> Result<Held, String> {
        let value = |which: &str, document: &Document| {
            figure(document, &self.metric)
                .ok_or_else(|| format!("{}: report {which} has no {}", self.text, self.metric))
        };
        let second = value("B", b)?;
        let (actual, limit, words) = match self.value {
            Value::Absolute(limit) => (second, limit, format!("it is {second}")),
            Value::Change(limit) => {
                let first = value("A", a)?;
                (second - first, limit, format!("from {first} to {second}"))
            }
            Value::Relative(limit) => {
                let first = value("A", a)?;
                if first == 0.0 {
                    return Err(format!("{}: it is 0 in report A, and has no change in percent", self.text));
                }
                let change = (second - first) / first.abs();
                (change, limit, format!("from {first} to {second}, {:+.1} %", change * 100.0))
            }
        };
        let holds = if self.is_above { actual > limit } else { actual < limit };
        Ok(Held { holds, words: format!("{}: {words}", self.text) })
    }
}

fn figure(document: &Document, metric: &str) -> Option<f64> {
    let metric = match metric {
        "requests" => "http.requests",
        "errors" => return Some(document.errors_in_all()),
        other => other,
    };
    let stats = &document.aggregate;
    let of = |name: &str, figure: &str| {
        let figure = if figure == "p50" { "median" } else { figure };
        let (_, of, _) = FIGURES.iter().find(|(known, _, _)| *known == figure)?;
        stats.summaries.get(name).map(of)
    };
    let counted = stats.counters.get(metric).or_else(|| stats.rates.get(metric)).copied();
    let split = || metric.rsplit_once('.').and_then(|(name, figure)| of(name, figure));
    // a kind of error, of answer or of end that did not happen is counted 0
    let none =
        ["errors.", "http.codes.", "vusers."].iter().any(|kind| metric.starts_with(kind)).then_some(0.0);
    counted.or_else(|| of("http.response_time", metric)).or_else(split).or(none)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(requests: u64, errors: u64, p95: f64) -> Document {
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
    fn conditions_are_held_against_the_second_or_against_the_change() {
        let (a, b) = (document(1000, 0, 100.0), document(900, 3, 120.0));
        for (text, holds, words) in [
            ("p95 > +10%", true, "p95 > +10%: from 100 to 120, +20.0 %"),
            ("p95 > +25%", false, "p95 > +25%: from 100 to 120, +20.0 %"),
            ("http.response_time.p95>110", true, "http.response_time.p95>110: it is 120"),
            ("errors > 0", true, "errors > 0: it is 3"),
            ("errors > +5", false, "errors > +5: from 0 to 3"),
            ("requests < -5%", true, "requests < -5%: from 1000 to 900, -10.0 %"),
            ("http.request_rate < 10", false, "http.request_rate < 10: it is 12"),
            ("errors.ECONNRESET > 0", false, "errors.ECONNRESET > 0: it is 0"),
            ("vusers.skipped > 0", false, "vusers.skipped > 0: it is 0"),
            ("p50 > +10%", false, "p50 > +10%: from 15 to 15, +0.0 %"),
        ] {
            let held = text.parse::<Condition>().expect(text).evaluate(&a, &b).expect(text);
            assert_eq!((held.holds, held.words.as_str()), (holds, words), "{text}");
        }
        for (text, said) in [
            ("p96 > 1", "p96 > 1: report B has no p96"),
            ("errors > +10%", "errors > +10%: it is 0 in report A, and has no change in percent"),
        ] {
            assert_eq!(text.parse::<Condition>().expect(text).evaluate(&a, &b), Err(said.to_owned()));
        }
    }

    #[test]
    fn where_there_is_no_error_there_are_0_of_them() {
        let none = Document::parse(br#"{"aggregate": {}}"#).expect("a report");
        let held = "errors > 0".parse::<Condition>().expect("one").evaluate(&none, &none);
        assert_eq!(held, Ok(Held { holds: false, words: "errors > 0: it is 0".to_owned() }));
    }

    #[test]
    fn what_is_no_condition_is_told_with_its_place_and_what_would_be_right() {
        for (text, said, place) in [
            ("p95", "there is no > or <, at character 4\n  p95\n", "     ^"),
            ("> 5", "there is no metric before it, at character 1\n  > 5\n", "  ^"),
            ("p95 > x", "this is no number, at character 7\n  p95 > x\n", "        ^"),
            (
                "é <  10% ",
                "a percentage is a change: give it a sign, at character 6\n  é <  10% \n",
                "       ^",
            ),
            ("p95 >> 1", "this is no number, at character 6\n", "       ^"),
            ("p95 > inf", "this is no number, at character 7\n", "        ^"),
            ("p95 >", "there is no value, at character 6\n", "       ^"),
            ("p\n95", "there is no > or <, at character 5\n  p\u{fffd}95\n", "      ^"),
        ] {
            let error = text.parse::<Condition>().expect_err(text);
            assert!(error.starts_with(said), "{error}");
            let (_, marked) = error.split_once(place).expect(&error);
            assert_eq!(marked, "\ngive METRIC > VALUE or METRIC < VALUE, such as 'p95 > +10%'", "{error}");
        }
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
