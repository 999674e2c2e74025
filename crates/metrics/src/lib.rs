//! What a load test *measured*: Artillery's metrics of many workers, decoded within bounds and merged exactly.
//!
//! The way in: [`wire`] (one worker's period, from bytes) → [`aggregate`] (all workers, all periods) with [`sketch`] (a
//! distribution) and [`sum`] (a sum without an order). The way out: [`summary`] (Artillery's figures) → [`checks`] (the script's
//! `ensure`), [`delivery`] (was the load what was asked for) → [`verdict`] → [`report`]. Nothing here knows a client, a
//! runtime or a clock.

pub mod aggregate;
pub mod checks;
pub mod delivery;
mod javascript;
pub mod report;
pub mod sketch;
pub mod sum;
pub mod summary;
pub mod verdict;
pub mod wire;
