//! The Job that a plan becomes: one Indexed Job per LoadTest, created suspended, one try per worker.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource, KeyToPath,
    ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, ProjectedVolumeSource, SeccompProfile,
    SecretProjection, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount, VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::Resource;
use serde_json::{Value, json};

use crate::api::FileSource;
use crate::plan::{Files, Plan, Source};
use crate::reporter::{COLLECTOR, Reporter};
use crate::template::{COPY, GRACE};
use crate::{LoadTest, Timestamp, labels, process};

/// The annotation that says when the Job was started, RFC 3339: empty from its creation, and filled by the very patch that
/// unsuspends it, so that it can be started once only, whoever may suspend it later.
pub(crate) const STARTED_AT: &str = "loadtest.artillery.io/started-at";
/// The annotation that says of which generation of its LoadTest the Job was made: a spec that is mended before the start is the one that
/// runs.
pub(crate) const GENERATION: &str = "loadtest.artillery.io/generation";
/// Where the script and its files lie in a worker.
pub const DATA: &str = "/data";
/// Name of the volume that has them.
const SCRIPT_VOLUME: &str = "test-script";
/// Where that volume is mounted when its files are copied, and the volume that they are copied to.
const SOURCE: &str = "/source";
const FILES_VOLUME: &str = "files";
/// Copies the files to where a worker may write, without the links by which Kubernetes changes them at once: any image with
/// Artillery has Node.
const COPY_FILES: &str = "const fs = require('node:fs'); const { basename } = require('node:path'); \
    fs.cpSync('/source', '/data', { recursive: true, dereference: true, filter: (file) => !basename(file).startsWith('..') });";
/// How long a worker that is asked to stop may take, in seconds.
const GRACE_PERIOD_SECONDS: i64 = 60;
/// A user that owns nothing, as distroless images have it.
const NOBODY: i64 = 65_532;

/// Builds the Job of a plan. It cannot fail, and its time does not depend on the number of workers.
pub fn build(load_test: &LoadTest, plan: &Plan) -> Job {
    let name = load_test.name().to_owned();
    Job {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: load_test.metadata.namespace.clone(),
            labels: Some(labels::labels(&name, labels::WORKER_MASTER)),
            annotations: Some(annotations(load_test, plan)),
            owner_references: load_test.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            suspend: Some(true),
            completion_mode: Some("Indexed".to_owned()),
            parallelism: Some(plan.workers),
            completions: Some(plan.workers),
            // one try per worker, and one that fails leaves the others alone
            backoff_limit_per_index: Some(0),
            pod_replacement_policy: Some("Failed".to_owned()),
            template: template(load_test, plan),
            ..JobSpec::default()
        }),
        status: None,
    }
}

/// The patch (RFC 6902) that lets the workers go. The API server refuses it for any other Job of that name, and for one
/// that was started before, however old our view of it is.
pub fn start_patch(uid: &str, now: Timestamp) -> Value {
    let started_at = format!("/metadata/annotations/{}", STARTED_AT.replace('/', "~1"));
    json!([
        { "op": "test", "path": "/metadata/uid", "value": uid },
        { "op": "test", "path": started_at, "value": "" },
        { "op": "replace", "path": started_at, "value": now.to_string() },
        { "op": "replace", "path": "/spec/suspend", "value": false },
    ])
}

/// The patch (RFC 6902) that ends the Job with that UID: its time is over since its first second, so the Job controller
/// removes the pods that have not ended, and makes no more.
pub fn end_patch(uid: &str) -> Value {
    json!([
        { "op": "test", "path": "/metadata/uid", "value": uid },
        { "op": "add", "path": "/spec/activeDeadlineSeconds", "value": 1 },
    ])
}

/// The patch (RFC 6902) by which Kubernetes removes the Job with that UID, and its pods, so many seconds after its end; or keeps it.
pub fn expire_patch(uid: &str, seconds: Option<i32>) -> Value {
    let path = "/spec/ttlSecondsAfterFinished";
    json!([
        { "op": "test", "path": "/metadata/uid", "value": uid },
        match seconds {
            Some(seconds) => json!({ "op": "add", "path": path, "value": seconds }),
            None => json!({ "op": "remove", "path": path }),
        },
    ])
}

/// How long a worker of a LoadTest that is asked to stop may take, in seconds.
pub fn grace_period_seconds(load_test: &LoadTest) -> i64 {
    let template = load_test.spec.worker.as_ref().and_then(|worker| worker.pod_template.as_ref());
    let template: Option<Value> = template.and_then(|template| template.read().ok());
    let said = template.and_then(|template| template["spec"]["terminationGracePeriodSeconds"].as_i64());
    said.map_or(GRACE_PERIOD_SECONDS, |seconds| seconds.clamp(*GRACE.start(), *GRACE.end()))
}

