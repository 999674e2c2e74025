//! Jobs and LoadTests deleted: before the start, while they run, afterwards, and created again at once.

use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, PostParams};
use loadtest::LoadTest;
use serde_json::json;
use testbed::eventually::eventually;
use testbed::history::Change;
use testbed::random::Random;
use tokio::time::sleep;

use crate::bed::{API, Bed, SOON, is, reason_of, spec};
use crate::lives::life;
use crate::manager::Manager;
use crate::tally::Tally;
use crate::workers::{GOOD_LIFE, finish, finish_within, running, until_reason, until_true};
use crate::{FORGOTTEN, ROUNDS, confined, whole};

/// The gap between a Job's creation and its start is a few milliseconds: it is not hit each time.
const ATTEMPTS: u64 = 40;
/// Kubernetes' Job controller knows Jobs by name. Where an earlier Job of the name went while its pods were being made, it
/// waits to see those for 5 minutes (`ExpectationsTimeout` in its source) before it makes any of the new one.
const CONFUSED: Duration = Duration::from_secs(5 * 60);

#[tokio::test]
async fn a_job_deleted_before_its_start_is_never_started_twice() {
    let _whole = whole().await;
    let mut random = Random::of_environment("Jobs deleted before their start");
    let bed = Bed::without_controller().await;
    bed.script().await;
    let confined = confined(&bed);
    let mut tally =
        Tally::of("Job deleted before its start", "manager stopped in between, then woken or killed");
    let mut manager = Manager::start("before", &[&confined]);
    manager.until_ready().await;
    let (mut unrecorded, mut unstarted) = (0, 0);
    for attempt in 0..ATTEMPTS * *ROUNDS {
        let name = format!("t{attempt}");
        freeze_at_its_job(&bed, &manager, &name, random.below(0..2) == 0).await;
        let deleted = bed.job(&name).await.expect("a Job").metadata.uid.expect("a UID");
        bed.api::<Job>().delete(&name, &DeleteParams::background()).await.expect("deleted");
        eventually("the Job is gone", SOON, async || bed.job(&name).await, Option::is_none).await;
        let before = life(&bed, &name).await;

        let began = Instant::now();
        if random.below(0..2) == 0 {
            manager.wake();
        } else {
            manager.kill();
            manager = Manager::start("before", &[&confined]);
        }
        let is_true = |status: &loadtest::LoadTestStatus| {
            let is_another = status.job_uid.as_ref().is_some_and(|uid| *uid != deleted);
            is(status, "Completed", "True")
                || is_another && reason_of(status, "Progressing") == "WorkersStarting"
        };
        let time = until_true(&bed, &name, began, "over, or started with another Job", is_true).await;
        finish(&bed, &name).await;
        let life = life(&bed, &name).await;
        let outcome = life.outcome.as_deref().expect("an outcome");
        if before.recorded.is_empty() {
            unrecorded += 1;
        } else if before.starts.is_empty() {
            unstarted += 1;
            assert_eq!((outcome, life.starts.len()), ("JobDeleted", 0), "{life:#?}");
        } else {
            // the start was quicker: the workers' pods may be seen to go before the Job is
            assert!(["JobDeleted", "WorkersFailed"].contains(&outcome), "{life:#?}");
        }
        // whatever it was, it is told by one event
        let ends = async || crate::lives::life(&bed, &name).await.said;
        let is_told =
            |said: &Vec<String>| said.iter().filter(|r| *r == "Completed" || *r == "Failed").count() == 1;
        eventually("one event tells the end", FORGOTTEN, ends, is_told).await;
        if before.starts.is_empty() {
            tally.fault();
            tally.true_after(time);
        }
        if tally.faults() == *ROUNDS {
            break;
        }
    }
    assert_eq!(tally.faults(), *ROUNDS, "the gap between creation and start was not hit often enough");
    tally.how(&format!(": {unrecorded} were not recorded, {unstarted} not started"));
    tally.verdict(&bed).await;
}

/// Creates a LoadTest and stops its manager as soon as its Job is there, or recorded: as near as can be had.
pub async fn freeze_at_its_job(bed: &Bed, manager: &Manager, name: &str, is_recorded: bool) {
    let seen = API.history().until(&bed.namespace, |change| is_job_of(change, name, is_recorded));
    let (_, seen) = tokio::join!(bed.load_test(name, 2), seen);
    manager.freeze();
    seen.expect("a Job");
}

/// Whether it is the creation of that LoadTest's Job, or the record of it.
fn is_job_of(change: &Change, name: &str, is_recorded: bool) -> bool {
    if change.text("/metadata/name") != name {
        return false;
    }
    if is_recorded { !change.text("/status/jobUID").is_empty() } else { change.is_of("jobs") }
}

