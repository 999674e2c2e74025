//! Others who write at the same time: a client that meddles with the LoadTest, and a second manager.

use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, Patch, PatchParams};
use loadtest::LoadTest;
use serde_json::json;
use testbed::random::Random;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::bed::{Bed, is, reason_of};
use crate::lives::life;
use crate::manager::Manager;
use crate::tally::Tally;
use crate::workers::{GOOD_LIFE, exit_all, finish, pods, run_all, running, until_reason, until_true};
use crate::{ROUNDS, confined, whole};

/// A meddler pauses for so long between two writes; a manager's own write takes 5 ms or so.
const PAUSE_MILLISECONDS: std::ops::Range<u64> = 0..50;

#[tokio::test]
async fn conflicting_writes_to_a_load_test_delay_the_truth_and_do_not_change_it() {
    let _whole = whole().await;
    let mut random = Random::of_environment("conflicting writes");
    let bed = Bed::without_controller().await;
    bed.script().await;
    let manager = Manager::start("meddled", &[&confined(&bed)]);
    manager.until_ready().await;
    let mut tally = Tally::of("conflicting writes to the LoadTest", String::new());
    let mut writes = 0;
    for round in 0..*ROUNDS {
        let name = format!("t{round}");
        let (lies, all) = (CancellationToken::new(), CancellationToken::new());
        let life_of_it = async {
            bed.load_test(&name, 2).await;
            run_all(&bed, &name).await;
            until_reason(&bed, &name, Instant::now(), "WorkersRunning").await;
            // what is said of it once it is over stands: only labels and annotations are written on
            lies.cancel();
            let began = Instant::now();
            exit_all(&bed, &name).await;
            let time = until_reason(&bed, &name, began, "Succeeded").await;
            all.cancel();
            time
        };
        let (time, meddled) = tokio::join!(life_of_it, meddle(&bed, &name, &mut random, &lies, &all));
        writes += meddled;
        tally.fault();
        tally.true_after(time);
        tally.ended(&bed, &name, &["Succeeded"], &GOOD_LIFE).await;
        let status = bed.status(&name).await;
        assert_eq!((status.active, status.succeeded, status.failed), (0, 2, 0), "{status:#?}");
        assert_eq!(status.completions.as_deref(), Some("2/2"));
    }
    let is_conflict = |c: &&testbed::api_server::Call| c.resource == "loadtests" && c.code == 409;
    let conflicts = bed.calls().iter().filter(is_conflict).count();
    tally.how(&format!(
        "another client writes status, labels and annotations every 0 to 50 ms, {writes} times in all; {conflicts} of the manager's writes met a conflict"
    ));
    tally.verdict(&bed).await;
}

/// Writes to a LoadTest until told to stop: first also lies in its status. Says how often.
async fn meddle(
    bed: &Bed,
    name: &str,
    random: &mut Random,
    no_lies: &CancellationToken,
    stop: &CancellationToken,
) -> usize {
    let (tests, params) = (bed.api::<LoadTest>(), PatchParams::default());
    let mut writes = 0;
    while !stop.is_cancelled() {
        let written = match random.below(0..3) {
            0 if !no_lies.is_cancelled() => {
                let lie = json!({ "status": { "active": 7, "failed": writes, "completions": "9/2" } });
                tests.patch_status(name, &params, &Patch::Merge(&lie)).await
            }
            1 => {
                let labels = json!({ "metadata": { "labels": { "meddler": format!("n{writes}") } } });
                tests.patch(name, &params, &Patch::Merge(&labels)).await
            }
            _ => {
                let annotations = json!({ "metadata": { "annotations": { "meddler": writes.to_string() } } });
                tests.patch(name, &params, &Patch::Merge(&annotations)).await
            }
        };
        match written {
            Ok(_) => writes += 1,
            Err(kube::Error::Api(status)) if status.is_not_found() => {} // not created yet
            Err(error) => panic!("{error}"),
        }
        sleep(Duration::from_millis(random.below(PAUSE_MILLISECONDS))).await; // the meddler's own pace
    }
    writes
}

#[tokio::test]
async fn two_managers_that_both_act_start_each_test_once() {
    let _whole = whole().await;
    let mut random = Random::of_environment("two managers");
    let bed = Bed::without_controller().await;
    bed.script().await;
    let confined = confined(&bed);
    let managers = ["first", "second"].map(|name| Manager::start(name, &[&confined]));
    for manager in &managers {
        manager.until_ready().await;
    }
    let mut tally = Tally::of(
        "two managers act at once",
        "no leader election; of each four load tests one loses its Job",
    );
    for round in 0..*ROUNDS {
        let names = [0, 1, 2, 3].map(|n| format!("t{round}-{n}"));
        tally.fault();
        for name in &names[..2] {
            bed.load_test(name, 2).await;
        }
        running(&bed, &names[2]).await;
        bed.load_test(&names[3], 2).await;
        sleep(Duration::from_millis(random.below(0..40))).await; // which steps it hits is the fault
        let deleted = bed.api::<Job>().delete(&names[3], &DeleteParams::background()).await;
        let began = Instant::now();
        for name in &names[..3] {
            pods(&bed, name).await;
            exit_all(&bed, name).await;
        }
        for name in &names[..3] {
            tally.true_after(until_reason(&bed, name, began, "Succeeded").await);
            tally.ended(&bed, name, &["Succeeded"], &GOOD_LIFE).await;
        }
        let is_over = async |exit: bool| {
            let over = |status: &loadtest::LoadTestStatus| {
                is(status, "Completed", "True")
                    || exit && reason_of(status, "Progressing") == "WorkersStarting"
            };
            until_true(&bed, &names[3], began, "over or started", over).await
        };
        match deleted {
            // it was not there yet, or not recorded: then there is a first or another one, which runs
            _ if life(&bed, &names[3]).await.outcome.is_none() => {
                is_over(true).await;
                finish(&bed, &names[3]).await;
            }
            Ok(_) => {}
            Err(error) => assert!(matches!(&error, kube::Error::Api(s) if s.is_not_found()), "{error}"),
        }
    }
    // both took part
    for manager in &managers {
        let agent = format!("({})", manager.name);
        let calls = bed.calls();
        assert!(
            calls.iter().any(|c| c.is_write() && c.code < 300 && c.user_agent.ends_with(&agent)),
            "{agent}"
        );
    }
    tally.verdict(&bed).await;
}
