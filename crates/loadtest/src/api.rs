//! The `LoadTest` object as users write and read it: the start of every flow.
//!
//! A superset of the first operator's API: its manifests apply unchanged. Doc comments here are what
//! `kubectl explain loadtest` prints, so they speak to users.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod artillery;
mod json;
mod rules;
mod schema;
mod status;
mod test_script;
mod worker;

pub use artillery::{Artillery, Distribution, FILE_NAME, Hooks};
pub use json::{Json, JsonError, MAX_JSON, MAX_LEVELS};
pub use status::{
    CheckStatus, HttpStatus, LoadTestCondition, LoadTestStatus, MetricsStatus, Percentiles, PhaseStatus,
    PlanStatus, ReportStatus, Verdict, VusersStatus, WorkersStatus,
};
pub use test_script::{
    ConfigMapName, External, File, FileSource, Files, KeyToPath, Named, Processor, SCRIPT_ENDINGS,
    SCRIPT_KEY, ScriptConfig, TestScript,
};
pub use worker::{ImagePullPolicy, Worker};

/// What the name of a ConfigMap or a Secret looks like (RFC 1123 subdomain, as Kubernetes has it).
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
pub const SPEC_IMMUTABLE: &str = "spec cannot be changed once the load test has started, but for suspend (to false), stop and ttlSecondsAfterFinished: delete the LoadTest and create it again, or create another one under a new name";
/// What the API server answers to a `suspend` that comes later.
pub const SUSPEND_LATER: &str = "suspend can be true only from the creation on, until it is set to false: to end a load test that has started, set stop; to run it later, delete it and create it again";
/// What the API server answers to a `stop` that is taken back.
pub const STOP_TAKEN_BACK: &str =
    "stop cannot be taken back, and goes from Graceful to Immediate only: a load test is started once";

/// Condition type: is the test under way?
pub const PROGRESSING: &str = "Progressing";
/// Condition type: is the test over, whatever its outcome?
pub const COMPLETED: &str = "Completed";
/// Condition type: did everything hold that was to hold? Unknown where that cannot be said.
pub const PASSED: &str = "Passed";

/// A load test: N workers run the stock Artillery image against a system, once.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
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
    validation = kube::core::Rule::new("!has(oldSelf.status) || !(has(oldSelf.status.jobUID) || (has(oldSelf.status.conditions) && oldSelf.status.conditions.exists(c, c.type == 'Completed' && c.status == 'True'))) || (self.spec.count == oldSelf.spec.count && self.spec.testScript == oldSelf.spec.testScript && (has(self.spec.environment) ? has(oldSelf.spec.environment) && self.spec.environment == oldSelf.spec.environment : !has(oldSelf.spec.environment)) && (has(self.spec.artillery) ? has(oldSelf.spec.artillery) && self.spec.artillery == oldSelf.spec.artillery : !has(oldSelf.spec.artillery)) && (has(self.spec.distribution) ? has(oldSelf.spec.distribution) && self.spec.distribution == oldSelf.spec.distribution : !has(oldSelf.spec.distribution)) && (has(self.spec.hooks) ? has(oldSelf.spec.hooks) && self.spec.hooks == oldSelf.spec.hooks : !has(oldSelf.spec.hooks)) && (has(self.spec.start) ? has(oldSelf.spec.start) && self.spec.start == oldSelf.spec.start : !has(oldSelf.spec.start)) && (has(self.spec.worker) ? has(oldSelf.spec.worker) && self.spec.worker == oldSelf.spec.worker : !has(oldSelf.spec.worker)) && (has(self.spec.maxMissingWorkers) ? has(oldSelf.spec.maxMissingWorkers) && self.spec.maxMissingWorkers == oldSelf.spec.maxMissingWorkers : !has(oldSelf.spec.maxMissingWorkers)) && (has(self.spec.lostAfterSeconds) ? has(oldSelf.spec.lostAfterSeconds) && self.spec.lostAfterSeconds == oldSelf.spec.lostAfterSeconds : !has(oldSelf.spec.lostAfterSeconds)) && (has(self.spec.activeDeadlineSeconds) ? has(oldSelf.spec.activeDeadlineSeconds) && self.spec.activeDeadlineSeconds == oldSelf.spec.activeDeadlineSeconds : !has(oldSelf.spec.activeDeadlineSeconds)))").message(SPEC_IMMUTABLE).field_path(".spec"),
    validation = kube::core::Rule::new("!(has(self.spec.suspend) && self.spec.suspend) || (has(oldSelf.spec.suspend) && oldSelf.spec.suspend)").message(SUSPEND_LATER).field_path(".spec.suspend"),
    validation = kube::core::Rule::new("!has(oldSelf.spec.stop) || (has(self.spec.stop) && (self.spec.stop == oldSelf.spec.stop || self.spec.stop == 'Immediate'))").message(STOP_TAKEN_BACK).field_path(".spec.stop"),
)]
pub struct LoadTestSpec {
    /// Number of workers: 1 to 10000.
    #[serde(default = "one", deserialize_with = "whole_number")]
    #[schemars(range(min = 1, max = 10000))]
    pub count: i32,

