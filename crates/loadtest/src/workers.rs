//! How the workers are, read from the Job and its pods: what status and events count.
//!
//! A worker has ended when its *worker container* terminated (a mesh's side-car may live on), when its pod failed
//! without one (evicted), or when the Job counted its index, whichever is known first. So that nothing waits for ever, one
//! that nobody hears of, or that does not start, is in the end presumed to have failed.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::batch::v1::{Job, JobStatus};
use k8s_openapi::api::core::v1::Pod;

use crate::Timestamp;
use crate::job::{Start, is_suspended, start};
use crate::labels::TEST_NAME;

mod pod;

pub use pod::{COMPLETION_INDEX, LOST_AFTER_SECONDS, Why, WorkerPod, WorkerState, brief};

/// Workers that wait are given up when none runs, and none has started or ended for this long (a Deployment's
/// `progressDeadlineSeconds` has the same default).
pub const START_DEADLINE_SECONDS: i64 = 600;
/// A pod that has waited for so long and does not say for what has most likely something to say in its events.
pub const UNEXPLAINED_SECONDS: i64 = 30;
/// Why a pod waits that says nothing at all.
const PENDING: &str = "Pending";
const NOT_STARTED: &str = "did not start within";

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
    /// The exit codes of those that ended, by completion index, as far as they are known.
    pub exit_codes: BTreeMap<u32, i32>,
    /// How many of the failed are only presumed to have: they are lost, or did not start in time. Kubernetes may still
    /// let them run.
    pub presumed: u32,
    /// That the Job itself has ended, if it has.
    pub job_end: Option<JobEnd>,
}

/// The end of a Job.
#[derive(Clone, Debug, PartialEq)]
pub struct JobEnd {
    /// When it completed, or its final condition came.
    pub at: Option<Timestamp>,
}

impl Workers {
    /// The workers of a LoadTest's Job, from the Job and those of `pods` that it owns.
    pub fn of(job: &Job, pods: &[&Pod], now: Timestamp) -> Self {
        let spec = job.spec.as_ref();
        let planned = spec.and_then(|s| s.completions.or(s.parallelism)).unwrap_or(1).max(0).unsigned_abs();
        let container = spec
            .and_then(|s| s.template.spec.as_ref())
            .and_then(|s| s.containers.first())
            .map_or("", |c| c.name.as_str());
        let pods: BTreeMap<String, WorkerPod> = pods
            .iter()
            .filter(|pod| is_owned_by(pod, job))
            .map(|pod| (pod.metadata.name.clone().unwrap_or_default(), WorkerPod::of(pod, container, now)))
            .collect();
        let default = JobStatus::default();
        let status = job.status.as_ref().unwrap_or(&default);
        let job_end = job_end(status);
        let counted = if spec.is_some_and(|s| s.completion_mode.as_deref() == Some("Indexed")) {
            let mut counted = Counted::of(status, &pods, planned);
            if job_end.is_none() && !is_suspended(job) && is_start_overdue(job, &pods, now) {
                counted.give_up(&pods, planned);
            }
            counted
        } else {
            // the first operator's Job: it knows no indexes, and its own counts are all there is
            let count = |n: Option<i32>| n.unwrap_or(0).max(0).unsigned_abs();
            let (succeeded, failed) = (count(status.succeeded), count(status.failed));
            return Self { planned, pods, succeeded, failed, job_end, ..Self::default() }.ended_early();
        };
        let Counted { succeeded, failed, failures, mut exit_codes, presumed } = counted;
        exit_codes.extend(succeeded.iter().map(|index| (*index, 0)));
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let (succeeded, failed) = (count(succeeded.len()), count(failed.len()));
        Self { planned, pods, succeeded, failed, failures, exit_codes, presumed, job_end }.ended_early()
    }

    /// A Job that ended early leaves workers that never ran.
    fn ended_early(mut self) -> Self {
        if self.job_end.is_some() {
            self.failed = self.planned.saturating_sub(self.succeeded);
        }
        self
    }

    /// Counts a worker that has not ended as failed: nobody hears of it.
    pub(crate) fn presume_lost(&mut self, index: u32, cause: String) {
        let has_ended = self.exit_codes.contains_key(&index) || self.failures.contains_key(&index);
        if index < self.planned && !has_ended && !self.all_ended() {
            self.failed += 1;
            self.presumed += 1;
            self.failures.insert(index, cause);
        }
    }

