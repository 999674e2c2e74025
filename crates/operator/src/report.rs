//! From what the collector and the cluster know of a load test that is over to its report: as it is stored, and as the
//! status tells it. Pure; what the figures and the verdict are is the affair of `metrics`.

use collector::Conclusion;
use collector::session::{HealthSummary, PhaseFact, StartFacts, Worker, WorkerFacts as Heard};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use k8s_openapi::jiff::ToSpan as _;
use loadtest::api::{
    self, CheckStatus, HttpStatus, MetricsStatus, Percentiles, ReportStatus, VusersStatus, WorkersStatus,
};
use loadtest::collected;
use loadtest::lifecycle::Outcome;
use loadtest::observed::Observed;
use loadtest::{LoadTest, Timestamp};
use metrics::aggregate::{Aggregate, Measured};
use metrics::checks::{CheckResult, Ensure};
use metrics::delivery::{self, Cpu, Delivered, Distribution, Plans, Shortfall};
use metrics::report::{HIDDEN, Identity, Report, Workers};
use metrics::verdict::{self, EXPECTATIONS_FAILED, End, Facts, Gaps, WorkerEnd, WorkerFacts, verdict};
use metrics::wire::PhaseTimes;
use serde_json::Value;

use crate::collect::store::Rendered;

/// The status has no more checks, and each of their texts no more characters; the report has all.
const MAX_CHECKS: usize = 100;
const MAX_TEXT: usize = 500;
/// `report.json` has no more bytes, lest its ConfigMap be too large; what is left out is said.
const MAX_JSON: usize = 600 * 1024;
/// So many lines say what is missing; `workers.lost` says of how many workers something is.
const MAX_MISSING: usize = 500;
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
    let nothing = Aggregate::default();
    let aggregate = heard.map_or(&nothing, |heard| &heard.aggregate);
    let planned = planned(observed);
    let plans = heard.and_then(|heard| Plans::new(distribution, &heard.hello.as_ref()?.phases, planned).ok());
    let workers = workers(observed, heard);
    let facts = Facts {
        planned,
        may_be_missing: may_be_missing(&observed.load_test, planned),
        undelivered: heard.map(|heard| doubtful(heard, plans.as_ref(), &workers)).unwrap_or_default(),
        checks: checks(heard, aggregate.total()),
        end: match outcome {
            Outcome::Stopped | Outcome::JobDeleted | Outcome::JobSuspended => End::Stopped,
            Outcome::DeadlineExceeded => End::DeadlineExceeded,
            Outcome::Succeeded | Outcome::WorkersFailed | Outcome::KubernetesTooOld => End::ByItself,
        },
        workers,
    };
    let mut verdict = verdict(&facts);
    if let Some(why) = why_nothing(observed, heard) {
        verdict.message = format!("{why}; {}", verdict.message);
    }
    let counted = counted(&facts, heard);
    let skew = heard.and_then(|heard| heard.facts.start_skew);
    let started_at = heard.and_then(|heard| match heard.facts.start {
        StartFacts::Released { at, .. } => Some(at.millis()),
        StartFacts::Waiting | StartFacts::TimedOut { .. } => None,
    });
    let report = Report {
        identity: identity(&observed.load_test, heard),
        workers: counted,
        started_at,
        ended_at: u64::try_from(ended_at(observed, now).as_millisecond()).ok().max(started_at),
        start_skew_milliseconds: skew,
        planned_vusers: plans.as_ref().and_then(Plans::vusers),
        missing: facts.missing().into_iter().take(MAX_MISSING).collect(),
        undelivered: facts.undelivered.clone(),
        checks: facts.checks.clone(),
        verdict: verdict.clone(),
        aggregate,
    };
    let conclusion = collected::Conclusion {
        verdict: match verdict.outcome {
            verdict::Outcome::Passed => api::Verdict::Passed,
            verdict::Outcome::Failed => api::Verdict::Failed,
            verdict::Outcome::Inconclusive => api::Verdict::Inconclusive,
        },
        reason: format!("{:?}", verdict.reason),
        message: verdict.message,
        workers: workers_status(&counted),
        metrics: (aggregate.batches() > 0).then(|| figures(&report)),
        start_skew_milliseconds: skew.map(ceil),
        checks: facts.checks.iter().take(MAX_CHECKS).map(check_status).collect(),
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

/// A percentage is of the planned workers, rounded down.
fn may_be_missing(load_test: &LoadTest, planned: u32) -> u32 {
    match &load_test.spec.max_missing_workers {
        None => 0,
        Some(IntOrString::Int(workers)) => workers.max(&0).unsigned_abs(),
        Some(IntOrString::String(share)) => {
            let percent: u64 = share.trim_end_matches('%').parse().unwrap_or(0);
            u32::try_from(u64::from(planned) * percent.min(100) / 100).unwrap_or(u32::MAX)
        }
    }
}

/// What became of those that joined. The container's exit code comes first, for a process may be killed after its last word; but it may be
/// gone with its pod.
fn workers(observed: &Observed, heard: Option<&Conclusion>) -> Vec<WorkerFacts> {
    let Some(heard) = heard else { return Vec::new() };
    let of = |(facts, (index, worker)): (&Heard, &(u32, Worker))| {
        let finish = facts.finish.as_ref();
        let said = finish.and_then(|finish| finish.exit_code);
        let code = observed.workers.exit_codes.get(index).copied().or(said);
        WorkerFacts {
            index: *index,
            end: code.map_or(WorkerEnd::Lost, WorkerEnd::Exited),
            gaps: Gaps {
                lost_periods: worker.lost,
                unsent_periods: finish.map(|finish| finish.batches.saturating_sub(worker.received)),
                different_counters: match facts.counters_agree {
                    Some(false) => vec!["it is not known which".to_owned()],
                    Some(true) | None => Vec::new(),
                },
            },
        }
    };
    heard.facts.workers.iter().zip(&heard.workers).map(of).collect()
}

/// Why there is nothing to report, where that is known.
fn why_nothing(observed: &Observed, heard: Option<&Conclusion>) -> Option<String> {
    if let Some(why) = heard.and_then(|heard| heard.facts.unshared.as_ref()) {
        return Some(why.clone());
    }
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

/// Why what was measured may not be what the script asks for, in words.
fn doubtful(heard: &Conclusion, plans: Option<&Plans>, workers: &[WorkerFacts]) -> Vec<String> {
    let mut words = undelivered(heard, plans, workers);
    let others = |what: &str, others: &collector::session::Others| {
        (others.count > 0).then(|| {
            format!(
                "{} of the workers were to run other {what} than the first one, such as worker {}",
                others.count,
                others.first.first().copied().unwrap_or(0)
            )
        })
    };
    words.extend(others("phases", &heard.differing.phases));
    words.extend(others("checks", &heard.differing.ensure));
    let refused = heard.aggregate.refused_values();
    if refused > 0 {
        let (name, why, _) = heard.aggregate.refused().next().unwrap_or(("", "", 0));
        words
            .push(format!("{refused} measured values were not taken in, such as \"{}\": {why}", short(name)));
    }
    words
}

/// What was wrong with the load, in words. Each worker is judged by its own share.
fn undelivered(heard: &Conclusion, plans: Option<&Plans>, workers: &[WorkerFacts]) -> Vec<String> {
    let mut shortfalls: Vec<(u32, Shortfall)> = Vec::new();
    for ((index, worker), WorkerFacts { end, .. }) in heard.workers.iter().zip(workers) {
        // one that crashed or was stopped has failed, and created what it could
        let has_ended = matches!(end, WorkerEnd::Exited(0 | EXPECTATIONS_FAILED));
        let plan = plans.map(|plans| plans.of(*index)).unwrap_or_default();
        let found = delivery::shortfalls(&plan, &delivered(worker), has_ended);
        shortfalls.extend(found.into_iter().map(|shortfall| (*index, shortfall)));
    }
    delivery::in_words(heard.facts.planned, &shortfalls)
}

fn delivered(worker: &Worker) -> Delivered {
    let HealthSummary { busy_periods, cpu_first, cpu_last, batches, .. } = worker.health;
    let cpu = [cpu_first, cpu_last].map(|cpu| Cpu { periods: cpu.periods, throttled: cpu.throttled_periods });
    let times = |phase: PhaseFact| PhaseTimes {
        index: phase.index,
        started_milliseconds: phase.started,
        length_milliseconds: phase.length,
    };
    Delivered {
        created: worker.vusers.created,
        skipped: worker.vusers.skipped,
        phases: worker.phases.iter().map(|phase| (phase.index, times(phase))).collect(),
        busy_periods: u32::try_from(busy_periods).unwrap_or(u32::MAX),
        utilization: worker.health.busiest().unwrap_or(0.0),
        cpu: (batches > 0).then_some(cpu),
    }
}

/// The checks as Artillery resolved them, evaluated once. Those that cannot be read do not hold.
fn checks(heard: Option<&Conclusion>, total: &Measured) -> Vec<CheckResult> {
    let Some(hello) = heard.and_then(|heard| heard.hello.as_ref()) else { return Vec::new() };
    match Ensure::read(&hello.ensure) {
        Ok(ensure) => ensure.evaluate(total),
        Err(error) => vec![error.as_check()],
    }
}

fn identity(load_test: &LoadTest, heard: Option<&Conclusion>) -> Identity {
    let hello = heard.and_then(|heard| heard.hello.as_ref());
    let mut versions = [hello.map(|hello| hello.artillery.clone()), hello.map(|hello| hello.node.clone())]
        .map(|version| version.into_iter().collect::<Vec<_>>());
    if let Some(others) = heard.map(|heard| &heard.differing.versions).filter(|others| others.count > 0) {
        let more = format!(
            "another one in {} workers, of which the first is {:?}",
            others.count,
            others.first.first()
        );
        versions.iter_mut().for_each(|versions| versions.push(more.clone()));
    }
    let [artillery, node] = versions;
    Identity {
        name: load_test.name().to_owned(),
        namespace: load_test.metadata.namespace.clone(),
        uid: load_test.metadata.uid.clone(),
        artillery,
        node,
    }
}

fn counted(facts: &Facts, heard: Option<&Conclusion>) -> Workers {
    let count = |is: &dyn Fn(&WorkerEnd) -> bool| {
        u32::try_from(facts.workers.iter().filter(|worker| is(&worker.end)).count()).unwrap_or(u32::MAX)
    };
    let reporting =
        heard.map_or(0, |heard| heard.workers.iter().filter(|(_, worker)| worker.received > 0).count());
    Workers {
        planned: facts.planned,
        joined: heard.map_or(0, |heard| heard.facts.joined),
        reporting: u32::try_from(reporting).unwrap_or(u32::MAX),
        succeeded: count(&|end| *end == WorkerEnd::Exited(0)),
        failed: count(&|end| matches!(end, WorkerEnd::Exited(code) if *code != 0)),
        lost: u32::try_from(facts.missing().len()).unwrap_or(u32::MAX),
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
            requests_per_second: total.rate("http.request_rate").map_or(0, round),
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

/// As it is stored. The totals are never thinned: a report that has no room for its time line goes without, and says so.
fn render(report: &Report<'_>) -> Rendered {
    let mut text = Vec::new();
    let mut json = Value::Null;
    // writing to memory does not fail
    if report.write_text(&mut text, &HIDDEN).is_ok() {
        json = serde_json::to_value(report).unwrap_or_default();
    }
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if text.len() > MAX_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        text.push_str("\n(cut here: too long; see report.json)\n");
    }
    Rendered { json: fit(json), text }
}

/// What has to be left out first.
fn fit(mut json: Value) -> String {
    let mut whole = json.to_string();
    let leave_out = |json: &mut Value, what: &str, empty: Value, why: &str| {
        json[what] = empty;
        json["loadtest"]["leftOut"] = Value::from(why);
        json.to_string()
    };
    if whole.len() > MAX_JSON {
        // Artillery writes them twice, under `summaries` and `histograms`
        for step in json["intermediate"].as_array_mut().into_iter().flatten() {
            step.as_object_mut().map(|step| step.remove("histograms"));
        }
        json["aggregate"].as_object_mut().map(|aggregate| aggregate.remove("histograms"));
        whole = json.to_string();
    }
    if whole.len() > MAX_JSON {
        let why = "intermediate: the time line has no room here; it is in the snapshot beside this report";
        whole = leave_out(&mut json, "intermediate", Value::Array(Vec::new()), why);
    }
    if whole.len() > MAX_JSON {
        let why =
            "aggregate and intermediate: they have no room here; they are in the snapshot beside this report";
        whole = leave_out(&mut json, "aggregate", Value::Object(serde_json::Map::new()), why);
    }
    whole
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
