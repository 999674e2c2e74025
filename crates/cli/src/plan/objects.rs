//! The objects that a load test of a script becomes in a cluster, with their sizes, and what Kubernetes or the operator would refuse.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use loadtest::api;
use loadtest::plan::{ConfigMapFact, Content, validate};
use loadtest::reporter::{FILES, Kit, config_map};
use loadtest::script;
use loadtest::settings::{Settings, WorkerDefaults};
use loadtest::{job, reporter};
use metrics::delivery::Distribution;
use serde::Serialize;

use super::Asked;
use super::checks::File;
use super::problem::Problem;
use super::untold::not_given;
use crate::beside::{self, Beside};
use crate::cluster::bundle::{self, Bundle};
use crate::exit::Failure;
use crate::project::Project;

/// An object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Object {
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Whether the operator makes it, of the others.
    pub is_operators: bool,
    /// How many bytes it has; none where that is not known yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What is in it.
    pub content: String,
}

/// The objects of a load test.
#[derive(Debug, Default)]
pub struct Objects {
    /// In the order in which they are made.
    pub objects: Vec<Object>,
    /// What is wrong with them.
    pub problems: Vec<Problem>,
    /// What is needed and not given.
    pub notes: Vec<Problem>,
}

/// The objects of a load test, and what is wrong with them. What the operator says of them is asked only where
/// `is_sound`: nothing is wrong so far. `files` are those that the script names.
pub fn objects(wanted: &Asked<'_>, files: &[File], is_sound: bool) -> Objects {
    let problems: Vec<_> = files.iter().filter(|file| file.below.is_none()).map(is_elsewhere).collect();
    // what is wrong with the text was said, with its place
    if !problems.is_empty() || !is_sound {
        return Objects { problems, ..Objects::default() };
    }
    let problems = not_to_be_given(wanted.project, files);
    if !problems.is_empty() {
        return Objects { problems, ..Objects::default() };
    }
    let (mut objects, mut notes) = (Vec::new(), Vec::new());
    let made = bundle_of(wanted, bundle::START_TIMEOUT).map_err(|failure| failure.to_string());
    let checked = made.and_then(|(bundle, of_bundle)| {
        notes = of_bundle;
        objects.extend(bundle.config_maps.iter().map(|map| given(map, &bundle)));
        objects.extend(bundle.secret.as_ref().map(secret));
        objects.push(Object {
            kind: "LoadTest",
            name: wanted.name.to_owned(),
            is_operators: false,
            bytes: bytes(&bundle.load_test),
            content: match wanted.distribution {
                Distribution::Replicate => "each worker runs the whole script".to_owned(),
                Distribution::Split => "the workers run the script once together".to_owned(),
            },
        });
        operators(wanted, &bundle, &mut objects)
    });
    Objects { objects, problems: checked.err().map(Problem::nowhere).into_iter().collect(), notes }
}

fn is_elsewhere(file: &File) -> Problem {
    of_file(file, beside::lies_outside(&file.path))
}

/// What is wrong with a file that the script names.
fn of_file(file: &File, why: String) -> Problem {
    match &file.named_at {
        Some((named_in, at)) => Problem::at(named_in, *at, why),
        None => Problem::nowhere(format!("--overrides: {why}")),
    }
}

/// What no ConfigMap can give, of all files.
fn not_to_be_given(project: &Project, files: &[File]) -> Vec<Problem> {
    // what cannot be found is told by whoever makes the objects
    let found = beside::find(&project.script, &project.merged(), project.config_file());
    let found = found.map(|found| found.files).unwrap_or_default();
    let problem = |file: &Beside| {
        let why = bundle::fault(file, "ConfigMap")?;
        let named = files.iter().find(|named| named.below.as_ref() == Some(&file.path));
        // what a program requires has no place
        Some(named.map_or_else(|| Problem::nowhere(&*why), |named| of_file(named, why.clone())))
    };
    found.iter().filter_map(problem).collect()
}

/// What `run` and `generate` make: the workers start at the latest `start_timeout` seconds after they were asked for. And what is needed, as
/// far as that can be told, and not given.
///
/// # Errors
/// Something that it names cannot be given to workers, or is too large.
pub fn bundle_of(asked: &Asked<'_>, start_timeout: i32) -> Result<(Bundle, Vec<Problem>), Failure> {
    let wanted = bundle::Wanted {
        name: asked.name,
        // at most 10,000
        count: i32::try_from(asked.workers).unwrap_or(i32::MAX),
        distribution: match asked.distribution {
            Distribution::Replicate => api::Distribution::Replicate,
            Distribution::Split => api::Distribution::Split,
        },
        hooks: asked.hooks,
        start_timeout,
    };
    let (bundle, mut notes) = bundle::of_project(asked.project, wanted)?;
    notes.extend(not_given(asked.project));
    Ok((bundle, notes))
}

