//! Whether the load was what the script asked for: planned virtual users against created ones, lengths of phases, and workers that had
//! no time left.
//!
//! That all virtual users were created is not enough: a worker without time creates all of them, late.

mod load;
mod plan;
mod planned;
mod plans;
mod share;
mod shared_phase;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::plan::{
    Arrivals, MAX_PHASES as MAX_PLANNED_PHASES, MAX_RAMP_SECONDS, PhasePlan, PlanError, plan, vusers,
};
pub use self::planned::{PhaseKind, PlannedPhase, planned};
pub use self::plans::{Distribution, Plans};
pub use self::share::{ShareError, Split, check_rows};
pub use self::shared_phase::{SharedPhase, Time};
use crate::wire::{Batch, Health, MAX_PHASES, PhaseTimes};

/// A worker that ended by itself may have created so many virtual users less than planned: 1 %, for the last ones of a ramp come
/// as the test ends.
pub const MAX_MISSING_VUSERS: f64 = 0.01;
/// A phase may take so much longer than planned: 10 %…
pub const MAX_LATE: f64 = 0.1;
/// …or so long, in milliseconds, if that is more: a second, which is how exactly Artillery keeps time in ramps.
pub const MAX_LATE_MILLISECONDS: f64 = 1000.0;
/// The event loop of a worker may be busy for less than this share of a whole period: above, requests wait for the worker itself.
pub const MAX_UTILIZATION: f64 = 0.95;
/// The CPU of a worker may be throttled in so many of its scheduling periods: 10 %.
pub const MAX_THROTTLED: f64 = 0.1;
/// Of so many workers it is said what was wrong; of the rest how many there are.
const EXAMPLES: usize = 3;

/// What a worker told of its load: the sum of its batches. It may be stored between two of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Delivered {
    /// Virtual users that were created.
    pub created: u64,
    /// Virtual users that arrived, and were turned away: there were `maxVusers`.
    pub skipped: u64,
    /// The phases that began.
    pub phases: BTreeMap<u32, PhaseTimes>,
    /// In how many batches the event loop was busier than it may be.
    pub busy_periods: u32,
    /// The busiest that the event loop was.
    pub utilization: f64,
    /// The first and the last word about its CPU.
    pub cpu: Option<[Cpu; 2]>,
}

/// Scheduling periods of a cgroup since its start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// All of them.
    pub periods: u64,
    /// Those in which it was throttled.
    pub throttled: u64,
}

impl Delivered {
    /// Takes in what a batch tells. Batches of a worker come in order, and each once.
    pub fn take(&mut self, batch: &Batch) {
        let count = |name: &str| batch.counters.get(name).copied().unwrap_or(0);
        self.created = self.created.saturating_add(count("vusers.created"));
        self.skipped = self.skipped.saturating_add(count("vusers.skipped"));
        for times in &batch.phases {
            if self.phases.len() < MAX_PHASES || self.phases.contains_key(&times.index) {
                self.phases.insert(times.index, *times);
            }
        }
        if let Some(Health { event_loop_utilization, cpu_periods, cpu_throttled_periods, .. }) = batch.health
        {
            self.busy_periods += u32::from(event_loop_utilization >= MAX_UTILIZATION);
            self.utilization = self.utilization.max(event_loop_utilization);
            let cpu = Cpu { periods: cpu_periods, throttled: cpu_throttled_periods };
            self.cpu = Some([self.cpu.map_or(cpu, |[first, _]| first), cpu]);
        }
    }

    /// In which share of its scheduling periods the CPU was throttled, from the first batch on; `None` where it is not known.
    #[allow(clippy::cast_precision_loss, reason = "there are few periods")]
    pub fn throttled(&self) -> Option<f64> {
        let [first, last] = self.cpu?;
        let periods = last.periods.checked_sub(first.periods).filter(|periods| *periods > 0)?;
        Some(last.throttled.saturating_sub(first.throttled) as f64 / periods as f64)
    }
}

