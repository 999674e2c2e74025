//! From a LoadTest and the files it names to a [`Plan`] that can be run, or to the one [`Problem`] that its user has to
//! mend: the only way to a Job leads through here.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::{Map, Value};

use crate::api::SCRIPT_ENDINGS;
use crate::api::{
    Artillery, Distribution, FileSource, Hooks, JsonError, LoadTest, MAX_COUNT, MIN_COUNT, NAME_TOO_LONG,
    NAME_WITH_DOT, Named,
};
use crate::reporter::{Kit, Reporter, report_name};
use crate::script::{Script, is_program, is_script};
use crate::settings::{Settings, WorkerDefaults};
use crate::template::Template;
use crate::workers::brief;

mod files;
mod job_fields;
mod problem;

pub use problem::*;

/// A ConfigMap that a LoadTest names, as it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigMapFact {
    /// The field that names it, such as `.spec.testScript.config.configMap`.
    pub field: String,
    /// Its name.
    pub name: String,
    /// What is in it; `None` if there is no such ConfigMap. Shared where it is named several times.
    pub keys: Option<Arc<BTreeMap<String, Content>>>,
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
    /// The test script, by whoever has read it already.
    Read(Box<crate::script::Script>),
}

/// What will run: a valid LoadTest whose files are all there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Number of workers, 1 to 10000.
    pub workers: i32,
    /// Environment of the script, never empty.
    pub environment: Option<String>,
    /// Where the script and its files come from.
    pub files: Files,
    /// How Artillery runs the script.
    pub artillery: Artillery,
    /// What the workers are where the user does not say.
    pub defaults: WorkerDefaults,
    /// What the user wants of the workers' pods.
    pub template: Template,
    /// How the workers report; `None` if they do not.
    pub reporter: Option<Reporter>,
    /// What the script wants checked, as it is written.
    pub ensure: Option<Value>,
    /// That the script does not have the environment, in words: Artillery then runs it without one.
    pub unknown_environment: Option<String>,
    /// Whether the script has checks that nobody looks at: [`crate::script::IDLE_CHECKS`].
    pub has_idle_checks: bool,
}

/// Where the script and its files come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Files {
    /// From ConfigMaps and Secrets, whose keys become files in one folder.
    Mounted {
        /// The file that is the script.
        script: String,
        /// Each once, the script's first.
        sources: Vec<Source>,
        /// Whether they are copied to where a worker may write: Artillery compiles TypeScript in place.
        are_copied: bool,
    },
    /// They are in the worker's image, or in a volume of the user's: the path of the script.
    InImage(String),
}

/// Files of one ConfigMap or Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is.
    pub source: FileSource,
    /// Its name.
    pub name: String,
    /// Which keys become which files, as (key, path); all, under their own names, if there are none.
    pub items: Vec<(String, String)>,
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
    let named = load_test.spec.test_script.named();
    for Named { field, name, source, .. } in &named {
        if !is_subdomain(name) {
            let what = match source {
                FileSource::ConfigMap => "ConfigMap",
                FileSource::Secret => "Secret",
            };
            return Err(Problem::invalid_spec(format!(
                "{field} is \"{name}\", which no {what} can be called: use lower case letters, digits, dashes and dots"
            )));
        }
    }
    let maps = named.into_iter().filter(files::is_source_of_facts);
    Ok(maps.map(|named| (named.field, named.name)).collect())
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
pub fn validate(
    load_test: &LoadTest,
    facts: &[ConfigMapFact],
    kit: Option<&Kit>,
    settings: &Settings,
) -> Result<Plan, Problem> {
    config_maps(load_test)?;
    if load_test.spec.count > settings.max_count {
        return Err(Problem::invalid_spec(format!(
            ".spec.count is {}: this operator runs at most {} workers for a load test (MAX_COUNT in its ConfigMap artillery-operator-manager-config)",
            load_test.spec.count, settings.max_count
        )));
    }
    let spec = &load_test.spec;
    let named = spec.test_script.named();
    let environment = spec.environment.clone().filter(|e| !e.is_empty());
    let artillery = spec.artillery.clone().unwrap_or_default();
    validate_options(&artillery)?;
    let (files, script) = files::find(&spec.test_script, &named, facts, &artillery, environment.as_deref())?;
    if spec.distribution == Some(Distribution::Split) && kit.is_none() {
        return Err(Problem::invalid_spec(
            ".spec.distribution is Split, and this operator has no collector to give the workers their shares: use Replicate, or an operator with --collector-bind-address",
        ));
    }
    if spec.hooks == Some(Hooks::Once) && kit.is_none() {
        return Err(Problem::invalid_spec(
            ".spec.hooks is Once, and this operator has no collector to hand the workers what before captured: use PerWorker, or an operator with --collector-bind-address",
        ));
    }
    let template = Template::of(spec.worker.as_ref(), load_test.name(), &files)?;
    let is_whole = is_whole(load_test, &files);
    let unknown_environment = environment.as_deref().filter(|_| is_whole);
    Ok(Plan {
        unknown_environment: unknown_environment.and_then(|name| unknown(name, &script)),
        workers: spec.count,
        environment,
        files,
        artillery,
        defaults: settings.worker.clone(),
        template,
        reporter: kit.map(|kit| Reporter::new(load_test, kit)),
        has_idle_checks: is_whole && script.has_idle_checks,
        ensure: script.ensure,
    })
}

