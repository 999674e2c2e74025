//! The load that a worker's phases ask for: how many virtual users in which time, with Artillery's own arithmetic.
//!
//! Sources (2.0.34): `lib/dist.ts` (what becomes of phases in a process), `lib/core/phases.ts` (ramps, times), and the package
//! `arrivals`, whose interval is cut to whole microseconds: 700 a second for a minute are 42,016.

use serde_json::Value as Json;

use super::load::{Load, Ramp};
use crate::javascript::{number, string};

/// No script that is planned has more phases; a worker cannot tell of more either.
pub const MAX_PHASES: usize = 1000;
/// The seconds of ramps are counted one by one: all ramps of a script together take at most 10 days.
pub const MAX_RAMP_SECONDS: f64 = 864_000.0;

/// What a phase asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct PhasePlan {
    /// Its name, where it has one.
    pub name: Option<String>,
    /// How many virtual users arrive, those included whom `maxVusers` turns away.
    pub arrivals: Arrivals,
    /// How long it takes, in milliseconds.
    pub length_milliseconds: f64,
}

/// How many virtual users arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// So many, every time.
    Exactly(u64),
    /// As chance will have it: only their mean is planned.
    ByChance,
}

/// Why no load can be planned.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("phases[{phase}]: {message}")]
pub struct PlanError {
    /// The phase, from 0 on.
    pub phase: usize,
    /// The field of it that is wrong, where it is one.
    pub field: Option<&'static str>,
    /// What is wrong with it.
    pub message: String,
}

/// What the phases of one worker ask for: those of `join`, as Artillery resolved them. The numbers of the phases are those that the worker
/// reports; a phase without any load is left out, as Artillery leaves it out. There is none where all are idle: then nothing runs.
///
/// # Errors
/// Artillery would break on a phase, or never end it.
pub fn plan(phases: &Json) -> Result<Vec<PhasePlan>, PlanError> {
    let plan = |(phase, load): (Phase<'_>, Load)| PhasePlan {
        name: phase.name(),
        arrivals: load.arrivals(),
        length_milliseconds: load.milliseconds(),
    };
    Ok(loads(phases)?.into_iter().map(plan).collect())
}

/// The phases that are not passed over, and what each comes to.
pub(super) fn loads(phases: &Json) -> Result<Vec<(Phase<'_>, Load)>, PlanError> {
    let error = |phase, message: &str| PlanError { phase, field: None, message: message.to_owned() };
    let phases = phases.as_array().ok_or_else(|| error(0, "a list of phases is expected"))?;
    if phases.len() > MAX_PHASES {
        return Err(error(MAX_PHASES, "there are more than 1000 phases"));
    }
    let mut kept = Vec::new();
    for (index, phase) in phases.iter().enumerate() {
        let phase = Phase { index, phase };
        kept.extend(phase.kind()?.map(|kind| (phase, kind)));
    }
    if kept.iter().all(|(phase, _)| phase.is_idle()) {
        return Ok(Vec::new());
    }
    // nothing is counted before it is known how much there is to count
    let mut ramp_seconds = 0.0;
    for (phase, _) in kept.iter().filter(|(_, kind)| matches!(kind, Kind::Ramp)) {
        ramp_seconds += phase.ramp_seconds()?.max(0.0);
        if ramp_seconds > MAX_RAMP_SECONDS {
            let message = format!(
                "with it the ramps take {ramp_seconds} s together: at most {MAX_RAMP_SECONDS} are planned"
            );
            return Err(phase.error(message));
        }
    }
    kept.into_iter().map(|(phase, kind)| Ok((phase, phase.load(kind)?))).collect()
}

/// How many virtual users all phases ask for; `None` where that is left to chance.
pub fn vusers(phases: &[PhasePlan]) -> Option<u64> {
    phases.iter().try_fold(0_u64, |sum, phase| match phase.arrivals {
        Arrivals::Exactly(arrivals) => Some(sum.saturating_add(arrivals)),
        Arrivals::ByChance => None,
    })
}

