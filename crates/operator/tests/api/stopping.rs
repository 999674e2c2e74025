//! Tests that wait to be let go, that are ended before their time, and whose Jobs are removed some time after the end.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{Patch, PatchParams, PostParams};
use loadtest::api::Verdict;
use loadtest::{LoadTest, LoadTestStatus};
use serde_json::{Value, json};
use testbed::eventually::eventually;
use testbed::worker::Worker;

use crate::bed::{Bed, SOON, is, message_of, reason_of, spec};
use crate::reports::batch;
use crate::storing::running_with;
use crate::troubles::refuse;

/// The LoadTest `t` of one worker that has started, with these in its spec.
async fn running(bed: &Bed, more: Value) -> (Pod, Worker) {
    let mut whole = spec(1);
    let more = more.as_object().expect("fields").clone();
    whole.as_object_mut().expect("an object").extend(more);
    running_with(bed, whole).await
}

async fn patch(bed: &Bed, spec: Value) {
    let patch = Patch::Merge(json!({ "spec": spec }));
    bed.api::<LoadTest>().patch("t", &PatchParams::default(), &patch).await.expect("patched");
}

/// Sends a batch until the answer says that the test is to end.
async fn until_told(worker: &mut Worker) {
    let mut sequence = 0;
    let answer = async || {
        sequence += 1;
        worker.batch(batch(sequence, 1)).await.expect("an answer").body
    };
    eventually("told to stop", SOON, answer, |answer| answer["stop"] == "Graceful").await;
    worker.finish(sequence, 143, SOON).await.expect("durable");
}

async fn over(bed: &Bed) -> LoadTestStatus {
    bed.until("t", "over", LoadTestStatus::is_over).await
}

#[tokio::test]
async fn a_suspended_test_is_checked_and_starts_when_it_is_let_go() {
    let bed = Bed::new().await;
    let mut suspended = spec(1);
    suspended["suspend"] = json!(true);
    bed.create("t", suspended).await.expect("a LoadTest");
    bed.until_reason("t", "MissingTestScript").await;
    bed.script().await;
    let status = bed.until_reason("t", "Suspended").await;
    assert!(message_of(&status, "Progressing").contains("set .spec.suspend to false"));
    assert!(bed.job("t").await.is_none());
    let events = bed.until_events("t", 2).await;
    assert!(events.iter().any(|(type_, reason, _)| type_ == "Normal" && reason == "Suspended"), "{events:?}");
    patch(&bed, json!({ "suspend": false })).await;
    bed.until_reason("t", "WorkersStarting").await;
}

#[tokio::test]
async fn a_suspended_test_whose_job_the_api_server_would_refuse_is_told_so_before_it_is_let_go() {
    let bed = Bed::new().await;
    bed.script().await;
    let mut suspended = spec(1);
    suspended["suspend"] = json!(true);
    let more = json!({ "requests": { "memory": "4Gi" }, "limits": { "memory": "2Gi" } });
    suspended["worker"] = json!({ "resources": more });
    bed.create("t", suspended.clone()).await.expect("a LoadTest");
    let status = bed.until_reason("t", "InvalidSpec").await;
    assert!(message_of(&status, "Progressing").contains("Invalid value: \"4Gi\""), "{status:?}");
    suspended["worker"] = json!({ "resources": { "limits": { "memory": "2Gi" } } });
    bed.create("t", suspended).await.expect("mended");
    bed.until_reason("t", "Suspended").await;
    assert!(bed.job("t").await.is_none(), "it was only asked for");
    assert_eq!(bed.count_calls("create", "configmaps"), 0);
}

#[tokio::test]
async fn the_suspended_job_of_a_test_that_is_over_goes_when_its_time_has_come() {
    let bed = Bed::new().await;
    let (_pod, _worker) = running(&bed, json!({ "ttlSecondsAfterFinished": 6 })).await;
    let suspend = Patch::Merge(json!({ "spec": { "suspend": true } }));
    bed.api::<k8s_openapi::api::batch::v1::Job>()
        .patch("t", &PatchParams::default(), &suspend)
        .await
        .expect("suspended");
    assert_eq!(reason_of(&over(&bed).await, "Completed"), "JobSuspended");
    assert!(bed.job("t").await.is_some(), "not yet");
    eventually("the Job is gone", SOON, async || bed.job("t").await.is_none(), |gone| *gone).await;
}

#[tokio::test]
async fn a_test_that_is_stopped_before_it_started_never_starts() {
    let bed = Bed::new().await;
    let mut suspended = spec(1);
    suspended["suspend"] = json!(true);
    bed.script().await;
    bed.create("t", suspended).await.expect("a LoadTest");
    bed.until_reason("t", "Suspended").await;
    patch(&bed, json!({ "stop": "Graceful" })).await;
    let status = over(&bed).await;
    assert_eq!(
        (reason_of(&status, "Completed"), reason_of(&status, "Passed")),
        ("Stopped".into(), "Stopped".into())
    );
    assert_eq!(message_of(&status, "Completed"), "stopped by .spec.stop before anything was started");
    assert!(bed.job("t").await.is_none());
}