/// What was wrong with the load of a worker.
#[derive(Clone, Debug, PartialEq)]
pub enum Shortfall {
    /// It created too few virtual users.
    Vusers {
        /// How many its phases ask for.
        planned: u64,
        /// How many arrived: created or turned away.
        arrived: u64,
    },
    /// A phase took too long.
    Late {
        /// Which, from 0 on.
        phase: u32,
        /// How long it should take, in milliseconds.
        planned: f64,
        /// How long it took, in milliseconds.
        took: f64,
    },
    /// Its event loop had no time left.
    Busy {
        /// In how many periods.
        periods: u32,
        /// The busiest that it was, 0 to 1.
        utilization: f64,
    },
    /// Its CPU was throttled too often.
    Throttled {
        /// In which share of the scheduling periods.
        share: f64,
    },
}

/// What was wrong with the load of a worker. Whether all of it was created is asked only where the worker ended by itself
/// (`has_ended`): one that was stopped has created a part.
#[allow(clippy::cast_precision_loss, reason = "counts are below 2^53")]
pub fn shortfalls(plan: &[PhasePlan], delivered: &Delivered, has_ended: bool) -> Vec<Shortfall> {
    let mut shortfalls = Vec::new();
    let arrived = delivered.created.saturating_add(delivered.skipped);
    if let Some(planned) = vusers(plan)
        && has_ended
        && (arrived as f64) < planned as f64 * (1.0 - MAX_MISSING_VUSERS)
    {
        shortfalls.push(Shortfall::Vusers { planned, arrived });
    }
    for (index, phase) in (0..).zip(plan) {
        let planned = phase.length_milliseconds;
        let took = delivered.phases.get(&index).and_then(|times| times.length_milliseconds);
        if let Some(took) = took
            && took - planned > (planned * MAX_LATE).max(MAX_LATE_MILLISECONDS)
        {
            shortfalls.push(Shortfall::Late { phase: index, planned, took });
        }
    }
    if delivered.busy_periods > 0 {
        let Delivered { busy_periods: periods, utilization, .. } = *delivered;
        shortfalls.push(Shortfall::Busy { periods, utilization });
    }
    if let Some(share) = delivered.throttled().filter(|share| *share > MAX_THROTTLED) {
        shortfalls.push(Shortfall::Throttled { share });
    }
    shortfalls
}

/// What was wrong with the load of all workers, in a sentence for each kind of it. Workers come by their numbers.
pub fn in_words(workers: u32, shortfalls: &[(u32, Shortfall)]) -> Vec<String> {
    const KINDS: [&str; 4] = [
        "created fewer virtual users than planned",
        "took longer for a phase than planned",
        "had no time left, so that requests waited for the worker itself",
        "had their CPU throttled",
    ];
    let sentence = |(kind, what): (usize, &str)| {
        let mut by_worker: BTreeMap<u32, &Shortfall> = BTreeMap::new();
        for (worker, shortfall) in shortfalls.iter().filter(|(_, shortfall)| shortfall.kind() == kind) {
            by_worker.entry(*worker).or_insert(shortfall);
        }
        let mut examples: Vec<_> = by_worker
            .iter()
            .take(EXAMPLES)
            .map(|(worker, shortfall)| format!("worker {worker}: {}", shortfall.in_words()))
            .collect();
        let count = by_worker.len();
        if count > EXAMPLES {
            examples.push("…".to_owned());
        }
        (count > 0).then(|| format!("{count} of {workers} workers {what} ({})", examples.join("; ")))
    };
    KINDS.into_iter().enumerate().filter_map(sentence).collect()
}

impl Shortfall {
    /// Where it stands among the kinds.
    fn kind(&self) -> usize {
        match self {
            Self::Vusers { .. } => 0,
            Self::Late { .. } => 1,
            Self::Busy { .. } => 2,
            Self::Throttled { .. } => 3,
        }
    }

