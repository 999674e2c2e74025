//! What Kubernetes says against workers is passed on by reason, and nothing waits for ever.

use k8s_openapi::api::admissionregistration::v1::{
    ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod, ResourceQuota};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use loadtest::LoadTestStatus;
use loadtest::workers::START_DEADLINE_SECONDS;
use serde_json::{Value, json};
use testbed::eventually::eventually;

use crate::bed::{Bed, SOON, is, message_of, reason_of};

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
    let status =
        until_told(&bed, "t", "1 without a pod: its pod is forbidden: exceeded quota: one-pod").await;
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
    let api = bed.api::<Pod>();
    let name = pods[0].metadata.name.as_deref().expect("a name");
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await.expect("a condition");
    let status = until_told(&bed, "t", "1 Unschedulable: 0/3 nodes are available").await;
    assert_eq!(reason_of(&status, "Progressing"), "WorkersWaiting");
    let state = json!({ "waiting": { "reason": "ImagePullBackOff", "message": "Back-off pulling image" } });
    bed.kubelet(&pods[1], "Pending", state).await;
    until_told(&bed, "t", "1 ImagePullBackOff: Back-off pulling image").await;
    let events = bed.until_events("t", 3).await;
    let said: Vec<_> =
        events[1..].iter().map(|(type_, reason, note)| format!("{type_} {reason} {note}")).collect();
    let expected = ["ImagePullBackOff: Back-off pulling image", "Unschedulable: 0/3 nodes are available"]
        .map(|why| format!("Warning WorkersWaiting 1 of 2 workers: {why}"));
    assert_eq!(said, expected);
}

#[tokio::test]
async fn an_init_container_and_a_volume_that_keep_workers_from_running_are_told() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 1).await;
    let pod = bed.pods("t", 1).await.remove(0);
    let waiting = json!({ "reason": "CreateContainerConfigError", "message": "secret \"token\" not found" });
    let fetch = json!({
        "name": "fetch", "image": "i", "imageID": "i", "ready": false, "restartCount": 0, "state": { "waiting": waiting },
    });
    let set = async |status: Value| {
        let name = pod.metadata.name.as_deref().expect("a name");
        let patch = Patch::Merge(json!({ "status": status }));
        bed.api::<Pod>()
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .expect("the kubelet's word");
    };
    set(json!({ "initContainerStatuses": [fetch] })).await;
    until_told(&bed, "t", "1 CreateContainerConfigError: init container fetch: secret \"token\" not found")
        .await;
    // what the kubelet cannot mount is told in events alone
    set(json!({ "initContainerStatuses": [] })).await;
    bed.kubelet(&pod, "Pending", json!({ "waiting": { "reason": "ContainerCreating" } })).await;
    let event: Event = serde_json::from_value(json!({
        "metadata": { "name": "mount" }, "type": "Warning", "reason": "FailedMount",
        "involvedObject": { "kind": "Pod", "name": pod.metadata.name, "namespace": bed.namespace, "uid": pod.metadata.uid },
        "message": "MountVolume.SetUp failed for volume \"certs\" : secret \"certs\" not found",
        "lastTimestamp": loadtest::Timestamp::now().to_string(),
    }))
    .expect("an event");
    bed.api::<Event>().create(&PostParams::default(), &event).await.expect("an event");
    let words = "1 FailedMount: MountVolume.SetUp failed for volume \"certs\" : secret \"certs\" not found";
    let long = std::time::Duration::from_secs(60); // a pod is asked about after 30 s
    let told = async || message_of(&bed.status("t").await, "Progressing");
    eventually(words, long, told, |message| message.contains(words)).await;
    let events = bed.until_events("t", 3).await;
    assert!(
        events.iter().all(|(_, reason, _)| reason == "Created" || reason == "WorkersWaiting"),
        "{events:?}"
    );
}

#[tokio::test]
async fn a_worker_killed_for_memory_is_told_while_the_others_run() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 2).await;
    let pods = bed.pods("t", 2).await;
    bed.run(&pods[0]).await;
    bed.run(&pods[1]).await;
    let log = "Scenario 1\n\u{1b}[31mallocates\u{1b}[0m\n";
    let state = json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled", "message": log } });
    bed.kubelet(&pods[0], "Failed", state).await;
    let status = until_told(&bed, "t", "1 failed (worker 0: OOMKilled (exit code 137))").await;
    assert!(is(&status, "Completed", "False"));
    let pod = pods[0].metadata.name.as_deref().expect("a name");
    let events = bed.until_events("t", 4).await;
    let words = format!(
        "worker 0: OOMKilled (exit code 137); see kubectl logs {pod}, which ends: Scenario 1 | allocates"
    );
    assert_eq!(events[3], ("Warning".into(), "WorkerFailed".into(), words));
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
    bed.until_events("t", 3).await;
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
    let expected = "1 of 2 workers failed: worker 1: did not start within 600 s (ImagePullBackOff: Back-off pulling image)";
    assert!(message.contains(expected), "{message}");
    // what was given up must not start later
    bed.until_events("t", 5).await;
    bed.pods("t", 1).await;
    let ended = async || bed.job("t").await.and_then(|job| job.status?.conditions);
    eventually("the Job's end", crate::bed::SOON, ended, |conditions| {
        conditions.iter().flatten().any(|c| c.type_ == "Failed" && c.status == "True")
    })
    .await;
}

