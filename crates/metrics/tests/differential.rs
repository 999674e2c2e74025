//! This crate beside Artillery's own code, on random data: sketches, totals, summaries, checks and planned load must come out the same.
//!
//! It needs `ARTILLERY_HOME`, a folder with `node_modules/artillery` 2.0.34 (and Node 22.18 or newer there, in `NODE`, or on the path). `SEED`
//! repeats a run.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

#[path = "differential/artillery.rs"]
mod artillery;
#[path = "differential/checks.rs"]
mod checks;
#[path = "differential/load.rs"]
mod load;
#[path = "common/random.rs"]
mod random;
#[path = "differential/sketches.rs"]
mod sketches;
