//! One load test in memory: being opened, open, or ended here; and its place in the store.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::checkpoint::Urgency;
use crate::collector::lock;
use crate::edge::{TestRef, Version};
use crate::moment::Moment;
use crate::session::Session;

/// One load test.
pub(crate) struct Test {
    /// Which.
    pub(crate) reference: TestRef,
    state: Mutex<State>,
    /// Notified when its state changes, or a save of it has ended.
    pub(crate) turned: Notify,
}

/// Where it stands.
pub(crate) enum State {
    /// It is being loaded.
    Opening,
    /// Requests are served.
    Open(Box<Open>),
    /// They are not, for a reason.
    Ended(Ended),
}

/// Why a load test is not served here.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// It was deleted.
    #[error("the load test is gone")]
    Gone,
    /// Nothing is stored of it, and it was looked for because it is over.
    #[error("nothing is known of the load test")]
    Nothing,
    /// Another process stored it, this one does not lead any more, or was told to forget it.
    #[error("another collector has the load test, or this one was told to forget it")]
    NotOurs,
    /// It could not be loaded; not before then again.
    #[error("{0}")]
    Failed(String, Moment),
    /// What is stored cannot be read.
    #[error("{0}")]
    Unreadable(String),
}

/// A load test that is served.
pub(crate) struct Open {
    /// What its workers told.
    pub(crate) session: Session,
    /// What the store has.
    pub(crate) version: Option<Version>,
    /// When it was last stored, or opened.
    pub(crate) last: Moment,
    /// How often in a row storing has failed.
    pub(crate) failures: u32,
    /// The last time.
    pub(crate) failed: Moment,
    /// Why.
    pub(crate) last_error: String,
    /// Whether it is being stored.
    pub(crate) is_saving: bool,
    /// How many bytes the last snapshot was.
    pub(crate) last_size: usize,
    /// The parts that need not be written again.
    pub(crate) written: Vec<Arc<[u8]>>,
}

impl Open {
    pub(crate) fn new(session: Session, version: Option<Version>, now: Moment) -> Self {
        Self {
            session,
            version,
            last: now,
            failures: 0,
            failed: now,
            last_error: String::new(),
            is_saving: false,
            last_size: 0,
            written: Vec::new(),
        }
    }

    /// When it is to be stored next; not while it is being stored.
    pub(crate) fn due(&self) -> Option<(Moment, Urgency)> {
        if self.is_saving {
            return None;
        }
        self.session.unsaved().due(self.last, self.failures, self.failed)
    }
}

impl Test {
    pub(crate) fn new(reference: TestRef) -> Self {
        Self { reference, state: Mutex::new(State::Opening), turned: Notify::new() }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// It was loaded, unless it was ended meanwhile.
    pub(crate) fn opened(&self, loaded: State) {
        let mut state = self.state();
        if matches!(&*state, State::Opening) {
            *state = loaded;
        }
        drop(state);
        self.turned.notify_waiters();
    }

    /// It is served no more by this object.
    pub(crate) fn end(&self, why: Ended) {
        *self.state() = State::Ended(why);
        self.turned.notify_waiters();
    }

    pub(crate) fn is_ready(&self) -> bool {
        !matches!(&*self.state(), State::Opening)
    }

    /// Waits until it is loaded, or cannot be.
    pub(crate) async fn ready(&self) {
        loop {
            let turned = self.turned.notified();
            tokio::pin!(turned);
            turned.as_mut().enable();
            if self.is_ready() {
                return;
            }
            turned.await;
        }
    }

    /// Whether opening it failed, and may be tried once more.
    pub(crate) fn may_be_opened_again(&self, now: Moment) -> bool {
        match &*self.state() {
            State::Ended(Ended::Failed(_, until)) => now >= *until,
            State::Ended(Ended::NotOurs) => true,
            _ => false,
        }
    }
}
