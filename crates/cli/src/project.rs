//! From what was typed to a load test that can be planned: the script, what is merged into it, and Artillery's options are read once, for
//! all commands. What is wrong with it is for the plan to tell.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use loadtest::api::{Artillery, Json, JsonError};
use loadtest::script::{self, Merged, Script, is_program};
use serde_json::{Map, Value};

use crate::beside::Folders;
use crate::exit::Failure;
use crate::flags::Options;
use crate::plan::config::{Source, Sources};
use crate::plan::{Problem, document};

/// A load test of a script.
#[derive(Clone, Debug, Default)]
pub struct Project {
    /// The script, as it was named.
    pub script: PathBuf,
    /// Its text.
    pub text: String,
    /// What is read of it.
    pub read: Script,
    /// What is read of the file of `--config`.
    pub config: Option<Script>,
    /// The script and that file with the places of everything in them; not of programs, which Artillery runs.
    pub sources: Vec<Source>,
    /// Those of the two that are programs, and that seem to name files: Artillery alone knows which.
    pub naming_programs: Vec<String>,
    /// Why one of them cannot be read.
    pub unreadable: Vec<Problem>,
    /// The script's environment.
    pub environment: Option<String>,
    /// Artillery's options; the files among them are paths from where we are.
    pub artillery: Artillery,
    /// `--overrides`.
    pub overrides: Option<Value>,
}

impl Project {
    /// Reads it.
    ///
    /// # Errors
    /// A file cannot be read, or an option is wrong.
    pub fn read(path: &Path, flags: &Options) -> Result<Self, Failure> {
        let artillery = options(flags)?;
        let overrides = artillery.overrides.as_ref().and_then(|json| json.read().ok());
        let mut project = Self {
            script: path.to_owned(),
            text: text(path, "the script")?,
            environment: flags.environment.clone(),
            artillery,
            overrides,
            ..Self::default()
        };
        project.read = project.add(path, &project.text.clone());
        if let Some(config) = &flags.config {
            let text = text(config, "--config")?;
            project.config = Some(project.add(config, &text));
        }
        Ok(project)
    }

    fn add(&mut self, path: &Path, text: &str) -> Script {
        let file = path.display().to_string();
        if path.to_str().is_some_and(is_program) {
            // in a comment, too: it is but told
            if ["payload", "processor"].iter().any(|key| text.contains(key)) {
                self.naming_programs.push(file);
            }
            return Script::default();
        }
        let root = match document::read(text) {
            Ok(root) => root,
            Err((at, why)) => {
                self.unreadable.push(Problem::at(&file, at, why));
                return Script::default();
            }
        };
        // to read a long script twice takes twice as long
        let read = script::of_config(root.get("config").map_or(Value::Null, document::Node::json));
        self.sources.push(Source { file: file.clone(), root });
        read.map_or_else(|| script::read(text), Ok).unwrap_or_else(|why| {
            self.unreadable.push(Problem::at(&file, document::Place::START, why));
            Script::default()
        })
    }

    /// A name for it in its report: the script's.
    pub fn stem(&self) -> &str {
        self.script.file_stem().and_then(|stem| stem.to_str()).unwrap_or("load-test")
    }

    /// All that is merged into the script.
    pub fn merged(&self) -> Merged<'_> {
        Merged {
            script: &self.read,
            config: self.config.as_ref(),
            environment: self.environment.as_deref(),
            overrides: self.overrides.as_ref(),
        }
    }

    /// The same with the places of everything.
    pub fn sources(&self) -> Sources<'_> {
        Sources {
            texts: self.sources.iter().collect(),
            environment: self.environment.as_deref(),
            overrides: self.overrides.as_ref(),
        }
    }

    /// The file of `--config`, from where we are.
    pub fn config_file(&self) -> Option<&Path> {
        self.artillery.config.as_deref().map(Path::new)
    }

    /// Where its files are looked for.
    pub fn folders(&self) -> Folders {
        Folders::of(&self.script, self.config_file())
    }
}

/// A text file, within the bounds of a script, and of a name that Artillery takes: of `--config` it takes the same as of a script.
fn text(path: &Path, what: &str) -> Result<String, Failure> {
    let shown = path.display();
    let cannot = |error| Failure::usage(format!("{what} {shown}: {error}"));
    let meta = fs::metadata(path).map_err(cannot)?;
    if !meta.is_file() {
        return Err(Failure::usage(format!("{what} {shown} is no file")));
    }
    if !path.to_str().is_none_or(script::is_script) {
        return Err(Failure::usage(format!(
            "{what} {shown}: Artillery takes no file of that name: it must end in .yaml, .yml, .json, .js or .ts"
        )));
    }
    if meta.len() > script::MAX_BYTES as u64 {
        let (is, most) = (meta.len(), script::MAX_BYTES);
        return Err(Failure::usage(format!("{what} {shown} has {is} bytes, more than {most}")));
    }
    String::from_utf8(fs::read(path).map_err(cannot)?)
        .map_err(|error| Failure::usage(format!("{what} {shown} is no text in UTF-8: {error}")))
}

