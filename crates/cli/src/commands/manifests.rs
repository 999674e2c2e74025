//! `run` of load tests that are written down: kubectl applies the manifests, and what is a LoadTest in them is followed.

mod input;
mod stopped;

use std::time::Duration;

use futures::future::join_all;
use kube::api::{ListParams, Patch, PatchParams};
use loadtest::LoadTest;
use loadtest::api::LoadTestStatus;
use serde_json::json;
use tempfile::NamedTempFile;

use super::ended::{self, Wanted};
use super::kubectl::Kubectl;
use crate::cluster::follow::{Follow, Followed, Lost, OnInterrupt, conclusion};
use crate::cluster::patience::{PATIENCE, at_last};
use crate::cluster::{Connection, is_lost};
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Output, Run};
use crate::reports::Targets;
use crate::signals::Signals;
use crate::terminal::{print, say, say_failure};
use input::{brings_what_others_need, given, is_input, keep_input, load_tests, objects};
use stopped::stop_all;

/// A load test that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Test {
    namespace: String,
    name: String,
    /// Where it is known.
    uid: Option<String>,
}

/// Applies manifests, and follows their load tests.
pub async fn run(flags: &Run, cluster: &Cluster, targets: &Targets) -> Result<Exit, Failure> {
    refuse_what_is_of_scripts(flags)?;
    // what is kept of standard input is removed, whenever it is interrupted
    let mut signals = Signals::listen()?;
    let nothing = || Failure::interrupted("interrupted: nothing is applied");
    let kept = match flags.filename.iter().filter(|path| is_input(path)).count() {
        0 => None,
        1 => Some(signals.unless(keep_input()).await.ok_or_else(nothing)??),
        _ => return Err(Failure::usage("-f - is standard input, which is read once: give it once")),
    };
    let from = given(flags, kept.as_ref().map(NamedTempFile::path));
    let kubectl = Kubectl { program: "kubectl".as_ref(), from: &from, cluster };
    // whoever has no cluster, or no operator in it, is told so as everywhere
    let connection = Connection::open(cluster).await?;
    let tests = signals.unless(looked_at(flags, &kubectl, &connection)).await.ok_or_else(nothing)??;
    // those who follow hear what comes meanwhile, too
    let heard = signals.clone();
    let list = connection.hint("list");
    let applied = signals.unless_twice(kubectl.apply(&list), || {
        say("Stopping: kubectl applies what it has begun, which is then stopped (again to leave at once)");
    });
    let Some((applied, is_interrupted)) = applied.await else {
        return Err(Failure::interrupted(format!(
            "left: kubectl still applies the manifests; {} shows the load tests in them, {} ends one",
            connection.hint("list"),
            connection.hint("stop NAME")
        )));
    };
    if is_interrupted && (flags.detach || applied.is_err()) {
        if let Err(failure) = &applied {
            say_failure(failure);
        }
        let stopped = signals.unless(stop_all(&connection, &tests)).await;
        return Err(stopped.map_or_else(left_applied, |stopped| stopped.interrupted()));
    }
    if let Err(mut failure) = applied {
        // nobody follows those that were applied
        let Some(stopped) = signals.unless(stop_all(&connection, &tests)).await else {
            say_failure(&failure);
            return Err(left_applied());
        };
        failure.exit = match signals.unless(kubectl.refuses()).await {
            Some(true) => Exit::Usage,
            Some(false) => failure.exit,
            None => Exit::Interrupted,
        };
        return Err(match stopped.stays() {
            Some(stays) => failure.and(&stays),
            None => failure,
        });
    }
    follow_all(flags, &connection, &tests, heard, targets).await
}

fn left_applied() -> Failure {
    Failure::interrupted("left: what is applied of the load tests may go on")
}

