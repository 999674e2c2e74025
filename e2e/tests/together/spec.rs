//! What else a spec can have, on real pods: options of Artillery, a script in a volume, a start that is put off, workers that never
//! come. What each field does is told by what the target was asked for.

use std::time::Duration;

use e2e::{Bed, cluster, config_map, list};
use serde_json::{Value, json};
use testbed::eventually::eventually;

fn load_test(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": { "name": name }, "spec": spec,
    })
}

/// Twelve requests to that path: three a second.
fn script(path: &str) -> Value {
    json!({
        "config": { "target": "http://loadtest-target", "phases": [{ "duration": 4, "arrivalRate": 3 }] },
        "scenarios": [{ "flow": [{ "get": { "url": path } }] }],
    })
}

fn seen(bed: &Bed, path: &str) -> u64 {
    cluster().target_counts(&bed.namespace).expect("the target's counts").count("GET", path)
}

/// The default image by a name that is not the default: every cluster has it.
const IMAGE: &str = "docker.io/artilleryio/artillery:latest";

#[tokio::test]
async fn the_options_of_artillery_reach_the_workers() {
    let bed = Bed::with_target("options").await;
    // without a target, without phases, and with what is to be replaced
    let script = json!({
        "config": { "variables": { "who": "nobody", "over": "written" } },
        "scenarios": [
            { "name": "chosen", "flow": [{ "get": { "url": "/{{ who }}/{{ over }}/{{ $env.FROM_FILE }}/{{ $env.FROM_MAP }}/{{ $env.FROM_SPEC }}" } }] },
            { "name": "another", "flow": [{ "get": { "url": "/another" } }] },
        ],
    });
    let files = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "options" },
        "data": {
            "script.yaml": script.to_string(),
            "base.yaml": "config: { phases: [{ duration: 4, arrivalRate: 3 }] }",
            "settings.env": "FROM_FILE=file",
        },
    });
    bed.apply(&list(&[
        files,
        config_map("variables", "FROM_MAP", "map"),
        load_test(
            "options",
            &json!({
                "count": 2,
                "testScript": { "config": { "configMap": "options", "key": "script.yaml" } },
                "artillery": {
                    "target": "http://loadtest-target",
                    "variables": { "who": "tester" },
                    "overrides": { "config": { "variables": { "over": "overridden" } } },
                    "scenarioName": "chosen",
                    "config": "base.yaml",
                    "dotenv": "settings.env",
                },
                "worker": {
                    "image": IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "env": [{ "name": "FROM_SPEC", "value": "spec" }],
                    "envFrom": [{ "configMapRef": { "name": "variables" } }],
                    "podTemplate": { "spec": { "imagePullSecrets": [{ "name": "registry" }] } },
                },
            }),
        ),
    ]));
    assert_eq!(bed.until_over("options").await, "Succeeded", "{:?}", bed.verdict("options"));
    assert_eq!(bed.report("options").counter("http.requests"), 24);
    assert_eq!(seen(&bed, "/tester/overridden/file/map/spec"), 24);
    assert_eq!(seen(&bed, "/another"), 0);
    for worker in bed.workers("options") {
        let path = "jsonpath={.spec.imagePullSecrets[*].name} {.spec.containers[0].image}";
        assert_eq!(bed.kubectl(&["get", "pod", &worker, "-o", path]), format!("registry {IMAGE}"));
    }
}

/// Three workers whose scripts have a `before` that captures a cart's number, and an `after` that captures how many carts there were.
/// The higher its index, the later a worker's virtual users send their request.
fn hooks_once(name: &str, before: &Value) -> Value {
    let cart =
        |name: &str| json!({ "post": { "url": "/cart", "capture": { "json": "$.cartId", "as": name } } });
    let script = json!({
        "config": { "target": "http://loadtest-target", "phases": [{ "duration": 4, "arrivalRate": 3 }] },
        "before": { "flow": [cart("token"), before] },
        "scenarios": [{ "flow": [{ "think": "{{ $env.INDEX }}" }, { "get": { "url": "/of/{{ token }}" } }] }],
        "after": { "flow": [cart("last"), { "get": { "url": "/after/{{ token }}/{{ last }}" } }] },
    });
    let index = json!({ "fieldRef": { "fieldPath": "metadata.annotations['batch.kubernetes.io/job-completion-index']" } });
    list(&[
        config_map(name, "test-script.yaml", &script.to_string()),
        load_test(
            name,
            &json!({
                "count": 3,
                "hooks": "Once",
                "testScript": { "config": { "configMap": name } },
                "worker": { "env": [{ "name": "INDEX", "valueFrom": index }] },
            }),
        ),
    ])
}