#[tokio::test]
async fn a_graceful_stop_reaches_the_workers_and_what_they_measured_is_reported() {
    let bed = Bed::new().await;
    let (pod, mut worker) = running(&bed, json!({})).await;
    assert_eq!(worker.batch(batch(1, 7)).await.expect("an answer").body["stop"], Value::Null);
    patch(&bed, json!({ "stop": "Graceful" })).await;
    let answer = async || worker.batch(batch(2, 4)).await.expect("an answer").body;
    eventually("told to stop", SOON, answer, |answer| answer["stop"] == "Graceful").await;
    let status = bed.until_reason("t", "Stopping").await;
    assert!(status.stop_time.is_some() && is(&status, "Completed", "False"));
    worker.finish(2, 143, SOON).await.expect("durable");
    bed.exit(&pod, 143).await;
    let status = over(&bed).await;
    assert_eq!(
        (reason_of(&status, "Completed"), reason_of(&status, "Passed")),
        ("Stopped".into(), "Stopped".into())
    );
    assert_eq!(status.verdict, Some(Verdict::Inconclusive));
    assert_eq!(status.metrics.expect("metrics").http.expect("requests").requests, 11);
    let events = bed.events("t").await;
    assert!(events.iter().any(|(type_, reason, _)| type_ == "Normal" && reason == "Stopped"), "{events:?}");
}

#[tokio::test]
async fn an_immediate_stop_ends_the_job() {
    let bed = Bed::new().await;
    let (pod, _worker) = running(&bed, json!({})).await;
    patch(&bed, json!({ "stop": "Immediate" })).await;
    let job = async || bed.job("t").await.and_then(|job| job.spec?.active_deadline_seconds);
    eventually("the Job is told to end", SOON, job, |seconds| *seconds == Some(1)).await;
    // of a pod without a kubelet there is nothing left
    let name = pod.metadata.name.clone().expect("a name");
    let is_gone = async || bed.api::<Pod>().get_opt(&name).await.is_ok_and(|pod| pod.is_none());
    eventually("its pod is gone", SOON, is_gone, |is_gone| *is_gone).await;
    let status = over(&bed).await;
    assert_eq!(
        (reason_of(&status, "Completed"), reason_of(&status, "Passed")),
        ("Stopped".into(), "Stopped".into())
    );
    assert_eq!(status.workers.expect("workers").lost, 1);
}

#[tokio::test]
async fn a_test_is_ended_at_its_deadline() {
    let bed = Bed::new().await;
    let (pod, mut worker) = running(&bed, json!({ "activeDeadlineSeconds": 3 })).await;
    until_told(&mut worker).await;
    bed.exit(&pod, 143).await;
    let status = over(&bed).await;
    assert_eq!(reason_of(&status, "Completed"), "DeadlineExceeded");
    assert_eq!(reason_of(&status, "Passed"), "DeadlineExceeded");
    assert!(
        message_of(&status, "Completed").starts_with("stopped after the 3 s of .spec.activeDeadlineSeconds")
    );
    let since = |time: Option<k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| {
        time.expect("a time").0.as_second()
    };
    let seconds = since(status.stop_time.clone()) - since(status.start_time.clone());
    assert!((3..10).contains(&seconds), "told after {seconds} s");
}

#[tokio::test]
async fn a_job_stays_whose_user_takes_back_that_it_is_to_go() {
    let bed = Bed::new().await;
    let (pod, mut worker) = running(&bed, json!({ "ttlSecondsAfterFinished": 3600 })).await;
    worker.finish(0, 0, SOON).await.expect("durable");
    bed.exit(&pod, 0).await;
    over(&bed).await;
    let ttl =
        async || bed.job("t").await.and_then(|job| job.spec).and_then(|spec| spec.ttl_seconds_after_finished);
    eventually("it is to go", SOON, ttl, |ttl| *ttl == Some(3600)).await;
    let none = json!({ "spec": { "ttlSecondsAfterFinished": null } });
    let patch = Patch::Merge(&none);
    bed.api::<LoadTest>()
        .patch("t", &PatchParams::default(), &patch)
        .await
        .expect("the TTL may be taken back");
    eventually("it is to stay", SOON, ttl, Option::is_none).await;
    assert!(bed.job("t").await.is_some());
}

#[tokio::test]
async fn a_job_goes_some_time_after_the_end_and_the_report_stays() {
    let bed = Bed::new().await;
    let (pod, mut worker) = running(&bed, json!({ "ttlSecondsAfterFinished": 1 })).await;
    worker.finish(0, 0, SOON).await.expect("durable");
    bed.exit(&pod, 0).await;
    let before = over(&bed).await;
    eventually("the Job is gone", SOON, async || bed.job("t").await.is_none(), |gone| *gone).await;
    let report = async || {
        bed.api::<k8s_openapi::api::core::v1::ConfigMap>().get_opt("t-report").await.expect("an answer")
    };
    assert!(report().await.is_some(), "the report stays");
    assert_eq!(bed.status("t").await, before);
}

#[tokio::test]
async fn events_that_cannot_be_written_keep_no_test_from_its_end() {
    let bed = Bed::new().await;
    let (pod, mut worker) = running(&bed, json!({})).await;
    let events = json!({ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["events"] });
    refuse(&bed, events, "no events").await;
    let probe = json!({
        "metadata": { "name": "probe", "namespace": bed.namespace },
        "involvedObject": { "namespace": bed.namespace },
    });
    let probe: Event = serde_json::from_value(probe).expect("an event");
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let refused = async || bed.api::<Event>().create(&dry_run, &probe).await.is_err();
    eventually("events are refused", SOON, refused, |refused| *refused).await;

    patch(&bed, json!({ "stop": "Graceful" })).await;
    until_told(&mut worker).await;
    bed.exit(&pod, 143).await;
    let status = over(&bed).await;
    assert_eq!(reason_of(&status, "Completed"), "Stopped");
}
