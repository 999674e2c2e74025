//! How long a leader may write: until a deadline by its own monotonic clock, which each renewal of the Lease moves on.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

/// The time in which this process may write; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Term(Arc<Mutex<Option<Instant>>>);

impl Term {
    /// One that no Lease ends: of a manager without leader election.
    pub fn endless() -> Self {
        Self::default()
    }

    /// One that ends then, unless it is moved on.
    pub fn until(deadline: Instant) -> Self {
        Self(Arc::new(Mutex::new(Some(deadline))))
    }

    /// Moves the end on.
    pub fn move_on(&self, deadline: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(deadline);
    }

    /// When it ends; `None`: never.
    pub fn deadline(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing may be written any more.
    pub fn is_over(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|deadline| now >= deadline)
    }
}
