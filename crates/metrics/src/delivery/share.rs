//! Each worker's share of a load that all workers make together, as phases that Artillery's own runner takes.
//!
//! Evenly spaced arrivals are dealt out like cards: each worker gets every `N`th, at the very moment at which one process would have
//! had it, and the next phase goes on with whose turn it is. A worker's first arrival comes earlier than the others follow each other, so
//! a phase becomes up to three: the first arrival, the rest, and a pause until the whole phase is over. Ramps cannot be dealt:
//! Artillery counts their arrivals second by second, and shares them out by `worker` and `totalWorkers` as among its threads.

#[cfg(test)]
mod tests;

use serde_json::Value as Json;

use super::load::{Load, Ramp};
use super::plan::{Arrivals, Phase, PhasePlan, PlanError, loads};
use super::shared_phase::{SharedPhase, Time};

/// What a phase may say, of which there is one at least in any that Artillery knows.
const FORMS: [&str; 4] = ["arrivalRate", "rampTo", "arrivalCount", "pause"];
/// An error shows so many characters of a phase.
const MAX_SHOWN: usize = 200;
/// Rates of a ramp are moved by so many of their least digits, until each second of the shares sums up to that of the whole.
const NUDGES: [f64; 19] = [
    0.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 4.0, 3.0, 2.0, 1.0, -1.0, -2.0, -3.0, -4.0, -16.0, -64.0, -256.0,
    -1024.0, -4096.0,
];
/// In the first so many seconds of ramps their two ends are moved apart from each other as well.
const MAX_SEARCHED_SECONDS: f64 = 3600.0;

/// Why a load cannot be shared out.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum ShareError {
    /// A phase is nothing that Artillery would run, or that is known here.
    #[error(transparent)]
    Phase(#[from] PlanError),
    /// A CSV file has too few rows.
    #[error(
        "`rows[{payload}]` is {rows}: at least one row for each of {workers} workers is expected; use fewer workers, or more rows"
    )]
    Rows {
        /// Which, from 0 on.
        payload: usize,
        /// How many it has.
        rows: u64,
        /// How many workers there are.
        workers: u32,
    },
}

/// A load that is shared out.
#[derive(Clone, Debug)]
pub struct Split {
    workers: u32,
    parts: Vec<Part>,
}

/// A phase of it.
#[derive(Clone, Debug)]
struct Part {
    name: Option<String>,
    load: Load,
    /// The seconds of a ramp.
    seconds: Seconds,
    /// `maxVusers` of all together.
    cap: Option<u64>,
    /// Whose turn it is first.
    first: u32,
    /// How many take part; the others pause.
    active: u32,
}

/// The seconds of a ramp, as those who share it have them.
#[derive(Clone, Debug, Default)]
struct Seconds {
    /// How many arrivals each worker has in any case.
    base: u64,
    /// The workers that have one more in a second (counted from the first), and in how many seconds so many or more do.
    more: Vec<(u64, u64)>,
}

/// That each payload has a row for each worker; those whose number is not known are not shared out.
///
/// # Errors
/// One has fewer.
pub fn check_rows(rows: &[Option<u64>], workers: u32) -> Result<(), ShareError> {
    let few = rows
        .iter()
        .enumerate()
        .find_map(|(payload, rows)| Some((payload, rows.filter(|r| *r < workers.into())?)));
    few.map_or(Ok(()), |(payload, rows)| Err(ShareError::Rows { payload, rows, workers }))
}

impl Split {
    /// Shares out these phases, as Artillery resolved them, among so many workers.
    ///
    /// # Errors
    /// A phase cannot be shared out, or Artillery would break on it.
    pub fn new(phases: &Json, workers: u32) -> Result<Self, ShareError> {
        let workers = workers.max(1);
        for (phase, value) in phases.as_array().into_iter().flatten().enumerate() {
            if !FORMS.iter().any(|form| value.get(form).is_some()) {
                let shown: String = value.to_string().chars().take(MAX_SHOWN).collect();
                let message =
                    format!("it is {shown}: an object with one of {} is expected", FORMS.join(", "));
                return Err(PlanError { phase, field: None, message }.into());
            }
        }
        let mut turn = 0;
        let mut ramp_seconds = 0.0;
        let loads = loads(phases)?;
        let mut parts = Vec::with_capacity(loads.len());
        for (phase, load) in loads {
            if let Load::Ramp(ramp) = load {
                ramp_seconds += ramp.seconds;
            }
            let is_searched = ramp_seconds <= MAX_SEARCHED_SECONDS;
            let part = Part::new(&phase, load, (turn, workers), is_searched)?;
            turn = part.next(workers);
            parts.push(part);
        }
        Ok(Self { workers, parts })
    }

    /// The phases that one worker runs, by its completion index. `index` is the phase of the script that one belongs to, of those that
    /// Artillery does not pass over.
    pub fn phases(&self, worker: u32) -> Vec<SharedPhase> {
        let mut all = Vec::with_capacity(3 * self.parts.len());
        for (index, part) in self.parts.iter().enumerate() {
            let phases = part.phases(part.place(worker, self.workers));
            all.extend(phases.map(|phase| SharedPhase { index, ..phase }));
        }
        all
    }

