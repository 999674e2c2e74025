//! What is said in a LoadTest's status: the one place that makes it, from a snapshot of facts, and that says when a new
//! one is worth a write.

mod words;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::ToSpan;

use self::words::{causes, collecting, held_up_by, in_parentheses, outcome_in_words, workers_in_words};
use crate::api::{COMPLETED, LoadTestCondition, LoadTestStatus, PASSED, PROGRESSING, Verdict, WorkersStatus};
use crate::collected::{Collected, Conclusion};
use crate::human_duration::human_duration;
use crate::job::{Start, start};
use crate::lifecycle::{Decision, Outcome};
use crate::observed::{JobFact, Observed};
use crate::plan::{JOB_REFUSED, Problem, without_numbers};
use crate::workers::Workers;
use crate::{LoadTest, Timestamp};

/// While a test runs its status is written at most once in this many seconds.
pub const WRITE_INTERVAL_SECONDS: i64 = 10;
const MIN_LOOK_SECONDS: i64 = 5;
const MAX_LOOK_SECONDS: i64 = 60;
/// Most workers run this many seconds after the start: that they are starting is told only if they are not running by then.
const START_SECONDS: i64 = 3;
/// The reason of a test whose Job is there, and not let go yet.
pub(crate) const JOB_CREATED: &str = "JobCreated";
/// The reason of a test whose Job was let go, while no worker has run.
pub(crate) const WORKERS_STARTING: &str = "WorkersStarting";
/// The reason of a test of which no worker has run, for something keeps them from it.
pub(crate) const WORKERS_WAITING: &str = "WorkersWaiting";
/// The reason of a test whose workers are told to end.
const STOPPING: &str = "Stopping";
/// The reason of a verdict that cannot be given.
const INCONCLUSIVE: &str = "Inconclusive";
/// When a status is to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// Never: it says what the stored one says.
    Nothing,
    /// At once.
    Now,
    /// Not before that time; what is new then may be more.
    NotBefore(Timestamp),
}

/// The status after a decision; `None` where the decision is not about what is said. Times are whole seconds, as
/// Kubernetes writes them.
pub fn next(observed: &Observed, decision: &Decision, now: Timestamp) -> Option<LoadTestStatus> {
    let now = whole_seconds(now);
    let status = match decision {
        Decision::Leave
        | Decision::MakePlan
        | Decision::CreateJob(_)
        | Decision::StartJob(_)
        | Decision::DeleteStrayJob(_)
        | Decision::EndJob(_)
        | Decision::RemoveJob(_)
        | Decision::ExpireJob(..)
        | Decision::Conclude(_) => return None,
        Decision::Wait(problem) => waiting(observed, problem, now),
        Decision::RecordJob(uid) => recorded(observed, uid, now),
        Decision::Follow => under_way(observed, now),
        Decision::Stop(outcome) => stopping(observed, *outcome, now),
        Decision::WaitForWorkers(outcome) => ending(observed, *outcome, now),
        Decision::Finish(outcome) => over(observed, *outcome, now),
    };
    Some(status)
}

/// When `new` is to be written over `old`, which was written at `last_write` (`None`: long ago). A milestone (a reason,
/// an end) does not wait; progress between them does, and so does, for a moment, that nothing but the start was made.
pub fn due(
    old: &LoadTestStatus,
    new: &LoadTestStatus,
    last_write: Option<Timestamp>,
    now: Timestamp,
) -> Write {
    if unprobed(old) == unprobed(new) {
        return Write::Nothing;
    }
    let pause = if milestones(old) == milestones(new) {
        WRITE_INTERVAL_SECONDS
    } else if only_starts(old, new) {
        START_SECONDS
    } else {
        0
    };
    // the clock may have been set back since
    match last_write.filter(|at| *at <= now).map(|at| at + pause.seconds()) {
        Some(earliest) if now < earliest => Write::NotBefore(earliest),
        _ => Write::Now,
    }
}

/// How soon to look again at a test that waits for what cannot be watched, such as a ConfigMap: 5 s at first, later a tenth of what it
/// has waited, 60 s at most.
pub fn look_again(load_test: &LoadTest, now: Timestamp) -> Duration {
    let progressing = load_test.status.as_ref().and_then(|status| status.condition(PROGRESSING));
    let since = progressing.and_then(|condition| condition.last_transition_time.as_ref());
    let waited = since.map_or(0, |since| now.as_second() - since.0.as_second());
    let seconds = (waited / 10).clamp(MIN_LOOK_SECONDS, MAX_LOOK_SECONDS);
    Duration::from_secs(seconds.unsigned_abs())
}

/// Whether nothing is new but that the Job was let go.
fn only_starts(old: &LoadTestStatus, new: &LoadTestStatus) -> bool {
    let reason = |status: &LoadTestStatus| status.condition(PROGRESSING).and_then(|c| c.reason.clone());
    reason(old).as_deref() == Some(JOB_CREATED) && reason(new).as_deref() == Some(WORKERS_STARTING)
}

