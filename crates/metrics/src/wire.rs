//! What a worker sends of one period, as bytes (protobuf): decoded within bounds that are named here, and checked.
//!
//! The message is that of `docs/protocol.md`: counters, rates, and distributions as counts of bins, a tenth of what Artillery
//! serialises itself. A distribution may also come in Artillery's own form (its DDSketch protobuf), which is read as well.

mod artillery;
mod messages;
mod refusal;

use std::collections::BTreeMap;

use prost::Message;

pub use self::artillery::from_artillery;
use self::messages::{BatchMessage, HealthMessage, HistogramMessage, NumberMessage, PhaseMessage};
pub use self::refusal::{BatchError, Refused, ValueError};
use crate::aggregate::PERIOD;
use crate::sketch::{Bins, MAX_BINS, Sketch, SketchError};

/// No batch is larger, in bytes.
pub const MAX_BATCH_BYTES: usize = 1 << 20;
/// No batch has more names of each kind.
pub const MAX_NAMES: usize = 2_000;
/// No name is longer, in bytes: Artillery cuts names to 1,024 UTF-16 units, each at most 3 bytes here.
pub const MAX_NAME_BYTES: usize = 3 * 1024;
/// Numbers beyond are no longer whole in JavaScript.
pub const MAX_COUNT: u64 = 1 << 53;
/// No measured value is further from 0, so that no sum of any number of them overflows.
pub const MAX_MAGNITUDE: f64 = 1e200;
/// Bins in a message may have empty ones around them.
pub const MAX_WIRE_BINS: usize = 4 * MAX_BINS;
/// No batch, and no script, has more phases.
pub const MAX_PHASES: usize = 1_000;
/// A reason why measurements are lost is cut to so many characters.
pub const MAX_LOST_CHARACTERS: usize = 500;
/// A worker's clock may be ahead of the collector's, in milliseconds: one day, for nodes whose time nobody keeps.
pub const AHEAD: u64 = 24 * 60 * 60 * 1000;
/// A period may lie so far back, in milliseconds: 30 days, longer than any load test or outage.
pub const BEHIND: u64 = 30 * AHEAD;

/// What one worker measured in one period.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Which batch of this worker, from 1 on.
    pub sequence: u64,
    /// When the period began, in milliseconds of the Unix time: a multiple of 10,000. It may be 0 where nothing was measured.
    pub period: u64,
    /// Totals by name.
    pub counters: BTreeMap<String, u64>,
    /// Events per second by name.
    pub rates: BTreeMap<String, f64>,
    /// Distributions by name.
    pub histograms: BTreeMap<String, Sketch>,
    /// When the first and the last counter of the period changed, if the worker tells.
    pub counters_at: Option<Span>,
    /// When the first and the last value came into a histogram, if the worker tells.
    pub histograms_at: Option<Span>,
    /// How the worker was, if it tells.
    pub health: Option<Health>,
    /// The phases that began or ended since the last batch.
    pub phases: Vec<PhaseTimes>,
    /// Why the measurements of this period are missing; what was refused once is sent again as nothing but this.
    pub lost: Option<String>,
    /// What was left out, and why: it is part of the truth about the rest.
    pub refused: Vec<Refused>,
}

/// The first and the last of some moments, in milliseconds of the Unix time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first.
    pub first: u64,
    /// The last; not before the first.
    pub last: u64,
}

impl Span {
    /// Of two spans, that which holds both.
    pub fn hull(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }
}

/// How a worker was since its last batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Health {
    /// The share of the time that the event loop of Artillery's thread was busy, 0 to 1.
    pub event_loop_utilization: f64,
    /// The scheduling periods of the cgroup since its start.
    pub cpu_periods: u64,
    /// Those of them in which it was throttled.
    pub cpu_throttled_periods: u64,
    /// How long it was throttled since its start, in microseconds.
    pub cpu_throttled_microseconds: u64,
    /// The memory of the cgroup, in bytes.
    pub memory_bytes: u64,
    /// The most that it may have, in bytes; `None` where there is no limit.
    pub memory_limit_bytes: Option<u64>,
}

