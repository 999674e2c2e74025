//! Planned load: what Artillery makes of phases is what this crate plans.

use metrics::delivery::{Arrivals, plan};
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
