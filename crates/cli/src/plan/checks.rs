//! Everything that is wrong with a script, as far as can be told without Artillery: all of it, and not only the first.

mod steps;
#[cfg(test)]
mod tests;

use std::path::Path;

use loadtest::script::{Base, IDLE_CHECKS, Merged, NamedFile};
use metrics::checks::{Ensure, EnsureError, reads_templates};
use serde_json::{Value, json};

use super::config::{Known, Setting, Sources};
use super::document::{Node, Place};
use super::problem::Problem;
use crate::beside::{Folders, Located};
use steps::has_other_plugins;

/// What is given besides the texts.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// `--target`.
    pub target: Option<&'a str>,
    /// `--scenario-name`.
    pub scenario_name: Option<&'a str>,
    /// The texts, as far as they name files.
    pub merged: Merged<'a>,
    /// Where those are looked for.
    pub folders: &'a Folders,
}

/// A file that a text names, and that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// As it is written.
    pub path: String,
    /// Where it lies below the script's folder; `None` if it does not.
    pub below: Option<String>,
    /// The file that names it, and the place there; none of `--overrides`.
    pub named_at: Option<(String, Place)>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// What is wrong.
    pub problems: Vec<Problem>,
    /// What may not be what its author means.
    pub warnings: Vec<Problem>,
    /// The files that are named and there.
    pub files: Vec<File>,
    /// What only Artillery can tell, in words.
    pub at_run_time: Vec<String>,
    /// How many checks there are; `None` where only Artillery can tell.
    pub checks: Option<usize>,
    /// Whether something is wrong with a check of the text, and was said.
    pub has_wrong_checks: bool,
}

/// Looks at everything but the phases.
pub fn check(sources: &Sources<'_>, given: Given<'_>) -> Found {
    let mut found = Found { checks: Some(0), ..Found::default() };
    for source in &sources.texts {
        for key in source.root.repeated_keys() {
            let message =
                format!("{} stands twice in this mapping, and Artillery refuses that: remove one", key.text);
            found.problems.push(Problem::at(&source.file, key.at, message));
        }
    }
    found.environment(sources);
    found.target(sources, given);
    found.shapes_of_files(sources);
    found.files(sources, given);
    found.ensure(sources);
    found.scenarios(sources, given.scenario_name);
    found
}

impl Found {
    fn environment(&mut self, sources: &Sources<'_>) {
        let (Some(wanted), Some(source)) = (sources.environment, sources.texts.first()) else { return };
        let there = sources.environments();
        if there.contains(&wanted) {
            return;
        }
        let there =
            if there.is_empty() { "it has none".to_owned() } else { format!("it has {}", there.join(", ")) };
        let message = format!("--environment {wanted}: the script has no such environment: {there}");
        let config = source.root.entry("config");
        let key =
            config.and_then(|(_, config)| config.entry("environments")).or(config).map(|(key, _)| key.at);
        self.problems.push(Problem::at(&source.file, key.unwrap_or(Place::START), message));
    }

    fn target(&mut self, sources: &Sources<'_>, given: Given<'_>) {
        let Some(source) = sources.texts.first() else { return };
        let Some(config) = sources.top("config") else {
            if !sources.overrides_top("config") {
                let message = "config is missing: it says what the target is, and which phases the load has";
                self.problems.push(Problem::at(&source.file, source.root.at, message));
            }
            return;
        };
        if !config.node.is_map() {
            self.problems
                .push(Problem::of(&config, "config is expected to be a mapping, with target and phases"));
        } else if given.target.is_none() && matches!(sources.find("target"), Known::Nothing) {
            let message = match (sources.environment, sources.environments().is_empty()) {
                (None, false) => {
                    "config.target is missing: give it, or --target, or an --environment that has one"
                }
                _ => "config.target is missing: give it, or --target",
            };
            self.problems.push(Problem::of(&config, message));
        }
    }

    /// What is written where files are named.
    fn shapes_of_files(&mut self, sources: &Sources<'_>) {
        if let Known::Here(setting) = sources.find("payload") {
            let payloads = payloads(setting.node).iter().filter(|payload| !payload.is_null());
            for payload in payloads.filter(|payload| payload.get("path").and_then(Node::text).is_none()) {
                let message =
                    "this payload has no path: the path of a CSV file, from the script's folder, is expected";
                self.problems.push(Problem::at(setting.file, payload.at, message));
            }
        }
        if let Known::Here(Setting { file, node, .. }) = sources.find("processor")
            && node.text().is_none()
        {
            let message = format!("config.processor is {}: the path of a file is expected", node.json());
            self.problems.push(Problem::at(file, node.at, message));
        }
    }

    /// Files that are named must be there.
    fn files(&mut self, sources: &Sources<'_>, given: Given<'_>) {
        for file in given.merged.files() {
            let NamedFile { what, path, base, .. } = &file;
            if !file.is_known() {
                self.at_run_time.push(format!("{what}, which is {path}"));
                continue;
            }
            let named_at = place_of(sources, &file);
            if let Some(Located { below, .. }) = given.folders.locate(&file) {
                self.files.push(File { path: path.clone(), below, named_at });
                continue;
            }
            let folder = match base {
                Base::Working => Path::new(""),
                Base::Script | Base::Config => given.folders.script(),
            };
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            let message = format!("{what} is {path:?}, and there is no such file in {}", folder.display());
            self.problems.push(match named_at {
                Some((file, at)) => Problem::at(&file, at, message),
                None => Problem::nowhere(format!("--overrides: {message}")),
            });
        }
    }