/// When a phase of one worker began, and how long it took.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseTimes {
    /// Which phase, as Artillery counts them, from 0.
    pub index: u32,
    /// When it began, in milliseconds after the release, as this worker waited for it.
    pub started_milliseconds: f64,
    /// How long it took, in milliseconds, above 0; `None` while it is not over.
    pub length_milliseconds: Option<f64>,
}

impl Batch {
    /// Reads a batch. `now` is the collector's time, in milliseconds of the Unix time: a period must lie near it.
    ///
    /// # Errors
    /// It is refused as a whole. Single values that are no measurements are left out, and named in `refused`.
    pub fn decode(bytes: &[u8], now: u64) -> Result<Self, BatchError> {
        if bytes.len() > MAX_BATCH_BYTES {
            return Err(BatchError::TooLarge(bytes.len()));
        }
        let message = BatchMessage::read(bytes)?;
        let BatchMessage { sequence, period, counters, rates, histograms, health, phases, lost, .. } =
            message;
        if sequence == 0 {
            return Err(BatchError::NoSequence);
        }
        let counters_at = [message.first_counter_at, message.last_counter_at];
        let histograms_at = [message.first_histogram_at, message.last_histogram_at];
        let mut batch = Self { sequence, ..Self::default() };
        let has_measurements = !(counters.is_empty() && rates.is_empty() && histograms.is_empty());
        match (period_near(period, now), has_measurements) {
            (Ok(()), _) => batch.period = period,
            (Err(error), true) => return Err(error),
            // it may say that a period was refused for its very time
            (Err(_), false) => {}
        }
        let refused = &mut batch.refused;
        for NumberMessage { name, value } in counters {
            take(&mut batch.counters, refused, name, || count(value));
        }
        for NumberMessage { name, value } in rates {
            take(&mut batch.rates, refused, name, || summable("rate", value));
        }
        for mut histogram in histograms {
            let name = std::mem::take(&mut histogram.name);
            take(&mut batch.histograms, refused, name, || histogram.sketch());
        }
        let mut keep = |name: &str, why| refused.push(Refused { name: name.to_owned(), why });
        if has_measurements {
            match span(counters_at, period) {
                Ok(span) => batch.counters_at = span,
                Err(why) => keep("(times of counters)", why),
            }
            match span(histograms_at, period) {
                Ok(span) => batch.histograms_at = span,
                Err(why) => keep("(times of histograms)", why),
            }
        }
        match health.map(HealthMessage::health).transpose() {
            Ok(health) => batch.health = health,
            Err(why) => keep("(health)", why),
        }
        for phase in phases {
            match phase.times() {
                Ok(times) => batch.phases.push(times),
                Err(why) => keep("(phase)", why),
            }
        }
        batch.lost = (!lost.is_empty()).then(|| lost.chars().take(MAX_LOST_CHARACTERS).collect());
        Ok(batch)
    }

    /// Writes a batch, such that [`Batch::decode`] reads the same one. What was refused is not written.
    pub fn encode(&self) -> Vec<u8> {
        let Self { sequence, period, counters, rates, histograms, health, phases, lost, .. } = self;
        let number = |name: &String, value| NumberMessage { name: name.clone(), value };
        let [first_counter_at, last_counter_at] = self.counters_at.map_or([0; 2], |at| [at.first, at.last]);
        let [first_histogram_at, last_histogram_at] =
            self.histograms_at.map_or([0; 2], |at| [at.first, at.last]);
        #[allow(clippy::cast_precision_loss, reason = "counts are at most 2^53")]
        let counters = counters.iter().map(|(name, count)| number(name, *count as f64)).collect();
        let message = BatchMessage {
            sequence: *sequence,
            period: *period,
            counters,
            rates: rates.iter().map(|(name, rate)| number(name, *rate)).collect(),
            histograms: histograms.iter().map(|(name, sketch)| HistogramMessage::of(name, sketch)).collect(),
            health: health.map(HealthMessage::of),
            phases: phases.iter().map(PhaseMessage::of).collect(),
            lost: lost.clone().unwrap_or_default(),
            first_counter_at,
            last_counter_at,
            first_histogram_at,
            last_histogram_at,
        };
        message.encode_to_vec()
    }

    /// Whether it has any measurement.
    pub fn has_measurements(&self) -> bool {
        !(self.counters.is_empty() && self.rates.is_empty() && self.histograms.is_empty())
    }
}

