//! From a script and the files beside it to the objects that run it in a cluster: a LoadTest, and the ConfigMaps that it names. Pure but
//! for reading the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use loadtest::api::{
    Artillery, Distribution, FILE_NAME, File, KeyToPath, SCRIPT_KEY, ScriptConfig, Start, TestScript,
};
use loadtest::{LoadTest, LoadTestSpec, plan, script};

use crate::beside::{self, Beside};
use crate::exit::Failure;
use crate::project::Project;

/// A ConfigMap holds 1 MiB (Kubernetes' own limit); some of it is for the names of the keys.
const MAX_BYTES: usize = 1_000_000;
/// A ConfigMap is given by one entry of `spec.testScript.files`, which has no more items, nor are there more entries.
const MAX_ITEMS: usize = 256;
const MAX_CONFIG_MAPS: usize = 64;
/// The label of the ConfigMaps' component, as `generate` and the first operator's plugin have it.
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
    /// How long workers wait for each other, in seconds.
    pub start_timeout: i32,
}

/// The objects, in the order in which they are to be made.
#[derive(Debug)]
pub struct Bundle {
    /// Its files.
    pub config_maps: Vec<ConfigMap>,
    /// The load test.
    pub load_test: LoadTest,
}

/// Makes them of a script and of what it needs beside itself. Returns what is to be said of what is not given, too.
///
/// # Errors
/// A file that cannot be read or given, or a name that no load test can bear.
pub fn of_project(mut project: Project, wanted: Wanted<'_>) -> Result<(Bundle, Vec<String>), Failure> {
    let path = &project.script;
    let folder = path.parent().unwrap_or(Path::new(""));
    let Artillery { config, dotenv, .. } = &project.artillery;
    let more: Vec<_> = [config, dotenv].into_iter().flatten().map(Path::new).collect();
    let found = beside::find(path, &project.read, project.environment.as_deref(), &more)?;
    let below = |file: &Option<String>| {
        file.as_ref().map(|file| beside::below_folder(folder, Path::new(file))).transpose()
    };
    (project.artillery.config, project.artillery.dotenv) = (below(config)?, below(dotenv)?);
    let script = fs::read(path).map_err(|error| Failure::file("read", path, &error))?;
    let key = key_of(path).to_owned();
    let bundle = bundle(wanted, project, (&key, script), &found.files)?;
    Ok((bundle, found.notes()))
}

/// Under which key a ConfigMap has a script: Artillery tells a program by its name.
pub fn key_of(script: &Path) -> &str {
    let name = script.file_name().and_then(|name| name.to_str());
    name.filter(|name| script::is_program(name)).unwrap_or(SCRIPT_KEY)
}

