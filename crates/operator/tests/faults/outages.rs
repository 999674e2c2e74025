//! The API server away, and etcd standing still, at several points of a load test's life.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::json;
use testbed::random::Random;
use tokio::time::sleep;

use crate::bed::{API, Bed, SCRIPT};
use crate::manager::Manager;
use crate::tally::Tally;
use crate::workers::{GOOD_LIFE, exit_all, finish, pods, running, until_reason};
use crate::{IS_LONG, ROUNDS, alone, confined};

/// The steps from a LoadTest to its running Job, and from its workers' end to its own, take about this long.
const STEPS_MILLISECONDS: std::ops::Range<u64> = 0..60;

/// A fault that takes its time, and returns when it is over.
type Outage = fn(Duration) -> Result<()>;

#[tokio::test]
async fn an_api_server_that_is_killed_and_comes_back_changes_nothing() {
    let _alone = alone().await;
    let outage: Outage = |time| API.restart(time);
    let how = "SIGKILL while four load tests wait, start, run and end";
    if *IS_LONG {
        outlive("API server away for 5 s", how, *ROUNDS, Duration::from_secs(5), outage).await;
        outlive("API server away for 30 s", how, ROUNDS.div_ceil(2), Duration::from_secs(30), outage).await;
    } else {
        outlive("API server away for 1 s", how, *ROUNDS, Duration::from_secs(1), outage).await;
    }
}

#[tokio::test]
async fn an_etcd_that_stands_still_changes_nothing() {
    let _alone = alone().await;
    let outage: Outage = |time| API.pause_etcd(time);
    let how = "SIGSTOP and SIGCONT while four load tests wait, start, run and end: writes hang";
    if *IS_LONG {
        outlive("etcd stands still for 10 s", how, *ROUNDS, Duration::from_secs(10), outage).await;
    } else {
        outlive("etcd stands still for 2 s", how, *ROUNDS, Duration::from_secs(2), outage).await;
    }
}

async fn outlive(fault: &'static str, how: &str, rounds: u64, time: Duration, outage: Outage) {
    let mut random = Random::of_environment(fault);
    let bed = Bed::without_controller().await;
    bed.script().await;
    let mut tally = Tally::of(fault, how).where_kubernetes_may_repeat_pods();
    let manager = Manager::start("outlives", &[&confined(&bed)]);
    manager.until_ready().await;
    for round in 0..rounds {
        one_outage(&bed, &mut tally, &mut random, round, time, outage).await;
    }
    tally.verdict(&bed).await;
}

async fn one_outage(
    bed: &Bed,
    tally: &mut Tally,
    random: &mut Random,
    round: u64,
    time: Duration,
    outage: Outage,
) {
    let [waits, starts, runs, ends] =
        ["waits", "starts", "runs", "ends"].map(|stage| format!("{stage}-{round}"));
    let script = format!("late-{round}");
    let spec = json!({ "count": 2, "testScript": { "config": { "configMap": script } } });
    bed.create(&waits, spec).await.expect("a LoadTest");
    bed.until_reason(&waits, "MissingTestScript").await;
    running(bed, &runs).await;
    running(bed, &ends).await;

    bed.load_test(&starts, 2).await;
    exit_all(bed, &ends).await;
    sleep(Duration::from_millis(random.below(STEPS_MILLISECONDS))).await; // which steps it hits is the fault
    tokio::task::spawn_blocking(move || outage(time)).await.expect("no panic").expect("it is back");
    tally.fault();
    let over = Instant::now();
    // what its user and the kubelets could not say before
    bed.config_map(&script, json!({ "test-script.yaml": SCRIPT })).await;
    exit_all(bed, &runs).await;
    let times = tokio::join!(
        until_reason(bed, &waits, over, "WorkersStarting"),
        until_reason(bed, &starts, over, "WorkersStarting"),
        until_reason(bed, &runs, over, "Succeeded"),
        until_reason(bed, &ends, over, "Succeeded"),
    );
    for time in [times.0, times.1, times.2, times.3] {
        tally.true_after(time);
    }
    for name in [&waits, &starts] {
        pods(bed, name).await;
    }
    for (name, more) in [(&waits, Some("MissingTestScript")), (&starts, None), (&runs, None), (&ends, None)] {
        finish(bed, name).await;
        let events: Vec<_> =
            ["Completed", "Created", "Inconclusive"].into_iter().chain(more).chain(["Running"; 2]).collect();
        tally.ended(bed, name, &["Succeeded"], if more.is_some() { &events } else { &GOOD_LIFE }).await;
    }
}
