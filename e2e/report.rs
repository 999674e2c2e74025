//! A load test's report and verdict, as a user reads them with kubectl.

use serde_json::Value;

use crate::{Bed, cluster, in_summary};

/// Pods of a node that do not reach the collector, until this is dropped.
pub struct CutOff {
    node: String,
    address: String,
}

impl Drop for CutOff {
    fn drop(&mut self) {
        if let Err(error) = cluster().unblock(&self.node, &self.address) {
            eprintln!("{} stays cut off from the collector: {error:#}", self.node);
        }
    }
}

/// What `report.json` says.
pub struct Report(pub Value);

impl Report {
    /// A counter of the whole test; 0 if it is not there.
    pub fn counter(&self, name: &str) -> u64 {
        self.0["aggregate"]["counters"][name].as_u64().unwrap_or(0)
    }
}

/// The verdict and the condition Passed.
#[derive(Debug)]
pub struct Verdict {
    /// `status.verdict`.
    pub verdict: String,
    /// True, False or Unknown.
    pub passed: String,
    /// The condition's reason.
    pub reason: String,
    /// The condition's message.
    pub message: String,
}

impl Bed {
    /// The report of a test that is over.
    ///
    /// # Panics
    /// There is none.
    pub fn report(&self, test: &str) -> Report {
        let path = "jsonpath={.data.report\\.json}";
        let report = self.kubectl(&["get", "configmap", &format!("{test}-report"), "-o", path]);
        Report(serde_json::from_str(&report).expect("a report"))
    }

    /// Drops what pods on the node of that pod send to the collector, and nothing else.
    ///
    /// # Panics
    /// The cluster is the user's own.
    pub fn cut_off_from_collector(&self, pod: &str) -> CutOff {
        let node = self.kubectl(&["get", "pod", pod, "-o", "jsonpath={.spec.nodeName}"]);
        let service = ["-n", "artillery-operator-system", "get", "service", "artillery-operator-collector"];
        let address = [&service[..], &["-o", "jsonpath={.spec.clusterIP}"]].concat();
        let address = cluster().kubectl(&address).expect("the collector's Service");
        cluster().block(&node, &address).expect("blocked");
        CutOff { node, address }
    }

    /// What came of a test that is over.
    pub fn verdict(&self, test: &str) -> Verdict {
        let condition = |field: &str| {
            self.of_test(test, &format!("{{.status.conditions[?(@.type==\"Passed\")].{field}}}"))
        };
        Verdict {
            verdict: self.of_test(test, "{.status.verdict}"),
            passed: condition("status"),
            reason: condition("reason"),
            message: condition("message"),
        }
    }

    /// Compares a report with what the target counted, which nobody else tested, and with the workers' own summaries, of
    /// those that have one.
    ///
    /// The same to the last request, but for virtual users that never came to their end because their Artillery was ended:
    /// each may have one request that the target saw and whose answer, or even whose start, Artillery did not count any more.
    ///
    /// # Panics
    /// They are not the same.
    pub fn assert_exact(&self, test: &str, workers_with_summaries: &[String]) -> Report {
        let report = self.report(test);
        let seen = cluster().target_counts(&self.namespace).expect("the target's counts");
        let ended = report.counter("vusers.completed") + report.counter("vusers.failed");
        let cut_short = report.counter("vusers.created") - ended;
        let assert_seen = |name: &str, seen: u64| {
            let reported = report.counter(name);
            assert!(
                seen.abs_diff(reported) <= cut_short,
                "{name}: {reported} reported, {seen} seen by the target, {cut_short} virtual users cut short"
            );
        };
        assert_seen("http.requests", seen.total);
        for code in [200, 404] {
            assert_seen(&format!("http.codes.{code}"), seen.count_status(code));
        }
        let steps = report.0["intermediate"].as_array().expect("a time line");
        let by_step: u64 = steps.iter().filter_map(|step| step["counters"]["http.requests"].as_u64()).sum();
        assert_eq!(by_step, report.counter("http.requests"), "over the time line");
        if !workers_with_summaries.is_empty() {
            let logs: Vec<_> =
                workers_with_summaries.iter().map(|pod| self.kubectl(&["logs", pod])).collect();
            for name in ["http.requests", "http.codes.200", "vusers.created", "vusers.completed"] {
                let sum: u64 = logs.iter().map(|log| in_summary(log, name)).sum();
                assert_eq!(report.counter(name), sum, "{name} in the workers' own summaries");
            }
        }
        report
    }
}
