//! What became of each LoadTest, told by the witness: what was started, with how many pods, and what was said of it.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use loadtest::LoadTest;
use serde_json::{Value, json};
use testbed::eventually::eventually;
use testbed::history::Change;

use crate::bed::{API, Bed, SOON};

/// The life of one LoadTest.
#[derive(Clone, Debug, Default)]
pub struct Life {
    pub name: String,
    /// UIDs of its Jobs, in the order of their creation.
    pub jobs: Vec<String>,
    /// UIDs that its status recorded, in order.
    pub recorded: Vec<String>,
    /// Starts of its Jobs, in order.
    pub starts: Vec<Start>,
    /// The reason of its end, once it is over.
    pub outcome: Option<String>,
    /// Reasons of the events on it, sorted.
    pub said: Vec<String>,
    /// What must not be, in words: empty in a sound life.
    pub twice: Vec<String>,
    /// Indexes of one Job that got another pod. Not from the operator: it makes none.
    pub other_pods: Vec<String>,
    /// What must not be of its events and its status.
    pub doubled: Vec<String>,
}

/// A Job whose `suspend` went away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    pub job: String,
    pub revision: u64,
}

/// The lives of all LoadTests of a namespace, in the order of their creation.
pub async fn lives(bed: &Bed) -> Vec<Life> {
    let changes = API.history().of_namespace(&bed.namespace).await.expect("the witness");
    let mut telling = Telling::default();
    for change in &changes {
        telling.tell(change);
    }
    telling.ended()
}

/// The life of the last LoadTest of that name.
pub async fn life(bed: &Bed, name: &str) -> Life {
    lives(bed).await.into_iter().rev().find(|life| life.name == name).expect("a LoadTest of that name")
}

/// What is known while the changes are told.
#[derive(Default)]
struct Telling {
    /// UIDs of the LoadTests, in order.
    order: Vec<String>,
    lives: BTreeMap<String, Life>,
    /// Statuses of the tests that are over, by UID.
    last_words: BTreeMap<String, Value>,
    /// Jobs by UID: the LoadTest's UID, and whether it is suspended.
    jobs: BTreeMap<String, (String, bool)>,
    /// UIDs of pods by the UID of their Job and their index.
    pods: BTreeMap<(String, String), Vec<String>>,
    /// What an event says, by its UID.
    events: BTreeMap<String, String>,
}

impl Telling {
    fn tell(&mut self, change: &Change) {
        if change.object.is_none() {
            return;
        }
        if change.is_of("loadtests") {
            self.load_test(change);
        } else if change.is_of("jobs") {
            self.job(change);
        } else if change.is_of("pods") {
            self.pod(change);
        } else if change.is_of("events") {
            self.event(change);
        }
    }

    fn load_test(&mut self, change: &Change) {
        let uid = change.text("/metadata/uid").to_owned();
        if !self.lives.contains_key(&uid) {
            self.order.push(uid.clone());
        }
        let life = self.lives.entry(uid.clone()).or_default();
        change.text("/metadata/name").clone_into(&mut life.name);
        let job = change.text("/status/jobUID");
        if !job.is_empty() && life.recorded.last().is_none_or(|last| last != job) {
            life.recorded.push(job.to_owned());
        }
        if life.recorded.len() > 1 {
            life.twice.push(format!("another Job was recorded: {:?}", life.recorded));
        }
        let Some(status) = change.object.as_ref().and_then(|o| o.get("status")) else { return };
        if let Some(last) = self.last_words.get(&uid) {
            if last != status {
                life.doubled.push(format!("told again after its end: {status}"));
            }
        } else if let Some(reason) = over(status) {
            life.outcome = Some(reason.to_owned());
            self.last_words.insert(uid, status.clone());
        }
    }

    fn job(&mut self, change: &Change) {
        let uid = change.text("/metadata/uid").to_owned();
        let is_suspended =
            change.object.as_ref().and_then(|o| o.pointer("/spec/suspend")) == Some(&Value::Bool(true));
        let (load_test, was_suspended) = match self.jobs.get(&uid) {
            Some((load_test, was)) => (load_test.clone(), *was),
            None => (owner(change, "LoadTest"), true),
        };
        let is_new = self.jobs.insert(uid.clone(), (load_test.clone(), is_suspended)).is_none();
        let Some(life) = self.lives.get_mut(&load_test) else { return };
        if is_new {
            life.jobs.push(uid.clone());
        }
        if was_suspended && !is_suspended {
            if life.recorded.last() != Some(&uid) {
                life.twice.push(format!("the Job {uid} was started, but recorded are {:?}", life.recorded));
            }
            life.starts.push(Start { job: uid, revision: change.revision });
            if life.starts.len() > 1 {
                life.twice.push(format!("started twice: {:?}", life.starts));
            }
        }
    }

