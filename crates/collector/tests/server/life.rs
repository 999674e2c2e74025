//! Load tests from the first join to the conclusion.

use std::collections::BTreeMap;

use collector::session::StartFacts;
use collector::{Ended, report};
use metrics::aggregate::Aggregate;
use metrics::delivery::Distribution;
use metrics::verdict::End;

use crate::bed::{Bed, Memory, batch, eventually, reference, this_period};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_join_start_together_send_finish_and_all_of_it_is_in_the_conclusion() {
    let bed = Bed::new().await;
    let test = reference("many-2");
    let (mut a, mut b) = (bed.worker("many-2", 0).await, bed.worker("many-2", 1).await);
    let joined = a.join().await;
    assert_eq!((joined.status, joined.body.to_string()), (200, r#"{"index":0,"workers":2}"#.to_owned()));
    let wait = a.start().await;
    assert_eq!(wait.body.to_string(), r#"{"wait":{"milliseconds":250,"ready":1,"workers":2}}"#);
    assert_eq!(bed.collector.facts(&test).expect("facts").start, StartFacts::Waiting);
    assert_eq!(b.join().await.status, 200);
    let (first, second) = tokio::join!(a.until_go(), b.until_go());
    assert!((0.0..=750.0).contains(&first) && (0.0..=750.0).contains(&second), "{first} {second}");
    assert_eq!(bed.collector.changed().await, test);
    let facts = bed.collector.facts(&test).expect("facts");
    assert!(matches!(facts.start, StartFacts::Released { workers: 2, .. }), "{facts:?}");

    let mut expected = Aggregate::default();
    for sequence in 1..=3 {
        for (worker, requests) in [(&mut a, 10), (&mut b, 20)] {
            let batch = batch(sequence, requests);
            expected.add(&batch);
            let answer = worker.send(&batch).await;
            assert_eq!(
                answer.body.to_string(),
                format!(r#"{{"durable":0,"finished":false,"received":{sequence},"stop":null}}"#)
            );
        }
    }
    for worker in [&mut a, &mut b] {
        assert_eq!(worker.finish(0).await.status, 200);
    }
    a.until_durable(3).await;
    b.until_durable(3).await;
    eventually("both are over", || {
        let facts = bed.collector.facts(&test).expect("facts");
        facts.workers.iter().filter(|worker| worker.is_over).count() == 2
    })
    .await;
    let concluded = bed.collector.conclude(&test).await.expect("concluded").expect("something");
    assert_eq!(concluded.aggregate, expected);
    assert_eq!(concluded.facts.workers.len(), 2);
    assert_eq!(concluded.hello.as_ref().expect("a hello").phases[0]["duration"], 60);
    assert_eq!(a.progress().await.body["finished"], true, "it ends, and is not turned away");
    assert_eq!(a.send(&batch(4, 10)).await.reason(), "Gone");
    let again = bed.collector.conclude(&test).await.expect("concluded").expect("something");
    assert_eq!((again.version, again.aggregate), (concluded.version, concluded.aggregate));
    assert_eq!(bed.counters.batches_accepted.get(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_killed_loses_nothing_that_workers_do_not_send_again() {
    let mut bed = Bed::new().await;
    let store = bed.store.clone();
    let (mut a, mut b) = (bed.worker("many-2", 0).await, bed.worker("many-2", 1).await);
    a.join().await;
    b.join().await;
    tokio::join!(a.until_go(), b.until_go());
    let mut expected = Aggregate::default();
    for sequence in 1..=2 {
        a.send(&batch(sequence, 10)).await;
        expected.add(&batch(sequence, 10));
    }
    // the end of one worker is stored, and with it what the other one sent
    b.send(&batch(1, 7)).await;
    expected.add(&batch(1, 7));
    b.finish(0).await;
    b.until_durable(1).await;
    a.until_durable(2).await;
    a.send(&batch(3, 10)).await;
    expected.add(&batch(3, 10));

    bed = Bed::with(store, collector::Limits::default()).await;
    a.client = bed.client().await;
    // the third batch is gone; a fourth is not taken before it is there again
    let answer = a.send(&batch(4, 10)).await;
    assert_eq!(
        answer.body.to_string(),
        r#"{"durable":2,"finished":false,"othersEnded":true,"received":2,"stop":null}"#
    );
    for sequence in [3, 4, 4, 3] {
        a.send(&batch(sequence, 10)).await;
    }
    expected.add(&batch(4, 10));
    a.finish(0).await;
    a.until_durable(4).await;
    let concluded = bed.collector.conclude(&reference("many-2")).await.expect("concluded");
    let concluded = concluded.expect("something");
    assert_eq!(concluded.aggregate, expected);
    assert!(concluded.facts.workers.iter().all(|worker| worker.is_over));
    assert_eq!((bed.counters.batches_repeated.get(), bed.counters.batches_ahead.get()), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_takes_over_knows_what_is_stored_of_workers_that_never_speak_again() {
    let bed = Bed::new().await;
    let store = bed.store.clone();
    let mut a = bed.worker("one", 0).await;
    a.join().await;
    a.until_go().await;
    drop(bed);
    let bed = Bed::with(store, collector::Limits::default()).await;
    let (one, nothing) = (reference("one"), reference("many-3"));
    assert_eq!(bed.collector.facts(&one), None);
    for test in [&nothing, &one] {
        bed.collector.open_stored(test);
    }
    assert_eq!(bed.collector.changed().await, one);
    assert_eq!(bed.collector.facts(&one).expect("facts").joined, 1);
    // of which nothing is stored, that one is not there, and its workers may come
    eventually("it is let go", || bed.collector.references() == [one.clone()]).await;
    assert_eq!(bed.worker("many-3", 0).await.join().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_killed_before_the_release_has_its_workers_join_again() {
    let bed = Bed::new().await;
    let store = bed.store.clone();
    let mut a = bed.worker("many-2", 0).await;
    a.join().await;
    drop(bed);
    let bed = Bed::with(store, collector::Limits::default()).await;
    a.client = bed.client().await;
    let answer = a.start().await;
    assert_eq!((answer.status, answer.body.to_string()), (404, r#"{"unknown":true}"#.to_owned()));
    assert_eq!(a.join().await.status, 200);
    assert_eq!(a.start().await.body["wait"]["ready"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_second_process_of_a_pod_and_another_pod_of_the_index_are_turned_away() {
    let bed = Bed::new().await;
    let mut first = bed.worker("one", 0).await;
    first.join().await;
    first.until_go().await;
    let mut second = bed.worker("one", 0).await;
    second.nonce = "f".repeat(32);
    let mut other = bed.worker("one", 0).await;
    other.token = "one 0 other-pod".to_owned();
    for worker in [&mut second, &mut other] {
        for answer in [worker.join().await, worker.start().await, worker.send(&batch(1, 5)).await] {
            assert_eq!((answer.status, answer.reason()), (409, "AlreadyClaimed"), "{answer:?}");
        }
    }
    assert_eq!(first.send(&batch(1, 5)).await.body["received"], 1);
    assert_eq!(bed.counters.batches_accepted.get(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_test_that_is_to_end_tells_its_workers_also_after_it_was_opened_anew() {
    let bed = Bed::new().await;
    let mut worker = bed.worker("one", 0).await;
    bed.collector.stop(&reference("one"));
    worker.join().await;
    assert_eq!(worker.progress().await.body["stop"], "Graceful");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_test_of_which_nothing_was_heard_has_no_conclusion_and_takes_in_nothing_after_it() {
    let bed = Bed::new().await;
    assert!(bed.collector.conclude(&reference("one")).await.expect("no error").is_none());
    let late = bed.worker("one", 0).await.join().await;
    assert_eq!((late.status, late.reason()), (410, "Gone"));
    bed.collector.forget(&reference("one"));
    assert_eq!(bed.worker("one", 0).await.join().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_process_concludes_what_was_stored() {
    let bed = Bed::new().await;
    let store = bed.store.clone();
    let mut worker = bed.worker("one", 0).await;
    worker.join().await;
    worker.until_go().await;
    worker.send(&batch(1, 5)).await;
    worker.finish(0).await;
    worker.until_durable(1).await;
    drop(bed);
    let bed = Bed::with(store, collector::Limits::default()).await;
    let concluded = bed.collector.conclude(&reference("one")).await.expect("concluded").expect("something");
    assert_eq!(concluded.aggregate.total().counters["http.requests"], 5);
    assert!(concluded.facts.workers[0].is_over && concluded.facts.concluded);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_are_many_connections_one_is_closed_before_a_pause_but_not_between_questions() {
    let limits = |kept| collector::Limits { kept, ..collector::Limits::default() };
    for (kept, before_a_pause) in [(1, None), (0, Some("close"))] {
        let bed = Bed::with(Memory::default(), limits(kept)).await;
        let mut worker = bed.worker("one", 0).await;
        for step in ["join", "start", "batch", "late batch", "heartbeat", "finish", "question"] {
            let answer = match step {
                "join" => worker.join().await,
                "start" => worker.start().await,
                "batch" => worker.send(&batch(1, 5)).await,
                // one that has to catch up sends the next one at once
                "late batch" => {
                    let period = this_period() - 60_000;
                    worker.send(&metrics::wire::Batch { period, ..batch(2, 5) }).await
                }
                "finish" => worker.finish(0).await,
                _ => worker.progress().await,
            };
            let header = answer.headers.get("connection").map(|value| value.to_str().expect("text"));
            let is_pause = matches!(step, "join" | "start" | "batch" | "heartbeat");
            assert_eq!(
                (answer.status, header),
                (200, before_a_pause.filter(|_| is_pause)),
                "{step}, {kept} kept"
            );
            if header.is_some() {
                worker.client = bed.client().await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_worker_that_crashed_the_last_period_is_missing() {
    let bed = Bed::new().await;
    let test = reference("many-2");
    let (mut good, mut bad) = (bed.worker("many-2", 0).await, bed.worker("many-2", 1).await);
    for worker in [&mut good, &mut bad] {
        worker.join().await;
    }
    let _ = tokio::join!(good.until_go(), bad.until_go());
    for worker in [&mut good, &mut bad] {
        worker.send(&batch(1, 5)).await;
    }
    assert_eq!((good.finish(0).await.status, bad.crash(11).await.status), (200, 200));
    let concluded = bed.collector.conclude(&test).await.expect("concluded").expect("something");
    let ended = Ended {
        name: "many-2",
        namespace: None,
        uid: None,
        planned: 2,
        may_be_missing: 0,
        distribution: Distribution::Replicate,
        end: End::ByItself,
        exit_codes: &BTreeMap::new(),
        why_nothing: None,
        at: None,
    };
    let report = report(&ended, Some(&concluded));
    assert_eq!(report.missing, ["worker 1 ended with exit code 11 before all that it measured was sent"]);
    assert_eq!((report.workers.failed, report.workers.lost), (1, 1));
}
