//! Names and labels that users' selectors and dashboards know: the first operator's, to the letter.

use std::collections::BTreeMap;

/// The label that carries the LoadTest's name on its Job and pods.
pub const TEST_NAME: &str = "artillery.io/test-name";
/// The label that says which part of the system an object is of.
pub const PART_OF: &str = "artillery.io/part-of";
/// The label that says which component an object is.
pub const COMPONENT: &str = "artillery.io/component";

/// Value of [`PART_OF`] on everything that belongs to a load test.
pub const LOADTEST: &str = "loadtest";
/// Value of [`COMPONENT`] on the Job.
pub const WORKER_MASTER: &str = "loadtest-worker-master";
/// Value of [`COMPONENT`] on the pods.
pub const WORKER: &str = "loadtest-worker";

/// Value of [`COMPONENT`] on the ConfigMap with the reporter.
pub const REPORTER: &str = "loadtest-reporter";
/// Value of [`COMPONENT`] on the ConfigMaps with the report.
pub const REPORT: &str = "loadtest-report";

/// Selects the Jobs of all LoadTests.
pub const JOB_SELECTOR: &str = "artillery.io/part-of=loadtest,artillery.io/component=loadtest-worker-master";
/// Selects the worker pods of all LoadTests.
pub const WORKER_SELECTOR: &str = "artillery.io/part-of=loadtest,artillery.io/component=loadtest-worker";

/// The labels of an object of the LoadTest `test_name` that is the given component.
pub fn labels(test_name: &str, component: &str) -> BTreeMap<String, String> {
    [(TEST_NAME, test_name), (PART_OF, LOADTEST), (COMPONENT, component)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}
