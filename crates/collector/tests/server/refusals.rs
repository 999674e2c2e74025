//! What is not understood is refused with its reason and counted, and does no harm to what comes after it.

use collector::Endpoint;
use metrics::wire::Batch;
use prost::Message;

use crate::bed::{Bed, Worker, batch, reference, this_period};

/// The message as a worker could write it that does not keep to the rules.
#[derive(Clone, PartialEq, Message)]
struct Raw {
    #[prost(uint64, tag = "1")]
    sequence: u64,
    #[prost(uint64, tag = "2")]
    period: u64,
    #[prost(message, repeated, tag = "3")]
    counters: Vec<RawNumber>,
    #[prost(message, repeated, tag = "5")]
    histograms: Vec<RawHistogram>,
}

#[derive(Clone, PartialEq, Message)]
struct RawNumber {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(double, tag = "2")]
    value: f64,
}

#[derive(Clone, PartialEq, Message)]
struct RawHistogram {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bytes = "vec", tag = "10")]
    artillery: Vec<u8>,
}

/// Artillery's own form, as far as it matters here.
#[derive(Clone, PartialEq, Message)]
struct RawSketch {
    #[prost(message, optional, tag = "1")]
    mapping: Option<RawMapping>,
}

#[derive(Clone, PartialEq, Message)]
struct RawMapping {
    #[prost(double, tag = "1")]
    gamma: f64,
}

async fn started(bed: &Bed) -> Worker {
    let mut worker = bed.worker("one", 0).await;
    worker.join().await;
    worker.until_go().await;
    worker
}

