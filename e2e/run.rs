//! A load test of real workers against the target that counts, and its account afterwards: how many pods each worker ever
//! had, and whether what it sent has arrived once.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use testbed::eventually::eventually;

use crate::{Bed, WHOLE_TEST, cluster, config_map, in_summary, list, load_test};

/// Requests a second of each worker.
const RATE: u64 = 2;

/// A load test whose workers each send [`RATE`] requests a second to a path of their own, so that the target tells them
/// apart.
pub struct Run<'a> {
    bed: &'a Bed,
    /// The LoadTest's name.
    pub name: String,
    count: usize,
    seconds: u64,
    lives: u64,
}

/// One worker's pod.
#[derive(Clone, Debug)]
pub struct Worker {
    /// The pod's name.
    pub pod: String,
    /// Where it runs.
    pub node: String,
}

/// What came of a load test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Pods beyond one for each worker that were ever created, or sent anything.
    pub started_twice: u64,
    /// Requests of the surviving workers that the target did not see.
    pub lost: u64,
}

impl<'a> Run<'a> {
    /// The manifest of such a load test, whose workers send for so many seconds.
    pub fn manifest(name: &str, count: usize, seconds: u64) -> Value {
        let script = json!({
            "config": {
                "target": "http://loadtest-target",
                "phases": [{ "duration": seconds, "arrivalRate": RATE }],
            },
            "scenarios": [{ "flow": [{ "get": { "url": "/of/{{ $env.WORKER_ID }}" } }] }],
        });
        list(&[
            config_map(name, "test-script.yaml", &script.to_string()),
            load_test(
                name,
                i32::try_from(count).expect("a count"),
                &json!({ "config": { "configMap": name } }),
            ),
        ])
    }

    /// Applies [`Self::manifest`] in a bed that has the target.
    pub fn start(bed: &'a Bed, name: &str, count: usize, seconds: u64) -> Self {
        bed.apply(&Self::manifest(name, count, seconds));
        Self { bed, name: name.to_owned(), count, seconds, lives: 1 }
    }

    /// Replaces the LoadTest by another one of the same name, whose workers send for so many seconds: both may start.
    #[must_use]
    pub fn replaced(self, seconds: u64) -> Self {
        self.bed.manifest(&["replace", "--force"], &Self::manifest(&self.name, self.count, seconds));
        Self { seconds, lives: self.lives + 1, ..self }
    }

    /// Waits until the target has heard of every worker, and returns them.
    ///
    /// # Panics
    /// They do not send in time.
    pub async fn until_sending(&self) -> Vec<Worker> {
        self.bed.until_running(&self.name, self.count).await;
        let workers = self.workers();
        let silent = async || {
            let heard = self.heard();
            let pods = workers.iter().map(|worker| &worker.pod);
            pods.filter(|pod| !heard.contains_key(*pod)).cloned().collect::<Vec<_>>()
        };
        eventually("all workers send", WHOLE_TEST, silent, Vec::is_empty).await;
        workers
    }

    /// The workers whose pods are there, and to stay.
    pub fn workers(&self) -> Vec<Worker> {
        let path = "jsonpath={range .items[*]}{.metadata.name} {.spec.nodeName} {.metadata.deletionTimestamp}{\"\\n\"}{end}";
        let pods = self.bed.kubectl(&["get", "pods", "-l", &self.selector(), "-o", path]);
        let worker = |line: &str| match line.split(' ').collect::<Vec<_>>()[..] {
            [pod, node, ""] => Some(Worker { pod: pod.to_owned(), node: node.to_owned() }),
            _ => None,
        };
        pods.lines().filter_map(worker).collect()
    }

    /// What the target has seen of each pod.
    fn heard(&self) -> BTreeMap<String, u64> {
        let seen = cluster().target_counts(&self.bed.namespace).expect("the target's counts");
        let mut heard = BTreeMap::new();
        for row in seen.requests {
            if let Some(pod) = row.path.strip_prefix("/of/").filter(|pod| self.index_of(pod).is_some()) {
                *heard.entry(pod.to_owned()).or_default() += row.count;
            }
        }
        heard
    }

