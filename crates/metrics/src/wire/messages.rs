//! The messages of the wire, field by field as `docs/protocol.md` and sketches-js have them; their meaning is with `wire`.

use std::collections::HashMap;

use prost::Message;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, decode_key, skip_field};

use super::{BatchError, MAX_NAMES, MAX_PHASES};

#[derive(Clone, PartialEq, Message)]
pub(super) struct BatchMessage {
    #[prost(uint64, tag = "1")]
    pub sequence: u64,
    #[prost(uint64, tag = "2")]
    pub period: u64,
    #[prost(message, repeated, tag = "3")]
    pub counters: Vec<NumberMessage>,
    #[prost(message, repeated, tag = "4")]
    pub rates: Vec<NumberMessage>,
    #[prost(message, repeated, tag = "5")]
    pub histograms: Vec<HistogramMessage>,
    #[prost(message, optional, tag = "6")]
    pub health: Option<HealthMessage>,
    #[prost(message, repeated, tag = "7")]
    pub phases: Vec<PhaseMessage>,
    #[prost(string, tag = "8")]
    pub lost: String,
    #[prost(uint64, tag = "9")]
    pub first_counter_at: u64,
    #[prost(uint64, tag = "10")]
    pub last_counter_at: u64,
    #[prost(uint64, tag = "11")]
    pub first_histogram_at: u64,
    #[prost(uint64, tag = "12")]
    pub last_histogram_at: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct NumberMessage {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(double, tag = "2")]
    pub value: f64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HistogramMessage {
    #[prost(string, tag = "1")]
    pub name: String,
    #[prost(uint64, tag = "2")]
    pub zeros: u64,
    #[prost(double, tag = "3")]
    pub min: f64,
    #[prost(double, tag = "4")]
    pub max: f64,
    #[prost(double, tag = "5")]
    pub sum: f64,
    #[prost(sint32, tag = "6")]
    pub positive_first: i32,
    #[prost(uint64, repeated, tag = "7")]
    pub positive: Vec<u64>,
    #[prost(sint32, tag = "8")]
    pub negative_first: i32,
    #[prost(uint64, repeated, tag = "9")]
    pub negative: Vec<u64>,
    /// Artillery's own form, instead of 2 to 9.
    #[prost(bytes = "vec", tag = "10")]
    pub artillery: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HealthMessage {
    #[prost(double, tag = "1")]
    pub event_loop_utilization: f64,
    #[prost(uint64, tag = "2")]
    pub cpu_periods: u64,
    #[prost(uint64, tag = "3")]
    pub cpu_throttled_periods: u64,
    #[prost(uint64, tag = "4")]
    pub cpu_throttled_microseconds: u64,
    #[prost(uint64, tag = "5")]
    pub memory_bytes: u64,
    #[prost(uint64, tag = "6")]
    pub memory_limit_bytes: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PhaseMessage {
    #[prost(uint32, tag = "1")]
    pub index: u32,
    #[prost(double, tag = "2")]
    pub started_milliseconds: f64,
    #[prost(double, tag = "3")]
    pub length_milliseconds: f64,
}

/// `DDSketch` of sketches-js; field numbers and meanings as in its `ddsketch.proto`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct DdSketch {
    #[prost(message, optional, tag = "1")]
    pub mapping: Option<IndexMapping>,
    #[prost(message, optional, tag = "2")]
    pub positive: Option<Store>,
    #[prost(message, optional, tag = "3")]
    pub negative: Option<Store>,
    #[prost(double, tag = "4")]
    pub zeros: f64,
    #[prost(double, tag = "5")]
    pub min: f64,
    #[prost(double, tag = "6")]
    pub max: f64,
    #[prost(double, tag = "7")]
    pub sum: f64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct IndexMapping {
    #[prost(double, tag = "1")]
    pub gamma: f64,
    #[prost(double, tag = "2")]
    pub offset: f64,
    #[prost(int32, tag = "3")]
    pub interpolation: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Store {
    #[prost(map = "sint32, double", tag = "1")]
    pub sparse: HashMap<i32, f64>,
    #[prost(double, repeated, tag = "2")]
    pub contiguous: Vec<f64>,
    #[prost(sint32, tag = "3")]
    pub first: i32,
}

impl BatchMessage {
    /// Reads one, but not before it is known that it has few parts: two bytes on the wire may be a part of 200 in memory.
    pub fn read(bytes: &[u8]) -> Result<Self, BatchError> {
        let malformed = |error: prost::DecodeError| BatchError::Malformed(error.to_string());
        let (mut names, mut phases) = ([0; 3], 0);
        let mut rest = bytes;
        while rest.has_remaining() {
            let (tag, wire_type) = decode_key(&mut rest).map_err(malformed)?;
            match tag {
                3..=5 => names[tag as usize - 3] += 1,
                7 => phases += 1,
                _ => {}
            }
            skip_field(wire_type, tag, &mut rest, DecodeContext::default()).map_err(malformed)?;
        }
        let most = names.into_iter().max().unwrap_or(0);
        if most > MAX_NAMES {
            return Err(BatchError::TooManyNames(most));
        }
        if phases > MAX_PHASES {
            return Err(BatchError::TooManyPhases(phases));
        }
        Self::decode(bytes).map_err(malformed)
    }
}