/// Whether no worker may run: before the start, and after somebody suspended it.
pub fn is_suspended(job: &Job) -> bool {
    job.spec.as_ref().and_then(|s| s.suspend) == Some(true)
}

/// What a Job's annotation says of its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// It is ours, and nobody has started it: [`start_patch`] would.
    Never,
    /// It was started by [`start_patch`], whatever happened since; when, if that can be read.
    At(Option<Timestamp>),
    /// It says nothing: the first operator's, or somebody removed the annotation. It may have run.
    Unknown,
}

/// Whether and when it was started.
pub fn start(job: &Job) -> Start {
    match job.metadata.annotations.as_ref().and_then(|a| a.get(STARTED_AT)).map(String::as_str) {
        Some("") => Start::Never,
        Some(at) => Start::At(at.parse().ok()),
        None => Start::Unknown,
    }
}

fn annotations(load_test: &LoadTest, plan: &Plan) -> BTreeMap<String, String> {
    let mut annotations = strings([(STARTED_AT, "")]);
    let generation = load_test.metadata.generation;
    annotations.extend(generation.map(|generation| (GENERATION.to_owned(), generation.to_string())));
    annotations
        .extend(plan.reporter.as_ref().map(|reporter| (COLLECTOR.to_owned(), reporter.collector.clone())));
    annotations
}

/// Of which generation of its LoadTest it was made; `None` where an earlier operator made it.
pub fn generation(job: &Job) -> Option<i64> {
    job.metadata.annotations.as_ref()?.get(GENERATION)?.parse().ok()
}

/// Whether the workers of a Job report.
pub fn reports(job: &Job) -> bool {
    job.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(COLLECTOR))
}

/// The workers' pods: the operator's template, and what the user wants of it.
fn template(load_test: &LoadTest, plan: &Plan) -> PodTemplateSpec {
    let name = load_test.name();
    let mut template = PodTemplateSpec {
        metadata: Some(pod_metadata(name)),
        spec: Some(pod_spec(name, load_test.uid(), plan)),
    };
    plan.template.merge_into(&mut template);
    if let (Some(spec), true) = (template.spec.as_mut(), plan.files.are_copied()) {
        // in the worker's own image, which has Node
        let copy = spec.containers.first().map(copy);
        spec.init_containers.get_or_insert_default().splice(..0, copy);
    }
    template
}

fn pod_metadata(name: &str) -> ObjectMeta {
    ObjectMeta {
        labels: Some(labels::labels(name, labels::WORKER)),
        // a worker cannot be moved: a second start would be refused, and its load lost
        annotations: Some(strings([
            ("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"),
            ("karpenter.sh/do-not-disrupt", "true"),
        ])),
        ..ObjectMeta::default()
    }
}

fn pod_spec(name: &str, uid: &str, plan: &Plan) -> PodSpec {
    PodSpec {
        restart_policy: Some("Never".to_owned()),
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        termination_grace_period_seconds: Some(GRACE_PERIOD_SECONDS),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(NOBODY),
            run_as_group: Some(NOBODY),
            fs_group: Some(NOBODY),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        topology_spread_constraints: Some(vec![TopologySpreadConstraint {
            max_skew: 1,
            topology_key: "kubernetes.io/hostname".to_owned(),
            when_unsatisfiable: "ScheduleAnyway".to_owned(),
            label_selector: Some(LabelSelector {
                match_labels: Some(labels::labels(name, labels::WORKER)),
                ..LabelSelector::default()
            }),
            ..TopologySpreadConstraint::default()
        }]),
        containers: vec![worker(name, uid, plan)],
        volumes: Some(volumes(plan)),
        ..PodSpec::default()
    }
}

fn volumes(plan: &Plan) -> Vec<Volume> {
    let empty = |name: &str| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    };
    let mut volumes = Vec::new();
    if let Files::Mounted { sources, are_copied, .. } = &plan.files {
        volumes.push(Volume {
            name: SCRIPT_VOLUME.to_owned(),
            projected: Some(ProjectedVolumeSource {
                sources: Some(sources.iter().map(projection).collect()),
                ..ProjectedVolumeSource::default()
            }),
            ..Volume::default()
        });
        volumes.extend(are_copied.then(|| empty(FILES_VOLUME)));
    }
    volumes.push(empty("tmp"));
    volumes.extend(plan.reporter.as_ref().map(Reporter::volume));
    volumes
}