    fn in_words(&self) -> String {
        match self {
            Self::Vusers { planned, arrived } => format!("{arrived} of {planned}"),
            Self::Late { phase, planned, took } => {
                format!("phase {phase} took {:.1} s instead of {:.1} s", took / 1000.0, planned / 1000.0)
            }
            Self::Busy { periods, utilization } => {
                let percent = utilization * 100.0;
                format!("its event loop was busy for up to {percent:.0} % of the time, in {periods} periods")
            }
            Self::Throttled { share } => format!("in {:.0} % of its scheduling periods", share * 100.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn phase(arrivals: Arrivals, length_milliseconds: f64) -> PhasePlan {
        PhasePlan { name: None, arrivals, length_milliseconds }
    }

    fn delivered(created: u64) -> Delivered {
        Delivered { created, ..Delivered::default() }
    }

    fn batch(created: u64, utilization: f64, cpu: [u64; 2], phases: Vec<PhaseTimes>) -> Batch {
        Batch {
            counters: [("vusers.created".to_owned(), created), ("vusers.skipped".to_owned(), 1)].into(),
            health: Some(Health {
                event_loop_utilization: utilization,
                cpu_periods: cpu[0],
                cpu_throttled_periods: cpu[1],
                ..Health::default()
            }),
            phases,
            ..Batch::default()
        }
    }

    fn times(index: u32, length_milliseconds: Option<f64>) -> PhaseTimes {
        PhaseTimes { index, started_milliseconds: 0.0, length_milliseconds }
    }

    #[test]
    fn a_worker_that_created_its_virtual_users_in_time_lacks_nothing() {
        let plan = [phase(Arrivals::Exactly(1000), 60_000.0), phase(Arrivals::Exactly(0), 5000.0)];
        let mut worker = Delivered::default();
        worker.take(&batch(600, 0.94, [1000, 900], vec![times(0, None)]));
        worker.take(&batch(388, 0.2, [1100, 910], vec![times(0, Some(65_999.0)), times(1, Some(6000.0))]));
        assert_eq!((worker.created, worker.skipped, worker.throttled()), (988, 2, Some(0.1)));
        assert_eq!(shortfalls(&plan, &worker, true), []);
        let stored = serde_json::to_string(&worker).expect("JSON");
        assert_eq!(serde_json::from_str::<Delivered>(&stored).expect("what was stored"), worker);
    }

    #[test]
    fn each_bound_is_one() {
        let plan = [phase(Arrivals::Exactly(1000), 60_000.0), phase(Arrivals::Exactly(0), 5000.0)];
        let mut worker = Delivered::default();
        worker.take(&batch(500, 0.95, [1000, 0], Vec::new()));
        worker.take(&batch(487, 0.99, [1100, 11], vec![times(0, Some(66_001.0)), times(1, Some(6001.0))]));
        let found = shortfalls(&plan, &worker, true);
        assert_eq!(
            found,
            [
                Shortfall::Vusers { planned: 1000, arrived: 989 },
                Shortfall::Late { phase: 0, planned: 60_000.0, took: 66_001.0 },
                Shortfall::Late { phase: 1, planned: 5000.0, took: 6001.0 },
                Shortfall::Busy { periods: 2, utilization: 0.99 },
                Shortfall::Throttled { share: 0.11 },
            ]
        );
        let by_worker: Vec<_> = found.into_iter().map(|shortfall| (2, shortfall)).collect();
        assert_eq!(
            in_words(4, &by_worker),
            [
                "1 of 4 workers created fewer virtual users than planned (worker 2: 989 of 1000)",
                "1 of 4 workers took longer for a phase than planned (worker 2: phase 0 took 66.0 s instead of 60.0 s)",
                "1 of 4 workers had no time left, so that requests waited for the worker itself \
                 (worker 2: its event loop was busy for up to 99 % of the time, in 2 periods)",
                "1 of 4 workers had their CPU throttled (worker 2: in 11 % of its scheduling periods)",
            ]
        );
    }

    #[test]
    fn of_many_workers_a_few_are_named() {
        let all: Vec<_> = (0..5).map(|worker| (worker, Shortfall::Throttled { share: 0.5 })).collect();
        assert_eq!(
            in_words(9, &all),
            ["5 of 9 workers had their CPU throttled (worker 0: in 50 % of its scheduling periods; \
                 worker 1: in 50 % of its scheduling periods; worker 2: in 50 % of its scheduling periods; …)"]
        );
        assert_eq!(in_words(9, &[]), [""; 0]);
    }

    #[test]
    fn of_a_worker_that_was_stopped_or_whose_arrivals_are_left_to_chance_no_number_is_asked_for() {
        let plan = [phase(Arrivals::Exactly(1000), 60_000.0)];
        assert_eq!(shortfalls(&plan, &delivered(3), false), []);
        assert_eq!(shortfalls(&plan, &delivered(3), true), [Shortfall::Vusers { planned: 1000, arrived: 3 }]);
        let by_chance = [phase(Arrivals::Exactly(10), 1e4), phase(Arrivals::ByChance, 6e4)];
        assert_eq!(shortfalls(&by_chance, &delivered(3), true), []);
        assert_eq!(vusers(&by_chance), None);
    }
}
