//! Facts for the core's table tests, in words: `load_test("basic-test").with_count(2).recorded("job-1")`.

use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    Pod, PodCondition, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};

use crate::api::{LoadTest, LoadTestSpec, ReportStatus, ScriptConfig, TestScript, Verdict, WorkersStatus};
use crate::collected::Conclusion;
use crate::plan::Plan;
use crate::{Timestamp, job, labels};

/// An instant `seconds` after the tests' beginning of time.
pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

/// A LoadTest of one worker as the API server has it, UID `uid-of-<name>`.
pub fn load_test(name: &str) -> LoadTest {
    let config = ScriptConfig { config_map: "test-script".into(), key: None };
    let test_script = TestScript { config: Some(config), ..TestScript::default() };
    let spec = LoadTestSpec { count: 1, test_script, ..LoadTestSpec::default() };
    let mut load_test = LoadTest::new(name, spec);
    load_test.metadata.namespace = Some("default".into());
    load_test.metadata.uid = Some(format!("uid-of-{name}"));
    load_test.metadata.generation = Some(1);
    load_test
}

pub trait LoadTestFixture: Sized {
    fn with_count(self, count: i32) -> Self;
    fn with_environment(self, environment: &str) -> Self;
    fn recorded(self, job_uid: &str) -> Self;
    fn being_deleted(self) -> Self;
    fn with_condition(self, type_: &str, status: &str) -> Self;
}

impl LoadTestFixture for LoadTest {
    fn with_count(mut self, count: i32) -> Self {
        self.spec.count = count;
        self
    }

    fn with_environment(mut self, environment: &str) -> Self {
        self.spec.environment = Some(environment.into());
        self
    }

    fn recorded(mut self, job_uid: &str) -> Self {
        let status = self.status.get_or_insert_default();
        status.job_uid = Some(job_uid.into());
        status.observed_generation = Some(1);
        self
    }

    fn being_deleted(mut self) -> Self {
        self.metadata.deletion_timestamp = Some(Time(at(0)));
        self
    }

    fn with_condition(mut self, type_: &str, status: &str) -> Self {
        self.status.get_or_insert_default().conditions.push(crate::api::LoadTestCondition {
            type_: type_.into(),
            status: status.into(),
            last_probe_time: Some(Time(at(0))),
            last_transition_time: Some(Time(at(0))),
            reason: None,
            message: None,
        });
        self
    }
}

/// What came of a test of one worker that passed.
pub fn conclusion() -> Conclusion {
    Conclusion {
        verdict: Verdict::Passed,
        reason: "ChecksPassed".into(),
        message: "1 of 1 checks hold".into(),
        workers: WorkersStatus {
            planned: 1,
            joined: 1,
            reporting: 1,
            succeeded: 1,
            ..WorkersStatus::default()
        },
        metrics: None,
        start_skew_milliseconds: Some(3),
        checks: vec![],
        report: ReportStatus { config_maps: vec!["t-report".into()] },
    }
}

/// The Job that the operator makes of a LoadTest, as the API server has it: suspended, UID `job-1`.
pub fn job_of(load_test: &LoadTest) -> Job {
    let plan = Plan { workers: load_test.spec.count, ..Plan::default() };
    let mut job = job::build(load_test, &plan);
    job.metadata.uid = Some("job-1".into());
    job
}

pub trait JobFixture: Sized {
    fn with_uid(self, uid: &str) -> Self;
    fn started(self) -> Self;
    fn suspended(self) -> Self;
    fn owned_by(self, kind: &str, name: &str, uid: &str) -> Self;
    fn unowned(self) -> Self;
    fn with_condition(self, type_: &str, status: &str, seconds: i64) -> Self;
    fn with_indexes(self, completed: &str, failed: &str) -> Self;
    fn of_the_first_operator(self) -> Self;
}

impl JobFixture for Job {
    fn with_uid(mut self, uid: &str) -> Self {
        self.metadata.uid = Some(uid.into());
        self
    }

    fn started(mut self) -> Self {
        let annotations = self.metadata.annotations.get_or_insert_default();
        annotations.insert(job::STARTED_AT.into(), at(1).to_string());
        self.spec.as_mut().expect("a spec").suspend = Some(false);
        self
    }

    fn suspended(mut self) -> Self {
        self.spec.as_mut().expect("a spec").suspend = Some(true);
        self
    }

    fn owned_by(mut self, kind: &str, name: &str, uid: &str) -> Self {
        self.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "loadtest.artillery.io/v1alpha1".into(),
            kind: kind.into(),
            name: name.into(),
            uid: uid.into(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]);
        self
    }

    fn unowned(mut self) -> Self {
        self.metadata.owner_references = None;
        self
    }

    fn with_condition(mut self, type_: &str, status: &str, seconds: i64) -> Self {
        let condition = JobCondition {
            type_: type_.into(),
            status: status.into(),
            last_transition_time: Some(Time(at(seconds))),
            ..JobCondition::default()
        };
        self.status.get_or_insert_default().conditions.get_or_insert_default().push(condition);
        self
    }

    fn with_indexes(mut self, completed: &str, failed: &str) -> Self {
        let status = self.status.get_or_insert_default();
        status.completed_indexes = Some(completed.into());
        status.failed_indexes = Some(failed.into());
        self
    }

    fn of_the_first_operator(mut self) -> Self {
        self.metadata.annotations = None;
        let spec = self.spec.as_mut().expect("a spec");
        spec.suspend = None;
        spec.completion_mode = Some("NonIndexed".into());
        spec.backoff_limit_per_index = None;
        self.status = Some(JobStatus { start_time: Some(Time(at(1))), ..JobStatus::default() });
        self
    }
}

