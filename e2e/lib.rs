//! What the end-to-end tests share: the installed operator, and a namespace for each test, which is gone afterwards.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

mod laptop;
mod report;
mod run;

use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::cluster::Cluster;
use testbed::eventually::eventually;
use testbed::process;
use tokio::sync::{Semaphore, SemaphorePermit};

pub use laptop::{Laptop, on_a_laptop};
pub use report::{CutOff, Report, Verdict};
pub use run::{Account, Run, Worker, sending, sending_with};

/// Longer than a load test of the tests takes on two busy cores.
pub const WHOLE_TEST: Duration = Duration::from_secs(240);

/// The reasons of a verdict, with which its event comes.
const VERDICTS: [&str; 8] = [
    " NoChecks",
    " ChecksPassed",
    " ChecksFailed",
    " ExpectationsFailed",
    " WorkersFailed",
    " Inconclusive",
    " NoVusers",
    " Stopped",
];

static CLUSTER: LazyLock<Cluster> = LazyLock::new(|| Cluster::from_environment().expect("a cluster"));

static OPERATOR: LazyLock<()> = LazyLock::new(|| {
    let said = process::output(&CLUSTER.command("./operator-deploy.sh")).expect("the operator, installed");
    assert!(said.contains("installing ghcr.io/artilleryio/artillery-operator:latest"), "{said}");
});

/// The cluster under test.
pub fn cluster() -> &'static Cluster {
    &CLUSTER
}

/// The manifest of a LoadTest.
pub fn load_test(name: &str, count: i32, test_script: &Value) -> Value {
    json!({
        "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": { "name": name },
        "spec": { "count": count, "testScript": test_script },
    })
}

/// The manifest of a ConfigMap of one key.
pub fn config_map(name: &str, key: &str, text: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name }, "data": { key: text } })
}

/// The number behind a metric in the summary that Artillery prints at its end.
///
/// # Panics
/// There is none.
pub fn in_summary(log: &str, metric: &str) -> u64 {
    let summary = log.split("Summary report").nth(1).unwrap_or_else(|| panic!("no summary in\n{log}"));
    let line = summary.lines().find(|line| line.starts_with(&format!("{metric}:")));
    let number = line.and_then(|line| line.rsplit(' ').next()).and_then(|n| n.parse().ok());
    number.unwrap_or_else(|| panic!("no {metric} in\n{summary}"))
}

/// Several manifests in one.
pub fn list(items: &[Value]) -> Value {
    json!({ "apiVersion": "v1", "kind": "List", "items": items })
}

/// A namespace of one test's own, under the restricted Pod Security Standard; it is deleted at the end, also of a test
/// that fails: then what the cluster says about it is printed first.
pub struct Bed {
    /// Its name.
    pub namespace: String,
    /// Its share of the machine, until it is gone.
    _share: SemaphorePermit<'static>,
}

/// So many tests make load at a time: they wait more than they work, and more would not have the processor time for it.
const AT_A_TIME: u32 = 3;
static MACHINE: Semaphore = Semaphore::const_new(AT_A_TIME as usize);

impl Bed {
    /// A new namespace, in a cluster where the operator runs.
    ///
    /// # Panics
    /// It cannot be had.
    pub async fn new(name: &str) -> Self {
        Self::of_share(name, 1).await
    }

    async fn of_share(name: &str, share: u32) -> Self {
        let share = MACHINE.acquire_many(share).await.expect("it is never closed");
        LazyLock::force(&OPERATOR);
        let namespace = format!("e2e-{name}");
        // of an earlier run that was killed
        let _ = CLUSTER.kubectl(&["delete", "namespace", &namespace, "--ignore-not-found", "--timeout=120s"]);
        CLUSTER.kubectl(&["create", "namespace", &namespace]).expect("a namespace");
        let restricted = "pod-security.kubernetes.io/enforce=restricted";
        CLUSTER.kubectl(&["label", "namespace", &namespace, restricted]).expect("a label");
        Self { namespace, _share: share }
    }

    /// As [`Self::new`], with the target that counts, which answers by its name and through the API server.
    ///
    /// # Panics
    /// It cannot be had.
    pub async fn with_target(name: &str) -> Self {
        Self::new(name).await.and_target().await
    }

    /// As [`Self::with_target`], while no other test makes load: for what is told second by second.
    ///
    /// # Panics
    /// It cannot be had.
    pub async fn alone_with_target(name: &str) -> Self {
        Self::of_share(name, AT_A_TIME).await.and_target().await
    }

    async fn and_target(self) -> Self {
        let bed = self;
        bed.kubectl(&["apply", "-f", "hack/basic-loadtest/target.yaml"]);
        // of a node that Kubernetes has not heard of for a while it takes the addresses away: what is tried is not the target
        let stays = r#"{"spec":{"publishNotReadyAddresses":true}}"#;
        bed.kubectl(&["patch", "service", "loadtest-target", "-p", stays]);
        bed.kubectl(&["rollout", "status", "deployment/loadtest-target", "--timeout=120s"]);
        // each of Kubernetes' controllers, and its DNS, goes on up to a minute after the API server was away
        bed.kubectl(&[
            "exec",
            "deployment/loadtest-target",
            "--",
            "/loadtest-target",
            "--reach=loadtest-target:80",
        ]);
        let counts = async || CLUSTER.target_counts(&bed.namespace).map_err(|error| error.to_string());
        eventually("the target's counts", WHOLE_TEST, counts, Result::is_ok).await.expect("the counts");
        bed
    }

