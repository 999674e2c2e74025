//! What may be added to an aggregate: a worker's batch, and what another aggregate has.

use std::slice;

use super::measured::{Form, Measured, Periods};
use super::pack::Names;
use crate::sketch::{Sketch, SketchError};
use crate::wire::{Batch, Span};

/// Values by name, and when they were measured.
pub(super) trait Source {
    fn counters(&self) -> impl Iterator<Item = (&str, u64)>;
    /// Rates, each in the parts of its sum.
    fn rates(&self) -> impl Iterator<Item = (&str, &[f64])>;
    fn histograms(&self) -> impl Iterator<Item = (&str, &Sketch)>;
    /// When the first and the last counter changed; and when a value came into a histogram.
    fn times(&self) -> [Option<Span>; 2];
    fn periods(&self) -> Periods;
}

impl Source for Batch {
    fn counters(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counters.iter().map(|(name, count)| (name.as_str(), *count))
    }

    fn rates(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.rates.iter().map(|(name, rate)| (name.as_str(), slice::from_ref(rate)))
    }

    fn histograms(&self) -> impl Iterator<Item = (&str, &Sketch)> {
        self.histograms.iter().map(|(name, sketch)| (name.as_str(), sketch))
    }

    fn times(&self) -> [Option<Span>; 2] {
        [self.counters_at, self.histograms_at]
    }

    fn periods(&self) -> Periods {
        Periods::one(self.period)
    }
}

impl Source for Measured {
    fn counters(&self) -> impl Iterator<Item = (&str, u64)> {
        self.counters.iter().map(|(name, count)| (&**name, *count))
    }

    fn rates(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.rates.iter().map(|(name, rate)| (&**name, rate.parts()))
    }

    fn histograms(&self) -> impl Iterator<Item = (&str, &Sketch)> {
        self.histograms.iter().map(|(name, sketch)| (&**name, sketch))
    }

    fn times(&self) -> [Option<Span>; 2] {
        [self.counters_at, self.histograms_at]
    }

    fn periods(&self) -> Periods {
        self.periods.clone()
    }
}

/// A kind of metric: each has names of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Rate,
    Histogram,
}

impl Measured {
    /// Adds all values of a source but those that are refused.
    ///
    /// # Errors
    /// Two distributions cannot be one: they are no parts of one total.
    pub(super) fn add(
        &mut self,
        source: &impl Source,
        form: Form,
        names: &mut Names,
        is_refused: impl Fn(Kind, &str) -> bool,
    ) -> Result<(), SketchError> {
        for (name, count) in source.counters().filter(|(name, _)| !is_refused(Kind::Counter, name)) {
            let sum = self.counters.entry(names.intern(name)).or_default();
            *sum = sum.saturating_add(count);
        }
        for (name, rate) in source.rates().filter(|(name, _)| !is_refused(Kind::Rate, name)) {
            let sum = self.rates.entry(names.intern(name)).or_default();
            rate.iter().for_each(|part| sum.add(*part));
        }
        for (name, sketch) in source.histograms().filter(|(name, _)| !is_refused(Kind::Histogram, name)) {
            let all = self.histograms.entry(names.intern(name)).or_default();
            match form {
                Form::Exact => all.merge(sketch)?,
                Form::Coarse => all.merge(&sketch.coarse())?,
            }
        }
        self.measure_at(source);
        Ok(())
    }

    /// Adds when something was measured.
    pub(super) fn measure_at(&mut self, source: &impl Source) {
        let [counters, histograms] = source.times();
        for (span, other) in [(&mut self.counters_at, counters), (&mut self.histograms_at, histograms)] {
            *span = match (*span, other) {
                (Some(span), Some(other)) => Some(span.hull(other)),
                (span, other) => span.or(other),
            };
        }
        self.periods.merge(&source.periods());
    }
}
