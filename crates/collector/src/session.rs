//! The life of one load test as its workers tell it: who has which index, when all start, what they measured, how they ended.
//!
//! Nothing here does I/O or reads a clock: each call is given the moment. What changed is noted as unsaved; a
//! [`Draft`] has everything, and what it covers is durable once it is stored.

mod access;
mod answers;
mod facts;
mod fingerprint;
mod health;
mod hello;
mod hooks;
mod phases;
mod saving;
mod share;
mod snapshot;
mod start;
mod worker;

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use metrics::aggregate::{Aggregate, PERIOD};
use metrics::delivery::Split;
use metrics::wire::Batch;

use crate::checkpoint::{Unsaved, Urgency};
use crate::edge::{Reason, StartPolicy};
use crate::moment::Moment;

pub use answers::{Denied, Joined, Progress, StartAnswer};
pub use facts::{Facts, PlannedPhase, Quantiles, StartFacts, WorkerFacts};
pub use fingerprint::Fingerprint;
pub use health::{BUSY, CpuCounters, HealthSummary};
pub use hello::{Differing, Hello, HelloError, Others, PROTOCOL};
pub use hooks::{Before, HOOKS_WORKER, Variables};
pub use phases::{PhaseFact, PhaseLog};
pub use snapshot::{Draft, RestoreError};
pub use start::{Start, poll_interval};
pub use worker::{Finish, LostPeriod, Nonce, Process, Taken, Vusers, Worker};

use answers::refused;
use start::{Waiting, lead};

/// So many of the newest periods are counted apart, for the rate that is shown while a test runs.
const RECENT_PERIODS: usize = 6;

/// One load test.
#[derive(Clone, Debug)]
pub struct Session {
    workers: u32,
    policy: StartPolicy,
    start: Start,
    first_join: Option<Moment>,
    members: BTreeMap<u32, Worker>,
    hello: Option<Hello>,
    differing: Differing,
    /// Once a worker asked for its share; it follows from the first worker's phases.
    split: Option<Arc<Split>>,
    aggregate: Aggregate,
    concluded: bool,
    /// Claims and hellos as they are stored: they do not change after the release.
    opening: Option<Arc<[u8]>>,
    /// Indexes that wait for the start, or ended before it; only those that said so to this process.
    ready: BTreeSet<u32>,
    /// Those who can never join; as little stored.
    gone: BTreeSet<u32>,
    /// The phases of the first worker, where they can be told.
    planned: Option<Arc<[PlannedPhase]>>,
    /// Those whose pods have ended, after the start too; not stored.
    over: BTreeSet<u32>,
    /// What the one `before` captured, where hooks run once; not stored.
    variables: Option<Variables>,
    /// Why somebody was turned away for lack of them, if so; not stored.
    why_hookless: Option<&'static str>,
    /// Why workers were given no share, as the first was told; not stored.
    unshared: Option<share::Unshared>,
    /// Requests by period; only of what came to this process.
    recent: BTreeMap<u64, u64>,
    opened: Moment,
    stopping: bool,
    unsaved: Unsaved,
    saving: Unsaved,
    /// Whether the snapshot that is being stored has a decided start, of which nobody was told yet.
    start_in_draft: bool,
    news: bool,
}

impl Session {
    /// One of which nothing is stored yet.
    pub fn new(workers: u32, policy: StartPolicy, now: Moment) -> Self {
        Self {
            workers,
            policy,
            start: Start::Waiting,
            first_join: None,
            members: BTreeMap::new(),
            hello: None,
            differing: Differing::default(),
            split: None,
            aggregate: Aggregate::default(),
            concluded: false,
            opening: None,
            ready: BTreeSet::new(),
            gone: BTreeSet::new(),
            planned: None,
            over: BTreeSet::new(),
            variables: None,
            why_hookless: None,
            unshared: None,
            recent: BTreeMap::new(),
            opened: now,
            stopping: false,
            unsaved: Unsaved::default(),
            saving: Unsaved::default(),
            start_in_draft: false,
            news: false,
        }
    }

