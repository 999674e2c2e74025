//! What workers send: who may, and what becomes of it.

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, PostParams};
use loadtest::api::Verdict;
use metrics::wire::Batch;
use serde_json::{Value, json};
use testbed::eventually::eventually;
use testbed::worker::Worker;

use crate::bed::{Bed, SOON};

pub fn phases() -> Value {
    json!([{ "duration": 1, "arrivalRate": 5 }])
}

/// The current period.
pub fn period() -> u64 {
    let now = u64::try_from(loadtest::Timestamp::now().as_millisecond()).expect("after 1970");
    now - now % 10_000
}

/// A batch of so many requests.
pub fn batch(sequence: u64, requests: u64) -> Vec<u8> {
    let counters = [("http.requests", requests), ("vusers.created", 5), ("vusers.completed", 5)];
    let counters = counters.map(|(name, count)| (name.to_owned(), count)).into();
    Batch { sequence, period: period(), counters, ..Batch::default() }.encode()
}

/// Joins, starts, sends what it measured, and finishes.
async fn whole_life(worker: &mut Worker, requests: u64) {
    assert_eq!(worker.join(&phases(), &Value::Null).await.expect("an answer").status, 200);
    worker.until_released(SOON).await.expect("released");
    assert_eq!(worker.batch(batch(1, requests)).await.expect("an answer").body["received"], 1);
    worker.finish(1, 0, SOON).await.expect("durable");
}

#[tokio::test]
async fn what_workers_send_is_one_report() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 2).await;
    let pods = bed.pods("t", 2).await;
    let mut workers = Vec::new();
    for (process, pod) in (1..).zip(&pods) {
        bed.run(pod).await;
        workers.push(bed.worker(pod, process).await);
    }
    let [first, second] = &mut workers[..] else { panic!("two workers") };
    tokio::join!(whole_life(first, 7), whole_life(second, 4));
    for pod in &pods {
        bed.exit(pod, 0).await;
    }
    let status = bed.until("t", "over", loadtest::LoadTestStatus::is_over).await;
    assert_eq!(status.verdict, Some(Verdict::Passed), "{:?}", status.condition("Passed"));
    let workers = status.workers.expect("workers");
    assert_eq!((workers.planned, workers.joined, workers.reporting, workers.succeeded), (2, 2, 2, 2));
    assert_eq!(status.metrics.expect("metrics").http.expect("requests").requests, 11);
    assert_eq!(status.report.expect("a report").config_maps, ["t-report"]);
    let report: ConfigMap = bed.api().get("t-report").await.expect("the report");
    assert_eq!(report.metadata.owner_references.expect("an owner")[0].name, "t");
    let json: Value = serde_json::from_str(&report.data.expect("data")["report.json"]).expect("JSON");
    assert_eq!(json["aggregate"]["counters"]["http.requests"], 11);
}

#[tokio::test]
async fn a_second_process_of_an_index_is_turned_away_and_so_is_a_pod_that_is_no_worker() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 1).await;
    let pod = bed.pods("t", 1).await.remove(0);
    let mut worker = bed.worker(&pod, 1).await;
    let joined = worker.join(&phases(), &Value::Null).await.expect("an answer");
    assert_eq!((joined.status, &joined.body), (200, &json!({ "index": 0, "workers": 1 })));
    worker.until_released(SOON).await.expect("released");
    let mut again = bed.worker(&pod, 2).await;
    let refused = again.join(&phases(), &Value::Null).await.expect("an answer");
    assert_eq!((refused.status, refused.refused()), (409, Some("AlreadyClaimed")));

    // a copy that has the labels, and one that has nothing
    for (name, labels) in [("copy", json!(pod.metadata.labels)), ("stranger", json!({}))] {
        let mut labels = labels;
        if let Some(labels) = labels.as_object_mut() {
            labels.retain(|key, _| !key.contains("controller-uid"));
        }
        let copy: Pod = serde_json::from_value(json!({
            "metadata": { "name": name, "labels": labels },
            "spec": { "containers": [{ "name": "t", "image": "i" }] },
        }))
        .expect("a pod");
        let pods: Api<Pod> = bed.api();
        let copy = pods.create(&PostParams::default(), &copy).await.expect("a pod");
        let refused = bed.worker(&copy, 3).await.join(&phases(), &Value::Null).await.expect("an answer");
        assert_eq!((refused.status, refused.refused()), (403, Some("NotAWorker")), "{name}: {refused:?}");
    }
}

