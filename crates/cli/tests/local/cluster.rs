//! What is typed against a cluster that misbehaves, which a small API server stands in for: how each ends, and what is left there.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::bed::Ended;

const LOAD_TESTS: &str = "/apis/loadtest.artillery.io/v1alpha1/namespaces/shop/loadtests";

/// What the API server has, and how it misbehaves.
#[derive(Default)]
struct Server {
    /// By path.
    objects: BTreeMap<String, Value>,
    /// What the status of each load test becomes.
    status: Value,
}

fn refused(code: u16, reason: &str, message: &str) -> (u16, Value) {
    (
        code,
        json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message }),
    )
}

impl Server {
    fn answer(&mut self, method: &str, path: &str, query: &str, body: &Value) -> (u16, Value) {
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        match (method, self.objects.get(path).cloned()) {
            ("GET", _) if query.contains("watch=true") => refused(403, "Forbidden", "you may not watch"),
            ("GET", None) if path.ends_with("loadtests") => {
                let items: Vec<_> = self
                    .objects
                    .iter()
                    .filter(|(at, _)| at.contains("/loadtests/"))
                    .map(|(_, it)| it)
                    .collect();
                (
                    200,
                    json!({ "kind": "LoadTestList", "apiVersion": "loadtest.artillery.io/v1alpha1", "metadata": { "resourceVersion": "1" }, "items": items }),
                )
            }
            ("POST", _) => {
                let mut made = body.clone();
                made["metadata"]["uid"] = json!(format!("uid-of-{name}"));
                if path.ends_with("loadtests") {
                    made["status"] = self.status.clone();
                }
                if !query.contains("dryRun") {
                    self.objects.insert(format!("{path}/{name}"), made.clone());
                }
                (201, made)
            }
            ("DELETE", Some(object)) => {
                self.objects.remove(path);
                (200, object)
            }
            // kubectl, which is no real one, has applied it meanwhile
            ("PATCH", None) if path.ends_with("/applied") => (
                200,
                json!({ "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": { "name": "applied" }, "spec": { "testScript": {} } }),
            ),
            (_, Some(object)) => (200, object),
            (_, None) => refused(404, "NotFound", "not found"),
        }
    }
}

struct Cluster {
    folder: TempDir,
    server: Arc<Mutex<Server>>,
    _runtime: Runtime,
}

impl Cluster {
    fn new(server: Server) -> Self {
        let (folder, runtime) = (tempfile::tempdir().expect("a folder"), Runtime::new().expect("a runtime"));
        let server = Arc::new(Mutex::new(server));
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).expect("a port");
        let address = listener.local_addr().expect("it");
        let serving = Arc::clone(&server);
        let router = Router::new().fallback(move |asked: Request| {
            let server = Arc::clone(&serving);
            async move {
                let (parts, body) = asked.into_parts();
                let body = axum::body::to_bytes(body, 1 << 20).await.expect("a body");
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let query = parts.uri.query().unwrap_or_default();
                let mut server = server.lock().unwrap_or_else(PoisonError::into_inner);
                let (code, answer) = server.answer(parts.method.as_str(), parts.uri.path(), query, &body);
                (StatusCode::from_u16(code).expect("a code"), answer.to_string())
            }
        });
        runtime.spawn(async move { axum::serve(listener, router).await });
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "c", "cluster": { "server": format!("http://{address}") } }],
            "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u", "namespace": "shop" } }],
            "users": [{ "name": "u", "user": {} }],
        });
        fs::write(folder.path().join("kubeconfig"), kubeconfig.to_string()).expect("a file");
        let script = "config: { target: 'http://t', phases: [{ duration: 1, arrivalRate: 1 }] }\nscenarios: [{ flow: [{ get: { url: / } }] }]\n";
        fs::write(folder.path().join("s.yaml"), script).expect("a file");
        Self { folder, server, _runtime: runtime }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-artillery"));
        command.args(arguments).args(["--kubeconfig", "kubeconfig", "--context", ""]);
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().expect("it runs"))
    }

    fn left(&self) -> Vec<String> {
        self.server.lock().expect("a server").objects.keys().cloned().collect()
    }
}

