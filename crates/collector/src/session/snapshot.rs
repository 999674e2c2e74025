//! A load test as bytes, to outlive this process: a head that changes, and parts that rarely do.
//!
//! The first of the closed parts is the *opening* (claims and hellos, which do not change after the release: of 10,000 workers it
//! is half of everything), the others are the aggregate's. Each is deflated protobuf with a version of the format.

mod messages;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use metrics::aggregate::{Aggregate, Parts};
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message};

use self::messages::{ClaimMessage, HeadMessage, OpeningMessage, OthersMessage, WorkerMessage};
use super::hello::{Differing, Hello};
use super::start::Start;
use super::worker::Worker;
use super::{Session, Unsaved};
use crate::edge::{OnTimeout, Snapshot, StartPolicy};
use crate::moment::Moment;

/// The version of the format.
const FORMAT: u32 = 1;
/// No stored part is larger when it is unpacked, in bytes: somebody may have written it who means harm.
const MAX_UNPACKED: usize = 16 << 20;
/// No part has more workers, nor any other fields together.
const MAX_FIELDS: usize = 20_000;
/// What the first worker said takes no more as text, in bytes: numbers are longer than they came.
const MAX_HELLO: usize = 2 << 20;
/// Fast, and nearly as small as it gets: half of it is random.
const LEVEL: u8 = 3;

/// All of a load test at one moment, to be compressed apart from everything else, and stored.
#[derive(Clone, Debug)]
pub struct Draft {
    head: HeadMessage,
    closed: Vec<Arc<[u8]>>,
}

