//! How long a broken watch waits before it is tried again.

use std::time::Duration;

use kube::runtime::utils::Backoff;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(4);

/// Doubling pauses, short enough that a status is true again within seconds of the API server's return. kube's own
/// grow to 30 s, and stay there for two minutes after all is well.
#[derive(Debug)]
pub struct Patience(Duration);

impl Default for Patience {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Iterator for Patience {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let pause = self.0;
        self.0 = (pause * 2).min(LONGEST);
        Some(pause)
    }
}

impl Backoff for Patience {
    fn reset(&mut self) {
        self.0 = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_four_seconds_and_begin_anew_after_success() {
        let mut patience = Patience::default();
        let milliseconds: Vec<_> = patience.by_ref().take(6).map(|pause| pause.as_millis()).collect();
        assert_eq!(milliseconds, [250, 500, 1000, 2000, 4000, 4000]);
        patience.reset();
        assert_eq!(patience.next(), Some(FIRST));
    }
}
