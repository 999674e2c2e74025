//! A Job of a LoadTest's name that is somebody else's: there before, made in the same moment, or put in the place of its
//! own before that is started.

use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, PostParams};
use loadtest::LoadTestStatus;
use serde_json::json;
use testbed::eventually::eventually;
use testbed::random::Random;
use tokio::time::sleep;

use crate::bed::{Bed, SOON, is};
use crate::deleted::freeze_at_its_job;
use crate::lives::life;
use crate::manager::Manager;
use crate::tally::Tally;
use crate::workers::{finish, until_reason, until_true};
use crate::{ROUNDS, confined, whole};

#[tokio::test]
async fn a_foreign_job_is_not_touched_whenever_it_came() {
    let _whole = whole().await;
    let mut random = Random::of_environment("foreign Jobs");
    let bed = Bed::without_controller().await;
    bed.script().await;
    let mut tally = Tally::of("foreign Job of that name", "before the LoadTest, in the same milliseconds");
    let manager = Manager::start("taken", &[&confined(&bed)]);
    manager.until_ready().await;
    let (mut first, mut unstarted) = (0, 0);
    for round in 0..*ROUNDS {
        let name = format!("before-{round}");
        assert!(foreign_job(&bed, &name).await, "there is none yet");
        bed.load_test(&name, 2).await;
        waits_for_its_name(&bed, &name, &mut tally).await;

        let name = format!("same-{round}");
        let pause = Duration::from_millis(random.below(0..25));
        let foreign = async {
            sleep(pause).await; // which of the manager's steps it hits is the fault
            foreign_job(&bed, &name).await
        };
        if tokio::join!(bed.load_test(&name, 2), foreign).1 {
            first += 1;
            waits_for_its_name(&bed, &name, &mut tally).await;
        } else {
            // the manager was quicker, and the other client was refused
            finish(&bed, &name).await;
            tally.ended(&bed, &name, &["Succeeded"], &crate::workers::GOOD_LIFE).await;
        }

        let name = format!("place-{round}");
        freeze_at_its_job(&bed, &manager, &name, false).await;
        bed.api::<Job>().delete(&name, &DeleteParams::background()).await.expect("deleted");
        eventually("the Job is gone", SOON, async || bed.job(&name).await, Option::is_none).await;
        assert!(foreign_job(&bed, &name).await, "the place is free");
        tally.fault();
        unstarted += u64::from(life(&bed, &name).await.starts.is_empty());
        let began = Instant::now();
        manager.wake();
        let is_over = |status: &LoadTestStatus| is(status, "Completed", "True");
        tally.true_after(until_true(&bed, &name, began, "over", is_over).await);
        is_untouched(&bed, &name).await;
        // a start that was quicker has pods, which may be seen to go before the Job is
        let outcomes: &[&str] = if life(&bed, &name).await.starts.is_empty() {
            &["JobDeleted"]
        } else {
            &["JobDeleted", "WorkersFailed"]
        };
        let outcome = life(&bed, &name).await.outcome;
        assert!(outcome.as_deref().is_some_and(|o| outcomes.contains(&o)), "{outcome:?}");
    }
    tally.how(&format!(
        " (of {} it was the first in {first}), or in place of the LoadTest's own Job (not yet started in {unstarted} of {})",
        *ROUNDS, *ROUNDS
    ));
    tally.verdict(&bed).await;
}

/// The LoadTest waits until the foreign Job is deleted, and then runs.
async fn waits_for_its_name(bed: &Bed, name: &str, tally: &mut Tally) {
    until_reason(bed, name, Instant::now(), "JobNameTaken").await;
    is_untouched(bed, name).await;
    tally.fault();
    bed.api::<Job>().delete(name, &DeleteParams::background()).await.expect("deleted");
    let began = Instant::now();
    tally.true_after(until_reason(bed, name, began, "WorkersStarting").await);
    finish(bed, name).await;
    let events = ["Completed", "Created", "Inconclusive", "JobNameTaken", "Running", "Running"];
    tally.ended(bed, name, &["Succeeded"], &events).await;
    assert_eq!(life(bed, name).await.jobs.len(), 1);
}

async fn is_untouched(bed: &Bed, name: &str) {
    let theirs = bed.job(name).await.expect("their Job");
    assert_eq!((theirs.metadata.generation, theirs.metadata.owner_references), (Some(1), None));
    assert_eq!(theirs.spec.and_then(|spec| spec.suspend), Some(true));
}

/// Makes a Job that is nobody's, unless there is one of that name.
async fn foreign_job(bed: &Bed, name: &str) -> bool {
    let job: Job = serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": { "suspend": true, "template": { "spec": {
            "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }],
        } } },
    }))
    .expect("a Job");
    match bed.api::<Job>().create(&PostParams::default(), &job).await {
        Ok(_) => true,
        Err(kube::Error::Api(status)) if status.is_already_exists() => false,
        Err(error) => panic!("{error}"),
    }
}
