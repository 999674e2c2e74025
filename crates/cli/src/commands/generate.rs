//! `generate`: the manifests of a load test of a script, for `kubectl apply -k`, as the first operator's plugin wrote them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use loadtest::LoadTest;
use loadtest::api::{FILE_NAME, SCRIPT_KEY};
use loadtest::plan;
use serde_json::json;

use crate::beside::{self, Beside};
use crate::cluster::bundle::{self, is_file_name};
use crate::exit::{Exit, Failure};
use crate::flags::Generate;
use crate::project::{check_script, read_script};
use crate::terminal::{print, say};

/// What the files are called.
const LOAD_TEST: &str = "loadtest-cr.yaml";
const KUSTOMIZATION: &str = "kustomization.yaml";
/// A ConfigMap holds no more bytes.
pub const MAX_CONFIG_MAP: u64 = 1 << 20;

pub fn run(flags: &Generate) -> Result<Exit, Failure> {
    let Generate { name, script: path, environment, out, count } = flags;
    let script = read_script(path)?;
    check_script(path, &script, environment.as_deref(), None)?;
    check_load_test(name, *count, environment.as_deref())?;
    let found = beside::find(path, &script, environment.as_deref(), &[])?;
    let notes = found.notes();
    let files = by_key(path, found.files)?;
    let key = bundle::key_of(path);
    let taken = [LOAD_TEST, KUSTOMIZATION, key].into_iter().map(|file| out.join(file));
    let taken = taken.chain(files.values().map(|file| out.join(&file.path))).find(|file| file.exists());
    if let Some(file) = taken {
        let shown = file.display();
        return Err(Failure::usage(format!(
            "{shown} is there already: remove it, or give another folder by --out"
        )));
    }
    write(&out.join(key), &fs::read(path).map_err(|error| Failure::file("read", path, &error))?)?;
    for file in files.values() {
        let content = fs::read(&file.from).map_err(|error| Failure::file("read", &file.from, &error))?;
        write(&out.join(&file.path), &content)?;
    }
    write(&out.join(LOAD_TEST), load_test(name, *count, environment.as_deref(), key, &files).as_bytes())?;
    write(&out.join(KUSTOMIZATION), kustomization(name, key, &files).as_bytes())?;
    notes.iter().for_each(say);
    print(format_args!("{}: kubectl apply -k {}", files_in_words(&files), out.display()))?;
    Ok(Exit::Passed)
}

/// The files by their keys in the one ConfigMap that has them.
fn by_key(script: &Path, files: Vec<Beside>) -> Result<BTreeMap<String, Beside>, Failure> {
    let mut keys: BTreeMap<String, Beside> = BTreeMap::new();
    let mut size = 0;
    for file in files {
        if !is_file_name(&file.path) {
            return Err(Failure::usage(format!(
                "{}: \"{}\" cannot be given by a ConfigMap: its name must look like {FILE_NAME}",
                script.display(),
                file.path
            )));
        }
        size += fs::metadata(&file.from).map_err(|error| Failure::file("read", &file.from, &error))?.len();
        if size > MAX_CONFIG_MAP {
            return Err(Failure::usage(format!(
                "the files that {} names have more than {MAX_CONFIG_MAP} bytes, and a ConfigMap holds no more: write the manifests by hand, with several (docs/reference.md)",
                script.display()
            )));
        }
        if let Some(other) = keys.insert(file.path.replace('/', "_"), file.clone()) {
            return Err(Failure::usage(format!(
                "{} and {} would have one key in a ConfigMap: rename one",
                other.path, file.path
            )));
        }
    }
    Ok(keys)
}

/// Refuses what the API server, or the operator, would refuse.
fn check_load_test(name: &str, count: u32, environment: Option<&str>) -> Result<(), Failure> {
    let load_test = json!({
        "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": { "name": name },
        "spec": { "count": count, "environment": environment, "testScript": { "config": { "configMap": config_map(name) } } },
    });
    let load_test: LoadTest = serde_json::from_value(load_test)
        .map_err(|error| Failure::usage(format!("the load test: {error}")))?;
    plan::config_maps(&load_test)
        .map_err(|problem| Failure::usage(format!("NAME is \"{name}\": {}", problem.message)))?;
    Ok(())
}

fn config_map(name: &str) -> String {
    format!("{name}-test-script")
}

fn load_test(
    name: &str,
    count: u32,
    environment: Option<&str>,
    key: &str,
    files: &BTreeMap<String, Beside>,
) -> String {
    let mut text = format!(
        "apiVersion: loadtest.artillery.io/v1alpha1
kind: LoadTest
metadata:
  name: {name}
  labels:
    artillery.io/test-name: {name}
    artillery.io/component: loadtest
    artillery.io/part-of: loadtest
spec:
  count: {count} # workers; each runs the whole script
"
    );
    if let Some(environment) = environment {
        // a text in JSON is one in YAML, whatever is in it
        let _ = writeln!(text, "  environment: {}", json!(environment));
    }
    let _ = write!(text, "  testScript:\n    config:\n      configMap: {}\n", config_map(name));
    if key != SCRIPT_KEY {
        let _ = writeln!(text, "      key: \"{key}\"");
    }
    if !files.is_empty() {
        let _ = write!(text, "    files:\n      - configMap: {name}-files\n        items:\n");
        for (key, file) in files {
            let _ = writeln!(text, "          - {{ key: \"{key}\", path: \"{}\" }}", file.path);
        }
    }
    text
}

