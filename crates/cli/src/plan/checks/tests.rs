//! Everything that can be wrong with a script, each alone, and what must not be taken for wrong.

use std::fs;

use super::*;
use crate::plan::config::Source;
use crate::plan::document::read;

/// What is found in a script of that text, in a folder with `users.csv` and `hooks.js`.
fn found(text: &str, environment: Option<&str>) -> Found {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("users.csv"), "a,b\n").expect("a file");
    fs::write(folder.path().join("hooks.js"), "").expect("a file");
    let script = Source { file: "s.yaml".to_owned(), root: read(text).expect("a tree") };
    let sources = Sources { texts: vec![&script], environment, overrides: None };
    let config = script.root.get("config").map_or(Value::Null, Node::json);
    let named = loadtest::script::of_config(config).unwrap_or_default();
    let merged = Merged { script: &named, config: None, environment, overrides: None };
    let folders = Folders::of(&folder.path().join("s.yaml"), None);
    let given = Given { target: None, scenario_name: None, merged, folders: &folders };
    let mut found = check(&sources, given);
    let shown = folder.path().display().to_string();
    for problem in &mut found.problems {
        problem.message = problem.message.replace(&shown, "FOLDER");
    }
    found
}

/// A script with more in its `config`, from line 3 on.
fn with_config(config: &str) -> String {
    format!("scenarios: []\nconfig:\n  target: http://t\n{config}\n")
}

#[test]
fn each_problem_is_said_where_it_stands() {
    for (text, environment, said) in [
        (
            with_config("  payload: {path: no.csv}"),
            None,
            "s.yaml:4:19: config.payload.path is \"no.csv\", and there is no such file in FOLDER",
        ),
        (
            with_config("  payload: [{path: users.csv}, {fields: [a]}]"),
            None,
            "s.yaml:4:32: this payload has no path",
        ),
        (
            with_config("  processor: ./no"),
            None,
            "s.yaml:4:14: config.processor is \"./no\", and there is no such file in FOLDER",
        ),
        (with_config("  processor: 5"), None, "s.yaml:4:14: config.processor is 5: the path of a file"),
        (
            with_config("  environments: {dev: {}, load: {}}"),
            Some("prod"),
            "s.yaml:4:3: --environment prod: the script has no such environment: it has dev, load",
        ),
        (
            "config: {target: a}\nscenarios: []".to_owned(),
            Some("prod"),
            "s.yaml:1:1: --environment prod: the script has no such environment: it has none",
        ),
        (
            with_config("  plugins: {ensure: {}}\n  ensure: {conditions: [{expression: 'p95 <'}]}"),
            None,
            "s.yaml:5:38: ensure.conditions.expression cannot be evaluated: line 1, column 6",
        ),
        (
            with_config("  plugins:\n    ensure:\n      thresholds:\n        - p95: 3 s"),
            None,
            "s.yaml:7:16: ensure.thresholds.p95 cannot be evaluated",
        ),
        (
            with_config("  plugins: {ensure: 5}"),
            None,
            "s.yaml:4:13: ensure cannot be evaluated: a mapping with thresholds",
        ),
        (
            "config: {}\nscenarios: []".to_owned(),
            None,
            "s.yaml:1:1: config.target is missing: give it, or --target",
        ),
        (
            "scenarios: []\nconfig: {environments: {dev: {target: a}}}".to_owned(),
            None,
            "s.yaml:2:1: config.target is missing: give it, or --target, or an --environment",
        ),
        ("scenarios: []".to_owned(), None, "s.yaml:1:1: config is missing"),
        ("config: {target: a}".to_owned(), None, "s.yaml:1:1: scenarios is missing"),
        (
            "scenarios: {}\nconfig: {target: a}".to_owned(),
            None,
            "s.yaml:1:1: scenarios is expected to be a list",
        ),
        ("config: {target: a}\nscenarios: [{name: x}]".to_owned(), None, "s.yaml:2:13: this has no flow"),
        (
            "config: {target: a}\nscenarios:\n  - flow: [{get: {}}]".to_owned(),
            None,
            "s.yaml:3:13: this get has no url",
        ),
        (
            "config: {target: a}\nscenarios:\n  - flow: [{log: x, think: 1}]".to_owned(),
            None,
            "s.yaml:3:12: a step has one key, such as get, and this one has log, think",
        ),
        (
            "config: {target: a, target: b}\nscenarios: []".to_owned(),
            None,
            "s.yaml:1:21: target stands twice",
        ),
    ] {
        let found = found(&text, environment).problems;
        let problems: Vec<_> = found.iter().map(Problem::to_string).collect();
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert!(problems[0].starts_with(said), "{problems:?}");
    }
}

#[test]
fn what_is_sound_has_no_problem_and_its_files_are_found() {
    let text = with_config(
        "  payload: {path: ./users.csv}\n  processor: ./hooks\n  environments: {dev: {}}\n  plugins: {ensure: {p95: 200, thresholds: [{a: 1}, {b: 2}]}}",
    );
    let found = found(&text, Some("dev"));
    assert_eq!((found.problems, found.checks), (vec![], Some(3)));
    let paths: Vec<_> = found.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["./users.csv", "./hooks"]);
}