    /// Runs kubectl in the namespace and returns what it printed.
    ///
    /// # Panics
    /// With kubectl's words, if it fails.
    pub fn kubectl(&self, args: &[&str]) -> String {
        CLUSTER.kubectl(&[&["--namespace", &self.namespace], args].concat()).expect("kubectl")
    }

    /// Applies a manifest.
    ///
    /// # Panics
    /// With kubectl's words, if it fails.
    pub fn apply(&self, manifest: &Value) {
        self.manifest(&["apply"], manifest);
    }

    /// Runs a command of kubectl that takes a manifest.
    ///
    /// # Panics
    /// With kubectl's words, if it fails.
    pub fn manifest(&self, command: &[&str], manifest: &Value) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("manifest.json");
        std::fs::write(&file, manifest.to_string()).expect("a file");
        let file = ["--validate=strict", "-f", file.to_str().expect("a path")];
        self.kubectl(&[command, &file].concat());
    }

    /// A JSONPath of a LoadTest.
    pub fn of_test(&self, test: &str, path: &str) -> String {
        self.kubectl(&["get", "loadtest", test, "-o", &format!("jsonpath={path}")])
    }

    /// Waits until a test is over and returns the reason.
    ///
    /// # Panics
    /// It is not over in time.
    pub async fn until_over(&self, test: &str) -> String {
        let path = "{.status.conditions[?(@.type==\"Completed\")].status} {.status.conditions[?(@.type==\"Completed\")].reason}";
        let look = async || self.of_test(test, path);
        let said =
            eventually(&format!("{test} is over"), WHOLE_TEST, look, |said| said.starts_with("True ")).await;
        said.trim_start_matches("True ").to_owned()
    }

    /// The names of a test's worker pods.
    pub fn workers(&self, test: &str) -> Vec<String> {
        let selector = format!("artillery.io/test-name={test}");
        let names =
            self.kubectl(&["get", "pods", "-l", &selector, "-o", "jsonpath={.items[*].metadata.name}"]);
        names.split_whitespace().map(str::to_owned).collect()
    }

    /// Waits until all of a test's workers run.
    ///
    /// # Panics
    /// They do not in time.
    pub async fn until_running(&self, test: &str, count: usize) -> Vec<String> {
        let selector = format!("artillery.io/test-name={test}");
        let look = async || {
            self.kubectl(&[
                "get",
                "pods",
                "-l",
                &selector,
                "--field-selector=status.phase=Running",
                "-o",
                "name",
            ])
        };
        eventually("running workers", WHOLE_TEST, look, |pods| pods.lines().count() == count).await;
        self.workers(test)
    }

    /// Waits until the events on a LoadTest have these reasons, sorted, each from `loadtest-controller`, but for that of the verdict.
    ///
    /// # Panics
    /// They do not in time.
    pub async fn until_events(&self, test: &str, reasons: &[&str]) {
        let filter = format!("involvedObject.kind=LoadTest,involvedObject.name={test}");
        let path = "jsonpath={range .items[*]}{.reportingComponent} {.reason}{\"\\n\"}{end}";
        let look = async || {
            let events = self.kubectl(&["get", "events", "--field-selector", &filter, "-o", path]);
            let is_verdict = |event: &&str| VERDICTS.iter().any(|reason| event.ends_with(reason));
            // whether the log of a pod that is deleted is seen is a matter of time
            let is_log = |event: &&str| event.ends_with("WorkerFailed") && !reasons.contains(&"WorkerFailed");
            let mut events: Vec<_> = events
                .lines()
                .filter(|event| !is_verdict(event) && !is_log(event))
                .map(str::to_owned)
                .collect();
            events.sort();
            events
        };
        let expected: Vec<_> = reasons.iter().map(|reason| format!("loadtest-controller {reason}")).collect();
        eventually("the events", Duration::from_secs(20), look, |events| *events == expected).await;
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        let namespace = ["--namespace", self.namespace.as_str()];
        if std::thread::panicking() {
            for about in [
                &["get", "loadtests,jobs,pods", "-o", "wide"][..],
                &["describe", "loadtests"],
                &["get", "events", "--sort-by=.lastTimestamp"],
                &["logs", "-l", "artillery.io/test-name", "--prefix", "--tail=30", "--max-log-requests=20"],
                &[
                    "logs",
                    "-n",
                    "artillery-operator-system",
                    "deployment/artillery-operator-controller-manager",
                    "--tail=60",
                ],
            ] {
                match CLUSTER.kubectl(&[&namespace, about].concat()) {
                    Ok(said) => eprintln!("--- kubectl {}\n{said}", about.join(" ")),
                    Err(error) => eprintln!("{error}"),
                }
            }
        }
        if let Err(error) = CLUSTER.kubectl(&["delete", "namespace", &self.namespace, "--timeout=120s"]) {
            eprintln!("cannot clean up: {error}");
        }
    }
}
