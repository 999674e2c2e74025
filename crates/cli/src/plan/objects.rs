//! The objects that a load test of a script becomes in a cluster, with their sizes, and what Kubernetes or the operator would refuse.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use loadtest::api::{Artillery, SCRIPT_KEY};
use loadtest::job;
use loadtest::plan::{ConfigMapFact, Content, validate};
use loadtest::reporter::{FILES, Kit, config_map};
use loadtest::settings::{Settings, WorkerDefaults};
use loadtest::{LoadTest, reporter};
use serde::Serialize;
use serde_json::{Value, json};

use super::checks::File;
use super::problem::Problem;
use crate::commands::generate::{Beside, MAX_CONFIG_MAP, files};
use metrics::delivery::Distribution;

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
    let mut problems = Vec::new();
    let mut beside = beside(wanted, &mut problems);
    let mut artillery = wanted.artillery.clone();
    for option in [&mut artillery.config, &mut artillery.dotenv].into_iter().flatten() {
        let path = Path::new(option.as_str()).to_owned();
        if let Some(name) = path.file_name().and_then(|name| name.to_str()) {
            beside.insert(name.to_owned(), Beside { from: path.clone(), path: name.to_owned() });
            *option = name.to_owned();
        }
    }
    let size = |file: &Beside| fs::metadata(&file.from).map_or(0, |meta| meta.len());
    let of_files: u64 = beside.values().map(size).sum();
    if of_files > MAX_CONFIG_MAP {
        problems.push(Problem::nowhere(format!(
            "the files that the script names have {of_files} bytes, and a ConfigMap holds at most {MAX_CONFIG_MAP}: write the manifests by hand, with several (docs/reference.md)"
        )));
    }
    let name = wanted.name;
    let script_map = format!("{name}-test-script");
    let files_map = format!("{name}-files");
    let mut objects = vec![Object {
        kind: "ConfigMap",
        name: script_map.clone(),
        is_operators: false,
        bytes: Some(wanted.text.len() as u64),
        content: SCRIPT_KEY.to_owned(),
    }];
    if !beside.is_empty() {
        objects.push(Object {
            kind: "ConfigMap",
            name: files_map.clone(),
            is_operators: false,
            bytes: Some(of_files),
            content: beside.values().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", "),
        });
    }
    let load_test = load_test(wanted, &artillery, (&script_map, &files_map), &beside);
    objects.push(Object {
        kind: "LoadTest",
        name: name.to_owned(),
        is_operators: false,
        bytes: Some(load_test.to_string().len() as u64),
        content: match wanted.distribution {
            Distribution::Replicate => "each worker runs the whole script".to_owned(),
            Distribution::Split => "the workers run the script once together".to_owned(),
        },
    });
    let job = match serde_json::from_value(load_test) {
        Ok(load_test) => {
            operators(wanted, &load_test, (&script_map, &files_map), &beside, is_sound, &mut objects)
        }
        Err(error) => Err(format!("the load test: {error}")),
    };
    problems.extend(job.err().map(Problem::nowhere));
    (objects, problems)
}

/// The files beside the script, by their keys in a ConfigMap.
fn beside(wanted: &Wanted<'_>, problems: &mut Vec<Problem>) -> BTreeMap<String, Beside> {
    let mut beside: BTreeMap<String, Beside> = BTreeMap::new();
    for file in wanted.files {
        // one by one, so that each says what is wrong with it
        let problem = match files(wanted.script, std::iter::once((file.path.as_str(), file.endings))) {
            Ok(found) => {
                let clash =
                    found.iter().find(|(key, file)| beside.get(*key).is_some_and(|there| there != *file));
                let clash = clash
                    .map(|(key, _)| format!("{} has the key {key} of another file: rename one", file.path));
                beside.extend(found);
                clash
            }
            Err(failure) => Some(failure.to_string()),
        };
        problems.extend(problem.map(|why| Problem::at(&file.named_in, file.at, why)));
    }
    beside
}