/// A ConfigMap with files of the script's.
fn given(map: &ConfigMap, bundle: &Bundle) -> Object {
    let name = map.metadata.name.clone().unwrap_or_default();
    let content = bundle.paths(&name).into_iter().map(|(_, path)| path).collect::<Vec<_>>().join(", ");
    let data = map.data.iter().flatten().map(|(_, text)| text.len());
    let binary = map.binary_data.iter().flatten().map(|(_, bytes)| bytes.0.len());
    let size = data.chain(binary).sum::<usize>();
    Object { kind: "ConfigMap", name, is_operators: false, bytes: Some(size as u64), content }
}

fn secret(secret: &Secret) -> Object {
    let size = secret.data.iter().flatten().map(|(_, bytes)| bytes.0.len()).sum::<usize>();
    Object {
        kind: "Secret",
        name: secret.metadata.name.clone().unwrap_or_default(),
        is_operators: false,
        bytes: Some(size as u64),
        content: "the environment variables of --dotenv".to_owned(),
    }
}

/// What the operator makes of the LoadTest, by its own code.
fn operators(wanted: &Asked<'_>, bundle: &Bundle, objects: &mut Vec<Object>) -> Result<(), String> {
    let load_test = &bundle.load_test;
    let kit = Kit {
        collector: "https://COLLECTOR".to_owned(),
        ca: String::new(),
        files: FILES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
    };
    let facts: Vec<_> = loadtest::plan::config_maps(load_test)
        .map_err(|problem| problem.message)?
        .into_iter()
        .map(|(field, name)| {
            let map = bundle.config_maps.iter().find(|map| map.metadata.name.as_ref() == Some(&name));
            let key_of_script = load_test.spec.test_script.key();
            let keys = map.map(|map| {
                let text = map.data.iter().flatten().map(|(key, text)| {
                    let content = match key == key_of_script {
                        // a program is told by its name
                        true if script::is_program(key) => Content::Script(text.clone()),
                        true => Content::Read(Box::new(wanted.project.read.clone())),
                        false => Content::Present,
                    };
                    (key.clone(), content)
                });
                let binary = map.binary_data.iter().flatten().map(|(key, _)| (key.clone(), Content::Present));
                Arc::new(text.chain(binary).collect())
            });
            ConfigMapFact { field, name, keys }
        })
        .collect();
    let made = validate(load_test, &facts, Some(&kit), &Settings::default());
    let reporter = config_map(load_test, &kit);
    objects.push(Object {
        kind: "ConfigMap",
        // its end tells LoadTests of one name apart
        name: format!("{}-reporter-…", wanted.name),
        is_operators: true,
        bytes: bytes(&reporter),
        content: "what makes Artillery report".to_owned(),
    });
    let WorkerDefaults { image, cpu_request, memory_request, memory_limit } = WorkerDefaults::default();
    let pods = if wanted.workers == 1 { "1 pod".to_owned() } else { format!("{} pods", wanted.workers) };
    objects.push(Object {
        kind: "Job",
        name: wanted.name.to_owned(),
        is_operators: true,
        bytes: made.as_ref().ok().and_then(|plan| bytes(&job::build(load_test, plan))),
        content: format!(
            "{pods} of {image}, each with {cpu_request} CPU and {memory_request} to {memory_limit} of memory, unless the operator's settings say otherwise"
        ),
    });
    objects.push(Object {
        kind: "ConfigMap",
        name: reporter::report_name(wanted.name),
        is_operators: true,
        bytes: None,
        content: "the report, at the end".to_owned(),
    });
    made.map(drop).map_err(|problem| problem.message)
}

