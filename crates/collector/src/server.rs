//! Serving a router to many clients of whom nothing is known: plain or TLS, with bounds on connections and on patience.

mod connection;

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_util::sync::CancellationToken;

use crate::collector::lock;
use crate::counters::Counters;
use crate::routes::{NotSoonAgain, Peer};
use connection::{Patient, Stage};

/// What the bytes travel in.
#[derive(Clone)]
pub enum Transport {
    /// As they are: on one machine.
    Plain,
    /// TLS.
    Tls(Arc<ServerConfig>),
}

/// How much of what may be there at a time, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections in all.
    pub connections: usize,
    /// So many are kept open while they are idle; those beyond are closed after each answer, for an idle one takes 25 KB, and a
    /// handshake a fifth of a millisecond.
    pub kept: usize,
    /// Those from one address: workers may share one, behind a gateway or a mesh.
    pub connections_per_address: usize,
    /// TLS handshakes at a time: one takes tens of KB, and more at a time are not done sooner.
    pub handshakes: usize,
    /// Those with one address: who does not go on with them holds up the others for [`Limits::handshake`] times their share.
    pub handshakes_per_address: usize,
    /// How long a connection may wait for the turn of its handshake.
    pub turn: Duration,
    /// How long a handshake may take.
    pub handshake: Duration,
    /// How long the head of a request may take, from its first byte on, or from the beginning of the connection.
    pub head: Duration,
    /// How long a client may take to read what it was sent.
    pub write: Duration,
    /// How long a connection may be idle between requests.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 20_000,
            kept: 400,
            connections_per_address: 5_000,
            handshakes: 128,
            handshakes_per_address: 16,
            turn: Duration::from_secs(10),
            handshake: Duration::from_secs(3),
            head: Duration::from_secs(10),
            write: Duration::from_secs(10),
            idle: Duration::from_secs(75),
        }
    }
}

/// The largest head of a request, in bytes; a token takes one or two thousand. Each connection keeps so many.
const MAX_HEAD: usize = 8 << 10;

/// Serves `router` until `stop`; then all connections are closed, for workers ask again.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    transport: Transport,
    limits: Limits,
    counters: Arc<Counters>,
    stop: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let server = Arc::new(Server {
        handshakes: Arc::new(Semaphore::new(limits.handshakes)),
        router,
        transport,
        limits,
        counters,
        addresses: Mutex::default(),
    });
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let place = Arc::clone(&places).try_acquire_owned().ok();
                let place = place.and_then(|place| Place::take(&server, peer.ip(), place));
                let Some(place) = place else {
                    server.counters.connections_refused.inc();
                    continue;
                };
                let stop = stop.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = place.handle(stream) => {}
                    }
                });
            }
            Err(error) => {
                tracing::warn!("cannot accept connections of workers: {error}");
                sleep(Duration::from_millis(100)).await; // out of file descriptors: a retry at once would spin
            }
        }
    }
}

struct Server {
    router: Router,
    transport: Transport,
    limits: Limits,
    counters: Arc<Counters>,
    handshakes: Arc<Semaphore>,
    addresses: Mutex<HashMap<IpAddr, Address>>,
}

/// What comes from one address.
struct Address {
    connections: usize,
    handshakes: Arc<Semaphore>,
}

/// A connection's place; it is free again when this is dropped.
struct Place {
    server: Arc<Server>,
    peer: IpAddr,
    handshakes: Arc<Semaphore>,
    _place: OwnedSemaphorePermit,
}

impl Place {
    fn take(server: &Arc<Server>, peer: IpAddr, place: OwnedSemaphorePermit) -> Option<Self> {
        let mut addresses = lock(&server.addresses);
        let address = addresses.entry(peer).or_insert_with(|| Address {
            connections: 0,
            handshakes: Arc::new(Semaphore::new(server.limits.handshakes_per_address)),
        });
        if address.connections >= server.limits.connections_per_address {
            return None;
        }
        address.connections += 1;
        server.counters.connections.inc();
        let handshakes = Arc::clone(&address.handshakes);
        Some(Self { server: Arc::clone(server), peer, handshakes, _place: place })
    }

    async fn handle(self, stream: TcpStream) {
        // answers are small, and each is awaited
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!("connection: {error}");
        }
        match &self.server.transport {
            Transport::Plain => self.speak(stream).await,
            Transport::Tls(config) => {
                let acceptor = TlsAcceptor::from(Arc::clone(config));
                let Limits { turn, handshake, .. } = self.server.limits;
                let turns =
                    async { (self.handshakes.acquire().await, self.server.handshakes.acquire().await) };
                let shaken = match timeout(turn, turns).await {
                    // in memory of its own, and only now: thousands may wait for their turn, and each stage needs more than the wait
                    Ok(_turns) => Box::pin(timeout(handshake, acceptor.accept(stream))).await,
                    Err(late) => Err(late),
                };
                match shaken {
                    Ok(Ok(stream)) => self.speak(Box::new(stream)).await,
                    Ok(Err(error)) => {
                        self.server.counters.handshakes_failed.inc();
                        tracing::debug!("handshake: {error}");
                    }
                    Err(_) => self.server.counters.handshakes_failed.inc(),
                }
            }
        }
    }

    async fn speak(&self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let stage = Arc::new(Stage::default());
        let stream = Patient::new(stream, self.server.limits, Arc::clone(&stage));
        let router = TowerToHyperService::new(self.server.router.clone());
        let requests = Requests { router, stage, server: Arc::clone(&self.server), peer: Peer(self.peer) };
        let served = hyper::server::conn::http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), requests);
        if let Err(error) = Box::pin(served).await {
            if is_timeout(&error) {
                self.server.counters.connections_timed_out.inc();
            }
            tracing::debug!("connection: {error}");
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.server.counters.connections.dec();
        let mut addresses = lock(&self.server.addresses);
        if let Some(address) = addresses.get_mut(&self.peer) {
            address.connections -= 1;
            if address.connections == 0 {
                addresses.remove(&self.peer);
            }
        }
    }
}

fn is_timeout(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::TimedOut)
}

/// The router, which is told who asks; the connection is told when it answers, and whether it may stay open.
struct Requests {
    router: TowerToHyperService<Router>,
    stage: Arc<Stage>,
    server: Arc<Server>,
    peer: Peer,
}

impl Service<hyper::Request<Incoming>> for Requests {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, mut request: hyper::Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        self.stage.answering();
        let answer = self.router.call(request);
        let (stage, server) = (Arc::clone(&self.stage), Arc::clone(&self.server));
        Box::pin(async move {
            let mut answer = answer.await;
            stage.idle();
            if let Ok(answer) = &mut answer
                && answer.extensions().get::<NotSoonAgain>().is_some()
                && server.counters.connections.get() > server.limits.kept as u64
            {
                answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            answer
        })
    }
}
