//! What reporting costs a worker: CPU time of the real `artillery run` with the reporter and without it, in pairs, against the target on
//! loopback.

use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::{Context as _, Result};
use collector::Limits;
use serde_json::{Value, json};
use testbed::process;
use tokio::time::{Instant, sleep};

use crate::artillery::{Installed, Reporting, counter};
use crate::loopback::{Loopback, folder, test, token};
use crate::machine;
use crate::report;
use crate::sample::Sample;

/// Runs with and without it; an odd number has a middle.
const PAIRS: usize = 7;
/// Virtual users of a run, each of which makes so many requests, and how long they keep coming, seconds.
const VUSERS: u64 = 500;
const REQUESTS: u64 = 20;
const SECONDS: u64 = 10;
/// By how much more CPU time is aimed for at most.
const AIM: f64 = 1.02;
/// How long the target may take to listen.
const LISTENS: Duration = Duration::from_secs(30);

/// Measures, and prints the table.
pub async fn measure() -> Result<()> {
    let folder = folder("reporter")?;
    let installed = Installed::find()?;
    let shop = Shop::start(&folder).await?;
    let loopback = Loopback::start(Limits::default()).await?;
    let script = json!({
        "config": {
            "target": shop.url,
            "phases": [{ "duration": SECONDS, "arrivalCount": VUSERS }],
        },
        "scenarios": [{ "flow": [{ "loop": [{ "get": { "url": "/products" } }], "count": REQUESTS }] }],
    });
    // the first runs fill caches, and do not count
    for reports in [true, false] {
        run(&installed, &folder, "warm", &script, reports.then_some(&loopback)).await?;
    }
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        // what comes second must not always be the same
        for reports in if pair % 2 == 0 { [true, false] } else { [false, true] } {
            let name = format!("{pair}-{}", if reports { "with" } else { "without" });
            let cpu = run(&installed, &folder, &name, &script, reports.then_some(&loopback)).await?;
            report::progress(format!("reporter: {name}: {cpu:.2} s of CPU"));
            if reports { &mut with } else { &mut without }.push(cpu);
        }
    }
    print(&with, &without);
    Ok(())
}

/// Runs it once, and returns the seconds of CPU that it took per 10,000 requests.
async fn run(
    installed: &Installed,
    folder: &Path,
    name: &str,
    script: &Value,
    loopback: Option<&Loopback>,
) -> Result<f64> {
    let reporting =
        loopback.map(|loopback| Reporting { address: &loopback.address, token: token(name, 0, 1) });
    let before = machine::children_cpu()?;
    let printed = installed.run(folder, name, script, reporting.as_ref())?.end().await?;
    let cpu = machine::children_cpu()? - before;
    let requests = counter(&printed, "http.requests");
    anyhow::ensure!(
        requests == VUSERS * REQUESTS && counter(&printed, "http.codes.200") == requests,
        "{name}: {requests} requests, not {}, or not all were answered:\n{printed}",
        VUSERS * REQUESTS
    );
    if let Some(loopback) = loopback {
        let told = loopback.collector.conclude(&test(name)).await?.context("it did not report")?;
        let told = told.aggregate.total().counters.get("http.requests").copied().unwrap_or(0);
        anyhow::ensure!(told == requests, "{name}: the report has {told} requests, not {requests}");
        loopback.collector.forget(&test(name));
    }
    #[allow(clippy::cast_precision_loss, reason = "counts are small")]
    Ok(cpu / requests as f64 * 10_000.0)
}

fn print(with: &[f64], without: &[f64]) {
    report::heading("What the reporter costs a worker");
    report::line(&format!(
        "`artillery run` (2.0.34) of {VUSERS} virtual users with {REQUESTS} requests each in {SECONDS} s, from the start of the process to its \
         end: CPU time of all its threads, seconds per 10,000 requests; {PAIRS} pairs, in turns the one or the other first. Collector over TLS."
    ));
    let ratios: Vec<f64> = with.iter().zip(without).map(|(with, without)| with / without).collect();
    let row = |what: &str, values: &[f64], aim: String| {
        let sample: Sample = values.iter().copied().collect();
        let [median, least, most] =
            [sample.median(), sample.least(), sample.worst()].map(|value| format!("{value:.3}"));
        [what.to_owned(), median, least, most, aim]
    };
    let median = ratios.iter().copied().collect::<Sample>().median();
    let aim = format!("{AIM:.2}: {}", if median <= AIM { "met" } else { "missed" });
    report::table(
        ["", "median", "least", "most", "aim"],
        &[
            row("with the reporter, s", with, String::new()),
            row("without it, s", without, String::new()),
            row("ratio, by pair", &ratios, aim),
        ],
    );
}

/// The target of the tests, in a process of its own; it ends with this.
struct Shop {
    url: String,
    child: Child,
}

impl Shop {
    async fn start(folder: &Path) -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("loadtest-target");
        anyhow::ensure!(
            program.exists(),
            "there is no {}: build it too, or run `make bench`",
            program.display()
        );
        let log = folder.join("target.log");
        let args = ["--listen=127.0.0.1:0", "--admin-listen=127.0.0.1:0"].map(str::to_owned);
        let child = process::start(&program, &args, &[], &log)?;
        let mut shop = Self { url: String::new(), child };
        let deadline = Instant::now() + LISTENS;
        loop {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if let Some((address, _)) = said.strip_prefix("shop on ").and_then(|rest| rest.split_once(',')) {
                shop.url = format!("http://{address}");
                return Ok(shop);
            }
            let is_on = shop.child.try_wait()?.is_none() && Instant::now() < deadline;
            anyhow::ensure!(is_on, "no target, see {}: {said}", log.display());
            sleep(Duration::from_millis(20)).await; // poll interval, bounded above
        }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // it may have ended; then there is nothing to end
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