#[tokio::test]
async fn hooks_that_run_once_reach_all_workers_first_and_last() {
    let bed = Bed::with_target("hooks").await;
    bed.apply(&hooks_once("once", &json!({ "log": "captured" })));
    assert_eq!(bed.until_over("once").await, "Succeeded", "{:?}", bed.verdict("once"));
    // carts are numbered with all requests: the first was `before`'s, and the last but one that of `after`
    let counts = cluster().target_counts(&bed.namespace).expect("the target's counts");
    let paths = [("POST", "/cart", 2), ("GET", "/of/cart-1", 36), ("GET", "/after/cart-1/cart-38", 1)];
    for (method, path, count) in paths {
        assert_eq!(counts.count(method, path), count, "{path}: {counts:?}");
    }
    assert_eq!(counts.total, 39);
    assert_eq!(bed.report("once").counter("http.requests"), 36);

    // the one `before` fails: there is no load, and the verdict says why
    bed.apply(&hooks_once("hookless", &json!({ "get": { "url": "http://127.0.0.1:1/" } })));
    assert_eq!(bed.until_over("hookless").await, "WorkersFailed", "{:?}", bed.verdict("hookless"));
    let verdict = bed.verdict("hookless");
    assert!(verdict.message.contains("worker 0 runs the script's `before` for all workers"), "{verdict:?}");
    assert_eq!(cluster().target_counts(&bed.namespace).expect("the target's counts").total, 40);
}

#[tokio::test]
async fn a_script_in_a_volume_of_the_users_starts_when_its_user_says_so() {
    let bed = Bed::with_target("suspended").await;
    let volumes = json!({
        "volumes": [{ "name": "scripts", "configMap": { "name": "scripts" } }],
        "containers": [{ "name": "worker", "volumeMounts": [{ "name": "scripts", "mountPath": "/scripts" }] }],
    });
    bed.apply(&list(&[
        config_map("scripts", "mine.yaml", &script("/volume").to_string()),
        load_test(
            "suspended",
            &json!({
                "count": 2,
                "suspend": true,
                "testScript": { "path": "/scripts/mine.yaml" },
                "worker": { "podTemplate": { "spec": volumes } },
            }),
        ),
    ]));
    let reason = async || bed.of_test("suspended", "{.status.conditions[?(@.type==\"Progressing\")].reason}");
    eventually("it waits", Duration::from_secs(20), reason, |reason| reason == "Suspended").await;
    assert_eq!(
        bed.kubectl(&["get", "jobs,pods", "-l", "artillery.io/test-name=suspended", "-o", "name"]),
        ""
    );
    bed.kubectl(&["patch", "loadtest", "suspended", "--type=merge", "-p", r#"{"spec":{"suspend":false}}"#]);
    assert_eq!(bed.until_over("suspended").await, "Succeeded", "{:?}", bed.verdict("suspended"));
    assert_eq!((bed.report("suspended").counter("http.requests"), seen(&bed, "/volume")), (24, 24));
}

/// A LoadTest of one worker more than there are nodes, each of which takes one.
fn one_too_many(name: &str, nodes: usize, more: &Value) -> Value {
    let alone = json!({
        "labelSelector": { "matchLabels": { "artillery.io/test-name": name } }, "topologyKey": "kubernetes.io/hostname",
    });
    let affinity =
        json!({ "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": [alone] } });
    let mut spec = json!({
        "count": nodes + 1,
        "testScript": { "config": { "configMap": name } },
        "worker": { "podTemplate": { "spec": { "affinity": affinity } } },
    });
    spec.as_object_mut().expect("an object").extend(more.as_object().expect("fields").clone());
    load_test(name, &spec)
}

#[tokio::test]
async fn workers_that_are_not_there_in_time_are_done_without_or_keep_all_from_starting() {
    let bed = Bed::with_target("too-few").await;
    let taints = r#"jsonpath={range .items[*]}{.metadata.name} {.spec.taints[*].effect}{"\n"}{end}"#;
    let nodes = cluster().kubectl(&["get", "nodes", "-o", taints]).expect("the nodes");
    let nodes = nodes.lines().filter(|node| !node.contains("NoSchedule")).count();
    let tests = [
        // of three: one, and none
        ("without", "Run", json!({ "maxMissingWorkers": "50%" })),
        ("incomplete", "Run", json!({ "maxMissingWorkers": 0 })),
        ("all-or-none", "Fail", json!({})),
    ];
    for (name, on_timeout, more) in &tests {
        let mut more = more.clone();
        more["start"] = json!({ "timeoutSeconds": 45, "onTimeout": on_timeout });
        bed.apply(&list(&[
            config_map(name, "test-script.yaml", &script(&format!("/of/{name}")).to_string()),
            one_too_many(name, nodes, &more),
        ]));
        // one after the other: they would have no room for their load beside each other
        bed.until_over(name).await;
        let verdict = bed.verdict(name);
        let requests = seen(&bed, &format!("/of/{name}"));
        let expected = 12 * u64::try_from(nodes).expect("a number");
        match *name {
            "without" => {
                assert_eq!((verdict.verdict.as_str(), requests), ("Passed", expected), "{verdict:?}")
            }
            "incomplete" => {
                assert_eq!((verdict.verdict.as_str(), requests), ("Inconclusive", expected), "{verdict:?}");
            }
            _ => assert_eq!((verdict.verdict.as_str(), requests), ("Inconclusive", 0), "{verdict:?}"),
        }
        if *on_timeout == "Run" {
            assert_eq!(bed.report(name).counter("http.requests"), expected, "{name}");
            assert_eq!(bed.of_test(name, "{.status.workers.lost}"), "1", "{name}: {verdict:?}");
        }
    }
}
