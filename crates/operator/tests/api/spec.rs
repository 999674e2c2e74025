//! Every field of the spec: what the API server refuses at once, and what becomes of the others in the Job.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, PostParams};
use serde_json::{Value, json};

use crate::bed::{API, Bed, SOON, message_of, reason_of};
use testbed::eventually::eventually;

/// A spec with one part of it given.
pub fn with(path: &str, value: Value) -> Value {
    let mut spec = json!({ "testScript": { "config": { "configMap": "test-script" } } });
    let mut place = &mut spec;
    for part in path.split('.') {
        place = &mut place[part];
    }
    *place = value;
    spec
}

#[tokio::test]
async fn values_that_cannot_be_right_are_refused_by_their_field() {
    let bed = Bed::without_controller().await;
    let long = "x".repeat(2000);
    for (path, value, field, right) in [
        ("count", json!("2"), "spec.count", "expected numeric"),
        ("environment", json!("x".repeat(254)), "spec.environment", "may not be more than 253"),
        ("testScript.config.key", json!("a/b"), "spec.testScript.config.key", "should match"),
        ("testScript.path", json!("/tests/script.yaml"), "spec.testScript", "give either config.configMap"),
        (
            "testScript.config.key",
            json!("load.txt"),
            "spec.testScript.config.key",
            "\"load.txt\": Artillery takes",
        ),
        ("testScript.path", json!("/tests/load"), "spec.testScript.path", "\"/tests/load\": Artillery takes"),
        ("testScript.path", json!("/tests/load.mjs"), "spec.testScript.path", "end with .yaml, .yml, .json"),
        (
            "testScript.external.payload.secrets",
            json!(["A"]),
            "spec.testScript.external.payload.secrets[0]",
            "should match",
        ),
        ("testScript.files", json!([{}]), "spec.testScript.files[0]", "give either configMap or secret"),
        (
            "testScript.files",
            json!([{ "configMap": "a", "items": [{ "key": "k", "path": "../up" }] }]),
            "spec.testScript.files[0].items[0].path",
            "should match",
        ),
        ("artillery.target", json!(""), "spec.artillery.target", "at least 1"),
        ("artillery.variables", json!("a=1"), "spec.artillery.variables", "expected map"),
        ("artillery.overrides", json!([]), "spec.artillery.overrides", "expected map"),
        ("artillery.scenarioName", json!(long), "spec.artillery.scenarioName", "may not be more than 1024"),
        ("artillery.config", json!("/etc/passwd"), "spec.artillery.config", "should match"),
        ("artillery.dotenv", json!("a/../../b"), "spec.artillery.dotenv", "should match"),
        ("distribution", json!("Divide"), "spec.distribution", "\"Replicate\", \"Split\""),
        ("hooks", json!("Never"), "spec.hooks", "\"PerWorker\", \"Once\""),
        ("start.timeoutSeconds", json!(0), "spec.start.timeoutSeconds", "greater than or equal to 1"),
        ("start.timeoutSeconds", json!(86_401), "spec.start.timeoutSeconds", "less than or equal to 86400"),
        ("start.onTimeout", json!("Wait"), "spec.start.onTimeout", "\"Run\", \"Fail\""),
        ("worker.image", json!(""), "spec.worker.image", "at least 1"),
        (
            "worker.imagePullPolicy",
            json!("Sometimes"),
            "spec.worker.imagePullPolicy",
            "\"Always\", \"IfNotPresent\", \"Never\"",
        ),
        ("worker.resources.limits", json!(["1"]), "spec.worker.resources.limits", "expected map"),
        ("worker.env", json!([{ "value": "1" }]), "spec.worker.env", "omits all key fields"),
        ("worker.env", json!([{ "name": "A" }, { "name": "A" }]), "spec.worker.env", "duplicate entries"),
        ("worker.envFrom", json!({}), "spec.worker.envFrom", "expected list"),
        ("worker.podTemplate.spec.nodeSelector", json!("a"), "podTemplate.spec.nodeSelector", "expected map"),
        ("worker.podTemplate.spec.tolerations", json!({}), "podTemplate.spec.tolerations", "expected list"),
        ("maxMissingWorkers", json!(-1), "spec.maxMissingWorkers", "from 0 to 10000"),
        ("maxMissingWorkers", json!("101%"), "spec.maxMissingWorkers", "from 0% to 100%"),
        ("lostAfterSeconds", json!(9), "spec.lostAfterSeconds", "greater than or equal to 10"),
        ("suspend", json!("yes"), "spec.suspend", "expected boolean"),
        ("stop", json!("Now"), "spec.stop", "\"Graceful\", \"Immediate\""),
        ("activeDeadlineSeconds", json!(0), "spec.activeDeadlineSeconds", "greater than or equal to 1"),
        (
            "activeDeadlineSeconds",
            json!(2_592_001),
            "spec.activeDeadlineSeconds",
            "less than or equal to 2592000",
        ),
        ("ttlSecondsAfterFinished", json!(-1), "spec.ttlSecondsAfterFinished", "greater than or equal to 0"),
    ] {
        let refusal = bed.refusal("t", with(path, value)).await;
        assert!(refusal.contains(field) && refusal.contains(right), "{path}: {field}, {right} in {refusal}");
    }
    let both = json!({ "testScript": { "path": "/s.yaml", "external": {} } });
    let refusal = bed.refusal("t", both).await;
    assert!(refusal.contains("with path, give all files with the test script"), "{refusal}");
}

