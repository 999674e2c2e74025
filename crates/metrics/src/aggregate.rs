//! All that the workers of one load test measured: an exact total, and a time line that is thinned to stay small.
//!
//! For 20 histograms of 500 values per period and worker, and 30 counters, it takes 150 KB with up to 10 workers and 190 KB with
//! 100, however long the test runs; stored it takes 9 KB for the total and 50 KB for the time line (`tests/memory.rs`).

mod bits;
mod measured;
mod pack;
mod parts;
mod source;
mod time_line;

use std::collections::BTreeMap;

pub use self::measured::{Form, Measured, Measurers, Name, Periods};
use self::pack::Names;
pub use self::parts::{Parts, PartsError};
use self::source::{Kind, Source};
use self::time_line::TimeLine;
use crate::sketch::Sketch;
use crate::wire::{Batch, Refused, ValueError};

/// Artillery's own period, in milliseconds.
pub const PERIOD: u64 = 10_000;
/// The time line has no more steps; where it would, its distributions become coarse, and then each step twice as long.
pub const MAX_STEPS: usize = 120;
/// The same where it has more steps than these, and would take more than [`MAX_WEIGHT`].
pub const ENOUGH_STEPS: usize = 20;
/// What the packed steps take together, about, in bytes.
pub const MAX_WEIGHT: usize = 55 * 1024;
/// So many steps are packed and stored together.
pub const GROUP_STEPS: u64 = 12;
/// A load test has no more names of each kind; further ones are refused.
pub const MAX_NAMES: usize = 5_000;
/// All names of a load test together have no more bytes; further ones are refused. Those of real scripts have some 50 each.
pub const MAX_NAME_BYTES_IN_ALL: usize = 1 << 20;
/// A load test's distributions have no more bins together, 1 MiB: 800 of them. What would need more is refused.
pub const MAX_TOTAL_BINS: usize = 1 << 18;
/// Of so many names and reasons it is said how often they were refused; of the rest only how many there were.
pub const MAX_REFUSED: usize = 200;

/// The merge of batches, in any order.
#[derive(Clone, Debug, Default)]
pub struct Aggregate {
    names: Names,
    /// The sum of all steps, and exact.
    total: Measured,
    /// How many bins the total has.
    bins: usize,
    time_line: TimeLine,
    batches: u64,
    lost: u64,
    /// How often values were left out, by name and reason: the first of them in this order.
    refused: BTreeMap<(String, String), u64>,
    refused_values: u64,
}

impl Aggregate {
    /// Takes in a batch. What cannot be merged is left out, and counted.
    pub fn add(&mut self, batch: &Batch) {
        self.batches = self.batches.saturating_add(1);
        self.lost = self.lost.saturating_add(u64::from(batch.lost.is_some()));
        for Refused { name, why } in &batch.refused {
            self.refuse(name, &why.to_string(), 1);
        }
        if batch.has_measurements() {
            let refused = self.admit(batch);
            self.put(batch.period, batch, &refused);
            for (_, name, why) in refused {
                self.refuse(&name, &why.to_string(), 1);
            }
        }
    }

    /// Takes in all that another one has.
    pub fn merge(&mut self, other: &Self) {
        self.batches = self.batches.saturating_add(other.batches);
        self.lost = self.lost.saturating_add(other.lost);
        for ((name, why), count) in &other.refused {
            self.refuse(name, why, *count);
        }
        // and those that are not told one by one
        let told = other.refused.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
        self.refused_values = self.refused_values.saturating_add(other.refused_values.saturating_sub(told));
        let refused = self.admit(&other.total);
        self.time_line.reach(other.time_line.level(), &mut self.names);
        for (start, step) in other.time_line() {
            self.put(start, &step, &refused);
        }
        for (_, name, why) in refused {
            self.refuse(&name, &why.to_string(), 1);
        }
    }

    /// Everything together.
    pub fn total(&self) -> &Measured {
        &self.total
    }

    /// The steps of the time line, by their first millisecond of the Unix time, in order. Each is unpacked as it is asked for.
    pub fn time_line(&self) -> impl Iterator<Item = (u64, Measured)> {
        self.time_line.steps(&self.names)
    }

    /// How many steps the time line has.
    pub fn steps(&self) -> usize {
        self.time_line.len()
    }

    /// How long a step is, in milliseconds.
    pub fn step(&self) -> u64 {
        self.time_line.step()
    }

