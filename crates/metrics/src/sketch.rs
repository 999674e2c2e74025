//! A distribution of measured values as Artillery keeps it: a DDSketch of 1 % relative accuracy, whose merge is exact.
//!
//! Masson, Rim, Lee, "DDSketch", VLDB 2019. A value `v` falls into the bin `ceil(log2(v) * m)` with `m = ln 2 / ln gamma`; a
//! bin stands for `2^(key / m) * 2 / (1 + gamma)`. Merging adds bins, so quantiles of the merged sketch are those that one
//! process would have given.

mod bins;
mod steps;

pub(crate) use self::bins::Bins;
pub(crate) use self::steps::with_empty_steps;
use crate::sum::Sum;

/// The relative accuracy of Artillery's sketches.
pub const RELATIVE_ACCURACY: f64 = 0.01;
/// The ratio of a bin's bounds, `1 + 2a / (1 - a)`; Artillery computes it in this very way.
pub const GAMMA: f64 = 1.0 + 2.0 * RELATIVE_ACCURACY / (1.0 - RELATIVE_ACCURACY);
/// A sketch's bins span no more than this, from the smallest to the largest of a sign: values of 35 orders of magnitude.
pub const MAX_BINS: usize = 3 * 1366;
/// So many bins become one in a coarse sketch, whose quantiles are within 3 % of those values, instead of 1 %.
pub const COARSE: usize = 3;
/// No smaller value has a bin of its own; it counts as zero (2^-1023 in sketches-js).
const SMALLEST: f64 = f64::MIN_POSITIVE / 2.0 * GAMMA;
/// Keys of bins, from that of the smallest value to that of `MAX_MAGNITUDE`.
const KEYS: std::ops::RangeInclusive<i64> = -36_000..=23_102;

/// A distribution.
#[derive(Clone, Debug, PartialEq)]
pub struct Sketch {
    positive: Bins,
    negative: Bins,
    zeros: u64,
    min: f64,
    max: f64,
    sum: Sum,
}

/// Why two sketches cannot be one, or something is no sketch.
#[derive(thiserror::Error, Clone, Debug, PartialEq)]
pub enum SketchError {
    /// The merged bins would span too much.
    #[error("its values would span {0} bins, more than {MAX_BINS}")]
    TooWide(u64),
    /// More values than can be counted.
    #[error("it counts more than 2^64 values")]
    TooMany,
    /// A bin that no value falls into.
    #[error("it has a bin {0}: {start} to {end} are expected", start = KEYS.start(), end = KEYS.end())]
    Key(i64),
}

impl Default for Sketch {
    fn default() -> Self {
        Self {
            positive: Bins::default(),
            negative: Bins::default(),
            zeros: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: Sum::default(),
        }
    }
}

impl Sketch {
    /// A sketch of its parts, which must belong together: `wire` checks what comes from elsewhere.
    pub(crate) fn of(positive: Bins, negative: Bins, zeros: u64, min: f64, max: f64, sum: Sum) -> Self {
        Self { positive, negative, zeros, min, max, sum }
    }

    /// Takes in a finite value.
    ///
    /// # Errors
    /// It is too far from 0, or the bins would span too much; then nothing has changed.
    pub fn accept(&mut self, value: f64) -> Result<(), SketchError> {
        if value > SMALLEST {
            self.positive.add(&Bins::new(key(value), &[1])?)?;
        } else if value < -SMALLEST {
            self.negative.add(&Bins::new(key(-value), &[1])?)?;
        } else {
            self.zeros += 1;
        }
        self.sum.add(value);
        self.min = self.min.min(value);
        self.max = self.max.max(value);
        Ok(())
    }

