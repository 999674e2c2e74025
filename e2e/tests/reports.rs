//! One exact report and one verdict per LoadTest: what the target counted is what the report says, whoever is turned away.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

use e2e::{Bed, WHOLE_TEST, cluster, config_map, in_summary, list, load_test};
use serde_json::{Value, json};
use testbed::eventually::eventually;

/// A script of `seconds` at so many virtual users a second, each of which sends three requests.
fn script(seconds: u64, rate: u64, ensure: &Value) -> Value {
    json!({
        "config": {
            "target": "http://loadtest-target",
            "phases": [{ "duration": seconds, "arrivalRate": rate }],
            "plugins": { "ensure": ensure },
        },
        "scenarios": [{ "flow": [
            { "get": { "url": "/" } }, { "get": { "url": "/products/{{ $randomNumber(1, 3) }}" } },
            { "get": { "url": "/status/404" } },
        ] }],
    })
}

fn start(bed: &Bed, name: &str, count: i32, script: &Value) {
    bed.apply(&list(&[
        config_map(name, "test-script.yaml", &script.to_string()),
        load_test(name, count, &json!({ "config": { "configMap": name } })),
    ]));
}

fn report(bed: &Bed, name: &str) -> Value {
    let report =
        bed.kubectl(&["get", "configmap", &format!("{name}-report"), "-o", "jsonpath={.data.report\\.json}"]);
    serde_json::from_str(&report).expect("a report")
}

fn passed(bed: &Bed, name: &str) -> [String; 4] {
    let condition =
        |field: &str| bed.of_test(name, &format!("{{.status.conditions[?(@.type==\"Passed\")].{field}}}"));
    [bed.of_test(name, "{.status.verdict}"), condition("status"), condition("reason"), condition("message")]
}

fn counter(report: &Value, name: &str) -> u64 {
    report["aggregate"]["counters"][name].as_u64().unwrap_or(0)
}

#[tokio::test]
async fn the_report_of_four_workers_is_what_the_target_counted() {
    let bed = Bed::with_target("report");
    let ensure = json!({
        "thresholds": [{ "http.response_time.p99": 5000 }],
        "conditions": [{ "expression": "vusers.failed == 0 and http.codes.404 > 0" }],
    });
    start(&bed, "report", 4, &script(25, 4, &ensure));
    bed.kubectl(&["wait", "--for=condition=Completed", "loadtest/report", "--timeout=240s"]);
    let [verdict, status, reason, message] = passed(&bed, "report");
    assert_eq!(
        (verdict.as_str(), status.as_str(), reason.as_str()),
        ("Passed", "True", "ChecksPassed"),
        "{message}"
    );

    let report = report(&bed, "report");
    let seen = cluster().target_counts(&bed.namespace).expect("the target's counts");
    assert_eq!(seen.total, 4 * 25 * 4 * 3);
    assert_eq!(counter(&report, "http.requests"), seen.total);
    assert_eq!(counter(&report, "http.responses"), seen.total);
    for code in [200, 404] {
        assert_eq!(counter(&report, &format!("http.codes.{code}")), seen.count_status(code), "{code}");
    }
    assert_eq!(counter(&report, "vusers.created"), 4 * 25 * 4);
    let logs: Vec<_> = bed.workers("report").iter().map(|worker| bed.kubectl(&["logs", worker])).collect();
    for name in ["http.requests", "http.codes.200", "http.codes.404", "vusers.created", "vusers.completed"] {
        let sum: u64 = logs.iter().map(|log| in_summary(log, name)).sum();
        assert_eq!(counter(&report, name), sum, "{name} in the workers' own summaries");
    }
    let steps = report["intermediate"].as_array().expect("a time line");
    let by_step: u64 = steps.iter().filter_map(|step| step["counters"]["http.requests"].as_u64()).sum();
    assert_eq!(by_step, seen.total, "over the time line");

    assert_eq!(
        bed.of_test("report", "{.status.workers}"),
        r#"{"failed":0,"joined":4,"lost":0,"planned":4,"reporting":4,"succeeded":4}"#
    );
    assert_eq!(bed.of_test("report", "{.status.metrics.http.requests}"), seen.total.to_string());
    let skew: u64 = bed.of_test("report", "{.status.startSkewMilliseconds}").parse().expect("a skew");
    println!("start skew of 4 workers: {skew} ms");
    assert!(skew < 5000, "{skew}");
    assert!(logs.iter().all(|log| !log.contains("Checks:")), "checks are evaluated once, not by each worker");
    let text = bed.kubectl(&["get", "configmap", "report-report", "-o", "jsonpath={.data.report\\.txt}"]);
    assert_eq!(in_summary(&text, "http.requests"), seen.total, "{text}");
}

