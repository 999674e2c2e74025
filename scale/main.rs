//! The scale harness (`make scale`): many load tests on a real control plane with fake nodes, beside bare Jobs of the same
//! shape in the same run; prints the table of `docs/benchmarks.md`.

mod fakes;
mod shapes;
mod usage;
mod verify;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::{DynamicObject, ListParams, PostParams};
use serde_json::{Value, json};
use testbed::cluster::Cluster;
use testbed::process;
use tokio::time::sleep;

use crate::fakes::{Fakes, namespace};
use crate::shapes::{Shape, bare_job, job_kind, load_test, load_test_kind, make, remove, until_all};
use crate::usage::{Usage, usages};
use crate::verify::verify;

/// What is run where no shapes are given.
const SHAPES: [&str; 3] = ["100x10", "1000x10", "1x10000"];
/// Fake nodes, and how many pods each has room for: more than 10,000 in all, while earlier ones are going.
const NODES: u32 = 100;
const PODS_PER_NODE: u32 = 220;
/// The manager's namespace and Deployment.
const SYSTEM: &str = "artillery-operator-system";
const MANAGER: &str = "deployment/artillery-operator-controller-manager";
/// The programs whose memory is told, beside the manager.
const CONTROL_PLANE: [&str; 4] = ["kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler"];

/// What was seen of one shape.
struct Seen {
    shape: Shape,
    load_tests: Duration,
    jobs: Duration,
    idle: Usage,
    manager: Usage,
    restarts: i32,
    others: BTreeMap<String, f64>,
    verdict: Result<()>,
}

/// Looks every half second until `holds` holds; a look that fails is one more.
///
/// # Errors
/// It does not hold in time.
async fn within(time: Duration, what: &str, mut holds: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    loop {
        let last = holds().await;
        if matches!(last, Ok(true)) {
            return Ok(());
        }
        if began.elapsed() > time {
            bail!("not within {} s: {what}; last: {last:?}", time.as_secs());
        }
        sleep(Duration::from_millis(500)).await; // poll interval, bounded above
    }
}

/// The most memory, in MiB, that each program of the cluster has had resident while this lives.
struct Peaks(Arc<Mutex<BTreeMap<String, f64>>>, tokio::task::JoinHandle<()>);

impl Peaks {
    fn watch() -> Self {
        let peaks = Arc::new(Mutex::new(BTreeMap::new()));
        let seen = Arc::clone(&peaks);
        let task = tokio::spawn(async move {
            loop {
                for (name, usage) in usages().unwrap_or_default() {
                    let mut peaks = seen.lock().unwrap_or_else(PoisonError::into_inner);
                    let peak = peaks.entry(name).or_insert(0.0);
                    *peak = usage.rss.max(*peak);
                }
                sleep(Duration::from_secs(1)).await;
            }
        });
        Self(peaks, task)
    }

    fn end(self) -> BTreeMap<String, f64> {
        self.1.abort();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

struct Harness {
    cluster: Cluster,
    client: kube::Client,
}

impl Harness {
    /// No manager runs: it would follow the pods of bare Jobs too, for they have its labels.
    async fn no_manager(&self) -> Result<()> {
        self.cluster.kubectl(&["-n", SYSTEM, "scale", "--replicas=0", MANAGER])?;
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), SYSTEM);
        let none = async || Ok(pods.list(&ListParams::default()).await?.items.is_empty());
        within(Duration::from_secs(60), "there is no manager", none).await
    }

    /// A manager that has just begun, and what it takes.
    async fn fresh_manager(&self) -> Result<Usage> {
        self.cluster.kubectl(&["-n", SYSTEM, "scale", "--replicas=1", MANAGER])?;
        self.cluster.kubectl(&["-n", SYSTEM, "rollout", "status", MANAGER, "--timeout=120s"])?;
        sleep(Duration::from_secs(5)).await; // it is idle for as long: that is what is measured
        manager()
    }