fn waiting(observed: &Observed, problem: &Problem, now: Timestamp) -> LoadTestStatus {
    let mut status = begun(observed);
    let reason = problem.reason;
    let told = problem.told();
    // admission's words may have other numbers each time it refuses: the first ones stand until it says something else
    let stored =
        observed.load_test.status.as_ref().filter(|s| s.observed_generation == status.observed_generation);
    let same =
        stored.and_then(|s| s.condition(PROGRESSING)).filter(|c| c.reason.as_deref() == Some(JOB_REFUSED));
    let said = same
        .filter(|_| reason == JOB_REFUSED)
        .and_then(|c| c.message.clone())
        .filter(|said| without_numbers(said) == without_numbers(&told));
    let message = said.map_or(told, Into::into);
    set(&mut status, PROGRESSING, "False", reason, &message, now);
    set(&mut status, COMPLETED, "False", reason, &message, now);
    status
}

fn recorded(observed: &Observed, uid: &str, now: Timestamp) -> LoadTestStatus {
    let mut status = begun(observed);
    status.job_uid = Some(uid.to_owned());
    let message = format!("the Job of {} is created", workers_in_words(observed.load_test.spec.count));
    set(&mut status, PROGRESSING, "True", JOB_CREATED, &message, now);
    set(&mut status, COMPLETED, "False", JOB_CREATED, &message, now);
    status
}

fn under_way(observed: &Observed, now: Timestamp) -> LoadTestStatus {
    let mut status = begun(observed);
    count(&mut status, observed, now);
    tell_collected(&mut status, observed);
    let workers = &observed.workers;
    let Workers { planned, succeeded, failed, .. } = workers;
    let running = workers.running();
    let has_run = running + succeeded + failed > 0 || status.condition(PROGRESSING).is_some_and(is_running);
    let is_held_up =
        observed.refusal.is_some() || workers.waiting_reasons().values().any(|(_, why)| why.is_problem());
    let reason = match (has_run, is_held_up) {
        (true, _) => "WorkersRunning",
        (false, true) => WORKERS_WAITING,
        (false, false) => WORKERS_STARTING,
    };
    let waiting = planned.saturating_sub(running + succeeded + failed);
    let since_start = status.start_time.as_ref().map_or(0, |start| now.as_second() - start.0.as_second());
    let causes = causes(workers);
    let message = format!(
        "{}: {waiting} waiting{}, {running} running{}, {succeeded} succeeded, {failed} failed{}",
        workers_in_words(i32::try_from(*planned).unwrap_or(i32::MAX)),
        in_parentheses(&held_up_by(observed, since_start)),
        in_parentheses(&collecting(observed, since_start)),
        in_parentheses(&causes),
    );
    set(&mut status, PROGRESSING, "True", reason, &message, now);
    set(&mut status, COMPLETED, "False", reason, "the load test is not over", now);
    status
}

/// A test whose workers are told to end.
fn stopping(observed: &Observed, outcome: Outcome, now: Timestamp) -> LoadTestStatus {
    let mut status = under_way(observed, now);
    status.stop_time.get_or_insert(Time(now));
    let progress = status.condition(PROGRESSING).and_then(|c| c.message.clone()).unwrap_or_default();
    let message = format!("{}; {progress}", outcome_in_words(observed, outcome));
    set(&mut status, PROGRESSING, "True", STOPPING, &message, now);
    set(&mut status, COMPLETED, "False", STOPPING, "the load test is not over", now);
    status
}

/// A test whose Job is gone or suspended, while workers still run.
fn ending(observed: &Observed, outcome: Outcome, now: Timestamp) -> LoadTestStatus {
    let mut status = begun(observed);
    count(&mut status, observed, now);
    let running = observed.lingering + observed.workers.running();
    status.active = i32::try_from(running).unwrap_or(i32::MAX);
    let message = format!(
        "{}; {running} still run, until Kubernetes has ended them",
        outcome_in_words(observed, outcome)
    );
    set(&mut status, PROGRESSING, "True", outcome.reason(), &message, now);
    set(&mut status, COMPLETED, "False", outcome.reason(), &message, now);
    status
}

fn over(observed: &Observed, outcome: Outcome, now: Timestamp) -> LoadTestStatus {
    let mut status = begun(observed);
    let ended = observed.workers.ended_at().map_or(now, |at| whole_seconds(at).min(now));
    count(&mut status, observed, ended);
    status.active = 0;
    if let Some(Time(start)) = status.start_time {
        // the clocks are a node's and the manager's: an end before the start is neither's
        status.completion_time = Some(Time(ended.max(start)));
    }
    let reason = outcome.reason();
    let message = outcome_in_words(observed, outcome);
    set(&mut status, PROGRESSING, "False", reason, &message, now);
    set(&mut status, COMPLETED, "True", reason, &message, now);
    match &observed.conclusion {
        Some(conclusion) => conclude(&mut status, conclusion, now),
        None => {
            let reason = if outcome == Outcome::Stopped { reason } else { INCONCLUSIVE };
            status.verdict = Some(Verdict::Inconclusive);
            set(&mut status, PASSED, "Unknown", reason, &message, now);
        }
    }
    status
}

