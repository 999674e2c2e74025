//! `plan`, also with the real Artillery (what it says of templates and environments, and that nothing of the script runs), and what belongs
//! to it: `scaffold` and `completion`.

use std::process::Command;

use serde_json::json;

use super::bed::{Bed, Ended, artillery};

const SCRIPT: &str = "
config:
  target: TARGET
  payload: { path: users.csv, fields: [user] }
  processor: ./hooks.js
  phases:
    - { name: base, duration: 60, arrivalRate: '{{ $env.RATE }}' }
    - { duration: 10, arrivalRate: 2 }
  environments:
    dev: { phases: [{ duration: 20 }] }
  plugins: { ensure: { conditions: [{ expression: 'http.requests > 0' }] } }
before: { flow: [{ get: { url: /before } }] }
after: { flow: [{ get: { url: /after } }] }
scenarios: [{ flow: [{ function: greet }, { get: { url: / } }] }]
";

fn plan(bed: &Bed, arguments: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-artillery"));
    command
        .args(["plan", "script.yaml", "--artillery"])
        .arg(artillery())
        .args(arguments)
        .current_dir(bed.folder.path())
        .env("TMPDIR", bed.folder.path().join("tmp"))
        .env("RATE", "4")
        .env_remove("NODE_OPTIONS");
    Ended::of(command.output().expect("it runs"))
}

fn project() -> Bed {
    let bed = Bed::new(SCRIPT);
    bed.write("users.csv", "a\nb\nc\n");
    bed.write("hooks.js", "module.exports = { greet(context, events, done) { done(); } };\n");
    bed
}