#[test]
fn a_scenario_that_is_chosen_is_there_as_far_as_its_name_is_plain() {
    for (chosen, names, is_missing_there) in [
        ("buy", &["look", "buy it"][..], false),
        ("zzz", &["look"], true),
        ("zzz", &[], true),
        ("zz.", &["look"], false),
        ("zzz", &["{{ name }}"], false),
    ] {
        assert_eq!(is_missing(chosen, names), is_missing_there, "{chosen} of {names:?}");
    }
}

#[test]
fn what_may_be_meant_otherwise_is_warned_of_with_its_place() {
    let plugin = "  plugins: {ensure: {}}\n";
    for (config, environment, wanted) in [
        ("  ensure: {p95: 200}".to_owned(), None, "s.yaml:4:3: config.ensure is not looked at"),
        (
            "  environments: {dev: {ensure: {p95: 200}}}".to_owned(),
            Some("dev"),
            "s.yaml:4:24: config.ensure is not looked at",
        ),
        ("  environments: {dev: {ensure: {p95: 200}}}".to_owned(), None, ""),
        (format!("{plugin}  ensure: {{p95: 200}}"), None, ""),
        (format!("{plugin}  ensure: {{slo: 200}}"), None, "s.yaml:5:17: ensure.slo: "),
    ] {
        let found = found(&with_config(&config), environment);
        let said: Vec<_> = found.warnings.iter().map(ToString::to_string).collect();
        assert_eq!(found.problems, [], "{config}");
        assert!(said.join("\n").starts_with(wanted), "{config}: {said:?}");
        assert_eq!(said.len(), usize::from(!wanted.is_empty()), "{config}: {said:?}");
    }
}

#[test]
fn steps_of_other_engines_and_loops_are_left_alone() {
    for flow in [
        "- flow: [{loop: [{get: {url: /}}], count: 5}]",
        "- {engine: playwright, testFunction: f}",
        "- {engine: socketio, flow: [{emit: {channel: a}, acknowledge: {}}]}",
        "- {engine: ws, flow: [{send: x}]}",
    ] {
        let found = found(&format!("config: {{target: a}}\nscenarios:\n  {flow}"), None);
        assert_eq!(found.problems, [], "{flow}");
    }
}

#[test]
fn a_step_that_artillery_does_not_know_is_warned_of_where_it_stands() {
    let said = |config: &str, scenario: &str| {
        let found = found(&format!("config: {{target: a{config}}}\nscenarios:\n  - {scenario}"), None);
        assert_eq!(found.problems, [], "{scenario}");
        found.warnings.iter().map(Problem::to_string).collect::<Vec<_>>()
    };
    let of = |at: &str, name: &str| {
        format!(
            "s.yaml:3:{at}: Artillery knows no step {name}, and takes it for a request of that method: it knows get, post, put, patch, delete and loop, parallel, think, log, function, in small letters"
        )
    };
    for (scenario, at, name) in [
        ("flow: [{gett: {url: /}}]", "13", "gett"),
        ("flow: [{GET: {url: /}}]", "13", "GET"),
        ("{engine: http, flow: [{log: x}, {fonction: f}]}", "38", "fonction"),
        ("flow: [{loop: [{parallel: [{thik: 1}]}], count: 2}]", "33", "thik"),
    ] {
        assert_eq!(said("", scenario), [of(at, name)]);
    }
    let flow = "flow: [{gett: {url: /}}]";
    for (config, scenario) in [
        ("", "flow: [{head: {url: /}}, {options: {url: /}}, {think: 1}, {log: x}, {function: f}]"),
        ("", "{engine: ws, flow: [{send: x}]}"),
        ("", "{engine: socketio, flow: [{emit: x}]}"),
        ("", "{engine: playwright, flow: [{goto: x}]}"),
        (", plugins: {mine: {}}", flow),
        (", environments: {dev: {}}, plugins: {expect: {}, mine: {}}", flow),
    ] {
        assert_eq!(said(config, scenario), [""; 0], "{config} {scenario}");
    }
    assert_eq!(said(", plugins: {expect: {}}", flow).len(), 1);
}

#[test]
fn what_artillery_resolves_is_no_problem_and_is_named() {
    let text = with_config(
        "  payload: {path: '{{ $env.FILE }}'}\n  processor: '{{ p }}'\n  plugins: {ensure: {p95: '{{ x }}'}}",
    );
    let of_templates = found(&text, None);
    assert_eq!((of_templates.problems.len(), of_templates.checks), (0, None));
    assert_eq!(of_templates.at_run_time.len(), 3, "{:?}", of_templates.at_run_time);
    let text =
        with_config("  payload: [{path: no.csv}]\n  environments: {dev: {payload: [{path: users.csv}]}}");
    let merged = found(&text, Some("dev"));
    assert_eq!((merged.problems.len(), merged.at_run_time.len()), (0, 0), "the environment's is the one");
    let named: Vec<_> = merged
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.named_at.as_ref().map(|(_, at)| at.line)))
        .collect();
    assert_eq!(named, [("users.csv", Some(5))]);
}
