//! The routes: probes and metrics.

use std::sync::Arc;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// What `/readyz` answers: a manager that stands by is ready to take over; one that acts is ready once it knows all
/// that there is, which it never does without its rights or the CRD.
#[derive(Clone, Default)]
pub struct Readiness {
    /// Cancelled when this manager begins to act.
    pub acts: CancellationToken,
    /// Cancelled when it knows all that there is.
    pub synced: CancellationToken,
}

/// `/healthz` and `/readyz`.
pub fn health(readiness: Readiness) -> Router {
    let ready = move || {
        let is_ready = !readiness.acts.is_cancelled() || readiness.synced.is_cancelled();
        async move {
            if is_ready {
                (StatusCode::OK, "ok\n")
            } else {
                (StatusCode::SERVICE_UNAVAILABLE, "not synced\n")
            }
        }
    };
    Router::new().route("/healthz", get(|| async { "ok\n" })).route("/readyz", get(ready))
}

/// `/metrics`.
pub fn metrics(metrics: Arc<Metrics>) -> Router {
    Router::new().route("/metrics", get(move || async move { text(&metrics) }))
}

fn text(metrics: &Metrics) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
