//! How the program ends: one exit code for each thing that a pipeline tells apart, decided here.

use std::fmt;
use std::io;

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
    /// 4: there is no cluster, or no right to what was asked for.
    NoCluster,
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
            Self::NoCluster => 4,
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

    /// There is no cluster, or no right to what was asked for.
    pub fn no_cluster(message: impl Into<String>) -> Self {
        Self { exit: Exit::NoCluster, message: message.into() }
    }

    /// Its user ended it.
    pub fn interrupted(message: impl Into<String>) -> Self {
        Self { exit: Exit::Interrupted, message: message.into() }
    }

    /// A file or folder could not be used.
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