    /// A pod that has waited for [`UNEXPLAINED_SECONDS`], of which its state does not say for what; its name, and the pod.
    pub fn unexplained(&self, now: Timestamp) -> Option<(&str, &WorkerPod)> {
        let is_overdue = |pod: &WorkerPod| {
            pod.created.is_some_and(|at| now.as_second() - at.as_second() >= UNEXPLAINED_SECONDS)
        };
        let mut pods = self.pods.iter();
        pods.find(|(_, pod)| pod.is_unexplained() && is_overdue(pod)).map(|(name, pod)| (name.as_str(), pod))
    }

    /// Adds why a pod waits: what one of its events says, or where to look if none does. What its state says is better.
    pub(crate) fn explain(&mut self, name: &str, said: Option<Why>) {
        let Some(pod) = self.pods.get_mut(name).filter(|pod| pod.is_unexplained()) else { return };
        let why = said.unwrap_or_else(|| {
            let reason = match &pod.state {
                WorkerState::Waiting(Some(why)) => why.reason.clone(),
                _ => PENDING.to_owned(),
            };
            Why { reason, message: format!("see kubectl describe pod {name}") }
        });
        let cause = pod.index.and_then(|index| self.failures.get_mut(&index));
        if let Some(cause) = cause.filter(|cause| cause.starts_with(NOT_STARTED)) {
            *cause = not_started(&why);
        }
        pod.state = WorkerState::Waiting(Some(why));
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
        if self.presumed > 0 {
            return None; // nothing but the passing of time ended them
        }
        let ends = self.pods.values().filter_map(WorkerPod::ended);
        // pods may have been deleted before they were seen to end: then the Job's word is the better one
        let seen: Vec<_> = ends.collect();
        let job = self.job_end.as_ref().and_then(|end| end.at);
        if seen.len() as u64 >= u64::from(self.planned) {
            seen.into_iter().max()
        } else {
            job.or(seen.into_iter().max())
        }
    }

    /// Number of workers that have neither ended nor got a pod.
    pub fn without_pod(&self) -> u32 {
        self.planned.saturating_sub(self.succeeded + self.failed + self.running() + self.waiting())
    }

    /// Why workers wait, with how many say so, by reason; of each reason one explanation.
    pub fn waiting_reasons(&self) -> BTreeMap<&str, (u32, &Why)> {
        let mut reasons = BTreeMap::new();
        for pod in self.pods.values() {
            if let WorkerState::Waiting(Some(why)) = &pod.state {
                reasons.entry(why.reason.as_str()).or_insert((0, why)).0 += 1;
            }
        }
        reasons
    }

    /// The name of the pod of that completion index, if it is there.
    pub fn pod_of(&self, index: u32) -> Option<&str> {
        self.pods.iter().find(|(_, pod)| pod.index == Some(index)).map(|(name, _)| name.as_str())
    }

    /// How the log of the first failed worker ends that has one; its index, and its pod's name.
    pub fn last_words(&self) -> Option<(u32, &str, &str)> {
        let said = self.pods.iter().filter_map(|(name, pod)| {
            let index = pod.index.filter(|index| self.failures.contains_key(index))?;
            Some((index, name.as_str(), pod.last_words.as_deref()?))
        });
        said.min()
    }

    fn count(&self, is: impl Fn(&WorkerState) -> bool) -> u32 {
        u32::try_from(self.pods.values().filter(|pod| is(&pod.state)).count()).unwrap_or(u32::MAX)
    }
}

/// How many of `pods` run that are of another Job than that, or are going: not those that were let go (`kubectl delete job
/// --cascade=orphan`), and not those that nobody hears of.
pub(crate) fn running_but_of(job: Option<&Job>, pods: &[&Pod], now: Timestamp) -> u32 {
    let is_ended_soon = |pod: &Pod| {
        pod.metadata.deletion_timestamp.is_some()
            || pod.metadata.owner_references.as_ref().is_some_and(|owners| !owners.is_empty())
    };
    let others =
        pods.iter().filter(|pod| is_ended_soon(pod) && !job.is_some_and(|job| is_owned_by(pod, job)));
    let runs = |pod: &&&Pod| {
        // a worker's container bears the name of its LoadTest, as its Job does
        let name = pod.metadata.labels.as_ref().and_then(|l| l.get(TEST_NAME)).map_or("", String::as_str);
        WorkerPod::of(pod, name, now).state == WorkerState::Running
    };
    u32::try_from(others.filter(runs).count()).unwrap_or(u32::MAX)
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
    Some(JobEnd { at: at.map(|at| at.0) })
}