    /// A process claims an index.
    ///
    /// # Errors
    /// It may not take part.
    pub fn join(
        &mut self,
        index: u32,
        process: &Process,
        hello: Hello,
        now: Moment,
    ) -> Result<Joined, Denied> {
        self.tick(now);
        match self.access(index, process, now) {
            Ok(()) => {
                self.member(index)?.heard = now;
            }
            Err(Denied::Unknown) => self.admit(index, process, hello, now),
            Err(denied) => return Err(denied),
        }
        Ok(Joined { index, workers: self.workers, share: None })
    }

    fn admit(&mut self, index: u32, process: &Process, hello: Hello, now: Moment) {
        match &self.hello {
            Some(first) => self.differing.add(index, first, &hello),
            None => {
                self.planned = Self::planned_of(&hello.phases);
                self.hello = Some(hello);
            }
        }
        self.first_join.get_or_insert(now);
        self.members.insert(index, Worker::new(process.clone(), now));
        self.opening = None;
        self.unsaved.note(Urgency::Routine, now);
        self.tick(now);
    }

    /// A worker asks whether it may start.
    ///
    /// # Errors
    /// It may not take part.
    pub fn poll(&mut self, index: u32, process: &Process, now: Moment) -> Result<StartAnswer, Denied> {
        self.heard(index, process, now)?;
        self.note_ready(index, now);
        Ok(self.start_answer(now))
    }

    /// Notes that a worker asked about the start.
    fn heard(&mut self, index: u32, process: &Process, now: Moment) -> Result<(), Denied> {
        self.tick(now);
        self.access(index, process, now)?;
        self.member(index)?.heard = now;
        // what is decided may be stored at any moment, and then all start, and stop: not only some of them
        if self.stopping && !matches!(self.start, Start::Decided { .. } | Start::Released { .. }) {
            return refused(Reason::Gone, "the load test was stopped before it started".to_owned());
        }
        Ok(())
    }

    fn start_answer(&self, now: Moment) -> StartAnswer {
        match self.start {
            Start::Released { at } => {
                // never later than it was ever meant: another collector's clock may have been ahead
                let most = lead(self.workers).as_secs_f64() * 1000.0;
                StartAnswer::Go { milliseconds: at.milliseconds_from(now).min(most) }
            }
            _ => StartAnswer::Wait {
                pause: poll_interval(self.workers),
                // once it is decided it only has to be stored, whoever is missing
                ready: if self.start == Start::Waiting { self.ready() } else { self.workers },
                workers: self.workers,
            },
        }
    }

    /// A worker sends a batch. The answer says how far things are, and what became of it.
    ///
    /// # Errors
    /// It may not take part.
    pub fn take(
        &mut self,
        index: u32,
        process: &Process,
        batch: &Batch,
        now: Moment,
    ) -> Result<(Progress, Taken), Denied> {
        if let Some(progress) = self.after_the_end(index, process)
            && batch.sequence <= progress.received
        {
            return Ok((progress, Taken::Repeated));
        }
        self.access(index, process, now)?;
        self.note_ready(index, now);
        let taken = self.member(index)?.take(batch, now);
        if taken != Taken::Repeated {
            // also one that is ahead: if another collector took in those before it, the save will conflict, and tell
            self.unsaved.note(Urgency::Routine, now);
        }
        if taken == Taken::In {
            self.aggregate.add(batch);
            self.count_recent(batch);
            // the last batch after a restart may come after the note of its end
            if self.member(index)?.finish.as_ref().is_some_and(|finish| finish.batches <= batch.sequence) {
                self.unsaved.note(self.urgency_of_an_end(), now);
            }
        }
        Ok((self.progress_of(index)?, taken))
    }

    /// A worker asks how far its batches are.
    ///
    /// # Errors
    /// It may not take part.
    pub fn progress(&mut self, index: u32, process: &Process, now: Moment) -> Result<Progress, Denied> {
        if let Some(progress) = self.after_the_end(index, process) {
            return Ok(progress);
        }
        self.access(index, process, now)?;
        self.member(index)?.heard = now;
        self.note_ready(index, now);
        self.progress_of(index)
    }

