//! The words of a status: what holds workers up, what they wait for, why they failed, and how it ended.

use super::WRITE_INTERVAL_SECONDS;
use crate::collected::{Collected, CommonStart};
use crate::lifecycle::Outcome;
use crate::observed::Observed;
use crate::workers::Workers;

/// A worker joins within seconds of its start; none that has not after so many is worth a word.
const JOINED_SECONDS: i64 = 30;
/// How many failed workers a message names.
const NAMED_FAILURES: usize = 5;

/// What keeps workers from running: Kubernetes' word, how many say so, and what one of them says.
pub(super) fn held_up_by(observed: &Observed, seconds_since_start: i64) -> Vec<String> {
    let reasons = observed.workers.waiting_reasons();
    let mut said: Vec<_> = reasons
        .into_iter()
        .map(|(reason, (n, why))| match why.message.as_str() {
            message if !message.is_empty() => format!("{n} {reason}: {message}"),
            _ => format!("{n} {reason}"),
        })
        .collect();
    let without_pod = observed.workers.without_pod();
    match &observed.refusal {
        Some(refusal) => said.push(format!("{without_pod} without a pod: {refusal}")),
        // the Job controller may be slow
        None if without_pod > 0 && seconds_since_start >= WRITE_INTERVAL_SECONDS => {
            said.push(format!("{without_pod} without a pod"));
        }
        None => {}
    }
    said
}

/// What those that run wait for, or that not all of them were waited for; and what keeps the report from being stored.
pub(super) fn collecting(
    Observed { collected, workers, job, load_test, .. }: &Observed,
    since_start: i64,
) -> Vec<String> {
    let (is_late, reports) = (since_start >= JOINED_SECONDS, job.ours().is_some_and(crate::job::reports));
    let Collected { joined, start, .. } = collected;
    // a manager that has just begun to lead knows nothing yet of what another one has told
    let told = load_test.status.as_ref().and_then(|status| status.workers.as_ref());
    let is_late = is_late && told.is_none_or(|told| told.joined == 0);
    let said = match start {
        CommonStart::Waiting if *joined > 0 && workers.running() > 0 => Some(format!(
            "{joined} of {} have joined; all start together once they are ready",
            workers.planned
        )),
        CommonStart::Waiting
            if *joined == 0 && workers.running() > 0 && is_late && reports && collected.trouble.is_none() =>
        {
            Some(
                "none has reached the operator's collector yet: without it there will be no report"
                    .to_owned(),
            )
        }
        CommonStart::Released(released) if *released < workers.planned => {
            Some(format!("started together: {released} of {}", workers.planned))
        }
        CommonStart::TimedOut => Some("not all were ready in time: none is to start".to_owned()),
        CommonStart::Waiting | CommonStart::Released(_) => None,
    };
    let trouble = collected.trouble.as_ref().map(|why| format!("what workers send cannot be stored: {why}"));
    said.into_iter().chain(trouble).collect()
}

/// Why workers failed, the first few by name.
pub(super) fn causes(Workers { failures, .. }: &Workers) -> Vec<String> {
    let named = failures.iter().take(NAMED_FAILURES).map(|(index, cause)| format!("worker {index}: {cause}"));
    let more = failures.len().saturating_sub(NAMED_FAILURES);
    named.chain((more > 0).then(|| format!("and {more} more"))).collect()
}

pub(super) fn in_parentheses(said: &[String]) -> String {
    if said.is_empty() { String::new() } else { format!(" ({})", said.join("; ")) }
}

pub(super) fn outcome_in_words(observed: &Observed, outcome: Outcome) -> String {
    let Workers { planned, succeeded, failed, failures, .. } = &observed.workers;
    match outcome {
        Outcome::Succeeded => format!("{succeeded} of {planned} workers succeeded"),
        Outcome::WorkersFailed => {
            let mut causes = causes(&observed.workers);
            // the first of them that still has a log
            let with_log = failures.keys().find_map(|index| observed.workers.pod_of(*index));
            causes.extend(with_log.map(|pod| format!("see kubectl logs {pod}")));
            let said = observed.workers.last_words();
            causes.extend(said.map(|(index, _, words)| format!("the log of worker {index} ends: {words}")));
            let why = if causes.is_empty() { String::new() } else { format!(": {}", causes.join("; ")) };
            format!("{failed} of {planned} workers failed{why}")
        }
        Outcome::Stopped if observed.load_test.status.as_ref().is_none_or(|s| s.start_time.is_none()) => {
            "stopped by .spec.stop before anything was started".to_owned()
        }
        Outcome::Stopped => {
            format!("stopped by .spec.stop: {succeeded} of {planned} workers succeeded, {failed} did not")
        }
        Outcome::DeadlineExceeded => {
            let seconds = observed.load_test.spec.active_deadline_seconds.unwrap_or(0);
            format!(
                "stopped after the {seconds} s of .spec.activeDeadlineSeconds: {succeeded} of {planned} workers succeeded, {failed} did not"
            )
        }
        Outcome::JobDeleted => {
            "the Job was gone before the load test was seen to end; a load test is never started a second time".to_owned()
        }
        Outcome::JobSuspended => {
            "the Job was suspended after the start, which ends its workers; a load test is never started a second time"
                .to_owned()
        }
        Outcome::KubernetesTooOld => {
            "nothing was started: this cluster dropped the Job's backoffLimitPerIndex, which Kubernetes has since 1.29".to_owned()
        }
    }
}

pub(super) fn workers_in_words(count: i32) -> String {
    if count == 1 { "1 worker".to_owned() } else { format!("{count} workers") }
}