fn load_test(
    wanted: &Wanted<'_>,
    artillery: &Artillery,
    (script, files): (&str, &str),
    beside: &BTreeMap<String, Beside>,
) -> Value {
    let mut spec = json!({
        "count": wanted.workers,
        "testScript": { "config": { "configMap": script } },
    });
    if let Some(environment) = wanted.environment {
        spec["environment"] = json!(environment);
    }
    if wanted.distribution == Distribution::Split {
        spec["distribution"] = json!("Split");
    }
    if *artillery != Artillery::default() {
        spec["artillery"] = json!(artillery);
    }
    if !beside.is_empty() {
        let items = beside.iter().map(|(key, file)| json!({ "key": key, "path": file.path }));
        spec["testScript"]["files"] = json!([{ "configMap": files, "items": items.collect::<Value>() }]);
    }
    json!({
        "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest",
        "metadata": { "name": wanted.name }, "spec": spec,
    })
}

/// What the operator makes of the LoadTest, by its own code.
fn operators(
    wanted: &Wanted<'_>,
    load_test: &LoadTest,
    (script, files): (&str, &str),
    beside: &BTreeMap<String, Beside>,
    is_sound: bool,
    objects: &mut Vec<Object>,
) -> Result<(), String> {
    let kit = Kit {
        collector: "https://COLLECTOR".to_owned(),
        ca: String::new(),
        files: FILES.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect(),
    };
    let facts: Vec<_> = loadtest::plan::config_maps(load_test)
        .map_err(|problem| problem.message)?
        .into_iter()
        .map(|(field, name)| {
            let keys = match name.as_str() {
                name if name == script => {
                    BTreeMap::from([(SCRIPT_KEY.to_owned(), Content::Script(wanted.text.to_owned()))])
                }
                name if name == files => beside.keys().map(|key| (key.clone(), Content::Present)).collect(),
                _ => BTreeMap::new(),
            };
            ConfigMapFact { field, name, keys: Some(keys) }
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
    match made {
        // what else is wrong was said, with its place
        Err(problem) if is_sound => Err(problem.message),
        Err(_) | Ok(_) => Ok(()),
    }
}

/// How many bytes it has as JSON.
fn bytes(object: &impl Serialize) -> Option<u64> {
    serde_json::to_vec(object).ok().map(|bytes| bytes.len() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::document::Place;

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
        let wanted = Wanted {
            name,
            script: &folder.join("s.yaml"),
            text: "config: {target: a}\nscenarios: []\n",
            files: &files,
            workers,
            distribution: Distribution::Split,
            environment: Some("dev"),
            artillery: &Artillery { config: Some("more/c.yaml".to_owned()), ..Artillery::default() },
        };
        let (objects, problems) = objects(&wanted, true);
        (objects, problems.iter().map(Problem::to_string).collect())
    }

    #[test]
    fn the_objects_are_those_that_the_operator_takes_and_makes() {
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
                ("ConfigMap", "checkout-files"),
                ("LoadTest", "checkout"),
                ("ConfigMap", "checkout-reporter-…"),
                ("Job", "checkout"),
                ("ConfigMap", "checkout-report"),
            ]
        );
        assert_eq!((objects[0].bytes, objects[1].bytes), (Some(34), Some(4)));
        assert_eq!(objects[1].content, "c.yaml, data/users.csv");
        assert!(objects[4].content.starts_with("4 pods of artilleryio/artillery:latest"), "{:?}", objects[4]);
        assert!(objects[4].bytes > Some(1000), "it was built");
    }

    #[test]
    fn what_kubernetes_would_refuse_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let large = vec![b'a'; 1 << 20];
        fs::create_dir(folder.path().join("in")).expect("a folder");
        for name in ["a.csv", "b b.csv", "in/a.csv", "in_a.csv"] {
            fs::write(folder.path().join(name), "a\n").expect("a file");
        }
        fs::write(folder.path().join("large.csv"), large).expect("a file");
        for (name, paths, said) in [
            ("a.b", &[][..], "\"a.b\": metadata.name must not contain dots"),
            ("t", &["b b.csv"], "s.yaml:3:9: "),
            (
                "t",
                &["in/a.csv", "in_a.csv"],
                "s.yaml:3:9: in_a.csv has the key in_a.csv of another file: rename one",
            ),
            (
                "t",
                &["large.csv", "a.csv"],
                "the files that the script names have 1048578 bytes, and a ConfigMap holds at most",
            ),
        ] {
            let (_, problems) = of(folder.path(), name, paths, 1);
            assert!(problems.len() == 1 && problems[0].starts_with(said), "{name} {paths:?}: {problems:?}");
        }
    }
}
