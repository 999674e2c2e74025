//! A collector on loopback over TLS, whose store and whose knowledge of tokens can be made to fail, and clients that speak to it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use collector::{
    Collector, Counters, Distribution, Identify, IdentifyError, Identity, Limits, OnTimeout, Reason, Refused,
    SaveError, Snapshot, StartPolicy, Store, TestRef, Transport, Unavailable, Version, serve,
};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use metrics::wire::Batch;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// Nothing takes longer here.
pub const SOON: Duration = Duration::from_secs(20);

/// Tokens are `TEST INDEX POD`; of a test `many-N` there are N workers, and of `split-N`, who share the load; of any other 1.
#[derive(Clone, Default)]
pub struct Tokens(Arc<TokensInner>);

#[derive(Default)]
pub struct TokensInner {
    pub calls: AtomicUsize,
    pub now: AtomicUsize,
    pub most: AtomicUsize,
    /// How long a call takes, in milliseconds.
    pub takes: AtomicUsize,
    pub fails: AtomicBool,
}

impl std::ops::Deref for Tokens {
    type Target = TokensInner;

    fn deref(&self) -> &TokensInner {
        &self.0
    }
}

impl Identify for Tokens {
    async fn identify(&self, token: &str) -> Result<Identity, IdentifyError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(self.takes.load(Ordering::SeqCst) as u64)).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        if self.fails.load(Ordering::SeqCst) {
            return Err(IdentifyError::Unavailable("the API server is away".to_owned()));
        }
        let [test, index, pod] = token.split(' ').collect::<Vec<_>>()[..] else {
            return Err(IdentifyError::Invalid);
        };
        if test == "stranger" {
            let message = "the pod belongs to no load test".to_owned();
            return Err(Refused { reason: Reason::NotAWorker, message }.into());
        }
        let many = test.strip_prefix("many-").or_else(|| test.strip_prefix("split-"));
        let workers = many.map_or(1, |workers| workers.parse().expect("a number"));
        Ok(Identity {
            test: reference(test),
            index: index.parse().map_err(|_| IdentifyError::Invalid)?,
            pod_uid: pod.to_owned(),
            workers,
            start: StartPolicy { timeout: Duration::from_secs(600), on_timeout: OnTimeout::Run },
            distribution: if test.starts_with("split") {
                Distribution::Split
            } else {
                Distribution::Replicate
            },
        })
    }
}

pub fn reference(test: &str) -> TestRef {
    TestRef { uid: format!("uid-{test}"), namespace: "default".to_owned(), name: test.to_owned() }
}

/// A store in memory.
#[derive(Clone, Default)]
pub struct Memory(Arc<MemoryInner>);

#[derive(Default)]
pub struct MemoryInner {
    pub stored: Mutex<HashMap<String, (Snapshot, u64)>>,
    /// UIDs of tests whose saves never return.
    pub hangs: Mutex<Vec<String>>,
    pub fails: AtomicBool,
    pub gone: AtomicBool,
}

impl std::ops::Deref for Memory {
    type Target = MemoryInner;

    fn deref(&self) -> &MemoryInner {
        &self.0
    }
}

impl Memory {
    /// Somebody else stores the test.
    pub fn interfere(&self, test: &TestRef) {
        self.stored.lock().expect("a lock").get_mut(&test.uid).expect("a snapshot").1 += 1;
    }

    pub fn version(&self, test: &TestRef) -> Option<u64> {
        self.stored.lock().expect("a lock").get(&test.uid).map(|(_, version)| *version)
    }
}

impl Store for Memory {
    async fn load(&self, test: &TestRef) -> Result<Option<(Snapshot, Version)>, Unavailable> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(Unavailable("etcd is away".to_owned()));
        }
        let stored = self.stored.lock().expect("a lock").get(&test.uid).cloned();
        Ok(stored.map(|(snapshot, version)| (snapshot, Version(version.to_string()))))
    }

    async fn save(
        &self,
        test: &TestRef,
        snapshot: &Snapshot,
        version: Option<&Version>,
    ) -> Result<Version, SaveError> {
        let hangs = self.hangs.lock().expect("a lock").contains(&test.uid);
        if hangs {
            std::future::pending::<()>().await;
        }
        if self.fails.load(Ordering::SeqCst) {
            return Err(SaveError::Unavailable("etcd is away".to_owned()));
        }
        if self.gone.load(Ordering::SeqCst) {
            return Err(SaveError::Gone);
        }
        let mut all = self.stored.lock().expect("a lock");
        let stored = all.get(&test.uid).map(|(_, version)| *version);
        if stored.map(|version| version.to_string()) != version.map(|version| version.0.clone()) {
            return Err(SaveError::Conflict);
        }
        let next = stored.unwrap_or(0) + 1;
        all.insert(test.uid.clone(), (snapshot.clone(), next));
        Ok(Version(next.to_string()))
    }
}

/// A collector that serves; it is killed when this is dropped.
pub struct Bed {
    pub collector: Collector<Tokens, Memory>,
    pub counters: Arc<Counters>,
    pub tokens: Tokens,
    pub store: Memory,
    pub address: SocketAddr,
    connector: TlsConnector,
    stop: CancellationToken,
}

impl Drop for Bed {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl Bed {
    pub async fn new() -> Self {
        Self::with(Memory::default(), Limits::default()).await
    }

    pub async fn with(store: Memory, limits: Limits) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tokens = Tokens::default();
        let collector = Collector::new(tokens.clone(), store.clone());
        collector.set_leading(true);
        let counters = collector.counters();
        let stop = CancellationToken::new();
        let saver = collector.clone();
        let saver_stop = stop.clone();
        tokio::spawn(async move { saver.run(saver_stop).await });
        let (server, connector) = tls();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        let address = listener.local_addr().expect("an address");
        let router = collector.router();
        tokio::spawn(serve(listener, router, Transport::Tls(server), limits, counters.clone(), stop.clone()));
        Self { collector, counters, tokens, store, address, connector, stop }
    }

