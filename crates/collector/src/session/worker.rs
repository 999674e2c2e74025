//! One worker of a load test: who has its index, how far its batches are, how it ended, and how it fared.

use metrics::wire::Batch;

use super::fingerprint::Fingerprint;
use super::health::HealthSummary;
use super::phases::PhaseLog;
use crate::moment::Moment;

/// So many lost periods are told one by one; further ones are only counted.
pub const MAX_LOST: usize = 20;
/// A reason is cut to so many characters.
const MAX_WHY: usize = 200;

/// Tells one start of a worker from another in the same pod: drawn at random by the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; 16]);

impl Nonce {
    /// Reads 32 lowercase hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return None;
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

fn digit(character: u8) -> Option<u8> {
    match character {
        b'0'..=b'9' => Some(character - b'0'),
        b'a'..=b'f' => Some(character - b'a' + 10),
        _ => None,
    }
}

/// One process: a pod may start its container more than once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// The UID of its pod.
    pub pod_uid: String,
    /// Its own number.
    pub nonce: Nonce,
}

/// How a process ended, as it says itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Finish {
    /// How many batches there are.
    pub batches: u64,
    /// The exit code, where it is known.
    pub exit_code: Option<i32>,
    /// What its own final counters come to, where it has them.
    pub counters: Option<Fingerprint>,
    /// Whether it ended before Artillery had handed over all that it measured.
    pub cut_short: bool,
}

/// Virtual users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vusers {
    /// Started.
    pub created: u64,
    /// Came to their end.
    pub completed: u64,
    /// Broke off.
    pub failed: u64,
    /// Not started, for there were too many (`maxVusers`).
    pub skipped: u64,
}

/// A period whose batch was refused, and came as a note instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostPeriod {
    /// Its first millisecond.
    pub period: u64,
    /// Why.
    pub why: String,
}

/// How far something is on its way to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Mark {
    /// Not stored.
    #[default]
    New,
    /// In a snapshot that is being stored.
    Saving,
    /// Stored.
    Durable,
}

/// One worker that joined.
#[derive(Clone, Debug, PartialEq)]
pub struct Worker {
    /// Who has the index.
    pub process: Process,
    /// When it joined.
    pub joined: Moment,
    /// When it was last heard of.
    pub heard: Moment,
    /// The highest number that was taken in.
    pub received: u64,
    /// How it ended, once it says so.
    pub finish: Option<Finish>,
    /// How many periods are lost.
    pub lost: u64,
    /// The first of them.
    pub lost_periods: Vec<LostPeriod>,
    /// When its phases began, and how long they took.
    pub phases: PhaseLog,
    /// How its process and its container fared.
    pub health: HealthSummary,
    /// Its virtual users.
    pub vusers: Vusers,
    /// What its counters come to so far.
    pub counters: Fingerprint,
    pub(super) saving: u64,
    pub(super) durable: u64,
    pub(super) claim_mark: Mark,
    pub(super) finish_mark: Mark,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is part of what was measured.
    In,
    /// It was there already.
    Repeated,
    /// One before it is missing: it is ignored.
    Ahead,
}

impl Mark {
    fn begin_save(&mut self) {
        if *self == Self::New {
            *self = Self::Saving;
        }
    }

    fn saved(&mut self) {
        if *self == Self::Saving {
            *self = Self::Durable;
        }
    }

    fn not_saved(&mut self) {
        if *self == Self::Saving {
            *self = Self::New;
        }
    }
}

impl Worker {
    /// One that has just joined.
    pub fn new(process: Process, now: Moment) -> Self {
        Self {
            process,
            joined: now,
            heard: now,
            received: 0,
            finish: None,
            lost: 0,
            lost_periods: Vec::new(),
            phases: PhaseLog::default(),
            health: HealthSummary::default(),
            vusers: Vusers::default(),
            counters: Fingerprint::default(),
            saving: 0,
            durable: 0,
            claim_mark: Mark::New,
            finish_mark: Mark::New,
        }
    }

