//! What a load test *is*: the LoadTest API, the objects built from one, its lifecycle and what is said about it.
//!
//! The flow of one reconcile reads through these modules in order: [`api`] (the object) → [`observed`] (the facts) →
//! [`plan`] (validated) → [`lifecycle`] (what to do next) → [`job`] (what is built) → [`status`] and [`events`] (what
//! is said). Nothing here knows a client, a runtime or a clock: functions take facts and a passed-in `now`.

pub mod api;
pub mod claim;
pub mod collected;
pub mod crd;
pub mod events;
pub mod human_duration;
pub mod job;
pub mod labels;
pub mod lifecycle;
pub mod observed;
pub mod plan;
pub mod process;
pub mod queue;
pub mod reference;
pub mod reporter;
pub mod script;
pub mod settings;
pub mod status;
pub mod stopping;
pub mod tally;
pub mod template;
pub mod workers;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod starts_once;

pub use api::{LoadTest, LoadTestSpec, LoadTestStatus};
/// The instant type that all of the core's `now` parameters take (microseconds matter to no one here).
pub use k8s_openapi::jiff::Timestamp;
