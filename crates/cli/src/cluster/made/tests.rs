//! What is made and what is left, against a small API server that loses answers and takes its time to delete.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Request as Asked, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use loadtest::api::{Distribution, Hooks};
use serde_json::Value;
use tokio::net::TcpListener;

use super::*;
use crate::cluster::bundle::{self, Wanted};
use crate::flags::Options;
use crate::project::Project;

/// What an API server has, and how it misbehaves.
#[derive(Default)]
struct Server {
    /// By path.
    objects: BTreeMap<String, Value>,
    /// What is asked for by these paths is done, and the answer to it gets lost, so often.
    loses: BTreeMap<String, u32>,
    /// Objects that are there for so many looks.
    leaves_after: BTreeMap<String, u32>,
    /// Whoever makes this one is to come back in an hour.
    is_busy_at: Option<String>,
    /// So many that are to be deleted are not, for the API server does not answer.
    fails_to_delete: u32,
    /// These cannot be made.
    refuses: Vec<String>,
    /// Nothing can be given to a load test.
    refuses_to_patch: bool,
}

const CONFIG_MAPS: &str = "/api/v1/namespaces/shop/configmaps";
const SECRETS: &str = "/api/v1/namespaces/shop/secrets";
const LOAD_TESTS: &str = "/apis/loadtest.artillery.io/v1alpha1/namespaces/shop/loadtests";

type Answer = (StatusCode, Json<Value>);

fn status(code: StatusCode, reason: &str, name: &str) -> Answer {
    let details = json!({ "name": name, "kind": "configmaps" });
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(), "reason": reason, "message": format!("{name}: {reason}"), "details": details });
    (code, Json(status))
}

impl Server {
    fn answer(&mut self, method: &str, path: &str, query: &str, body: Value) -> Answer {
        let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let at = if method == "POST" { format!("{path}/{name}") } else { path.to_owned() };
        if let Some(looks) = self.leaves_after.get_mut(&at).filter(|_| method == "GET") {
            *looks = looks.saturating_sub(1);
            if *looks == 0 {
                self.objects.remove(&at);
            }
        }
        let there = self.objects.get(&at).cloned();
        let answer = match (method, there) {
            ("POST", _) if self.refuses.contains(&at) => status(StatusCode::FORBIDDEN, "Forbidden", &name),
            ("POST", Some(_)) => status(StatusCode::CONFLICT, "AlreadyExists", &name),
            ("POST", None) if query.contains("dryRun=All") => (StatusCode::CREATED, Json(body)),
            ("POST", None) => {
                let mut object = body;
                object["metadata"]["uid"] = json!(format!("uid-of-{at}"));
                self.objects.insert(at.clone(), object.clone());
                (StatusCode::CREATED, Json(object))
            }
            ("DELETE", Some(_)) if self.fails_to_delete > 0 => {
                self.fails_to_delete -= 1;
                status(StatusCode::GATEWAY_TIMEOUT, "Timeout", &name)
            }
            (_, None) => status(StatusCode::NOT_FOUND, "NotFound", path),
            ("DELETE", Some(object)) if body["preconditions"]["uid"] != object["metadata"]["uid"] => {
                status(StatusCode::CONFLICT, "Conflict", &name)
            }
            ("DELETE", Some(object)) => {
                self.objects.remove(&at);
                (StatusCode::OK, Json(object))
            }
            ("PATCH", Some(_)) if self.refuses_to_patch => status(StatusCode::FORBIDDEN, "Forbidden", &name),
            ("PATCH", Some(mut object)) => {
                object["metadata"]["ownerReferences"] = body["metadata"]["ownerReferences"].clone();
                self.objects.insert(at.clone(), object.clone());
                (StatusCode::OK, Json(object))
            }
            (_, Some(object)) => (StatusCode::OK, Json(object)),
        };
        match self
            .loses
            .get_mut(&at)
            .filter(|times| **times > 0 && method == "POST" && !query.contains("dryRun"))
        {
            Some(times) => {
                *times -= 1;
                status(StatusCode::GATEWAY_TIMEOUT, "Timeout", &name)
            }
            None => answer,
        }
    }
}

