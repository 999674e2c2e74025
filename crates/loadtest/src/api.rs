//! The `LoadTest` object as users write and read it: the start of every flow.
//!
//! A superset of the first operator's API: its manifests apply unchanged. Doc comments here are what
//! `kubectl explain loadtest` prints, so they speak to users.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod status;

pub use status::{
    CheckStatus, HttpStatus, LoadTestCondition, LoadTestStatus, MetricsStatus, Percentiles, ReportStatus,
    Verdict, VusersStatus, WorkersStatus,
};

/// What a ConfigMap's name looks like (RFC 1123 subdomain, as Kubernetes has it).
pub const CONFIG_MAP_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// The fewest workers a LoadTest can ask for.
pub const MIN_COUNT: i32 = 1;
/// The most workers a LoadTest can ask for.
pub const MAX_COUNT: i32 = 10_000;

/// What the API server answers when a name cannot be borne by the Job, its pods or a label.
pub const NAME_WITH_DOT: &str = "metadata.name must not contain dots: it becomes a container name and a label value, so use dashes instead";
/// What the API server answers when `<name>-<highest index>` would not fit a pod's host name.
pub const NAME_TOO_LONG: &str = "metadata.name is too long: with the highest worker index (<name>-<count - 1>) it must fit the 63 characters of a pod's host name; shorten it";
/// What the API server answers to a spec edit after the start.
pub const SPEC_IMMUTABLE: &str = "spec cannot be changed once the load test has started: delete the LoadTest and create it again, or create another one under a new name";

/// Condition type: is the test under way?
pub const PROGRESSING: &str = "Progressing";
/// Condition type: is the test over, whatever its outcome?
pub const COMPLETED: &str = "Completed";
/// Condition type: did everything hold that was to hold? Unknown where that cannot be said.
pub const PASSED: &str = "Passed";

/// A load test: N workers run the stock Artillery image against a system, once.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "loadtest.artillery.io",
    version = "v1alpha1",
    kind = "LoadTest",
    plural = "loadtests",
    shortname = "lt",
    namespaced,
    status = "LoadTestStatus",
    derive = "PartialEq",
    doc = "A load test: a number of workers run an Artillery test script against a system, once.",
    printcolumn(name = "Completions", type_ = "string", json_path = ".status.completions", description = "Workers that succeeded, of those planned."),
    printcolumn(name = "Duration", type_ = "string", json_path = ".status.duration", description = "How long the load test has been running, or ran."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Environment", type_ = "string", json_path = ".spec.environment", description = "The environment of the test script that is used."),
    printcolumn(name = "Image", type_ = "string", json_path = ".status.image", description = "The image that the workers run."),
    printcolumn(name = "Active", type_ = "integer", json_path = ".status.active", priority = 1, description = "Workers that have a pod and have not ended."),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.failed", priority = 1, description = "Workers that failed."),
    printcolumn(name = "Reporting", type_ = "integer", json_path = ".status.workers.reporting", priority = 1, description = "Workers that have sent what they measured."),
    printcolumn(name = "Requests/s", type_ = "integer", json_path = ".status.metrics.http.requestsPerSecond", priority = 1, description = "HTTP requests per second of all workers."),
    printcolumn(name = "p95", type_ = "integer", json_path = ".status.metrics.http.responseTimeMilliseconds.p95", priority = 1, description = "95th percentile of the response time, in milliseconds."),
    printcolumn(name = "Errors", type_ = "integer", json_path = ".status.metrics.errors", priority = 1, description = "Errors of all kinds."),
    printcolumn(name = "Verdict", type_ = "string", json_path = ".status.verdict", priority = 1, description = "What came of it."),
    printcolumn(name = "Progress", type_ = "string", json_path = ".status.conditions[?(@.type==\"Progressing\")].reason", priority = 1, description = "What the load test is doing or waiting for, or how it ended."),
    // A status makes an object an old one: what the first operator let pass must still be able to be told so.
    validation = kube::core::Rule::new("has(self.status) || !self.metadata.name.contains('.')").message(NAME_WITH_DOT),
    validation = kube::core::Rule::new("has(self.status) || size(self.metadata.name) + 1 + size(string(self.spec.count - 1)) <= 63").message(NAME_TOO_LONG),
    validation = kube::core::Rule::new("self.spec.count == oldSelf.spec.count || size(self.metadata.name) + 1 + size(string(self.spec.count - 1)) <= 63").message(NAME_TOO_LONG),
    validation = kube::core::Rule::new("!has(oldSelf.status) || !(has(oldSelf.status.jobUID) || (has(oldSelf.status.conditions) && oldSelf.status.conditions.exists(c, c.type == 'Completed' && c.status == 'True'))) || self.spec == oldSelf.spec").message(SPEC_IMMUTABLE).field_path(".spec"),
)]
pub struct LoadTestSpec {
    /// Number of workers, each running the whole test script: 1 to 10000.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 10000))]
    pub count: i32,

