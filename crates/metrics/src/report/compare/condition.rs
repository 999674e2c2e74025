//! When a comparison fails: conditions as they are written, and what comes of them.

use super::{DOUBT, FIGURES, Off};
use crate::report::document::Document;
use crate::report::names::visible;

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

/// What a report tells of a metric.
#[derive(Clone, Debug, PartialEq)]
struct Figure {
    value: f64,
    /// By how much it may be off because it is rounded.
    off: f64,
    /// Why it is a count that may be larger, if it is.
    gap: Option<String>,
}

impl Condition {
    /// What comes of it.
    ///
    /// # Errors
    /// It cannot be told: a report has no such figure, is not complete, or the change is one of nothing. In words.
    pub fn evaluate(&self, a: &Document, b: &Document) -> Result<Held, String> {
        let text = &self.text;
        let of = |which: &str, document: &Document| {
            figure(document, &self.metric).map_err(|why| format!("{text}: report {which} {why}"))
        };
        let Figure { value: second, off, gap } = of("B", b)?;
        let first = || {
            let first = of("A", a)?;
            match first.gap {
                None => Ok((first.value, first.off)),
                Some(gap) => Err(format!(
                    "{text}: it is at least {} in report A, which is not complete: {gap}",
                    first.value
                )),
            }
        };
        let at_least = if gap.is_some() { "at least " } else { "" };
        // how much of a difference may be of the arithmetic alone
        let doubt = |first: f64| DOUBT * (first.abs() + second.abs());
        let (actual, limit, doubt, words) = match self.value {
            // what is asked of the second alone is what it says
            Value::Absolute(limit) => (second, limit, 0.0, format!("it is {at_least}{second}")),
            Value::Change(limit) => {
                let (first, first_off) = first()?;
                let words = format!("from {first} to {at_least}{second}");
                (second - first, limit, doubt(first) + first_off + off, words)
            }
            Value::Relative(limit) => {
                let (first, first_off) = first()?;
                if first.abs() <= first_off {
                    return Err(format!("{text}: it is {first} in report A, and has no change in percent"));
                }
                let change = (second - first) / first.abs();
                let words = format!("from {first} to {at_least}{second}, {:+.1} %", change * 100.0);
                // it holds where it does so however the two were rounded
                let second = if self.is_above { second - off } else { second + off };
                let [one, other] =
                    [first - first_off, first + first_off].map(|first| (second - first) / first.abs());
                let change = if self.is_above { one.min(other) } else { one.max(other) };
                (change, limit, doubt(first) / first.abs(), words)
            }
        };
        let beyond = if self.is_above { actual - limit } else { limit - actual };
        let holds = beyond > doubt;
        match gap {
            // more than is too much already is no less
            Some(gap) if !(holds && self.is_above) => {
                Err(format!("{text}: it is at least {second} in report B, which is not complete: {gap}"))
            }
            _ => Ok(Held { holds, words: format!("{text}: {words}") }),
        }
    }
}

/// What a report tells of a metric; why it tells nothing, in words that follow on its name.
fn figure(document: &Document, metric: &str) -> Result<Figure, String> {
    let stats = &document.aggregate;
    let name = if metric == "requests" { "http.requests" } else { metric };
    let counted = if metric == "errors" {
        Some(document.errors_in_all())
    } else if is_counter(name) {
        Some(document.counted(name).unwrap_or(0.0))
    } else {
        stats.counters.get(name).copied()
    };
    let gap = document.partial();
    if let Some(value) = counted {
        return Ok(Figure { value, off: 0.0, gap });
    }
    let of = |name: &str, figure: &str| {
        let figure = if figure == "p50" { "median" } else { figure };
        let (_, of, off) = FIGURES.iter().find(|(known, _, _)| *known == figure)?;
        Some((stats.summaries.get(name).and_then(of)?, *off))
    };
    let split = || name.rsplit_once('.').and_then(|(name, figure)| of(name, figure));
    let rate = stats.rates.get(name).map(|rate| (*rate, Off::RATE));
    match (rate.or_else(|| of("http.response_time", name)).or_else(split), gap) {
        (Some((value, off)), None) => Ok(Figure { value, off: off.by_rounding(), gap: None }),
        (None, None) => Err(format!("has no {metric}")),
        (Some(_), Some(gap)) => Err(format!("is not complete, so its {metric} is not known: {gap}")),
        (None, Some(gap)) => Err(format!("has no {metric}, and is not complete: {gap}")),
    }
}

/// Whether it counts something that need not happen, so that a report which does not have it has counted 0: errors, answers by their code, and
/// virtual users by their ends. Of distributions (`vusers.session_length`) that is not so.
fn is_counter(name: &str) -> bool {
    let code = name.strip_prefix("http.codes.");
    ["vusers.created", "vusers.completed", "vusers.failed", "vusers.skipped"].contains(&name)
        || code.is_some_and(|code| !code.is_empty() && code.bytes().all(|byte| byte.is_ascii_digit()))
        || ["errors.", "vusers.created_by_name."]
            .iter()
            .any(|kind| name.strip_prefix(kind).is_some_and(|rest| !rest.is_empty()))
}

#[cfg(test)]
mod tests;