/// The load tests of manifests with which nothing is wrong, as far as it can be told before any is applied.
async fn looked_at(
    flags: &Run,
    kubectl: &Kubectl<'_>,
    connection: &Connection,
) -> Result<Vec<Test>, Failure> {
    match connection.load_tests().list_metadata(&ListParams::default().limit(1)).await {
        // whoever may do it in the namespaces of the manifests alone is told more there
        Err(kube::Error::Api(status)) if status.code == 403 => {}
        looked => drop(looked.map_err(|error| connection.refused("look for load tests", &error))?),
    }
    let read = objects(&kubectl.read(&["create", "--dry-run=client", "--output=json"]).await?)?;
    let tests = load_tests(read.clone(), &connection.namespace)?;
    if tests.len() > 1 && (!flags.reports.is_empty() || flags.output == Output::Json) {
        let count = tests.len();
        return Err(Failure::usage(format!(
            "there are {count} load tests in it, and one report can be written: run them one by one, or leave --report and -o away"
        )));
    }
    for Test { namespace, name, .. } in &tests {
        let connection = connection.in_namespace(namespace);
        let there = connection.load_tests().get_opt(name).await;
        if there.map_err(|error| connection.refused("look for load tests", &error))?.is_some() {
            return Err(Failure::usage(format!(
                "the load test {name} is there already in namespace {namespace}, and a load test runs once: {}, or give it another name",
                connection.kubectl(&format!("delete loadtest {name}"))
            )));
        }
    }
    if !brings_what_others_need(&read) {
        // what the cluster has against one of them is known before anything is there
        kubectl.read(&["apply", "--dry-run=server"]).await?;
    }
    Ok(tests)
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
    refuse_settled(&connection, &load_test)?;
    if load_test.spec.suspend == Some(true) {
        signals
            .unless(start(PATIENCE, &connection, &load_test))
            .await
            .unwrap_or_else(|| Err(may_run(Failure::interrupted("left"), &connection, name)))?;
    }
    let uid = Some(load_test.uid().to_owned());
    let test = [Test { namespace: connection.namespace.clone(), name: name.to_owned(), uid }];
    follow_all(flags, &connection, &test, signals, targets).await
}

/// Starts one that is suspended.
async fn start(patience: Duration, connection: &Connection, load_test: &LoadTest) -> Result<(), Failure> {
    let name = load_test.name();
    let patch = json!({ "metadata": { "uid": load_test.uid() }, "spec": { "suspend": false } });
    let (load_tests, params, patch) = (connection.load_tests(), PatchParams::default(), Patch::Merge(patch));
    let started = at_last(patience, async || load_tests.patch(name, &params, &patch).await).await;
    started.map(drop).map_err(|error| {
        let refused = connection.refused(&format!("start the load test {name}"), &error);
        if is_lost(&error) { may_run(refused, connection, name) } else { refused }
    })
}

/// Nobody has heard whether it is started.
fn may_run(failure: Failure, connection: &Connection, name: &str) -> Failure {
    let stop = connection.hint(&format!("stop {name}"));
    failure.and(&format!("the load test {name} may have been started; {stop} ends it"))
}

/// Neither one that is over nor one that is being deleted runs any more.
fn refuse_settled(connection: &Connection, load_test: &LoadTest) -> Result<(), Failure> {
    let name = load_test.name();
    if load_test.status.as_ref().is_some_and(LoadTestStatus::is_over) {
        return Err(Failure::usage(format!(
            "the load test {name} is over, and a load test runs once: {} shows its report",
            connection.hint(&format!("report {name}"))
        )));
    }
    match load_test.is_settled() {
        true => Err(Failure::usage(format!(
            "the load test {name} is being deleted: make it anew when it is gone, which {} waits for",
            connection.kubectl(&format!("wait --for=delete loadtest/{name}"))
        ))),
        false => Ok(()),
    }
}

/// Follows all of them at the same time, and reports on each once all are over. What came of the worst is how it ends.
async fn follow_all(
    flags: &Run,
    connection: &Connection,
    tests: &[Test],
    signals: Signals,
    targets: &Targets,
) -> Result<Exit, Failure> {
    if flags.detach {
        for Test { name, .. } in tests {
            print(format_args!("loadtest/{name}"))?;
        }
        return Ok(Exit::Passed);
    }
    let among = |at| (tests.len() > 1).then_some(at);
    let following = tests
        .iter()
        .enumerate()
        .map(|(at, test)| follow(connection.in_namespace(&test.namespace), test, among(at), signals.clone()));
    let ended = join_all(following).await;
    let has_left =
        |(followed, ..): &(Result<Followed, Lost>, _, _)| followed.as_ref().is_err_and(|lost| lost.is_left);
    let has_left = ended.iter().any(has_left);
    // the Ctrl-C that stopped some does not keep those that were over by then from their reports
    let heard = Signals::furthest(ended.iter().map(|(_, _, signals)| signals)).unwrap_or(signals);
    let mut exit = Exit::Passed;
    for (followed, connection, _) in ended {
        let reported = match followed {
            // who leaves at once waits for no report
            Ok(_) if has_left => Ok(Exit::Interrupted),
            Ok(followed) => {
                let wanted = Wanted { targets, output: flags.output };
                let reported = ended::report(&connection, &followed, wanted, &mut heard.clone()).await;
                reported.inspect_err(|failure| told_among(tests, failure))
            }
            Err(lost) => Err(lost.failure),
        };
        match reported {
            Err(failure) if tests.len() == 1 => return Err(failure),
            Err(Failure { exit: of_one, .. }) | Ok(of_one) => exit = exit.or_worse(of_one),
        }
    }
    Ok(exit)
}

