//! From what the collector knows of a load test that is over, and what is known of its end, to its [`Report`]: for whoever ran the workers,
//! a cluster or this machine. Pure; what the figures and the verdict are is the affair of `metrics`.

mod per_worker;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use metrics::aggregate::{Aggregate, Measured, Measurers};
use metrics::checks::{CheckResult, Ensure};
use metrics::delivery::{self, Cpu, Delivered, Distribution, Plans, Shortfall};
use metrics::report::{Identity, Plan, Report, Workers, fewer};
use metrics::verdict::{EXPECTATIONS_FAILED, End, Facts, Gaps, WorkerEnd, WorkerFacts, verdict};
use metrics::wire::PhaseTimes;

use crate::Conclusion;
use crate::session::{HealthSummary, Others, PhaseFact, StartFacts, Worker, WorkerFacts as Heard};

/// So many lines say what is missing; `workers.lost` says of how many workers something is, by which "and 3 more" is told.
const MAX_MISSING: usize = 500;
/// So many workers are told one by one.
const MAX_WORKERS: usize = 1000;
/// No name or text from elsewhere has more characters in a sentence.
const MAX_TEXT: usize = 500;

/// What is known of a load test that is over beside what its workers said.
#[derive(Clone, Debug)]
pub struct Ended<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its namespace; `None` outside a cluster.
    pub namespace: Option<&'a str>,
    /// Its UID; `None` outside a cluster.
    pub uid: Option<&'a str>,
    /// How many workers there were to be.
    pub planned: u32,
    /// How many of them may be missing.
    pub may_be_missing: u32,
    /// Whether they shared the load.
    pub distribution: Distribution,
    /// How it came to its end.
    pub end: End,
    /// With what the workers' processes exited, by completion index, where that is known.
    pub exit_codes: &'a BTreeMap<u32, i32>,
    /// Why nothing is to be reported, in words, where that is known.
    pub why_nothing: Option<String>,
    /// When, in milliseconds of the Unix time.
    pub at: Option<u64>,
}

/// The report of a load test that is over. `heard` is what its workers sent; `None` if nothing was.
pub fn report<'a>(ended: &Ended<'_>, heard: Option<&'a Conclusion>) -> Report<'a> {
    static NOTHING: LazyLock<Aggregate> = LazyLock::new(Aggregate::default);
    let aggregate = heard.map_or(&*NOTHING, |heard| &heard.aggregate);
    let planned = ended.planned;
    let plans =
        heard.and_then(|heard| Plans::new(ended.distribution, &heard.hello.as_ref()?.phases, planned).ok());
    let workers = workers(ended.exit_codes, heard);
    let undelivered = heard.map(|heard| doubtful(heard, plans.as_ref(), &workers)).unwrap_or_default();
    let facts = Facts {
        planned,
        may_be_missing: ended.may_be_missing,
        undelivered: undelivered.iter().cloned().chain(refused(aggregate)).collect(),
        vusers_created: aggregate.total().counters.get("vusers.created").copied().unwrap_or(0),
        checks: checks(heard, aggregate.total(), Measurers::of(planned)),
        end: ended.end,
        workers,
    };
    let mut verdict = verdict(&facts);
    let unshared = heard.and_then(|heard| heard.facts.unshared.as_ref());
    if let Some(why) = unshared.or(ended.why_nothing.as_ref()) {
        verdict.message = format!("{why}; {}", verdict.message);
    }
    let started_at = heard.and_then(|heard| match heard.facts.start {
        StartFacts::Released { at, .. } => Some(at.millis()),
        StartFacts::Waiting | StartFacts::TimedOut { .. } => None,
    });
    let per_worker = per_worker::all(ended, &facts.workers, heard);
    let told = per_worker.len().min(MAX_WORKERS);
    Report {
        identity: identity(ended, heard),
        workers: counted(&facts, heard),
        started_at,
        ended_at: ended.at.max(started_at),
        start_skew_milliseconds: heard.and_then(|heard| heard.facts.start_skew),
        planned_vusers: plans.as_ref().and_then(Plans::vusers),
        missing: facts.missing().into_iter().take(MAX_MISSING).collect(),
        // what was refused has its own place there
        undelivered,
        checks: facts.checks,
        verdict,
        plan: heard
            .and_then(|heard| heard.hello.as_ref())
            .map(|hello| Plan::of(ended.distribution, &hello.phases, planned, plans.as_ref())),
        per_worker_left_out: per_worker.len() - told,
        per_worker: fewer(per_worker, told),
        aggregate,
    }
}

