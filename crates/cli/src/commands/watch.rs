//! `watch` and `wait`: a load test in a cluster is followed to its end by somebody who did not start it.

use std::time::{Duration, Instant};

use kube::api::ListParams;

use super::ended::{self, Wanted};
use crate::cluster::follow::{Follow, Followed, OnInterrupt, conclusion};
use crate::cluster::patience::{PATIENCE, answered};
use crate::cluster::{Connection, stored};
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Output, Wait, Watch};
use crate::reports::{Targets, unless_stuck};
use crate::signals::Signals;
use crate::terminal::print;

/// Shows how it goes, and its report.
pub async fn watch(flags: &Watch, cluster: &Cluster) -> Result<Exit, Failure> {
    let targets = Targets::of(&flags.reports)?;
    let connection = Connection::open(cluster).await?;
    let mut signals = Signals::listen()?;
    let followed = follow(&connection, &flags.name, None, false, &mut signals).await?;
    let wanted = Wanted { targets: &targets, output: Output::Text };
    ended::report(&connection, &followed, wanted, &mut signals).await
}

/// Says only what came of it.
pub async fn wait(flags: &Wait, cluster: &Cluster) -> Result<Exit, Failure> {
    let targets = Targets::of(&flags.reports)?;
    let connection = Connection::open(cluster).await?;
    let mut signals = Signals::listen()?;
    let followed = follow(&connection, &flags.name, flags.timeout, true, &mut signals).await?;
    let (exit, words) = conclusion(&followed.load_test);
    // before anything is said, for whom it is said to may be gone
    if !flags.reports.is_empty() {
        let fetched = signals.unless(stored::fetch(&connection, &followed.load_test)).await;
        let left = || {
            let report = connection.hint(&format!("report {} --report FILE", flags.name));
            Failure::interrupted(format!(
                "left: the load test is over, and its report is not written: {report} writes it"
            ))
        };
        let written = match fetched.ok_or_else(left).flatten() {
            Ok(report) => {
                let writing = unless_stuck(move || targets.write(&report), &mut signals).await;
                writing.ok_or_else(left).flatten().flatten()
            }
            Err(failure) => Err(failure),
        };
        print(words)?;
        return written.map(|()| exit);
    }
    print(words)?;
    Ok(exit)
}

async fn follow(
    connection: &Connection,
    name: &str,
    timeout: Option<Duration>,
    is_quiet: bool,
    signals: &mut Signals,
) -> Result<Followed, Failure> {
    let began = Instant::now();
    // an outage is outlasted, and a cluster that was never there is not
    let looked = signals.unless(look(connection, name, timeout.unwrap_or(PATIENCE).min(PATIENCE))).await;
    looked.ok_or_else(|| Failure::interrupted("left: the cluster has not answered"))??;
    let timeout = timeout.map(|timeout| timeout.saturating_sub(began.elapsed()));
    let follow = Follow {
        connection,
        name,
        on_interrupt: OnInterrupt::Leave,
        gives_up: true,
        timeout,
        is_quiet,
        uid: None,
        among: None,
    };
    Ok(follow.to_its_end(signals).await?)
}

/// Whether it may be followed, by the very right that takes: there is a cluster that has load tests, and lets us look.
async fn look(connection: &Connection, name: &str, patience: Duration) -> Result<(), Failure> {
    let load_tests = connection.load_tests();
    let this = ListParams::default().fields(&format!("metadata.name={name}"));
    let looked = answered(patience, Instant::now(), load_tests.list_metadata(&this)).await;
    looked.map(drop).map_err(|error| connection.refused(&format!("watch the load test {name}"), &error))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::sync::watch::channel;

    use super::*;
    use crate::cluster::bare;

    async fn followed(connection: &Connection) -> (u8, String) {
        let (_send, came) = channel(0);
        let mut signals = Signals::of(came);
        let following = follow(connection, "checkout", None, true, &mut signals);
        let followed = tokio::time::timeout(Duration::from_secs(60), following).await.expect("not for ever");
        let failure = followed.err().expect("it is not there");
        (failure.exit.code(), failure.to_string())
    }

    #[tokio::test]
    async fn where_there_is_no_cluster_nothing_is_waited_for() {
        let (code, said) = followed(&Connection::to("http://127.0.0.1:9")).await;
        let start = "cannot watch the load test checkout: the cluster cannot be asked: ";
        assert!(code == 4 && said.starts_with(start), "{code}: {said}");
        let (code, said) = followed(&Connection::to_one_that_answers(vec![bare(403)]).await).await;
        assert_eq!((code, said.as_str()), (4, "cannot watch the load test checkout: no"));
    }

    #[tokio::test]
    async fn one_that_is_not_there_is_wrong_usage() {
        let none = json!({
            "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTestList", "metadata": { "resourceVersion": "1" },
            "items": [],
        });
        let answers = vec![(200, none.clone()), (200, none)];
        let (code, said) = followed(&Connection::to_one_that_answers(answers).await).await;
        let start = "there is no load test checkout in namespace shop: ";
        assert!(code == 2 && said.starts_with(start), "{code}: {said}");
    }

    #[tokio::test]
    async fn who_may_not_watch_is_told_so_and_does_not_wait() {
        let test = json!({
            "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": { "name": "checkout", "uid": "1" },
            "spec": { "testScript": { "config": { "configMap": "a" } } },
        });
        let one = json!({
            "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTestList", "metadata": { "resourceVersion": "1" },
            "items": [test],
        });
        let answers = vec![(200, one.clone()), (200, one), bare(403), bare(403), bare(403)];
        let (code, said) = followed(&Connection::to_one_that_answers(answers).await).await;
        let words = "cannot watch the load test checkout: no; following takes the rights to list and to watch loadtests in namespace shop";
        assert_eq!((code, said.as_str()), (4, words));
    }
}
