//! A load that the workers share: each is told its part when it joins, and nobody runs what cannot be shared.

use serde_json::{Value, json};

use crate::bed::{Bed, Worker};

fn hello(protocol: u64, phases: Value, rows: Value) -> String {
    json!({"protocol": protocol, "reporter": "0.2.0", "phases": phases, "rows": rows}).to_string()
}

async fn join(bed: &Bed, test: &str, index: u32, body: &str) -> (Worker, crate::bed::Answer) {
    let mut worker = bed.worker(test, index).await;
    let answer = worker.post("/v1/join", body.to_owned()).await;
    (worker, answer)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_share_a_load_are_told_their_phases_whenever_they_join() {
    let bed = Bed::new().await;
    let body = hello(2, json!([{"duration": 2, "arrivalCount": 2}]), json!([2, null]));
    let shares = [
        json!([{"arrivalCount": 1, "duration": "1000.0005ms", "index": 0}, {"pause": 1, "index": 0}]),
        json!([{"arrivalCount": 1, "duration": "2000.0005ms", "index": 0}]),
    ];
    let mut workers = Vec::new();
    for (index, share) in (0..).zip(&shares) {
        let (worker, answer) = join(&bed, "split-2", index, &body).await;
        assert_eq!(answer.body, json!({"index": index, "workers": 2, "share": {"phases": share}}));
        workers.push(worker);
    }
    assert_eq!(workers[1].post("/v1/join", body).await.body["share"]["phases"], shares[1], "once more");
    assert_eq!(workers[1].start().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_nobody_shares_has_no_shares_in_this_version_of_the_protocol_and_the_one_before() {
    let bed = Bed::new().await;
    for protocol in [1, 2] {
        let (_, answer) =
            join(&bed, "many-2", protocol as u32 - 1, &hello(protocol, json!([]), json!([1]))).await;
        assert_eq!((answer.status, answer.body), (200, json!({"index": protocol - 1, "workers": 2})));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_takes_part_in_a_load_that_cannot_be_shared_and_the_answer_says_why() {
    let bed = Bed::new().await;
    let phases = json!([{"duration": 2, "arrivalRate": 2}]);
    for (body, why) in [
        (
            hello(2, phases.clone(), json!([5, 2])),
            "the load cannot be shared out: `rows[1]` is 2: at least one row for each of 3 workers is expected; use fewer workers, or more rows",
        ),
        (
            hello(2, json!([{"pause": 1}, {"durations": 2}]), json!([])),
            "the load cannot be shared out: phases[1]: it is {\"durations\":2}: an object with one of arrivalRate, rampTo, arrivalCount, pause is expected",
        ),
        (
            hello(1, phases.clone(), json!([])),
            "`protocol` is 1: a worker takes a share of the load from version 2 on; use the reporter that belongs to this collector",
        ),
    ] {
        let (mut worker, answer) = join(&bed, "split-3", 0, &body).await;
        assert_eq!((answer.status, answer.reason()), (422, "CannotSplit"));
        assert_eq!(answer.body["refused"]["message"], why);
        assert_eq!(worker.start().await.status, 404, "it has no claim");
    }
    let (_, answer) = join(&bed, "split-3", 0, &hello(2, phases, json!([3]))).await;
    assert_eq!(answer.status, 200, "a start that is refused leaves nothing behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_says_another_load_each_time_does_not_have_each_of_them_computed() {
    let bed = Bed::new().await;
    let mut said = Vec::new();
    for try_ in 0..10 {
        let phases = json!([{"pause": 1}, {"durations": try_}]);
        let (_, answer) = join(&bed, "split-3", 0, &hello(2, phases, json!([]))).await;
        assert_eq!(answer.status, 422);
        said.push(answer.body["refused"]["message"].as_str().expect("a message").to_owned());
    }
    assert!(said[7].contains("{\"durations\":7}"), "{said:?}");
    assert_eq!((&said[8], &said[9]), (&said[7], &said[7]), "it is as it was");
}