/// What became of those that joined. The container's exit code comes first, for a process may be killed after its last word; but it may be
/// gone with its pod.
fn workers(exit_codes: &BTreeMap<u32, i32>, heard: Option<&Conclusion>) -> Vec<WorkerFacts> {
    let Some(heard) = heard else { return Vec::new() };
    let of = |(facts, (index, worker)): (&Heard, &(u32, Worker))| {
        let finish = facts.finish.as_ref();
        let said = finish.and_then(|finish| finish.exit_code);
        let code = exit_codes.get(index).copied().or(said);
        WorkerFacts {
            index: *index,
            end: code.map_or(WorkerEnd::Lost, WorkerEnd::Exited),
            gaps: Gaps {
                lost_periods: worker.lost,
                unsent_periods: finish
                    .filter(|finish| !finish.cut_short)
                    .map(|finish| finish.batches.saturating_sub(worker.received)),
                different_counters: match facts.counters_agree {
                    Some(false) => vec!["it is not known which".to_owned()],
                    Some(true) | None => Vec::new(),
                },
            },
        }
    };
    heard.facts.workers.iter().zip(&heard.workers).map(of).collect()
}

/// Why what was measured may not be what the script asks for, in words.
fn doubtful(heard: &Conclusion, plans: Option<&Plans>, workers: &[WorkerFacts]) -> Vec<String> {
    let mut words = undelivered(heard, plans, workers);
    let others = |what: &str, others: &Others| {
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
    words
}

/// What was measured and not taken in, in words, if anything.
fn refused(aggregate: &Aggregate) -> Option<String> {
    let refused = aggregate.refused_values();
    let (name, why, _) = aggregate.refused().next().unwrap_or(("", "", 0));
    (refused > 0)
        .then(|| format!("{refused} measured values were not taken in, such as \"{}\": {why}", short(name)))
}

/// What was wrong with the load, in words. Each worker is judged by its own share.
fn undelivered(heard: &Conclusion, plans: Option<&Plans>, workers: &[WorkerFacts]) -> Vec<String> {
    let mut shortfalls: Vec<(u32, Shortfall)> = Vec::new();
    // of a worker of which data is missing nobody knows what it did
    let whole = heard.workers.iter().zip(workers).filter(|(_, facts)| facts.missing().is_none());
    for ((index, worker), WorkerFacts { end, .. }) in whole {
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
fn checks(heard: Option<&Conclusion>, total: &Measured, by: Measurers) -> Vec<CheckResult> {
    let Some(hello) = heard.and_then(|heard| heard.hello.as_ref()) else { return Vec::new() };
    match Ensure::read(&hello.ensure) {
        Ok(ensure) => ensure.evaluate(total, by),
        Err(error) => vec![error.as_check()],
    }
}

fn identity(ended: &Ended<'_>, heard: Option<&Conclusion>) -> Identity {
    let hello = heard.and_then(|heard| heard.hello.as_ref());
    let mut versions = [hello.map(|hello| hello.artillery.clone()), hello.map(|hello| hello.node.clone())]
        .map(|version| version.into_iter().collect::<Vec<_>>());
    if let Some(others) = heard.map(|heard| &heard.differing.versions).filter(|others| others.count > 0) {
        let first = others.first.first().copied().unwrap_or(0);
        let (workers, such) = if others.count == 1 { ("worker", "that is") } else { ("workers", "such as") };
        let more = format!("other versions in {} {workers}, {such} worker {first}", others.count);
        versions.iter_mut().for_each(|versions| versions.push(more.clone()));
    }
    let [artillery, node] = versions;
    Identity {
        name: ended.name.to_owned(),
        namespace: ended.namespace.map(str::to_owned),
        uid: ended.uid.map(str::to_owned),
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

fn short(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}
