//! So many load tests of so many workers, or bare Jobs of the same shape: made, waited for, and removed.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, PostParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::within;

/// Calls that are under way at the same time when objects are made.
const AT_ONCE: usize = 16;
/// What is not over by then is not told any more.
pub const NEVER: Duration = Duration::from_secs(1_800);

/// How many load tests, and how many workers each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Load tests.
    pub tests: usize,
    /// Workers of each.
    pub workers: usize,
}

impl Shape {
    /// Reads `1000x10`.
    ///
    /// # Errors
    /// It is something else.
    pub fn parse(text: &str) -> Result<Self> {
        let numbers = text.split_once('x').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let (tests, workers) = numbers.with_context(|| {
            format!("the shape is \"{text}\": give load tests and workers of each, such as 1000x10")
        })?;
        Ok(Self { tests, workers })
    }
}

/// The kind LoadTest.
pub fn load_test_kind() -> ApiResource {
    ApiResource::from_gvk_with_plural(
        &GroupVersionKind::gvk("loadtest.artillery.io", "v1alpha1", "LoadTest"),
        "loadtests",
    )
}

/// The kind Job.
pub fn job_kind() -> ApiResource {
    ApiResource::erase::<Job>(&())
}

/// A LoadTest whose script is in the ConfigMap `script`.
pub fn load_test(workers: usize) -> Value {
    json!({ "spec": { "count": workers, "testScript": { "config": { "configMap": "script" } } } })
}

/// The Job that the operator made of a LoadTest, as anybody could make it by hand: started, and nobody's.
pub fn bare_job(job: &Value, workers: usize) -> Value {
    let mut spec = job["spec"].clone();
    spec["suspend"] = json!(false);
    spec["completions"] = json!(workers);
    spec["parallelism"] = json!(workers);
    for path in ["", "/template/metadata"] {
        if let Some(part) = spec.pointer_mut(path).and_then(Value::as_object_mut) {
            part.remove("selector");
            part.remove("creationTimestamp");
            if let Some(labels) = part.get_mut("labels").and_then(Value::as_object_mut) {
                labels.retain(|name, _| !name.contains("controller-uid") && !name.contains("job-name"));
            }
        }
    }
    json!({ "metadata": { "labels": job["metadata"]["labels"] }, "spec": spec })
}

/// Makes so many objects like that one, named `t0`, `t1` and so on.
///
/// # Errors
/// The API server refuses one.
pub async fn make(
    client: &kube::Client,
    namespace: &str,
    kind: &ApiResource,
    like: &Value,
    count: usize,
) -> Result<()> {
    let api: &Api<DynamicObject> = &Api::namespaced_with(client.clone(), namespace, kind);
    futures::stream::iter(0..count)
        .map(|i| async move {
            let mut object = like.clone();
            object["apiVersion"] = json!(kind.api_version);
            object["kind"] = json!(kind.kind);
            object["metadata"]["name"] = json!(format!("t{i}"));
            api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
            anyhow::Ok(())
        })
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
}

/// Waits until so many objects have that condition, by a watch, and returns how long that took.
///
/// # Errors
/// They do not in time.
pub async fn until_all(
    client: &kube::Client,
    namespace: &str,
    kind: &ApiResource,
    condition: &str,
    count: usize,
) -> Result<Duration> {
    let began = Instant::now();
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, kind);
    let mut changes = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    let mut over = BTreeSet::new();
    while over.len() < count {
        let left = NEVER.saturating_sub(began.elapsed());
        let Ok(Some(change)) = tokio::time::timeout(left, changes.next()).await else {
            bail!("{} of {count} have the condition {condition} after {} s", over.len(), NEVER.as_secs());
        };
        // a watch that breaks is tried again, and lists anew
        let Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) = change else {
            continue;
        };
        let conditions = object.data["status"]["conditions"].as_array().into_iter().flatten();
        if conditions.into_iter().any(|c| c["type"] == condition && c["status"] == "True") {
            over.insert(object.name_any());
        }
    }
    Ok(began.elapsed())
}

/// Removes a namespace with all in it, and waits until it is gone.
///
/// # Errors
/// It does not go.
pub async fn remove(client: &kube::Client, namespace: &str) -> Result<()> {
    // the namespace controller deletes Jobs one by one: a collection at once is quicker
    for kind in [load_test_kind(), job_kind()] {
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
        api.delete_collection(&DeleteParams::background(), &ListParams::default()).await?;
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let first = ListParams::default().limit(1);
    within(NEVER, "the pods are gone", async || Ok(pods.list(&first).await?.items.is_empty())).await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    namespaces.delete(namespace, &DeleteParams::default()).await?;
    within(NEVER, "the namespace is gone", async || Ok(namespaces.get_opt(namespace).await?.is_none())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_read() {
        assert_eq!(Shape::parse("1000x10").expect("a shape"), Shape { tests: 1000, workers: 10 });
        assert!(Shape::parse("ten").is_err() && Shape::parse("x").is_err());
    }

    #[test]
    fn a_bare_job_is_the_operators_without_what_makes_it_its_own() {
        let own = json!({
            "metadata": { "name": "a", "uid": "1", "ownerReferences": [{}], "labels": { "x": "y" } },
            "spec": {
                "suspend": true, "selector": {}, "completions": 1,
                "template": { "metadata": { "labels": { "batch.kubernetes.io/controller-uid": "1", "job-name": "a", "x": "y" } }, "spec": { "a": 1 } },
            },
        });
        let bare = bare_job(&own, 3);
        assert_eq!(
            bare,
            json!({
                "metadata": { "labels": { "x": "y" } },
                "spec": {
                    "suspend": false, "completions": 3, "parallelism": 3,
                    "template": { "metadata": { "labels": { "x": "y" } }, "spec": { "a": 1 } },
                },
            })
        );
    }
}
