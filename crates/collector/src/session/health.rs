//! How a worker's process and its container fared, over all its batches.

use metrics::wire::Health;

/// A worker thread that is busy for more of a period than this cannot keep its times.
pub const BUSY: f64 = 0.95;
/// Shares are kept in thousandths.
const PER_MILLE: f64 = 1000.0;

/// A summary of constant size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthSummary {
    /// How many batches told of it.
    pub batches: u64,
    /// How many of them told how busy the event loop was.
    pub judged: u64,
    /// The largest event-loop utilisation of a period, in thousandths.
    pub busiest_per_mille: u64,
    /// The sum of all of them, in thousandths.
    pub busy_per_mille_sum: u64,
    /// In how many periods it was [`BUSY`] or more.
    pub busy_periods: u64,
    /// The cgroup's CPU counters at the first batch.
    pub cpu_first: CpuCounters,
    /// And at the last.
    pub cpu_last: CpuCounters,
    /// The most memory of the cgroup, in bytes.
    pub memory_most: u64,
    /// Its limit, in bytes; 0: none.
    pub memory_limit: u64,
}

/// A cgroup's counters since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuCounters {
    /// Periods in which it could be throttled.
    pub periods: u64,
    /// Those in which it was.
    pub throttled_periods: u64,
    /// For how long in all, in microseconds.
    pub throttled_microseconds: u64,
}

impl HealthSummary {
    /// Takes in what one batch tells.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
    pub fn add(&mut self, health: &Health) {
        let per_mille = (health.event_loop_utilization * PER_MILLE).round() as u64;
        let cpu = CpuCounters {
            periods: health.cpu_periods,
            throttled_periods: health.cpu_throttled_periods,
            throttled_microseconds: health.cpu_throttled_microseconds,
        };
        if self.batches == 0 {
            self.cpu_first = cpu;
        }
        self.batches += 1;
        // 0: not known
        self.judged += u64::from(health.event_loop_utilization > 0.0);
        self.busiest_per_mille = self.busiest_per_mille.max(per_mille);
        self.busy_per_mille_sum = self.busy_per_mille_sum.saturating_add(per_mille);
        if health.event_loop_utilization >= BUSY {
            self.busy_periods += 1;
        }
        self.cpu_last = cpu;
        self.memory_most = self.memory_most.max(health.memory_bytes);
        self.memory_limit = health.memory_limit_bytes.unwrap_or(0);
    }

    /// The largest event-loop utilisation of a period, 0 to 1; `None` where it is not known.
    #[allow(clippy::cast_precision_loss, reason = "thousandths")]
    pub fn busiest(&self) -> Option<f64> {
        (self.judged > 0).then_some(self.busiest_per_mille as f64 / PER_MILLE)
    }

    /// The mean event-loop utilisation of the periods, 0 to 1; `None` where it is not known.
    #[allow(clippy::cast_precision_loss, reason = "thousandths")]
    pub fn mean(&self) -> Option<f64> {
        (self.judged > 0).then_some(self.busy_per_mille_sum as f64 / self.judged as f64 / PER_MILLE)
    }

    /// The share of CPU periods between the first and the last batch in which the cgroup was throttled, 0 to 1; `None` where it is
    /// not known.
    #[allow(clippy::cast_precision_loss, reason = "a share")]
    pub fn throttled(&self) -> Option<f64> {
        let periods = self.cpu_last.periods.saturating_sub(self.cpu_first.periods);
        let throttled = self.cpu_last.throttled_periods.saturating_sub(self.cpu_first.throttled_periods);
        (periods > 0).then_some(throttled as f64 / periods as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_busiest_period_and_the_share_of_throttled_ones_are_kept() {
        let mut summary = HealthSummary::default();
        assert_eq!((summary.busiest(), summary.mean(), summary.throttled()), (None, None, None));
        // the last one came too soon after the one before
        for (busy, periods, throttled) in
            [(0.2, 1000, 10), (0.96, 1100, 30), (0.64, 1150, 50), (0.0, 1200, 60)]
        {
            summary.add(&Health {
                event_loop_utilization: busy,
                cpu_periods: periods,
                cpu_throttled_periods: throttled,
                memory_bytes: periods,
                ..Health::default()
            });
        }
        assert_eq!((summary.busiest(), summary.mean()), (Some(0.96), Some(0.6)));
        assert_eq!(summary.throttled(), Some(0.25));
        assert_eq!((summary.busy_periods, summary.memory_most), (1, 1200));
    }
}
