//! What is true of a load test by its Job and its pods, and whether its status says so: written apart from the operator's
//! own counting, to judge it.

use std::collections::BTreeSet;

use serde_json::Value;

/// How the workers are, as Kubernetes itself says.
#[derive(Debug, PartialEq, Eq)]
pub struct Truth {
    /// Workers that have a pod and have not ended.
    pub active: u64,
    /// Workers that succeeded.
    pub succeeded: u64,
    /// Workers that ended otherwise.
    pub failed: u64,
    /// Whether all have ended.
    pub is_over: bool,
}

impl Truth {
    /// The truth of a LoadTest of so many workers.
    pub fn of(count: u64, job: &Value, pods: &[Value]) -> Self {
        let mut succeeded = indexes(&job["status"]["completedIndexes"]);
        let mut failed = indexes(&job["status"]["failedIndexes"]);
        let mut active = BTreeSet::new();
        for pod in pods.iter().filter(|pod| is_owned_by(pod, job)) {
            let label = &pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"];
            let Some(index) = label.as_str().and_then(|index| index.parse::<u64>().ok()) else {
                continue;
            };
            if succeeded.contains(&index) || failed.contains(&index) {
                continue; // the Job's word is final
            }
            let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
            match (ended["exitCode"].as_i64(), pod["status"]["phase"].as_str()) {
                (Some(0), _) | (None, Some("Succeeded")) => succeeded.insert(index),
                (Some(_), _) | (None, Some("Failed")) => failed.insert(index),
                _ => active.insert(index),
            };
        }
        let number = |set: &BTreeSet<u64>| set.len() as u64;
        let is_over = number(&succeeded) + number(&failed) == count;
        Self { active: number(&active), succeeded: number(&succeeded), failed: number(&failed), is_over }
    }

    /// Whether a LoadTest's status says that.
    pub fn is_told_by(&self, load_test: &Value) -> bool {
        let status = &load_test["status"];
        let number = |field: &str| status[field].as_u64().unwrap_or(0);
        let said = Self {
            active: number("active"),
            succeeded: number("succeeded"),
            failed: number("failed"),
            is_over: reason(load_test, "Completed").0 == "True",
        };
        *self == said
    }
}

/// Status and reason of a condition; empty where there is none.
pub fn reason<'a>(load_test: &'a Value, condition: &str) -> (&'a str, &'a str) {
    let conditions = load_test["status"]["conditions"].as_array().into_iter().flatten();
    let found = conditions.into_iter().find(|c| c["type"] == condition).unwrap_or(&Value::Null);
    (found["status"].as_str().unwrap_or(""), found["reason"].as_str().unwrap_or(""))
}

fn is_owned_by(pod: &Value, job: &Value) -> bool {
    let owner = &pod["metadata"]["ownerReferences"][0]["uid"];
    owner.is_string() && *owner == job["metadata"]["uid"]
}

/// A Job's list of indexes, such as `0,2-5`.
fn indexes(list: &Value) -> BTreeSet<u64> {
    let ranges = list.as_str().unwrap_or("").split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(index: u64, status: Value) -> Value {
        let label = json!({ "batch.kubernetes.io/job-completion-index": index.to_string() });
        json!({ "metadata": { "labels": label, "ownerReferences": [{ "uid": "job" }] }, "status": status })
    }

    #[test]
    fn the_truth_is_read_from_pods_and_from_what_the_job_has_counted() {
        let job = json!({ "metadata": { "uid": "job" }, "status": { "completedIndexes": "0,2-3", "failedIndexes": "5" } });
        let exited = |code| json!({ "phase": "Running", "containerStatuses": [{ "state": { "terminated": { "exitCode": code } } }] });
        let pods = [
            pod(0, json!({ "phase": "Running" })),
            pod(1, json!({ "phase": "Running" })),
            pod(4, exited(1)),
            pod(6, exited(0)),
        ];
        let truth = Truth::of(8, &job, &pods);
        assert_eq!(truth, Truth { active: 1, succeeded: 4, failed: 2, is_over: false });
        let status = |succeeded: u64, over: &str| {
            json!({ "status": { "active": 1, "succeeded": succeeded, "failed": 2,
                "conditions": [{ "type": "Completed", "status": over }] } })
        };
        assert!(truth.is_told_by(&status(4, "False")));
        assert!(!truth.is_told_by(&status(3, "False")) && !truth.is_told_by(&status(4, "True")));
    }

    #[test]
    fn pods_of_another_job_do_not_count() {
        let job = json!({ "metadata": { "uid": "another" } });
        let truth = Truth::of(1, &job, &[pod(0, json!({ "phase": "Failed" }))]);
        assert_eq!(truth, Truth { active: 0, succeeded: 0, failed: 0, is_over: false });
    }
}
