//! All that the workers of one load test measured: an exact total, and a time line that is thinned to stay small.

use std::collections::BTreeMap;

use crate::sketch::Sketch;
use crate::sum::Sum;
use crate::wire::{Batch, Refused, ValueError};

/// Artillery's own period, in milliseconds.
pub const PERIOD: u64 = 10_000;
/// The time line has no more steps; where it would, each step becomes twice as long.
pub const MAX_STEPS: usize = 120;
/// A load test has no more names of each kind; further ones are refused.
pub const MAX_NAMES: usize = 5_000;
/// A load test's distributions have no more bins together, 8 MiB; what would need more is refused.
pub const MAX_TOTAL_BINS: usize = 1 << 20;

/// What was measured, in some time by some workers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Totals by name.
    pub counters: BTreeMap<String, u64>,
    /// Events per second by name, summed over workers and periods; Artillery's mean is this by the number of periods.
    pub rates: BTreeMap<String, Sum>,
    /// Distributions by name.
    pub histograms: BTreeMap<String, Sketch>,
}

/// The merge of batches, in any order.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    total: Measured,
    /// Steps by their first millisecond, each `step` long.
    time_line: BTreeMap<u64, Measured>,
    step: u64,
    batches: u64,
    /// How often values were left out, by name and reason.
    refused: BTreeMap<(String, String), u64>,
}

impl Default for Aggregate {
    fn default() -> Self {
        Self {
            total: Measured::default(),
            time_line: BTreeMap::new(),
            step: PERIOD,
            batches: 0,
            refused: BTreeMap::new(),
        }
    }
}

impl Aggregate {
    /// Takes in a batch. What cannot be merged is left out, and counted.
    pub fn add(&mut self, batch: &Batch) {
        self.batches += 1;
        for Refused { name, why } in &batch.refused {
            self.refuse(name, why);
        }
        if !batch.has_measurements() {
            return;
        }
        let rates = batch.rates.iter().map(|(name, rate)| (name.clone(), Sum::from_iter([*rate]))).collect();
        let Batch { counters, histograms, .. } = batch;
        let mut refused = Vec::new();
        self.total.add(counters, &rates, histograms, &mut refused);
        for (name, why) in refused {
            self.refuse(&name, &why);
        }
        // what the total refuses, the steps refuse too, or take: they are a picture, the total is the truth
        let step = self.time_line.entry(batch.period - batch.period % self.step).or_default();
        step.add(counters, &rates, histograms, &mut Vec::new());
        self.thin();
    }

    /// Everything together.
    pub fn total(&self) -> &Measured {
        &self.total
    }

    /// The steps of the time line, by their first millisecond of the Unix time.
    pub fn time_line(&self) -> &BTreeMap<u64, Measured> {
        &self.time_line
    }

    /// How long a step is, in milliseconds.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// How many batches were taken in.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// What was left out: name, reason, how often.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.refused.iter().map(|((name, why), count)| (name.as_str(), why.as_str(), *count))
    }

    fn refuse(&mut self, name: &str, why: &ValueError) {
        let key = (name.to_owned(), why.to_string());
        if self.refused.len() < MAX_NAMES || self.refused.contains_key(&key) {
            *self.refused.entry(key).or_default() += 1;
        }
    }

    /// Makes steps twice as long until there are few enough. Their bounds are multiples of their length, so that the
    /// order of batches does not matter.
    fn thin(&mut self) {
        while self.time_line.len() > MAX_STEPS {
            self.step *= 2;
            let fine = std::mem::take(&mut self.time_line);
            for (start, measured) in fine {
                let Measured { counters, rates, histograms } = &measured;
                let step = self.time_line.entry(start - start % self.step).or_default();
                step.add(counters, rates, histograms, &mut Vec::new());
            }
        }
    }
}

impl Measured {
    fn add(
        &mut self,
        counters: &BTreeMap<String, u64>,
        rates: &BTreeMap<String, Sum>,
        histograms: &BTreeMap<String, Sketch>,
        refused: &mut Vec<(String, ValueError)>,
    ) {
        for (name, value) in counters {
            merge(&mut self.counters, name, value, refused, |sum, value| {
                *sum = sum.saturating_add(*value);
                Ok(())
            });
        }
        for (name, value) in rates {
            merge(&mut self.rates, name, value, refused, |sum, value| {
                sum.merge(value);
                Ok(())
            });
        }
        for (name, value) in histograms {
            merge(&mut self.histograms, name, value, refused, |all, sketch| Ok(all.merge(sketch)?));
        }
    }
}

fn merge<T: Clone>(
    into: &mut BTreeMap<String, T>,
    name: &str,
    value: &T,
    refused: &mut Vec<(String, ValueError)>,
    add: impl FnOnce(&mut T, &T) -> Result<(), ValueError>,
) {
    let is_full = into.len() >= MAX_NAMES;
    match into.get_mut(name) {
        Some(there) => {
            if let Err(why) = add(there, value) {
                refused.push((name.to_owned(), why));
            }
        }
        None if is_full => refused.push((name.to_owned(), ValueError::OneTooMany)),
        None => {
            into.insert(name.to_owned(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn batch(period: u64, requests: u64, times: &[f64]) -> Batch {
        let mut sketch = Sketch::default();
        for time in times {
            sketch.accept(*time).expect("a time");
        }
        Batch {
            sequence: 1,
            period: period * PERIOD,
            counters: [("http.requests".to_owned(), requests)].into(),
            rates: [("http.request_rate".to_owned(), 2.0)].into(),
            histograms: [("http.response_time".to_owned(), sketch)].into(),
            ..Batch::default()
        }
    }

    #[test]
    fn the_time_line_stays_small_and_the_total_exact() {
        let mut aggregate = Aggregate::default();
        for period in 0..1000 {
            aggregate.add(&batch(period, 3, &[1.0]));
        }
        assert!(aggregate.time_line().len() <= MAX_STEPS, "{}", aggregate.time_line().len());
        assert_eq!(aggregate.step(), 16 * PERIOD);
        let by_step: u64 = aggregate.time_line().values().map(|step| step.counters["http.requests"]).sum();
        assert_eq!((by_step, aggregate.total().counters["http.requests"]), (3000, 3000));
        assert_eq!(aggregate.total().histograms["http.response_time"].count(), 1000);
    }

    #[test]
    fn names_without_end_are_refused_and_counted() {
        let mut aggregate = Aggregate::default();
        for i in 0..=MAX_NAMES as u64 {
            let counters = [(format!("name-{i}"), 1)].into();
            aggregate.add(&Batch { sequence: 1, counters, ..Batch::default() });
        }
        assert_eq!(aggregate.total().counters.len(), MAX_NAMES);
        let refused: Vec<_> = aggregate.refused().collect();
        assert_eq!((refused.len(), refused[0].2), (1, 1));
    }

    proptest! {
        #[test]
        fn the_order_of_batches_does_not_matter(
            batches in prop::collection::vec((0..400_u64, 0..50_u64, prop::collection::vec(0.0..9e4_f64, 0..9)), 1..40)
                .prop_shuffle(),
        ) {
            let all = |batches: &mut dyn Iterator<Item = &(u64, u64, Vec<f64>)>| {
                let mut aggregate = Aggregate::default();
                for (period, requests, times) in batches {
                    aggregate.add(&batch(*period, *requests, times));
                }
                aggregate
            };
            prop_assert_eq!(all(&mut batches.iter()), all(&mut batches.iter().rev()));
        }
    }
}
