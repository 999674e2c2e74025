//! The witness: all that was ever written to etcd, in its order, whoever wrote it and whoever was dead meanwhile.
//!
//! The audit log says what the operator asked for; this says what came of it, also where the API server was killed
//! before it could log its answer. It listens to etcd itself, through its HTTP gateway, from the first revision on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::{AsyncBufReadExt as _, TryStreamExt as _};
use k8s_openapi::ByteString;
use kube::Client;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// What is kept: the kinds that an operator's promises are about.
const KEPT: [&str; 4] =
    ["/registry/jobs/", "/registry/pods/", "/registry/events/", "/registry/loadtest.artillery.io/loadtests/"];
/// The witness is never further behind than this, unless etcd stands still.
const BEHIND: Duration = Duration::from_secs(20);

/// One write of one object.
#[derive(Clone, Debug)]
pub struct Change {
    /// etcd's revision: of two writes the later one has the higher.
    pub revision: u64,
    /// Such as `/registry/jobs/NAMESPACE/NAME`.
    pub key: String,
    /// The object as it was stored, without `managedFields`; `None` where it was removed.
    pub object: Option<Value>,
}

impl Change {
    /// A string of the object at a JSON pointer; empty where there is none.
    pub fn text(&self, pointer: &str) -> &str {
        self.object.as_ref().and_then(|o| o.pointer(pointer)).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether it is of that kind, in the plural as in its key: `jobs`, `pods`, `events` or `loadtests`.
    pub fn is_of(&self, kind: &str) -> bool {
        self.key.split('/').rev().nth(2) == Some(kind)
    }

    /// The namespace of the object.
    pub fn namespace(&self) -> &str {
        self.key.split('/').rev().nth(1).unwrap_or_default()
    }
}

/// Writes by namespace, in their order.
type ByNamespace = HashMap<String, Vec<Arc<Change>>>;

/// What was written so far, and what is written from now on.
pub struct History {
    etcd_url: String,
    changes: Arc<Mutex<ByNamespace>>,
    /// The newest revision that was seen.
    seen: watch::Receiver<u64>,
}

impl History {
    /// Listens from etcd's first revision on.
    pub(crate) fn of(etcd_url: &str) -> Self {
        let changes = Arc::default();
        let (seen, newest) = watch::channel(0);
        let (url, kept) = (etcd_url.to_owned(), Arc::clone(&changes));
        // a thread of its own, for the runtime of a test ends with the test
        thread::spawn(move || {
            if let Err(error) = listen(&url, &kept, &seen) {
                eprintln!("the witness has ended: {error:#}"); // so does `seen`, and whoever asks is told
            }
        });
        Self { etcd_url: etcd_url.to_owned(), changes, seen: newest }
    }

    /// All writes in a namespace up to now.
    ///
    /// # Errors
    /// etcd does not answer, or the witness is gone.
    pub async fn of_namespace(&self, namespace: &str) -> Result<Vec<Arc<Change>>> {
        let now = ask(&self.etcd_url, "kv/range", &json!({ "key": ALL, "limit": 1 })).await?;
        let now = header_revision(&now).context("etcd says no revision")?;
        let mut seen = self.seen.clone();
        timeout(BEHIND, seen.wait_for(|seen| *seen >= now))
            .await
            .context("the witness is behind")?
            .context("the witness is gone")?;
        Ok(self.so_far(namespace))
    }

    /// Waits for a write in a namespace that is as wanted, without a look at etcd: the quickest way to know.
    ///
    /// # Errors
    /// There was none in time, or the witness is gone.
    pub async fn until(&self, namespace: &str, mut wanted: impl FnMut(&Change) -> bool) -> Result<()> {
        let mut seen = self.seen.clone();
        let is_there = |_: &u64| self.so_far(namespace).iter().any(|change| wanted(change));
        timeout(BEHIND, seen.wait_for(is_there))
            .await
            .context("no such write in time")?
            .context("the witness is gone")?;
        Ok(())
    }

