//! What is answered, as the protocol spells it.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use serde_json::{Value, json};

use crate::body::BodyError;
use crate::collector::Turned;
use crate::edge::Refused;
use crate::session::{Joined, Progress, StartAnswer, Variables};
use crate::tokens::Unheard;

/// Who is told to come again, is told to after this many seconds.
const AGAIN: Duration = Duration::from_secs(1);

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Value,
    /// Stand in the body beside the rest, as they were told.
    pub(crate) variables: Option<Variables>,
    pub(crate) retry_after: Option<Duration>,
    /// Whether its worker has nothing to say for a while: for seconds, where there are many.
    pub(crate) is_pause: bool,
}

impl Answer {
    fn new(status: StatusCode, body: Value) -> Self {
        Self { status, body, variables: None, retry_after: None, is_pause: false }
    }

    fn text(&self) -> String {
        let mut body = self.body.to_string();
        if let Some(variables) = &self.variables {
            // another field of what is an object, and has fields
            body.truncate(body.len() - 1);
            body.push_str(",\"variables\":");
            body.push_str(variables);
            body.push('}');
        }
        body
    }

    /// An error that the request itself is the reason of, or that only time mends.
    pub(crate) fn error(status: StatusCode, why: impl std::fmt::Display) -> Self {
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(AGAIN);
        Self { retry_after, ..Self::new(status, json!({ "error": why.to_string() })) }
    }

    pub(crate) fn refused(refused: &Refused) -> Self {
        let status = StatusCode::from_u16(refused.reason.status()).unwrap_or(StatusCode::GONE);
        let body = json!({"refused": {"reason": refused.reason.name(), "message": refused.message}});
        Self::new(status, body)
    }
}

impl From<Joined> for Answer {
    fn from(Joined { index, workers, share }: Joined) -> Self {
        let mut body = json!({"index": index, "workers": workers});
        if let Some(phases) = share {
            body["share"] = json!({ "phases": phases });
        }
        Self { is_pause: true, ..Self::new(StatusCode::OK, body) }
    }
}

impl From<(StartAnswer, Option<Variables>)> for Answer {
    fn from((answer, variables): (StartAnswer, Option<Variables>)) -> Self {
        let body = match answer {
            StartAnswer::Wait { pause, ready, workers } => {
                let milliseconds = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
                json!({"wait": {"milliseconds": milliseconds, "ready": ready, "workers": workers}})
            }
            StartAnswer::Go { milliseconds } => json!({"go": {"inMilliseconds": milliseconds}}),
        };
        Self { is_pause: true, variables, ..Self::new(StatusCode::OK, body) }
    }
}

impl From<Progress> for Answer {
    fn from(Progress { received, durable, finished, stop, others_ended }: Progress) -> Self {
        let stop = stop.then_some("Graceful");
        let mut body = json!({"received": received, "durable": durable, "finished": finished, "stop": stop});
        if others_ended {
            body["othersEnded"] = true.into();
        }
        Self::new(StatusCode::OK, body)
    }
}

impl From<Turned> for Answer {
    fn from(turned: Turned) -> Self {
        match turned {
            Turned::Refused(refused) => Self::refused(&refused),
            Turned::Unknown => Self::new(StatusCode::NOT_FOUND, json!({"unknown": true})),
            Turned::NotNow(why) => Self::error(StatusCode::SERVICE_UNAVAILABLE, why),
        }
    }
}

impl From<Unheard> for Answer {
    fn from(unheard: Unheard) -> Self {
        match unheard {
            Unheard::Refused(refused) => Self::refused(&refused),
            Unheard::Invalid => {
                Self::error(StatusCode::UNAUTHORIZED, "the token is not valid for this collector")
            }
            Unheard::Unavailable(why) => Self::error(StatusCode::SERVICE_UNAVAILABLE, why),
            Unheard::TooMany(after) => {
                let answer = Self::error(StatusCode::TOO_MANY_REQUESTS, "too many requests: ask less often");
                Self { retry_after: Some(after), ..answer }
            }
        }
    }
}

impl From<BodyError> for Answer {
    fn from(error: BodyError) -> Self {
        let status = match error {
            BodyError::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::TooSlow => StatusCode::REQUEST_TIMEOUT,
            BodyError::Broken(_) => StatusCode::BAD_REQUEST,
            BodyError::NoRoom => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::error(status, error)
    }
}

impl From<Answer> for Response {
    fn from(answer: Answer) -> Self {
        let mut response = Self::new(Body::from(answer.text()));
        *response.status_mut() = answer.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(after) = answer.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_told_as_they_were_told() {
        let answer = Answer::from((StartAnswer::Go { milliseconds: 5.5 }, Some(r#"{"a": [1.0]}"#.into())));
        assert_eq!(answer.text(), r#"{"go":{"inMilliseconds":5.5},"variables":{"a": [1.0]}}"#);
    }
}