    /// A worker says that it ends.
    ///
    /// # Errors
    /// It may not take part.
    pub fn finish(
        &mut self,
        index: u32,
        process: &Process,
        finish: Finish,
        now: Moment,
    ) -> Result<Progress, Denied> {
        if let Some(progress) = self.after_the_end(index, process) {
            return Ok(progress);
        }
        self.access(index, process, now)?;
        if self.member(index)?.finish(finish, now) {
            self.unsaved.note(self.urgency_of_an_end(), now);
        }
        self.note_ready(index, now);
        self.progress_of(index)
    }

    /// Whether that worker has said that it ends.
    pub fn is_ending(&self, index: u32) -> bool {
        self.members.get(&index).is_some_and(|worker| worker.finish.is_some())
    }

    /// Takes in nothing more, for good.
    pub fn conclude(&mut self, now: Moment) {
        let is_stored = self.concluded && self.unsaved.is_empty();
        self.concluded = true;
        if !is_stored {
            self.unsaved.note(Urgency::Now, now);
        }
    }

    /// The pods of these workers have ended: nobody waits for them.
    pub fn ended(&mut self, indexes: impl IntoIterator<Item = u32>, now: Moment) {
        let is_waiting = self.start == Start::Waiting;
        for index in indexes.into_iter().filter(|index| *index < self.workers) {
            self.over.insert(index);
            if !is_waiting {
                continue;
            }
            if self.members.contains_key(&index) {
                self.ready.insert(index);
            } else {
                self.gone.insert(index);
            }
        }
        self.tick(now);
    }

    /// Tells workers from now on to end.
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Looks whether it is time to start.
    pub fn tick(&mut self, now: Moment) {
        if self.start != Start::Waiting || self.concluded {
            return;
        }
        self.start = self.waiting().decide(now);
        if self.start != Start::Waiting {
            self.news = true;
            self.unsaved.note(Urgency::Now, now);
        }
    }

    /// When [`Session::tick`] has something to do though nobody asks.
    pub fn deadline(&self) -> Option<Moment> {
        let is_waiting = self.start == Start::Waiting && !self.concluded;
        if is_waiting { self.waiting().deadline() } else { None }
    }

    /// Whether something happened since the last call that is worth a look: the start was decided, the release was stored, the
    /// start timed out, a worker's end was stored.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// How many workers wait for the start.
    pub fn waiting_workers(&self) -> u32 {
        if matches!(self.start, Start::Released { .. } | Start::TimedOut { .. }) { 0 } else { self.ready() }
    }

    fn member(&mut self, index: u32) -> Result<&mut Worker, Denied> {
        self.members.get_mut(&index).ok_or(Denied::Unknown)
    }

    fn progress_of(&self, index: u32) -> Result<Progress, Denied> {
        let worker = self.members.get(&index).ok_or(Denied::Unknown)?;
        Ok(Progress {
            received: worker.received,
            durable: worker.durable(),
            finished: worker.has_durable_end(),
            stop: self.stopping,
            others_ended: self.others_ended(index),
        })
    }

    fn joined(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX)
    }

    /// Nobody needs to wait any longer for this worker: it waits itself, or is further.
    fn note_ready(&mut self, index: u32, now: Moment) {
        if self.start == Start::Waiting && self.ready.insert(index) {
            self.tick(now);
        }
    }

    /// With the last word of the last worker the verdict can be had.
    fn urgency_of_an_end(&self) -> Urgency {
        let has_ended = |worker: &Worker| worker.finish.as_ref().is_some_and(|f| f.exit_code.is_some());
        let is_last = self.joined() == self.workers && self.members.values().all(has_ended);
        if is_last { Urgency::Now } else { Urgency::Finish }
    }

    fn ready(&self) -> u32 {
        u32::try_from(self.ready.len()).unwrap_or(u32::MAX)
    }

    fn waiting(&self) -> Waiting {
        Waiting {
            workers: self.workers,
            ready: self.ready(),
            gone: u32::try_from(self.gone.len()).unwrap_or(u32::MAX),
            first_join: self.first_join,
            opened: self.opened,
            policy: self.policy,
        }
    }

    fn count_recent(&mut self, batch: &Batch) {
        let requests = batch.counters.get("http.requests").copied().unwrap_or(0);
        let period = self.recent.entry(batch.period - batch.period % PERIOD).or_default();
        *period = period.saturating_add(requests);
        while self.recent.len() > RECENT_PERIODS {
            self.recent.pop_first();
        }
    }
}
