//! Whether a load test is to end before its time: because its user says so, or because it has run for as long as it may.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::jiff::ToSpan;

use crate::api::Stop;
use crate::job::{self, Start};
use crate::lifecycle::Outcome;
use crate::{LoadTest, Timestamp};

/// A worker hears of a stop with the answer to its next batch, 10 s later at most, and then has its pod's grace period; so many
/// seconds beyond that it is ended.
const MARGIN_SECONDS: i64 = 20;

/// Why a test is to end before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `.spec.stop`.
    Stop(Stop),
    /// `.spec.activeDeadlineSeconds` have passed since its start.
    Deadline,
}

/// That a test is to end before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopping {
    /// Why.
    pub cause: Cause,
    /// Whether its workers are not asked any more, but ended.
    pub is_forced: bool,
}

impl Stopping {
    /// Whether a test is to end now; `job` is its own.
    pub fn of(load_test: &LoadTest, job: Option<&Job>, now: Timestamp) -> Option<Self> {
        let cause = match load_test.spec.stop {
            Some(stop) => Cause::Stop(stop),
            None if deadline(load_test, job).is_some_and(|deadline| now >= deadline) => Cause::Deadline,
            None => return None,
        };
        let is_forced =
            cause == Cause::Stop(Stop::Immediate) || forced(load_test).is_some_and(|forced| now >= forced);
        Some(Self { cause, is_forced })
    }

    /// How the test will have ended.
    pub fn outcome(self) -> Outcome {
        match self.cause {
            Cause::Stop(_) => Outcome::Stopped,
            Cause::Deadline => Outcome::DeadlineExceeded,
        }
    }
}

/// When to look next, whatever else happens: the deadline, or, after a stop, the end of its patience.
pub fn next_look(load_test: &LoadTest, job: Option<&Job>, now: Timestamp) -> Option<Timestamp> {
    let moments = [deadline(load_test, job), forced(load_test)];
    moments.into_iter().flatten().filter(|moment| *moment > now).min()
}

fn deadline(load_test: &LoadTest, job: Option<&Job>) -> Option<Timestamp> {
    let seconds = load_test.spec.active_deadline_seconds?;
    match job.map(job::start)? {
        // whoever may write to Jobs may write any time there
        Start::At(Some(start)) => start.checked_add(i64::from(seconds).seconds()).ok(),
        Start::At(None) | Start::Never | Start::Unknown => None,
    }
}

fn forced(load_test: &LoadTest) -> Option<Timestamp> {
    let stopped = load_test.status.as_ref()?.stop_time.as_ref()?.0;
    stopped.checked_add((job::grace_period_seconds(load_test) + MARGIN_SECONDS).seconds()).ok()
}
