//! How long a broken watch waits before it is tried again.

use std::time::{Duration, Instant};

use kube::runtime::utils::Backoff;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(4);
/// A watch that needed no pause for this long is well again.
const WELL: Duration = Duration::from_secs(10);

/// Doubling pauses, short enough that a status is true again within seconds of the API server's return: kube's own grow
/// to 30 s. They begin anew after a while without any, not at the first good event, for a list that fails begins with one.
#[derive(Debug)]
pub struct Patience {
    next: Duration,
    last: Option<Instant>,
}

impl Default for Patience {
    fn default() -> Self {
        Self { next: FIRST, last: None }
    }
}

impl Patience {
    fn after(&mut self, now: Instant) -> Duration {
        if self.last.is_some_and(|last| now.duration_since(last) > WELL) {
            self.next = FIRST;
        }
        let pause = self.next;
        self.next = (pause * 2).min(LONGEST);
        self.last = Some(now);
        pause
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.after(Instant::now()))
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_four_seconds_and_begin_anew_after_a_while_without_any() {
        let (mut patience, began) = (Patience::default(), Instant::now());
        let mut pause = |seconds| {
            patience.reset(); // a list that fails begins with a good event
            patience.after(began + Duration::from_secs(seconds)).as_millis()
        };
        assert_eq!([0, 1, 2, 3, 5, 9].map(&mut pause), [250, 500, 1000, 2000, 4000, 4000]);
        assert_eq!([19, 30].map(&mut pause), [4000, 250]);
    }
}
