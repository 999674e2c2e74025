//! Clients that mean harm: they are stopped, and nobody else notices.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use collector::{Counters, Endpoint, Limits, Transport, serve};
use futures::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::bed::{Answer, Bed, Memory, SOON, Worker, batch, eventually};

fn impatient() -> Limits {
    let short = Duration::from_millis(500);
    Limits { handshake: short, head: short, write: short, idle: Duration::from_secs(4), ..Limits::default() }
}

/// How long it takes until the other end closes the connection.
async fn until_closed(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> Duration {
    let began = Instant::now();
    let mut buffer = [0; 4096];
    timeout(SOON, async { while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {} })
        .await
        .expect("it is closed");
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_a_head_byte_by_byte_is_taken_off_and_who_is_idle_between_requests_is_not_so_soon() {
    let limits = impatient();
    let bed = Bed::with(Memory::default(), limits).await;
    let mut slow = bed.connect().await;
    let began = Instant::now();
    for byte in b"POST /v1/start HTTP/1.1\r\nhost: localhost\r\n".iter().cycle() {
        if slow.write_all(&[*byte]).await.is_err() || began.elapsed() > SOON {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let took = began.elapsed();
    assert!(took > Duration::from_millis(400) && took < SOON / 2, "{took:?}");
    eventually("it is counted", || bed.counters.connections_timed_out.get() == 1).await;

    let mut worker = bed.worker("one", 0).await;
    assert_eq!(worker.join().await.status, 200);
    tokio::time::sleep(limits.head * 2).await;
    assert_eq!(worker.start().await.status, 200, "idle for longer than a head may take");
    eventually("an idle connection is closed at last", || bed.counters.connections.get() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_begins_the_next_head_on_a_connection_that_was_used_has_no_longer_for_it() {
    let bed = Bed::with(Memory::default(), Limits { idle: Duration::from_secs(60), ..impatient() }).await;
    let mut stream = bed.connect().await;
    stream
        .write_all(b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n")
        .await
        .expect("sent");
    let mut buffer = [0; 4096];
    assert!(stream.read(&mut buffer).await.expect("an answer") > 0);
    stream.write_all(b"POST /now").await.expect("sent");
    let took = until_closed(&mut stream).await;
    assert!(took > Duration::from_millis(300) && took < SOON / 2, "{took:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_ends_its_handshake_is_taken_off_and_others_get_their_turn() {
    let limits = Limits { handshakes: 4, handshakes_per_address: 4, ..impatient() };
    let bed = Bed::with(Memory::default(), limits).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(TcpStream::connect(bed.address).await.expect("a connection"));
    }
    eventually("they are there", || bed.counters.connections.get() == 4).await;
    for stream in &mut silent {
        until_closed(stream).await;
    }
    eventually("they are counted", || bed.counters.handshakes_failed.get() == 4).await;
    assert_eq!(bed.worker("one", 0).await.join().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_too_many_are_closed_at_once_and_places_are_free_again() {
    let limits = Limits { connections_per_address: 3, ..Limits::default() };
    let bed = Bed::with(Memory::default(), limits).await;
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(bed.connect().await);
    }
    let mut one_more = TcpStream::connect(bed.address).await.expect("a connection");
    until_closed(&mut one_more).await;
    assert_eq!(bed.counters.connections_refused.get(), 1);
    assert_eq!(bed.counters.connections.get(), 3, "nobody else was closed");
    drop(kept);
    eventually("they are gone", || bed.counters.connections.get() == 0).await;
    assert_eq!(bed.worker("one", 0).await.join().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_its_answers_is_taken_off() {
    let counters = Arc::new(Counters::default());
    let stop = CancellationToken::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address");
    let large = Router::new().route("/", get(|| async { vec![b'x'; 16 << 20] }));
    tokio::spawn(serve(listener, large, Transport::Plain, impatient(), counters.clone(), stop.clone()));
    let mut deaf = TcpStream::connect(address).await.expect("a connection");
    let began = Instant::now();
    deaf.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    eventually("it is taken off", || counters.connections_timed_out.get() == 1).await;
    assert!(began.elapsed() > Duration::from_millis(400), "{:?}", began.elapsed());
    eventually("its place is free", || counters.connections.get() == 0).await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_sends_a_body_byte_by_byte_is_told_so_and_taken_off_while_others_are_served() {
    let bed = Bed::new().await;
    let mut worker = bed.worker("one", 0).await;
    worker.join().await;
    worker.until_go().await;
    let mut slow = bed.connect().await;
    let head = format!(
        "POST /v1/batches HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\nloadtest-process: {}\r\ncontent-length: 1000\r\n\r\n",
        worker.token, worker.nonce
    );
    slow.write_all(head.as_bytes()).await.expect("sent");
    let (mut reads, mut writes) = tokio::io::split(slow);
    let dripping = tokio::spawn(async move {
        while writes.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    assert_eq!(worker.send(&batch(1, 5)).await.body["received"], 1);
    let mut answer = [0; 512];
    let read = timeout(SOON, reads.read(&mut answer)).await.expect("in time").expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    timeout(SOON, dripping).await.expect("it is closed").expect("no panic");
    assert_eq!(worker.send(&batch(2, 5)).await.body["received"], 2);
}

async fn until_told_to_wait(worker: &mut Worker) -> Answer {
    for _ in 0..200 {
        let answer = worker.start().await;
        if answer.status == 429 {
            return answer;
        }
    }
    panic!("200 requests were answered at once")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_that_asks_too_often_is_told_to_wait_and_others_are_not() {
    let bed = Bed::new().await;
    let mut greedy = bed.worker("many-2", 0).await;
    let mut modest = bed.worker("many-2", 1).await;
    greedy.join().await;
    let told = until_told_to_wait(&mut greedy).await;
    assert_eq!(told.headers["retry-after"], "1");
    assert_eq!(modest.join().await.status, 200);
    // another number is another process, but not another pod
    greedy.nonce = "e".repeat(32);
    until_told_to_wait(&mut greedy).await;
    assert!(bed.answered(Endpoint::Start, 429) >= 2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    greedy.nonce = format!("{:032x}", 7);
    assert_eq!(greedy.start().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_random_tokens_is_checked_by_few_at_a_time_then_not_at_all_and_workers_are_served() {
    let bed = Bed::new().await;
    let mut worker = bed.worker("one", 0).await;
    worker.join().await;
    bed.tokens.takes.store(20, Ordering::SeqCst);
    let clients = join_all((0..100).map(|_| bed.client())).await;
    let calls = bed.tokens.calls.load(Ordering::SeqCst);
    let floods = clients.into_iter().enumerate().map(|(i, mut client)| {
        tokio::spawn(async move {
            let mut statuses = Vec::new();
            for j in 0..10 {
                let token = format!("Bearer random-{i}-{j}");
                let headers = [("authorization", token.as_str()), ("loadtest-process", &"0".repeat(32))];
                statuses.push(client.post("/v1/join", &headers, "{}").await.status);
            }
            statuses
        })
    });
    let floods = tokio::spawn(join_all(floods));
    assert_eq!(worker.start().await.status, 200);
    let statuses: Vec<u16> =
        floods.await.expect("no panic").into_iter().flat_map(|s| s.expect("no panic")).collect();
    assert!(statuses.iter().all(|status| matches!(status, 401 | 429)), "{statuses:?}");
    let checked = bed.tokens.calls.load(Ordering::SeqCst) - calls;
    assert!(bed.tokens.most.load(Ordering::SeqCst) <= 32);
    assert!(checked <= 20 + 32, "{checked} of 1000 were checked");
    assert_eq!(worker.start().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_checked_once_a_minute_and_not_at_every_request() {
    let bed = Bed::new().await;
    let mut worker = bed.worker("one", 0).await;
    worker.join().await;
    for _ in 0..20 {
        assert_eq!(worker.start().await.status, 200);
    }
    assert_eq!(bed.tokens.calls.load(Ordering::SeqCst), 1);
}
