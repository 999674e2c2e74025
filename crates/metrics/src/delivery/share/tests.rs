//! Shares sum up to the whole at every moment, whatever the phases; what cannot be shared out is told.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::delivery::plan::MAX_PHASES;
use crate::delivery::{plan, vusers};

/// The moments of all arrivals of phases as one thread of Artillery would have them, in microseconds, by their phase in the script;
/// those of a ramp are as many as a second has, at its beginning.
fn moments(phases: &Json) -> Vec<Vec<u64>> {
    let mut all: Vec<Vec<u64>> = Vec::new();
    let (mut now, mut last) = (0.0, usize::MAX);
    for (number, (phase, load)) in loads(phases).expect("phases").into_iter().enumerate() {
        let index = if phase.has("index") { phase.number("index") as usize } else { number };
        if index != last {
            (now, last) = (0.0, index);
            all.resize_with(index + 1, Vec::new);
        }
        match load {
            Load::Uniform { arrivals, microseconds } => {
                all[index].extend((1..=arrivals).map(|n| (now + n as f64 * microseconds) as u64));
            }
            Load::Ramp(ramp) => {
                for (second, rate) in (0_u64..).zip(ramp.rates()) {
                    let one = Ramp { seconds: 1.0, from: rate, to: rate, ..ramp };
                    all[index].extend(std::iter::repeat_n(second * 1_000_000, one.arrivals() as usize));
                }
            }
            Load::Pause { .. } | Load::Nothing | Load::Poisson { .. } => {}
        }
        now += load.milliseconds() * 1000.0;
    }
    all
}

/// How long all phases of one thread take, in milliseconds.
fn length(phases: &Json) -> f64 {
    loads(phases).expect("phases").iter().map(|(_, load)| load.milliseconds()).sum()
}

fn shares(phases: &Json, workers: u32) -> Vec<Json> {
    let split = Split::new(phases, workers).expect("shares");
    (0..workers).map(|worker| as_json(&split, worker)).collect()
}

/// A share as its worker gets it.
fn as_json(split: &Split, worker: u32) -> Json {
    serde_json::to_value(split.phases(worker)).expect("JSON")
}

fn counts(split: &Split, workers: u32) -> Vec<u64> {
    (0..workers).map(|worker| vusers(&split.plan(worker)).expect("a number")).collect()
}

fn why(phases: Json, workers: u32) -> String {
    Split::new(&phases, workers).expect_err("no shares").to_string()
}

#[test]
fn each_worker_has_every_nth_arrival_at_its_moment_and_waits_for_the_others() {
    assert_eq!(
        shares(&json!([{"duration": 3, "arrivalRate": 10, "name": "steady"}]), 4),
        [
            json!([
                {"arrivalCount": 1, "duration": "100.0005ms", "index": 0},
                {"arrivalCount": 7, "duration": "2800.0035ms", "index": 0},
                {"pause": "100ms", "index": 0},
            ]),
            json!([
                {"arrivalCount": 1, "duration": "200.0005ms", "index": 0},
                {"arrivalCount": 7, "duration": "2800.0035ms", "index": 0},
            ]),
            json!([
                {"arrivalCount": 1, "duration": "300.0005ms", "index": 0},
                {"arrivalCount": 6, "duration": "2400.003ms", "index": 0},
                {"pause": "300ms", "index": 0},
            ]),
            json!([
                {"arrivalCount": 7, "duration": "2800.0035ms", "index": 0},
                {"pause": "200ms", "index": 0},
            ]),
        ]
    );
}

#[test]
fn the_next_phase_goes_on_with_whose_turn_it_is_so_that_nobody_has_more_than_one_more() {
    let phases = json!([{"duration": 1, "arrivalCount": 2}, {"duration": 5, "arrivalRate": 1}, {"duration": 1, "arrivalCount": 4}]);
    let split = Split::new(&phases, 4).expect("shares");
    assert_eq!(counts(&split, 4), [3, 3, 3, 2]);
    let of = |worker: u32| split.plan(worker).iter().map(|plan| plan.arrivals).collect::<Vec<_>>();
    let exactly = |counts: [u64; 3]| counts.map(Arrivals::Exactly).to_vec();
    assert_eq!((of(0), of(2)), (exactly([1, 1, 1]), exactly([0, 2, 1])));
    assert_eq!(as_json(&split, 2)[0], json!({"pause": 1, "index": 0}));
}

