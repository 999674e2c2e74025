//! All load tests of this process: found by their workers' identities, opened from the store when the first of them speaks, asked
//! for facts, and concluded.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use metrics::aggregate::Aggregate;
use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::body::Room;
use crate::checkpoint::Budget;
use crate::counters::Counters;
use crate::edge::{Identify, Identity, Reason, Refused, StartPolicy, Store, TestRef, Unavailable, Version};
use crate::load_test::{Ended, Open, State, Test};
use crate::moment::{Clock, Moment};
use crate::session::{Denied, Differing, Facts, Hello, Session, Worker};
use crate::tokens::Tokens;

/// How long a request waits for its load test to be loaded.
const OPENING: Duration = Duration::from_secs(2);
/// How long a load may take, once it is its turn.
const LOADING: Duration = Duration::from_secs(20);
/// So many are loaded at a time: each may be of tens of megabytes, whoever wrote it.
const LOADED_AT_A_TIME: usize = 4;
/// How long nothing is tried after a failed load.
const REST: Duration = Duration::from_secs(1);
/// How long a conclusion may take.
const CONCLUDING: Duration = Duration::from_secs(20);

/// What is told to whoever asks a process that does not lead.
pub(crate) const NOT_LEADING: &str = "this collector does not lead";

/// The collector; clones are the same one.
pub struct Collector<I, S>(pub(crate) Arc<Inner<I, S>>);

/// What a load test is opened for.
#[derive(Clone, Copy)]
enum Wanted {
    /// A worker speaks, of a load test of so many: it is opened, also where nothing is stored.
    Running(u32, StartPolicy),
    /// It is over: there is what is stored, and nothing more.
    Over,
    /// Somebody wants to know what is stored of one that runs.
    IfStored,
}

impl<I, S> Clone for Collector<I, S> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

pub(crate) struct Inner<I, S> {
    pub(crate) identify: I,
    pub(crate) store: S,
    pub(crate) clock: Clock,
    pub(crate) tokens: Tokens,
    pub(crate) room: Room,
    pub(crate) counters: Arc<Counters>,
    /// Turns to load: after a change of the leader all load tests want one.
    loads: Semaphore,
    pub(crate) budget: Mutex<Budget>,
    /// Wakes the saver.
    pub(crate) wake: Notify,
    /// When it will look by itself, in microseconds.
    pub(crate) wakes_at: AtomicU64,
    leading: AtomicBool,
    /// By UID.
    tests: Mutex<HashMap<String, Arc<Test>>>,
    /// UIDs of those that are to end.
    stopping: Mutex<HashSet<String>>,
    changed: Mutex<BTreeSet<TestRef>>,
    has_changed: Notify,
}

/// Everything that a report needs of a load test that is over.
#[derive(Clone, Debug)]
pub struct Conclusion {
    /// Which snapshot it is: all of this is stored.
    pub version: Version,
    /// As of the end.
    pub facts: Facts,
    /// Those who joined, by completion index.
    pub workers: Vec<(u32, Worker)>,
    /// Versions, phases and checks, as the first worker said.
    pub hello: Option<Hello>,
    /// Who said something else.
    pub differing: Differing,
    /// Everything that was measured.
    pub aggregate: Aggregate,
}

/// Why a load test is not concluded; it can be tried again.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum ConcludeError {
    /// Another process leads.
    #[error("{NOT_LEADING}")]
    NotLeading,
    /// The store did not do its part.
    #[error("{0}")]
    Store(String),
    /// It took too long.
    #[error("the load test was not stored within {} s", CONCLUDING.as_secs())]
    TooSlow,
}

/// Why a request is not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    Refused(Refused),
    Unknown,
    NotNow(&'static str),
}

impl From<Denied> for Turned {
    fn from(denied: Denied) -> Self {
        match denied {
            Denied::Refused(refused) => Self::Refused(refused),
            Denied::Unknown => Self::Unknown,
            Denied::NotYet => Self::NotNow("who takes part is being stored"),
        }
    }
}

/// How many there are of what is open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Load tests in memory.
    pub open_tests: usize,
    /// Workers that wait for the start.
    pub waiting_workers: u64,
}

