//! `generate`: the manifests of a load test of a script, for `kubectl apply -k`, as the first operator's plugin wrote them: the very objects
//! that `run` would make.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt as _;
use loadtest::api::Hooks;
use metrics::delivery::Distribution;
use serde_json::json;

use super::plan;
use crate::cluster::bundle::{self, Bundle};
use crate::cluster::{chosen_by, word};
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Generate, Options};
use crate::plan::Asked;
use crate::plan::objects::bundle_of;
use crate::project::Project;
use crate::terminal::print;

/// What the files are called.
const LOAD_TEST: &str = "loadtest-cr.yaml";
const KUSTOMIZATION: &str = "kustomization.yaml";

pub fn run(flags: &Generate, cluster: &Cluster) -> Result<Exit, Failure> {
    let Generate { name, script, environment, out, count, validate } = flags;
    let options = Options { environment: environment.clone(), ..Options::default() };
    let project = Project::read(script, &options)?;
    let asked = Asked {
        project: &project,
        name,
        workers: *count,
        distribution: Distribution::Replicate,
        hooks: Hooks::PerWorker,
    };
    plan::refuse_unsound(&asked, false, *validate)?;
    let (bundle, notes) = bundle_of(&asked, bundle::START_TIMEOUT)?;
    let mut files = vec![(LOAD_TEST.to_owned(), load_test(&bundle).into_bytes())];
    files.push((KUSTOMIZATION.to_owned(), kustomization(&bundle).into_bytes()));
    files.extend(bundle.config_maps.iter().flat_map(|map| given(&bundle, map)));
    check(out, &files)?;
    for (path, content) in &files {
        write(&out.join(path), content)?;
    }
    // who validates was told
    notes.iter().filter(|_| !*validate).for_each(plan::say_warning);
    print(format_args!("{}: {}", files_in_words(&bundle), apply(out, cluster)))?;
    Ok(Exit::Passed)
}

/// The command that applies them where its user means, to be typed.
fn apply(out: &Path, cluster: &Cluster) -> String {
    let namespace = cluster.given().namespace.map(|namespace| format!(" -n {}", word(&namespace)));
    let folder = word(&out.display().to_string());
    format!("kubectl apply -k {folder}{}{}", namespace.unwrap_or_default(), chosen_by(cluster))
}

/// The files that a ConfigMap gives.
fn given(bundle: &Bundle, map: &ConfigMap) -> Vec<(String, Vec<u8>)> {
    let content = |key: &str| {
        let text = map.data.as_ref().and_then(|data| data.get(key)).map(String::as_bytes);
        let binary =
            || map.binary_data.as_ref().and_then(|data| data.get(key)).map(|bytes| bytes.0.as_slice());
        text.or_else(binary).unwrap_or_default().to_vec()
    };
    let name = map.name_any();
    bundle.paths(&name).into_iter().map(|(key, path)| (path.to_owned(), content(key))).collect()
}

/// Refuses to write two files of one name, or over what is there.
fn check(out: &Path, files: &[(String, Vec<u8>)]) -> Result<(), Failure> {
    let mut seen = BTreeSet::new();
    for (path, _) in files {
        if !seen.insert(path) {
            return Err(Failure::usage(format!(
                "the script needs a file {path}, and one of the manifests is called so: rename it"
            )));
        }
        let file = out.join(path);
        if file.exists() {
            let shown = file.display();
            return Err(Failure::usage(format!(
                "{shown} is there already: remove it, or give another folder by --out"
            )));
        }
    }
    Ok(())
}

/// A text as YAML has it: plain where nobody takes it for anything else.
fn scalar(text: &str) -> String {
    const WORDS: [&str; 8] = ["true", "false", "null", "yes", "no", "on", "off", "y"];
    let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str())
        && text != "n";
    // a text in JSON is one in YAML, whatever is in it
    if is_plain { text.to_owned() } else { json!(text).to_string() }
}

