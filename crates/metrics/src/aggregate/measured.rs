//! What was measured in some time by some workers: the unit that the total, a step of the time line and the report share.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::PERIOD;
use crate::sketch::{Bins, COARSE, Sketch};
use crate::sum::Sum;
use crate::wire::Span;

/// The name of a metric, shared by all that has it.
pub type Name = Arc<str>;

/// How many workers measured: it decides what a rate is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measurers {
    /// One: rates are Artillery's own.
    One,
    /// Several together.
    Several,
}

impl Measurers {
    /// Of so many workers.
    pub fn of(workers: u32) -> Self {
        if workers > 1 { Self::Several } else { Self::One }
    }
}

/// The counter that counts the very events of a rate: in Artillery 2.0.34 both are emitted one after the other, in `engine_http`, `engine_ws`
/// and `engine_socketio`.
fn counter_of(rate: &str) -> Option<&'static str> {
    Some(match rate {
        "http.request_rate" => "http.requests",
        "websocket.send_rate" => "websocket.messages_sent",
        "websocket.receive_rate" => "websocket.messages_received",
        "socketio.emit_rate" => "socketio.emit",
        _ => return None,
    })
}

/// What was measured, in some time by some workers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    /// Totals by name.
    pub counters: BTreeMap<Name, u64>,
    /// Events per second by name, summed over workers and periods: see [`Measured::rate`].
    pub rates: BTreeMap<Name, Sum>,
    /// Distributions by name.
    pub histograms: BTreeMap<Name, Sketch>,
    /// When the first and the last counter changed, as far as workers told.
    pub counters_at: Option<Span>,
    /// When the first and the last value came into a histogram, as far as workers told.
    pub histograms_at: Option<Span>,
    /// The periods in which anything was measured.
    pub periods: Periods,
}

impl Measured {
    /// The rate of that name, per second, of all workers together.
    ///
    /// Of one worker it is what Artillery says, before it rounds: the mean of its rates of the periods in which anything was measured. Artillery divides the events of a period by
    /// the time from the first to the last of them, of a second at least, and rounds to whole numbers: of a worker that sends one request
    /// every ten seconds it says 1, and the sum of a hundred such would be ten times too much. So of several workers it is the number of events by the
    /// time in which anything was measured, where a counter has that number; of other rates it is the sum of Artillery's.
    #[allow(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    pub fn rate(&self, name: &str, by: Measurers) -> Option<f64> {
        let sum = self.rates.get(name)?;
        let counted = counter_of(name).filter(|_| by == Measurers::Several);
        if let (Some(count), Some(time)) = (counted.and_then(|name| self.counters.get(name)), self.active()) {
            return Some(*count as f64 * 1000.0 / time as f64);
        }
        Some(sum.value() / self.periods.len().max(1) as f64)
    }

    /// For how many milliseconds anything was measured, at least 1,000: all periods in which it was, but for what is before the first
    /// measurement and after the last. `None` where workers did not tell when these were.
    fn active(&self) -> Option<u64> {
        let (within, measured) = (self.periods.span()?, self.measured_at()?);
        let before = measured.first.saturating_sub(within.first).min(PERIOD);
        let after = (within.last + 1).saturating_sub(measured.last).min(PERIOD);
        Some((self.periods.len() * PERIOD).saturating_sub(before + after).max(1000))
    }

    /// When anything was measured first and last, as far as workers told.
    pub fn measured_at(&self) -> Option<Span> {
        match (self.counters_at, self.histograms_at) {
            (Some(counters), Some(histograms)) => Some(counters.hull(histograms)),
            (counters, histograms) => counters.or(histograms),
        }
    }

    /// The same with coarse distributions.
    pub(super) fn coarse(mut self) -> Self {
        self.histograms.values_mut().for_each(|sketch| *sketch = sketch.coarse());
        self
    }

    /// About how many bytes this takes where it is packed; less than that of anything which holds this.
    pub(super) fn weight(&self, form: Form) -> usize {
        let bits = |bins: &Bins| bins.bits(form.stride());
        let bytes = |sketch: &Sketch| 16 + sketch.bins().map(bits).iter().sum::<usize>() / 8;
        6 * self.counters.len() + 6 * self.rates.len() + self.histograms.values().map(bytes).sum::<usize>()
    }
}

/// How fine distributions are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// As Artillery has them: quantiles are within 1 %.
    #[default]
    Exact,
    /// A third of the bins: quantiles are within 3 %.
    Coarse,
}

impl Form {
    /// All bins but the first of so many are empty.
    pub(super) fn stride(self) -> usize {
        match self {
            Self::Exact => 1,
            Self::Coarse => COARSE,
        }
    }
}

/// A set of Artillery's periods, a bit for each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Periods {
    /// The bits of 64 consecutive periods by the number of the first one's 64.
    chunks: BTreeMap<u64, u64>,
}

impl Periods {
    /// The one that begins at that moment, in milliseconds of the Unix time.
    pub(super) fn one(moment: u64) -> Self {
        let period = moment / PERIOD;
        Self { chunks: [(period / 64, 1 << (period % 64))].into() }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (chunk, bits) in &other.chunks {
            *self.chunks.entry(*chunk).or_default() |= bits;
        }
    }

    /// How many there are.
    pub fn len(&self) -> u64 {
        self.chunks.values().map(|bits| u64::from(bits.count_ones())).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// The first millisecond of the first period, and the last one of the last, Unix time; `None` where there is none.
    pub fn span(&self) -> Option<Span> {
        let (first, bits) = self.chunks.first_key_value()?;
        let start = first * 64 + u64::from(bits.trailing_zeros());
        let (last, bits) = self.chunks.last_key_value()?;
        let end = last * 64 + u64::from(64 - bits.leading_zeros());
        Some(Span { first: start * PERIOD, last: end * PERIOD - 1 })
    }

    pub(super) fn chunks(&self) -> &BTreeMap<u64, u64> {
        &self.chunks
    }

    /// Of chunks, of which none is empty.
    pub(super) fn of(chunks: BTreeMap<u64, u64>) -> Self {
        Self { chunks }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_set_of_periods_counts_each_once(periods in prop::collection::vec(0..300_u64, 1..50), offset in 0..PERIOD) {
            let mut set = Periods::default();
            for period in &periods {
                set.merge(&Periods::one(period * PERIOD + offset));
            }
            let distinct: std::collections::BTreeSet<_> = periods.iter().collect();
            prop_assert_eq!(set.len(), distinct.len() as u64);
            let (first, last) = (**distinct.first().expect("one"), **distinct.last().expect("one"));
            prop_assert_eq!(set.span(), Some(Span { first: first * PERIOD, last: (last + 1) * PERIOD - 1 }));
        }
    }
}
