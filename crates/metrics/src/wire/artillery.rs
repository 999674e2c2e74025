//! Artillery's own form of a distribution, a DDSketch protobuf of sketches-js, for reporters that send what they have.

use prost::Message;

use super::messages::{DdSketch, Store};
use super::{MAX_WIRE_BINS, ValueError, checked, count};
use crate::sketch::{Bins, GAMMA, Sketch};

/// How far another ratio of bins may be off: JavaScript's detour over the accuracy costs some last digits.
const GAMMA_TOLERANCE: f64 = 1e-9;

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