    /// What is planned for one worker, by the phases of the script.
    pub fn plan(&self, worker: u32) -> Vec<PhasePlan> {
        let plan = |part: &Part| PhasePlan {
            name: part.name.clone(),
            arrivals: part.arrivals(part.place(worker, self.workers)),
            length_milliseconds: part.load.milliseconds(),
        };
        self.parts.iter().map(plan).collect()
    }

    /// How many virtual users all workers are to have together; `None` where that is left to chance.
    pub fn vusers(&self) -> Option<u64> {
        self.vusers_by_phase().try_fold(0_u64, |sum, vusers| Some(sum.saturating_add(vusers?)))
    }

    /// The same for each phase.
    pub fn vusers_by_phase(&self) -> impl Iterator<Item = Option<u64>> {
        self.parts.iter().map(Part::whole)
    }
}

impl Part {
    fn new(
        phase: &Phase<'_>,
        load: Load,
        (first, workers): (u32, u32),
        is_searched: bool,
    ) -> Result<Self, PlanError> {
        let cap = cap(phase)?;
        // whoever may have no virtual user takes no part, lest its arrivals be lost
        let active = match cap {
            Some(cap @ 1..) => workers.min(u32::try_from(cap).unwrap_or(u32::MAX)),
            Some(0) | None => workers,
        };
        let (load, seconds) = match load {
            Load::Ramp(ramp) => {
                let shared = shared(&ramp, active.into(), is_searched);
                (Load::Ramp(shared), Seconds::of(&shared))
            }
            load => (load, Seconds::default()),
        };
        Ok(Self { name: phase.name(), load, seconds, cap, first, active })
    }

    /// Whose turn it is afterwards.
    fn next(&self, workers: u32) -> u32 {
        let dealt = if self.active < workers { self.active.into() } else { self.whole().unwrap_or(0) };
        let turn = (u64::from(self.first) + dealt % u64::from(workers)) % u64::from(workers);
        u32::try_from(turn).unwrap_or(0)
    }

    /// Which place a worker has among those who take part.
    fn place(&self, worker: u32, workers: u32) -> Option<u32> {
        let place = (u64::from(worker) + u64::from(workers) - u64::from(self.first)) % u64::from(workers);
        u32::try_from(place).ok().filter(|place| *place < self.active)
    }

    /// The arrivals of all workers.
    fn whole(&self) -> Option<u64> {
        match self.load {
            Load::Pause { .. } | Load::Nothing => Some(0),
            Load::Uniform { arrivals, .. } => Some(arrivals),
            Load::Poisson { .. } => None,
            Load::Ramp(_) => Some(self.seconds.all(self.active)),
        }
    }

    fn arrivals(&self, place: Option<u32>) -> Arrivals {
        let Some(place) = place else { return Arrivals::Exactly(0) };
        match self.load {
            Load::Pause { .. } | Load::Nothing => Arrivals::Exactly(0),
            Load::Uniform { arrivals, .. } => Arrivals::Exactly(part(arrivals, place, self.active)),
            Load::Poisson { .. } => Arrivals::ByChance,
            Load::Ramp(_) => Arrivals::Exactly(self.seconds.of_worker(place)),
        }
    }

    fn phases(&self, place: Option<u32>) -> impl Iterator<Item = SharedPhase> {
        let only = |phase| [Some(phase), None, None];
        let phases = match (self.load, place) {
            (Load::Nothing, _) => only(SharedPhase { arrival_count: Some(0), ..SharedPhase::default() }),
            (Load::Pause { .. }, _) | (_, None) => only(pause(self.load.milliseconds() * 1000.0)),
            (Load::Uniform { arrivals, microseconds }, Some(place)) => {
                dealt(arrivals, microseconds, place, self.active)
            }
            (Load::Poisson { rate, milliseconds }, Some(_)) => only(SharedPhase {
                arrival_rate: Some(rate / f64::from(self.active)),
                duration: Some(Time::of(milliseconds * 1000.0)),
                mode: Some("poisson"),
                ..SharedPhase::default()
            }),
            (Load::Ramp(Ramp { from, to, seconds, workers, .. }), Some(place)) => only(SharedPhase {
                arrival_rate: Some(from),
                ramp_to: Some(to),
                duration: Some(Time::of(seconds * 1e6)),
                worker: Some(place + 1),
                total_workers: Some(workers),
                ..SharedPhase::default()
            }),
        };
        let cap = self.cap.zip(place).map(|(cap, place)| part(cap, place, self.active));
        let capped = move |phase: SharedPhase| match phase.pause {
            None => SharedPhase { max_vusers: cap, ..phase },
            Some(_) => phase,
        };
        phases.into_iter().flatten().map(capped)
    }
}

