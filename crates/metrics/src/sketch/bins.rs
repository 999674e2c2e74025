//! The bins of one sign of a sketch: counts of consecutive keys, as narrow in memory as their sum allows.

use super::{COARSE, KEYS, MAX_BINS, SketchError};

/// Counts of consecutive bins, without empty ones at either end.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bins {
    /// The key of the first bin.
    first: i64,
    counts: Counts,
    count: u64,
}

/// Narrow while all of them together are: then no bin can overflow, and most sketches take half the memory.
#[derive(Clone, Debug, PartialEq)]
enum Counts {
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

impl Bins {
    /// Counts from the bin with the key `first` on.
    pub(crate) fn new(first: i64, counts: &[u64]) -> Result<Self, SketchError> {
        let Some(start) = counts.iter().position(|count| *count > 0) else { return Ok(Self::default()) };
        let end = counts.iter().rposition(|count| *count > 0).map_or(start, |last| last + 1);
        let count = counts.iter().try_fold(0_u64, |sum, count| sum.checked_add(*count));
        let count = count.ok_or(SketchError::TooMany)?;
        let first = first.saturating_add(i64::try_from(start).unwrap_or(i64::MAX));
        let bins = Self { first, counts: Counts::of(&counts[start..end], count), count };
        bins.fits(&Self::default())?;
        match [bins.first, bins.end() - 1].into_iter().find(|key| !KEYS.contains(key)) {
            Some(key) => Err(SketchError::Key(key)),
            None => Ok(bins),
        }
    }

    /// How many values they count.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The key of the first bin; 0 where there is none.
    pub(crate) fn first(&self) -> i64 {
        self.first
    }

    /// How many bins there are, from the first to the last that counts anything.
    pub(crate) fn len(&self) -> usize {
        match &self.counts {
            Counts::Narrow(counts) => counts.len(),
            Counts::Wide(counts) => counts.len(),
        }
    }

    /// What the bins count, from the first on.
    pub(crate) fn counts(&self) -> impl Iterator<Item = u64> {
        self.counts.iter()
    }

    fn end(&self) -> i64 {
        self.first.saturating_add(i64::try_from(self.len()).unwrap_or(i64::MAX))
    }

    /// The first key and the number of bins that hold both these and the others, if that is no more than they may be.
    pub(crate) fn fits(&self, other: &Self) -> Result<(i64, usize), SketchError> {
        let (first, end) = match (self.count == 0, other.count == 0) {
            (_, true) => (self.first, self.end()),
            (true, false) => (other.first, other.end()),
            (false, false) => (self.first.min(other.first), self.end().max(other.end())),
        };
        let span = end.abs_diff(first);
        // and so do the coarse ones then
        let coarse = span.saturating_add(first.rem_euclid(COARSE as i64).unsigned_abs());
        match usize::try_from(span) {
            Ok(span) if coarse <= MAX_BINS as u64 => Ok((first, span)),
            _ => Err(SketchError::TooWide(span)),
        }
    }

    /// Of each three bins, what they count in the middle one, whose value is in the middle of theirs.
    pub(crate) fn coarse(&self) -> Self {
        let after = usize::try_from(self.first.rem_euclid(COARSE as i64)).unwrap_or(0);
        let counts = match &self.counts {
            Counts::Narrow(counts) => coarse(counts, after),
            Counts::Wide(counts) => coarse(counts, after),
        };
        if self.count == 0 {
            return self.clone();
        }
        let first = self.first - after as i64 + COARSE as i64 / 2;
        Self { first, counts: Counts::of(&counts, self.count), count: self.count }
    }

    /// How many bits it takes to say what each `stride`th bin counts, about.
    pub(crate) fn bits(&self, stride: usize) -> usize {
        let bits = |count: u64| 65 - count.leading_zeros() as usize;
        match &self.counts {
            Counts::Narrow(counts) => {
                counts.iter().step_by(stride).map(|count| bits(u64::from(*count))).sum()
            }
            Counts::Wide(counts) => counts.iter().step_by(stride).map(|count| bits(*count)).sum(),
        }
    }

