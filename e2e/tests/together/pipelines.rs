//! Load tests that no person starts: the CronJob of `examples/nightly`, the workflow of `examples/github-actions`, each as its own account,
//! with no more rights than it needs; and metrics that go to the real Pushgateway.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use e2e::{Bed, WHOLE_TEST, cluster, load_test};
use serde_json::{Value, json};
use testbed::cluster::repository;
use testbed::eventually::eventually;
use testbed::process;

/// Makes an image of that one program known to a cluster that has no registry beyond itself, as the published one is laid out.
fn image(name: &str, program: &Path) {
    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("bin");
    std::fs::create_dir(&folder).expect("a folder");
    let file = program.file_name().expect("a name");
    std::fs::copy(program, folder.join(file)).expect("a copy");
    let config = json!({ "Entrypoint": [Path::new("/bin").join(file)] });
    cluster().load_image(name, root.path(), &config.to_string()).expect("an image");
}

/// Waits until the API server knows what an account may do beyond what everybody may, and that it is this, sorted.
async fn until_rights(bed: &Bed, account: &str, expected: &[&str]) {
    let list = |account: &str| {
        let who = format!("--as=system:serviceaccount:{}:{account}", bed.namespace);
        let table = bed.kubectl(&["auth", "can-i", "--list", "--no-headers", &who]);
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        table.lines().map(words).collect::<BTreeSet<_>>()
    };
    let look = async || &list(account) - &list("default");
    eventually(&format!("rights of {account}"), Duration::from_secs(20), look, |rights| {
        rights.iter().eq(expected.iter())
    })
    .await;
}

#[tokio::test]
async fn a_cron_job_creates_a_load_test_and_may_do_nothing_else() {
    let bed = Bed::with_target("example-nightly").await;
    if cluster().is_ours() {
        let kubectl =
            process::output(&with(Command::new("sh"), &["-c", "command -v kubectl"])).expect("kubectl");
        image("registry.k8s.io/kubectl:v1.35.0", Path::new(kubectl.trim()));
    }
    bed.kubectl(&["apply", "-k", "examples/nightly"]);
    until_rights(&bed, "nightly-load-test", &["loadtests.loadtest.artillery.io [] [] [create]"]).await;

    bed.kubectl(&["create", "job", "--from=cronjob/nightly-load-test", "now"]);
    let look = async || bed.kubectl(&["get", "loadtests", "-o", "jsonpath={.items[*].metadata.name}"]);
    let name = eventually("tonight's load test", WHOLE_TEST, look, |name| !name.is_empty()).await;
    assert!(name.starts_with("nightly-"), "{name}");
    assert_eq!(bed.until_over(&name).await, "Succeeded", "{:?}", bed.verdict(&name));
    let (report, seen) =
        (bed.report(&name), cluster().target_counts(&bed.namespace).expect("the target's counts"));
    assert_eq!((report.counter("http.codes.200"), seen.total), (200, 200));
    bed.kubectl(&["wait", "--for=condition=Complete", "job/now", "--timeout=30s"]);
}

fn with(mut command: Command, arguments: &[&str]) -> Command {
    command.args(arguments);
    command
}

/// Runs what stands behind `run:` in the workflow, as a runner does, until one of them fails; returns how that ended.
fn workflow(folder: &Path, secret: &str) -> Result<(), Output> {
    let text =
        std::fs::read_to_string(repository().join("examples/github-actions/load-test.yaml")).expect("a file");
    let workflow: Value = serde_saphyr::from_str(&text).expect("YAML");
    let steps = workflow["jobs"]["load-test"]["steps"].as_array().expect("steps");
    let lines: Vec<_> = steps.iter().filter_map(|step| step["run"].as_str()).collect();
    assert_eq!(lines.len(), 7, "{text}");
    for line in lines {
        let line = line.replace("${{ secrets.KUBECONFIG_BASE64 }}", secret);
        assert!(!line.contains("${{"), "{line}");
        let mut command =
            with(Command::new("timeout"), &["--kill-after=10", "240", "bash", "-e", "-c", &line]);
        command.current_dir(folder).env("KUBECONFIG", folder.join("kubeconfig"));
        command.env("GITHUB_STEP_SUMMARY", folder.join("summary"));
        let output = command.output().expect("timeout, of coreutils");
        if !output.status.success() {
            return Err(output);
        }
    }
    Ok(())
}

