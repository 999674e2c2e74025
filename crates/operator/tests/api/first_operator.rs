//! LoadTests that the first operator left, finished or running: never run again, and followed to their end.

use k8s_openapi::api::batch::v1::Job;
use kube::api::{Patch, PatchParams, PostParams};
use loadtest::LoadTest;
use serde_json::json;
use testbed::eventually::eventually;

use crate::bed::{Bed, SOON, is, reason_of};

/// A LoadTest as the first operator left it. Its status is there before the controller can act on it: the name of its
/// script is mended last.
async fn left_behind(bed: &Bed, conditions: serde_json::Value) -> LoadTest {
    bed.load_test("old", 2).await;
    bed.until_reason("old", "MissingTestScript").await;
    let status = json!({ "status": {
        "conditions": conditions, "observedGeneration": null, "image": "artilleryio/artillery:latest", "completions": "1/2",
        "startTime": "2022-05-01T10:00:00Z", "duration": "55s", "active": 1, "succeeded": 1, "failed": 0,
    } });
    let tests = bed.api::<LoadTest>();
    tests.patch_status("old", &PatchParams::default(), &Patch::Merge(&status)).await.expect("its status")
}

fn condition(type_: &str, status: &str) -> serde_json::Value {
    json!({ "type": type_, "status": status, "lastProbeTime": "2022-05-01T10:00:55Z", "lastTransitionTime": null })
}

#[tokio::test]
async fn a_running_test_is_followed_to_its_end() {
    let bed = Bed::new().await;
    let old = left_behind(&bed, json!([condition("Progressing", "True")])).await;
    let job: Job = serde_json::from_value(json!({
        "metadata": {
            "name": "old",
            "labels": {
                "artillery.io/test-name": "old", "artillery.io/part-of": "loadtest",
                "artillery.io/component": "loadtest-worker-master",
            },
            "ownerReferences": [{
                "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "name": "old",
                "uid": old.metadata.uid, "controller": true, "blockOwnerDeletion": true,
            }],
        },
        "spec": { "parallelism": 2, "completions": 2, "backoffLimit": 0, "template": {
            "metadata": { "labels": {
                "artillery.io/test-name": "old", "artillery.io/part-of": "loadtest",
                "artillery.io/component": "loadtest-worker",
            } },
            "spec": { "restartPolicy": "Never", "containers": [{ "name": "old", "image": "artilleryio/artillery:latest" }] },
        } },
    }))
    .expect("a Job");
    let job = bed.api::<Job>().create(&PostParams::default(), &job).await.expect("its Job");
    let status = bed.until("old", "the Job is recorded", |status| status.job_uid.is_some()).await;
    assert_eq!(status.job_uid, job.metadata.uid);
    assert_eq!(status.start_time.map(|t| t.0.to_string()).as_deref(), Some("2022-05-01T10:00:00Z"));
    for pod in bed.pods("old", 2).await {
        bed.exit(&pod, 0).await;
    }
    let status = bed.until_reason("old", "Succeeded").await;
    assert_eq!(status.completions.as_deref(), Some("2/2"));
    let events = async || bed.events("old").await.into_iter().map(|e| e.1).collect::<Vec<_>>();
    let said = eventually("its end", SOON, events, |said| said.contains(&"Completed".to_owned())).await;
    assert!(!said.contains(&"Created".to_owned()), "the first operator has said that: {said:?}");
}

#[tokio::test]
async fn a_test_whose_job_is_gone_is_over_and_not_run_again() {
    let bed = Bed::new().await;
    left_behind(&bed, json!([condition("Progressing", "Unknown")])).await;
    bed.script().await;
    let status = bed.until("old", "the end", |status| is(status, "Completed", "True")).await;
    assert_eq!(reason_of(&status, "Completed"), "JobDeleted");
    assert_eq!(status.succeeded, 1, "what was seen stays");
    assert!(bed.job("old").await.is_none());
}

#[tokio::test]
async fn a_finished_test_is_left_as_it_is() {
    let bed = Bed::new().await;
    let conditions = json!([condition("Progressing", "False"), condition("Completed", "True")]);
    let before = left_behind(&bed, conditions).await.status;
    bed.script().await;
    bed.load_test("other", 1).await;
    bed.until_reason("other", "WorkersStarting").await;
    assert_eq!(Some(bed.status("old").await), before);
    assert!(bed.job("old").await.is_none());
}

#[tokio::test]
async fn what_its_schema_let_pass_is_told_and_never_run() {
    let bed = Bed::left_behind().await;
    for (name, part) in [
        ("old.test", "must not contain dots"),
        ("none", ".spec.count is 0"),
        ("many", ".spec.count is 2147483647"),
        ("nameless", ".spec.testScript.external.processor.main.configMap is \"\""),
    ] {
        let status = bed.until_reason(name, "InvalidSpec").await;
        let message = crate::bed::message_of(&status, "Progressing");
        assert!(message.contains(part), "{message}");
        assert_eq!(bed.until_events(name, 1).await[0].1, "InvalidSpec");
        assert!(bed.job(name).await.is_none());
    }
    // of one without a spec the API server takes no status any more; it hides nobody, and nothing runs
    assert!(bed.job("bare").await.is_none());
}

#[tokio::test]
async fn a_finished_test_cannot_be_edited() {
    let bed = Bed::new().await;
    left_behind(&bed, json!([condition("Progressing", "False"), condition("Completed", "True")])).await;
    let refusal = bed.refusal("old", crate::bed::spec(3)).await;
    assert!(refusal.contains("spec cannot be changed once the load test has started"), "{refusal}");
}
