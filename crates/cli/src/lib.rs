//! `kubectl-artillery`: load tests from a terminal. `flags` (what was typed) → `commands` (what to do) → `project` (the script) and `beside`
//! (its files) → `local` (workers as processes of this machine) or `cluster` (a LoadTest) → `reports` (what is written); `progress` says how it goes,
//! `exit` how it ends.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where a pipe is closed: see `terminal`"
)]

mod beside;
mod cluster;
pub mod commands;
pub mod exit;
pub mod flags;
mod local;
mod plan;
mod progress;
mod project;
mod reports;
mod signals;
pub mod terminal;
mod view;
