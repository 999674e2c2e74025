//! The part of a `LoadTest` that says how Artillery runs the script: its own options, and how the load is shared out.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Json, schema};

/// What a file's path below the script's folder looks like: no part begins with two dots, or is one.
pub const FILE_NAME: &str = r"^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*(/\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*)*$";

/// Options of `artillery run` that shape the test; each is what Artillery's documentation says of it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Artillery {
    /// Target of the test instead of the test script's config.target (--target).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2048))]
    pub target: Option<String>,

    /// Variables for the test script's templates (--variables).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub variables: Option<Json>,

    /// Parts of the test script to replace, after the environment (--overrides).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::any_object")]
    pub overrides: Option<Json>,

    /// Run only the scenarios whose name this is, or that match it as a regular expression (--scenario-name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub scenario_name: Option<String>,

    /// A file beside the test script with configuration that is merged into it (--config).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = FILE_NAME))]
    pub config: Option<String>,

    /// A file beside the test script with environment variables (--dotenv).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = FILE_NAME))]
    pub dotenv: Option<String>,
}

/// PerWorker: each worker runs the script's before and after. Once: worker 0 runs them for all, which get what before captured.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hooks {
    /// Each worker runs the script's `before` and `after`, as Artillery does.
    #[default]
    PerWorker,
    /// Worker 0 runs them for the whole load test; the variables that `before` captured reach all workers.
    Once,
}

/// Replicate: each worker runs the whole test script. Split: the workers together run it once. Default Replicate.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distribution {
    /// Each worker runs the whole test script.
    #[default]
    Replicate,
    /// The workers together run it once: phases, maxVusers and rows of payloads are shared out.
    Split,
}
