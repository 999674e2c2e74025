//! What the manager serves: probes and metrics, each on a listener of its own, with bounds that hold for both.

mod authorize;
mod listen;
mod routes;

pub use authorize::authorized;
pub use listen::{Transport, serve};
pub use routes::{Readiness, health, metrics};
