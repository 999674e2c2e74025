//! Turns: lets load tests go while there is room for them, one decision at a time, and wakes those that may go when room is made.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::Stream;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use kube::runtime::reflector::{ObjectRef, Store};
use loadtest::plan::Problem;
use loadtest::queue::{Queue, gives_room};
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

    /// Takes back that a load test was let go, or would have been (`had_turn`): it cannot start. Wakes those that may go instead: none
    /// while it keeps its place, for they would be itself, at once and for ever, and those that fail as it does.
    pub fn take_back(&self, load_test: &LoadTest, had_turn: bool) {
        if self.is_unlimited() {
            return;
        }
        let mut inner = self.lock();
        if inner.admitted.remove(load_test.uid()) || had_turn {
            let queue = self.read(&mut inner, Timestamp::now());
            if !queue.has(load_test) {
                self.wake(&queue);
            }
            inner.queue = Some((queue, Instant::now()));
        }
    }

    /// Wakes those that may go now that a load test is over or gone.
    pub fn ended(&self, load_test: &LoadTest) {
        if !self.is_unlimited() && (gives_room(load_test) || self.lock().admitted.contains(load_test.uid())) {
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
        self.wake(&queue);
        inner.queue = Some((queue, Instant::now()));
    }

    fn wake(&self, queue: &Queue) {
        for (namespace, name) in queue.next() {
            // the receiver is the controller: without it nothing starts
            let _ = self.wake.unbounded_send(ObjectRef::new(name).within(namespace));
        }
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
    load_test: &'a LoadTest,
}

impl<'a> Held<'a> {
    /// Of a load test that was let go.
    pub fn new(turns: &'a Turns, load_test: &'a LoadTest) -> Self {
        Self { turns, load_test }
    }

    /// It keeps its room: its Job is there.
    pub fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.turns.take_back(self.load_test, false);
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
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

    fn reason(reason: &str) -> serde_json::Value {
        json!({ "conditions": [{ "type": "Progressing", "status": "False", "reason": reason }] })
    }

    #[test]
    fn an_end_wakes_the_next_and_who_is_let_go_takes_its_room() {
        let (first, second) = (test("first", 2, reason("Queued")), test("second", 3, reason("Queued")));
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
        drop(Held::new(&turns, &first));
        assert_eq!(woken.next().now_or_never(), None, "it keeps its place, and is tried again later");
        assert!(turns.admit(&second, now).is_err());
        assert!(turns.admit(&first, now).is_ok());
        let refused = test("first", 2, reason("JobRefused"));
        writer.apply_watcher_event(&Event::Apply(refused.clone()));
        turns.take_back(&refused, false);
        assert_eq!(woken.next().now_or_never().flatten(), Some(ObjectRef::new("second").within("a")));
    }

    #[test]
    fn who_has_its_turn_and_something_to_mend_and_who_is_being_deleted_wake_the_next() {
        let (load_tests, mut writer) = reflector::store();
        let broken = test("broken", 1, reason("MissingConfigMap"));
        for test in [&broken, &test("second", 2, reason("Queued"))] {
            writer.apply_watcher_event(&Event::Apply(test.clone()));
        }
        let settings = Settings { max_tests: 1, ..Settings::default() };
        let (turns, mut woken) = Turns::new(settings, load_tests, Arc::default());
        let second = Some(ObjectRef::new("second").within("a"));
        turns.take_back(&broken, false);
        assert_eq!(woken.next().now_or_never(), None, "it had no turn");
        turns.take_back(&broken, true);
        assert_eq!(woken.next().now_or_never().flatten(), second);
        let mut going = test("going", 1, json!({ "jobUID": "job-1" }));
        going.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
        writer.apply_watcher_event(&Event::Apply(going.clone()));
        turns.ended(&going);
        assert_eq!(woken.next().now_or_never().flatten(), second);
    }
}
