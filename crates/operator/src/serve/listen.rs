//! Serving a router on a listener, plain or over TLS, with bounds: connections at a time, patience, a connection's life.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_util::sync::CancellationToken;

/// Connections at a time: those who probe and scrape are few.
const MAX_CONNECTIONS: usize = 64;
/// How long a handshake or a request's head may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection may last: one request's time, for none is kept alive, lest a few idle ones take all places.
const CONNECTION_LIFE: Duration = Duration::from_secs(15);

/// What the router's bytes travel in.
#[derive(Clone)]
pub enum Transport {
    /// As they are.
    Plain,
    /// TLS.
    Tls(TlsAcceptor),
}

impl Transport {
    /// TLS with a certificate that this process makes for itself, as kube-rbac-proxy does it: scrapers trust the token
    /// check, not a CA.
    ///
    /// # Errors
    /// No certificate could be made.
    pub fn self_signed() -> Result<Self> {
        let names = vec!["localhost".to_owned(), "controller-manager-metrics-service".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).context("cannot make a certificate")?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .context("cannot use the certificate")?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self::Tls(TlsAcceptor::from(Arc::new(config))))
    }
}

/// Serves `router` until `stop`. A connection too many is closed at once.
pub async fn serve(listener: TcpListener, router: Router, transport: Transport, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match (accepted, Arc::clone(&places).try_acquire_owned()) {
            (Ok((stream, _)), Ok(place)) => {
                let connection = handle(transport.clone(), stream, router.clone());
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!("connection: {error:#}");
                    }
                    drop(place);
                });
            }
            (Ok(_), Err(_)) => tracing::debug!("more than {MAX_CONNECTIONS} connections: one was closed"),
            (Err(error), _) => {
                tracing::warn!("cannot accept connections: {error}");
                sleep(Duration::from_millis(100)).await; // out of file descriptors: a retry at once would spin
            }
        }
    }
}

async fn handle(transport: Transport, stream: TcpStream, router: Router) -> Result<()> {
    match transport {
        Transport::Plain => speak(stream, router).await,
        Transport::Tls(acceptor) => {
            let stream =
                timeout(PATIENCE, acceptor.accept(stream)).await.context("no handshake in time")??;
            speak(stream, router).await
        }
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, router: Router) -> Result<()> {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    timeout(CONNECTION_LIFE, connection).await.context("a long connection")??;
    Ok(())
}
