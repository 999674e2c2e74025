//! One exact report and one verdict per LoadTest: what the target counted is what the report says, whoever is turned away.

use e2e::{Bed, Verdict, WHOLE_TEST, cluster, config_map, in_summary, list, load_test};
use serde_json::{Value, json};
use testbed::eventually::eventually;

/// A script of `seconds` at so many virtual users a second; `more` is added to its config.
fn script(seconds: u64, rate: u64, more: &Value, flow: &Value) -> Value {
    let mut config = json!({
        "target": "http://loadtest-target", "phases": [{ "duration": seconds, "arrivalRate": rate }],
    });
    let more = more.as_object().expect("an object").clone();
    config.as_object_mut().expect("an object").extend(more);
    json!({ "config": config, "scenarios": [{ "flow": flow }] })
}

/// Two requests of which the target answers one with 404.
fn found_and_not() -> Value {
    json!([{ "get": { "url": "/" } }, { "get": { "url": "/status/404" } }])
}

fn start(bed: &Bed, name: &str, count: i32, script: &Value) {
    bed.apply(&list(&[
        config_map(name, "test-script.yaml", &script.to_string()),
        load_test(name, count, &json!({ "config": { "configMap": name } })),
    ]));
}

fn is(verdict: &Verdict, [word, passed, reason]: [&str; 3]) -> bool {
    (verdict.verdict.as_str(), verdict.passed.as_str(), verdict.reason.as_str()) == (word, passed, reason)
}

#[tokio::test]
async fn the_report_of_four_workers_is_what_the_target_counted() {
    let bed = Bed::with_target("report").await;
    let ensure = json!({ "plugins": { "ensure": {
        "thresholds": [{ "http.response_time.p99": 5000 }],
        "conditions": [{ "expression": "vusers.failed == 0 and http.codes.404 > 0" }],
    } } });
    start(&bed, "report", 4, &script(25, 4, &ensure, &found_and_not()));
    bed.kubectl(&["wait", "--for=condition=Completed", "loadtest/report", "--timeout=240s"]);
    let verdict = bed.verdict("report");
    assert!(is(&verdict, ["Passed", "True", "ChecksPassed"]), "{verdict:?}");

    let workers = bed.workers("report");
    let report = bed.assert_exact("report", &workers);
    assert_eq!((report.counter("http.requests"), report.counter("vusers.created")), (4 * 25 * 4 * 2, 400));
    assert_eq!(bed.of_test("report", "{.status.metrics.http.requests}"), "800");
    let counted = "{.status.workers.planned} {.status.workers.joined} {.status.workers.reporting} {.status.workers.succeeded} {.status.workers.lost}";
    assert_eq!(bed.of_test("report", counted), "4 4 4 4 0");
    let skew: u64 = bed.of_test("report", "{.status.startSkewMilliseconds}").parse().expect("a skew");
    println!("start skew of 4 workers: {skew} ms");
    assert!(skew < 10_000, "{skew}");
    for worker in &workers {
        let log = bed.kubectl(&["logs", worker]);
        assert!(!log.contains("Checks:"), "checks are evaluated once, not by each worker:\n{log}");
    }
    let text = bed.kubectl(&["get", "configmap", "report-report", "-o", "jsonpath={.data.report\\.txt}"]);
    assert_eq!(in_summary(&text, "http.requests"), 800, "{text}");
    let wide = bed.kubectl(&["get", "lt", "report", "-o", "wide"]);
    assert!(wide.contains("VERDICT") && wide.contains("Passed"), "{wide}");
}

