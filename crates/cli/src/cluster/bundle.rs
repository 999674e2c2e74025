//! From a script and the files beside it to the objects that run it in a cluster: a LoadTest, and the ConfigMaps and the Secret that it
//! names. `run` makes them, `plan` shows them, and `generate` writes them. Pure but for reading the files.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use loadtest::api::{
    Artillery, Distribution, FILE_NAME, File, Hooks, Json, KeyToPath, SCRIPT_KEY, ScriptConfig, Start,
    TestScript,
};
use loadtest::{LoadTest, LoadTestSpec, job, plan, script};
use serde_json::{Value, json};

use crate::beside::{self, Beside};
use crate::exit::Failure;
use crate::plan::Problem;
use crate::project::Project;

/// A ConfigMap holds 1 MiB (Kubernetes' own limit); some of it is for the names of the keys.
const MAX_BYTES: usize = 1_000_000;
/// A ConfigMap is given by one entry of `spec.testScript.files`, which has no more items, nor are there more entries.
const MAX_ITEMS: usize = 256;
const MAX_FILES: usize = 64;
/// The component, by its label, of the ConfigMaps and the Secret, as `generate` and the first operator's plugin have it.
const COMPONENT: &str = "loadtest-config";

/// How long workers wait for each other where nothing is said, in seconds: the API's own default.
pub const START_TIMEOUT: i32 = 600;

/// What is wanted of the load test beside what its script says.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Its name.
    pub name: &'a str,
    /// Number of workers.
    pub count: i32,
    /// How the load is shared out.
    pub distribution: Distribution,
    /// Where the script's hooks run.
    pub hooks: Hooks,
    /// How long workers wait for each other, in seconds.
    pub start_timeout: i32,
}

/// The objects, in the order in which they are to be made.
#[derive(Debug)]
pub struct Bundle {
    /// Its files; the script is in the first one.
    pub config_maps: Vec<ConfigMap>,
    /// What `--dotenv` names: it has passwords as a rule, which whoever may read ConfigMaps need not know.
    pub secret: Option<Secret>,
    /// The load test.
    pub load_test: LoadTest,
}

/// What is in them.
struct Contents<'a> {
    /// The script's key, and its text.
    script: (&'a str, Vec<u8>),
    files: &'a [Beside],
    dotenv: Option<Beside>,
}

impl Bundle {
    /// The path below the script's folder that each key of a ConfigMap becomes.
    pub fn paths<'a>(&'a self, config_map: &'a str) -> Vec<(&'a str, &'a str)> {
        let test_script = &self.load_test.spec.test_script;
        let file = test_script.files.iter().find(|file| file.config_map.as_deref() == Some(config_map));
        file.map_or_else(
            || vec![(test_script.key(), test_script.key())],
            |file| file.items.iter().map(|item| (item.key.as_str(), item.path.as_str())).collect(),
        )
    }
}

/// Makes them of a script and of what it needs beside itself. Returns what is to be said of what is not given, too.
///
/// # Errors
/// A file that cannot be read or given, or a name that no load test can bear.
pub fn of_project(project: &Project, wanted: Wanted<'_>) -> Result<(Bundle, Vec<Problem>), Failure> {
    let path = &project.script;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut found = beside::find(path, &project.merged(), project.config_file())?;
    let below = |file: &Option<String>| {
        file.as_ref().map(|file| beside::below_folder(folder, Path::new(file))).transpose()
    };
    let mut artillery = project.artillery.clone();
    (artillery.config, artillery.dotenv) = (below(&artillery.config)?, below(&artillery.dotenv)?);
    if let Some(overrides) = &project.overrides {
        artillery.overrides = Some(in_a_worker(overrides.clone(), folder));
    }
    let dotenv = artillery.dotenv.clone().map(|path| Beside { from: folder.join(&path), path });
    // it is given once
    found.files.retain(|file| dotenv.as_ref().is_none_or(|dotenv| dotenv.path != file.path));
    let script = (key_of(path), project.text.clone().into_bytes());
    let contents = Contents { script, files: &found.files, dotenv };
    let bundle = bundle(wanted, project.environment.clone(), artillery, contents)?;
    Ok((bundle, found.notes()))
}

