//! What was measured, packed in few bytes: names by their numbers, bins in an adaptive code (`bits`).

use std::collections::BTreeMap;

use super::bits::{Reader, Writer};
use super::measured::{Form, Measured, Name, Periods};
use super::parts::PartsError;
use super::{MAX_NAME_BYTES_IN_ALL, MAX_NAMES, MAX_TOTAL_BINS};
use crate::sketch::{Bins, MAX_BINS, Sketch};
use crate::sum::Sum;
use crate::wire::{MAX_MAGNITUDE, MAX_NAME_BYTES, Span};

/// A load test that runs for years has no more chunks of periods.
const MAX_CHUNKS: usize = 1 << 17;
/// No exact sum has more parts: 2,100 bits in pieces of 53.
const MAX_SUM_PARTS: usize = 64;

/// The names of a load test, and their numbers, which never change.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    by_number: Vec<Name>,
    numbers: BTreeMap<Name, usize>,
    /// All of them together.
    bytes: usize,
}

impl Names {
    /// Whether that one may be added, if it is not there.
    pub fn has_room(&self, name: &str) -> bool {
        self.numbers.contains_key(name) || self.bytes + name.len() <= MAX_NAME_BYTES_IN_ALL
    }

    /// The one that says the same.
    pub fn intern(&mut self, name: &str) -> Name {
        if let Some((name, _)) = self.numbers.get_key_value(name) {
            return name.clone();
        }
        let name = Name::from(name);
        self.bytes += name.len();
        self.numbers.insert(name.clone(), self.by_number.len());
        self.by_number.push(name.clone());
        name
    }

    pub fn write(&self, to: &mut Writer) {
        to.size(self.by_number.len());
        for name in &self.by_number {
            to.bytes(name.as_bytes());
        }
    }

    pub fn read(from: &mut Reader<'_>) -> Result<Self, PartsError> {
        let mut names = Self::default();
        for number in 0..from.size(3 * MAX_NAMES)? {
            let name = from.text()?;
            names.intern(name);
            if name.len() > MAX_NAME_BYTES
                || names.bytes > MAX_NAME_BYTES_IN_ALL
                || names.by_number.len() != number + 1
            {
                return Err(PartsError::Damaged("a name is too long, or comes twice"));
            }
        }
        Ok(names)
    }

    fn write_map<T>(&self, to: &mut Writer, map: &BTreeMap<Name, T>, write: impl Fn(&mut Writer, &T)) {
        // whatever was measured has its name here: there is no other way in
        let mut numbered: Vec<_> =
            map.iter().filter_map(|(name, value)| Some((*self.numbers.get(name)?, value))).collect();
        numbered.sort_unstable_by_key(|(number, _)| *number);
        to.size(numbered.len());
        let mut next = 0;
        for (number, value) in numbered {
            to.size(number - next);
            next = number + 1;
            write(to, value);
        }
    }

    fn read_map<T>(
        &self,
        from: &mut Reader<'_>,
        mut read: impl FnMut(&mut Reader<'_>) -> Result<T, PartsError>,
    ) -> Result<BTreeMap<Name, T>, PartsError> {
        let mut map = BTreeMap::new();
        let mut next = 0;
        for _ in 0..from.size(MAX_NAMES)? {
            let number = next + from.size(3 * MAX_NAMES)?;
            let name = self.by_number.get(number).ok_or(PartsError::Damaged("a name is not there"))?;
            next = number + 1;
            map.insert(name.clone(), read(from)?);
        }
        Ok(map)
    }
}

impl Measured {
    pub(super) fn write(&self, to: &mut Writer, names: &Names, form: Form) {
        let Self { counters, rates, histograms, counters_at, histograms_at, periods } = self;
        names.write_map(to, counters, |to, count| to.number(*count));
        names.write_map(to, rates, write_sum);
        names.write_map(to, histograms, |to, sketch| write_sketch(to, sketch, form));
        for span in [counters_at, histograms_at] {
            // 0 for none: whatever was measured, was so after 1970
            to.number(span.map_or(0, |span| span.first));
            to.number(span.map_or(0, |span| span.last - span.first));
        }
        to.size(periods.chunks().len());
        let mut before = 0;
        for (chunk, bits) in periods.chunks() {
            to.number(chunk - before);
            to.number(*bits);
            before = *chunk;
        }
    }

