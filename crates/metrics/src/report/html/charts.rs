//! What the charts of the page are drawn from, as JSON that stands in it.

use serde::Serialize;

use super::super::document::{Document, Figures, Stats};
use super::super::json;
use super::super::names::visible;
use super::{is_latency, latency_of};
use crate::sketch::{RELATIVE_ACCURACY, with_empty_steps};

/// So many lines the chart of errors has; where there are more codes, the last one is the sum of the others.
const MAX_ERRORS: usize = 6;
/// Artillery's length of a step, in milliseconds, where a report does not say.
const STEP: u64 = 10_000;

/// No time line is filled up to more steps.
const MAX_STEPS: usize = 10_000;

/// The counters that are drawn, beside those of errors.
const REQUESTS: &str = "http.requests";
const CREATED: &str = "vusers.created";
const COMPLETED: &str = "vusers.completed";
const FAILED: &str = "vusers.failed";
/// How the names of counters of errors begin.
const ERRORS: &str = "errors.";

/// Whether a chart may need that metric of the time line's steps.
pub(in crate::report) fn is_drawn(name: &str) -> bool {
    [REQUESTS, CREATED, COMPLETED, FAILED].contains(&name) || name.starts_with(ERRORS) || is_latency(name)
}

/// What the charts are drawn from: each list has a value for each step of the time line.
#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
struct Charts {
    /// Seconds of the Unix time.
    times: Vec<f64>,
    /// The length of a step.
    step_seconds: f64,
    per_second: Vec<Option<f64>>,
    latency: Option<Latency>,
    /// How far its percentiles may be off, where that is more than those of the whole test.
    within_percent: Option<f64>,
    created: Vec<f64>,
    completed: Vec<f64>,
    failed: Vec<f64>,
    errors: Vec<Line>,
    distribution: Option<Distribution>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    values: Vec<f64>,
}

#[derive(Serialize)]
struct Latency {
    name: String,
    p50: Vec<Option<f64>>,
    p95: Vec<Option<f64>>,
    p99: Vec<Option<f64>>,
}

#[derive(Serialize)]
struct Distribution {
    name: String,
    up_to: Vec<f64>,
    counts: Vec<f64>,
}

/// The data, as it may stand in an element `script`.
pub(super) fn data(document: &Document) -> String {
    let step = document.loadtest.as_ref().and_then(|section| section.time_line_step_milliseconds);
    let step = step.filter(|step| *step > 0).unwrap_or(STEP);
    let nothing = Stats::default();
    let steps = whole(&document.intermediate, step, &nothing);
    let counter = |stats: &Stats, name: &str| stats.counters.get(name).copied().unwrap_or(0.0);
    let all = |name: &str| steps.iter().map(|(_, stats)| counter(stats, name)).collect::<Vec<_>>();
    let latency = latency_of(&document.aggregate).map(|(name, _)| {
        let of = |figure: fn(&Figures) -> Option<f64>| {
            steps.iter().map(|(_, step)| step.summaries.get(name).and_then(figure)).collect()
        };
        Latency { name: visible(name), p50: of(|f| f.median), p95: of(|f| f.p95), p99: of(|f| f.p99) }
    });
    let distribution = document.loadtest.as_ref().and_then(|section| {
        let name = latency_of(&document.aggregate).map(|(name, _)| name)?;
        let told = section.distributions.get(name)?.iter();
        let told: Vec<_> = told.map(|step| (step.up_to_milliseconds, step.count)).collect();
        // bars stand side by side
        let steps = with_empty_steps(&told, json::MAX_STEPS);
        Some(Distribution {
            name: visible(name),
            up_to: steps.iter().map(|(up_to, _)| *up_to).collect(),
            #[allow(clippy::cast_precision_loss, reason = "it is drawn")]
            counts: steps.iter().map(|(_, count)| *count as f64).collect(),
        })
    });
    let has_requests = document.counter(REQUESTS) > 0.0;
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of a step")]
    let seconds = step as f64 / 1000.0;
    let accuracy = document.loadtest.as_ref().and_then(|section| section.time_line_relative_accuracy);
    let charts = Charts {
        step_seconds: seconds,
        times: steps.iter().map(|(at, _)| at / 1000.0).collect(),
        per_second: if has_requests {
            all(REQUESTS).into_iter().map(|count| Some(count / seconds)).collect()
        } else {
            Vec::new()
        },
        latency,
        within_percent: accuracy.filter(|part| *part > RELATIVE_ACCURACY).map(|part| part * 100.0),
        created: all(CREATED),
        completed: all(COMPLETED),
        failed: all(FAILED),
        errors: errors(document, &steps),
        distribution,
    };
    in_script(&serde_json::to_string(&charts).unwrap_or_else(|_| "{}".to_owned()))
}

/// A line for each code of errors, the most frequent first.
fn errors(document: &Document, steps: &[(f64, &Stats)]) -> Vec<Line> {
    let codes = document.errors();
    let own = if codes.len() > MAX_ERRORS { MAX_ERRORS - 1 } else { codes.len() };
    let (own, others) = codes.split_at(own);
    let line = |name: String, is_in: &dyn Fn(&str) -> bool| {
        let of = |(name, count): (&String, &f64)| is_in(name.strip_prefix(ERRORS)?).then_some(*count);
        let sum = |step: &Stats| step.counters.iter().filter_map(of).fold(0.0, |sum, count| sum + count);
        Line { name, values: steps.iter().map(|(_, step)| sum(step)).collect() }
    };
    let mut lines: Vec<_> =
        own.iter().map(|(code, _)| line(visible(code), &|other| other == *code)).collect();
    if !others.is_empty() {
        let is_other = |code: &str| own.iter().all(|(own, _)| *own != code);
        lines.push(line(format!("{} other codes", others.len()), &is_other));
    }
    lines
}

/// The steps of the time line and when they begin, with those in which nothing was measured, which a report leaves out: a line across them
/// would hide that.
fn whole<'a>(steps: &'a [Stats], length: u64, nothing: &'a Stats) -> Vec<(f64, &'a Stats)> {
    #[allow(clippy::cast_precision_loss, reason = "milliseconds of a step")]
    let length = length as f64;
    let mut whole: Vec<(f64, &Stats)> = Vec::new();
    for step in steps {
        let Some(begins) = step.begins() else { continue };
        while let Some((last, _)) = whole.last()
            && begins - last >= 1.5 * length
            && whole.len() < MAX_STEPS
        {
            whole.push((last + length, nothing));
        }
        whole.push((begins, step));
    }
    whole
}

/// JSON that may stand in an element `script`: nothing in it ends the element, or begins a comment.
fn in_script(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        match character {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(character)));
            }
            other => text.push(other),
        }
    }
    text
}