    fn ensure(&mut self, sources: &Sources<'_>) {
        let plugins = sources.all("plugins");
        let of_plugin = plugins.iter().filter_map(|plugins| {
            let (key, node) = plugins.node.entry("ensure")?;
            Some(Setting { file: plugins.file, key, node })
        });
        let of_plugin: Vec<_> = of_plugin.collect();
        let config = sources.overrides.and_then(|overrides| overrides.get("config"));
        if let Some(config) = config
            && ["ensure", "plugins"].iter().any(|key| config.get(key).is_some())
        {
            self.checks = None;
            return self.at_run_time.push("the checks, which --overrides has a part of".to_owned());
        }
        let mut settings = sources.all("ensure");
        settings.retain(|setting| !setting.node.is_null());
        if of_plugin.is_empty() {
            return self.warnings.extend(settings.first().map(|setting| Problem::of(setting, IDLE_CHECKS)));
        }
        let settings = if settings.is_empty() { of_plugin } else { settings };
        match settings.as_slice() {
            [setting] if reads_templates(&setting.node.json()) => {
                self.checks = None;
                self.at_run_time.push("the checks, which have templates".to_owned());
            }
            [setting] => {
                let Checks { count, problems, warnings } = checks(setting);
                self.checks = Some(count);
                self.has_wrong_checks = !problems.is_empty();
                self.problems.extend(problems);
                self.warnings.extend(warnings);
            }
            _ => {
                self.checks = None;
                self.at_run_time.push("the checks, which are merged of several".to_owned());
            }
        }
    }

    fn scenarios(&mut self, sources: &Sources<'_>, chosen: Option<&str>) {
        if sources.overrides_top("scenarios") {
            return;
        }
        let Some(source) = sources.texts.first() else { return };
        let Some(setting) = sources.top("scenarios") else {
            let message = "scenarios is missing: a list of what virtual users do is expected";
            return self.problems.push(Problem::at(&source.file, source.root.at, message));
        };
        let Some(scenarios) = setting.node.list() else {
            return self.problems.push(Problem::of(&setting, "scenarios is expected to be a list"));
        };
        let plugins = has_other_plugins(sources);
        for scenario in scenarios {
            self.flow(setting.file, scenario, plugins);
        }
        let names: Vec<_> = scenarios.iter().filter_map(|it| it.get("name")?.text()).collect();
        if let Some(chosen) = chosen.filter(|chosen| is_missing(chosen, &names)) {
            let has = if names.is_empty() {
                "none has a name".to_owned()
            } else {
                format!("it has {}", names.join(", "))
            };
            let message = format!("--scenario-name {chosen}: the script has no such scenario: {has}");
            self.problems.push(Problem::of(&setting, message));
        }
        for key in ["before", "after"] {
            if let Some(Setting { file, node, .. }) = sources.top(key) {
                self.flow(file, node, plugins);
            }
        }
    }
}

/// Whether no scenario bears that name, in whole or as Artillery takes it: as a regular expression, of which plain words alone are looked at.
fn is_missing(chosen: &str, names: &[&str]) -> bool {
    let is_plain = |text: &str| !text.contains(|c: char| "\\^$.|?*+()[]{}".contains(c));
    is_plain(chosen) && !names.iter().any(|name| name.contains(chosen) || name.contains("{{"))
}

fn payloads(node: &Node) -> &[Node] {
    node.list().unwrap_or(std::slice::from_ref(node))
}

/// Where a file is named; `None` if no text does.
pub(super) fn place_of(sources: &Sources<'_>, named: &NamedFile) -> Option<(String, Place)> {
    let is_it = |node: &&Node| node.text() == Some(&named.path);
    sources.all(named.key).into_iter().rev().find_map(|Setting { file, node, .. }| {
        let found = match named.key {
            "payload" => payloads(node).iter().filter_map(|payload| payload.get("path")).find(is_it),
            _ => Some(node).filter(is_it),
        };
        found.map(|node| (file.to_owned(), node.at))
    })
}

/// What the text has to be checked.
#[derive(Default)]
struct Checks {
    count: usize,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

/// The checks of an `ensure`, and what is wrong with each, or may be.
fn checks(setting: &Setting<'_>) -> Checks {
    let mut found = Checks::default();
    let mut read = |ensure: Value, place: &dyn Fn(&str) -> Place| {
        let (count, errors, doubts) = match Ensure::read(&ensure) {
            Ok(read) => (read.len(), read.errors(), read.doubts()),
            Err(error) => (0, vec![error], Vec::new()),
        };
        found.count += count;
        let is_wrong = |doubt: &&EnsureError| errors.iter().any(|error| error.path == doubt.path);
        let say = |EnsureError { path, message }: &EnsureError, is: &str| {
            let message = format!("{}{is}: {message}", path.replace("[0]", ""));
            Problem::at(setting.file, place(path), message)
        };
        found.warnings.extend(doubts.iter().filter(|doubt| !is_wrong(doubt)).map(|doubt| say(doubt, "")));
        found.problems.extend(errors.iter().map(|error| say(error, " cannot be evaluated")));
    };
    let mut rest = setting.node.json();
    for list in ["thresholds", "conditions"] {
        let Some(entries) = setting.node.get(list).and_then(Node::list) else { continue };
        for entry in entries {
            // one by one, for the first that is wrong hides the others
            let place = |path: &str| {
                let within = path.split_once("[0].").and_then(|(_, within)| entry.get(within));
                within.map_or(entry.at, |node| node.at)
            };
            read(json!({ list: [entry.json()] }), &place);
        }
        if let Some(fields) = rest.as_object_mut() {
            fields.remove(list);
        }
    }
    let place = |path: &str| {
        let key = path.strip_prefix("ensure.").unwrap_or(path);
        setting.node.entry(key).map_or(setting.key.at, |(_, node)| node.at)
    };
    read(rest, &place);
    found
}
