//! What the collector counts about itself, for Prometheus.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// `POST /v1/join`.
    Join,
    /// `POST /v1/start`.
    Start,
    /// `POST /v1/batches`.
    Batches,
    /// `POST /v1/finish`.
    Finish,
    /// Anything else.
    Other,
}

impl Endpoint {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Join, Self::Start, Self::Batches, Self::Finish, Self::Other];

    /// As a label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Start => "start",
            Self::Batches => "batches",
            Self::Finish => "finish",
            Self::Other => "other",
        }
    }
}

/// Statuses that are counted apart; the last one stands for all others.
const STATUSES: [u16; 14] = [200, 400, 401, 403, 404, 405, 408, 409, 410, 413, 429, 500, 503, 0];

/// A number that grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// So many more.
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// One less, of what does not only grow.
    pub fn dec(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All counts of one collector.
#[derive(Debug, Default)]
pub struct Counters {
    requests: [[Count; STATUSES.len()]; Endpoint::ALL.len()],
    /// Bytes of bodies that came.
    pub bytes: Count,
    /// Batches that were taken in.
    pub batches_accepted: Count,
    /// Batches that had been taken in before.
    pub batches_repeated: Count,
    /// Batches that were ignored, for one before them is missing.
    pub batches_ahead: Count,
    /// Batches that were taken in, and only say that a period is lost.
    pub batches_lost: Count,
    /// Values in batches that were taken in without them.
    pub values_refused: Count,
    batches_refused: Mutex<BTreeMap<&'static str, u64>>,
    /// Snapshots that were stored.
    pub saves: Count,
    /// Those that were not, for another collector had stored the load test.
    pub saves_conflicting: Count,
    /// Those that were not, for the load test was gone.
    pub saves_gone: Count,
    /// Those of which it is not known.
    pub saves_failed: Count,
    /// Bytes in snapshots that had to be written.
    pub saved_bytes: Count,
    save_micros: Count,
    /// Snapshots that could not be loaded.
    pub loads_failed: Count,
    /// Connections that are open now.
    pub connections: Count,
    /// Connections that were closed at once, for there were too many.
    pub connections_refused: Count,
    /// Handshakes that failed, or took too long.
    pub handshakes_failed: Count,
    /// Connections that were closed because their client was too slow.
    pub connections_timed_out: Count,
}

impl Counters {
    /// Counts an answer.
    pub fn answered(&self, endpoint: Endpoint, status: u16) {
        let at = STATUSES.iter().position(|known| *known == status).unwrap_or(STATUSES.len() - 1);
        self.requests[endpoint as usize][at].inc();
    }

    /// Answers by endpoint and status (0: any other), without those that did not come.
    pub fn requests(&self) -> impl Iterator<Item = (Endpoint, u16, u64)> {
        Endpoint::ALL.into_iter().flat_map(|endpoint| {
            let counts = self.requests[endpoint as usize].iter().zip(STATUSES);
            counts
                .map(move |(count, status)| (endpoint, status, count.get()))
                .filter(|(_, _, count)| *count > 0)
        })
    }

    /// Counts a batch that was refused.
    pub fn refused_batch(&self, why: &'static str) {
        *self.batches_refused.lock().unwrap_or_else(PoisonError::into_inner).entry(why).or_default() += 1;
    }

    /// Refused batches by reason.
    pub fn batches_refused(&self) -> BTreeMap<&'static str, u64> {
        self.batches_refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts the time that a save took, whatever came of it.
    pub fn save_took(&self, time: Duration) {
        self.save_micros.add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// How long all saves took together.
    pub fn save_seconds(&self) -> f64 {
        Duration::from_micros(self.save_micros.get()).as_secs_f64()
    }
}
