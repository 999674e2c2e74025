//! The figures that Artillery gives of what was measured: what its summary prints, its report holds and its checks read.

use std::collections::BTreeMap;

use crate::aggregate::{Measured, Measurers, Name};
use crate::javascript::{round, round_to_tenths};
use crate::sketch::Sketch;

/// The figures of what was measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Totals.
    pub counters: BTreeMap<Name, u64>,
    /// Events per second, as [`Measured::rate`] has them, to the nearest whole number.
    pub rates: BTreeMap<Name, f64>,
    /// Of each distribution that has a value.
    pub summaries: BTreeMap<Name, Summary>,
}

/// The figures of a distribution, each to one decimal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
    /// How many values there are.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// The value below which half of them are: Artillery has it under two names.
    pub median: f64,
    /// The value below which 75 % of them are.
    pub p75: f64,
    /// The value below which 90 % of them are.
    pub p90: f64,
    /// The value below which 95 % of them are.
    pub p95: f64,
    /// The value below which 99 % of them are.
    pub p99: f64,
    /// The value below which 99.9 % of them are.
    pub p999: f64,
}

impl Figures {
    /// The figures of what was measured.
    pub fn of(measured: &Measured, by: Measurers) -> Self {
        let rate = |name: &Name| measured.rate(name, by).map_or(0.0, round);
        let summary =
            |(name, sketch): (&Name, &Sketch)| Summary::of(sketch).map(|summary| (name.clone(), summary));
        Self {
            counters: measured.counters.clone(),
            rates: measured.rates.keys().map(|name| (name.clone(), rate(name))).collect(),
            summaries: measured.histograms.iter().filter_map(summary).collect(),
        }
    }
}

impl Summary {
    /// The figures of a distribution; `None` where it has no value.
    pub fn of(sketch: &Sketch) -> Option<Self> {
        let quantile = |q| sketch.quantile(q).map(round_to_tenths);
        Some(Self {
            min: round_to_tenths(sketch.min()?),
            max: round_to_tenths(sketch.max()?),
            count: sketch.count(),
            mean: round_to_tenths(sketch.mean()?),
            median: quantile(0.5)?,
            p75: quantile(0.75)?,
            p90: quantile(0.9)?,
            p95: quantile(0.95)?,
            p99: quantile(0.99)?,
            p999: quantile(0.999)?,
        })
    }

    /// The figures under the names, and in the order, that Artillery has them.
    #[allow(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    pub fn named(&self) -> [(&'static str, f64); 11] {
        let Self { min, max, count, mean, median, p75, p90, p95, p99, p999 } = *self;
        [
            ("min", min),
            ("max", max),
            ("count", count as f64),
            ("mean", mean),
            ("p50", median),
            ("median", median),
            ("p75", p75),
            ("p90", p90),
            ("p95", p95),
            ("p99", p99),
            ("p999", p999),
        ]
    }
}