    /// How fine the distributions of the time line are. Those of the total are exact.
    pub fn form(&self) -> Form {
        self.time_line.form()
    }

    /// How many batches were taken in.
    pub fn batches(&self) -> u64 {
        self.batches
    }

    /// How many of them came without what they had measured, for it was refused.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// What was left out: name, reason, how often; no more than [`MAX_REFUSED`] of them.
    pub fn refused(&self) -> impl Iterator<Item = (&str, &str, u64)> {
        self.refused.iter().map(|((name, why), count)| (name.as_str(), why.as_str(), *count))
    }

    /// How many values were left out in all.
    pub fn refused_values(&self) -> u64 {
        self.refused_values
    }

    /// The first ones in order are kept, whatever the order in which they come.
    fn refuse(&mut self, name: &str, why: &str, count: u64) {
        self.refused_values = self.refused_values.saturating_add(count);
        let refused = self.refused.entry((name.to_owned(), why.to_owned())).or_default();
        *refused = refused.saturating_add(count);
        if self.refused.len() > MAX_REFUSED {
            self.refused.pop_last();
        }
    }

    /// Adds to the total what it may have, and says what it may not, and why.
    fn admit(&mut self, source: &impl Source) -> Vec<(Kind, String, ValueError)> {
        let Self { names, total, bins, .. } = self;
        let mut refused = Vec::new();
        for (name, count) in source.counters() {
            match key(&total.counters, names, name) {
                Ok(key) => {
                    let sum = total.counters.entry(key).or_default();
                    *sum = sum.saturating_add(count);
                }
                Err(why) => refused.push((Kind::Counter, name.to_owned(), why)),
            }
        }
        for (name, rate) in source.rates() {
            match key(&total.rates, names, name) {
                Ok(key) => {
                    let sum = total.rates.entry(key).or_default();
                    rate.iter().for_each(|part| sum.add(*part));
                }
                Err(why) => refused.push((Kind::Rate, name.to_owned(), why)),
            }
        }
        for (name, sketch) in source.histograms() {
            let mut take = || {
                let there = total.histograms.get(name);
                let grown = there.map_or(Ok(sketch.len()), |there| there.merged_len(sketch))?;
                let others = *bins - there.map_or(0, Sketch::len);
                if others + grown > MAX_TOTAL_BINS {
                    return Err(ValueError::TooManyBins);
                }
                // only now: a name that came in with what is refused would stay
                let key = key(&total.histograms, names, name)?;
                *bins = others + grown;
                Ok(total.histograms.entry(key).or_default().merge(sketch)?)
            };
            if let Err(why) = take() {
                refused.push((Kind::Histogram, name.to_owned(), why));
            }
        }
        total.measure_at(source);
        refused
    }

    /// Adds to the step of that moment what the total has got.
    fn put(&mut self, moment: u64, source: &impl Source, refused: &[(Kind, String, ValueError)]) {
        let Self { names, time_line, .. } = self;
        let form = time_line.form();
        let is_refused = |kind, name: &str| {
            !refused.is_empty() && refused.iter().any(|(of, refused, _)| *of == kind && refused == name)
        };
        let step = time_line.at(moment, names);
        #[allow(clippy::expect_used, reason = "the total, of which it is a part, has taken the same")]
        step.add(source, form, names, is_refused).expect("a part of the total");
        time_line.fit(names);
    }
}

/// Equal when they say the same; how they are packed does not matter.
impl PartialEq for Aggregate {
    fn eq(&self, other: &Self) -> bool {
        self.total == other.total
            && self.time_line.level() == other.time_line.level()
            && (self.batches, self.lost) == (other.batches, other.lost)
            && (&self.refused, self.refused_values) == (&other.refused, other.refused_values)
            && self.time_line().eq(other.time_line())
    }
}

/// The key of that name, if it is there or may come.
fn key<T>(map: &BTreeMap<Name, T>, names: &mut Names, name: &str) -> Result<Name, ValueError> {
    match map.get_key_value(name) {
        Some((key, _)) => Ok(key.clone()),
        None if map.len() >= MAX_NAMES => Err(ValueError::OneTooMany),
        None if !names.has_room(name) => Err(ValueError::NamesTooLong),
        None => Ok(names.intern(name)),
    }
}

#[cfg(test)]
mod tests;
