//! Faults on purpose, against a real API server and etcd with real managers: no load test is started twice, none is
//! forgotten, nothing is said twice, and every status is true again soon.
//!
//! `make faults` repeats each fault often and long; here each comes once and short. `ROUNDS=10` repeats, `KILLS=100`
//! kills more often, `LONG=1` gives outages their full length, `SEED=…` repeats a chance. The file that `TABLE` names gets
//! a row of Markdown for each fault.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

#[allow(dead_code, reason = "shared with the tests of the controller, which use all of it")]
#[path = "../api/bed.rs"]
mod bed;
#[allow(dead_code, reason = "shared with the tests of the process, which use all of it")]
#[path = "../common/manager.rs"]
mod manager;

mod deleted;
mod expired;
mod killed;
mod leadership;
mod lives;
mod outages;
mod queued;
mod rivals;
mod taken;
mod tally;
mod workers;

use std::sync::LazyLock;
use std::time::Duration;

use testbed::random::number;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// A test that is not over after this was forgotten. Kubernetes' own controllers wait up to 30 s until they try an API
/// server again.
const FORGOTTEN: Duration = Duration::from_secs(120);

/// Tests run beside each other, each with managers of its own namespace, but not beside one that breaks the API server.
static WHOLE: RwLock<()> = RwLock::const_new(());

/// How often each fault is repeated.
static ROUNDS: LazyLock<u64> = LazyLock::new(|| number("ROUNDS").unwrap_or(1));
/// Whether outages take their full length.
static IS_LONG: LazyLock<bool> = LazyLock::new(|| number("LONG").is_some_and(|long| long > 0));

/// For a test that needs an API server which works.
async fn whole() -> RwLockReadGuard<'static, ()> {
    WHOLE.read().await
}

/// For a test that breaks the API server.
async fn alone() -> RwLockWriteGuard<'static, ()> {
    WHOLE.write().await
}

/// The flag that confines a manager to a test's own namespace.
fn confined(bed: &bed::Bed) -> String {
    format!("--namespace={}", bed.namespace)
}