    /// Every pod that was ever created for it, as events and the pods themselves say.
    fn pods_ever(&self) -> BTreeSet<String> {
        let of_job =
            format!("involvedObject.kind=Job,involvedObject.name={},reason=SuccessfulCreate", self.name);
        let said = "jsonpath={range .items[*]}{.message}{\"\\n\"}{end}";
        let events = self.bed.kubectl(&["get", "events", "--field-selector", &of_job, "-o", said]);
        let created = events.lines().map(|said| said.trim_start_matches("Created pod: ").to_owned());
        created.chain(self.bed.workers(&self.name)).collect()
    }

    /// The account of a test that is over. `survivors` are the pods that were left alone: all that they sent must have
    /// arrived, and as often as Artillery says.
    ///
    /// # Panics
    /// A survivor has no log, the target saw more than it sent, or it did not send what the script says.
    pub fn account(&self, survivors: &[Worker]) -> Account {
        let (ever, heard) = (self.pods_ever(), self.heard());
        let mut pods_of: BTreeMap<&str, u64> = BTreeMap::new();
        // also one that sent something, and of which Kubernetes says nothing
        for pod in ever.iter().chain(heard.keys().filter(|pod| !ever.contains(*pod))) {
            let index = self.index_of(pod).unwrap_or_else(|| panic!("whose pod is {pod}?"));
            *pods_of.entry(index).or_default() += 1;
        }
        let started_twice = pods_of.values().map(|pods| pods.saturating_sub(self.lives)).sum();
        let mut lost = 0;
        for Worker { pod, .. } in survivors {
            let sent = in_summary(&self.bed.kubectl(&["logs", pod]), "http.requests");
            let seen = heard.get(pod).copied().unwrap_or(0);
            assert_eq!(sent, RATE * self.seconds, "what {pod} sent");
            assert!(seen <= sent, "{pod} sent {sent}, and the target saw {seen}");
            lost += sent - seen;
        }
        Account { started_twice, lost }
    }

    /// The completion index in the name of one of its pods.
    fn index_of<'p>(&self, pod: &'p str) -> Option<&'p str> {
        let (index, _random) = pod.strip_prefix(&self.name)?.strip_prefix('-')?.rsplit_once('-')?;
        index.parse::<u32>().is_ok().then_some(index)
    }

    fn selector(&self) -> String {
        format!("artillery.io/test-name={}", self.name)
    }
}

/// Four workers that send for so many seconds, all of which send already. Returns their pods.
///
/// # Panics
/// They do not send in time.
pub async fn sending(bed: &Bed, name: &str, seconds: u64) -> Vec<String> {
    sending_with(bed, name, seconds, &json!({})).await
}

/// As [`sending`], with these in the spec.
///
/// # Panics
/// They do not send in time.
pub async fn sending_with(bed: &Bed, name: &str, seconds: u64, more: &Value) -> Vec<String> {
    let script = json!({
        "config": { "target": "http://loadtest-target", "phases": [{ "duration": seconds, "arrivalRate": 4 }] },
        "scenarios": [{ "flow": [{ "get": { "url": "/" } }, { "get": { "url": "/status/404" } }] }],
    });
    let mut test = load_test(name, 4, &json!({ "config": { "configMap": name } }));
    test["spec"].as_object_mut().expect("a spec").extend(more.as_object().expect("fields").clone());
    bed.apply(&list(&[config_map(name, "test-script.yaml", &script.to_string()), test]));
    let workers = bed.until_running(name, 4).await;
    let seen = async || cluster().target_counts(&bed.namespace).expect("the target's counts").total;
    eventually("load", WHOLE_TEST, seen, |seen| *seen > 40).await;
    workers
}
