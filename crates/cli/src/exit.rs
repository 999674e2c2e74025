//! How the program ends: one exit code for each thing that a pipeline tells apart, decided here.

use std::fmt;
use std::io;

use loadtest::api::{self, LoadTestStatus, PASSED};
use metrics::verdict::{Outcome, Reason, Verdict};

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: the load test passed, or what was asked for is done.
    Passed,
    /// 1: its checks, or the script's expectations, failed.
    ChecksFailed,
    /// 2: the command, the script or its files are wrong.
    Usage,
    /// 3: the load test did not end properly, or its result is inconclusive.
    Inconclusive,
    /// 4: there is no cluster, no operator in it, or no right to do it.
    Cluster,
    /// 130: it was interrupted (128 and the number of SIGINT, as shells have it).
    Interrupted,
}

impl Exit {
    /// As a number.
    pub fn code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::ChecksFailed => 1,
            Self::Usage => 2,
            Self::Inconclusive => 3,
            Self::Cluster => 4,
            Self::Interrupted => 130,
        }
    }

    /// What a verdict comes to.
    pub fn of(verdict: &Verdict) -> Self {
        match (verdict.outcome, verdict.reason) {
            (Outcome::Passed, _) => Self::Passed,
            (Outcome::Failed, Reason::ChecksFailed | Reason::ExpectationsFailed) => Self::ChecksFailed,
            (Outcome::Failed | Outcome::Inconclusive, _) => Self::Inconclusive,
        }
    }

    /// What the status of a load test that is over comes to.
    pub fn of_status(status: &LoadTestStatus) -> Self {
        let reason = status.condition(PASSED).and_then(|condition| condition.reason.as_deref());
        let failed_checks = [Reason::ChecksFailed, Reason::ExpectationsFailed].map(Reason::word);
        match status.verdict {
            Some(api::Verdict::Passed) => Self::Passed,
            Some(api::Verdict::Failed)
                if reason.is_some_and(|reason| failed_checks.iter().any(|word| word == reason)) =>
            {
                Self::ChecksFailed
            }
            Some(api::Verdict::Failed | api::Verdict::Inconclusive) | None => Self::Inconclusive,
        }
    }

    /// The worse of two ends: what could not be measured says less than what failed.
    #[must_use]
    pub fn or_worse(self, other: Self) -> Self {
        let rank = |exit| match exit {
            Self::Passed => 0,
            Self::ChecksFailed => 1,
            Self::Inconclusive => 2,
            Self::Usage => 3,
            Self::Cluster => 4,
            Self::Interrupted => 5,
        };
        if rank(other) > rank(self) { other } else { self }
    }
}

/// Why it ends early, in words that say what to do.
#[derive(Debug)]
pub struct Failure {
    /// With which code.
    pub exit: Exit,
    message: String,
}

impl Failure {
    /// The command, the script or its files are wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, message: message.into() }
    }

    /// What should have worked did not.
    pub fn internal(message: impl Into<String>) -> Self {
        Self { exit: Exit::Inconclusive, message: message.into() }
    }

    /// There is no cluster, no operator in it, or no right to do it.
    pub fn cluster(message: impl Into<String>) -> Self {
        Self { exit: Exit::Cluster, message: message.into() }
    }

    /// Its user ended it.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self { exit: Exit::Interrupted, message: message.into() }
    }

    /// With more to say.
    #[must_use]
    pub fn and(self, more: &str) -> Self {
        Self { exit: self.exit, message: format!("{}; {more}", self.message) }
    }

    /// A file that was given cannot be used.
    pub fn input(doing: &str, path: &std::path::Path, error: &io::Error) -> Self {
        Self::usage(format!("cannot {doing} {}: {error}", path.display()))
    }

    /// A file or folder could not be made or written.
    pub fn file(doing: &str, path: &std::path::Path, error: &io::Error) -> Self {
        Self::internal(format!("cannot {doing} {}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_verdict_has_its_exit_code() {
        for (outcome, reason, code) in [
            (Outcome::Passed, Reason::NoChecks, 0),
            (Outcome::Passed, Reason::ChecksPassed, 0),
            (Outcome::Failed, Reason::ChecksFailed, 1),
            (Outcome::Failed, Reason::ExpectationsFailed, 1),
            (Outcome::Failed, Reason::WorkersFailed, 3),
            (Outcome::Inconclusive, Reason::Inconclusive, 3),
            (Outcome::Inconclusive, Reason::Stopped, 3),
        ] {
            let verdict = Verdict { outcome, reason, message: String::new() };
            assert_eq!(Exit::of(&verdict).code(), code, "{reason:?}");
        }
    }
}
