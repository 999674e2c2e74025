//! Whom a worker's token belongs to: the API server reviews it, and what it says of the pod is looked up in the caches.

use std::sync::Arc;
use std::time::Duration;

use collector::{
    Distribution, Identify, IdentifyError, Identity, OnTimeout, Reason, Refused, StartPolicy, TestRef,
};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::reflector::{ObjectRef, Store};
use loadtest::claim::{Claim, claim, load_test_of};
use loadtest::reporter::{AUDIENCE, start_timeout_seconds};
use loadtest::{LoadTest, api};
use tokio::time::timeout;

use super::cache::{Pods, Synced};
use super::memory::Memory;
use super::worker_pod::WorkerPod;

/// How long the API server may take for one of its answers.
const PATIENCE: Duration = Duration::from_secs(5);
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// Tells who a worker is.
pub struct Identifier {
    pub client: kube::Client,
    pub load_tests: Store<LoadTest>,
    /// Whether all of them are known.
    pub tests_synced: Arc<Synced>,
    pub pods: Arc<Pods>,
    pub memory: Arc<Memory>,
}

/// The pod that a token is bound to.
struct Bound {
    namespace: String,
    name: String,
    uid: String,
}

impl Identify for Identifier {
    async fn identify(&self, token: &str) -> Result<Identity, IdentifyError> {
        let bound = self.review(token).await?;
        // one that is not known yet must not count as gone: its worker would be turned away for good
        self.tests_synced.wait().await;
        self.pods.synced.wait().await;
        let pod = self.pod(&bound).await?;
        let name = load_test_of(&pod).unwrap_or_default();
        let cached = self.load_tests.get(&ObjectRef::new(name).within(&bound.namespace));
        let load_test = cached.map(|cached| self.memory.freshest(&cached));
        match (claim(load_test.as_ref(), &pod), load_test) {
            (Claim::Worker(index), Some(load_test)) => Ok(Identity {
                test: test_ref(&load_test),
                index,
                pod_uid: bound.uid,
                workers: load_test.spec.count.unsigned_abs(),
                start: start_policy(&load_test),
                distribution: distribution(&load_test),
            }),
            (Claim::NotAWorker(why), _) => Err(refused(Reason::NotAWorker, why)),
            (Claim::Gone(why), _) => Err(refused(Reason::Gone, why)),
            (Claim::NotYet | Claim::Worker(_), _) => {
                Err(IdentifyError::Unavailable("the load test is not known yet".to_owned()))
            }
        }
    }
}

impl Identifier {
    async fn review(&self, token: &str) -> Result<Bound, IdentifyError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                token: Some(token.to_owned()),
                audiences: Some(vec![AUDIENCE.to_owned()]),
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let reviewed = in_time(reviews.create(&PostParams::default(), &review)).await?;
        let status = reviewed.status.unwrap_or_default();
        // an API server that knows no audiences would let every token pass
        let is_for_us = status.audiences.iter().flatten().any(|audience| audience == AUDIENCE);
        if status.authenticated != Some(true) || !is_for_us {
            return Err(IdentifyError::Invalid);
        }
        bound(&status.user.unwrap_or_default())
            .ok_or_else(|| refused(Reason::NotAWorker, "its token is bound to no pod".to_owned()))
    }

    /// The pod, from the cache or, where the cache does not have it, from the API server: it may be newer, or none of ours.
    async fn pod(&self, bound: &Bound) -> Result<Pod, IdentifyError> {
        let Bound { namespace, name, uid } = bound;
        let is_it = |pod: &Pod| pod.metadata.uid.as_ref() == Some(uid);
        if let Some(pod) = self.pods.named(namespace, name).filter(is_it) {
            return Ok(pod);
        }
        let pods: Api<WorkerPod> = Api::namespaced(self.client.clone(), namespace);
        let pod = match in_time(pods.get_opt(name)).await {
            Ok(pod) => pod.map(|pod| pod.to_pod()),
            Err(Asked::Forbidden) => {
                let why = format!("this operator does not look after the namespace {namespace}");
                return Err(refused(Reason::NotAWorker, why));
            }
            Err(error) => return Err(error.into()),
        };
        pod.filter(is_it).ok_or_else(|| {
            refused(Reason::NotAWorker, format!("there is no pod {name} with the UID {uid} any more"))
        })
    }
}

/// The LoadTest as the collector names it.
pub fn test_ref(load_test: &LoadTest) -> TestRef {
    TestRef {
        uid: load_test.uid().to_owned(),
        namespace: load_test.metadata.namespace.clone().unwrap_or_default(),
        name: load_test.name().to_owned(),
    }
}

/// How its workers wait for each other.
pub fn start_policy(load_test: &LoadTest) -> StartPolicy {
    let start = load_test.spec.start.as_ref();
    let seconds = start_timeout_seconds(start).max(1).unsigned_abs();
    let on_timeout = match start.and_then(|start| start.on_timeout).unwrap_or_default() {
        api::OnTimeout::Run => OnTimeout::Run,
        api::OnTimeout::Fail => OnTimeout::Fail,
    };
    StartPolicy { timeout: Duration::from_secs(seconds.into()), on_timeout }
}

/// Whether each of its workers runs the whole script, or all together run it once.
pub fn distribution(load_test: &LoadTest) -> Distribution {
    match load_test.spec.distribution.unwrap_or_default() {
        api::Distribution::Replicate => Distribution::Replicate,
        api::Distribution::Split => Distribution::Split,
    }
}

/// Why the API server gave no answer.
enum Asked {
    Forbidden,
    Failed(String),
}

impl From<Asked> for IdentifyError {
    fn from(asked: Asked) -> Self {
        Self::Unavailable(match asked {
            Asked::Forbidden => "the operator may not ask the API server".to_owned(),
            Asked::Failed(why) => why,
        })
    }
}

async fn in_time<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Asked> {
    match timeout(PATIENCE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) if status.is_forbidden() => Err(Asked::Forbidden),
        Ok(Err(error)) => Err(Asked::Failed(error.to_string())),
        Err(_) => Err(Asked::Failed("the API server did not answer in time".to_owned())),
    }
}

fn refused(reason: Reason, message: String) -> IdentifyError {
    IdentifyError::Refused(Refused { reason, message })
}

/// The pod, as the API server says it in what it adds to a bound token's user.
fn bound(user: &UserInfo) -> Option<Bound> {
    let mut parts = user.username.as_deref()?.strip_prefix("system:serviceaccount:")?.split(':');
    let namespace = parts.next()?.to_owned();
    let extra = |key: &str| user.extra.as_ref()?.get(key)?.first().cloned();
    Some(Bound { namespace, name: extra(POD_NAME)?, uid: extra(POD_UID)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_is_what_the_api_server_adds_to_the_user() {
        let mut user =
            UserInfo { username: Some("system:serviceaccount:a:default".into()), ..UserInfo::default() };
        assert!(bound(&user).is_none(), "a token that is bound to no pod");
        user.extra = Some(
            [(POD_NAME.to_owned(), vec!["t-0".to_owned()]), (POD_UID.to_owned(), vec!["u".to_owned()])]
                .into(),
        );
        let bound = bound(&user).expect("a pod");
        assert_eq!((bound.namespace.as_str(), bound.name.as_str(), bound.uid.as_str()), ("a", "t-0", "u"));
    }
}
