//! `kubectl-artillery`: load tests from a terminal. `flags` (what was typed) → `commands` (what to do) → `project` (the script and its
//! files) → `local` (workers as processes of this machine) → `reports` (what is written); `exit` says how it ends, `terminal` what is said meanwhile.

#![deny(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they panic where a pipe is closed: see `terminal`"
)]

pub mod commands;
pub mod exit;
pub mod flags;
mod local;
mod plan;
mod progress;
mod project;
mod reports;
pub mod terminal;