    /// Environment of the test script (config.environments) to use; passed to Artillery as --environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub environment: Option<String>,

    /// The Artillery test script and the files beside it.
    // not required of what an older schema let pass: one that cannot be read would hide all LoadTests of a list
    #[serde(default)]
    #[schemars(!default)]
    pub test_script: TestScript,

    /// Options of `artillery run` that shape the test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artillery: Option<Artillery>,

    /// Replicate: each worker runs the whole test script. Split: the workers together run it once. Default Replicate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distribution: Option<Distribution>,

    /// PerWorker: each worker runs the script's before and after. Once: worker 0 runs them for all, which get what before captured. Default PerWorker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,

    /// How long workers wait for each other before they start together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Start>,

    /// What the workers' pods are like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<Worker>,

    /// How many workers, or what percentage of them (rounded down), may be missing before the verdict is Inconclusive; default 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "int_or_percentage")]
    pub max_missing_workers: Option<IntOrString>,

    /// A worker of whom nothing is heard is lost so many seconds after its planned end: 10 to 86400; default 120.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 10, max = 86400))]
    pub lost_after_seconds: Option<i32>,

    /// True from the creation on: the load test is checked, and waits to be set to false, once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,

    /// Ends the load test. Graceful: workers end by themselves, and report what they measured. Immediate: their pods are ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop: Option<Stop>,

    /// Ends the load test gracefully so many seconds after its Job's start, the workers' wait for each other included: 1 to 2592000 (30 days).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 2_592_000))]
    pub active_deadline_seconds: Option<i32>,

    /// Removes the Job and its pods so many seconds after the end: 0 to 31536000 (a year); the LoadTest and its report stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i32>,
}

/// Ends the load test. Graceful: workers end by themselves, and report what they measured. Immediate: their pods are ended.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The workers are told, end by themselves, and report; what has not ended within its grace period is deleted.
    Graceful,
    /// The workers' pods are ended at once; they report within their grace period.
    Immediate,
}

fn one() -> i32 {
    1
}

/// The first operator's schema had no bound.
fn whole_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    let number = i64::deserialize(deserializer)?;
    Ok(number.clamp(i32::MIN.into(), i32::MAX.into()) as i32)
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

/// What happens when not all workers are there in time: Run starts those that are, Fail starts none; default Run.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTimeout {
    /// Those that are there start.
    #[default]
    Run,
    /// None starts.
    Fail,
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

    /// How many of so many planned workers may be missing: a percentage is rounded down.
    pub fn may_be_missing(&self, planned: u32) -> u32 {
        match &self.spec.max_missing_workers {
            None => 0,
            Some(IntOrString::Int(workers)) => workers.max(&0).unsigned_abs(),
            Some(IntOrString::String(share)) => {
                let percent: u64 = share.trim_end_matches('%').parse().unwrap_or(0);
                u32::try_from(u64::from(planned) * percent.min(100) / 100).unwrap_or(u32::MAX)
            }
        }
    }
}
