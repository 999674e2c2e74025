//! The tables of the page, none of them endless: what has no room in one is counted below it.

use super::super::document::{Document, Figures, Section, Stats};
use super::super::endpoints::{self, listed};
use super::super::names::visible;
use super::super::{PerWorker, Plan, fewer};
use super::number_of;
use super::words::{length, number, or_dash};
use crate::delivery::{Distribution, PhaseKind, PlannedPhase};

/// No table has more rows…
const MAX_ROWS: usize = 500;
/// …and that of the workers not more than this.
const MAX_WORKERS: usize = 100;
/// A name and its figures.
pub(super) type Figured = (String, [String; 7]);

/// A table.
pub(super) struct Table<T> {
    /// What is shown.
    pub rows: Vec<T>,
    /// How many more rows there are, in words; `None` where that is all.
    pub more: Option<String>,
}

impl<T> Table<T> {
    fn new(rows: Vec<T>, left_out: usize) -> Self {
        Self { rows, more: (left_out > 0).then(|| number_of(left_out)) }
    }

    fn of(rows: impl ExactSizeIterator<Item = T>) -> Self {
        let left_out = rows.len().saturating_sub(MAX_ROWS);
        Self::new(rows.take(MAX_ROWS).collect(), left_out)
    }
}

/// An endpoint.
pub(super) struct EndpointRow {
    pub name: String,
    pub codes: String,
    pub errors: String,
    pub figures: [String; 7],
}

pub(super) fn endpoints(stats: &Stats) -> Table<EndpointRow> {
    let (endpoints, left_out) = endpoints::endpoints(stats, MAX_ROWS);
    let row = |endpoint: endpoints::Endpoint<'_>| EndpointRow {
        name: visible(endpoint.name),
        codes: listed(&endpoint.codes, visible, number),
        errors: listed(&endpoint.errors, visible, number),
        figures: endpoint.times.map(cells).unwrap_or_default(),
    };
    Table::new(endpoints.into_iter().map(row).collect(), left_out)
}

pub(super) fn scenarios(stats: &Stats) -> Table<(String, String)> {
    let with = |(name, count): (&String, &f64)| {
        Some((visible(name.strip_prefix("vusers.created_by_name.")?), number(*count)))
    };
    Table::of(stats.counters.iter().filter_map(with).collect::<Vec<_>>().into_iter())
}

pub(super) fn errors(document: &Document) -> Table<(String, String)> {
    Table::of(document.errors().into_iter().map(|(code, count)| (visible(code), number(count))))
}

pub(super) fn counters(stats: &Stats) -> Table<(String, String)> {
    Table::of(stats.counters.iter().map(|(name, count)| (visible(name), number(*count))))
}

pub(super) fn summaries(stats: &Stats) -> Table<Figured> {
    Table::of(stats.summaries.iter().map(|(name, figures)| (visible(name), cells(figures))))
}

fn cells(figures: &Figures) -> [String; 7] {
    let Figures { min, max, count, mean, median, p95, p99, .. } = *figures;
    [count, min, mean, median, p95, p99, max].map(or_dash)
}

/// What became of each worker.
pub(super) struct WorkerTable {
    /// How far apart they started, in words; empty where that is not known.
    pub skew: String,
    /// Whether memory is told: only beside its limit it says anything.
    pub has_memory: bool,
    pub table: Table<WorkerRow>,
}

/// A worker.
pub(super) struct WorkerRow {
    pub worker: u32,
    pub end: String,
    pub is_notable: bool,
    /// Start; virtual users created, completed, failed; event loop at most and in the mean; throttling.
    pub cells: [String; 7],
    pub memory: String,
}

impl WorkerTable {
    /// `None` where a report does not tell of workers one by one.
    pub fn of(section: &Section) -> Option<Self> {
        let Section { per_worker: workers, per_worker_left_out, start_skew_milliseconds: skew, .. } = section;
        if workers.is_empty() {
            return None;
        }
        let told = fewer(workers.clone(), MAX_WORKERS);
        let elsewhere = usize::try_from(*per_worker_left_out).unwrap_or(usize::MAX);
        let left_out = (workers.len() - told.len()).saturating_add(elsewhere);
        Some(Self {
            skew: skew.map_or_else(String::new, |skew| {
                format!("All that said when they started did so within {} ms.", number(skew))
            }),
            has_memory: told.iter().any(|worker| worker.memory_limit_bytes.is_some()),
            table: Table::new(told.iter().map(WorkerRow::of).collect(), left_out),
        })
    }
}

