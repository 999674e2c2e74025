//! From a LoadTest and the files it names to a [`Plan`] that can be run, or to the one [`Problem`] that its user has to
//! mend: the only way to a Job leads through here.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;

use crate::api::{LoadTest, MAX_COUNT, MIN_COUNT, NAME_TOO_LONG, NAME_WITH_DOT};
use crate::reporter::{Kit, Reporter, report_name};
use crate::script::{self, Script};

/// The key of the script's ConfigMap that is the test script.
pub const SCRIPT_KEY: &str = "test-script.yaml";

/// A ConfigMap that a LoadTest names, as it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigMapFact {
    /// The field that names it, such as `.spec.testScript.config.configMap`.
    pub field: String,
    /// Its name.
    pub name: String,
    /// What is in it; `None` if there is no such ConfigMap.
    pub keys: Option<BTreeMap<String, Content>>,
}

/// As much of a file's content as a plan needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing but white space.
    Blank,
    /// Something.
    Present,
    /// The text of a file that may be the script.
    Script(String),
}

/// What will run: a valid LoadTest whose files are all there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Number of workers, 1 to 10000.
    pub workers: i32,
    /// Environment of the script, never empty.
    pub environment: Option<String>,
    /// The ConfigMaps whose keys become files in one folder, the script's first, each once.
    pub config_maps: Vec<String>,
    /// How the workers report; `None` if they do not.
    pub reporter: Option<Reporter>,
    /// What the script wants checked, as it is written.
    pub ensure: Option<Value>,
}

/// Why a load test cannot start: shown as condition and as Warning event until it is mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One CamelCase word.
    pub reason: &'static str,
    /// A sentence that names the field, the value and what would be right.
    pub message: String,
}

/// The script's ConfigMap does not exist.
pub const MISSING_TEST_SCRIPT: &str = "MissingTestScript";
/// The script's ConfigMap has no script in it.
pub const INVALID_TEST_SCRIPT: &str = "InvalidTestScript";
/// Another ConfigMap does not exist.
pub const MISSING_CONFIG_MAP: &str = "MissingConfigMap";
/// Two ConfigMaps have a file of the same name.
pub const CONFLICTING_FILES: &str = "ConflictingFiles";
/// The object was stored before the API server refused such values.
pub const INVALID_SPEC: &str = "InvalidSpec";

/// The Job is refused by admission, by quota, or for want of a right of the operator's.
pub const JOB_REFUSED: &str = "JobRefused";
/// A ConfigMap of the report's name is somebody else's.
pub const REPORT_NAME_TAKEN: &str = "ReportNameTaken";
/// The report of an earlier LoadTest of that name is still there.
pub const EARLIER_REPORT: &str = "WaitingForEarlierReport";
/// The operator may not read a ConfigMap.
pub const UNREADABLE_CONFIG_MAP: &str = "UnreadableConfigMap";

impl Problem {
    /// The API server refuses to create or to start the Job, in its own words.
    pub fn job_refused(words: &str) -> Self {
        Self { reason: JOB_REFUSED, message: format!("the API server refuses the Job: {words}") }
    }

    /// The script's ensure cannot be evaluated; why, with its place.
    pub fn invalid_ensure(why: &str) -> Self {
        let message = format!("Load Test test script has a check that cannot be evaluated: {why}");
        Self { reason: INVALID_TEST_SCRIPT, message }
    }

    /// The API server refuses to show a ConfigMap, in its own words.
    pub fn unreadable(field: &str, name: &str, words: &str) -> Self {
        let message = format!("ConfigMap \"{name}\" cannot be read, see field {field}: {words}");
        Self { reason: UNREADABLE_CONFIG_MAP, message }
    }
}

/// What is wrong if there is a ConfigMap of the report's name already: it is never written over.
pub fn report_taken(load_test: &LoadTest, there: &ConfigMap) -> Option<Problem> {
    let (name, report) = (load_test.name(), report_name(load_test.name()));
    let owners = || there.metadata.owner_references.iter().flatten();
    if owners().any(|owner| owner.uid == load_test.uid()) {
        return None;
    }
    if owners().any(|owner| owner.kind == "LoadTest" && owner.name == name) {
        let message =
            format!("waiting until the report of an earlier LoadTest \"{name}\" is gone, with that LoadTest");
        return Some(Problem { reason: EARLIER_REPORT, message });
    }
    let message = format!(
        "there is a ConfigMap \"{report}\" that is not of this LoadTest, and its report bears that name, see field .metadata.name: delete that ConfigMap, or create the LoadTest under another name"
    );
    Some(Problem { reason: REPORT_NAME_TAKEN, message })
}

