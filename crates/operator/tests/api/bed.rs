//! What the tests share: the API server, the controller that runs against it, and a namespace for each test.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use clap::Parser as _;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret};
use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use loadtest::settings::Settings;
use loadtest::{LoadTest, LoadTestStatus};
use operator::collect::Collecting;
use operator::controller::Setup;
use operator::flags::{Flags, Namespaces};
use serde_json::{Value, json};
use testbed::api_server::{ApiServer, As, Call};
use testbed::eventually::eventually;
use testbed::worker::{Collectors, Worker};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Longer than anything here should take, for machines that are busy.
pub const SOON: Duration = Duration::from_secs(20);

pub const SCRIPT: &str =
    "config:\n  target: http://target\n  phases: [{duration: 1, arrivalRate: 1}]\nscenarios: []\n";

/// The API server, with the operator installed by its own manifests and the controller running in this process.
pub static API: LazyLock<ApiServer> = LazyLock::new(|| {
    rustls::crypto::ring::default_provider().install_default().expect("the first provider");
    let server = ApiServer::start(&folder()).expect("an API server");
    leave_behind(&server);
    server.install_operator().expect("the installation");
    server
});

/// A LoadTest from the time of a schema that let any name pass, in the namespace `left-behind`.
fn leave_behind(server: &ApiServer) {
    let mut crd = serde_json::to_value(loadtest::crd::crd()).expect("JSON");
    let schema = &mut crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    schema.as_object_mut().expect("an object").remove("x-kubernetes-validations");
    schema["properties"]["spec"]["properties"]["count"] = json!({ "type": "integer", "default": 1 });
    schema.as_object_mut().expect("an object").remove("required");
    schema["properties"]["spec"].as_object_mut().expect("an object").remove("required");
    let script = &mut schema["properties"]["spec"]["properties"]["testScript"];
    script.as_object_mut().expect("an object").remove("x-kubernetes-validations");
    let main = &mut script["properties"]["external"]["properties"]["processor"]["properties"]["main"];
    main.as_object_mut().expect("an object").remove("required");
    let apply = |file: &str, manifest: &Value| {
        let path = folder().join(file);
        std::fs::write(&path, manifest.to_string()).expect("a file");
        server.kubectl(&["apply", "-f", path.to_str().expect("a path")]).expect("applied");
    };
    apply("lax-crd.json", &crd);
    server.until_crd_is_served().expect("the lax CRD");
    server.kubectl(&["create", "namespace", "left-behind"]).expect("a namespace");
    let mut nameless = spec(1);
    nameless["testScript"]["external"] = json!({ "processor": { "main": {} } });
    let many = json!({ "count": 3_000_000_000_u32, "testScript": spec(1)["testScript"] });
    for (name, spec) in [
        ("old.test", Some(spec(1))),
        ("none", Some(spec(0))),
        ("many", Some(many)),
        ("nameless", Some(nameless)),
        ("bare", None),
    ] {
        let metadata = json!({ "name": name, "namespace": "left-behind" });
        let mut test = json!({ "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": metadata });
        if let Some(spec) = spec {
            test["spec"] = spec;
        }
        apply("old.json", &test);
    }
}

/// Where the operator is installed.
pub const SYSTEM: &str = "artillery-operator-system";
/// Where the controller collects.
static COLLECTOR: OnceLock<String> = OnceLock::new();

static CONTROLLER: LazyLock<()> = LazyLock::new(|| {
    std::thread::spawn(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let client = API.client(As::Operator).await.expect("a client");
            let (synced, stop) = (CancellationToken::new(), CancellationToken::new());
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let url = format!("https://{}", listener.local_addr().expect("an address"));
            COLLECTOR.set(url.clone()).expect("the first controller");
            let flags = Flags::parse_from(["manager".to_owned(), format!("--collector-url={url}")]);
            let collecting = Collecting::prepare(&client, &flags, SYSTEM, "test", listener).await;
            let collecting = collecting.expect("ready to collect");
            let metrics = Arc::default();
            let setup =
                Setup { namespaces: Namespaces::All, instance: "test".into(), settings: Settings::default() };
            operator::controller::run(client, setup, metrics, collecting, synced, stop).await;
        });
    });
});

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME"))
}

/// A namespace of one test's own.
pub struct Bed {
    pub client: kube::Client,
    pub namespace: String,
}

async fn admin() -> kube::Client {
    API.client(As::Admin).await.expect("a client")
}

impl Bed {
    /// The namespace in which objects of another time lie, with the controller at work.
    pub async fn left_behind() -> Self {
        LazyLock::force(&CONTROLLER);
        Self { client: admin().await, namespace: "left-behind".to_owned() }
    }