/// Every `active`th of so many arrivals, from that place on, at the moments at which one process would have them; and a pause
/// until it would be done.
#[allow(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn dealt(arrivals: u64, microseconds: f64, place: u32, active: u32) -> [Option<SharedPhase>; 3] {
    let mine = part(arrivals, place, active);
    let whole = arrivals as f64 * microseconds;
    if mine == 0 {
        return [Some(pause(whole)), None, None];
    }
    let (first, step) = (f64::from(place + 1) * microseconds, f64::from(active) * microseconds);
    let is_last = place + 1 == active;
    let rest = if is_last { mine } else { mine - 1 };
    let left = whole - first - (mine - 1) as f64 * step;
    [
        (!is_last).then(|| evenly(1, first)),
        (rest > 0).then(|| evenly(rest, step)),
        (left > 0.0).then(|| pause(left)),
    ]
}

/// So many arrivals, one each time so many whole microseconds are over. Artillery divides, and cuts off what is not whole: half of what
/// it may be too long is added, so that rounding makes no difference.
#[allow(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn evenly(arrivals: u64, microseconds: f64) -> SharedPhase {
    let count = arrivals as f64;
    let duration = count * microseconds + count.min(microseconds) / 2.0;
    SharedPhase {
        arrival_count: Some(arrivals),
        duration: Some(Time::milliseconds(duration)),
        ..SharedPhase::default()
    }
}

fn pause(microseconds: f64) -> SharedPhase {
    SharedPhase { pause: Some(Time::of(microseconds)), ..SharedPhase::default() }
}

/// How many of so many things come to a place, if they are dealt out to `active`.
fn part(things: u64, place: u32, active: u32) -> u64 {
    let (place, active) = (u64::from(place), u64::from(active));
    things / active + u64::from(place < things % active)
}

/// `maxVusers`: of all workers together.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is checked")]
fn cap(phase: &Phase<'_>) -> Result<Option<u64>, PlanError> {
    if !phase.has("maxVusers") {
        return Ok(None);
    }
    let cap = phase.number("maxVusers");
    if cap.fract() != 0.0 || !(0.0..=1e15).contains(&cap) {
        let message = format!("its maxVusers is {}: a whole number is expected", phase.shown("maxVusers"));
        return Err(phase.error_in("maxVusers", message));
    }
    Ok(Some(cap as u64))
}

/// The ramp as each of `workers` runs it. Where a second of the whole lies half-way between two numbers, digits that floats do not have
/// decide how it is rounded: the ends are moved a little until the shares are rounded alike.
fn shared(ramp: &Ramp, workers: f64, is_searched: bool) -> Ramp {
    let wanted: Vec<f64> =
        ramp.rates().map(|rate| (rate.floor() + ramp.more(rate).clamp(0.0, 1.0)).max(0.0)).collect();
    let least = ramp.from.abs().max(ramp.to.abs()) / workers * f64::EPSILON;
    let nudged = |from: f64, to: f64| Ramp {
        from: ramp.from / workers + from * least,
        to: ramp.to / workers + to * least,
        workers,
        ..*ramp
    };
    let differences = |ramp: &Ramp| {
        let all = |rate: f64| (workers * rate.floor() + ramp.more(rate).clamp(0.0, workers)).max(0.0);
        ramp.rates().zip(&wanted).map(|(rate, wanted)| (all(rate) - wanted).abs()).sum::<f64>()
    };
    let alike = NUDGES.iter().map(|nudge| (*nudge, *nudge));
    let apart = NUDGES.iter().flat_map(|from| NUDGES.iter().map(move |to| (*from, *to)));
    let apart = apart.take(if is_searched { usize::MAX } else { 0 });
    let mut best = (f64::INFINITY, nudged(0.0, 0.0));
    for (from, to) in alike.chain(apart) {
        let ramp = nudged(from, to);
        let found = differences(&ramp);
        if found < best.0 {
            best = (found, ramp);
        }
        if found == 0.0 {
            break;
        }
    }
    best.1
}

impl Seconds {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is checked")]
    fn of(ramp: &Ramp) -> Self {
        let rates = || ramp.rates().filter(|rate| *rate >= 0.0);
        let mut more: Vec<u64> =
            rates().map(|rate| ramp.more(rate).clamp(0.0, ramp.workers) as u64).collect();
        more.sort_unstable();
        let mut so_many_or_more: Vec<(u64, u64)> = Vec::new();
        for (before, more) in (0_u64..).zip(&more) {
            if so_many_or_more.last().is_none_or(|(last, _)| last != more) {
                so_many_or_more.push((*more, before));
            }
        }
        let all = more.len() as u64;
        for (_, seconds) in &mut so_many_or_more {
            *seconds = all - *seconds;
        }
        Self { base: rates().map(|rate| rate.floor() as u64).sum(), more: so_many_or_more }
    }

    fn of_worker(&self, place: u32) -> u64 {
        let fewer = self.more.partition_point(|(more, _)| *more <= place.into());
        self.base + self.more.get(fewer).map_or(0, |(_, seconds)| *seconds)
    }

    fn all(&self, workers: u32) -> u64 {
        let mut before = 0;
        let more = self.more.iter().map(|(more, seconds)| {
            let steps = more - std::mem::replace(&mut before, *more);
            steps * seconds
        });
        self.base * u64::from(workers) + more.sum::<u64>()
    }
}