#[tokio::test]
async fn a_job_deleted_while_it_runs_ends_the_test_and_one_deleted_later_changes_nothing() {
    let _whole = whole().await;
    let mut random = Random::of_environment("Jobs deleted");
    let bed = Bed::without_controller().await;
    bed.script().await;
    let mut during = Tally::of("Job deleted while it runs", "in background, foreground or as an orphan");
    let manager = Manager::start("during", &[&confined(&bed)]);
    manager.until_ready().await;
    for round in 0..*ROUNDS {
        let (runs, ended) = (format!("runs-{round}"), format!("ended-{round}"));
        running(&bed, &runs).await;
        running(&bed, &ended).await;
        finish(&bed, &ended).await;
        during.ended(&bed, &ended, &["Succeeded"], &GOOD_LIFE).await;
        let params = random.pick(&[0, 1, 2]);
        let params = [DeleteParams::background(), DeleteParams::foreground(), orphan()][params].clone();
        bed.api::<Job>().delete(&ended, &params).await.expect("deleted");
        sleep(Duration::from_millis(random.below(0..50))).await; // chance, not a hope
        bed.api::<Job>().delete(&runs, &params).await.expect("deleted");
        during.fault();
        let began = Instant::now();
        let is_over = |status: &loadtest::LoadTestStatus| is(status, "Completed", "True");
        during.true_after(until_true(&bed, &runs, began, "over", is_over).await);
        let events = ["Created", "Failed", "Running", "Running", "Stopped"];
        during.ended(&bed, &runs, &["JobDeleted", "WorkersFailed"], &events).await;
        eventually("its Job is gone", SOON, async || bed.job(&ended).await, Option::is_none).await;
    }
    // a whole life of another test is time enough for what must not happen to those that ended
    running(&bed, "last").await;
    finish(&bed, "last").await;
    for life in crate::lives::lives(&bed).await {
        assert_eq!((life.jobs.len(), life.starts.len()), (1, 1), "{life:#?}");
    }
    during.how("; and the Job of one that had ended");
    during.verdict(&bed).await;
}

fn orphan() -> DeleteParams {
    DeleteParams { propagation_policy: Some(kube::api::PropagationPolicy::Orphan), ..DeleteParams::default() }
}

#[tokio::test]
async fn a_load_test_created_again_at_once_runs_once_more_and_no_more() {
    let _whole = whole().await;
    let mut random = Random::of_environment("LoadTests created again");
    let bed = Bed::without_controller().await;
    bed.script().await;
    let mut tally = Tally::of(
        "LoadTest deleted and created again at once",
        "at random moments, in background or foreground",
    );
    let manager = Manager::start("again", &[&confined(&bed)]);
    manager.until_ready().await;
    let tests = bed.api::<LoadTest>();
    let mut confused = 0;
    for round in 0..*ROUNDS * 2 {
        let name = format!("t{round}");
        if random.below(0..3) == 0 {
            running(&bed, &name).await;
        } else {
            bed.load_test(&name, 2).await;
            sleep(Duration::from_millis(random.below(0..80))).await; // which steps it hits is the fault
        }
        let params = if round % 2 == 0 { DeleteParams::background() } else { DeleteParams::foreground() };
        tests.delete(&name, &params).await.expect("deleted");
        let new: LoadTest = serde_json::from_value(json!({
            "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest",
            "metadata": { "name": name }, "spec": spec(2),
        }))
        .expect("a LoadTest");
        // refused as long as the earlier one is there
        let create = async || match tests.create(&PostParams::default(), &new).await {
            Ok(load_test) => Some(load_test),
            Err(kube::Error::Api(status)) if status.is_already_exists() => None,
            Err(error) => panic!("{error}"),
        };
        eventually("it is created again", SOON, create, Option::is_some).await;
        tally.fault();
        let began = Instant::now();
        tally.true_after(until_reason(&bed, &name, began, "WorkersStarting").await);
        let job = bed.job(&name).await.expect("its Job");
        let status = bed.status(&name).await;
        assert_eq!(job.metadata.uid, status.job_uid);
        finish_within(&bed, &name, CONFUSED + FORGOTTEN).await;
        confused += u64::from(began.elapsed() > CONFUSED / 2);
        let events = eventually_said(&bed, &name).await;
        assert!(events.iter().filter(|r| *r != "WaitingForEarlierJob").eq(&GOOD_LIFE), "{events:?}");
        tally
            .ended(&bed, &name, &["Succeeded"], &events.iter().map(String::as_str).collect::<Vec<_>>())
            .await;
    }
    tally.how(&format!("; in {confused} of them Kubernetes itself made the new Job no pods for 5 minutes"));
    tally.verdict(&bed).await;
}

/// What is said of the last LoadTest of that name once its end is told; it may have had to wait for the earlier Job.
async fn eventually_said(bed: &Bed, name: &str) -> Vec<String> {
    let said = async || life(bed, name).await.said;
    let is_told = |said: &Vec<String>| said.iter().filter(|r| *r != "WaitingForEarlierJob").eq(&GOOD_LIFE);
    eventually("its end is told", FORGOTTEN, said, is_told).await
}
