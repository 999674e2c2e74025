//! The objects that a load test of a script becomes in a cluster, with their sizes, and what Kubernetes or the operator would refuse.

use std::path::Path;

use k8s_openapi::api::core::v1::ConfigMap;
use loadtest::api::{self, Artillery};
use loadtest::plan::{ConfigMapFact, Content, validate};
use loadtest::reporter::{FILES, Kit, config_map};
use loadtest::script::{self, Script};
use loadtest::settings::{Settings, WorkerDefaults};
use loadtest::{LoadTest, job, reporter};
use metrics::delivery::Distribution;
use serde::Serialize;
use serde_json::Value;

use super::checks::File;
use super::document::Node;
use super::problem::Problem;
use crate::beside;
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

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Wanted<'a> {
    /// Name of the load test.
    pub name: &'a str,
    /// The script, as it was named.
    pub script: &'a Path,
    /// Its text.
    pub text: &'a str,
    /// What was read of that; `None` of a program.
    pub root: Option<&'a Node>,
    /// The files that it names.
    pub files: &'a [File],
    /// How many workers.
    pub workers: u32,
    /// Whether they share the load.
    pub distribution: Distribution,
    /// The script's environment.
    pub environment: Option<&'a str>,
    /// Artillery's options.
    pub artillery: &'a Artillery,
}

/// The objects, in the order in which they are made, and what is wrong with them. What the operator says of them is asked only where
/// `is_sound`: nothing is wrong so far.
pub fn objects(wanted: &Wanted<'_>, is_sound: bool) -> (Vec<Object>, Vec<Problem>) {
    let elsewhere = wanted.files.iter().filter(|file| beside::below(&file.path).is_none());
    let problems: Vec<_> = elsewhere
        .map(|file| {
            let why = format!("\"{}\" lies outside the script's folder: move it there", file.path);
            Problem::at(&file.named_in, file.at, why)
        })
        .collect();
    // what is wrong with the text was said, with its place
    if !problems.is_empty() || !is_sound {
        return (Vec::new(), problems);
    }
    let mut objects = Vec::new();
    let made = bundle_of(wanted).map_err(|failure| failure.to_string());
    let checked = made.and_then(|(bundle, read)| {
        objects.extend(bundle.config_maps.iter().map(|map| given(map, &bundle.load_test)));
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
        operators(wanted, &bundle, &read, &mut objects)
    });
    (objects, checked.err().map(Problem::nowhere).into_iter().collect())
}

/// What `run` would make, and what was read of the script.
fn bundle_of(wanted: &Wanted<'_>) -> Result<(Bundle, Script), Failure> {
    let script = if wanted.script.to_str().is_some_and(script::is_program) {
        Script::default()
    } else {
        // to read it again takes as long as everything else
        let read = wanted
            .root
            .and_then(|root| script::of_config(root.get("config").map_or(Value::Null, Node::json)));
        read.map_or_else(|| script::read(wanted.text), Ok).map_err(Failure::usage)?
    };
    let project = Project {
        name: wanted.name.to_owned(),
        script: wanted.script.to_owned(),
        read: script,
        environment: wanted.environment.map(str::to_owned),
        artillery: wanted.artillery.clone(),
    };
    let made = bundle::Wanted {
        name: wanted.name,
        // at most 10,000
        count: i32::try_from(wanted.workers).unwrap_or(i32::MAX),
        distribution: match wanted.distribution {
            Distribution::Replicate => api::Distribution::Replicate,
            Distribution::Split => api::Distribution::Split,
        },
        start_timeout: bundle::START_TIMEOUT,
    };
    let read = project.read.clone();
    bundle::of_project(project, made).map(|(bundle, _)| (bundle, read))
}

