//! From what the collector and the cluster know of a load test that is over to its report: as it is stored, and as the
//! status tells it. Pure; what the figures and the verdict are is the affair of `metrics`.

use collector::session::StartFacts;
use collector::{Conclusion, Ended};
use k8s_openapi::jiff::ToSpan as _;
use loadtest::Timestamp;
use loadtest::api::{
    self, CheckStatus, HttpStatus, MetricsStatus, Percentiles, ReportStatus, VusersStatus, WorkersStatus,
};
use loadtest::collected;
use loadtest::lifecycle::Outcome;
use loadtest::observed::Observed;
use metrics::checks::CheckResult;
use metrics::delivery::Distribution;
use metrics::report::{HIDDEN, Report, Workers};
use metrics::verdict::{self, End};

use crate::collect::store::Rendered;

/// The status has no more checks, and each of their texts no more characters; the report has all.
const MAX_CHECKS: usize = 100;
const MAX_TEXT: usize = 500;
/// `report.json` has no more bytes, lest its ConfigMap be too large; what is left out is said.
const MAX_JSON: usize = 600 * 1024;
/// `report.txt` has no more bytes.
const MAX_TEXT_BYTES: usize = 200 * 1024;

/// What came of a test that has no report; why, in a sentence.
pub fn none(observed: &Observed, why: &str) -> collected::Conclusion {
    let workers = Workers { planned: planned(observed), ..Workers::default() };
    collected::Conclusion {
        verdict: api::Verdict::Inconclusive,
        reason: "Inconclusive".to_owned(),
        message: why.to_owned(),
        workers: workers_status(&workers),
        metrics: None,
        start_skew_milliseconds: None,
        checks: Vec::new(),
        report: ReportStatus::default(),
    }
}

/// The report of a test that is over, and what the status says of it, but for where the report is. `heard` is what its workers
/// sent; `None` if nothing was.
pub fn make(
    observed: &Observed,
    distribution: Distribution,
    outcome: Outcome,
    heard: Option<&Conclusion>,
    now: Timestamp,
) -> (Rendered, collected::Conclusion) {
    let exit_codes = &observed.workers.exit_codes;
    let planned = planned(observed);
    let load_test = &observed.load_test;
    let ended = Ended {
        name: load_test.name(),
        namespace: load_test.metadata.namespace.as_deref(),
        uid: load_test.metadata.uid.as_deref(),
        planned,
        may_be_missing: load_test.may_be_missing(planned),
        distribution,
        end: match outcome {
            Outcome::Stopped | Outcome::JobDeleted | Outcome::JobSuspended => End::Stopped,
            Outcome::DeadlineExceeded => End::DeadlineExceeded,
            Outcome::Succeeded | Outcome::WorkersFailed | Outcome::KubernetesTooOld => End::ByItself,
        },
        exit_codes,
        why_nothing: why_nothing(observed, heard),
        at: u64::try_from(ended_at(observed, now).as_millisecond()).ok(),
    };
    let report = collector::report(&ended, heard);
    let Report { verdict, checks, workers, aggregate, .. } = &report;
    let conclusion = collected::Conclusion {
        verdict: match verdict.outcome {
            verdict::Outcome::Passed => api::Verdict::Passed,
            verdict::Outcome::Failed => api::Verdict::Failed,
            verdict::Outcome::Inconclusive => api::Verdict::Inconclusive,
        },
        reason: verdict.reason.word(),
        message: verdict.message.clone(),
        workers: workers_status(workers),
        metrics: (aggregate.batches() > 0).then(|| figures(&report)),
        start_skew_milliseconds: report.start_skew_milliseconds.map(ceil),
        checks: checks.iter().take(MAX_CHECKS).map(check_status).collect(),
        report: ReportStatus::default(),
    };
    (render(&report), conclusion)
}

/// When the last worker's container ended: the operator may have been away. Kubernetes gives whole seconds, rounded down.
fn ended_at(observed: &Observed, now: Timestamp) -> Timestamp {
    observed.workers.ended_at().map_or(now, |at| (at + 1.second()).min(now))
}

fn planned(Observed { load_test, workers, .. }: &Observed) -> u32 {
    if workers.planned > 0 { workers.planned } else { load_test.spec.count.max(0).unsigned_abs() }
}

/// Why there is nothing to report, where that is known.
fn why_nothing(observed: &Observed, heard: Option<&Conclusion>) -> Option<String> {
    match (heard.map(|heard| heard.facts.start), observed.job.ours()) {
        (Some(StartFacts::TimedOut { .. }), _) => {
            Some("none was started, for not all were ready in time".to_owned())
        }
        (None, Some(job)) if !loadtest::job::reports(job) => {
            Some("its workers have no reporter: an earlier operator started them".to_owned())
        }
        (None, Some(_)) => Some(
            "no worker reported: their image cannot load the reporter, or they did not reach the collector, or ended before"
                .to_owned(),
        ),
        _ => None,
    }
}

fn workers_status(workers: &Workers) -> WorkersStatus {
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    WorkersStatus {
        planned: number(workers.planned),
        joined: number(workers.joined),
        reporting: number(workers.reporting),
        succeeded: number(workers.succeeded),
        failed: number(workers.failed),
        lost: number(workers.lost),
    }
}

fn figures(report: &Report<'_>) -> MetricsStatus {
    let total = report.aggregate.total();
    let counter = |name: &str| total.counters.get(name).copied().unwrap_or(0);
    let errors = total.counters.iter().filter(|(name, _)| name.starts_with("errors."));
    let times = total.histograms.get("http.response_time");
    let requests = counter("http.requests");
    let percentile = |quantile| times.and_then(|times| times.quantile(quantile)).map_or(0, ceil);
    MetricsStatus {
        vusers: VusersStatus {
            planned: report.planned_vusers.map(whole),
            created: whole(counter("vusers.created")),
            completed: whole(counter("vusers.completed")),
            failed: whole(counter("vusers.failed")),
        },
        errors: whole(errors.fold(0, |sum, (_, count)| sum.saturating_add(*count))),
        http: (requests > 0).then(|| HttpStatus {
            requests: whole(requests),
            requests_per_second: total.rate("http.request_rate", report.measurers()).map(round),
            response_time_milliseconds: times.map(|_| Percentiles {
                p50: percentile(0.5),
                p95: percentile(0.95),
                p99: percentile(0.99),
            }),
        }),
    }
}

fn check_status(check: &CheckResult) -> CheckStatus {
    CheckStatus {
        check: short(&check.check),
        passed: check.passed,
        actual: short(&check.actual),
        strict: check.strict,
    }
}

fn short(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// As it is stored.
fn render(report: &Report<'_>) -> Rendered {
    let mut text = Vec::new();
    // writing to memory does not fail
    let _ = report.write_text(&mut text, &HIDDEN);
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if text.len() > MAX_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        text.push_str("\n(cut here: too long; see report.json)\n");
    }
    // of numbers and texts JSON is made without an error
    Rendered { json: report.json_within(MAX_JSON).unwrap_or_default(), text }
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

/// Rates in the status are whole numbers, as Artillery rounds them.
#[allow(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
pub fn round(number: f64) -> i64 {
    number.round() as i64
}

/// Milliseconds in the status are whole numbers, never less than what was measured.
#[allow(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
pub fn ceil(number: f64) -> i64 {
    number.ceil() as i64
}
