//! What a process remembers of a LoadTest between reconciles. Losing it costs a repeated call, never a wrong one.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use kube::Resource;
use loadtest::{LoadTest, Timestamp};

use super::warnings::Asked;

/// The pause between two looks at a LoadTest grows with its pods: 1 ms for 10, a second for 10,000.
const PAUSE_PER_POD: Duration = Duration::from_micros(100);

/// Memories of all LoadTests, by UID.
#[derive(Default)]
pub struct Memory {
    by_uid: Mutex<HashMap<String, Memories>>,
}

#[derive(Default)]
struct Memories {
    /// The object as our last write left it: the cache may be behind it.
    written: Option<(LoadTest, Timestamp)>,
    /// Its Job as our last write left it, until the cache has it.
    job: Option<Job>,
    /// Names of the events that are known to be there.
    announced: HashSet<String>,
    /// What was last asked about a pod of its that does not start.
    asked: Option<Asked>,
    /// When its workers were last counted.
    counted: Option<Instant>,
    /// Reconciles that failed in a row.
    failures: u32,
}

impl Memory {
    /// The newer of what the cache has and what our last write left.
    pub fn freshest(&self, cached: &LoadTest) -> LoadTest {
        self.with_freshest(cached, LoadTest::clone)
    }

    /// Looks at the newer of what the cache has and what our last write left.
    pub fn with_freshest<T>(&self, cached: &LoadTest, look: impl FnOnce(&LoadTest) -> T) -> T {
        let by_uid = self.by_uid.lock().unwrap_or_else(PoisonError::into_inner);
        match by_uid.get(cached.uid()).and_then(|m| m.written.as_ref()) {
            Some((written, _)) if is_newer(written, cached) => look(written),
            _ => look(cached),
        }
    }

    /// The newer of the Job that the cache has and the one that our last write left.
    pub fn freshest_job(&self, uid: &str, cached: Option<Job>) -> Option<Job> {
        self.with(uid, |m| match (&m.job, &cached) {
            (Some(written), Some(job)) if is_same(written, job) && is_newer(written, job) => {
                Some(written.clone())
            }
            _ => {
                m.job = None;
                cached
            }
        })
    }

    /// Remembers what a write to its Job left.
    pub fn wrote_job(&self, uid: &str, job: Job) {
        self.with(uid, |m| m.job = Some(job));
    }

    /// When the status was last written by this process.
    pub fn last_write(&self, uid: &str) -> Option<Timestamp> {
        self.with(uid, |m| m.written.as_ref().map(|(_, at)| *at))
    }

    /// Remembers what a status write left.
    pub fn wrote(&self, load_test: LoadTest, at: Timestamp) {
        let uid = load_test.uid().to_owned();
        self.with(&uid, |m| m.written = Some((load_test, at)));
    }

    /// Whether that event is known to be there.
    pub fn was_announced(&self, uid: &str, event: &str) -> bool {
        self.with(uid, |m| m.announced.contains(event))
    }

    /// Remembers that an event is there.
    pub fn announced(&self, uid: &str, event: String) {
        self.with(uid, |m| m.announced.insert(event));
    }

    /// What was last asked about a pod of its that does not start.
    pub fn asked(&self, uid: &str) -> Option<Asked> {
        self.with(uid, |m| m.asked.clone())
    }

    /// Remembers what was asked about a pod of its.
    pub fn has_asked(&self, uid: &str, asked: Asked) {
        self.with(uid, |m| m.asked = Some(asked));
    }

    /// How long to wait before counting that many pods once more: each of them is a reason to look again, and a look counts all of
    /// them. `None`: not at all, and this is the time.
    pub fn wait_to_count(&self, uid: &str, pods: usize, now: Instant) -> Option<Duration> {
        let pause = PAUSE_PER_POD * u32::try_from(pods).unwrap_or(u32::MAX);
        self.with(uid, |m| match m.counted.map(|at| now.duration_since(at)) {
            Some(since) if since < pause => Some(pause - since),
            _ => {
                m.counted = Some(now);
                None
            }
        })
    }

    /// How long to wait after one more failure: 0.5 s, doubling up to 30 s.
    pub fn failed(&self, uid: &str) -> Duration {
        self.with(uid, |m| {
            m.failures = m.failures.saturating_add(1);
            Duration::from_millis(500 << (m.failures - 1).min(6)).min(Duration::from_secs(30))
        })
    }

    /// Ends a row of failures.
    pub fn succeeded(&self, uid: &str) {
        self.with(uid, |m| m.failures = 0);
    }

    /// Forgets a LoadTest that is gone.
    pub fn forget(&self, uid: &str) {
        self.by_uid.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Forgets all LoadTests but these: what is gone was not always seen to go.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        self.by_uid.lock().unwrap_or_else(PoisonError::into_inner).retain(|uid, _| uids.contains(uid));
    }

    fn with<T>(&self, uid: &str, f: impl FnOnce(&mut Memories) -> T) -> T {
        f(self.by_uid.lock().unwrap_or_else(PoisonError::into_inner).entry(uid.to_owned()).or_default())
    }
}

fn is_same(a: &Job, b: &Job) -> bool {
    a.metadata.uid == b.metadata.uid
}

/// Resource versions of one object are numbers that grow (KEP-5504); where they are not, the cache is believed.
fn is_newer<K: Resource>(a: &K, b: &K) -> bool {
    let version = |object: &K| object.meta().resource_version.as_ref().and_then(|v| v.parse::<u64>().ok());
    version(a) > version(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_test_is_counted_at_most_once_a_second_and_a_small_one_at_once() {
        let (memory, began) = (Memory::default(), Instant::now());
        let wait = |uid, pods, millis| memory.wait_to_count(uid, pods, began + Duration::from_millis(millis));
        assert_eq!(wait("large", 10_000, 0), None);
        assert_eq!(wait("large", 10_000, 300), Some(Duration::from_millis(700)));
        assert_eq!(
            (wait("large", 10_000, 1000), wait("large", 10_000, 1001)),
            (None, Some(Duration::from_millis(999)))
        );
        assert_eq!((wait("small", 10, 0), wait("small", 10, 1)), (None, None));
    }
}