/// The files of one source; those of all sources lie in one volume, so that the script's relative paths resolve.
fn projection(source: &Source) -> VolumeProjection {
    let Source { source, name, items } = source;
    let items =
        items.iter().map(|(key, path)| KeyToPath { key: key.clone(), path: path.clone(), mode: None });
    let items = Some(items.collect::<Vec<_>>()).filter(|items| !items.is_empty());
    match source {
        FileSource::ConfigMap => VolumeProjection {
            config_map: Some(ConfigMapProjection { name: name.clone(), items, optional: None }),
            ..VolumeProjection::default()
        },
        FileSource::Secret => VolumeProjection {
            secret: Some(SecretProjection { name: name.clone(), items, optional: None }),
            ..VolumeProjection::default()
        },
    }
}

/// The container that copies the files, before the worker and as large as it.
fn copy(worker: &Container) -> Container {
    Container {
        name: COPY.to_owned(),
        image: worker.image.clone(),
        image_pull_policy: worker.image_pull_policy.clone(),
        command: Some(["node", "-e", COPY_FILES].map(str::to_owned).into()),
        security_context: Some(confined()),
        termination_message_policy: worker.termination_message_policy.clone(),
        resources: worker.resources.clone(),
        volume_mounts: Some(vec![mount(SCRIPT_VOLUME, SOURCE, true), mount(FILES_VOLUME, DATA, false)]),
        ..Container::default()
    }
}

fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}

fn worker(name: &str, uid: &str, plan: &Plan) -> Container {
    let mut volume_mounts = match &plan.files {
        Files::Mounted { are_copied: true, .. } => vec![mount(FILES_VOLUME, DATA, false)],
        Files::Mounted { are_copied: false, .. } => vec![mount(SCRIPT_VOLUME, DATA, true)],
        Files::InImage(_) => Vec::new(),
    };
    volume_mounts.push(mount("tmp", "/tmp", false));
    if let Some((volume, path)) = plan.reporter.as_ref().map(Reporter::mount_path) {
        volume_mounts.push(mount(volume, path, true));
    }
    Container {
        name: name.to_owned(),
        image: Some(plan.defaults.image.clone()),
        image_pull_policy: Some("Always".to_owned()),
        args: Some(args(plan)),
        env: Some(environment(uid, plan)),
        resources: Some(plan.defaults.resources()),
        security_context: Some(confined()),
        // the end of the log, for which there is no right: it says why Artillery refused a script
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(volume_mounts),
        ..Container::default()
    }
}

/// Kubernetes, which expands `$(NAME)` in arguments, leaves every value as it is.
fn args(plan: &Plan) -> Vec<String> {
    let place = |name: &str| format!("{}/{name}", plan.files.folder());
    let words = process::arguments(plan.files.script(), plan.environment.as_deref(), &plan.artillery, place);
    words.into_iter().map(|word| word.replace('$', "$$")).collect()
}

impl Files {
    /// The path of the script in a worker.
    fn script(&self) -> String {
        match self {
            Self::Mounted { script, .. } => format!("{DATA}/{script}"),
            Self::InImage(path) => path.clone(),
        }
    }

    /// The folder of the script in a worker.
    fn folder(&self) -> &str {
        match self {
            Self::Mounted { .. } => DATA,
            Self::InImage(path) => path.rsplit_once('/').map_or("", |(folder, _)| folder),
        }
    }

    fn are_copied(&self) -> bool {
        matches!(self, Self::Mounted { are_copied: true, .. })
    }
}

fn environment(uid: &str, plan: &Plan) -> Vec<EnvVar> {
    let value =
        |name: &str, value: String| EnvVar { name: name.to_owned(), value: Some(value), value_from: None };
    // Artillery labels what it publishes to a Pushgateway with it; why it is safe to set: docs/compatibility.md
    let worker_id = EnvVar {
        name: "WORKER_ID".to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: "metadata.name".to_owned(),
                api_version: None,
            }),
            ..EnvVarSource::default()
        }),
    };
    let variables = process::variables(uid, plan.template.variable("NODE_OPTIONS"));
    let grace = plan.template.grace_period_seconds().unwrap_or(GRACE_PERIOD_SECONDS);
    let reporting = plan.reporter.iter().flat_map(|reporter| reporter.environment(grace, &plan.template));
    // without SHELL Artillery looks its user up, and ends where /etc/passwd of the image has none of that number
    let person = [("SHELL", "/bin/sh".to_owned()), ("HOME", "/tmp".to_owned())];
    let all = variables.into_iter().chain(person).chain(reporting);
    [worker_id].into_iter().chain(all.map(|(name, text)| value(name, text))).collect()
}

fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: Some(read_only),
        ..VolumeMount::default()
    }
}

