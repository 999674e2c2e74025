//! What to do next with a load test: one function of facts, whose table of tests reads as sentences.
//!
//! The order that starts a test exactly once, whatever is killed in between: the Job is created *suspended*; its UID is
//! recorded in the status (by resourceVersion); only then is it unsuspended, by a patch that names that UID. A Job
//! that is gone after that is never made again, and one that was lost before never had a pod.

use k8s_openapi::api::batch::v1::Job;

use crate::LoadTest;
use crate::job::{Start, generation, is_suspended, start};
use crate::observed::{JobFact, Observed};
use crate::plan::{Plan, Problem};

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing: it is over, or being deleted.
    Leave,
    /// Look at the files that it names, make a plan of it, and decide again.
    MakePlan,
    /// Say what it waits for, and look again in a while.
    Wait(Problem),
    /// Create the Job, suspended.
    CreateJob(Box<Plan>),
    /// Record the UID of its Job in the status.
    RecordJob(String),
    /// Unsuspend the Job with that UID.
    StartJob(String),
    /// Delete the Job with that UID: it was never started, and another one is the recorded one, or it was made of a spec that has been
    /// mended since.
    DeleteStrayJob(String),
    /// End the Job with that UID: the test is over, and what it has not started must not start any more.
    EndJob(String),
    /// Tell how it goes.
    Follow,
    /// Tell the workers to end, and how the test will have ended.
    Stop(Outcome),
    /// Tell how it will have ended, once the workers that still run have.
    WaitForWorkers(Outcome),
    /// Make and store the report of a test that is over; then decide again.
    Conclude(Outcome),
    /// Tell how it ended.
    Finish(Outcome),
    /// Delete the Job with that UID, whose time has come: Kubernetes removes only those that have ended, and one that is suspended never
    /// does.
    RemoveJob(String),
    /// Let Kubernetes remove the Job with that UID so many seconds after its end, or keep it.
    ExpireJob(String, Option<i32>),
}

/// How a load test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every worker succeeded.
    Succeeded,
    /// At least one worker did not.
    WorkersFailed,
    /// Its user stopped it.
    Stopped,
    /// It had run for as long as it may.
    DeadlineExceeded,
    /// Its Job was deleted before it ended.
    JobDeleted,
    /// Its Job was suspended by somebody after the start, which ends its workers.
    JobSuspended,
    /// The cluster does not keep `backoffLimitPerIndex`: Kubernetes older than 1.29.
    KubernetesTooOld,
}

impl Outcome {
    const ALL: [Self; 7] = [
        Self::Succeeded,
        Self::WorkersFailed,
        Self::Stopped,
        Self::DeadlineExceeded,
        Self::JobDeleted,
        Self::JobSuspended,
        Self::KubernetesTooOld,
    ];

    /// The reason that the conditions give.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::WorkersFailed => "WorkersFailed",
            Self::Stopped => "Stopped",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::JobDeleted => "JobDeleted",
            Self::JobSuspended => "JobSuspended",
            Self::KubernetesTooOld => "KubernetesTooOld",
        }
    }

    /// The outcome whose reason that is.
    pub fn from_reason(reason: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.reason() == reason)
    }
}

/// A Job of that name is somebody else's.
pub const JOB_NAME_TAKEN: &str = "JobNameTaken";
/// It is as it should be, and waits to be let go.
pub const SUSPENDED: &str = "Suspended";
/// A Job of an earlier LoadTest of that name is still there.
pub const EARLIER_JOB: &str = "WaitingForEarlierJob";

