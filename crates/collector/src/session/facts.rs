//! What is known of a load test now, for its status; cheap enough to ask for every few seconds.

use std::sync::Arc;
use std::time::Duration;

use metrics::aggregate::PERIOD;
use metrics::delivery;
use serde_json::Value;

use super::hello::{Differing, Hello};
use super::start::Start;
use super::worker::{Finish, Vusers, Worker};
use super::{Aggregate, Session};
use crate::moment::Moment;

/// No load test takes longer, a year: what says so is not believed.
const LONGEST: Duration = Duration::from_secs(365 * 86_400);
/// No name of a phase is told with more characters.
const MAX_NAME: usize = 60;

/// A load test now.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    /// How many workers there are to be.
    pub planned: u32,
    /// How many have joined.
    pub joined: u32,
    /// When the first did.
    pub first_join: Option<Moment>,
    /// Where the start stands.
    pub start: StartFacts,
    /// The phases that run one after the other from the start on; `None` where that cannot be told. There is none where all are idle.
    pub phases: Option<Arc<[PlannedPhase]>>,
    /// Why workers were given no share of the load, or no variables of the one `before`, in words, where that is so.
    pub unshared: Option<String>,
    /// Whether it takes in nothing more.
    pub concluded: bool,
    /// Those who joined, by completion index.
    pub workers: Vec<WorkerFacts>,
    /// Milliseconds between the first and the last worker that began its first phase; `None` while fewer than two have told.
    pub start_skew: Option<f64>,
    /// Virtual users of all workers.
    pub vusers: Vusers,
    /// HTTP requests of all workers.
    pub requests: u64,
    /// Requests per second in the last full period; `None` before there is one.
    pub requests_per_second: Option<f64>,
    /// Of `http.response_time`, in milliseconds; `None` where there is none.
    pub response_time: Option<Quantiles>,
    /// The sum of all `errors.…` counters.
    pub errors: u64,
}

/// Where the start stands, for those who look on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartFacts {
    /// Somebody is missing, or the start is not stored yet.
    Waiting,
    /// They were told to start.
    Released {
        /// When.
        at: Moment,
        /// How many.
        workers: u32,
    },
    /// Not everybody joined in time, and nobody starts.
    TimedOut {
        /// When.
        at: Moment,
    },
}

/// A phase as it is planned: a pause is one, a phase that Artillery passes over is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPhase {
    /// Its name, where it has one; its first 60 characters.
    pub name: Option<String>,
    /// How long it takes.
    pub length: Duration,
}

/// One worker now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerFacts {
    /// Its completion index.
    pub index: u32,
    /// When it was last heard of.
    pub heard: Moment,
    /// For how long nothing has been heard of it since its planned end; zero where it says that it ends.
    pub silent: Duration,
    /// How many batches were taken in.
    pub received: u64,
    /// How many of them are stored.
    pub durable: u64,
    /// How it ended, once it says so.
    pub finish: Option<Finish>,
    /// Whether its end and all its batches are stored.
    pub is_over: bool,
    /// How many periods are lost.
    pub lost: u64,
    /// Whether its own final counters are those that were received; `None` while that cannot be told.
    pub counters_agree: Option<bool>,
}

/// Quantiles of a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// 95 % are below.
    pub p95: f64,
    /// 99 % are below.
    pub p99: f64,
}

