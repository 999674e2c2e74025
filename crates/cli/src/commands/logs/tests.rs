//! The logs of all workers, read from a small API server that fails, and that forgets the load test.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::Request as Asked;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

const LINE: &str = "2026-01-01T00:00:00Z it runs\n";
const EVERY: Duration = Duration::from_millis(10);

fn flags(follow: bool) -> Logs {
    Logs { name: "t".to_owned(), follow, worker: None, tail: None, prefix: true }
}

/// Pods whose logs are read to their end at once: one of the load test, and one that an earlier load test of its name has left.
fn pods() -> Value {
    let state = json!({ "terminated": { "exitCode": 0 } });
    let status = json!({ "name": "t", "image": "i", "imageID": "i", "ready": false, "restartCount": 0, "state": state });
    let pod = |name: &str, job: &str| {
        let owner = json!({ "apiVersion": "batch/v1", "kind": "Job", "name": "t", "uid": job });
        let metadata =
            json!({ "name": name, "labels": { COMPLETION_INDEX: "0" }, "ownerReferences": [owner] });
        json!({ "metadata": metadata, "status": { "containerStatuses": [status] } })
    };
    let items = [pod("t-0-earlier", "earlier"), pod("t-0", "job of first")];
    json!({ "apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items })
}

fn load_test(uid: &str, job: Option<&str>) -> Value {
    json!({
        "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": { "name": "t", "uid": uid },
        "spec": { "testScript": { "config": { "configMap": "a" } } }, "status": { "jobUID": job },
    })
}

fn seen(uid: &str, job: Option<&str>) -> Response {
    load_test(uid, job).to_string().into_response()
}

fn refused(code: u16) -> Response {
    let details = json!({ "name": "t", "kind": "loadtests" });
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "", "message": "no", "details": details });
    (StatusCode::from_u16(code).expect("a code"), status.to_string()).into_response()
}

/// Reads the logs while the look for the load test, and then the list of its pods, are answered by these, one after the other.
/// Returns what came of it, what was read, and how many answers nobody asked for.
async fn read(follow: bool, answers: Vec<Response>) -> (Result<(), Failure>, String, usize) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let connection = Connection::to(&format!("http://{}", listener.local_addr().expect("it")));
    let left = Arc::new(Mutex::new(VecDeque::from(answers)));
    let answers = Arc::clone(&left);
    let router = Router::new().fallback(move |asked: Asked| {
        let is_log = asked.uri().path().ends_with("/log");
        // a worker that is read is looked for by its name
        let is_of_one = asked.uri().query().is_some_and(|query| query.contains("fieldSelector"));
        let answer = match (is_log, is_of_one) {
            (true, _) => LINE.into_response(),
            (false, true) => pods().to_string().into_response(),
            // none is left: one that ends it
            (false, false) => answers.lock().expect("it").pop_front().unwrap_or_else(|| refused(403)),
        };
        async move { answer }
    });
    tokio::spawn(async move { axum::serve(listener, router).await });
    let (to, mut from) = channel(64);
    // one that is followed may not have begun at first
    let job = (!follow).then_some("job of first");
    let at_first = serde_json::from_value(load_test("first", job)).expect("a load test");
    let done = All::of(connection, flags(follow), &at_first, to).read(EVERY).await;
    let mut read = Vec::new();
    while let Some(lines) = from.recv().await {
        read.extend(lines);
    }
    let left = left.lock().expect("it").len();
    (done, String::from_utf8(read).expect("text"), left)
}

#[tokio::test]
async fn logs_that_are_followed_outlast_a_cluster_that_fails_and_end_with_their_load_test() {
    let list = || pods().to_string().into_response();
    // both of what is asked for fail, more often than is borne without -f
    let mut fails: Vec<_> = (0..5).map(|_| refused(500)).collect();
    fails.extend([seen("first", Some("job of first")), refused(502)]);
    for end in [vec![refused(404), list()], vec![seen("another", None)]] {
        // nothing of an earlier one is read before it begins
        let mut answers = vec![seen("first", None), list(), seen("first", Some("job of first")), list()];
        answers.append(&mut fails);
        answers.extend(end);
        let (done, text, left) = read(true, answers).await;
        done.expect("its load test was deleted meanwhile, and its logs were read");
        assert_eq!((text.as_str(), left), ("worker-0 | it runs\n", 0));
    }
}

#[tokio::test]
async fn without_the_right_nothing_is_tried_again_and_without_following_little_is() {
    for (follow, answers, code, said) in [
        (true, vec![refused(403)], 4, "cannot read the load test: no"),
        (
            true,
            vec![seen("first", None), refused(401)],
            4,
            "cannot list the workers' pods: the cluster does not know",
        ),
        (
            false,
            vec![refused(500), refused(500), refused(500)],
            4,
            "cannot list the workers' pods: the cluster answers 500: no",
        ),
    ] {
        let (done, _, left) = read(follow, answers).await;
        let failure = done.expect_err(said);
        assert!(failure.exit.code() == code && failure.to_string().starts_with(said), "{failure}");
        assert_eq!(left, 0, "{said}");
    }
    let (done, text, left) = read(false, vec![refused(500), pods().to_string().into_response()]).await;
    done.expect("it is read");
    assert_eq!((text.as_str(), left), ("worker-0 | it runs\n", 0));
}