fn bundle(
    wanted: Wanted<'_>,
    project: Project,
    (key, script): (&str, Vec<u8>),
    files: &[Beside],
) -> Result<Bundle, Failure> {
    let Wanted { name, count, distribution, start_timeout } = wanted;
    let Project { environment, artillery, .. } = project;
    let script_map = format!("{name}-test-script");
    let mut config_maps = vec![config_map(name, &script_map, [(key.to_owned(), script)].into())];
    let packed = pack(files)?;
    if packed.len() > MAX_CONFIG_MAPS {
        return Err(Failure::usage(format!(
            "the script needs {} ConfigMaps of 1 MB for its files, and at most {MAX_CONFIG_MAPS} can be: put them in a volume, see spec.testScript.path",
            packed.len()
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
            start: (start_timeout != START_TIMEOUT)
                .then_some(Start { timeout_seconds: Some(start_timeout), on_timeout: None }),
            ..LoadTestSpec::default()
        },
    );
    load_test.metadata.labels = Some(labels(name, "loadtest"));
    plan::config_maps(&load_test)
        .map_err(|problem| Failure::usage(format!("--name {name}: {}", problem.message)))?;
    Ok(Bundle { config_maps, load_test })
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

/// Puts files into as few ConfigMaps as their order allows, by their keys in it.
fn pack(files: &[Beside]) -> Result<Vec<BTreeMap<String, Packed>>, Failure> {
    let mut maps: Vec<BTreeMap<String, Packed>> = Vec::new();
    let mut free = 0;
    for file in files {
        let path = &file.path;
        if !is_file_name(path) {
            return Err(Failure::usage(format!(
                "\"{path}\" cannot be given by a ConfigMap: its name must look like {FILE_NAME}"
            )));
        }
        let content = fs::read(&file.from).map_err(|error| Failure::file("read", &file.from, &error))?;
        let size = content.len() + path.len();
        if size > MAX_BYTES {
            return Err(Failure::usage(format!(
                "{} has {} bytes, and a ConfigMap holds {MAX_BYTES}: put it in a volume, see spec.testScript.path",
                file.from.display(),
                content.len()
            )));
        }
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

/// Whether `spec.testScript.files` can put a file there: no part begins with two dots.
pub fn is_file_name(path: &str) -> bool {
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
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            labels: Some(labels(test, COMPONENT)),
            ..ObjectMeta::default()
        },
        data: Some(data).filter(|data| !data.is_empty()),
        binary_data: Some(binary_data).filter(|data| !data.is_empty()),
        // all workers read the same, whenever they start
        immutable: Some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(name: &str) -> Wanted<'_> {
        Wanted { name, count: 2, distribution: Distribution::Replicate, start_timeout: START_TIMEOUT }
    }

    fn project() -> Project {
        Project {
            name: String::new(),
            script: "script.yaml".into(),
            read: script::Script::default(),
            environment: None,
            artillery: Artillery::default(),
        }
    }

    fn files(folder: &tempfile::TempDir, files: &[(&str, &[u8])]) -> Vec<Beside> {
        let each = files.iter().map(|(path, content)| {
            let from = folder.path().join(path);
            fs::create_dir_all(from.parent().expect("a folder")).expect("a folder");
            fs::write(&from, content).expect("a file");
            Beside { from, path: (*path).to_owned() }
        });
        each.collect()
    }

    #[test]
    fn files_are_put_where_the_script_looks_for_them_in_as_many_config_maps_as_they_need() {
        let folder = tempfile::tempdir().expect("a folder");
        let large = vec![b'x'; 600_000];
        let files = files(
            &folder,
            &[("a_b", b"text"), ("a/b", b"other"), ("c.bin", &[0xff, 0xfe]), ("d", &large), ("e", &large)],
        );
        let made = bundle(wanted("checkout"), project(), (SCRIPT_KEY, b"config: {}".to_vec()), &files)
            .expect("objects");
        let names: Vec<_> =
            made.config_maps.iter().map(|map| map.metadata.name.as_deref().unwrap_or("")).collect();
        assert_eq!(
            names,
            ["checkout-test-script", "checkout-files-1", "checkout-files-2", "checkout-files-3"]
        );
        let given = &made.load_test.spec.test_script.files;
        let paths: Vec<Vec<_>> =
            given.iter().map(|file| file.items.iter().map(|item| item.path.as_str()).collect()).collect();
        assert_eq!(paths, [vec!["a_b"], vec!["a/b", "c.bin", "d"], vec!["e"]]);
        assert_eq!(made.config_maps[2].binary_data.as_ref().map(BTreeMap::len), Some(1));
        let spec = serde_json::to_value(&made.load_test.spec).expect("JSON");
        assert_eq!(spec["testScript"]["config"], serde_json::json!({ "configMap": "checkout-test-script" }));
        assert!(
            spec.get("start").is_none() && spec.get("artillery").is_none(),
            "defaults are not said: {spec}"
        );
    }

    #[test]
    fn what_no_cluster_can_hold_is_refused_by_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let large = vec![b'x'; MAX_BYTES + 1];
        for (name, path, content, said) in [
            ("checkout", "big.csv", &large[..], "has 1000001 bytes, and a ConfigMap holds 1000000"),
            ("checkout", "a b.csv", b"", "\"a b.csv\" cannot be given by a ConfigMap"),
            ("check.out", "a", b"", "--name check.out: \"check.out\": metadata.name must not contain dots"),
        ] {
            let files = files(&folder, &[(path, content)]);
            let error = bundle(wanted(name), project(), (SCRIPT_KEY, Vec::new()), &files)
                .expect_err(said)
                .to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_script_s_name_becomes_one_that_a_load_test_can_bear() {
        for (script, name) in [
            ("load/Check Out_v2.yaml", "check-out-v2"),
            ("2024.yml", "load-test"),
            ("Ünï.yml", "n"),
            (&format!("{}.yml", "a".repeat(80)), &"a".repeat(40)),
        ] {
            assert_eq!(name_of(Path::new(script)), *name);
        }
    }
}
