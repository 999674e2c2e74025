//! What the operator does not ask for: nothing twice, nothing of others, nothing while nothing happens.

use std::time::{Duration, Instant};

use testbed::eventually::eventually;

use testbed::api_server::Call;

use crate::bed::{API, Bed, SOON};

#[tokio::test]
async fn a_test_that_ended_costs_nothing_whatever_its_outcome() {
    let bed = Bed::new().await;
    bed.script().await;
    for (name, code, reason) in [("good", 0, "Succeeded"), ("bad", 1, "WorkersFailed")] {
        bed.load_test(name, 1).await;
        let pod = bed.pods(name, 1).await.remove(0);
        bed.exit(&pod, code).await;
        bed.until_reason(name, reason).await;
        bed.until_events(name, 4).await;
    }
    // an event is there before its line in the audit log is
    let announced = async || bed.count_calls("create", "events");
    eventually("the audit log is whole", SOON, announced, |n| *n == 8).await;
    let calls = bed.calls().len();
    // another test's whole life, elsewhere, is time enough
    let elsewhere = Bed::new().await;
    elsewhere.script().await;
    elsewhere.load_test("other", 1).await;
    let pod = elsewhere.pods("other", 1).await.remove(0);
    elsewhere.exit(&pod, 0).await;
    elsewhere.until_reason("other", "Succeeded").await;
    assert_eq!(bed.calls().split_off(calls), []);
}

#[tokio::test]
async fn waiting_writes_nothing_while_nothing_changes_and_its_own_write_is_no_work() {
    let bed = Bed::new().await;
    bed.load_test("t", 1).await;
    bed.until_reason("t", "MissingTestScript").await;
    bed.until_events("t", 1).await;
    let looks = || bed.count_calls("get", "configmaps");
    assert_eq!(looks(), 1);
    let began = Instant::now();
    eventually("two more looks", SOON, async || looks(), |n| *n >= 3).await;
    // had the status write triggered one, they would be there after 5 s
    assert!(began.elapsed() > Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(bed.count_calls("patch", "loadtests/status"), 1);
    assert_eq!(bed.count_calls("create", "events"), 1);
}

#[tokio::test]
async fn only_pods_and_jobs_of_load_tests_are_watched_and_no_config_map_is_listed() {
    let bed = Bed::new().await;
    bed.load_test("t", 1).await;
    bed.until_reason("t", "MissingTestScript").await;
    let calls = API.calls().expect("the audit log");
    let wide: Vec<_> = calls.iter().filter(|c| c.verb == "list" || c.verb == "watch").collect();
    let watched =
        |resource: &str| wide.iter().filter(|c| c.resource == resource && c.verb == "watch").count();
    assert!(watched("pods") > 0 && watched("jobs") > 0 && watched("loadtests") > 0, "{wide:#?}");
    for call in wide {
        let selects = match call.resource.as_str() {
            "loadtests" => true,
            "events" if call.verb == "list" && call.uri.contains("kind%3DPod") => {
                call.uri.contains("%2CinvolvedObject.uid%3D")
            }
            "events" => call.uri.contains("fieldSelector=involvedObject.kind%3DJob%2Creason%3DFailedCreate"),
            _ => call.uri.contains("labelSelector=artillery.io%2Fpart-of%3Dloadtest"),
        };
        assert!(selects, "{call:#?}");
    }
    let secrets: Vec<_> = calls.iter().filter(|c| c.resource == "secrets").collect();
    let is_its_own = |call: &&Call| call.verb == "create" || call.name == "artillery-operator-collector-ca";
    assert!(secrets.iter().all(is_its_own), "{secrets:#?}");
}