#[tokio::test]
async fn each_kind_of_end_has_its_verdict() {
    let bed = Bed::with_target("verdicts").await;
    let get = json!([{ "get": { "url": "/" } }]);
    let no_teapot = json!([{ "get": { "url": "/", "expect": [{ "statusCode": 418 }] } }]);
    let checks = json!({ "plugins": { "ensure": { "conditions": [
        { "expression": "http.codes.404 < 5" }, { "expression": "http.requests > 1000", "strict": false },
    ] } } });
    start(&bed, "none", 2, &script(5, 1, &json!({}), &get));
    start(&bed, "checks", 2, &script(5, 2, &checks, &found_and_not()));
    start(&bed, "expectations", 2, &script(5, 1, &json!({ "plugins": { "expect": {} } }), &no_teapot));
    start(&bed, "crash", 2, &script(5, 1, &json!({ "processor": "/none.js" }), &get));
    for (name, expected, says) in [
        ("none", ["Passed", "True", "NoChecks"], ""),
        ("checks", ["Failed", "False", "ChecksFailed"], "http.codes.404 < 5"),
        ("expectations", ["Failed", "False", "ExpectationsFailed"], "21"),
        ("crash", ["Failed", "False", "WorkersFailed"], "11"),
    ] {
        bed.until_over(name).await;
        let verdict = bed.verdict(name);
        assert!(is(&verdict, expected) && verdict.message.contains(says), "{name}: {verdict:?}");
    }
    // what was measured is told, and what is not strict is told and decides nothing
    let checks = bed.of_test("checks", "{.status.checks}");
    let checks: Value = serde_json::from_str(&checks).expect("checks");
    let of = |i: usize, field: &str| checks[i][field].as_bool();
    assert_eq!(
        [of(0, "passed"), of(0, "strict"), of(1, "passed"), of(1, "strict")],
        [false, true, false, false].map(Some)
    );
    let counted = bed.report("checks").counter("http.codes.404");
    assert!(counted >= 5, "{checks}");
    assert_eq!(checks[0]["actual"], format!("http.codes.404 = {counted}"), "{checks}");
}

#[tokio::test]
async fn who_comes_twice_is_turned_away_and_who_is_killed_is_missed() {
    let (bed, name) = (Bed::with_target("twice").await, "twice");
    let of_worker = json!([{ "get": { "url": "/of/{{ $env.WORKER_ID }}" } }]);
    start(&bed, name, 3, &script(45, 2, &json!({}), &of_worker));
    let workers = bed.until_running(name, 3).await;
    let seen = async || cluster().target_counts(&bed.namespace).expect("the target's counts");
    eventually("load", WHOLE_TEST, async || seen().await.total, |total| *total > 0).await;

    // a second Artillery in a worker's container, with a mark of its own
    let again =
        "WORKER_ID=again /artillery/packages/artillery/bin/run run /data/test-script.yaml; echo code $?";
    let again = bed.kubectl(&["exec", &workers[0], "--", "sh", "-c", again]);
    assert!(again.contains("code 77"), "{again}");

    // a copy of a worker's pod, made by hand
    let pod = bed.kubectl(&["get", "pod", &workers[1], "-o", "json"]);
    let mut copy: Value = serde_json::from_str(&pod).expect("a pod");
    let mut labels = copy["metadata"]["labels"].clone();
    // the Job controller would remove one pod too many
    labels.as_object_mut().expect("labels").retain(|key, _| !key.contains("controller-uid"));
    copy["metadata"] = json!({ "name": "copy", "labels": labels });
    copy["spec"].as_object_mut().expect("a spec").remove("nodeName");
    copy.as_object_mut().expect("an object").remove("status");
    bed.apply(&copy);
    let path = "jsonpath={.status.phase} {.status.containerStatuses[0].state.terminated.exitCode}";
    let phase = async || bed.kubectl(&["get", "pod", "copy", "-o", path]);
    eventually("the copy was turned away", WHOLE_TEST, phase, |phase| phase == "Failed 77").await;
    let log = bed.kubectl(&["logs", "copy"]);
    assert!(log.contains("turned away: NotAWorker"), "{log}");

    // by force: a worker still has its kubelet's two seconds, in which it delivers, unless nobody can be reached
    let cut = cluster().is_ours().then(|| bed.cut_off_from_collector(&workers[2]));
    bed.kubectl(&["delete", "pod", &workers[2], "--grace-period=0", "--force"]);
    let failed = async || bed.of_test(name, "{.status.failed}");
    eventually("it is missed", WHOLE_TEST, failed, |failed| failed == "1").await;
    let is_lost = cut.is_some();
    drop(cut);
    bed.until_over(name).await;
    let verdict = bed.verdict(name);
    if is_lost {
        assert!(is(&verdict, ["Inconclusive", "Unknown", "Inconclusive"]), "{verdict:?}");
        assert_eq!(bed.of_test(name, "{.status.workers.lost}"), "1", "{verdict:?}");
        assert!(verdict.message.contains("worker 2 was lost"), "{verdict:?}");
    }
    let (report, seen) = (bed.report(name), seen().await);
    assert!(report.counter("http.requests") <= seen.total, "never more than was sent");
    assert!(report.counter("http.requests") >= 2 * 90, "all of those that were left alone");
    assert_eq!((seen.count("GET", "/of/again"), seen.count("GET", "/of/copy")), (0, 0), "nothing of them");
}