    /// A new namespace, with the controller at work.
    pub async fn new() -> Self {
        LazyLock::force(&CONTROLLER);
        Self::without_controller().await
    }

    /// A new namespace; the controller may be at work, or not yet.
    pub async fn without_controller() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let client = admin().await;
        let namespace = format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        API.create_namespace(&namespace).await.expect("a namespace");
        Self { client, namespace }
    }

    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub async fn config_map(&self, name: &str, data: Value) {
        let config_map: ConfigMap =
            serde_json::from_value(json!({ "metadata": { "name": name }, "data": data }))
                .expect("a ConfigMap");
        self.api().create(&PostParams::default(), &config_map).await.expect("a ConfigMap");
    }

    /// The ConfigMap `test-script`.
    pub async fn script(&self) {
        self.config_map("test-script", json!({ "test-script.yaml": SCRIPT })).await;
    }

    /// Creates a LoadTest from its JSON, as `kubectl apply` would.
    pub async fn create(&self, name: &str, spec: Value) -> kube::Result<LoadTest> {
        let load_test = json!({
            "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest",
            "metadata": { "name": name }, "spec": spec,
        });
        let strict = PatchParams {
            field_validation: Some(kube::api::ValidationDirective::Strict),
            ..PatchParams::apply("test")
        };
        self.api::<LoadTest>().patch(name, &strict, &Patch::Apply(&load_test)).await
    }

    /// A LoadTest of that many workers, with its script.
    pub async fn load_test(&self, name: &str, count: i32) -> LoadTest {
        self.create(name, spec(count)).await.expect("a LoadTest")
    }

    /// What the API server has against a LoadTest.
    pub async fn refusal(&self, name: &str, spec: Value) -> String {
        match self.create(name, spec).await.expect_err("a refusal") {
            kube::Error::Api(status) => status.message,
            error => panic!("{error}"),
        }
    }

    pub async fn status(&self, name: &str) -> LoadTestStatus {
        self.api::<LoadTest>().get(name).await.expect("the LoadTest").status.unwrap_or_default()
    }

    /// Waits until the status is as wanted.
    pub async fn until(
        &self,
        name: &str,
        what: &str,
        done: impl FnMut(&LoadTestStatus) -> bool,
    ) -> LoadTestStatus {
        eventually(what, SOON, async || self.status(name).await, done).await
    }

    /// Waits until the Progressing condition has that reason.
    pub async fn until_reason(&self, name: &str, reason: &str) -> LoadTestStatus {
        self.until(name, reason, |status| reason_of(status, "Progressing") == reason).await
    }

    pub async fn job(&self, name: &str) -> Option<Job> {
        self.api::<Job>().get_opt(name).await.expect("an answer")
    }

    /// Waits for the pods of a LoadTest, in the order of their indexes.
    pub async fn pods(&self, name: &str, count: usize) -> Vec<Pod> {
        let selector = ListParams::default().labels(&format!("artillery.io/test-name={name}"));
        let list = async || self.api::<Pod>().list(&selector).await.expect("pods").items;
        let mut pods = eventually("the pods", SOON, list, |pods| pods.len() == count).await;
        pods.sort_by_key(|pod| pod.metadata.name.clone());
        pods
    }

    /// The collector of the controller in this process, as workers know it.
    pub async fn collectors(&self) -> Collectors {
        let look = async || COLLECTOR.get().cloned();
        let url = eventually("a collector", SOON, look, Option::is_some).await.expect("a collector");
        self.collectors_at(&url, SYSTEM).await
    }

    /// Those at that URL, of the operator in that namespace.
    pub async fn collectors_at(&self, url: &str, system: &str) -> Collectors {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), system);
        let look = async || secrets.get_opt("artillery-operator-collector-ca").await.expect("an answer");
        let secret = eventually("the CA", SOON, look, Option::is_some).await.expect("the CA");
        let pem = secret.data.expect("data").remove("ca.crt").expect("a certificate").0;
        Collectors::at(url, str::from_utf8(&pem).expect("PEM")).expect("a CA")
    }

    /// A token that is bound to that pod, for that audience.
    pub async fn token(&self, pod: &Pod, audience: &str) -> String {
        let name = pod.metadata.name.as_deref().expect("a name");
        let uid = pod.metadata.uid.as_deref();
        testbed::worker::token(&self.client, &self.namespace, name, uid, audience).await.expect("a token")
    }

    /// A process in that pod, which shows a token for the collector.
    pub async fn worker(&self, pod: &Pod, process: u128) -> Worker {
        let token = self.token(pod, loadtest::reporter::AUDIENCE).await;
        Worker::new(&self.collectors().await, &token, process)
    }

    /// Plays the kubelet: the worker's container runs.
    pub async fn run(&self, pod: &Pod) {
        let state = json!({ "running": { "startedAt": loadtest::Timestamp::now().to_string() } });
        self.kubelet(pod, "Running", state).await;
    }

    /// Plays the kubelet: the worker's container exited.
    pub async fn exit(&self, pod: &Pod, code: i32) {
        let (phase, state) = exited(code);
        self.kubelet(pod, phase, state).await;
    }

    pub async fn kubelet(&self, pod: &Pod, phase: &str, state: Value) {
        self.report(pod, phase, state).await.expect("the kubelet's word");
    }

    /// As [`Self::kubelet`], of a pod that may be gone meanwhile.
    pub async fn report(&self, pod: &Pod, phase: &str, state: Value) -> kube::Result<Pod> {
        let container = pod.spec.as_ref().expect("a spec").containers[0].name.clone();
        let status = json!({ "status": { "phase": phase, "containerStatuses": [{
            "name": container, "image": "i", "imageID": "i", "ready": false, "restartCount": 0, "state": state,
        }] } });
        let name = pod.metadata.name.as_deref().expect("a name");
        self.api::<Pod>().patch_status(name, &PatchParams::default(), &Patch::Merge(&status)).await
    }

    /// Events on a LoadTest, as (type, reason, note), sorted.
    pub async fn events(&self, name: &str) -> Vec<(String, String, String)> {
        let events = self.api::<Event>().list(&ListParams::default()).await.expect("events").items;
        let of_test = events.into_iter().filter(|e| {
            e.regarding
                .as_ref()
                .is_some_and(|r| r.kind.as_deref() == Some("LoadTest") && r.name.as_deref() == Some(name))
        });
        let mut said: Vec<_> = of_test
            .map(|e| {
                assert_eq!(e.reporting_controller.as_deref(), Some("loadtest-controller"));
                (e.type_.unwrap_or_default(), e.reason.unwrap_or_default(), e.note.unwrap_or_default())
            })
            .collect();
        said.sort();
        said
    }

    /// Waits for that many events on a LoadTest.
    pub async fn until_events(&self, name: &str, count: usize) -> Vec<(String, String, String)> {
        eventually("events", SOON, async || self.events(name).await, |events| events.len() == count).await
    }

    /// A file of this test's own.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = folder().join(format!("{}-{name}", self.namespace));
        std::fs::write(&path, content).expect("a file");
        path
    }

    /// What the operator asked of the API server in this namespace.
    pub fn calls(&self) -> Vec<Call> {
        let mut calls = API.calls().expect("the audit log");
        calls.retain(|call| call.namespace == self.namespace);
        calls
    }

    /// How often the operator did `verb` to `resource` (`loadtests/status`).
    pub fn count_calls(&self, verb: &str, resource: &str) -> usize {
        let is = |call: &&Call| {
            let whole = if call.subresource.is_empty() {
                call.resource.clone()
            } else {
                format!("{}/{}", call.resource, call.subresource)
            };
            call.verb == verb && whole == resource
        };
        self.calls().iter().filter(is).count()
    }
}