#[test]
fn artillery_resolves_templates_and_environments_and_nothing_runs() {
    let bed = project();
    let arguments = ["-e", "dev", "--count", "3", "--distribution", "Split", "-o", "json"];
    let without = plan(&bed, &arguments);
    assert_eq!(without.code, Some(0), "{without:?}");
    let without: serde_json::Value = serde_json::from_str(&without.stdout).expect("JSON");
    assert_eq!((&without["load"], &without["phases"]), (&json!(null), &json!([])));
    assert_eq!(
        without["knownAtRunTime"],
        json!([
            "the phases, which Artillery merges of those at script.yaml:6 and script.yaml:10",
            "how many rows the payloads have, of which 3 workers each need one",
        ])
    );

    let with = plan(&bed, &[&arguments[..], &["--resolve"]].concat());
    assert_eq!(with.code, Some(0), "{with:?}");
    let with: serde_json::Value = serde_json::from_str(&with.stdout).expect("JSON");
    assert_eq!(with["resolvedByArtillery"], "2.0.34");
    assert_eq!(with["phases"][0]["phase"], json!({"name": "base", "duration": 20, "arrivalRate": "4"}));
    assert_eq!(
        (&with["load"]["vusers"], &with["rows"], &with["checks"]),
        (&json!(100), &json!([3]), &json!(1))
    );
    let shares = with["load"]["shares"].as_array().expect("shares");
    let told: Vec<_> = shares.iter().map(|share| (&share["workers"], &share["vusers"])).collect();
    let wanted =
        [[0, 34], [1, 33], [2, 33]].map(|[worker, vusers]| (json!([[worker, worker]]), json!(vusers)));
    assert_eq!(told, wanted.each_ref().map(|(workers, vusers)| (workers, vusers)));
    assert_eq!(with["knownAtRunTime"], json!([]));

    assert_eq!(bed.seen(), 0, "neither load nor hooks");
    assert_eq!(bed.left(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn what_artillery_refuses_is_a_problem() {
    let bed = project();
    bed.write("script.yaml", "config: { target: 'http://t' }\nscenarios: [{ flow: [{ get: { url: / , capture: { json: $ } } }] }]\n");
    assert_eq!(plan(&bed, &[]).code, Some(0), "it cannot be told here");
    let ended = plan(&bed, &["--resolve"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("Artillery 2.0.34 refuses the script: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("Scenario validation error"), "{}", ended.stderr);
    // too few rows are known by then
    let bed = project();
    let ended = plan(&bed, &["-e", "dev", "--count", "4", "--distribution", "Split", "--resolve"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(
        ended.stderr.contains("`rows[0]` is 3: at least one row for each of 4 workers"),
        "{}",
        ended.stderr
    );
    assert_eq!(bed.seen(), 0);
}

#[test]
fn what_is_said_to_be_wrong_artillery_refuses_too() {
    for (script, said, by_artillery) in [
        ("scenarios: [{ name: x }]", ":2:13: this has no flow", "\"scenarios[0].flow\" is required"),
        ("scenarios: [{ flow: [{ log: x, think: 1 }] }]", ":2:22: a step has one key", "must have 1 key"),
        (
            "scenarios: [{ flow: [{ get: {} }] }]",
            ":2:24: this get has no url",
            "flow[0].get.url\" is required",
        ),
        ("scenarios: []\nbefore: { flow: {} }", ":3:11: flow is expected to be a list", "must be an array"),
        ("scenarios: []\nscenarios: []", ":3:1: scenarios stands twice", "duplicated mapping key at line 3"),
        ("before: { flow: [] }", ":1:1: scenarios is missing", "\"scenarios\" is required"),
    ] {
        let bed = project();
        bed.write("script.yaml", &format!("config: {{ target: 'http://t' }}\n{script}\n"));
        let ended = plan(&bed, &["--resolve"]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(&format!("script.yaml{said}")), "{ended:?}");
        let refused = ended.stderr.split_once("Artillery 2.0.34 refuses the script: ").map(|(_, why)| why);
        assert!(refused.is_some_and(|why| why.contains(by_artillery)), "{}", ended.stderr);
    }
}

#[test]
fn all_problems_are_said_as_compilers_say_them_and_the_plan_is_printed_nevertheless() {
    let bed = project();
    bed.write("script.yaml", "config:\n  target: http://t\n  payload: { path: no.csv }\n  phases:\n    - { duration: 10, arrivalRate: 1.5 }\n    - { duration: 10, arrivalRate: 2 }\nscenarios: []\n");
    let ended = plan(&bed, &["-e", "prod", "--count", "2"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let lines: Vec<_> = ended.stderr.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].starts_with("script.yaml:1:1: --environment prod: the script has no such environment"));
    assert!(lines[1].starts_with("script.yaml:3:20: config.payload.path is \"no.csv\""), "{lines:#?}");
    assert!(lines[2].starts_with("script.yaml:5:36: phase 0: its arrivalRate is 1.5"), "{lines:#?}");
    assert!(ended.stdout.contains("  1  10s  2 a second  20 virtual users\n"), "{}", ended.stdout);
    let json = plan(&bed, &["-e", "prod", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((&json["problems"][1]["line"], &json["problems"][1]["column"]), (&json!(3), &json!(20)));
    bed.write("script.yaml", "config:\n\ttarget: a\n");
    let ended = plan(&bed, &[]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.starts_with("script.yaml:2:"), "{}", ended.stderr);
    let ended = bed.report_command(&["plan", "nowhere.yaml"]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{ended:?}");
}

#[test]
fn without_a_cluster_nothing_is_scaffolded() {
    let bed = project();
    let kubeconfig = "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\nclusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]\nusers: [{name: u, user: {}}]\n";
    bed.write("config", kubeconfig);
    for (arguments, said) in [
        (&["--kubeconfig", "nowhere"][..], "there is no cluster to speak to: "),
        (&["--kubeconfig", "config", "--context", "d"], "there is no cluster to speak to: "),
        (&["--kubeconfig", "config"], "cannot look for the Service: the cluster cannot be asked: "),
    ] {
        let ended = bed.report_command(&[&["scaffold", "checkout"], arguments].concat());
        assert_eq!(ended.code, Some(4), "{ended:?}");
        assert!(
            ended.stderr.contains(said) && !bed.folder.path().join("artillery-scripts").exists(),
            "{ended:?}"
        );
    }
}

#[test]
fn kubectl_is_answered_by_the_name_that_it_calls() {
    let bed = project();
    let program = bed.folder.path().join("kubectl_complete-artillery");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kubectl-artillery"), &program).expect("a link");
    let answer = |command: &mut Command| {
        let ended = Ended::of(command.args(["plan", "--res"]).output().expect("it runs"));
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended.stdout
    };
    let by_name = answer(&mut Command::new(&program));
    assert!(by_name.starts_with("--resolve\t") && by_name.ends_with("\n:4\n"), "{by_name}");
    let by_word = answer(Command::new(env!("CARGO_BIN_EXE_kubectl-artillery")).arg("__complete"));
    assert_eq!(by_word, by_name);
    for (shell, part) in [
        ("bash", "complete "),
        ("zsh", "#compdef kubectl-artillery"),
        ("fish", "complete -c kubectl-artillery"),
        ("powershell", "Register-ArgumentCompleter"),
        ("kubectl", "exec kubectl-artillery __complete \"$@\""),
    ] {
        let script = bed.report_command(&["completion", shell]);
        assert!(script.code == Some(0) && script.stdout.contains(part), "{script:?}");
    }
}