fn strings<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Artillery;
    use crate::fixtures::{LoadTestFixture as _, at, load_test};
    use crate::reporter::{Kit, Reporter};

    #[test]
    fn the_whole_job_is_the_reviewed_one() {
        let test = load_test("other-test").with_count(4);
        let kit = Kit {
            collector: "https://collector.system.svc".into(),
            ca: "PEM".into(),
            files: ["index.js", "package.json"].map(|file| (file.to_owned(), String::new())).into(),
        };
        let plan = Plan {
            workers: 4,
            environment: Some("staging".into()),
            files: mounted(&["test-script", "users"]),
            reporter: Some(Reporter::new(&test, &kit)),
            ..Plan::default()
        };
        insta::assert_yaml_snapshot!(build(&test, &plan));
    }

    fn mounted(config_maps: &[&str]) -> Files {
        let source = |name: &&str| Source {
            source: FileSource::ConfigMap,
            name: (*name).to_owned(),
            items: Vec::new(),
        };
        let sources = config_maps.iter().map(source).collect();
        Files::Mounted { script: "test-script.yaml".into(), sources, are_copied: false }
    }

    #[test]
    fn values_that_look_like_options_or_variables_stay_values() {
        let artillery = Artillery {
            target: Some("http://t/?a=$(HOME)&b=$$".into()),
            scenario_name: Some("^buy$".into()),
            ..Artillery::default()
        };
        let plan = Plan { environment: Some("--quiet".into()), artillery, ..Plan::default() };
        assert_eq!(
            args(&plan),
            [
                "run",
                "/data/test-script.yaml",
                "--environment=--quiet",
                // Kubernetes makes one of two
                "--target=http://t/?a=$$(HOME)&b=$$$$",
                "--scenario-name=^buy$$"
            ]
        );
    }

    #[test]
    fn options_are_artillerys_and_files_lie_beside_the_script() {
        let artillery = Artillery {
            variables: Some(json!({ "users": [1, 2] }).into()),
            overrides: Some(json!({ "config": { "phases": [] } }).into()),
            config: Some("conf/base.yaml".into()),
            dotenv: Some(".env".into()),
            ..Artillery::default()
        };
        let mut plan = Plan { artillery, ..Plan::default() };
        let options = |folder: &str| {
            [
                r#"--variables={"users":[1,2]}"#.to_owned(),
                r#"--overrides={"config":{"phases":[]}}"#.to_owned(),
                format!("--config={folder}/conf/base.yaml"),
                format!("--dotenv={folder}/.env"),
            ]
        };
        assert_eq!(args(&plan)[2..], options("/data"));
        plan.files = Files::InImage("/tests/checkout/script.yaml".into());
        assert_eq!(args(&plan)[1], "/tests/checkout/script.yaml");
        assert_eq!(args(&plan)[2..], options("/tests/checkout"));
    }

    #[test]
    fn a_script_of_the_image_mounts_no_files() {
        let files = Files::InImage("/tests/script.yaml".into());
        let job = build(&load_test("t"), &Plan { files, ..Plan::default() });
        let spec = job.spec.and_then(|spec| spec.template.spec).expect("a pod");
        let names: Vec<_> = spec.volumes.iter().flatten().map(|volume| volume.name.as_str()).collect();
        assert_eq!(names, ["tmp"]);
    }

    #[test]
    fn files_with_type_script_are_copied_to_where_a_worker_may_write() {
        let Files::Mounted { script, sources, .. } = mounted(&["test-script"]) else { panic!("mounted") };
        let files = Files::Mounted { script, sources, are_copied: true };
        let job = build(&load_test("t"), &Plan { files, ..Plan::default() });
        let spec = job.spec.and_then(|spec| spec.template.spec).expect("a pod");
        let copy = &spec.init_containers.expect("an init container")[0];
        let mounts = |container: &Container| -> Vec<_> {
            let mounts = container.volume_mounts.iter().flatten();
            mounts.map(|m| (m.name.clone(), m.mount_path.clone(), m.read_only)).collect()
        };
        let files = ("files".to_owned(), "/data".to_owned(), Some(false));
        assert_eq!(mounts(copy), [("test-script".into(), "/source".into(), Some(true)), files.clone()]);
        assert_eq!(mounts(&spec.containers[0])[0], files);
        assert_eq!(copy.image, spec.containers[0].image);
    }

    #[test]
    fn the_start_names_the_jobs_uid_and_works_once() {
        let at_path = "/metadata/annotations/loadtest.artillery.io~1started-at";
        assert_eq!(
            start_patch("job-1", at(0)),
            json!([
                { "op": "test", "path": "/metadata/uid", "value": "job-1" },
                { "op": "test", "path": at_path, "value": "" },
                { "op": "replace", "path": at_path, "value": "2027-01-15T08:00:00Z" },
                { "op": "replace", "path": "/spec/suspend", "value": false },
            ])
        );
    }
}
