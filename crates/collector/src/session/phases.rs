//! When a worker's phases began and how long they took, in tenths of a millisecond.

use std::collections::BTreeMap;

use metrics::wire::PhaseTimes;

/// No worker's phases beyond so many are kept.
pub const MAX_PHASES: usize = 64;
/// Tenths of a millisecond.
const TICKS: f64 = 10.0;

/// The phases of one worker, by their number in the script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PhaseLog(pub(super) BTreeMap<u32, PhaseTicks>);

/// Times in tenths of a millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PhaseTicks {
    /// After the release; it may be before.
    pub(super) started: i64,
    /// 0 while it is not over.
    pub(super) length: u64,
}

/// One phase of one worker.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PhaseFact {
    /// As Artillery counts them, from 0.
    pub index: u32,
    /// Milliseconds after the release, as this worker waited for it.
    pub started: f64,
    /// Milliseconds; `None` while it is not over.
    pub length: Option<f64>,
}

impl PhaseLog {
    /// Takes note of a phase that began, or ended.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
    pub fn add(&mut self, phase: &PhaseTimes) {
        if self.0.len() >= MAX_PHASES && !self.0.contains_key(&phase.index) {
            return;
        }
        let ticks = PhaseTicks {
            started: (phase.started_milliseconds * TICKS).round() as i64,
            length: (phase.length_milliseconds.unwrap_or(0.0) * TICKS).round() as u64,
        };
        let known = self.0.entry(phase.index).or_insert(ticks);
        // the end is told after the beginning, and never taken back
        *known = PhaseTicks { length: ticks.length.max(known.length), ..ticks };
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = PhaseFact> {
        self.0.iter().map(|(index, ticks)| ticks.fact(*index))
    }

    /// When the first one that was told of began, in milliseconds after the release.
    pub fn first_start(&self) -> Option<f64> {
        self.iter().next().map(|phase| phase.started)
    }
}

impl PhaseTicks {
    #[allow(clippy::cast_precision_loss, reason = "times of a load test are small")]
    fn fact(self, index: u32) -> PhaseFact {
        let length = (self.length > 0).then_some(self.length as f64 / TICKS);
        PhaseFact { index, started: self.started as f64 / TICKS, length }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(index: u32, started_milliseconds: f64, length_milliseconds: Option<f64>) -> PhaseTimes {
        PhaseTimes { index, started_milliseconds, length_milliseconds }
    }

    #[test]
    fn a_phase_begins_and_ends_and_more_than_are_kept_do_no_harm() {
        let mut log = PhaseLog::default();
        log.add(&phase(0, -1.25, None));
        assert_eq!(log.iter().collect::<Vec<_>>(), [PhaseFact { index: 0, started: -1.3, length: None }]);
        for index in 0..1000 {
            log.add(&phase(index, 12.5, Some(60_000.04)));
        }
        assert_eq!(log.iter().count(), MAX_PHASES);
        assert_eq!(log.first_start(), Some(12.5));
        assert_eq!(log.iter().next().and_then(|phase| phase.length), Some(60_000.0));
    }
}
