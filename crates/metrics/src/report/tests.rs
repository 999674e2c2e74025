//! The report: its text as people read it, its JSON as programs do, and that the latter is what its schema says.

use serde_json::{Value, json};

use super::schema::{errors, is_valid};
use super::*;
use crate::aggregate::{Measurers, PERIOD};
use crate::checks::Ensure;
use crate::delivery::Distribution;
use crate::sketch::Sketch;
use crate::verdict::{Facts, WorkerFacts, verdict};
use crate::wire::{Batch, Refused, Span, ValueError};

/// 2023-11-14T22:13:20Z
const START: u64 = 1_700_000_000_000;

pub(super) fn batch(number: u64, times: &[f64], told: bool) -> Batch {
    let mut sketch = Sketch::default();
    times.iter().for_each(|time| sketch.accept(*time).expect("a time"));
    let period = START + number * PERIOD;
    let count = times.len() as u64;
    let counters = [
        ("http.requests", count),
        ("vusers.created", count),
        ("vusers.completed", count),
        ("vusers.skipped", 1),
    ];
    Batch {
        sequence: 1,
        period,
        counters: counters.map(|(name, count)| (name.to_owned(), count)).into(),
        rates: [("http.request_rate".to_owned(), count as f64)].into(),
        histograms: [
            ("http.response_time".to_owned(), sketch.clone()),
            ("plugins.metrics-by-endpoint.response_time./a".to_owned(), sketch),
        ]
        .into(),
        counters_at: told.then_some(Span { first: period + 5, last: period + 100 }),
        histograms_at: told.then_some(Span { first: period + 7, last: period + 110 }),
        ..Batch::default()
    }
}

fn aggregate() -> Aggregate {
    let mut aggregate = Aggregate::default();
    aggregate.add(&batch(0, &[1.0, 2.0, 30.5], true));
    aggregate.add(&batch(0, &[4.0, 4.0], true));
    aggregate.add(&batch(2, &[100.0; 7], true));
    let refused = vec![Refused { name: "mine".to_owned(), why: ValueError::Count(-1.0) }];
    aggregate.add(&Batch { sequence: 2, refused, ..Batch::default() });
    aggregate
}

pub(super) fn report(aggregate: &Aggregate) -> Report<'_> {
    let ensure = json!({
        "thresholds": [{"http.response_time.p95": 50}, {"http.requests": 100}],
        "conditions": [{"expression": "http.codes.500 == 0", "strict": false}],
    });
    let checks = Ensure::read(&ensure).expect("an ensure").evaluate(aggregate.total(), Measurers::Several);
    let facts = Facts {
        planned: 2,
        workers: vec![WorkerFacts {
            index: 0,
            end: crate::verdict::WorkerEnd::Exited(0),
            gaps: crate::verdict::Gaps { unsent_periods: Some(0), ..Default::default() },
        }],
        may_be_missing: 1,
        checks: checks.clone(),
        vusers_created: 12,
        ..Facts::default()
    };
    Report {
        identity: Identity {
            name: "checkout".to_owned(),
            namespace: Some("shop".to_owned()),
            uid: Some("a-b-c".to_owned()),
            artillery: vec!["2.0.34".to_owned()],
            node: vec!["24.21.0".to_owned()],
        },
        workers: Workers { planned: 2, joined: 1, reporting: 1, succeeded: 1, failed: 0, lost: 0 },
        started_at: Some(START),
        ended_at: Some(START + 3_725_000),
        start_skew_milliseconds: Some(12.34),
        planned_vusers: Some(15),
        missing: facts.missing(),
        undelivered: vec![
            "1 of 2 workers had their CPU throttled (worker 0: in 11 % of its scheduling periods)".to_owned(),
        ],
        verdict: verdict(&facts),
        checks,
        plan: Some(Plan::of(
            Distribution::Replicate,
            &json!([{"duration": 5, "arrivalRate": 1.5, "totalWorkers": 2, "name": "a"}, {"pause": 1}]),
            2,
            None,
        )),
        per_worker: vec![PerWorker {
            end: WorkerEnd::Exited,
            exit_code: Some(0),
            started_after_milliseconds: Some(0.0),
            event_loop_most_percent: Some(31.2),
            ..PerWorker::default()
        }],
        per_worker_left_out: 1,
        aggregate,
    }
}