fn load_test(bundle: &Bundle) -> String {
    let spec = &bundle.load_test.spec;
    let name = scalar(bundle.load_test.name());
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
  count: {} # workers; each runs the whole script
",
        spec.count
    );
    // writing to a text does not fail
    if let Some(environment) = &spec.environment {
        let _ = writeln!(text, "  environment: {}", json!(environment));
    }
    text.push_str("  testScript:\n");
    if let Some(config) = &spec.test_script.config {
        let _ = writeln!(text, "    config:\n      configMap: {}", scalar(&config.config_map));
        if let Some(key) = &config.key {
            let _ = writeln!(text, "      key: {}", json!(key));
        }
    }
    if !spec.test_script.files.is_empty() {
        text.push_str("    files:\n");
    }
    for file in &spec.test_script.files {
        let map = scalar(file.config_map.as_deref().unwrap_or_default());
        let _ = writeln!(text, "      - configMap: {map}\n        items:");
        for item in &file.items {
            let _ = writeln!(text, "          - {{ key: {}, path: {} }}", json!(item.key), json!(item.path));
        }
    }
    text
}

fn kustomization(bundle: &Bundle) -> String {
    let mut text = format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
  - {LOAD_TEST}
configMapGenerator:
"
    );
    for map in &bundle.config_maps {
        let name = map.name_any();
        let _ = writeln!(text, "  - name: {}\n    files:", scalar(&name));
        for (key, path) in bundle.paths(&name) {
            let file = if key == path { scalar(key) } else { json!(format!("{key}={path}")).to_string() };
            let _ = writeln!(text, "      - {file}");
        }
    }
    let _ = write!(
        text,
        "generatorOptions:
  disableNameSuffixHash: true # the LoadTest names them, and kustomize does not know that field
  labels:
    artillery.io/test-name: {}
    artillery.io/component: loadtest-config
    artillery.io/part-of: loadtest
",
        scalar(bundle.load_test.name())
    );
    text
}

