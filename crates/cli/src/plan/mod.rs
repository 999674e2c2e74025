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
mod untold;

use loadtest::api::Hooks;
use metrics::checks::Ensure;
use metrics::delivery::{Distribution, check_rows};
use serde::Serialize;
use serde_json::Value;

use checks::{Found, Given};
use config::Known;
use load::Load;
use objects::Object;
use phases::{Asks, Phase};
pub use problem::Problem;

use crate::project::Project;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The script, and Artillery's options.
    pub project: &'a Project,
    /// Name of the load test.
    pub name: &'a str,
    /// How many workers.
    pub workers: u32,
    /// Whether they share the load.
    pub distribution: Distribution,
    /// Where the script's hooks run.
    pub hooks: Hooks,
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
    /// What may not be what its author means; it runs all the same.
    pub warnings: Vec<Problem>,
}

/// Makes a plan, also of a script with which something is wrong.
pub fn plan(asked: &Asked<'_>, resolved: Option<&Resolved>) -> Plan {
    let project = asked.project;
    let sources = project.sources();
    let is_program = project.script.to_str().is_some_and(loadtest::script::is_program);
    let mut problems = project.unreadable.clone();
    let is_read = problems.is_empty();
    let folders = project.folders();
    let given = Given {
        target: project.artillery.target.as_deref(),
        scenario_name: project.artillery.scenario_name.as_deref(),
        merged: project.merged(),
        folders: &folders,
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
        found.checks = of_artillery(asked, resolved, found.has_wrong_checks, &mut problems);
        found.at_run_time.clear();
        phases.at_run_time.retain(|_| phases.all.iter().any(|phase| phase.asks == Asks::KnownAtRunTime));
    }
    let objects::Objects { objects, problems: more, notes } =
        objects::objects(asked, &found.files, problems.is_empty());
    problems.extend(more.into_iter().map(Problem::of_cluster));
    found.warnings.extend(notes);
    problems.sort_by_key(|problem| (problem.file.is_none(), problem.at));
    let mut known_at_run_time = phases.at_run_time;
    known_at_run_time.append(&mut found.at_run_time);
    let shares_rows = asked.distribution == Distribution::Split && asked.workers > 1;
    if resolved.is_none() && shares_rows && has_rows(&sources.find("payload")) {
        known_at_run_time.push(format!(
            "how many rows the payloads have, of which {} workers each need one",
            asked.workers
        ));
    }
    Plan {
        name: asked.name.to_owned(),
        script: project.script.display().to_string(),
        workers: asked.workers,
        distribution: match asked.distribution {
            Distribution::Replicate => "Replicate",
            Distribution::Split => "Split",
        },
        environment: project.environment.clone(),
        resolved_by_artillery: resolved.map(|resolved| resolved.artillery.clone()),
        phases: phases.all,
        load,
        checks: found.checks,
        rows: resolved.map(|resolved| resolved.rows.clone()).unwrap_or_default(),
        objects,
        known_at_run_time,
        problems,
        warnings: found.warnings,
    }
}

/// Whether one of the payloads may be more than a table that each worker has as a whole: `isTable` of `worker/share.js`.
fn has_rows(payload: &Known<'_>) -> bool {
    let value = match payload {
        Known::Nothing => return false,
        Known::Merged(_) => return true,
        Known::Here(setting) => setting.node.json(),
        Known::Overridden(value) => (*value).clone(),
    };
    let is_table = |payload: &Value| {
        payload["loadAll"] == true && payload.get("name").is_some() && payload.get("order").is_none()
    };
    let has_some = |payload: &Value| payload.is_object() && !is_table(payload);
    value.as_array().map_or_else(|| has_some(&value), |payloads| payloads.iter().any(has_some))
}

