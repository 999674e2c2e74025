//! Every example, as its README runs it, on real pods; and the same folder in an Artillery of this machine, started as one types it there,
//! whose counts, and those of what it was pointed at, times the number of workers are the report's, and the target's.

use std::collections::BTreeMap;
use std::path::Path;

use e2e::{Bed, cluster, in_summary, on_a_laptop};
use futures::{StreamExt as _, stream};
use testbed::target::Counts;

/// A LoadTest of an example: what its author types to run the same on a laptop, where `TARGET` is what is tested there.
struct Test {
    name: &'static str,
    /// How often its workers run the script.
    times: u64,
    typed: &'static [&'static str],
}

struct Example {
    folder: &'static str,
    tests: &'static [Test],
    /// Counters that are to be the same, beside virtual users.
    counters: &'static [&'static str],
    /// Whether each run asks for something else.
    is_random: bool,
}

/// Of one LoadTest, which bears the folder's name.
const fn example(folder: &'static str, tests: &'static [Test], counters: &'static [&'static str]) -> Example {
    Example { folder, tests, counters, is_random: false }
}

const PLAIN: &[&str] = &["--target", "http://TARGET", "script.yaml"];
const HTTP: &[&str] = &["http.requests", "http.responses", "http.codes.200"];

const EXAMPLES: [Example; 10] = [
    example("one-endpoint", &[Test { name: "one-endpoint", times: 2, typed: PLAIN }], HTTP),
    example(
        "csv-users",
        &[Test { name: "csv-users", times: 2, typed: PLAIN }],
        &["http.requests", "http.codes.404"],
    ),
    example(
        "processor",
        &[Test { name: "processor", times: 2, typed: PLAIN }],
        &["http.requests", "http.codes.201", "orders.made"],
    ),
    Example {
        folder: "typescript",
        tests: &[Test { name: "typescript", times: 2, typed: PLAIN }],
        counters: HTTP,
        is_random: true,
    },
    example(
        "environments",
        &[
            Test {
                name: "environments-dev",
                times: 1,
                typed: &[
                    "-e",
                    "dev",
                    "-v",
                    r#"{"who": "dev-team"}"#,
                    "--target",
                    "http://TARGET",
                    "script.yaml",
                ],
            },
            Test {
                name: "environments-staging",
                times: 1,
                typed: &[
                    "-e",
                    "staging",
                    "-v",
                    r#"{"who": "staging-team"}"#,
                    "--target",
                    "http://TARGET",
                    "script.yaml",
                ],
            },
        ],
        HTTP,
    ),
    // together they run the script once
    example("split-ramp", &[Test { name: "split-ramp", times: 1, typed: PLAIN }], HTTP),
    example("checks", &[Test { name: "checks", times: 2, typed: PLAIN }], HTTP),
    example(
        "secrets",
        &[Test { name: "secrets", times: 1, typed: PLAIN }],
        &["http.requests", "http.codes.200", "signed.beans-and-sons"],
    ),
    example(
        "project",
        &[Test {
            name: "project",
            times: 2,
            typed: &["--environment", "staging", "--target", "http://TARGET", "script.yaml"],
        }],
        &["http.requests", "http.codes.200", "http.codes.201", "orders.made"],
    ),
    example(
        "websocket",
        &[Test { name: "websocket", times: 2, typed: &["--target", "ws://TARGET/echo", "script.yaml"] }],
        &["websocket.messages_sent", "websocket.messages_received"],
    ),
];

/// How often each method, path and status was seen.
type Rows = BTreeMap<(String, String, u16), u64>;

fn add(rows: &mut Rows, counts: &Counts, times: u64) {
    assert_eq!(counts.other, 0, "all of them are told apart");
    for row in &counts.requests {
        *rows.entry((row.method.clone(), row.path.clone(), row.status)).or_default() += times * row.count;
    }
}

async fn runs(Example { folder, tests, counters, is_random }: &Example) {
    let bed = Bed::with_target(&format!("example-{folder}")).await;
    bed.kubectl(&["apply", "-k", &format!("examples/{folder}")]);
    let mut expected = Rows::new();
    for Test { name, times, typed } in *tests {
        let laptop =
            on_a_laptop(&Path::new("examples").join(folder), typed, &[("API_TOKEN", "not-a-secret")]).await;
        bed.until_over(name).await;
        let verdict = bed.verdict(name);
        assert_eq!(verdict.verdict, "Passed", "{name}: {verdict:?}");
        let report = bed.report(name);
        for counter in ["vusers.created", "vusers.completed"].iter().chain(*counters) {
            let alone = in_summary(&laptop.log, counter);
            assert!(alone > 0, "{counter} of {name}: {}", laptop.log);
            assert_eq!(
                report.counter(counter),
                times * alone,
                "{counter} of {name}, {times} times the script"
            );
        }
        add(&mut expected, &laptop.counts, *times);
    }
    let counts = cluster().target_counts(&bed.namespace).expect("the target's counts");
    let mut seen = Rows::new();
    add(&mut seen, &counts, 1);
    if *is_random {
        assert_eq!(counts.total, expected.values().sum::<u64>(), "{folder}");
    } else {
        assert_eq!(seen, expected, "{folder}: what the target was asked for");
    }
}

#[tokio::test]
async fn every_example_gives_what_artillery_gives_without_the_operator() {
    // as many at a time as there is room for
    stream::iter(&EXAMPLES).for_each_concurrent(None, runs).await;
}
