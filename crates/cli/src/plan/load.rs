//! The load of phases that are known: what each comes to, what each worker has of it, and how many virtual users arrive when. All counts
//! are those of `metrics::delivery`, by which workers get their shares and are judged.

use std::collections::BTreeMap;

use metrics::delivery::{Arrivals, Distribution, PhasePlan, Plans, SharedPhase, Split, plan};
use serde::Serialize;
use serde_json::{Value, json};

/// What all workers do together.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// How many virtual users arrive; none where chance decides.
    pub vusers: Option<u64>,
    /// How long it takes, in milliseconds.
    pub milliseconds: f64,
    /// What workers do, those of equal shares together.
    pub shares: Vec<Share>,
    /// How many virtual users arrive in equal parts of that time.
    pub arrivals: Vec<f64>,
}

/// Runs of workers, by completion index: the first and the last of each.
pub type Runs = Vec<(u32, u32)>;

/// What some workers do, each of them.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Share {
    /// Who they are.
    pub workers: Runs,
    /// How many workers these are.
    pub count: u32,
    /// How many virtual users arrive; none where chance decides.
    pub vusers: Option<u64>,
    /// Its phases: of the script's those that Artillery does not pass over.
    pub phases: Vec<Part>,
}

/// What one worker does in a phase.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Part {
    /// How many virtual users arrive; none where chance decides.
    pub vusers: Option<u64>,
    /// How many arrive in a second: at its beginning and at its end.
    pub rate: (f64, f64),
    /// How many there may be at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_vusers: Option<u64>,
}

/// How many parts of the time a load is drawn in.
pub const PARTS: usize = 60;

/// The load of these phases, which Artillery has resolved, or has nothing to resolve in. `None`: Artillery breaks on one of them, or it
/// cannot be shared out.
///
/// # Errors
/// Why, of the first phase.
pub fn load(
    phases: &Value,
    workers: u32,
    distribution: Distribution,
) -> Result<Load, metrics::delivery::ShareError> {
    let whole = plan(phases)?;
    let plans = Plans::new(distribution, phases, workers)?;
    let kept = kept(phases);
    let copies = match distribution {
        Distribution::Replicate => f64::from(workers),
        Distribution::Split => 1.0,
    };
    let rates = |(phase, plan): (&&Value, &PhasePlan)| rate(phase, plan);
    let rates: Vec<_> = kept.iter().zip(&whole).map(rates).collect();
    let shares = match &plans {
        Plans::Replicate(..) => {
            let caps = kept.iter().map(|phase| count(phase, "maxVusers"));
            let part = |((plan, rate), cap): ((&PhasePlan, &(f64, f64)), Option<u64>)| Part {
                vusers: exactly(plan),
                rate: *rate,
                max_vusers: cap,
            };
            let phases: Vec<_> = whole.iter().zip(&rates).zip(caps).map(part).collect();
            vec![Share::new(vec![(0, workers.saturating_sub(1))], phases)]
        }
        Plans::Split(split) => shares(split, workers, &whole),
    };
    Ok(Load {
        vusers: plans.vusers(),
        milliseconds: whole.iter().map(|phase| phase.length_milliseconds).sum(),
        shares,
        arrivals: arrivals(&whole, &rates, copies),
    })
}

/// The phases that Artillery does not pass over.
fn kept(phases: &Value) -> Vec<&Value> {
    let phases = phases.as_array().map_or(&[][..], Vec::as_slice);
    phases.iter().filter(|phase| !is_passed_over(phase)).collect()
}

/// Whether Artillery passes over a phase, as if it were not there.
pub fn is_passed_over(phase: &Value) -> bool {
    // a list of idle phases alone comes to nothing
    let with_load = json!([phase, {"duration": 1, "arrivalCount": 1}]);
    plan(&with_load).is_ok_and(|plans| plans.len() < 2)
}

fn exactly(plan: &PhasePlan) -> Option<u64> {
    match plan.arrivals {
        Arrivals::Exactly(arrivals) => Some(arrivals),
        Arrivals::ByChance => None,
    }
}

