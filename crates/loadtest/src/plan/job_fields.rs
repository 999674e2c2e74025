//! What the API server says of a Job, told by the fields of the LoadTest that the Job was made of.

use k8s_openapi::api::batch::v1::Job;

use crate::template::{COPY, SCRIPT_VOLUME};

/// Where a Job has its pods' template.
const TEMPLATE: &str = "spec.template.";
/// Where a LoadTest has it.
const POD_TEMPLATE: &str = ".spec.worker.podTemplate.";
/// Fields of the worker container that are fields of `.spec.worker`.
const OF_WORKER: [&str; 5] = ["env", "envFrom", "image", "imagePullPolicy", "resources"];
/// Fields of the container that copies files that are the worker's: the rest is the operator's own.
const OF_COPY: [&str; 3] = ["image", "imagePullPolicy", "resources"];
/// Lists in which the operator's own items stand, too: a number there is not the user's.
const SHARED: [&str; 4] = ["env", "volumes", "volumeMounts", "initContainers"];

/// What stands first in a Job's lists, and is the operator's own.
#[derive(Clone, Copy, Debug, Default)]
struct Ours {
    /// The container that copies files.
    copy: bool,
    /// The volume that has the script and its files.
    script: bool,
}

impl Ours {
    fn of(job: &Job) -> Self {
        let pod = job.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let container = pod.and_then(|pod| pod.init_containers.as_ref()?.first());
        let volume = pod.and_then(|pod| pod.volumes.as_ref()?.first());
        Self {
            copy: container.is_some_and(|container| container.name == COPY),
            script: volume.is_some_and(|volume| volume.name == SCRIPT_VOLUME),
        }
    }
}

/// The words, with each field of the pods' template as its user knows it. `job` is the one that they are about.
pub(super) fn in_fields(words: &str, job: Option<&Job>) -> String {
    let ours = job.map(Ours::of).unwrap_or_default();
    let mut told = String::with_capacity(words.len());
    let mut rest = words;
    while let Some(at) = rest.find(TEMPLATE) {
        let (before, path) = rest.split_at(at);
        told.push_str(before);
        let end = end_of(path);
        let is_field = !before.ends_with(|c: char| c.is_alphanumeric() || c == '.' || c == '_');
        if is_field {
            told.push_str(&field(&path[TEMPLATE.len()..end], ours));
        } else {
            told.push_str(&path[..end]);
        }
        rest = &path[end..];
    }
    told.push_str(rest);
    told
}

/// Where a path ends, in bytes: what is in brackets may be any name.
fn end_of(path: &str) -> usize {
    let mut is_in_brackets = false;
    let mut ends = path.char_indices().filter(|(_, c)| {
        match c {
            '[' => is_in_brackets = true,
            ']' if is_in_brackets => is_in_brackets = false,
            ']' => return true,
            c => return c.is_whitespace() || !(is_in_brackets || c.is_alphanumeric() || *c == '.'),
        }
        false
    });
    let end = ends.next().map_or(path.len(), |(at, _)| at);
    path[..end].trim_end_matches('.').len().max(TEMPLATE.len())
}

/// A field below a Job's `spec.template`.
fn field(path: &str, ours: Ours) -> String {
    if let Some(of_copy) = path.strip_prefix("spec.initContainers[0]").filter(|_| ours.copy) {
        let of_copy = of_copy.strip_prefix('.').unwrap_or(of_copy);
        let is_workers = OF_COPY.contains(&of_copy.split(['.', '[']).next().unwrap_or_default());
        return if is_workers { format!(".spec.worker.{of_copy}") } else { ".spec.worker".to_owned() };
    }
    if ours.script && path.starts_with("spec.volumes[0]") {
        return ".spec.testScript".to_owned();
    }
    if let Some(of_worker) = path.strip_prefix("spec.containers[0]") {
        let of_worker = of_worker.strip_prefix('.').unwrap_or(of_worker);
        let name = of_worker.split(['.', '[']).next().unwrap_or_default();
        return match name {
            "" => ".spec.worker".to_owned(),
            "args" => ".spec.artillery".to_owned(),
            name if OF_WORKER.contains(&name) => {
                format!(".spec.worker.{}", without_numbers_of_lists(of_worker))
            }
            _ => format!("{POD_TEMPLATE}spec.containers[worker].{}", without_numbers_of_lists(of_worker)),
        };
    }
    // Kubernetes leaves out a step there
    let metadata = ["labels", "annotations"].iter().any(|map| path.starts_with(map));
    let path = without_numbers_of_lists(path);
    // the worker's is the first in the Job, wherever it stands in the LoadTest
    let path = match path.strip_prefix("spec.containers[").and_then(|rest| rest.split_once(']')) {
        Some((_, rest)) => format!("spec.containers[]{rest}"),
        None => path,
    };
    format!("{POD_TEMPLATE}{}{path}", if metadata { "metadata." } else { "" })
}

