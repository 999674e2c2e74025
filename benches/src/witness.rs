//! A watch that notes when everything came, by the bench's own monotonic clock: what a user would have seen, and when.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;
use futures::{StreamExt as _, pin_mut};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What was seen of each object, in order, by namespace and name.
type Seen<K> = Arc<Mutex<BTreeMap<(String, String), Vec<(Instant, K)>>>>;

/// A watch under way; it ends with this.
pub struct Witness<K> {
    seen: Seen<K>,
    task: JoinHandle<()>,
}

impl<K> Witness<K>
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
{
    /// Watches until this is dropped; returns once the first list is whole.
    pub async fn start(api: Api<K>, config: watcher::Config) -> Result<Self> {
        let seen: Seen<K> = Arc::default();
        let (synced, ready) = oneshot::channel();
        let notes = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            let mut synced = Some(synced);
            let events = watcher(api, config);
            pin_mut!(events);
            while let Some(event) = events.next().await {
                let now = Instant::now();
                match event {
                    Ok(Event::Apply(object) | Event::InitApply(object)) => {
                        let meta = object.meta().clone();
                        let key = (meta.namespace.unwrap_or_default(), meta.name.unwrap_or_default());
                        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
                        notes.entry(key).or_default().push((now, object));
                    }
                    Ok(Event::InitDone) => {
                        // nobody waits any more if the bench has given up
                        synced.take().map(|synced| synced.send(()));
                    }
                    Ok(Event::Init | Event::Delete(_)) => {}
                    Err(error) => {
                        crate::report::progress(format!("a watch broke, and is tried again: {error}"))
                    }
                }
            }
        });
        ready.await?;
        Ok(Self { seen, task })
    }

    /// When that object first came in a state of which `is` holds.
    pub fn first(&self, namespace: &str, name: &str, is: impl Fn(&K) -> bool) -> Option<Instant> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let states = seen.get(&(namespace.to_owned(), name.to_owned()))?;
        states.iter().find(|(_, object)| is(object)).map(|(at, _)| *at)
    }

    /// The last state of each object of which `is` holds, in the order of their names.
    pub fn last(&self, is: impl Fn(&K) -> bool) -> Vec<K> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let lasts = seen.values().filter_map(|states| states.last()).map(|(_, object)| object);
        lasts.filter(|object| is(object)).cloned().collect()
    }
}

impl<K> Drop for Witness<K> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
