//! What Artillery itself makes of a script: one worker is started, tells its plan as it joins, and is turned away, before any hook or
//! request.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use collector::session::Hello;
use collector::{Counters, Limits, Reason, Transport, serve};
use loadtest::api::{Artillery, Distribution, Hooks};
use loadtest::process;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::artillery::Found;
use super::edge::random_hex;
use super::workers::{Common, Workers};
use crate::exit::Failure;
use crate::signals::Signals;
use crate::terminal::say;

/// Artillery takes seconds to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);
/// A worker that was turned away ends at once.
const LEAVING: Duration = Duration::from_secs(20);

/// What comes of it.
#[derive(Clone, Debug)]
pub enum Answer {
    /// What it makes of the script.
    Plan(Box<Hello>),
    /// It ended before, and this is the end of what it printed.
    Refused(String),
}

/// Asks Artillery.
///
/// # Errors
/// There is none, it cannot be started, or it does not answer.
pub async fn resolve(
    found: &Found,
    script: &std::path::Path,
    environment: Option<&str>,
    artillery: &Artillery,
    signals: &mut Signals,
) -> Result<Answer, Failure> {
    let folder = super::private_folder()?;
    let token = random_hex()?;
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let (told, mut hellos) = unbounded_channel();
    let address = listen(token.clone(), told, &stop).await?;
    let uid = random_hex()?;
    let common = Common {
        artillery: found,
        arguments: process::arguments(script.display().to_string(), environment, artillery, str::to_owned),
        uid: &uid,
        name: "plan",
        collector: &address,
        start_timeout_seconds: 60,
        // a worker that shares the load must not run without an answer, whatever happens to us
        distribution: Distribution::Split,
        hooks: Hooks::PerWorker,
        folder: folder.path(),
        shows_logs: false,
    };
    say(format_args!("asking Artillery {}, which takes a few seconds", found.version));
    let mut workers = Workers::start(&common, &[token])?;
    let answer = async {
        tokio::select! {
            Some(hello) = hellos.recv() => {
                // what it began is cleared away by itself
                if timeout(LEAVING, workers.next_end()).await.is_err() {
                    workers.signal(Signal::SIGKILL);
                }
                Ok(Answer::Plan(Box::new(hello)))
            }
            ended = workers.next_end() => {
                let code = ended.map_or(1, |(_, code)| code);
                let said = workers.tail(0);
                let lines = said.lines().map(str::trim_end);
                let lines = lines.filter(|line| !line.is_empty() && !line.starts_with("Test run id"));
                let said = lines.collect::<Vec<_>>().join("\n  ");
                let said = if said.is_empty() { format!("exit code {code}") } else { said };
                Ok(Answer::Refused(said))
            }
        }
    };
    let late = |_| {
        let seconds = PATIENCE.as_secs();
        Failure::internal(format!(
            "Artillery {} did not say within {seconds} s what it makes of the script",
            found.version
        ))
    };
    tokio::select! {
        answer = timeout(PATIENCE, answer) => answer.map_err(late)?,
        // what was begun is cleared away
        () = signals.next() => Err(Failure::interrupted("interrupted: Artillery was not waited for")),
    }
}

#[derive(Clone)]
struct Asking {
    token: Arc<str>,
    told: UnboundedSender<Hello>,
}

/// A collector that turns every worker away, on a free port of loopback, until `stop`; and its address.
async fn listen(
    token: String,
    told: UnboundedSender<Hello>,
    stop: &CancellationToken,
) -> Result<String, Failure> {
    let cannot = |error: std::io::Error| Failure::internal(format!("cannot listen on 127.0.0.1: {error}"));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(cannot)?;
    let address = format!("http://{}", listener.local_addr().map_err(cannot)?);
    let router = Router::new().route("/v1/join", post(join)).with_state(Asking { token: token.into(), told });
    let counters = Arc::new(Counters::default());
    tokio::spawn(serve(listener, router, Transport::Plain, Limits::default(), counters, stop.clone()));
    Ok(address)
}

async fn join(State(asking): State<Asking>, headers: HeaderMap, body: Bytes) -> (StatusCode, String) {
    let error = |status, why: &str| (status, json!({ "error": why }).to_string());
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if bearer.and_then(|value| value.strip_prefix("Bearer ")) != Some(&asking.token) {
        return error(StatusCode::UNAUTHORIZED, "the token is not valid for this collector");
    }
    match Hello::read(&body) {
        Ok(hello) => {
            // nobody listens any more where it joins again
            let _ = asking.told.send(hello);
            let reason = Reason::Gone;
            let refused: Value =
                json!({ "refused": { "reason": reason.name(), "message": "only its plan was asked for" } });
            (StatusCode::from_u16(reason.status()).unwrap_or(StatusCode::GONE), refused.to_string())
        }
        Err(why) => error(StatusCode::BAD_REQUEST, &why.to_string()),
    }
}