/// Decides what to do next. `plan` is what came of [`Decision::MakePlan`], or what the API server had against the Job;
/// `None` before either.
pub fn decide(observed: &Observed, plan: Option<Result<Plan, Problem>>) -> Decision {
    let Observed { load_test, job, workers, .. } = observed;
    if load_test.metadata.deletion_timestamp.is_some() {
        return Decision::Leave;
    }
    if let Some(stray) = stray(observed) {
        return Decision::DeleteStrayJob(stray);
    }
    if load_test.is_settled() {
        return match (expired(observed), left_over(observed), expiry(observed)) {
            (Some(uid), _, _) => Decision::RemoveJob(uid),
            (None, Some(uid), _) => Decision::EndJob(uid),
            (None, None, Some((uid, seconds))) => Decision::ExpireJob(uid, seconds),
            (None, None, None) => Decision::Leave,
        };
    }
    match (recorded(load_test), job) {
        (None, JobFact::Absent | JobFact::Earlier | JobFact::Foreign(_)) if load_test.spec.stop.is_some() => {
            Decision::Finish(Outcome::Stopped)
        }
        // whatever has its Job's name by now: once that is gone it must not seem to have never run
        (None, JobFact::Absent | JobFact::Earlier | JobFact::Foreign(_))
            if is_the_first_operators(load_test) =>
        {
            Decision::Finish(Outcome::JobDeleted)
        }
        (None, JobFact::Absent) if observed.lingering > 0 => Decision::Wait(lingering(load_test)),
        (None, JobFact::Absent) => match plan {
            None => Decision::MakePlan,
            Some(Ok(_)) if load_test.spec.suspend == Some(true) => Decision::Wait(suspended()),
            Some(Ok(plan)) => Decision::CreateJob(Box::new(plan)),
            Some(Err(problem)) => Decision::Wait(problem),
        },
        (None, JobFact::Ours(job)) if is_outdated(load_test, job) => match job.metadata.deletion_timestamp {
            None => Decision::DeleteStrayJob(uid(job)),
            Some(_) => Decision::Wait(outdated(load_test)),
        },
        (None, JobFact::Ours(job)) => Decision::RecordJob(uid(job)),
        (None, JobFact::Earlier) => Decision::Wait(earlier(load_test)),
        (None, JobFact::Foreign(owner)) => Decision::Wait(taken(load_test, owner.as_deref())),
        (Some(recorded), JobFact::Ours(job)) if uid(job) != recorded => without_job(observed),
        (Some(_), JobFact::Ours(job)) => match (is_suspended(job), start(job)) {
            (true, Start::Never) if !fails_per_index(job) => Decision::Finish(Outcome::KubernetesTooOld),
            (true, Start::Never) if load_test.spec.stop.is_some() => Decision::Finish(Outcome::Stopped),
            (true, Start::Never) => match plan {
                Some(Err(refused)) => Decision::Wait(refused),
                // also on an old view of a Job that runs already: then the patch's tests fail, and the Job is read anew
                _ => Decision::StartJob(uid(job)),
            },
            // before Kubernetes 1.31 a Job has failed while its pods still have their grace period, in which they report
            _ if workers.all_ended() && is_ending(job) && workers.running() > 0 => {
                Decision::WaitForWorkers(outcome(observed))
            }
            _ if workers.all_ended() => end(observed, outcome(observed)),
            (true, Start::At(_) | Start::Unknown) if workers.running() > 0 => {
                Decision::WaitForWorkers(Outcome::JobSuspended)
            }
            (true, Start::At(_) | Start::Unknown) => end(observed, Outcome::JobSuspended),
            (false, _) => match observed.stopping {
                None => Decision::Follow,
                Some(stopping) if stopping.is_forced && is_told(observed) && !is_ending(job) => {
                    Decision::EndJob(uid(job))
                }
                Some(stopping) => Decision::Stop(stopping.outcome()),
            },
        },
        (Some(_), JobFact::Absent | JobFact::Earlier | JobFact::Foreign(_)) => without_job(observed),
    }
}

/// A test that has run ends with a report of what was received.
fn end(observed: &Observed, outcome: Outcome) -> Decision {
    if observed.conclusion.is_some() { Decision::Finish(outcome) } else { Decision::Conclude(outcome) }
}

fn without_job(observed: &Observed) -> Decision {
    match observed.lingering {
        0 => end(observed, Outcome::JobDeleted),
        _ => Decision::WaitForWorkers(Outcome::JobDeleted),
    }
}

/// Whether a cached Job is not enough to decide by: that the recorded Job is gone ends a test, and a cache that does not
/// have it, or still has another of its name, may be behind.
pub fn wants_fresh_job(load_test: &LoadTest, cached: Option<&Job>) -> bool {
    if load_test.is_settled() {
        return false;
    }
    match (recorded(load_test), cached) {
        // of a test that is stopped, one that runs must not be taken for one that was never started
        (Some(recorded), Some(job)) => {
            uid(job) != recorded || (load_test.spec.stop.is_some() && start(job) == Start::Never)
        }
        (Some(_), None) => true,
        // to create one where there is one does no harm, and tells
        (None, None) => is_the_first_operators(load_test),
        (None, Some(_)) => false,
    }
}

/// A second Job that was made from an old view, and never started; also after the test is over.
fn stray(Observed { load_test, job, .. }: &Observed) -> Option<String> {
    let job = job.ours()?;
    let is_another = match recorded(load_test) {
        Some(recorded) => uid(job) != recorded,
        None => load_test.is_settled(),
    };
    let is_going = job.metadata.deletion_timestamp.is_some();
    (is_another && !is_going && is_suspended(job) && start(job) == Start::Never).then(|| uid(job))
}

/// Whether a Job was made of a spec that was mended since, and never started. It is never recorded any more: whoever looked at that
/// spec cannot write the status.
fn is_outdated(load_test: &LoadTest, job: &Job) -> bool {
    let is_older =
        generation(job).is_some_and(|of| load_test.metadata.generation.is_some_and(|now| of < now));
    is_older && is_suspended(job) && start(job) == Start::Never
}