/// The ConfigMaps that have to be read for a plan, as (field, name), the script's first: all have names that are names.
///
/// # Errors
/// The first problem of the spec itself that its user has to mend.
pub fn config_maps(load_test: &LoadTest) -> Result<Vec<(String, String)>, Problem> {
    validate_spec(load_test)?;
    let named = load_test.spec.config_maps();
    for (field, name) in &named {
        if !is_subdomain(name) {
            let message = format!(
                "{field} is \"{name}\", which no ConfigMap can be called: use lower case letters, digits, dashes and dots"
            );
            return Err(Problem { reason: INVALID_SPEC, message });
        }
    }
    Ok(named)
}

/// RFC 1123, as Kubernetes has it: such a name is also safe in a path.
fn is_subdomain(name: &str) -> bool {
    let is_inner = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
    let is_label = |label: &str| {
        !label.is_empty() && !label.starts_with('-') && !label.ends_with('-') && label.bytes().all(is_inner)
    };
    name.len() <= 253 && name.split('.').all(is_label)
}

/// Makes a plan of a LoadTest and of the ConfigMaps that [`config_maps`] names, in that order. Those after one that is
/// missing may be left out. Its workers report if there is a `kit`.
///
/// # Errors
/// The first problem that its user has to mend.
pub fn validate(load_test: &LoadTest, files: &[ConfigMapFact], kit: Option<&Kit>) -> Result<Plan, Problem> {
    config_maps(load_test)?;
    let mut script = Script::default();
    for (i, file) in files.iter().enumerate() {
        let keys = file.keys.as_ref().ok_or_else(|| missing(i == 0, file))?;
        if i == 0 {
            script = validate_script(file, keys)?;
        }
    }
    let files = each_once(files);
    no_conflicts(&files)?;
    Ok(Plan {
        workers: load_test.spec.count,
        environment: load_test.spec.environment.clone().filter(|e| !e.is_empty()),
        config_maps: files.iter().map(|f| f.name.clone()).collect(),
        reporter: kit.map(|kit| Reporter::new(load_test, kit)),
        ensure: script.ensure,
    })
}

/// What the API server refuses today it may have accepted under the first operator's schema.
fn validate_spec(load_test: &LoadTest) -> Result<(), Problem> {
    let invalid = |message: String| Err(Problem { reason: INVALID_SPEC, message });
    let (name, count) = (load_test.name(), load_test.spec.count);
    if !(MIN_COUNT..=MAX_COUNT).contains(&count) {
        return invalid(format!(".spec.count is {count}: it must be between {MIN_COUNT} and {MAX_COUNT}"));
    }
    if name.contains('.') {
        return invalid(format!("\"{name}\": {NAME_WITH_DOT}"));
    }
    if format!("{name}-{}", count - 1).len() > 63 {
        return invalid(format!("\"{name}\": {NAME_TOO_LONG}"));
    }
    Ok(())
}

fn missing(is_script: bool, file: &ConfigMapFact) -> Problem {
    let ConfigMapFact { field, name, .. } = file;
    if is_script {
        // the first operator's words, which its users' alerts may look for
        let message = format!(
            "Load Test test script ConfigMap is missing, see field {field}: there is no ConfigMap \"{name}\" in this namespace"
        );
        Problem { reason: MISSING_TEST_SCRIPT, message }
    } else {
        let message = format!(
            "ConfigMap is missing, see field {field}: there is no ConfigMap \"{name}\" in this namespace"
        );
        Problem { reason: MISSING_CONFIG_MAP, message }
    }
}

fn validate_script(file: &ConfigMapFact, keys: &BTreeMap<String, Content>) -> Result<Script, Problem> {
    let ConfigMapFact { field, name, .. } = file;
    let invalid = |message| Err(Problem { reason: INVALID_TEST_SCRIPT, message });
    match keys.get(SCRIPT_KEY) {
        Some(Content::Script(text)) => script::read(text).or_else(|why| {
            invalid(format!(
                "Load Test test script cannot be read, see field {field}: key \"{SCRIPT_KEY}\" of ConfigMap \"{name}\": {why}"
            ))
        }),
        Some(Content::Present) => invalid(format!(
            "Load Test test script is no text, see field {field}: key \"{SCRIPT_KEY}\" of ConfigMap \"{name}\" must hold an Artillery test script in UTF-8"
        )),
        Some(Content::Blank) => invalid(format!(
            "Load Test test script is empty, see field {field}: key \"{SCRIPT_KEY}\" of ConfigMap \"{name}\" must hold an Artillery test script"
        )),
        None => {
            let has = match keys.keys().take(5).cloned().collect::<Vec<_>>() {
                none if none.is_empty() => "it has no keys".to_owned(),
                some => format!("it has {}{}", some.join(", "), if keys.len() > 5 { ", …" } else { "" }),
            };
            invalid(format!(
                "Load Test test script is missing, see field {field}: ConfigMap \"{name}\" must have the script under the key \"{SCRIPT_KEY}\", but {has}"
            ))
        }
    }
}

