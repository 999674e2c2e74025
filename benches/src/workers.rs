//! Many simulated workers of one test, in a process of their own: `benches workers`. Their pods and tokens are real.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use collector::session::poll_interval;
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use testbed::random::Random;
use testbed::samples;
use testbed::worker::{Collectors, Worker};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until};

/// Artillery's period.
const PERIOD: Duration = Duration::from_secs(10);
/// How many workers join at a time: pods of one test do not start in one instant either.
const JOINING: usize = 200;
/// How long a start may take.
const PATIENCE: Duration = Duration::from_secs(900);

/// What they are to do.
#[derive(Serialize, Deserialize)]
pub struct Orders {
    /// Where the collector is.
    pub url: String,
    /// Whom to trust there.
    pub ca: String,
    /// How many batches each worker sends.
    pub batches: u64,
    /// The workers' tokens.
    pub tokens: Vec<String>,
}

/// What came of it.
#[derive(Serialize, Deserialize, Debug)]
pub struct Outcome {
    /// Seconds from the first join's request to the last one's answer.
    pub joining: f64,
    /// Seconds from the last join's answer to the last release, as its worker waits for it.
    pub release: f64,
    /// Milliseconds between the first and the last release, as the workers wait for it.
    pub skew: f64,
    /// Requests in all batches, which is what the report must say.
    pub requests: u64,
    /// Requests to the collector that had to be made again.
    pub retries: u64,
    /// Seconds of CPU that this process took.
    pub cpu: f64,
}

/// Does what the file says, and writes what came of it beside it.
///
/// # Errors
/// A worker is turned away, or something does not happen in time.
pub async fn work(orders: &Path) -> Result<()> {
    let Orders { url, ca, batches, tokens } = serde_json::from_slice(&std::fs::read(orders)?)?;
    let collectors = Collectors::at(&url, &ca)?;
    let joining = Semaphore::new(JOINING);
    // of one that ends
    let poll = poll_interval(u32::try_from(tokens.len())?);
    let began = Instant::now();
    let lives = tokens.iter().zip(1..).map(|(token, process)| {
        // 250 of them on each of many nodes
        let node = u8::try_from(process / 250 % 250).unwrap_or(0) + 2;
        let collectors = collectors.clone().called_from(Ipv4Addr::new(127, 0, 0, node).into());
        let mut worker = Worker::new(&collectors, token, process);
        let joining = &joining;
        async move {
            let mut retries = 0;
            let permit = joining.acquire().await?;
            let phases = json!([{ "duration": 60, "arrivalRate": 50 }]);
            let hello = json!({
                "protocol": 1, "reporter": "benches", "artillery": "none", "node": "none",
                "phases": phases, "ensure": Value::Null,
            });
            ask(&mut worker, "/v1/join", hello.to_string().as_bytes(), &mut retries).await?;
            drop(permit);
            let joined = Instant::now();
            let released = loop {
                let answer = ask(&mut worker, "/v1/start", b"{}", &mut retries).await?;
                if let Some(milliseconds) = answer["go"]["inMilliseconds"].as_f64() {
                    break Instant::now() + Duration::from_secs_f64(milliseconds.max(0.0) / 1000.0);
                }
                let pause = answer["wait"]["milliseconds"].as_f64().context("neither wait nor go")?;
                sleep(Duration::from_secs_f64(pause / 1000.0)).await;
            };
            sleep_until(released).await;
            let requests = report(&mut worker, process, batches, (released, poll), &mut retries).await?;
            anyhow::Ok((joined, released, requests, retries))
        }
    });
    let lives: Result<Vec<_>> = join_all(lives).await.into_iter().collect();
    let lives = lives?;
    let all_joined = lives.iter().map(|life| life.0).max().context("no workers")?;
    let released = || lives.iter().map(|life| life.1);
    let (first, last) = (released().min().context("none")?, released().max().context("none")?);
    let outcome = Outcome {
        joining: (all_joined - began).as_secs_f64(),
        release: (last - all_joined).as_secs_f64(),
        skew: (last - first).as_secs_f64() * 1000.0,
        requests: lives.iter().map(|life| life.2).sum(),
        retries: lives.iter().map(|life| life.3).sum(),
        cpu: crate::machine::usage(std::process::id())?.cpu,
    };
    std::fs::write(outcome_of(orders), serde_json::to_vec(&outcome)?)?;
    Ok(())
}

/// Sends a batch at the end of each period, and ends when all is durable. Returns how many requests it told of.
async fn report(
    worker: &mut Worker,
    process: u128,
    batches: u64,
    (released, poll): (Instant, Duration),
    retries: &mut u64,
) -> Result<u64> {
    let mut random = Random::of_seed(u64::try_from(process)? * 2 + 1);
    let start = u64::try_from(loadtest::Timestamp::now().as_millisecond())? / 10_000 * 10_000;
    // all workers' periods end together, but their processes are not equally quick
    let late = Duration::from_millis(random.below(0..1500));
    let mut requests = 0;
    for sequence in 1..=batches {
        sleep_until(released + PERIOD * u32::try_from(sequence)? + late).await;
        let batch = samples::batch(sequence, start + (sequence - 1) * 10_000, &mut random);
        requests += batch.counters.get("http.requests").copied().unwrap_or(0);
        let answer = ask(worker, "/v1/batches", &batch.encode(), retries).await?;
        anyhow::ensure!(answer["received"] == sequence, "batch {sequence}: {answer}");
    }
    let finish = json!({ "batches": batches, "exitCode": 0 }).to_string();
    let mut answer = ask(worker, "/v1/finish", finish.as_bytes(), retries).await?;
    let deadline = Instant::now() + PATIENCE;
    while answer["durable"] != batches {
        anyhow::ensure!(Instant::now() < deadline, "not durable in time: {answer}");
        sleep(poll).await; // as the reporter does, bounded above
        answer = ask(worker, "/v1/batches", b"", retries).await?;
    }
    Ok(requests)
}

/// Asks until there is an answer that is one, as the reporter does.
async fn ask(worker: &mut Worker, path: &str, body: &[u8], retries: &mut u64) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = worker.post(path, body.to_vec()).await;
        let why = match answer {
            Ok(answer) if answer.status == 200 => return Ok(answer.body),
            Ok(answer) if matches!(answer.status, 429 | 500..) => format!("{answer:?}"),
            Ok(answer) => anyhow::bail!("{path}: {answer:?}"),
            Err(error) => format!("{error:#}"),
        };
        anyhow::ensure!(Instant::now() < deadline, "{path}: no answer: {why}");
        *retries += 1;
        sleep(Duration::from_millis(500)).await; // as long as a reporter waits at first, bounded above
    }
}

/// Where what came of it is written.
pub fn outcome_of(orders: &Path) -> PathBuf {
    orders.with_extension("outcome.json")
}
