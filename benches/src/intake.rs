//! What taking in costs, end to end over HTTPS: the collector is a process of its own, whose CPU time is told, and the workers are
//! in this one. And how long a load test of 10,000 workers is locked while it is stored.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use collector::session::{Hello, Nonce, Process, Session};
use collector::{Limits, Moment, OnTimeout, StartPolicy};
use futures::future::try_join_all;
use loadtest::Timestamp;
use metrics::wire::Batch;
use serde_json::{Value, json};
use testbed::random::Random;
use testbed::samples;
use testbed::worker::{Answer, Collectors, Worker};

use crate::loopback::{Apart, folder, token};
use crate::report;

/// How long each measurement lasts.
const LASTS: Duration = Duration::from_secs(10);
/// Of one load test; each has a connection, and may ask 20 times a second. No more than are kept open.
const WORKERS: u32 = 2_000;
/// So many of them ask at a time.
const AT_A_TIME: u32 = 64;
/// How often one batch is sent: a connection may be closed in the instant in which it is used again.
const TRIES: usize = 3;
/// Batches per CPU-second that are aimed for.
const AIM: f64 = 3_000.0;
/// Enough different ones for [`LASTS`].
const BATCHES: u64 = 400;

/// What the workers send.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Whether they may start, which they may not.
    Polls,
    /// What they measured.
    Batches,
}

/// What was seen.
struct Seen {
    done: u64,
    again: u64,
    seconds: f64,
    cpu: f64,
    peak: f64,
}

/// Measures, and prints the tables.
pub async fn measure() -> Result<()> {
    let folder = folder("intake")?;
    let kept = Limits::default().kept;
    let start = u64::try_from(Timestamp::now().as_millisecond())? / 10_000 * 10_000;
    let mut random = Random::of_seed(7);
    let batches: Vec<Vec<u8>> =
        (1..=BATCHES).map(|n| samples::batch(n, start, &mut random).encode()).collect();
    let mut rows = Vec::new();
    for (what, kept, name, aim) in [
        (What::Polls, kept, "polls", None),
        (What::Batches, kept, "batches", Some(AIM)),
        (What::Batches, 0, "batches, each with a TLS handshake", None),
    ] {
        report::progress(format!("intake: {name}"));
        let apart = Apart::start(&folder, kept).await?;
        let seen = send(&apart, what, &batches).await.with_context(|| name.to_owned())?;
        #[allow(clippy::cast_precision_loss, reason = "counts are small")]
        let done = seen.done as f64;
        let per_second = done / seen.cpu;
        let verdict = |aim: f64| format!("{aim:.0}: {}", if per_second >= aim { "met" } else { "missed" });
        rows.push([
            name.to_owned(),
            seen.done.to_string(),
            report::number(seen.seconds),
            report::number(seen.cpu),
            report::number(per_second),
            aim.map(verdict).unwrap_or_default(),
            report::number(seen.peak),
            seen.again.to_string(),
        ]);
    }
    report::heading("Taking in over HTTPS");
    let bytes = batches.iter().map(Vec::len).sum::<usize>() / batches.len();
    report::line(&format!(
        "{WORKERS} workers of one load test, {AT_A_TIME} of which ask at a time; batches of 20 distributions of 500 samples and 30 \
         counters, {bytes} bytes each. CPU time is that of the collector's process."
    ));
    let columns = ["", "n", "s", "CPU, s", "per CPU-second", "aim", "VmHWM, MiB", "asked again"];
    report::table(columns, &rows);
    let first = batches.first().context("no batch")?;
    report::line(&snapshot(&Batch::decode(first, start).context("a batch that is none")?));
    Ok(())
}