async fn handle(State(server): State<Arc<Mutex<Server>>>, asked: Asked) -> Response {
    let (parts, body) = asked.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let query = parts.uri.query().unwrap_or_default();
    let mut server = server.lock().expect("a server");
    let made = format!("{}/{}", parts.uri.path(), body["metadata"]["name"].as_str().unwrap_or_default());
    if parts.method == "POST" && server.is_busy_at == Some(made) {
        let busy = status(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "busy");
        return ([("Retry-After", "3600")], busy).into_response();
    }
    server.answer(parts.method.as_str(), parts.uri.path(), query, body).into_response()
}

/// Begins to serve it. Returns how it is reached, and what it has.
async fn served(server: Server) -> (Connection, Arc<Mutex<Server>>) {
    let server = Arc::new(Mutex::new(server));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let uri = format!("http://{}", listener.local_addr().expect("an address"));
    let router = Router::new().fallback(handle).with_state(server.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (Connection::to(&uri), server)
}

/// The objects of the load test `checkout`.
fn checkout() -> Bundle {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    for (name, text) in
        [("s.yaml", "config: {payload: {path: users.csv}}"), ("users.csv", "a"), (".env", "A=b")]
    {
        std::fs::write(at(name), text).expect("a file");
    }
    let flags = Options { dotenv: Some(at(".env")), ..Options::default() };
    let project = Project::read(&at("s.yaml"), &flags).expect("a project");
    let wanted = Wanted {
        name: "checkout",
        count: 1,
        distribution: Distribution::Replicate,
        hooks: Hooks::PerWorker,
        start_timeout: 600,
    };
    bundle::of_project(&project, wanted).expect("objects").0
}

/// Makes it; returns what came of it, and the paths of what is there then.
async fn made(server: Server, patience: Duration) -> (Result<String, Failure>, BTreeMap<String, Value>) {
    let (connection, server) = served(server).await;
    let maker = Maker { connection: &connection, run: "this".to_owned(), patience };
    let made = maker.make(&checkout()).await.map(|(load_test, _)| load_test.name_any());
    let there = server.lock().expect("a server").objects.clone();
    (made, there)
}

fn all() -> Vec<String> {
    let maps = ["files-1", "test-script"].map(|end| format!("{CONFIG_MAPS}/checkout-{end}"));
    let others = [format!("{SECRETS}/checkout-dotenv"), format!("{LOAD_TESTS}/checkout")];
    maps.into_iter().chain(others).collect()
}

fn paths(objects: &BTreeMap<String, Value>) -> Vec<String> {
    objects.keys().cloned().collect()
}

/// Long enough for some tries.
const SOME: Duration = Duration::from_secs(10);
/// None is left.
const NONE: Duration = Duration::ZERO;

#[tokio::test]
async fn all_objects_are_made_and_go_with_their_load_test() {
    let (made, there) = self::made(Server::default(), SOME).await;
    assert_eq!(made.expect("made"), "checkout");
    assert_eq!(paths(&there), all());
    let uid = &there[&format!("{LOAD_TESTS}/checkout")]["metadata"]["uid"];
    let owned = there.values().filter(|object| &object["metadata"]["ownerReferences"][0]["uid"] == uid);
    assert_eq!(owned.count(), 3);
}

#[tokio::test]
async fn what_cannot_be_given_to_its_load_test_is_removed_with_it() {
    let (connection, server) = served(Server { refuses_to_patch: true, ..Server::default() }).await;
    let made = Made::make(&connection, &checkout()).await.expect("no reason not to run it");
    // somebody else's of that name by then
    let (theirs, at) =
        (json!({ "metadata": { "uid": "theirs" } }), format!("{CONFIG_MAPS}/checkout-files-1"));
    server.lock().expect("a server").objects.insert(at.clone(), theirs);
    made.remove().await.expect("removed");
    assert_eq!(paths(&server.lock().expect("a server").objects), [at]);
}

#[tokio::test]
async fn an_answer_that_is_lost_leaves_nothing_behind_and_makes_nothing_twice() {
    let lost = |path: &String| Server { loses: [(path.clone(), 1)].into(), ..Server::default() };
    for path in &all() {
        let (made, there) = self::made(lost(path), SOME).await;
        assert_eq!(made.expect(path), "checkout");
        assert_eq!(paths(&there), all(), "{path}");
    }
    // where one is refused all others go
    let (load_test, secret) = (format!("{LOAD_TESTS}/checkout"), format!("{SECRETS}/checkout-dotenv"));
    for (refused, fails_to_delete) in [(load_test, 0), (secret.clone(), 0), (secret, 3)] {
        let server = Server { refuses: vec![refused], fails_to_delete, ..Server::default() };
        let (made, there) = self::made(server, SOME).await;
        assert_eq!(made.expect_err("refused").exit.code(), 4);
        assert_eq!(paths(&there), Vec::<String>::new());
    }
}

#[tokio::test]
async fn what_an_earlier_load_test_of_that_name_leaves_is_waited_for_and_what_is_somebodys_is_not() {
    let path = format!("{CONFIG_MAPS}/checkout-test-script");
    let owner = json!([{ "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "name": "checkout", "uid": "earlier" }]);
    let orphan =
        json!({ "metadata": { "name": "checkout-test-script", "uid": "old", "ownerReferences": owner } });
    let leaving = json!({ "metadata": { "name": "checkout-test-script", "uid": "old", "deletionTimestamp": "2026-01-01T00:00:00Z" } });
    for old in [&orphan, &leaving] {
        let server = || Server {
            objects: [(path.clone(), old.clone())].into(),
            leaves_after: [(path.clone(), 3)].into(),
            ..Server::default()
        };
        let (made, there) = self::made(server(), SOME).await;
        assert_eq!(made.expect("made"), "checkout");
        assert_eq!(paths(&there), all());
        let (made, there) = self::made(server(), NONE).await;
        assert_eq!(made.expect_err("not for ever").exit.code(), 2);
        assert_eq!(paths(&there).join(" "), path);
    }
    let taken = json!({ "metadata": { "name": "checkout-test-script", "uid": "somebody's" } });
    let began = Instant::now();
    let server = Server { objects: [(path.clone(), taken.clone())].into(), ..Server::default() };
    let (made, there) = self::made(server, Duration::from_secs(600)).await;
    let error = made.expect_err("taken");
    assert!(error.to_string().contains("AlreadyExists: give another --name"), "{error}");
    assert_eq!(there, [(path, taken)].into(), "it is left alone");
    assert!(began.elapsed() < Duration::from_secs(60), "nobody is waited for");
}

#[tokio::test]
async fn an_api_server_that_is_busy_for_long_is_not_waited_for_by_each_request() {
    let path = format!("{CONFIG_MAPS}/checkout-test-script");
    let began = Instant::now();
    let server = Server { is_busy_at: Some(path), ..Server::default() };
    let (made, there) = self::made(server, NONE).await;
    let error = made.expect_err("busy");
    assert!(error.exit.code() == 4 && error.to_string().contains("no answer within 3s"), "{error}");
    assert_eq!(paths(&there), Vec::<String>::new());
    assert!(began.elapsed() < Duration::from_secs(60), "not for the hour that it asks for");
}

#[test]
fn whose_an_object_is_is_told_by_the_run_and_by_whether_it_goes() {
    let meta = |value: Value| serde_json::from_value::<ObjectMeta>(value).expect("metadata");
    let of = |run: &str| json!({ "annotations": { RUN: run } });
    let going = json!({ "annotations": { RUN: "this" }, "deletionTimestamp": "2026-01-01T00:00:00Z" });
    for (value, there) in [
        (of("this"), There::Ours),
        (of("other"), There::Taken),
        (json!({}), There::Taken),
        (going, There::Leaving),
    ] {
        assert_eq!(whose(&meta(value.clone()), "this"), there, "{value}");
    }
}