/// A number that may be written as a text.
fn number(phase: &Value, field: &str) -> Option<f64> {
    match phase.get(field)? {
        Value::String(text) => text.trim().parse().ok(),
        value => value.as_f64(),
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
fn count(phase: &Value, field: &str) -> Option<u64> {
    number(phase, field).map(|count| count as u64)
}

/// Whether a phase ramps: unless another kind of phase comes first, as in Artillery.
pub fn is_ramp(phase: &Value) -> bool {
    let is = |field| phase.get(field).is_some();
    is("rampTo") && !is("pause") && !is("arrivalCount")
}

/// How many arrive in a second at the beginning and at the end of a phase.
pub fn rate(phase: &Value, plan: &PhasePlan) -> (f64, f64) {
    let from = number(phase, "arrivalRate").unwrap_or(0.0);
    match exactly(plan) {
        Some(0) => (0.0, 0.0),
        Some(_) if is_ramp(phase) => (from, number(phase, "rampTo").unwrap_or(0.0)),
        Some(arrivals) => {
            let rate = mean(arrivals, plan.length_milliseconds);
            (rate, rate)
        }
        None => (from, from),
    }
}

/// How many arrive in a second.
#[allow(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn mean(arrivals: u64, milliseconds: f64) -> f64 {
    if milliseconds > 0.0 {
        let rate = arrivals as f64 * 1000.0 / milliseconds;
        (rate * 1000.0).round() / 1000.0
    } else {
        0.0
    }
}

impl Share {
    fn new(workers: Runs, phases: Vec<Part>) -> Self {
        let vusers = phases.iter().try_fold(0_u64, |sum, part| Some(sum.saturating_add(part.vusers?)));
        let count = workers.iter().map(|(first, last)| last - first + 1).sum();
        Self { workers, count, vusers, phases }
    }
}

/// Workers of equal shares, together.
fn shares(split: &Split, workers: u32, whole: &[PhasePlan]) -> Vec<Share> {
    type Like = Vec<(Option<u64>, u64, u64, Option<u64>)>;
    let mut all: BTreeMap<Like, (Runs, Vec<Part>)> = BTreeMap::new();
    for worker in 0..workers {
        let parts = parts(split, worker, whole);
        let like = parts
            .iter()
            .map(|part| (part.vusers, part.rate.0.to_bits(), part.rate.1.to_bits(), part.max_vusers));
        let (runs, _) = all.entry(like.collect()).or_insert_with(|| (Vec::new(), parts));
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == worker => *last = worker,
            _ => runs.push((worker, worker)),
        }
    }
    let mut shares: Vec<_> = all.into_values().map(|(runs, parts)| Share::new(runs, parts)).collect();
    shares.sort_by(|a, b| a.workers.cmp(&b.workers));
    shares
}

/// What one worker has of each phase.
fn parts(split: &Split, worker: u32, whole: &[PhasePlan]) -> Vec<Part> {
    let mut own = split.phases(worker).into_iter().peekable();
    let part = |(index, (mine, whole)): (usize, (PhasePlan, &PhasePlan))| {
        let mut runs: Vec<SharedPhase> = Vec::new();
        while let Some(phase) = own.next_if(|phase| phase.index == index) {
            runs.push(phase);
        }
        let vusers = exactly(&mine);
        let by_rate = runs.iter().find_map(|phase| {
            let from = phase.arrival_rate?;
            Some((from, phase.ramp_to.unwrap_or(from)))
        });
        let rate = by_rate.unwrap_or_else(|| {
            let rate = mean(vusers.unwrap_or(0), whole.length_milliseconds);
            (rate, rate)
        });
        Part { vusers, rate, max_vusers: runs.iter().find_map(|phase| phase.max_vusers) }
    };
    split.plan(worker).into_iter().zip(whole).enumerate().map(part).collect()
}

