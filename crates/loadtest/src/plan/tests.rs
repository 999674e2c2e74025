//! What can be run, and what its user has to mend first.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::json;

use super::*;
use crate::api::{External, SCRIPT_KEY};
use crate::fixtures::{LoadTestFixture as _, load_test};

fn config_map(field: &str, name: &str, keys: &[(&str, Content)]) -> ConfigMapFact {
    let keys = keys.iter().map(|(key, content)| ((*key).to_owned(), content.clone())).collect();
    ConfigMapFact { field: field.to_owned(), name: name.to_owned(), keys: Some(Arc::new(keys)) }
}

fn script(keys: &[(&str, Content)]) -> ConfigMapFact {
    config_map(".spec.testScript.config.configMap", "test-script", keys)
}

fn good_script() -> ConfigMapFact {
    script(&[(SCRIPT_KEY, Content::Script("scenarios: []".into()))])
}

/// As [`validate`], of the ConfigMaps that are named, in any order.
fn plan(load_test: &LoadTest, maps: &[ConfigMapFact]) -> Result<Plan, Problem> {
    let named = config_maps(load_test)?.into_iter();
    let fact = |(field, name): (String, String)| {
        let keys = maps.iter().find(|map| map.name == name).and_then(|map| map.keys.clone());
        ConfigMapFact { field, name, keys }
    };
    validate(load_test, &named.map(fact).collect::<Vec<_>>(), None, &Settings::default())
}

/// With these as ConfigMaps with payloads.
fn with_payloads(mut load_test: LoadTest, config_maps: &[&str]) -> LoadTest {
    let payload = json!({ "payload": { "configMaps": config_maps } });
    let external: External = serde_json::from_value(payload).expect("files");
    load_test.spec.test_script.external = Some(external);
    load_test
}

fn set_script(load_test: &mut LoadTest, config_map: &str) {
    load_test.spec.test_script.config.as_mut().expect("a script").config_map = config_map.to_owned();
}

fn mounted(config_maps: &[&str]) -> Files {
    let source =
        |name: &&str| Source { source: FileSource::ConfigMap, name: (*name).to_owned(), items: Vec::new() };
    let sources = config_maps.iter().map(source).collect();
    Files::Mounted { script: SCRIPT_KEY.into(), sources, are_copied: false }
}

fn refusal(load_test: &LoadTest, files: &[ConfigMapFact]) -> (&'static str, String) {
    let problem = validate(load_test, files, None, &Settings::default()).expect_err("a problem");
    (problem.reason, problem.message)
}

#[test]
fn a_config_map_of_the_reports_name_is_never_written_over() {
    let owned_by = |kind: &str, name: &str, uid: &str| {
        let owner = OwnerReference {
            kind: kind.into(),
            name: name.into(),
            uid: uid.into(),
            ..OwnerReference::default()
        };
        let mut there = ConfigMap::default();
        there.metadata.owner_references = Some(vec![owner]);
        report_taken(&load_test("t"), &there).map(|problem| problem.reason)
    };
    assert_eq!(owned_by("LoadTest", "t", "uid-of-t"), None);
    assert_eq!(owned_by("LoadTest", "t", "another"), Some(EARLIER_REPORT));
    assert_eq!(owned_by("LoadTest", "u", "another"), Some(REPORT_NAME_TAKEN));
    let nobodys = report_taken(&load_test("t"), &ConfigMap::default()).expect("a problem");
    assert!(nobodys.message.contains("\"t-report\""), "{}", nobodys.message);
}

#[test]
fn a_load_test_with_its_script_is_planned() {
    let plan = validate(
        &load_test("basic-test").with_count(4).with_environment("dev"),
        &[good_script()],
        None,
        &Settings::default(),
    );
    let unknown = "field .spec.environment is \"dev\": the test script has no such environment under config.environments (it has none), and Artillery runs it without one";
    let expected = Plan {
        workers: 4,
        environment: Some("dev".into()),
        unknown_environment: Some(unknown.into()),
        files: mounted(&["test-script"]),
        ..Plan::default()
    };
    assert_eq!(plan, Ok(expected));
}

