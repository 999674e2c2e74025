//! What is said of many measurements: median, p99 and worst.

use std::time::{Duration, Instant};

/// Measurements of one thing, in one unit.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<f64>);

impl Sample {
    /// One more.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that half of them do not pass; 0 of none.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The value that 99 % of them do not pass (nearest rank); 0 of none.
    pub fn p99(&self) -> f64 {
        self.quantile(0.99)
    }

    /// The greatest; 0 of none.
    pub fn worst(&self) -> f64 {
        self.quantile(1.0)
    }

    /// The least; 0 of none.
    pub fn least(&self) -> f64 {
        self.quantile(0.0)
    }

    fn quantile(&self, q: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[allow(clippy::cast_precision_loss, reason = "counts are small")]
        let rank = (q * sorted.len() as f64).ceil();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rank is a small count")]
        let index = (rank as usize).saturating_sub(1);
        sorted.get(index).copied().unwrap_or(0.0)
    }
}

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// A duration in milliseconds.
pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// From one instant to another in milliseconds; less than 0 if the other came first.
pub fn between(from: Instant, to: Instant) -> f64 {
    match to.checked_duration_since(from) {
        Some(after) => milliseconds(after),
        None => -milliseconds(from.duration_since(to)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_by_nearest_rank() {
        let sample: Sample = (1..=100).rev().map(f64::from).collect();
        assert_eq!((sample.median(), sample.p99(), sample.worst()), (50.0, 99.0, 100.0));
        assert_eq!(sample.least(), 1.0);
        let one: Sample = [7.0].into_iter().collect();
        assert_eq!((one.median(), one.p99(), one.worst()), (7.0, 7.0, 7.0));
        assert_eq!(Sample::default().median(), 0.0);
    }

    #[test]
    fn what_came_first_is_less_than_nothing_later() {
        let now = Instant::now();
        let later = now + Duration::from_millis(5);
        assert_eq!((between(now, later), between(later, now)), (5.0, -5.0));
    }
}
