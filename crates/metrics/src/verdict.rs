//! The verdict on a load test: one function of facts, whose table of tests reads as sentences.
//!
//! | data | exit codes of workers | checks | outcome | reason |
//! |---|---|---|---|---|
//! | complete | all 0 | none | passed | `NoChecks` |
//! | complete | all 0 | all strict ones hold | passed | `ChecksPassed` |
//! | complete | all 0 | a strict one fails | failed | `ChecksFailed` |
//! | complete | some 21, the rest 0 | any | failed | `ExpectationsFailed` |
//! | complete | some other one | any | failed | `WorkersFailed` |
//! | complete, and has no virtual user | all 0 | any | inconclusive | `NoVusers` |
//! | of more workers than may be missing incomplete, or the load was not delivered | any | any | inconclusive | `Inconclusive` |
//! | the test was stopped, or its deadline came | any | any | inconclusive | `Stopped`, `DeadlineExceeded` |

use std::collections::BTreeSet;
use std::fmt::Write as _;

use serde::Serialize;

use crate::checks::CheckResult;

/// The exit code of Artillery where an expectation of its plugin `expect` failed.
pub const EXPECTATIONS_FAILED: i32 = 21;
/// Of so many workers, checks or names it is said what was wrong; of the rest how many there are.
const EXAMPLES: usize = 5;

/// What a verdict stands on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// How many workers there should be.
    pub planned: u32,
    /// What became of those that joined, or should have. Whoever is not here never joined.
    pub workers: Vec<WorkerFacts>,
    /// Of so many workers data may be missing.
    pub may_be_missing: u32,
    /// What was wrong with the load, in words: see `delivery`.
    pub undelivered: Vec<String>,
    /// How many virtual users the workers created.
    pub vusers_created: u64,
    /// What came of the checks.
    pub checks: Vec<CheckResult>,
    /// How the test ended.
    pub end: End,
}

/// How a load test ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// When its workers had ended.
    #[default]
    ByItself,
    /// Somebody stopped it.
    Stopped,
    /// It had run for as long as it may.
    DeadlineExceeded,
}

/// What became of a worker.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerFacts {
    /// Its completion index.
    pub index: u32,
    /// How it ended.
    pub end: WorkerEnd,
    /// What it measured, and did not arrive.
    pub gaps: Gaps,
}

/// How a worker ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkerEnd {
    /// With an exit code.
    Exited(i32),
    /// Nobody knows how: its pod is gone, or it has been silent for too long.
    Lost,
    /// It never reported for the start.
    NeverJoined,
}

/// What a worker measured, and did not arrive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Periods whose measurements were refused, so that it sent that they are lost.
    pub lost_periods: u64,
    /// Periods that it announced at its end, and never sent; `None` where it announced nothing, or was cut short.
    pub unsent_periods: Option<u64>,
    /// Counters that are others in its own final summary than in its batches.
    pub different_counters: Vec<String>,
}

/// Whether the load test passed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Whether it passed.
    pub outcome: Outcome,
    /// Why, in a word for machines.
    pub reason: Reason,
    /// Why, in a sentence for people.
    pub message: String,
}

/// Whether a load test passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Outcome {
    /// All that it asks for held.
    Passed,
    /// Something that it asks for did not hold.
    Failed,
    /// Nobody can tell, for something is missing.
    Inconclusive,
}

impl Outcome {
    /// The status of the condition `Passed`.
    pub fn condition(self) -> &'static str {
        match self {
            Self::Passed => "True",
            Self::Failed => "False",
            Self::Inconclusive => "Unknown",
        }
    }
}

/// Why a load test passed, or did not, or nobody can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Reason {
    /// It has no checks.
    NoChecks,
    /// All of its strict checks hold.
    ChecksPassed,
    /// A strict check does not hold.
    ChecksFailed,
    /// A worker exited with 21: an expectation of the script failed.
    ExpectationsFailed,
    /// A worker exited with another code than 0.
    WorkersFailed,
    /// Data is missing, or the load was not what the script asks for.
    Inconclusive,
    /// No virtual user was created: checks of nothing say nothing.
    NoVusers,
    /// Somebody stopped it.
    Stopped,
    /// It had run for as long as it may.
    DeadlineExceeded,
}