    fn pod(&mut self, change: &Change) {
        let job = owner(change, "Job");
        let index = change.text("/metadata/labels/batch.kubernetes.io~1job-completion-index").to_owned();
        let Some(life) = self.jobs.get(&job).and_then(|(uid, _)| self.lives.get_mut(uid)) else { return };
        let pods = self.pods.entry((job, index.clone())).or_default();
        let uid = change.text("/metadata/uid").to_owned();
        if !pods.contains(&uid) {
            pods.push(uid);
            if pods.len() > 1 {
                life.other_pods.push(format!("index {index} got another pod: {pods:?}"));
            }
        }
    }

    fn event(&mut self, change: &Change) {
        let about = change.text("/involvedObject/uid");
        let Some(life) = self.lives.get_mut(about) else { return };
        let (uid, reason) = (change.text("/metadata/uid").to_owned(), change.text("/reason").to_owned());
        let says = format!("{about} {reason} {}", change.text("/message"));
        if self.events.values().any(|said| *said == says) {
            life.doubled.push(format!("said again: {reason}: {}", change.text("/message")));
        }
        if self.events.insert(uid, says).is_none() {
            life.said.push(reason);
            life.said.sort();
        }
    }

    fn ended(mut self) -> Vec<Life> {
        self.order.iter().filter_map(|uid| self.lives.remove(uid)).collect()
    }
}

/// The UID of the owner of that kind; empty if there is none.
fn owner(change: &Change, kind: &str) -> String {
    let owners = change.object.as_ref().and_then(|o| o.pointer("/metadata/ownerReferences"));
    let mut owners = owners.and_then(Value::as_array).into_iter().flatten();
    let owner = owners.find(|owner| owner.get("kind").and_then(Value::as_str) == Some(kind));
    owner.and_then(|o| o.get("uid")).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The reason of a status that says that the test is over.
fn over(status: &Value) -> Option<&str> {
    let mut conditions = status.get("conditions")?.as_array()?.iter();
    let completed = conditions.find(|c| c.get("type").and_then(Value::as_str) == Some("Completed"))?;
    let is_over = completed.get("status").and_then(Value::as_str) == Some("True");
    completed.get("reason").and_then(Value::as_str).filter(|_| is_over)
}

#[tokio::test]
async fn the_witness_tells_what_must_not_be() {
    let _whole = crate::whole().await;
    let bed = Bed::without_controller().await; // and nobody else is at work in it
    let load_test = bed.load_test("t", 1).await;
    assert!(life(&bed, "t").await.twice.is_empty(), "nothing has happened");
    let mut job = loadtest::job::build(
        &load_test,
        &loadtest::plan::Plan { workers: 1, ..loadtest::plan::Plan::default() },
    );
    job.metadata.namespace = None;
    let jobs = bed.api::<Job>();
    jobs.create(&PostParams::default(), &job).await.expect("a Job");
    for suspend in [false, true, false] {
        let patch = Patch::Merge(json!({ "spec": { "suspend": suspend } }));
        jobs.patch("t", &PatchParams::default(), &patch).await.expect("patched");
        if suspend {
            // it takes the pod away, and the next start makes another one of the same index
            let pods = async || bed.api::<Pod>().list(&ListParams::default()).await.expect("pods").items;
            eventually("no pod", SOON, pods, Vec::is_empty).await;
        } else {
            bed.pods("t", 1).await;
        }
    }
    let over = |message: &str| {
        let completed =
            json!({ "type": "Completed", "status": "True", "reason": "Succeeded", "message": message });
        Patch::Merge(json!({ "status": { "conditions": [completed] } }))
    };
    for message in ["it is over", "it is over again"] {
        let tests = bed.api::<LoadTest>();
        tests.patch_status("t", &PatchParams::default(), &over(message)).await.expect("told");
        let event: Event = serde_json::from_value(json!({
            "metadata": { "generateName": "t-" }, "reason": "Completed", "message": "Load Test completed",
            "involvedObject": { "kind": "LoadTest", "name": "t", "namespace": bed.namespace, "uid": load_test.metadata.uid },
        }))
        .expect("an event");
        bed.api::<Event>().create(&PostParams::default(), &event).await.expect("said");
    }
    let life = life(&bed, "t").await;
    for (all, wrongs) in [
        (&life.twice, &["but recorded are []", "started twice"][..]),
        (&life.other_pods, &["index 0 got another pod"]),
        (&life.doubled, &["told again after its end", "said again: Completed"]),
    ] {
        for wrong in wrongs {
            assert!(all.iter().any(|said| said.contains(wrong)), "{wrong}: {life:#?}");
        }
    }
}
