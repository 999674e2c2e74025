//! `run` of load tests that are written down: kubectl applies the manifests, and what is a LoadTest in them is followed.

use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::process::Stdio;

use kube::api::{Patch, PatchParams};
use loadtest::LoadTest;
use loadtest::api::Stop;
use serde_json::{Deserializer, Value, json};
use tempfile::NamedTempFile;
use tokio::process::Command;

use super::ended::{self, Wanted};
use crate::cluster::Connection;
use crate::cluster::follow::{Follow, OnInterrupt, stop};
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Output, Run};
use crate::reports::Targets;
use crate::signals::Signals;
use crate::terminal::{print, say};

/// What is read of standard input, in bytes.
const MAX_INPUT: u64 = 16 << 20;

/// Applies manifests, and follows their load tests.
pub async fn run(flags: &Run, cluster: &Cluster, targets: &Targets) -> Result<Exit, Failure> {
    refuse_what_is_of_scripts(flags)?;
    let typed = flags.filename.as_deref();
    let kept = match typed {
        Some(path) if path == Path::new("-") => Some(keep_input()?),
        _ => None,
    };
    let from = match (kept.as_ref().map(NamedTempFile::path).or(typed), &flags.kustomize) {
        (Some(file), _) => ["-f".into(), file.as_os_str().to_owned()],
        (None, Some(folder)) => ["-k".into(), folder.as_os_str().to_owned()],
        (None, None) => return Err(Failure::usage("give a script, -f or -k")),
    };
    let kubectl = |verb: &[&str]| {
        let mut command = Command::new("kubectl");
        let Cluster { namespace, context, kubeconfig } = cluster;
        command.args(verb).args(&from);
        for (flag, value) in [("--namespace", namespace), ("--context", context)] {
            command.args(value.iter().flat_map(|value| [flag, value.as_str()]));
        }
        command.args(kubeconfig.iter().flat_map(|path| ["--kubeconfig".as_ref(), path.as_os_str()]));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    };
    let read = output(kubectl(&["create", "--dry-run=client", "--output=json"])).await?;
    let connection = Connection::open(cluster).await?;
    let tests = load_tests(&read, &connection.namespace)?;
    if tests.len() > 1 && (!flags.reports.is_empty() || flags.output == Output::Json) {
        let count = tests.len();
        return Err(Failure::usage(format!(
            "there are {count} load tests in it, and one report can be written: run them one by one, or leave --report and -o away"
        )));
    }
    for (namespace, name) in &tests {
        let there = connection.in_namespace(namespace).load_tests().get_opt(name).await;
        if there.map_err(|error| connection.refused("look for load tests", &error))?.is_some() {
            return Err(Failure::usage(format!(
                "the load test {name} is there already in namespace {namespace}, and a load test runs once: kubectl delete loadtest {name}, or give it another name"
            )));
        }
    }
    let mut signals = Signals::listen()?;
    let said = output(kubectl(&["apply"])).await?;
    say(String::from_utf8_lossy(&said).trim_end());
    follow_all(flags, &connection, &tests, &mut signals, targets).await
}

/// Follows a load test that is there already, and starts it where it waits for that.
pub async fn run_existing(
    flags: &Run,
    cluster: &Cluster,
    targets: &Targets,
    name: &str,
) -> Result<Exit, Failure> {
    refuse_what_is_of_scripts(flags)?;
    let connection = Connection::open(cluster).await?;
    let load_test = connection.load_test(name).await?;
    let mut signals = Signals::listen()?;
    if load_test.spec.suspend == Some(true) {
        let patch = Patch::Merge(json!({ "spec": { "suspend": false } }));
        let started = connection.load_tests().patch(name, &PatchParams::default(), &patch).await;
        started.map_err(|error| connection.refused(&format!("start the load test {name}"), &error))?;
    } else if load_test.is_settled() {
        return Err(Failure::usage(format!(
            "the load test {name} is over, and a load test runs once: kubectl artillery report {name} shows its report"
        )));
    }
    let test = [(connection.namespace.clone(), name.to_owned())];
    follow_all(flags, &connection, &test, &mut signals, targets).await
}

