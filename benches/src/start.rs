//! How far apart workers start, eight of them and as many as there are cores: real Artillery with the reporter, released together by a collector on loopback. As they tell it
//! themselves, and as what they load sees it.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use collector::Limits;
use futures::future::try_join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::artillery::{Installed, Reporting};
use crate::loopback::{Loopback, folder, test, token};
use crate::report;
use crate::sample::{Sample, between};

/// Workers of a run for which there is an aim.
const WORKERS: u32 = 8;
const RUNS: u32 = 5;
/// Milliseconds between the first and the last that are aimed for.
const AIM: f64 = 100.0;
/// How long a worker may take to send its request.
const REQUEST: Duration = Duration::from_secs(10);
/// The largest request, in bytes.
const LARGEST: usize = 16 << 10;

/// When the workers of one run began, in milliseconds.
struct Seen {
    /// The first and the last after the release, as each waited for it.
    told: [f64; 2],
    /// Between the first requests of the first worker and of the last.
    arrivals: f64,
}

/// Measures, and prints the table.
pub async fn measure() -> Result<()> {
    let folder = folder("start")?;
    let installed = Installed::find()?;
    let loopback = Loopback::start(Limits::default()).await?;
    let cores = u32::try_from(std::thread::available_parallelism()?.get())?;
    let mut rows = Vec::new();
    // one core for each, as in a cluster; at least two, lest there be nothing to compare
    for (workers, has_aim) in [(WORKERS, true), (cores.clamp(2, WORKERS), false)] {
        let mut seen = Vec::new();
        for run in 1..=RUNS {
            let name = format!("start-{workers}-{run}");
            let one = once(&installed, &folder, &loopback, &name, workers).await?;
            report::progress(format!(
                "{name}: {:?} ms after the release, arrivals {:.1} ms",
                one.told, one.arrivals
            ));
            seen.push(one);
        }
        rows.extend(rows_of(workers, &seen, has_aim));
    }
    report::heading("How far apart workers start");
    report::line(&format!(
        "Processes of Artillery 2.0.34 on this machine: {WORKERS} that share its {cores} cores, and as many as have a core each. When the \
         first phase began after the release, as each worker tells it; and how far apart the first connections to the targets are, one for \
         each worker."
    ));
    let columns =
        ["workers", "run", "first, ms", "last, ms", "skew, ms", "aim, ms", "skew of first connections, ms"];
    report::table(columns, &rows);
    Ok(())
}

/// A row for each run, and the median and the worst of all.
fn rows_of(workers: u32, seen: &[Seen], has_aim: bool) -> Vec<[String; 7]> {
    let row = |run: String, told: [String; 3], aim: String, arrivals: f64| {
        let [first, last, skew] = told;
        [workers.to_string(), run, first, last, skew, aim, tenths(arrivals)]
    };
    let mut rows: Vec<_> = (1..)
        .zip(seen)
        .map(|(run, Seen { told: [first, last], arrivals })| {
            let told = [first, last, &(last - first)].map(|milliseconds| tenths(*milliseconds));
            row(format!("{run}"), told, String::new(), *arrivals)
        })
        .collect();
    let skews = |of: fn(&Seen) -> f64| seen.iter().map(of).collect::<Sample>();
    let (told, arrivals) = (skews(|one| one.told[1] - one.told[0]), skews(|one| one.arrivals));
    let verdict = |skew: f64| format!("{AIM:.0}: {}", if skew <= AIM { "met" } else { "missed" });
    for (what, skew, arrivals) in
        [("median", told.median(), arrivals.median()), ("worst", told.worst(), arrivals.worst())]
    {
        let aim = if has_aim { verdict(skew) } else { String::new() };
        rows.push(row(what.to_owned(), [String::new(), String::new(), tenths(skew)], aim, arrivals));
    }
    rows
}

async fn once(
    installed: &Installed,
    folder: &Path,
    loopback: &Loopback,
    name: &str,
    workers: u32,
) -> Result<Seen> {
    let (mut runs, mut targets) = (Vec::new(), Vec::new());
    for index in 0..workers {
        let target = Target::start().await?;
        let script = json!({
            "config": { "target": target.url, "phases": [{ "duration": 2, "arrivalRate": 20 }] },
            "scenarios": [{ "flow": [{ "get": { "url": "/" } }] }],
        });
        let reporting = Reporting { address: &loopback.address, token: token(name, index, workers) };
        runs.push(installed.run(folder, &format!("{name}-{index}"), &script, Some(&reporting))?);
        targets.push(target);
    }
    try_join_all(runs.into_iter().map(crate::artillery::Run::end)).await?;
    let told = loopback.collector.conclude(&test(name)).await?.context("nobody reported")?;
    loopback.collector.forget(&test(name));
    let starts: Vec<f64> =
        told.workers.iter().filter_map(|(_, worker)| worker.phases.first_start()).collect();
    anyhow::ensure!(starts.len() == usize::try_from(workers)?, "only {} told of their start", starts.len());
    let starts: Sample = starts.into_iter().collect();
    let (first, last) = (starts.least(), starts.worst());
    let arrived = targets.iter().map(|target| target.first.get().copied());
    let arrived: Vec<Instant> = arrived.collect::<Option<_>>().context("a worker made no request")?;
    let (earliest, latest) = (arrived.iter().min().context("none")?, arrived.iter().max().context("none")?);
    Ok(Seen { told: [first, last], arrivals: between(*earliest, *latest) })
}

fn tenths(milliseconds: f64) -> String {
    format!("{milliseconds:.1}")
}

/// The target of one worker, which notes when it was first connected to, and closes each connection after one answer.
struct Target {
    url: String,
    first: Arc<OnceLock<Instant>>,
    serving: JoinHandle<()>,
}

impl Target {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let first = Arc::new(OnceLock::new());
        let noted = Arc::clone(&first);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                noted.get_or_init(Instant::now);
                // one that breaks off is counted by Artillery as an error, and does not matter to the start
                tokio::spawn(timeout(REQUEST, answer(stream)));
            }
        });
        Ok(Self { url, first, serving })
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") && request.len() < LARGEST {
        if stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await?;
    stream.shutdown().await
}
