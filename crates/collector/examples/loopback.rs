//! A collector on this machine, for workers on this machine: `cargo run -p collector --example loopback -- PORT WORKERS FOLDER [split]`.
//! With `split` the workers share the load; without, each makes all of it.
//!
//! The token of the worker 2 is `worker-2`, and the store is a file in the folder: it may be killed and started again. When all workers are
//! over it prints what they measured, and ends. Nothing here is secret or fast: it is for trying out a reporter.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use collector::session::StartFacts;
use collector::{
    Collector, Conclusion, Distribution, Identify, IdentifyError, Identity, Limits, OnTimeout, SaveError,
    Snapshot, StartPolicy, Store, TestRef, Transport, Unavailable, Version, serve,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error + Send + Sync>;

struct Tokens(u32, Distribution);

impl Identify for Tokens {
    async fn identify(&self, token: &str) -> Result<Identity, IdentifyError> {
        let index = token.strip_prefix("worker-").and_then(|index| index.parse().ok());
        let index: u32 = index.ok_or(IdentifyError::Invalid)?;
        Ok(Identity {
            test: test(),
            index,
            pod_uid: format!("process-{index}"),
            workers: self.0,
            start: StartPolicy { timeout: Duration::from_secs(120), on_timeout: OnTimeout::Run },
            distribution: self.1,
        })
    }
}

fn test() -> TestRef {
    TestRef { uid: "loopback".to_owned(), namespace: "local".to_owned(), name: "loopback".to_owned() }
}

/// One file: the version, and each part behind its length.
struct File(PathBuf);

impl File {
    fn read(&self) -> std::io::Result<Option<(Snapshot, u64)>> {
        let bytes = match std::fs::read(&self.0) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let (version, mut rest) = bytes.split_first_chunk::<8>().ok_or(ErrorKind::InvalidData)?;
        let version = u64::from_le_bytes(*version);
        let mut parts = Vec::new();
        while let Some((length, tail)) = rest.split_first_chunk::<8>() {
            let length = usize::try_from(u64::from_le_bytes(*length)).map_err(|_| ErrorKind::InvalidData)?;
            let (part, tail) = tail.split_at_checked(length).ok_or(ErrorKind::InvalidData)?;
            parts.push(part);
            rest = tail;
        }
        let (head, closed) = parts.split_first().ok_or(ErrorKind::InvalidData)?;
        let closed = closed.iter().map(|part| Arc::from(*part)).collect();
        Ok(Some((Snapshot { head: head.to_vec(), closed }, version)))
    }

    fn write(&self, snapshot: &Snapshot, version: u64) -> std::io::Result<()> {
        let new = self.0.with_extension("new");
        let mut file = std::fs::File::create(&new)?;
        file.write_all(&version.to_le_bytes())?;
        for part in std::iter::once(snapshot.head.as_slice()).chain(snapshot.closed.iter().map(AsRef::as_ref))
        {
            file.write_all(&(part.len() as u64).to_le_bytes())?;
            file.write_all(part)?;
        }
        file.sync_all()?;
        std::fs::rename(&new, &self.0)
    }
}

impl Store for File {
    async fn load(&self, _: &TestRef) -> Result<Option<(Snapshot, Version)>, Unavailable> {
        let read = self.read().map_err(|error| Unavailable(error.to_string()))?;
        Ok(read.map(|(snapshot, version)| (snapshot, Version(version.to_string()))))
    }

    async fn save(
        &self,
        _: &TestRef,
        snapshot: &Snapshot,
        version: Option<&Version>,
    ) -> Result<Version, SaveError> {
        let failed = |error: std::io::Error| SaveError::Unavailable(error.to_string());
        let there = self.read().map_err(failed)?.map(|(_, version)| version);
        if there.map(|there| there.to_string()) != version.map(|version| version.0.clone()) {
            return Err(SaveError::Conflict);
        }
        let next = there.unwrap_or(0) + 1;
        self.write(snapshot, next).map_err(failed)?;
        println!("stored {next}: {} bytes and {} parts", snapshot.head.len(), snapshot.closed.len());
        Ok(Version(next.to_string()))
    }
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().collect();
    let (arguments, distribution) = match arguments.split_last() {
        Some((last, rest)) if last == "split" => (rest, Distribution::Split),
        _ => (arguments.as_slice(), Distribution::Replicate),
    };
    let [_, port, workers, folder] = arguments else {
        return Err("give PORT WORKERS FOLDER".into());
    };
    let (port, workers): (u16, u32) = (port.parse()?, workers.parse()?);
    let collector =
        Collector::new(Tokens(workers, distribution), File(Path::new(folder).join("loopback.snapshot")));
    collector.set_leading(true);
    let stop = CancellationToken::new();
    let (saver, saver_stop) = (collector.clone(), stop.clone());
    tokio::spawn(async move { saver.run(saver_stop).await });
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("http://{}", listener.local_addr()?);
    let (router, counters) = (collector.router(), collector.counters());
    tokio::spawn(serve(
        listener,
        router,
        Transport::Plain,
        Limits::default(),
        counters.clone(),
        stop.clone(),
    ));
    loop {
        collector.changed().await;
        let Some(facts) = collector.facts(&test()) else { continue };
        let over = facts.workers.iter().filter(|worker| worker.is_over).count();
        println!("{} of {} joined, {over} over, {:?}", facts.joined, facts.planned, facts.start);
        if matches!(facts.start, StartFacts::Released { .. }) && over == facts.workers.len() {
            break;
        }
    }
    if let Some(conclusion) = collector.conclude(&test()).await? {
        print(&conclusion);
    }
    println!("{:?}", counters.requests().collect::<Vec<_>>());
    println!(
        "{} batches, {} repeated, {} ahead, {} lost, {:?} refused",
        counters.batches_accepted.get(),
        counters.batches_repeated.get(),
        counters.batches_ahead.get(),
        counters.batches_lost.get(),
        counters.batches_refused()
    );
    Ok(())
}

fn print(conclusion: &Conclusion) {
    for (index, worker) in &conclusion.workers {
        println!(
            "worker {index}: {} batches, {:?}, agree {:?}, {} lost, busiest {:?}, throttled {:?}, {:?}, {:?}",
            worker.received,
            worker.finish,
            worker.counters_agree(),
            worker.lost,
            worker.health.busiest(),
            worker.health.throttled(),
            worker.vusers,
            worker.phases.iter().collect::<Vec<_>>(),
        );
    }
    println!("hello {:?}, differing {:?}", conclusion.hello, conclusion.differing);
    println!("start skew {:?} ms", conclusion.facts.start_skew);
    let total = conclusion.aggregate.total();
    for (name, count) in &total.counters {
        println!("{name}: {count}");
    }
    for (name, sketch) in &total.histograms {
        println!("{name}: {} values, p99 {:?}", sketch.count(), sketch.quantile(0.99));
    }
    println!("refused values: {:?}", conclusion.aggregate.refused().collect::<Vec<_>>());
}
