//! Turns: lets load tests go while there is room for them, one decision at a time, and wakes those that may go when room is made.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::Stream;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::runtime::reflector::{ObjectRef, Store};
use loadtest::plan::Problem;
use loadtest::queue::{Queue, takes_room};
use loadtest::settings::Settings;
use loadtest::{LoadTest, Timestamp};

use super::memory::Memory;

/// How long a queue is asked before all load tests are looked at anew.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Who may go, and when.
pub struct Turns {
    settings: Settings,
    load_tests: Store<LoadTest>,
    memory: Arc<Memory>,
    inner: Mutex<Inner>,
    wake: UnboundedSender<ObjectRef<LoadTest>>,
}

#[derive(Default)]
struct Inner {
    /// UIDs of the load tests that were let go, which the cache may not show yet.
    admitted: HashSet<String>,
    /// The queue as it was then.
    queue: Option<(Queue, Instant)>,
}

impl Turns {
    /// Those of `load_tests`, and a stream of those that are to be looked at, for there is room for them.
    pub fn new(
        settings: Settings,
        load_tests: Store<LoadTest>,
        memory: Arc<Memory>,
    ) -> (Self, impl Stream<Item = ObjectRef<LoadTest>> + use<>) {
        let (wake, woken): (_, UnboundedReceiver<_>) = unbounded();
        (Self { settings, load_tests, memory, inner: Mutex::default(), wake }, woken)
    }

    /// Whether there is room for a load test now.
    pub fn look(&self, load_test: &LoadTest, now: Timestamp) -> Result<(), Problem> {
        if self.is_unlimited() {
            return Ok(());
        }
        let mut inner = self.lock();
        self.decide(&mut inner, load_test, now)
    }

    /// Lets a load test go if there is room for it; one at a time, so that there are never too many.
    pub fn admit(&self, load_test: &LoadTest, now: Timestamp) -> Result<(), Problem> {
        if self.is_unlimited() {
            return Ok(());
        }
        let mut inner = self.lock();
        self.decide(&mut inner, load_test, now)?;
        inner.admitted.insert(load_test.uid().to_owned());
        if inner.queue.as_ref().is_some_and(|(queue, _)| !queue.has(load_test)) {
            inner.queue = None; // it took room that the queue does not know of
        }
        Ok(())
    }

    /// Takes back that a load test was let go: it cannot start.
    pub fn take_back(&self, uid: &str) {
        if self.lock().admitted.remove(uid) {
            self.wake_next();
        }
    }

    /// Wakes those that may go now that a load test is over or gone.
    pub fn ended(&self, load_test: &LoadTest) {
        if !self.is_unlimited() && (takes_room(load_test) || self.lock().admitted.contains(load_test.uid())) {
            self.wake_next();
        }
    }

    /// Looks at all load tests, and wakes those that may go.
    pub fn wake_next(&self) {
        if self.is_unlimited() {
            return;
        }
        let mut inner = self.lock();
        let queue = self.read(&mut inner, Timestamp::now());
        for (namespace, name) in queue.next() {
            // the receiver is the controller: without it nothing starts
            let _ = self.wake.unbounded_send(ObjectRef::new(name).within(namespace));
        }
        inner.queue = Some((queue, Instant::now()));
    }

    fn decide(&self, inner: &mut Inner, load_test: &LoadTest, now: Timestamp) -> Result<(), Problem> {
        if let Some((queue, at)) = &inner.queue
            && at.elapsed() < GOOD_FOR
        {
            let said = queue.admit(load_test);
            if said.is_err() || queue.has(load_test) {
                return said;
            }
        }
        let queue = self.read(inner, now);
        let said = queue.admit(load_test);
        inner.queue = Some((queue, Instant::now()));
        said
    }

    /// The queue as it is now; forgets those that were let go and have ended.
    fn read(&self, inner: &mut Inner, now: Timestamp) -> Queue {
        let mut queue = Queue::new(&self.settings);
        let mut admitted = HashSet::new();
        for test in self.load_tests.state() {
            self.memory.with_freshest(&test, |test| {
                queue.add(test, &inner.admitted, now);
                if inner.admitted.contains(test.uid()) && !test.is_settled() {
                    admitted.insert(test.uid().to_owned());
                }
            });
        }
        inner.admitted = admitted;
        queue.arranged()
    }

    fn is_unlimited(&self) -> bool {
        self.settings.max_tests == 0 && self.settings.max_tests_per_namespace == 0
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives room back where creating a Job fails, or is given up.
pub struct Held<'a> {
    turns: &'a Turns,
    uid: &'a str,
}

impl<'a> Held<'a> {
    /// Of a load test that was let go.
    pub fn new(turns: &'a Turns, uid: &'a str) -> Self {
        Self { turns, uid }
    }

    /// It keeps its room: its Job is there.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.turns.take_back(self.uid);
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};
    use kube::runtime::{reflector, watcher::Event};
    use serde_json::json;

    use super::*;

    fn test(name: &str, second: u32, status: serde_json::Value) -> LoadTest {
        serde_json::from_value(json!({
            "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest",
            "metadata": {
                "name": name, "namespace": "a", "uid": name, "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
            },
            "spec": { "testScript": { "config": { "configMap": "s" } } }, "status": status,
        }))
        .expect("a LoadTest")
    }

    #[test]
    fn an_end_wakes_the_next_and_who_is_let_go_takes_its_room() {
        let queued =
            json!({ "conditions": [{ "type": "Progressing", "status": "False", "reason": "Queued" }] });
        let (first, second) = (test("first", 2, queued.clone()), test("second", 3, queued));
        let runs = test("runs", 1, json!({ "jobUID": "job-1" }));
        let (load_tests, mut writer) = reflector::store();
        for test in [&runs, &first, &second] {
            writer.apply_watcher_event(&Event::Apply(test.clone()));
        }
        let settings = Settings { max_tests: 1, ..Settings::default() };
        let (turns, mut woken) = Turns::new(settings, load_tests, Arc::default());
        let now = Timestamp::now();
        assert!(turns.admit(&first, now).is_err());
        turns.ended(&second);
        assert_eq!(woken.next().now_or_never(), None, "it took no room");
        writer.apply_watcher_event(&Event::Delete(runs.clone()));
        turns.ended(&runs);
        let next = woken.next().now_or_never().flatten();
        assert_eq!(next, Some(ObjectRef::new("first").within("a")));
        assert!(turns.admit(&second, now).is_err(), "it is not its turn");
        assert!(turns.admit(&first, now).is_ok());
        assert!(turns.admit(&second, now).is_err(), "its room is taken");
        turns.take_back("first");
        assert_eq!(woken.next().now_or_never().flatten(), Some(ObjectRef::new("first").within("a")));
    }
}
