//! Load tests on real nodes with the real Artillery, from `kubectl apply` to their end.

use e2e::{Bed, WHOLE_TEST, cluster, config_map, in_summary, list, load_test};
use serde_json::json;
use testbed::eventually::eventually;

/// Nobody listens there: Artillery counts errors, and ends well.
const NOBODY: &str = "http://127.0.0.1:9";

#[tokio::test]
async fn the_example_runs_to_its_end_and_the_target_saw_what_artillery_says() {
    let bed = Bed::new("example").await;
    let applied = bed.kubectl(&["apply", "-k", "hack/basic-loadtest"]);
    for line in [
        "configmap/test-script created",
        "loadtest.loadtest.artillery.io/basic-test created",
        "loadtest.loadtest.artillery.io/other-test created",
    ] {
        assert!(applied.lines().any(|l| l == line), "{line} in\n{applied}");
    }

    let rows = async || {
        let table = bed.kubectl(&["get", "loadtests", "basic-test", "other-test"]);
        table.lines().map(|l| l.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let begun =
        eventually("0/2 and 0/4", WHOLE_TEST, rows, |rows| rows.iter().all(|row| row.len() == 6)).await;
    assert_eq!(begun[0], ["NAME", "COMPLETIONS", "DURATION", "AGE", "ENVIRONMENT", "IMAGE"]);
    assert_eq!((begun[1][1].as_str(), begun[1][4].as_str()), ("0/2", "dev"));
    assert_eq!((begun[2][1].as_str(), begun[2][4].as_str()), ("0/4", "staging"));
    assert_eq!(begun[1][5], "artilleryio/artillery:latest");

    // `kubectl logs -f` shows Artillery's own output as it comes, to its end
    let workers = bed.until_running("basic-test", 2).await;
    let followed = bed.kubectl(&["logs", "--follow", &workers[0]]);
    assert!(followed.contains("Metrics for period to:"), "{followed}");

    assert_eq!(bed.until_over("basic-test").await, "Succeeded");
    assert_eq!(bed.until_over("other-test").await, "Succeeded");
    let ended = rows().await;
    assert_eq!((ended[1][1].as_str(), ended[2][1].as_str()), ("2/2", "4/4"));
    bed.until_events("basic-test", &["Completed", "Created", "Running", "Running"]).await;
    bed.until_events("other-test", &["Completed", "Created", "Running", "Running", "Running", "Running"])
        .await;

    let (mut requests, mut refused) = (0, 0);
    for worker in [bed.workers("basic-test"), bed.workers("other-test")].concat() {
        let log = bed.kubectl(&["logs", &worker]);
        requests += in_summary(&log, "http.requests");
        refused += log.split("Summary report").nth(1).map_or(0, |summary| {
            let refused = |line: &str| {
                line.starts_with("errors.E").then(|| line.rsplit(' ').next()?.parse::<u64>().ok()).flatten()
            };
            summary.lines().filter_map(refused).sum()
        });
    }
    // requests that came before the target listened never reached it
    let seen = cluster().target_counts(&bed.namespace).expect("the target's counts");
    assert_eq!(seen.total, requests - refused, "{refused} refused");
    assert!(requests > 500, "{requests}");
}

#[tokio::test]
async fn a_worker_that_exits_1_leaves_the_others_to_finish() {
    let bed = Bed::new("failing").await;
    // the hook fails in one worker only: Artillery exits 1 there before it sends anything
    let processor = "module.exports = { hook(context, events, done) {\n\
        \x20 done(process.env.WORKER_ID.startsWith('failing-1-') ? new Error('this one') : undefined);\n} };\n";
    let script = json!({
        "config": {
            "target": NOBODY, "processor": "./hooks.js",
            "payload": { "path": "./users.csv", "fields": ["user"] },
            "phases": [{ "duration": 12, "arrivalRate": 1 }],
        },
        "before": { "flow": [{ "function": "hook" }] },
        "scenarios": [{ "flow": [{ "log": "user {{ user }}" }, { "think": 1 }] }],
    });
    let external = json!({
        "payload": { "configMaps": ["users"] }, "processor": { "main": { "configMap": "hooks" } },
    });
    bed.apply(&list(&[
        config_map("script", "test-script.yaml", &script.to_string()),
        config_map("users", "users.csv", "ada\n"),
        config_map("hooks", "hooks.js", processor),
        load_test("failing", 3, &json!({ "config": { "configMap": "script" }, "external": external })),
    ]));
    assert_eq!(bed.until_over("failing").await, "WorkersFailed");
    assert_eq!(
        bed.of_test("failing", "{.status.completions} {.status.succeeded} {.status.failed}"),
        "2/3 2 1"
    );
    let message = bed.of_test("failing", "{.status.conditions[?(@.type==\"Completed\")].message}");
    let expected = "1 of 3 workers failed: worker 1: exited with code 1; see kubectl logs failing-1-";
    assert!(message.starts_with(expected), "{message}");
    bed.until_events("failing", &["Created", "Failed", "Running", "Running", "Running", "WorkerFailed"])
        .await;

    let workers = bed.workers("failing");
    assert_eq!(workers.len(), 3, "nobody was replaced");
    for worker in workers.iter().filter(|w| !w.starts_with("failing-1-")) {
        let log = bed.kubectl(&["logs", worker]);
        assert_eq!(in_summary(&log, "vusers.completed"), 12, "all of its load");
        assert!(log.contains("user ada"), "the payload's row in\n{log}");
    }
}

#[tokio::test]
async fn a_worker_is_one_thread_with_few_rights() {
    let bed = Bed::new("worker").await;
    let script = json!({
        "config": { "target": NOBODY, "phases": [{ "duration": 60, "arrivalRate": 1 }] },
        "scenarios": [{ "flow": [{ "think": 1 }] }],
    });
    bed.apply(&list(&[
        config_map("script", "test-script.yaml", &script.to_string()),
        load_test("worker", 1, &json!({ "config": { "configMap": "script" } })),
    ]));
    let worker = bed.until_running("worker", 1).await.remove(0);
    let run = |command: &[&str]| bed.kubectl(&[&["exec", &worker, "--"], command].concat()).trim().to_owned();
    assert_eq!(
        run(&["node", "-p", "require('os').cpus().length"]),
        "1",
        "Artillery starts a thread per CPU but one"
    );
    assert_eq!(run(&["node", "-p", "process.getuid()"]), "65532");
    let token = "require('fs').existsSync('/var/run/secrets/kubernetes.io/serviceaccount')";
    assert_eq!(run(&["node", "-p", token]), "false", "no API token");
    assert_eq!(run(&["node", "-p", "process.env.WORKER_ID"]), worker);
    assert_eq!(run(&["node", "-p", "process.env.ARTILLERY_DISABLE_TELEMETRY"]), "1");
    // deleting the LoadTest takes its worker along, and brings nothing back
    bed.kubectl(&["delete", "loadtest", "worker", "--timeout=30s"]);
    let left = async || bed.kubectl(&["get", "jobs,pods", "-o", "name"]);
    eventually("nothing is left", WHOLE_TEST, left, String::is_empty).await;
}