fn kustomization(name: &str, key: &str, files: &BTreeMap<String, Beside>) -> String {
    let mut text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - {LOAD_TEST}
configMapGenerator:
  - name: {}
    files:
      - {key}
",
        config_map(name)
    );
    if !files.is_empty() {
        let _ = write!(text, "  - name: {name}-files\n    files:\n");
        for (key, file) in files {
            let _ = writeln!(text, "      - \"{key}={}\"", file.path);
        }
    }
    text.push_str(
        "generatorOptions:
  disableNameSuffixHash: true # the LoadTest names them, and kustomize does not know that field
  labels:
    artillery.io/component: loadtest-config
    artillery.io/part-of: loadtest
",
    );
    text
}

fn files_in_words(files: &BTreeMap<String, Beside>) -> String {
    if files.is_empty() {
        return "Wrote the manifests and the script".to_owned();
    }
    let paths = files.values().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", ");
    format!("Wrote the manifests, the script and what it names ({paths})")
}

fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(|error| Failure::file("make", folder, &error))?;
    }
    fs::write(path, content).map_err(|error| Failure::file("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generate(script: &str, name: &str) -> (tempfile::TempDir, Result<Exit, String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("data")).expect("a folder");
        fs::write(at("script.yml"), script).expect("a file");
        fs::write(at("data/users.csv"), "a\n").expect("a file");
        fs::write(at("hooks.js"), "").expect("a file");
        let flags = Generate {
            name: name.to_owned(),
            script: at("script.yml"),
            environment: None,
            out: at("out"),
            count: 2,
        };
        let ran = run(&flags).map_err(|failure| failure.to_string());
        (folder, ran)
    }

    fn read(folder: &tempfile::TempDir, name: &str) -> String {
        fs::read_to_string(folder.path().join("out").join(name)).expect(name)
    }

    #[test]
    fn the_manifests_have_all_that_the_script_names() {
        let script = "config: {payload: {path: ./data/users.csv}, processor: ./hooks}\nscenarios: []\n";
        let (folder, ran) = generate(script, "checkout");
        assert_eq!(ran, Ok(Exit::Passed));
        assert_eq!(read(&folder, SCRIPT_KEY), script);
        assert_eq!(
            (read(&folder, "data/users.csv").as_str(), read(&folder, "hooks.js").as_str()),
            ("a\n", "")
        );
        let load_test = read(&folder, LOAD_TEST);
        let end = "spec:
  count: 2 # workers; each runs the whole script
  testScript:
    config:
      configMap: checkout-test-script
    files:
      - configMap: checkout-files
        items:
          - { key: \"data_users.csv\", path: \"data/users.csv\" }
          - { key: \"hooks.js\", path: \"hooks.js\" }
";
        assert!(load_test.ends_with(end), "{load_test}");
        let kustomization = read(&folder, KUSTOMIZATION);
        assert!(
            kustomization
                .contains("      - \"data_users.csv=data/users.csv\"\n      - \"hooks.js=hooks.js\"\n"),
            "{kustomization}"
        );
    }

    #[test]
    fn a_script_that_is_a_program_keeps_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("load.ts");
        fs::write(&script, "export const config = {};").expect("a file");
        let out = folder.path().join("out");
        let flags = Generate { name: "t".into(), script, environment: None, out: out.clone(), count: 1 };
        assert_eq!(run(&flags).map_err(|failure| failure.to_string()), Ok(Exit::Passed));
        let read = |name: &str| fs::read_to_string(out.join(name)).expect(name);
        assert!(read(LOAD_TEST).contains("configMap: t-test-script\n      key: \"load.ts\"\n"));
        assert!(read(KUSTOMIZATION).contains("      - load.ts\n"));
        assert!(out.join("load.ts").exists());
    }

    #[test]
    fn what_is_there_is_not_written_over_and_what_cannot_be_is_refused() {
        for (script, name, said) in [
            ("config: {}", "a.b", "NAME is \"a.b\": \"a.b\": metadata.name must not contain dots"),
            (
                "config: {payload: {path: ../users.csv}}",
                "t",
                "config.payload.path is \"../users.csv\", and there is no such file",
            ),
            ("config: [", "t", "cannot be read"),
        ] {
            let (folder, ran) = generate(script, name);
            let error = ran.expect_err(said);
            assert!(error.contains(said), "{error}");
            assert!(!folder.path().join("out").exists(), "nothing is half-made");
        }
        let (folder, _) = generate("config: {}", "t");
        let flags = Generate {
            name: "t".into(),
            script: folder.path().join("script.yml"),
            environment: None,
            out: folder.path().join("out"),
            count: 1,
        };
        let error = run(&flags).expect_err("refused").to_string();
        assert!(error.contains("loadtest-cr.yaml is there already"), "{error}");
    }
}