fn raw(sequence: u64, counters: &[(&str, f64)]) -> Raw {
    let counters =
        counters.iter().map(|(name, value)| RawNumber { name: (*name).to_owned(), value: *value }).collect();
    Raw { sequence, period: this_period(), counters, histograms: Vec::new() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_that_cannot_be_taken_are_refused_with_their_reason_and_the_next_good_one_is_taken_in() {
    let bed = Bed::new().await;
    let mut worker = started(&bed).await;
    let good = batch(1, 5).encode();
    let names: Vec<_> = (0..2001).map(|i| format!("name-{i}")).collect();
    let many: Vec<_> = names.iter().map(|name| (name.as_str(), 1.0)).collect();
    let future = Batch { period: this_period() + 2 * 86_400_000, ..batch(1, 5) };
    let old = Batch { period: this_period() - 40 * 86_400_000, ..batch(1, 5) };
    let odd = Batch { period: this_period() + 1, ..batch(1, 5) };
    for (bytes, label, why) in [
        (good[..good.len() - 3].to_vec(), "malformed", "the batch cannot be taken: it is no batch"),
        (b"{}".to_vec(), "malformed", "the batch cannot be taken: it is no batch"),
        (raw(1, &many).encode_to_vec(), "too_many_names", "2001 names of one kind"),
        (raw(0, &[("a", 1.0)]).encode_to_vec(), "no_sequence", "the first batch is 1"),
        (future.encode(), "from_the_future", "after the collector's time"),
        (old.encode(), "too_old", "before the collector's time"),
        (odd.encode(), "no_period", "no multiple of 10000"),
    ] {
        let before = bed.counters.batches_refused().get(label).copied().unwrap_or(0);
        let answer = worker.post("/v1/batches", bytes).await;
        assert!(answer.status == 400 && answer.error().contains(why), "{label}: {answer:?}");
        assert_eq!(bed.counters.batches_refused()[label], before + 1);
    }
    assert_eq!(bed.answered(Endpoint::Batches, 400), 7);
    let answer = worker.send(&batch(1, 5)).await;
    assert_eq!((answer.status, &answer.body["received"]), (200, &1.into()));
    let facts = bed.collector.facts(&reference("one")).expect("facts");
    assert_eq!((facts.requests, facts.workers[0].received), (5, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_are_no_measurements_are_left_out_and_told_of_and_the_rest_is_taken_in() {
    let bed = Bed::new().await;
    let mut worker = started(&bed).await;
    let counters = [("http.requests", 5.0), ("nan", f64::NAN), ("negative", -1.0), ("half", 0.5), ("", 1.0)];
    let sketch = RawSketch { mapping: Some(RawMapping { gamma: 1.5 }) };
    let histograms = vec![RawHistogram { name: "other".to_owned(), artillery: sketch.encode_to_vec() }];
    let answer = worker.post("/v1/batches", Raw { histograms, ..raw(1, &counters) }.encode_to_vec()).await;
    assert_eq!((answer.status, &answer.body["received"]), (200, &1.into()));
    assert_eq!((bed.counters.batches_accepted.get(), bed.counters.values_refused.get()), (1, 5));
    let concluded = bed.collector.conclude(&reference("one")).await.expect("concluded").expect("something");
    assert_eq!(concluded.aggregate.total().counters.len(), 1);
    let refused: Vec<_> =
        concluded.aggregate.refused().map(|(name, _, count)| (name.to_owned(), count)).collect();
    let names = ["", "half", "nan", "negative", "other"];
    assert_eq!(refused, names.map(|name| (name.to_owned(), 1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_too_large_is_refused_and_its_replacement_is_taken_in() {
    let bed = Bed::new().await;
    let mut worker = started(&bed).await;
    let answer = worker.post("/v1/batches", vec![0; (1 << 20) + 1]).await;
    assert_eq!(
        (answer.status, answer.error()),
        (413, "the body has more than 1048576 bytes, which is the most here")
    );
    let lost = Batch { sequence: 1, lost: Some("it was too large".to_owned()), ..Batch::default() };
    assert_eq!(worker.send(&lost).await.body["received"], 1);
    assert_eq!(worker.send(&batch(2, 5)).await.body["received"], 2);
    let facts = bed.collector.facts(&reference("one")).expect("facts");
    assert_eq!((facts.workers[0].lost, bed.counters.batches_lost.get()), (1, 1));
    let answer = worker.post("/v1/start", vec![b' '; (65 << 10) + 1]).await;
    assert_eq!(answer.status, 413);
    assert_eq!(worker.progress().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_without_a_token_or_a_process_or_of_strangers_are_refused() {
    let bed = Bed::new().await;
    let mut worker = bed.worker("one", 0).await;
    let nonce = worker.nonce.clone();
    let mut client = bed.client().await;
    let answer = client.post("/v1/join", &[("loadtest-process", &nonce)], "{}").await;
    assert_eq!((answer.status, answer.error()), (401, "`Authorization: Bearer TOKEN` is expected"));
    for token in ["Basic one 0 pod-0", "Bearer ", "bearer one 0 pod-0"] {
        let headers = [("authorization", token), ("loadtest-process", nonce.as_str())];
        assert_eq!(client.post("/v1/join", &headers, "{}").await.status, 401, "{token}");
    }
    for wrong in ["", "7", "0000000000000000000000000000000G", "ABCDEF00000000000000000000000000"] {
        worker.nonce = wrong.to_owned();
        let answer = worker.join().await;
        assert_eq!(answer.status, 400, "{wrong}");
        assert!(answer.error().contains("32 lowercase hexadecimal digits"), "{answer:?}");
    }
    worker.nonce = nonce;
    worker.token = "nobody".to_owned();
    assert_eq!(worker.join().await.status, 401);
    worker.token = "stranger 0 pod".to_owned();
    let answer = worker.join().await;
    assert_eq!((answer.status, answer.reason()), (403, "NotAWorker"));
    worker.token = "one 1 pod".to_owned();
    let answer = worker.join().await;
    assert_eq!(
        (answer.status, answer.reason()),
        (403, "NotAWorker"),
        "there is one worker, and this is the second"
    );
    worker.token = "one 0 pod-0".to_owned();
    assert_eq!(worker.join().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joins_and_ends_that_are_not_understood_name_the_field() {
    let bed = Bed::new().await;
    let mut worker = bed.worker("one", 0).await;
    for (body, why) in [
        (r#"{"protocol": 3}"#, "`protocol` is 3: this collector speaks version 2"),
        (r#"{"protocol": 1, "phases": 7}"#, "`phases` is a number"),
        ("no JSON", "expected"),
    ] {
        let answer = worker.post("/v1/join", body).await;
        assert!(answer.status == 400 && answer.error().contains(why), "{answer:?}");
    }
    worker.join().await;
    worker.until_go().await;
    for (body, why) in [
        (r#"{"exitCode": 0}"#, "missing field `batches`"),
        (r#"{"batches": -1}"#, "invalid value: integer `-1`"),
        (r#"{"batches": 1, "exitCode": "0"}"#, "invalid type: string"),
    ] {
        let answer = worker.post("/v1/finish", body).await;
        assert!(answer.status == 400 && answer.error().contains(why), "{answer:?}");
    }
    assert_eq!(worker.finish(0).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_and_what_is_asked_wrongly_is_told_so() {
    let bed = Bed::new().await;
    let mut worker = bed.worker("one", 0).await;
    let answer = worker.post("/v2/join", "{}").await;
    assert_eq!((answer.status, answer.error()), (404, "there is no /v2/join here: see docs/protocol.md"));
    assert!(answer.body["unknown"].is_null(), "that would mean something else");
    assert_eq!(bed.answered(Endpoint::Other, 404), 1);
}
