//! When the workers of a load test start: all together, some moments after the last of them is ready.

use std::time::Duration;

use crate::edge::{OnTimeout, StartPolicy};
use crate::moment::Moment;

/// Nobody is told to ask again sooner.
const SHORTEST_POLL: Duration = Duration::from_millis(250);
/// Each worker lengthens the pause: 10,000 of them ask 2,900 times a second, most on a connection of its own.
const POLL_PER_WORKER: Duration = Duration::from_micros(350);
/// The time for a question to be answered, or to be asked again.
const ANSWER: Duration = Duration::from_millis(250);
/// The time in which the claims should have been stored.
const STORING: Duration = Duration::from_millis(250);
/// A collector that has just taken over gives those who could not reach anybody this long to come back.
const RETURN: Duration = Duration::from_secs(30);

/// Where the start stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Not everybody is ready.
    Waiting,
    /// It is decided, but not stored: nobody was told, and nobody may join any more.
    Decided {
        /// When they are to start.
        at: Moment,
    },
    /// It is stored, and whoever asks is told.
    Released {
        /// When they start, or started.
        at: Moment,
    },
    /// Not everybody joined in time, and the load test wants all or none; that is not stored, and nobody was told.
    Expired {
        /// When that was found.
        at: Moment,
    },
    /// It is stored, and whoever asks is turned away.
    TimedOut {
        /// When that was found.
        at: Moment,
    },
}

/// What the decision rests on.
#[derive(Clone, Copy, Debug)]
pub struct Waiting {
    /// How many workers there are to be.
    pub workers: u32,
    /// How many wait for the start, or have ended already.
    pub ready: u32,
    /// How many can never join, for their pods have ended.
    pub gone: u32,
    /// When the first worker joined.
    pub first_join: Option<Moment>,
    /// Since when this collector has known of the load test.
    pub opened: Moment,
    /// What was asked for.
    pub policy: StartPolicy,
}

/// How long after one answer a worker asks again.
pub fn poll_interval(workers: u32) -> Duration {
    SHORTEST_POLL.max(POLL_PER_WORKER * workers)
}

/// How far ahead a start lies when it is decided: so far that it is stored, and everybody asks once more. Whoever fails to at the very
/// end of that time, and asks again, may start late, which the skew shows.
pub fn lead(workers: u32) -> Duration {
    STORING + notice(workers)
}

/// How far ahead it lies at least when it is stored.
fn notice(workers: u32) -> Duration {
    poll_interval(workers) + ANSWER
}

impl Waiting {
    /// When waiting ends though somebody is missing; `None` while nobody waits.
    pub fn deadline(&self) -> Option<Moment> {
        let timeout = self.policy.timeout;
        self.first_join.map(|first| (first + timeout).max(self.opened + timeout.min(RETURN)))
    }

    /// What becomes of it now.
    pub fn decide(&self, now: Moment) -> Start {
        let at = now + lead(self.workers);
        if self.ready >= self.workers && self.ready > 0 {
            return Start::Decided { at };
        }
        // for nobody else is there anything to wait
        let is_vain = self.ready > 0 && self.ready + self.gone >= self.workers;
        match (self.deadline(), self.policy.on_timeout) {
            (Some(deadline), _) if now < deadline && !is_vain => Start::Waiting,
            (None, _) => Start::Waiting,
            (Some(_), OnTimeout::Run) => Start::Decided { at },
            (Some(_), OnTimeout::Fail) => Start::Expired { at: now },
        }
    }
}

impl Start {
    /// When the workers start, or started; `None` where that is not decided.
    pub fn moment(self) -> Option<Moment> {
        match self {
            Self::Decided { at } | Self::Released { at } => Some(at),
            Self::Waiting | Self::Expired { .. } | Self::TimedOut { .. } => None,
        }
    }

    /// Whether it is decided, and only has to be stored.
    pub fn is_to_be_stored(self) -> bool {
        matches!(self, Self::Decided { .. } | Self::Expired { .. })
    }

