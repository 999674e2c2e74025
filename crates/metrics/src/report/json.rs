//! The report as JSON: `aggregate` and `intermediate` as Artillery writes them, and what Artillery has no word for in `loadtest`.

use std::collections::BTreeMap;

use serde::ser::{Serialize, SerializeMap, SerializeSeq, Serializer};
use serde_json::{Number, Value};

use super::document::SCHEMA_VERSION;
use super::{Identity, PerWorker, Plan, Report, Times, Workers};
use crate::aggregate::{Aggregate, Form, Measured, Measurers, PERIOD};
use crate::checks::CheckResult;
use crate::javascript::json as number;
use crate::sketch::{COARSE, RELATIVE_ACCURACY};
use crate::summary::{Figures, Summary};
use crate::verdict::Verdict;
use crate::wire::Span;

impl Serialize for Report<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self, Some(TimeLine(self.aggregate, self.measurers())), serializer)
    }
}

/// A report without its time line: to unpack that takes long.
pub(super) struct Totals<'a>(pub(super) &'a Report<'a>);

impl Serialize for Totals<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(self.0, None, serializer)
    }
}

fn serialize<S: Serializer>(
    of: &Report<'_>,
    time_line: Option<TimeLine<'_>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let total = of.aggregate.total();
    let last = total.periods.span().map(|span| Value::from(span.last + 1 - PERIOD));
    let mut report = serializer.serialize_map(None)?;
    report.serialize_entry("aggregate", &Stats { measured: total, by: of.measurers(), period: last })?;
    if let Some(time_line) = time_line {
        report.serialize_entry("intermediate", &time_line)?;
    }
    report.serialize_entry("loadtest", &Section::of(of))?;
    report.end()
}

/// What was measured, as Artillery's events `stats` and `done` have it. The period is a text in the one, a number in the other.
struct Stats<'a> {
    measured: &'a Measured,
    by: Measurers,
    period: Option<Value>,
}

impl Serialize for Stats<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Figures { counters, rates, summaries } = Figures::of(self.measured, self.by);
        let rates: BTreeMap<_, _> = rates.into_iter().map(|(name, rate)| (name, number(rate))).collect();
        let times = Times::of(self.measured);
        let [counters_at, histograms_at, metrics_at] = [times.counters, times.histograms, times.metrics()];
        let first = |span: Option<Span>| span.map(|span| span.first);
        let last = |span: Option<Span>| span.map(|span| span.last);
        let mut stats = serializer.serialize_map(None)?;
        if let Some(period) = &self.period {
            stats.serialize_entry("period", period)?;
        }
        stats.serialize_entry("counters", &Named(counters.iter()))?;
        stats.serialize_entry("rates", &Named(rates.iter()))?;
        for (key, moment) in [
            ("firstCounterAt", first(counters_at)),
            ("firstHistogramAt", first(histograms_at)),
            ("lastCounterAt", last(counters_at)),
            ("lastHistogramAt", last(histograms_at)),
            ("firstMetricAt", first(metrics_at)),
            ("lastMetricAt", last(metrics_at)),
        ] {
            if let Some(moment) = moment {
                stats.serialize_entry(key, &moment)?;
            }
        }
        // `--output` writes the same under both names
        stats.serialize_entry("summaries", &Named(summaries.iter()))?;
        stats.serialize_entry("histograms", &Named(summaries.iter()))?;
        stats.end()
    }
}

/// Values by name.
struct Named<I>(I);

impl<'a, K: AsRef<str> + 'a, V: Serialize + 'a, I: Iterator<Item = (&'a K, &'a V)> + Clone> Serialize
    for Named<I>
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.clone().map(|(name, value)| (name.as_ref(), value)))
    }
}

impl Serialize for Summary {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.named().map(|(name, figure)| (name, number(figure))))
    }
}

/// The steps of the time line, unpacked one after the other.
struct TimeLine<'a>(&'a Aggregate, Measurers);

impl Serialize for TimeLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut steps = serializer.serialize_seq(Some(self.0.steps()))?;
        for (start, measured) in self.0.time_line() {
            let period = Some(start.to_string().into());
            steps.serialize_element(&Stats { measured: &measured, by: self.1, period })?;
        }
        steps.end()
    }
}