#[test]
fn each_kind_of_phase_has_its_share() {
    let shares = shares(
        &json!([
            {"pause": "1m"},
            {"duration": "2m", "arrivalRate": 9, "mode": "poisson"},
            {"duration": "10", "arrivalRate": 9, "rampTo": 0, "maxVusers": 4},
            {"duration": 2, "arrivalRate": 1, "maxVusers": 1},
            {"duration": 60, "arrivalRate": 0},
            {"duration": 60, "arrivalRate": 1, "arrivalCount": 0},
        ]),
        3,
    );
    assert_eq!(
        shares[1],
        json!([
            {"pause": 60, "index": 0},
            {"arrivalRate": 3.0, "duration": 120, "mode": "poisson", "index": 1},
            {"arrivalRate": 3.0, "rampTo": 0.0, "duration": 10, "worker": 2, "totalWorkers": 3.0, "maxVusers": 1, "index": 2},
            {"pause": 2, "index": 3},
            {"arrivalCount": 0, "index": 4},
        ])
    );
    assert_eq!(shares[0][2]["maxVusers"], 2);
    assert_eq!(
        shares[0][3],
        json!({"arrivalCount": 2, "duration": "2000.001ms", "maxVusers": 1, "index": 3})
    );
}

#[test]
fn planned_is_the_share_of_each_and_the_whole_of_all() {
    let phases = json!([{"duration": 10, "rampTo": 7}, {"duration": 1, "arrivalRate": 5}]);
    let split = Split::new(&phases, 3).expect("shares");
    assert_eq!(split.vusers(), vusers(&plan(&phases).expect("a plan")));
    assert_eq!(counts(&split, 3).iter().sum::<u64>(), split.vusers().expect("a number"));
    let lengths = |plan: Vec<PhasePlan>| plan.iter().map(|plan| plan.length_milliseconds).collect::<Vec<_>>();
    assert_eq!(lengths(split.plan(2)), lengths(plan(&phases).expect("a plan")));
    let chance =
        Split::new(&json!([{"duration": 9, "arrivalRate": 4, "mode": "poisson"}]), 3).expect("shares");
    assert_eq!((chance.vusers(), chance.plan(0)[0].arrivals), (None, Arrivals::ByChance));
    assert!(Split::new(&json!([{"pause": 5}]), 3).expect("shares").phases(0).is_empty());
}

#[test]
fn what_cannot_be_shared_out_is_named_with_its_value() {
    assert_eq!(
        why(json!([{"pause": 1}, {"durations": 5}]), 2),
        "phases[1]: it is {\"durations\":5}: an object with one of arrivalRate, rampTo, arrivalCount, pause is expected"
    );
    assert!(why(json!([7]), 2).starts_with("phases[0]: it is 7: an object with"));
    assert_eq!(why(Json::Null, 2), "phases[0]: a list of phases is expected");
    assert_eq!(
        why(json!([{"pause": 1}, {"duration": 5, "arrivalRate": 2, "maxVusers": 1.5}]), 2),
        "phases[1]: its maxVusers is 1.5: a whole number is expected"
    );
    assert_eq!(
        why(json!([{"duration": 5, "arrivalRate": 2.5}]), 2),
        "phases[0]: its arrivalRate is 2.5: a whole number is expected"
    );
    let ramp = json!({"duration": 500_000, "arrivalRate": 1, "rampTo": 2});
    assert_eq!(
        why(json!([ramp, ramp]), 2),
        "phases[1]: with it the ramps take 1000000 s together: at most 864000 are planned"
    );
    let many: Vec<_> = (0..=MAX_PHASES).map(|_| json!({"duration": 1, "arrivalRate": 1})).collect();
    assert_eq!(why(json!(many), 2), "phases[1000]: there are more than 1000 phases");
}

#[test]
fn every_worker_has_a_row_or_nobody_starts() {
    assert_eq!(check_rows(&[Some(3), None, Some(4)], 3), Ok(()));
    assert_eq!(
        check_rows(&[Some(3), None, Some(2)], 3).expect_err("too few").to_string(),
        "`rows[2]` is 2: at least one row for each of 3 workers is expected; use fewer workers, or more rows"
    );
}

