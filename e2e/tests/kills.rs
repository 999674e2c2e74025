//! Faults of the cluster while a load test runs: nothing is lost, and nothing is started twice. A binary of its own, for
//! it breaks the cluster under everybody.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

use std::time::Duration;

use e2e::{Bed, WHOLE_TEST, cluster, config_map, list, load_test};
use serde_json::json;
use testbed::eventually::eventually;

/// Runs in a worker's container: whether the target answers within 2 s.
const PROBE: &str = "fetch('http://loadtest-target/health', { signal: AbortSignal.timeout(2000) })\
    .then(() => console.log('answered'), () => console.log('silent'))";

#[tokio::test]
async fn a_killed_manager_and_a_killed_api_server_change_nothing() {
    let bed = Bed::with_target("killed").await;
    let script = json!({
        "config": { "target": "http://loadtest-target", "phases": [{ "duration": 40, "arrivalRate": 2 }] },
        "scenarios": [{ "flow": [{ "get": { "url": "/" } }] }],
    });
    bed.apply(&list(&[
        config_map("script", "test-script.yaml", &script.to_string()),
        load_test("killed", 2, &json!({ "config": { "configMap": "script" } })),
    ]));
    bed.until_running("killed", 2).await;
    let job = bed.of_test("killed", "{.status.jobUID}");
    cluster().kill_manager().expect("killed");
    if cluster().is_ours() {
        cluster().restart_api_server(Duration::from_secs(1)).expect("killed"); // nobody breaks a cluster of the user's own
    }
    let answers = async || cluster().kubectl(&["get", "--raw", "/readyz"]).is_ok();
    eventually("the API server is back", WHOLE_TEST, answers, |answers| *answers).await;
    assert_eq!(bed.until_over("killed").await, "Succeeded");
    assert_eq!(bed.of_test("killed", "{.status.jobUID} {.status.completions}"), format!("{job} 2/2"));
    let uids = bed.kubectl(&["get", "jobs", "-o", "jsonpath={.items[*].metadata.uid}"]);
    assert_eq!(uids, job, "one Job");
    bed.until_events("killed", &["Completed", "Created", "Running", "Running"]).await;
    let seen = cluster().target_counts(&bed.namespace).expect("the target's counts");
    assert_eq!(seen.total, 2 * 40 * 2, "each worker's load, once");

    // idle is quiet: while the Lease is renewed three times nothing is written about load tests
    let writes = |resource| cluster().writes(resource).expect("the API server's metrics");
    let (load_tests, leases) = (writes("loadtests"), writes("leases"));
    eventually("renewed Leases", WHOLE_TEST, async || writes("leases"), |n| *n >= leases + 20).await;
    assert_eq!(writes("loadtests"), load_tests);

    if cluster().is_ours() {
        one_address_can_be_cut_off(&bed).await;
    }
}

/// The fault that later tests of a collector stand on: pods of one node lose one address, and nothing else.
async fn one_address_can_be_cut_off(bed: &Bed) {
    let script = json!({
        "config": { "target": "http://127.0.0.1:9", "phases": [{ "duration": 120, "arrivalRate": 1 }] },
        "scenarios": [{ "flow": [{ "get": { "url": "/" } }] }],
    });
    bed.apply(&list(&[
        config_map("bystander", "test-script.yaml", &script.to_string()),
        load_test("bystander", 1, &json!({ "config": { "configMap": "bystander" } })),
    ]));
    let worker = bed.until_running("bystander", 1).await.remove(0);
    let of = |object: &[&str], path: &str| {
        bed.kubectl(&[&["get"], object, &["-o", &format!("jsonpath={path}")]].concat())
    };
    let (node, address) =
        (of(&["pod", &worker], "{.spec.nodeName}"), of(&["service", "loadtest-target"], "{.spec.clusterIP}"));
    let probe = || bed.kubectl(&["exec", &worker, "--", "node", "-e", PROBE]).trim().to_owned();
    assert_eq!(probe(), "answered");
    cluster().block(&node, &address).expect("blocked");
    let blocked = probe();
    cluster().unblock(&node, &address).expect("unblocked");
    assert_eq!((blocked.as_str(), probe().as_str()), ("silent", "answered"));
}
