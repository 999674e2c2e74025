//! Faults of a cluster with real nodes while real load tests run: each several times, with the table of
//! `docs/reliability.md` at the end. `make faults-nodes`; arguments choose cases by a part of their name.

#![allow(clippy::expect_used, reason = "a case that cannot go on panics, and is told as failed")]

mod control_plane;
mod deletions;
mod nodes;
mod report;
mod truth;
mod watch;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use tokio::task::{LocalSet, spawn_local};

use crate::report::{Row, table};

/// All cases, in the order in which they are run.
const CASES: [&str; 13] = [
    "manager-killed",
    "etcd-paused",
    "api-server-away-5",
    "api-server-away-30",
    "worker-deleted-gracefully",
    "worker-deleted-by-force",
    "job-deleted-before",
    "job-deleted-at-once",
    "job-deleted-during",
    "job-deleted-after",
    "load-test-replaced",
    "node-cut-and-back",
    "node-cut-for-good",
];

async fn run(case: &str) -> Row {
    match case {
        "manager-killed" => control_plane::manager_killed().await,
        "etcd-paused" => control_plane::etcd_paused().await,
        "api-server-away-5" => control_plane::api_server_away(Duration::from_secs(5)).await,
        "api-server-away-30" => control_plane::api_server_away(Duration::from_secs(30)).await,
        "worker-deleted-gracefully" => deletions::worker(&["--wait=false"], "gracefully").await,
        "worker-deleted-by-force" => deletions::worker(&["--grace-period=0", "--force"], "by force").await,
        "job-deleted-before" => deletions::job_before().await,
        "job-deleted-at-once" => deletions::job_at_once().await,
        "job-deleted-during" => deletions::job_during().await,
        "job-deleted-after" => deletions::job_after().await,
        "load-test-replaced" => deletions::load_test_replaced().await,
        "node-cut-and-back" => nodes::cut_and_back().await,
        "node-cut-for-good" => nodes::cut_for_good().await,
        other => unreachable!("no case is named {other}"),
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    let is_chosen = |case: &&str| chosen.is_empty() || chosen.iter().any(|part| case.contains(part.as_str()));
    let mut rows = Vec::new();
    for case in CASES.into_iter().filter(is_chosen) {
        println!(">> {case}");
        let began = Instant::now();
        // one that panics has told why, and the others go on
        let alone = LocalSet::new();
        let row = alone.run_until(async { spawn_local(run(case)).await.ok() }).await;
        let how = if row.as_ref().is_some_and(Row::is_good) { "good" } else { "FAILED" };
        println!("   {case}: {how}, {} s", began.elapsed().as_secs());
        rows.push((case, row));
    }
    let good = rows.iter().filter(|(_, row)| row.as_ref().is_some_and(Row::is_good)).count();
    println!("\n{good} of {} cases good\n\n{}", rows.len(), table(&rows));
    if good == rows.len() && good > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
