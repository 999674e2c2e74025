//! How the workers are, read from the Job and its pods: what status and events count.
//!
//! A worker has ended when its *worker container* terminated (a mesh's side-car may live on), when its pod failed
//! without one (evicted), or when the Job counted its index, whichever is known first.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::{ContainerState, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::Timestamp;

/// The label that carries a pod's completion index.
const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// The workers of one load test at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Workers {
    /// How many the Job is to have.
    pub planned: u32,
    /// The pods that are there, by name.
    pub pods: BTreeMap<String, WorkerPod>,
    /// How many succeeded.
    pub succeeded: u32,
    /// How many ended otherwise.
    pub failed: u32,
    /// Why workers failed, by completion index, as far as it is known.
    pub failures: BTreeMap<u32, String>,
    /// That the Job itself has ended, if it has.
    pub job_end: Option<JobEnd>,
}

/// One worker's pod.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerPod {
    /// `metadata.uid`.
    pub uid: String,
    /// Its completion index; the first operator's Jobs have none.
    pub index: Option<u32>,
    /// When its worker container began to run.
    pub started: Option<Timestamp>,
    /// What it is doing.
    pub state: WorkerState,
}

/// What a worker is doing.
#[derive(Clone, Debug, PartialEq)]
pub enum WorkerState {
    /// Its container does not run yet; why, in Kubernetes' word, if it says.
    Waiting(Option<String>),
    /// Its container runs.
    Running,
    /// Its container exited with code 0.
    Succeeded {
        /// When.
        at: Option<Timestamp>,
    },
    /// It ended otherwise.
    Failed {
        /// When, if a container ran.
        at: Option<Timestamp>,
        /// Such as `exited with code 1` or `OOMKilled`.
        cause: String,
    },
}

/// The end of a Job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobEnd {
    /// When it completed, or its final condition came.
    pub at: Option<Timestamp>,
}

impl Workers {
    /// The workers of a LoadTest's Job, from the Job and those of `pods` that it owns.
    pub fn of(job: &Job, pods: &[&Pod]) -> Self {
        let spec = job.spec.as_ref();
        let planned = spec.and_then(|s| s.completions.or(s.parallelism)).unwrap_or(1).max(0).unsigned_abs();
        let container = spec
            .and_then(|s| s.template.spec.as_ref())
            .and_then(|s| s.containers.first())
            .map_or("", |c| c.name.as_str());
        let pods: BTreeMap<String, WorkerPod> = pods
            .iter()
            .filter(|pod| is_owned_by(pod, job))
            .map(|pod| (pod.metadata.name.clone().unwrap_or_default(), WorkerPod::of(pod, container)))
            .collect();
        let default = JobStatus::default();
        let status = job.status.as_ref().unwrap_or(&default);
        let job_end = job_end(status);
        let counted = if spec.is_some_and(|s| s.completion_mode.as_deref() == Some("Indexed")) {
            count_indexes(status, &pods, planned)
        } else {
            // the first operator's Job: it knows no indexes, and its own counts are all there is
            let count = |n: Option<i32>| n.unwrap_or(0).max(0).unsigned_abs();
            Counted {
                succeeded: count(status.succeeded),
                failed: count(status.failed),
                failures: BTreeMap::new(),
            }
        };
        let Counted { succeeded, mut failed, failures } = counted;
        if job_end.is_some() {
            failed = planned.saturating_sub(succeeded); // a Job that ended early leaves workers that never ran
        }
        Self { planned, pods, succeeded, failed, failures, job_end }
    }

    /// Number of workers that have a pod and have not ended.
    pub fn active(&self) -> u32 {
        if self.all_ended() {
            return 0;
        }
        self.waiting() + self.running()
    }

    /// Number of workers that have a pod whose container does not run yet.
    pub fn waiting(&self) -> u32 {
        self.count(|state| matches!(state, WorkerState::Waiting(_)))
    }

    /// Number of workers whose container runs.
    pub fn running(&self) -> u32 {
        self.count(|state| matches!(state, WorkerState::Running))
    }

    /// Whether no worker will do anything any more.
    pub fn all_ended(&self) -> bool {
        self.job_end.is_some() || self.succeeded + self.failed >= self.planned
    }

    /// When the last worker ended, or the Job did; `None` if nothing says.
    pub fn ended_at(&self) -> Option<Timestamp> {
        let ends = self.pods.values().filter_map(|pod| match &pod.state {
            WorkerState::Succeeded { at } | WorkerState::Failed { at, .. } => *at,
            _ => None,
        });
        // pods may have been deleted before they were seen to end: then the Job's word is the better one
        let seen: Vec<_> = ends.collect();
        let job = self.job_end.as_ref().and_then(|end| end.at);
        if seen.len() as u64 >= u64::from(self.planned) {
            seen.into_iter().max()
        } else {
            job.or(seen.into_iter().max())
        }
    }

    /// Kubernetes' words for why workers wait, with how many say so: `2 ImagePullBackOff`.
    pub fn waiting_reasons(&self) -> BTreeMap<&str, u32> {
        let mut reasons = BTreeMap::new();
        for pod in self.pods.values() {
            if let WorkerState::Waiting(Some(reason)) = &pod.state {
                *reasons.entry(reason.as_str()).or_default() += 1;
            }
        }
        reasons
    }

