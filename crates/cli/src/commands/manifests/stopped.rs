//! Load tests of manifests that nobody follows are stopped where their user thinks better of it while they are applied.

use std::time::Duration;

use futures::future::join_all;
use loadtest::api::Stop;
use tokio::time::timeout;

use super::Test;
use crate::cluster::Connection;
use crate::cluster::stop::stop_at_last;
use crate::exit::Failure;
use crate::terminal::{harmless_lines, say, say_failure};

/// How long a cluster is told to stop what was applied.
const PATIENCE: Duration = Duration::from_secs(30);

/// What came of stopping load tests.
pub(super) struct Stopped {
    /// Those that were there, and the command that deletes each.
    stopped: Vec<(String, String)>,
    /// Whether some may go on, which was said.
    go_on: bool,
}

impl Stopped {
    /// As an end by their user.
    pub(super) fn interrupted(&self) -> Failure {
        let names = self.stopped.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
        Failure::interrupted(match (names.is_empty(), self.go_on) {
            (true, false) => "interrupted: none of the load tests was applied".to_owned(),
            (true, true) => "interrupted: load tests go on, see above".to_owned(),
            (false, false) => format!("interrupted: stopped what was applied: {names}"),
            (false, true) => format!("interrupted: stopped {names}; others go on, see above"),
        })
    }

    /// What is left of them; `None` where none was there.
    pub(super) fn stays(&self) -> Option<String> {
        let stops = self.stopped.iter().map(|(name, delete)| {
            format!("the load test {name} was applied, and is stopped; it stays: {delete} removes it")
        });
        let go_on = self.go_on.then(|| "load tests may go on, see above".to_owned());
        let words = stops.chain(go_on).collect::<Vec<_>>().join("; ");
        (!words.is_empty()).then_some(words)
    }
}

/// Stops those of them that are there. What cannot be stopped is said.
pub(super) async fn stop_all(connection: &Connection, tests: &[Test]) -> Stopped {
    let stopping = tests.iter().map(|test| stop_applied(connection.in_namespace(&test.namespace), test));
    let mut all = Stopped { stopped: Vec::new(), go_on: false };
    for (done, Test { namespace, name, .. }) in join_all(stopping).await.into_iter().zip(tests) {
        match done {
            Ok(true) => {
                let delete = connection.in_namespace(namespace).kubectl(&format!("delete loadtest {name}"));
                all.stopped.push((name.clone(), delete));
            }
            Ok(false) => {}
            Err(failure) => {
                all.go_on = true;
                say_failure(&failure);
            }
        }
    }
    all
}

/// Stops one that kubectl may have applied. Returns whether it had.
async fn stop_applied(connection: Connection, test: &Test) -> Result<bool, Failure> {
    let name = &test.name;
    let say = |words: &str| say(harmless_lines(words));
    let stopping = stop_at_last(&connection, name, None, Stop::Graceful, say);
    timeout(PATIENCE, stopping).await.unwrap_or_else(|_| {
        let stop = connection.hint(&format!("stop {name}"));
        let seconds = PATIENCE.as_secs();
        Err(Failure::cluster(format!(
            "the load test {name} is not stopped within {seconds} s, and may go on: {stop}"
        )))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::Request as Asked;
    use axum::http::{Method, StatusCode};
    use axum::response::IntoResponse as _;
    use serde_json::{Value, json};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_was_applied_is_stopped_and_nothing_else() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let uri = format!("http://{}", listener.local_addr().expect("it"));
        let patched = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&patched);
        let router = Router::new().fallback(move |asked: Asked| {
            let path = asked.uri().path().to_owned();
            let name = path.rsplit('/').next().unwrap_or_default().to_owned();
            let status = |code: u16, reason: &str| {
                let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "no" });
                (StatusCode::from_u16(code).expect("a code"), status.to_string()).into_response()
            };
            let is_patch = asked.method() == Method::PATCH;
            let answer = match name.as_str() {
                // what fails to be read is stopped nevertheless
                _ if !is_patch => status(500, "InternalError"),
                "b" => status(404, "NotFound"),
                "c" => status(403, "Forbidden"),
                _ => {
                    let spec = json!({ "testScript": { "config": { "configMap": "a" } } });
                    let there = json!({ "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": { "name": name, "uid": "1" }, "spec": spec });
                    there.to_string().into_response()
                }
            };
            let seen = Arc::clone(&seen);
            async move {
                if is_patch {
                    let body = axum::body::to_bytes(asked.into_body(), 1 << 16).await.expect("a body");
                    let patch: Value = serde_json::from_slice(&body).expect("JSON");
                    seen.lock().expect("it").push((path, patch));
                }
                answer
            }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        let connection = Connection::to(&uri);
        let test = |name: &str| Test { namespace: "other".to_owned(), name: name.to_owned(), uid: None };
        let ended = |failure: Failure| (failure.exit.code(), failure.to_string());
        let none = stop_all(&connection, &[test("b")]).await;
        assert_eq!(none.stays(), None);
        let none = ended(none.interrupted());
        assert_eq!(none, (130, "interrupted: none of the load tests was applied".to_owned()));
        let one = stop_all(&connection, &[test("a"), test("b")]).await;
        let stays = "the load test a was applied, and is stopped; it stays: kubectl delete loadtest a -n other --context test removes it";
        assert_eq!(one.stays().as_deref(), Some(stays));
        let one = ended(one.interrupted());
        assert_eq!(one, (130, "interrupted: stopped what was applied: a".to_owned()));
        let patch = json!({ "spec": { "stop": "Graceful" } });
        let path = "/apis/loadtest.artillery.io/v1alpha1/namespaces/other/loadtests/a".to_owned();
        assert!(patched.lock().expect("it").contains(&(path, patch)));
        let some = stop_all(&connection, &[test("a"), test("c")]).await;
        assert_eq!(some.stays(), Some(format!("{stays}; load tests may go on, see above")));
        let refused = ended(some.interrupted());
        assert_eq!(refused, (130, "interrupted: stopped a; others go on, see above".to_owned()));
    }
}
