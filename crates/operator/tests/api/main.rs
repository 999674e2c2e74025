//! The controller against a real API server, without nodes: the tests play the kubelet. One API server and one
//! controller serve all tests, each in a namespace of its own; the controller has the rights of its installation.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

mod bed;
mod bounds;
mod ending;
mod first_operator;
mod progress;
mod quiet;
mod refusals;
mod reports;
mod script;
mod spec;
mod start;
mod stopping;
mod storing;
mod troubles;
