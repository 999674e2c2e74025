//! What it takes to share a script out among ten thousand workers: all of their shares, as the answers to their joins have them.

use std::time::Instant;

use anyhow::{Context as _, Result};
use metrics::delivery::Split;
use serde_json::{Value, json};

use crate::report;
use crate::sample::{Sample, milliseconds};

const WORKERS: u32 = 10_000;
const ROUNDS: usize = 9;
/// At most so many milliseconds are aimed for.
const AIM: f64 = 50.0;

/// A warm-up, a ramp of ten minutes, a plateau, a peak and a pause.
fn phases() -> Value {
    json!([
        { "duration": 60, "arrivalRate": 5000, "name": "warm-up" },
        { "duration": 600, "arrivalRate": 5000, "rampTo": 50_000, "name": "ramp" },
        { "duration": 1800, "arrivalRate": 50_000, "maxVusers": 200_000, "name": "plateau" },
        { "duration": 30, "arrivalCount": 1_000_000, "name": "peak" },
        { "pause": 10 },
    ])
}

/// Measures, and prints the table.
pub fn measure() -> Result<()> {
    let phases = phases();
    let (mut computed, mut written) = (Sample::default(), Sample::default());
    let mut planned = None;
    for _ in 0..=ROUNDS {
        let begun = Instant::now();
        let split = Split::new(&phases, WORKERS).context("the phases cannot be shared")?;
        let shares: Vec<_> = (0..WORKERS).map(|worker| split.phases(worker)).collect();
        let after = begun.elapsed();
        let mut bytes = 0;
        for share in &shares {
            bytes += serde_json::to_vec(share)?.len();
        }
        anyhow::ensure!(bytes > 0, "no shares");
        // the first round fills the caches
        if planned.is_some() {
            computed.push(milliseconds(after));
            written.push(milliseconds(begun.elapsed()));
        }
        planned = split.vusers();
    }
    report::heading("Shares of a script");
    report::line(&format!(
        "{WORKERS} workers share five phases, a ramp of 600 s among them, and {} virtual users; one thread. Median (and range) of {ROUNDS} rounds.",
        planned.context("how many virtual users there are is not known")?
    ));
    let verdict = if computed.median() <= AIM { "met" } else { "missed" };
    report::table(
        ["", "ms", "aim"],
        &[
            ["all shares computed".to_owned(), report::spread(&computed), format!("{AIM:.0}: {verdict}")],
            ["and written as JSON".to_owned(), report::spread(&written), String::new()],
        ],
    );
    Ok(())
}