/// In how many seconds the arrivals of shares are not those of the whole; none has more than one more or less.
fn missed_in_a_second(ours: &[u64], theirs: &[u64]) -> Result<u64, TestCaseError> {
    let mut missed = 0;
    for second in
        ours.iter().chain(theirs).map(|moment| moment / 1_000_000).collect::<std::collections::BTreeSet<_>>()
    {
        let count = |all: &[u64]| all.iter().filter(|moment| **moment / 1_000_000 == second).count();
        let difference = count(ours).abs_diff(count(theirs)) as u64;
        prop_assert!(difference <= 1, "{difference} in second {second}");
        missed += difference;
    }
    Ok(missed)
}

/// Half-way between two numbers, Artillery's own floats decide by chance how a second of a ramp is rounded.
#[test]
fn ramps_sum_up_in_every_second_but_for_a_few_that_lie_half_way_between_two_numbers() {
    let (mut ramps, mut differ, mut most) = (0, 0, 0);
    for (from, to, seconds) in
        (0..12).flat_map(|from| (1..16).flat_map(move |to| (1..30).map(move |seconds| (from, to, seconds))))
    {
        for workers in [2, 3, 10] {
            let phases = json!([{"duration": seconds, "arrivalRate": from, "rampTo": to}]);
            let whole = vusers(&plan(&phases).expect("a plan")).expect("a number");
            let shares = Split::new(&phases, workers).expect("shares").vusers().expect("a number");
            ramps += 1;
            differ += u32::from(shares != whole);
            most = shares.abs_diff(whole).max(most);
        }
    }
    assert!(differ * 1000 < ramps && most <= 2, "{differ} of {ramps}, by up to {most}");
}

fn phase() -> impl Strategy<Value = Json> {
    let most = prop_oneof![4 => 1..40_u64, 2 => 1..2000_u64];
    let duration = prop_oneof![
        4 => (1..40_u64).prop_map(|seconds| json!(seconds)),
        1 => Just(json!("1m")),
        1 => Just(json!("2500ms")),
    ];
    let cap = prop_oneof![3 => Just(None), 1 => (0..9_u64).prop_map(Some)];
    (most.clone(), most, duration, cap, 0..6).prop_map(|(rate, to, duration, cap, form)| {
        let mut phase = match form {
            0 => json!({"pause": duration}),
            1 => json!({"duration": duration, "arrivalCount": rate}),
            2 => json!({"duration": duration, "arrivalRate": rate, "rampTo": to}),
            3 => json!({"duration": duration, "rampTo": to}),
            4 => json!({"duration": duration, "arrivalRate": rate, "rampTo": 0}),
            _ => json!({"duration": duration, "arrivalRate": rate}),
        };
        if let Some(cap) = cap {
            phase["maxVusers"] = json!(cap);
        }
        phase
    })
}

fn scripts() -> impl Strategy<Value = (Json, u32)> {
    let workers = prop_oneof![8 => 1..12_u32, 1 => 12..60_u32];
    (prop::collection::vec(phase(), 1..5).prop_map(Json::from), workers)
}