#[derive(Clone, Copy)]
pub(super) struct Phase<'a> {
    index: usize,
    phase: &'a Json,
}

enum Kind {
    Ramp,
    Rate,
    Count,
    Pause,
}

impl Phase<'_> {
    pub(super) fn error(&self, message: String) -> PlanError {
        PlanError { phase: self.index, field: None, message }
    }

    pub(super) fn error_in(&self, field: &'static str, message: String) -> PlanError {
        PlanError { field: Some(field), ..self.error(message) }
    }

    pub(super) fn name(&self) -> Option<String> {
        self.phase.get("name")?.as_str().map(str::to_owned)
    }

    /// The value of a field, for an error.
    pub(super) fn shown(&self, field: &str) -> String {
        self.phase.get(field).map_or("missing".to_owned(), Json::to_string)
    }

    pub(super) fn has(&self, field: &str) -> bool {
        self.phase.get(field).is_some()
    }

    /// What JavaScript makes a number of; NaN where there is nothing.
    pub(super) fn number(&self, field: &str) -> f64 {
        match self.phase.get(field) {
            Some(Json::Number(number)) => number.as_f64().unwrap_or(f64::NAN),
            Some(Json::String(text)) => number(text),
            Some(Json::Bool(is_true)) => f64::from(u8::from(*is_true)),
            Some(Json::Null) => 0.0,
            _ => f64::NAN,
        }
    }

    /// Whether JavaScript takes the field for true: it is neither missing nor 0.
    pub(super) fn is_true(&self, field: &str) -> bool {
        match self.phase.get(field) {
            None | Some(Json::Null | Json::Bool(false)) => false,
            Some(Json::Number(number)) => number.as_f64().is_some_and(|number| number != 0.0),
            Some(Json::String(text)) => !text.is_empty(),
            Some(_) => true,
        }
    }

    /// What becomes of it in a process (`divideWork`) and in a thread (`phaser`); `None`: nothing, it is passed over.
    fn kind(&self) -> Result<Option<Kind>, PlanError> {
        let is_ramp = self.is_true("rampTo");
        let rate = self.number("arrivalRate");
        if !is_ramp && self.is_true("arrivalRate") {
            // a share that one of several workers got may be anything; of the whole, Artillery takes whole ones
            if !self.has("totalWorkers") && rate.fract() != 0.0 {
                return Err(self.no_whole_rate(rate));
            }
        } else if !is_ramp && !self.is_true("arrivalCount") && !self.is_true("pause") {
            return Ok(None);
        }
        Ok(Some(if self.has("pause") {
            Kind::Pause
        } else if self.has("arrivalCount") {
            Kind::Count
        } else if self.has("rampTo") {
            Kind::Ramp
        } else {
            Kind::Rate
        }))
    }

    /// `isIdlePhase`, on whose word a script of nothing else is not run at all.
    fn is_idle(&self) -> bool {
        let is_zero = |field| self.has(field) && self.number(field) == 0.0 && !self.phase[field].is_string();
        (is_zero("arrivalRate") && !self.is_true("rampTo"))
            || is_zero("arrivalCount")
            || is_zero("maxVusers")
            || self.number("pause") > 0.0
    }

    /// A duration or a pause in seconds: a whole number of them, or a text with a unit.
    fn seconds(&self, field: &'static str) -> Result<f64, PlanError> {
        let seconds = self.number(field);
        let seconds = match self.phase.get(field) {
            _ if seconds.fract() == 0.0 => seconds,
            Some(Json::String(text)) => milliseconds(text).unwrap_or(f64::NAN) / 1000.0,
            _ => f64::NAN,
        };
        if seconds > 0.0 && seconds.is_finite() {
            Ok(seconds)
        } else {
            let is = self.shown(field);
            Err(self.error_in(
                field,
                format!("its {field} is {is}: whole seconds, or a text as \"2m\" are expected"),
            ))
        }
    }

    /// What a phase comes to, so that it can be planned, and shared out.
    fn load(&self, kind: Kind) -> Result<Load, PlanError> {
        match kind {
            Kind::Pause => Ok(Load::Pause { milliseconds: self.seconds("pause")? * 1000.0 }),
            Kind::Count => {
                let count = self.number("arrivalCount");
                if count > 0.0 {
                    let duration = self.seconds("duration")? * 1000.0;
                    self.uniform(duration / count, duration)
                } else {
                    Ok(Load::Nothing)
                }
            }
            Kind::Rate => self.rate(),
            Kind::Ramp => self.ramp().map(Load::Ramp),
        }
    }

    fn no_whole_rate(&self, rate: f64) -> PlanError {
        self.error_in(
            "arrivalRate",
            format!("its arrivalRate is {}: a whole number is expected", string(rate)),
        )
    }

    fn rate(&self) -> Result<Load, PlanError> {
        let rate = self.number("arrivalRate");
        // a share that one of several workers got may be anything; of the whole, Artillery takes whole ones
        if !self.has("totalWorkers") && rate.fract() != 0.0 {
            return Err(self.no_whole_rate(rate));
        }
        let milliseconds = self.seconds("duration")? * 1000.0;
        match self.phase.get("mode").and_then(Json::as_str) {
            None | Some("uniform" | "") => self.uniform(1000.0 / rate, milliseconds),
            Some("poisson") => Ok(Load::Poisson { rate, milliseconds }),
            Some(mode) => {
                let message = format!("its mode is {mode:?}: \"uniform\" or \"poisson\" are expected");
                Err(self.error_in("mode", message))
            }
        }
    }

    /// One arrival every so many milliseconds; the last one ends the phase.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is checked")]
    fn uniform(&self, interval: f64, duration: f64) -> Result<Load, PlanError> {
        let microseconds = (interval * 1000.0).floor();
        let arrivals = (duration * 1000.0 / microseconds).floor();
        if !(1.0..=1e15).contains(&arrivals) {
            return Err(self.error(
                "it would never end: at least one arrival, and at most one a microsecond, are expected"
                    .to_owned(),
            ));
        }
        Ok(Load::Uniform { arrivals: arrivals as u64, microseconds })
    }

    fn ramp_seconds(&self) -> Result<f64, PlanError> {
        if self.has("duration") { self.seconds("duration") } else { Ok(1.0) }
    }

    fn ramp(&self) -> Result<Ramp, PlanError> {
        let (from, to) = (
            if self.is_true("arrivalRate") { self.number("arrivalRate") } else { 0.0 },
            self.number("rampTo"),
        );
        let seconds = self.ramp_seconds()?;
        let or_one = |field| if self.has(field) { self.number(field) } else { 1.0 };
        let ramp = Ramp { from, to, seconds, worker: or_one("worker"), workers: or_one("totalWorkers") };
        if ramp.arrivals() > 1e15 {
            return Err(
                self.error_in("rampTo", format!("it would ramp to {}: fewer are expected", string(to)))
            );
        }
        Ok(ramp)
    }
}