/// Why a stored snapshot cannot be used.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum RestoreError {
    /// A part is missing.
    #[error("the stored snapshot has no opening: a first part is expected")]
    NoOpening,
    /// A part is no compressed message, or too large.
    #[error("the stored {0} cannot be unpacked: {1}")]
    Unpack(&'static str, String),
    /// It was written in another format.
    #[error("the stored {0} has the format {1}: {FORMAT} is expected")]
    Format(&'static str, u32),
    /// Something in it cannot be.
    #[error("the stored snapshot says of {0} what cannot be: {1}")]
    Wrong(&'static str, String),
    /// What was measured cannot be read.
    #[error("what was measured cannot be read: {0}")]
    Aggregate(String),
}

impl Draft {
    /// The snapshot; this takes milliseconds where there are thousands of workers.
    pub fn compress(&self) -> Snapshot {
        Snapshot { head: compress_to_vec(&self.head.encode_to_vec(), LEVEL), closed: self.closed.clone() }
    }
}

impl Session {
    /// All of it as it is now.
    pub fn draft(&mut self) -> Draft {
        let opening = match &self.opening {
            Some(opening) => Arc::clone(opening),
            None => {
                let opening: Arc<[u8]> = compress_to_vec(&self.opening().encode_to_vec(), LEVEL).into();
                self.opening = Some(Arc::clone(&opening));
                opening
            }
        };
        let Parts { live, closed } = self.aggregate.to_parts();
        let head = HeadMessage {
            format: FORMAT,
            workers: self.workers,
            timeout_micros: u64::try_from(self.policy.timeout.as_micros()).unwrap_or(u64::MAX),
            may_fail: self.policy.on_timeout == OnTimeout::Fail,
            started: self.start.moment().map(Moment::micros),
            timed_out: match self.start {
                Start::Expired { at } | Start::TimedOut { at } => Some(at.micros()),
                _ => None,
            },
            concluded: self.concluded,
            members: self
                .members
                .iter()
                .map(|(index, worker)| WorkerMessage::of(*index, worker).encode_to_vec())
                .collect(),
            live,
        };
        Draft { head, closed: std::iter::once(opening).chain(closed).collect() }
    }

    fn opening(&self) -> OpeningMessage {
        let Differing { phases, ensure, versions, rows } = &self.differing;
        OpeningMessage {
            format: FORMAT,
            first_join: self.first_join.map(Moment::micros),
            claims: self.members.iter().map(|(index, worker)| ClaimMessage::of(*index, worker)).collect(),
            // writing JSON values as text does not fail
            hello: self.hello.as_ref().and_then(|hello| serde_json::to_string(hello).ok()),
            differing: [phases, ensure, versions, rows].map(OthersMessage::of).to_vec(),
        }
    }

    /// The load test as it was stored.
    ///
    /// # Errors
    /// The snapshot is damaged, or of another version of this program.
    pub fn restore(snapshot: &Snapshot, now: Moment) -> Result<Self, RestoreError> {
        let head: HeadMessage = unpack("head", &snapshot.head)?;
        let (first, rest) = snapshot.closed.split_first().ok_or(RestoreError::NoOpening)?;
        let opening: OpeningMessage = unpack("opening", first)?;
        for (part, format) in [("head", head.format), ("opening", opening.format)] {
            if format != FORMAT {
                return Err(RestoreError::Format(part, format));
            }
        }
        let parts = Parts { live: head.live, closed: rest.to_vec() };
        let aggregate =
            Aggregate::from_parts(&parts).map_err(|error| RestoreError::Aggregate(error.to_string()))?;
        if head.members.len() != opening.claims.len() {
            let counts = format!("{} claims, {} workers", opening.claims.len(), head.members.len());
            return Err(RestoreError::Wrong("claims", counts));
        }
        let mut members = BTreeMap::new();
        for (claim, worker) in opening.claims.into_iter().zip(head.members) {
            let (index, worker) = (claim.index, WorkerMessage::read(&worker)?);
            if index != worker.index || index >= head.workers || members.contains_key(&index) {
                return Err(RestoreError::Wrong("a completion index", index.to_string()));
            }
            members.insert(index, worker.worker(claim)?);
        }
        if let Some(size) = opening.hello.as_ref().map(String::len).filter(|size| *size > MAX_HELLO) {
            return Err(RestoreError::Wrong("hello", format!("{size} bytes")));
        }
        let hello = opening.hello.as_deref().map(serde_json::from_str::<Hello>).transpose();
        let hello = hello.map_err(|error| RestoreError::Wrong("hello", error.to_string()))?;
        let [phases, ensure, versions, rows] = <[OthersMessage; 4]>::try_from(opening.differing)
            .map_err(|others| RestoreError::Wrong("differing workers", others.len().to_string()))?
            .map(OthersMessage::others);
        let on_timeout = if head.may_fail { OnTimeout::Fail } else { OnTimeout::Run };
        let policy = StartPolicy { timeout: Duration::from_micros(head.timeout_micros), on_timeout };
        let start = match (head.started, head.timed_out) {
            (Some(at), _) => Start::Released { at: Moment::from_micros(at) },
            (None, Some(at)) => Start::TimedOut { at: Moment::from_micros(at) },
            (None, None) => Start::Waiting,
        };
        // who does not ask for the start any more; all others ask again
        let is_further = |worker: &Worker| worker.finish.is_some() || worker.received > 0;
        let ready =
            members.iter().filter(|(_, worker)| is_further(worker)).map(|(index, _)| *index).collect();
        Ok(Self {
            workers: head.workers,
            policy,
            start,
            first_join: opening.first_join.map(Moment::from_micros),
            members,
            differing: Differing { phases, ensure, versions, rows },
            split: None,
            aggregate,
            concluded: head.concluded,
            opening: Some(Arc::clone(first)),
            ready,
            gone: BTreeSet::new(),
            planned: hello.as_ref().and_then(|hello| Self::planned_of(&hello.phases)),
            over: BTreeSet::new(),
            variables: None,
            why_hookless: None,
            unshared: None,
            hello,
            recent: BTreeMap::new(),
            opened: now,
            stopping: false,
            unsaved: Unsaved::default(),
            saving: Unsaved::default(),
            start_in_draft: false,
            news: false,
        })
    }
}

fn unpack<M: Message + Default>(part: &'static str, bytes: &[u8]) -> Result<M, RestoreError> {
    let bytes = decompress_to_vec_with_limit(bytes, MAX_UNPACKED)
        .map_err(|error| RestoreError::Unpack(part, error.to_string()))?;
    let broken = |error: DecodeError| RestoreError::Unpack(part, error.to_string());
    match fields(&bytes).map_err(broken)? {
        0..=MAX_FIELDS => M::decode(bytes.as_slice()).map_err(broken),
        more => Err(RestoreError::Unpack(part, format!("it has {more} fields, more than {MAX_FIELDS}"))),
    }
}

/// How many fields a message has: each may take a hundred times more memory than bytes.
fn fields(mut bytes: &[u8]) -> Result<usize, DecodeError> {
    let mut count = 0;
    while !bytes.is_empty() {
        let (tag, wire_type) = decode_key(&mut bytes)?;
        skip_field(wire_type, tag, &mut bytes, DecodeContext::default())?;
        count += 1;
    }
    Ok(count)
}

#[cfg(test)]
impl Draft {
    /// A snapshot whose head or opening has other bytes, before it is compressed.
    pub(super) fn damaged(&self, in_opening: bool, damage: impl FnOnce(&mut Vec<u8>)) -> Snapshot {
        let mut snapshot = self.compress();
        if in_opening {
            let mut bytes =
                decompress_to_vec_with_limit(&snapshot.closed[0], MAX_UNPACKED).expect("an opening");
            damage(&mut bytes);
            snapshot.closed[0] = compress_to_vec(&bytes, LEVEL).into();
        } else {
            let mut bytes = self.head.encode_to_vec();
            damage(&mut bytes);
            snapshot.head = compress_to_vec(&bytes, LEVEL);
        }
        snapshot
    }
}
