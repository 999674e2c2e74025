//! What a user wants of the workers' pods, merged under what the operator sets: who says what is a table here, and what
//! only the operator may say is refused by name.

use std::collections::BTreeMap;

use k8s_openapi::DeepMerge;
use k8s_openapi::api::core::v1::{
    Container, EnvFromSource, EnvVar, PodSpec, PodTemplateSpec, ResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::api::{Json, Worker};
use crate::plan::{Files, Problem};
use crate::workers::brief;

/// The container of `podTemplate` that stands for the worker's own, whatever that is called.
pub const WORKER: &str = "worker";
/// Names of volumes that are the operator's in every pod.
pub(crate) const OUR_VOLUMES: [&str; 2] = ["tmp", "artillery-operator"];
/// The one that has the files of the load test, where they are mounted.
pub(crate) const SCRIPT_VOLUME: &str = "test-script";
/// The one to which they are copied, where they are.
const FILES_VOLUME: &str = "files";
/// The name of the operator's own init container.
pub const COPY: &str = "artillery-operator-files";
/// Where the reporter is mounted.
pub(crate) const REPORTER_FOLDER: &str = "/artillery-operator";
/// Folders of a worker that are the operator's: the first only where it mounts the files of the load test.
const OUR_FOLDERS: [(&str, &str); 2] =
    [("/data", "has the files of the load test"), (REPORTER_FOLDER, "has the operator's reporter")];
/// Labels and annotations with these prefixes are the operator's, or Kubernetes'.
pub(crate) const OUR_PREFIXES: [&str; 4] =
    ["artillery.io/", "loadtest.artillery.io/", "batch.kubernetes.io/", "job-name"];
/// A variable that a plan cannot do without is the operator's.
const OUR_VARIABLES: [(&str, &str); 2] =
    [("WORKERS", "a worker is one thread"), ("WORKER_ID", "it is the pod's name")];
/// Variables that the operator adds to: these can only be given as a value.
pub const SHARED_VARIABLES: [&str; 3] = ["ARTILLERY_PLUGINS", "ARTILLERY_PLUGIN_PATH", "NODE_OPTIONS"];
/// How long a worker that is asked to stop may take, in seconds; the reporter needs some of it.
pub const GRACE: std::ops::RangeInclusive<i64> = 10..=3600;

/// What a user wants of the workers' pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Template {
    /// The worker container, as `.spec.worker` has it.
    container: Container,
    /// The rest of the pod; the worker container in it has no name.
    pod: PodTemplateSpec,
}

impl Template {
    /// Reads what is wanted of the workers of the LoadTest of that name, with these files.
    ///
    /// # Errors
    /// What cannot be read, or is not the user's to say, by its field.
    pub fn of(worker: Option<&Worker>, load_test: &str, files: &Files) -> Result<Self, Problem> {
        let Some(worker) = worker else { return Ok(Self::default()) };
        let env: Vec<EnvVar> = read(".spec.worker.env", worker.env.as_ref())?.unwrap_or_default();
        let env_from: Vec<EnvFromSource> =
            read(".spec.worker.envFrom", worker.env_from.as_ref())?.unwrap_or_default();
        let resources: Option<ResourceRequirements> =
            read(".spec.worker.resources", worker.resources.as_ref())?;
        let pod: PodTemplateSpec =
            read(".spec.worker.podTemplate", worker.pod_template.as_ref())?.unwrap_or_default();
        check_variables(&env)?;
        check_metadata(&pod)?;
        check_pod(pod.spec.as_ref(), load_test, files)?;
        let container = Container {
            image: worker.image.clone(),
            image_pull_policy: worker.image_pull_policy.map(|policy| format!("{policy:?}")),
            env: Some(env).filter(|env| !env.is_empty()),
            env_from: Some(env_from).filter(|sources| !sources.is_empty()),
            resources,
            ..Container::default()
        };
        Ok(Self { container, pod })
    }

    /// The image that the workers run, if it is said.
    pub fn image(&self) -> Option<&str> {
        self.container.image.as_deref()
    }

    /// How long a worker that is asked to stop may take, in seconds, if it is said.
    pub fn grace_period_seconds(&self) -> Option<i64> {
        self.pod.spec.as_ref()?.termination_grace_period_seconds
    }

