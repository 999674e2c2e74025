//! The target over real sockets: raw requests in, exact totals out.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::{Arrivals, Counts, MAX_BODY_BYTES, MESSAGE, serve};

struct Server {
    shop: SocketAddr,
    admin: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

async fn start() -> Server {
    let service = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (shop, admin_address) = (service.local_addr().unwrap(), admin.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let task = tokio::spawn(serve(service, admin, async {
        let _ = stopped.await;
    }));
    Server { shop, admin: admin_address, stop: Some(stop), task }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

/// Sends raw bytes that end with `Connection: close` and returns the status and the body of the answer.
fn exchange(address: SocketAddr, request: &str) -> (u16, String) {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn send(address: SocketAddr, line: &str) -> (u16, String) {
    exchange(address, &format!("{line} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n"))
}

fn counts(admin: SocketAddr) -> Counts {
    serde_json::from_str(&send(admin, "GET /counts").1).unwrap()
}

/// Waits until the target has counted `total` requests: a client that left cannot wait for an answer.
fn counted(admin: SocketAddr, total: u64) -> Counts {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let seen = counts(admin);
        if seen.total >= total {
            return seen;
        }
        assert!(Instant::now() < deadline, "still {seen:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_are_counted_exactly() {
    const CLIENTS: u64 = 8;
    const EACH: u64 = 250;
    let server = start().await;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let shop = server.shop;
            tokio::task::spawn_blocking(move || {
                let mut stream = connect(shop); // one connection, kept alive
                for i in 0..EACH {
                    let line = match (client + i) % 4 {
                        0 => "GET /products",
                        1 => "HEAD /products/3?page=1",
                        2 => "PATCH /nowhere",
                        _ => "GET /?status=503",
                    };
                    stream.write_all(format!("{line} HTTP/1.1\r\nHost: t\r\n\r\n").as_bytes()).unwrap();
                    read_answer(&mut stream, line.starts_with("HEAD"));
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    tokio::task::spawn_blocking(move || {
        let counts = counts(server.admin);
        let quarter = CLIENTS * EACH / 4;
        let rows: Vec<_> =
            counts.requests.iter().map(|r| (r.method.as_str(), r.path.as_str(), r.status, r.count)).collect();
        let expected = [
            ("GET", "/", 503, quarter),
            ("PATCH", "/nowhere", 404, quarter),
            ("GET", "/products", 200, quarter),
            ("HEAD", "/products/3", 200, quarter),
        ];
        assert_eq!(rows, expected);
        assert_eq!((counts.total, counts.other), (CLIENTS * EACH, 0));

        let arrivals: Vec<Arrivals> = serde_json::from_str(&send(server.admin, "GET /arrivals").1).unwrap();
        assert_eq!(arrivals.iter().map(|slot| slot.count).sum::<u64>(), counts.total);
        assert_eq!(arrivals[0].second, counts.first_request_unix_milliseconds.unwrap() / 1_000);

        let taken: Counts = serde_json::from_str(&send(server.admin, "DELETE /counts").1).unwrap();
        assert_eq!(taken, counts, "DELETE returns what it had");
        assert_eq!(self::counts(server.admin), Counts::default());
        assert_eq!(send(server.admin, "GET /arrivals").1, "[]");
    })
    .await
    .unwrap();
}

/// Reads one answer off a kept connection.
fn read_answer(stream: &mut TcpStream, without_body: bool) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let length: usize = if without_body { 0 } else { length.parse().unwrap() };
    stream.read_exact(&mut vec![0; length]).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_requests_are_answered_and_counted() {
    let server = start().await;
    tokio::task::spawn_blocking(move || {
        let shop = server.shop;
        let close = "Host: t\r\nConnection: close\r\n";
        let body = "x".repeat(MAX_BODY_BYTES);
        for (request, status) in [
            (format!("BREW /pot HTTP/1.1\r\n{close}\r\n"), 404),
            (format!("OPTIONS * HTTP/1.1\r\n{close}\r\n"), 404),
            (format!("GET /?status=99 HTTP/1.1\r\n{close}\r\n"), 400),
            (format!("GET /?status=204 HTTP/1.1\r\n{close}\r\n"), 204),
            (format!("GET http://other/products HTTP/1.1\r\n{close}\r\n"), 200),
            (format!("POST /cart HTTP/1.1\r\n{close}Content-Length: {MAX_BODY_BYTES}\r\n\r\n{body}"), 201),
            (format!("POST /cart HTTP/1.1\r\n{close}Content-Length: {}\r\n\r\n", MAX_BODY_BYTES + 1), 413),
            (
                format!(
                    "POST /cart HTTP/1.1\r\n{close}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
                ),
                201,
            ),
            (format!("POST /cart HTTP/1.1\r\n{close}Transfer-Encoding: chunked\r\n\r\nno chunk\r\n"), 400),
            (format!("GET /nowhere HTTP/1.1\r\n{close}Content-Length: 5\r\n\r\nhello"), 404),
        ] {
            let (got, body) = exchange(shop, &request);
            assert_eq!(got, status, "{}: {body}", request.lines().next().unwrap());
        }
        let counts = counts(server.admin);
        assert_eq!(counts.total, 10);
        assert_eq!(counts.count("POST", "/cart"), 4);
        assert_eq!(counts.count_status(413), 1);
        assert_eq!(counts.count("BREW", "/pot"), 1);
        assert_eq!(counts.count("GET", "/products"), 1);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_leave_early_are_counted_once() {
    let server = start().await;
    tokio::task::spawn_blocking(move || {
        let mut total = 0;
        for (request, status) in [
            ("GET /products HTTP/1.1\r\nHost: t\r\n\r\n", 200),
            ("GET /?delayMilliseconds=30000 HTTP/1.1\r\nHost: t\r\n\r\n", 200),
            ("GET /nowhere HTTP/1.1\r\nHost: t\r\n\r\n", 404),
            ("POST /cart HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nhello", 201),
            ("POST /cart HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nhello", 400),
        ] {
            let before = counts(server.admin).count_status(status);
            for _ in 0..50 {
                connect(server.shop).write_all(request.as_bytes()).unwrap(); // and closed at once
            }
            total += 50;
            let counts = counted(server.admin, total);
            assert_eq!(
                (counts.total, counts.count_status(status)),
                (total, before + 50),
                "{request}: {counts:?}"
            );
        }

        drop(connect(server.shop));
        connect(server.shop).write_all(b"GET / HT").unwrap();
        let (status, _) = exchange(server.shop, "this is not HTTP\r\n\r\n");
        assert_eq!((status, self::counts(server.admin).total), (400, total), "no request, nothing to count");
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_lets_a_request_end_and_accepts_no_more() {
    let mut server = start().await;
    let (shop, admin) = (server.shop, server.admin);
    let slow = tokio::task::spawn_blocking(move || send(shop, "GET /?delayMilliseconds=700"));
    tokio::task::spawn_blocking(move || counted(admin, 1)).await.unwrap(); // it is under way
    let idle = connect(shop);
    server.stop.take().unwrap().send(()).unwrap();
    assert_eq!(slow.await.unwrap().0, 200);
    tokio::time::timeout(Duration::from_secs(20), &mut server.task).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(shop).is_err(), "still accepting");
    drop(idle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_of_a_web_socket_are_echoed_and_counted() {
    let server = start().await;
    tokio::task::spawn_blocking(move || {
        let mut stream = connect(server.shop);
        // the example of RFC 6455, 1.3
        let upgrade = "GET /echo HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(upgrade.as_bytes()).unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 ") && head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        // text, binary, and a ping, which is no message; masked with zeroes
        for (kind, answer, payload) in [(0x81, 0x81, "hello"), (0x82, 0x82, "bytes"), (0x89, 0x8a, "ping!")] {
            let frame = [&[kind, 0x80 | 5, 0, 0, 0, 0], payload.as_bytes()].concat();
            stream.write_all(&frame).unwrap();
            let mut echo = [0; 7];
            stream.read_exact(&mut echo).unwrap();
            assert_eq!(echo, *[&[answer, 5], payload.as_bytes()].concat());
        }
        stream.write_all(&[0x88, 0x80, 0, 0, 0, 0]).unwrap();
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, [0x88, 0], "it is closed by both");

        assert_eq!(send(server.shop, "GET /echo").0, 404, "without an upgrade there is nothing");
        let counts = counts(server.admin);
        let rows: Vec<_> = counts.requests.iter().map(|r| (r.method.as_str(), r.status, r.count)).collect();
        assert_eq!(rows, [("GET", 101, 1), ("GET", 404, 1), (MESSAGE, 101, 2)]);
        assert_eq!(counts.total, 4);
    })
    .await
    .unwrap();
}
