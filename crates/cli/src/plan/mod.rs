//! What a load test of a script would do, without doing it: texts with places (`document`) → what they say of a setting (`config`) → all that
//! is wrong (`checks`, `phases`) → the load and its shares (`load`) → the objects (`objects`) → words (`text`, `chart`) or JSON.

mod chart;
pub mod checks;
pub mod compiled;
pub mod config;
pub mod document;
pub mod load;
pub mod objects;
pub mod phases;
mod problem;
mod text;

use std::path::Path;

use loadtest::api::Artillery;
use metrics::checks::Ensure;
use metrics::delivery::{Distribution, check_rows};
use serde::Serialize;
use serde_json::Value;

use checks::{Found, Given};
use config::{Source, Sources};
use load::Load;
use objects::{Object, Wanted};
use phases::{Asks, Phase};
pub use problem::Problem;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// Name of the load test.
    pub name: &'a str,
    /// The script, as it was named.
    pub script: &'a Path,
    /// Its text.
    pub text: &'a str,
    /// How many workers.
    pub workers: u32,
    /// Whether they share the load.
    pub distribution: Distribution,
    /// The script's environment.
    pub environment: Option<&'a str>,
    /// Artillery's options; the files among them are paths from where we are.
    pub artillery: &'a Artillery,
    /// `--overrides`, read.
    pub overrides: Option<&'a Value>,
}

/// What Artillery itself made of the script.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// Its version.
    pub artillery: String,
    /// The phases.
    pub phases: Value,
    /// The checks.
    pub ensure: Value,
    /// The number of rows of each payload, where it is known.
    pub rows: Vec<Option<u64>>,
}

/// What a load test would do.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    /// Name of the load test.
    pub name: String,
    /// The script, as it was named.
    pub script: String,
    /// How many workers.
    pub workers: u32,
    /// `Replicate` or `Split`.
    pub distribution: &'static str,
    /// The script's environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The version of the Artillery that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolved_by_artillery: Option<String>,
    /// The phases, one by one.
    pub phases: Vec<Phase>,
    /// What all workers do together, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load: Option<Load>,
    /// How many checks there are, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checks: Option<usize>,
    /// How many rows each payload has, where Artillery was asked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rows: Vec<Option<u64>>,
    /// The objects in a cluster.
    pub objects: Vec<Object>,
    /// What only Artillery can tell, in words.
    pub known_at_run_time: Vec<String>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

/// Makes a plan of texts that could be read, and of those that could not (`problems`): the first text is the script's.
pub fn plan(
    asked: &Asked<'_>,
    texts: &[Source],
    mut problems: Vec<Problem>,
    resolved: Option<&Resolved>,
) -> Plan {
    let sources =
        Sources { texts: texts.iter().collect(), environment: asked.environment, overrides: asked.overrides };
    let is_program = asked.script.to_str().is_some_and(loadtest::script::is_program);
    let is_read = problems.is_empty();
    let given = Given {
        target: asked.artillery.target.as_deref(),
        folder: asked.script.parent().unwrap_or(Path::new("")),
        config_folder: asked.artillery.config.as_deref().and_then(|config| Path::new(config).parent()),
    };
    let mut found = Found::default();
    let mut phases = phases::Phases::default();
    // half a script would seem to lack the other half
    if is_read {
        if !is_program {
            found = checks::check(&sources, given);
        }
        let of_artillery = resolved.map(|resolved| &resolved.phases);
        phases = phases::phases(&sources, of_artillery, asked.workers, asked.distribution);
    }
    problems.append(&mut found.problems);
    problems.append(&mut phases.problems);
    let known = phases.known.as_ref();
    // what cannot be shared out was said
    let load = known.and_then(|phases| load::load(phases, asked.workers, asked.distribution).ok());
    if let Some(resolved) = resolved {
        found.checks = of_artillery(asked, resolved, &mut problems);
        found.at_run_time.clear();
        phases.at_run_time.retain(|_| phases.all.iter().any(|phase| phase.asks == Asks::KnownAtRunTime));
    }
    let wanted = Wanted {
        name: asked.name,
        script: asked.script,
        text: asked.text,
        // the first text is the script's, where that is no program
        root: texts.first().filter(|_| is_read && !is_program).map(|source| &source.root),
        files: &found.files,
        workers: asked.workers,
        distribution: asked.distribution,
        environment: asked.environment,
        artillery: asked.artillery,
    };
    let (objects, more) = objects::objects(&wanted, problems.is_empty());
    problems.extend(more.into_iter().map(Problem::of_cluster));
    problems.sort_by_key(|problem| (problem.file.is_none(), problem.at));
    let mut known_at_run_time = phases.at_run_time;
    known_at_run_time.append(&mut found.at_run_time);
    Plan {
        name: asked.name.to_owned(),
        script: asked.script.display().to_string(),
        workers: asked.workers,
        distribution: match asked.distribution {
            Distribution::Replicate => "Replicate",
            Distribution::Split => "Split",
        },
        environment: asked.environment.map(str::to_owned),
        resolved_by_artillery: resolved.map(|resolved| resolved.artillery.clone()),
        phases: phases.all,
        load,
        checks: found.checks,
        rows: resolved.map(|resolved| resolved.rows.clone()).unwrap_or_default(),
        objects,
        known_at_run_time,
        problems,
    }
}

/// What is wrong with what Artillery made of a script; and how many checks it has.
fn of_artillery(asked: &Asked<'_>, resolved: &Resolved, problems: &mut Vec<Problem>) -> Option<usize> {
    if asked.distribution == Distribution::Split
        && let Err(error) = check_rows(&resolved.rows, asked.workers)
    {
        problems.push(Problem::nowhere(format!("the load cannot be shared out: {error}")));
    }
    let read = Ensure::read(&resolved.ensure);
    let errors = match &read {
        Ok(read) => read.errors(),
        Err(error) => vec![error.clone()],
    };
    // those of the text were said, with their places
    if problems.iter().all(|problem| !problem.message.starts_with("ensure")) {
        problems.extend(
            errors.into_iter().map(|error| {
                Problem::nowhere(format!("{} cannot be evaluated: {}", error.path, error.message))
            }),
        );
    }
    read.ok().map(|read| read.len())
}