/// The same ConfigMap may be named by several fields.
fn each_once(files: &[ConfigMapFact]) -> Vec<&ConfigMapFact> {
    let mut once: Vec<&ConfigMapFact> = Vec::new();
    for file in files {
        if !once.iter().any(|f| f.name == file.name) {
            once.push(file);
        }
    }
    once
}

fn no_conflicts(files: &[&ConfigMapFact]) -> Result<(), Problem> {
    let mut seen: BTreeMap<&str, &ConfigMapFact> = BTreeMap::new();
    for file in files {
        for key in file.keys.iter().flat_map(BTreeMap::keys) {
            if let Some(first) = seen.insert(key, file) {
                let message = format!(
                    "two ConfigMaps have a file \"{key}\": \"{}\", see field {}, and \"{}\", see field {}; rename one, for all files of a load test lie in one folder",
                    first.name, first.field, file.name, file.field
                );
                return Err(Problem { reason: CONFLICTING_FILES, message });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

    use super::*;
    use crate::fixtures::{LoadTestFixture as _, load_test};

    fn config_map(field: &str, name: &str, keys: &[(&str, Content)]) -> ConfigMapFact {
        let keys = keys.iter().map(|(key, content)| ((*key).to_owned(), content.clone())).collect();
        ConfigMapFact { field: field.to_owned(), name: name.to_owned(), keys: Some(keys) }
    }

    fn script(keys: &[(&str, Content)]) -> ConfigMapFact {
        config_map(".spec.testScript.config.configMap", "test-script", keys)
    }

    fn good_script() -> ConfigMapFact {
        script(&[(SCRIPT_KEY, Content::Script("scenarios: []".into()))])
    }

    fn refusal(load_test: &LoadTest, files: &[ConfigMapFact]) -> (&'static str, String) {
        let problem = validate(load_test, files, None).expect_err("a problem");
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
        let plan =
            validate(&load_test("basic-test").with_count(4).with_environment("dev"), &[good_script()], None);
        let expected = Plan {
            workers: 4,
            environment: Some("dev".into()),
            config_maps: vec!["test-script".into()],
            ..Plan::default()
        };
        assert_eq!(plan, Ok(expected));
    }

    #[test]
    fn an_empty_environment_is_none() {
        let plan = validate(&load_test("t").with_environment(""), &[good_script()], None).expect("a plan");
        assert_eq!(plan.environment, None);
    }

    #[test]
    fn a_config_map_named_twice_is_mounted_once() {
        let again = ConfigMapFact { field: "elsewhere".into(), ..good_script() };
        let plan = validate(&load_test("t"), &[good_script(), again], None).expect("a plan");
        assert_eq!(plan.config_maps, ["test-script"]);
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
        let users = config_map(".a", "users", &[("users.csv", Content::Present)]);
        let more = config_map(".b", "more", &[("users.csv", Content::Blank)]);
        let (reason, message) = refusal(&load_test("t"), &[good_script(), users, more]);
        assert_eq!(reason, "ConflictingFiles");
        for part in ["users.csv", "\"users\", see field .a", "\"more\", see field .b"] {
            assert!(message.contains(part), "{part} in {message}");
        }
    }

    #[test]
    fn names_that_no_config_map_can_have_are_refused_before_anything_is_read() {
        for name in ["my script", "a/b", "a?b", "../../other/configmaps/x", "A", "-a", "a..b", "a-", ""] {
            let mut load_test = load_test("t");
            load_test.spec.test_script.config.config_map = name.into();
            let problem = config_maps(&load_test).expect_err("a problem");
            assert_eq!(problem.reason, "InvalidSpec");
            let start = format!(".spec.testScript.config.configMap is \"{name}\"");
            assert!(problem.message.starts_with(&start), "{}", problem.message);
        }
        for name in ["test-script", "a.b-c.0"] {
            let mut load_test = load_test("t");
            load_test.spec.test_script.config.config_map = name.into();
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
        assert!(validate(&load_test(&long[..61]).with_count(10), &[good_script()], None).is_ok());
    }
}
