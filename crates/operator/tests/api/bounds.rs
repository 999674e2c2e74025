//! The bounds of every field of the spec, as the API server has them: the last value that is taken, and the first that is not.

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::spec::with;

/// So many of a value.
fn many(count: usize, value: Value) -> Value {
    json!(vec![value; count])
}

/// So many variables.
fn variables(count: usize) -> Value {
    (0..count).map(|i| json!({ "name": format!("A{i}"), "value": "1" })).collect()
}

/// A text of so many characters.
fn text(length: usize) -> Value {
    json!("x".repeat(length))
}

async fn are_refused(cases: Vec<(&str, Value, &str)>) {
    let bed = Bed::without_controller().await;
    for (path, value, right) in cases {
        let shown: String = value.to_string().chars().take(60).collect();
        let refusal = bed.refusal("t", with(path, value)).await;
        let names = refusal.contains(&format!("spec.{path}"));
        assert!(names && refusal.contains(right), "{path} {shown}: {right} in {refusal}");
    }
}

#[tokio::test]
async fn every_bound_is_taken_and_what_is_one_beyond_is_refused() {
    let bed = Bed::without_controller().await;
    let secrets = "testScript.external.payload.secrets";
    for (path, low, high) in [
        ("count", 1, 10_000),
        ("start.timeoutSeconds", 1, 86_400),
        ("maxMissingWorkers", 0, 10_000),
        ("lostAfterSeconds", 10, 86_400),
        ("activeDeadlineSeconds", 1, 2_592_000),
        ("ttlSecondsAfterFinished", 0, 31_536_000),
        ("worker.podTemplate.spec.terminationGracePeriodSeconds", 10, 3600),
    ] {
        for value in [low, high] {
            bed.create("integer", with(path, json!(value))).await.expect(path);
        }
        for (beyond, bound) in [(low - 1, low), (high + 1, high)] {
            let refusal = bed.refusal("beyond", with(path, json!(beyond))).await;
            for part in [format!("spec.{path}"), beyond.to_string(), bound.to_string()] {
                assert!(refusal.contains(&part), "{path}: {part} in {refusal}");
            }
        }
    }
    let file = json!({ "configMap": "a" });
    let item = json!({ "key": "k", "path": "p" });
    let files_of = |count| json!([{ "configMap": "a", "items": many(count, item.clone()) }]);
    let script_at = |length: usize| json!({ "path": format!("/{}.yml", "x".repeat(length - 5)) });
    let source = json!({ "secretRef": { "name": "a" } });
    for (path, most, beyond, bound) in [
        ("environment", text(253), text(254), "253"),
        ("testScript.config.configMap", text(253), text(254), "253"),
        ("artillery.target", text(2048), text(2049), "2048"),
        ("artillery.scenarioName", text(1024), text(1025), "1024"),
        ("artillery.config", text(253), text(254), "253"),
        ("artillery.dotenv", text(253), text(254), "253"),
        ("worker.image", text(1024), text(1025), "1024"),
        ("testScript", script_at(1024), script_at(1025), "1024"),
        ("testScript.files", many(64, file.clone()), many(65, file.clone()), "64"),
        ("testScript.files", files_of(256), files_of(257), "256"),
        ("testScript.external.payload.configMaps", many(64, json!("a")), many(65, json!("a")), "64"),
        (secrets, many(64, json!("a")), many(65, json!("a")), "64"),
        (
            "testScript.external.processor.related.configMaps",
            many(64, json!("a")),
            many(65, json!("a")),
            "64",
        ),
        ("testScript.external.processor.related.secrets", many(64, json!("a")), many(65, json!("a")), "64"),
        ("worker.env", variables(256), variables(257), "256"),
        ("worker.envFrom", many(64, source.clone()), many(65, source.clone()), "64"),
    ] {
        bed.create("longest", with(path, most)).await.expect(path);
        let refusal = bed.refusal("beyond", with(path, beyond)).await;
        assert!(refusal.contains(&format!("spec.{path}")) && refusal.contains(bound), "{path}: {refusal}");
    }
}

#[tokio::test]
async fn wrong_types_are_refused_with_the_right_one() {
    let mut cases = Vec::new();
    for path in [
        "count",
        "start.timeoutSeconds",
        "lostAfterSeconds",
        "activeDeadlineSeconds",
        "ttlSecondsAfterFinished",
    ] {
        cases.push((path, json!("many"), "expected numeric"));
        cases.push((path, json!(1.5), "integer"));
    }
    for path in [
        "environment",
        "distribution",
        "stop",
        "testScript.config.configMap",
        "testScript.config.key",
        "testScript.path",
        "artillery.target",
        "artillery.scenarioName",
        "artillery.config",
        "artillery.dotenv",
        "start.onTimeout",
        "worker.image",
        "worker.imagePullPolicy",
    ] {
        cases.push((path, json!(20_000), "expected string"));
    }
    cases.push(("suspend", json!(1), "expected boolean"));
    cases.push(("testScript.files", json!({ "configMap": "a" }), "expected list"));
    for (file, right) in [
        (json!({ "configMap": 1 }), "expected string"),
        (json!({ "secret": 1 }), "expected string"),
        (json!({ "configMap": "a", "items": "k" }), "expected list"),
        (json!({ "configMap": "a", "items": [{ "key": 1, "path": "p" }] }), "expected string"),
        (json!({ "configMap": "a", "items": [{ "key": "k", "path": 1 }] }), "expected string"),
        (json!({ "configMap": "a", "items": [{ "key": "k" }] }), "Required value"),
    ] {
        cases.push(("testScript.files", json!([file]), right));
    }
    cases.push(("maxMissingWorkers", json!(true), "maxMissingWorkers"));
    are_refused(cases).await;
}

