//! Load tests on real pods that leave the cluster as it is, in one binary, so that some run at a time.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

mod bundles;
mod cli;
mod deletions;
mod examples;
mod loadtests;
mod metrics;
mod pipelines;
mod pods;
mod reports;
mod spec;
mod split;
mod stopping;