/// The Job of a test that ended without some of its workers, which Kubernetes may still start, or which somebody may
/// resume; or whose pods have side-cars that do not end.
fn left_over(observed: &Observed) -> Option<String> {
    let Observed { load_test, job, workers, .. } = observed;
    let job = job.ours().filter(|job| recorded(load_test) == job.metadata.uid.as_deref())?;
    let is_open = workers.job_end.is_none() && matches!(start(job), Start::At(_) | Start::Never);
    let is_waiting = workers.presumed > 0 || workers.succeeded + workers.failed < workers.planned;
    (is_open
        && (is_waiting || observed.is_long_over)
        && !is_ending(job)
        && job.metadata.deletion_timestamp.is_none())
    .then(|| uid(job))
}

/// The suspended Job of a test that has been over for as long as the Job is to stay. It never ends, so Kubernetes lets it stay.
fn expired(Observed { load_test, job, workers, expires_at, now, .. }: &Observed) -> Option<String> {
    let job = job.ours().filter(|job| recorded(load_test) == job.metadata.uid.as_deref())?;
    let is_due = expires_at.is_some_and(|at| at <= *now);
    let is_there = workers.job_end.is_none() && job.metadata.deletion_timestamp.is_none();
    (is_due && is_there && is_suspended(job)).then(|| uid(job))
}

/// The Job of a test that is over, where it is to be removed some time after its end, or not any more, and does not know.
fn expiry(Observed { load_test, job, workers, .. }: &Observed) -> Option<(String, Option<i32>)> {
    let job = job.ours().filter(|job| recorded(load_test) == job.metadata.uid.as_deref())?;
    let wanted = load_test.spec.ttl_seconds_after_finished;
    let known = job.spec.as_ref().and_then(|spec| spec.ttl_seconds_after_finished);
    let is_there = workers.job_end.is_some() && job.metadata.deletion_timestamp.is_none();
    (is_there && known != wanted).then(|| (uid(job), wanted))
}

fn outcome(observed: &Observed) -> Outcome {
    match observed.stopping.filter(|_| is_told(observed) && !ended_before(observed)) {
        Some(stopping) => stopping.outcome(),
        None if observed.workers.failed == 0 => Outcome::Succeeded,
        None => Outcome::WorkersFailed,
    }
}

/// Whether all workers had ended well before anybody was told to end, and it was only not seen yet.
fn ended_before(Observed { load_test, workers, .. }: &Observed) -> bool {
    let told = load_test.status.as_ref().and_then(|status| status.stop_time.as_ref());
    workers.failed == 0 && workers.ended_at().zip(told).is_some_and(|(ended, told)| ended < told.0)
}

/// Whether the status says that the test is to end before its time.
fn is_told(observed: &Observed) -> bool {
    observed.load_test.status.as_ref().is_some_and(|status| status.stop_time.is_some())
}

/// Whether the Job was told to end.
fn is_ending(job: &Job) -> bool {
    job.spec.as_ref().and_then(|spec| spec.active_deadline_seconds).is_some_and(|seconds| seconds <= 1)
}

fn recorded(load_test: &LoadTest) -> Option<&str> {
    load_test.status.as_ref()?.job_uid.as_deref()
}

/// The first operator wrote conditions only once a Job existed, and never an observed generation: such a LoadTest has
/// run, or is running, and must not be started.
fn is_the_first_operators(load_test: &LoadTest) -> bool {
    load_test.status.as_ref().is_some_and(|s| !s.conditions.is_empty() && s.observed_generation.is_none())
}

fn uid(job: &Job) -> String {
    job.metadata.uid.clone().unwrap_or_default()
}

fn fails_per_index(job: &Job) -> bool {
    job.spec.as_ref().is_some_and(|s| s.backoff_limit_per_index.is_some())
}

fn suspended() -> Problem {
    let message = "checked, and good to go: set .spec.suspend to false to start it".to_owned();
    Problem { reason: SUSPENDED, message }
}

fn outdated(load_test: &LoadTest) -> Problem {
    let name = load_test.name();
    let message = format!(
        "waiting until the Job \"{name}\" is gone that was made before the spec was changed, and never started"
    );
    Problem { reason: EARLIER_JOB, message }
}

fn earlier(load_test: &LoadTest) -> Problem {
    let name = load_test.name();
    let message = format!(
        "waiting until the Job \"{name}\" of an earlier LoadTest \"{name}\" is gone; if it stays, delete it: kubectl delete job {name}"
    );
    Problem { reason: EARLIER_JOB, message }
}

fn lingering(load_test: &LoadTest) -> Problem {
    let name = load_test.name();
    let message = format!(
        "waiting until the workers of an earlier LoadTest \"{name}\", whose Job is gone, have ended, so that loads do not add up"
    );
    Problem { reason: EARLIER_JOB, message }
}

fn taken(load_test: &LoadTest, owner: Option<&str>) -> Problem {
    let name = load_test.name();
    let whose = owner.map_or_else(|| "has no owner".to_owned(), |owner| format!("belongs to {owner}"));
    let message = format!(
        "there is a Job \"{name}\" that {whose}, and a LoadTest's Job bears its name, see field .metadata.name: delete that Job, or create the LoadTest under another name"
    );
    Problem { reason: JOB_NAME_TAKEN, message }
}

#[cfg(test)]
mod tests;