    /// Adds another sketch.
    ///
    /// # Errors
    /// They cannot be one; then nothing has changed.
    pub fn merge(&mut self, other: &Self) -> Result<(), SketchError> {
        self.count().checked_add(other.count()).ok_or(SketchError::TooMany)?;
        self.negative.fits(&other.negative)?;
        self.positive.add(&other.positive)?;
        self.negative.add(&other.negative)?;
        self.zeros += other.zeros;
        self.sum.merge(&other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        Ok(())
    }

    /// The bins of what is above zero, and of what is below (by its absolute value).
    pub(crate) fn bins(&self) -> [&Bins; 2] {
        [&self.positive, &self.negative]
    }

    /// How many values are zero, or too near to it for a bin.
    pub(crate) fn zeros(&self) -> u64 {
        self.zeros
    }

    /// The sum of the values, in its parts.
    pub(crate) fn exact_sum(&self) -> &Sum {
        &self.sum
    }

    /// How many bins it has.
    pub(crate) fn len(&self) -> usize {
        self.positive.len() + self.negative.len()
    }

    /// How many bins it would have with another one added.
    pub(crate) fn merged_len(&self, other: &Self) -> Result<usize, SketchError> {
        self.count().checked_add(other.count()).ok_or(SketchError::TooMany)?;
        Ok(self.positive.fits(&other.positive)?.1 + self.negative.fits(&other.negative)?.1)
    }

    /// The coarse sketch of the same values: that of a merge is the merge of the coarse ones.
    pub(crate) fn coarse(&self) -> Self {
        let Self { positive, negative, zeros, min, max, sum } = self;
        let (positive, negative) = (positive.coarse(), negative.coarse());
        Self { positive, negative, zeros: *zeros, min: *min, max: *max, sum: sum.clone() }
    }

    /// How many values there are.
    pub fn count(&self) -> u64 {
        self.positive.count() + self.negative.count() + self.zeros
    }

    /// The smallest value; `None` where there is none.
    pub fn min(&self) -> Option<f64> {
        (self.count() > 0).then_some(self.min)
    }

    /// The largest value; `None` where there is none.
    pub fn max(&self) -> Option<f64> {
        (self.count() > 0).then_some(self.max)
    }

    /// The sum of the values.
    pub fn sum(&self) -> f64 {
        self.sum.value()
    }

    /// The mean of the values; `None` where there is none.
    #[allow(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    pub fn mean(&self) -> Option<f64> {
        (self.count() > 0).then(|| self.sum() / self.count() as f64)
    }

    /// The value below which the share `quantile` (0 to 1) of the values lies, to within 1 %; `None` where there is none.
    /// The rank is `quantile * (count - 1)`, as Artillery has it.
    #[allow(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        if self.count() == 0 || !(0.0..=1.0).contains(&quantile) {
            return None;
        }
        let rank = quantile * (self.count() - 1) as f64;
        let negatives = self.negative.count() as f64;
        let below = negatives + self.zeros as f64;
        Some(if rank < negatives {
            let key = self.negative.find(|seen| seen as f64 >= negatives - rank);
            -value(key)
        } else if rank < below {
            0.0
        } else {
            value(self.positive.find(|seen| seen as f64 > rank - below))
        })
    }
}

/// The largest value of a bin.
#[allow(clippy::cast_precision_loss, reason = "keys are small")]
fn upper(key: i64) -> f64 {
    (key as f64 / multiplier()).exp2()
}

/// Bins per doubling, computed as Artillery does: `ln 2 / ln gamma`.
fn multiplier() -> f64 {
    (1.0 / (2.0 * RELATIVE_ACCURACY / (1.0 - RELATIVE_ACCURACY)).ln_1p()) * std::f64::consts::LN_2
}

#[allow(clippy::cast_possible_truncation, reason = "the logarithm of a finite number is small")]
fn key(value: f64) -> i64 {
    (value.log2() * multiplier()).ceil() as i64
}

