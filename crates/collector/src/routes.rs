//! The four requests of the protocol: who sends it, what it says, what becomes of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use metrics::aggregate::PERIOD;
use metrics::wire::{Batch, BatchError, MAX_BATCH_BYTES, MAX_COUNT};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::time::sleep;

use crate::answers::Answer;
use crate::collector::{Collector, NOT_LEADING};
use crate::counters::Endpoint;
use crate::edge::{Identify, Store};
use crate::session::{Before, Fingerprint, Finish, HOOKS_WORKER, Hello, Nonce, Process, Taken};
use crate::tokens::{InWork, Known};

/// The largest body of a join or a finish, in bytes.
const MAX_JSON: usize = 256 << 10;
/// The largest body of a question about the start: 64 KiB of variables, and what is around them.
const MAX_POLL: usize = (64 << 10) + (1 << 10);
/// A request costs one more for so many bytes, for they are work to read.
const BYTES_PER_REQUEST: f64 = 65_536.0;
/// How long strangers wait for their answer.
const STRANGERS_WAIT: Duration = Duration::from_millis(250);
/// The header with the number of the process.
const PROCESS: &str = "loadtest-process";

/// The other end of a connection: put into requests by the server where it is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// Put into an answer after which its worker has nothing to say for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotSoonAgain;

impl<I: Identify, S: Store> Collector<I, S> {
    /// The requests of the protocol. [`crate::serve`] serves them within bounds.
    pub fn router(&self) -> Router {
        let route = |endpoint| {
            post(move |State(collector): State<Self>, request: Request| async move {
                let answer = collector.answer(endpoint, request).await.unwrap_or_else(|answer| answer);
                collector.reply(endpoint, answer).await
            })
        };
        let nowhere = |State(collector): State<Self>, request: Request| async move {
            let why = format!("there is no {} here: see docs/protocol.md", request.uri().path());
            collector.reply(Endpoint::Other, Answer::error(StatusCode::NOT_FOUND, why)).await
        };
        let not_so = |State(collector): State<Self>| async move {
            let answer = Answer::error(StatusCode::METHOD_NOT_ALLOWED, "POST is expected");
            collector.reply(Endpoint::Other, answer).await
        };
        Router::new()
            .route("/v1/join", route(Endpoint::Join))
            .route("/v1/start", route(Endpoint::Start))
            .route("/v1/batches", route(Endpoint::Batches))
            .route("/v1/finish", route(Endpoint::Finish))
            .method_not_allowed_fallback(not_so)
            .fallback(nowhere)
            .with_state(self.clone())
    }

    /// Counts an answer and gives it; to strangers, and to those who ask too often, after a while, so that they do not ask again at once.
    async fn reply(&self, endpoint: Endpoint, answer: Answer) -> Response {
        self.0.counters.answered(endpoint, answer.status.as_u16());
        let is_stranger = matches!(
            answer.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
        );
        if is_stranger || endpoint == Endpoint::Other {
            sleep(STRANGERS_WAIT).await;
        }
        let is_pause = answer.is_pause;
        let mut response = Response::from(answer);
        if is_pause {
            response.extensions_mut().insert(NotSoonAgain);
        }
        response
    }

    /// `Err` is an answer as well: one that comes early.
    async fn answer(&self, endpoint: Endpoint, request: Request) -> Result<Answer, Answer> {
        if !self.is_leading() {
            return Err(Answer::error(StatusCode::SERVICE_UNAVAILABLE, NOT_LEADING));
        }
        let (head, body) = request.into_parts();
        let (known, process, _in_work) = self.sender(&head).await?;
        let limit = match endpoint {
            Endpoint::Join | Endpoint::Finish => MAX_JSON,
            Endpoint::Batches => MAX_BATCH_BYTES,
            Endpoint::Start | Endpoint::Other => MAX_POLL,
        };
        let body = self.0.room.read(body, limit).await?;
        let size = body.bytes.len();
        self.0.counters.bytes.add(size as u64);
        #[allow(clippy::cast_precision_loss, reason = "sizes are small")]
        known.weigh((size as f64 / BYTES_PER_REQUEST).floor(), self.0.clock.now())?;
        match endpoint {
            Endpoint::Join => self.join(&known, &process, &body.bytes).await,
            Endpoint::Start | Endpoint::Other => self.start(&known, &process, &body.bytes).await,
            Endpoint::Batches => self.batches(&known, &process, &body.bytes).await,
            Endpoint::Finish => self.finish(&known, &process, &body.bytes).await,
        }
    }

