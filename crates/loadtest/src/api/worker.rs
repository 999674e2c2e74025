//! The part of a `LoadTest` that says what the workers' pods are like. Kept as text: Kubernetes' types take kilobytes each,
//! and every LoadTest is in memory.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Json, schema};

/// What the workers' pods are like.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// Image of the worker container, with Artillery in it; default artilleryio/artillery:latest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,

    /// When the image is pulled: Always, IfNotPresent or Never; default Always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<ImagePullPolicy>,

    /// Requests and limits of the worker container; what is not given stays as it is by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::resources")]
    pub resources: Option<Json>,

    /// Environment variables of the worker container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::env")]
    pub env: Option<Json>,

    /// ConfigMaps and Secrets whose keys become environment variables of the worker container, but for those that env or the operator sets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::env_from")]
    pub env_from: Option<Json>,

    /// Everything else of a worker's pod. A container named worker stands for the worker container; others are side-cars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::pod_template")]
    pub pod_template: Option<Json>,
}

/// When the image is pulled: Always, IfNotPresent or Never; default Always.
#[derive(schemars::JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImagePullPolicy {
    /// At each start.
    Always,
    /// Where the node does not have it.
    IfNotPresent,
    /// Never.
    Never,
}