async fn follow_all(
    flags: &Run,
    connection: &Connection,
    tests: &[(String, String)],
    signals: &mut Signals,
    targets: &Targets,
) -> Result<Exit, Failure> {
    if flags.detach {
        for (_, name) in tests {
            print(format_args!("loadtest/{name}"))?;
        }
        return Ok(Exit::Passed);
    }
    let mut exit = Exit::Passed;
    let mut is_interrupted = false;
    for (at, (namespace, name)) in tests.iter().enumerate() {
        let connection = connection.in_namespace(namespace);
        let follow = Follow {
            connection: &connection,
            name,
            on_interrupt: if is_interrupted { OnInterrupt::Leave } else { OnInterrupt::Stop },
            gives_up: true,
            timeout: None,
            is_quiet: false,
        };
        let followed = follow.to_its_end(signals).await?;
        if followed.is_interrupted {
            is_interrupted = true;
            for (namespace, name) in &tests[at + 1..] {
                stop(&connection.in_namespace(namespace), name, Stop::Graceful).await?;
            }
        }
        let wanted = Wanted { targets, output: flags.output };
        exit = exit.or_worse(ended::report(&connection, &followed, wanted).await?);
    }
    Ok(exit)
}

/// What shapes a load test of a script would be ignored.
fn refuse_what_is_of_scripts(flags: &Run) -> Result<(), Failure> {
    match flags.first_of_script() {
        Some(flag) => Err(Failure::usage(format!(
            "{flag} is for the load test of a script: one that is written down says all that in its manifest"
        ))),
        None => Ok(()),
    }
}

fn keep_input() -> Result<NamedTempFile, Failure> {
    let kept = || -> io::Result<NamedTempFile> {
        let mut file = tempfile::Builder::new().prefix("kubectl-artillery-").suffix(".yaml").tempfile()?;
        if io::copy(&mut io::stdin().lock().take(MAX_INPUT + 1), &mut file)? > MAX_INPUT {
            return Err(io::Error::other(format!("it has more than {MAX_INPUT} bytes")));
        }
        file.flush()?;
        Ok(file)
    };
    kept().map_err(|error| Failure::usage(format!("-f -: standard input cannot be kept: {error}")))
}

/// What kubectl prints, whose errors are its own.
async fn output(mut command: Command) -> Result<Vec<u8>, Failure> {
    let ran = command.stderr(Stdio::inherit()).output().await;
    let ran = ran.map_err(|error| Failure::usage(format!("-f and -k need kubectl on the PATH: {error}")))?;
    if ran.status.success() {
        Ok(ran.stdout)
    } else {
        Err(Failure::usage("kubectl refuses the manifests, see above"))
    }
}

/// Namespace and name of each LoadTest among objects, as kubectl prints them: one behind the other, or in a list.
fn load_tests(printed: &[u8], namespace: &str) -> Result<Vec<(String, String)>, Failure> {
    let mut tests = Vec::new();
    for object in Deserializer::from_slice(printed).into_iter::<Value>() {
        let object =
            object.map_err(|error| Failure::internal(format!("what kubectl printed is no JSON: {error}")))?;
        let items = match object["items"].as_array() {
            Some(items) if object["kind"] == "List" => items.clone(),
            _ => vec![object],
        };
        for item in items {
            let api_version = item["apiVersion"].as_str().unwrap_or_default();
            if item["kind"] == "LoadTest" && api_version.starts_with("loadtest.artillery.io/") {
                let load_test: LoadTest = serde_json::from_value(item).map_err(|error| {
                    Failure::usage(format!("a LoadTest in the manifests cannot be read: {error}"))
                })?;
                let at = load_test.metadata.namespace.clone().unwrap_or_else(|| namespace.to_owned());
                tests.push((at, load_test.name().to_owned()));
            }
        }
    }
    match tests.iter().any(|(_, name)| name.is_empty()) {
        true => Err(Failure::usage("a LoadTest in the manifests has no metadata.name: give it one")),
        false if tests.is_empty() => Err(Failure::usage("there is no LoadTest in the manifests")),
        false => Ok(tests),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_tests_are_found_among_other_objects() {
        let spec = json!({ "testScript": { "config": { "configMap": "a" } } });
        let test = |metadata: Value| json!({ "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": metadata, "spec": spec });
        let other = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "a" } });
        let two =
            [other.clone(), test(json!({ "name": "a" })), test(json!({ "name": "b", "namespace": "shop" }))];
        let expected = [("here", "a"), ("shop", "b")].map(|(at, name)| (at.to_owned(), name.to_owned()));
        let behind: String = two.iter().map(Value::to_string).collect();
        let list = json!({ "kind": "List", "apiVersion": "v1", "items": two }).to_string();
        for printed in [behind, list] {
            assert_eq!(load_tests(printed.as_bytes(), "here").expect("load tests"), expected);
        }
        for (object, said) in [
            (other, "there is no LoadTest in the manifests"),
            (
                test(json!({ "generateName": "a-" })),
                "a LoadTest in the manifests has no metadata.name: give it one",
            ),
        ] {
            let error = load_tests(object.to_string().as_bytes(), "here").expect_err(said);
            assert_eq!(error.to_string(), said);
        }
    }
}
