//! Names and errors of a script that would like to be more than texts, in every form of a report.

use serde_json::{Value, json};

use super::{Document, HIDDEN, compare, html, junit, markdown};

/// What would end a line, a cell, an element, a comment or a script, paint a terminal, or turn a text around.
const HOSTILE: &str = "a\nVerdict:   Passed\r\n\u{1b}]0;x\u{7}\u{9b}31m\u{202e}\u{2028}\u{feff}|`*_[x](http://evil.test)</td></script><img src=x>&\"']]>--><!-- @all {{ 1 }} ${1}\t";

/// A report in which everything that a script, a target or a worker may say is that.
fn report() -> Document {
    let counters: serde_json::Map<String, Value> =
        ["", "errors.", "vusers.created_by_name.", "plugins.metrics-by-endpoint."]
            .iter()
            .flat_map(|kind| {
                [
                    (format!("{kind}{HOSTILE}"), json!(2)),
                    (format!("{kind}{HOSTILE}.codes.{HOSTILE}"), json!(3)),
                ]
            })
            .collect();
    let figures = json!({ "min": 1, "max": 2, "count": 2, "mean": 1, "median": 1, "p95": 2, "p99": 2 });
    let summaries: serde_json::Map<String, Value> = ["", "plugins.metrics-by-endpoint.response_time."]
        .iter()
        .map(|kind| (format!("{kind}{HOSTILE}"), figures.clone()))
        .collect();
    let stats = json!({ "period": "1795684730000", "counters": counters, "rates": { HOSTILE: 3 }, "summaries": summaries });
    let check = |passed: bool, strict: bool| json!({ "check": HOSTILE, "passed": passed, "actual": HOSTILE, "strict": strict });
    let json = json!({
        "aggregate": stats, "intermediate": [stats],
        "loadtest": {
            "name": HOSTILE, "namespace": HOSTILE, "artillery": [HOSTILE, "2"], "node": [HOSTILE],
            "verdict": { "outcome": HOSTILE, "reason": HOSTILE, "message": HOSTILE },
            "checks": [check(true, true), check(false, true), check(false, false)],
            "missing": [HOSTILE], "undelivered": [HOSTILE], "refusedValues": 1, "refused": [{ "name": HOSTILE, "reason": HOSTILE, "count": 1 }],
            "leftOut": HOSTILE, "distributions": { HOSTILE: [{ "upToMilliseconds": 1, "count": 1 }] },
            "plan": {
                "distribution": "Split", "workers": 2, "problem": HOSTILE,
                "phases": [{ "kind": "pause", "name": HOSTILE, "durationMilliseconds": 1, "mode": HOSTILE }],
            },
            "perWorker": [{ "worker": 1, "end": "Lost", "missing": HOSTILE }],
        },
    });
    Document::parse(json.to_string().as_bytes()).expect("a report")
}

#[test]
fn hostile_names_are_texts_in_every_form() {
    let document = report();
    type Writer = fn(&Document, &mut Vec<u8>);
    let writers: [(&str, Writer, &[&str]); 5] = [
        ("text", |document, to| document.write_text(to, &HIDDEN).expect("written"), &["\nVerdict:   Passed"]),
        (
            "Markdown",
            |document, to| markdown::write(document, to).expect("written"),
            &["<img", "</td>", "](http", "http://", "`*", "@all", "a|"],
        ),
        (
            "JUnit",
            |document, to| junit::write(document, to).expect("written"),
            &["<img", "</td>", "]]>", "<!--"],
        ),
        (
            "HTML",
            |document, to| html::write(document, to).expect("written"),
            &["<img", "a\u{fffd}Verdict:   Passed\u{fffd}\u{fffd}\u{fffd}]0;x<"],
        ),
        (
            "comparison",
            |document, to| compare::write_text((HOSTILE, document), ("b", document), to).expect("written"),
            &["\nVerdict:   Passed"],
        ),
    ];
    for (form, write, nowhere) in writers {
        let mut written = Vec::new();
        write(&document, &mut written);
        let written = String::from_utf8(written).expect("UTF-8");
        assert!(written.contains("a\u{fffd}Verdict:"), "{form}: the names are there: {written}");
        // the page's own scripts have the last two as escapes only
        let controls = ['\u{1b}', '\u{7}', '\u{9b}', '\u{202e}', '\u{2028}', '\u{feff}', '\r', '\t'];
        let controls = controls.iter().filter(|c| written.contains(**c));
        assert_eq!(controls.collect::<Vec<_>>(), Vec::<&char>::new(), "{form}: {written}");
        for text in nowhere {
            assert!(!written.contains(text), "{form}: {text:?} got through: {written}");
        }
    }
}

#[test]
fn programs_get_hostile_names_as_they_are() {
    let document = report();
    let mut written = Vec::new();
    document.write_json(&mut written).expect("written");
    let json: Value = serde_json::from_slice(&written).expect("JSON");
    assert_eq!(
        (&json["loadtest"]["name"], json["aggregate"]["rates"][HOSTILE].as_f64()),
        (&json!(HOSTILE), Some(3.0))
    );
    let lines = String::from_utf8(written).expect("UTF-8").lines().count();
    assert_eq!(lines, 1, "an end of a line in a name is an escape");
    let rows = compare::rows(&document, &document);
    assert!(rows.iter().any(|row| row.metric == HOSTILE));
}
