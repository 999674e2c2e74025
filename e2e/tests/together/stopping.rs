//! Tests that are ended before their time, that have side-cars, and whose Jobs are removed, on real pods: what was measured until the
//! end is reported, and is what the target counted, but for requests under way.

use e2e::{Bed, WHOLE_TEST, cluster, config_map, list};
use serde_json::{Value, json};
use testbed::eventually::eventually;

/// A LoadTest of two workers that send for a minute to a path of its own, with these in its spec.
fn start(bed: &Bed, name: &str, seconds: u64, more: &Value) {
    let script = json!({
        "config": { "target": "http://loadtest-target", "phases": [{ "duration": seconds, "arrivalRate": 4 }] },
        "scenarios": [{ "flow": [{ "get": { "url": format!("/of/{name}") } }] }],
    });
    let mut spec =
        json!({ "count": 2, "testScript": { "config": { "configMap": name, "key": "script.yaml" } } });
    spec.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
    bed.apply(&list(&[
        config_map(name, "script.yaml", &script.to_string()),
        json!({
            "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": { "name": name },
            "spec": spec,
        }),
    ]));
}

fn seen(bed: &Bed, name: &str) -> u64 {
    let counts = cluster().target_counts(&bed.namespace).expect("the target's counts");
    counts.count("GET", &format!("/of/{name}"))
}

fn patch(bed: &Bed, name: &str, spec: &Value) {
    bed.kubectl(&["patch", "loadtest", name, "--type=merge", "-p", &json!({ "spec": spec }).to_string()]);
}

#[tokio::test]
async fn a_test_that_is_ended_before_its_time_reports_what_the_target_counted() {
    let bed = Bed::with_target("stopping").await;
    start(&bed, "graceful", 300, &json!({}));
    start(&bed, "immediate", 300, &json!({}));
    start(&bed, "deadline", 300, &json!({ "activeDeadlineSeconds": 45 }));
    for name in ["graceful", "immediate", "deadline"] {
        let sent = async || seen(&bed, name);
        eventually(&format!("load of {name}"), WHOLE_TEST, sent, |sent| *sent > 20).await;
    }
    patch(&bed, "graceful", &json!({ "stop": "Graceful" }));
    patch(&bed, "immediate", &json!({ "stop": "Immediate" }));
    for (name, reason) in
        [("graceful", "Stopped"), ("immediate", "Stopped"), ("deadline", "DeadlineExceeded")]
    {
        assert_eq!(bed.until_over(name).await, reason, "{name}");
        let verdict = bed.verdict(name);
        assert_eq!(
            (verdict.verdict.as_str(), verdict.reason.as_str()),
            ("Inconclusive", reason),
            "{verdict:?}"
        );
        assert_eq!(bed.of_test(name, "{.status.workers.lost}"), "0", "{name}: {verdict:?}");
        let requests = bed.report(name).counter("http.requests");
        assert!((20..2400).contains(&requests), "{name}: {requests}");
        // what was under way when a worker ended may have been counted by one side only
        let (answered, seen) = (bed.report(name).counter("http.responses"), seen(&bed, name));
        assert!(
            answered <= seen && seen <= requests && requests - answered <= 8,
            "{name}: {answered} {seen} {requests}"
        );
    }
}

#[tokio::test]
async fn a_side_car_does_not_keep_a_test_alive_and_a_job_goes_when_its_time_has_come() {
    let bed = Bed::with_target("sidecar").await;
    let endless = json!({
        "name": "endless", "image": "artilleryio/artillery:latest",
        "command": ["node", "-e", "process.on('SIGTERM', () => process.exit()); setInterval(() => {}, 1000)"],
        "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
    });
    let template = json!({ "podTemplate": { "spec": { "containers": [endless] } } });
    start(&bed, "sidecar", 10, &json!({ "worker": template }));
    start(&bed, "expires", 10, &json!({ "ttlSecondsAfterFinished": 5 }));
    for name in ["sidecar", "expires"] {
        assert_eq!(bed.until_over(name).await, "Succeeded");
        assert_eq!(bed.report(name).counter("http.requests"), 80);
    }
    let jobs = async || bed.kubectl(&["get", "jobs", "-o", "name"]);
    eventually("the Job is gone", WHOLE_TEST, jobs, |jobs| !jobs.contains("expires")).await;
    let running =
        async || bed.kubectl(&["get", "pods", "-l", "artillery.io/test-name=sidecar", "-o", "name"]);
    eventually("its pods are gone", WHOLE_TEST, running, String::is_empty).await;
    assert_eq!(bed.of_test("sidecar", "{.status.verdict}"), "Passed");
    assert_eq!(bed.report("expires").counter("http.requests"), 80, "the report stays");
}
