//! A worker pod as far as `loadtest` reads it: what the watch takes from the API server's answers, and what is kept of it.
//!
//! A whole Pod is 8 KB of JSON and some 25 KB once parsed, and one that was stripped afterwards still 4 KB: k8s-openapi's types
//! keep room for all that a pod may have.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod, PodCondition, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::Resource;
use kube::core::{NamespaceResourceScope, ObjectMeta};
use serde::{Deserialize, Deserializer};

/// A worker pod, of which nothing else is even parsed.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(default)]
pub struct WorkerPod {
    #[serde(deserialize_with = "metadata")]
    pub metadata: ObjectMeta,
    pub status: Status,
}

/// As `PodStatus`.
#[derive(Deserialize, Clone, Debug, Default)]
#[serde(rename_all = "camelCase", default)]
pub struct Status {
    pub phase: Option<String>,
    reason: Option<String>,
    message: Option<String>,
    #[serde(deserialize_with = "conditions")]
    conditions: Vec<Condition>,
    #[serde(deserialize_with = "containers")]
    container_statuses: Vec<Container>,
    #[serde(deserialize_with = "init_containers")]
    init_container_statuses: Vec<Container>,
}

/// As `PodCondition`.
#[derive(Deserialize, Clone, Debug)]
struct Condition {
    #[serde(rename = "type")]
    type_: String,
    status: String,
    reason: Option<String>,
    message: Option<String>,
}

/// As `ContainerStatus`.
#[derive(Deserialize, Clone, Debug)]
struct Container {
    name: String,
    #[serde(default)]
    state: Option<Box<ContainerState>>,
}

/// As `ObjectMeta`, which has to be had whole: a watch asks for it.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Vec<Owner>,
}

/// As `OwnerReference`.
#[derive(Deserialize)]
struct Owner {
    uid: String,
}

impl WorkerPod {
    /// The same as a Pod, with what was kept.
    pub fn to_pod(&self) -> Pod {
        let Status { phase, reason, message, conditions, container_statuses, init_container_statuses } =
            self.status.clone();
        let condition = |c: Condition| PodCondition {
            type_: c.type_,
            status: c.status,
            reason: c.reason,
            message: c.message,
            ..PodCondition::default()
        };
        let container = |c: Container| ContainerStatus {
            name: c.name,
            state: c.state.map(|state| *state),
            ..ContainerStatus::default()
        };
        let init_containers: Vec<_> = init_container_statuses.into_iter().map(container).collect();
        let status = PodStatus {
            phase,
            reason,
            message,
            conditions: Some(conditions.into_iter().map(condition).collect()),
            container_statuses: Some(container_statuses.into_iter().map(container).collect()),
            init_container_statuses: Some(init_containers).filter(|all| !all.is_empty()),
            ..PodStatus::default()
        };
        Pod { metadata: self.metadata.clone(), spec: None, status: Some(status) }
    }
}