#[tokio::test]
async fn fields_that_are_nowhere_in_a_pod_are_refused_by_name() {
    let bed = Bed::without_controller().await;
    for (path, name) in [
        ("worker.podTemplate.spec.nodeSelektor", "spec.worker.podTemplate.spec.nodeSelektor"),
        ("worker.podTemplate.spec.ephemeralContainers", "spec.worker.podTemplate.spec.ephemeralContainers"),
        ("worker.imagePullSecrets", "spec.worker.imagePullSecrets"),
    ] {
        let refusal = bed.refusal("t", with(path, json!([]))).await;
        assert!(refusal.contains(name), "{refusal}");
    }
}

#[tokio::test]
async fn the_smallest_and_the_largest_of_each_are_taken() {
    let bed = Bed::without_controller().await;
    for (i, (path, value)) in [
        ("testScript.config.key", json!("load.yml")),
        ("artillery", json!({})),
        ("artillery.dotenv", json!(".env")),
        ("start.timeoutSeconds", json!(86_400)),
        ("worker", json!({})),
        ("worker.resources", json!({ "limits": { "cpu": 2, "memory": "1Gi" } })),
        ("worker.podTemplate", json!({ "spec": { "nodeSelector": { "a": "b" } } })),
        ("maxMissingWorkers", json!("100%")),
        ("lostAfterSeconds", json!(86_400)),
        ("suspend", json!(true)),
        ("stop", json!("Immediate")),
        ("activeDeadlineSeconds", json!(2_592_000)),
        ("ttlSecondsAfterFinished", json!(0)),
    ]
    .into_iter()
    .enumerate()
    {
        bed.create(&format!("t{i}"), with(path, value)).await.expect(path);
    }
}

#[tokio::test]
async fn after_the_start_only_what_ends_a_test_or_cleans_up_may_be_changed() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 1).await;
    bed.until_reason("t", "WorkersStarting").await;
    for (path, value) in [
        ("testScript.config.key", json!("other.yaml")),
        ("environment", json!("dev")),
        ("artillery", json!({ "target": "http://other" })),
        ("distribution", json!("Split")),
        ("hooks", json!("Once")),
        ("start", json!({ "timeoutSeconds": 5 })),
        ("worker", json!({ "env": [{ "name": "A", "value": "b" }] })),
        ("worker", json!({ "podTemplate": { "spec": { "nodeSelector": { "a": "b" } } } })),
        ("maxMissingWorkers", json!(1)),
        ("lostAfterSeconds", json!(60)),
        ("activeDeadlineSeconds", json!(60)),
    ] {
        let refusal = bed.refusal("t", with(path, value)).await;
        assert!(
            refusal.contains("spec cannot be changed once the load test has started"),
            "{path}: {refusal}"
        );
    }
    let refusal = bed.refusal("t", with("suspend", json!(true))).await;
    assert!(refusal.contains("to end a load test that has started, set stop"), "{refusal}");
    bed.create("t", with("ttlSecondsAfterFinished", json!(5))).await.expect("the TTL may be changed");
    bed.create("t", with("stop", json!("Graceful"))).await.expect("a test may be stopped");
    let refusal = bed.refusal("t", with("count", json!(1))).await;
    assert!(refusal.contains("stop cannot be taken back"), "{refusal}");
    bed.create("t", with("stop", json!("Immediate"))).await.expect("it may be stopped at once");
}