impl Reason {
    /// As conditions, events and reports have it.
    pub fn word(self) -> String {
        format!("{self:?}")
    }
}

impl Facts {
    /// What is missing of the data, in words, whether or not it may be: a line for each worker of which something is.
    pub fn missing(&self) -> Vec<String> {
        let never = |index: &u32| format!("worker {index} never joined");
        let known: BTreeSet<_> = self.workers.iter().map(|worker| worker.index).collect();
        let absent = (0..self.planned).filter(|index| !known.contains(index));
        let mut missing: Vec<_> = absent.map(|index| (index, never(&index))).collect();
        missing.extend(self.workers.iter().filter_map(|worker| Some((worker.index, worker.missing()?))));
        missing.sort();
        missing.into_iter().map(|(_, line)| line).collect()
    }
}

impl WorkerFacts {
    /// What is missing of its data, in words; `None` where it is complete.
    pub fn missing(&self) -> Option<String> {
        let Gaps { lost_periods, unsent_periods, different_counters } = &self.gaps;
        let mut gaps = Vec::new();
        match self.end {
            WorkerEnd::NeverJoined => return Some(format!("worker {} never joined", self.index)),
            WorkerEnd::Lost => gaps.push("was lost".to_owned()),
            WorkerEnd::Exited(code) if unsent_periods.is_none() => {
                gaps.push(format!("ended with exit code {code} before all that it measured was sent"));
            }
            WorkerEnd::Exited(_) => {}
        }
        if let Some(periods) = unsent_periods.filter(|periods| *periods > 0) {
            gaps.push(format!("did not send {}", count_batches(periods)));
        }
        if *lost_periods > 0 {
            gaps.push(format!("sent {} that could not be taken in", count_batches(*lost_periods)));
        }
        if !different_counters.is_empty() {
            let names = some(different_counters.iter().map(String::as_str), ", ");
            gaps.push(format!("has other numbers in its own summary ({names})"));
        }
        (!gaps.is_empty()).then(|| format!("worker {} {}", self.index, gaps.join(" and ")))
    }
}

/// The verdict on a load test.
pub fn verdict(facts: &Facts) -> Verdict {
    let Facts { workers, may_be_missing, undelivered, vusers_created, checks, end, .. } = facts;
    let verdict = |outcome, reason, message| Verdict { outcome, reason, message };
    let missing = facts.missing();
    // however many may be missing: of nothing nobody can say anything
    let is_nothing = workers.iter().all(|worker| worker.missing().is_some());
    let is_incomplete = missing.len() > *may_be_missing as usize || is_nothing;
    match end {
        End::ByItself => {}
        End::Stopped => {
            let message = partial("the load test was stopped", &missing, checks);
            return verdict(Outcome::Inconclusive, Reason::Stopped, message);
        }
        End::DeadlineExceeded => {
            let message = partial("the load test was stopped at its deadline", &missing, checks);
            return verdict(Outcome::Inconclusive, Reason::DeadlineExceeded, message);
        }
    }
    if is_incomplete || !undelivered.is_empty() {
        let mut parts = Vec::new();
        if is_incomplete {
            let may = match may_be_missing {
                0 => "none may be missing".to_owned(),
                _ if is_nothing => "of none it is complete".to_owned(),
                most => format!("{most} may be missing"),
            };
            let lines = some(missing.iter().map(String::as_str), "; ");
            parts.push(format!(
                "data of {} is missing, and {may}: {lines}",
                count(missing.len() as u64, "worker")
            ));
        }
        parts.extend(undelivered.iter().cloned());
        return verdict(Outcome::Inconclusive, Reason::Inconclusive, parts.join(". "));
    }
    // of workers that may be missing nothing is asked, not even how they ended
    let failed: Vec<_> = workers
        .iter()
        .filter(|worker| worker.missing().is_none())
        .filter_map(|worker| match worker.end {
            WorkerEnd::Exited(0) | WorkerEnd::Lost | WorkerEnd::NeverJoined => None,
            WorkerEnd::Exited(code) => Some((worker.index, code)),
        })
        .collect();
    if !failed.is_empty() {
        let codes: Vec<_> =
            failed.iter().map(|(index, code)| format!("worker {index} with exit code {code}")).collect();
        let codes = some(codes.iter().map(String::as_str), ", ");
        let count = count(failed.len() as u64, "worker");
        return if failed.iter().all(|(_, code)| *code == EXPECTATIONS_FAILED) {
            let message = format!("expectations of the script failed in {count}: {codes}");
            verdict(Outcome::Failed, Reason::ExpectationsFailed, message)
        } else {
            verdict(Outcome::Failed, Reason::WorkersFailed, format!("{count} failed: {codes}"))
        };
    }
    if *vusers_created == 0 {
        let mut message = "no virtual user was created, so nothing was tested: give the script a phase in which some arrive (arrivalRate, \
                           rampTo or arrivalCount above 0)"
            .to_owned();
        if !checks.is_empty() {
            let _ = write!(message, "; of nothing {}", checks_in_words(checks));
        }
        return verdict(Outcome::Inconclusive, Reason::NoVusers, message);
    }
    if checks.is_empty() {
        return verdict(
            Outcome::Passed,
            Reason::NoChecks,
            match missing.len() {
                0 => "all workers succeeded; the script has no checks".to_owned(),
                some => format!(
                    "all workers but {some}, which may be missing, succeeded; the script has no checks"
                ),
            },
        );
    }
    let is_failure = |check: &&CheckResult| check.strict && !check.passed;
    if checks.iter().any(|check| is_failure(&check)) {
        verdict(Outcome::Failed, Reason::ChecksFailed, checks_in_words(checks))
    } else {
        verdict(Outcome::Passed, Reason::ChecksPassed, checks_in_words(checks))
    }
}