/// A policy that refuses in a namespace what a rule says. Returns its name, which is its binding's, too.
pub async fn refuse(bed: &Bed, rule: Value, message: &str) -> String {
    let name = format!("none-{}", bed.namespace);
    let here = json!({ "matchLabels": { "kubernetes.io/metadata.name": bed.namespace } });
    // no reason is named: the API server says 422 then
    let policy = json!({
        "metadata": { "name": name },
        "spec": {
            "matchConstraints": { "resourceRules": [rule] },
            "validations": [{ "expression": "false", "message": message }],
        },
    });
    let binding = json!({
        "metadata": { "name": name },
        "spec": {
            "policyName": name, "validationActions": ["Deny"], "matchResources": { "namespaceSelector": here },
        },
    });
    let policies = Api::<ValidatingAdmissionPolicy>::all(bed.client.clone());
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(bed.client.clone());
    let params = PostParams::default();
    policies.create(&params, &serde_json::from_value(policy).expect("a policy")).await.expect("made");
    bindings.create(&params, &serde_json::from_value(binding).expect("a binding")).await.expect("made");
    name
}

#[tokio::test]
async fn a_policy_that_refuses_jobs_for_now_is_no_fault_of_the_spec() {
    let bed = Bed::new().await;
    bed.script().await;
    let jobs = json!({ "apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"] });
    let name = refuse(&bed, jobs, "not on a Friday").await;
    refuses_jobs(&bed, 422).await;

    bed.load_test("t", 1).await;
    let status = bed.until_reason("t", "JobRefused").await;
    assert!(message_of(&status, "Progressing").ends_with("denied request: not on a Friday"), "{status:?}");
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(bed.client.clone());
    bindings.delete(&name, &DeleteParams::default()).await.expect("deleted");
    let policies = Api::<ValidatingAdmissionPolicy>::all(bed.client.clone());
    policies.delete(&name, &DeleteParams::default()).await.expect("deleted");
    bed.until_reason("t", "WorkersStarting").await;
}

#[tokio::test]
async fn a_webhook_that_does_not_answer_is_told_and_the_test_starts_once_it_is_gone() {
    let bed = Bed::new().await;
    bed.script().await;
    let name = format!("down-{}", bed.namespace);
    let webhooks = Api::<ValidatingWebhookConfiguration>::all(bed.client.clone());
    let jobs = json!({ "apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"] });
    let webhook = json!({
        "name": "down.example.org", "clientConfig": { "url": "https://127.0.0.1:1/" }, "rules": [jobs],
        "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": bed.namespace } },
        "failurePolicy": "Fail", "sideEffects": "None", "admissionReviewVersions": ["v1"], "timeoutSeconds": 1,
    });
    let webhook = json!({ "metadata": { "name": name }, "webhooks": [webhook] });
    let webhook = serde_json::from_value(webhook).expect("a webhook");
    webhooks.create(&PostParams::default(), &webhook).await.expect("made");
    refuses_jobs(&bed, 500).await;

    bed.load_test("t", 1).await;
    let status = bed.until_reason("t", "JobRefused").await;
    let told = message_of(&status, "Progressing");
    assert!(told.contains("failed calling webhook \"down.example.org\""), "{status:?}");
    webhooks.delete(&name, &DeleteParams::default()).await.expect("deleted");
    bed.until_reason("t", "WorkersStarting").await;
}

/// Waits until Jobs are refused by that code: it takes the API server a moment to know what is to be asked.
async fn refuses_jobs(bed: &Bed, code: u16) {
    let pod = json!({ "restartPolicy": "Never", "containers": [{ "name": "none", "image": "none" }] });
    let probe = json!({ "metadata": { "name": "probe" }, "spec": { "template": { "spec": pod } } });
    let probe: Job = serde_json::from_value(probe).expect("a Job");
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let answer = async || match bed.api::<Job>().create(&dry_run, &probe).await {
        Err(kube::Error::Api(status)) => status.code,
        _ => 201,
    };
    eventually("Jobs are refused", SOON, answer, |answer| *answer == code).await;
}