#[derive(Default)]
struct Counted {
    succeeded: BTreeSet<u32>,
    failed: BTreeSet<u32>,
    failures: BTreeMap<u32, String>,
    exit_codes: BTreeMap<u32, i32>,
    presumed: u32,
}

impl Counted {
    /// The Job's own count of an index stands, unless its pod is there and knows better; what it has not counted yet is read
    /// from the pods.
    fn of(status: &JobStatus, pods: &BTreeMap<String, WorkerPod>, planned: u32) -> Self {
        let mut counted = Self {
            succeeded: indexes(status.completed_indexes.as_deref().unwrap_or_default(), planned),
            failed: indexes(status.failed_indexes.as_deref().unwrap_or_default(), planned),
            ..Self::default()
        };
        for pod in pods.values() {
            let Some(index) = pod.index.filter(|i| *i < planned) else {
                continue;
            };
            match &pod.state {
                // a side-car that fails makes the Job count a worker as failed that has exited with 0. But one that Kubernetes told
                // to end exits so too, with its test undone
                WorkerState::Succeeded { .. } if !(counted.failed.contains(&index) && pod.is_disrupted) => {
                    counted.failed.remove(&index);
                    counted.succeeded.insert(index);
                }
                WorkerState::Failed { cause, code, .. } if !counted.succeeded.contains(&index) => {
                    counted.failed.insert(index);
                    counted.exit_codes.extend(code.map(|code| (index, code)));
                    counted.failures.insert(index, cause.clone());
                }
                WorkerState::Lost if !counted.has(index) => {
                    let cause = format!("lost: its pod should have been gone for {LOST_AFTER_SECONDS} s");
                    counted.presume(index, cause);
                }
                _ => {}
            }
        }
        for index in &counted.failed {
            counted.failures.entry(*index).or_insert_with(|| "its pod is gone".to_owned());
        }
        counted
    }

    /// Counts all that wait as failed, unless one runs.
    fn give_up(&mut self, pods: &BTreeMap<String, WorkerPod>, planned: u32) {
        if pods.values().any(|pod| pod.state == WorkerState::Running) {
            return;
        }
        let waiting: BTreeMap<u32, &WorkerState> =
            pods.values().filter_map(|pod| Some((pod.index?, &pod.state))).collect();
        for index in 0..planned {
            if self.has(index) {
                continue;
            }
            let cause = match waiting.get(&index) {
                Some(WorkerState::Waiting(Some(why))) => not_started(why),
                Some(_) => not_started(&Why { reason: PENDING.to_owned(), message: String::new() }),
                None => format!("{NOT_STARTED} {START_DEADLINE_SECONDS} s (it got no pod)"),
            };
            self.presume(index, cause);
        }
    }

    fn has(&self, index: u32) -> bool {
        self.succeeded.contains(&index) || self.failed.contains(&index)
    }

    fn presume(&mut self, index: u32, cause: String) {
        self.presumed += 1;
        self.failed.insert(index);
        self.failures.insert(index, cause);
    }
}

fn not_started(Why { reason, message }: &Why) -> String {
    let colon = if message.is_empty() { "" } else { ": " };
    format!("{NOT_STARTED} {START_DEADLINE_SECONDS} s ({reason}{colon}{message})")
}

/// Whether no worker has started or ended (which makes room for the next) for [`START_DEADLINE_SECONDS`]. A Job that does not
/// say when it was started is given all the time.
fn is_start_overdue(job: &Job, pods: &BTreeMap<String, WorkerPod>, now: Timestamp) -> bool {
    let Start::At(Some(began)) = start(job) else { return false };
    let last = pods.values().flat_map(|pod| [pod.started, pod.ended()]).flatten().fold(began, Timestamp::max);
    now.as_second() - last.as_second() >= START_DEADLINE_SECONDS
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