impl<I: Identify, S: Store> Collector<I, S> {
    /// One that does not lead yet: see [`Collector::set_leading`].
    pub fn new(identify: I, store: S) -> Self {
        let clock = Clock::default();
        Self(Arc::new(Inner {
            identify,
            store,
            tokens: Tokens::new(),
            room: Room::default(),
            counters: Arc::default(),
            loads: Semaphore::new(LOADED_AT_A_TIME),
            budget: Mutex::new(Budget::new(clock.now())),
            wake: Notify::new(),
            wakes_at: AtomicU64::new(0),
            leading: AtomicBool::new(false),
            tests: Mutex::default(),
            stopping: Mutex::default(),
            changed: Mutex::default(),
            has_changed: Notify::new(),
            clock,
        }))
    }

    /// Says whether this process may take in anything. One that may not answers 503 to every request, and keeps nothing in memory.
    pub fn set_leading(&self, leads: bool) {
        let mut tests = lock(&self.0.tests);
        self.0.leading.store(leads, Ordering::SeqCst);
        let dropped: Vec<_> = if leads { Vec::new() } else { tests.drain().collect() };
        drop(tests);
        for (_, test) in dropped {
            test.end(Ended::NotOurs);
        }
    }

    /// Whether it may take in anything.
    pub fn is_leading(&self) -> bool {
        self.0.leading.load(Ordering::SeqCst)
    }

