//! The collector over TLS on loopback: the life of load tests, and what becomes of those who do not keep to the protocol.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

mod bed;
mod hostile;
mod life;
mod refusals;
mod split;
mod trouble;
