//! Every example, as its README runs it, on real pods; and the same files in an Artillery without the operator's reporter, whose
//! counts times the number of workers are the report's.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

use e2e::{Bed, WHOLE_TEST, in_summary};
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};
use testbed::eventually::eventually;

/// An example's LoadTests, with the counters that are to be the same without the operator.
struct Example {
    folder: &'static str,
    tests: &'static [(&'static str, u64)],
    counters: &'static [&'static str],
}

const EXAMPLES: [Example; 8] = [
    Example { folder: "one-endpoint", tests: &[("one-endpoint", 2)], counters: &["http.codes.200"] },
    Example { folder: "csv-users", tests: &[("csv-users", 2)], counters: &["http.codes.404"] },
    Example { folder: "processor", tests: &[("processor", 2)], counters: &["orders.made"] },
    Example { folder: "typescript", tests: &[("typescript", 2)], counters: &["http.codes.200"] },
    Example {
        folder: "environments",
        tests: &[("environments-dev", 1), ("environments-staging", 1)],
        counters: &["http.codes.200"],
    },
    Example { folder: "checks", tests: &[("checks", 2)], counters: &["http.codes.200"] },
    Example { folder: "secrets", tests: &[("secrets", 1)], counters: &["http.codes.200"] },
    Example { folder: "pods", tests: &[("pods", 2)], counters: &["http.codes.200"] },
];

/// More at a time would not have the processor time to make their load.
const AT_A_TIME: usize = 3;

/// Runs the files of a LoadTest's workers once more, in a pod like theirs, but without the reporter; returns its log.
async fn without_the_operator(bed: &Bed, test: &str) -> String {
    let job = bed.kubectl(&["get", "job", test, "-o", "json"]);
    let job: Value = serde_json::from_str(&job).expect("a Job");
    let mut spec = job["spec"]["template"]["spec"].clone();
    let is_reporters = |item: &Value| {
        let name = item["name"].as_str().unwrap_or_default();
        name.starts_with("LOADTEST_") || name.starts_with("ARTILLERY_PLUGIN") || name == "artillery-operator"
    };
    let without = |list: &mut Value| {
        list.as_array_mut().expect("a list").retain(|item| !is_reporters(item));
    };
    without(&mut spec["volumes"]);
    without(&mut spec["containers"][0]["env"]);
    without(&mut spec["containers"][0]["volumeMounts"]);
    let name = format!("{test}-plain");
    bed.apply(&json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec }));
    let phase = async || bed.kubectl(&["get", "pod", &name, "-o", "jsonpath={.status.phase}"]);
    // without the operator each worker checks what it measured itself
    let has_ended = |phase: &String| ["Succeeded", "Failed"].contains(&phase.as_str());
    eventually(&format!("{name} has ended"), WHOLE_TEST, phase, has_ended).await;
    bed.kubectl(&["logs", &name])
}

async fn runs(Example { folder, tests, counters }: &Example) {
    let bed = Bed::with_target(&format!("example-{folder}"));
    bed.kubectl(&["apply", "-k", &format!("examples/{folder}")]);
    let mut reports = Vec::new();
    for (test, _) in *tests {
        bed.until_over(test).await;
        let verdict = bed.verdict(test);
        assert_eq!(verdict.verdict, "Passed", "{test}: {verdict:?}");
        reports.push(bed.report(test));
    }
    for ((test, count), report) in tests.iter().zip(&reports) {
        let log = without_the_operator(&bed, test).await;
        for counter in ["http.requests", "vusers.created", "vusers.completed"].iter().chain(*counters) {
            let expected = count * in_summary(&log, counter);
            assert!(expected > 0, "{counter} of {test}: {log}");
            assert_eq!(report.counter(counter), expected, "{counter} of {test}, {count} workers");
        }
    }
}

#[tokio::test]
async fn every_example_gives_what_artillery_gives_without_the_operator() {
    stream::iter(&EXAMPLES).for_each_concurrent(AT_A_TIME, runs).await;
}
