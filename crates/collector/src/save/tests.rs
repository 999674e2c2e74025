//! What is stored when, by a clock that the tests move.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use metrics::aggregate::PERIOD;
use metrics::wire::Batch;
use tokio::time::sleep;

use super::*;
use crate::collector::Turned;
use crate::edge::{Distribution, IdentifyError, Identity, OnTimeout, StartPolicy, TestRef, Unavailable};
use crate::session::{Finish, Hello, Nonce, Process};

/// Nobody asks here.
struct Nobody;

impl Identify for Nobody {
    async fn identify(&self, _: &str) -> Result<Identity, IdentifyError> {
        Err(IdentifyError::Invalid)
    }
}

/// Counts loads and saves; each takes so many milliseconds, and the next saves fail or panic.
#[derive(Default)]
struct Counting {
    versions: Mutex<HashMap<String, u64>>,
    takes: AtomicUsize,
    failing: AtomicUsize,
    panicking: AtomicUsize,
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Counting {
    /// Takes its time.
    async fn count(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        sleep(Duration::from_millis(self.takes.load(Ordering::SeqCst) as u64)).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Store for Counting {
    async fn load(&self, _: &TestRef) -> Result<Option<(Snapshot, Version)>, Unavailable> {
        self.count().await;
        Ok(None)
    }

    async fn save(&self, test: &TestRef, _: &Snapshot, _: Option<&Version>) -> Result<Version, SaveError> {
        self.count().await;
        let was = |counter: &AtomicUsize| {
            counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
        };
        assert!(!was(&self.panicking), "the store panics");
        if was(&self.failing) {
            return Err(SaveError::Unavailable("away".to_owned()));
        }
        let mut versions = lock(&self.versions);
        let version = versions.entry(test.uid.clone()).or_default();
        *version += 1;
        Ok(Version(version.to_string()))
    }
}

struct Bed {
    collector: Collector<Nobody, Counting>,
    stop: CancellationToken,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Bed {
    fn new() -> Self {
        let collector = Collector::new(Nobody, Counting::default());
        collector.set_leading(true);
        let (saver, stop) = (collector.clone(), CancellationToken::new());
        let stopped = stop.clone();
        tokio::spawn(async move { saver.run(stopped).await });
        Self { collector, stop }
    }

    fn store(&self) -> &Counting {
        &self.collector.0.store
    }

    /// How often that test was stored.
    fn saves(&self, test: &str) -> u64 {
        lock(&self.store().versions).get(test).copied().unwrap_or(0)
    }

    /// All workers of a test are ready, and the start was stored a second ago.
    async fn started(&self, test: &str, workers: u32) {
        for index in 0..workers {
            let identity = identity(test, index, workers);
            let joined = self
                .collector
                .with(&identity, |session, now| {
                    session.join(index, &process(index), Hello::default(), now)?;
                    session.poll(index, &process(index), now)
                })
                .await;
            assert!(joined.is_ok(), "{joined:?}");
        }
        sleep(Duration::from_millis(1)).await;
        while self.saves(test) == 0 {
            sleep(Duration::from_millis(1)).await;
        }
        sleep(crate::checkpoint::ENDS).await;
    }

    async fn send(&self, test: &str, index: u32, workers: u32, sequence: u64) -> u64 {
        let batch = Batch { sequence, period: sequence * PERIOD, ..Batch::default() };
        let identity = identity(test, index, workers);
        let taken =
            self.collector.with(&identity, |session, now| session.take(index, &process(index), &batch, now));
        taken.await.expect("taken").0.durable
    }

    async fn finish(&self, test: &str, index: u32, workers: u32) -> Result<bool, Turned> {
        let identity = identity(test, index, workers);
        let finish = Finish { batches: 0, exit_code: Some(0), counters: None, cut_short: false };
        let finished = self
            .collector
            .with(&identity, |session, now| session.finish(index, &process(index), finish, now));
        Ok(finished.await?.finished)
    }
}

fn identity(test: &str, index: u32, workers: u32) -> Identity {
    Identity {
        test: TestRef { uid: test.to_owned(), namespace: "default".to_owned(), name: test.to_owned() },
        index,
        pod_uid: process(index).pod_uid,
        workers,
        start: StartPolicy { timeout: Duration::from_secs(600), on_timeout: OnTimeout::Run },
        distribution: Distribution::Replicate,
    }
}

fn process(index: u32) -> Process {
    Process { pod_uid: format!("pod-{index}"), nonce: Nonce([1; 16]) }
}

#[tokio::test(start_paused = true)]
async fn a_test_that_runs_is_stored_once_a_minute_and_not_at_all_where_nothing_is_new() {
    let bed = Bed::new();
    bed.started("t", 1).await;
    for sequence in 1..=60 {
        bed.send("t", 0, 1, sequence).await;
        sleep(Duration::from_secs(10)).await;
    }
    assert_eq!(bed.saves("t"), 1 + 10);
    sleep(Duration::from_secs(60)).await;
    let saves = bed.saves("t");
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(bed.saves("t"), saves);
    assert_eq!(bed.send("t", 0, 1, 60).await, 60);
}

#[tokio::test(start_paused = true)]
async fn workers_that_end_together_are_stored_together_and_soon() {
    let bed = Bed::new();
    bed.started("t", 100).await;
    for index in 0..100 {
        bed.finish("t", index, 100).await.expect("an answer");
        sleep(Duration::from_millis(2)).await;
    }
    sleep(Duration::from_millis(100)).await;
    assert_eq!(bed.saves("t"), 2);
    for index in 0..100 {
        assert_eq!(bed.finish("t", index, 100).await, Ok(true));
    }
}

#[tokio::test(start_paused = true)]
async fn a_start_that_nobody_asks_for_any_more_is_still_decided_when_its_time_has_come() {
    let (bed, identity) = (Bed::new(), identity("t", 0, 2));
    let joined =
        bed.collector.with(&identity, |session, now| session.join(0, &process(0), Hello::default(), now));
    joined.await.expect("joined");
    let changed = tokio::time::timeout(Duration::from_secs(700), bed.collector.changed()).await;
    assert_eq!(changed.expect("in time"), identity.test);
}

#[tokio::test(start_paused = true)]
async fn eight_are_stored_at_a_time_and_a_slow_one_holds_up_no_other() {
    let bed = Bed::new();
    for test in 0..20 {
        bed.started(&test.to_string(), 1).await;
    }
    bed.store().takes.store(1000, Ordering::SeqCst);
    for test in 0..20 {
        bed.finish(&test.to_string(), 0, 1).await.expect("an answer");
    }
    sleep(Duration::from_millis(300)).await;
    assert_eq!(bed.store().now.load(Ordering::SeqCst), 8);
    sleep(Duration::from_secs(4)).await;
    assert!((0..20).all(|test| bed.saves(&test.to_string()) == 2));
    assert_eq!(bed.store().most.load(Ordering::SeqCst), 8);
}

#[tokio::test(start_paused = true)]
async fn a_save_that_fails_or_breaks_off_is_tried_again_and_nothing_is_called_durable_before() {
    let bed = Bed::new();
    bed.started("t", 1).await;
    bed.store().failing.store(1, Ordering::SeqCst);
    bed.store().panicking.store(1, Ordering::SeqCst);
    bed.send("t", 0, 1, 1).await;
    assert_eq!(bed.finish("t", 0, 1).await, Ok(false));
    sleep(Duration::from_millis(300)).await;
    assert_eq!((bed.saves("t"), bed.send("t", 0, 1, 1).await), (1, 0));
    sleep(Duration::from_millis(600)).await;
    assert_eq!((bed.saves("t"), bed.send("t", 0, 1, 1).await), (1, 0));
    sleep(Duration::from_millis(1100)).await;
    assert_eq!((bed.saves("t"), bed.send("t", 0, 1, 1).await), (2, 1));
    assert_eq!(bed.collector.0.counters.saves_failed.get(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_save_without_end_is_given_up_and_tried_again() {
    let bed = Bed::new();
    bed.started("t", 1).await;
    bed.store().takes.store(3_600_000, Ordering::SeqCst);
    bed.finish("t", 0, 1).await.expect("an answer");
    sleep(Duration::from_secs(30)).await;
    bed.store().takes.store(0, Ordering::SeqCst);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(bed.finish("t", 0, 1).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn four_are_loaded_at_a_time_and_who_waits_too_long_is_told_to_come_again() {
    let bed = Bed::new();
    bed.store().takes.store(3000, Ordering::SeqCst);
    let asked = (0..40).map(|test| {
        let collector = bed.collector.clone();
        tokio::spawn(async move {
            let identity = identity(&test.to_string(), 0, 1);
            collector.with(&identity, |session, now| session.poll(0, &process(0), now)).await
        })
    });
    for answer in futures::future::join_all(asked).await {
        let answer = answer.expect("no panic");
        assert_eq!(answer, Err(Turned::NotNow("the load test is being loaded")));
    }
    assert_eq!(bed.store().most.load(Ordering::SeqCst), 4);
    sleep(Duration::from_secs(31)).await;
    assert_eq!(bed.collector.tally().open_tests, 40);
}
