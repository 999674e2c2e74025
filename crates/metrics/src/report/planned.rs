//! What the script asked for, as the report tells it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::delivery::{Distribution, PlannedPhase, Plans, planned};

/// So many phases are told.
const MAX_PHASES: usize = 200;

/// What the script asked for, as Artillery resolved it.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Plan {
    /// Whether each worker runs the whole script, or all of them run it once.
    pub distribution: Distribution,
    /// How many workers there were to be.
    pub workers: u32,
    /// Virtual users of all workers together; `None` where that is left to chance, or not known.
    pub vusers: Option<u64>,
    /// Each worker's phases; those of all workers together where they share the load.
    pub phases: Vec<PlannedPhase>,
    /// So many more there are.
    pub phases_left_out: usize,
    /// Why the phases are not known, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Plan {
    /// What these phases, as Artillery resolved them, ask of so many workers; `plans` is the same, where that can be planned.
    pub fn of(distribution: Distribution, phases: &Value, workers: u32, plans: Option<&Plans>) -> Self {
        let plan = Self { distribution, workers, vusers: plans.and_then(Plans::vusers), ..Self::default() };
        match planned(phases, plans, MAX_PHASES) {
            Ok((phases, all)) => Self { phases_left_out: all - phases.len(), phases, ..plan },
            Err(problem) => Self { problem: Some(problem.chars().take(500).collect()), ..plan },
        }
    }
}