/// How much of the checks holds.
fn checks_in_words(checks: &[CheckResult]) -> String {
    let all = checks.len();
    let failed: Vec<_> = checks.iter().filter(|check| !check.passed).collect();
    let mut words = match failed.len() {
        0 if all == 1 => return "the check holds".to_owned(),
        0 => return format!("all {all} checks hold"),
        some if failed.iter().all(|check| !check.strict) => {
            let (strict, not) =
                (checks.iter().filter(|check| check.strict).count(), if some == 1 { "does" } else { "do" });
            match strict {
                0 => format!("no check is strict; {some} optional {not} not hold: "),
                1 => format!("the strict check holds; {some} optional {not} not: "),
                strict => format!("all {strict} strict checks hold; {some} optional {not} not: "),
            }
        }
        failed => format!("{failed} of {} failed: ", count(all as u64, "check")),
    };
    let lines: Vec<_> = failed
        .iter()
        .map(|CheckResult { check, strict, actual, .. }| {
            format!("{check}{} ({actual})", if *strict { "" } else { " (optional)" })
        })
        .collect();
    words += &some(lines.iter().map(String::as_str), "; ");
    words
}

fn partial(what: &str, missing: &[String], checks: &[CheckResult]) -> String {
    let mut message = what.to_owned();
    if !missing.is_empty() {
        let lines = some(missing.iter().map(String::as_str), "; ");
        let _ = write!(message, "; data of {} is missing: {lines}", count(missing.len() as u64, "worker"));
    }
    if !checks.is_empty() {
        let _ = write!(message, "; until then {}", checks_in_words(checks));
    }
    message
}

/// A batch is what was measured in a period, or a part of it.
fn count_batches(number: u64) -> String {
    format!("{number} batch{}", if number == 1 { "" } else { "es" })
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// The first few of them, and how many more there are.
fn some<'a>(lines: impl ExactSizeIterator<Item = &'a str>, between: &str) -> String {
    let more = lines.len().saturating_sub(EXAMPLES);
    let mut words = lines.take(EXAMPLES).collect::<Vec<_>>().join(between);
    if more > 0 {
        let _ = write!(words, "{between}and {more} more");
    }
    words
}

#[cfg(test)]
mod tests;