/// The pod of one worker of `job-1` whose container has not begun.
pub fn pod(test_name: &str, index: u32) -> Pod {
    let mut labels = labels::labels(test_name, labels::WORKER);
    labels.insert("batch.kubernetes.io/job-completion-index".into(), index.to_string());
    Pod {
        metadata: ObjectMeta {
            name: Some(format!("{test_name}-{index}-abcde")),
            uid: Some(format!("pod-{index}")),
            labels: Some(labels),
            owner_references: Some(vec![OwnerReference {
                api_version: "batch/v1".into(),
                kind: "Job".into(),
                name: test_name.into(),
                uid: "job-1".into(),
                controller: Some(true),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        status: Some(PodStatus { phase: Some("Pending".into()), ..PodStatus::default() }),
        ..Pod::default()
    }
}

pub trait PodFixture: Sized {
    fn waiting(self, reason: &str) -> Self;
    fn running(self, since: i64) -> Self;
    fn exited(self, code: i32, ended: i64) -> Self;
    fn killed_for_memory(self, ended: i64) -> Self;
    fn evicted(self) -> Self;
    fn unschedulable(self, message: &str) -> Self;
    fn disrupted_by(self, reason: &str) -> Self;
    fn to_be_gone(self, at: i64) -> Self;
    fn created(self, at: i64) -> Self;
    fn initializing(self, name: &str, state: serde_json::Value) -> Self;
}

impl PodFixture for Pod {
    fn waiting(self, reason: &str) -> Self {
        let waiting = ContainerStateWaiting { reason: Some(reason.into()), message: None };
        in_state(self, "Pending", ContainerState { waiting: Some(waiting), ..ContainerState::default() })
    }

    fn running(self, since: i64) -> Self {
        let running = ContainerStateRunning { started_at: Some(Time(at(since))) };
        in_state(self, "Running", ContainerState { running: Some(running), ..ContainerState::default() })
    }

    fn exited(self, code: i32, ended: i64) -> Self {
        let terminated = ContainerStateTerminated {
            exit_code: code,
            reason: Some(if code == 0 { "Completed" } else { "Error" }.into()),
            started_at: Some(Time(at(2))),
            finished_at: Some(Time(at(ended))),
            ..ContainerStateTerminated::default()
        };
        // the pod may live on: a mesh's side-car outlives the worker
        in_state(
            self,
            "Running",
            ContainerState { terminated: Some(terminated), ..ContainerState::default() },
        )
    }

    fn killed_for_memory(self, ended: i64) -> Self {
        let mut pod = self.exited(137, ended);
        let statuses = pod.status.as_mut().and_then(|s| s.container_statuses.as_mut()).expect("statuses");
        let state = statuses[1].state.as_mut().and_then(|s| s.terminated.as_mut()).expect("an end");
        state.reason = Some("OOMKilled".into());
        pod
    }

    fn unschedulable(self, message: &str) -> Self {
        with_condition(self, "PodScheduled", "False", "Unschedulable", message)
    }

    fn disrupted_by(self, reason: &str) -> Self {
        with_condition(self, "DisruptionTarget", "True", reason, "")
    }

    fn to_be_gone(mut self, seconds: i64) -> Self {
        self.metadata.deletion_timestamp = Some(Time(at(seconds)));
        self
    }

    fn created(mut self, seconds: i64) -> Self {
        self.metadata.creation_timestamp = Some(Time(at(seconds)));
        self
    }

    fn initializing(mut self, name: &str, state: serde_json::Value) -> Self {
        let state = serde_json::from_value(state).expect("a container's state");
        let status = self.status.get_or_insert_default();
        let container =
            ContainerStatus { name: name.into(), state: Some(state), ..ContainerStatus::default() };
        status.init_container_statuses.get_or_insert_default().push(container);
        self
    }

    fn evicted(mut self) -> Self {
        let status = self.status.get_or_insert_default();
        status.phase = Some("Failed".into());
        status.reason = Some("Evicted".into());
        status.container_statuses = None;
        self
    }
}

fn with_condition(mut pod: Pod, type_: &str, status: &str, reason: &str, message: &str) -> Pod {
    let condition = PodCondition {
        type_: type_.into(),
        status: status.into(),
        reason: Some(reason.into()),
        message: Some(message.into()),
        ..PodCondition::default()
    };
    pod.status.get_or_insert_default().conditions.get_or_insert_default().push(condition);
    pod
}

fn in_state(mut pod: Pod, phase: &str, state: ContainerState) -> Pod {
    let name = pod.metadata.labels.as_ref().and_then(|l| l.get(labels::TEST_NAME)).cloned().expect("a label");
    let status = pod.status.get_or_insert_default();
    status.phase = Some(phase.into());
    let side_car = ContainerStatus { name: "side-car".into(), ..ContainerStatus::default() };
    let worker = ContainerStatus { name, state: Some(state), ..ContainerStatus::default() };
    status.container_statuses = Some(vec![side_car, worker]);
    pod
}