proptest! {
    #[test]
    fn all_shares_together_arrive_when_one_process_would_have((phases, workers) in scripts()) {
        let whole = plan(&phases).expect("a plan");
        prop_assume!(!whole.is_empty());
        let split = Split::new(&phases, workers).expect("shares");
        let mut together = vec![Vec::<u64>::new(); whole.len()];
        for worker in 0..workers {
            let share = as_json(&split, worker);
            // a share of nothing but pauses would not be planned, but it runs
            let mut share_and_more = share.as_array().expect("phases").clone();
            share_and_more.push(json!({"arrivalCount": 1, "duration": 1, "index": whole.len()}));
            let all = moments(&Json::from(share_and_more));
            for (index, plan) in split.plan(worker).iter().enumerate() {
                prop_assert_eq!(Arrivals::Exactly(all[index].len() as u64), plan.arrivals, "{}", &share);
                together[index].extend(&all[index]);
            }
        }
        let mut missed = 0;
        for (index, mut all) in together.into_iter().enumerate() {
            all.sort_unstable();
            let theirs = &moments(&phases)[index];
            if !matches!(split.parts[index].load, Load::Ramp(_)) {
                prop_assert_eq!(&all, theirs, "phase {}", index);
            } else {
                missed += missed_in_a_second(&all, theirs)?;
            }
        }
        let sum: u64 = counts(&split, workers).iter().sum();
        prop_assert_eq!(Some(sum), split.vusers());
        prop_assert!(sum.abs_diff(vusers(&whole).expect("a number")) <= missed);
    }

    #[test]
    fn all_shares_take_as_long_as_one_process((phases, workers) in scripts()) {
        let whole = plan(&phases).expect("a plan");
        prop_assume!(!whole.is_empty());
        let end = json!({"arrivalCount": 1, "duration": 1});
        let with_end = |phases: &Json| {
            let mut phases = phases.as_array().expect("a list").clone();
            phases.push(end.clone());
            length(&Json::from(phases))
        };
        for share in shares(&phases, workers) {
            prop_assert!((with_end(&share) - with_end(&phases)).abs() < 0.01, "{} of {}", share, &phases);
        }
    }

    #[test]
    fn nobody_has_more_than_one_arrival_more_where_all_are_dealt_out(
        counts_of in prop::collection::vec(1..50_u64, 1..9),
        workers in 1..20_u32,
    ) {
        let phases: Json = counts_of.iter().map(|count| json!({"arrivalCount": count, "duration": 60})).collect();
        let split = Split::new(&phases, workers).expect("shares");
        let counts = counts(&split, workers);
        prop_assert!(counts.iter().max().expect("one") - counts.iter().min().expect("one") <= 1, "{:?}", counts);
    }

    #[test]
    fn no_more_virtual_users_than_maxvusers_are_there_at_once_in_all_shares((phases, workers) in scripts()) {
        let shares = shares(&phases, workers);
        for (index, phase) in phases.as_array().expect("a list").iter().enumerate() {
            let Some(cap) = phase["maxVusers"].as_u64().filter(|_| phase.get("pause").is_none()) else { continue };
            let most = |share: &Json| {
                let of_phase = share.as_array().expect("a list").iter().filter(|phase| phase["index"] == index);
                of_phase.filter_map(|phase| phase["maxVusers"].as_u64()).max().unwrap_or(0)
            };
            let has_ran = shares.iter().any(|share| share.as_array().is_some_and(|share| !share.is_empty()));
            let sum: u64 = shares.iter().map(most).sum();
            prop_assert!(!has_ran || sum <= cap, "{sum} of {cap}");
        }
    }
}

/// `UPDATE=1` writes them anew.
#[test]
fn the_shares_that_the_reporter_is_tested_with_are_these() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../worker/test/shares.json");
    let cases: Json = serde_json::from_str(&std::fs::read_to_string(path).expect("a file")).expect("JSON");
    let mut now = cases.clone();
    for case in now.as_object_mut().expect("an object").values_mut() {
        let workers = u32::try_from(case["workers"].as_u64().expect("a number")).expect("a number");
        case["shares"] = shares(&case["phases"], workers).into();
    }
    if std::env::var_os("UPDATE").is_some() {
        let text = serde_json::to_string_pretty(&now).expect("JSON");
        std::fs::write(path, format!("{text}\n")).expect("written");
    } else {
        assert_eq!(now, cases, "run this test with UPDATE=1");
    }
}

#[test]
fn the_shares_of_as_many_phases_as_there_may_be_fit_an_answer() {
    for phase in [
        json!({"duration": "599.9995s", "arrivalRate": 99_999, "rampTo": 77_777, "maxVusers": 1_000_000_000}),
        json!({"duration": 86_401, "arrivalRate": 699, "maxVusers": 1_000_000_000}),
    ] {
        let split = Split::new(&Json::from(vec![phase; MAX_PHASES]), 9_973).expect("shares");
        let longest = (0..20).map(|worker| as_json(&split, worker).to_string().len()).max();
        assert!(longest.is_some_and(|bytes| bytes < 400 * 1024), "{longest:?}");
    }
}