impl Resource for WorkerPod {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        Pod::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        Pod::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        Pod::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        Pod::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

fn metadata<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ObjectMeta, D::Error> {
    let read = Metadata::deserialize(deserializer)?;
    let owner = |owner: Owner| OwnerReference { uid: owner.uid, ..OwnerReference::default() };
    Ok(ObjectMeta {
        name: read.name,
        namespace: read.namespace,
        uid: read.uid,
        resource_version: read.resource_version,
        creation_timestamp: read.creation_timestamp,
        deletion_timestamp: read.deletion_timestamp,
        labels: read.labels,
        owner_references: Some(read.owner_references.into_iter().map(owner).collect()),
        ..ObjectMeta::default()
    })
}

/// Those that tell something.
fn conditions<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Condition>, D::Error> {
    let mut conditions = Option::<Vec<Condition>>::deserialize(deserializer)?.unwrap_or_default();
    conditions.retain(|c| {
        matches!(
            (c.type_.as_str(), c.status.as_str()),
            ("PodScheduled", "False") | ("DisruptionTarget", "True")
        )
    });
    conditions.shrink_to_fit();
    Ok(conditions)
}

/// More than `loadtest` quotes of a log; Kubernetes has up to 4 KB of it.
const LONGEST_MESSAGE: usize = 1024;

fn containers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Container>, D::Error> {
    let mut containers = Option::<Vec<Container>>::deserialize(deserializer)?.unwrap_or_default();
    let ends = containers.iter_mut().filter_map(|c| c.state.as_mut()?.terminated.as_mut()?.message.as_mut());
    for message in ends.filter(|message| message.len() > LONGEST_MESSAGE) {
        let start = message.ceil_char_boundary(message.len() - LONGEST_MESSAGE);
        *message = message.split_off(start);
    }
    Ok(containers)
}

/// Those that have not done their part.
fn init_containers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Container>, D::Error> {
    let mut containers = Option::<Vec<Container>>::deserialize(deserializer)?.unwrap_or_default();
    containers.retain(|init| {
        let end = init.state.as_ref().and_then(|state| state.terminated.as_ref());
        end.is_none_or(|end| end.exit_code != 0)
    });
    containers.shrink_to_fit();
    Ok(containers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_loadtest_reads_of_a_pod_is_kept_and_nothing_else() {
        let whole = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "t-0-abcde", "namespace": "a", "uid": "pod-1", "resourceVersion": "7",
                "creationTimestamp": "2026-11-24T08:40:00Z", "deletionTimestamp": "2026-11-24T08:47:46Z", "labels": { "l": "1" }, "annotations": { "a": "1" },
                "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": "t", "uid": "job-1" }],
                "managedFields": [{ "manager": "kubelet" }],
            },
            "spec": { "containers": [{ "name": "t" }] },
            "status": {
                "phase": "Failed", "reason": "Evicted", "message": "why", "podIP": "10.0.0.1",
                "conditions": [
                    { "type": "Ready", "status": "False" },
                    { "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "m" },
                ],
                "containerStatuses": [{
                    "name": "t", "image": "i", "imageID": "i", "ready": false, "restartCount": 0,
                    "state": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
                }],
                "initContainerStatuses": [
                    {
                        "name": "copy", "image": "i", "imageID": "i", "ready": true, "restartCount": 0,
                        "state": { "terminated": { "exitCode": 0, "reason": "Completed" } },
                    },
                    {
                        "name": "wait", "image": "i", "imageID": "i", "ready": false, "restartCount": 0,
                        "state": { "running": { "startedAt": "2026-11-24T08:41:00Z" } },
                    },
                ],
            },
        });
        let kept = serde_json::from_value::<WorkerPod>(whole).expect("a pod").to_pod();
        let expected: Pod = serde_json::from_value(serde_json::json!({
            "metadata": {
                "name": "t-0-abcde", "namespace": "a", "uid": "pod-1", "resourceVersion": "7",
                "creationTimestamp": "2026-11-24T08:40:00Z", "deletionTimestamp": "2026-11-24T08:47:46Z", "labels": { "l": "1" },
                "ownerReferences": [{ "apiVersion": "", "kind": "", "name": "", "uid": "job-1" }],
            },
            "status": {
                "phase": "Failed", "reason": "Evicted", "message": "why",
                "conditions": [
                    { "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "m" },
                ],
                "containerStatuses": [{
                    "name": "t", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                    "state": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
                }],
                "initContainerStatuses": [
                    {
                        "name": "wait", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                        "state": { "running": { "startedAt": "2026-11-24T08:41:00Z" } },
                    },
                ],
            },
        }))
        .expect("a pod");
        assert_eq!(kept, expected);
    }

    #[test]
    fn a_pod_of_which_no_kubelet_has_spoken_can_be_read() {
        let new = serde_json::json!({ "metadata": { "name": "t-0" }, "spec": { "containers": [] }, "status": { "phase": "Pending" } });
        let pod: WorkerPod = serde_json::from_value(new).expect("a pod");
        assert_eq!(pod.status.phase.as_deref(), Some("Pending"));
    }
}