fn json(report: &Report<'_>) -> Value {
    let mut bytes = Vec::new();
    report.write_json(&mut bytes).expect("it is written");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn text(report: &Report<'_>) -> String {
    let mut bytes = Vec::new();
    report.write_text(&mut bytes, &HIDDEN).expect("it is written");
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn people_read_what_came_of_it_the_summary_and_the_checks() {
    let aggregate = aggregate();
    let expected = "\
Load test: shop/checkout (Artillery 2.0.34, Node 24.21.0)
Verdict:   Failed (ChecksFailed): 2 of 3 checks failed: http.response_time.p95
           < 50 (http.response_time.p95 = 100.5); http.codes.500 == 0
           (optional) (http.codes.500 was not measured)
Workers:   2 planned, 1 joined, 1 reporting, 1 succeeded, 0 failed, 0 lost
Load:      12 of 15 planned virtual users created, 3 skipped for maxVusers;
           started within 13 ms
Missing:   worker 1 never joined
Load:      1 of 2 workers had their CPU throttled (worker 0: in 11 % of its
           scheduling periods)
Refused:   1 measured value was not taken in, such as mine: -1 is no count: a
           whole number from 0 to 2^53 is expected

All VUs finished. Total time: 1 hour, 2 minutes, 5 seconds

--------------------------------
Summary report @ 23:15:25(+0000)
--------------------------------

http.request_rate: ............................................................. 1/sec
http.requests: ................................................................. 12
http.response_time:
  min: ......................................................................... 1
  max: ......................................................................... 100
  mean: ........................................................................ 61.8
  median: ...................................................................... 100.5
  p95: ......................................................................... 100.5
  p99: ......................................................................... 100.5
vusers.completed: .............................................................. 12
vusers.created: ................................................................ 12
vusers.skipped: ................................................................ 3

Checks:
ok: http.requests < 100
fail: http.response_time.p95 < 50
      http.response_time.p95 = 100.5
fail: http.codes.500 == 0 (optional)
      http.codes.500 was not measured
";
    assert_eq!(text(&report(&aggregate)), expected);
}

#[test]
fn no_name_of_a_metric_does_anything_to_a_terminal() {
    let mut aggregate = Aggregate::default();
    let mut batch = batch(0, &[1.0], true);
    batch.counters.insert("red \u{1b}[31m".to_owned(), 1);
    aggregate.add(&batch);
    let text = text(&report(&aggregate));
    assert!(text.contains("red \u{fffd}[31m: ...") && !text.contains('\u{1b}'), "{text}");
}

#[test]
fn a_file_gives_the_same_text_and_the_same_json_as_the_load_test_that_wrote_it() {
    let aggregate = aggregate();
    for verdict in [None, Some(crate::verdict::Reason::Stopped)] {
        let mut report = report(&aggregate);
        report.verdict.reason = verdict.unwrap_or(report.verdict.reason);
        let mut written = Vec::new();
        report.write_json(&mut written).expect("it is written");
        let document = Document::parse(&written).expect("a report");
        // who was told to end exits with another code than 0
        let otherwise = if verdict.is_some() { "0 did not, 0 lost" } else { "0 failed, 0 lost" };
        assert!(text(&report).contains(otherwise), "{}", text(&report));
        let (mut again, mut read) = (Vec::new(), Vec::new());
        document.write_json(&mut again).expect("it is written");
        document.write_text(&mut read, &HIDDEN).expect("it is written");
        assert_eq!((again, String::from_utf8(read).expect("UTF-8")), (written, text(&report)));
        let same = Document::of(&report).expect("a report");
        assert_eq!(
            (same.aggregate, same.intermediate, same.loadtest),
            (document.aggregate, document.intermediate, document.loadtest)
        );
    }
}

#[test]
fn of_artillerys_own_file_there_is_a_text_too() {
    let file = json!({"aggregate": {"counters": {"http.requests": 3}, "rates": {}, "lastMetricAt": START}});
    let document = Document::parse(file.to_string().as_bytes()).expect("a report");
    let mut text = Vec::new();
    document.write_text(&mut text, &HIDDEN).expect("it is written");
    let text = String::from_utf8(text).expect("UTF-8");
    let head = "Load test: artillery run\nVerdict:   none: a report of Artillery's own\n\n--------------------------------\nSummary report @ 22:13:20(+0000)\n";
    assert!(text.starts_with(head) && text.ends_with(". 3\n"), "{text}");
}

#[test]
fn a_test_that_measured_nothing_has_a_report_too() {
    let aggregate = Aggregate::default();
    let mut report = report(&aggregate);
    (report.ended_at, report.checks, report.missing, report.undelivered) =
        (None, Vec::new(), Vec::new(), Vec::new());
    let text = text(&report);
    assert!(text.ends_with("Summary report @ unknown time\n-----------------------------\n\nNo measurements recorded during this period\n"), "{text}");
    let json = json(&report);
    assert_eq!((&json["intermediate"], &json["aggregate"]["counters"]), (&json!([]), &json!({})));
    is_valid(&json);
}

#[test]
fn programs_read_what_artillery_would_have_written() {
    let aggregate = aggregate();
    let json = json(&report(&aggregate));
    let times = json!({
        "min": 1, "max": 100, "count": 12, "mean": 61.8, "p50": 100.5, "median": 100.5,
        "p75": 100.5, "p90": 100.5, "p95": 100.5, "p99": 100.5, "p999": 100.5,
    });
    let summaries =
        json!({"http.response_time": times, "plugins.metrics-by-endpoint.response_time./a": times});
    assert_eq!(
        json["aggregate"],
        json!({
            "period": START + 2 * PERIOD,
            "counters": {"http.requests": 12, "vusers.completed": 12, "vusers.created": 12, "vusers.skipped": 3},
            "rates": {"http.request_rate": 1},
            "firstCounterAt": START + 5,
            "lastCounterAt": START + 2 * PERIOD + 100,
            "firstHistogramAt": START + 7,
            "lastHistogramAt": START + 2 * PERIOD + 110,
            "firstMetricAt": START + 5,
            "lastMetricAt": START + 2 * PERIOD + 110,
            "summaries": summaries,
            "histograms": summaries,
        })
    );
    let steps = json["intermediate"].as_array().expect("steps");
    assert_eq!((steps.len(), &steps[0]["period"]), (2, &json!(START.to_string())));
    assert_eq!(
        (&steps[0]["rates"]["http.request_rate"], &steps[1]["counters"]["http.requests"]),
        (&json!(5), &json!(7))
    );
    let section = &json["loadtest"];
    assert_eq!(
        section["vusers"],
        json!({"planned": 15, "created": 12, "completed": 12, "failed": 0, "skipped": 3})
    );
    assert_eq!(section["verdict"]["outcome"], "Failed");
    assert_eq!(section["missing"], json!(["worker 1 never joined"]));
    assert_eq!(
        (&section["startSkewMilliseconds"], &section["timeLineStepMilliseconds"]),
        (&json!(12.4), &json!(PERIOD))
    );
    assert_eq!(section["refused"][0]["count"], 1);
    assert_eq!(section["checks"][0]["check"], "http.response_time.p95 < 50");
}

#[test]
fn where_workers_do_not_tell_when_they_measured_the_bounds_of_the_periods_say_it() {
    let mut aggregate = Aggregate::default();
    aggregate.add(&batch(0, &[1.0], false));
    aggregate.add(&batch(3, &[1.0], false));
    let stats = &json(&report(&aggregate))["aggregate"];
    assert_eq!(stats["firstMetricAt"], START);
    assert_eq!(stats["lastMetricAt"], START + 4 * PERIOD - 1);
}

#[test]
fn the_json_is_as_its_schema_says() {
    let aggregate = aggregate();
    is_valid(&json(&report(&aggregate)));
}

#[test]
fn what_is_not_as_the_schema_says_is_found() {
    let aggregate = aggregate();
    let json = json(&report(&aggregate));
    for (path, value, error) in [
        ("/loadtest/verdict/outcome", json!("Perhaps"), "/loadtest/verdict/outcome: not one of"),
        ("/loadtest/workers/lost", json!(-1), "/loadtest/workers/lost: less than 0"),
        ("/loadtest/checks/0", json!({"check": "a"}), "/loadtest/checks/0: without passed"),
        ("/aggregate/rates/http.request_rate", json!(1.5), "/aggregate/rates/http.request_rate: not integer"),
        ("/aggregate/period", json!("1"), "/aggregate/period: not integer"),
        ("/intermediate/1/period", json!(1), "/intermediate/1/period: not string"),
        (
            "/intermediate/1/summaries/http.response_time",
            json!({}),
            "/intermediate/1/summaries/http.response_time: without min",
        ),
    ] {
        let mut damaged = json.clone();
        *damaged.pointer_mut(path).expect("a place") = value;
        let errors = errors(&damaged);
        assert!(errors.first().is_some_and(|found| found.starts_with(error)), "{error}: {errors:?}");
    }
}
