//! What a worker sends of one period, as bytes (protobuf): decoded within bounds that are named here, and checked.
//!
//! The message is ours: counters, rates, and distributions as counts of bins, a tenth of what Artillery
//! serialises itself. A distribution may also come in Artillery's own form (its DDSketch protobuf), which is read as well.

use std::collections::{BTreeMap, HashMap};

use prost::Message;

use crate::sketch::{Bins, GAMMA, MAX_BINS, Sketch, SketchError};

/// No batch is larger, in bytes.
pub const MAX_BATCH_BYTES: usize = 1 << 20;
/// No batch has more names of each kind.
pub const MAX_NAMES: usize = 2_000;
/// No name is longer, in bytes: Artillery cuts names to 1,024 UTF-16 units, each at most 3 bytes here.
pub const MAX_NAME_BYTES: usize = 3 * 1024;
/// Numbers beyond are no longer whole in JavaScript.
pub const MAX_COUNT: u64 = 1 << 53;
/// How far another ratio of bins may be off: JavaScript's detour over the accuracy costs some last digits.
const GAMMA_TOLERANCE: f64 = 1e-9;

/// What one worker measured in one period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Which batch of this worker, from 1 on.
    pub sequence: u64,
    /// When the period began, in milliseconds of the Unix time: a multiple of 10,000.
    pub period: u64,
    /// Totals by name.
    pub counters: BTreeMap<String, u64>,
    /// Events per second by name.
    pub rates: BTreeMap<String, f64>,
    /// Distributions by name.
    pub histograms: BTreeMap<String, Sketch>,
    /// What was left out, and why: it is part of the truth about the rest.
    pub refused: Vec<Refused>,
}

/// One name of a batch that could not be taken in.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    /// The metric's name, shortened.
    pub name: String,
    /// Why.
    pub why: ValueError,
}

/// Why a batch is refused as a whole.
#[derive(thiserror::Error, Clone, Debug, PartialEq)]
pub enum BatchError {
    /// It is too large.
    #[error("it has {0} bytes, more than {MAX_BATCH_BYTES}")]
    TooLarge(usize),
    /// It is no message.
    #[error("it is no batch: {0}")]
    Malformed(String),
    /// It has too many names.
    #[error("it has {0} names of one kind, more than {MAX_NAMES}")]
    TooManyNames(usize),
    /// It has no number.
    #[error("its sequence number is 0: the first batch is 1")]
    NoSequence,
}