#[test]
fn an_environment_is_unknown_only_where_all_that_may_have_it_is_read() {
    let unknown = |environment: &str, artillery: serde_json::Value| {
        let mut test = load_test("t").with_environment(environment);
        test.spec.artillery = serde_json::from_value(artillery).expect("options");
        let text = "config: {environments: {dev: {}, prod: {}}}\nscenarios: []";
        let plan = plan(&test, &[script(&[(SCRIPT_KEY, Content::Script(text.into()))])]).expect("a plan");
        plan.unknown_environment
    };
    assert_eq!(unknown("dev", json!({})), None);
    assert!(unknown("nope", json!({})).expect("a doubt").contains("(it has dev, prod)"));
    assert_eq!(unknown("nope", json!({ "overrides": { "config": {} } })), None);
}

#[test]
fn an_empty_environment_is_none() {
    let plan = validate(&load_test("t").with_environment(""), &[good_script()], None, &Settings::default())
        .expect("a plan");
    assert_eq!(plan.environment, None);
}

#[test]
fn a_config_map_named_twice_is_mounted_once() {
    let planned = plan(&with_payloads(load_test("t"), &["test-script"]), &[good_script()]).expect("a plan");
    assert_eq!(planned.files, mounted(&["test-script"]));
}

#[test]
fn a_missing_script_config_map_is_told_in_the_first_operators_words() {
    let gone = ConfigMapFact { keys: None, ..good_script() };
    let (reason, message) = refusal(&load_test("t"), &[gone]);
    assert_eq!(reason, "MissingTestScript");
    assert_eq!(
        message,
        "Load Test test script ConfigMap is missing, see field .spec.testScript.config.configMap: there is no ConfigMap \"test-script\" in this namespace"
    );
}

#[test]
fn a_config_map_without_the_key_is_told_with_the_keys_it_has() {
    let (reason, message) = refusal(&load_test("t"), &[script(&[("script.yml", Content::Present)])]);
    assert_eq!(reason, "InvalidTestScript");
    assert_eq!(
        message,
        "Load Test test script is missing, see field .spec.testScript.config.configMap: ConfigMap \"test-script\" must have the script under the key \"test-script.yaml\", but it has script.yml"
    );
    assert!(refusal(&load_test("t"), &[script(&[])]).1.ends_with("but it has no keys"));
}

#[test]
fn an_empty_script_is_told() {
    let (reason, message) = refusal(&load_test("t"), &[script(&[(SCRIPT_KEY, Content::Blank)])]);
    assert_eq!(reason, "InvalidTestScript");
    assert!(message.starts_with("Load Test test script is empty"), "{message}");
    assert!(message.contains("\"test-script.yaml\" of ConfigMap \"test-script\""), "{message}");
}

#[test]
fn a_missing_payload_config_map_is_told_by_its_field() {
    let field = ".spec.testScript.external.payload.configMaps[0]";
    let gone = ConfigMapFact { keys: None, ..config_map(field, "users", &[]) };
    let (reason, message) = refusal(&load_test("t"), &[good_script(), gone]);
    assert_eq!(reason, "MissingConfigMap");
    assert!(message.contains(field) && message.contains("\"users\""), "{message}");
}

#[test]
fn two_files_of_one_name_are_told_with_both_fields() {
    let users = config_map("", "users", &[("users.csv", Content::Present)]);
    let more = config_map("", "more", &[("users.csv", Content::Blank)]);
    let test = with_payloads(load_test("t"), &["users", "more"]);
    let problem = plan(&test, &[good_script(), users, more]).expect_err("a problem");
    assert_eq!(problem.reason, "ConflictingFiles");
    let field = ".spec.testScript.external.payload.configMaps";
    for part in
        ["users.csv", &format!("\"users\", see field {field}[0]"), &format!("\"more\", see field {field}[1]")]
    {
        assert!(problem.message.contains(part), "{part} in {}", problem.message);
    }
}

/// A LoadTest with that `testScript`, whose script and files are these: a ConfigMap `test-script` with `script` under the key that
/// is asked for, and one `files` with the keys `files`.
fn planned(test_script: serde_json::Value, script: &str, files: &[&str]) -> Result<Plan, (String, String)> {
    let mut test = load_test("t");
    test.spec.test_script = serde_json::from_value(test_script).expect("a test script");
    let key = test.spec.test_script.key().to_owned();
    let keys: Vec<_> = files.iter().map(|file| (*file, Content::Present)).collect();
    let maps = [
        config_map("", "test-script", &[(&key, Content::Script(script.into()))]),
        config_map("", "files", &keys),
    ];
    plan(&test, &maps).map_err(|problem| (problem.reason.to_owned(), problem.message))
}