/// `--overrides` with the paths of payloads, which Artillery takes as they are there, as they are in a worker.
fn in_a_worker(mut overrides: Value, folder: &Path) -> Json {
    let payloads = overrides.pointer_mut("/config/payload").and_then(Value::as_array_mut);
    for path in payloads.into_iter().flatten().filter_map(|payload| payload.get_mut("path")) {
        // one that is not there was said
        if let Some(below) = path.as_str().and_then(|path| beside::below_folder(folder, Path::new(path)).ok())
        {
            *path = json!(format!("{}/{below}", job::DATA));
        }
    }
    Json::from(overrides)
}

/// Under which key a ConfigMap has a script: Artillery tells a program by its name.
pub fn key_of(script: &Path) -> &str {
    let name = script.file_name().and_then(|name| name.to_str());
    name.filter(|name| script::is_program(name)).unwrap_or(SCRIPT_KEY)
}

fn bundle(
    wanted: Wanted<'_>,
    environment: Option<String>,
    artillery: Artillery,
    Contents { script: (key, script), files, dotenv }: Contents<'_>,
) -> Result<Bundle, Failure> {
    let Wanted { name, count, distribution, hooks, start_timeout } = wanted;
    if let Some(why) = fault_of_name(key) {
        return Err(Failure::usage(why));
    }
    let script_map = format!("{name}-test-script");
    let mut config_maps = vec![config_map(name, &script_map, [(key.to_owned(), script)].into())];
    let packed = pack(files)?;
    let secret = dotenv.map(|dotenv| secret(name, &dotenv)).transpose()?;
    if packed.len() + secret.iter().len() > MAX_FILES {
        return Err(Failure::usage(format!(
            "the script needs {} ConfigMaps of 1 MB for its files, and at most {} can be: put them in a volume, see spec.testScript.path",
            packed.len(),
            MAX_FILES - secret.iter().len()
        )));
    }
    let mut given = Vec::new();
    for (number, files) in (1..).zip(packed) {
        let map = format!("{name}-files-{number}");
        let items = files.iter().map(|(key, file)| KeyToPath { key: key.clone(), path: file.path.clone() });
        given.push(File { config_map: Some(map.clone()), items: items.collect(), ..File::default() });
        let data = files.into_iter().map(|(key, file)| (key, file.content)).collect();
        config_maps.push(config_map(name, &map, data));
    }
    if let Some((secret, item)) = &secret {
        given.push(File {
            secret: secret.metadata.name.clone(),
            items: vec![item.clone()],
            ..File::default()
        });
    }
    let mut load_test = LoadTest::new(
        name,
        LoadTestSpec {
            count,
            environment,
            test_script: TestScript {
                config: Some(ScriptConfig {
                    config_map: script_map,
                    key: (key != SCRIPT_KEY).then(|| key.to_owned()),
                }),
                files: given,
                ..TestScript::default()
            },
            artillery: (artillery != Artillery::default()).then_some(artillery),
            distribution: (distribution != Distribution::Replicate).then_some(distribution),
            hooks: (hooks != Hooks::default()).then_some(hooks),
            start: (start_timeout != START_TIMEOUT)
                .then_some(Start { timeout_seconds: Some(start_timeout), on_timeout: None }),
            ..LoadTestSpec::default()
        },
    );
    load_test.metadata.labels = Some(labels(name, "loadtest"));
    plan::config_maps(&load_test).map_err(|problem| Failure::usage(problem.message))?;
    Ok(Bundle { config_maps, secret: secret.map(|(secret, _)| secret), load_test })
}

/// A name for a load test of that script: its own, in letters that a name can have.
pub fn name_of(script: &Path) -> String {
    let stem = script.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_lowercase();
    let name: String = stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name: String = name.trim_matches('-').chars().take(40).collect();
    let name = name.trim_start_matches(|c: char| c.is_ascii_digit() || c == '-').trim_end_matches('-');
    if name.is_empty() { "load-test".to_owned() } else { name.to_owned() }
}

struct Packed {
    path: String,
    content: Vec<u8>,
}

/// Why no ConfigMap, or Secret, can give a file, as far as that can be told without reading it.
pub fn fault(file: &Beside, kind: &str) -> Option<String> {
    let Beside { from, path } = file;
    let of_size = || match fs::metadata(from) {
        Ok(meta) => too_large(file, meta.len(), kind),
        Err(error) => Some(format!("cannot read {}: {error}", from.display())),
    };
    fault_of_name(path).or_else(of_size)
}

