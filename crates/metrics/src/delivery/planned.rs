//! The phases of a script as a report tells them: what Artillery makes of each, and how many virtual users all workers are to have in it.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::load::Load;
use super::plan::{Phase, loads};
use super::plans::Plans;
use crate::javascript;

/// No name of a phase has more characters.
const MAX_NAME: usize = 200;

/// A phase.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct PlannedPhase {
    /// By which of its settings virtual users arrive.
    pub kind: PhaseKind,
    /// Its name, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long it takes, in milliseconds.
    pub duration_milliseconds: u64,
    /// Virtual users that arrive in a second; in a ramp at its beginning.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "javascript::serialize")]
    pub arrival_rate: Option<f64>,
    /// Virtual users that arrive in a second at the end of a ramp.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "javascript::serialize")]
    pub ramp_to: Option<f64>,
    /// Virtual users that arrive in the whole phase.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "javascript::serialize")]
    pub arrival_count: Option<f64>,
    /// Virtual users that there may be at a time.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "javascript::serialize")]
    pub max_vusers: Option<f64>,
    /// `poisson` where arrivals are left to chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// Virtual users of all workers together; `None` where that is left to chance, or not known.
    pub vusers: Option<u64>,
}

/// By which of its settings virtual users arrive in a phase.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum PhaseKind {
    /// So many in a second.
    #[default]
    ArrivalRate,
    /// In each second some more, or fewer.
    RampTo,
    /// So many in all.
    ArrivalCount,
    /// Nobody.
    Pause,
}

/// The phases that are not passed over, and how many of them there are: at most `most` are told. What keeps them from being planned comes as
/// a sentence.
///
/// # Errors
/// Artillery would break on a phase.
pub fn planned(
    phases: &Json,
    plans: Option<&Plans>,
    most: usize,
) -> Result<(Vec<PlannedPhase>, usize), String> {
    let loads = loads(phases).map_err(|error| error.to_string())?;
    let vusers = plans.map(Plans::vusers_by_phase).unwrap_or_default();
    let told = loads.iter().take(most).enumerate();
    let phase = |(at, (phase, load)): (usize, &(Phase<'_>, Load))| {
        let number =
            |field| phase.has(field).then(|| phase.number(field)).filter(|number| number.is_finite());
        let kind = match load {
            Load::Pause { .. } => PhaseKind::Pause,
            Load::Ramp(_) => PhaseKind::RampTo,
            Load::Nothing => PhaseKind::ArrivalCount,
            Load::Uniform { .. } | Load::Poisson { .. } if phase.has("arrivalCount") => {
                PhaseKind::ArrivalCount
            }
            Load::Uniform { .. } | Load::Poisson { .. } => PhaseKind::ArrivalRate,
        };
        let (has_rate, has_ramp) = match kind {
            PhaseKind::ArrivalRate => (true, false),
            PhaseKind::RampTo => (true, true),
            PhaseKind::ArrivalCount | PhaseKind::Pause => (false, false),
        };
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "casts of floats saturate"
        )]
        let duration_milliseconds = load.milliseconds().round() as u64;
        PlannedPhase {
            kind,
            name: phase.name().map(|name| name.chars().take(MAX_NAME).collect()),
            duration_milliseconds,
            arrival_rate: number("arrivalRate").filter(|_| has_rate),
            ramp_to: number("rampTo").filter(|_| has_ramp),
            arrival_count: number("arrivalCount").filter(|_| kind == PhaseKind::ArrivalCount),
            max_vusers: number("maxVusers").filter(|_| kind != PhaseKind::Pause),
            mode: matches!(load, Load::Poisson { .. }).then(|| "poisson".to_owned()),
            vusers: vusers.get(at).copied().flatten(),
        }
    };
    Ok((told.map(phase).collect(), loads.len()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::Distribution;
    use super::*;

    #[test]
    fn each_phase_is_told_by_its_own_settings_and_for_all_workers() {
        let phases = json!([
            {"duration": 60, "arrivalRate": 10, "name": "steady", "maxVusers": 20},
            {"duration": 10, "arrivalRate": 1, "rampTo": "5"},
            {"duration": 30, "arrivalCount": 7},
            {"pause": "1.5s"},
            {"duration": 5, "arrivalRate": 0},
            {"duration": 20, "arrivalRate": 4, "mode": "poisson"},
        ]);
        let of = |distribution| {
            let plans = Plans::new(distribution, &phases, 2).expect("plans");
            let (phases, count) = planned(&phases, Some(&plans), 4).expect("phases");
            assert_eq!(count, 5, "the one without load is passed over");
            serde_json::to_value(phases).expect("JSON")
        };
        assert_eq!(
            of(Distribution::Replicate),
            json!([
                {"kind": "arrivalRate", "name": "steady", "durationMilliseconds": 60_000, "arrivalRate": 10, "maxVusers": 20, "vusers": 1200},
                {"kind": "rampTo", "durationMilliseconds": 10_000, "arrivalRate": 1, "rampTo": 5, "vusers": 60},
                {"kind": "arrivalCount", "durationMilliseconds": 30_000, "arrivalCount": 7, "vusers": 14},
                {"kind": "pause", "durationMilliseconds": 1500, "vusers": 0},
            ])
        );
        let split = of(Distribution::Split);
        assert_eq!((&split[0]["vusers"], &split[2]["vusers"]), (&json!(600), &json!(7)));
        let (all, _) = planned(&phases, None, 9).expect("phases");
        assert_eq!((all[4].mode.as_deref(), all[4].vusers), (Some("poisson"), None));
    }

    #[test]
    fn what_artillery_breaks_on_is_told() {
        let error = planned(&json!([{"arrivalRate": 2}]), None, 9).expect_err("no plan");
        assert!(error.starts_with("phases[0]: its duration is missing"), "{error}");
    }
}
