//! The same files in an Artillery without the operator's reporter, to compare with.

use serde_json::{Value, json};
use testbed::eventually::eventually;

use crate::{Bed, WHOLE_TEST};

impl Bed {
    /// Runs the files of a LoadTest's workers once more, in a pod like theirs, but without the reporter; returns its log.
    ///
    /// # Panics
    /// It does not end in time.
    pub async fn without_the_operator(&self, test: &str) -> String {
        let job = self.kubectl(&["get", "job", test, "-o", "json"]);
        let job: Value = serde_json::from_str(&job).expect("a Job");
        let mut spec = job["spec"]["template"]["spec"].clone();
        let is_reporters = |item: &Value| {
            let name = item["name"].as_str().unwrap_or_default();
            name.starts_with("LOADTEST_")
                || name.starts_with("ARTILLERY_PLUGIN")
                || name == "artillery-operator"
        };
        let without = |list: &mut Value| {
            list.as_array_mut().expect("a list").retain(|item| !is_reporters(item));
        };
        without(&mut spec["volumes"]);
        without(&mut spec["containers"][0]["env"]);
        without(&mut spec["containers"][0]["volumeMounts"]);
        let name = format!("{test}-plain");
        self.apply(&json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name }, "spec": spec }));
        let phase = async || self.kubectl(&["get", "pod", &name, "-o", "jsonpath={.status.phase}"]);
        // without the operator each worker checks what it measured itself
        let has_ended = |phase: &String| ["Succeeded", "Failed"].contains(&phase.as_str());
        eventually(&format!("{name} has ended"), WHOLE_TEST, phase, has_ended).await;
        self.kubectl(&["logs", &name])
    }
}