/// Milliseconds, as the package `ms` reads them: `90s`, `1.5 hours`, `250`.
fn milliseconds(text: &str) -> Option<f64> {
    let unit_at = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '-')).unwrap_or(text.len());
    let (amount, unit) = text.split_at(unit_at);
    let is_amount =
        amount.ends_with(|c: char| c.is_ascii_digit()) && !amount.get(1..).unwrap_or("").contains('-');
    let amount: f64 = amount.parse().ok().filter(|_| is_amount && text.len() <= 100)?;
    let unit = match unit.trim_start_matches(' ').to_ascii_lowercase().as_str() {
        "" | "ms" | "msec" | "msecs" | "millisecond" | "milliseconds" => 1.0,
        "s" | "sec" | "secs" | "second" | "seconds" => 1e3,
        "m" | "min" | "mins" | "minute" | "minutes" => 6e4,
        "h" | "hr" | "hrs" | "hour" | "hours" => 3.6e6,
        "d" | "day" | "days" => 8.64e7,
        "w" | "week" | "weeks" => 6.048e8,
        "y" | "yr" | "yrs" | "year" | "years" => 3.155_76e10,
        _ => return None,
    };
    Some(amount * unit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn planned(phases: Json) -> Vec<(Arrivals, f64)> {
        let plans = plan(&phases).expect("a plan");
        plans.into_iter().map(|plan| (plan.arrivals, plan.length_milliseconds)).collect()
    }

    #[test]
    fn phases_ask_for_what_artillery_makes_of_them() {
        use Arrivals::{ByChance, Exactly};
        assert_eq!(
            planned(json!([
                {"duration": 60, "arrivalRate": 10},
                {"duration": "1m", "arrivalRate": 700},
                {"duration": "60", "arrivalRate": "3", "rampTo": 0},
                {"duration": 10, "arrivalRate": 1, "rampTo": 5},
                {"duration": 1, "arrivalRate": 1, "rampTo": 4},
                {"duration": 30, "arrivalCount": 7},
                {"pause": "1.5s"},
                {"duration": 20, "arrivalRate": 4, "mode": "poisson"},
                {"duration": 20, "arrivalRate": 4, "maxVusers": 2, "mode": "uniform"},
            ])),
            [
                (Exactly(600), 60_000.0),
                (Exactly(42_016), 59_998.848),
                (Exactly(90), 60_000.0),
                (Exactly(30), 10_000.0),
                (Exactly(3), 1000.0),
                (Exactly(7), 29_999.998),
                (Exactly(0), 1500.0),
                (ByChance, 20_000.0),
                (Exactly(80), 20_000.0),
            ]
        );
    }

    #[test]
    fn a_phase_without_load_is_passed_over_and_a_script_of_idle_phases_does_not_run() {
        let phases =
            json!([{"duration": 5, "arrivalRate": 0}, {"duration": 5, "arrivalRate": 1, "name": "load"}]);
        let plans = plan(&phases).expect("a plan");
        assert_eq!((plans.len(), plans[0].name.as_deref(), vusers(&plans)), (1, Some("load"), Some(5)));
        assert_eq!(planned(json!([{"pause": 5}, {"duration": 5, "arrivalRate": 3, "maxVusers": 0}])), []);
        assert_eq!(vusers(&[]), Some(0));
    }

    #[test]
    fn phases_that_artillery_breaks_on_are_told() {
        let message = |phase: Json| plan(&json!([{"pause": 1}, phase])).expect_err("no plan").to_string();
        for (phase, is) in [
            (
                json!({"duration": 5, "arrivalRate": 2.5}),
                "phases[1]: its arrivalRate is 2.5: a whole number is expected",
            ),
            (
                json!({"duration": 1.5, "arrivalRate": 2}),
                "phases[1]: its duration is 1.5: whole seconds, or a text as \"2m\" are expected",
            ),
            (
                json!({"duration": "soon", "arrivalRate": 2}),
                "phases[1]: its duration is \"soon\": whole seconds, or a text as \"2m\" are expected",
            ),
            (
                json!({"arrivalRate": 2}),
                "phases[1]: its duration is missing: whole seconds, or a text as \"2m\" are expected",
            ),
            (
                json!({"duration": "500ms", "arrivalRate": 1}),
                "phases[1]: it would never end: at least one arrival, and at most one a microsecond, are expected",
            ),
            (
                json!({"duration": 5, "arrivalRate": 1, "mode": "bursts"}),
                "phases[1]: its mode is \"bursts\": \"uniform\" or \"poisson\" are expected",
            ),
            (
                json!({"duration": "1y", "arrivalRate": 1, "rampTo": 2}),
                "phases[1]: with it the ramps take 31557600 s together: at most 864000 are planned",
            ),
            (
                json!({"duration": 5, "arrivalRate": 1, "rampTo": 1e300}),
                "phases[1]: it would ramp to 1e+300: fewer are expected",
            ),
        ] {
            assert_eq!(message(phase), is);
        }
        assert_eq!(
            plan(&json!({})).expect_err("no list").to_string(),
            "phases[0]: a list of phases is expected"
        );
    }
}