const TWO_FILES: &str =
    "config:\n  payload: {path: ./users.csv, fields: [name]}\n  processor: processor.js\n";

#[test]
fn the_script_may_have_another_key() {
    let test_script = json!({ "config": { "configMap": "test-script", "key": "load.yml" } });
    let plan = planned(test_script, "scenarios: []", &[]).expect("a plan");
    assert!(matches!(plan.files, Files::Mounted { script, .. } if script == "load.yml"));
}

#[test]
fn every_file_that_the_script_names_must_be_given() {
    let given = |files: &[&str]| {
        let external = json!({ "payload": { "configMaps": ["files"] } });
        planned(json!({ "config": { "configMap": "test-script" }, "external": external }), TWO_FILES, files)
    };
    assert!(given(&["users.csv", "processor.js"]).is_ok());
    let (reason, message) = given(&["processor.js"]).expect_err("a problem");
    assert_eq!(reason, "MissingFile");
    assert_eq!(
        message,
        "the test script's config.payload.path is \"./users.csv\", and no such file is given, only processor.js, test-script.yaml: give it by .spec.testScript.external, or by .spec.testScript.files where it lies in a folder"
    );
    let (_, message) = given(&["users.csv"]).expect_err("a problem");
    assert!(message.starts_with("the test script's config.processor is \"processor.js\""), "{message}");
}

#[test]
fn files_that_only_artillery_can_tell_are_left_to_it() {
    let config_map = json!({ "config": { "configMap": "test-script" } });
    for script in [
        "config: {payload: {path: '{{ $env.USERS }}.csv'}}",
        "config: {processor: /opt/processor.js}",
        "config: {payload: [{name: no-path}]}",
    ] {
        let mut test = load_test("t").with_environment("dev");
        test.spec.test_script = serde_json::from_value(config_map.clone()).expect("a test script");
        let map = config_map_of_script(script);
        assert!(plan(&test, &[map]).is_ok(), "{script}");
    }
    let secret = json!({ "config": { "configMap": "test-script" }, "external": { "payload": { "secrets": ["users"] } } });
    let files = planned(secret, TWO_FILES, &[]).expect("a Secret may have any file").files;
    let Files::Mounted { sources, .. } = files else { panic!("mounted") };
    assert_eq!((sources[1].source, sources[1].name.as_str()), (FileSource::Secret, "users"));
}

fn config_map_of_script(script: &str) -> ConfigMapFact {
    config_map("", "test-script", &[(SCRIPT_KEY, Content::Script(script.into()))])
}

#[test]
fn the_environments_own_files_are_those_that_must_be_given() {
    let mut test = load_test("t").with_environment("dev");
    let script = "config: {processor: a.js, environments: {dev: {processor: ./b}}}";
    let map = |key| {
        config_map(
            "",
            "test-script",
            &[(SCRIPT_KEY, Content::Script(script.into())), (key, Content::Present)],
        )
    };
    assert!(plan(&test, &[map("b.js")]).is_ok());
    assert!(plan(&test, &[map("a.js")]).expect_err("a problem").message.contains("\"./b\""));
    test.spec.environment = None;
    assert!(plan(&test, &[map("a.js")]).is_ok());
    test.spec.environment = Some("dev".to_owned());
    let script = "config: {payload: {path: a.csv}, environments: {dev: {payload: {path: b.csv}}}}";
    let message = plan(&test, &[config_map_of_script(script)]).expect_err("a problem").message;
    assert!(message.starts_with("the test script's config.payload.path is \"b.csv\""), "{message}");
}

#[test]
fn keys_become_files_in_folders() {
    let with = |items: serde_json::Value| {
        let files = json!([{ "configMap": "files", "items": items }]);
        let script = "config: {payload: {path: data/users.csv}}";
        planned(json!({ "config": { "configMap": "test-script" }, "files": files }), script, &["users"])
    };
    let plan = with(json!([{ "key": "users", "path": "data/users.csv" }])).expect("a plan");
    let Files::Mounted { sources, .. } = plan.files else { panic!("mounted") };
    assert_eq!(sources[1].items, [("users".to_owned(), "data/users.csv".to_owned())]);
    let (reason, message) =
        with(json!([{ "key": "user", "path": "data/users.csv" }])).expect_err("a problem");
    assert_eq!(reason, "MissingFile");
    assert_eq!(
        message,
        "ConfigMap \"files\" has no key \"user\", see field .spec.testScript.files[0].items[0].key: it has users"
    );
    let (reason, _) = with(json!([
        { "key": "users", "path": "data/users.csv" },
        { "key": "users", "path": "test-script.yaml" },
    ]))
    .expect_err("a problem");
    assert_eq!(reason, "ConflictingFiles");
}

