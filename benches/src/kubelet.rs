//! Plays the kubelets: there are no nodes, so the bench says of a worker's pod what a kubelet says, as long as one says it.
//!
//! The words are those of a worker's pod on the local cluster (`kubectl get pod -o json`, Kubernetes 1.36, 2026-11-24), which
//! was 8,446 bytes of JSON with its managed fields.

use std::future::ready;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::runtime::watcher::{self, Event, watcher};
use loadtest::{Timestamp, labels};
use serde_json::{Value, json};

/// How many pods start at a time, where many do.
const AT_A_TIME: usize = 16;

/// What becomes of a worker's container.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its image is being pulled.
    Creating,
    /// It runs.
    Running,
    /// It exited with code 0.
    Succeeded,
}

/// Says that a pod's container is in that state.
pub async fn say(client: &kube::Client, pod: &Pod, state: State) -> Result<()> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams { field_manager: Some("kubelet".to_owned()), ..PatchParams::default() };
    let status = status(pod, state, Timestamp::now()).with_context(|| format!("pod {namespace}/{name}"))?;
    api.patch_status(name, &params, &Patch::Merge(&json!({ "status": status }))).await?;
    Ok(())
}

/// Lets every worker pod run that comes, until it is dropped.
pub async fn run_all(client: kube::Client) {
    let pods = Api::<Pod>::all(client.clone());
    let selected = watcher::Config::default().labels(labels::WORKER_SELECTOR);
    let pending = watcher(pods, selected).filter_map(|event| {
        ready(match event {
            Ok(Event::Apply(pod) | Event::InitApply(pod)) if is_new(&pod) => Some(pod),
            Ok(_) => None,
            Err(error) => {
                crate::report::progress(format!("the kubelets' watch broke, and is tried again: {error}"));
                None
            }
        })
    });
    let run = |pod: Pod| {
        let client = client.clone();
        async move {
            if let Err(error) = say(&client, &pod, State::Running).await {
                crate::report::progress(format!("a pod does not run: {error:#}"));
            }
        }
    };
    pending.for_each_concurrent(AT_A_TIME, run).await;
}

/// Whether no kubelet has spoken of it.
pub fn is_new(pod: &Pod) -> bool {
    pod.status.as_ref().is_none_or(|status| status.container_statuses.is_none())
}

/// A kubelet's status of a worker's pod.
fn status(pod: &Pod, state: State, now: Timestamp) -> Result<Value> {
    let container =
        pod.spec.as_ref().and_then(|spec| spec.containers.first()).context("it has no container")?;
    let created = pod.metadata.creation_timestamp.as_ref().context("it was never created")?.0.to_string();
    let now = now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let (phase, ready) = match state {
        State::Creating => ("Pending", "False"),
        State::Running => ("Running", "True"),
        State::Succeeded => ("Succeeded", "False"),
    };
    let what = match state {
        State::Creating => json!({ "waiting": { "reason": "ContainerCreating" } }),
        State::Running => json!({ "running": { "startedAt": now } }),
        State::Succeeded => json!({ "running": null, "terminated": {
            "exitCode": 0, "reason": "Completed", "startedAt": created, "finishedAt": now,
            "containerID": CONTAINER_ID,
        } }),
    };
    let condition = |type_: &str, value: &str, since: &str| json!({ "type": type_, "status": value, "lastProbeTime": null, "lastTransitionTime": since, "observedGeneration": 1 });
    let address = "10.201.1.5";
    Ok(json!({
        "phase": phase,
        "conditions": [
            condition("PodReadyToStartContainers", "True", &created),
            condition("Initialized", "True", &created),
            condition("Ready", ready, &now),
            condition("ContainersReady", ready, &now),
            condition("PodScheduled", "True", &created),
        ],
        "containerStatuses": [{
            "name": container.name,
            "allocatedResources": { "cpu": "100m", "memory": "512Mi" },
            "containerID": CONTAINER_ID,
            "image": "docker.io/artilleryio/artillery:latest",
            "imageID": "docker.io/artilleryio/artillery@sha256:0b6c825fd6315692fd357e9351e3e3cf3fc8d0640a0b4bef06db8914560b0bd0",
            "lastState": {},
            "ready": state == State::Running,
            "started": state == State::Running,
            "resources": { "limits": { "memory": "1Gi" }, "requests": { "cpu": "100m", "memory": "512Mi" } },
            "restartCount": 0,
            "state": what,
            "volumeMounts": [
                { "mountPath": "/data", "name": "test-script", "readOnly": true, "recursiveReadOnly": "Disabled" },
                { "mountPath": "/tmp", "name": "tmp" },
            ],
        }],
        "hostIP": "10.200.0.11",
        "hostIPs": [{ "ip": "10.200.0.11" }],
        "observedGeneration": 1,
        "podIP": address,
        "podIPs": [{ "ip": address }],
        "qosClass": "Burstable",
        "startTime": created,
    }))
}

const CONTAINER_ID: &str = "containerd://a414e6222edc23efbaac1dce30f5d11da5d9c9b7852d6a72aeea1632a3c2c43a";

#[cfg(test)]
mod tests {
    use super::*;

    fn pod() -> Pod {
        serde_json::from_value(json!({
            "metadata": { "name": "t-0", "creationTimestamp": "2026-11-24T08:47:46Z" },
            "spec": { "containers": [{ "name": "t" }] },
        }))
        .expect("a pod")
    }

    #[test]
    fn a_pod_of_which_a_kubelet_has_spoken_is_as_large_as_a_real_one() {
        let now = "2026-11-24T08:47:48Z".parse().expect("a time");
        let status = status(&pod(), State::Running, now).expect("a status");
        let length = status.to_string().len();
        assert!((1500..1650).contains(&length), "the real one has 1,568 bytes, this {length}");
    }

    #[test]
    fn a_pod_is_new_until_a_kubelet_has_spoken() {
        let mut pod = pod();
        assert!(is_new(&pod));
        let now = "2026-11-24T08:47:48Z".parse().expect("a time");
        let status = status(&pod, State::Creating, now).expect("a status");
        pod.status = Some(serde_json::from_value(status).expect("a status"));
        assert!(!is_new(&pod));
    }
}
