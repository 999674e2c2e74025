//! Numbers in few bytes: varints, floats, and runs of counts in an adaptive Rice code; read back within bounds.
//!
//! Neighbouring bins of a distribution count alike. So each count is written with as many low bits as the running mean of those
//! before it has, and the rest in unary (Rice and Plaunt, "Adaptive Variable-Length Coding", 1971). That is a tenth
//! less than deflate makes of a whole group of steps, needs no dependency, and cannot blow up: a count takes a bit at least.

use super::parts::PartsError;

/// Appends numbers to bytes.
#[derive(Default)]
pub(super) struct Writer {
    bytes: Vec<u8>,
}

/// Takes numbers from bytes, in the order in which they were written.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// A higher quotient is not written in unary: the count comes as it is.
const MAX_UNARY: u32 = 24;

impl Writer {
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push((number & 0x7f) as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push((number & 0x7f) as u8);
    }

    pub fn size(&mut self, size: usize) {
        self.number(size as u64);
    }

    /// One of either sign, small where it is near 0.
    pub fn signed(&mut self, number: i64) {
        self.number((number << 1 ^ number >> 63).cast_unsigned());
    }

    /// A float: whole ones as they are, any other in 9 bytes.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "it is checked")]
    pub fn float(&mut self, float: f64) {
        let whole = float as i64;
        if float.abs() < (1_u64 << 53) as f64
            && whole as f64 == float
            && !(whole == 0 && float.is_sign_negative())
        {
            self.number((whole << 1 ^ whole >> 63).cast_unsigned() << 1);
        } else {
            self.number(1);
            self.bytes.extend(float.to_le_bytes());
        }
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.size(bytes.len());
        self.bytes.extend(bytes);
    }

    /// Counts, whose number the reader knows.
    pub fn counts(&mut self, counts: impl Iterator<Item = u64>) {
        let (mut buffer, mut filled) = (0_u64, 0_u32);
        let mut bits = |bits: u64, count: u32| {
            buffer |= bits << filled;
            filled += count;
            while filled >= 8 {
                self.bytes.push((buffer & 0xff) as u8);
                buffer >>= 8;
                filled -= 8;
            }
        };
        let mut mean = Mean::default();
        for count in counts {
            let low = mean.bits();
            match u32::try_from(count >> low) {
                Ok(quotient) if quotient < MAX_UNARY => {
                    bits((1 << quotient) - 1, quotient + 1);
                    bits(count & ((1 << low) - 1), low);
                }
                _ => {
                    bits((1 << MAX_UNARY) - 1, MAX_UNARY);
                    bits(count & 0xffff_ffff, 32);
                    bits(count >> 32, 32);
                }
            }
            mean.take(count);
        }
        bits(0, 7);
    }
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    fn byte(&mut self) -> Result<u8, PartsError> {
        let (first, rest) = self.rest.split_first().ok_or(PartsError::Cut)?;
        self.rest = rest;
        Ok(*first)
    }