/// The first container and the pods of the Job of `t`, of whom none has started.
async fn template(bed: &Bed) -> (Value, Value) {
    let job = eventually("a Job", SOON, async || bed.job("t").await, Option::is_some).await;
    let Job { spec, .. } = job.expect("a Job");
    let pods = serde_json::to_value(spec.expect("a spec").template).expect("JSON");
    (pods["spec"]["containers"][0].clone(), pods["spec"].clone())
}

#[tokio::test]
async fn files_options_and_pods_are_as_the_spec_says() {
    let bed = Bed::new().await;
    bed.config_map("test-script", json!({ "load.yml": "config: {payload: {path: data/users.csv}}" })).await;
    bed.config_map("users", json!({ "users": "a\n" })).await;
    let spec = json!({
        "testScript": {
            "config": { "configMap": "test-script", "key": "load.yml" },
            "external": { "payload": { "secrets": ["keys"] } },
            "files": [{ "configMap": "users", "items": [{ "key": "users", "path": "data/users.csv" }] }],
        },
        "artillery": { "target": "http://t", "variables": { "a": 1 } },
        "worker": {
            "image": "example/artillery:1", "imagePullPolicy": "IfNotPresent",
            "resources": { "limits": { "cpu": 1 } },
            "env": [{ "name": "RATE", "value": "4" }],
            "podTemplate": { "spec": { "nodeSelector": { "pool": "load" },
                "containers": [{ "name": "worker", "workingDir": "/work" }, { "name": "proxy", "image": "proxy" }] } },
        },
    });
    bed.create("t", spec).await.expect("a LoadTest");
    let (worker, pods) = template(&bed).await;
    assert_eq!(
        worker["args"],
        json!(["run", "/data/load.yml", "--target=http://t", "--variables={\"a\":1}"])
    );
    assert_eq!(
        (&worker["image"], &worker["imagePullPolicy"]),
        (&json!("example/artillery:1"), &json!("IfNotPresent"))
    );
    assert_eq!(worker["resources"]["limits"], json!({ "cpu": "1", "memory": "1Gi" }));
    assert_eq!(worker["workingDir"], "/work");
    assert_eq!(
        (&pods["nodeSelector"], &pods["containers"][1]["name"]),
        (&json!({ "pool": "load" }), &json!("proxy"))
    );
    let sources = &pods["volumes"][0]["projected"]["sources"];
    assert_eq!(sources[0]["configMap"]["name"], "test-script");
    assert_eq!(sources[1]["secret"]["name"], "keys");
    assert_eq!(sources[2]["configMap"]["items"], json!([{ "key": "users", "path": "data/users.csv" }]));
    bed.until("t", "its image", |status| status.image.as_deref() == Some("example/artillery:1")).await;
}