    /// What it is once it is stored. A moment that a slow store has overtaken is moved: nobody was told of it.
    pub fn stored(self, workers: u32, now: Moment) -> Self {
        match self {
            Self::Decided { at } if at >= now + notice(workers) => Self::Released { at },
            Self::Decided { .. } => Self::Released { at: now + lead(workers) },
            Self::Expired { at } => Self::TimedOut { at },
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: Moment = Moment::from_millis(1_000_000_000);

    fn at(millis: u64) -> Moment {
        BEGAN + Duration::from_millis(millis)
    }

    fn waiting(workers: u32, ready: u32, on_timeout: OnTimeout) -> Waiting {
        let policy = StartPolicy { timeout: Duration::from_secs(600), on_timeout };
        let first_join = (ready > 0).then_some(BEGAN);
        Waiting { workers, ready, gone: 0, first_join, opened: BEGAN, policy }
    }

    #[test]
    fn nobody_starts_while_somebody_is_missing() {
        assert_eq!(waiting(4, 3, OnTimeout::Run).decide(at(599_999)), Start::Waiting);
        assert_eq!(waiting(4, 3, OnTimeout::Fail).decide(at(599_999)), Start::Waiting);
    }

    #[test]
    fn all_start_once_everybody_can_have_heard_of_it_after_the_last_is_ready() {
        assert_eq!(waiting(4, 4, OnTimeout::Run).decide(at(5000)), Start::Decided { at: at(5750) });
        let many = waiting(10_000, 10_000, OnTimeout::Fail).decide(at(5000));
        assert_eq!(many, Start::Decided { at: at(5000 + 250 + 3500 + 250) });
    }

    #[test]
    fn after_the_timeout_those_who_joined_start_or_nobody_does() {
        assert_eq!(waiting(4, 3, OnTimeout::Run).decide(at(600_000)), Start::Decided { at: at(600_750) });
        assert_eq!(waiting(4, 3, OnTimeout::Fail).decide(at(600_000)), Start::Expired { at: at(600_000) });
    }

    #[test]
    fn those_whose_pods_have_ended_are_not_waited_for() {
        let without = |gone, on_timeout| Waiting { gone, ..waiting(4, 2, on_timeout) }.decide(at(5000));
        assert_eq!(without(1, OnTimeout::Run), Start::Waiting);
        assert_eq!(without(2, OnTimeout::Run), Start::Decided { at: at(5750) });
        assert_eq!(without(2, OnTimeout::Fail), Start::Expired { at: at(5000) });
        let nobody = Waiting { gone: 4, ..waiting(4, 0, OnTimeout::Run) };
        assert_eq!(nobody.decide(at(5000)), Start::Waiting);
    }

    #[test]
    fn the_timeout_counts_from_the_first_join() {
        assert_eq!(waiting(4, 0, OnTimeout::Fail).decide(at(9_000_000)), Start::Waiting);
        assert_eq!(waiting(4, 0, OnTimeout::Run).decide(at(9_000_000)), Start::Waiting);
    }

    #[test]
    fn a_collector_that_takes_over_late_waits_a_little_for_those_who_could_not_reach_anybody() {
        let late = Waiting { opened: at(700_000), ..waiting(4, 3, OnTimeout::Fail) };
        assert_eq!(late.decide(at(729_999)), Start::Waiting);
        assert_eq!(late.decide(at(730_000)), Start::Expired { at: at(730_000) });
    }

    #[test]
    fn a_start_that_the_store_overtook_is_moved_and_any_other_kept() {
        let decided = Start::Decided { at: at(750) };
        assert_eq!(decided.stored(4, at(250)), Start::Released { at: at(750) });
        assert_eq!(decided.stored(4, at(251)), Start::Released { at: at(1001) });
        let released = Start::Released { at: at(750) };
        assert_eq!(released.stored(4, at(9000)), released);
    }
}