    async fn sender(&self, head: &Parts) -> Result<(Arc<Known>, Process, InWork), Answer> {
        let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let bearer = text(header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
        let Some(token) = bearer.map(str::trim).filter(|token| !token.is_empty()) else {
            return Err(Answer::error(StatusCode::UNAUTHORIZED, "`Authorization: Bearer TOKEN` is expected"));
        };
        let Some(nonce) = text(PROCESS).and_then(Nonce::parse) else {
            let why = "`Loadtest-Process` has 32 lowercase hexadecimal digits, drawn when the process starts";
            return Err(Answer::error(StatusCode::BAD_REQUEST, why));
        };
        let peer = head.extensions.get::<Peer>().map(|peer| peer.0);
        let known = self.0.tokens.identify(&self.0.identify, token, peer, &self.0.clock).await?;
        let in_work = known.admit(self.0.clock.now())?;
        let process = Process { pod_uid: known.identity.pod_uid.clone(), nonce };
        Ok((known, process, in_work))
    }

    async fn join(&self, known: &Known, process: &Process, body: &[u8]) -> Result<Answer, Answer> {
        let hello = Hello::read(body).map_err(|error| Answer::error(StatusCode::BAD_REQUEST, error))?;
        let (index, distribution) = (known.identity.index, known.identity.distribution);
        let joined = self
            .with(&known.identity, |session, now| session.join_as(distribution, index, process, hello, now))
            .await?;
        Ok(joined.into())
    }

    async fn start(&self, known: &Known, process: &Process, body: &[u8]) -> Result<Answer, Answer> {
        let index = known.identity.index;
        let before = read_start(body, index).map_err(|why| Answer::error(StatusCode::BAD_REQUEST, why))?;
        let poll = self.with(&known.identity, |session, now| match before {
            Some(before) => session.poll_once(index, process, before, now),
            None => Ok((session.poll(index, process, now)?, None)),
        });
        Ok(poll.await?.into())
    }

    async fn batches(&self, known: &Known, process: &Process, body: &[u8]) -> Result<Answer, Answer> {
        let (index, counters) = (known.identity.index, &self.0.counters);
        if body.is_empty() {
            let (progress, is_ending) = self
                .with(&known.identity, |session, now| {
                    let progress = session.progress(index, process, now)?;
                    Ok((progress, session.is_ending(index)))
                })
                .await?;
            // one that ends waits for its last batches to be stored
            return Ok(Answer { is_pause: !is_ending, ..progress.into() });
        }
        let batch = Batch::decode(body, self.0.clock.now().millis()).map_err(|error| {
            counters.refused_batch(refusal(&error));
            Answer::error(StatusCode::BAD_REQUEST, format!("the batch cannot be taken: {error}"))
        })?;
        let (progress, taken) =
            self.with(&known.identity, |session, now| session.take(index, process, &batch, now)).await?;
        match taken {
            Taken::In => {
                counters.batches_accepted.inc();
                counters.values_refused.add(batch.refused.len() as u64);
                if batch.lost.is_some() {
                    counters.batches_lost.inc();
                }
            }
            Taken::Repeated => counters.batches_repeated.inc(),
            Taken::Ahead => counters.batches_ahead.inc(),
        }
        // one that has more to send, or ends, asks again at once
        let is_pause = taken == Taken::In && batch.period + 2 * PERIOD > self.0.clock.now().millis();
        Ok(Answer { is_pause, ..progress.into() })
    }

    async fn finish(&self, known: &Known, process: &Process, body: &[u8]) -> Result<Answer, Answer> {
        let index = known.identity.index;
        let finish = read_finish(body).map_err(|error| {
            Answer::error(StatusCode::BAD_REQUEST, format!("the end is not understood: {error}"))
        })?;
        let progress =
            self.with(&known.identity, |session, now| session.finish(index, process, finish, now)).await?;
        Ok(progress.into())
    }
}

/// The body of `POST /v1/start`.
#[derive(Default, Deserialize)]
struct StartBody {
    #[serde(default)]
    before: Option<Told>,
    #[serde(default)]
    variables: Option<Box<RawValue>>,
}

/// What a worker says of `before`, where it runs once.
#[derive(Deserialize)]
enum Told {
    Ran,
    Wanted,
    Known,
}

/// What the worker `index` says of `before`, if anything.
fn read_start(body: &[u8], index: u32) -> Result<Option<Before>, String> {
    let understood =
        |error: serde_json::Error| format!("the question about the start is not understood: {error}");
    let StartBody { before, variables } = if body.is_empty() {
        StartBody::default()
    } else {
        serde_json::from_slice(body).map_err(understood)?
    };
    match (before, variables) {
        (None, _) => Ok(None),
        (Some(Told::Wanted), _) => Ok(Some(Before::Wanted)),
        (Some(Told::Known), _) => Ok(Some(Before::Known)),
        (Some(Told::Ran), Some(variables)) if !variables.get().starts_with('{') => {
            Err("`variables` is no object: an object is expected".to_owned())
        }
        (Some(Told::Ran), Some(variables)) if index == HOOKS_WORKER => {
            Ok(Some(Before::Ran(variables.get().into())))
        }
        (Some(Told::Ran), Some(_)) => {
            Err(format!("`before` is Ran, of worker {index}: only worker {HOOKS_WORKER} runs it for all"))
        }
        (Some(Told::Ran), None) => {
            Err("`before` is Ran, without `variables`: an object is expected".to_owned())
        }
    }
}

/// The body of `POST /v1/finish`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FinishBody {
    batches: u64,
    #[serde(default)]
    exit_code: Option<i32>,
    #[serde(default)]
    counters: Option<BTreeMap<String, Value>>,
    #[serde(default)]
    cut_short: bool,
}