    /// The value of an environment variable of the worker container, if it is said.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let env = self.container.env.iter().flatten();
        env.into_iter().find(|variable| variable.name == name)?.value.as_deref()
    }

    /// Merges it with the operator's own template, whose first container is the worker. Objects are merged field by field, lists
    /// by what Kubernetes tells their items apart by; where both say something, the user does.
    pub fn merge_into(&self, ours: &mut PodTemplateSpec) {
        let mut theirs = self.pod.clone();
        let Some(spec) = ours.spec.as_mut() else { return };
        let Some(worker) = spec.containers.first_mut() else { return };
        let mut container = Container { name: worker.name.clone(), ..self.container.clone() };
        let env = container.env.take();
        if let Some(resources) = &container.resources {
            yield_resources(worker.resources.get_or_insert_default(), resources);
        }
        worker.merge_from(container);
        merge_variables(worker.env.get_or_insert_default(), env.unwrap_or_default());
        let name = worker.name.clone();
        let merged = theirs.spec.get_or_insert_default();
        if let Some(container) = merged.containers.iter_mut().find(|container| container.name == WORKER) {
            container.name.clone_from(&name);
        }
        if merged.topology_spread_constraints.is_some() {
            spec.topology_spread_constraints = None;
        }
        ours.merge_from(theirs);
    }
}