impl WorkerRow {
    #[allow(clippy::cast_precision_loss, reason = "it is shown to one decimal")]
    fn of(worker: &PerWorker) -> Self {
        let vusers = worker.vusers;
        // of whom nothing came nobody knows what it did
        let is_known = worker.batches > 0 || !worker.is_notable();
        let count = |count: u64| or_dash(is_known.then_some(count as f64));
        let mebibytes = |bytes: Option<u64>| or_dash(bytes.map(|bytes| bytes as f64 / f64::from(1 << 20)));
        Self {
            worker: worker.worker,
            end: worker.to_string(),
            is_notable: worker.is_notable(),
            cells: [
                or_dash(worker.started_after_milliseconds),
                count(vusers.created),
                count(vusers.completed),
                count(vusers.failed),
                or_dash(worker.event_loop_most_percent),
                or_dash(worker.event_loop_mean_percent),
                or_dash(worker.cpu_throttled_percent),
            ],
            memory: format!(
                "{} of {}",
                mebibytes(worker.memory_most_bytes),
                mebibytes(worker.memory_limit_bytes)
            ),
        }
    }
}

/// What the script asked for.
pub(super) struct PlanTable {
    pub summary: String,
    /// Whose arrivals the rows tell.
    pub whose: &'static str,
    /// Number and name, arrivals, length, virtual users of all workers.
    pub table: Table<[String; 4]>,
}

impl PlanTable {
    pub fn of(plan: &Plan) -> Self {
        let workers = match plan.workers {
            1 => "One worker".to_owned(),
            workers => format!("{} workers", number(workers.into())),
        };
        let how = match (plan.distribution, plan.workers) {
            (Distribution::Replicate, 1) => "runs the script",
            (Distribution::Replicate, _) => "run the whole script each (Replicate)",
            (Distribution::Split, 1) => "runs the script (Split)",
            (Distribution::Split, _) => "run the script once together (Split)",
        };
        #[allow(clippy::cast_precision_loss, reason = "it is shown")]
        let count = |vusers: u64| number(vusers as f64);
        let vusers = plan.vusers.map_or_else(
            || "how many virtual users there will be is not known before".to_owned(),
            |vusers| format!("{} virtual users in all", count(vusers)),
        );
        let problem = plan.problem.as_ref().map_or_else(String::new, |why| format!(" {}.", visible(why)));
        let rows = plan.phases.iter().enumerate().map(|(index, phase)| {
            let name = phase.name.as_ref().map_or_else(String::new, |name| format!(": {}", visible(name)));
            [
                format!("{index}{name}"),
                arrivals(phase),
                length(phase.duration_milliseconds),
                phase.vusers.map_or_else(|| "–".to_owned(), count),
            ]
        });
        let (rows, all) = (rows.take(MAX_ROWS).collect::<Vec<_>>(), plan.phases.len());
        let left_out = plan.phases_left_out.saturating_add(all - rows.len());
        Self {
            summary: format!("{workers} {how}: {vusers}.{problem}"),
            whose: match plan.distribution {
                Distribution::Replicate => "Arrivals of each worker",
                Distribution::Split => "Arrivals of all workers",
            },
            table: Table::new(rows, left_out),
        }
    }
}

fn arrivals(phase: &PlannedPhase) -> String {
    let mut words = match phase.kind {
        PhaseKind::Pause => "none: a pause".to_owned(),
        PhaseKind::ArrivalCount => format!("{} in all", or_dash(phase.arrival_count)),
        PhaseKind::ArrivalRate => format!("{} per second", or_dash(phase.arrival_rate)),
        PhaseKind::RampTo => {
            let from = number(phase.arrival_rate.unwrap_or(0.0));
            format!("from {from} to {} per second", or_dash(phase.ramp_to))
        }
    };
    if phase.mode.as_deref() == Some("poisson") {
        words.push_str(" in the mean (poisson)");
    }
    if let Some(most) = phase.max_vusers {
        words.push_str(&format!(", at most {} at a time", number(most)));
    }
    words
}
