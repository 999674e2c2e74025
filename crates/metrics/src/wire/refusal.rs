//! Why a batch, or one value of it, is refused: the words that the reporter's log and the report show.

use super::{
    AHEAD, BEHIND, MAX_BATCH_BYTES, MAX_MAGNITUDE, MAX_NAME_BYTES, MAX_NAMES, MAX_PHASES, MAX_WIRE_BINS,
};
use crate::aggregate::PERIOD;
use crate::sketch::{GAMMA, SketchError};

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
    /// It has too many phases.
    #[error("it has {0} phases, more than {MAX_PHASES}")]
    TooManyPhases(usize),
    /// It has no number.
    #[error("its sequence number is 0: the first batch is 1")]
    NoSequence,
    /// Its time is none at which a period of Artillery's begins.
    #[error(
        "its period {0} is no multiple of {PERIOD}: the first millisecond of a period, Unix time, is expected"
    )]
    NoPeriod(u64),
    /// A batch from the future.
    #[error(
        "its period begins {0} ms after the collector's time: at most {AHEAD} ms are expected; is the node's clock right?"
    )]
    FromTheFuture(u64),
    /// A batch from long ago.
    #[error(
        "its period begins {0} ms before the collector's time: at most {BEHIND} ms are expected; is the node's clock right?"
    )]
    TooOld(u64),
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
    /// Not a number that can be summed.
    #[error("its {0} is {1}: a number within {MAX_MAGNITUDE:e} of 0 is expected")]
    Number(&'static str, f64),
    /// Less than nothing.
    #[error("its {0} is {1}: 0 or more is expected")]
    Negative(&'static str, f64),
    /// More than one value under one name.
    #[error("its name comes twice")]
    Twice,
    /// The load test has too many names.
    #[error("the load test has more than {} names of one kind", crate::aggregate::MAX_NAMES)]
    OneTooMany,
    /// The load test's names are too long together.
    #[error(
        "the names of the load test have more than {} bytes together",
        crate::aggregate::MAX_NAME_BYTES_IN_ALL
    )]
    NamesTooLong,
    /// The load test's distributions are too large together.
    #[error(
        "the load test's distributions have more than {} bins together",
        crate::aggregate::MAX_TOTAL_BINS
    )]
    TooManyBins,
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
    /// A time of another period.
    #[error("{0} to {1} are no first and last time, in order, of the period from {2} on")]
    Span(u64, u64, u64),
    /// A phase that no script has.
    #[error("it is phase {0}: 0 to {last} are expected", last = MAX_PHASES - 1)]
    Phase(u32),
    /// It is no sketch of ours.
    #[error(transparent)]
    Sketch(#[from] SketchError),
    /// Artillery's bytes are no message.
    #[error("it is no DDSketch: {0}")]
    Malformed(String),
}