fn files_in_words(bundle: &Bundle) -> String {
    let files = bundle.load_test.spec.test_script.files.iter().flat_map(|file| &file.items);
    let paths = files.map(|item| item.path.as_str()).collect::<Vec<_>>().join(", ");
    if paths.is_empty() {
        return "Wrote the manifests and the script".to_owned();
    }
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
    use loadtest::api::SCRIPT_KEY;

    use super::*;
    use crate::plan::document;

    /// Nothing is wrong with it.
    const SOUND: &str = "config: {target: 'http://t'}\nscenarios: []\n";

    fn generate(script: &str, name: &str) -> (tempfile::TempDir, Result<Exit, String>) {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("data")).expect("a folder");
        fs::write(at("script.yml"), script).expect("a file");
        fs::write(at("data/users.csv"), "a\n").expect("a file");
        fs::write(at("hooks.js"), "").expect("a file");
        fs::write(at("kustomization.yaml"), "").expect("a file");
        let flags = Generate {
            name: name.to_owned(),
            script: at("script.yml"),
            environment: None,
            out: at("out"),
            count: 2,
            validate: true,
        };
        let ran = run(&flags, &Cluster::default()).map_err(|failure| failure.to_string());
        (folder, ran)
    }

    fn read(folder: &tempfile::TempDir, name: &str) -> String {
        fs::read_to_string(folder.path().join("out").join(name)).expect(name)
    }

    #[test]
    fn the_manifests_have_all_that_the_script_names() {
        let script = "config: {target: 'http://t', payload: {path: ./data/users.csv}, processor: ./hooks}\nscenarios: []\n";
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
      - configMap: checkout-files-1
        items:
          - { key: \"data_users.csv\", path: \"data/users.csv\" }
          - { key: \"hooks.js\", path: \"hooks.js\" }
";
        assert!(load_test.ends_with(end), "{load_test}");
        let kustomization = read(&folder, KUSTOMIZATION);
        assert!(
            kustomization.contains("      - \"data_users.csv=data/users.csv\"\n      - hooks.js\n"),
            "{kustomization}"
        );
    }

    #[test]
    fn what_is_written_is_what_run_makes_in_as_many_config_maps_also_of_a_name_that_yaml_would_take_for_a_number()
     {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let script = "config: {target: a, environments: {dev: {payload: [{path: a.csv}, {path: b.bin}, {path: c.csv}]}}}\nscenarios: []\n";
        fs::write(at("s.yml"), script).expect("a file");
        for (name, content) in
            [("a.csv", vec![b'x'; 600_000]), ("b.bin", vec![0xff; 10]), ("c.csv", vec![b'x'; 600_000])]
        {
            fs::write(at(name), content).expect("a file");
        }
        let (name, environment) = ("1e3".to_owned(), Some("dev".to_owned()));
        let flags =
            Generate { name, script: at("s.yml"), environment, out: at("out"), count: 3, validate: true };
        assert_eq!(run(&flags, &Cluster::default()).map_err(|failure| failure.to_string()), Ok(Exit::Passed));

        let options = Options { environment: flags.environment.clone(), ..Options::default() };
        let project = Project::read(&at("s.yml"), &options).expect("a project");
        let wanted = bundle::Wanted {
            name: "1e3",
            count: 3,
            distribution: loadtest::api::Distribution::Replicate,
            hooks: Hooks::PerWorker,
            start_timeout: bundle::START_TIMEOUT,
        };
        let (made, _) = bundle::of_project(&project, wanted).expect("objects");
        let read = |name: &str| document::read(&read(&folder, name)).expect("YAML").json();
        let load_test = read(LOAD_TEST);
        assert_eq!(load_test["spec"], json!(made.load_test.spec));
        assert_eq!(load_test["metadata"], json!(made.load_test.metadata));
        let maps = &read(KUSTOMIZATION)["configMapGenerator"];
        let names: Vec<_> = made.config_maps.iter().map(ConfigMap::name_any).collect();
        assert_eq!(
            json!(names),
            json!(maps.as_array().map(|maps| maps.iter().map(|map| map["name"].clone()).collect::<Vec<_>>()))
        );
        assert_eq!(maps[1]["files"], json!(["a.csv", "b.bin"]));
        assert_eq!(fs::read(at("out/b.bin")).expect("a file"), [0xff; 10]);
    }

    #[test]
    fn they_are_applied_to_the_namespace_and_the_cluster_that_were_given() {
        assert_eq!(apply(Path::new("my tests"), &Cluster::default()), "kubectl apply -k 'my tests'");
        let cluster = Cluster {
            namespace: Some("shop".to_owned()),
            context: Some("kind-a".to_owned()),
            kubeconfig: Some("b.yaml".into()),
        };
        let typed = "kubectl apply -k out -n shop --context kind-a --kubeconfig b.yaml";
        assert_eq!(apply(Path::new("out"), &cluster), typed);
    }

    #[test]
    fn a_script_that_is_a_program_keeps_its_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("load.ts");
        fs::write(&script, "export const config = {};").expect("a file");
        let out = folder.path().join("out");
        let flags = Generate {
            name: "t".into(),
            script,
            environment: None,
            out: out.clone(),
            count: 1,
            validate: true,
        };
        assert_eq!(run(&flags, &Cluster::default()).map_err(|failure| failure.to_string()), Ok(Exit::Passed));
        let read = |name: &str| fs::read_to_string(out.join(name)).expect(name);
        assert!(read(LOAD_TEST).contains("configMap: t-test-script\n      key: \"load.ts\"\n"));
        assert!(read(KUSTOMIZATION).contains("      - load.ts\n"));
        assert!(out.join("load.ts").exists());
    }

    #[test]
    fn what_is_there_is_not_written_over_and_what_cannot_be_is_refused() {
        for (script, name, said) in [
            (SOUND, "a.b", "is refused for the above; --validate=false"),
            ("config: {payload: {path: ../users.csv}}", "t", "is refused for the above; --validate=false"),
            ("config: [", "t", "is refused for the above"),
            (
                "config: {target: a, payload: {path: kustomization.yaml}}\nscenarios: []",
                "t",
                "the script needs a file kustomization.yaml, and one of the manifests is called so",
            ),
        ] {
            let (folder, ran) = generate(script, name);
            let error = ran.expect_err(said);
            assert!(error.contains(said), "{error}");
            assert!(!folder.path().join("out").exists(), "nothing is half-made");
        }
        let (folder, _) = generate(SOUND, "t");
        let flags = Generate {
            name: "t".into(),
            script: folder.path().join("script.yml"),
            environment: None,
            out: folder.path().join("out"),
            count: 1,
            validate: true,
        };
        let error = run(&flags, &Cluster::default()).expect_err("refused").to_string();
        assert!(error.contains("loadtest-cr.yaml is there already"), "{error}");
    }
}