/// A ConfigMap with files of the script's.
fn given(map: &ConfigMap, load_test: &LoadTest) -> Object {
    let name = map.metadata.name.clone().unwrap_or_default();
    let files = load_test.spec.test_script.files.iter().find(|file| file.config_map.as_ref() == Some(&name));
    let content = match files {
        Some(files) => files.items.iter().map(|item| item.path.as_str()).collect::<Vec<_>>().join(", "),
        None => load_test.spec.test_script.key().to_owned(),
    };
    let data = map.data.iter().flatten().map(|(_, text)| text.len());
    let binary = map.binary_data.iter().flatten().map(|(_, bytes)| bytes.0.len());
    let size = data.chain(binary).sum::<usize>();
    Object { kind: "ConfigMap", name, is_operators: false, bytes: Some(size as u64), content }
}

/// What the operator makes of the LoadTest, by its own code.
fn operators(
    wanted: &Wanted<'_>,
    bundle: &Bundle,
    read: &Script,
    objects: &mut Vec<Object>,
) -> Result<(), String> {
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
                        true => Content::Read(Box::new(read.clone())),
                        false => Content::Present,
                    };
                    (key.clone(), content)
                });
                let binary = map.binary_data.iter().flatten().map(|(key, _)| (key.clone(), Content::Present));
                text.chain(binary).collect()
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

    use serde_json::json;

    use super::*;
    use crate::plan::document::Place;

    /// The objects of a script in that folder that names these CSV files, with a `--config` beside it, and what is wrong.
    fn of(folder: &Path, name: &str, paths: &[&str], workers: u32) -> (Vec<Object>, Vec<String>) {
        let files: Vec<_> = paths
            .iter()
            .map(|path| File {
                path: (*path).to_owned(),
                endings: &[""],
                named_in: "s.yaml".to_owned(),
                at: Place { line: 3, column: 9 },
            })
            .collect();
        let payload: Vec<_> = paths.iter().map(|path| json!({ "path": path })).collect();
        let text = json!({ "config": { "target": "a", "payload": payload }, "scenarios": [] }).to_string();
        let script = folder.join("s.yaml");
        fs::write(&script, &text).expect("a file");
        let config = folder.join("c.yaml");
        fs::write(&config, "").expect("a file");
        let config = config.to_str().expect("a path").to_owned();
        let wanted = Wanted {
            name,
            script: &script,
            text: &text,
            root: None,
            files: &files,
            workers,
            distribution: Distribution::Split,
            environment: Some("dev"),
            artillery: &Artillery { config: Some(config), ..Artillery::default() },
        };
        let (objects, problems) = objects(&wanted, true);
        (objects, problems.iter().map(Problem::to_string).collect())
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
                ("LoadTest", "checkout"),
                ("ConfigMap", "checkout-reporter-…"),
                ("Job", "checkout"),
                ("ConfigMap", "checkout-report"),
            ]
        );
        assert_eq!(objects[1].bytes, Some(4));
        assert_eq!(objects[1].content, "c.yaml, data/users.csv");
        assert!(objects[4].content.starts_with("4 pods of artilleryio/artillery:latest"), "{:?}", objects[4]);
        assert!(objects[4].bytes > Some(1000), "it was built");
    }

    #[test]
    fn what_kubernetes_would_refuse_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        for name in ["a.csv", "b b.csv"] {
            fs::write(folder.path().join(name), "a\n").expect("a file");
        }
        fs::write(folder.path().join("large.csv"), vec![b'a'; 1 << 20]).expect("a file");
        for (name, paths, said) in [
            ("a.b", &[][..], "metadata.name must not contain dots"),
            ("t", &["b b.csv"], "\"b b.csv\" cannot be given by a ConfigMap"),
            ("t", &["../a.csv"], "s.yaml:3:9: \"../a.csv\" lies outside the script's folder"),
            ("t", &["large.csv"], "large.csv has 1048576 bytes, and a ConfigMap holds 1000000"),
        ] {
            let (_, problems) = of(folder.path(), name, paths, 1);
            assert!(problems.len() == 1 && problems[0].contains(said), "{name} {paths:?}: {problems:?}");
        }
    }
}