    pub(super) fn read(from: &mut Reader<'_>, names: &Names, form: Form) -> Result<Self, PartsError> {
        let counters = names.read_map(from, |from| from.number())?;
        let rates = names.read_map(from, read_sum)?;
        let mut bins = 0;
        let histograms = names.read_map(from, |from| {
            let sketch = read_sketch(from, form)?;
            bins += sketch.len();
            let fits = bins <= MAX_TOTAL_BINS;
            if fits { Ok(sketch) } else { Err(PartsError::Damaged("there are too many bins")) }
        })?;
        let [counters_at, histograms_at] = [read_span(from)?, read_span(from)?];
        let mut chunks = BTreeMap::new();
        let mut chunk = 0_u64;
        for number in 0..from.size(MAX_CHUNKS)? {
            let (step, bits) = (from.number()?, from.number()?);
            chunk = chunk.saturating_add(step);
            if (step == 0 && number > 0) || bits == 0 || chunk > u64::from(u32::MAX) {
                return Err(PartsError::Damaged("a set of periods is not in order"));
            }
            chunks.insert(chunk, bits);
        }
        let periods = Periods::of(chunks);
        Ok(Self { counters, rates, histograms, counters_at, histograms_at, periods })
    }
}

fn read_span(from: &mut Reader<'_>) -> Result<Option<Span>, PartsError> {
    let (first, length) = (from.number()?, from.number()?);
    Ok((first > 0).then(|| Span { first, last: first.saturating_add(length) }))
}

fn write_sum(to: &mut Writer, sum: &Sum) {
    to.size(sum.parts().len());
    sum.parts().iter().for_each(|part| to.float(*part));
}

fn read_sum(from: &mut Reader<'_>) -> Result<Sum, PartsError> {
    (0..from.size(MAX_SUM_PARTS)?).map(|_| read_float(from, MAX_MAGNITUDE * 1e20)).collect()
}

/// A float that is no further from 0.
fn read_float(from: &mut Reader<'_>, most: f64) -> Result<f64, PartsError> {
    let float = from.float()?;
    if float.abs() <= most { Ok(float) } else { Err(PartsError::Damaged("a number is out of its bounds")) }
}

fn write_sketch(to: &mut Writer, sketch: &Sketch, form: Form) {
    to.number(sketch.zeros());
    for bins in sketch.bins() {
        to.size(bins.len().div_ceil(form.stride()));
        if bins.len() > 0 {
            to.signed(bins.first());
            to.counts(bins.counts().step_by(form.stride()));
        }
    }
    if let (Some(min), Some(max)) = (sketch.min(), sketch.max()) {
        to.float(min);
        to.float(max);
        write_sum(to, sketch.exact_sum());
    }
}

fn read_sketch(from: &mut Reader<'_>, form: Form) -> Result<Sketch, PartsError> {
    let stride = form.stride();
    let zeros = from.number()?;
    let mut bins = || match from.size(MAX_BINS / stride)? {
        0 => Ok(Bins::default()),
        number => {
            let first = from.signed()?;
            let mut counts = vec![0; (number - 1) * stride + 1];
            for (place, count) in counts.iter_mut().step_by(stride).zip(from.counts(number)?) {
                *place = count;
            }
            let is_in_place = |bins: &Bins| form == Form::Exact || *bins == bins.coarse();
            let bins = Bins::new(first, &counts).ok().filter(is_in_place);
            bins.ok_or(PartsError::Damaged("bins are out of their bounds"))
        }
    };
    let (positive, negative) = (bins()?, bins()?);
    let count = positive.count().checked_add(negative.count()).and_then(|count| count.checked_add(zeros));
    match count {
        None => Err(PartsError::Damaged("a distribution has too many values")),
        Some(0) => Ok(Sketch::default()),
        Some(_) => {
            let (min, max) = (read_float(from, MAX_MAGNITUDE)?, read_float(from, MAX_MAGNITUDE)?);
            if min > max {
                return Err(PartsError::Damaged("a smallest value is larger than the largest"));
            }
            Ok(Sketch::of(positive, negative, zeros, min, max, read_sum(from)?))
        }
    }
}