fn conclude(status: &mut LoadTestStatus, conclusion: &Conclusion, now: Timestamp) {
    let Conclusion { verdict, reason, message, .. } = conclusion.clone();
    status.verdict = Some(verdict);
    status.workers = Some(conclusion.workers.clone());
    status.metrics = conclusion.metrics.clone();
    status.start_skew_milliseconds = conclusion.start_skew_milliseconds;
    status.checks = conclusion.checks.clone();
    status.report = Some(conclusion.report.clone());
    let passed = match verdict {
        Verdict::Passed => "True",
        Verdict::Failed => "False",
        Verdict::Inconclusive => "Unknown",
    };
    set(status, PASSED, passed, &reason, &message, now);
}

/// The stored status, brought to this generation.
fn begun(observed: &Observed) -> LoadTestStatus {
    let load_test = &observed.load_test;
    let mut status = load_test.status.clone().unwrap_or_default();
    status.observed_generation = load_test.metadata.generation;
    if status.image.is_none() || status.job_uid.is_none() {
        let image = load_test.spec.worker.as_ref().and_then(|worker| worker.image.as_ref());
        status.image = Some(image.unwrap_or(&observed.default_image).clone());
    }
    if status.job_uid.is_none() {
        status.completions = Some(format!("0/{}", load_test.spec.count));
    }
    status
}

/// What the workers have sent. What was told before stands while nothing is known: a manager that has just begun to lead.
fn tell_collected(status: &mut LoadTestStatus, observed: &Observed) {
    let Collected { joined, reporting, start_skew_milliseconds, plan, metrics, .. } = &observed.collected;
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    if *joined > 0 {
        status.workers = Some(WorkersStatus {
            planned: number(observed.workers.planned),
            joined: number(*joined),
            reporting: number(*reporting),
            succeeded: number(observed.workers.succeeded),
            failed: number(observed.workers.failed),
            lost: 0,
        });
    }
    status.start_skew_milliseconds = start_skew_milliseconds.or(status.start_skew_milliseconds);
    status.plan = plan.clone().or(status.plan.take());
    status.metrics = metrics.clone().or(status.metrics.take());
}

/// Counts and times from the Job and its pods. Without a Job the stored ones stand: they were seen.
fn count(status: &mut LoadTestStatus, observed: &Observed, until: Timestamp) {
    if let JobFact::Ours(job) = &observed.job {
        let workers = &observed.workers;
        let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
        status.active = number(workers.active());
        status.succeeded = number(workers.succeeded);
        status.failed = number(workers.failed);
        status.completions = Some(format!("{}/{}", workers.succeeded, workers.planned));
        let start_time = || job.status.as_ref().and_then(|s| s.start_time.clone());
        let started = match start(job) {
            Start::At(Some(at)) => Some(Time(whole_seconds(at))),
            _ => start_time(),
        };
        status.start_time = status.start_time.take().or(started);
        let template = job.spec.as_ref().and_then(|s| s.template.spec.as_ref());
        let image = template.and_then(|s| s.containers.first()).and_then(|c| c.image.clone());
        status.image = image.or(status.image.take());
    }
    let since = |start: &Time| human_duration((until.as_second() - start.0.as_second()).max(0));
    status.duration = status.start_time.as_ref().map(since);
}

fn set(status: &mut LoadTestStatus, type_: &str, value: &str, reason: &str, message: &str, now: Timestamp) {
    let old = status.conditions.iter().position(|c| c.type_ == type_);
    let unchanged = old.map(|i| &status.conditions[i]).filter(|c| c.status == value);
    let since = unchanged.and_then(|c| c.last_transition_time.clone()).unwrap_or(Time(now));
    let condition = LoadTestCondition {
        type_: type_.to_owned(),
        status: value.to_owned(),
        last_probe_time: Some(Time(now)),
        last_transition_time: Some(since),
        reason: Some(reason.to_owned()),
        message: Some(message.to_owned()),
    };
    match old {
        Some(i) => status.conditions[i] = condition,
        None => status.conditions.push(condition),
    }
}

fn is_running(progressing: &LoadTestCondition) -> bool {
    matches!(progressing.reason.as_deref(), Some("WorkersRunning" | STOPPING))
}

fn whole_seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

/// A status without the times at which it was written.
fn unprobed(status: &LoadTestStatus) -> LoadTestStatus {
    let mut status = status.clone();
    status.conditions.iter_mut().for_each(|c| c.last_probe_time = None);
    status
}

/// What a status says of the stages of a test's life, without the progress between them.
fn milestones(status: &LoadTestStatus) -> impl PartialEq + use<> {
    let conditions: Vec<_> =
        status.conditions.iter().map(|c| (c.type_.clone(), c.status.clone(), c.reason.clone())).collect();
    (
        status.observed_generation,
        status.job_uid.clone(),
        status.start_time.clone(),
        status.completion_time.clone(),
        status.stop_time.clone(),
        conditions,
    )
}

#[cfg(test)]
mod tests;
