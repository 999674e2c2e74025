//! The saver: stores what is due, several load tests at a time, so that one slow save holds up no other, and no request.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::checkpoint::Urgency;
use crate::collector::{Collector, lock};
use crate::edge::{Identify, SaveError, Snapshot, Store, Version};
use crate::load_test::{Ended, Open, State, Test};
use crate::moment::Moment;
use crate::session::Draft;

/// So many are stored at a time.
const AT_A_TIME: usize = 8;
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(30);

impl<I: Identify, S: Store> Collector<I, S> {
    /// Stores what is due, until `stop`. What is not stored then was not acknowledged as durable either.
    pub async fn run(&self, stop: CancellationToken) {
        let mut saves = JoinSet::new();
        loop {
            // whatever becomes due during the look wakes us once more
            self.0.wakes_at.store(u64::MAX, Ordering::SeqCst);
            let (due, next) = self.look(AT_A_TIME - saves.len());
            for test in due {
                let collector = self.clone();
                saves.spawn(async move { collector.save(test).await });
            }
            if let Some(next) = next {
                self.0.wakes_at.store(next.micros(), Ordering::SeqCst);
            }
            let timer = next.map(|next| self.0.clock.instant(next));
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.wake.notified() => {}
                () = sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => {}
                Some(saved) = saves.join_next() => {
                    if let Err(error) = saved {
                        tracing::error!("a save broke off: {error}");
                    }
                }
            }
        }
    }

    /// The load tests to store now, at most `places`, the most urgent first; and when to look again.
    fn look(&self, places: usize) -> (Vec<Arc<Test>>, Option<Moment>) {
        let now = self.0.clock.now();
        let budget = *lock(&self.0.budget);
        let mut due: Vec<(Urgency, Moment, Arc<Test>)> = Vec::new();
        let mut next: Option<Moment> = None;
        for test in self.tests() {
            let mut state = test.state();
            let State::Open(open) = &mut *state else { continue };
            open.session.tick(now);
            let (has_news, deadline, wanted) =
                (open.session.take_news(), open.session.deadline(), open.due());
            drop(state);
            if has_news {
                self.tell(&test.reference);
            }
            let save = wanted.map(|(at, urgency)| (at.max(budget.earliest(urgency, now)), urgency));
            let later = match save {
                Some((at, urgency)) if at <= now => {
                    due.push((urgency, at, test));
                    None
                }
                Some((at, _)) => Some(at),
                None => None,
            };
            next = [next, later, deadline].into_iter().flatten().min();
        }
        // those without a place are looked at again when a save has ended
        due.sort_by_key(|(urgency, at, _)| (*urgency, *at));
        due.truncate(places);
        (due.into_iter().map(|(_, _, test)| test).collect(), next)
    }

    async fn save(&self, test: Arc<Test>) {
        let Some((draft, version)) = self.begin(&test) else { return };
        let began = Instant::now();
        let mut ending = Ending { collector: self, test: &test, is_told: false };
        let result = match compress(draft).await {
            Ok(snapshot) => {
                let size = self.account(&test, &snapshot);
                let saved =
                    timeout(PATIENCE, self.0.store.save(&test.reference, &snapshot, version.as_ref())).await;
                let late = || Err(SaveError::Unavailable(format!("no answer in {} s", PATIENCE.as_secs())));
                saved.unwrap_or_else(|_| late()).map(|version| (version, snapshot, size))
            }
            Err(error) => Err(SaveError::Unavailable(error)),
        };
        self.0.counters.save_took(began.elapsed());
        ending.is_told = true;
        self.end_save(&test, result);
    }

    /// Takes a draft, unless the load test is not open any more, or is being stored.
    fn begin(&self, test: &Test) -> Option<(Draft, Option<Version>)> {
        let mut state = test.state();
        let State::Open(open) = &mut *state else { return None };
        if open.is_saving || open.session.unsaved().is_empty() {
            return None;
        }
        open.is_saving = true;
        // what the last one was, until it is known what this one is
        lock(&self.0.budget).spend(open.last_size, self.0.clock.now());
        Some((open.session.begin_save(), open.version.clone()))
    }

    /// Says how large a snapshot is, without the parts that are stored already.
    fn account(&self, test: &Test, snapshot: &Snapshot) -> usize {
        let mut state = test.state();
        let State::Open(open) = &mut *state else { return snapshot.head.len() };
        let is_written = |part: &&Arc<[u8]>| open.written.iter().any(|written| Arc::ptr_eq(written, part));
        let parts = snapshot.closed.iter().filter(|part| !is_written(part)).map(|part| part.len());
        let size = snapshot.head.len() + parts.sum::<usize>();
        let now = self.0.clock.now();
        let mut budget = lock(&self.0.budget);
        budget.give_back(open.last_size, now);
        budget.spend(size, now);
        open.last_size = size;
        size
    }

    fn end_save(&self, test: &Arc<Test>, result: Result<(Version, Snapshot, usize), SaveError>) {
        let (counters, now) = (&self.0.counters, self.0.clock.now());
        let mut state = test.state();
        let State::Open(open) = &mut *state else { return };
        open.is_saving = false;
        let ended = match result {
            Ok((version, snapshot, size)) => {
                counters.saves.inc();
                counters.saved_bytes.add(size as u64);
                open.stored(version, snapshot, now);
                None
            }
            Err(SaveError::Unavailable(why)) => {
                counters.saves_failed.inc();
                open.not_stored(why, now);
                tracing::warn!(test = %test.reference, "cannot store what workers measured: {}", open.last_error);
                None
            }
            Err(SaveError::Conflict) => {
                counters.saves_conflicting.inc();
                tracing::warn!(test = %test.reference, "another collector stored this load test: this one lets go of it");
                Some(Ended::NotOurs)
            }
            Err(SaveError::Gone) => {
                counters.saves_gone.inc();
                Some(Ended::Gone)
            }
        };
        let has_news = open.session.take_news();
        match ended {
            Some(ended) => {
                let is_ours = ended == Ended::Gone;
                *state = State::Ended(ended);
                drop(state);
                if !is_ours {
                    self.drop_test(test);
                }
            }
            None => drop(state),
        }
        test.turned.notify_waiters();
        if has_news {
            self.tell(&test.reference);
        }
    }
}

impl Open {
    fn stored(&mut self, version: Version, snapshot: Snapshot, now: Moment) {
        self.session.saved(now);
        self.version = Some(version);
        self.last = now;
        self.failures = 0;
        self.written = snapshot.closed;
    }

    fn not_stored(&mut self, why: String, now: Moment) {
        self.session.not_saved();
        self.failures = self.failures.saturating_add(1);
        self.failed = now;
        self.last_error = why;
    }
}

/// Sees to it that a save that breaks off (a panic in the store) is one that failed.
struct Ending<'a, I: Identify, S: Store> {
    collector: &'a Collector<I, S>,
    test: &'a Arc<Test>,
    is_told: bool,
}

impl<I: Identify, S: Store> Drop for Ending<'_, I, S> {
    fn drop(&mut self) {
        if !self.is_told {
            self.collector.end_save(self.test, Err(SaveError::Unavailable("the save broke off".to_owned())));
        }
    }
}

/// Compresses apart from the threads that serve requests: of thousands of workers this takes a while.
async fn compress(draft: Draft) -> Result<Snapshot, String> {
    spawn_blocking(move || draft.compress()).await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
