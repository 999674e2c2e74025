//! Pods, Jobs and LoadTests that somebody deletes, at every stage of a test's life.

use std::time::Instant;

use e2e::{Bed, Run, cluster, list};
use serde_json::json;
use testbed::eventually::eventually;

use crate::report::Row;
use crate::truth::{Truth, reason};
use crate::watch::{NEVER, Watch};

/// How often each is had.
const TIMES: usize = 3;

/// One of two workers is deleted while both run.
pub async fn worker(arguments: &[&str], how: &str) -> Row {
    let mut row = Row::new(
        &format!("worker pod deleted {how}"),
        "one of two, while both run; since the deletion, Artillery's own end included",
    );
    let watch = Watch::new(&format!("worker-{}", how.replace(' ', "-"))).await;
    for test in 0..TIMES {
        let run = Run::start(&watch.bed, &format!("t{test}"), 2, 20);
        let workers = run.until_sending().await;
        watch.bed.kubectl(&[&["delete", "pod", workers[0].pod.as_str()], arguments].concat());
        let took = watch
            .until(&run, "the deleted worker has failed", Instant::now(), |seen| {
                let truth = Truth::of(2, &seen.job, &seen.pods);
                truth.failed == 1 && truth.is_told_by(&seen.load_test)
            })
            .await;
        row.had(took);
        assert_eq!(watch.bed.until_over(&run.name).await, "WorkersFailed");
        assert_eq!(watch.bed.of_test(&run.name, "{.status.completions} {.status.failed}"), "1/2 1");
        watch.bed.until_events(&run.name, &["Created", "Failed", "Running", "Running"]).await;
        row.add(run.account(&workers[1..]));
    }
    row
}

/// The Job is deleted after it was recorded, and before it was started: an admission policy holds the start up.
pub async fn job_before() -> Row {
    let mut row =
        Row::new("Job deleted before the start", "recorded, and its start held up by an admission policy");
    let watch = Watch::new("job-before").await;
    for test in 0..TIMES {
        let hold = Hold::new(&watch.bed).await;
        let run = Run::start(&watch.bed, &format!("t{test}"), 2, 20);
        let refused =
            async || watch.bed.of_test(&run.name, "{.status.conditions[0].reason} {.status.jobUID}");
        eventually("a recorded Job that is not started", NEVER, refused, |said| {
            said.strip_prefix("JobRefused ").is_some_and(|uid| !uid.is_empty())
        })
        .await;
        watch.bed.kubectl(&["delete", "job", &run.name]);
        row.had(watch.until_over_for(&run, "JobDeleted", Instant::now()).await);
        drop(hold);
        // nothing holds a start up any more, and there is none
        watch.until_over_for(&run, "JobDeleted", Instant::now()).await;
        assert_eq!(left(&watch.bed), "");
        row.add(run.account(&[]));
        watch.bed.until_events(&run.name, &["Created", "Failed", "JobRefused"]).await;
    }
    row
}

/// The Job is deleted as soon as it is there: before it is recorded, before it is started or after, as it happens.
pub async fn job_at_once() -> Row {
    let mut row = Row::new(
        "Job deleted as soon as it is there",
        "before or after it is recorded and started, as it happens; it runs once, or ends with `JobDeleted`",
    );
    let watch = Watch::new("job-at-once").await;
    for test in 0..2 * TIMES {
        let run = Run::start(&watch.bed, &format!("t{test}"), 2, 3);
        let delete = async || watch.delete_job(&run.name).await;
        eventually("a Job to delete", NEVER, delete, |deleted| *deleted).await;
        let since = Instant::now();
        let over = |seen: &crate::watch::Seen| reason(&seen.load_test, "Completed").0 == "True";
        row.had(watch.until(&run, "the test is over", since, over).await);
        let why = watch.bed.until_over(&run.name).await;
        println!("    {}: {why}", run.name);
        assert!(why == "JobDeleted" || why == "Succeeded", "{why}");
        let workers = if why == "Succeeded" { run.workers() } else { Vec::new() };
        row.add(run.account(&workers));
    }
    row
}

