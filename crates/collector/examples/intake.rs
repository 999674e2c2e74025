//! What taking in costs, on loopback: `cargo run --release -p collector --example intake`. The server has one thread, whose processor
//! time is told; the clients have another one.
//!
//! Polls are those of workers that wait for the start. Batches have 20 histograms of 500 samples and 30 counters.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use collector::session::{Hello, Nonce, Process, Session};
use collector::{
    Collector, Identify, IdentifyError, Identity, Limits, Moment, OnTimeout, SaveError, Snapshot,
    StartPolicy, Store, TestRef, Transport, Unavailable, Version, serve,
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use metrics::sketch::Sketch;
use metrics::wire::Batch;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// How long each measurement lasts.
const LASTS: Duration = Duration::from_secs(5);
const CONNECTIONS: u32 = 64;
/// Of one load test; one more would have to join, so nobody starts.
const WORKERS: u32 = 4096;

/// Tokens are `TEST INDEX`, as long as those of Kubernetes.
struct Tokens;

impl Identify for Tokens {
    async fn identify(&self, token: &str) -> Result<Identity, IdentifyError> {
        let mut words = token.split_whitespace();
        let (Some(test), Some(Ok(index))) = (words.next(), words.next().map(str::parse)) else {
            return Err(IdentifyError::Invalid);
        };
        let workers = if test == "waits" { WORKERS + 1 } else { WORKERS };
        Ok(Identity {
            test: TestRef { uid: test.to_owned(), namespace: "default".to_owned(), name: test.to_owned() },
            index,
            pod_uid: format!("00000000-0000-4000-8000-{index:012x}"),
            workers,
            start: StartPolicy { timeout: Duration::from_secs(600), on_timeout: OnTimeout::Run },
        })
    }
}

/// Keeps nothing, and counts.
#[derive(Default)]
struct Nowhere(AtomicU64);

impl Store for Nowhere {
    async fn load(&self, _: &TestRef) -> Result<Option<(Snapshot, Version)>, Unavailable> {
        Ok(None)
    }

    async fn save(&self, _: &TestRef, _: &Snapshot, _: Option<&Version>) -> Result<Version, SaveError> {
        Ok(Version(self.0.fetch_add(1, Ordering::Relaxed).to_string()))
    }
}

fn main() -> Result<(), Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for is_tls in [false, true] {
        for what in ["polls", "batches"] {
            measure(is_tls, what, Limits::default())?;
        }
    }
    println!("and with a handshake for each batch, as beyond {} connections:", Limits::default().kept);
    measure(true, "batches", Limits { kept: 0, ..Limits::default() })?;
    snapshot();
    Ok(())
}

/// How long a load test of 10,000 workers is locked for a snapshot, and how long it is compressed apart from that.
fn snapshot() {
    let start = StartPolicy { timeout: Duration::from_secs(600), on_timeout: OnTimeout::Run };
    let moment = Moment::from_millis(now());
    let mut session = Session::new(10_000, start, moment);
    let process = |index: u32| Process {
        pod_uid: format!("00000000-0000-4000-8000-{index:012x}"),
        nonce: Nonce([(index % 251) as u8; 16]),
    };
    for index in 0..10_000 {
        let _ = session.join(index, &process(index), Hello::default(), moment);
    }
    session.begin_save();
    session.saved(moment);
    if let Ok(batch) = Batch::decode(&batch(1), now()) {
        for index in 0..10_000 {
            let _ = session.take(index, &process(index), &batch, moment);
        }
    }
    let began = Instant::now();
    let draft = session.begin_save();
    let locked = began.elapsed();
    let snapshot = draft.compress();
    println!(
        "10,000 workers: locked for {:.1} ms, compressed in {:.1} ms, {} bytes",
        locked.as_secs_f64() * 1000.0,
        (began.elapsed() - locked).as_secs_f64() * 1000.0,
        snapshot.head.len()
    );
}