    /// Adds others.
    pub(crate) fn add(&mut self, other: &Self) -> Result<(), SketchError> {
        if other.count == 0 {
            return Ok(());
        }
        let (first, span) = self.fits(other)?;
        let count = self.count.checked_add(other.count).ok_or(SketchError::TooMany)?;
        if self.count == 0 {
            *self = other.clone();
            return Ok(());
        }
        let before = usize::try_from(self.first.abs_diff(first)).unwrap_or(usize::MAX);
        let at = usize::try_from(other.first.abs_diff(first)).unwrap_or(usize::MAX);
        if self.len() < span {
            self.counts.grow(before, span);
            self.first = first;
        }
        self.counts.add(at, &other.counts, count);
        self.count = count;
        Ok(())
    }

    /// The key of the first bin at which the running count satisfies `is_reached`; the last one if none does.
    pub(super) fn find(&self, is_reached: impl Fn(u64) -> bool) -> i64 {
        let mut seen = 0;
        for (bin, key) in self.counts().zip(self.first..) {
            seen += bin;
            if is_reached(seen) {
                return key;
            }
        }
        self.end().saturating_sub(1)
    }
}

/// Sums of three counts each, with zeros between them; the first count is `after` others of its three.
fn coarse<T: Copy + Into<u64>>(counts: &[T], after: usize) -> Vec<u64> {
    let (head, rest) = counts.split_at((COARSE - after).min(counts.len()));
    let threes = 1 + rest.len().div_ceil(COARSE);
    let mut sums = vec![0; (threes - 1) * COARSE + 1];
    let places = sums.iter_mut().step_by(COARSE);
    for (place, three) in places.zip(std::iter::once(head).chain(rest.chunks(COARSE))) {
        *place = three.iter().map(|count| (*count).into()).sum();
    }
    sums
}

impl Default for Counts {
    fn default() -> Self {
        Self::Narrow(Vec::new())
    }
}

impl Counts {
    /// Counts whose sum is `sum`.
    fn of(counts: &[u64], sum: u64) -> Self {
        #[allow(clippy::cast_possible_truncation, reason = "their sum is narrow")]
        match u32::try_from(sum) {
            Ok(_) => Self::Narrow(counts.iter().map(|count| *count as u32).collect()),
            Err(_) => Self::Wide(counts.to_vec()),
        }
    }

    /// Makes room for `span` bins, of which `before` come before these.
    fn grow(&mut self, before: usize, span: usize) {
        fn grown<T: Copy + Default>(counts: &[T], before: usize, span: usize) -> Vec<T> {
            let mut grown = vec![T::default(); span]; // and no more: most bins are known after a few periods
            grown[before..before + counts.len()].copy_from_slice(counts);
            grown
        }
        match self {
            Self::Narrow(counts) => *counts = grown(counts, before, span),
            Self::Wide(counts) => *counts = grown(counts, before, span),
        }
    }

    /// Adds others from the bin `at` on; `sum` is that of all then.
    fn add(&mut self, at: usize, others: &Self, sum: u64) {
        match (&mut *self, others, u32::try_from(sum)) {
            (Self::Narrow(counts), Self::Narrow(others), Ok(_)) => {
                counts[at..].iter_mut().zip(others).for_each(|(count, other)| *count += other);
            }
            _ => {
                let mut counts = std::mem::take(self).into_wide();
                counts[at..].iter_mut().zip(others.iter()).for_each(|(count, other)| *count += other);
                *self = Self::Wide(counts);
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = u64> {
        let (narrow, wide): (&[u32], &[u64]) = match self {
            Self::Narrow(counts) => (counts, &[]),
            Self::Wide(counts) => (&[], counts),
        };
        narrow.iter().map(|count| u64::from(*count)).chain(wide.iter().copied())
    }

    fn into_wide(self) -> Vec<u64> {
        match self {
            Self::Narrow(counts) => counts.into_iter().map(u64::from).collect(),
            Self::Wide(counts) => counts,
        }
    }
}
