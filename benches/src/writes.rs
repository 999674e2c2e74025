//! How many calls a LoadTest of 10 workers and 30 s takes, by the API server's audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::Result;
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::watcher;
use loadtest::{LoadTest, LoadTestStatus, labels};
use testbed::api_server::Call;
use testbed::eventually::eventually;
use tokio::time::sleep;

use crate::contender::{Build, Contender};
use crate::kubelet::{self, State};
use crate::report;
use crate::sample::Sample;
use crate::stand::{SOON, Stand};
use crate::witness::Witness;

const TESTS: usize = 10;
const WORKERS: i32 = 10;
/// How long a worker runs.
const RUNS: Duration = Duration::from_secs(30);
/// How far apart the workers of a test start, as on nodes that pull and start one after the other.
const APART: Duration = Duration::from_millis(100);
/// After the end there is nothing to write: longer than the least time between two status writes.
const AFTERWARDS: Duration = Duration::from_secs(12);
/// The contract's events: one Created, one Running for each worker, one Completed.
const EVENTS: f64 = 12.0;
/// The most that anything else may take.
const OTHERS: f64 = 8.0;

/// Measures, and prints a table for each build.
pub async fn measure(builds: &[Build]) -> Result<()> {
    report::heading("Calls for a LoadTest of 10 workers and 30 s");
    for (i, build) in builds.iter().enumerate() {
        let stand = Stand::start(&format!("writes-{i}")).await?;
        let manager = Contender::manager(&stand, build)?;
        let calls = run(&stand).await?;
        print(&manager.name, &calls);
    }
    Ok(())
}

/// Runs the tests at once, each in a namespace of its own, and returns the manager's calls for each.
async fn run(stand: &Stand) -> Result<Vec<Vec<Call>>> {
    let selected = watcher::Config::default().labels(labels::WORKER_SELECTOR);
    let pods = Witness::<Pod>::start(Api::all(stand.admin.clone()), selected).await?;
    let load_tests =
        Witness::<LoadTest>::start(Api::all(stand.admin.clone()), watcher::Config::default()).await?;
    let namespaces: Vec<String> = (0..TESTS).map(|i| format!("test-{i}")).collect();
    for namespace in &namespaces {
        stand.namespace(namespace).await?;
    }
    report::progress(format!(
        "writes: {TESTS} LoadTests of {WORKERS} workers and {} s at once",
        RUNS.as_secs()
    ));
    try_join_all(namespaces.iter().map(|namespace| async {
        stand.create(namespace, "t", WORKERS).await?;
        let of_test = |pod: &Pod| pod.metadata.namespace.as_ref() == Some(namespace);
        let all = usize::try_from(WORKERS)?;
        let workers = eventually("the pods", SOON, async || pods.last(of_test), |p| p.len() == all).await;
        try_join_all(workers.iter().zip(0..).map(|(pod, i)| live(&stand.admin, pod, APART * i))).await?;
        let is_over = |test: &LoadTest| test.status.as_ref().is_some_and(LoadTestStatus::is_over);
        let end = async || load_tests.first(namespace, "t", is_over);
        eventually("the end", SOON, end, Option::is_some).await;
        anyhow::Ok(())
    }))
    .await?;
    sleep(AFTERWARDS).await; // what is written now is written for nothing, and counts
    let all = stand.server.calls()?;
    let of = |namespace: &String| all.iter().filter(|call| call.namespace == *namespace).cloned().collect();
    Ok(namespaces.iter().map(of).collect())
}

/// A worker's life as its kubelet tells it.
async fn live(client: &kube::Client, pod: &Pod, late: Duration) -> Result<()> {
    sleep(late).await; // the worker's own time, as the next one
    kubelet::say(client, pod, State::Creating).await?;
    sleep(Duration::from_secs(1)).await;
    kubelet::say(client, pod, State::Running).await?;
    sleep(RUNS).await;
    kubelet::say(client, pod, State::Succeeded).await
}

/// What a call is counted as: `create events`, `patch loadtests/status`.
fn kind(call: &Call) -> String {
    let subresource =
        if call.subresource.is_empty() { String::new() } else { format!("/{}", call.subresource) };
    let refused = if call.code >= 400 { format!(" ({})", call.code) } else { String::new() };
    format!("{} {}{subresource}{refused}", call.verb, call.resource)
}

fn is_read(call: &Call) -> bool {
    ["get", "list", "watch"].contains(&call.verb.as_str())
}

fn print(name: &str, tests: &[Vec<Call>]) {
    let count = |is: &dyn Fn(&Call) -> bool| -> Sample {
        #[allow(clippy::cast_precision_loss, reason = "counts are small")]
        let counts = tests.iter().map(|calls| calls.iter().filter(|call| is(call)).count() as f64);
        counts.collect()
    };
    let row = |what: String, counts: &Sample| {
        [what, format!("{:.0}", counts.median()), format!("{:.0}", counts.worst())]
    };
    let kinds = |reads: bool| -> BTreeSet<String> {
        tests.iter().flatten().filter(|call| is_read(call) == reads).map(kind).collect()
    };
    let is_event = |call: &Call| call.resource == "events";
    let events = count(&|call| !is_read(call) && is_event(call));
    let others = count(&|call| !is_read(call) && !is_event(call));
    let mut rows: Vec<_> = Vec::new();
    rows.push(row("writes".to_owned(), &count(&|call| !is_read(call))));
    rows.push(row("- but for events".to_owned(), &others));
    rows.extend(kinds(false).into_iter().map(|k| row(format!("- {k}"), &count(&|call| kind(call) == k))));
    rows.push(row("reads".to_owned(), &count(&is_read)));
    rows.extend(kinds(true).into_iter().map(|k| row(format!("- {k}"), &count(&|call| kind(call) == k))));
    report::table([&format!("{name}: {} tests at once", tests.len()), "median", "worst"], &rows);
    let verdict = if events.worst() <= EVENTS && others.worst() <= OTHERS { "met" } else { "missed" };
    report::line(&format!(
        "{name}: at most {EVENTS} events and {OTHERS} other writes: {verdict} by the worst."
    ));
}

/// The manager's calls by kind, in a sentence.
pub fn calls_of(calls: &[Call]) -> String {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for call in calls {
        *kinds.entry(kind(call)).or_default() += 1;
    }
    let said: Vec<_> = kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    format!("{} calls ({})", calls.len(), said.join(", "))
}