#[test]
fn no_path_is_both_a_file_and_a_folder() {
    let with = |paths: [&str; 2]| {
        let items = paths.map(|path| json!({ "key": "users", "path": path }));
        let files = json!([{ "configMap": "files", "items": items }]);
        planned(json!({ "config": { "configMap": "test-script" }, "files": files }), "{}", &["users"])
    };
    for paths in [["data", "data/users.csv"], ["data/more/users.csv", "data"], ["a", "a/b/c"]] {
        let (reason, message) = with(paths).expect_err("a problem");
        assert_eq!(reason, "ConflictingFiles");
        assert!(paths.iter().all(|path| message.contains(&format!("\"{path}\""))), "{message}");
    }
    for paths in [["data", "data.csv"], ["data/a", "data/b"], ["data-a/b", "data"]] {
        assert!(with(paths).is_ok(), "{paths:?}");
    }
}

#[test]
fn a_file_above_the_scripts_folder_cannot_be_given() {
    let script = "config: {payload: {path: ../users.csv}}";
    let (reason, message) =
        planned(json!({ "config": { "configMap": "test-script" } }), script, &[]).expect_err("a problem");
    assert_eq!(reason, "MissingFile");
    assert!(message.contains("leads out of the test script's folder"), "{message}");
}

#[test]
fn type_script_is_copied_to_where_it_can_be_compiled() {
    let are_copied = |files: &[&str]| {
        let external = json!({ "processor": { "main": { "configMap": "files" } } });
        let plan =
            planned(json!({ "config": { "configMap": "test-script" }, "external": external }), "{}", files);
        matches!(plan.expect("a plan").files, Files::Mounted { are_copied: true, .. })
    };
    assert!(are_copied(&["processor.ts"]));
    assert!(!are_copied(&["processor.js", "mots"]));
}

#[test]
fn type_script_that_a_secret_may_have_is_copied_too() {
    let are_copied = |script: &str, options: serde_json::Value, kind: &str| {
        let mut test = load_test("t");
        let test_script = json!({ "config": { "configMap": "test-script" }, "files": [{ kind: "hooks" }] });
        test.spec.test_script = serde_json::from_value(test_script).expect("a test script");
        test.spec.artillery = serde_json::from_value(options).expect("options");
        let maps = [
            config_map("", "test-script", &[(SCRIPT_KEY, Content::Script(script.into()))]),
            config_map("", "hooks", &[("hooks.js", Content::Present)]),
        ];
        let plan = plan(&test, &maps).expect("a plan");
        matches!(plan.files, Files::Mounted { are_copied: true, .. })
    };
    let none = || json!({});
    assert!(are_copied("config: {processor: ./hooks.ts}", none(), "secret"));
    assert!(are_copied("config: {processor: ./hooks}", none(), "secret"), "Artillery may find hooks.ts");
    assert!(!are_copied("config: {processor: ./hooks.js}", none(), "secret"));
    assert!(!are_copied("{}", none(), "secret"));
    assert!(!are_copied("config: {processor: ./hooks}", none(), "configMap"));
    let overrides = json!({ "overrides": { "config": { "processor": "./hooks.ts" } } });
    assert!(are_copied("{}", overrides, "secret"));
    assert!(are_copied("{}", json!({ "config": "base.yaml" }), "secret"));
}

#[test]
fn a_script_of_the_image_needs_no_config_map() {
    let plan = planned(json!({ "path": "/tests/script.yaml" }), "", &[]).expect("a plan");
    assert_eq!(plan.files, Files::InImage("/tests/script.yaml".into()));
    let (reason, message) = planned(json!({}), "", &[]).expect_err("a problem");
    assert_eq!(
        (reason.as_str(), message.as_str()),
        ("InvalidSpec", ".spec.testScript: give either config.configMap or path")
    );
}

