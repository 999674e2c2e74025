//! Installing and removing, with load tests running: what `operator-deploy.sh` and `operator-undeploy.sh` promise. A
//! binary of its own, for it takes the operator away from under everybody.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

use e2e::{Bed, cluster};
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

    let command = ["run", "hack/basic-loadtest/test-script.yaml"];
    let refused = cluster().artillery().args(command).output().expect("it runs");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(4), "{said}");
    assert!(said.contains("this cluster has no LoadTests: install the operator"), "{said}");
}
