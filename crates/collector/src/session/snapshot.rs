//! A load test as bytes, to outlive this process: a head that changes, and parts that rarely do.
//!
//! The first of the closed parts is the *opening* (claims and hellos, which do not change after the release: of 10,000 workers it
//! is half of everything), the others are the aggregate's. Each is deflated protobuf with a version of the format.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics::aggregate::{Aggregate, Parts};
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost::{DecodeError, Message};

use super::fingerprint::Fingerprint;
use super::health::{CpuCounters, HealthSummary};
use super::hello::{Differing, Hello, Others};
use super::phases::{PhaseLog, PhaseTicks};
use super::start::Start;
use super::worker::{Finish, LostPeriod, Nonce, Process, Vusers, Worker};
use super::{Session, Unsaved};
use crate::edge::{OnTimeout, Snapshot, StartPolicy};
use crate::moment::Moment;

/// The version of the format.
const FORMAT: u32 = 1;
/// No stored part is larger when it is unpacked, in bytes: somebody may have written it who means harm.
const MAX_UNPACKED: usize = 16 << 20;
/// No part has more workers, nor any other fields together.
const MAX_FIELDS: usize = 20_000;
/// A worker takes no more, in bytes: 64 phases, and 20 reasons of 200 characters.
const MAX_WORKER: usize = 32 << 10;
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
        Ok(Self {
            workers: head.workers,
            policy,
            start,
            first_join: opening.first_join.map(Moment::from_micros),
            members,
            hello,
            differing: Differing { phases, ensure, versions, rows },
            aggregate,
            concluded: head.concluded,
            opening: Some(Arc::clone(first)),
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

#[derive(Clone, PartialEq, Message)]
struct HeadMessage {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(uint32, tag = "2")]
    workers: u32,
    #[prost(uint64, tag = "3")]
    timeout_micros: u64,
    #[prost(bool, tag = "4")]
    may_fail: bool,
    #[prost(uint64, optional, tag = "5")]
    started: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    timed_out: Option<u64>,
    #[prost(bool, tag = "7")]
    concluded: bool,
    /// Each a [`WorkerMessage`], read one by one.
    #[prost(bytes = "vec", repeated, tag = "8")]
    members: Vec<Vec<u8>>,
    #[prost(bytes = "vec", tag = "9")]
    live: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct OpeningMessage {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(uint64, optional, tag = "2")]
    first_join: Option<u64>,
    #[prost(message, repeated, tag = "3")]
    claims: Vec<ClaimMessage>,
    #[prost(string, optional, tag = "4")]
    hello: Option<String>,
    /// Phases, checks, versions, rows.
    #[prost(message, repeated, tag = "5")]
    differing: Vec<OthersMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct ClaimMessage {
    #[prost(uint32, tag = "1")]
    index: u32,
    #[prost(string, tag = "2")]
    pod_uid: String,
    /// Instead of 2: the 16 bytes of a UUID.
    #[prost(bytes = "vec", tag = "3")]
    pod_uuid: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    nonce: Vec<u8>,
    #[prost(uint64, tag = "5")]
    joined: u64,
}

#[derive(Clone, PartialEq, Message)]
struct OthersMessage {
    #[prost(uint32, tag = "1")]
    count: u32,
    #[prost(uint32, repeated, tag = "2")]
    first: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
struct WorkerMessage {
    #[prost(uint32, tag = "1")]
    index: u32,
    #[prost(uint64, tag = "2")]
    heard: u64,
    #[prost(uint64, tag = "3")]
    received: u64,
    #[prost(message, optional, tag = "4")]
    finish: Option<FinishMessage>,
    #[prost(uint64, tag = "5")]
    lost: u64,
    #[prost(message, repeated, tag = "6")]
    lost_periods: Vec<LostMessage>,
    #[prost(message, repeated, tag = "7")]
    phases: Vec<PhaseMessage>,
    /// Batches, busiest, busy sum, busy periods, six CPU counters, memory, its limit; none where no batch told of it.
    #[prost(uint64, repeated, tag = "8")]
    health: Vec<u64>,
    /// Created, completed, failed, skipped.
    #[prost(uint64, repeated, tag = "9")]
    vusers: Vec<u64>,
    #[prost(fixed64, tag = "10")]
    counters: u64,
}

#[derive(Clone, PartialEq, Message)]
struct FinishMessage {
    #[prost(uint64, tag = "1")]
    batches: u64,
    #[prost(sint32, optional, tag = "2")]
    exit_code: Option<i32>,
    #[prost(fixed64, optional, tag = "3")]
    counters: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct LostMessage {
    #[prost(uint64, tag = "1")]
    period: u64,
    #[prost(string, tag = "2")]
    why: String,
}

#[derive(Clone, PartialEq, Message)]
struct PhaseMessage {
    #[prost(uint32, tag = "1")]
    index: u32,
    #[prost(sint64, tag = "2")]
    started: i64,
    #[prost(uint64, tag = "3")]
    length: u64,
}

impl ClaimMessage {
    fn of(index: u32, worker: &Worker) -> Self {
        let Process { pod_uid, nonce } = &worker.process;
        let (pod_uid, pod_uuid) = match uuid_bytes(pod_uid) {
            Some(bytes) => (String::new(), bytes.to_vec()),
            None => (pod_uid.clone(), Vec::new()),
        };
        Self { index, pod_uid, pod_uuid, nonce: nonce.0.to_vec(), joined: worker.joined.micros() }
    }

    fn process(self) -> Result<Process, RestoreError> {
        let nonce = <[u8; 16]>::try_from(self.nonce.as_slice())
            .map_err(|_| RestoreError::Wrong("a process", format!("{} bytes", self.nonce.len())))?;
        let pod_uid = match <[u8; 16]>::try_from(self.pod_uuid.as_slice()) {
            Ok(bytes) => uuid_text(bytes),
            Err(_) => self.pod_uid,
        };
        Ok(Process { pod_uid, nonce: Nonce(nonce) })
    }
}

/// The bytes of a UUID in its canonical form, as Kubernetes has it: lowercase, with four hyphens.
fn uuid_bytes(text: &str) -> Option<[u8; 16]> {
    let Nonce(bytes) = Nonce::parse(&text.replace('-', ""))?;
    (uuid_text(bytes) == text).then_some(bytes)
}

fn uuid_text(bytes: [u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (i, byte) in bytes.iter().enumerate() {
        if matches!(i, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    text
}

impl OthersMessage {
    fn of(others: &Others) -> Self {
        Self { count: others.count, first: others.first.clone() }
    }

    fn others(self) -> Others {
        Others { count: self.count, first: self.first }
    }
}

impl WorkerMessage {
    fn of(index: u32, worker: &Worker) -> Self {
        let Vusers { created, completed, failed, skipped } = worker.vusers;
        Self {
            index,
            heard: worker.heard.micros(),
            received: worker.received,
            finish: worker.finish.as_ref().map(|finish| FinishMessage {
                batches: finish.batches,
                exit_code: finish.exit_code,
                counters: finish.counters.map(|counters| counters.0),
            }),
            lost: worker.lost,
            lost_periods: worker
                .lost_periods
                .iter()
                .map(|lost| LostMessage { period: lost.period, why: lost.why.clone() })
                .collect(),
            phases: worker
                .phases
                .0
                .iter()
                .map(|(index, PhaseTicks { started, length })| PhaseMessage {
                    index: *index,
                    started: *started,
                    length: *length,
                })
                .collect(),
            health: health_numbers(&worker.health),
            vusers: vec![created, completed, failed, skipped],
            counters: worker.counters.0,
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, RestoreError> {
        if bytes.len() > MAX_WORKER {
            return Err(RestoreError::Wrong("a worker", format!("{} bytes", bytes.len())));
        }
        Self::decode(bytes).map_err(|error| RestoreError::Wrong("a worker", error.to_string()))
    }

    fn worker(self, claim: ClaimMessage) -> Result<Worker, RestoreError> {
        let wrong = |what, numbers: &[u64]| RestoreError::Wrong(what, format!("{} numbers", numbers.len()));
        let joined = Moment::from_micros(claim.joined);
        let [created, completed, failed, skipped] =
            <[u64; 4]>::try_from(self.vusers.as_slice()).map_err(|_| wrong("virtual users", &self.vusers))?;
        let health = health(&self.health).ok_or_else(|| wrong("health", &self.health))?;
        let phases = self
            .phases
            .into_iter()
            .map(|PhaseMessage { index, started, length }| (index, PhaseTicks { started, length }));
        Ok(Worker {
            heard: Moment::from_micros(self.heard),
            received: self.received,
            finish: self.finish.map(|finish| Finish {
                batches: finish.batches,
                exit_code: finish.exit_code,
                counters: finish.counters.map(Fingerprint),
            }),
            lost: self.lost,
            lost_periods: self
                .lost_periods
                .into_iter()
                .map(|LostMessage { period, why }| LostPeriod { period, why })
                .collect(),
            phases: PhaseLog(phases.collect()),
            health,
            vusers: Vusers { created, completed, failed, skipped },
            counters: Fingerprint(self.counters),
            ..Worker::new(claim.process()?, joined)
        }
        .restored())
    }
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

fn health_numbers(health: &HealthSummary) -> Vec<u64> {
    let HealthSummary {
        batches,
        busiest_per_mille,
        busy_per_mille_sum,
        busy_periods,
        cpu_first,
        cpu_last,
        memory_most,
        memory_limit,
    } = *health;
    if batches == 0 {
        return Vec::new();
    }
    let cpu = |cpu: CpuCounters| [cpu.periods, cpu.throttled_periods, cpu.throttled_microseconds];
    let first = [batches, busiest_per_mille, busy_per_mille_sum, busy_periods];
    [first.as_slice(), &cpu(cpu_first), &cpu(cpu_last), &[memory_most, memory_limit]].concat()
}

fn health(numbers: &[u64]) -> Option<HealthSummary> {
    if numbers.is_empty() {
        return Some(HealthSummary::default());
    }
    let [
        batches,
        busiest_per_mille,
        busy_per_mille_sum,
        busy_periods,
        a0,
        a1,
        a2,
        b0,
        b1,
        b2,
        memory_most,
        memory_limit,
    ] = *<&[u64; 12]>::try_from(numbers).ok()?;
    let cpu = |periods, throttled_periods, throttled_microseconds| CpuCounters {
        periods,
        throttled_periods,
        throttled_microseconds,
    };
    Some(HealthSummary {
        batches,
        busiest_per_mille,
        busy_per_mille_sum,
        busy_periods,
        cpu_first: cpu(a0, a1, a2),
        cpu_last: cpu(b0, b1, b2),
        memory_most,
        memory_limit,
    })
}
