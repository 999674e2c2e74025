//! How long from a LoadTest to its Job: 100 LoadTests at 20 a second for each contender, in turns.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use k8s_openapi::api::batch::v1::Job;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::watcher;
use loadtest::labels;
use testbed::api_server::As;
use testbed::eventually::eventually;

use crate::contender::{Build, Contender};
use crate::report;
use crate::sample::{Sample, between, milliseconds};
use crate::stand::{Pace, SOON, Stand, load_test};
use crate::witness::Witness;

const TESTS: usize = 100;
const PER_SECOND: u32 = 20;
/// Of what a manager does before the Job is there beyond the round trips, in milliseconds.
const AIM: f64 = 10.0;

/// When the POST of a LoadTest was sent, and when it was answered.
type Posted = (Instant, Instant);

/// Measures, and prints the table.
pub async fn measure(builds: &[Build]) -> Result<()> {
    let stand = Stand::start("latency").await?;
    let jobs = watcher::Config::default().labels(labels::JOB_SELECTOR);
    let witness = Witness::<Job>::start(Api::all(stand.admin.clone()), jobs).await?;
    let mut contenders = Vec::new();
    for (i, build) in builds.iter().enumerate() {
        let namespace = format!("manager-{i}");
        stand.namespace(&namespace).await?;
        contenders.push((Contender::manager_of(&stand, build, &namespace)?, namespace));
    }
    stand.namespace("bare").await?;
    contenders.push((Contender::bare(&stand, "bare")?, "bare".to_owned()));
    stand.namespace("calls").await?;
    // whoever has made a Job is ready, and its connections are warm
    for (contender, namespace) in &contenders {
        stand.create(namespace, "warm", 1).await?;
        let what = format!("the first Job of {}, see {}", contender.name, contender.log.display());
        eventually(&what, SOON, async || witness.first(namespace, "warm", |_| true), Option::is_some).await;
    }

    report::progress(format!("latency: {TESTS} LoadTests for each of {} contenders", contenders.len()));
    let namespaces: Vec<&str> = contenders.iter().map(|(_, namespace)| namespace.as_str()).collect();
    let (posted, calls) = tokio::try_join!(create(&stand, &namespaces), calls(&stand))?;
    let missing = async || {
        posted
            .keys()
            .filter(|(namespace, name)| witness.first(namespace, name, |_| true).is_none())
            .cloned()
            .collect()
    };
    eventually("a Job for each LoadTest", SOON, missing, |missing: &Vec<_>| missing.is_empty()).await;

    let rows: Vec<Measured> =
        contenders.iter().map(|(c, namespace)| Measured::of(&c.name, namespace, &posted, &witness)).collect();
    print(&rows, &calls);
    Ok(())
}

/// From a LoadTest to its Job, as the bench's own watch saw it, in milliseconds.
struct Measured {
    name: String,
    since_sent: Sample,
    since_answered: Sample,
}

impl Measured {
    fn of(
        name: &str,
        namespace: &str,
        posted: &BTreeMap<(String, String), Posted>,
        witness: &Witness<Job>,
    ) -> Self {
        let of_namespace = || posted.iter().filter(|((n, _), _)| n == namespace);
        let since = |start: fn(&Posted) -> Instant| {
            of_namespace()
                .filter_map(|((namespace, name), posted)| {
                    Some(between(start(posted), witness.first(namespace, name, |_| true)?))
                })
                .collect()
        };
        Self { name: name.to_owned(), since_sent: since(|p| p.0), since_answered: since(|p| p.1) }
    }
}

/// Single calls of one warm client, one after the other, in milliseconds.
struct Calls {
    get: Sample,
    post: Sample,
    both: Sample,
}

fn print(rows: &[Measured], calls: &Calls) {
    report::heading("From a LoadTest to its Job");
    let columns = ["ms", "n", "median", "p99", "since the answer: median", "p99"];
    let contender = |m: &Measured| {
        [
            m.name.clone(),
            m.since_sent.len().to_string(),
            report::number(m.since_sent.median()),
            report::number(m.since_sent.p99()),
            report::number(m.since_answered.median()),
            report::number(m.since_answered.p99()),
        ]
    };
    let call = |name: &str, sample: &Sample| {
        let [n, median, p99] =
            [sample.len().to_string(), report::number(sample.median()), report::number(sample.p99())];
        [name.to_owned(), n, median, p99, String::new(), String::new()]
    };
    let mut table: Vec<_> = rows.iter().map(contender).collect();
    table.push(call("GET of the ConfigMap", &calls.get));
    table.push(call("POST of the Job", &calls.post));
    table.push(call("GET, then POST", &calls.both));
    report::table(columns, &table);
    let Some((bare, managers)) = rows.split_last() else { return };
    let get = calls.get.median();
    let allowed = bare.since_sent.median() + get + AIM;
    for manager in managers {
        let median = manager.since_sent.median();
        let verdict = if median <= allowed && median < 50.0 { "met" } else { "missed" };
        report::line(&format!(
            "{}: {} ms at the median; the bare minimum and the one GET more are {} ms, with {AIM} ms {}: {verdict}.",
            manager.name,
            report::number(median),
            report::number(bare.since_sent.median() + get),
            report::number(allowed),
        ));
    }
}

/// Creates the LoadTests at a steady rate, the contenders' in turns.
async fn create(stand: &Stand, namespaces: &[&str]) -> Result<BTreeMap<(String, String), Posted>> {
    let turns = u32::try_from(namespaces.len()).context("too many contenders")?;
    let mut pace = Pace::per_second(PER_SECOND * turns);
    let mut posts = Vec::new();
    for i in 0..TESTS {
        for namespace in namespaces {
            pace.tick().await;
            let (namespace, name) = ((*namespace).to_owned(), format!("t{i}"));
            let api: Api<loadtest::LoadTest> = Api::namespaced(stand.admin.clone(), &namespace);
            let load_test = load_test(&name, 1)?;
            // in a task of its own: a slow answer must not slow the rate
            posts.push(tokio::spawn(async move {
                let sent = Instant::now();
                api.create(&PostParams::default(), &load_test).await?;
                anyhow::Ok(((namespace, name), (sent, Instant::now())))
            }));
        }
    }
    try_join_all(posts).await?.into_iter().collect()
}

/// What the calls alone cost under the same load: one warm client reads the script and creates a Job, again and again.
async fn calls(stand: &Stand) -> Result<Calls> {
    let client = stand.server.client(As::Operator).await?;
    let jobs: Api<Job> = Api::namespaced(client.clone(), "calls");
    let (scripts, script) = Stand::script(client, "calls");
    let mut pace = Pace::per_second(PER_SECOND);
    let mut took = Vec::new();
    for i in 0..TESTS {
        pace.tick().await;
        let mut job = crate::bare::job_of(&load_test(&format!("t{i}"), 1)?);
        // nobody runs it: only the call is measured
        if let Some(spec) = job.spec.as_mut() {
            spec.suspend = Some(true);
        }
        let began = Instant::now();
        scripts.get(script).await?;
        let read = Instant::now();
        jobs.create(&PostParams::default(), &job).await?;
        took.push((milliseconds(read - began), milliseconds(read.elapsed())));
    }
    Ok(Calls {
        get: took.iter().map(|(get, _)| *get).collect(),
        post: took.iter().map(|(_, post)| *post).collect(),
        both: took.iter().map(|(get, post)| get + post).collect(),
    })
}