    fn so_far(&self, namespace: &str) -> Vec<Arc<Change>> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        changes.get(namespace).cloned().unwrap_or_default()
    }
}

/// The key "\0" in base64: the first there can be, and as an end "all from there on".
const ALL: &str = "AA==";

/// Forgets all of etcd's revisions before the newest one.
pub(crate) async fn compact(etcd_url: &str) -> Result<u64> {
    let now = ask(etcd_url, "kv/range", &json!({ "key": ALL, "limit": 1 })).await?;
    let revision = header_revision(&now).context("etcd says no revision")?;
    ask(etcd_url, "kv/compaction", &json!({ "revision": revision, "physical": true })).await?;
    Ok(revision)
}

fn client(etcd_url: &str) -> Result<Client> {
    Ok(Client::try_from(kube::Config::new(etcd_url.parse()?))?)
}

fn post(path: &str, body: &Value) -> Result<http::Request<Vec<u8>>> {
    Ok(http::Request::post(format!("/v3/{path}")).body(serde_json::to_vec(body)?)?)
}

async fn ask(etcd_url: &str, path: &str, body: &Value) -> Result<Value> {
    let client = client(etcd_url)?;
    let answer = client.request(post(path, body)?);
    timeout(BEHIND, answer).await.context("etcd does not answer")?.with_context(|| format!("etcd: {path}"))
}

fn listen(url: &str, changes: &Mutex<ByNamespace>, seen: &watch::Sender<u64>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let everything = json!({ "create_request": { "key": ALL, "range_end": ALL, "start_revision": "1" } });
        let client = client(url)?;
        let deadline = Instant::now() + BEHIND;
        let stream = loop {
            match client.request_stream(post("watch", &everything)?).await {
                Ok(stream) => break stream,
                // it has just been started
                Err(error) if Instant::now() > deadline => return Err(error.into()),
                Err(_) => sleep(Duration::from_millis(100)).await, // poll interval, bounded above
            }
        };
        let mut lines = stream.lines();
        while let Some(line) = lines.try_next().await? {
            let message: Value = serde_json::from_str(&line)?;
            let result = message.get("result").with_context(|| format!("etcd's watch: {line}"))?;
            anyhow::ensure!(result.get("canceled").is_none(), "etcd's watch was cancelled: {line}");
            let events = result.get("events").and_then(Value::as_array).into_iter().flatten();
            let mut newest = None;
            for event in events {
                newest = newest.max(Some(revision(event)?));
                let Some(change) = change(event)? else { continue };
                let mut changes = changes.lock().unwrap_or_else(PoisonError::into_inner);
                changes.entry(change.namespace().to_owned()).or_default().push(Arc::new(change));
            }
            // not the header's: that may be ahead of the events
            if let Some(newest) = newest {
                seen.send_replace(newest);
            }
        }
        anyhow::bail!("etcd closed the watch")
    })
}

fn header_revision(answer: &Value) -> Option<u64> {
    answer.pointer("/header/revision")?.as_str()?.parse().ok()
}

fn revision(event: &Value) -> Result<u64> {
    let text =
        event.pointer("/kv/mod_revision").and_then(Value::as_str).context("a write without revision")?;
    Ok(text.parse()?)
}

/// A write, if it is one of a kind that is kept.
fn change(event: &Value) -> Result<Option<Change>> {
    let bytes = |pointer: &str| -> Result<Vec<u8>> {
        let text = event.pointer(pointer).cloned().unwrap_or(json!(""));
        Ok(serde_json::from_value::<ByteString>(text)?.0)
    };
    let key = String::from_utf8(bytes("/kv/key")?)?;
    if !KEPT.iter().any(|kept| key.starts_with(kept)) {
        return Ok(None);
    }
    let object = if event.get("type").and_then(Value::as_str) == Some("DELETE") {
        None
    } else {
        let mut object: Value = serde_json::from_slice(&bytes("/kv/value")?)
            .with_context(|| format!("{key} is not stored as JSON"))?;
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
        Some(object)
    };
    Ok(Some(Change { revision: revision(event)?, key, object }))
}
