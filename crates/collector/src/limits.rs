//! How often one process may ask: a bucket of tokens that refills steadily.

use std::time::Duration;

use crate::moment::Moment;

/// A rate, and how much of it may be saved up.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Tokens a second.
    pub per_second: f64,
    /// At most so many at a time.
    pub burst: f64,
}

/// What is left of a rate.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    tokens: f64,
    at: Moment,
}

impl Bucket {
    /// A full one.
    pub fn new(rate: Rate, now: Moment) -> Self {
        Self { tokens: rate.burst, at: now }
    }

    /// Takes so many tokens.
    ///
    /// # Errors
    /// There are fewer; nothing is taken, and there will be enough after this time.
    pub fn take(&mut self, tokens: f64, rate: Rate, now: Moment) -> Result<(), Duration> {
        let left = self.left(rate, now);
        if left < tokens {
            return Err(Duration::from_secs_f64((tokens - left) / rate.per_second));
        }
        *self = Self { tokens: left - tokens, at: self.at.max(now) };
        Ok(())
    }

    /// Takes a token that was used already, and owes it where there is none: at most as many as may be saved up.
    pub fn owe(&mut self, rate: Rate, now: Moment) {
        let left = (self.left(rate, now) - 1.0).max(-rate.burst);
        *self = Self { tokens: left, at: self.at.max(now) };
    }

    /// How many there are; fewer than none where some are owed.
    pub fn left(&self, rate: Rate, now: Moment) -> f64 {
        (self.tokens + now.since(self.at).as_secs_f64() * rate.per_second).min(rate.burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_the_rate() {
        let rate = Rate { per_second: 20.0, burst: 50.0 };
        let began = Moment::from_millis(1_000_000);
        let mut bucket = Bucket::new(rate, began);
        for _ in 0..50 {
            assert_eq!(bucket.take(1.0, rate, began), Ok(()));
        }
        assert_eq!(bucket.take(1.0, rate, began), Err(Duration::from_millis(50)));
        let later = began + Duration::from_millis(100);
        assert_eq!((bucket.take(1.0, rate, later), bucket.take(1.0, rate, later)), (Ok(()), Ok(())));
        assert!(bucket.take(1.0, rate, later).is_err());
        assert_eq!(bucket.left(rate, began + Duration::from_secs(3600)), 50.0);
    }

    #[test]
    fn what_is_owed_has_to_be_earned_first() {
        let rate = Rate { per_second: 2.0, burst: 20.0 };
        let began = Moment::from_millis(1_000_000);
        let mut bucket = Bucket::new(rate, began);
        for _ in 0..100 {
            bucket.owe(rate, began);
        }
        assert_eq!(bucket.left(rate, began), -20.0);
        assert_eq!(bucket.take(1.0, rate, began), Err(Duration::from_millis(10_500)));
    }
}
