//! How long from a change of a worker pod's phase to the status that tells it, in a user's eyes: a watch on LoadTests.

use std::time::Instant;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::watcher;
use loadtest::{LoadTest, labels};
use testbed::eventually::eventually;

use crate::contender::{Build, Contender};
use crate::kubelet::{self, State};
use crate::report;
use crate::sample::{Sample, between};
use crate::stand::{Pace, SOON, Stand};
use crate::witness::Witness;

/// For each contender.
const TESTS: usize = 50;
const WORKERS: i32 = 2;
/// For each contender: changes and new tests.
const PER_SECOND: u32 = 10;

/// A change of one of a test's two workers, and what a status then says in a condition's message.
struct Change {
    what: &'static str,
    worker: usize,
    state: State,
    told: &'static [&'static str],
}

const CHANGES: [Change; 4] = [
    Change { what: "the first worker runs", worker: 0, state: State::Running, told: &["1 running"] },
    Change { what: "the second worker runs (*)", worker: 1, state: State::Running, told: &["2 running"] },
    Change { what: "the first worker ends (*)", worker: 0, state: State::Succeeded, told: &["1 succeeded"] },
    Change {
        what: "the last worker ends: the test is over",
        worker: 1,
        state: State::Succeeded,
        told: &["2 succeeded", "2 of 2 workers succeeded"],
    },
];

/// Measures, and prints the table.
pub async fn measure(builds: &[Build]) -> Result<()> {
    let stand = Stand::start("lag").await?;
    let mut contenders = Vec::new();
    for (i, build) in builds.iter().enumerate() {
        let namespace = format!("manager-{i}");
        stand.namespace(&namespace).await?;
        contenders.push((Contender::manager_of(&stand, build, &namespace)?, namespace));
    }
    stand.namespace("bare").await?;
    contenders.push((Contender::bare(&stand, "bare")?, "bare".to_owned()));

    let selected = watcher::Config::default().labels(labels::WORKER_SELECTOR);
    let pods = Witness::<Pod>::start(Api::all(stand.admin.clone()), selected).await?;
    let told = Witness::<LoadTest>::start(Api::all(stand.admin.clone()), watcher::Config::default()).await?;
    let turns = u32::try_from(contenders.len()).context("too many contenders")?;
    let mut pace = Pace::per_second(PER_SECOND * turns);
    for i in 0..TESTS {
        for (_, namespace) in &contenders {
            pace.tick().await;
            stand.create(namespace, &format!("t{i}"), WORKERS).await?;
        }
    }
    let tests: Vec<Test> = contenders
        .iter()
        .flat_map(|(_, namespace)| (0..TESTS).map(move |i| Test { namespace, name: format!("t{i}") }))
        .collect();
    let workers: usize = usize::try_from(WORKERS)? * tests.len();
    eventually("the pods", SOON, async || pods.last(|_| true).len(), |n| *n == workers).await;

    report::heading("From a pod's change to the status that tells it");
    let mut rows = Vec::new();
    for change in &CHANGES {
        report::progress(format!("lag: {}", change.what));
        let took = make(&stand, change, &contenders, &tests, &pods, &told).await?;
        for ((contender, _), sample) in contenders.iter().zip(&took) {
            let [median, p99] = [sample.median(), sample.p99()].map(report::number);
            rows.push([
                change.what.to_owned(),
                contender.name.clone(),
                sample.len().to_string(),
                median,
                p99,
            ]);
        }
    }
    report::table(["ms", "who", "n", "median", "p99"], &rows);
    report::line("(*) No milestone: the operator writes a status for it at most once in 10 s, by design.");
    Ok(())
}

/// A LoadTest of one of the contenders.
struct Test<'a> {
    namespace: &'a str,
    name: String,
}

impl Test<'_> {
    /// Its workers' pods, in the order of their indexes.
    fn pods(&self, pods: &Witness<Pod>) -> Vec<Pod> {
        let is_its = |pod: &Pod| {
            let test = pod.metadata.labels.as_ref().and_then(|labels| labels.get(labels::TEST_NAME));
            pod.metadata.namespace.as_deref() == Some(self.namespace) && test == Some(&self.name)
        };
        pods.last(is_its)
    }

    /// When its status first said so.
    fn told(&self, told: &Witness<LoadTest>, words: &[&str]) -> Option<Instant> {
        told.first(self.namespace, &self.name, |test| {
            let conditions = test.status.iter().flat_map(|status| &status.conditions);
            let mut messages = conditions.filter_map(|condition| condition.message.as_deref());
            messages.any(|message| words.iter().any(|word| message.contains(word)))
        })
    }
}

/// Makes the change in all tests, the contenders' in turns, and returns how long each contender took to tell it.
async fn make(
    stand: &Stand,
    change: &Change,
    contenders: &[(Contender, String)],
    tests: &[Test<'_>],
    pods: &Witness<Pod>,
    told: &Witness<LoadTest>,
) -> Result<Vec<Sample>> {
    let turns = u32::try_from(contenders.len()).context("too many contenders")?;
    let mut pace = Pace::per_second(PER_SECOND * turns);
    let mut made = Vec::new();
    for i in 0..TESTS {
        for turn in 0..contenders.len() {
            let test = &tests[turn * TESTS + i];
            let pod = test.pods(pods).into_iter().nth(change.worker).context("a pod is gone")?;
            pace.tick().await;
            let client = stand.admin.clone();
            let state = change.state;
            made.push((
                turn,
                test,
                tokio::spawn(async move {
                    let sent = Instant::now();
                    kubelet::say(&client, &pod, state).await.map(|()| sent)
                }),
            ));
        }
    }
    let untold = async || {
        let is_untold = |(_, test, _): &&(usize, &Test, _)| test.told(told, change.told).is_none();
        let names = |(_, test, _): &(usize, &Test, _)| format!("{}/{}", test.namespace, test.name);
        made.iter().filter(is_untold).map(names).collect::<Vec<_>>()
    };
    eventually(change.what, SOON, untold, Vec::is_empty).await;
    let mut took = vec![Vec::new(); contenders.len()];
    for (turn, test, sent) in made {
        let sent = sent.await??;
        let at = test.told(told, change.told).context("it was told")?;
        took[turn].push(between(sent, at));
    }
    Ok(took.into_iter().map(|took| took.into_iter().collect()).collect())
}
