//! Reading a request's body: no more than it may have, no longer than it may take, and all bodies together within bounds.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// How long a body may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// All bodies that are being read have together no more bytes.
const ROOM: usize = 64 << 20;
/// A body that is larger than it may be is still read, and dropped, up to so many bytes.
const MAX_DRAINED: usize = 16 << 20;

/// Room for bodies. It is taken as bytes arrive: who announces much and sends little holds little.
#[derive(Clone, Debug)]
pub struct Room(Arc<Semaphore>);

/// A body, and the room that it takes.
#[derive(Debug)]
pub struct Whole {
    /// Its bytes.
    pub bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

/// Why a body is not there.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// It is too large.
    #[error("the body has more than {0} bytes, which is the most here")]
    TooLarge(usize),
    /// It took too long.
    #[error("the body did not arrive within {} s", PATIENCE.as_secs())]
    TooSlow,
    /// It broke off.
    #[error("the body did not arrive whole: {0}")]
    Broken(String),
    /// There are too many others.
    #[error("too much is being received")]
    NoRoom,
}

impl Default for Room {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM)))
    }
}

impl Room {
    /// Reads a body of at most `limit` bytes. What is too large is read to its end as well, without being kept: a client that is
    /// cut off while it sends does not see its answer.
    ///
    /// # Errors
    /// It cannot be had.
    pub async fn read(&self, mut body: Body, limit: usize) -> Result<Whole, BodyError> {
        let reading = async {
            let announced = body.size_hint().lower();
            if announced > MAX_DRAINED as u64 {
                return Err(BodyError::TooLarge(limit));
            }
            let is_too_large = announced > limit as u64;
            let whole = if is_too_large {
                Err(BodyError::TooLarge(limit))
            } else {
                self.collect(&mut body, limit).await
            };
            if matches!(whole, Err(BodyError::TooLarge(_))) {
                drain(&mut body).await;
            }
            whole
        };
        timeout(PATIENCE, reading).await.unwrap_or(Err(BodyError::TooSlow))
    }

    async fn collect(&self, body: &mut Body, limit: usize) -> Result<Whole, BodyError> {
        let mut whole = Whole { bytes: Vec::new(), _room: None };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| BodyError::Broken(error.to_string()))?;
            let Ok(data) = frame.into_data() else { continue }; // trailers
            if whole.bytes.len() + data.len() > limit {
                return Err(BodyError::TooLarge(limit));
            }
            let more = u32::try_from(data.len()).map_err(|_| BodyError::TooLarge(limit))?;
            let more = Arc::clone(&self.0).try_acquire_many_owned(more).map_err(|_| BodyError::NoRoom)?;
            match &mut whole._room {
                Some(room) => room.merge(more),
                none => *none = Some(more),
            }
            whole.bytes.extend_from_slice(&data);
        }
        Ok(whole)
    }
}

/// Reads what is left of a body, as far as it is not absurd.
async fn drain(body: &mut Body) {
    let mut left = MAX_DRAINED;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, |data| data.len()));
        if left == 0 {
            return;
        }
    }
}