    /// Takes note of a batch; only one that is [`Taken::In`] may be merged.
    pub fn take(&mut self, batch: &Batch, now: Moment) -> Taken {
        self.heard = now;
        if batch.sequence <= self.received {
            return Taken::Repeated;
        }
        if batch.sequence > self.received + 1 {
            return Taken::Ahead;
        }
        self.received = batch.sequence;
        if let Some(why) = &batch.lost {
            self.lost += 1;
            if self.lost_periods.len() < MAX_LOST {
                let why = why.chars().take(MAX_WHY).collect();
                self.lost_periods.push(LostPeriod { period: batch.period, why });
            }
        }
        if let Some(health) = &batch.health {
            self.health.add(health);
        }
        for phase in &batch.phases {
            self.phases.add(phase);
        }
        let counter = |name| batch.counters.get(name).copied().unwrap_or(0);
        let vusers = &mut self.vusers;
        for (sum, name) in [
            (&mut vusers.created, "vusers.created"),
            (&mut vusers.completed, "vusers.completed"),
            (&mut vusers.failed, "vusers.failed"),
            (&mut vusers.skipped, "vusers.skipped"),
        ] {
            *sum = sum.saturating_add(counter(name));
        }
        self.counters.add_all(batch.counters.iter().map(|(name, count)| (name.as_str(), *count)));
        Taken::In
    }

    /// Takes note of its end, and says whether that is news. What an earlier note knew and a later one does not, stays.
    pub fn finish(&mut self, finish: Finish, now: Moment) -> bool {
        self.heard = now;
        let known = self.finish.clone().unwrap_or_default();
        let next = Finish {
            batches: finish.batches,
            exit_code: finish.exit_code.or(known.exit_code),
            counters: finish.counters.or(known.counters),
            cut_short: finish.cut_short,
        };
        let is_news = self.finish.as_ref() != Some(&next);
        if is_news {
            self.finish = Some(next);
            self.finish_mark = Mark::New;
        }
        is_news
    }

    /// The highest number that is stored.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Whether it is stored that it has its index: that stays so whatever happens.
    pub fn has_durable_claim(&self) -> bool {
        self.claim_mark == Mark::Durable
    }

    /// Whether its end is stored, as it told it last.
    pub fn has_durable_end(&self) -> bool {
        self.finish_mark == Mark::Durable
    }

    /// Whether its end and all its batches are stored.
    pub fn is_over(&self) -> bool {
        self.has_durable_end() && self.finish.as_ref().is_some_and(|finish| finish.batches <= self.durable)
    }

    /// Whether its own final counters are those that were received; `None` while one of the two is not whole.
    pub fn counters_agree(&self) -> Option<bool> {
        let finish = self.finish.as_ref().filter(|finish| finish.batches <= self.received)?;
        finish.counters.map(|counters| counters == self.counters)
    }

    /// A snapshot is being stored that has everything up to here.
    pub(super) fn begin_save(&mut self) {
        self.saving = self.received;
        self.claim_mark.begin_save();
        if self.finish.is_some() {
            self.finish_mark.begin_save();
        }
    }

    /// It is stored; says whether its end is by that.
    pub(super) fn saved(&mut self) -> bool {
        let (was_over, had_end) = (self.is_over(), self.has_durable_end());
        self.durable = self.durable.max(self.saving);
        self.claim_mark.saved();
        self.finish_mark.saved();
        self.has_durable_end() && (!had_end || !was_over && self.is_over())
    }

    /// It is not stored, or that is not known.
    pub(super) fn not_saved(&mut self) {
        self.saving = self.durable;
        self.claim_mark.not_saved();
        self.finish_mark.not_saved();
    }

    /// All of it was read from the store.
    pub(super) fn restored(mut self) -> Self {
        (self.saving, self.durable) = (self.received, self.received);
        self.claim_mark = Mark::Durable;
        self.finish_mark = if self.finish.is_some() { Mark::Durable } else { Mark::New };
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_number_is_32_lowercase_hexadecimal_digits() {
        let nonce = Nonce::parse("000102030405060708090a0b0c0d0eff").expect("a number");
        assert_eq!((nonce.0[1], nonce.0[15]), (1, 255));
        for wrong in ["", "0001", "000102030405060708090A0B0C0D0EFF", "g00102030405060708090a0b0c0d0eff"] {
            assert_eq!(Nonce::parse(wrong), None, "{wrong}");
        }
    }
}
