//! Metrics over TLS, for those whom the API server lets read them: what the first operator had a side-car for.
//!
//! The certificate is made anew by each process, as kube-rbac-proxy does it: scrapers trust the token check, not a CA.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::api::{Api, PostParams};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_util::sync::CancellationToken;

/// Connections at a time; scrapers are few.
const MAX_CONNECTIONS: usize = 32;
/// How long a handshake, a request's head or a review may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a connection may last.
const CONNECTION_LIFE: Duration = Duration::from_secs(300);

/// Serves `router` over TLS to those who may `get` the path that they ask for, until `stop`.
///
/// # Errors
/// No certificate could be made.
pub async fn secure_metrics(
    listener: TcpListener,
    router: Router,
    client: kube::Client,
    stop: CancellationToken,
) -> Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(certificate()?));
    let router = router.layer(from_fn_with_state(client, authorize));
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        match (accepted, Arc::clone(&places).try_acquire_owned()) {
            (Ok((stream, _)), Ok(place)) => {
                let connection = serve(acceptor.clone(), stream, router.clone());
                tokio::spawn(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!("metrics connection: {error:#}");
                    }
                    drop(place);
                });
            }
            (Ok(_), Err(_)) => {
                tracing::warn!("more than {MAX_CONNECTIONS} metrics connections: one was closed")
            }
            (Err(error), _) => {
                tracing::warn!("cannot accept metrics connections: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await; // out of file descriptors: a retry at once would spin
            }
        }
    }
}

fn certificate() -> Result<ServerConfig> {
    let names = vec!["localhost".to_owned(), "controller-manager-metrics-service".to_owned()];
    let made =
        rcgen::generate_simple_self_signed(names).context("cannot make a certificate for the metrics")?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .context("cannot use the certificate for the metrics")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, router: Router) -> Result<()> {
    let stream = timeout(PATIENCE, acceptor.accept(stream)).await.context("no handshake in time")??;
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    timeout(CONNECTION_LIFE, connection).await.context("a long connection")??;
    Ok(())
}

async fn authorize(State(client): State<kube::Client>, request: Request, next: Next) -> Response {
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
    let path = request.uri().path().to_owned();
    let Some(token) = token else {
        return (StatusCode::UNAUTHORIZED, "send a ServiceAccount token: Authorization: Bearer …\n")
            .into_response();
    };
    match timeout(PATIENCE, may_get(client, token, &path)).await {
        Ok(Ok(Verdict::Allowed)) => next.run(request).await,
        Ok(Ok(Verdict::Unknown)) => {
            (StatusCode::UNAUTHORIZED, "the API server does not know this token\n").into_response()
        }
        Ok(Ok(Verdict::Denied(user))) => {
            let message = format!(
                "{user} may not get {path}: bind it to the ClusterRole artillery-operator-metrics-reader\n"
            );
            (StatusCode::FORBIDDEN, message).into_response()
        }
        Ok(Err(error)) => {
            tracing::warn!("cannot review a request for metrics: {error:#}");
            (StatusCode::SERVICE_UNAVAILABLE, "the API server did not review the request\n").into_response()
        }
        Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the API server did not answer in time\n").into_response()
        }
    }
}

enum Verdict {
    Allowed,
    Unknown,
    Denied(String),
}

async fn may_get(client: kube::Client, token: String, path: &str) -> Result<Verdict> {
    let review = TokenReview {
        spec: TokenReviewSpec { token: Some(token), audiences: None },
        ..TokenReview::default()
    };
    let reviews: Api<TokenReview> = Api::all(client.clone());
    let reviewed = reviews.create(&PostParams::default(), &review).await.context("TokenReview")?;
    let Some((true, user)) =
        reviewed.status.map(|s| (s.authenticated == Some(true), s.user.unwrap_or_default()))
    else {
        return Ok(Verdict::Unknown);
    };
    let UserInfo { username, uid, groups, extra } = user;
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some(path.to_owned()),
                verb: Some("get".to_owned()),
            }),
            user: username.clone(),
            uid,
            groups,
            extra,
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client);
    let reviewed = reviews.create(&PostParams::default(), &review).await.context("SubjectAccessReview")?;
    match reviewed.status {
        Some(SubjectAccessReviewStatus { allowed: true, .. }) => Ok(Verdict::Allowed),
        _ => Ok(Verdict::Denied(username.unwrap_or_default())),
    }
}