    pub fn number(&mut self) -> Result<u64, PartsError> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(PartsError::Damaged("a number has more than 64 bits"))
    }

    /// A size of something, at most `most`.
    pub fn size(&mut self, most: usize) -> Result<usize, PartsError> {
        match usize::try_from(self.number()?) {
            Ok(size) if size <= most => Ok(size),
            _ => Err(PartsError::Damaged("a size is out of its bounds")),
        }
    }

    pub fn signed(&mut self) -> Result<i64, PartsError> {
        Ok(unsign(self.number()?))
    }

    #[allow(clippy::cast_precision_loss, reason = "whole ones are below 2^53 where they were written")]
    pub fn float(&mut self) -> Result<f64, PartsError> {
        let number = self.number()?;
        match (number & 1, number >> 1) {
            (0, whole) => Ok(unsign(whole) as f64),
            (_, 0) => {
                let (bytes, rest) = self.rest.split_first_chunk::<8>().ok_or(PartsError::Cut)?;
                self.rest = rest;
                Ok(f64::from_le_bytes(*bytes))
            }
            _ => Err(PartsError::Damaged("a number is neither whole nor a float")),
        }
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], PartsError> {
        let size = self.size(usize::MAX)?;
        let (bytes, rest) = self.rest.split_at_checked(size).ok_or(PartsError::Cut)?;
        self.rest = rest;
        Ok(bytes)
    }

    pub fn text(&mut self) -> Result<&'a str, PartsError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| PartsError::Damaged("a text is not UTF-8"))
    }

    /// So many counts.
    pub fn counts(&mut self, number: usize) -> Result<Vec<u64>, PartsError> {
        if number > self.rest.len().saturating_mul(8) {
            return Err(PartsError::Cut);
        }
        let mut counts = Vec::with_capacity(number);
        let mut mean = Mean::default();
        let mut bits = Bits { reader: self, buffer: 0, filled: 0 };
        for _ in 0..number {
            let mut quotient = 0;
            while quotient < MAX_UNARY && bits.take(1)? == 1 {
                quotient += 1;
            }
            let count = if quotient < MAX_UNARY {
                let low = mean.bits();
                u64::from(quotient) << low | bits.take(low)?
            } else {
                bits.take(32)? | bits.take(32)? << 32
            };
            counts.push(count);
            mean.take(count);
        }
        Ok(counts)
    }
}

/// The bits of bytes, the lowest first.
struct Bits<'r, 'a> {
    reader: &'r mut Reader<'a>,
    buffer: u64,
    filled: u32,
}

impl Bits<'_, '_> {
    /// The next bits, at most 56.
    fn take(&mut self, count: u32) -> Result<u64, PartsError> {
        while self.filled < count {
            self.buffer |= u64::from(self.reader.byte()?) << self.filled;
            self.filled += 8;
        }
        let bits = self.buffer & ((1 << count) - 1);
        self.buffer >>= count;
        self.filled -= count;
        Ok(bits)
    }
}

/// The running mean of counts, in sixteenths.
struct Mean(u64);

impl Default for Mean {
    fn default() -> Self {
        Self(16)
    }
}

impl Mean {
    /// With how many low bits the next count is written.
    fn bits(&self) -> u32 {
        ((self.0 + 5) / 16).checked_ilog2().unwrap_or(0).min(48)
    }

    fn take(&mut self, count: u64) {
        self.0 = self.0 - self.0 / 4 + count.min(1 << 53) * 4;
    }
}

fn unsign(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_count() -> impl Strategy<Value = u64> {
        (any::<u64>(), 0..64_u32).prop_map(|(bits, shift)| bits >> shift)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            number in any_count(),
            signed in any::<i64>(),
            floats in prop::collection::vec(prop_oneof![any::<f64>(), (-1e6..1e6_f64).prop_map(f64::round)], 3),
            counts in prop::collection::vec(any_count(), 0..60),
            text in ".{0,20}",
        ) {
            let mut writer = Writer::default();
            writer.number(number);
            writer.counts(counts.iter().copied());
            writer.signed(signed);
            floats.iter().for_each(|float| writer.float(*float));
            writer.bytes(text.as_bytes());
            let bytes = writer.into_bytes();
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.number(), Ok(number));
            prop_assert_eq!(reader.counts(counts.len()), Ok(counts));
            prop_assert_eq!(reader.signed(), Ok(signed));
            for float in floats {
                prop_assert_eq!(reader.float().map(f64::to_bits), Ok(float.to_bits()));
            }
            prop_assert_eq!(reader.text(), Ok(text.as_str()));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..60), number in 0..600_usize) {
            let _ = Reader::new(&bytes).counts(number);
            let mut reader = Reader::new(&bytes);
            while !reader.is_empty() && reader.float().is_ok() && reader.bytes().is_ok() {}
        }
    }
}
