//! When a comparison fails: conditions as they are written, and what comes of them.

use super::FIGURES;
use crate::report::document::Document;
use crate::report::names::visible;

/// Of two figures so much may be lost where a computer takes one from the other.
const DOUBT: f64 = 1e-9;

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
enum Figure {
    /// It is that.
    Known(f64),
    /// It counted so many, and may have missed some: why.
    AtLeast(f64, String),
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
        let (second, gap) = match of("B", b)? {
            Figure::Known(second) => (second, None),
            Figure::AtLeast(second, gap) => (second, Some(gap)),
        };
        let first = || match of("A", a)? {
            Figure::Known(first) => Ok(first),
            Figure::AtLeast(first, gap) => {
                Err(format!("{text}: it is at least {first} in report A, which is not complete: {gap}"))
            }
        };
        let at_least = if gap.is_some() { "at least " } else { "" };
        // how much of a difference may be of the arithmetic alone
        let doubt = |first: f64| DOUBT * (first.abs() + second.abs());
        let (actual, limit, doubt, words) = match self.value {
            Value::Absolute(limit) => (second, limit, 0.0, format!("it is {at_least}{second}")),
            Value::Change(limit) => {
                let first = first()?;
                (second - first, limit, doubt(first), format!("from {first} to {at_least}{second}"))
            }
            Value::Relative(limit) => {
                let first = first()?;
                if first == 0.0 {
                    return Err(format!("{text}: it is 0 in report A, and has no change in percent"));
                }
                let change = (second - first) / first.abs();
                let words = format!("from {first} to {at_least}{second}, {:+.1} %", change * 100.0);
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
    let gap = document.gap();
    if let Some(count) = counted {
        return Ok(gap.map_or(Figure::Known(count), |gap| Figure::AtLeast(count, gap)));
    }
    let of = |name: &str, figure: &str| {
        let figure = if figure == "p50" { "median" } else { figure };
        let (_, of, _) = FIGURES.iter().find(|(known, _, _)| *known == figure)?;
        stats.summaries.get(name).and_then(of)
    };
    let split = || name.rsplit_once('.').and_then(|(name, figure)| of(name, figure));
    let rate = stats.rates.get(name).copied();
    match (rate.or_else(|| of("http.response_time", name)).or_else(split), gap) {
        (Some(value), None) => Ok(Figure::Known(value)),
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
mod tests {
    use serde_json::json;

    use super::super::tests::document;
    use super::*;

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
            ("vusers.created_by_name.buy > 0", false, "vusers.created_by_name.buy > 0: it is 0"),
            ("http.codes.503 > 0", false, "http.codes.503 > 0: it is 0"),
            ("p50 > +10%", false, "p50 > +10%: from 15 to 15, +0.0 %"),
        ] {
            let held = text.parse::<Condition>().expect(text).evaluate(&a, &b).expect(text);
            assert_eq!((held.holds, held.words.as_str()), (holds, words), "{text}");
        }
        for (text, said) in [
            ("p96 > 1", "p96 > 1: report B has no p96"),
            ("p75 > 1", "p75 > 1: report B has no p75"),
            (
                "vusers.session_length.p95 > 1",
                "vusers.session_length.p95 > 1: report B has no vusers.session_length.p95",
            ),
            ("vusers.failed.p95 > 1", "vusers.failed.p95 > 1: report B has no vusers.failed.p95"),
            ("http.codes.p95 > 1", "http.codes.p95 > 1: report B has no http.codes.p95"),
            ("errors > +10%", "errors > +10%: it is 0 in report A, and has no change in percent"),
        ] {
            assert_eq!(text.parse::<Condition>().expect(text).evaluate(&a, &b), Err(said.to_owned()));
        }
    }

    #[test]
    fn a_change_of_just_so_much_does_not_hold_however_it_is_computed() {
        for (first, second, text, holds) in [
            (7.0, 7.7, "p95 > +10%", false),
            (7.0, 7.7, "p95 > +9.999%", true),
            (7.0, 6.3, "p95 < -10%", false),
            (7.0, 6.3, "p95 < -9.999%", true),
            (20.4, 20.5, "p95 > +0.1", false),
            (20.4, 20.5, "p95 > +0.0999", true),
            (20.5, 20.4, "p95 < -0.1", false),
            (20.5, 20.4, "p95 < -0.0999", true),
            (20.4, 20.4, "p95 > +0%", false),
            (0.0, 0.1, "p95 > +0", true),
            // what is asked of the second alone is what it says
            (0.0, 0.300_000_000_1, "p95 > 0.3", true),
        ] {
            let (a, b) = (document(10, 0, first), document(10, 0, second));
            let held = text.parse::<Condition>().expect(text).evaluate(&a, &b).expect(text);
            assert_eq!(held.holds, holds, "{}", held.words);
        }
    }

    #[test]
    fn where_there_is_no_error_there_are_0_of_them() {
        let none = Document::parse(br#"{"aggregate": {}}"#).expect("a report");
        let held = "errors > 0".parse::<Condition>().expect("one").evaluate(&none, &none);
        assert_eq!(held, Ok(Held { holds: false, words: "errors > 0: it is 0".to_owned() }));
    }

    #[test]
    fn of_a_report_that_is_not_complete_only_what_cannot_change_any_more_is_told() {
        let of =
            |document: serde_json::Value| Document::parse(document.to_string().as_bytes()).expect("a report");
        let aggregate = json!({
            "counters": { "http.requests": 900, "errors.ETIMEDOUT": 3 }, "rates": { "http.request_rate": 12 },
            "summaries": { "http.response_time": { "p95": 120 } },
        });
        let lacking = of(json!({
            "aggregate": aggregate, "loadtest": { "verdict": { "outcome": "Inconclusive" }, "missing": ["worker 1 was lost"] },
        }));
        let left_out = of(json!({
            "aggregate": {}, "loadtest": { "verdict": { "outcome": "Passed" }, "leftOut": "aggregate: no room", "vusers": { "failed": 4 } },
        }));
        let tolerated = of(json!({
            "aggregate": aggregate, "loadtest": { "verdict": { "outcome": "Passed" }, "missing": ["worker 1 was lost"] },
        }));
        let whole = document(1000, 1, 100.0);
        let lost = "which is not complete: data is missing: worker 1 was lost";
        let away = "which is not complete: what was measured was left out of it";
        let no = |words: &str, why: &str| Err(format!("{words}, {why}"));
        for (a, b, text, wanted) in [
            (&whole, &lacking, "errors > 2", Ok((true, "errors > 2: it is at least 3"))),
            (&whole, &lacking, "errors > +1", Ok((true, "errors > +1: from 1 to at least 3"))),
            (&whole, &lacking, "errors > 3", no("errors > 3: it is at least 3 in report B", lost)),
            (&whole, &lacking, "requests < 1000", no("requests < 1000: it is at least 900 in report B", lost)),
            (&whole, &lacking, "vusers.failed > 0", no("vusers.failed > 0: it is at least 0 in report B", lost)),
            (
                &whole,
                &lacking,
                "p95 > 200",
                Err("p95 > 200: report B is not complete, so its p95 is not known: data is missing: worker 1 was lost".into()),
            ),
            (
                &whole,
                &lacking,
                "http.request_rate < 1",
                Err("http.request_rate < 1: report B is not complete, so its http.request_rate is not known: data is missing: worker 1 was lost".into()),
            ),
            (&lacking, &whole, "errors > 0", Ok((true, "errors > 0: it is 1"))),
            (&lacking, &whole, "errors > +1", no("errors > +1: it is at least 3 in report A", lost)),
            (&whole, &left_out, "errors > 0", no("errors > 0: it is at least 0 in report B", away)),
            (&whole, &left_out, "vusers.failed > 3", Ok((true, "vusers.failed > 3: it is at least 4"))),
            (
                &whole,
                &left_out,
                "p95 > +10%",
                Err("p95 > +10%: report B has no p95, and is not complete: what was measured was left out of it".into()),
            ),
            (&whole, &tolerated, "vusers.failed > 0", Ok((false, "vusers.failed > 0: it is 0"))),
            (&whole, &tolerated, "p95 > +10%", Ok((true, "p95 > +10%: from 100 to 120, +20.0 %"))),
        ] {
            let came = text.parse::<Condition>().expect(text).evaluate(a, b);
            let wanted = wanted.map(|(holds, words)| Held { holds, words: words.to_owned() });
            assert_eq!(came, wanted, "{text}");
        }
        let table = |a: &Document, b: &Document| {
            let mut written = Vec::new();
            crate::report::compare::write_text(("a", a), ("b", b), &mut written).expect("written");
            String::from_utf8(written).expect("UTF-8")
        };
        let text = table(&whole, &left_out);
        let line = text.lines().find(|line| line.contains("errors.ETIMEDOUT")).expect("a line");
        assert!(
            line.starts_with("  errors") && line.split_whitespace().eq(["errors.ETIMEDOUT", "1", "–"]),
            "{text}"
        );
        assert!(
            text.contains(
                "\n   not complete, so that counts may be larger, and others are not known: what was"
            ),
            "{text}"
        );
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
}