/// What Artillery has no word for.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Section<'a> {
    schema_version: u32,
    #[serde(flatten)]
    identity: &'a Identity,
    verdict: &'a Verdict,
    workers: Workers,
    started_at_milliseconds: Option<u64>,
    ended_at_milliseconds: Option<u64>,
    start_skew_milliseconds: Option<Number>,
    vusers: Vusers,
    missing: &'a [String],
    undelivered: &'a [String],
    checks: &'a [CheckResult],
    refused: Vec<Refused<'a>>,
    refused_values: u64,
    distributions: BTreeMap<&'a str, Vec<Step>>,
    time_line_step_milliseconds: u64,
    time_line_relative_accuracy: f64,
    plan: &'a Option<Plan>,
    per_worker: &'a [PerWorker],
    per_worker_left_out: usize,
}

/// So many values lie above the step before, and up to that one.
#[derive(serde::Serialize)]
#[serde(rename_all = "camelCase")]
struct Step {
    up_to_milliseconds: Number,
    count: u64,
}

/// The distributions of these are told in steps, of so many engines at most.
const TIMES: [&str; 2] = [".response_time", "vusers.session_length"];
const MAX_DISTRIBUTIONS: usize = 8;
/// A distribution has no more steps above 0.
pub(super) const MAX_STEPS: usize = 100;

fn distributions(total: &Measured) -> BTreeMap<&str, Vec<Step>> {
    let is_told = |name: &str| TIMES.iter().any(|end| name.ends_with(end)) && name.len() < 100;
    let told = total.histograms.iter().filter(|(name, _)| is_told(name.as_ref())).take(MAX_DISTRIBUTIONS);
    let steps = |sketch: &crate::sketch::Sketch| {
        let step = |(up_to, count): (f64, u64)| Step {
            up_to_milliseconds: number((up_to * 1000.0).round() / 1000.0),
            count,
        };
        sketch.steps(MAX_STEPS).into_iter().map(step).collect()
    };
    told.map(|(name, sketch)| (name.as_ref(), steps(sketch))).collect()
}

#[derive(serde::Serialize)]
struct Vusers {
    planned: Option<u64>,
    created: u64,
    completed: u64,
    failed: u64,
    skipped: u64,
}

#[derive(serde::Serialize)]
struct Refused<'a> {
    name: &'a str,
    reason: &'a str,
    count: u64,
}

impl<'a> Section<'a> {
    fn of(report: &'a Report<'_>) -> Self {
        let Report { identity, workers, started_at, ended_at, start_skew_milliseconds, .. } = report;
        let Report { planned_vusers, missing, undelivered, checks, verdict, aggregate, .. } = report;
        let Report { plan, per_worker, per_worker_left_out, .. } = report;
        let count = |name: &str| aggregate.total().counters.get(name).copied().unwrap_or(0);
        Self {
            schema_version: SCHEMA_VERSION,
            identity,
            verdict,
            workers: *workers,
            started_at_milliseconds: *started_at,
            ended_at_milliseconds: *ended_at,
            start_skew_milliseconds: start_skew_milliseconds
                // never less than what was measured
                .map(|skew| number((skew * 10.0).ceil() / 10.0)),
            vusers: Vusers {
                planned: *planned_vusers,
                created: count("vusers.created"),
                completed: count("vusers.completed"),
                failed: count("vusers.failed"),
                skipped: count("vusers.skipped"),
            },
            missing,
            undelivered,
            checks,
            refused: aggregate
                .refused()
                .map(|(name, reason, count)| Refused { name, reason, count })
                .collect(),
            refused_values: aggregate.refused_values(),
            distributions: distributions(aggregate.total()),
            time_line_step_milliseconds: aggregate.step(),
            time_line_relative_accuracy: accuracy(aggregate.form()),
            plan,
            per_worker,
            per_worker_left_out: *per_worker_left_out,
        }
    }
}

/// How far quantiles of the time line may be off.
#[allow(clippy::cast_precision_loss, reason = "it is 3")]
fn accuracy(form: Form) -> f64 {
    match form {
        Form::Exact => RELATIVE_ACCURACY,
        Form::Coarse => RELATIVE_ACCURACY * COARSE as f64,
    }
}
