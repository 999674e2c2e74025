//! Batches decoded, checked and merged per CPU-second on one thread, beside Artillery's own code in Node, which is given the same
//! measurements in its own form (`benches/artillery/merge.mjs`).

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result};
use loadtest::Timestamp;
use metrics::aggregate::Aggregate;
use metrics::wire::Batch;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use testbed::cluster::repository;
use testbed::random::Random;
use testbed::samples;

use crate::artillery::Installed;
use crate::loopback::folder;
use crate::machine;
use crate::report;
use crate::sample::Sample;

/// Periods of a load test, and workers, each of which sends a batch for each period.
const PERIODS: u64 = 4;
const WORKERS: u64 = 100;
/// How often all of them are merged in a round, such that a round of either takes about two seconds.
const OUR_PASSES: u32 = 60;
const THEIR_PASSES: u32 = 4;
/// After one of each that does not count.
const ROUNDS: usize = 9;
/// How many times as many as Artillery merges are aimed for.
const AIM: f64 = 20.0;

/// What both must come to.
#[derive(Deserialize, Debug)]
struct Merged {
    /// CPU time of all threads of the process, seconds.
    cpu: f64,
    /// The counter `http.requests`.
    requests: u64,
    /// Values of `http.response_time`, and two of its quantiles, ms.
    count: u64,
    median: f64,
    p99: f64,
}

/// Measures, and prints the table.
pub fn measure() -> Result<()> {
    let folder = folder("batches")?;
    let now = u64::try_from(Timestamp::now().as_millisecond())?;
    let batches = batches(now / 10_000 * 10_000, &folder)?;
    report::progress("batches: Artillery's code reads them");
    let (mut node, size) = Node::start(&Installed::find()?, &folder)?;
    anyhow::ensure!(size.batches == PERIODS * WORKERS, "Node has read {} batches", size.batches);
    ours(&batches, now)?;
    node.merge()?;
    let (mut per_second, mut their_per_second, mut ratios) =
        (Sample::default(), Sample::default(), Sample::default());
    for round in 1..=ROUNDS {
        let (a, b) = (ours(&batches, now)?, node.merge()?);
        let same = |a: f64, b: f64| (a - b).abs() <= 1e-9 * b.abs();
        anyhow::ensure!(
            (a.requests, a.count) == (b.requests, b.count) && same(a.median, b.median) && same(a.p99, b.p99),
            "not the same result: {a:?}, Artillery: {b:?}"
        );
        #[allow(clippy::cast_precision_loss, reason = "counts are small")]
        let rate = |passes: u32, cpu: f64| f64::from(passes) * batches.len() as f64 / cpu;
        let (a, b) = (rate(OUR_PASSES, a.cpu), rate(THEIR_PASSES, b.cpu));
        report::progress(format!("batches: round {round}: {a:.0} and {b:.0} per CPU-second"));
        per_second.push(a);
        their_per_second.push(b);
        ratios.push(a / b);
    }
    report::heading("Batches, decoded, checked and merged");
    report::line(&format!(
        "{} batches of 20 distributions of 500 samples and 30 counters: {WORKERS} workers, {PERIODS} periods, merged by period and in all. \
         Median (and range) of {ROUNDS} rounds in turns; CPU time of the process, with all of its threads. Both come to the same result.",
        batches.len()
    ));
    let verdict = if ratios.median() >= AIM { "met" } else { "missed" };
    let our_bytes = batches.iter().map(Vec::len).sum::<usize>() / batches.len();
    let columns = ["", "per CPU-second", "bytes per batch", "ratio, by round", "aim"];
    let aim = format!("{AIM:.0}: {verdict}");
    report::table(
        columns,
        &[
            [
                "metrics".to_owned(),
                report::spread(&per_second),
                our_bytes.to_string(),
                report::spread(&ratios),
                aim,
            ],
            [
                "Artillery 2.0.34 in Node".to_owned(),
                report::spread(&their_per_second),
                (size.bytes / size.batches).to_string(),
                "1".to_owned(),
                String::new(),
            ],
        ],
    );
    Ok(())
}

/// Makes the batches, and writes them for Node: a file for each period, in which each batch follows its length.
fn batches(start: u64, folder: &Path) -> Result<Vec<Vec<u8>>> {
    let mut random = Random::of_seed(5);
    let mut all = Vec::new();
    for period in 0..PERIODS {
        let mut file = Vec::new();
        for _ in 0..WORKERS {
            let bytes = samples::batch(period + 1, start + period * 10_000, &mut random).encode();
            file.extend(u32::try_from(bytes.len())?.to_le_bytes());
            file.extend(&bytes);
            all.push(bytes);
        }
        std::fs::write(folder.join(format!("{period}.batches")), file)?;
    }
    Ok(all)
}

/// What the manager does with a batch once it has its bytes.
fn ours(batches: &[Vec<u8>], now: u64) -> Result<Merged> {
    let before = machine::usage(std::process::id())?.cpu;
    let mut aggregate = Aggregate::default();
    for _ in 0..OUR_PASSES {
        aggregate = Aggregate::default();
        for bytes in batches {
            aggregate.add(&Batch::decode(bytes, now)?);
        }
    }
    let cpu = machine::usage(std::process::id())?.cpu - before;
    let total = aggregate.total();
    let times = total.histograms.get("http.response_time").context("no response times")?;
    Ok(Merged {
        cpu,
        requests: total.counters.get("http.requests").copied().unwrap_or(0),
        count: times.count(),
        median: times.quantile(0.5).context("no median")?,
        p99: times.quantile(0.99).context("no p99")?,
    })
}

/// Artillery's code, which ends when its standard input does.
struct Node {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// What Artillery's threads would send.
#[derive(Deserialize)]
struct Size {
    batches: u64,
    bytes: u64,
}

impl Node {
    fn start(installed: &Installed, batches: &Path) -> Result<(Self, Size)> {
        let mut child = Command::new(installed.node())
            .arg(repository().join("benches/artillery/merge.mjs"))
            .args([&installed.home, batches])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start Node")?;
        let orders = child.stdin.take().context("no standard input")?;
        let answers = BufReader::new(child.stdout.take().context("no standard output")?);
        let mut node = Self { child, orders, answers };
        let size = node.answer()?;
        Ok((node, size))
    }

    fn merge(&mut self) -> Result<Merged> {
        writeln!(self.orders, "{THEIR_PASSES}").context("Node has ended")?;
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("no answer of Node's, see above: {line:?}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // it may have ended; then there is nothing to end
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
