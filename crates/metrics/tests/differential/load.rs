//! Planned load: what Artillery makes of phases is what this crate plans.

use metrics::delivery::{Arrivals, PhasePlan, Split, plan, vusers};
use serde_json::{Value, json};

use crate::artillery::{ask, random};
use crate::random::Random;

/// A phase as a script may have it, and now and then one as it may not.
fn phase(random: &mut Random) -> Value {
    let duration = match random.below(12) {
        0 => json!("10"),
        1 => json!("1m"),
        2 => json!("0.5 minutes"),
        3 => json!("2500ms"),
        4 => json!("1h"),
        5 => random.one_of(&[json!(0), json!(1.5), json!("soon"), json!(""), json!("1 m m")]).clone(),
        _ => json!(1 + random.below(40)),
    };
    let most = if random.below(3) == 0 { 1000 } else { 30 };
    let rate = 1 + random.below(most);
    match random.below(12) {
        0 => json!({"pause": duration}),
        1 => json!({"duration": duration, "arrivalCount": random.below(900)}),
        2 => json!({"duration": duration, "arrivalRate": 0}),
        3 => json!({"duration": duration, "arrivalRate": rate, "rampTo": 0}),
        4 => json!({"duration": duration, "rampTo": rate}),
        5..=8 => json!({"duration": duration, "arrivalRate": random.below(50), "rampTo": random.below(50)}),
        9 => json!({"duration": duration, "arrivalRate": rate.to_string(), "maxVusers": random.below(4)}),
        10 => json!({"duration": duration, "arrivalRate": rate as f64 / 2.0}),
        _ => json!({"duration": duration, "arrivalRate": rate, "name": "load"}),
    }
}

#[test]
fn phases_come_to_what_is_planned() {
    let mut random = random("phases");
    let (mut planned, mut refused) = (0, 0);
    for _ in 0..400 {
        let phases: Vec<_> = (0..1 + random.below(4)).map(|_| phase(&mut random)).collect();
        let phases = json!(phases);
        let theirs = ask("phases", json!({"phases": phases}));
        if theirs["error"] == "too many" {
            continue; // to be counted one by one
        }
        match plan(&phases) {
            Ok(ours) => {
                planned += 1;
                let arrivals = |arrivals| match arrivals {
                    Arrivals::Exactly(arrivals) => arrivals,
                    Arrivals::ByChance => panic!("{phases}: nothing is left to chance"),
                };
                let ours: Vec<_> =
                    ours.iter().map(|plan| (arrivals(plan.arrivals), plan.length_milliseconds)).collect();
                let theirs: Vec<_> = theirs
                    .as_array()
                    .unwrap_or_else(|| panic!("{phases}: {theirs} {ours:?}"))
                    .iter()
                    .map(|phase| {
                        (phase["arrivals"].as_u64().expect("a count"), phase["length"].as_f64().expect("ms"))
                    })
                    .collect();
                let is_same = ours.len() == theirs.len()
                    && ours.iter().zip(&theirs).all(|(a, b)| a.0 == b.0 && (a.1 - b.1).abs() < 0.01);
                assert!(is_same, "{phases}: planned {ours:?}, Artillery {theirs:?}");
            }
            Err(error) => {
                refused += 1;
                assert!(theirs["error"].is_string(), "{phases}: {error}, but Artillery: {theirs}");
            }
        }
    }
    assert!(planned > 100 && refused > 20, "{planned} {refused}");
}

#[test]
fn shares_come_to_what_is_planned_for_each_worker_and_to_the_whole_together() {
    let mut random = random("shares");
    let mut shared = 0;
    for _ in 0..120 {
        let phases: Vec<_> = (0..1 + random.below(4)).map(|_| phase(&mut random)).collect();
        let phases = json!(phases);
        let workers = 1 + u32::try_from(random.below(9)).expect("a number");
        let Ok(split) = Split::new(&phases, workers) else { continue };
        if split.vusers().is_none_or(|vusers| vusers > 20_000) {
            continue; // to be counted one by one
        }
        for worker in 0..workers {
            let share = split.phases(worker);
            let theirs = ask("phases", json!({"phases": share, "isShare": true}));
            let mut counted = vec![(0, 0.0); split.plan(worker).len()];
            for part in theirs.as_array().unwrap_or_else(|| panic!("{share:?}: {theirs}")) {
                let index = usize::try_from(part["index"].as_u64().expect("an index")).expect("a number");
                counted[index].0 += part["arrivals"].as_u64().expect("a count");
                counted[index].1 += part["length"].as_f64().expect("ms");
            }
            let is_planned = |plan: &PhasePlan, (arrivals, length): &(u64, f64)| {
                plan.arrivals == Arrivals::Exactly(*arrivals)
                    && (plan.length_milliseconds - length).abs() < 0.01
            };
            let ours = split.plan(worker);
            assert!(
                ours.iter().zip(&counted).all(|(plan, counted)| is_planned(plan, counted)),
                "{phases}, {worker} of {workers}: planned {ours:?}, Artillery {counted:?}"
            );
        }
        assert_eq!(split.vusers(), vusers(&plan(&phases).expect("a plan")), "{phases} of {workers}");
        shared += 1;
    }
    assert!(shared > 40, "{shared}");
}