/// Follows one; among several it is said at once what came of it.
async fn follow(
    connection: Connection,
    test: &Test,
    among: Option<usize>,
    mut signals: Signals,
) -> (Result<Followed, Lost>, Connection, Signals) {
    let follow = Follow {
        connection: &connection,
        name: &test.name,
        on_interrupt: OnInterrupt::Stop,
        gives_up: true,
        timeout: None,
        is_quiet: false,
        uid: test.uid.clone(),
        among,
    };
    let followed =
        follow.to_its_end(&mut signals).await.map_err(|lost| given_up(lost, &connection, &test.name));
    if among.is_some() {
        match &followed {
            Ok(followed) => say(conclusion(&followed.load_test).1),
            Err(lost) => say_failure(&lost.failure),
        }
    }
    (followed, connection, signals)
}

/// Why it is followed no more; one that will not run stays, for its manifest is its user's.
fn given_up(lost: Lost, connection: &Connection, name: &str) -> Lost {
    if !lost.is_useless {
        return lost;
    }
    let delete = connection.kubectl(&format!("delete loadtest {name}"));
    Lost { failure: lost.failure.and(&format!("it stays: {delete} removes it")), ..lost }
}

fn told_among(tests: &[Test], failure: &Failure) {
    if tests.len() > 1 {
        say_failure(failure);
    }
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::cluster::bare;

    #[tokio::test]
    async fn neither_one_that_is_over_nor_one_that_is_deleted_is_started() {
        let connection = Connection::to("http://127.0.0.1:9");
        let refused = |metadata: Value, status: Value| {
            let spec = json!({ "suspend": true, "testScript": { "config": { "configMap": "a" } } });
            let load_test = json!({ "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": metadata, "spec": spec, "status": status });
            let load_test = serde_json::from_value(load_test).expect("a load test");
            let refused = refuse_settled(&connection, &load_test).err();
            refused.map(|failure| (failure.exit.code(), failure.to_string()))
        };
        let name = json!({ "name": "a" });
        let leaving = json!({ "name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z" });
        let completed = json!({ "conditions": [{ "type": "Completed", "status": "True" }] });
        assert_eq!(refused(name.clone(), json!({})), None);
        let over = "the load test a is over, and a load test runs once: kubectl artillery report a -n shop --context test shows its report";
        assert_eq!(refused(name, completed), Some((2, over.to_owned())));
        let gone = "the load test a is being deleted: make it anew when it is gone, which kubectl wait --for=delete loadtest/a -n shop --context test waits for";
        assert_eq!(refused(leaving, json!({})), Some((2, gone.to_owned())));
    }

    #[tokio::test]
    async fn one_whose_start_nobody_answers_is_left_and_may_run() {
        let connection = Connection::to_one_that_never_answers().await;
        let mut load_test = LoadTest::new("a", loadtest::LoadTestSpec::default());
        load_test.metadata.uid = Some("1".to_owned());
        let (_send, came) = tokio::sync::watch::channel(1);
        let starting = start(Duration::from_secs(600), &connection, &load_test);
        assert!(Signals::of(came).unless(starting).await.is_none());
        let failure = start(Duration::ZERO, &connection, &load_test).await.expect_err("not for ever");
        let (code, said) = (failure.exit.code(), failure.to_string());
        let runs = "; the load test a may have been started; kubectl artillery stop a -n shop --context test ends it";
        assert!(code == 4 && said.contains("no answer within 3s") && said.ends_with(runs), "{code}: {said}");
        let connection = Connection::to_one_that_answers(vec![bare(403)]).await;
        let refused = start(PATIENCE, &connection, &load_test).await.expect_err("refused");
        assert_eq!(refused.to_string(), "cannot start the load test a: no");
    }

    #[tokio::test]
    async fn of_one_that_is_given_up_it_is_said_that_it_stays() {
        let connection = Connection::to("http://127.0.0.1:9");
        let given_up = |is_useless| {
            let lost = Lost { failure: Failure::usage("no"), is_useless, is_left: false };
            let failure = given_up(lost, &connection, "a").failure;
            (failure.exit.code(), failure.to_string())
        };
        let stays = "no; it stays: kubectl delete loadtest a -n shop --context test removes it";
        assert_eq!(given_up(true), (2, stays.to_owned()));
        assert_eq!(given_up(false), (2, "no".to_owned()));
    }
}
