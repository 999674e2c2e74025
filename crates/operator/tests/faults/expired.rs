//! Watches that end with 410 Gone: what the manager saw last has been forgotten by the API server and by etcd.

use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use kube::api::DeleteParams;
use loadtest::LoadTest;
use testbed::eventually::eventually;

use crate::bed::{API, Bed, is};
use crate::manager::Manager;
use crate::tally::Tally;
use crate::workers::{GOOD_LIFE, exit_all, finish, running, until_reason, until_true};
use crate::{FORGOTTEN, ROUNDS, alone, confined};

#[tokio::test]
async fn watches_that_end_with_410_gone_lose_nothing() {
    let _alone = alone().await;
    let bed = Bed::without_controller().await;
    bed.script().await;
    let manager = Manager::start("expired", &[&confined(&bed)]);
    manager.until_ready().await;
    let how = "manager stopped, API server restarted, objects changed, etcd compacted, API server restarted, manager woken: \
        each of its three watches got 410";
    let mut tally = Tally::of("watch ends with 410 Gone", how);
    for round in 0..*ROUNDS {
        let [ends, lost, comes, goes] = ["ends", "lost", "comes", "goes"].map(|n| format!("{n}-{round}"));
        for name in [&ends, &lost, &goes] {
            running(&bed, name).await;
        }
        let heard = manager.log().len();
        manager.freeze();
        // what was sent to it already, it would read when it wakes: its connections must end first
        restart().await;
        exit_all(&bed, &ends).await;
        bed.api::<Job>().delete(&lost, &DeleteParams::background()).await.expect("deleted");
        bed.api::<LoadTest>().delete(&goes, &DeleteParams::background()).await.expect("deleted");
        bed.load_test(&comes, 2).await;
        for name in [&lost, &goes] {
            eventually("the Job is gone", FORGOTTEN, async || bed.job(name).await, Option::is_none).await;
        }
        API.compact_etcd().await.expect("compacted");
        restart().await;
        tally.fault();
        manager.wake();
        let began = Instant::now();
        let is_over = |status: &loadtest::LoadTestStatus| is(status, "Completed", "True");
        let times = tokio::join!(
            until_reason(&bed, &ends, began, "Succeeded"),
            until_true(&bed, &lost, began, "over", is_over),
            until_reason(&bed, &comes, began, "WorkersStarting"),
        );
        for time in [times.0, times.1, times.2] {
            tally.true_after(time);
        }
        // an answer of 200 and an error event in it: only its reader can tell
        for what in ["LoadTests", "Jobs", "pods"] {
            let log = manager.log();
            let broke = format!("the watch on {what} broke");
            let mut lines = log[heard..].lines().filter(|line| line.contains(&broke));
            assert!(lines.any(|line| line.contains("too old resource version")), "no 410 on {what}:\n{log}");
        }
        tally.ended(&bed, &ends, &["Succeeded"], &GOOD_LIFE).await;
        tally
            .ended(&bed, &lost, &["JobDeleted"], &["Created", "Failed", "Running", "Running", "Stopped"])
            .await;
        finish(&bed, &comes).await;
        tally.ended(&bed, &comes, &["Succeeded"], &GOOD_LIFE).await;
    }
    tally.verdict(&bed).await;
}

async fn restart() {
    tokio::task::spawn_blocking(|| API.restart(Duration::ZERO)).await.expect("no panic").expect("it is back");
}