    /// What is counted.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.0.counters)
    }

    /// How many there are of what is open.
    pub fn tally(&self) -> Tally {
        let tests = self.tests();
        let mut tally = Tally::default();
        for test in tests {
            if let State::Open(open) = &*test.state() {
                tally.open_tests += 1;
                tally.waiting_workers += u64::from(open.session.waiting_workers());
            }
        }
        tally
    }

    /// What is known of a load test now; `None` where it is not in memory, as after a change of the leader until a worker speaks.
    pub fn facts(&self, test: &TestRef) -> Option<Facts> {
        let test = lock(&self.0.tests).get(&test.uid).cloned()?;
        match &*test.state() {
            State::Open(open) => Some(open.session.facts(self.0.clock.now())),
            State::Opening | State::Ended(_) => None,
        }
    }

    /// Opens what is stored of a load test that is not in memory, without a worker's word: [`Self::changed`] tells when it is there. Nothing
    /// is opened of one of which nothing is stored.
    pub fn open_stored(&self, test: &TestRef) {
        self.find(test, Wanted::IfStored);
    }

    /// Those that are in memory.
    pub fn references(&self) -> Vec<TestRef> {
        self.tests().iter().map(|test| test.reference.clone()).collect()
    }

    /// Why a load test cannot be stored, or not be served, at the moment, in words; `None` where nothing is known to be wrong.
    pub fn trouble(&self, test: &TestRef) -> Option<String> {
        let test = lock(&self.0.tests).get(&test.uid).cloned()?;
        match &*test.state() {
            State::Open(open) if open.failures > 0 => Some(open.last_error.clone()),
            State::Ended(Ended::Failed(why, _) | Ended::Unreadable(why)) => Some(why.clone()),
            State::Opening | State::Open(_) | State::Ended(_) => None,
        }
    }

    /// Waits for the next load test of which something has changed that is worth a look: the start was decided or stored, or
    /// timed out, a worker's end was stored. Many changes of one load test come as one.
    pub async fn changed(&self) -> TestRef {
        loop {
            let notified = self.0.has_changed.notified();
            if let Some(test) = lock(&self.0.changed).pop_first() {
                return test;
            }
            notified.await;
        }
    }

    /// Tells the workers of a load test to end, from their next request on.
    pub fn stop(&self, test: &TestRef) {
        lock(&self.0.stopping).insert(test.uid.clone());
        let known = lock(&self.0.tests).get(&test.uid).cloned();
        if let Some(State::Open(open)) = known.as_ref().map(|test| test.state()).as_deref_mut() {
            open.session.stop();
        }
    }

    /// The pods of these workers have ended, whatever they said themselves: the start does not wait for them.
    pub fn ended(&self, test: &TestRef, indexes: impl IntoIterator<Item = u32>) {
        let known = lock(&self.0.tests).get(&test.uid).cloned();
        if let Some(State::Open(open)) = known.as_ref().map(|test| test.state()).as_deref_mut() {
            open.session.ended(indexes, self.0.clock.now());
            self.0.wake.notify_one();
        }
    }

    /// Ends a load test: nothing more is taken in, and all of it is stored before it is given out, so that it is the same however often
    /// this is asked for, by whichever process. `None`: nothing was ever heard of it. [`Collector::run`] must be running.
    ///
    /// # Errors
    /// It is not stored, or could not be loaded: ask again.
    pub async fn conclude(&self, test: &TestRef) -> Result<Option<Conclusion>, ConcludeError> {
        let deadline = Instant::now() + CONCLUDING;
        let mut failures = None;
        let test = self.find(test, Wanted::Over).ok_or(ConcludeError::NotLeading)?;
        loop {
            if !self.is_leading() {
                return Err(ConcludeError::NotLeading);
            }
            let turned = test.turned.notified();
            tokio::pin!(turned);
            turned.as_mut().enable();
            match &mut *test.state() {
                State::Opening => {}
                State::Ended(Ended::Nothing) => return Ok(None),
                State::Ended(ended) => return Err(ConcludeError::Store(ended.to_string())),
                State::Open(open) => {
                    open.session.conclude(self.0.clock.now());
                    if let (true, Some(version)) = (open.session.is_closed(), &open.version) {
                        return Ok(Some(self.conclusion(&open.session, version.clone())));
                    }
                    if open.failures > *failures.get_or_insert(open.failures) {
                        return Err(ConcludeError::Store(open.last_error.clone()));
                    }
                    self.0.wake.notify_one();
                }
            }
            if timeout_at(deadline, turned).await.is_err() {
                return Err(ConcludeError::TooSlow);
            }
        }
    }

    fn conclusion(&self, session: &Session, version: Version) -> Conclusion {
        Conclusion {
            version,
            facts: session.facts(self.0.clock.now()),
            workers: session.members().map(|(index, worker)| (index, worker.clone())).collect(),
            hello: session.hello().cloned(),
            differing: session.differing().clone(),
            aggregate: session.aggregate().clone(),
        }
    }

    /// Forgets a load test: it was deleted, or everything that it measured is in its report.
    pub fn forget(&self, test: &TestRef) {
        let known = lock(&self.0.tests).remove(&test.uid);
        if let Some(known) = known {
            known.end(Ended::NotOurs);
        }
        lock(&self.0.stopping).remove(&test.uid);
        lock(&self.0.changed).remove(test);
        self.0.tokens.forget(&test.uid);
    }

    /// Does something to the load test of a worker, which is opened where it is not.
    pub(crate) async fn with<T>(
        &self,
        identity: &Identity,
        act: impl FnOnce(&mut Session, Moment) -> Result<T, Denied>,
    ) -> Result<T, Turned> {
        let first = Wanted::Running(identity.workers, identity.start);
        let test = self.find(&identity.test, first).ok_or(Turned::NotNow(NOT_LEADING))?;
        if !test.is_ready() && timeout(OPENING, test.ready()).await.is_err() {
            return Err(Turned::NotNow("the load test is being loaded"));
        }
        let now = self.0.clock.now();
        let (done, has_news, due) = match &mut *test.state() {
            State::Open(open) => {
                let done = act(&mut open.session, now);
                (done, open.session.take_news(), open.due())
            }
            State::Ended(Ended::Gone | Ended::Nothing) => {
                let message = "the load test was deleted, or is over".to_owned();
                return Err(Turned::Refused(Refused { reason: Reason::Gone, message }));
            }
            State::Ended(Ended::Unreadable(_)) => {
                return Err(Turned::NotNow("what is stored of the load test cannot be read"));
            }
            State::Opening | State::Ended(_) => {
                return Err(Turned::NotNow("the load test is not open here"));
            }
        };
        if has_news {
            self.tell(&test.reference);
        }
        if due.is_some_and(|(at, _)| at.micros() < self.0.wakes_at.load(Ordering::SeqCst)) {
            self.0.wake.notify_one();
        }
        Ok(done?)
    }

    /// The load test, which is being opened where it is not known. `None`: this process does not lead.
    fn find(&self, reference: &TestRef, wanted: Wanted) -> Option<Arc<Test>> {
        let known = lock(&self.0.tests).get(&reference.uid).cloned();
        // not under the lock of all: one load test may be locked for milliseconds
        if let Some(test) = &known
            && !test.may_be_opened_again(self.0.clock.now())
        {
            return Some(Arc::clone(test));
        }
        let mut tests = lock(&self.0.tests);
        if !self.is_leading() {
            return None;
        }
        match (tests.get(&reference.uid), &known) {
            (Some(test), Some(known)) if Arc::ptr_eq(test, known) => {}
            (Some(other), _) => return Some(Arc::clone(other)),
            (None, _) => {}
        }
        let test = Arc::new(Test::new(reference.clone()));
        tests.insert(reference.uid.clone(), Arc::clone(&test));
        drop(tests);
        let (collector, opening) = (self.clone(), Arc::clone(&test));
        tokio::spawn(async move {
            let state = collector.load(&opening.reference, wanted).await;
            let is_open = matches!(state, State::Open(_));
            let is_nothing = matches!(state, State::Ended(Ended::NotOurs));
            opening.opened(state);
            if is_nothing {
                collector.drop_test(&opening);
            }
            if is_open && matches!(wanted, Wanted::IfStored) {
                collector.tell(&opening.reference);
            }
        });
        Some(test)
    }

    async fn load(&self, reference: &TestRef, wanted: Wanted) -> State {
        // until it is read: a few at a time in memory; it is never closed
        let _turn = self.0.loads.acquire().await;
        let loaded = timeout(LOADING, self.0.store.load(reference)).await;
        let now = self.0.clock.now();
        let failed = |why: String, rest: Duration| {
            tracing::warn!(test = %reference, "cannot load what workers measured: {why}");
            self.0.counters.loads_failed.inc();
            (why, now + rest)
        };
        let (mut session, version) = match loaded {
            Err(_) => {
                let (why, until) = failed("the store did not answer".to_owned(), REST);
                return State::Ended(Ended::Failed(why, until));
            }
            Ok(Err(Unavailable(why))) => {
                let (why, until) = failed(why, REST);
                return State::Ended(Ended::Failed(why, until));
            }
            Ok(Ok(Some((snapshot, version)))) => match Session::restore(&snapshot, now) {
                Ok(session) => (session, Some(version)),
                Err(error) => {
                    let (why, _) = failed(error.to_string(), REST);
                    return State::Ended(Ended::Unreadable(why));
                }
            },
            Ok(Ok(None)) => match wanted {
                Wanted::Running(workers, policy) => (Session::new(workers, policy, now), None),
                Wanted::Over => return State::Ended(Ended::Nothing),
                // a worker may come yet, and opens it then
                Wanted::IfStored => return State::Ended(Ended::NotOurs),
            },
        };
        if lock(&self.0.stopping).contains(&reference.uid) {
            session.stop();
        }
        State::Open(Box::new(Open::new(session, version, now)))
    }

    pub(crate) fn tell(&self, test: &TestRef) {
        lock(&self.0.changed).insert(test.clone());
        self.0.has_changed.notify_one();
    }

    pub(crate) fn tests(&self) -> Vec<Arc<Test>> {
        lock(&self.0.tests).values().cloned().collect()
    }

    /// Takes a load test out of memory that is not ours any more, unless it was opened again meanwhile.
    pub(crate) fn drop_test(&self, test: &Arc<Test>) {
        let mut tests = lock(&self.0.tests);
        if tests.get(&test.reference.uid).is_some_and(|known| Arc::ptr_eq(known, test)) {
            tests.remove(&test.reference.uid);
        }
    }
}

/// Locks are held for a few operations in memory, and never across an await.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
