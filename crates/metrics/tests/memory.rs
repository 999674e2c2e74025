//! How much memory and storage a running load test takes, measured: the figures that the docs give.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

use std::alloc::System;

#[allow(dead_code, reason = "shared with the differential tests, which use all of it")]
#[path = "common/random.rs"]
mod random;

use cap::Cap;
use metrics::aggregate::{Aggregate, PERIOD, Parts};
use metrics::sketch::Sketch;
use metrics::wire::Batch;
use random::Random;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const HISTOGRAMS: usize = 20;
const VALUES: usize = 500;
const COUNTERS: u64 = 30;

/// What a worker measured in a period.
fn batch(random: &mut Random) -> Batch {
    let histograms = (0..HISTOGRAMS).map(|histogram| {
        let mut sketch = Sketch::default();
        for _ in 0..VALUES {
            let time = random.time(20.0 * (1 + histogram) as f64, 0.6).round();
            sketch.accept(time).expect("a time");
        }
        (format!("plugins.metrics-by-endpoint.response_time./api/{histogram}"), sketch)
    });
    Batch {
        sequence: 1,
        histograms: histograms.collect(),
        counters: (0..COUNTERS).map(|counter| (format!("http.codes.{counter}"), 400 + counter)).collect(),
        rates: [("http.request_rate".to_owned(), 51.0)].into(),
        ..Batch::default()
    }
}

/// The most that a load test takes at the end of a period, in bytes: in memory; stored, the part that changes with each batch, a closed
/// group, and all closed groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
struct Most {
    memory: usize,
    live: usize,
    group: usize,
    groups: usize,
}

fn run(batches: &mut [Batch], workers: usize, periods: u64) -> (Most, Aggregate) {
    let before = ALLOCATOR.allocated();
    let mut aggregate = Aggregate::default();
    let mut most = Most::default();
    for period in 0..periods {
        for worker in 0..workers {
            let drawn = (usize::try_from(period).expect("small") * 7 + worker) % batches.len();
            batches[drawn].period = period * PERIOD;
            aggregate.add(&batches[drawn]);
        }
        most.memory = most.memory.max(ALLOCATOR.allocated() - before);
        if period % 5 == 0 {
            let Parts { live, closed } = aggregate.to_parts();
            let sizes = || closed.iter().map(|part| part.len());
            most.live = most.live.max(live.len());
            most.group = most.group.max(sizes().max().unwrap_or(0));
            most.groups = most.groups.max(sizes().sum());
        }
    }
    (most, aggregate)
}

/// The bytes of a total, beside those of the steps.
fn total_bytes(aggregate: &Aggregate) -> usize {
    // twice as much of it in the same one step is one total more
    let whole = |times: usize| {
        let total = aggregate.total();
        let counters = total.counters.iter().map(|(name, count)| (name.to_string(), *count)).collect();
        let histograms =
            total.histograms.iter().map(|(name, sketch)| (name.to_string(), sketch.clone())).collect();
        let batch = Batch { sequence: 1, counters, histograms, ..Batch::default() };
        let mut aggregate = Aggregate::default();
        (0..times).for_each(|_| aggregate.add(&batch));
        aggregate.to_parts().live.len()
    };
    whole(1) / 2
}

/// Sizes are the same each time: what is measured here is what the docs say.
#[test]
fn a_running_load_test_takes_150_kb_however_long_it_runs() {
    let mut random = Random(1);
    let mut batches: Vec<_> = (0..40).map(|_| batch(&mut random)).collect();
    let most = |memory, live, group, groups| Most { memory, live, group, groups };
    for (workers, periods, bound, total) in [
        (1, 90, most(140_000, 30_000, 21_000, 49_000), 6_000),
        (1, 2_000, most(152_000, 44_000, 29_000, 53_000), 9_000),
        (10, 250, most(152_000, 44_000, 38_000, 49_000), 9_000),
        (100, 40, most(190_000, 64_000, 60_000, 60_000), 10_000),
    ] {
        let (most, aggregate) = run(&mut batches, workers, periods);
        let is_within = most.memory <= bound.memory
            && most.live <= bound.live
            && most.group <= bound.group
            && most.groups <= bound.groups;
        let line = format!("{} steps of {} s", aggregate.steps(), aggregate.step() / 1000);
        println!("{workers} workers, {periods} periods, {line}: {most:?}, total {}", total_bytes(&aggregate));
        assert!(is_within, "{workers} workers, {periods} periods, {line}: {most:?} is beyond {bound:?}");
        assert!(total_bytes(&aggregate) <= total, "{}", total_bytes(&aggregate));
        assert!(aggregate.steps() > 10, "{line}");
    }
}
