//! Receives what the workers of load tests measured, as `docs/protocol.md` says; knows nothing of Kubernetes.
//!
//! The way in: [`serve`] (connections) → [`Collector::router`] (requests) → `tokens` (who sends it, by [`Identify`]) → the load
//! test in memory (opened from the [`Store`] when its first worker speaks) → [`session`] (claims, start, numbered batches: pure).
//! The way out: `checkpoint` (when is it due: pure) → [`Collector::run`] (the saver) → [`Store`]; [`Collector::facts`] while it runs,
//! [`Collector::conclude`] when it is over.
//!
//! What holds at every moment, whatever is killed:
//! - an index belongs to the first process that claimed it, and nobody is told to start before claims and start are stored;
//! - a batch is merged once: numbers of a worker have no gaps, and a repeat is ignored;
//! - what is called durable is stored; what is not is sent again, for a load test is restored as it was stored, as a whole;
//! - a load test that another process stored is let go of (every save names the version that it replaces).

mod answers;
mod body;
mod checkpoint;
mod collector;
mod counters;
mod edge;
mod limits;
mod load_test;
mod moment;
mod report;
mod routes;
mod save;
mod server;
pub mod session;
mod tokens;

pub use collector::{Collector, ConcludeError, Conclusion, Tally};
pub use counters::{Count, Counters, Endpoint};
pub use edge::{
    Distribution, Identify, IdentifyError, Identity, OnTimeout, Reason, Refused, SaveError, Snapshot,
    StartPolicy, Store, TestRef, Unavailable, Version,
};
pub use moment::{Clock, Moment};
pub use report::{Ended, report};
pub use server::{Limits, Transport, serve};