/// A counter that is no count is left out, as it is left out of batches.
fn read_finish(body: &[u8]) -> Result<Finish, serde_json::Error> {
    let FinishBody { batches, exit_code, counters, cut_short } = serde_json::from_slice(body)?;
    let counters = counters.map(|counters| {
        let counts = counters.iter().filter_map(|(name, value)| Some((name.as_str(), whole(value)?)));
        counts.collect::<Fingerprint>()
    });
    Ok(Finish { batches, exit_code, counters, cut_short })
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "whole and within bounds"
)]
fn whole(value: &Value) -> Option<u64> {
    let count = value.as_f64()?;
    (count >= 0.0 && count <= MAX_COUNT as f64 && count.fract() == 0.0).then_some(count as u64)
}

/// Why a batch is refused, as a label.
fn refusal(error: &BatchError) -> &'static str {
    match error {
        BatchError::TooLarge(_) => "too_large",
        BatchError::Malformed(_) => "malformed",
        BatchError::TooManyNames(_) => "too_many_names",
        BatchError::TooManyPhases(_) => "too_many_phases",
        BatchError::NoSequence => "no_sequence",
        BatchError::NoPeriod(_) => "no_period",
        BatchError::FromTheFuture(_) => "from_the_future",
        BatchError::TooOld(_) => "too_old",
    }
}
