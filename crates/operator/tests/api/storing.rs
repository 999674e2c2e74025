//! What is stored of a load test while somebody meddles with its ConfigMaps, and what is wrong with what workers sent.

use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Resource as _;
use kube::api::{Api, DeleteParams, PostParams};
use loadtest::LoadTestStatus;
use loadtest::api::Verdict;
use metrics::sketch::Sketch;
use metrics::wire::Batch;
use serde_json::{Value, json};
use testbed::eventually::eventually;
use testbed::worker::Worker;

use crate::bed::{Bed, SOON, message_of, spec};
use crate::reports::{batch, period, phases};

/// As long as the operator tries to store a report, and a little more.
const GIVEN_UP: Duration = Duration::from_secs(180);

/// A load test of one worker that runs, whose start is stored.
async fn running(bed: &Bed) -> (Pod, Worker) {
    running_with(bed, spec(1)).await
}

/// As [`running`], with that spec, whose script is made first.
pub async fn running_with(bed: &Bed, spec: Value) -> (Pod, Worker) {
    bed.script().await;
    bed.create("t", spec).await.expect("a LoadTest");
    let pod = bed.pods("t", 1).await.remove(0);
    bed.run(&pod).await;
    let mut worker = bed.worker(&pod, 1).await;
    assert_eq!(worker.join(&phases(), &Value::Null).await.expect("an answer").status, 200);
    worker.until_released(SOON).await.expect("released");
    (pod, worker)
}

async fn over(bed: &Bed, patience: Duration) -> LoadTestStatus {
    eventually("over", patience, async || bed.status("t").await, LoadTestStatus::is_over).await
}

#[tokio::test]
async fn a_report_that_somebody_deletes_while_workers_run_is_written_again_with_everything() {
    let bed = Bed::new().await;
    let (pod, mut worker) = running(&bed).await;
    assert_eq!(worker.batch(batch(1, 7)).await.expect("an answer").body["received"], 1);
    let maps: Api<ConfigMap> = bed.api();
    maps.delete("t-report", &DeleteParams::default()).await.expect("the start was stored there");
    assert_eq!(worker.batch(batch(2, 4)).await.expect("an answer").body["received"], 2);
    worker.finish(2, 0, SOON).await.expect("durable");
    bed.exit(&pod, 0).await;
    let status = over(&bed, SOON).await;
    assert_eq!(status.verdict, Some(Verdict::Passed), "{}", message_of(&status, "Passed"));
    assert_eq!(status.metrics.expect("metrics").http.expect("requests").requests, 11);
    assert!(maps.get("t-report").await.expect("the report").data.expect("data").contains_key("report.json"));
}

#[tokio::test]
async fn a_config_map_in_the_place_of_the_report_is_told_and_left_alone_and_the_report_given_up() {
    let bed = Bed::new().await;
    let (pod, mut worker) = running(&bed).await;
    bed.api::<ConfigMap>().delete("t-report", &DeleteParams::default()).await.expect("deleted");
    bed.config_map("t-report", json!({ "mine": "yes" })).await;
    assert_eq!(worker.batch(batch(1, 7)).await.expect("an answer").body["received"], 1);
    let told = "what workers send cannot be stored: ConfigMap t-report is not of this LoadTest";
    let status = async || bed.status("t").await;
    let is_told = |status: &LoadTestStatus| message_of(status, "Progressing").contains(told);
    let (_, finished) = tokio::join!(
        // a running test is looked at every 10 s, and its status written as rarely
        eventually(told, 2 * SOON, status, is_told),
        worker.finish(1, 0, SOON)
    );
    finished.expect_err("it is stored nowhere");
    bed.exit(&pod, 0).await;
    let status = over(&bed, GIVEN_UP).await;
    assert_eq!(status.verdict, Some(Verdict::Inconclusive));
    let message = message_of(&status, "Passed");
    assert!(
        message.starts_with("its report cannot be stored: ConfigMap t-report is not of this"),
        "{message}"
    );
    let theirs: ConfigMap = bed.api().get("t-report").await.expect("the ConfigMap");
    assert_eq!(theirs.data.expect("data"), [("mine".to_owned(), "yes".to_owned())].into());
}

#[tokio::test]
async fn a_report_of_nothing_whose_manager_died_before_it_told_the_status_is_written_again() {
    let bed = Bed::new().await;
    bed.script().await;
    let test = bed.load_test("t", 1).await;
    // as it is left by a manager that was killed between the report of a test of which nothing was heard and the status
    let owner = test.controller_owner_ref(&()).expect("a UID");
    let left: ConfigMap = serde_json::from_value(json!({
        "metadata": { "name": "t-report", "ownerReferences": [owner] },
        "data": { "parts.json": "{\"head\":[],\"closed\":[]}", "report.json": "{}", "report.txt": "" },
    }))
    .expect("a ConfigMap");
    bed.api().create(&PostParams::default(), &left).await.expect("created");
    let pod = bed.pods("t", 1).await.remove(0);
    bed.exit(&pod, 0).await;
    let status = over(&bed, SOON).await;
    let message = message_of(&status, "Passed");
    assert!(message.starts_with("no worker reported: "), "{message}");
}

