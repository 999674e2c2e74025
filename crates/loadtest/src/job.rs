//! The Job that a plan becomes: one Indexed Job per LoadTest, created suspended, one try per worker.

mod arguments;
mod files;

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{
    Capabilities, Container, PodSecurityContext, PodSpec, PodTemplateSpec, SeccompProfile, SecurityContext,
    TopologySpreadConstraint,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::Resource;
use serde_json::{Value, json};

use self::arguments::{args, environment};
pub use self::files::DATA;
use self::files::{copy, volume_mounts, volumes};
use crate::plan::Plan;
use crate::reporter::COLLECTOR;
use crate::template::GRACE;
use crate::{LoadTest, Timestamp, labels};

/// The annotation that says when the Job was started, RFC 3339: empty from its creation, and filled by the very patch that
/// unsuspends it, so that it can be started once only, whoever may suspend it later.
pub(crate) const STARTED_AT: &str = "loadtest.artillery.io/started-at";
/// The annotation that says of which generation of its LoadTest the Job was made: a spec that is mended before the start is the one that
/// runs.
pub(crate) const GENERATION: &str = "loadtest.artillery.io/generation";
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

fn confined() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}

fn worker(name: &str, uid: &str, plan: &Plan) -> Container {
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
        volume_mounts: Some(volume_mounts(plan)),
        ..Container::default()
    }
}

fn strings<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::FileSource;
    use crate::fixtures::{LoadTestFixture as _, at, load_test};
    use crate::plan::{Files, Source};
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