    /// Environment of the test script (config.environments) to use; passed to Artillery as --environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub environment: Option<String>,

    /// The Artillery test script and the files beside it.
    pub test_script: TestScript,

    /// How long workers wait for each other before they start together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,

    /// How many workers, or what percentage of them (rounded down), may be missing before the verdict is Inconclusive; default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "int_or_percentage")]
    pub max_missing_workers: Option<IntOrString>,
}

fn one() -> i32 {
    1
}

/// A number from 0 on, or a percentage as Kubernetes writes it.
fn int_or_percentage(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "x-kubernetes-int-or-string": true,
        "x-kubernetes-validations": [{
            "rule": "type(self) == int ? self >= 0 && self <= 10000 : self.matches('^(100|[0-9]{1,2})%$')",
            "message": "give a number of workers from 0 to 10000, or a percentage from 0% to 100%",
        }],
    })
}

/// How long workers wait for each other before they start together.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Start {
    /// How long the first worker waits for the rest, in seconds: 1 to 86400; default 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86400))]
    pub timeout_seconds: Option<i32>,

    /// What happens then: Run starts those that are there, Fail starts none; default Run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_timeout: Option<OnTimeout>,
}

/// What happens when not all workers are there in time.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTimeout {
    /// Those that are there start.
    #[default]
    Run,
    /// None starts.
    Fail,
}

/// The Artillery test script and the files beside it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TestScript {
    /// Where the test script itself is.
    pub config: ScriptConfig,

    /// More files that the test script names, such as CSV payloads and processors; all lie in the script's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,
}

/// Where the test script itself is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScriptConfig {
    /// Name of the ConfigMap with the test script, key test-script.yaml; its other keys become files beside it.
    #[schemars(length(min = 1, max = 253), regex(pattern = CONFIG_MAP_NAME))]
    pub config_map: String,
}

/// More files that the test script names.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// Data files, such as CSV, that the test script's config.payload names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<ConfigMaps>,

    /// JavaScript that the test script's config.processor names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<Processor>,
}

/// A list of ConfigMaps, each of whose keys becomes a file.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMaps {
    /// Names of ConfigMaps in the LoadTest's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = CONFIG_MAP_NAME)))]
    pub config_maps: Vec<String>,
}

/// The test script's processor and what it requires.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Processor {
    /// The processor itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main: Option<ConfigMapName>,

    /// Files that the processor requires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related: Option<ConfigMaps>,
}

/// One ConfigMap.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapName {
    /// Name of a ConfigMap in the LoadTest's namespace.
    #[schemars(length(min = 1, max = 253), regex(pattern = CONFIG_MAP_NAME))]
    pub config_map: String,
}

impl LoadTest {
    /// `metadata.name`; empty only for an object that the API server never saw.
    pub fn name(&self) -> &str {
        self.metadata.name.as_deref().unwrap_or_default()
    }

    /// `metadata.uid`; empty only for an object that the API server never saw.
    pub fn uid(&self) -> &str {
        self.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Over or being deleted: nothing is started or told any more.
    pub fn is_settled(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
            || self.status.as_ref().is_some_and(LoadTestStatus::is_over)
    }
}

impl LoadTestSpec {
    /// Every ConfigMap whose keys become files beside the script, as (field, name); the script's is first.
    pub fn config_maps(&self) -> Vec<(String, String)> {
        let External { payload, processor } = self.test_script.external.clone().unwrap_or_default();
        let Processor { main, related } = processor.unwrap_or_default();
        let many = |field: &str, maps: Option<ConfigMaps>| {
            let names = maps.unwrap_or_default().config_maps.into_iter().enumerate();
            names.map(|(i, name)| (format!("{field}.configMaps[{i}]"), name)).collect::<Vec<_>>()
        };

        let mut named = vec![("config.configMap".to_owned(), self.test_script.config.config_map.clone())];
        named.extend(many("external.payload", payload));
        named.extend(main.map(|m| ("external.processor.main.configMap".to_owned(), m.config_map)));
        named.extend(many("external.processor.related", related));
        named.into_iter().map(|(field, name)| (format!(".spec.testScript.{field}"), name)).collect()
    }
}
