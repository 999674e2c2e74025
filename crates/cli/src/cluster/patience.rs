//! How long a cluster that does not answer is waited for by what is asked of it once.

use std::time::{Duration, Instant};

use tokio::time::{sleep, timeout};

use super::is_lost;

/// What is being deleted, and an API server that does not answer, are waited for so long.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How long it is until another try.
pub const PAUSE: Duration = Duration::from_millis(500);
/// An answer is waited for at least so long, also by the last try.
const LAST: Duration = Duration::from_secs(3);

/// The client tries again by itself, for as long as an API server that is busy asks for: within the patience that is left.
///
/// # Errors
/// Those of what is asked, or there is no answer within that time.
pub async fn answered<T>(
    patience: Duration,
    began: Instant,
    asked: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, kube::Error> {
    let left = patience.saturating_sub(began.elapsed()).max(LAST);
    timeout(left, asked)
        .await
        .unwrap_or_else(|_| Err(kube::Error::Service(format!("no answer within {left:.0?}").into())))
}

/// Asks for what may be done twice, again and again within that patience where nobody knows what came of it.
///
/// # Errors
/// Those of what is asked, the last time.
pub async fn at_last<T>(
    patience: Duration,
    ask: impl AsyncFn() -> Result<T, kube::Error>,
) -> Result<T, kube::Error> {
    let began = Instant::now();
    loop {
        match answered(patience, began, ask()).await {
            Err(error) if is_lost(&error) && began.elapsed() < patience => sleep(PAUSE).await,
            done => return done,
        }
    }
}
