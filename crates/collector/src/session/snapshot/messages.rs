//! The messages of a snapshot, and what they stand for.

use prost::Message;

use super::RestoreError;
use crate::moment::Moment;
use crate::session::fingerprint::Fingerprint;
use crate::session::health::{CpuCounters, HealthSummary};
use crate::session::hello::Others;
use crate::session::phases::{PhaseLog, PhaseTicks};
use crate::session::worker::{Finish, LostPeriod, Nonce, Process, Vusers, Worker};

/// A worker takes no more, in bytes: 64 phases, and 20 reasons of 200 characters.
const MAX_WORKER: usize = 32 << 10;

#[derive(Clone, PartialEq, Message)]
pub(super) struct HeadMessage {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(uint32, tag = "2")]
    pub(super) workers: u32,
    #[prost(uint64, tag = "3")]
    pub(super) timeout_micros: u64,
    #[prost(bool, tag = "4")]
    pub(super) may_fail: bool,
    #[prost(uint64, optional, tag = "5")]
    pub(super) started: Option<u64>,
    #[prost(uint64, optional, tag = "6")]
    pub(super) timed_out: Option<u64>,
    #[prost(bool, tag = "7")]
    pub(super) concluded: bool,
    /// Each a [`WorkerMessage`], read one by one.
    #[prost(bytes = "vec", repeated, tag = "8")]
    pub(super) members: Vec<Vec<u8>>,
    #[prost(bytes = "vec", tag = "9")]
    pub(super) live: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OpeningMessage {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(uint64, optional, tag = "2")]
    pub(super) first_join: Option<u64>,
    #[prost(message, repeated, tag = "3")]
    pub(super) claims: Vec<ClaimMessage>,
    #[prost(string, optional, tag = "4")]
    pub(super) hello: Option<String>,
    /// Phases, checks, versions, rows.
    #[prost(message, repeated, tag = "5")]
    pub(super) differing: Vec<OthersMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ClaimMessage {
    #[prost(uint32, tag = "1")]
    pub(super) index: u32,
    #[prost(string, tag = "2")]
    pub(super) pod_uid: String,
    /// Instead of 2: the 16 bytes of a UUID.
    #[prost(bytes = "vec", tag = "3")]
    pub(super) pod_uuid: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) nonce: Vec<u8>,
    #[prost(uint64, tag = "5")]
    pub(super) joined: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OthersMessage {
    #[prost(uint32, tag = "1")]
    pub(super) count: u32,
    #[prost(uint32, repeated, tag = "2")]
    pub(super) first: Vec<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct WorkerMessage {
    #[prost(uint32, tag = "1")]
    pub(super) index: u32,
    #[prost(uint64, tag = "2")]
    pub(super) heard: u64,
    #[prost(uint64, tag = "3")]
    pub(super) received: u64,
    #[prost(message, optional, tag = "4")]
    pub(super) finish: Option<FinishMessage>,
    #[prost(uint64, tag = "5")]
    pub(super) lost: u64,
    #[prost(message, repeated, tag = "6")]
    pub(super) lost_periods: Vec<LostMessage>,
    #[prost(message, repeated, tag = "7")]
    pub(super) phases: Vec<PhaseMessage>,
    /// Batches, busiest, busy sum, busy periods, six CPU counters, memory, its limit; none where no batch told of it.
    #[prost(uint64, repeated, tag = "8")]
    pub(super) health: Vec<u64>,
    /// Created, completed, failed, skipped.
    #[prost(uint64, repeated, tag = "9")]
    pub(super) vusers: Vec<u64>,
    #[prost(fixed64, tag = "10")]
    pub(super) counters: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct FinishMessage {
    #[prost(uint64, tag = "1")]
    pub(super) batches: u64,
    #[prost(sint32, optional, tag = "2")]
    pub(super) exit_code: Option<i32>,
    #[prost(fixed64, optional, tag = "3")]
    pub(super) counters: Option<u64>,
    #[prost(bool, tag = "4")]
    pub(super) cut_short: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LostMessage {
    #[prost(uint64, tag = "1")]
    pub(super) period: u64,
    #[prost(string, tag = "2")]
    pub(super) why: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PhaseMessage {
    #[prost(uint32, tag = "1")]
    pub(super) index: u32,
    #[prost(sint64, tag = "2")]
    pub(super) started: i64,
    #[prost(uint64, tag = "3")]
    pub(super) length: u64,
}

impl ClaimMessage {
    pub(super) fn of(index: u32, worker: &Worker) -> Self {
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
    pub(super) fn of(others: &Others) -> Self {
        Self { count: others.count, first: others.first.clone() }
    }

    pub(super) fn others(self) -> Others {
        Others { count: self.count, first: self.first }
    }
}

impl WorkerMessage {
    pub(super) fn of(index: u32, worker: &Worker) -> Self {
        let Vusers { created, completed, failed, skipped } = worker.vusers;
        Self {
            index,
            heard: worker.heard.micros(),
            received: worker.received,
            finish: worker.finish.as_ref().map(|finish| FinishMessage {
                batches: finish.batches,
                exit_code: finish.exit_code,
                counters: finish.counters.map(|counters| counters.0),
                cut_short: finish.cut_short,
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

    pub(super) fn read(bytes: &[u8]) -> Result<Self, RestoreError> {
        if bytes.len() > MAX_WORKER {
            return Err(RestoreError::Wrong("a worker", format!("{} bytes", bytes.len())));
        }
        Self::decode(bytes).map_err(|error| RestoreError::Wrong("a worker", error.to_string()))
    }

    pub(super) fn worker(self, claim: ClaimMessage) -> Result<Worker, RestoreError> {
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
                cut_short: finish.cut_short,
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

fn health_numbers(health: &HealthSummary) -> Vec<u64> {
    let HealthSummary {
        batches,
        judged,
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
    [first.as_slice(), &cpu(cpu_first), &cpu(cpu_last), &[memory_most, memory_limit, judged]].concat()
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
        judged,
    ] = *<&[u64; 13]>::try_from(numbers).ok()?;
    let cpu = |periods, throttled_periods, throttled_microseconds| CpuCounters {
        periods,
        throttled_periods,
        throttled_microseconds,
    };
    Some(HealthSummary {
        batches,
        judged,
        busiest_per_mille,
        busy_per_mille_sum,
        busy_periods,
        cpu_first: cpu(a0, a1, a2),
        cpu_last: cpu(b0, b1, b2),
        memory_most,
        memory_limit,
    })
}
