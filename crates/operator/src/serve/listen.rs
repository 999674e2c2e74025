//! Serving a router on a listener, plain or over TLS, with bounds: connections at a time, patience, a connection's life.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
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

/// Serves `router` until `stop`. Where there is a connection too many the oldest is closed: the newest may be the kubelet's, who would
/// have the process killed.
pub async fn serve(listener: TcpListener, router: Router, transport: Transport, stop: CancellationToken) {
    let mut places: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                places.retain(|connection| !connection.is_finished());
                if places.len() >= MAX_CONNECTIONS
                    && let Some(oldest) = places.pop_front()
                {
                    tracing::debug!("more than {MAX_CONNECTIONS} connections: the oldest is closed");
                    oldest.abort();
                }
                let connection = handle(transport.clone(), stream, router.clone());
                let connection = tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!("connection: {error:#}");
                    }
                });
                places.push_back(connection.abort_handle());
            }
            Err(error) => {
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

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn silent_connections_keep_nobody_out() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let router = Router::new().route("/healthz", get(async || "ok"));
        let serving = tokio::spawn(serve(listener, router, Transport::Plain, stop.clone()));
        let mut silent = Vec::new();
        for _ in 0..MAX_CONNECTIONS {
            silent.push(TcpStream::connect(address).await.expect("a connection"));
        }
        for _ in 0..3 {
            let mut probe = TcpStream::connect(address).await.expect("a connection");
            probe.write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("it is written");
            let mut answer = String::new();
            probe.read_to_string(&mut answer).await.expect("an answer");
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
        let mut rest = Vec::new();
        let closed = timeout(PATIENCE / 2, silent[0].read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "the oldest was closed before its time");
        stop.cancel();
        serving.await.expect("it ends");
    }
}