fn without_numbers_of_lists(path: &str) -> String {
    let mut path = path.to_owned();
    for list in SHARED {
        let start = format!("{list}[");
        let found = path.find(&start).filter(|at| *at == 0 || path[..*at].ends_with('.'));
        if let Some(open) = found.map(|at| at + start.len())
            && let Some(length) = path[open..].find(']')
        {
            path.replace_range(open..open + length, "");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_of_the_job_is_told_as_the_load_tests() {
        for (of_job, of_load_test) in [
            ("spec.template.spec.containers[0].image", ".spec.worker.image"),
            ("spec.template.spec.containers[0].imagePullPolicy", ".spec.worker.imagePullPolicy"),
            (
                "spec.template.spec.containers[0].resources.limits[memory]",
                ".spec.worker.resources.limits[memory]",
            ),
            (
                "spec.template.spec.containers[0].resources.limits[a.b/c-d]",
                ".spec.worker.resources.limits[a.b/c-d]",
            ),
            ("spec.template.spec.containers[0].env[12].name", ".spec.worker.env[].name"),
            ("spec.template.spec.containers[0].envFrom[1].prefix", ".spec.worker.envFrom[1].prefix"),
            (
                "spec.template.spec.containers[0].volumeMounts[4].name",
                ".spec.worker.podTemplate.spec.containers[worker].volumeMounts[].name",
            ),
            (
                "spec.template.spec.containers[0].livenessProbe",
                ".spec.worker.podTemplate.spec.containers[worker].livenessProbe",
            ),
            ("spec.template.spec.containers[0].args[1]", ".spec.artillery"),
            ("spec.template.spec.containers[0]", ".spec.worker"),
            ("spec.template.spec.containers[2].name", ".spec.worker.podTemplate.spec.containers[].name"),
            ("spec.template.spec.volumes[3].name", ".spec.worker.podTemplate.spec.volumes[].name"),
            (
                "spec.template.spec.initContainers[1].image",
                ".spec.worker.podTemplate.spec.initContainers[].image",
            ),
            (
                "spec.template.spec.tolerations[0].operator",
                ".spec.worker.podTemplate.spec.tolerations[0].operator",
            ),
            ("spec.template.labels", ".spec.worker.podTemplate.metadata.labels"),
            ("spec.template.annotations[x]", ".spec.worker.podTemplate.metadata.annotations[x]"),
            ("spec.completions", "spec.completions"),
            ("job.spec.template.spec.x", "job.spec.template.spec.x"),
            ("spec.template.", ".spec.worker.podTemplate."),
        ] {
            assert_eq!(in_fields(of_job, None), of_load_test);
            let words =
                format!("Job \"t\" is invalid: [{of_job}: Invalid value: \"x\", {of_job}: Required value]");
            let told = format!(
                "Job \"t\" is invalid: [{of_load_test}: Invalid value: \"x\", {of_load_test}: Required value]"
            );
            assert_eq!(in_fields(&words, None), told);
        }
        for words in ["", "exceeded quota: q", "spec.template", "é spec.template é"] {
            assert_eq!(in_fields(words, None), words);
        }
    }

    #[test]
    fn what_the_operator_puts_first_is_told_by_what_it_was_made_of() {
        let template = json!({ "spec": {
            "initContainers": [{ "name": COPY }, { "name": "theirs" }], "containers": [],
            "volumes": [{ "name": SCRIPT_VOLUME }, { "name": "theirs" }],
        } });
        let job: Job = serde_json::from_value(json!({ "spec": { "template": template } })).expect("a Job");
        for (of_job, of_load_test) in [
            ("initContainers[0].resources.limits[cpu]", ".spec.worker.resources.limits[cpu]"),
            ("initContainers[0].image", ".spec.worker.image"),
            ("initContainers[0].volumeMounts[1].name", ".spec.worker"),
            ("initContainers[1].image", ".spec.worker.podTemplate.spec.initContainers[].image"),
            ("volumes[0].projected.sources[0].configMap.items[1].path", ".spec.testScript"),
            ("volumes[1].name", ".spec.worker.podTemplate.spec.volumes[].name"),
        ] {
            assert_eq!(in_fields(&format!("spec.template.spec.{of_job}"), Some(&job)), of_load_test);
        }
    }
}