    /// The name of the pod of that completion index, if it is there.
    pub fn pod_of(&self, index: u32) -> Option<&str> {
        self.pods.iter().find(|(_, pod)| pod.index == Some(index)).map(|(name, _)| name.as_str())
    }

    fn count(&self, is: impl Fn(&WorkerState) -> bool) -> u32 {
        u32::try_from(self.pods.values().filter(|pod| is(&pod.state)).count()).unwrap_or(u32::MAX)
    }
}

impl WorkerPod {
    fn of(pod: &Pod, container: &str) -> Self {
        let index =
            pod.metadata.labels.as_ref().and_then(|l| l.get(COMPLETION_INDEX)).and_then(|i| i.parse().ok());
        let status = pod.status.as_ref();
        let statuses = status.and_then(|s| s.container_statuses.as_ref());
        let worker = statuses.into_iter().flatten().find(|s| s.name == container);
        let container_state = worker.and_then(|s| s.state.as_ref());
        let phase = status.and_then(|s| s.phase.as_deref());
        let pod_reason = status.and_then(|s| s.reason.clone());
        let unschedulable = || {
            let conditions = status.and_then(|s| s.conditions.as_ref()).into_iter().flatten();
            let mut scheduled = conditions.filter(|c| c.type_ == "PodScheduled" && c.status == "False");
            scheduled.next().and_then(|c| c.reason.clone())
        };
        let state = match (container_state, phase) {
            (Some(ContainerState { terminated: Some(end), .. }), _) => {
                let at = end.finished_at.as_ref().map(instant);
                match (end.exit_code, end.reason.as_deref()) {
                    (0, _) => WorkerState::Succeeded { at },
                    (code, None | Some("Error")) => {
                        WorkerState::Failed { at, cause: format!("exited with code {code}") }
                    }
                    (code, Some(reason)) => {
                        WorkerState::Failed { at, cause: format!("{reason} (exit code {code})") }
                    }
                }
            }
            (_, Some("Failed")) => WorkerState::Failed {
                at: None,
                cause: pod_reason.unwrap_or_else(|| "its pod failed".to_owned()),
            },
            (_, Some("Succeeded")) => WorkerState::Succeeded { at: None },
            (Some(ContainerState { running: Some(_), .. }), _) => WorkerState::Running,
            (Some(ContainerState { waiting: Some(waiting), .. }), _) => {
                WorkerState::Waiting(waiting.reason.clone())
            }
            _ => WorkerState::Waiting(unschedulable()),
        };
        let started = container_state.and_then(|s| {
            let running = s.running.as_ref().and_then(|r| r.started_at.as_ref());
            let terminated = s.terminated.as_ref().and_then(|t| t.started_at.as_ref());
            running.or(terminated).map(instant)
        });
        Self { uid: pod.metadata.uid.clone().unwrap_or_default(), index, started, state }
    }
}

fn instant(time: &Time) -> Timestamp {
    time.0
}

fn is_owned_by(pod: &Pod, job: &Job) -> bool {
    let owners = pod.metadata.owner_references.iter().flatten();
    job.metadata.uid.is_some() && owners.into_iter().any(|o| Some(&o.uid) == job.metadata.uid.as_ref())
}

/// A Job may have several conditions in any order, and a condition may say False.
fn job_end(status: &JobStatus) -> Option<JobEnd> {
    let mut conditions = status.conditions.iter().flatten().filter(|c| c.status == "True");
    let end = conditions.find(|c| c.type_ == "Complete" || c.type_ == "Failed")?;
    let at = status.completion_time.as_ref().or(end.last_transition_time.as_ref());
    Some(JobEnd { at: at.map(instant) })
}

struct Counted {
    succeeded: u32,
    failed: u32,
    failures: BTreeMap<u32, String>,
}

/// The Job's own count of an index stands; what it has not counted yet is read from the pods.
fn count_indexes(status: &JobStatus, pods: &BTreeMap<String, WorkerPod>, planned: u32) -> Counted {
    let mut succeeded = indexes(status.completed_indexes.as_deref().unwrap_or_default(), planned);
    let mut failed = indexes(status.failed_indexes.as_deref().unwrap_or_default(), planned);
    let mut failures: BTreeMap<u32, String> = BTreeMap::new();
    for pod in pods.values() {
        let Some(index) = pod.index.filter(|i| *i < planned) else {
            continue;
        };
        match &pod.state {
            WorkerState::Succeeded { .. } if !failed.contains(&index) => {
                succeeded.insert(index);
            }
            WorkerState::Failed { cause, .. } if !succeeded.contains(&index) => {
                failed.insert(index);
                failures.insert(index, cause.clone());
            }
            _ => {}
        }
    }
    for index in &failed {
        failures.entry(*index).or_insert_with(|| "its pod is gone".to_owned());
    }
    let count = |set: &BTreeSet<u32>| u32::try_from(set.len()).unwrap_or(u32::MAX);
    Counted { succeeded: count(&succeeded), failed: count(&failed), failures }
}

/// Reads a Job's list of indexes, such as `0,2-5`, up to the planned number; what is no number is no index.
fn indexes(text: &str, planned: u32) -> BTreeSet<u32> {
    let mut set = BTreeSet::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        if let (Ok(first), Ok(last)) = (first.parse::<u32>(), last.parse::<u32>()) {
            set.extend((first..=last).take_while(|i| *i < planned));
        }
    }
    set
}

#[cfg(test)]
mod tests;
