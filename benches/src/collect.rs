//! What it takes to collect what many workers measure: memory, CPU time, the common start, and what is written to the API server.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use kube::Api;
use kube::api::ListParams;
use loadtest::LoadTest;
use serde_json::Value;
use testbed::eventually::eventually;
use testbed::process;
use testbed::scrape::scrape;

use crate::contender::{Build, Contender};
use crate::kubelet::{self, State};
use crate::report;
use crate::stand::Stand;
use crate::workers::{Orders, Outcome, outcome_of};

/// Workers of one test, each with the batches that it sends, and what the manager may take then, MiB.
const LOADS: [(i32, u64, f64); 3] = [(10, 12, 60.0), (1_000, 12, 60.0), (10_000, 6, 150.0)];
/// What a test of a few workers may write to the API server, in KB a minute; of many, each has its own line in it.
const WRITTEN: f64 = 100.0;
const FEW: i32 = 10;
/// How long its verdict may take, in seconds after its last worker's end.
const VERDICT: f64 = 1.0;
/// 10,000 pods and tokens take a few minutes.
const ALL_THERE: Duration = Duration::from_secs(900);
/// Tokens asked for at a time.
const AT_A_TIME: usize = 32;
const NAMESPACE: &str = "collect";

/// Measures the first build, and prints the table.
pub async fn measure(builds: &[Build]) -> Result<()> {
    let build = builds.first().context("no manager to measure")?;
    let mut rows = Vec::new();
    for (count, batches, aim) in LOADS {
        rows.push(one(build, count, batches, aim).await?);
    }
    report::heading("Collecting");
    report::line(
        "Batches of 20 distributions of 500 samples and 30 counters, one every 10 s and worker, over TLS from another process. From the last worker's end as the API server has it to the verdict as another client sees it. Written to the API server: bytes in the report's ConfigMaps (base64).",
    );
    let columns = [
        "workers",
        "joining, s",
        "last join to last release, s",
        "skew, ms",
        "VmHWM, MiB",
        "aim, MiB",
        "CPU, s",
        "batches",
        "last worker's end to verdict, s",
        "written, KB a minute",
        "report",
    ];
    report::table(columns, &rows);
    Ok(())
}

