//! What a busy worker would measure in a period: batches of a known size, for tests and measurements of what is behind it.

use metrics::sketch::Sketch;
use metrics::wire::Batch;

use crate::random::Random;

/// Distributions in a batch, and values in each.
pub const HISTOGRAMS: usize = 20;
/// Values in each distribution.
pub const SAMPLES: usize = 500;
/// Counters in a batch.
pub const COUNTERS: usize = 30;

/// A batch of [`HISTOGRAMS`] distributions of [`SAMPLES`] response times, and of [`COUNTERS`] counters, `http.requests` among them.
pub fn batch(sequence: u64, period: u64, random: &mut Random) -> Batch {
    let mut batch = Batch { sequence, period, ..Batch::default() };
    batch.counters.insert("http.requests".into(), SAMPLES as u64);
    for counter in 1..COUNTERS {
        let name = format!("plugins.metrics-by-endpoint./path/{counter}.codes.200");
        batch.counters.insert(name, random.below(1..500));
    }
    batch.rates.insert("http.request_rate".into(), 50.0);
    for histogram in 0..HISTOGRAMS {
        let mut sketch = Sketch::default();
        for _ in 0..SAMPLES {
            // milliseconds, most of them below 200, some much longer
            #[allow(clippy::cast_precision_loss, reason = "small numbers")]
            let value =
                random.below(10..2_000) as f64 / 10.0 * if random.below(0..20) == 0 { 10.0 } else { 1.0 };
            // a few orders of magnitude: no sketch is too narrow for them
            let _ = sketch.accept(value);
        }
        let name = match histogram {
            0 => "http.response_time".to_owned(),
            n => format!("plugins.metrics-by-endpoint.response_time./path/{n}"),
        };
        batch.histograms.insert(name, sketch);
    }
    batch
}
