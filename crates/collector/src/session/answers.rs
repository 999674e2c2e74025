//! What a session answers its workers.

use std::time::Duration;

use metrics::delivery::SharedPhase;

use crate::edge::{Reason, Refused};

/// Why a process is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denied {
    /// For good.
    Refused(Refused),
    /// Nobody has its index yet: it may join.
    Unknown,
    /// It will be refused, or not, as soon as that is stored: only then it is true for ever.
    NotYet,
}

/// The answer to a join.
#[derive(Clone, Debug, PartialEq)]
pub struct Joined {
    /// The completion index.
    pub index: u32,
    /// How many workers there are to be.
    pub workers: u32,
    /// The phases that it runs instead of the script's; `None`: all of them.
    pub share: Option<Vec<SharedPhase>>,
}

/// The answer to a worker that waits for the start.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum StartAnswer {
    /// Ask again.
    Wait {
        /// After this time.
        pause: Duration,
        /// How many wait for the start, or have ended already; all, once the start is decided.
        ready: u32,
        /// Of how many.
        workers: u32,
    },
    /// Start.
    Go {
        /// In so many milliseconds; 0 or less: now.
        milliseconds: f64,
    },
}

/// How far a worker's batches are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The highest number that was taken in.
    pub received: u64,
    /// The highest number that is stored.
    pub durable: u64,
    /// Whether its end is stored, as it told it last.
    pub finished: bool,
    /// Whether the load test is to end.
    pub stop: bool,
    /// Whether all others have ended; only told to the worker that may have to run a hook after them.
    pub others_ended: bool,
}

pub(super) fn refused<T>(reason: Reason, message: String) -> Result<T, Denied> {
    Err(Denied::Refused(Refused { reason, message }))
}