async fn one(build: &Build, count: i32, batches: u64, aim: f64) -> Result<[String; 11]> {
    let name = format!("collect-{count}");
    let stand = Stand::start(&name).await?;
    stand.namespace(NAMESPACE).await?;
    let (manager, address, metrics) = Contender::collecting(&stand, build)?;
    let url = format!("https://{address}");
    stand.create(NAMESPACE, "t", count).await?;
    let pods: Api<Pod> = Api::namespaced(stand.admin.clone(), NAMESPACE);
    let workers = async || listed(&pods).await.unwrap_or_default();
    let wanted = usize::try_from(count)?;
    let there = eventually("all pods", ALL_THERE, workers, |pods| pods.len() == wanted).await;
    report::progress(format!("{name}: all pods are there; now tokens"));
    let tokens = stream::iter(&there)
        .map(|pod| token(&stand.admin, pod))
        .buffer_unordered(AT_A_TIME)
        .try_collect::<Vec<_>>()
        .await?;
    let secrets: Api<Secret> = Api::namespaced(stand.admin.clone(), "artillery-operator-system");
    let secret = secrets.get("artillery-operator-collector-ca").await?;
    let ca = secret.data.and_then(|mut data| data.remove("ca.crt")).context("no CA")?;
    let orders = stand.file("orders.json");
    let order = Orders { url, ca: String::from_utf8(ca.0)?, batches, tokens };
    std::fs::write(&orders, serde_json::to_vec(&order)?)?;

    report::progress(format!("{name}: the workers begin"));
    let (began, before) = (Instant::now(), manager.usage()?);
    let written_before = saved(metrics).await?;
    let args = ["workers".to_owned(), orders.display().to_string()];
    let log = stand.file("workers.log");
    let mut child = process::start(&std::env::current_exe()?, &args, &[], &log)?;
    let ended = tokio::task::spawn_blocking(move || child.wait()).await??;
    anyhow::ensure!(ended.success(), "the workers failed, see {}", log.display());
    let minutes = began.elapsed().as_secs_f64() / 60.0;
    let after = manager.usage()?;
    let written = saved(metrics).await? - written_before;
    let outcome: Outcome = serde_json::from_slice(&std::fs::read(outcome_of(&orders))?)?;
    report::progress(format!("{name}: {outcome:?}; now their pods end"));
    stream::iter(&there)
        .map(|pod| kubelet::say(&stand.admin, pod, State::Succeeded))
        .buffer_unordered(AT_A_TIME)
        .try_collect::<Vec<_>>()
        .await?;
    let ended = Instant::now();
    let tests: Api<LoadTest> = Api::namespaced(stand.admin.clone(), NAMESPACE);
    let status = async || tests.get("t").await.ok().and_then(|test| test.status).unwrap_or_default();
    eventually("the test is over", ALL_THERE, status, loadtest::LoadTestStatus::is_over).await;
    let verdict = ended.elapsed().as_secs_f64();
    let reports: Api<ConfigMap> = Api::namespaced(stand.admin.clone(), NAMESPACE);
    let stored = reports.get("t-report").await?.data.and_then(|mut data| data.remove("report.json"));
    let stored: Value = serde_json::from_str(&stored.context("no report")?)?;
    let told = stored["aggregate"]["counters"]["http.requests"].as_u64().unwrap_or(0);
    manager.terminate().await?;
    #[allow(clippy::cast_precision_loss, reason = "bytes")]
    let kilobytes = written as f64 / 1000.0 / minutes;
    Ok([
        count.to_string(),
        report::number(outcome.joining),
        report::number(outcome.release),
        report::number(outcome.skew),
        report::number(after.peak),
        format!("{aim:.0}: {}", met(after.peak <= aim)),
        report::number(after.cpu - before.cpu),
        format!("{}, {} asked again", u64::try_from(count)? * batches, outcome.retries),
        match count {
            ..=FEW => format!("{} ({VERDICT:.0}: {})", report::number(verdict), met(verdict <= VERDICT)),
            _ => report::number(verdict),
        },
        match count {
            ..=FEW => format!("{} ({WRITTEN:.0}: {})", report::number(kilobytes), met(kilobytes <= WRITTEN)),
            _ => report::number(kilobytes),
        },
        if told == outcome.requests { "exact".to_owned() } else { format!("{told} of {}", outcome.requests) },
    ])
}

fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "missed" }
}

/// All pods, page by page.
async fn listed(pods: &Api<Pod>) -> Result<Vec<Pod>> {
    let mut page = ListParams::default().limit(500);
    let mut all = Vec::new();
    loop {
        let list = pods.list(&page).await?;
        all.extend(list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(all),
        }
    }
}

/// The token that a kubelet would mount into that pod.
async fn token(client: &kube::Client, pod: &Pod) -> Result<String> {
    let name = pod.metadata.name.as_deref().context("a pod without a name")?;
    let uid = pod.metadata.uid.as_deref();
    testbed::worker::token(client, NAMESPACE, name, uid, loadtest::reporter::AUDIENCE).await
}

/// Bytes in snapshots that the manager has written, as the API server gets them.
async fn saved(metrics: SocketAddr) -> Result<u64> {
    let text = scrape(&format!("http://{metrics}"), None).await?;
    let text = text.map_err(|status| anyhow::anyhow!("the manager's metrics: HTTP {status}"))?;
    let line =
        text.lines().find_map(|line| line.strip_prefix("artillery_operator_collector_saved_bytes_total "));
    let bytes: u64 = line.context("no saved bytes among the metrics")?.parse()?;
    Ok(bytes.div_ceil(3) * 4)
}
