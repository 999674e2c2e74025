//! The connection to the API server: who asks is said, what is asked is counted, and nothing is written out of term.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use http::{HeaderValue, Method, Request, Response, Uri, header::USER_AGENT};
use kube::client::{Body, ClientBuilder};
use tokio::time::{Instant, timeout_at};
use tower::layer::layer_fn;
use tower::{BoxError, Service};

use crate::leader::Term;
use crate::metrics::Metrics;

/// Makes clients of one API server.
#[derive(Clone)]
pub struct Clients {
    config: kube::Config,
    metrics: Arc<Metrics>,
}

impl Clients {
    /// For the cluster of `config`. `instance` is told to the API server in each call, for its audit log.
    ///
    /// # Errors
    /// `instance` has characters that no HTTP header may have.
    pub fn new(mut config: kube::Config, instance: &str, metrics: Arc<Metrics>) -> Result<Self> {
        let agent = format!("artillery-operator/{} ({instance})", env!("CARGO_PKG_VERSION"));
        let agent = HeaderValue::from_str(&agent)
            .with_context(|| format!("POD_NAME is \"{instance}\": a pod's name is expected"))?;
        config.headers.push((USER_AGENT, agent));
        // what failed is decided anew: a call that is repeated by itself may be repeated out of term
        config.default_retry = false;
        Ok(Self { config, metrics })
    }

    /// A client that may write as long as `term` lasts.
    ///
    /// # Errors
    /// The configuration's certificates or credentials are none.
    pub fn within(&self, term: &Term) -> Result<kube::Client> {
        let guard =
            layer_fn(|inner| Guarded { inner, term: term.clone(), metrics: Arc::clone(&self.metrics) });
        let builder =
            ClientBuilder::try_from(self.config.clone()).context("cannot make a client for the cluster")?;
        Ok(builder.with_layer(&guard).build())
    }
}

/// Another manager may lead already.
#[derive(thiserror::Error, Debug)]
enum OutOfTerm {
    /// A write was asked for.
    #[error("this manager leads no more: nothing is written")]
    NotBegun,
    /// A write was under way.
    #[error(
        "this manager leads no more: it does not wait for the answer to a write, which may have been done"
    )]
    GivenUp,
}

/// A call that is counted when it ends, also when nobody waits for its end.
struct Called {
    metrics: Arc<Metrics>,
    verb: &'static str,
    resource: String,
    code: Option<u16>,
}

impl Drop for Called {
    fn drop(&mut self) {
        self.metrics.called(self.verb, std::mem::take(&mut self.resource), self.code);
    }
}

/// Counts the calls, and lets no write begin or go on out of term.
#[derive(Clone)]
struct Guarded<S> {
    inner: S,
    term: Term,
    metrics: Arc<Metrics>,
}

impl<S, B> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let term = if is_write(request.method()) { self.term.clone() } else { Term::endless() };
        if term.is_over(Instant::now()) {
            return Box::pin(async { Err(OutOfTerm::NotBegun.into()) });
        }
        let (verb, resource) = asked(request.method(), request.uri());
        let called = Called { metrics: Arc::clone(&self.metrics), verb, resource, code: None };
        let answer = self.inner.call(request);
        Box::pin(async move {
            let mut called = called; // all of it, so that it is dropped, and counts, with this
            let answered = within(&term, answer).await?;
            called.code = answered.as_ref().ok().map(|response| response.status().as_u16());
            answered.map_err(Into::into)
        })
    }
}

/// Waits as long as the term lasts, which may grow meanwhile.
async fn within<T>(term: &Term, answer: impl Future<Output = T>) -> Result<T, OutOfTerm> {
    let mut answer = std::pin::pin!(answer);
    // looked at before each step of the request: a process that was frozen must not send on when it wakes
    let mut in_term = std::future::poll_fn(|context| {
        if term.is_over(Instant::now()) {
            return Poll::Ready(Err(OutOfTerm::GivenUp));
        }
        answer.as_mut().poll(context).map(Ok)
    });
    while let Some(deadline) = term.deadline() {
        if let Ok(answered) = timeout_at(deadline, &mut in_term).await {
            return answered;
        }
        if term.is_over(Instant::now()) {
            return Err(OutOfTerm::GivenUp);
        }
    }
    in_term.await
}

fn is_write(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// The verb and resource of a call, in the words of RBAC rules, from
/// `/api/v1/[namespaces/NS/]RESOURCE[/NAME[/SUBRESOURCE]]` or `/apis/GROUP/VERSION/…`.
fn asked(method: &Method, uri: &Uri) -> (&'static str, String) {
    let mut path: Vec<&str> = uri.path().split('/').filter(|part| !part.is_empty()).collect();
    path.drain(..path.len().min(if path.first() == Some(&"api") { 2 } else { 3 }));
    if path.first() == Some(&"namespaces") && path.len() > 2 {
        path.drain(..2);
    }
    let is_watch = uri.query().is_some_and(|query| query.split('&').any(|pair| pair == "watch=true"));
    let verb = match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ if is_watch => "watch",
        _ if path.len() == 1 => "list",
        _ => "get",
    };
    let resource = match path.as_slice() {
        [resource, _, subresource, ..] => format!("{resource}/{subresource}"),
        [resource, ..] => (*resource).to_owned(),
        [] => String::new(),
    };
    (verb, resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_that_takes_long_is_waited_for_while_the_term_is_renewed() {
        let seconds = |s| Instant::now() + std::time::Duration::from_secs(s);
        let term = Term::until(seconds(10));
        let renewed = term.clone();
        let slow = async {
            tokio::time::sleep_until(seconds(8)).await;
            renewed.move_on(seconds(10));
            tokio::time::sleep_until(seconds(9)).await;
            "answered"
        };
        assert_eq!(within(&term, slow).await.ok(), Some("answered"));
        let never = std::future::pending::<()>();
        assert!(matches!(within(&term, never).await, Err(OutOfTerm::GivenUp)));
    }

    #[test]
    fn calls_are_named_as_rbac_rules_name_them() {
        for (method, uri, verb, resource) in [
            ("GET", "/apis/loadtest.artillery.io/v1alpha1/loadtests?limit=500", "list", "loadtests"),
            ("GET", "/apis/batch/v1/jobs?labelSelector=a%3Db&watch=true", "watch", "jobs"),
            ("GET", "/apis/batch/v1/namespaces/n/jobs/t", "get", "jobs"),
            ("GET", "/api/v1/namespaces/n/pods?limit=5", "list", "pods"),
            ("GET", "/api/v1/namespaces/n", "get", "namespaces"),
            ("POST", "/api/v1/namespaces/n/events?", "create", "events"),
            ("PATCH", "/apis/g/v1/namespaces/n/loadtests/t/status?", "patch", "loadtests/status"),
            ("PUT", "/apis/coordination.k8s.io/v1/namespaces/n/leases/l", "update", "leases"),
            ("DELETE", "/apis/batch/v1/namespaces/n/jobs/t", "delete", "jobs"),
            ("GET", "/version", "get", ""),
        ] {
            let method = method.parse().expect("a method");
            let asked = asked(&method, &uri.parse().expect("a path"));
            assert_eq!((asked.0, asked.1.as_str()), (verb, resource), "{uri}");
        }
    }
}
