//! What the collector asks of the world around it: who a token belongs to, and a place to store what was acknowledged.

use std::sync::Arc;
use std::time::Duration;

pub use metrics::delivery::Distribution;

/// A load test, as its workers' tokens lead to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TestRef {
    /// Its UID: two load tests of one name, one after the other, are two.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for TestRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Who sent a request: nothing of it comes from the request itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The load test.
    pub test: TestRef,
    /// The completion index, from 0.
    pub index: u32,
    /// The pod's UID (of a local worker: anything that no other worker has).
    pub pod_uid: String,
    /// How many workers the load test has.
    pub workers: u32,
    /// How its start is awaited.
    pub start: StartPolicy,
    /// Whether this worker is given a share of the load, or runs all of it.
    pub distribution: Distribution,
}

/// How long the first worker waits for the others, and what then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StartPolicy {
    /// Counted from the first join.
    pub timeout: Duration,
    /// What happens then.
    pub on_timeout: OnTimeout,
}

/// What happens when not all workers were ready in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTimeout {
    /// Those who joined start, as soon as they are ready; who joins later is turned away.
    Run,
    /// Nobody starts.
    Fail,
}

/// Why a process must not generate load, or nothing that it measures counts any more: final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Its pod belongs to no load test.
    NotAWorker,
    /// Another process has its index.
    AlreadyClaimed,
    /// The others have started.
    AlreadyReleased,
    /// Not all were ready in time, and the load test wants all or none.
    StartTimedOut,
    /// The load cannot be shared out among the workers, or this one could not take its share.
    CannotSplit,
    /// The hooks run once, and the worker that was to run `before` did not.
    HooksFailed,
    /// The load test was deleted, or is over.
    Gone,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NotAWorker,
        Self::AlreadyClaimed,
        Self::AlreadyReleased,
        Self::StartTimedOut,
        Self::CannotSplit,
        Self::HooksFailed,
        Self::Gone,
    ];

    /// As the protocol spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotAWorker => "NotAWorker",
            Self::AlreadyClaimed => "AlreadyClaimed",
            Self::AlreadyReleased => "AlreadyReleased",
            Self::StartTimedOut => "StartTimedOut",
            Self::CannotSplit => "CannotSplit",
            Self::HooksFailed => "HooksFailed",
            Self::Gone => "Gone",
        }
    }

    /// The HTTP status that goes with it.
    pub const fn status(self) -> u16 {
        match self {
            Self::NotAWorker => 403,
            Self::AlreadyClaimed => 409,
            Self::AlreadyReleased | Self::StartTimedOut | Self::HooksFailed | Self::Gone => 410,
            Self::CannotSplit => 422,
        }
    }
}

/// A final no.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("{}: {message}", reason.name())]
pub struct Refused {
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
}

/// Why a token gives no identity.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum IdentifyError {
    /// It is somebody's, but whoever it is may not take part.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It is nobody's, or not any more.
    #[error("the token is not valid for this collector")]
    Invalid,
    /// It could not be found out now.
    #[error("the token cannot be checked now: {0}")]
    Unavailable(String),
}

/// Tells whom a token belongs to. It is asked at most by a few requests at a time, and its answers are kept for ten minutes.
pub trait Identify: Send + Sync + 'static {
    /// Who the bearer of that token is.
    fn identify(&self, token: &str) -> impl Future<Output = Result<Identity, IdentifyError>> + Send;
}

/// All of a load test that must outlive this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// What changes from one snapshot to the next, compressed.
    pub head: Vec<u8>,
    /// What rarely changes: a part that is the same `Arc` as in the snapshot before need not be written again. The order counts.
    pub closed: Vec<Arc<[u8]>>,
}

/// Which writing of a snapshot it is (a resourceVersion, say): only compared, by the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(pub String);

/// The store does not answer.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("the store is not available: {0}")]
pub struct Unavailable(pub String);

/// Why nothing was stored, or why it is not known.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum SaveError {
    /// There is another version than the one that was named: somebody else owns this load test now.
    #[error("another collector stored this load test")]
    Conflict,
    /// The load test is gone, and with it the place for what it measured.
    #[error("the load test is gone")]
    Gone,
    /// It may or may not be stored.
    #[error("the store is not available: {0}")]
    Unavailable(String),
}

/// A place for snapshots. A save is all or nothing, and durable once it has returned.
pub trait Store: Send + Sync + 'static {
    /// The last snapshot, if there is one.
    fn load(
        &self,
        test: &TestRef,
    ) -> impl Future<Output = Result<Option<(Snapshot, Version)>, Unavailable>> + Send;

    /// Replaces the version named, or makes the first one where none is named.
    fn save(
        &self,
        test: &TestRef,
        snapshot: &Snapshot,
        version: Option<&Version>,
    ) -> impl Future<Output = Result<Version, SaveError>> + Send;
}
