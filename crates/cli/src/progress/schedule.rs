//! The phases that run one after the other, as they are planned, and which of them it is at a moment. Pure.

use std::time::Duration;

use collector::session::PlannedPhase;
use loadtest::api::PlanStatus;

/// What is planned from the common start on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// The first phases.
    pub phases: Vec<PlannedPhase>,
    /// How many there are.
    pub count: usize,
    /// How long all of them take.
    pub length: Duration,
}

/// Where it is at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum At<'a> {
    /// In a phase that is told.
    Phase {
        /// Which, from 1 on.
        number: usize,
        /// Its name, where it has one.
        name: Option<&'a str>,
        /// How long it still takes.
        left: Duration,
    },
    /// In one that is not told any more.
    Later,
    /// After the last.
    Over,
}

impl Schedule {
    /// Where it is so long after the start; `None` where nothing is planned.
    pub fn at(&self, elapsed: Duration) -> Option<At<'_>> {
        if self.count == 0 {
            return None;
        }
        if elapsed >= self.length {
            return Some(At::Over);
        }
        let mut end = Duration::ZERO;
        for (index, phase) in self.phases.iter().enumerate() {
            end += phase.length;
            if elapsed < end {
                return Some(At::Phase {
                    number: index + 1,
                    name: phase.name.as_deref(),
                    left: end - elapsed,
                });
            }
        }
        Some(At::Later)
    }
}

impl From<&[PlannedPhase]> for Schedule {
    fn from(phases: &[PlannedPhase]) -> Self {
        Self {
            phases: phases.to_vec(),
            count: phases.len(),
            length: phases.iter().map(|phase| phase.length).sum(),
        }
    }
}

impl From<&PlanStatus> for Schedule {
    fn from(plan: &PlanStatus) -> Self {
        let length = plan.end_time.0.duration_since(plan.start_time.0);
        Self {
            phases: plan
                .phases
                .iter()
                .map(|phase| PlannedPhase {
                    name: phase.name.clone(),
                    length: Duration::from_millis(u64::try_from(phase.duration_milliseconds).unwrap_or(0)),
                })
                .collect(),
            count: usize::try_from(plan.phase_count).unwrap_or(0),
            length: Duration::try_from(length).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_moment_has_its_phase() {
        let phase = |name: Option<&str>, seconds| PlannedPhase {
            name: name.map(str::to_owned),
            length: Duration::from_secs(seconds),
        };
        let schedule = Schedule {
            count: 3,
            length: Duration::from_secs(100),
            ..Schedule::from(&[phase(Some("warm"), 10), phase(None, 20)][..])
        };
        let of = |seconds| schedule.at(Duration::from_secs(seconds)).expect("it is planned");
        let left = Duration::from_secs;
        assert_eq!(of(0), At::Phase { number: 1, name: Some("warm"), left: left(10) });
        assert_eq!(of(10), At::Phase { number: 2, name: None, left: left(20) });
        assert_eq!((of(30), of(99), of(100)), (At::Later, At::Later, At::Over));
        assert_eq!(Schedule::default().at(Duration::ZERO), None);
    }
}
