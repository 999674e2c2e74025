//! The files of a load test: that all are there that the script or the spec names, each once, and where the script is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::problem::{
    CONFLICTING_FILES, INVALID_TEST_SCRIPT, MISSING_CONFIG_MAP, MISSING_FILE, MISSING_TEST_SCRIPT,
};
use super::{ConfigMapFact, Content, Files, Problem, Source};
use crate::api::{Artillery, FileSource, Named, SCRIPT_KEY, TestScript};
use crate::script::{self, Script, below, has_ending, is_program};
use crate::workers::brief;

impl Default for Files {
    fn default() -> Self {
        Self::Mounted { script: SCRIPT_KEY.to_owned(), sources: Vec::new(), are_copied: false }
    }
}

/// Reads the script, and finds that all files are there. `facts` are those of the ConfigMaps among `named`, up to the first
/// that is missing.
pub(super) fn find(
    test_script: &TestScript,
    named: &[Named],
    facts: &[ConfigMapFact],
    artillery: &Artillery,
    environment: Option<&str>,
) -> Result<(Files, Script), Problem> {
    if let Some(path) = &test_script.path {
        return Ok((Files::InImage(path.clone()), Script::default()));
    }
    let mut script = Script::default();
    for (i, fact) in facts.iter().enumerate() {
        let keys = fact.keys.as_ref().ok_or_else(|| missing(i == 0, fact))?;
        if i == 0 {
            script = validate_script(fact, keys, test_script.key())?;
        }
    }
    let mut there = There::default();
    for each in each_once(named) {
        there.add(each, facts)?;
    }
    there.has_all(&script, artillery, environment)?;
    let sources = each_once(named).map(|named| Source {
        source: named.source,
        name: named.name.clone(),
        items: named.items.clone(),
    });
    let files = Files::Mounted {
        script: test_script.key().to_owned(),
        sources: sources.collect(),
        are_copied: there.may_have_type_script(&script, artillery, environment),
    };
    Ok((files, script))
}

/// Artillery compiles TypeScript into a folder beside it: a script in whatever case its ending is, a processor only where it is lower.
fn is_type_script(path: &str) -> bool {
    has_ending(path, &["ts"])
}

/// What is merged into the script.
fn overrides(artillery: &Artillery) -> Option<Value> {
    artillery.overrides.as_ref().and_then(|json| json.read().ok())
}

/// The same ConfigMap may be named by several fields.
fn each_once(named: &[Named]) -> impl Iterator<Item = &Named> {
    let mut seen = BTreeSet::new();
    named.iter().filter(move |each| seen.insert((each.source, &each.name, &each.items)))
}

/// The files that will be there, as far as that is known.
#[derive(Default)]
struct There<'a> {
    /// By path below the script's folder: who gives it.
    paths: BTreeMap<String, &'a Named>,
    /// A Secret may have any file.
    has_unknown: bool,
}

impl<'a> There<'a> {
    fn add(&mut self, named: &'a Named, facts: &[ConfigMapFact]) -> Result<(), Problem> {
        let fact = facts.iter().find(|fact| fact.field == named.field);
        let keys = fact.and_then(|fact| fact.keys.as_ref());
        if named.items.is_empty() {
            match keys {
                Some(keys) => keys.keys().try_for_each(|key| self.put(key, named))?,
                None => self.has_unknown = true,
            }
            return Ok(());
        }
        for (i, (key, path)) in named.items.iter().enumerate() {
            if let Some(keys) = keys.filter(|keys| !keys.contains_key(key)) {
                let field = named.field.rsplit_once('.').map_or("", |(file, _)| file);
                let message = format!(
                    "ConfigMap \"{}\" has no key \"{key}\", see field {field}.items[{i}].key: {}",
                    named.name,
                    has(keys)
                );
                return Err(Problem { reason: MISSING_FILE, message });
            }
            self.put(path, named)?;
        }
        Ok(())
    }

    fn put(&mut self, path: &str, named: &'a Named) -> Result<(), Problem> {
        let Some(first) = self.paths.insert(path.to_owned(), named) else {
            return self.is_no_folder(path, named);
        };
        let message = format!(
            "two ConfigMaps or Secrets have a file \"{path}\": \"{}\", see field {}, and \"{}\", see field {}; rename one, for all files of a load test lie in one folder",
            first.name, first.field, named.name, named.field
        );
        Err(Problem { reason: CONFLICTING_FILES, message })
    }

    /// Kubernetes would never start a pod with a file where a folder is to be.
    fn is_no_folder(&self, path: &str, named: &Named) -> Result<(), Problem> {
        let mut folders = path.match_indices('/').map(|(end, _)| &path[..end]);
        let above = folders.find_map(|folder| self.paths.get_key_value(folder));
        let folder = format!("{path}/");
        let below = self.paths.range(folder.clone()..).next().filter(|(below, _)| below.starts_with(&folder));
        let Some((other, by)) = above.or(below) else { return Ok(()) };
        let both = if path.len() < other.len() { path } else { other };
        let message = format!(
            "\"{path}\" of \"{}\", see field {}, and \"{other}\" of \"{}\", see field {}, cannot both be there, for \"{both}\" would be a file and a folder; rename one",
            named.name, named.field, by.name, by.field
        );
        Err(Problem { reason: CONFLICTING_FILES, message })
    }