/// Artillery's options, as they were typed.
///
/// # Errors
/// One is no object in JSON, or names a file that cannot be read.
fn options(flags: &Options) -> Result<Artillery, Failure> {
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

/// A file that is there and may be read: Artillery would go on without it.
fn file(flag: &str, path: Option<&Path>) -> Result<Option<String>, Failure> {
    let Some(path) = path else { return Ok(None) };
    let shown = path.display();
    let wrong = |why: &dyn std::fmt::Display| Failure::usage(format!("{flag} {shown}: {why}"));
    let meta = fs::metadata(path).map_err(|error| wrong(&error))?;
    if !meta.is_file() {
        return Err(wrong(&"it is no file"));
    }
    File::open(path).map_err(|error| wrong(&error))?;
    let text = path.to_str().ok_or_else(|| wrong(&"its name is not in UTF-8"))?;
    Ok(Some(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a script of that text, with these options.
    fn read(text: Option<&[u8]>, flags: &Options) -> Result<Project, String> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("script.yaml");
        if let Some(text) = text {
            fs::write(&path, text).expect("a file");
        }
        let shown = folder.path().display().to_string();
        Project::read(&path, flags).map_err(|failure| {
            assert_eq!(failure.exit.code(), 2);
            failure.to_string().replace(&shown, "FOLDER")
        })
    }

    #[test]
    fn files_that_cannot_be_read_and_options_that_are_wrong_are_wrong_usage() {
        let none = Options::default;
        let some = |text: &str| Some(text.to_owned());
        let folder = tempfile::tempdir().expect("a folder");
        let a_folder = Some(folder.path().to_owned());
        for (text, flags, said) in [
            (None, none(), "the script FOLDER/script.yaml: No such file"),
            (Some(&b"\xff"[..]), none(), "the script FOLDER/script.yaml is no text in UTF-8"),
            (
                Some(b"config: {}"),
                Options { variables: some("[1]"), ..none() },
                "--variables is [1]: give an object in JSON",
            ),
            (
                Some(b"config: {}"),
                Options { overrides: some("{a"), ..none() },
                "--overrides cannot be read: ",
            ),
            (
                Some(b"config: {}"),
                Options { config: Some("no.yaml".into()), ..none() },
                "--config no.yaml: No such file",
            ),
            (
                Some(b"config: {}"),
                Options { dotenv: Some("no.env".into()), ..none() },
                "--dotenv no.env: No such file",
            ),
            (
                Some(b"config: {}"),
                Options { dotenv: a_folder, ..none() },
                &format!("--dotenv {}: it is no file", folder.path().display()),
            ),
        ] {
            let error = read(text, &flags).expect_err(said);
            assert!(error.starts_with(said), "{error}");
        }
        let error = Project::read(folder.path(), &none()).expect_err("a folder").to_string();
        assert!(error.ends_with(" is no file"), "{error}");
    }

    #[test]
    fn what_artillery_refuses_for_its_name_is_refused() {
        let refused = "Artillery takes no file of that name: it must end in .yaml, .yml, .json, .js or .ts";
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["load.txt", "load.mjs", "load.cjs", "load", "load.yaml.bak"] {
            let path = folder.path().join(name);
            fs::write(&path, "config: {}").expect("a file");
            let failure = Project::read(&path, &Options::default()).expect_err(name);
            let said = format!("the script {}: {refused}", path.display());
            assert_eq!((failure.exit.code(), failure.to_string()), (2, said));
        }
        let config = folder.path().join("load.txt");
        let flags = Options { config: Some(config.clone()), ..Options::default() };
        let error = read(Some(b"config: {}"), &flags).expect_err("refused");
        assert_eq!(error, format!("--config {}: {refused}", config.display()));
    }

    #[test]
    fn what_is_there_is_taken_and_what_is_no_yaml_is_a_problem_with_its_place() {
        let flags = Options {
            environment: Some("dev".to_owned()),
            variables: Some(r#"{"a": [1, 2]}"#.to_owned()),
            ..Options::default()
        };
        let project = read(Some(b"config: {payload: {path: a.csv}}"), &flags).expect("a project");
        assert_eq!((project.stem(), project.environment.as_deref()), ("script", Some("dev")));
        assert_eq!(project.artillery.variables.as_ref().map(Json::text), Some(Ok(r#"{"a":[1,2]}"#)));
        assert_eq!(project.merged().files()[0].path, "a.csv");
        for text in ["config:\n\ttarget: a", " \n", "config: 5"] {
            let project = read(Some(text.as_bytes()), &Options::default()).expect("a project");
            let problems: Vec<_> = project.unreadable.iter().map(Problem::to_string).collect();
            assert!(problems.len() == 1 && problems[0].contains("script.yaml:"), "{text}: {problems:?}");
        }
    }
}