#[tokio::test]
async fn the_steps_of_the_workflow_end_as_the_load_test_does() {
    let bed = Bed::with_target("example-github").await;
    bed.kubectl(&["apply", "-f", "examples/github-actions/rbac.yaml"]);
    let expected = [
        "configmaps [] [] [get create]",
        "configmaps [] [checkout] [patch]",
        "loadtests.loadtest.artillery.io [] [] [get list watch create delete]",
    ];
    until_rights(&bed, "github-actions", &expected).await;

    let checkout = tempfile::tempdir().expect("a folder");
    let folder = checkout.path();
    std::fs::create_dir(folder.join("load-test")).expect("a folder");
    let test = load_test("checkout", 1, &json!({ "config": { "configMap": "checkout" } }));
    std::fs::write(folder.join("load-test/loadtest.yaml"), test.to_string()).expect("a file");
    let kubeconfig = with(cluster().command("examples/github-actions/kubeconfig.sh"), &[&bed.namespace]);
    let secret = process::output(&kubeconfig).expect("a kubeconfig");
    for (check, passes) in [("http.codes.200 == 12", true), ("http.codes.200 < 12", false)] {
        let script = json!({
            "config": {
                "target": "http://loadtest-target", "phases": [{ "duration": 4, "arrivalRate": 3 }],
                "plugins": { "ensure": {} }, "ensure": { "conditions": [{ "expression": check }] },
            },
            "scenarios": [{ "flow": [{ "get": { "url": "/" } }] }],
        });
        std::fs::write(folder.join("load-test/test-script.yaml"), script.to_string()).expect("a file");
        let ended = workflow(folder, &secret);
        let is_as_expected = match &ended {
            Ok(()) => passes,
            // `test` says nothing
            Err(output) => !passes && output.status.code() == Some(1) && output.stderr.is_empty(),
        };
        assert!(is_as_expected, "{check}: {ended:?}");
        let summary = std::fs::read_to_string(folder.join("summary")).expect("a summary");
        assert!(summary.contains("http.requests:") && summary.contains(check), "{summary}");
    }
}

/// What the Pushgateway has of one of Artillery's counters, by worker; and the tags that they came with.
fn pushed(metrics: &str, counter: &str) -> (BTreeMap<String, f64>, BTreeSet<String>) {
    let label = |line: &str, name: &str| {
        let from = line.split(&format!("{name}=\"")).nth(1)?;
        from.split('"').next().map(str::to_owned)
    };
    let is_it = |line: &&str| {
        line.starts_with("artillery_counters{") && line.contains(&format!("metric=\"{counter}\""))
    };
    let lines: Vec<_> = metrics.lines().filter(is_it).collect();
    let value = |line: &str| line.rsplit(' ').next().and_then(|value| value.parse().ok()).expect("a number");
    (
        lines.iter().map(|line| (label(line, "worker").expect("a worker"), value(line))).collect(),
        lines.iter().map(|line| label(line, "testId").expect("a test")).collect(),
    )
}

#[tokio::test]
async fn workers_push_their_metrics_to_the_real_pushgateway() {
    let bed = Bed::with_target("example-pushgateway").await;
    if cluster().is_ours() {
        let built = process::output(&cluster().command("hack/pushgateway/build")).expect("the Pushgateway");
        image("docker.io/prom/pushgateway:v1.11.1", &Path::new(built.trim()).join("pushgateway"));
    }
    bed.kubectl(&["apply", "-f", "examples/pushgateway/pushgateway.yaml"]);
    bed.kubectl(&["rollout", "status", "deployment/pushgateway", "--timeout=120s"]);
    bed.kubectl(&["apply", "-k", "examples/pushgateway"]);
    assert_eq!(bed.until_over("pushgateway").await, "Succeeded", "{:?}", bed.verdict("pushgateway"));
    let metrics = format!("/api/v1/namespaces/{}/services/pushgateway:9091/proxy/metrics", bed.namespace);
    let metrics = bed.kubectl(&["get", "--raw", &metrics]);
    let workers: BTreeSet<_> = bed.workers("pushgateway").into_iter().collect();
    for counter in ["http.requests", "http.codes.200", "vusers.completed"] {
        let (by_worker, tests) = pushed(&metrics, &counter.replace('.', "_"));
        assert_eq!(by_worker.keys().cloned().collect::<BTreeSet<_>>(), workers, "{counter}:\n{metrics}");
        assert!(by_worker.values().all(|count| (*count - 40.0).abs() < 0.5), "{counter}: {by_worker:?}");
        assert_eq!(bed.report("pushgateway").counter(counter), 80, "{counter}");
        assert_eq!(tests.len(), 1, "one $testId: {tests:?}");
    }
}
