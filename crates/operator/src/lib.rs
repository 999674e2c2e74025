//! The manager: watches LoadTests, runs each as a Job, and tells the truth about it in its status.
//!
//! The way in: [`flags`] (what was asked) → [`manager`] (wires everything, and ends it) → [`leader`] (who may write) →
//! [`client`] (keeps to that) → [`controller`] (what happens to each LoadTest); [`serve`] has the probes and metrics. What to do is decided in the
//! crate `loadtest`; this one only asks the API server and tells it.

pub mod client;
pub mod collect;
pub mod controller;
pub mod flags;
pub mod leader;
pub mod logging;
pub mod manager;
pub mod metrics;
mod report;
pub mod serve;