#[tokio::test]
async fn what_only_a_look_can_tell_is_told_before_anything_starts_and_mended() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.create("file", with("artillery.config", json!("base.yaml"))).await.expect("a LoadTest");
    let status = bed.until_reason("file", "MissingFile").await;
    let message = message_of(&status, "Progressing");
    assert!(message.starts_with("field .spec.artillery.config is \"base.yaml\""), "{message}");

    let more = json!({ "requests": { "memory": "4Gi" }, "limits": { "memory": "2Gi" } });
    bed.create("pods", with("worker.resources", more)).await.expect("a LoadTest");
    let status = bed.until_reason("pods", "InvalidSpec").await;
    let message = message_of(&status, "Progressing");
    assert!(message.contains(" .spec.worker.resources.requests: Invalid value: \"4Gi\""), "{message}");
    bed.create("pods", with("worker.resources", json!({ "limits": { "memory": "2Gi" } })))
        .await
        .expect("mended");
    bed.until("pods", "started", |status| reason_of(status, "Progressing") == "WorkersStarting").await;
}

#[tokio::test]
async fn a_hundred_workers_with_five_megabytes_of_files_cost_no_object_each() {
    let bed = Bed::new().await;
    bed.script().await;
    let config_maps = bed.api::<ConfigMap>();
    let names: Vec<_> = (0..6).map(|i| format!("data-{i}")).collect();
    for name in &names {
        let data = json!({ (format!("{name}.csv")): "x".repeat(900_000) });
        let map = json!({ "metadata": { "name": name }, "data": data });
        config_maps
            .create(&PostParams::default(), &serde_json::from_value(map).expect("a ConfigMap"))
            .await
            .expect(name);
    }
    let before = config_maps.list_metadata(&ListParams::default()).await.expect("a list").items.len();
    let mut spec = with("testScript.external", json!({ "payload": { "configMaps": names } }));
    spec["count"] = json!(100);
    bed.create("t", spec).await.expect("a LoadTest");
    bed.until("t", "started", |status| reason_of(status, "Progressing") == "WorkersStarting").await;
    let after = config_maps.list_metadata(&ListParams::default()).await.expect("a list").items.len();
    assert_eq!(after - before, 1, "the reporter's ConfigMap");
    assert_eq!(bed.api::<Job>().list_metadata(&ListParams::default()).await.expect("a list").items.len(), 1);
    let job = serde_json::to_string(&bed.job("t").await.expect("a Job")).expect("JSON");
    assert!(job.len() < 20_000, "the files are mounted, not copied: the Job has {} bytes", job.len());
}

#[tokio::test]
async fn what_has_more_json_than_is_kept_is_refused_in_words_and_mended() {
    let bed = Bed::new().await;
    bed.script().await;
    let large = "x".repeat(200_000);
    for (name, field, value) in [
        ("variables", "artillery.variables", json!({ "a": large })),
        ("env", "worker.env", json!([{ "name": "A", "value": large }])),
        ("template", "worker.podTemplate", json!({ "metadata": { "annotations": { "a": large } } })),
    ] {
        bed.create(name, with(field, value)).await.expect("a LoadTest");
        let status = bed.until_reason(name, "InvalidSpec").await;
        let message = message_of(&status, "Progressing");
        let start = format!(".spec.{field} has 2000");
        assert!(message.starts_with(&start) && message.contains("give at most 102400"), "{message}");
        bed.create(name, with("count", json!(1))).await.expect("mended");
        bed.until(name, "started", |status| reason_of(status, "Progressing") == "WorkersStarting").await;
    }
}

#[tokio::test]
async fn every_example_is_taken_by_the_api_server() {
    let bed = Bed::without_controller().await;
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples");
    let folders =
        std::fs::read_dir(folder).expect("the examples").map(|entry| entry.expect("an entry").path());
    let mut checked = 0;
    for example in folders.filter(|path| path.join("kustomization.yaml").is_file()) {
        let path = example.to_str().expect("a path");
        let apply =
            ["apply", "--namespace", &bed.namespace, "--dry-run=server", "--validate=strict", "-k", path];
        API.kubectl(&apply).expect(path);
        checked += 1;
    }
    assert_eq!(checked, 14);
    let nightly = format!("{folder}/nightly/loadtest.yaml");
    let create =
        ["create", "--namespace", &bed.namespace, "--dry-run=server", "--validate=strict", "-f", &nightly];
    API.kubectl(&create).expect("what runs each night");
}
