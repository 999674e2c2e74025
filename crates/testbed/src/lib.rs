//! For development only: real API servers and clusters to test against, fault tools, and a target that counts.
//!
//! [`api_server`] is a Kubernetes without nodes on free loopback ports, for tests of the controller, and [`history`] the
//! witness of all that is written in it; [`cluster`] is one with nodes, which runs the real Artillery; [`target`] is the
//! server that load tests are run against.

pub mod api_server;
pub mod cluster;
pub mod eventually;
pub mod history;
mod pki;
pub mod process;
pub mod random;
pub mod samples;
pub mod scrape;
pub mod target;
pub mod worker;
