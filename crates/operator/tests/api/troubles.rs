//! What Kubernetes says against workers is passed on by reason, and nothing waits for ever.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use loadtest::LoadTestStatus;
use loadtest::workers::START_DEADLINE_SECONDS;
use serde_json::json;

use crate::bed::{Bed, is, message_of, reason_of};

async fn until_told(bed: &Bed, test: &str, words: &str) -> LoadTestStatus {
    bed.until(test, words, |status| message_of(status, "Progressing").contains(words)).await
}

#[tokio::test]
async fn a_quota_that_refuses_pods_is_told_in_its_own_words() {
    let bed = Bed::new().await;
    bed.script().await;
    let quota = ResourceQuota {
        metadata: ObjectMeta { name: Some("one-pod".into()), ..ObjectMeta::default() },
        ..ResourceQuota::default()
    };
    let quotas = bed.api::<ResourceQuota>();
    quotas.create(&PostParams::default(), &quota).await.expect("a quota");
    // the quota controller's part
    let status = json!({ "status": { "hard": { "pods": "1" }, "used": { "pods": "0" } } });
    quotas.patch_status("one-pod", &PatchParams::default(), &Patch::Merge(status)).await.expect("its status");
    bed.load_test("t", 2).await;
    let status = until_told(&bed, "t", "1 without a pod: is forbidden: exceeded quota: one-pod").await;
    assert_eq!(reason_of(&status, "Progressing"), "WorkersWaiting");
}

#[tokio::test]
async fn what_keeps_a_worker_from_running_is_told_by_reason() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 2).await;
    let pods = bed.pods("t", 2).await;
    let condition = json!({ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available" });
    let status = json!({ "status": { "conditions": [condition] } });
    let api = bed.api::<k8s_openapi::api::core::v1::Pod>();
    let name = pods[0].metadata.name.as_deref().expect("a name");
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.expect("a condition");
    let status = until_told(&bed, "t", "1 Unschedulable: 0/3 nodes are available").await;
    assert_eq!(reason_of(&status, "Progressing"), "WorkersWaiting");
    let state = json!({ "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image" } });
    bed.kubelet(&pods[1], "Pending", state).await;
    until_told(&bed, "t", "1 ImagePullBackOff: Back-off pulling image").await;
}

#[tokio::test]
async fn a_worker_killed_for_memory_is_told_while_the_others_run() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 2).await;
    let pods = bed.pods("t", 2).await;
    bed.run(&pods[0]).await;
    bed.run(&pods[1]).await;
    let state = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
    bed.kubelet(&pods[0], "Failed", state).await;
    let status = until_told(&bed, "t", "1 failed (worker 0: OOMKilled (exit code 137))").await;
    assert!(is(&status, "Completed", "False"));
}

#[tokio::test]
async fn workers_that_never_start_are_given_up_and_their_pods_removed() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 2).await;
    let pods = bed.pods("t", 2).await;
    bed.exit(&pods[0], 0).await;
    bed.until("t", "one succeeded", |status| status.succeeded == 1).await;
    let state = json!({ "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image" } });
    bed.kubelet(&pods[1], "Pending", state).await;
    // ten minutes later: the last start lies that far back
    let long_ago =
        loadtest::Timestamp::from_second(loadtest::Timestamp::now().as_second() - START_DEADLINE_SECONDS - 1)
            .expect("a time");
    let end = json!({ "terminated": { "exitCode": 0, "reason": "Completed", "startedAt": long_ago.to_string(), "finishedAt": long_ago.to_string() } });
    bed.kubelet(&pods[0], "Succeeded", end).await;
    let started = json!({ "metadata": { "annotations": { "loadtest.artillery.io/started-at": long_ago.to_string() } } });
    bed.api::<Job>()
        .patch("t", &PatchParams::default(), &Patch::Merge(started))
        .await
        .expect("an older start");
    let status = bed.until_reason("t", "WorkersFailed").await;
    let message = message_of(&status, "Completed");
    let expected = "1 of 2 workers failed: worker 1: did not start within 600 s (ImagePullBackOff)";
    assert!(message.contains(expected), "{message}");
    // what was given up must not start later
    bed.until_events("t", 4).await;
    bed.pods("t", 1).await;
    let ended = async || bed.job("t").await.and_then(|job| job.status?.conditions);
    testbed::eventually::eventually("the Job's end", crate::bed::SOON, ended, |conditions| {
        conditions.iter().flatten().any(|c| c.type_ == "Failed" && c.status == "True")
    })
    .await;
}