    /// Whether there may be TypeScript that Artillery compiles: in files that are known, or as the processor, whose ending
    /// Artillery finds where it is not written.
    fn may_have_type_script(
        &self,
        script: &Script,
        artillery: &Artillery,
        environment: Option<&str>,
    ) -> bool {
        let is_processor = |path: &str| is_type_script(path) || (self.has_unknown && !is_program(path));
        let overrides = overrides(artillery);
        let replaced = overrides.as_ref().and_then(|overrides| overrides["config"]["processor"].as_str());
        let files = script.files(environment);
        let processors = files.iter().filter(|file| file.key == "processor").map(|file| file.path.as_str());
        self.paths.keys().any(|path| is_type_script(path))
            || processors.chain(replaced).any(is_processor)
            // nobody reads it, and it may name a processor
            || (self.has_unknown && artillery.config.is_some())
    }

    /// Whether all files that the script and the options name are there.
    fn has_all(
        &self,
        script: &Script,
        artillery: &Artillery,
        environment: Option<&str>,
    ) -> Result<(), Problem> {
        let options = [("config", &artillery.config), ("dotenv", &artillery.dotenv)];
        for (option, path) in options.into_iter().filter_map(|(option, path)| Some((option, path.as_ref()?)))
        {
            self.has(path, &[""], &format!("field .spec.artillery.{option}"))?;
        }
        // what is merged into the script may name others
        let overrides = overrides(artillery);
        let is_replaced = |key: &str| {
            let config = overrides.as_ref().and_then(|overrides| overrides.get("config"));
            config.is_some_and(|config| config.get(key).is_some())
        };
        if artillery.config.is_some() {
            return Ok(());
        }
        for file in script.files(environment) {
            if is_replaced(file.key) {
                continue;
            }
            self.has(&file.path, file.endings(), &format!("the test script's {}", file.what))?;
        }
        Ok(())
    }

    fn has(&self, path: &str, endings: &[&str], whose: &str) -> Result<(), Problem> {
        let is_known = !(path.starts_with('/') || path.contains("{{") || path.contains('*'));
        if !is_known || self.has_unknown {
            return Ok(());
        }
        let wrong = |message| Err(Problem { reason: MISSING_FILE, message });
        let shown = brief(path);
        let Some(below) = below(path) else {
            return wrong(format!(
                "{whose} is \"{shown}\", which leads out of the test script's folder: give the file by .spec.testScript.files, and name it as it lies below that folder"
            ));
        };
        if endings.iter().any(|ending| self.paths.contains_key(&format!("{below}{ending}"))) {
            return Ok(());
        }
        let others = self.paths.keys().take(10).cloned().collect::<Vec<_>>().join(", ");
        let more = if self.paths.len() > 10 { ", …" } else { "" };
        wrong(format!(
            "{whose} is \"{shown}\", and no such file is given, only {others}{more}: give it by .spec.testScript.external, or by .spec.testScript.files where it lies in a folder"
        ))
    }
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

fn validate_script(
    file: &ConfigMapFact,
    keys: &BTreeMap<String, Content>,
    key: &str,
) -> Result<Script, Problem> {
    let ConfigMapFact { field, name, .. } = file;
    let invalid = |message| Err(Problem { reason: INVALID_TEST_SCRIPT, message });
    match keys.get(key) {
        // Artillery runs such a script, and tells what is in it
        Some(Content::Script(_)) if is_program(key) => Ok(Script::default()),
        Some(Content::Read(script)) => Ok(Script::clone(script)),
        Some(Content::Script(text)) => script::read(text).or_else(|why| {
            invalid(format!(
                "Load Test test script cannot be read, see field {field}: key \"{key}\" of ConfigMap \"{name}\": {why}"
            ))
        }),
        Some(Content::Present) => invalid(format!(
            "Load Test test script is no text, see field {field}: key \"{key}\" of ConfigMap \"{name}\" must hold an Artillery test script in UTF-8"
        )),
        Some(Content::Blank) => invalid(format!(
            "Load Test test script is empty, see field {field}: key \"{key}\" of ConfigMap \"{name}\" must hold an Artillery test script"
        )),
        None => invalid(format!(
            "Load Test test script is missing, see field {field}: ConfigMap \"{name}\" must have the script under the key \"{key}\", but {}",
            has(keys)
        )),
    }
}

fn has(keys: &BTreeMap<String, Content>) -> String {
    match keys.keys().take(5).cloned().collect::<Vec<_>>() {
        none if none.is_empty() => "it has no keys".to_owned(),
        some => format!("it has {}{}", some.join(", "), if keys.len() > 5 { ", …" } else { "" }),
    }
}

/// The key of the script's ConfigMap that is the test script, and all whose content matters.
pub(super) fn is_source_of_facts(named: &Named) -> bool {
    named.source == FileSource::ConfigMap
}
