//! From what was typed to a load test that can run: the script is read, and all is there that it names. Whatever is wrong is said before
//! anything starts.

use std::fs;
use std::path::{Path, PathBuf};

use loadtest::api::{Artillery, Json, JsonError};
use loadtest::script::{self, Script};
use metrics::checks::Ensure;
use serde_json::{Map, Value};

use crate::exit::Failure;
use crate::flags::{Options, Run};

/// A load test of a script.
#[derive(Clone, Debug)]
pub struct Project {
    /// What the load test is called in its report.
    pub name: String,
    /// The script, as it was named.
    pub script: PathBuf,
    /// What is read of it.
    pub read: Script,
    /// The script's environment.
    pub environment: Option<String>,
    /// Artillery's options; the files among them are paths from where we are.
    pub artillery: Artillery,
}

impl Project {
    /// Reads and checks it.
    ///
    /// # Errors
    /// What its user has to mend.
    pub fn read(path: &Path, flags: &Run) -> Result<Self, Failure> {
        let artillery = options(&flags.artillery)?;
        let environment = flags.artillery.environment.clone();
        let script = read_script(path)?;
        check_script(path, &script, environment.as_deref(), Some(&artillery))?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("load-test");
        let name = flags.name.clone().unwrap_or_else(|| stem.to_owned());
        Ok(Self { name, script: path.to_owned(), read: script, environment, artillery })
    }
}

/// Whether a script can run in that environment, and with these options, as far as can be told.
///
/// # Errors
/// An environment that it does not have, a file that is not there, a check that cannot be evaluated.
pub fn check_script(
    path: &Path,
    script: &Script,
    environment: Option<&str>,
    artillery: Option<&Artillery>,
) -> Result<(), Failure> {
    // what is merged into the script may have others
    if artillery.is_none_or(|artillery| artillery.config.is_none()) {
        check_environment(path, script, environment)?;
        check_files(path, script, environment, artillery.and_then(|artillery| artillery.overrides.as_ref()))?;
    }
    match script.ensure.as_ref().map(Ensure::as_written) {
        Some(Err(error)) => {
            let shown = path.display();
            Err(Failure::usage(format!("{shown} has a check that cannot be evaluated: {error}")))
        }
        Some(Ok(_)) | None => Ok(()),
    }
}

