//! What the collector asks of the world around it, on this machine: tokens drawn at random, and a store that lives as long as the program,
//! whose workers do not outlive it either.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use collector::{
    Distribution, Identify, IdentifyError, Identity, OnTimeout, SaveError, Snapshot, StartPolicy, Store,
    TestRef, Unavailable, Version,
};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::exit::Failure;

/// Who a worker is, by its token.
pub struct Tokens {
    test: TestRef,
    workers: u32,
    start: StartPolicy,
    distribution: Distribution,
    indexes: HashMap<String, u32>,
}

impl Tokens {
    /// Draws a token for each worker. Returns them by completion index, too.
    pub fn draw(
        test: TestRef,
        workers: u32,
        start_timeout: Duration,
        distribution: Distribution,
    ) -> Result<(Self, Vec<String>), Failure> {
        let tokens = (0..workers).map(|_| random_hex()).collect::<Result<Vec<_>, _>>()?;
        let indexes = tokens.iter().cloned().zip(0..).collect();
        let start = StartPolicy { timeout: start_timeout, on_timeout: OnTimeout::Run };
        Ok((Self { test, workers, start, distribution, indexes }, tokens))
    }
}

/// 128 random bits in hexadecimal digits.
pub fn random_hex() -> Result<String, Failure> {
    let mut bytes = [0; 16];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map_err(|_| Failure::internal("the system gives no random numbers"))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        // writing to a text does not fail
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

impl Identify for Tokens {
    async fn identify(&self, token: &str) -> Result<Identity, IdentifyError> {
        let index = *self.indexes.get(token).ok_or(IdentifyError::Invalid)?;
        Ok(Identity {
            test: self.test.clone(),
            index,
            pod_uid: format!("process-{index}"),
            workers: self.workers,
            start: self.start,
            distribution: self.distribution,
        })
    }
}

/// The last snapshot of the one load test.
#[derive(Default)]
pub struct Memory(Mutex<Option<(Snapshot, u64)>>);

impl Store for Memory {
    async fn load(&self, _: &TestRef) -> Result<Option<(Snapshot, Version)>, Unavailable> {
        let stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(stored.as_ref().map(|(snapshot, version)| (snapshot.clone(), Version(version.to_string()))))
    }

    async fn save(
        &self,
        _: &TestRef,
        snapshot: &Snapshot,
        version: Option<&Version>,
    ) -> Result<Version, SaveError> {
        let mut stored = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let there = stored.as_ref().map(|(_, version)| *version);
        if there.map(|there| there.to_string()) != version.map(|version| version.0.clone()) {
            return Err(SaveError::Conflict);
        }
        let next = there.unwrap_or(0) + 1;
        *stored = Some((snapshot.clone(), next));
        Ok(Version(next.to_string()))
    }
}
