//! `plan --resolve` with the real Artillery: what it says of templates and environments, and that nothing of the script runs.

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
        json!(["the phases, which Artillery merges of those in line 6 and line 10"])
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
