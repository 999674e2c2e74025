//! The collector as it is, on loopback over TLS, but with tokens that anybody can make and with snapshots that are kept in memory:
//! for sections without an API server. In this process ([`Loopback`]), or in one of its own ([`Apart`]: `benches collector`).

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use collector::{
    Collector, Distribution, Identify, IdentifyError, Identity, Limits, OnTimeout, SaveError, Snapshot,
    StartPolicy, Store, TestRef, Transport, Unavailable, Version, serve,
};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde::{Deserialize, Serialize};
use testbed::cluster::repository;
use testbed::process;
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::machine::{self, Usage};

/// How long a process may take to listen.
const LISTENS: Duration = Duration::from_secs(30);
/// Tokens of Kubernetes are about as long.
const TOKEN_LENGTH: usize = 1_000;

/// What a worker must know of a collector.
#[derive(Clone, Serialize, Deserialize)]
pub struct Address {
    /// `https://HOST:PORT`.
    pub url: String,
    /// PEM of whom to trust there.
    pub ca: String,
}

/// The token of that worker of a load test with so many.
pub fn token(test: &str, index: u32, workers: u32) -> String {
    let mut token = format!("{test}.{index}.{workers}.");
    token.extend(std::iter::repeat_n('x', TOKEN_LENGTH.saturating_sub(token.len())));
    token
}

/// The load test that those tokens belong to.
pub fn test(name: &str) -> TestRef {
    TestRef { uid: name.to_owned(), namespace: "bench".to_owned(), name: name.to_owned() }
}

/// Believes what a token says.
pub struct Believer;

impl Identify for Believer {
    async fn identify(&self, token: &str) -> Result<Identity, IdentifyError> {
        let mut words = token.split('.');
        let mut word = || words.next().ok_or(IdentifyError::Invalid);
        let test = test(word()?);
        let index = word()?.parse().map_err(|_| IdentifyError::Invalid)?;
        let workers = word()?.parse().map_err(|_| IdentifyError::Invalid)?;
        let pod_uid = format!("00000000-0000-4000-8000-{index:012x}");
        let start = StartPolicy { timeout: Duration::from_secs(600), on_timeout: OnTimeout::Fail };
        Ok(Identity { test, index, pod_uid, workers, start, distribution: Distribution::Replicate })
    }
}

/// Keeps the last snapshot of each load test, and how often it was replaced.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<String, (Snapshot, u64)>>);

impl Store for Memory {
    async fn load(&self, test: &TestRef) -> Result<Option<(Snapshot, Version)>, Unavailable> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(all.get(&test.uid).map(|(snapshot, version)| (snapshot.clone(), Version(version.to_string()))))
    }

    async fn save(
        &self,
        test: &TestRef,
        snapshot: &Snapshot,
        version: Option<&Version>,
    ) -> Result<Version, SaveError> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let there = all.get(&test.uid).map(|(_, version)| *version);
        if there.map(|version| version.to_string()) != version.map(|version| version.0.clone()) {
            return Err(SaveError::Conflict);
        }
        let next = there.unwrap_or(0) + 1;
        all.insert(test.uid.clone(), (snapshot.clone(), next));
        Ok(Version(next.to_string()))
    }
}

/// A collector in this process; it ends with this.
pub struct Loopback {
    /// Where it is.
    pub address: Address,
    /// What it knows.
    pub collector: Collector<Believer, Memory>,
    stop: CancellationToken,
}

impl Loopback {
    /// Starts one with those limits.
    pub async fn start(limits: Limits) -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}", listener.local_addr()?);
        let collector = Collector::new(Believer, Memory::default());
        collector.set_leading(true);
        let stop = CancellationToken::new();
        let (saver, saver_stop) = (collector.clone(), stop.clone());
        tokio::spawn(async move { saver.run(saver_stop).await });
        let transport = Transport::Tls(Arc::new(config));
        tokio::spawn(serve(
            listener,
            collector.router(),
            transport,
            limits,
            collector.counters(),
            stop.clone(),
        ));
        Ok(Self { address: Address { url, ca: made.cert.pem() }, collector, stop })
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Is the process of [`Apart`]: a collector that says in a file where it is, and stays until it is killed.
///
/// # Errors
/// It cannot listen, or write the file.
pub async fn stay(file: &Path, kept: usize) -> Result<()> {
    let loopback = Loopback::start(Limits { kept, ..Limits::default() }).await?;
    // whole or not there, for whoever waits for it
    let new = file.with_extension("new");
    std::fs::write(&new, serde_json::to_vec(&loopback.address)?)?;
    std::fs::rename(&new, file)?;
    std::future::pending().await
}

/// A collector in a process of its own, whose CPU time is its own; it ends with this.
pub struct Apart {
    /// Where it is.
    pub address: Address,
    child: Child,
}

impl Apart {
    /// Starts one whose files lie in that folder, and which keeps so many connections open between batches.
    pub async fn start(folder: &Path, kept: usize) -> Result<Self> {
        let file = folder.join(format!("collector-{kept}.json"));
        let log = folder.join(format!("collector-{kept}.log"));
        if file.exists() {
            std::fs::remove_file(&file)?; // of the one before
        }
        let args = ["collector".to_owned(), file.display().to_string(), kept.to_string()];
        let child = process::start(&std::env::current_exe()?, &args, &[], &log)?;
        let mut apart = Self { address: Address { url: String::new(), ca: String::new() }, child };
        let deadline = Instant::now() + LISTENS;
        while !file.exists() {
            let ended = apart.child.try_wait()?;
            anyhow::ensure!(
                ended.is_none() && Instant::now() < deadline,
                "no collector, see {}",
                log.display()
            );
            sleep(Duration::from_millis(20)).await; // poll interval, bounded above
        }
        apart.address = serde_json::from_slice(&std::fs::read(&file)?).context("no address")?;
        Ok(apart)
    }

    /// What it takes now.
    pub fn usage(&self) -> Result<Usage> {
        machine::usage(self.child.id())
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        // it may have ended; then there is nothing to end
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An empty folder for the files of a section.
pub fn folder(section: &str) -> Result<PathBuf> {
    let folder = repository().join("target/bench").join(section);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}