async fn send(apart: &Apart, what: What, batches: &[Vec<u8>]) -> Result<Seen> {
    let collectors = Collectors::at(&apart.address.url, &apart.address.ca)?;
    // where one more would have to join nobody starts
    let (test, planned) = match what {
        What::Polls => ("waits", WORKERS + 1),
        What::Batches => ("runs", WORKERS),
    };
    let mut groups: Vec<Vec<Worker>> = Vec::new();
    for group in 0..AT_A_TIME {
        let indices = (group..WORKERS).step_by(usize::try_from(AT_A_TIME)?);
        groups.push(
            indices.map(|i| Worker::new(&collectors, &token(test, i, planned), u128::from(i) + 1)).collect(),
        );
    }
    let joining = groups.iter_mut().map(|group| async {
        for worker in group {
            let answer = worker.join(&json!([{ "duration": 60, "arrivalRate": 50 }]), &Value::Null).await?;
            anyhow::ensure!(answer.status == 200, "join: {answer:?}");
        }
        anyhow::Ok(())
    });
    try_join_all(joining).await?;
    let (began, before) = (Instant::now(), apart.usage()?);
    let sending = groups.iter_mut().map(|group| async move {
        let (mut done, mut again) = (0, 0);
        for (batch, sequence) in batches.iter().zip(1_u64..) {
            for worker in group.iter_mut() {
                if began.elapsed() > LASTS {
                    return anyhow::Ok((done, again));
                }
                let (path, body): (_, &[u8]) = match what {
                    What::Polls => ("/v1/start", b"{}"),
                    What::Batches => ("/v1/batches", batch),
                };
                let answer = ask(worker, path, body, &mut again).await?;
                let is_right = match what {
                    What::Polls => answer.body["wait"].is_object(),
                    What::Batches => answer.body["received"] == sequence,
                };
                anyhow::ensure!(answer.status == 200 && is_right, "{path} {sequence}: {answer:?}");
                done += 1;
            }
        }
        anyhow::bail!("{BATCHES} of each worker were not enough for {} s", LASTS.as_secs())
    });
    let counts = try_join_all(sending).await?;
    let (seconds, after) = (began.elapsed().as_secs_f64(), apart.usage()?);
    let done = counts.iter().map(|count| count.0).sum();
    let again = counts.iter().map(|count| count.1).sum();
    Ok(Seen { done, again, seconds, cpu: after.cpu - before.cpu, peak: after.peak })
}

async fn ask(worker: &mut Worker, path: &str, body: &[u8], again: &mut u64) -> Result<Answer> {
    for _ in 1..TRIES {
        if let Ok(answer) = worker.post(path, body.to_vec()).await {
            return Ok(answer);
        }
        *again += 1;
    }
    worker.post(path, body.to_vec()).await
}

/// How long a load test of 10,000 workers is locked for a snapshot, and how long it is compressed apart from that.
fn snapshot(batch: &Batch) -> String {
    const MANY: u32 = 10_000;
    let start = StartPolicy { timeout: Duration::from_secs(600), on_timeout: OnTimeout::Run };
    let moment = Moment::from_millis(batch.period);
    let mut session = Session::new(MANY, start, moment);
    let process = |index: u32| Process {
        pod_uid: format!("00000000-0000-4000-8000-{index:012x}"),
        nonce: Nonce(u128::from(index).to_be_bytes()),
    };
    for index in 0..MANY {
        // nobody else has that index
        let _ = session.join(index, &process(index), Hello::default(), moment);
    }
    session.begin_save();
    session.saved(moment);
    let taken =
        (0..MANY).filter(|index| session.take(*index, &process(*index), batch, moment).is_ok()).count();
    let began = Instant::now();
    let draft = session.begin_save();
    let locked = began.elapsed();
    let snapshot = draft.compress();
    let compressed = began.elapsed().saturating_sub(locked);
    format!(
        "A snapshot of {taken} workers, with a batch of each: the load test is locked for {:.1} ms, then it is compressed in {:.1} ms to \
         {} bytes.",
        crate::sample::milliseconds(locked),
        crate::sample::milliseconds(compressed),
        snapshot.head.len()
    )
}