#[allow(clippy::cast_precision_loss, reason = "keys are small")]
fn value(key: i64) -> f64 {
    (key as f64 / multiplier()).exp2() * (2.0 / (1.0 + GAMMA))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(super) fn sketch(values: &[f64]) -> Sketch {
        let mut sketch = Sketch::default();
        for value in values {
            sketch.accept(*value).expect("a value");
        }
        sketch
    }

    fn merged(a: &Sketch, b: &Sketch) -> Sketch {
        let mut merged = a.clone();
        merged.merge(b).expect("one sketch");
        merged
    }

    fn values() -> impl Strategy<Value = Vec<f64>> {
        let value =
            prop_oneof![4 => 0.0..60_000.0_f64, 1 => Just(0.0), 1 => -500.0..0.0_f64, 1 => 1e-6..1e-3_f64];
        prop::collection::vec(value, 0..80)
    }

    #[test]
    fn an_empty_sketch_claims_nothing() {
        let empty = Sketch::default();
        assert_eq!((empty.count(), empty.min(), empty.max()), (0, None, None));
        assert_eq!((empty.mean(), empty.quantile(0.5)), (None, None));
    }

    #[test]
    fn what_spans_too_much_is_refused_and_changes_nothing() {
        let mut wide = sketch(&[1e-200]);
        let before = wide.clone();
        assert!(matches!(wide.accept(1e200), Err(SketchError::TooWide(_))));
        assert!(matches!(wide.merge(&sketch(&[-1.0, 1e200])), Err(SketchError::TooWide(_))));
        assert_eq!(wide, before);
    }

    #[test]
    fn more_values_than_a_narrow_bin_holds_are_counted() {
        let many = |first, count| {
            Sketch::of(
                Bins::new(first, &[count, 1]).expect("bins"),
                Bins::default(),
                0,
                1.0,
                2.0,
                Sum::default(),
            )
        };
        let (a, b) = (many(3, u64::from(u32::MAX) - 1), many(2, 7));
        let both = merged(&a, &b);
        assert_eq!(
            (both.count(), both.positive.counts().collect::<Vec<_>>()),
            (4_294_967_303, vec![7, 4_294_967_295, 1])
        );
        assert_eq!(both, merged(&b, &a));
        assert_eq!(merged(&both, &both).count(), 2 * both.count());
        assert_eq!(many(3, u64::MAX - 9).merge(&a), Err(SketchError::TooMany));
    }

    proptest! {
        #[test]
        fn merging_is_commutative_associative_and_the_sketch_of_all(a in values(), b in values(), c in values()) {
            let all = sketch(&[a.clone(), b.clone(), c.clone()].concat());
            let (a, b, c) = (sketch(&a), sketch(&b), sketch(&c));
            prop_assert_eq!(&merged(&a, &b), &merged(&b, &a));
            prop_assert_eq!(&merged(&merged(&a, &b), &c), &merged(&a, &merged(&b, &c)));
            prop_assert_eq!(&merged(&merged(&a, &b), &c), &all);
        }

        #[test]
        fn the_coarse_sketch_of_all_is_the_merge_of_the_coarse_ones_and_within_3_percent(
            a in values(),
            b in values(),
            q in 0.0..=1.0_f64,
        ) {
            let (a, b) = (sketch(&a), sketch(&b));
            let all = merged(&a, &b);
            prop_assert_eq!(all.coarse(), merged(&a.coarse(), &b.coarse()));
            prop_assert_eq!(all.coarse(), all.coarse().coarse());
            prop_assert_eq!((all.coarse().count(), all.coarse().sum()), (all.count(), all.sum()));
            if let (Some(exact), Some(coarse)) = (all.quantile(q), all.coarse().quantile(q)) {
                // the middle of three bins is one bin away from the others, that is 2 %
                prop_assert!((coarse / exact - 1.0).abs() < 0.0203 || coarse == exact, "{} {}", exact, coarse);
            }
        }

        #[test]
        fn quantiles_are_within_one_percent_of_a_value_of_that_rank(values in values(), q in 0.0..=1.0_f64) {
            prop_assume!(!values.is_empty());
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let exact = sorted[(q * (values.len() - 1) as f64).floor() as usize];
            let got = sketch(&values).quantile(q).expect("a value");
            let is_near = |exact: f64| (got - exact).abs() <= RELATIVE_ACCURACY * exact.abs() + 1e-12;
            // among the negative ones the rank is rounded the other way, so that it may be the neighbour
            prop_assert!(sorted.iter().any(|v| is_near(*v)), "{} is near no value", got);
            prop_assert!(exact < 0.0 || is_near(exact), "{} for {}", got, exact);
        }
    }
}
