//! A load that workers share is the load of one process: the same arrivals, second by second, and each row of a CSV file once.

use e2e::{Bed, cluster, config_map, in_summary, list, on_a_laptop};
use serde_json::{Value, json};
use testbed::target::Arrivals;

fn script(phases: &Value, more: &Value, url: &str) -> String {
    let mut config = json!({ "target": "http://loadtest-target", "phases": phases });
    config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    json!({ "config": config, "scenarios": [{ "flow": [{ "get": { "url": url } }] }] }).to_string()
}

/// A LoadTest of so many workers that share this load out.
fn split(name: &str, count: i32, phases: &Value, more: &Value, url: &str) -> Value {
    let script = script(phases, more, url);
    list(&[
        config_map(name, "script.yaml", &script),
        json!({
            "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": { "name": name },
            "spec": {
                "count": count, "distribution": "Split",
                "testScript": {
                    "config": { "configMap": name, "key": "script.yaml" },
                    "external": { "payload": { "configMaps": ["rows"] } },
                },
            },
        }),
    ])
}

/// How many requests had arrived by the end of each second since the first.
fn arrivals(seen: Vec<Arrivals>, since: u64) -> Vec<u64> {
    let seen: Vec<_> = seen.into_iter().filter(|slot| slot.second >= since).collect();
    let first = seen.iter().map(|slot| slot.second).min().expect("arrivals");
    let last = seen.iter().map(|slot| slot.second).max().expect("arrivals");
    let by = |second| seen.iter().filter(|slot| slot.second <= second).map(|slot| slot.count).sum();
    (first..=last).map(by).collect()
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.expect("after 1970").as_secs()
}

#[tokio::test]
async fn four_workers_together_are_one_process_and_use_each_row_once() {
    let bed = Bed::alone_with_target("split").await;
    let rows: String = (0..48).map(|row| format!("{row}\n")).collect();
    bed.apply(&config_map("rows", "rows.csv", &rows));
    let payload = json!({ "payload": { "path": "rows.csv", "fields": ["row"], "order": "sequence" } });

    // as many arrivals as rows
    let phases = json!([{ "duration": 12, "arrivalRate": 4 }]);
    bed.apply(&split("rows-split", 4, &phases, &payload, "/of/{{ row }}/row"));
    bed.until_over("rows-split").await;
    let verdict = bed.verdict("rows-split");
    assert_eq!(verdict.verdict, "Passed", "{verdict:?}");
    assert_eq!(bed.of_test("rows-split", "{.status.metrics.vusers.planned}"), "48");
    let seen = cluster().target_counts(&bed.namespace).expect("the target's counts");
    for row in 0..48 {
        assert_eq!(seen.count("GET", &format!("/of/{row}/row")), 1, "row {row}");
    }
    assert_eq!(seen.total, 48);

    // each kind of phase, with fewer arrivals than workers in some seconds
    let phases = json!([
        { "duration": 5, "arrivalRate": 3 },
        { "duration": 10, "arrivalRate": 2, "rampTo": 12 },
        { "pause": 2 },
        { "duration": 6, "arrivalCount": 7 },
        { "duration": 4, "arrivalRate": 1 },
    ]);
    let began = now();
    bed.apply(&split("shape", 4, &phases, &json!({}), "/of/shape"));
    bed.until_over("shape").await;
    assert_eq!(bed.verdict("shape").verdict, "Passed", "{:?}", bed.verdict("shape"));
    let seen = cluster().target_arrivals(&bed.namespace).expect("the target's arrivals");
    let together = arrivals(seen, began);
    let project = tempfile::tempdir().expect("a folder");
    std::fs::write(project.path().join("script.yaml"), script(&phases, &json!({}), "/of/shape"))
        .expect("a file");
    let typed = ["--target", "http://TARGET", "script.yaml"];
    let laptop = on_a_laptop(project.path(), &typed, &[]).await;
    let alone = arrivals(laptop.arrivals, 0);
    let report = bed.report("shape");
    for counter in ["http.requests", "vusers.created", "vusers.completed"] {
        assert_eq!(report.counter(counter), in_summary(&laptop.log, counter), "{counter}");
    }
    println!("second | 4 workers | 1 process\n{}", table(&together, &alone));
    assert_eq!(together.last(), alone.last(), "in all");
    // both begin anywhere within a second of the clock: one may be a second of arrivals ahead
    for second in 0..together.len().max(alone.len()) {
        let at = |seen: &[u64], second: usize| seen.get(second).or(seen.last()).copied().unwrap_or(0);
        let before = |seen: &[u64]| second.checked_sub(1).map_or(0, |second| at(seen, second));
        let within = |one: &[u64], other: &[u64]| {
            before(other) <= at(one, second) + 2 && at(one, second) <= at(other, second + 1) + 2
        };
        assert!(within(&together, &alone), "second {second}:\n{}", table(&together, &alone));
    }
}

fn table(together: &[u64], alone: &[u64]) -> String {
    let shown = |seen: &[u64], second: usize| seen.get(second).map_or(String::new(), u64::to_string);
    let rows = 0..together.len().max(alone.len());
    rows.map(|second| format!("{second} | {} | {}\n", shown(together, second), shown(alone, second)))
        .collect()
}

#[tokio::test]
async fn a_load_that_cannot_be_shared_is_refused_before_any_of_it_and_says_why() {
    let bed = Bed::with_target("unshared").await;
    bed.apply(&config_map("rows", "rows.csv", "a\nb\n"));
    let payload = json!({ "payload": { "path": "rows.csv", "fields": ["row"] } });
    let phases = json!([{ "duration": 5, "arrivalRate": 4 }]);
    bed.apply(&split("unshared", 3, &phases, &payload, "/of/{{ row }}"));
    bed.until_over("unshared").await;
    let verdict = bed.verdict("unshared");
    assert_eq!(verdict.verdict, "Inconclusive", "{verdict:?}");
    assert!(verdict.message.contains("the load cannot be shared out"), "{verdict:?}");
    let seen = cluster().target_counts(&bed.namespace).expect("the target's counts");
    assert_eq!(seen.total, 0);
}
