//! What the manager serves: probes and metrics, each on a listener of its own.

mod plain;
mod secure;

pub use plain::{Health, health, metrics};
pub use secure::secure_metrics;
