//! The report as JUnit's XML, which continuous integration shows as tests: a test for each check, and one for the load test itself.

use std::io::{self, Write};

use super::document::{Check, Document, Section};
use super::doubts::doubts;
use super::names::is_hidden;

/// Writes it. An optional check that does not hold is a skipped test; a load test that is inconclusive is an error, not a failure.
///
/// # Errors
/// Of the writer.
pub fn write(document: &Document, mut to: impl Write) -> io::Result<()> {
    let nothing = Section::default();
    let section = document.loadtest.as_ref().unwrap_or(&nothing);
    let title = text(&document.title());
    let failing = |check: &&Check| !check.passed && check.strict;
    let optional = |check: &&Check| !check.passed && !check.strict;
    let has_verdict = document.loadtest.is_some();
    let (itself, failures, errors) = itself(section, has_verdict);
    let doubts = told(section);
    let failures = failures + section.checks.iter().filter(failing).count();
    let skipped = section.checks.iter().filter(optional).count() + usize::from(!has_verdict);
    let tests = section.checks.len() + 1;
    let seconds = match (section.started_at_milliseconds, section.ended_at_milliseconds) {
        #[allow(clippy::cast_precision_loss, reason = "milliseconds of a load test")]
        (Some(began), Some(ended)) => ended.saturating_sub(began) as f64 / 1000.0,
        _ => 0.0,
    };
    writeln!(to, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        to,
        r#"<testsuites><testsuite name="{title}" tests="{tests}" failures="{failures}" errors="{errors}" skipped="{skipped}" time="{seconds:.3}">"#
    )?;
    writeln!(
        to,
        r#"<testcase classname="{title}" name="the load test" time="{seconds:.3}">{itself}{doubts}</testcase>"#
    )?;
    for check in &section.checks {
        let (name, actual) = (text(&check.check), text(&check.actual));
        let inner = match (check.passed, check.strict) {
            (true, _) => String::new(),
            (false, true) => format!(r#"<failure message="{actual}" type="check">{actual}</failure>"#),
            (false, false) => format!(r#"<skipped message="optional, and does not hold: {actual}"/>"#),
        };
        writeln!(to, r#"<testcase classname="{title}" name="{name}" time="0">{inner}</testcase>"#)?;
    }
    writeln!(to, "</testsuite></testsuites>")
}

/// What is missing or doubtful, as what the test printed; nothing where nothing is.
fn told(section: &Section) -> String {
    let doubts = doubts(section);
    if doubts.is_empty() {
        return String::new();
    }
    let lines: Vec<_> = doubts.iter().map(|doubt| format!("{}: {}", doubt.kind, text(&doubt.text))).collect();
    format!("<system-out>{}</system-out>", lines.join("\n"))
}

/// What came of the load test apart from its checks: an element, and how many failures and errors that is.
fn itself(section: &Section, has_verdict: bool) -> (String, usize, usize) {
    let message = text(&format!("{}: {}", section.verdict.reason, section.verdict.message));
    match (section.verdict.outcome.as_str(), section.verdict.reason.as_str()) {
        _ if !has_verdict => {
            (r#"<skipped message="a report of Artillery's own: it has no verdict"/>"#.to_owned(), 0, 0)
        }
        // the checks are tests of their own
        ("Passed", _) | ("Failed", "ChecksFailed") => (String::new(), 0, 0),
        ("Failed", _) => {
            (format!(r#"<failure message="{message}" type="load test">{message}</failure>"#), 1, 0)
        }
        _ => (format!(r#"<error message="{message}" type="load test">{message}</error>"#), 0, 1),
    }
}

/// A text in an element or an attribute. XML has no way to write most control characters.
fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '"' => safe.push_str("&quot;"),
            c if is_hidden(c) || ('\u{fffe}'..='\u{ffff}').contains(&c) => {
                safe.push(char::REPLACEMENT_CHARACTER);
            }
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn written(loadtest: serde_json::Value) -> String {
        let document = json!({ "aggregate": {}, "loadtest": loadtest }).to_string();
        let document = Document::parse(document.as_bytes()).expect("a report");
        let mut text = Vec::new();
        write(&document, &mut text).expect("written");
        String::from_utf8(text).expect("UTF-8")
    }

    #[test]
    fn each_check_is_a_test_and_so_is_the_load_test() {
        let xml = written(json!({
            "name": "checkout", "startedAtMilliseconds": 1000, "endedAtMilliseconds": 31_500,
            "verdict": { "outcome": "Failed", "reason": "ChecksFailed", "message": "1 of 3 checks does not hold" },
            "checks": [
                { "check": "p95 < 200", "passed": true, "actual": "", "strict": true },
                { "check": "errors < 1", "passed": false, "actual": "it is 4", "strict": true },
                { "check": "p99 < 300", "passed": false, "actual": "it is 310", "strict": false },
            ],
        }));
        assert!(
            xml.contains(
                r#"<testsuite name="checkout" tests="4" failures="1" errors="0" skipped="1" time="30.500">"#
            ),
            "{xml}"
        );
        assert!(xml.contains(r#"name="the load test" time="30.500"></testcase>"#), "{xml}");
        assert!(
            xml.contains(
                r#"name="errors &lt; 1" time="0"><failure message="it is 4" type="check">it is 4</failure>"#
            ),
            "{xml}"
        );
        assert!(xml.contains(r#"<skipped message="optional, and does not hold: it is 310"/>"#), "{xml}");
    }

    #[test]
    fn what_is_inconclusive_is_an_error() {
        let xml = written(
            json!({ "name": "t", "verdict": { "outcome": "Inconclusive", "reason": "Stopped", "message": "it was stopped" } }),
        );
        assert!(
            xml.contains(r#"errors="1""#) && xml.contains(r#"<error message="Stopped: it was stopped""#),
            "{xml}"
        );
    }

    #[test]
    fn a_report_without_a_verdict_is_a_skipped_test_and_counted() {
        let document = Document::parse(br#"{"aggregate": {}}"#).expect("a report");
        let mut written = Vec::new();
        write(&document, &mut written).expect("written");
        let xml = String::from_utf8(written).expect("UTF-8");
        assert!(xml.contains(r#"tests="1" failures="0" errors="0" skipped="1" time="0.000""#), "{xml}");
        assert_eq!(xml.matches("<skipped ").count(), 1, "{xml}");
    }

    #[test]
    fn hostile_names_stay_texts() {
        let xml = written(
            json!({ "name": "\"><x>&\u{1}\n", "checks": [{ "check": "]]></failure>", "passed": true }] }),
        );
        assert!(xml.contains("name=\"&quot;&gt;&lt;x&gt;&amp;\u{fffd}\u{fffd}\""), "{xml}");
        assert!(xml.contains("name=\"]]&gt;&lt;/failure&gt;\""), "{xml}");
    }
}