/// A resource that a user names is wholly the user's: a default limit below the request asked for would be refused.
fn yield_resources(ours: &mut ResourceRequirements, theirs: &ResourceRequirements) {
    let named = |list: &Option<BTreeMap<String, Quantity>>| {
        list.iter().flatten().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    for name in named(&theirs.requests).into_iter().chain(named(&theirs.limits)) {
        for list in [&mut ours.requests, &mut ours.limits] {
            list.as_mut().map(|list| list.remove(&name));
        }
    }
}

/// Those that the operator has too are added to ([`SHARED_VARIABLES`]), or replaced. All that a user gives stand in the user's
/// order, after the operator's: Kubernetes expands `$(NAME)` only of what stands before.
fn merge_variables(ours: &mut Vec<EnvVar>, theirs: Vec<EnvVar>) {
    let mut given: Vec<EnvVar> = Vec::new();
    for variable in theirs {
        let is_shared = SHARED_VARIABLES.contains(&variable.name.as_str());
        if let Some(earlier) = given.iter_mut().find(|earlier| earlier.name == variable.name) {
            if !is_shared {
                *earlier = variable;
            }
            continue;
        }
        let our = ours.iter().position(|our| our.name == variable.name).map(|i| ours.remove(i));
        // the plan has joined those that are shared
        given.push(our.filter(|_| is_shared).unwrap_or(variable));
    }
    ours.append(&mut given);
}

fn read<T: DeserializeOwned>(field: &str, value: Option<&Json>) -> Result<Option<T>, Problem> {
    value.map(|value| value.read().map_err(|error| Problem::invalid_json(field, &error))).transpose()
}

fn refused<T>(field: &str, why: &str) -> Result<T, Problem> {
    Err(Problem::invalid_spec(format!("{field} is the operator's own: {why}")))
}

fn check_variables(env: &[EnvVar]) -> Result<(), Problem> {
    for (i, variable) in env.iter().enumerate() {
        let (name, field) =
            (variable.name.as_str(), format!(".spec.worker.env[{i}] ({})", brief(&variable.name)));
        if name.starts_with("LOADTEST_") {
            return refused(&field, "variables that begin with LOADTEST_ tell the reporter what to do");
        }
        if let Some((_, why)) = OUR_VARIABLES.iter().find(|(ours, _)| *ours == name) {
            return refused(&field, why);
        }
        if SHARED_VARIABLES.contains(&name) && variable.value.is_none() {
            return Err(Problem::invalid_spec(format!(
                "{field} must be given by its value, for the operator adds to it"
            )));
        }
        if name == "ARTILLERY_PLUGINS" {
            let value = variable.value.as_deref().unwrap_or_default();
            if !serde_json::from_str::<Value>(value).is_ok_and(|value| value.is_object()) {
                return Err(Problem::invalid_spec(format!(
                    "{field} is {:?}: give an object in JSON, such as {{\"publish-metrics\": []}}",
                    brief(value)
                )));
            }
        }
    }
    Ok(())
}

fn check_metadata(pod: &PodTemplateSpec) -> Result<(), Problem> {
    let Some(metadata) = &pod.metadata else { return Ok(()) };
    for (what, map) in [("labels", &metadata.labels), ("annotations", &metadata.annotations)] {
        let keys = map.iter().flatten().map(|(key, _)| key);
        for key in keys {
            if let Some(prefix) = OUR_PREFIXES.iter().find(|prefix| key.starts_with(*prefix)) {
                let field = format!(".spec.worker.podTemplate.metadata.{what}[\"{}\"]", brief(key));
                return refused(&field, &format!("keys that begin with {prefix} tell which worker a pod is"));
            }
        }
    }
    Ok(())
}

fn check_pod(spec: Option<&PodSpec>, load_test: &str, files: &Files) -> Result<(), Problem> {
    let Some(spec) = spec else { return Ok(()) };
    let field = |name: &str| format!(".spec.worker.podTemplate.spec.{name}");
    if spec.restart_policy.is_some() {
        return refused(&field("restartPolicy"), "a worker is started once");
    }
    if spec.active_deadline_seconds.is_some() {
        return refused(
            &field("activeDeadlineSeconds"),
            "use .spec.activeDeadlineSeconds, which ends a test in order",
        );
    }
    if let Some(seconds) = spec.termination_grace_period_seconds.filter(|seconds| !GRACE.contains(seconds)) {
        return Err(Problem::invalid_spec(format!(
            "{} is {seconds}: give {} to {}, in which a worker tells what it has measured",
            field("terminationGracePeriodSeconds"),
            GRACE.start(),
            GRACE.end()
        )));
    }
    for (i, volume) in spec.volumes.iter().flatten().enumerate() {
        let name = volume.name.as_str();
        let is_of_files = match files {
            Files::Mounted { are_copied, .. } => {
                name == SCRIPT_VOLUME || (*are_copied && name == FILES_VOLUME)
            }
            Files::InImage(_) => false,
        };
        if is_of_files || OUR_VOLUMES.contains(&name) {
            return refused(
                &field(&format!("volumes[{i}].name")),
                &format!("\"{}\" has the operator's files", volume.name),
            );
        }
    }
    for (i, container) in spec.init_containers.iter().flatten().enumerate() {
        if [COPY, WORKER, load_test].contains(&container.name.as_str()) {
            return refused(&field(&format!("initContainers[{i}].name")), "give it another name");
        }
    }
    for (i, container) in spec.containers.iter().enumerate() {
        let field = |name: &str| field(&format!("containers[{i}].{name}"));
        if container.name == WORKER {
            check_worker(container, field, files)?;
        } else if container.name == load_test {
            return refused(
                &field("name"),
                "the worker container bears the LoadTest's name; here it is called worker",
            );
        } else if container.image.is_none() {
            return Err(Problem::invalid_spec(format!(
                "{} is missing: a side-car needs one (the worker container is called worker here)",
                field("image")
            )));
        }
    }
    Ok(())
}

fn check_worker(container: &Container, field: impl Fn(&str) -> String, files: &Files) -> Result<(), Problem> {
    if container.args.is_some() {
        return refused(&field("args"), "use .spec.artillery, whose fields become Artillery's options");
    }
    if container.restart_policy.is_some() {
        return refused(&field("restartPolicy"), "a worker is started once");
    }
    let elsewhere = [
        ("image", container.image.is_some()),
        ("imagePullPolicy", container.image_pull_policy.is_some()),
        ("resources", container.resources.is_some()),
        ("env", container.env.is_some()),
        ("envFrom", container.env_from.is_some()),
    ];
    if let Some((name, _)) = elsewhere.into_iter().find(|(_, is_given)| *is_given) {
        return Err(Problem::invalid_spec(format!(
            "{} cannot be given here: give it as .spec.worker.{name}",
            field(name)
        )));
    }
    // with testScript.path nothing is mounted at the first
    let ours = match files {
        Files::Mounted { .. } => &OUR_FOLDERS[..],
        Files::InImage(_) => &OUR_FOLDERS[1..],
    };
    for (i, mount) in container.volume_mounts.iter().flatten().enumerate() {
        let is_ours = |(folder, _): &&(&str, &str)| {
            mount.mount_path == *folder || mount.mount_path.starts_with(&format!("{folder}/"))
        };
        if let Some((folder, why)) = ours.iter().find(is_ours) {
            return refused(&field(&format!("volumeMounts[{i}].mountPath")), &format!("{folder} {why}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