#[tokio::test]
async fn each_kind_of_end_has_its_verdict() {
    let bed = Bed::with_target("verdicts");
    start(
        &bed,
        "none",
        2,
        &json!({
            "config": { "target": "http://loadtest-target", "phases": [{ "duration": 5, "arrivalRate": 1 }] },
            "scenarios": [{ "flow": [{ "get": { "url": "/" } }] }],
        }),
    );
    start(
        &bed,
        "checks",
        2,
        &script(
            5,
            2,
            &json!({ "conditions": [
        { "expression": "http.codes.404 < 5" }, { "expression": "http.requests > 1000", "strict": false },
    ] }),
        ),
    );
    start(
        &bed,
        "expectations",
        2,
        &json!({
            "config": {
                "target": "http://loadtest-target", "phases": [{ "duration": 5, "arrivalRate": 1 }], "plugins": { "expect": {} },
            },
            "scenarios": [{ "flow": [{ "get": { "url": "/", "expect": [{ "statusCode": 418 }] } }] }],
        }),
    );
    start(
        &bed,
        "crash",
        2,
        &json!({
            "config": { "target": "http://loadtest-target", "phases": [{ "duration": 5, "arrivalRate": 1 }], "processor": "./none.js" },
            "scenarios": [{ "flow": [{ "get": { "url": "/" } }] }],
        }),
    );
    for (name, verdict, status, reason, says) in [
        ("none", "Passed", "True", "NoChecks", ""),
        ("checks", "Failed", "False", "ChecksFailed", "http.codes.404 < 5"),
        ("expectations", "Failed", "False", "ExpectationsFailed", "21"),
        ("crash", "Failed", "False", "WorkersFailed", "11"),
    ] {
        bed.until_over(name).await;
        let [got_verdict, got_status, got_reason, message] = passed(&bed, name);
        assert_eq!(
            (got_verdict.as_str(), got_status.as_str(), got_reason.as_str()),
            (verdict, status, reason),
            "{name}: {message}"
        );
        assert!(message.contains(says), "{name}: {says} in {message}");
    }
    // 20 of 404: the value is told, and what is not strict is told and decides nothing
    let checks: Value = serde_json::from_str(&bed.of_test("checks", "{.status.checks}")).expect("checks");
    assert_eq!((checks[0]["passed"].as_bool(), checks[0]["strict"].as_bool()), (Some(false), Some(true)));
    assert!(checks[0]["actual"].as_str().expect("a value").contains("20"), "{checks}");
    assert_eq!((checks[1]["passed"].as_bool(), checks[1]["strict"].as_bool()), (Some(false), Some(false)));
}

#[tokio::test]
async fn who_comes_twice_is_turned_away_and_who_is_killed_is_missed() {
    let bed = Bed::with_target("twice");
    let name = "twice";
    let ensure = json!({ "maxErrorRate": 0 });
    start(
        &bed,
        name,
        3,
        &json!({
            "config": {
                "target": "http://loadtest-target", "phases": [{ "duration": 45, "arrivalRate": 2 }],
                "plugins": { "ensure": ensure },
            },
            "scenarios": [{ "flow": [{ "get": { "url": "/of/{{ $env.WORKER_ID }}" } }] }],
        }),
    );
    let workers = bed.until_running(name, 3).await;
    let sends = async || cluster().target_counts(&bed.namespace).expect("the target's counts").total > 0;
    eventually("load", WHOLE_TEST, sends, |sends| *sends).await;

    // a second Artillery in a worker's container, with a mark of its own
    let again =
        "WORKER_ID=again /artillery/packages/artillery/bin/run run /data/test-script.yaml; echo code $?";
    let again = bed.kubectl(&["exec", &workers[0], "--", "sh", "-c", again]);
    assert!(again.contains("code 77"), "{again}");

    // a copy of a worker's pod, made by hand
    let pod = bed.kubectl(&["get", "pod", &workers[1], "-o", "json"]);
    let mut copy: Value = serde_json::from_str(&pod).expect("a pod");
    copy["metadata"] = json!({
        "name": "copy", "labels": copy["metadata"]["labels"].clone(),
    });
    copy["metadata"]["labels"].as_object_mut().expect("labels").remove("controller-uid");
    copy["metadata"]["labels"].as_object_mut().expect("labels").remove("batch.kubernetes.io/controller-uid");
    copy["spec"].as_object_mut().expect("a spec").remove("nodeName");
    copy.as_object_mut().expect("an object").remove("status");
    bed.apply(&copy);
    let phase = async || {
        bed.kubectl(&[
            "get",
            "pod",
            "copy",
            "-o",
            "jsonpath={.status.phase} {.status.containerStatuses[0].state.terminated.exitCode}",
        ])
    };
    eventually("the copy was turned away", WHOLE_TEST, phase, |phase| phase == "Failed 77").await;
    assert!(
        bed.kubectl(&["logs", "copy"]).contains("turned away: NotAWorker"),
        "{}",
        bed.kubectl(&["logs", "copy"])
    );

    bed.kubectl(&["delete", "pod", &workers[2], "--grace-period=0", "--force"]);
    bed.until_over(name).await;
    let [verdict, status, reason, message] = passed(&bed, name);
    assert_eq!(
        (verdict.as_str(), status.as_str(), reason.as_str()),
        ("Inconclusive", "Unknown", "Inconclusive"),
        "{message}"
    );
    assert_eq!(bed.of_test(name, "{.status.workers.lost}"), "1", "{message}");
    let report = report(&bed, name);
    let seen = cluster().target_counts(&bed.namespace).expect("the target's counts");
    assert!(counter(&report, "http.requests") <= seen.total, "never more than was sent");
    assert!(counter(&report, "http.requests") >= 2 * 90, "all of those that were left alone");
    assert_eq!(
        (seen.count("GET", "/of/again"), seen.count("GET", "/of/copy")),
        (0, 0),
        "the target saw nothing of them"
    );
}