/// Whether the script that is read is all that may have environments and plugins.
fn is_whole(load_test: &LoadTest, files: &Files) -> bool {
    let more = load_test.spec.artillery.as_ref().is_some_and(|a| a.config.is_some() || a.overrides.is_some());
    !more && matches!(files, Files::Mounted { script, .. } if !is_program(script))
}

fn unknown(environment: &str, script: &Script) -> Option<String> {
    let there: Vec<_> = script.environments().collect();
    let has = match there.as_slice() {
        names if names.contains(&environment) => return None,
        [] => "it has none".to_owned(),
        names => format!("it has {}", names.join(", ")),
    };
    Some(format!(
        "field .spec.environment is \"{environment}\": the test script has no such environment under config.environments ({has}), and Artillery runs it without one"
    ))
}

/// What the API server refuses today it may have accepted under the first operator's schema.
fn validate_spec(load_test: &LoadTest) -> Result<(), Problem> {
    let invalid = |message: String| Err(Problem::invalid_spec(message));
    let (name, count, script) = (load_test.name(), load_test.spec.count, &load_test.spec.test_script);
    if !(MIN_COUNT..=MAX_COUNT).contains(&count) {
        return invalid(format!(".spec.count is {count}: it must be between {MIN_COUNT} and {MAX_COUNT}"));
    }
    if name.contains('.') {
        return invalid(format!("\"{name}\": {NAME_WITH_DOT}"));
    }
    if format!("{name}-{}", count - 1).len() > 63 {
        return invalid(format!("\"{name}\": {NAME_TOO_LONG}"));
    }
    if script.config.is_some() == script.path.is_some() {
        return invalid(".spec.testScript: give either config.configMap or path".to_owned());
    }
    let key = script.config.as_ref().and_then(|config| config.key.as_deref());
    for (field, name) in [("config.key", key), ("path", script.path.as_deref())] {
        if let Some(name) = name.filter(|name| !is_script(name)) {
            return invalid(format!(".spec.testScript.{field} is {:?}: {SCRIPT_ENDINGS}", brief(name)));
        }
    }
    Ok(())
}

fn validate_options(artillery: &Artillery) -> Result<(), Problem> {
    for (option, value) in [("variables", &artillery.variables), ("overrides", &artillery.overrides)] {
        let Some(value) = value else { continue };
        match value.read::<Map<String, Value>>() {
            Ok(_) => {}
            Err(error @ JsonError::TooLarge(_)) => {
                return Err(Problem::invalid_spec(format!(
                    ".spec.artillery.{option} {error}, and the rest in the test script or in a file of .spec.artillery.config"
                )));
            }
            Err(error) => return Err(Problem::invalid_json(&format!(".spec.artillery.{option}"), &error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
