//! Every example, as its README runs it, on real pods; and the same files in an Artillery without the operator's reporter, whose
//! counts times the number of workers are the report's.

use e2e::{Bed, in_summary};
use futures::{StreamExt as _, stream};

/// An example's LoadTests, how often each runs its script, and the counters that are to be the same without the operator.
struct Example {
    folder: &'static str,
    tests: &'static [(&'static str, u64)],
    counters: &'static [&'static str],
}

const EXAMPLES: [Example; 9] = [
    Example { folder: "one-endpoint", tests: &[("one-endpoint", 2)], counters: &["http.codes.200"] },
    Example { folder: "csv-users", tests: &[("csv-users", 2)], counters: &["http.codes.404"] },
    Example { folder: "processor", tests: &[("processor", 2)], counters: &["orders.made"] },
    Example { folder: "typescript", tests: &[("typescript", 2)], counters: &["http.codes.200"] },
    Example {
        folder: "environments",
        tests: &[("environments-dev", 1), ("environments-staging", 1)],
        counters: &["http.codes.200"],
    },
    // together they run the script once
    Example { folder: "split-ramp", tests: &[("split-ramp", 1)], counters: &["http.codes.200"] },
    Example { folder: "checks", tests: &[("checks", 2)], counters: &["http.codes.200"] },
    Example { folder: "secrets", tests: &[("secrets", 1)], counters: &["http.codes.200"] },
    Example { folder: "pods", tests: &[("pods", 2)], counters: &["http.codes.200"] },
];

async fn runs(Example { folder, tests, counters }: &Example) {
    let bed = Bed::with_target(&format!("example-{folder}")).await;
    bed.kubectl(&["apply", "-k", &format!("examples/{folder}")]);
    let mut reports = Vec::new();
    for (test, _) in *tests {
        bed.until_over(test).await;
        let verdict = bed.verdict(test);
        assert_eq!(verdict.verdict, "Passed", "{test}: {verdict:?}");
        reports.push(bed.report(test));
    }
    for ((test, count), report) in tests.iter().zip(&reports) {
        let log = bed.without_the_operator(test).await;
        for counter in ["http.requests", "vusers.created", "vusers.completed"].iter().chain(*counters) {
            let expected = count * in_summary(&log, counter);
            assert!(expected > 0, "{counter} of {test}: {log}");
            assert_eq!(report.counter(counter), expected, "{counter} of {test}, {count} times the script");
        }
    }
}

#[tokio::test]
async fn every_example_gives_what_artillery_gives_without_the_operator() {
    // as many at a time as there is room for
    stream::iter(&EXAMPLES).for_each_concurrent(None, runs).await;
}