/// Why one value is refused.
#[derive(thiserror::Error, Clone, Debug, PartialEq)]
pub enum ValueError {
    /// The name is too long, or empty.
    #[error("its name has {0} bytes: 1 to {MAX_NAME_BYTES} are expected")]
    Name(usize),
    /// Not a count.
    #[error("{0} is no count: a whole number from 0 to 2^53 is expected")]
    Count(f64),
    /// Not a number.
    #[error("its {0} is {1}: a finite number is expected")]
    NotFinite(&'static str, f64),
    /// More than one value under one name.
    #[error("its name comes twice")]
    Twice,
    /// The load test has too many names.
    #[error("the load test has more than {} names of one kind", crate::aggregate::MAX_NAMES)]
    OneTooMany,
    /// Another kind of sketch.
    #[error("its bins have the ratio {0}: {GAMMA} is expected")]
    Gamma(f64),
    /// Another kind of mapping.
    #[error("its mapping has the interpolation {0} and the offset {1}: 0 and 0 are expected")]
    Mapping(i32, f64),
    /// Too many bins in the message.
    #[error("it has {0} bins, more than {MAX_WIRE_BINS}")]
    Bins(usize),
    /// Its smallest value is larger than its largest.
    #[error("its smallest value {0} is larger than its largest {1}")]
    Range(f64, f64),
    /// It is no sketch of ours.
    #[error(transparent)]
    Sketch(#[from] SketchError),
    /// Artillery's bytes are no message.
    #[error("it is no DDSketch: {0}")]
    Malformed(String),
}

/// Bins in a message may have empty ones around them.
pub const MAX_WIRE_BINS: usize = 4 * MAX_BINS;

#[derive(Clone, PartialEq, Message)]
struct BatchMessage {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(uint64, tag = "2")]
    period: u64,
    #[prost(message, repeated, tag = "3")]
    counters: Vec<NumberMessage>,
    #[prost(message, repeated, tag = "4")]
    rates: Vec<NumberMessage>,
    #[prost(message, repeated, tag = "5")]
    histograms: Vec<HistogramMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct NumberMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(double, tag = "2")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct HistogramMessage {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(uint64, tag = "2")]
    zeros: u64,
    #[prost(double, tag = "3")]
    min: f64,
    #[prost(double, tag = "4")]
    max: f64,
    #[prost(double, tag = "5")]
    sum: f64,
    #[prost(sint32, tag = "6")]
    positive_first: i32,
    #[prost(uint64, repeated, tag = "7")]
    positive: Vec<u64>,
    #[prost(sint32, tag = "8")]
    negative_first: i32,
    #[prost(uint64, repeated, tag = "9")]
    negative: Vec<u64>,
    /// Artillery's own form, instead of 2 to 9.
    #[prost(bytes = "vec", tag = "10")]
    artillery: Vec<u8>,
}

/// `DDSketch` of sketches-js; field numbers and meanings as in its `ddsketch.proto`.
#[derive(Clone, PartialEq, Message)]
struct DdSketch {
    #[prost(message, optional, tag = "1")]
    mapping: Option<IndexMapping>,
    #[prost(message, optional, tag = "2")]
    positive: Option<Store>,
    #[prost(message, optional, tag = "3")]
    negative: Option<Store>,
    #[prost(double, tag = "4")]
    zeros: f64,
    #[prost(double, tag = "5")]
    min: f64,
    #[prost(double, tag = "6")]
    max: f64,
    #[prost(double, tag = "7")]
    sum: f64,
}

#[derive(Clone, PartialEq, Message)]
struct IndexMapping {
    #[prost(double, tag = "1")]
    gamma: f64,
    #[prost(double, tag = "2")]
    offset: f64,
    #[prost(int32, tag = "3")]
    interpolation: i32,
}

#[derive(Clone, PartialEq, Message)]
struct Store {
    #[prost(map = "sint32, double", tag = "1")]
    sparse: HashMap<i32, f64>,
    #[prost(double, repeated, tag = "2")]
    contiguous: Vec<f64>,
    #[prost(sint32, tag = "3")]
    first: i32,
}

impl Batch {
    /// Reads a batch.
    ///
    /// # Errors
    /// It is refused as a whole. Single values that are no measurements are left out, and named in `refused`.
    pub fn decode(bytes: &[u8]) -> Result<Self, BatchError> {
        if bytes.len() > MAX_BATCH_BYTES {
            return Err(BatchError::TooLarge(bytes.len()));
        }
        let message =
            BatchMessage::decode(bytes).map_err(|error| BatchError::Malformed(error.to_string()))?;
        let BatchMessage { sequence, period, counters, rates, histograms } = message;
        let most = counters.len().max(rates.len()).max(histograms.len());
        if most > MAX_NAMES {
            return Err(BatchError::TooManyNames(most));
        }
        if sequence == 0 {
            return Err(BatchError::NoSequence);
        }
        let mut batch = Self { sequence, period, ..Self::default() };
        for NumberMessage { name, value } in counters {
            take(&mut batch.counters, &mut batch.refused, name, || count(value));
        }
        for NumberMessage { name, value } in rates {
            take(&mut batch.rates, &mut batch.refused, name, || finite("rate", value));
        }
        for mut histogram in histograms {
            let name = std::mem::take(&mut histogram.name);
            take(&mut batch.histograms, &mut batch.refused, name, || histogram.sketch());
        }
        Ok(batch)
    }
}

fn take<T>(
    into: &mut BTreeMap<String, T>,
    refused: &mut Vec<Refused>,
    name: String,
    value: impl FnOnce() -> Result<T, ValueError>,
) {
    let taken = if name.is_empty() || name.len() > MAX_NAME_BYTES {
        Err(ValueError::Name(name.len()))
    } else if into.contains_key(&name) {
        Err(ValueError::Twice)
    } else {
        value()
    };
    match taken {
        Ok(value) => {
            into.insert(name, value);
        }
        Err(why) => refused.push(Refused { name: name.chars().take(100).collect(), why }),
    }
}

impl HistogramMessage {
    fn sketch(&self) -> Result<Sketch, ValueError> {
        if !self.artillery.is_empty() {
            return from_artillery(&self.artillery);
        }
        let bins = |first: i32, counts: &[u64]| {
            if counts.len() > MAX_WIRE_BINS {
                return Err(ValueError::Bins(counts.len()));
            }
            if let Some(count) = counts.iter().find(|count| **count > MAX_COUNT) {
                #[allow(clippy::cast_precision_loss, reason = "it is only shown")]
                return Err(ValueError::Count(*count as f64));
            }
            Ok(Bins::new(i64::from(first), counts)?)
        };
        let positive = bins(self.positive_first, &self.positive)?;
        let negative = bins(self.negative_first, &self.negative)?;
        checked(positive, negative, self.zeros, [self.min, self.max, self.sum])
    }
}

/// Reads a sketch in Artillery's own form, as `DDSketch.toProto()` gives it.
///
/// # Errors
/// It is not one, or one of another kind.
pub fn from_artillery(bytes: &[u8]) -> Result<Sketch, ValueError> {
    let sketch = DdSketch::decode(bytes).map_err(|error| ValueError::Malformed(error.to_string()))?;
    let mapping = sketch.mapping.unwrap_or_default();
    if (mapping.gamma - GAMMA).abs().partial_cmp(&GAMMA_TOLERANCE) != Some(std::cmp::Ordering::Less) {
        return Err(ValueError::Gamma(mapping.gamma));
    }
    if mapping.interpolation != 0 || mapping.offset != 0.0 {
        return Err(ValueError::Mapping(mapping.interpolation, mapping.offset));
    }
    let positive = sketch.positive.unwrap_or_default().bins()?;
    let negative = sketch.negative.unwrap_or_default().bins()?;
    checked(positive, negative, count(sketch.zeros)?, [sketch.min, sketch.max, sketch.sum])
}

impl Store {
    fn bins(self) -> Result<Bins, ValueError> {
        let Self { sparse, contiguous, first } = self;
        if contiguous.len() > MAX_WIRE_BINS || sparse.len() > MAX_WIRE_BINS {
            return Err(ValueError::Bins(contiguous.len().max(sparse.len())));
        }
        let counts: Vec<u64> = contiguous.into_iter().map(count).collect::<Result<_, _>>()?;
        let mut bins = Bins::new(i64::from(first), &counts)?;
        for (key, value) in sparse {
            bins.add(&Bins::new(i64::from(key), &[count(value)?])?)?;
        }
        Ok(bins)
    }
}

fn checked(
    positive: Bins,
    negative: Bins,
    zeros: u64,
    [min, max, sum]: [f64; 3],
) -> Result<Sketch, ValueError> {
    let counted = positive.count().checked_add(negative.count()).and_then(|n| n.checked_add(zeros));
    match counted {
        None => return Err(SketchError::TooMany.into()),
        Some(0) => return Ok(Sketch::default()), // JavaScript says Infinity for the smallest of none
        Some(_) => {}
    }
    let (min, max, sum) =
        (finite("smallest value", min)?, finite("largest value", max)?, finite("sum", sum)?);
    if min > max {
        return Err(ValueError::Range(min, max));
    }
    Ok(Sketch::of(positive, negative, zeros, min, max, sum))
}

fn finite(what: &'static str, value: f64) -> Result<f64, ValueError> {
    if value.is_finite() { Ok(value) } else { Err(ValueError::NotFinite(what, value)) }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "whole and within bounds"
)]
fn count(value: f64) -> Result<u64, ValueError> {
    let is_count = value >= 0.0 && value <= MAX_COUNT as f64 && value.fract() == 0.0;
    if is_count { Ok(value as u64) } else { Err(ValueError::Count(value)) }
}

#[cfg(test)]
mod tests;
