//! Whether every worker runs the whole script or a part of it, and what is planned for each.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::plan::{Arrivals, PhasePlan, plan, vusers};
use super::share::{ShareError, Split};

/// What the workers of a load test do with its script.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Distribution {
    /// Each runs the whole of it.
    #[default]
    Replicate,
    /// Together they run it once.
    Split,
}

/// What is planned for each worker.
#[derive(Clone, Debug)]
pub enum Plans {
    /// The same for so many workers.
    Replicate(Vec<PhasePlan>, u32),
    /// Its own share for each.
    Split(Split),
}

impl Plans {
    /// What these phases, as Artillery resolved them, ask of so many workers.
    ///
    /// # Errors
    /// Artillery would break on a phase, or it cannot be shared out.
    pub fn new(distribution: Distribution, phases: &Json, workers: u32) -> Result<Self, ShareError> {
        Ok(match distribution {
            Distribution::Replicate => Self::Replicate(plan(phases)?, workers),
            Distribution::Split => Self::Split(Split::new(phases, workers)?),
        })
    }

    /// What is planned for one worker, by its completion index.
    pub fn of(&self, worker: u32) -> Cow<'_, [PhasePlan]> {
        match self {
            Self::Replicate(plan, _) => Cow::Borrowed(plan),
            Self::Split(split) => Cow::Owned(split.plan(worker)),
        }
    }

    /// How many virtual users are planned for all workers together; `None` where that is left to chance.
    pub fn vusers(&self) -> Option<u64> {
        match self {
            Self::Replicate(plan, workers) => Some(vusers(plan)?.saturating_mul((*workers).into())),
            Self::Split(split) => split.vusers(),
        }
    }

    /// The same for each phase.
    pub fn vusers_by_phase(&self) -> Vec<Option<u64>> {
        let of = |phase: &PhasePlan, workers: u32| match phase.arrivals {
            Arrivals::Exactly(arrivals) => Some(arrivals.saturating_mul(workers.into())),
            Arrivals::ByChance => None,
        };
        match self {
            Self::Replicate(plan, workers) => plan.iter().map(|phase| of(phase, *workers)).collect(),
            Self::Split(split) => split.vusers_by_phase().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::delivery::{Delivered, Shortfall, shortfalls};

    #[test]
    fn of_a_load_that_is_shared_the_whole_is_planned_once_and_each_worker_is_judged_by_its_share() {
        let phases = json!([{"duration": 10, "arrivalRate": 1}]);
        let of = |distribution| Plans::new(distribution, &phases, 3).expect("plans");
        let (replicate, split) = (of(Distribution::Replicate), of(Distribution::Split));
        assert_eq!((replicate.vusers(), split.vusers()), (Some(30), Some(10)));
        let created = |created| Delivered { created, ..Delivered::default() };
        assert_eq!(shortfalls(&split.of(0), &created(4), true), []);
        assert_eq!(shortfalls(&split.of(2), &created(3), true), []);
        let short = |planned| [Shortfall::Vusers { planned, arrived: 3 }];
        assert_eq!(shortfalls(&split.of(0), &created(3), true), short(4));
        assert_eq!(shortfalls(&replicate.of(0), &created(3), true), short(10));
        let unknown = Plans::new(Distribution::Split, &json!([{"durations": 10}]), 3);
        assert!(
            unknown.expect_err("no plans").to_string().starts_with("phases[0]: it is {\"durations\":10}")
        );
    }
}