/// What is wrong with what Artillery made of a script, but for checks where what is wrong with them was said; and how many checks it has.
fn of_artillery(
    asked: &Asked<'_>,
    resolved: &Resolved,
    were_said: bool,
    problems: &mut Vec<Problem>,
) -> Option<usize> {
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
    if !were_said {
        problems.extend(
            errors.into_iter().map(|error| {
                Problem::nowhere(format!("{} cannot be evaluated: {}", error.path, error.message))
            }),
        );
    }
    read.ok().map(|read| read.len())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::flags::Options;

    #[test]
    fn a_check_that_is_wrong_is_said_once_with_its_place_where_the_text_has_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s.yaml");
        let said = |expression: &str, payload: &str| {
            let ensure = format!(
                "plugins: {{ensure: {{}}}}, ensure: {{conditions: [{{expression: '{expression}'}}]}}"
            );
            let text = format!(
                "config: {{target: http://t, phases: [{{duration: 1, arrivalRate: 1}}], {payload}{ensure}}}\nscenarios: [{{flow: []}}]\n"
            );
            std::fs::write(&path, text).expect("a file");
            let project = Project::read(&path, &Options::default()).expect("a project");
            let asked = Asked {
                project: &project,
                name: "t",
                workers: 1,
                distribution: Distribution::Replicate,
                hooks: Hooks::PerWorker,
            };
            let ensure = json!({ "conditions": [{ "expression": "p95 <" }] });
            let phases = json!([{ "duration": 1, "arrivalRate": 1 }]);
            let resolved = Resolved { artillery: "2.0.34".to_owned(), phases, ensure, rows: Vec::new() };
            let problems = plan(&asked, Some(&resolved)).problems;
            let of_checks = |problem: &&Problem| problem.message.contains("cannot be evaluated");
            problems.iter().filter(of_checks).map(|problem| problem.at.is_some()).collect::<Vec<_>>()
        };
        assert_eq!(said("p95 <", ""), [true], "the text has it");
        assert_eq!(said("p95 < {{ most }}", ""), [false], "only Artillery could tell");
        // what is wrong elsewhere hides none of it
        assert_eq!(said("p95 < {{ most }}", "payload: {path: no.csv}, "), [false]);
    }

    #[test]
    fn who_shares_out_rows_is_told_that_they_are_not_counted_yet() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s.yaml");
        std::fs::write(folder.path().join("users.csv"), "a,b\n1,2\n").expect("a file");
        let said = |payload: &str, distribution| {
            let text = format!(
                "config: {{target: http://t, {payload}phases: [{{duration: 1, arrivalRate: 4}}]}}\nscenarios: [{{flow: []}}]\n"
            );
            std::fs::write(&path, text).expect("a file");
            let project = Project::read(&path, &Options::default()).expect("a project");
            let asked =
                Asked { project: &project, name: "t", workers: 4, distribution, hooks: Hooks::PerWorker };
            plan(&asked, None).known_at_run_time
        };
        let payload = "payload: {path: users.csv, fields: [a, b]}, ";
        let rows = ["how many rows the payloads have, of which 4 workers each need one"];
        assert_eq!(said(payload, Distribution::Split), rows);
        // tables that Artillery takes no rows of have a name, and no order
        for some in ["loadAll: true", "loadAll: true, name: users, order: sequence", "name: users"] {
            let payload = format!("payload: [{{path: users.csv, {some}}}], ");
            assert_eq!(said(&payload, Distribution::Split), rows, "{some}");
        }
        assert!(said(payload, Distribution::Replicate).is_empty());
        for none in ["", "payload: [], ", "payload: [{path: users.csv, loadAll: true, name: users}], "] {
            assert!(said(none, Distribution::Split).is_empty(), "{none}");
        }
    }

    #[test]
    fn names_of_a_script_do_nothing_to_a_terminal() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s.yaml");
        let text = "config: {target: http://t, phases: [{name: \"a\\e[2J\\nb\", duration: 1, arrivalRate: '{{ \\u009b }}'}, {name: \"\\e]0;c\\a\", duration: 1, arrivalRate: 1}]}\nscenarios: [{flow: []}]\n";
        std::fs::write(&path, text).expect("a file");
        let project = Project::read(&path, &Options::default()).expect("a project");
        let asked = Asked {
            project: &project,
            name: "t\u{1b}c",
            workers: 1,
            distribution: Distribution::Replicate,
            hooks: Hooks::PerWorker,
        };
        let said = plan(&asked, None).to_string();
        assert!(said.contains("0 a\\u{1b}[2J\\nb") && said.contains("Load test t\\u{1b}c of"), "{said}");
        assert!(!said.contains(|c: char| c.is_control() && c != '\n'), "{said}");
    }
}
