//! Why Jobs get no pods: quota and Pod Security are told as events of the Job only, so those are watched, and no others.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use k8s_openapi::api::core::v1::Event as Told;
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use loadtest::workers::brief;
use loadtest::{LoadTest, Timestamp};

/// Selects what the Job controller says when it may not create a pod, in whatever namespace.
pub const SELECTOR: &str = "involvedObject.kind=Job,reason=FailedCreate";

/// The latest refusal of each Job, by its UID.
#[derive(Default)]
pub struct Refusals(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    live: ByJob,
    /// The answer of a list that is still coming in; it replaces `live` when it is whole.
    incoming: ByJob,
}

/// Refusals by the Job's UID, then by the event's name; events go after an hour.
type ByJob = HashMap<String, BTreeMap<String, (Option<Timestamp>, String)>>;

impl Refusals {
    /// Takes in one event of the watch.
    pub fn apply(&self, event: &Event<Told>) {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => inner.incoming.clear(),
            Event::InitApply(told) => put(&mut inner.incoming, told),
            Event::InitDone => inner.live = std::mem::take(&mut inner.incoming),
            Event::Apply(told) => put(&mut inner.live, told),
            Event::Delete(told) => {
                let Some(uid) = told.involved_object.uid.as_deref() else { return };
                if let Some(of_job) = inner.live.get_mut(uid) {
                    of_job.remove(told.metadata.name.as_deref().unwrap_or_default());
                    if of_job.is_empty() {
                        inner.live.remove(uid);
                    }
                }
            }
        }
    }

    /// What was last said against a pod of the Job with that UID.
    pub fn of(&self, job_uid: &str) -> Option<String> {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = inner.live.get(job_uid)?.values().max_by_key(|(at, _)| *at)?;
        Some(latest.1.clone())
    }
}

fn put(refusals: &mut ByJob, told: &Told) {
    let (Some(uid), Some(note)) = (&told.involved_object.uid, &told.message) else { return };
    let at = told.last_timestamp.as_ref().map(|at| at.0);
    let name = told.metadata.name.clone().unwrap_or_default();
    refusals.entry(uid.clone()).or_default().insert(name, (at, words(note)));
}

/// The LoadTest that the event's Job may be of: it bears the same name.
pub fn load_test_of(told: &Told) -> Option<ObjectRef<LoadTest>> {
    let job = &told.involved_object;
    Some(ObjectRef::new(job.name.as_deref()?).within(job.namespace.as_deref()?))
}

/// What admission says of a pod, without its name, which is another one each time.
fn words(note: &str) -> String {
    // what repeats much is folded into one event, under another heading
    let words =
        note.trim_start_matches("(combined from similar events): ").trim_start_matches("Error creating: ");
    let why = words.strip_prefix("pods \"").and_then(|rest| rest.split_once("\" "));
    why.map_or_else(|| brief(words), |(_, why)| brief(&format!("its pod {why}")))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    fn told(name: &str, note: &str, seconds: i64) -> Told {
        let mut told = Told { message: Some(note.into()), ..Told::default() };
        told.metadata.name = Some(name.into());
        told.involved_object.uid = Some("job-1".into());
        told.last_timestamp = Timestamp::from_second(seconds).ok().map(Time);
        told
    }

    #[test]
    fn the_latest_refusal_counts_until_its_event_is_gone() {
        let refusals = Refusals::default();
        let quota = told("b", "Error creating: pods \"t-1-x7k2p\" is forbidden: exceeded quota: q", 9);
        let security = told(
            "a",
            "(combined from similar events): Error creating: pods \"t-1-qqqqq\" is forbidden: violates PodSecurity",
            8,
        );
        refusals.apply(&Event::Apply(quota.clone()));
        refusals.apply(&Event::Apply(security));
        assert_eq!(refusals.of("job-1").as_deref(), Some("its pod is forbidden: exceeded quota: q"));
        refusals.apply(&Event::Delete(quota));
        assert_eq!(refusals.of("job-1").as_deref(), Some("its pod is forbidden: violates PodSecurity"));
        refusals.apply(&Event::Init);
        refusals.apply(&Event::InitDone);
        assert_eq!(refusals.of("job-1"), None);
    }
}
