//! Deletions: of Jobs, pods and LoadTests. Nothing is ever run a second time.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, Patch, PatchParams};
use loadtest::LoadTest;
use serde_json::json;
use testbed::eventually::eventually;

use crate::bed::{Bed, SOON, is};

/// The LoadTest `t`, whose one worker runs.
async fn running(bed: &Bed) {
    bed.load_test("t", 1).await;
    let pod = bed.pods("t", 1).await.remove(0);
    bed.run(&pod).await;
    bed.until_reason("t", "WorkersRunning").await;
}

#[tokio::test]
async fn deleting_a_finished_job_does_not_run_the_test_again() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 1).await;
    let pod = bed.pods("t", 1).await.remove(0);
    bed.exit(&pod, 0).await;
    let before = bed.until_reason("t", "Succeeded").await;
    bed.api::<Job>().delete("t", &DeleteParams::background()).await.expect("deleted");
    eventually("the Job is gone", SOON, async || bed.job("t").await.is_some(), |there| !there).await;
    // a second test comes and goes meanwhile: the controller has had its chance
    bed.load_test("other", 1).await;
    bed.until_reason("other", "WorkersStarting").await;
    assert!(bed.job("t").await.is_none());
    assert_eq!(bed.status("t").await, before);
}

#[tokio::test]
async fn deleting_a_running_job_ends_the_test_and_says_so() {
    let bed = Bed::new().await;
    bed.script().await;
    running(&bed).await;
    bed.api::<Job>().delete("t", &DeleteParams::background()).await.expect("deleted");
    let status = bed.until("t", "the end", |status| is(status, "Completed", "True")).await;
    let reason = status.condition("Completed").and_then(|c| c.reason.clone()).expect("a reason");
    // whichever is seen first: the worker's pod is killed, then the Job is gone
    assert!(["JobDeleted", "WorkersFailed"].contains(&reason.as_str()), "{reason}");
    eventually("the Job is gone", SOON, async || bed.job("t").await.is_some(), |there| !there).await;
    let failed = async || bed.events("t").await.into_iter().filter(|e| e.1 == "Failed").count();
    eventually("one Failed event", SOON, failed, |n| *n == 1).await;
    assert_eq!(bed.count_calls("create", "jobs"), 1, "one Job was ever made");
}

#[tokio::test]
async fn a_worker_whose_pod_is_deleted_fails_and_gets_no_second_pod() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 2).await;
    let pods = bed.pods("t", 2).await;
    for pod in &pods {
        bed.run(pod).await;
    }
    let name = pods[0].metadata.name.as_deref().expect("a name");
    bed.api::<Pod>().delete(name, &DeleteParams::default()).await.expect("going");
    bed.exit(&pods[0], 143).await; // the kubelet stops it
    bed.until("t", "one failed", |status| status.failed == 1).await;
    bed.exit(&pods[1], 0).await;
    let status = bed.until_reason("t", "WorkersFailed").await;
    assert_eq!(status.completions.as_deref(), Some("1/2"));
    let left = bed.pods("t", 1).await;
    assert_eq!(left[0].metadata.name, pods[1].metadata.name);
}

#[tokio::test]
async fn a_test_that_is_being_deleted_creates_nothing() {
    let bed = Bed::new().await;
    let tests = bed.api::<LoadTest>();
    bed.load_test("t", 1).await;
    bed.until_reason("t", "MissingTestScript").await;
    // a finalizer of somebody else keeps it there while it is going
    let held = json!({ "metadata": { "finalizers": ["example.com/hold"] } });
    tests.patch("t", &PatchParams::default(), &Patch::Merge(&held)).await.expect("held");
    tests.delete("t", &DeleteParams::default()).await.expect("going");
    bed.script().await;
    bed.load_test("other", 1).await;
    bed.until_reason("other", "WorkersStarting").await;
    assert!(bed.job("t").await.is_none());
    let free = json!({ "metadata": { "finalizers": null } });
    tests.patch("t", &PatchParams::default(), &Patch::Merge(&free)).await.expect("free");
    eventually("it is gone", SOON, async || tests.get_opt("t").await.expect("an answer"), Option::is_none)
        .await;
    assert!(bed.job("t").await.is_none());
}

#[tokio::test]
async fn a_job_that_somebody_suspends_ends_the_test_and_is_not_resumed() {
    let bed = Bed::new().await;
    bed.script().await;
    running(&bed).await;
    let suspend = json!({ "spec": { "suspend": true } });
    bed.api::<Job>().patch("t", &PatchParams::default(), &Patch::Merge(&suspend)).await.expect("suspended");
    let status = bed.until("t", "the end", |status| is(status, "Completed", "True")).await;
    assert_eq!(crate::bed::reason_of(&status, "Completed"), "JobSuspended");
    assert_eq!(bed.job("t").await.and_then(|j| j.spec).and_then(|s| s.suspend), Some(true));
    // and if somebody resumes it, its time is over
    let is_told = |job: &Option<Job>| {
        job.as_ref()
            .and_then(|job| job.spec.as_ref())
            .is_some_and(|spec| spec.active_deadline_seconds == Some(1))
    };
    eventually("the Job is told to end", SOON, async || bed.job("t").await, is_told).await;
    let resume = json!({ "spec": { "suspend": false } });
    bed.api::<Job>().patch("t", &PatchParams::default(), &Patch::Merge(&resume)).await.expect("resumed");
    let failed = |job: &Option<Job>| {
        let conditions = job.as_ref().and_then(|j| j.status.as_ref()).and_then(|s| s.conditions.as_ref());
        conditions.into_iter().flatten().any(|c| c.type_ == "Failed" && c.status == "True")
    };
    eventually("the Job ends", SOON, async || bed.job("t").await, failed).await;
}
