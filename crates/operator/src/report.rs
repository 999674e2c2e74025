//! provisional
use std::collections::BTreeMap;

use collector::Conclusion;
use loadtest::Timestamp;
use loadtest::api::{ReportStatus, Verdict, WorkersStatus};
use loadtest::collected;
use loadtest::lifecycle::Outcome;
use loadtest::observed::Observed;
use metrics::aggregate::Measured;
use metrics::summary::Figures;
use serde_json::{Value, json};

use crate::collect::store::Rendered;

pub fn not_collected(_observed: &Observed) -> collected::Conclusion {
    collected::Conclusion {
        verdict: Verdict::Inconclusive,
        reason: "Inconclusive".into(),
        message: "this operator collects no reports".into(),
        workers: WorkersStatus::default(),
        metrics: None,
        start_skew_milliseconds: None,
        checks: vec![],
        report: ReportStatus::default(),
    }
}

fn section(measured: &Measured) -> Value {
    let figures = Figures::of(measured);
    let counters: BTreeMap<String, u64> = figures.counters.iter().map(|(k, v)| (k.to_string(), *v)).collect();
    json!({ "counters": counters })
}

pub fn make(
    observed: &Observed,
    _outcome: Outcome,
    concluded: Option<&Conclusion>,
    _now: Timestamp,
) -> (Rendered, collected::Conclusion) {
    let mut conclusion = not_collected(observed);
    let Some(c) = concluded else {
        return (Rendered { json: "{}".into(), text: String::new() }, conclusion);
    };
    let steps: Vec<Value> = c.aggregate.time_line().map(|(_, m)| section(&m)).collect();
    let json = json!({ "aggregate": section(c.aggregate.total()), "intermediate": steps }).to_string();
    conclusion.message = format!("{:?}", c.facts);
    let complete = c.facts.workers.len() == observed.workers.planned as usize
        && c.facts.workers.iter().all(|w| w.is_over && w.lost == 0 && w.counters_agree != Some(false));
    let bad = c.facts.workers.iter().any(|w| w.finish.as_ref().is_some_and(|f| f.exit_code != Some(0)));
    conclusion.reason = match (complete, bad) {
        (false, _) => "Inconclusive",
        (true, true) => "WorkersFailed",
        (true, false) => "NoChecks",
    }
    .into();
    conclusion.verdict = match (complete, bad) {
        (false, _) => Verdict::Inconclusive,
        (true, true) => Verdict::Failed,
        (true, false) => Verdict::Passed,
    };
    conclusion.workers.lost = c.facts.workers.iter().filter(|w| !w.is_over).count() as i32;
    (Rendered { json, text: String::new() }, conclusion)
}