fn measure(is_tls: bool, what: &'static str, limits: Limits) -> Result<(), Failure> {
    let (server_config, connector) = tls()?;
    let connector = is_tls.then_some(connector);
    let transport = if is_tls { Transport::Tls(server_config) } else { Transport::Plain };
    let server = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("collector")
        .enable_all()
        .build()?;
    let collector = Collector::new(Tokens, Nowhere::default());
    collector.set_leading(true);
    let stop = CancellationToken::new();
    let listener = server.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let address = listener.local_addr()?;
    let (saver, saver_stop) = (collector.clone(), stop.clone());
    server.spawn(async move { saver.run(saver_stop).await });
    server.spawn(serve(listener, collector.router(), transport, limits, collector.counters(), stop.clone()));

    let clients = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, took, busy) = clients.block_on(async {
        let test = if what == "polls" { "waits" } else { "runs" };
        let share = WORKERS / CONNECTIONS;
        let mut senders = Vec::new();
        for connection in 0..CONNECTIONS {
            let mut client = Client::connect(address, connector.as_ref()).await?;
            for index in connection * share..(connection + 1) * share {
                client.post("/v1/join", test, index, Bytes::from_static(b"{\"protocol\":1}")).await?;
            }
            senders.push(client);
        }
        let (began, busy) = (Instant::now(), busy());
        let tasks = senders.into_iter().zip(0..).map(|(mut client, connection)| {
            tokio::spawn(async move {
                let mut done = 0_u64;
                for sequence in 1.. {
                    let body =
                        if what == "polls" { Bytes::from_static(b"{}") } else { batch(sequence).into() };
                    for index in connection * share..(connection + 1) * share {
                        client.post(&format!("/v1/{}", path(what)), test, index, body.clone()).await?;
                        done += 1;
                        if began.elapsed() > LASTS {
                            return Ok::<_, Failure>(done);
                        }
                    }
                }
                Ok(done)
            })
        });
        let mut done = 0;
        for task in tasks.collect::<Vec<_>>() {
            done += task.await??;
        }
        Ok::<_, Failure>((done, began.elapsed(), self::busy() - busy))
    })?;
    stop.cancel();
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let (all, per_second) = (done as f64, done as f64 / busy.as_secs_f64());
    println!(
        "{} {what}: {done} in {:.1} s ({:.0} a second); {per_second:.0} per second of the server's processor; statuses {:?}",
        if is_tls { "TLS" } else { "plain" },
        took.as_secs_f64(),
        all / took.as_secs_f64(),
        collector.counters().requests().collect::<Vec<_>>(),
    );
    server.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

fn path(what: &str) -> &'static str {
    if what == "polls" { "start" } else { "batches" }
}

/// Processor time of the server's thread, in the kernel and outside.
fn busy() -> Duration {
    let threads = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let stats = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("stat")).ok());
    let ticks: u64 = stats
        .filter(|stat| stat.contains("(collector)"))
        .flat_map(|stat| {
            // what follows the name: utime and stime are the 12th and 13th (proc_pid_stat(5))
            let mut fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11);
            [(); 2].map(|()| fields.next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0))
        })
        .sum();
    Duration::from_millis(ticks * 10)
}

fn batch(sequence: u64) -> Vec<u8> {
    let mut batch = Batch { sequence, period: 10_000 * (now() / 10_000), ..Batch::default() };
    for name in 0..30 {
        batch.counters.insert(format!("plugins.metrics-by-endpoint./api/{name}.codes.200"), 17 + sequence);
    }
    for name in 0..20_u32 {
        let mut sketch = Sketch::default();
        for sample in 0..500_u32 {
            let spread = f64::from((sample * 7919 + name * 104_729) % 1000) / 1000.0;
            let _ = sketch.accept(20.0 + 400.0 * spread * spread);
        }
        batch.histograms.insert(format!("plugins.metrics-by-endpoint.response_time./api/{name}"), sketch);
    }
    batch.encode()
}

fn now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(0)
}

fn tls() -> Result<(Arc<ServerConfig>, TlsConnector), Failure> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let server =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key)?;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone())?;
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    Ok((Arc::new(server), TlsConnector::from(Arc::new(client))))
}

struct Client {
    address: SocketAddr,
    connector: Option<TlsConnector>,
    sender: http1::SendRequest<Full<Bytes>>,
}

impl Client {
    async fn connect(address: SocketAddr, connector: Option<&TlsConnector>) -> Result<Self, Failure> {
        let sender = Self::sender(address, connector).await?;
        Ok(Self { address, connector: connector.cloned(), sender })
    }

    async fn sender(
        address: SocketAddr,
        connector: Option<&TlsConnector>,
    ) -> Result<http1::SendRequest<Full<Bytes>>, Failure> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        match connector {
            None => over(stream).await,
            Some(connector) => {
                over(connector.connect(ServerName::try_from("localhost")?, stream).await?).await
            }
        }
    }

    async fn post(&mut self, path: &str, test: &str, index: u32, body: Bytes) -> Result<(), Failure> {
        let token = format!("Bearer {test} {index} {:1000}", "x");
        let request = hyper::Request::post(path)
            .header("host", "localhost")
            .header("authorization", token)
            .header("loadtest-process", format!("{index:032x}"))
            .body(Full::new(body))?;
        if self.sender.ready().await.is_err() {
            self.sender = Self::sender(self.address, self.connector.as_ref()).await?;
        }
        let answer = self.sender.send_request(request).await?;
        answer.into_body().collect().await?;
        Ok(())
    }
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<http1::SendRequest<Full<Bytes>>, Failure> {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}
