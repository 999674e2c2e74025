//! The server that load tests are pointed at and judged by: it answers as a small shop and counts every request.
//!
//! What is counted: every HTTP request whose head arrived and could be parsed, exactly once, under the status that
//! was decided for it. That happens when its body has arrived, *before* `?delayMilliseconds` is waited out: a client that
//! leaves during the delay was counted with the status it would have got. A client that breaks off while it sends
//! its body is counted as 400; if nobody is left to decide (the server is stopping), as [`STATUS_UNDECIDED`].
//! Not counted: connections without a request, and bytes that are no HTTP request (the HTTP library refuses them).
//! A message of a WebSocket counts as a request, with the method [`MESSAGE`], when it has arrived whole.

mod connection;
mod counts;
mod echo;
mod routes;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, HttpBody};
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use counts::{
    ARRIVAL_SECONDS, Arrivals, Counts, MAX_KEYS, MAX_METHOD_BYTES, MAX_PATH_BYTES, RequestCount,
};
pub use echo::{MAX_MESSAGE_BYTES, MESSAGE};
pub use routes::MAX_DELAY_MILLISECONDS;

/// Largest request body in bytes; a larger one is answered with 413.
pub const MAX_BODY_BYTES: usize = 1 << 20;
/// The status under which a request is counted that was dropped before one was decided (nginx's code for it).
pub const STATUS_UNDECIDED: u16 = 499;
/// How long requests may still take once the server was told to stop.
pub const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Serves the shop on `service` and its counts on `admin` until `shutdown` completes; then no connection is accepted,
/// and requests under way have [`SHUTDOWN_GRACE`] to end.
///
/// Admin routes: `GET /counts` ([`Counts`]); `DELETE /counts` answers the same and begins anew, arrivals included;
/// `GET /arrivals` (a list of [`Arrivals`]); `GET /healthz`.
///
/// # Errors
/// When one of the listeners fails for good.
pub async fn serve(
    service: TcpListener,
    admin: TcpListener,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let target = Arc::new(Target::default());
    let shop = Router::new().fallback(answer).with_state(target.clone());
    let numbers = Router::new()
        .route("/counts", get(show_counts).delete(reset_counts))
        .route("/arrivals", get(show_arrivals))
        .route("/healthz", get(|| async { "ok" }))
        .with_state(target);

    let (stop, stopping) = watch::channel(false);
    let stopped = |mut stopping: watch::Receiver<bool>| async move {
        // an error means that the sender is gone: that is the end as well
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    let shop =
        axum::serve(connection::Connections(service), shop).with_graceful_shutdown(stopped(stopping.clone()));
    let numbers = axum::serve(admin, numbers).with_graceful_shutdown(stopped(stopping));
    let both = async { tokio::try_join!(shop.into_future(), numbers.into_future()).map(|_| ()) };
    let out_of_time = async {
        shutdown.await;
        stop.send_replace(true);
        tokio::time::sleep(SHUTDOWN_GRACE).await;
    };
    tokio::select! {
        ended = both => ended,
        () = out_of_time => Ok(()),
    }
}

#[derive(Default)]
struct Target {
    recorder: Mutex<counts::Recorder>,
    ordinal: AtomicU64,
}

impl Target {
    /// The lock is held for a few map operations and never across an await.
    fn recorder(&self) -> MutexGuard<'_, counts::Recorder> {
        self.recorder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that is counted when this is dropped: whatever becomes of it, once.
struct Undecided {
    target: Arc<Target>,
    method: Method,
    uri: Uri,
    arrived: u64,
    status: u16,
}

impl Undecided {
    fn decide(mut self, status: StatusCode) {
        self.status = status.as_u16();
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        let (method, path) = (self.method.as_str(), self.uri.path());
        self.target.recorder().record(method, path, self.status, self.arrived);
    }
}

async fn answer(State(target): State<Arc<Target>>, request: Request) -> Response {
    let (mut head, body) = request.into_parts();
    let upgrade = match head.uri.path() {
        echo::PATH => WebSocketUpgrade::from_request_parts(&mut head, &()).await.ok(),
        _ => None,
    };
    let request = Undecided {
        target: target.clone(),
        method: head.method,
        uri: head.uri,
        arrived: unix_milliseconds(),
        status: STATUS_UNDECIDED,
    };
    if let Some(upgrade) = upgrade {
        request.decide(StatusCode::SWITCHING_PROTOCOLS);
        return echo::switch(target, upgrade);
    }
    let reply = match drain(body).await {
        Ok(()) => {
            let ordinal = target.ordinal.fetch_add(1, Ordering::Relaxed) + 1;
            let (method, uri) = (request.method.as_str(), &request.uri);
            routes::reply(method, uri.path(), uri.query().unwrap_or_default(), ordinal)
        }
        Err(refusal) => refusal,
    };
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    request.decide(status);
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    match reply.body {
        Some(body) => (status, Json(body)).into_response(),
        None => status.into_response(),
    }
}

/// Reads the body and drops it. The error is the reply to a body that cannot be had.
async fn drain(body: Body) -> Result<(), routes::Reply> {
    let too_large =
        || routes::Reply::error(413, &format!("the body is larger than {MAX_BODY_BYTES} bytes: send less"));
    if body.size_hint().lower() > MAX_BODY_BYTES as u64 {
        return Err(too_large());
    }
    let mut left = MAX_BODY_BYTES;
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk
            .map_err(|error| routes::Reply::error(400, &format!("the body did not arrive whole: {error}")))?;
        left = left.checked_sub(chunk.len()).ok_or_else(too_large)?;
    }
    Ok(())
}

async fn show_counts(State(target): State<Arc<Target>>) -> Json<Counts> {
    let counts = target.recorder().counts();
    Json(counts)
}

async fn reset_counts(State(target): State<Arc<Target>>) -> Json<Counts> {
    let before = std::mem::take(&mut *target.recorder());
    Json(before.counts())
}

async fn show_arrivals(State(target): State<Arc<Target>>) -> Json<Vec<Arrivals>> {
    let arrivals = target.recorder().arrivals();
    Json(arrivals)
}

fn unix_milliseconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
