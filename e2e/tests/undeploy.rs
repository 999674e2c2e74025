//! Installing and removing, with load tests running: what `operator-deploy.sh` and `operator-undeploy.sh` promise. A
//! binary of its own, for it takes the operator away from under everybody.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

use e2e::{Bed, cluster};
use serde_json::{Value, json};
use testbed::process;

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_told_and_undeploy_leaves_nothing() {
    let bed = Bed::new("undeploy").await;
    bed.kubectl(&["apply", "-k", "hack/basic-loadtest"]);
    bed.until_running("basic-test", 2).await;

    let mut deploy = cluster().command("./operator-deploy.sh");
    deploy.env("IMG", "registry.invalid/nobody/has-this:v0");
    let refusal = process::output(&deploy).expect_err("no such image").to_string();
    assert!(refusal.contains("the image registry.invalid/nobody/has-this:v0 cannot be pulled"), "{refusal}");

    if cluster().is_ours() {
        let empty = tempfile::tempdir().expect("a folder");
        let image = "registry.invalid/operator:empty";
        cluster().load_image(image, empty.path(), r#"{"Entrypoint": ["/manager"]}"#).expect("an image");
        let mut deploy = cluster().command("./operator-deploy.sh");
        let refusal = process::output(deploy.env("IMG", image)).expect_err("nothing to run").to_string();
        assert!(refusal.contains("the container cannot be started"), "{refusal}");
    }

    let undeploy = || process::output(&cluster().command("./operator-undeploy.sh")).expect("undeployed");
    undeploy();
    let none = |args: &[&str]| assert_eq!(cluster().kubectl(args).expect("kubectl"), "", "{args:?}");
    none(&["get", "namespace", "artillery-operator-system", "--ignore-not-found", "-o", "name"]);
    none(&["get", "crd", "loadtests.loadtest.artillery.io", "--ignore-not-found", "-o", "name"]);
    none(&["get", "jobs,pods", "-A", "-l", "artillery.io/part-of=loadtest", "-o", "name"]);
    let roles =
        cluster().kubectl(&["get", "clusterroles,clusterrolebindings", "-o", "name"]).expect("kubectl");
    assert!(!roles.contains("artillery-operator"), "{roles}");
    let again = undeploy();
    assert!(again.contains("there is nothing to remove"), "{again}");

    refuses("this cluster has no LoadTests: install the operator");
    older_crd();
    refuses("the operator in this cluster is older than this program");
    none(&[
        "get",
        "loadtests,configmaps,jobs",
        "-n",
        "default",
        "-l",
        "artillery.io/part-of=loadtest",
        "-o",
        "name",
    ]);
    cluster().kubectl(&["delete", "crd", "loadtests.loadtest.artillery.io"]).expect("deleted");
}

/// `run` of a script that needs nothing but what there was from the beginning.
fn refuses(words: &str) {
    let command = ["run", "hack/basic-loadtest/test-script.yaml", "--count=2", "-e=dev", "-n=default"];
    let refused = cluster().artillery().args(command).output().expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains(words) && refused.stdout.is_empty(), "{said}");
}

/// What the first operator installed: its API had no more fields than these.
fn older_crd() {
    let text = json!({ "type": "string" });
    let object = |properties: Value| json!({ "type": "object", "properties": properties });
    let config_map = object(json!({ "configMap": text }));
    let config_maps = object(json!({ "configMaps": { "type": "array", "items": text } }));
    let processor = object(json!({ "main": config_map, "related": config_maps }));
    let external = object(json!({ "payload": config_maps, "processor": processor }));
    let test_script = object(json!({ "config": config_map, "external": external }));
    let spec =
        object(json!({ "count": { "type": "integer" }, "environment": text, "testScript": test_script }));
    let status = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let names = json!({ "kind": "LoadTest", "listKind": "LoadTestList", "plural": "loadtests", "singular": "loadtest" });
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": "loadtests.loadtest.artillery.io" },
        "spec": {
            "group": "loadtest.artillery.io", "scope": "Namespaced", "names": names,
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "subresources": { "status": {} },
                "schema": { "openAPIV3Schema": object(json!({ "spec": spec, "status": status })) },
            }],
        },
    });
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("crd.json");
    std::fs::write(&file, crd.to_string()).expect("a file");
    let file = file.to_str().expect("a path");
    cluster().kubectl(&["apply", "-f", file]).expect("the first operator's CRD");
    cluster()
        .kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "-f", file])
        .expect("established");
}
