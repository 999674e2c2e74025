//! A load test in a cluster is told to end before its time.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use loadtest::LoadTest;
use loadtest::api::Stop;
use serde_json::json;
use tokio::time::sleep;

use super::{Connection, is_lost};
use crate::exit::Failure;

/// How long it is until another try.
const PAUSE: Duration = Duration::from_secs(2);

/// Ends a load test before its time; of that UID alone, where it is known.
///
/// # Errors
/// It is not there, is another, or may not be changed.
pub async fn stop(
    connection: &Connection,
    name: &str,
    uid: Option<String>,
    how: Stop,
) -> Result<LoadTest, Failure> {
    patch(connection, name, uid.as_deref(), how).await.map_err(|error| refused(connection, name, &error))
}

/// The same, tried again for as long as it is waited for where the cluster does not answer, which is said once. Returns whether it is there.
///
/// # Errors
/// What does not become better by trying again.
pub async fn stop_at_last(
    connection: &Connection,
    name: &str,
    uid: Option<String>,
    how: Stop,
    say: impl Fn(&str),
) -> Result<bool, Failure> {
    let mut was_said = false;
    loop {
        let error = match patch(connection, name, uid.as_deref(), how).await {
            Ok(_) => return Ok(true),
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(false),
            Err(error) => error,
        };
        let failure = refused(connection, name, &error);
        if !is_lost(&error) {
            return Err(failure);
        }
        if !was_said {
            say(&format!("{failure}; it is tried again"));
            was_said = true;
        }
        sleep(PAUSE).await;
    }
}

fn refused(connection: &Connection, name: &str, error: &kube::Error) -> Failure {
    connection.refused(&format!("stop the load test {name}"), error)
}

async fn patch(
    connection: &Connection,
    name: &str,
    uid: Option<&str>,
    how: Stop,
) -> Result<LoadTest, kube::Error> {
    let mut patch = json!({ "spec": { "stop": how } });
    if let Some(uid) = uid {
        // the API server refuses it of another
        patch["metadata"] = json!({ "uid": uid });
    }
    // an older operator does not know the field, which would be left away in silence
    let params = PatchParams::default().validation_strict();
    connection.load_tests().patch(name, &params, &Patch::Merge(patch)).await
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::Request as Asked;
    use axum::http::StatusCode;
    use tokio::net::TcpListener;

    use super::super::bare;
    use super::*;

    /// Stops a load test where the cluster answers these, or takes anything of which it may leave fields away. Returns what came of it, what
    /// was said, and how many answers nobody asked for.
    async fn stopped(answers: Vec<(u16, serde_json::Value)>) -> (Result<bool, Failure>, String, usize) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let connection = Connection::to(&format!("http://{}", listener.local_addr().expect("it")));
        let left = Arc::new(Mutex::new(answers));
        let answers = Arc::clone(&left);
        let router = Router::new().fallback(move |asked: Asked| {
            let is_strict = asked.uri().query().is_some_and(|query| query.contains("fieldValidation=Strict"));
            let (code, body) = if is_strict { answers.lock().expect("it").remove(0) } else { taken() };
            async move { (StatusCode::from_u16(code).expect("a code"), body.to_string()) }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        let said = Mutex::new(String::new());
        let say = |words: &str| said.lock().expect("it").push_str(words);
        let stopped = stop_at_last(&connection, "t", Some("1".to_owned()), Stop::Graceful, say).await;
        let left = left.lock().expect("it").len();
        (stopped, said.into_inner().expect("it"), left)
    }

    fn taken() -> (u16, serde_json::Value) {
        let spec = json!({ "testScript": { "config": { "configMap": "a" } }, "stop": "Graceful" });
        let there = json!({ "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": { "name": "t" }, "spec": spec });
        (200, there)
    }

    #[tokio::test]
    async fn an_operator_that_knows_no_stop_is_told_to_be_older() {
        let (code, mut unknown) = bare(422);
        unknown["message"] = json!("strict decoding error: unknown field \"spec.stop\"");
        let (done, said, left) = stopped(vec![(code, unknown), taken()]).await;
        let failure = done.expect_err("nothing stops");
        let older = "cannot stop the load test t: the operator in this cluster is older than this program: strict decoding error: unknown field \"spec.stop\"";
        assert_eq!((failure.exit.code(), failure.to_string().as_str()), (4, older));
        assert_eq!((said.as_str(), left), ("", 1));
    }

    #[tokio::test]
    async fn a_cluster_that_fails_is_told_again_and_one_that_refuses_is_not() {
        let (done, said, left) = stopped(vec![bare(500), taken()]).await;
        assert_eq!((done.expect("it is told"), left), (true, 0));
        assert_eq!(said, "cannot stop the load test t: the cluster answers 500: no; it is tried again");
        let (done, said, left) = stopped(vec![bare(403), bare(500)]).await;
        assert_eq!(done.expect_err("refused").to_string(), "cannot stop the load test t: no");
        assert_eq!((said.as_str(), left), ("", 1));
        let (done, said, left) = stopped(vec![bare(404), bare(500)]).await;
        assert_eq!((done.expect("it is not there"), said.as_str(), left), (false, "", 1));
    }
}
