//! What is killed and cut off while workers report: the report is what the target counted all the same. A binary of its own, for it
//! breaks the cluster under everybody.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

use std::time::{Duration, Instant};

use e2e::{Bed, WHOLE_TEST, cluster, sending, sending_with};
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use testbed::eventually::eventually;
use testbed::random::Random;
use tokio::sync::Mutex;
use tokio::time::sleep;

/// One fault at a time.
static ALONE: Mutex<()> = Mutex::const_new(());

/// How long nodes must have been ready: Kubernetes takes them for lost for a moment after its API server was away, and the target has
/// no addresses then.
const QUIET: Duration = Duration::from_secs(20);

/// Waits until the faults of the test before are over for Kubernetes too.
async fn quiet() {
    let ready = r#"--output=jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}"#;
    let mut since = Instant::now();
    let look = async || {
        let nodes = cluster().kubectl(&["get", "nodes", ready]).expect("the nodes");
        if nodes.split_whitespace().any(|status| status != "True") {
            since = Instant::now();
        }
        since.elapsed()
    };
    eventually("ready nodes", WHOLE_TEST, look, |ready| *ready >= QUIET).await;
}

#[tokio::test]
async fn a_manager_that_is_killed_ten_times_loses_and_repeats_nothing() {
    let _alone = ALONE.lock().await;
    quiet().await;
    let bed = Bed::with_target("managers").await;
    let workers = sending(&bed, "managers", 60).await;
    let mut random = Random::of_environment("the moments");
    for _ in 0..10 {
        sleep(Duration::from_millis(random.below(0..4500))).await; // the moment is what is tried
        let kill = async || cluster().kill_manager().is_ok();
        eventually("a manager to kill", WHOLE_TEST, kill, |killed| *killed).await;
    }
    assert_eq!(bed.until_over("managers").await, "Succeeded");
    bed.assert_exact("managers", &workers);
    assert_eq!(bed.verdict("managers").verdict, "Passed", "{:?}", bed.verdict("managers"));
}

#[tokio::test]
async fn an_api_server_that_is_away_for_30_s_loses_nothing() {
    let _alone = ALONE.lock().await;
    quiet().await;
    let bed = Bed::with_target("api-away").await;
    let workers = sending(&bed, "api-away", 45).await;
    if cluster().is_ours() {
        cluster().restart_api_server(Duration::from_secs(30)).expect("killed");
    }
    let answers = async || cluster().kubectl(&["get", "--raw", "/readyz"]).is_ok();
    eventually("the API server is back", WHOLE_TEST, answers, |answers| *answers).await;
    assert_eq!(bed.until_over("api-away").await, "Succeeded");
    bed.assert_exact("api-away", &workers);
    assert_eq!(bed.verdict("api-away").verdict, "Passed", "{:?}", bed.verdict("api-away"));
}

#[tokio::test]
async fn workers_that_are_cut_off_from_the_collector_for_30_s_deliver_it_all_later() {
    let _alone = ALONE.lock().await;
    quiet().await;
    if !cluster().is_ours() {
        return println!("not tried: nobody cuts nodes off in a cluster of the user's own");
    }
    let bed = Bed::with_target("cut-off").await;
    let workers = sending(&bed, "cut-off", 45).await;
    let cut = bed.cut_off_from_collector(&workers[0]);
    sleep(Duration::from_secs(30)).await; // the fault itself
    drop(cut);
    assert_eq!(bed.until_over("cut-off").await, "Succeeded");
    bed.assert_exact("cut-off", &workers);
    assert_eq!(bed.verdict("cut-off").verdict, "Passed", "{:?}", bed.verdict("cut-off"));
}

#[tokio::test]
async fn a_worker_of_whom_nothing_is_heard_after_its_planned_end_is_lost_so_many_seconds_later() {
    let _alone = ALONE.lock().await;
    quiet().await;
    if !cluster().is_ours() {
        return println!("not tried: nobody cuts nodes off in a cluster of the user's own");
    }
    let bed = Bed::with_target("silent").await;
    let workers = sending_with(&bed, "silent", 30, &json!({ "lostAfterSeconds": 10 })).await;
    let cut = bed.cut_off_from_collector(&workers[0]);
    // it waits for the collector for five minutes after its end, and would be waited for two minutes
    assert_eq!(bed.until_over("silent").await, "WorkersFailed");
    let since = |path: &str| bed.of_test("silent", path).parse::<Timestamp>().expect("a time");
    let seconds = since("{.status.completionTime}").as_second() - since("{.status.startTime}").as_second();
    drop(cut);
    assert!((40..100).contains(&seconds), "given up after {seconds} s");
    let verdict = bed.verdict("silent");
    assert_eq!(verdict.verdict, "Inconclusive", "{verdict:?}");
    assert_ne!(bed.of_test("silent", "{.status.workers.lost}"), "0", "{verdict:?}");
    let seen = cluster().target_counts(&bed.namespace).expect("the target's counts").total;
    assert!(bed.report("silent").counter("http.requests") < seen, "what was not received is not claimed");
}
