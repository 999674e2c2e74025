//! What cannot be: a short message that says what to do, its exit code, and nothing half-made in the cluster.

use e2e::{Bed, WHOLE_TEST, config_map, load_test};
use serde_json::json;
use testbed::eventually::eventually;

use super::{SCRIPT, project, run, somebody};

/// What of load tests is in the bed: but for what was there before, nothing may be.
fn there(bed: &Bed) -> String {
    bed.kubectl(&["get", "loadtests,configmaps,jobs", "-o", "name"])
}

#[tokio::test]
async fn what_cannot_be_is_said_and_leaves_nothing() {
    let bed = Bed::new("cli-refused").await;
    let project = project(SCRIPT);
    let folder = project.path();
    bed.apply(&load_test("taken", 1, &json!({ "config": { "configMap": "nowhere" } })));
    for name in ["mine-test-script", "yours-files-1"] {
        bed.apply(&config_map(name, "key", "of somebody else"));
    }
    let nobody = somebody(&bed, folder, "nobody", &json!([])).await;
    let rules = json!([{ "apiGroups": ["loadtest.artillery.io"], "resources": ["loadtests"], "verbs": ["create", "get"] }]);
    let half = somebody(&bed, folder, "half", &rules).await;
    let may_not = |who: &str, verb: &str, what: &str| {
        let namespace = &bed.namespace;
        format!("User \"system:serviceaccount:{namespace}:{who}\" cannot {verb} resource \"{what}\"")
    };
    std::fs::write(folder.join("manifests.json"), load_test("new", 1, &json!({})).to_string())
        .expect("a file");
    // Kubernetes makes one of its own
    let all_there = |there: &String| there.contains("configmap/kube-root-ca.crt");
    let before = eventually("what is there anyway", WHOLE_TEST, async || there(&bed), all_there).await;
    for (arguments, code, words) in [
        (&["run", "nothing.yaml"][..], 2, "the script nothing.yaml: No such file"),
        (&["run", "script.yaml", "--name=taken"], 2, "\"taken\" already exists"),
        (&["run", "script.yaml", "--name=mine"], 2, "\"mine-test-script\" already exists"),
        // the ConfigMap of the script was made then
        (&["run", "script.yaml", "--name=yours"], 2, "\"yours-files-1\" already exists"),
        (&["run", "script.yaml", "-e=prod"], 2, "has no such environment"),
        (&["run", "-f", "nothing.json"], 2, "nothing.json"),
        (&["run", "script.yaml", "--kubeconfig", &nobody], 4, &may_not("nobody", "create", "loadtests")),
        (&["run", "script.yaml", "--kubeconfig", &half], 4, &may_not("half", "create", "configmaps")),
        (&["run", "loadtest/taken", "--kubeconfig", &nobody], 4, &may_not("nobody", "get", "loadtests")),
        (&["run", "-f", "manifests.json", "--kubeconfig", &nobody], 4, "resource \"loadtests\""),
        (&["list", "--kubeconfig", &nobody], 4, &may_not("nobody", "list", "loadtests")),
        (&["wait", "taken", "--kubeconfig", &nobody], 4, "cannot list resource \"loadtests\""),
        (&["stop", "taken", "--kubeconfig", &half], 4, &may_not("half", "patch", "loadtests")),
        (&["logs", "taken", "--kubeconfig", &half], 4, &may_not("half", "list", "pods")),
        (&["run", "script.yaml", "--context=nowhere"], 4, "there is no cluster to speak to"),
        (&["wait", "nothing"], 2, "there is no load test nothing"),
        (&["logs", "nothing"], 2, "\"nothing\" not found"),
        (&["report", "taken"], 3, "the load test taken is not over"),
    ] {
        let (ended, printed, said) = run(&bed, folder, arguments);
        assert_eq!(ended, Some(code), "{arguments:?}: {printed}{said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert_eq!(printed, "", "{arguments:?}");
        assert_eq!(there(&bed), before, "{arguments:?}: nothing is left, and what is somebody else's stays");
    }

    // room for one ConfigMap, and the script needs two
    let room = before.lines().filter(|line| line.starts_with("configmap/")).count() + 1;
    let hard = json!({ "count/configmaps": room.to_string() });
    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "few" }, "spec": { "hard": hard } });
    bed.apply(&quota);
    let used = async || bed.kubectl(&["get", "resourcequota", "few", "-o", "jsonpath={.status.used}"]);
    let counted = format!("\"{}\"", room - 1);
    eventually("the quota has counted", WHOLE_TEST, used, |used| used.contains(&counted)).await;
    let (code, printed, said) = run(&bed, folder, &["run", "script.yaml", "--name=large"]);
    assert_eq!((code, printed.as_str()), (Some(4), ""), "{said}");
    assert!(
        said.contains("cannot make the ConfigMap large-files-1") && said.contains("exceeded quota: few"),
        "{said}"
    );
    assert_eq!(there(&bed), before, "what was made before the refusal is removed");
}
