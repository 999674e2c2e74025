//! Chance that can be repeated: numbers that follow from a seed, and what the environment says of it.

use std::ops::Range;
use std::time::{SystemTime, UNIX_EPOCH};

/// Numbers that follow from a seed (xorshift64, Marsaglia 2003): a failure can be repeated.
#[derive(Debug)]
pub struct Random(u64);

impl Random {
    /// From the seed that the environment variable `SEED` gives, else from the clock; it is printed for `what`.
    pub fn of_environment(what: &str) -> Self {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_micros());
        // an odd seed is never 0, from which nothing would follow
        let seed = number("SEED").unwrap_or_else(|| u64::try_from(now()).unwrap_or(1) | 1);
        println!("SEED={seed} of {what}");
        Self(seed)
    }

    /// From that seed, which must not be 0.
    pub fn of_seed(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// A number of that range, which must not be empty.
    pub fn below(&mut self, range: Range<u64>) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        range.start + self.0 % (range.end - range.start)
    }

    /// One of these.
    ///
    /// # Panics
    /// There are none.
    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let index = self.below(0..of.len() as u64);
        of[usize::try_from(index).unwrap_or(0)]
    }
}

/// A number that the environment gives.
///
/// # Panics
/// It gives something else: a run that was asked for must not silently be another.
pub fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|error| panic!("{variable}=\"{text}\": {error}: give a whole number")))
}