    pub async fn connect(&self) -> tokio_rustls::client::TlsStream<TcpStream> {
        let stream = TcpStream::connect(self.address).await.expect("a connection");
        let name = ServerName::try_from("localhost").expect("a name");
        self.connector.connect(name, stream).await.expect("a handshake")
    }

    pub async fn client(&self) -> Client {
        Client::over(self.connect().await).await
    }

    /// A process of a worker, on a connection of its own.
    pub async fn worker(&self, test: &str, index: u32) -> Worker {
        let token = format!("{test} {index} pod-{index}");
        Worker { client: self.client().await, token, nonce: format!("{:032x}", 7 + index), sent: 0 }
    }

    /// How often that was answered with that status.
    pub fn answered(&self, endpoint: collector::Endpoint, status: u16) -> u64 {
        self.counters
            .requests()
            .find(|(e, s, _)| (*e, *s) == (endpoint, status))
            .map_or(0, |(_, _, count)| count)
    }
}

fn tls() -> (Arc<ServerConfig>, TlsConnector) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.clone()], key)
        .expect("a server");
    let mut roots = RootCertStore::empty();
    roots.add(certificate).expect("a root");
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    (Arc::new(server), TlsConnector::from(Arc::new(client)))
}

/// An HTTP/1.1 client on one connection.
pub struct Client(http1::SendRequest<Full<Bytes>>);

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
    pub headers: hyper::HeaderMap,
}

impl Answer {
    pub fn reason(&self) -> &str {
        self.body["refused"]["reason"].as_str().unwrap_or("none")
    }

    pub fn error(&self) -> &str {
        self.body["error"].as_str().unwrap_or("none")
    }
}

impl Client {
    async fn over(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("a connection");
        tokio::spawn(connection);
        Self(sender)
    }

    pub async fn post(&mut self, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let mut request = hyper::Request::post(path).header("host", "localhost");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        let answer = async {
            self.0.ready().await?;
            let answer = self.0.send_request(request).await?;
            let (head, body) = answer.into_parts();
            Ok::<_, hyper::Error>((head, body.collect().await?.to_bytes()))
        };
        let (head, body) = tokio::time::timeout(SOON, answer).await.expect("in time").expect("an answer");
        let body = serde_json::from_slice(&body).expect("JSON");
        Answer { status: head.status.as_u16(), body, headers: head.headers }
    }
}

/// A process of a worker.
pub struct Worker {
    pub client: Client,
    pub token: String,
    pub nonce: String,
    /// The last batch that was sent.
    pub sent: u64,
}

impl Worker {
    pub async fn post(&mut self, path: &str, body: impl Into<Bytes>) -> Answer {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", bearer.as_str()), ("loadtest-process", self.nonce.as_str())];
        self.client.post(path, &headers, body).await
    }

    pub async fn join(&mut self) -> Answer {
        let body = json!({"protocol": 1, "reporter": "0.2.0", "phases": [{"duration": 60}], "ensure": null});
        self.post("/v1/join", body.to_string()).await
    }

    pub async fn start(&mut self) -> Answer {
        self.post("/v1/start", "{}").await
    }

    pub async fn progress(&mut self) -> Answer {
        self.post("/v1/batches", Bytes::new()).await
    }

    pub async fn send(&mut self, batch: &Batch) -> Answer {
        self.sent = self.sent.max(batch.sequence);
        self.post("/v1/batches", batch.encode()).await
    }

    pub async fn finish(&mut self, exit_code: i32) -> Answer {
        let body = json!({"batches": self.sent, "exitCode": exit_code});
        self.post("/v1/finish", body.to_string()).await
    }

    /// As a process that crashes: its open period is lost.
    pub async fn crash(&mut self, exit_code: i32) -> Answer {
        let body = json!({"batches": self.sent, "exitCode": exit_code, "cutShort": true});
        self.post("/v1/finish", body.to_string()).await
    }

    /// Asks for the start until it is told.
    pub async fn until_go(&mut self) -> f64 {
        let began = Instant::now();
        loop {
            let answer = self.start().await;
            if let Some(milliseconds) = answer.body["go"]["inMilliseconds"].as_f64() {
                return milliseconds;
            }
            assert!(began.elapsed() < SOON, "{answer:?}");
            let pause = answer.body["wait"]["milliseconds"].as_u64().expect("a pause");
            tokio::time::sleep(Duration::from_millis(pause.min(50))).await;
        }
    }

    /// Asks until that batch is durable.
    pub async fn until_durable(&mut self, sequence: u64) {
        self.until(|body| body["durable"].as_u64().is_some_and(|durable| durable >= sequence)).await;
    }

    /// Asks until its end is stored.
    pub async fn until_finished(&mut self) {
        self.until(|body| body["finished"] == true).await;
    }

    async fn until(&mut self, is_met: impl Fn(&Value) -> bool) {
        let began = Instant::now();
        loop {
            let answer = self.progress().await;
            if is_met(&answer.body) {
                return;
            }
            assert!(began.elapsed() < SOON, "{answer:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// A batch of a period of this minute.
pub fn batch(sequence: u64, requests: u64) -> Batch {
    let counters = BTreeMap::from([("http.requests".to_owned(), requests), ("vusers.created".to_owned(), 1)]);
    Batch { sequence, period: this_period(), counters, ..Batch::default() }
}

/// The first millisecond of the period that is now.
pub fn this_period() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    let now = u64::try_from(now.as_millis()).expect("milliseconds");
    now - now % 10_000
}

/// Waits until that is so.
pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < SOON, "not so: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
