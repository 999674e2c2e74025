//! A store and an API server that are slow, away, or somebody else's.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use collector::ConcludeError;

use crate::bed::{Bed, SOON, batch, eventually, reference};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_save_that_hangs_holds_up_neither_requests_nor_other_load_tests() {
    let bed = Bed::new().await;
    for test in 0..4 {
        bed.store.hangs.lock().expect("a lock").push(reference(&format!("hanging-{test}")).uid);
    }
    for test in 0..4 {
        let mut worker = bed.worker(&format!("hanging-{test}"), 0).await;
        worker.join().await;
        worker.start().await;
    }
    let mut worker = bed.worker("one", 0).await;
    worker.join().await;
    worker.until_go().await;
    let mut hanging = bed.worker("hanging-0", 0).await;
    let began = Instant::now();
    for sequence in 1..=10 {
        assert_eq!(hanging.start().await.body["wait"]["ready"], 1);
        assert_eq!(hanging.send(&batch(sequence, 5)).await.body["received"], sequence);
    }
    assert!(began.elapsed() < SOON / 2, "{:?}", began.elapsed());
    assert_eq!(hanging.progress().await.body["durable"], 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_starts_while_the_store_is_away_and_all_start_once_it_is_back() {
    let bed = Bed::new().await;
    let mut worker = bed.worker("one", 0).await;
    worker.join().await;
    bed.store.fails.store(true, Ordering::SeqCst);
    let mut late = bed.worker("two", 0).await;
    let answer = late.join().await;
    assert_eq!((answer.status, answer.error()), (503, "the load test is not open here"));
    assert_eq!(answer.headers["retry-after"], "1");
    bed.store.fails.store(false, Ordering::SeqCst);
    worker.until_go().await;

    let mut waiting = bed.worker("three", 0).await;
    assert_eq!(waiting.progress().await.status, 404);
    bed.store.fails.store(true, Ordering::SeqCst);
    waiting.join().await;
    waiting.start().await;
    eventually("a save failed", || bed.counters.saves_failed.get() > 0).await;
    assert!(waiting.start().await.body["wait"].is_object());
    bed.store.fails.store(false, Ordering::SeqCst);
    waiting.until_go().await;
    eventually("the other one can be loaded", || bed.collector.facts(&reference("one")).is_some()).await;
    tokio::time::timeout(Duration::from_secs(10), async {
        while late.join().await.status != 200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .expect("it is loaded again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_test_that_another_collector_stored_is_let_go_of_and_opened_anew_as_it_is_stored() {
    let bed = Bed::new().await;
    let mut worker = bed.worker("one", 0).await;
    worker.join().await;
    worker.until_go().await;
    worker.send(&batch(1, 5)).await;
    worker.finish(0).await;
    worker.until_finished().await;
    bed.store.interfere(&reference("one"));
    // after its end it is stored at once
    worker.send(&batch(2, 5)).await;
    eventually("it conflicts", || bed.counters.saves_conflicting.get() == 1).await;
    let answer = worker.progress().await;
    assert_eq!(
        answer.body.to_string(),
        r#"{"durable":1,"finished":true,"othersEnded":true,"received":1,"stop":null}"#,
        "as it is stored"
    );
    worker.send(&batch(2, 5)).await;
    worker.finish(0).await;
    worker.until_durable(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_of_a_load_test_that_is_gone_are_told_so() {
    let bed = Bed::new().await;
    bed.store.gone.store(true, Ordering::SeqCst);
    let mut worker = bed.worker("one", 0).await;
    worker.join().await;
    worker.start().await;
    eventually("it is found out", || bed.counters.saves_gone.get() == 1).await;
    let answer = worker.start().await;
    assert_eq!((answer.status, answer.reason()), (410, "Gone"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_does_not_lead_serves_nobody_and_keeps_nothing() {
    let bed = Bed::new().await;
    let mut worker = bed.worker("one", 0).await;
    worker.join().await;
    worker.until_go().await;
    worker.send(&batch(1, 5)).await;
    bed.collector.set_leading(false);
    let answer = worker.progress().await;
    assert_eq!((answer.status, answer.error()), (503, "this collector does not lead"));
    assert_eq!(bed.collector.facts(&reference("one")), None);
    assert_eq!(bed.collector.tally().open_tests, 0);
    let concluded = bed.collector.conclude(&reference("one")).await;
    assert_eq!(concluded.expect_err("an error"), ConcludeError::NotLeading);
    bed.collector.set_leading(true);
    let answer = worker.progress().await;
    assert_eq!(
        answer.body.to_string(),
        r#"{"durable":0,"finished":false,"othersEnded":true,"received":0,"stop":null}"#,
        "as it is stored"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_test_is_not_concluded_before_it_is_stored() {
    let bed = Bed::new().await;
    let mut worker = bed.worker("one", 0).await;
    worker.join().await;
    worker.until_go().await;
    worker.send(&batch(1, 5)).await;
    bed.store.fails.store(true, Ordering::SeqCst);
    let failed = bed.collector.conclude(&reference("one")).await.expect_err("an error");
    assert_eq!(failed, ConcludeError::Store("etcd is away".to_owned()));
    assert_eq!(worker.send(&batch(2, 5)).await.reason(), "Gone");
    bed.store.fails.store(false, Ordering::SeqCst);
    let concluded = bed.collector.conclude(&reference("one")).await.expect("concluded").expect("something");
    assert_eq!(concluded.aggregate.total().counters["http.requests"], 5);
    assert_eq!(concluded.version.0, bed.store.version(&reference("one")).expect("a version").to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_are_known_are_served_while_the_api_server_is_away() {
    let bed = Bed::new().await;
    let mut worker = bed.worker("many-2", 0).await;
    worker.join().await;
    bed.tokens.fails.store(true, Ordering::SeqCst);
    assert_eq!(worker.start().await.status, 200);
    let mut other = bed.worker("many-2", 1).await;
    let answer = other.join().await;
    assert_eq!((answer.status, answer.error()), (503, "the API server is away"));
    bed.tokens.fails.store(false, Ordering::SeqCst);
    assert_eq!(other.join().await.status, 200);
}