#[test]
fn who_may_not_watch_is_told_so_and_nothing_runs_that_nobody_follows() {
    let cluster = Cluster::new(Server::default());
    let ended = cluster.run(&["run", "s.yaml", "--name", "a"]);
    assert_eq!(ended.code, Some(4), "{ended:?}");
    let said = "cannot watch the load test a: you may not watch; following takes the rights to list and to watch loadtests in namespace shop";
    assert!(ended.stderr.contains(said), "{ended:?}");
    assert!(!cluster.left().contains(&format!("{LOAD_TESTS}/a")), "{:?}", cluster.left());
}

#[test]
fn files_that_only_artillery_can_name_are_told_as_it_is_made() {
    let cluster = Cluster::new(Server::default());
    let script = "config: { target: 'http://t', payload: { path: '{{ $env.USERS }}' } }\nscenarios: [{ flow: [{ get: { url: / } }] }]\n";
    fs::write(cluster.folder.path().join("t.yaml"), script).expect("a file");
    for more in [&[][..], &["--validate=false"]] {
        let ended = cluster.run(&[&["run", "t.yaml", "--detach"], more].concat());
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let said = "warning: t.yaml:1:48: config.payload.path is \"{{ $env.USERS }}\", and only Artillery can tell which file that is";
        assert_eq!(ended.stderr.matches(said).count(), 1, "{ended:?}");
    }
}

#[test]
fn one_whose_report_is_not_there_stays_in_spite_of_rm_and_that_is_said() {
    let completed = json!({ "conditions": [{ "type": "Completed", "status": "True" }] });
    let cluster = Cluster::new(Server { status: completed, ..Server::default() });
    let ended = cluster.run(&["run", "s.yaml", "--name", "a", "--rm"]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let said = "the load test a has no report: nothing is said of why; in spite of --rm the load test a stays: kubectl delete loadtest a -n shop --kubeconfig kubeconfig removes it";
    assert!(ended.stderr.contains(said), "{ended:?}");
    assert!(cluster.left().contains(&format!("{LOAD_TESTS}/a")), "{:?}", cluster.left());
}

#[test]
fn what_a_failed_apply_has_begun_is_stopped_and_named() {
    let cluster = Cluster::new(Server::default());
    let test = json!({ "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": { "name": "applied" }, "spec": { "testScript": {} } });
    // it takes what it is asked to try at first, and fails as it applies
    let kubectl = format!(
        "#!/bin/sh\ncase \"$*\" in\ncreate*) echo '{test}' ;;\n*dry-run*) test ! -e tried && touch tried ;;\n*) exit 1 ;;\nesac\n"
    );
    let program = cluster.folder.path().join("kubectl");
    fs::write(&program, kubectl).expect("a file");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("its mode");
    let path = format!("{}:{}", cluster.folder.path().display(), std::env::var("PATH").expect("one"));
    let ended = cluster.command(&["run", "-f", "manifest.yaml"]).env("PATH", path).output();
    let ended = Ended::of(ended.expect("it runs"));
    assert_eq!(ended.code, Some(2), "{ended:?}");
    let said = "the load test applied was applied, and is stopped; it stays: kubectl delete loadtest applied -n shop --kubeconfig kubeconfig removes it";
    assert!(ended.stderr.contains(said), "{ended:?}");
}

#[test]
fn one_that_cannot_be_read_whole_is_listed_with_the_others() {
    let metadata = |name: &str| json!({ "name": name, "namespace": "shop", "uid": "1" });
    let spec = json!({ "testScript": { "config": { "configMap": "a" } } });
    let objects = [
        ("a", json!({ "metadata": metadata("a") })),
        ("b", json!({ "metadata": metadata("b"), "spec": spec })),
    ];
    let objects = objects.map(|(name, object)| (format!("{LOAD_TESTS}/{name}"), object)).into();
    let cluster = Cluster::new(Server { objects, ..Server::default() });
    let ended = cluster.run(&["list", "-o", "name"]);
    let names = "loadtest.loadtest.artillery.io/a\nloadtest.loadtest.artillery.io/b\n";
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(0), names), "{ended:?}");
    assert_eq!(ended.stderr, "The load test a cannot be read whole: missing field `spec`\n");
}
