//! The report on a load test: one model and its writers, `json` for programs and `text` for people.
//!
//! `docs/report.md` tells how to read one, `docs/report.schema.json` its shape.

pub mod compare;
pub mod document;
mod doubts;
mod endpoints;
mod fit;
pub mod html;
mod json;
pub mod junit;
pub mod markdown;
mod names;
mod per_worker;
mod planned;
mod text;

pub use document::{Document, DocumentError};
pub use names::is_hidden;
pub use per_worker::{End as WorkerEnd, PerWorker, WorkerVusers, fewer};
pub use planned::Plan;

pub use crate::javascript::round_to_tenths;

use std::io;

use serde::{Deserialize, Serialize};

use crate::aggregate::{Aggregate, Measured, Measurers};
use crate::checks::CheckResult;
use crate::verdict::Verdict;
use crate::wire::Span;

/// What is reported of a load test.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// Which load test it was.
    pub identity: Identity,
    /// What became of its workers.
    pub workers: Workers,
    /// When its workers were released, in milliseconds of the Unix time, if they were.
    pub started_at: Option<u64>,
    /// When it was over, in milliseconds of the Unix time.
    pub ended_at: Option<u64>,
    /// Between the first and the last start of a worker, in milliseconds.
    pub start_skew_milliseconds: Option<f64>,
    /// How many virtual users all workers together should create; `None` where that is left to chance, or not known.
    pub planned_vusers: Option<u64>,
    /// What is missing of the data, in words.
    pub missing: Vec<String>,
    /// What was wrong with the load, in words.
    pub undelivered: Vec<String>,
    /// What came of the checks.
    pub checks: Vec<CheckResult>,
    /// Whether it passed, and why.
    pub verdict: Verdict,
    /// What the script asked for; `None` where no worker said.
    pub plan: Option<Plan>,
    /// What became of each worker, by completion index.
    pub per_worker: Vec<PerWorker>,
    /// So many workers are not among them.
    pub per_worker_left_out: usize,
    /// What was measured.
    pub aggregate: &'a Aggregate,
}

/// Which load test it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Identity {
    /// Its name.
    pub name: String,
    /// Its namespace; `None` outside a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its UID; `None` outside a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// The versions of Artillery that its workers had; more than one is worth a look.
    pub artillery: Vec<String>,
    /// The versions of Node that its workers had.
    pub node: Vec<String>,
}

/// What became of the workers: how many of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Workers {
    /// There should be.
    pub planned: u32,
    /// Reported for the start.
    pub joined: u32,
    /// Sent what they measured.
    pub reporting: u32,
    /// Exited with 0.
    pub succeeded: u32,
    /// Exited with another code.
    pub failed: u32,
    /// Of which not all was received that they measured, whatever became of them.
    pub lost: u32,
}

impl Report<'_> {
    /// Whose measurements it has.
    pub fn measurers(&self) -> Measurers {
        Measurers::of(self.workers.planned)
    }

    /// Writes it as JSON, in the shape of `artillery run --output` with a section `loadtest` more. Steps of the time line are unpacked one
    /// after the other.
    ///
    /// # Errors
    /// Of the writer.
    pub fn write_json(&self, to: impl io::Write) -> io::Result<()> {
        serde_json::to_writer_pretty(to, self).map_err(io::Error::from)
    }

    /// Writes it for people: what came of it, the summary as Artillery prints it, and the checks. Of the metrics whose name has one of
    /// `hidden` in it nothing is printed; [`HIDDEN`] are those that Artillery hides by default.
    ///
    /// # Errors
    /// Of the writer.
    pub fn write_text(&self, to: impl io::Write, hidden: &[&str]) -> io::Result<()> {
        Document::totals(self).map_err(io::Error::other)?.write_text(to, hidden)
    }
}

/// What Artillery keeps out of its summary where the script does not say otherwise.
pub const HIDDEN: [&str; 1] = ["plugins.metrics-by-endpoint"];

/// When counters changed, and values came into histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Times {
    counters: Option<Span>,
    histograms: Option<Span>,
}

impl Times {
    /// What workers told, or the bounds of the periods in which they measured.
    fn of(measured: &Measured) -> Self {
        let periods = |is_empty: bool| measured.periods.span().filter(|_| !is_empty);
        Self {
            counters: measured.counters_at.or_else(|| periods(measured.counters.is_empty())),
            histograms: measured.histograms_at.or_else(|| periods(measured.histograms.is_empty())),
        }
    }

    fn metrics(self) -> Option<Span> {
        match (self.counters, self.histograms) {
            (Some(counters), Some(histograms)) => Some(counters.hull(histograms)),
            (counters, histograms) => counters.or(histograms),
        }
    }
}

#[cfg(test)]
mod hostile;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod tests;