/// Reads a script, within bounds.
///
/// # Errors
/// It is not there, too large, or no YAML.
pub fn read_script(path: &Path) -> Result<Script, Failure> {
    let shown = path.display();
    let meta = fs::metadata(path).map_err(|error| Failure::usage(format!("the script {shown}: {error}")))?;
    if !meta.is_file() {
        return Err(Failure::usage(format!("the script {shown} is no file")));
    }
    if meta.len() > script::MAX_BYTES as u64 {
        let most = script::MAX_BYTES;
        return Err(Failure::usage(format!("the script {shown} has {} bytes, more than {most}", meta.len())));
    }
    if path.to_str().is_some_and(script::is_program) {
        return Ok(Script::default());
    }
    let bytes = fs::read(path).map_err(|error| Failure::usage(format!("the script {shown}: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| Failure::usage(format!("the script {shown} is no text in UTF-8: {error}")))?;
    if text.trim().is_empty() {
        return Err(Failure::usage(format!("the script {shown} is empty")));
    }
    script::read(&text).map_err(|why| Failure::usage(format!("the script {shown} cannot be read: {why}")))
}

fn check_environment(path: &Path, script: &Script, environment: Option<&str>) -> Result<(), Failure> {
    let Some(wanted) = environment else { return Ok(()) };
    // of a program nothing is known
    if path.to_str().is_some_and(script::is_program) || script.environments().any(|name| name == wanted) {
        return Ok(());
    }
    let there = script.environments().collect::<Vec<_>>().join(", ");
    let there = if there.is_empty() { "it has none".to_owned() } else { format!("it has {there}") };
    let shown = path.display();
    Err(Failure::usage(format!("--environment {wanted}: {shown} has no such environment: {there}")))
}

fn check_files(
    path: &Path,
    script: &Script,
    environment: Option<&str>,
    overrides: Option<&Json>,
) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let overrides: Option<Value> = overrides.and_then(|json| json.read().ok());
    let is_replaced = |key: &str| {
        let config = overrides.as_ref().and_then(|overrides| overrides.get("config"));
        config.is_some_and(|config| config.get(key).is_some())
    };
    for file in script.files(environment) {
        let is_there = |ending: &&str| folder.join(format!("{}{ending}", file.path)).is_file();
        if file.is_known() && !is_replaced(file.key) && !file.endings().iter().any(is_there) {
            return Err(Failure::usage(format!(
                "{}: {} is \"{}\", and there is no such file: it is looked for in {}",
                path.display(),
                file.what,
                file.path,
                if folder.as_os_str().is_empty() {
                    "this folder".to_owned()
                } else {
                    folder.display().to_string()
                },
            )));
        }
    }
    Ok(())
}

/// Artillery's options, as they were typed.
///
/// # Errors
/// One is no object in JSON, or names a file that is not there.
pub fn options(flags: &Options) -> Result<Artillery, Failure> {
    let Options { environment: _, target, variables, overrides, scenario_name, config, dotenv } = flags;
    Ok(Artillery {
        target: target.clone(),
        variables: object("--variables", variables.as_deref())?,
        overrides: object("--overrides", overrides.as_deref())?,
        scenario_name: scenario_name.clone(),
        config: file("--config", config.as_deref())?,
        dotenv: file("--dotenv", dotenv.as_deref())?,
    })
}

fn object(flag: &str, text: Option<&str>) -> Result<Option<Json>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let example = r#"give an object in JSON, such as '{"a": 1}'"#;
    let read: Value = serde_json::from_str(text)
        .map_err(|error| Failure::usage(format!("{flag} cannot be read: {error}: {example}")))?;
    let json = Json::from(read);
    match json.read::<Map<String, Value>>() {
        Ok(_) => Ok(Some(json)),
        Err(error @ (JsonError::TooLarge(_) | JsonError::TooDeep)) => {
            Err(Failure::usage(format!("{flag} {error}")))
        }
        Err(JsonError::Shape(_)) => Err(Failure::usage(format!("{flag} is {text}: {example}"))),
    }
}

fn file(flag: &str, path: Option<&Path>) -> Result<Option<String>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let shown = path.display();
    if !path.is_file() {
        return Err(Failure::usage(format!("{flag} {shown}: there is no such file")));
    }
    let text =
        path.to_str().ok_or_else(|| Failure::usage(format!("{flag} {shown}: its name is not in UTF-8")))?;
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::flags::{Command, Flags};

    /// What comes of a script of that text, with these flags.
    fn read(text: &str, flags: &[&str]) -> Result<Project, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("script.yaml");
        fs::write(&path, text).expect("a file");
        fs::write(folder.path().join("users.csv"), "a,b\n").expect("a file");
        fs::write(folder.path().join("hooks.js"), "").expect("a file");
        let typed = ["kubectl-artillery", "run", path.to_str().expect("a path")];
        let Command::Run(run) = Flags::parse_from(typed.iter().chain(flags)).command else { panic!("run") };
        let shown = folder.path().display().to_string();
        Project::read(&path, &run).map_err(|failure| {
            assert_eq!(failure.exit.code(), 2);
            failure.to_string().replace(&shown, "FOLDER")
        })
    }

    #[test]
    fn what_is_wrong_is_said_before_anything_starts() {
        for (text, flags, said) in [
            (" \n", &[][..], "the script FOLDER/script.yaml is empty"),
            ("config: [", &[], "the script FOLDER/script.yaml cannot be read: "),
            (
                "config: {payload: {path: no.csv}}",
                &[],
                "FOLDER/script.yaml: config.payload.path is \"no.csv\", and there is no such file",
            ),
            (
                "config: {processor: ./no}",
                &[],
                "FOLDER/script.yaml: config.processor is \"./no\", and there is no such file",
            ),
            (
                "config: {environments: {dev: {}, prod: {}}}",
                &["-e", "staging"],
                "--environment staging: FOLDER/script.yaml has no such environment: it has dev, prod",
            ),
            (
                "config: {plugins: {ensure: {}}, ensure: {conditions: [{expression: 'p95 <'}]}}",
                &[],
                "FOLDER/script.yaml has a check that cannot be evaluated: ",
            ),
            ("config: {}", &["--variables", "[1]"], "--variables is [1]: give an object in JSON"),
            ("config: {}", &["--overrides", "{a"], "--overrides cannot be read: "),
            ("config: {}", &["--config", "no.yaml"], "--config no.yaml: there is no such file"),
        ] {
            let error = read(text, flags).expect_err(said);
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn what_is_there_is_taken() {
        let text = "config: {payload: {path: users.csv}, processor: ./hooks, environments: {dev: {}}}";
        let project = read(text, &["-e", "dev", "--variables", r#"{"a": [1, 2]}"#]).expect("a project");
        assert_eq!((project.name.as_str(), project.environment.as_deref()), ("script", Some("dev")));
        let variables = project.artillery.variables.expect("variables");
        assert_eq!(variables.text(), Ok(r#"{"a":[1,2]}"#));
        assert!(read("config: {payload: {path: '{{ $env.FILE }}'}}", &[]).is_ok(), "only Artillery can tell");
    }
}