impl Drop for Bed {
    /// Says what the cluster says of a test that failed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            for about in [&["describe", "loadtests"][..], &["get", "jobs,pods,events", "-o", "wide"]] {
                match API.kubectl(&[&["--namespace", &self.namespace], about].concat()) {
                    Ok(said) => eprintln!("--- kubectl {} in {}\n{said}", about.join(" "), self.namespace),
                    Err(error) => eprintln!("{error}"),
                }
            }
        }
    }
}

/// Phase and container state of a worker that exited.
pub fn exited(code: i32) -> (&'static str, Value) {
    let now = loadtest::Timestamp::now().to_string();
    let (phase, reason) = if code == 0 { ("Succeeded", "Completed") } else { ("Failed", "Error") };
    let end = json!({ "exitCode": code, "reason": reason, "startedAt": now, "finishedAt": now });
    (phase, json!({ "terminated": end }))
}

/// The spec of a LoadTest of that many workers.
pub fn spec(count: i32) -> Value {
    json!({ "count": count, "testScript": { "config": { "configMap": "test-script" } } })
}

pub fn reason_of(status: &LoadTestStatus, type_: &str) -> String {
    status.condition(type_).and_then(|c| c.reason.clone()).unwrap_or_default()
}

pub fn message_of(status: &LoadTestStatus, type_: &str) -> String {
    status.condition(type_).and_then(|c| c.message.clone()).unwrap_or_default()
}

pub fn is(status: &LoadTestStatus, type_: &str, value: &str) -> bool {
    status.condition(type_).is_some_and(|c| c.status == value)
}
