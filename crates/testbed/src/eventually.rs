//! Waiting for a condition, with a bound and a good word at the end: what tests do instead of sleeping.

use std::fmt::Debug;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Time between two looks.
const INTERVAL: Duration = Duration::from_millis(100);

/// Looks until `done` holds of what is seen, and returns it.
///
/// # Panics
/// It did not hold within `within`: the message says what was waited for and what was seen last.
pub async fn eventually<T: Debug>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> T,
    mut done: impl FnMut(&T) -> bool,
) -> T {
    let deadline = Instant::now() + within;
    loop {
        let seen = look().await;
        if done(&seen) {
            return seen;
        }
        assert!(Instant::now() < deadline, "not within {} s: {what}; seen last: {seen:#?}", within.as_secs());
        sleep(INTERVAL).await;
    }
}