#[tokio::test]
async fn workers_that_were_to_run_something_else_leave_the_verdict_inconclusive() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 2).await;
    let pods = bed.pods("t", 2).await;
    let others = json!([{ "duration": 60, "arrivalRate": 1 }]);
    let ensure = json!({ "thresholds": [{ "http.response_time.p99": 100 }] });
    let mut workers = Vec::new();
    for (process, (pod, hello)) in (1..).zip(pods.iter().zip([(phases(), Value::Null), (others, ensure)])) {
        bed.run(pod).await;
        let mut worker = bed.worker(pod, process).await;
        assert_eq!(worker.join(&hello.0, &hello.1).await.expect("an answer").status, 200);
        workers.push(worker);
    }
    let [first, second] = &mut workers[..] else { panic!("two workers") };
    let released = tokio::join!(first.until_released(SOON), second.until_released(SOON));
    assert!(released.0.is_ok() && released.1.is_ok(), "{released:?}");
    for worker in &mut workers {
        assert_eq!(worker.batch(batch(1, 7)).await.expect("an answer").body["received"], 1);
        worker.finish(1, 0, SOON).await.expect("durable");
    }
    for pod in &pods {
        bed.exit(pod, 0).await;
    }
    let status = over(&bed, SOON).await;
    assert_eq!(status.verdict, Some(Verdict::Inconclusive));
    let message = message_of(&status, "Passed");
    for what in ["phases", "checks"] {
        let words = format!("1 of the workers were to run other {what} than the first one, such as worker 1");
        assert!(message.contains(&words), "{message}");
    }
}

#[tokio::test]
async fn values_that_were_not_taken_in_leave_the_verdict_inconclusive_and_the_others_count() {
    let bed = Bed::new().await;
    let (pod, mut worker) = running(&bed).await;
    for sequence in 1..=3 {
        // of three batches with 2,000 names of their own each, all but 5,000 are too many for one load test
        let names = (0..1_999).map(|name| (format!("of {sequence}, number {name}"), 1));
        let counters = names.chain([("http.requests".to_owned(), 5)]).collect();
        let many = Batch { sequence, period: period(), counters, ..Batch::default() };
        let answer = worker.batch(many.encode()).await.expect("an answer");
        assert_eq!(answer.body["received"], sequence, "{answer:?}");
    }
    worker.finish(3, 0, SOON).await.expect("durable");
    bed.exit(&pod, 0).await;
    let status = over(&bed, SOON).await;
    assert_eq!(status.verdict, Some(Verdict::Inconclusive));
    let message = message_of(&status, "Passed");
    assert!(message.contains("998 measured values were not taken in, such as \"of 3, number "), "{message}");
    assert_eq!(status.metrics.expect("metrics").http.expect("requests").requests, 15);
}

/// As many distributions as are taken in, in a period: 800 of some 320 bins, with counts that nothing makes small.
fn full_period(sequence: u64, seed: &mut u64) -> Batch {
    let distribution = |seed: &mut u64| {
        let mut all = Sketch::default();
        for _bit in 0..8 {
            all.merge(&all.clone()).expect("the same kind");
            for bin in 0..320 {
                // xorshift
                *seed ^= *seed << 13;
                *seed ^= *seed >> 7;
                *seed ^= *seed << 17;
                if seed.is_multiple_of(2) {
                    all.accept(1.01_f64.powi(2 * bin)).expect("a value");
                }
            }
        }
        all
    };
    let histograms = (0..800).map(|name| (format!("distribution {name}"), distribution(seed))).collect();
    let period = period() - (PERIODS - sequence) * 10_000;
    Batch { sequence, period, histograms, ..Batch::default() }
}

/// More than one group of the time line has, so that one is closed.
const PERIODS: u64 = 14;

#[tokio::test]
async fn as_many_distributions_as_are_taken_in_find_room_in_the_store() {
    let bed = Bed::new().await;
    let (pod, mut worker) = running(&bed).await;
    let mut seed = 88_172_645_463_325_252;
    for sequence in 1..=PERIODS {
        let answer = worker.batch(full_period(sequence, &mut seed).encode()).await.expect("an answer");
        assert_eq!(answer.body["received"], sequence, "{answer:?}");
    }
    worker.finish(PERIODS, 0, 3 * SOON).await.expect("durable");
    bed.exit(&pod, 0).await;
    let status = over(&bed, 3 * SOON).await;
    let config_maps = status.report.expect("a report").config_maps;
    let mut bytes = 0;
    for name in &config_maps {
        let map = bed.api::<ConfigMap>().get(name).await.expect("a part of the report");
        bytes += map.binary_data.iter().flatten().map(|(_, part)| part.0.len()).sum::<usize>();
    }
    assert!(bytes > 2 << 20, "{bytes} bytes in {config_maps:?}: they would have room in two ConfigMaps");
}