#[test]
fn the_files_of_artillerys_options_must_be_given_and_its_json_must_fit() {
    let mut test = load_test("t");
    let options = |options: serde_json::Value| serde_json::from_value(options).expect("options");
    test.spec.artillery = Some(options(json!({ "config": "base.yaml" })));
    let problem = plan(&test, &[good_script()]).expect_err("a problem");
    assert!(
        problem.message.starts_with("field .spec.artillery.config is \"base.yaml\", and no such file"),
        "{}",
        problem.message
    );
    test.spec.artillery = Some(options(json!({ "variables": { "a": "x".repeat(200_000) } })));
    let problem = plan(&test, &[good_script()]).expect_err("a problem");
    assert_eq!(problem.reason, "InvalidSpec");
    assert!(problem.message.starts_with(".spec.artillery.variables has 200008 bytes"), "{}", problem.message);
}

#[test]
fn names_that_no_config_map_can_have_are_refused_before_anything_is_read() {
    for name in ["my script", "a/b", "a?b", "../../other/configmaps/x", "A", "-a", "a..b", "a-", ""] {
        let mut load_test = load_test("t");
        set_script(&mut load_test, name);
        let problem = config_maps(&load_test).expect_err("a problem");
        assert_eq!(problem.reason, "InvalidSpec");
        let start = format!(".spec.testScript.config.configMap is \"{name}\"");
        assert!(problem.message.starts_with(&start), "{}", problem.message);
    }
    for name in ["test-script", "a.b-c.0"] {
        let mut load_test = load_test("t");
        set_script(&mut load_test, name);
        assert!(config_maps(&load_test).is_ok(), "{name}");
    }
}

#[test]
fn what_the_first_operators_schema_let_pass_is_refused_by_name() {
    let long = "n".repeat(62);
    for (name, count, part) in [
        ("t", 0, ".spec.count is 0: it must be between 1 and 10000"),
        ("t", -1, ".spec.count is -1"),
        ("t", 1_000_000, ".spec.count is 1000000"),
        ("a.b", 1, "must not contain dots"),
        (&long, 1, "too long"),
        (&long[..60], 1000, "too long"),
    ] {
        let (reason, message) = refusal(&load_test(name).with_count(count), &[good_script()]);
        assert_eq!(reason, "InvalidSpec", "{name} {count}");
        assert!(message.contains(part), "{part} in {message}");
    }
    assert!(
        validate(&load_test(&long[..61]).with_count(10), &[good_script()], None, &Settings::default())
            .is_ok()
    );
}

#[test]
fn a_list_with_a_value_that_is_nested_too_deep_is_read_and_the_value_refused() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    for (spec, field) in [
        (format!(r#""artillery":{{"variables":{{"a":{deep}}}}}"#), ".spec.artillery.variables"),
        (format!(r#""artillery":{{"overrides":{{"a":{deep}}}}}"#), ".spec.artillery.overrides"),
        (format!(r#""worker":{{"podTemplate":{{"a":{deep}}}}}"#), ".spec.worker.podTemplate"),
    ] {
        let list = format!(
            r#"{{"apiVersion":"loadtest.artillery.io/v1alpha1","kind":"LoadTestList","metadata":{{"resourceVersion":"1"}},"items":[{{"apiVersion":"loadtest.artillery.io/v1alpha1","kind":"LoadTest","metadata":{{"name":"deep","namespace":"a"}},"spec":{{"testScript":{{"config":{{"configMap":"test-script"}}}},{spec}}}}}]}}"#
        );
        let list: kube::core::ObjectList<LoadTest> = serde_json::from_str(&list).expect("a list");
        let problem = plan(&list.items[0], &[good_script()]).expect_err("a problem");
        let message = format!("{field} is nested deeper than 100 levels");
        assert_eq!((problem.reason, problem.message), (INVALID_SPEC, message));
    }
}

#[test]
fn a_value_of_any_length_is_named_in_few_words() {
    let long = "p".repeat(400_000);
    for path in [long.clone(), format!("../{long}")] {
        let text = format!("config: {{processor: {path}}}");
        let (reason, message) = refusal(&load_test("t"), &[script(&[(SCRIPT_KEY, Content::Script(text))])]);
        assert_eq!(reason, MISSING_FILE);
        assert!(message.len() < 600 && message.contains(".spec.testScript.files"), "{message}");
    }

    let mut plugins = load_test("t");
    let env = json!({ "env": [{ "name": "ARTILLERY_PLUGINS", "value": "p".repeat(90_000) }] });
    plugins.spec.worker = Some(serde_json::from_value(env).expect("a worker"));
    let (_, message) = refusal(&plugins, &[good_script()]);
    assert!(message.len() < 600 && message.ends_with("such as {\"publish-metrics\": []}"), "{message}");
}
