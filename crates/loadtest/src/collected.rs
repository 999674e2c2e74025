//! What is known of a load test by what its workers send: how far their common start is, what they have measured, and, when it
//! is over, what came of it. The collector knows, and status and events tell.

use std::collections::BTreeMap;

use crate::api::{CheckStatus, MetricsStatus, PlanStatus, ReportStatus, Verdict, WorkersStatus};

/// What the workers have sent so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collected {
    /// How many have joined.
    pub joined: u32,
    /// How many have sent what they measured.
    pub reporting: u32,
    /// How far their common start is.
    pub start: CommonStart,
    /// Those of whom nothing is heard since their planned end, by completion index: for how many seconds.
    pub silent: BTreeMap<u32, i64>,
    /// Why what they send cannot be stored at the moment, in words.
    pub trouble: Option<String>,
    /// Milliseconds between the first worker's start and the last one's.
    pub start_skew_milliseconds: Option<i64>,
    /// The phases that they run together since their common start.
    pub plan: Option<PlanStatus>,
    /// What they have measured together.
    pub metrics: Option<MetricsStatus>,
}

/// How far the common start of the workers is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommonStart {
    /// They wait for each other, or none has joined.
    #[default]
    Waiting,
    /// So many were released together.
    Released(u32),
    /// Not all were there in time, and none is to start.
    TimedOut,
}

/// What came of a load test, as its stored report says.
#[derive(Clone, Debug, PartialEq)]
pub struct Conclusion {
    /// In one word.
    pub verdict: Verdict,
    /// Why, in one CamelCase word: the reason of the condition Passed.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
    /// The workers.
    pub workers: WorkersStatus,
    /// What they measured; `None` if nothing was received.
    pub metrics: Option<MetricsStatus>,
    /// Milliseconds between the first worker's start and the last one's.
    pub start_skew_milliseconds: Option<i64>,
    /// What came of the script's checks.
    pub checks: Vec<CheckStatus>,
    /// Where the report is.
    pub report: ReportStatus,
}
