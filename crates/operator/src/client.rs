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

/// A write was asked for when another manager may lead already.
#[derive(thiserror::Error, Debug)]
#[error("this manager leads no more: nothing is written")]
struct OutOfTerm;

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
        let deadline = self.term.deadline().filter(|_| is_write(request.method()));
        let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
        if is_late {
            return Box::pin(async { Err(OutOfTerm.into()) });
        }
        let metrics = Arc::clone(&self.metrics);
        let (verb, resource) = asked(request.method(), request.uri());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answered = match deadline {
                Some(deadline) => timeout_at(deadline, answer).await.map_err(|_| OutOfTerm)?,
                None => answer.await,
            };
            let code = answered.as_ref().ok().map(|response| response.status().as_u16());
            metrics.called(verb, resource, code);
            answered.map_err(Into::into)
        })
    }
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