impl Session {
    /// What is known now.
    pub fn facts(&self, now: Moment) -> Facts {
        let total = self.aggregate.total();
        let start = match self.start {
            Start::Waiting | Start::Decided { .. } | Start::Expired { .. } => StartFacts::Waiting,
            Start::Released { at } => StartFacts::Released { at, workers: self.joined() },
            Start::TimedOut { at } => StartFacts::TimedOut { at },
        };
        let errors = total.counters.iter().filter(|(name, _)| name.starts_with("errors."));
        let counter = |name: &str| total.counters.get(name).copied().unwrap_or(0);
        Facts {
            planned: self.workers,
            joined: self.joined(),
            first_join: self.first_join,
            start,
            phases: self.planned.clone(),
            unshared: self
                .unshared
                .as_ref()
                .map(|unshared| unshared.why.clone())
                .or_else(|| self.why_hookless.map(str::to_owned)),
            concluded: self.concluded,
            workers: self
                .members
                .iter()
                .map(|(index, worker)| self.worker_facts(*index, worker, now))
                .collect(),
            start_skew: self.start_skew(),
            vusers: Vusers {
                created: counter("vusers.created"),
                completed: counter("vusers.completed"),
                failed: counter("vusers.failed"),
                skipped: counter("vusers.skipped"),
            },
            requests: counter("http.requests"),
            requests_per_second: self.requests_per_second(now),
            response_time: total.histograms.get("http.response_time").and_then(|times| {
                let quantile = |share| times.quantile(share);
                Some(Quantiles { p50: quantile(0.5)?, p95: quantile(0.95)?, p99: quantile(0.99)? })
            }),
            errors: errors.fold(0, |sum, (_, count)| sum.saturating_add(*count)),
        }
    }

    /// Those who joined, by completion index, with all that is known of each.
    pub fn members(&self) -> impl Iterator<Item = (u32, &Worker)> {
        self.members.iter().map(|(index, worker)| (*index, worker))
    }

    /// Everything that was measured.
    pub fn aggregate(&self) -> &Aggregate {
        &self.aggregate
    }

    /// What the first worker said when it joined.
    pub fn hello(&self) -> Option<&Hello> {
        self.hello.as_ref()
    }

    /// Who said something else.
    pub fn differing(&self) -> &Differing {
        &self.differing
    }

    fn worker_facts(&self, index: u32, worker: &Worker, now: Moment) -> WorkerFacts {
        // whoever could not reach anybody before this process knew of the load test has had no chance yet
        let since = self.planned_end().map(|end| end.max(worker.heard).max(self.opened));
        let silent =
            since.filter(|_| worker.finish.is_none()).map_or(Duration::ZERO, |since| now.since(since));
        WorkerFacts { silent, ..worker.facts(index) }
    }

    fn planned_end(&self) -> Option<Moment> {
        let Start::Released { at } = self.start else { return None };
        Some(self.planned.as_ref()?.iter().fold(at, |at, phase| at + phase.length))
    }

    /// The phases one after the other, where they can be told.
    pub(super) fn planned_of(phases: &Value) -> Option<Arc<[PlannedPhase]>> {
        let mut left = LONGEST;
        let planned = delivery::plan(phases).ok()?.into_iter().map(|phase| {
            let length = Duration::try_from_secs_f64(phase.length_milliseconds / 1000.0).ok()?;
            left = left.checked_sub(length)?;
            Some(PlannedPhase { name: phase.name.map(|name| name.chars().take(MAX_NAME).collect()), length })
        });
        planned.collect()
    }

    fn start_skew(&self) -> Option<f64> {
        let starts = || self.members.values().filter_map(|worker| worker.phases.first_start());
        let (first, last) = (starts().reduce(f64::min)?, starts().reduce(f64::max)?);
        (starts().count() > 1).then_some(last - first)
    }

    /// The newest period that ended at least one period ago is full: workers send theirs within seconds of its end. That in which
    /// the load began has not all of it.
    #[allow(clippy::cast_precision_loss, reason = "counts of ten seconds")]
    fn requests_per_second(&self, now: Moment) -> Option<f64> {
        let newest_full = now.millis().checked_sub(2 * PERIOD)?;
        let Start::Released { at } = self.start else { return None };
        let first = at.millis().max(*self.recent.keys().next()?);
        let period = newest_full - newest_full % PERIOD;
        let requests = self.recent.get(&period).copied().unwrap_or(0);
        (period >= first).then_some(requests as f64 * 1000.0 / PERIOD as f64)
    }
}

impl Worker {
    fn facts(&self, index: u32) -> WorkerFacts {
        WorkerFacts {
            index,
            heard: self.heard,
            silent: Duration::ZERO,
            received: self.received,
            durable: self.durable(),
            finish: self.finish.clone(),
            is_over: self.is_over(),
            lost: self.lost,
            counters_agree: self.counters_agree(),
        }
    }
}
