//! Leader election: of several managers, the one that holds the Lease acts.
//!
//! A GET and a `replace` with resourceVersion each round; a conflict means that somebody else was quicker. Past the
//! renew deadline the leader stops by itself, by its own monotonic clock, before anybody else can have taken over: its
//! [`Term`] is over, and the client that the controller writes with refuses to.

mod decision;
mod term;

use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, PostParams};
use kube::core::ObjectMeta;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use decision::{Step, decide};
pub use term::Term;

/// The Lease's name: the first operator's, so that the two never act at once.
pub const LEASE_NAME: &str = "84f84c74.artillery.io";
/// How long a Lease holds without renewal.
const LEASE_DURATION: Duration = Duration::from_secs(15);
/// A leader that could not renew for this long stops; less than the Lease's duration, so that it stops in time.
const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Time between rounds.
const RETRY_PERIOD: Duration = Duration::from_secs(2);
/// No call to the API server may take longer.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// One candidate for the Lease.
pub struct Candidate {
    api: Api<Lease>,
    namespace: String,
    identity: String,
    /// The Lease as last seen to change, and when that was.
    seen: Option<(LeaseSpec, Instant)>,
}

/// A candidate that holds the Lease.
pub struct Leader {
    candidate: Candidate,
    /// The Lease's `leaseTransitions` while this process leads, and of no other process.
    epoch: i32,
    term: Term,
}

impl Candidate {
    /// A candidate in that namespace. `client` must not retry by itself: a late renewal is a wrong one.
    pub fn new(client: kube::Client, namespace: &str, identity: String) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, namespace: namespace.to_owned(), identity, seen: None }
    }

    /// Waits until the Lease is ours.
    pub async fn acquire(mut self) -> Leader {
        tracing::info!(
            lease = LEASE_NAME,
            namespace = self.namespace,
            identity = self.identity,
            "waiting to lead"
        );
        loop {
            let began = Instant::now();
            match self.round(None).await {
                Ok(Round::Ours(epoch)) => {
                    tracing::info!(lease = LEASE_NAME, epoch, "leading");
                    return Leader { candidate: self, epoch, term: Term::until(began + RENEW_DEADLINE) };
                }
                Ok(Round::Theirs | Round::Raced) => {}
                Err(error) => tracing::warn!(lease = LEASE_NAME, "cannot take the Lease yet: {error:#}"),
            }
            sleep(RETRY_PERIOD).await;
        }
    }

    /// One GET, one decision, and the write that it asks for. `epoch` is that in which this process leads already.
    async fn round(&mut self, epoch: Option<i32>) -> Result<Round> {
        let Some(lease) = call(self.api.get_opt(LEASE_NAME)).await? else {
            let metadata = ObjectMeta { name: Some(LEASE_NAME.to_owned()), ..ObjectMeta::default() };
            let epoch = epoch.unwrap_or(0);
            let lease = self.lease(metadata, epoch);
            return written(call(self.api.create(&PostParams::default(), &lease)).await, epoch);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let now = Instant::now();
        let since = match &self.seen {
            Some((seen, since)) if *seen == spec => *since,
            _ => now,
        };
        self.seen = Some((spec.clone(), since));
        let (epoch, acquired) = match decide(&self.identity, epoch, &spec, now - since, LEASE_DURATION) {
            Step::StandBy | Step::Lost => return Ok(Round::Theirs),
            Step::Renew => (spec.lease_transitions.unwrap_or(0), spec.acquire_time),
            Step::Acquire { epoch } => (epoch, None),
        };
        let mut new = self.lease(lease.metadata, epoch);
        if let (Some(new), Some(acquired)) = (new.spec.as_mut(), acquired) {
            new.acquire_time = Some(acquired);
        }
        written(call(self.api.replace(LEASE_NAME, &PostParams::default(), &new)).await, epoch)
    }

    fn lease(&self, metadata: ObjectMeta, transitions: i32) -> Lease {
        let now = MicroTime(Timestamp::now());
        let spec = LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            lease_transitions: Some(transitions),
            ..LeaseSpec::default()
        };
        Lease { metadata, spec: Some(spec) }
    }
}

impl Leader {
    /// The time in which it may write.
    pub fn term(&self) -> Term {
        self.term.clone()
    }

    /// Renews the Lease until `stop`, then gives it back; or until it is lost.
    ///
    /// # Errors
    /// The Lease is lost: nothing may be written any more, and the term is over or about to be.
    pub async fn hold(mut self, stop: CancellationToken) -> Result<()> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return self.release().await,
                () = sleep(RETRY_PERIOD) => {}
            }
            let began = Instant::now();
            let deadline = self.term.deadline().unwrap_or(began);
            if began < deadline {
                match timeout_at(deadline, self.candidate.round(Some(self.epoch))).await {
                    Ok(Ok(Round::Ours(_))) => self.term.move_on(began + RENEW_DEADLINE),
                    Ok(Ok(Round::Raced)) => {}
                    Ok(Ok(Round::Theirs)) => {
                        self.term.move_on(began);
                        anyhow::bail!("another manager took the Lease {LEASE_NAME}");
                    }
                    Ok(Err(error)) => {
                        tracing::warn!(lease = LEASE_NAME, "cannot renew the Lease: {error:#}");
                    }
                    Err(_) => {}
                }
            }
            if self.term.is_over(Instant::now()) {
                anyhow::bail!(
                    "the Lease {LEASE_NAME} could not be renewed for {} s",
                    RENEW_DEADLINE.as_secs()
                );
            }
        }
    }

    /// Gives the Lease back, so that the next manager need not wait for it to expire.
    async fn release(&self) -> Result<()> {
        let Candidate { api, identity, .. } = &self.candidate;
        let mut lease = call(api.get(LEASE_NAME)).await.context("cannot give the Lease back")?;
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_ref() == Some(identity) && spec.lease_transitions == Some(self.epoch) {
            spec.holder_identity = Some(String::new());
            spec.renew_time = Some(MicroTime(Timestamp::now()));
            call(api.replace(LEASE_NAME, &PostParams::default(), &lease))
                .await
                .context("cannot give the Lease back")?;
            tracing::info!(lease = LEASE_NAME, "gave the Lease back");
        }
        Ok(())
    }
}

/// How a round ended.
enum Round {
    /// The Lease is ours, in that epoch.
    Ours(i32),
    /// Somebody else holds it.
    Theirs,
    /// Somebody else wrote it in between; the next round tells who holds it.
    Raced,
}

fn written(result: Result<Lease>, epoch: i32) -> Result<Round> {
    match result {
        Ok(_) => Ok(Round::Ours(epoch)),
        Err(error) => match error.downcast_ref::<kube::Error>() {
            Some(kube::Error::Api(status)) if status.is_conflict() || status.is_already_exists() => {
                Ok(Round::Raced)
            }
            _ => Err(error),
        },
    }
}

async fn call<T>(request: impl Future<Output = kube::Result<T>>) -> Result<T> {
    Ok(timeout(CALL_TIMEOUT, request).await.context("the API server did not answer in time")??)
}