/// How many virtual users arrive in each of [`PARTS`] equal parts of the time.
#[allow(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn arrivals(phases: &[PhasePlan], rates: &[(f64, f64)], copies: f64) -> Vec<f64> {
    let all: f64 = phases.iter().map(|phase| phase.length_milliseconds).sum();
    let mut parts = vec![0.0; PARTS];
    if all <= 0.0 {
        return parts;
    }
    let width = all / PARTS as f64;
    let mut begin = 0.0;
    for (phase, (from, to)) in phases.iter().zip(rates) {
        let length = phase.length_milliseconds;
        // so many have arrived after a share of its time, of which the rates tell the form, and the plan how many they are
        let formed = |share: f64| share * from + share * share * (to - from) / 2.0;
        let planned = match phase.arrivals {
            Arrivals::Exactly(arrivals) => arrivals as f64,
            Arrivals::ByChance => formed(1.0) * length / 1000.0,
        };
        if length > 0.0 && formed(1.0) > 0.0 {
            let arrived =
                |at: f64| planned * copies * formed(((at - begin) / length).clamp(0.0, 1.0)) / formed(1.0);
            for (i, part) in parts.iter_mut().enumerate() {
                let at = i as f64 * width;
                *part += arrived(at + width) - arrived(at);
            }
        }
        begin += length;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of each kind one; the counts do not divide evenly.
    fn phases() -> Value {
        json!([
            {"duration": 30, "arrivalRate": 3},
            {"duration": 60, "arrivalRate": 1, "rampTo": 20, "maxVusers": 5},
            {"duration": 5, "arrivalRate": 0},
            {"pause": "1.5s"},
            {"duration": 20, "arrivalCount": 17, "name": "last"},
        ])
    }

    #[test]
    fn shares_are_what_each_worker_is_given_and_judged_by() {
        for distribution in [Distribution::Replicate, Distribution::Split] {
            for workers in [1, 2, 3, 7, 50] {
                let load = load(&phases(), workers, distribution).expect("a load");
                let plans = Plans::new(distribution, &phases(), workers).expect("plans");
                assert_eq!(load.vusers, plans.vusers());
                let mut told = 0;
                for share in &load.shares {
                    let all = share.workers.iter().flat_map(|(first, last)| *first..=*last);
                    for worker in all {
                        told += 1;
                        let given: Vec<_> = plans.of(worker).iter().map(exactly).collect();
                        let shown: Vec<_> = share.phases.iter().map(|part| part.vusers).collect();
                        assert_eq!(shown, given, "worker {worker} of {workers}, {distribution:?}");
                    }
                }
                assert_eq!(told, workers, "each once");
                let sum: u64 = load
                    .shares
                    .iter()
                    .map(|share| share.vusers.expect("known") * u64::from(share.count))
                    .sum();
                assert_eq!(Some(sum), load.vusers);
            }
        }
    }

    #[test]
    fn caps_and_rates_of_shares_are_those_of_their_phases() {
        let shared = load(&phases(), 7, Distribution::Split).expect("a load");
        let split = Split::new(&phases(), 7).expect("a split");
        for share in &shared.shares {
            let own = split.phases(share.workers[0].0);
            let capped = own.iter().find(|phase| phase.ramp_to.is_some());
            let part = &share.phases[1];
            assert_eq!(part.max_vusers, capped.and_then(|phase| phase.max_vusers));
            assert_eq!(capped.map(|phase| phase.arrival_rate), capped.map(|_| Some(part.rate.0)));
        }
        let caps: u64 =
            shared.shares.iter().filter_map(|s| Some(s.phases[1].max_vusers? * u64::from(s.count))).sum();
        assert_eq!(caps, 5, "of all together");
    }

    #[test]
    fn all_arrive_in_some_part_of_the_time() {
        for (distribution, copies) in [(Distribution::Replicate, 3.0), (Distribution::Split, 1.0)] {
            let load = load(&phases(), 3, distribution).expect("a load");
            let sum: f64 = load.arrivals.iter().sum();
            assert!((sum - copies * (90.0 + 630.0 + 17.0)).abs() < 1e-6, "{sum}");
        }
        let paused =
            load(&json!([{"pause": 30}, {"duration": 30, "arrivalRate": 2}]), 1, Distribution::Replicate);
        let arrivals = paused.expect("a load").arrivals;
        let (first, second) = arrivals.split_at(PARTS / 2);
        assert!(
            first.iter().all(|part| *part == 0.0) && second.iter().all(|part| (*part - 2.0).abs() < 1e-9)
        );
    }

    #[test]
    fn what_chance_decides_has_a_mean() {
        let load =
            load(&json!([{"duration": 20, "arrivalRate": 4, "mode": "poisson"}]), 2, Distribution::Split)
                .expect("a load");
        assert_eq!((load.vusers, load.shares.len(), load.shares[0].phases[0].rate), (None, 1, (2.0, 2.0)));
        assert!((load.arrivals.iter().sum::<f64>() - 80.0).abs() < 1e-9);
    }
}