/// The Job is deleted while its workers run.
pub async fn job_during() -> Row {
    let mut row = Row::new("Job deleted during the run", "while both workers run");
    let watch = Watch::new("job-during").await;
    for test in 0..TIMES {
        let run = Run::start(&watch.bed, &format!("t{test}"), 2, 60);
        run.until_sending().await;
        watch.bed.kubectl(&["delete", "job", &run.name, "--wait=false"]);
        row.had(watch.until_over_for(&run, "JobDeleted", Instant::now()).await);
        watch.bed.until_events(&run.name, &["Created", "Failed", "Running", "Running"]).await;
        let pods = async || left(&watch.bed);
        eventually("its workers are gone", NEVER, pods, String::is_empty).await;
        row.add(run.account(&[]));
    }
    row
}

/// The Job is deleted when its test is over.
pub async fn job_after() -> Row {
    let mut row = Row::new("Job deleted after the run", "the result stands, and nothing is started");
    let watch = Watch::new("job-after").await;
    for test in 0..TIMES {
        let run = Run::start(&watch.bed, &format!("t{test}"), 2, 3);
        let account = crate::control_plane::ends_well(&watch, &run).await;
        let status = watch.bed.of_test(&run.name, "{.status}");
        watch.bed.kubectl(&["delete", "job", &run.name]);
        row.had(watch.until_over_for(&run, "Succeeded", Instant::now()).await);
        assert_eq!(watch.bed.of_test(&run.name, "{.status}"), status, "a test that is over is left alone");
        assert_eq!(watch.bed.kubectl(&["get", "jobs", "-o", "name"]), "");
        row.add(account);
    }
    row
}

/// The LoadTest is deleted while it runs, and made again at once under the same name.
pub async fn load_test_replaced() -> Row {
    let mut row = Row::new(
        "LoadTest deleted and created again at once",
        "while both workers run; the second waits for the first's Job, and runs whole; until it is over (10 s of load)",
    );
    let watch = Watch::new("replaced").await;
    for test in 0..TIMES {
        let run = Run::start(&watch.bed, &format!("t{test}"), 2, 60);
        let first: Vec<_> = run.until_sending().await.into_iter().map(|worker| worker.pod).collect();
        let again = run.replaced(10);
        row.had(watch.until_over_for(&again, "Succeeded", Instant::now()).await);
        let workers = again.workers();
        assert!(
            workers.len() == 2 && workers.iter().all(|worker| !first.contains(&worker.pod)),
            "{workers:?}"
        );
        row.add(again.account(&workers));
    }
    row
}

/// The names of Jobs and pods of load tests.
fn left(bed: &Bed) -> String {
    bed.kubectl(&["get", "jobs,pods", "-l", "artillery.io/part-of=loadtest", "-o", "name"])
}

/// An admission policy under which no Job of a namespace can be started; it goes with this.
struct Hold(&'static str);

impl Hold {
    async fn new(bed: &Bed) -> Self {
        let name = "hold-job-starts";
        let jobs = json!({ "apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["jobs"] });
        let here = json!({ "matchLabels": { "kubernetes.io/metadata.name": bed.namespace } });
        let policy = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy",
            "metadata": { "name": name },
            "spec": {
                "matchConstraints": { "resourceRules": [jobs] },
                "validations": [{ "expression": "!oldObject.spec.suspend || object.spec.suspend", "message": "held up" }],
            },
        });
        let binding = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding",
            "metadata": { "name": name },
            "spec": {
                "policyName": name, "validationActions": ["Deny"], "matchResources": { "namespaceSelector": here },
            },
        });
        let probe = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "probe" },
            "spec": {
                "suspend": true, "parallelism": 0,
                "template": { "spec": { "restartPolicy": "Never", "containers": [{ "name": "none", "image": "none" }] } },
            },
        });
        bed.apply(&list(&[policy, binding]));
        let hold = Self(name);
        let start = [
            "--namespace",
            bed.namespace.as_str(),
            "patch",
            "job",
            "probe",
            "-p",
            r#"{"spec":{"suspend":false}}"#,
        ];
        // it takes the API server a moment to know its policies
        let refused = async || {
            bed.manifest(&["apply", "--force-conflicts", "--server-side"], &probe);
            cluster().kubectl(&start).err().map(|error| error.to_string())
        };
        eventually("the policy holds", NEVER, refused, |error| {
            error.as_ref().is_some_and(|error| error.contains("held up"))
        })
        .await;
        bed.kubectl(&["delete", "job", "probe"]);
        hold
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let kinds = "validatingadmissionpolicybindings,validatingadmissionpolicies";
        if let Err(error) = cluster().kubectl(&["delete", kinds, self.0]) {
            eprintln!("the admission policy {} stays: {error}", self.0);
        }
    }
}