/// How many bytes it has as JSON.
fn bytes(object: &impl Serialize) -> Option<u64> {
    serde_json::to_vec(object).ok().map(|bytes| bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::flags::Options;
    use crate::plan::plan;

    /// The objects of a script in that folder that names these CSV files, with a `--config` and a `--dotenv` beside it, and what is wrong.
    fn of(folder: &Path, name: &str, paths: &[&str], workers: u32) -> (Vec<Object>, Vec<String>) {
        let payload: Vec<_> = paths.iter().map(|path| json!({ "path": path })).collect();
        let text = json!({ "config": { "target": "a", "environments": { "dev": { "payload": payload } } }, "scenarios": [] });
        let at = |name: &str| folder.join(name);
        for (name, text) in [("s.yaml", &*text.to_string()), ("c.yaml", "{}"), (".env", "A=b")] {
            fs::write(at(name), text).expect("a file");
        }
        let flags = Options {
            environment: Some("dev".to_owned()),
            config: Some(at("c.yaml")),
            dotenv: Some(at(".env")),
            ..Options::default()
        };
        let project = Project::read(&at("s.yaml"), &flags).expect("a project");
        let plan = plan(
            &Asked {
                project: &project,
                name,
                workers,
                distribution: Distribution::Split,
                hooks: api::Hooks::PerWorker,
            },
            None,
        );
        (plan.objects, plan.problems.iter().map(Problem::to_string).collect())
    }

    #[test]
    fn the_objects_are_those_that_run_and_the_operator_make() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("data")).expect("a folder");
        fs::write(folder.path().join("data/users.csv"), "a,b\n").expect("a file");
        let (objects, problems) = of(folder.path(), "checkout", &["./data/users.csv"], 4);
        assert_eq!(problems, [""; 0]);
        let names: Vec<_> = objects.iter().map(|object| (object.kind, object.name.as_str())).collect();
        assert_eq!(
            names,
            [
                ("ConfigMap", "checkout-test-script"),
                ("ConfigMap", "checkout-files-1"),
                ("Secret", "checkout-dotenv"),
                ("LoadTest", "checkout"),
                ("ConfigMap", "checkout-reporter-…"),
                ("Job", "checkout"),
                ("ConfigMap", "checkout-report"),
            ]
        );
        assert_eq!(objects[1].bytes, Some(6));
        assert_eq!(objects[1].content, "c.yaml, data/users.csv");
        assert!(objects[5].content.starts_with("4 pods of artilleryio/artillery:latest"), "{:?}", objects[5]);
        assert!(objects[5].bytes > Some(1000), "it was built");
    }

    #[test]
    fn what_kubernetes_would_refuse_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let load = folder.path().join("load");
        fs::create_dir(&load).expect("a folder");
        for name in ["a.csv", "load/b b.csv"] {
            fs::write(folder.path().join(name), "a\n").expect("a file");
        }
        fs::write(load.join("large.csv"), vec![b'a'; 1 << 20]).expect("a file");
        for (name, paths, said) in [
            ("a.b", &[][..], "metadata.name must not contain dots"),
            ("t", &["b b.csv"], "\"b b.csv\" cannot be given by a ConfigMap"),
            ("t", &["../a.csv"], "\"../a.csv\" lies outside the script's folder"),
            ("t", &["large.csv"], "large.csv has 1048576 bytes, and a ConfigMap holds 1000000"),
        ] {
            let (_, problems) = of(&load, name, paths, 1);
            assert!(problems.len() == 1 && problems[0].contains(said), "{name} {paths:?}: {problems:?}");
        }
    }

    #[test]
    fn each_file_that_no_config_map_can_give_is_said_with_its_place() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["a a.csv", "b b.csv", "c.csv"] {
            fs::write(at(name), "a\n").expect("a file");
        }
        fs::write(at("hooks.js"), "require('./d d.js')").expect("a file");
        fs::write(at("d d.js"), "").expect("a file");
        fs::write(at("large.csv"), vec![b'a'; 1 << 20]).expect("a file");
        let text = "config:\n  target: a\n  processor: ./hooks\n  payload:\n    - path: a a.csv\n    - path: c.csv\n    - path: large.csv\n    - path: b b.csv\nscenarios: []\n";
        fs::write(at("s.yaml"), text).expect("a file");
        let project = Project::read(&at("s.yaml"), &Options::default()).expect("a project");
        let (distribution, hooks) = (Distribution::Replicate, api::Hooks::PerWorker);
        let asked = Asked { project: &project, name: "t", workers: 1, distribution, hooks };
        let problems = plan(&asked, None).problems;
        let places: Vec<_> = problems.iter().map(|problem| problem.at.map(|at| at.line)).collect();
        assert_eq!(places, [Some(5), Some(7), Some(8), None], "{problems:?}");
        for (problem, name) in problems.iter().zip(["a a.csv", "large.csv", "b b.csv", "d d.js"]) {
            assert!(problem.message.contains(name) && problem.is_of_cluster, "{problem}");
        }
    }
}
