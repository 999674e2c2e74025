//! The facts that a reconcile stands on: the LoadTest, whose Job bears its name, and how the workers are.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::ToSpan;

use crate::api::COMPLETED;
use crate::collected::{Collected, Conclusion};
use crate::settings::WorkerDefaults;
use crate::stopping::Stopping;
use crate::workers::{self, Why, Workers};
use crate::{LoadTest, Timestamp};

/// Kubernetes counts a worker's end within so many seconds; a pod that runs on then has a side-car that does not end.
pub const CLOSING_SECONDS: i64 = 30;

/// A worker of whom nothing is heard is lost so many seconds after its planned end, where the spec does not say.
const LOST_AFTER_SECONDS: i32 = 120;

/// Everything that is known about a load test at one moment.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The object.
    pub load_test: LoadTest,
    /// The Job that bears its name.
    pub job: JobFact,
    /// The workers of that Job, if it is this LoadTest's; none otherwise.
    pub workers: Workers,
    /// How many workers of another Job still run under this LoadTest's name: that Job is gone, or suspended, and Kubernetes
    /// gives its pods time to end, in which Artillery may go on.
    pub lingering: u32,
    /// That it is to end before its time.
    pub stopping: Option<Stopping>,
    /// Whether it has been over for so long that what still runs of it is no worker.
    pub is_long_over: bool,
    /// When its Job is to go, if it is over and the spec says when.
    pub expires_at: Option<Timestamp>,
    /// The moment.
    pub now: Timestamp,
    /// The image of workers whose LoadTest does not say.
    pub default_image: String,
    /// Why the Job gets no pods, in admission's words, if it was refused one.
    pub refusal: Option<String>,
    /// What its workers have sent so far.
    pub collected: Collected,
    /// What came of it, once its report is stored.
    pub conclusion: Option<Conclusion>,
}

/// The Job that bears a LoadTest's name.
#[derive(Clone, Debug)]
pub enum JobFact {
    /// There is none.
    Absent,
    /// It is this LoadTest's own.
    Ours(Box<Job>),
    /// It is of an earlier LoadTest of the same name, and will be garbage-collected.
    Earlier,
    /// It is somebody else's; who, as `Kind/name`, if it has an owner.
    Foreign(Option<String>),
}

impl JobFact {
    /// The Job, if it is this LoadTest's own.
    pub fn ours(&self) -> Option<&Job> {
        match self {
            Self::Ours(job) => Some(job),
            _ => None,
        }
    }
}

impl Observed {
    /// Gathers the facts from what the API server has.
    pub fn new(load_test: LoadTest, job: Option<Job>, pods: &[&Pod], now: Timestamp) -> Self {
        let workers = match &job {
            Some(job) if is_ours(&load_test, job) => Workers::of(job, pods, now),
            _ => Workers::default(),
        };
        let lingering = workers::running_but_of(job.as_ref(), pods, now);
        let ours = job.as_ref().filter(|job| is_ours(&load_test, job));
        let stopping = Stopping::of(&load_test, ours, now);
        let is_long_over =
            ended_at(&load_test).is_some_and(|at| now.as_second() - at.as_second() >= CLOSING_SECONDS);
        let expires_at = load_test.spec.ttl_seconds_after_finished.and_then(|seconds| {
            ended_at(&load_test).and_then(|at| at.checked_add(i64::from(seconds).seconds()).ok())
        });
        let job = job.map_or(JobFact::Absent, |job| classify(&load_test, job));
        Self {
            load_test,
            job,
            workers,
            lingering,
            stopping,
            is_long_over,
            expires_at,
            now,
            default_image: WorkerDefaults::default().image,
            refusal: None,
            collected: Collected::default(),
            conclusion: None,
        }
    }

    /// With the administrator's default.
    pub fn with_default_image(mut self, image: &str) -> Self {
        image.clone_into(&mut self.default_image);
        self
    }

    /// Adds what its workers have sent so far.
    pub fn with_collected(mut self, collected: Collected) -> Self {
        let seconds = self.load_test.spec.lost_after_seconds.unwrap_or(LOST_AFTER_SECONDS);
        for (index, _) in collected.silent.iter().filter(|(_, silent)| **silent >= seconds.into()) {
            let cause = format!("lost: nothing was heard of it for {seconds} s after its planned end");
            self.workers.presume_lost(*index, cause);
        }
        self.collected = collected;
        self
    }

    /// Adds why its Job was refused a pod, which matters only while workers are without one.
    pub fn with_refusal(mut self, refusal: Option<String>) -> Self {
        self.refusal = refusal.filter(|_| self.workers.without_pod() > 0);
        self
    }

    /// Adds what an event of that pod says, if one does; it matters only while the pod's state does not say why it waits.
    pub fn with_warning(mut self, pod: &str, said: Option<Why>) -> Self {
        self.workers.explain(pod, said);
        self
    }

    /// Whether this test would end now on what is *not* seen of its workers: then a cache, which may be behind, is not enough.
    pub fn ends_unseen(&self) -> bool {
        let workers = &self.workers;
        let is_over = workers.all_ended() && workers.job_end.is_none() && workers.presumed > 0;
        is_over && !self.load_test.is_settled()
    }
}

/// When a test was told over.
fn ended_at(load_test: &LoadTest) -> Option<Timestamp> {
    let completed = load_test.status.as_ref().filter(|status| status.is_over())?.condition(COMPLETED)?;
    completed.last_transition_time.as_ref().map(|at| at.0)
}

fn is_ours(load_test: &LoadTest, job: &Job) -> bool {
    let owners = job.metadata.owner_references.iter().flatten();
    owners.into_iter().any(|owner| owner.uid == load_test.uid())
}

fn classify(load_test: &LoadTest, job: Job) -> JobFact {
    if is_ours(load_test, &job) {
        return JobFact::Ours(Box::new(job));
    }
    let owner = job.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    match owner {
        Some(owner)
            if owner.kind == "LoadTest"
                && owner.api_version.starts_with("loadtest.artillery.io/")
                && owner.name == load_test.name() =>
        {
            JobFact::Earlier
        }
        owner => JobFact::Foreign(owner.map(|o| format!("{}/{}", o.kind, o.name))),
    }
}