#[tokio::test]
async fn a_token_that_is_for_somebody_else_or_none_opens_nothing() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 1).await;
    let pod = bed.pods("t", 1).await.remove(0);
    let token = bed.token(&pod, "https://kubernetes.default.svc").await;
    let mut other = Worker::new(&bed.collectors().await, &token, 1);
    assert_eq!(other.join(&phases(), &Value::Null).await.expect("an answer").status, 401);
    let mut none = Worker::new(&bed.collectors().await, "no-token", 1);
    assert_eq!(none.join(&phases(), &Value::Null).await.expect("an answer").status, 401);
}

#[tokio::test]
async fn of_workers_that_report_nothing_or_create_no_virtual_user_nobody_can_say_that_they_passed() {
    let bed = Bed::new().await;
    bed.script().await;
    for (name, reason) in [("silent", "Inconclusive"), ("idle", "NoVusers")] {
        bed.load_test(name, 1).await;
        let pod = bed.pods(name, 1).await.remove(0);
        bed.run(&pod).await;
        if name == "idle" {
            let mut worker = bed.worker(&pod, 1).await;
            let phases = json!([{ "pause": 1 }, { "duration": 1, "arrivalRate": 0 }]);
            let ensure = json!({ "conditions": [{ "expression": "1 == 1" }] });
            assert_eq!(worker.join(&phases, &ensure).await.expect("an answer").status, 200);
            worker.until_released(SOON).await.expect("released");
            worker.finish(0, 0, SOON).await.expect("durable");
        }
        bed.exit(&pod, 0).await;
        let status = bed.until(name, "over", loadtest::LoadTestStatus::is_over).await;
        assert_eq!(status.verdict, Some(Verdict::Inconclusive), "{name}");
        let passed = status.condition("Passed").expect("a condition");
        assert_eq!(
            (passed.status.as_str(), passed.reason.as_deref()),
            ("Unknown", Some(reason)),
            "{passed:?}"
        );
    }
}

#[tokio::test]
async fn a_config_map_of_the_reports_name_is_left_alone() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.config_map("t-report", json!({ "mine": "yes" })).await;
    bed.load_test("t", 1).await;
    let status = bed.until_reason("t", "ReportNameTaken").await;
    assert_eq!(status.job_uid, None, "nothing was started");
    let maps: Api<ConfigMap> = bed.api();
    assert_eq!(maps.get("t-report").await.expect("the ConfigMap").data.expect("data")["mine"], "yes");
    maps.delete("t-report", &kube::api::DeleteParams::default()).await.expect("deleted");
    eventually("the Job", SOON, async || bed.job("t").await, Option::is_some).await;
}

#[tokio::test]
async fn a_part_of_the_workers_starts_after_the_timeout_and_the_rest_is_turned_away() {
    let bed = Bed::new().await;
    bed.script().await;
    let spec = json!({
        "count": 2, "testScript": { "config": { "configMap": "test-script" } },
        "start": { "timeoutSeconds": 1 }, "maxMissingWorkers": "50%",
    });
    bed.create("t", spec).await.expect("a LoadTest");
    let pods = bed.pods("t", 2).await;
    bed.run(&pods[0]).await;
    let mut punctual = bed.worker(&pods[0], 1).await;
    whole_life(&mut punctual, 3).await;
    let mut late = bed.worker(&pods[1], 2).await;
    let refused = late.join(&phases(), &Value::Null).await.expect("an answer");
    assert_eq!((refused.status, refused.refused()), (410, Some("AlreadyReleased")));
    bed.exit(&pods[0], 0).await;
    bed.exit(&pods[1], 77).await;
    bed.until("t", "over", loadtest::LoadTestStatus::is_over).await;
    let events = bed.events("t").await;
    assert!(events.iter().any(|(_, reason, _)| reason == "IncompleteStart"), "{events:?}");
}
