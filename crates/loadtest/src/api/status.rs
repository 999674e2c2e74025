//! What is known about a load test, as users read it: the end of every flow.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::COMPLETED;

/// What is known about a load test; written by the operator only.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LoadTestStatus {
    /// The generation of the spec that this status speaks of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// UID of the load test's one Job. Once it is set the spec cannot be changed, and no other Job is ever made.
    #[serde(rename = "jobUID", default, skip_serializing_if = "Option::is_none")]
    pub job_uid: Option<String>,

    /// Progressing (is it under way?), Completed (is it over, whatever its outcome?) and Passed (did all hold that was to hold?).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<LoadTestCondition>,

    /// When the workers' Job was started. The load begins later, once workers are ready; when it did is in the report: startedAtMilliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,

    /// When the last worker ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,

    /// When the workers were told to end before their time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_time: Option<Time>,

    /// From start to completion, or to the last time this status was written: 55s, 2m30s, 3h12m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<String>,

    /// Number of workers that have a pod and have not ended.
    #[serde(default)]
    pub active: i32,

    /// Number of workers whose Artillery exited with code 0.
    #[serde(default)]
    pub succeeded: i32,

    /// Number of workers that ended otherwise.
    #[serde(default)]
    pub failed: i32,

    /// Workers that succeeded, of those planned: 1/4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completions: Option<String>,

    /// The image that the workers run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,

    /// What came of it: Passed, Failed or Inconclusive; set when the load test is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,

    /// How many milliseconds lay between the first worker's start and the last one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_skew_milliseconds: Option<i64>,

    /// The workers, as those know them who collect what they measure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workers: Option<WorkersStatus>,

    /// The phases that the workers run together, and when; known from their common start on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanStatus>,

    /// What the workers have measured together, as far as it was received.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsStatus>,

    /// What came of the test script's ensure, evaluated once on what all workers measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub checks: Vec<CheckStatus>,

    /// Where the report is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<ReportStatus>,
}

/// What came of a load test.
#[derive(JsonSchema, Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was measured, and everything that was to hold did.
    Passed,
    /// Everything was measured, and something did not hold.
    Failed,
    /// Too much is missing to say.
    Inconclusive,
}

/// The workers, as those know them who collect what they measure.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct WorkersStatus {
    /// Number of workers that were to run.
    #[serde(default)]
    pub planned: i32,
    /// Number of workers that have said that they are there.
    #[serde(default)]
    pub joined: i32,
    /// Number of workers that have sent what they measured.
    #[serde(default)]
    pub reporting: i32,
    /// Number of workers whose Artillery exited with code 0.
    #[serde(default)]
    pub succeeded: i32,
    /// Number of workers that ended otherwise.
    #[serde(default)]
    pub failed: i32,
    /// Number of workers of which not all was received that they measured, whatever became of them; known once the test is over.
    #[serde(default)]
    pub lost: i32,
}

/// The phases that the workers run together, as Artillery resolved them.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// When the first phase begins: the common start of the workers.
    pub start_time: Time,
    /// When the last phase ends; virtual users that are under way then come to their end.
    pub end_time: Time,
    /// Number of phases: pauses are some, those without load are not.
    #[serde(default)]
    pub phase_count: i32,
    /// The first 50 phases, one after the other.
    #[serde(default)]
    #[schemars(length(max = 50))]
    pub phases: Vec<PhaseStatus>,
}

/// A phase of the script.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct PhaseStatus {
    /// Its name, where it has one; its first 60 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long it takes, in milliseconds.
    #[serde(default)]
    pub duration_milliseconds: i64,
}

/// What the workers have measured together.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MetricsStatus {
    /// Virtual users.
    #[serde(default)]
    pub vusers: VusersStatus,
    /// Number of errors, of all kinds (Artillery's errors.*).
    #[serde(default)]
    pub errors: i64,
    /// What Artillery's HTTP engine measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<HttpStatus>,
}

/// Numbers of virtual users.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct VusersStatus {
    /// Those that the script's phases plan, where that can be computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<i64>,
    /// Those that were started.
    #[serde(default)]
    pub created: i64,
    /// Those that ended well.
    #[serde(default)]
    pub completed: i64,
    /// Those that did not.
    #[serde(default)]
    pub failed: i64,
}

/// What Artillery's HTTP engine measured.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct HttpStatus {
    /// Number of requests sent.
    #[serde(default)]
    pub requests: i64,
    /// Requests per second of all workers: in the latest whole period of 10 s while the load test runs, absent before there is one; on average once
    /// it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<i64>,
    /// Percentiles of the response time in milliseconds, rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_time_milliseconds: Option<Percentiles>,
}

/// Percentiles, in milliseconds, rounded up.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct Percentiles {
    /// Half were faster.
    pub p50: i64,
    /// 95 % were faster.
    pub p95: i64,
    /// 99 % were faster.
    pub p99: i64,
}

/// What came of one check.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckStatus {
    /// The check, as Artillery prints it.
    pub check: String,
    /// Whether it held.
    pub passed: bool,
    /// What was measured.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub actual: String,
    /// Whether the verdict depends on it.
    pub strict: bool,
}

/// Where the report is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ReportStatus {
    /// Names of the ConfigMaps that hold it; the first has report.json and report.txt.
    #[serde(default)]
    #[schemars(length(max = 1000))]
    pub config_maps: Vec<String>,
}

/// One aspect of a load test's state.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LoadTestCondition {
    /// Progressing, Completed or Passed.
    #[serde(rename = "type")]
    #[schemars(length(max = 316))]
    pub type_: String,

    /// True, False or Unknown.
    #[schemars(length(max = 16))]
    pub status: String,

    /// When this status was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_probe_time: Option<Time>,

    /// When the condition last went from one status to another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<Time>,

    /// Why, in one CamelCase word, for programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,

    /// Why, in a sentence, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl LoadTestStatus {
    /// The condition of that type, if there is one.
    pub fn condition(&self, type_: &str) -> Option<&LoadTestCondition> {
        self.conditions.iter().find(|c| c.type_ == type_)
    }

    /// Whether the test is over, whatever its outcome.
    pub fn is_over(&self) -> bool {
        self.condition(COMPLETED).is_some_and(|c| c.status == "True")
    }
}
