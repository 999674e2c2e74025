//! The other side of the comparison: clients that do the bare minimum with kube's own watches, and nothing else. They start
//! no test exactly once, survive no crash and tell nobody what is wrong.

use std::collections::{HashMap, HashSet};
use std::pin::pin;

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use futures::future::try_join3;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use kube::runtime::watcher::{self, Event, watcher};
use kube::runtime::{WatchStreamExt as _, reflector};
use kube::{Api, Client, Resource};
use loadtest::plan::{Files, Plan, Source};
use loadtest::{LoadTest, job, labels};
use serde::de::DeserializeOwned;
use serde_json::json;

/// What [`reflect`] prints once it has everything.
pub const SYNCED: &str = "synced";

/// Creates the very Job of each LoadTest of a namespace as soon as it is seen, and patches a status for each change of a
/// worker pod.
///
/// # Errors
/// A watch or a call failed: then the comparison is worth nothing.
pub async fn follow(namespace: &str) -> Result<()> {
    let client = Client::try_default().await?;
    tokio::try_join!(create_jobs(client.clone(), namespace), tell(client, namespace))?;
    Ok(())
}

async fn create_jobs(client: Client, namespace: &str) -> Result<()> {
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let load_tests: Api<LoadTest> = Api::namespaced(client, namespace);
    let mut seen = HashSet::new();
    let mut events = pin!(watcher(load_tests, watcher::Config::default()).applied_objects());
    while let Some(load_test) = events.next().await {
        let load_test = load_test?;
        if !seen.insert(load_test.metadata.uid.clone()) {
            continue;
        }
        let jobs = jobs.clone();
        tokio::spawn(async move {
            if let Err(error) = jobs.create(&PostParams::default(), &job_of(&load_test)).await {
                eprintln!("cannot create a Job: {error}");
            }
        });
    }
    anyhow::bail!("the watch on LoadTests ended")
}

/// The operator's own Job, but let go from the start.
pub fn job_of(load_test: &LoadTest) -> Job {
    let named = load_test.spec.test_script.named().into_iter();
    let sources = named.map(|named| Source { source: named.source, name: named.name, items: named.items });
    let script = load_test.spec.test_script.key().to_owned();
    let plan = Plan {
        workers: load_test.spec.count,
        environment: load_test.spec.environment.clone(),
        files: Files::Mounted { script, sources: sources.collect(), are_copied: false },
        ..Plan::default()
    };
    let mut job = job::build(load_test, &plan);
    if let Some(spec) = job.spec.as_mut() {
        spec.suspend = Some(false);
    }
    job
}

async fn tell(client: Client, namespace: &str) -> Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let load_tests: Api<LoadTest> = Api::namespaced(client, namespace);
    let config = watcher::Config::default().labels(labels::WORKER_SELECTOR);
    let mut phases: HashMap<String, HashMap<String, String>> = HashMap::new();
    let mut events = pin!(watcher(pods, config).applied_objects());
    while let Some(pod) = events.next().await {
        let pod = pod?;
        let name = pod.metadata.labels.as_ref().and_then(|labels| labels.get(labels::TEST_NAME));
        let test = name.cloned().context("a worker pod without its test's name")?;
        let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
        let of_test = phases.entry(test.clone()).or_default();
        of_test.insert(pod.metadata.name.unwrap_or_default(), phase);
        let count = |wanted: &str| of_test.values().filter(|phase| *phase == wanted).count();
        let message = format!("{} running, {} succeeded", count("Running"), count("Succeeded"));
        let progressing = json!({ "type": "Progressing", "status": "True", "message": message });
        let patch = json!({ "status": { "conditions": [progressing] } });
        load_tests.patch_status(&test, &PatchParams::default(), &Patch::Merge(&patch)).await?;
    }
    anyhow::bail!("the watch on pods ended")
}

/// Keeps all LoadTests, Jobs and worker pods in memory, whole, as kube's reflectors do.
///
/// # Errors
/// A watch failed.
pub async fn reflect() -> Result<()> {
    let client = Client::try_default().await?;
    let selected = |selector| watcher::Config::default().labels(selector);
    try_join3(
        keep::<LoadTest>(client.clone(), watcher::Config::default()),
        keep::<Job>(client.clone(), selected(labels::JOB_SELECTOR)),
        keep::<Pod>(client, selected(labels::WORKER_SELECTOR)),
    )
    .await?;
    Ok(())
}

async fn keep<K>(client: Client, config: watcher::Config) -> Result<()>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let (store, writer) = reflector::store::<K>();
    let mut events = pin!(watcher(Api::<K>::all(client), config).reflect(writer));
    while let Some(event) = events.next().await {
        if let Event::InitDone = event? {
            println!("{SYNCED} {} {}", K::plural(&()), store.len());
        }
    }
    anyhow::bail!("a watch ended")
}