#[tokio::test]
async fn what_the_operator_says_itself_and_names_that_nothing_can_bear_are_refused() {
    let env = |name: &str| json!([{ "name": name, "value": "1" }]);
    let key = |name: &str, key: &str| json!([{ "name": "A", "valueFrom": { "secretKeyRef": { "name": name, "key": key } } }]);
    let worker = |field: &str, value: Value| json!([{ "name": "worker", (field): value }]);
    let pod = "worker.podTemplate.spec.containers";
    let (labels, annotations) =
        ("worker.podTemplate.metadata.labels", "worker.podTemplate.metadata.annotations");
    let keys = |count: usize| (0..count).map(|i| (format!("k{i}"), json!("v"))).collect::<Value>();
    let from_secret =
        |name: &str| json!([{ "name": name, "valueFrom": { "secretKeyRef": { "name": "a", "key": "k" } } }]);
    let mount = |path: &str| worker("volumeMounts", json!([{ "name": "v", "mountPath": path }]));
    are_refused(vec![
        ("worker.env", env("A=B"), "\"A=B\" is no name of a variable"),
        ("worker.env", env("Ä"), "\"Ä\" is no name of a variable"),
        ("worker.env", env("LOADTEST_TOKEN"), "\"LOADTEST_TOKEN\" is reserved"),
        ("worker.env", env("WORKERS"), "a worker is one thread"),
        ("worker.env", env("WORKER_ID"), "it is the name of the pod"),
        ("worker.env", key("Upper", "k"), "should match"),
        ("worker.env", key("a", "k/k"), "should match"),
        ("worker.envFrom", json!([{ "configMapRef": { "name": "a/b" } }]), "should match"),
        ("worker.podTemplate.spec.restartPolicy", json!("Always"), "a worker is started once"),
        ("worker.podTemplate.spec.activeDeadlineSeconds", json!(60), "use spec.activeDeadlineSeconds"),
        (pod, worker("args", json!(["run"])), "use spec.artillery"),
        (pod, worker("image", json!("a")), "give it as spec.worker.image"),
        (pod, worker("env", env("A")), "give it as spec.worker.env"),
        (pod, json!([{ "name": "proxy" }]), "image is missing: a side-car needs one"),
        (pod, many(65, json!({ "name": "proxy", "image": "a" })), "at most 64 items"),
        (pod, mount("/artillery-operator"), "mount the volume elsewhere"),
        (pod, mount("/artillery-operator/x"), "mount the volume elsewhere"),
        ("worker.podTemplate.spec.volumes", json!([{ "name": "tmp" }]), "\"tmp\" is the operator's own"),
        (
            "worker.podTemplate.spec.initContainers",
            json!([{ "name": "worker" }]),
            "\"worker\" is the operator's own",
        ),
        (labels, json!({ "artillery.io/test-name": "a" }), "keys that begin with artillery.io/"),
        (annotations, json!({ "batch.kubernetes.io/x": "a" }), "keys that begin with artillery.io/"),
        (labels, keys(257), "256"),
        ("worker.env", from_secret("NODE_OPTIONS"), "\"NODE_OPTIONS\" must be given by its value"),
    ])
    .await;
}

#[tokio::test]
async fn quantities_that_kubernetes_cannot_read_are_refused_by_their_field() {
    let right = "should match";
    let limits = |memory: &str| json!({ "limits": { "memory": memory } });
    are_refused(vec![
        ("worker.resources.limits", json!({ "memory": "much" }), right),
        ("worker.resources.limits", json!({ "memory": "1GB" }), right),
        ("worker.resources.requests", json!({ "cpu": "100 m" }), right),
        ("worker.resources.requests", json!({ "cpu": "" }), right),
    ])
    .await;
    let bed = Bed::without_controller().await;
    for (i, memory) in
        ["512Mi", "0.5", ".5", "100m", "1e9", "1E3", "+2G", "128974848"].into_iter().enumerate()
    {
        bed.create(&format!("taken-{i}"), with("worker.resources", limits(memory))).await.expect(memory);
    }
    bed.create("number", with("worker.resources", json!({ "limits": { "cpu": 2 } })))
        .await
        .expect("a number");
}
