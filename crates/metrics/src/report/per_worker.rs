//! What became of each worker, as the report tells it, and which of them are told where there is no room for all.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::javascript;

/// What became of a worker.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct PerWorker {
    /// Its completion index.
    pub worker: u32,
    /// How it ended.
    pub end: End,
    /// The exit code of its process, where it is known.
    pub exit_code: Option<i32>,
    /// What is missing of its data, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// How long after the first worker it began its first phase, in milliseconds; `None` where it did not say.
    #[serde(serialize_with = "javascript::serialize")]
    pub started_after_milliseconds: Option<f64>,
    /// Its virtual users.
    pub vusers: WorkerVusers,
    /// How many batches of it were taken in.
    pub batches: u64,
    /// The largest share of a period in which its event loop was busy, in percent; `None` where it did not say.
    #[serde(serialize_with = "javascript::serialize")]
    pub event_loop_most_percent: Option<f64>,
    /// The mean share of all its periods.
    #[serde(serialize_with = "javascript::serialize")]
    pub event_loop_mean_percent: Option<f64>,
    /// The share of CPU scheduling periods in which it was throttled, in percent; `None` where that is not known.
    #[serde(serialize_with = "javascript::serialize")]
    pub cpu_throttled_percent: Option<f64>,
    /// The most memory of its cgroup, in bytes; `None` where that is not known.
    pub memory_most_bytes: Option<u64>,
    /// The limit of that; `None` where there is none.
    pub memory_limit_bytes: Option<u64>,
}

/// Virtual users of a worker.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(default)]
pub struct WorkerVusers {
    /// Started.
    pub created: u64,
    /// Came to their end.
    pub completed: u64,
    /// Broke off.
    pub failed: u64,
    /// Not started, for there were too many.
    pub skipped: u64,
}

/// How a worker ended.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// Its process exited.
    Exited,
    /// Nobody knows how.
    #[default]
    Lost,
    /// It never reported for the start.
    NeverJoined,
}

impl PerWorker {
    /// Whether somebody has to look at it.
    pub fn is_notable(&self) -> bool {
        self.end != End::Exited || self.exit_code != Some(0) || self.missing.is_some()
    }
}

/// At most so many of them, those first that somebody has to look at, in the order of their indexes.
pub fn fewer(mut workers: Vec<PerWorker>, most: usize) -> Vec<PerWorker> {
    if workers.len() > most {
        workers.sort_by_key(|worker| (!worker.is_notable(), worker.worker));
        workers.truncate(most);
        workers.sort_by_key(|worker| worker.worker);
    }
    workers
}

impl fmt::Display for PerWorker {
    /// How it ended, for people.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.end, self.exit_code) {
            (End::Exited, Some(code)) => write!(formatter, "exit code {code}"),
            (End::Exited, None) => formatter.write_str("exited"),
            (End::Lost, _) => formatter.write_str("lost"),
            (End::NeverJoined, None) => formatter.write_str("never joined"),
            (End::NeverJoined, Some(code)) => write!(formatter, "never joined, exit code {code}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_there_is_no_room_for_all_those_that_somebody_has_to_look_at_come_first() {
        let worker =
            |worker| PerWorker { worker, end: End::Exited, exit_code: Some(0), ..PerWorker::default() };
        let mut all: Vec<_> = (0..10).map(worker).collect();
        all[8].exit_code = Some(1);
        all[9].end = End::Lost;
        let told = |most| fewer(all.clone(), most).iter().map(|worker| worker.worker).collect::<Vec<_>>();
        assert_eq!((told(10).len(), told(4), told(1), told(0)), (10, vec![0, 1, 8, 9], vec![8], vec![]));
    }
}
