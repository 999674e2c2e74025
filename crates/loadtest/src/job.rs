//! The Job that a plan becomes: one Indexed Job per LoadTest, created suspended, one try per worker.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, Container, EmptyDirVolumeSource, EnvVar, EnvVarSource,
    ObjectFieldSelector, PodSecurityContext, PodSpec, PodTemplateSpec, ProjectedVolumeSource,
    ResourceRequirements, SeccompProfile, SecurityContext, TopologySpreadConstraint, Volume, VolumeMount,
    VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::Resource;
use serde_json::{Value, json};

use crate::plan::{Plan, SCRIPT_KEY};
use crate::reporter::{COLLECTOR, Reporter};
use crate::{LoadTest, Timestamp, labels};

/// The image that workers run.
pub const WORKER_IMAGE: &str = "artilleryio/artillery:latest";
/// The annotation that says when the Job was started, RFC 3339: empty from its creation, and filled by the very patch that
/// unsuspends it, so that it can be started once only, whoever may suspend it later.
pub(crate) const STARTED_AT: &str = "loadtest.artillery.io/started-at";
/// Where the script and its files lie in a worker.
const DATA: &str = "/data";
/// Name of the volume that has them.
const SCRIPT_VOLUME: &str = "test-script";
/// How long a worker that is asked to stop may take, in seconds.
const GRACE_PERIOD_SECONDS: i64 = 60;
/// A user that owns nothing, as distroless images have it.
const NOBODY: i64 = 65_532;

/// What a worker needs to live: one running Artillery takes 360 MiB (`docs/architecture.md` has the measurement).
const MEMORY_REQUEST: &str = "512Mi";
/// Room for the scripts' own data; what takes more is killed rather than its node's neighbours.
const MEMORY_LIMIT: &str = "1Gi";
/// Enough that a worker is not starved from the start; no limit, for throttling distorts what is measured.
const CPU_REQUEST: &str = "100m";

/// Artillery starts a load-generating thread per CPU *of the node* but one, whatever the container's share. A worker is
/// one thread, so that N workers are N on every node: this module, preloaded by Node (18.18 or newer), shows Artillery
/// one CPU. `WORKERS=1` says the same to Artillery up to 2.0.10.
const ONE_THREAD: &str = "--import=data:text/javascript,import%20os%20from'node:os';\
    import{syncBuiltinESMExports}from'node:module';\
    const%20one=os.cpus().slice(0,1);os.cpus=()=>one;syncBuiltinESMExports()";

/// Builds the Job of a plan. It cannot fail, and its time does not depend on the number of workers.
pub fn build(load_test: &LoadTest, plan: &Plan) -> Job {
    let name = load_test.name().to_owned();
    Job {
        metadata: ObjectMeta {
            name: Some(name.clone()),
            namespace: load_test.metadata.namespace.clone(),
            labels: Some(labels::labels(&name, labels::WORKER_MASTER)),
            annotations: Some(annotations(plan)),
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
            template: PodTemplateSpec {
                metadata: Some(pod_metadata(&name)),
                spec: Some(pod_spec(&name, plan)),
            },
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

fn annotations(plan: &Plan) -> BTreeMap<String, String> {
    let mut annotations = strings([(STARTED_AT, "")]);
    annotations
        .extend(plan.reporter.as_ref().map(|reporter| (COLLECTOR.to_owned(), reporter.collector.clone())));
    annotations
}

/// Whether the workers of a Job report.
pub fn reports(job: &Job) -> bool {
    job.metadata.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(COLLECTOR))
}

fn pod_metadata(name: &str) -> ObjectMeta {
    ObjectMeta {
        labels: Some(labels::labels(name, labels::WORKER)),
        // a worker cannot be moved: a second start would be refused, and its load lost
        annotations: Some(strings([("cluster-autoscaler.kubernetes.io/safe-to-evict", "false")])),
        ..ObjectMeta::default()
    }
}

fn pod_spec(name: &str, plan: &Plan) -> PodSpec {
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
        containers: vec![worker(name, plan)],
        volumes: Some(volumes(plan)),
        ..PodSpec::default()
    }
}

fn volumes(plan: &Plan) -> Vec<Volume> {
    let mut volumes = vec![
        Volume {
            name: SCRIPT_VOLUME.to_owned(),
            projected: Some(ProjectedVolumeSource {
                sources: Some(plan.config_maps.iter().map(|name| projection(name)).collect()),
                ..ProjectedVolumeSource::default()
            }),
            ..Volume::default()
        },
        Volume {
            name: "tmp".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        },
    ];
    volumes.extend(plan.reporter.as_ref().map(Reporter::volume));
    volumes
}

/// All files of a ConfigMap; of all ConfigMaps in one volume, so that the script's relative paths resolve.
fn projection(config_map: &str) -> VolumeProjection {
    VolumeProjection {
        config_map: Some(ConfigMapProjection {
            name: config_map.to_owned(),
            ..ConfigMapProjection::default()
        }),
        ..VolumeProjection::default()
    }
}

fn worker(name: &str, plan: &Plan) -> Container {
    let mut args = vec!["run".to_owned(), format!("{DATA}/{SCRIPT_KEY}")];
    // one word, so that no environment's name is taken for a flag
    args.extend(plan.environment.iter().map(|environment| format!("--environment={environment}")));
    let mut volume_mounts = vec![mount(SCRIPT_VOLUME, DATA, true), mount("tmp", "/tmp", false)];
    if let Some((volume, path)) = plan.reporter.as_ref().map(Reporter::mount_path) {
        volume_mounts.push(mount(volume, path, true));
    }
    Container {
        name: name.to_owned(),
        image: Some(WORKER_IMAGE.to_owned()),
        image_pull_policy: Some("Always".to_owned()),
        args: Some(args),
        env: Some(environment(plan.reporter.as_ref())),
        resources: Some(ResourceRequirements {
            requests: Some(quantities([("cpu", CPU_REQUEST), ("memory", MEMORY_REQUEST)])),
            limits: Some(quantities([("memory", MEMORY_LIMIT)])),
            ..ResourceRequirements::default()
        }),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        volume_mounts: Some(volume_mounts),
        ..Container::default()
    }
}

fn environment(reporter: Option<&Reporter>) -> Vec<EnvVar> {
    let value = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    };
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
    let mut environment = vec![
        worker_id,
        value("ARTILLERY_DISABLE_TELEMETRY", "1"),
        value("WORKERS", "1"),
        value("NODE_OPTIONS", ONE_THREAD),
        value("HOME", "/tmp"),
    ];
    environment.extend(reporter.into_iter().flat_map(|reporter| reporter.environment(GRACE_PERIOD_SECONDS)));
    environment
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

fn quantities<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, Quantity> {
    pairs.map(|(key, value)| (key.to_owned(), Quantity(value.to_owned()))).into()
}

#[cfg(test)]
mod tests {
    use super::*;
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
            config_maps: vec!["test-script".into(), "users".into()],
            reporter: Some(Reporter::new(&test, &kit)),
            ensure: None,
        };
        insta::assert_yaml_snapshot!(build(&test, &plan));
    }

    #[test]
    fn an_environment_that_looks_like_a_flag_stays_a_value() {
        let plan = Plan { workers: 1, environment: Some("--quiet".into()), ..Plan::default() };
        let args = worker("t", &plan).args.expect("args");
        assert_eq!(args, ["run", "/data/test-script.yaml", "--environment=--quiet"]);
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
