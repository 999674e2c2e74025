//! What is kept of the cluster: Jobs and worker pods, stripped to what is used, pods by the LoadTest that they are of.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, Pod, PodSpec};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use loadtest::{LoadTest, labels};
use tokio::sync::watch;

use super::worker_pod::WorkerPod;

/// A namespace and a name.
type Key = (String, String);
/// Pods by LoadTest, then by name.
type ByTest = HashMap<Key, HashMap<String, Arc<WorkerPod>>>;

/// Whether the first list of a watch is whole. kube's own `Store::wait_until_ready` wakes only the last of several that
/// wait (kube 5.0: one oneshot behind all of them), and every early reconcile waits.
pub struct Synced(watch::Sender<bool>);

impl Default for Synced {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Synced {
    /// Takes in one event of the watch.
    pub fn apply<K>(&self, event: &Event<K>) {
        if let Event::InitDone = event {
            self.0.send_replace(true);
        }
    }

    /// Whether it is.
    pub fn is(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is; the sender lives as long as the one who waits.
    pub async fn wait(&self) {
        // an error would mean that the sender is gone, and it is `self`
        let _ = self.0.subscribe().wait_for(|synced| *synced).await;
    }
}

/// The worker pods of all LoadTests, found by LoadTest without a search.
#[derive(Default)]
pub struct Pods {
    inner: Mutex<Inner>,
    /// Whether all of them are known.
    pub synced: Synced,
}

#[derive(Default)]
struct Inner {
    live: ByTest,
    /// The answer of a list that is still coming in; it replaces `live` when it is whole.
    incoming: ByTest,
}

impl Pods {
    /// Takes in one event of the pods' watch.
    pub fn apply(&self, event: &Event<WorkerPod>) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => inner.incoming.clear(),
            Event::InitApply(pod) => put(&mut inner.incoming, pod),
            Event::InitDone => {
                inner.live = std::mem::take(&mut inner.incoming);
                self.synced.apply(event);
            }
            Event::Apply(pod) => put(&mut inner.live, pod),
            Event::Delete(pod) => remove(&mut inner.live, pod),
        }
    }

    /// How many there are in which phase.
    pub fn phases(&self) -> BTreeMap<String, i64> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut phases = BTreeMap::new();
        for pod in inner.live.values().flat_map(HashMap::values) {
            let phase = pod.status.phase.clone().unwrap_or_default();
            *phases.entry(phase).or_default() += 1;
        }
        phases
    }

    /// How many pods a LoadTest has.
    pub fn count(&self, namespace: &str, load_test: &str) -> usize {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.live.get(&(namespace.to_owned(), load_test.to_owned())).map_or(0, HashMap::len)
    }

    /// A pod by its name, which begins with its LoadTest's: `NAME-INDEX-XXXXX`, as the Job controller has it.
    pub fn named(&self, namespace: &str, pod: &str) -> Option<Pod> {
        let load_test = pod.rsplitn(3, '-').nth(2)?;
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let pods = inner.live.get(&(namespace.to_owned(), load_test.to_owned()))?;
        pods.get(pod).map(|pod| pod.to_pod())
    }

    /// The pods of a LoadTest.
    pub fn of(&self, namespace: &str, load_test: &str) -> Vec<Pod> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (namespace.to_owned(), load_test.to_owned());
        inner.live.get(&key).map(|pods| pods.values().map(|pod| pod.to_pod()).collect()).unwrap_or_default()
    }
}

fn put(pods: &mut ByTest, pod: &WorkerPod) {
    if let Some(key) = key(pod) {
        let name = pod.metadata.name.clone().unwrap_or_default();
        pods.entry(key).or_default().insert(name, Arc::new(pod.clone()));
    }
}

fn remove(pods: &mut ByTest, pod: &WorkerPod) {
    let Some(key) = key(pod) else { return };
    if let Some(of_test) = pods.get_mut(&key) {
        of_test.remove(pod.metadata.name.as_deref().unwrap_or_default());
        if of_test.is_empty() {
            pods.remove(&key);
        }
    }
}

fn key(pod: &WorkerPod) -> Option<Key> {
    let test = pod.metadata.labels.as_ref()?.get(labels::TEST_NAME)?;
    Some((pod.metadata.namespace.clone()?, test.clone()))
}

/// The LoadTest that a worker pod is of.
pub fn load_test_of(pod: &WorkerPod) -> Option<ObjectRef<LoadTest>> {
    let (namespace, name) = key(pod)?;
    Some(ObjectRef::new(&name).within(&namespace))
}

/// Leaves of a Job what is read.
pub fn strip_job(job: &mut Job) {
    job.metadata.managed_fields = None;
    let Some(spec) = job.spec.as_mut() else { return };
    let containers = spec.template.spec.take().map(|s| s.containers).unwrap_or_default();
    let first = containers.into_iter().next();
    let containers = first
        .map(|c| Container { name: c.name, image: c.image, ..Container::default() })
        .into_iter()
        .collect();
    spec.template.metadata = None;
    spec.template.spec = Some(PodSpec { containers, ..PodSpec::default() });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, test: &str, name: &str) -> WorkerPod {
        let mut pod = WorkerPod::default();
        pod.metadata.namespace = Some(namespace.into());
        pod.metadata.name = Some(name.into());
        pod.metadata.labels = Some(labels::labels(test, labels::WORKER));
        pod
    }

    fn names(pods: &Pods, namespace: &str, test: &str) -> Vec<String> {
        let mut names: Vec<_> =
            pods.of(namespace, test).iter().filter_map(|pod| pod.metadata.name.clone()).collect();
        names.sort();
        names
    }

    #[test]
    fn pods_are_found_by_their_test_and_namespace() {
        let pods = Pods::default();
        for pod in [pod("a", "t", "t-0"), pod("a", "t", "t-1"), pod("b", "t", "t-2"), pod("a", "u", "u-0")] {
            pods.apply(&Event::Apply(pod));
        }
        assert_eq!(names(&pods, "a", "t"), ["t-0", "t-1"]);
        assert_eq!(pods.phases(), [(String::new(), 4)].into());
        pods.apply(&Event::Delete(pod("a", "t", "t-0")));
        assert_eq!(names(&pods, "a", "t"), ["t-1"]);
        assert_eq!(names(&pods, "c", "t"), [""; 0]);
        assert_eq!((pods.count("a", "t"), pods.count("c", "t")), (1, 0));
    }

    #[test]
    fn a_new_list_replaces_the_old_one_only_when_it_is_whole() {
        let pods = Pods::default();
        pods.apply(&Event::Apply(pod("a", "t", "gone-while-away")));
        pods.apply(&Event::Init);
        pods.apply(&Event::InitApply(pod("a", "t", "t-1")));
        assert_eq!(names(&pods, "a", "t"), ["gone-while-away"]);
        pods.apply(&Event::InitDone);
        assert_eq!(names(&pods, "a", "t"), ["t-1"]);
    }
}