fn too_large(Beside { from, path }: &Beside, bytes: u64, kind: &str) -> Option<String> {
    (bytes + path.len() as u64 > MAX_BYTES as u64).then(|| {
        format!(
            "{} has {bytes} bytes, and a {kind} holds {MAX_BYTES}: put it in a volume, see spec.testScript.path",
            from.display()
        )
    })
}

/// What is in a file that a ConfigMap, or a Secret, can give.
fn content(file: &Beside, kind: &str) -> Result<Vec<u8>, Failure> {
    // a file of gigabytes is not read first
    let fits = |fault: Option<String>| fault.map_or(Ok(()), |why| Err(Failure::usage(why)));
    fits(fault(file, kind))?;
    let cannot = |error| Failure::input("read", &file.from, &error);
    let mut content = Vec::new();
    let opened = fs::File::open(&file.from).map_err(cannot)?;
    opened.take(MAX_BYTES as u64 + 1).read_to_end(&mut content).map_err(cannot)?;
    // a device does not say how much it has, and a file may grow
    fits(too_large(file, content.len() as u64, kind))?;
    Ok(content)
}

/// Puts files into as few ConfigMaps as their order allows, by their keys in it.
fn pack(files: &[Beside]) -> Result<Vec<BTreeMap<String, Packed>>, Failure> {
    let mut maps: Vec<BTreeMap<String, Packed>> = Vec::new();
    let mut free = 0;
    for file in files {
        let path = &file.path;
        let content = content(file, "ConfigMap")?;
        let size = content.len() + path.len();
        let key = path.replace('/', "_");
        // two paths may come to one key: they lie in different ConfigMaps
        let fits =
            |map: &BTreeMap<String, Packed>| free >= size && map.len() < MAX_ITEMS && !map.contains_key(&key);
        if !maps.last().is_some_and(fits) {
            maps.push(BTreeMap::new());
            free = MAX_BYTES;
        }
        free -= size;
        if let Some(map) = maps.last_mut() {
            map.insert(key, Packed { path: path.clone(), content });
        }
    }
    Ok(maps)
}

fn fault_of_name(path: &str) -> Option<String> {
    (!is_file_name(path))
        .then(|| format!("\"{path}\" cannot be given by a ConfigMap: its name must look like {FILE_NAME}"))
}

/// Whether `spec.testScript.files` can put a file there: no part begins with two dots.
fn is_file_name(path: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    path.len() <= 253
        && path.split('/').all(|part| {
            !part.is_empty() && !part.starts_with("..") && part != "." && part.chars().all(is_good)
        })
}

fn labels(name: &str, component: &str) -> BTreeMap<String, String> {
    loadtest::labels::labels(name, component)
}

fn config_map(test: &str, name: &str, files: BTreeMap<String, Vec<u8>>) -> ConfigMap {
    let (mut data, mut binary_data) = (BTreeMap::new(), BTreeMap::new());
    for (key, content) in files {
        match String::from_utf8(content) {
            Ok(text) => drop(data.insert(key, text)),
            Err(error) => drop(binary_data.insert(key, ByteString(error.into_bytes()))),
        }
    }
    ConfigMap {
        metadata: metadata(test, name),
        data: Some(data).filter(|data| !data.is_empty()),
        binary_data: Some(binary_data).filter(|data| !data.is_empty()),
        // all workers read the same, whenever they start
        immutable: Some(true),
    }
}

fn metadata(test: &str, name: &str) -> ObjectMeta {
    ObjectMeta { name: Some(name.to_owned()), labels: Some(labels(test, COMPONENT)), ..ObjectMeta::default() }
}

/// A Secret of one file, and where that belongs.
fn secret(test: &str, file: &Beside) -> Result<(Secret, KeyToPath), Failure> {
    let key = file.path.replace('/', "_");
    let data = [(key.clone(), ByteString(content(file, "Secret")?))].into();
    let secret = Secret {
        metadata: metadata(test, &format!("{test}-dotenv")),
        data: Some(data),
        immutable: Some(true),
        ..Secret::default()
    };
    Ok((secret, KeyToPath { key, path: file.path.clone() }))
}