    /// How often the manager's container was started again: more than 0 where its memory was not enough.
    async fn restarts(&self) -> Result<i32> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), SYSTEM);
        let pods = pods.list(&ListParams::default()).await?;
        let statuses =
            pods.iter().flat_map(|p| p.status.iter()).flat_map(|s| s.container_statuses.iter().flatten());
        Ok(statuses.map(|s| s.restart_count).sum())
    }

    /// Load tests of that shape, until all are Completed.
    async fn load_tests(&self, name: &str, shape: Shape) -> Result<Duration> {
        namespace(&self.client, name).await?;
        let script = json!({
            "config": { "target": "http://nobody", "phases": [{ "duration": 1, "arrivalRate": 1 }] }, "scenarios": [],
        });
        let script: ConfigMap = serde_json::from_value(json!({
            "metadata": { "name": "script" }, "data": { "test-script.yaml": script.to_string() },
        }))?;
        Api::namespaced(self.client.clone(), name).create(&PostParams::default(), &script).await?;
        let kind = load_test_kind();
        let like = load_test(shape.workers);
        let made = make(&self.client, name, &kind, &like, shape.tests);
        let over = until_all(&self.client, name, &kind, "Completed", shape.tests);
        let (_, took) = tokio::try_join!(made, over)?;
        Ok(took)
    }

    /// Bare Jobs of that shape, made by one client, until all are Complete: the least that any operator needs.
    async fn jobs(&self, name: &str, shape: Shape, job: &Value) -> Result<Duration> {
        namespace(&self.client, name).await?;
        let kind = job_kind();
        let like = bare_job(job, shape.workers);
        let made = make(&self.client, name, &kind, &like, shape.tests);
        let over = until_all(&self.client, name, &kind, "Complete", shape.tests);
        let (_, took) = tokio::try_join!(made, over)?;
        Ok(took)
    }

    /// The Job that the operator makes, as the API server has it.
    async fn a_job(&self) -> Result<Value> {
        let one = Shape { tests: 1, workers: 1 };
        self.load_tests("scale-first", one).await.context("the first load test does not end")?;
        verify(&self.client, "scale-first", one).await?;
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), "scale-first", &job_kind());
        let job = serde_json::to_value(api.get("t0").await?)?;
        remove(&self.client, "scale-first").await?;
        Ok(job)
    }

    async fn run(&self, shape: Shape, job: &Value) -> Result<Seen> {
        self.no_manager().await?;
        let bare = self.jobs("scale-jobs", shape, job).await?;
        println!("   bare Jobs: {:.1} s", bare.as_secs_f64());
        remove(&self.client, "scale-jobs").await?;
        let idle = self.fresh_manager().await?;
        let peaks = Peaks::watch();
        let load_tests = self.load_tests("scale-tests", shape).await?;
        println!("   LoadTests: {:.1} s", load_tests.as_secs_f64());
        let verdict = verify(&self.client, "scale-tests", shape).await;
        let (manager, others) = (manager()?, peaks.end());
        let restarts = self.restarts().await?;
        println!("   manager: {manager:?}, {restarts} restarts, {verdict:?}");
        remove(&self.client, "scale-tests").await?;
        Ok(Seen { shape, load_tests, jobs: bare, idle, manager, restarts, others, verdict })
    }
}

fn manager() -> Result<Usage> {
    usages()?.get("manager").copied().context("no manager runs")
}

fn table(all: &[Seen]) -> String {
    let mut table = "| LoadTests x workers | seconds until all are over | bare Jobs | manager: idle, end, peak (MiB) | CPU (s) | \
        restarts | API server, etcd, controller manager, scheduler: peak (MiB) | status, Jobs, events |\n\
        |---|---|---|---|---|---|---|---|\n"
        .to_owned();
    for Seen { shape, load_tests, jobs, idle, manager, restarts, others, verdict } in all {
        let others = CONTROL_PLANE.map(|name| format!("{:.0}", others.get(name).copied().unwrap_or(0.0)));
        let verdict =
            verdict.as_ref().map_or_else(|error| format!("WRONG: {error:#}"), |()| "all right".to_owned());
        table.push_str(&format!(
            "| {} x {} | {:.1} | {:.1} | {:.1}, {:.1}, {:.1} | {:.1} | {restarts} | {} | {verdict} |\n",
            shape.tests,
            shape.workers,
            load_tests.as_secs_f64(),
            jobs.as_secs_f64(),
            idle.rss,
            manager.rss,
            manager.peak,
            manager.cpu,
            others.join(", "),
        ));
    }
    table
}

async fn scale() -> Result<bool> {
    let given: Vec<String> = std::env::args().skip(1).collect();
    let texts = if given.is_empty() { SHAPES.map(str::to_owned).to_vec() } else { given };
    let shapes = texts.iter().map(|text| Shape::parse(text)).collect::<Result<Vec<_>>>()?;
    let worker = std::env::var("WORKER_SECONDS").unwrap_or_else(|_| "30".to_owned());
    let worker =
        Duration::from_secs(worker.parse().with_context(|| format!("WORKER_SECONDS is \"{worker}\""))?);
    let cluster = Cluster::from_environment()?;
    process::output(&cluster.command("./operator-deploy.sh"))?;
    let client = cluster.client().await?;
    let _fakes = Fakes::start(&client, NODES, PODS_PER_NODE, worker).await?;
    println!("{NODES} fake nodes are ready; a worker runs {} s", worker.as_secs());
    let harness = Harness { cluster, client };
    let job = harness.a_job().await?;
    let mut all = Vec::new();
    for shape in shapes {
        println!(">> {} LoadTests of {} workers", shape.tests, shape.workers);
        let began = Instant::now();
        all.push(harness.run(shape, &job).await?);
        println!("   {} s in all", began.elapsed().as_secs());
        println!("\n{}", table(&all)); // what is known so far, should a later one not end
    }
    Ok(all.iter().all(|seen| seen.verdict.is_ok()))
}

#[tokio::main]
async fn main() -> ExitCode {
    match scale().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("scale: {error:#}");
            ExitCode::FAILURE
        }
    }
}