/// Whether a period begins at that time, and lies near enough to `now`.
fn period_near(period: u64, now: u64) -> Result<(), BatchError> {
    if !period.is_multiple_of(PERIOD) {
        return Err(BatchError::NoPeriod(period));
    }
    if period.saturating_sub(now) > AHEAD {
        return Err(BatchError::FromTheFuture(period - now));
    }
    if now.saturating_sub(period) > BEHIND {
        return Err(BatchError::TooOld(now - period));
    }
    Ok(())
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
    fn of(name: &str, sketch: &Sketch) -> Self {
        let [positive, negative] = sketch.bins();
        // keys are within i32: so they are read, and so a sketch of finite numbers has them
        let first = |bins: &Bins| i32::try_from(bins.first()).unwrap_or_default();
        Self {
            name: name.to_owned(),
            zeros: sketch.zeros(),
            min: sketch.min().unwrap_or_default(),
            max: sketch.max().unwrap_or_default(),
            sum: sketch.sum(),
            positive_first: first(positive),
            positive: positive.counts().collect(),
            negative_first: first(negative),
            negative: negative.counts().collect(),
            artillery: Vec::new(),
        }
    }

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
        let zeros = bins(0, &[self.zeros])?.count();
        checked(positive, negative, zeros, [self.min, self.max, self.sum])
    }
}

impl HealthMessage {
    fn of(health: Health) -> Self {
        Self {
            event_loop_utilization: health.event_loop_utilization,
            cpu_periods: health.cpu_periods,
            cpu_throttled_periods: health.cpu_throttled_periods,
            cpu_throttled_microseconds: health.cpu_throttled_microseconds,
            memory_bytes: health.memory_bytes,
            memory_limit_bytes: health.memory_limit_bytes.unwrap_or_default(),
        }
    }

    fn health(self) -> Result<Health, ValueError> {
        let utilization = not_negative("event loop utilization", self.event_loop_utilization)?;
        Ok(Health {
            event_loop_utilization: utilization.min(1.0), // its two clocks may disagree by a little
            cpu_periods: self.cpu_periods,
            cpu_throttled_periods: self.cpu_throttled_periods,
            cpu_throttled_microseconds: self.cpu_throttled_microseconds,
            memory_bytes: self.memory_bytes,
            memory_limit_bytes: (self.memory_limit_bytes > 0).then_some(self.memory_limit_bytes),
        })
    }
}

impl PhaseMessage {
    fn of(times: &PhaseTimes) -> Self {
        Self {
            index: times.index,
            started_milliseconds: times.started_milliseconds,
            length_milliseconds: times.length_milliseconds.unwrap_or_default(),
        }
    }

    fn times(self) -> Result<PhaseTimes, ValueError> {
        if self.index as usize >= MAX_PHASES {
            return Err(ValueError::Phase(self.index));
        }
        let length = not_negative("length", self.length_milliseconds)?;
        Ok(PhaseTimes {
            index: self.index,
            started_milliseconds: summable("start", self.started_milliseconds)?,
            length_milliseconds: (length > 0.0).then_some(length),
        })
    }
}

/// The parts of a sketch, if they are one.
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
        (summable("smallest value", min)?, summable("largest value", max)?, summable("sum", sum)?);
    if min > max {
        return Err(ValueError::Range(min, max));
    }
    Ok(Sketch::of(positive, negative, zeros, min, max, [sum].into_iter().collect()))
}

/// The first and the last time within a period; `None` where they are 0: not told.
fn span([first, last]: [u64; 2], period: u64) -> Result<Option<Span>, ValueError> {
    let within = period..period.saturating_add(PERIOD);
    match (first, last) {
        (0, 0) => Ok(None),
        _ if first <= last && within.contains(&first) && within.contains(&last) => {
            Ok(Some(Span { first, last }))
        }
        _ => Err(ValueError::Span(first, last, period)),
    }
}

fn summable(what: &'static str, value: f64) -> Result<f64, ValueError> {
    if value.abs() <= MAX_MAGNITUDE { Ok(value) } else { Err(ValueError::Number(what, value)) }
}

fn not_negative(what: &'static str, value: f64) -> Result<f64, ValueError> {
    if value < 0.0 { Err(ValueError::Negative(what, value)) } else { summable(what, value) }
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
