//! What `run -f` and `run -k` are given: for kubectl, which reads it; and the load tests in what it then prints.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use loadtest::LoadTest;
use serde_json::{Deserializer, Value};
use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use super::Test;
use crate::exit::Failure;
use crate::flags::Run;

/// What is read of standard input, in bytes.
const MAX_INPUT: u64 = 16 << 20;

/// Whether a manifest is to be read of standard input.
pub(super) fn is_input(path: &Path) -> bool {
    path == Path::new("-")
}

/// Where the manifests are, as kubectl is told it; standard input is kept in a file.
pub(super) fn given(flags: &Run, input: Option<&Path>) -> Vec<OsString> {
    let file = |path: &Path| input.filter(|_| is_input(path)).unwrap_or(path).into();
    let files = flags.filename.iter().flat_map(|path| ["-f".into(), file(path)]);
    let folders = flags.kustomize.iter().flat_map(|folder| ["-k".into(), folder.into()]);
    files.chain(folders).collect()
}

/// Standard input, in a file that is removed with it.
pub(super) async fn keep_input() -> Result<NamedTempFile, Failure> {
    let read = || -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if io::stdin().lock().take(MAX_INPUT + 1).read_to_end(&mut bytes)? as u64 > MAX_INPUT {
            return Err(io::Error::other(format!("it has more than {MAX_INPUT} bytes")));
        }
        Ok(bytes)
    };
    let kept = async {
        // there is no file before all is read: nobody ends that thread
        let bytes = spawn_blocking(read).await.map_err(io::Error::other)??;
        let mut file = tempfile::Builder::new().prefix("kubectl-artillery-").suffix(".yaml").tempfile()?;
        file.write_all(&bytes)?;
        file.flush()?;
        Ok(file)
    };
    kept.await
        .map_err(|error: io::Error| Failure::usage(format!("-f -: standard input cannot be kept: {error}")))
}

/// Objects, as kubectl prints them: one behind the other, or in a list.
pub(super) fn objects(printed: &[u8]) -> Result<Vec<Value>, Failure> {
    let mut objects = Vec::new();
    for object in Deserializer::from_slice(printed).into_iter::<Value>() {
        let object =
            object.map_err(|error| Failure::internal(format!("what kubectl printed is no JSON: {error}")))?;
        match object["items"].as_array() {
            Some(items) if object["kind"] == "List" => objects.extend(items.iter().cloned()),
            _ => objects.push(object),
        }
    }
    Ok(objects)
}

/// Whether others may need one of them before they are even tried: a dry run keeps nothing, and would refuse them.
pub(super) fn brings_what_others_need(objects: &[Value]) -> bool {
    objects.iter().any(|object| object["kind"] == "Namespace" || object["kind"] == "CustomResourceDefinition")
}

/// Each LoadTest among objects.
pub(super) fn load_tests(objects: Vec<Value>, namespace: &str) -> Result<Vec<Test>, Failure> {
    let mut tests = Vec::new();
    for item in objects {
        let api_version = item["apiVersion"].as_str().unwrap_or_default();
        if item["kind"] == "LoadTest" && api_version.starts_with("loadtest.artillery.io/") {
            let load_test: LoadTest = serde_json::from_value(item).map_err(|error| {
                Failure::usage(format!("a LoadTest in the manifests cannot be read: {error}"))
            })?;
            let namespace = load_test.metadata.namespace.clone().unwrap_or_else(|| namespace.to_owned());
            tests.push(Test { namespace, name: load_test.name().to_owned(), uid: None });
        }
    }
    match tests.iter().any(|test| test.name.is_empty()) {
        true => Err(Failure::usage("a LoadTest in the manifests has no metadata.name: give it one")),
        false if tests.is_empty() => Err(Failure::usage("there is no LoadTest in the manifests")),
        false => Ok(tests),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::json;

    use super::*;
    use crate::flags::{Command, Flags};

    #[test]
    fn kubectl_is_given_every_file_and_what_was_read_of_standard_input() {
        let given = |typed: &[&str]| {
            let typed = ["kubectl-artillery", "run"].iter().chain(typed);
            let Command::Run(flags) = Flags::try_parse_from(typed).expect("flags").command else {
                panic!("it is run");
            };
            given(&flags, Some(Path::new("/tmp/kept")))
        };
        assert_eq!(given(&["-f", "a", "-f", "-", "-f", "b"]), ["-f", "a", "-f", "/tmp/kept", "-f", "b"]);
        assert_eq!(given(&["-k", "a"]), ["-k", "a"]);
    }

    #[test]
    fn what_others_need_is_not_tried_without_it() {
        let namespace = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "shop" } });
        assert!(brings_what_others_need(&[namespace]));
    }

    #[test]
    fn load_tests_are_found_among_other_objects() {
        let spec = json!({ "testScript": { "config": { "configMap": "a" } } });
        let test = |metadata: Value| json!({ "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": metadata, "spec": spec });
        let other = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } });
        let two =
            [other.clone(), test(json!({ "name": "a" })), test(json!({ "name": "b", "namespace": "shop" }))];
        let expected = [("here", "a"), ("shop", "b")].map(|(namespace, name)| Test {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: None,
        });
        let behind: String = two.iter().map(Value::to_string).collect();
        let list = json!({ "kind": "List", "apiVersion": "v1", "items": two }).to_string();
        for printed in [behind, list] {
            let objects = objects(printed.as_bytes()).expect("objects");
            assert!(!brings_what_others_need(&objects));
            assert_eq!(load_tests(objects, "here").expect("load tests"), expected);
        }
        for (object, said) in [
            (other, "there is no LoadTest in the manifests"),
            (
                test(json!({ "generateName": "a-" })),
                "a LoadTest in the manifests has no metadata.name: give it one",
            ),
        ] {
            let error = load_tests(vec![object], "here").expect_err(said);
            assert_eq!(error.to_string(), said);
        }
    }
}
