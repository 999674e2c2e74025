//! `generate`: the manifests of a load test of a script, for `kubectl apply -k`, as the first operator's plugin wrote them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use loadtest::LoadTest;
use loadtest::api::FILE_NAME;
use loadtest::plan;
use serde_json::json;

use crate::exit::{Exit, Failure};
use crate::flags::Generate;
use crate::project::{check_script, read_script};
use crate::terminal::print;

/// What the files are called.
const LOAD_TEST: &str = "loadtest-cr.yaml";
const KUSTOMIZATION: &str = "kustomization.yaml";
const SCRIPT: &str = "test-script.yaml";
/// A ConfigMap holds no more bytes.
pub const MAX_CONFIG_MAP: u64 = 1 << 20;

pub fn run(flags: &Generate) -> Result<Exit, Failure> {
    let Generate { name, script: path, environment, out, count } = flags;
    let script = read_script(path)?;
    check_script(path, &script, environment.as_deref(), None)?;
    check_load_test(name, *count, environment.as_deref())?;
    let files =
        files(path, script.files(environment.as_deref()).iter().map(|file| (file.path, file.endings())))?;
    let taken = [LOAD_TEST, KUSTOMIZATION, SCRIPT].into_iter().map(|file| out.join(file));
    let taken = taken.chain(files.values().map(|file| out.join(&file.path))).find(|file| file.exists());
    if let Some(file) = taken {
        let shown = file.display();
        return Err(Failure::usage(format!(
            "{shown} is there already: remove it, or give another folder by --out"
        )));
    }
    write(&out.join(SCRIPT), &fs::read(path).map_err(|error| Failure::file("read", path, &error))?)?;
    for file in files.values() {
        let content = fs::read(&file.from).map_err(|error| Failure::file("read", &file.from, &error))?;
        write(&out.join(&file.path), &content)?;
    }
    write(&out.join(LOAD_TEST), load_test(name, *count, environment.as_deref(), &files).as_bytes())?;
    write(&out.join(KUSTOMIZATION), kustomization(name, &files).as_bytes())?;
    print(format_args!("{}: kubectl apply -k {}", files_in_words(&files), out.display()))?;
    Ok(Exit::Passed)
}

/// A file beside the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beside {
    /// Where it is.
    pub from: PathBuf,
    /// Below the script's folder.
    pub path: String,
}

/// The files that a script names, by their keys in a ConfigMap.
pub fn files<'a>(
    script: &Path,
    named: impl Iterator<Item = (&'a str, &'static [&'static str])>,
) -> Result<BTreeMap<String, Beside>, Failure> {
    let folder = script.parent().unwrap_or(Path::new(""));
    let mut files = BTreeMap::new();
    let mut size = 0;
    for (path, endings) in named {
        // what is a template or a pattern only Artillery can tell
        let ending = endings.iter().find(|ending| folder.join(format!("{path}{ending}")).is_file());
        let Some(ending) = ending else { continue };
        let named = format!("{path}{ending}");
        let below = loadtest::script::below(&named).filter(|_| !named.starts_with('/'));
        let below = below.ok_or_else(|| {
            Failure::usage(format!(
                "{}: \"{path}\" lies outside the script's folder: move it there",
                script.display()
            ))
        })?;
        if !is_file_name(&below) {
            return Err(Failure::usage(format!(
                "{}: \"{path}\" cannot be given by a ConfigMap: its name must look like {FILE_NAME}",
                script.display()
            )));
        }
        let from = folder.join(&named);
        size += fs::metadata(&from).map_err(|error| Failure::file("read", &from, &error))?.len();
        if size > MAX_CONFIG_MAP {
            return Err(Failure::usage(format!(
                "the files that {} names have more than {MAX_CONFIG_MAP} bytes, and a ConfigMap holds no more: write the manifests by hand, with several (docs/reference.md)",
                script.display()
            )));
        }
        let file = Beside { from, path: below.clone() };
        if let Some(other) =
            files.insert(below.replace('/', "_"), file.clone()).filter(|other| *other != file)
        {
            return Err(Failure::usage(format!(
                "{} and {below} would have one key in a ConfigMap: rename one",
                other.path
            )));
        }
    }
    Ok(files)
}

/// What a ConfigMap's key and its path may be: no part begins with two dots.
fn is_file_name(path: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    path.split('/')
        .all(|part| !part.is_empty() && !part.starts_with("..") && part != "." && part.chars().all(is_good))
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

fn load_test(name: &str, count: u32, environment: Option<&str>, files: &BTreeMap<String, Beside>) -> String {
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
    if !files.is_empty() {
        let _ = write!(text, "    files:\n      - configMap: {name}-files\n        items:\n");
        for (key, file) in files {
            let _ = writeln!(text, "          - {{ key: \"{key}\", path: \"{}\" }}", file.path);
        }
    }
    text
}

fn kustomization(name: &str, files: &BTreeMap<String, Beside>) -> String {
    let mut text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - {LOAD_TEST}
configMapGenerator:
  - name: {}
    files:
      - {SCRIPT}
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
    let has_processor = files.values().any(|file| {
        let ending = Path::new(&file.path).extension().and_then(|ending| ending.to_str());
        ending.is_some_and(|ending| ["js", "cjs", "mjs", "ts"].contains(&ending))
    });
    let named = match files.len() {
        0 => "Wrote the manifests and the script".to_owned(),
        _ => {
            let paths = files.values().map(|file| file.path.as_str()).collect::<Vec<_>>().join(", ");
            format!("Wrote the manifests, the script and what it names ({paths})")
        }
    };
    if has_processor {
        format!("{named}; what the processor requires of its own is not looked for: add it to both files")
    } else {
        named
    }
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
        assert_eq!(read(&folder, SCRIPT), script);
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
