//! What is written down, by hand or by the program itself: kubectl applies it, and it is followed as it is.

use std::path::Path;

use e2e::{Bed, cluster, config_map, list, load_test};
use serde_json::{Value, json};

use super::{SCRIPT, begin, end, project, report, run, seen};

/// A load test of four requests to a path of its name, which passes where there are no more than `most` of them.
fn written(name: &str, most: u32) -> [Value; 2] {
    let script = json!({
        "config": {
            "target": "http://loadtest-target", "phases": [{ "duration": 2, "arrivalRate": 2 }],
            "plugins": { "ensure": { "conditions": [{ "expression": format!("http.requests <= {most}") }] } },
        },
        "scenarios": [{ "flow": [{ "get": { "url": format!("/of/{name}") } }] }],
    });
    let of = json!({ "config": { "configMap": name } });
    [config_map(name, "test-script.yaml", &script.to_string()), load_test(name, 1, &of)]
}

/// A Service of a pod that Kubernetes asks whether it lives: the target once more.
fn with_a_probe(bed: &Bed) {
    let pod = bed.kubectl(&["get", "deployment", "loadtest-target", "-o", "jsonpath={.spec.template.spec}"]);
    let mut pod: Value = serde_json::from_str(&pod).expect("JSON");
    pod["containers"][0]["livenessProbe"] = json!({ "httpGet": { "path": "/health", "port": "http" } });
    let metadata = json!({ "name": "probed", "labels": { "app": "probed" } });
    let ports = json!([{ "port": 80, "targetPort": "http" }]);
    let service = json!({ "selector": { "app": "probed" }, "ports": ports });
    bed.apply(&list(&[
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod }),
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "probed" }, "spec": service }),
    ]));
}

/// The folder of what `generate` wrote.
fn generated(bed: &Bed, folder: &Path, name: &str, script: &str, more: &[&str]) -> String {
    let out = folder.join(name).to_str().expect("a path").to_owned();
    let typed = [&["generate", name, "--script", script, "--out", &out], more].concat();
    let (code, printed, said) = run(bed, folder, &typed);
    assert_eq!(code, Some(0), "{printed}{said}");
    out
}

#[tokio::test]
async fn what_is_written_down_runs_as_it_is() {
    let bed = Bed::with_target("cli-files").await;
    with_a_probe(&bed);
    let project = project(SCRIPT);
    let folder = project.path();

    let made = generated(&bed, folder, "made", "script.yaml", &["--count=2"]);
    let (code, printed, said) = run(&bed, folder, &["run", "-k", &made, "--detach"]);
    assert_eq!((code, printed.as_str()), (Some(0), "loadtest/made\n"), "{said}");

    let (code, printed, said) = run(&bed, folder, &["scaffold", "probed", "--out=first"]);
    assert_eq!(code, Some(0), "{printed}{said}");
    let probes = generated(&bed, folder, "probes", "first/test-script_probed.yaml", &[]);
    bed.kubectl(&["apply", "-k", &probes]);

    let [script, mut waiting] = written("waiting", 4);
    waiting["spec"]["suspend"] = json!(true);
    bed.apply(&list(&[script, waiting]));
    let waiting = begin(&bed, folder, &["run", "loadtest/waiting", "--report=waiting.json"]);

    let manifests = list(&[written("good", 4), written("bad", 3)].concat());
    std::fs::write(folder.join("manifests.json"), manifests.to_string()).expect("a file");
    let typed = ["run", "-f", "manifests.json"];
    let (code, printed, said) = run(&bed, folder, &typed);
    assert_eq!(code, Some(1), "the worst of both: {printed}{said}");
    assert_eq!(printed.matches("\nhttp.requests: ").count(), 2, "both are reported: {printed}");
    let (code, _, said) = run(&bed, folder, &typed);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the load test good is there already"), "{said}");

    let (code, printed, said) = end(waiting);
    assert_eq!(code, Some(0), "{printed}{said}");
    assert_eq!(report(folder, "waiting.json")["aggregate"]["counters"]["http.requests"], 4);
    let requested = |name: &str| {
        let to = format!("--report={name}.json");
        let (code, printed, said) = run(&bed, folder, &["wait", name, &to]);
        assert_eq!(code, Some(0), "{printed}{said}");
        report(folder, &format!("{name}.json"))["aggregate"]["counters"]["http.requests"].clone()
    };
    assert_eq!((requested("made"), requested("probes")), (24.into(), 1.into()));
    let seen = seen(&bed);
    for user in 0..12 {
        assert_eq!(seen.count("GET", &format!("/of/user{user}-/hello")), 2, "user {user}, once by each");
    }
    let of = |name: &str| seen.count("GET", &format!("/of/{name}"));
    assert_eq!((of("good"), of("bad"), of("waiting")), (4, 4, 4));
}

/// kubectl itself asks the program what completes `kubectl artillery …`.
#[test]
fn kubectl_completes_what_is_typed() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().expect("a folder");
    let plugin = cluster().artillery();
    let path = plugin.get_envs().find_map(|(name, value)| (name == "PATH").then_some(value).flatten());
    let printed = |typed: &[&str], path: &std::ffi::OsStr| {
        let output = cluster().command("kubectl").args(typed).env("PATH", path).output().expect("it runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text")
    };
    let path = path.expect("a PATH");
    let script = folder.path().join("kubectl_complete-artillery");
    std::fs::write(&script, printed(&["artillery", "completion", "kubectl"], path)).expect("a file");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let path =
        std::env::join_paths([folder.path().to_owned()].into_iter().chain(std::env::split_paths(path)));
    let answer = printed(&["__complete", "artillery", "plan", "--res"], &path.expect("a PATH"));
    assert!(answer.starts_with("--resolve\t"), "{answer}");
}
