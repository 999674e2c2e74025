//! What comes of conditions, as a table of sentences.

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
fn a_change_of_what_is_rounded_holds_only_where_it_does_so_however_it_was_rounded() {
    let of = |rate: f64, mean: f64| {
        let aggregate = json!({ "rates": { "http.request_rate": rate }, "summaries": { "http.response_time": { "mean": mean } } });
        Document::parse(json!({ "aggregate": aggregate }).to_string().as_bytes()).expect("a report")
    };
    for (first, second, text, holds) in [
        // 1.6 and 1.4 are 12.5 % less
        (2.0, 1.0, "http.request_rate < -20%", false),
        (1.0, 2.0, "http.request_rate > +50%", false),
        (20.0, 10.0, "http.request_rate < -20%", true),
        (20.0, 16.0, "http.request_rate < -15%", true),
        (20.0, 16.0, "http.request_rate < -16%", false),
        (1.0, 2.0, "http.request_rate > +0", false),
        (1.0, 3.0, "http.request_rate > +0", true),
        (20.4, 20.5, "mean > +0", false),
        (20.4, 20.6, "mean > +0", true),
        (20.4, 20.6, "mean > +0.2%", true),
        (20.4, 20.6, "mean > +0.7%", false),
        (-20.4, -20.6, "mean < -0.2%", true),
        (-20.4, -20.6, "mean < -0.7%", false),
        // what is asked of the second alone is what it says
        (0.0, 9.0, "http.request_rate > 8.9", true),
    ] {
        let held = text.parse::<Condition>().expect(text).evaluate(&of(first, first), &of(second, second));
        assert_eq!(held.as_ref().map(|held| held.holds), Ok(holds), "{held:?}");
    }
    let of_nothing =
        "http.request_rate > +5%".parse::<Condition>().expect("one").evaluate(&of(0.0, 1.0), &of(9.0, 1.0));
    let said = "http.request_rate > +5%: it is 0 in report A, and has no change in percent";
    assert_eq!(of_nothing, Err(said.to_owned()));
}

#[test]
fn of_a_load_that_was_not_all_of_it_only_what_cannot_change_any_more_is_told() {
    let of = |outcome: &str, reason: &str| {
        let aggregate = json!({
            "counters": { "http.requests": 20, "errors.ETIMEDOUT": 3 }, "rates": { "http.request_rate": 12 },
            "summaries": { "http.response_time": { "p95": 120 } },
        });
        let verdict = json!({ "outcome": outcome, "reason": reason, "message": "in words" });
        let report = json!({ "aggregate": aggregate, "loadtest": { "verdict": verdict } });
        Document::parse(report.to_string().as_bytes()).expect("a report")
    };
    let whole = of("Passed", "NoChecks");
    for (outcome, reason, why) in [
        ("Inconclusive", "Stopped", "the load test was stopped"),
        ("Inconclusive", "DeadlineExceeded", "the load test was stopped at its deadline"),
        ("Inconclusive", "NoVusers", "no virtual user was created"),
        ("Inconclusive", "Inconclusive", "in words"),
        ("Failed", "WorkersFailed", "in words"),
    ] {
        let part = of(outcome, reason);
        let told = |text: &str, a: &Document, b: &Document| {
            text.parse::<Condition>().expect(text).evaluate(a, b).map(|held| held.holds)
        };
        assert_eq!(told("errors > 2", &whole, &part), Ok(true), "{reason}");
        assert_eq!(
            told("errors > +5", &part, &whole),
            Err(format!("errors > +5: it is at least 3 in report A, which is not complete: {why}"))
        );
        assert_eq!(told("errors > 2", &part, &whole), Ok(true), "{reason}");
        for (text, said) in [
            ("errors > +5", "it is at least 3 in report B, which is not complete"),
            ("requests < +5%", "it is at least 20 in report B, which is not complete"),
            ("vusers.failed > 0", "it is at least 0 in report B, which is not complete"),
            ("p95 > +10%", "report B is not complete, so its p95 is not known"),
            ("http.request_rate < 1", "report B is not complete, so its http.request_rate is not known"),
        ] {
            assert_eq!(told(text, &whole, &part), Err(format!("{text}: {said}: {why}")));
        }
    }
    let failed = of("Failed", "ChecksFailed");
    let held = "errors > +5".parse::<Condition>().expect("one").evaluate(&whole, &failed);
    assert_eq!(held.map(|held| held.holds), Ok(false));
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
        text.contains("\n   not complete, so that counts may be larger, and others are not known: what was"),
        "{text}"
    );
}

#[test]
fn what_is_no_condition_is_told_with_its_place_and_what_would_be_right() {
    for (text, said, place) in [
        ("p95", "there is no > or <, at character 4\n  p95\n", "     ^"),
        ("> 5", "there is no metric before it, at character 1\n  > 5\n", "  ^"),
        ("p95 > x", "this is no number, at character 7\n  p95 > x\n", "        ^"),
        ("é <  10% ", "a percentage is a change: give it a sign, at character 6\n  é <  10% \n", "       ^"),
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
