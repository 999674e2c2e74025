//! Looking at the cluster many times a second, also while it is broken: how long until a status is true again.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use e2e::{Bed, Run, cluster, load_test};
use serde_json::{Value, json};
use testbed::eventually::eventually;

use crate::truth::{Truth, reason};

/// No answer is waited for longer than this: it may never come.
const ANSWER: Duration = Duration::from_secs(2);
/// A status that is not true after this will never be. The longest is a node that is gone: its grace (20 s), the
/// toleration, the worker's grace period (60 s), and 60 s more.
pub const NEVER: Duration = Duration::from_secs(400);

/// A bed, with a cheaper look at it than kubectl's.
pub struct Watch {
    /// The bed.
    pub bed: Bed,
    client: kube::Client,
    canaries: AtomicU32,
}

/// A LoadTest with its Job and pods, at one moment.
pub struct Seen {
    /// The LoadTest; null if there is none.
    pub load_test: Value,
    /// Its Job; null if there is none.
    pub job: Value,
    /// Its workers' pods.
    pub pods: Vec<Value>,
}

impl Watch {
    /// A bed with a target.
    pub async fn new(name: &str) -> Self {
        let client = cluster().client().await.expect("a client");
        Self { bed: Bed::with_target(name).await, client, canaries: AtomicU32::new(0) }
    }

    /// Waits until the API server says that it is ready, and returns when it did.
    pub async fn until_api_answers(&self) -> Instant {
        let ready = async || self.ask("GET", "/readyz", Value::Null).await.is_ok();
        eventually("the API server answers", NEVER, ready, |ready| *ready).await;
        Instant::now()
    }

    /// The test as the API server has it; `None` where one of the answers does not come.
    pub async fn look(&self, test: &str) -> Option<Seen> {
        let namespace = &self.bed.namespace;
        let get = async |path: String| match self.ask("GET", &path, Value::Null).await {
            Err(Some(404)) => Some(Value::Null),
            other => other.ok(),
        };
        let load_test =
            get(format!("/apis/loadtest.artillery.io/v1alpha1/namespaces/{namespace}/loadtests/{test}"))
                .await?;
        let job = get(format!("/apis/batch/v1/namespaces/{namespace}/jobs/{test}")).await?;
        let selector = format!("labelSelector=artillery.io/test-name={test}");
        let pods = get(format!("/api/v1/namespaces/{namespace}/pods?{selector}")).await?;
        Some(Seen { load_test, job, pods: pods["items"].as_array().cloned().unwrap_or_default() })
    }

    /// How long after `since`, the end of a fault, the operator tells the truth again: the test's status is what its Job
    /// and pods are, and a new LoadTest, a canary made right then, is told that its script is missing. Without the canary a
    /// status that nobody looks after would pass, as long as nothing happens.
    ///
    /// # Panics
    /// It never does.
    pub async fn until_true(&self, run: &Run<'_>, count: u64, since: Instant) -> Duration {
        let what = format!("the status of {} is what its Job and pods are", run.name);
        self.until(run, &what, since, |seen| {
            Truth::of(count, &seen.job, &seen.pods).is_told_by(&seen.load_test)
        })
        .await
    }

    /// As [`Self::until_true`], where the truth is that it is over for that reason.
    ///
    /// # Panics
    /// It never is.
    pub async fn until_over_for(&self, run: &Run<'_>, why: &str, since: Instant) -> Duration {
        let what = format!("{} is over for {why}", run.name);
        self.until(run, &what, since, |seen| reason(&seen.load_test, "Completed") == ("True", why)).await
    }

    /// As [`Self::until_true`], where the truth is what `is_true` says.
    ///
    /// # Panics
    /// It never is.
    pub async fn until(
        &self,
        run: &Run<'_>,
        what: &str,
        since: Instant,
        is_true: impl Fn(&Seen) -> bool,
    ) -> Duration {
        let canary = format!("canary-{}", self.canaries.fetch_add(1, Ordering::Relaxed));
        let tests =
            format!("/apis/loadtest.artillery.io/v1alpha1/namespaces/{}/loadtests", self.bed.namespace);
        let manifest = load_test(&canary, 1, &json!({ "config": { "configMap": "nobody-has-this" } }));
        let create =
            async || matches!(self.ask("POST", &tests, manifest.clone()).await, Ok(_) | Err(Some(409)));
        eventually("a canary", NEVER, create, |made| *made).await;
        let look = async || {
            let canary = self.look(&canary).await?;
            let is_told = reason(&canary.load_test, "Progressing").1 == "MissingTestScript";
            let seen = self.look(&run.name).await?;
            Some((is_told, is_true(&seen), seen.load_test["status"].clone()))
        };
        eventually(what, NEVER, look, |seen| matches!(seen, Some((true, true, _)))).await;
        let took = since.elapsed();
        let uri = format!("{tests}/{canary}");
        let delete = async || matches!(self.ask("DELETE", &uri, Value::Null).await, Ok(_) | Err(Some(404)));
        eventually("no canary", NEVER, delete, |gone| *gone).await;
        took
    }

    /// Deletes the test's Job, with its pods; false where there is none.
    pub async fn delete_job(&self, test: &str) -> bool {
        let path = format!("/apis/batch/v1/namespaces/{}/jobs/{test}", self.bed.namespace);
        self.ask("DELETE", &path, json!({ "propagationPolicy": "Background" })).await.is_ok()
    }

    /// The answer, or its code where one came that is no success.
    async fn ask(&self, method: &str, path: &str, body: Value) -> Result<Value, Option<u16>> {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("Content-Type", "application/json").body(body).expect("a request");
        match tokio::time::timeout(ANSWER, self.client.request_text(request)).await {
            Ok(Ok(text)) => Ok(serde_json::from_str(&text).unwrap_or(Value::String(text))),
            Ok(Err(kube::Error::Api(status))) => Err(Some(status.code)),
            Ok(Err(_)) | Err(_) => Err(None),
        }
    }
}
