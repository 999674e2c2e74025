//! provisional
use collector::Conclusion;
use loadtest::Timestamp;
use loadtest::api::{ReportStatus, Verdict, WorkersStatus};
use loadtest::collected;
use loadtest::lifecycle::Outcome;
use loadtest::observed::Observed;

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

pub fn make(
    observed: &Observed,
    _outcome: Outcome,
    concluded: Option<&Conclusion>,
    _now: Timestamp,
) -> (Rendered, collected::Conclusion) {
    let mut conclusion = not_collected(observed);
    let counters: std::collections::BTreeMap<String, u64> = concluded
        .map(|c| c.aggregate.total().counters.iter().map(|(k, v)| (k.to_string(), *v)).collect())
        .unwrap_or_default();
    let json = serde_json::json!({ "aggregate": { "counters": counters } }).to_string();
    conclusion.message = format!("{:?}", concluded.map(|c| &c.facts));
    (Rendered { json, text: String::new() }, conclusion)
}
