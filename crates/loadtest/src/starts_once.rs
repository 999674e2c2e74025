//! A small model of managers, API server and crashes: no order of events starts a load test twice (invariant 1), and none
//! ends one that runs.
//!
//! The managers run the real [`decide`] on real objects, but on any *old* view of them; writes are refused exactly where
//! the API server refuses them. A crash is a manager that never does what it decided.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::Job;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::LoadTest;
use crate::fixtures::{JobFixture as _, LoadTestFixture as _, at, job_of, load_test};
use crate::job::{Start, generation, start};
use crate::lifecycle::{Decision, decide, wants_fresh_job};
use crate::observed::Observed;
use crate::plan::Plan;
use crate::status::next;

const MANAGERS: usize = 2;

/// One thing that happens.
#[derive(Clone, Debug)]
enum Event {
    /// A manager looks at some earlier or present version of the LoadTest and of the Job, and decides.
    Look { manager: usize, load_test: Index, job: Index },
    /// It does what it decided, or what is left of it after a crash: nothing.
    Act { manager: usize },
    /// It is killed and forgets what it decided.
    Crash { manager: usize },
    /// Somebody deletes the Job.
    DeleteJob,
    /// Somebody suspends the Job.
    SuspendJob,
    /// Its user mends the spec, which is allowed until a Job is recorded.
    Mend,
    /// Somebody deletes the LoadTest and creates it again under its name.
    Recreate,
    /// The garbage collector removes a Job whose LoadTest is gone.
    CollectGarbage,
}

fn event() -> impl Strategy<Value = Event> {
    let manager = 0..MANAGERS;
    let look = (manager.clone(), any::<Index>(), any::<Index>())
        .prop_map(|(manager, load_test, job)| Event::Look { manager, load_test, job });
    prop_oneof![
        8 => look,
        8 => manager.clone().prop_map(|manager| Event::Act { manager }),
        1 => manager.prop_map(|manager| Event::Crash { manager }),
        1 => Just(Event::DeleteJob),
        1 => Just(Event::SuspendJob),
        1 => Just(Event::Mend),
        1 => Just(Event::Recreate),
        1 => Just(Event::CollectGarbage),
    ]
}

/// What the API server has, and has had.
struct World {
    load_tests: Vec<LoadTest>,
    jobs: Vec<Option<Job>>,
    managers: [Option<(LoadTest, Decision)>; MANAGERS],
    uids: u32,
    /// Whether somebody deleted or suspended a Job since the LoadTest was created.
    meddled: bool,
    /// How often a Job of a LoadTest (by UID) was let go.
    starts: BTreeMap<String, Vec<String>>,
}

impl World {
    fn new() -> Self {
        let first = versioned(load_test("t").with_count(2), 1);
        Self {
            load_tests: vec![first],
            jobs: vec![None],
            managers: [None, None],
            uids: 0,
            meddled: false,
            starts: BTreeMap::new(),
        }
    }

    fn live(&self) -> &LoadTest {
        self.load_tests.last().expect("there is always one")
    }

    fn job(&self) -> Option<&Job> {
        self.jobs.last().and_then(Option::as_ref)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Look { manager, load_test, job } => self.look(manager, load_test, job),
            Event::Act { manager } => {
                if let Some((seen, decision)) = self.managers[manager].take() {
                    self.act(&seen, decision);
                }
            }
            Event::Crash { manager } => self.managers[manager] = None,
            Event::DeleteJob => {
                self.meddled = true;
                self.jobs.push(None);
            }
            Event::SuspendJob => {
                self.meddled = true;
                if let Some(job) = self.job().cloned() {
                    self.jobs.push(Some(job.suspended()));
                }
            }
            Event::Mend => {
                let mut mended = self.live().clone();
                if mended.status.as_ref().is_none_or(|status| status.job_uid.is_none()) {
                    mended.metadata.generation = mended.metadata.generation.map(|generation| generation + 1);
                    let version = self.load_tests.len() + 1;
                    self.load_tests.push(versioned(mended, version));
                }
            }
            Event::Recreate => {
                self.meddled = false;
                let mut again = load_test("t").with_count(2);
                again.metadata.uid = Some(self.uid("t"));
                let version = self.load_tests.len() + 1;
                self.load_tests.push(versioned(again, version));
            }
            Event::CollectGarbage => {
                if self.job().is_some_and(|job| owner(job) != self.live().uid()) {
                    self.jobs.push(None);
                }
            }
        }
    }

    fn look(&mut self, manager: usize, load_test: Index, job: Index) {
        let load_test = load_test.get(&self.load_tests).clone();
        let cached = job.get(&self.jobs).clone();
        let job = if wants_fresh_job(&load_test, cached.as_ref()) { self.job().cloned() } else { cached };
        self.managers[manager] = Some(decided(load_test, job));
    }

    fn act(&mut self, seen: &LoadTest, decision: Decision) {
        // to store the report any number of times does no harm
        let decision = match decision {
            Decision::Conclude(outcome) => Decision::Finish(outcome),
            decision => decision,
        };
        match &decision {
            Decision::CreateJob(_) if self.job().is_none() => {
                let uid = self.uid("job");
                self.jobs.push(Some(job_of(seen).with_uid(&uid)));
            }
            Decision::StartJob(uid) => {
                if let Some(job) = self.job().filter(|job| job.metadata.uid.as_ref() == Some(uid)).cloned() {
                    // the patch tests that it was never started
                    if start(&job) == Start::Never {
                        let is_live = owner(&job) == self.live().uid();
                        assert!(
                            !is_live || generation(&job) == self.live().metadata.generation,
                            "a spec runs that was mended before the start"
                        );
                        self.starts.entry(owner(&job)).or_default().push(uid.clone());
                        self.jobs.push(Some(job.started()));
                    }
                }
            }
            Decision::DeleteStrayJob(uid) => {
                if let Some(job) = self.job().filter(|job| job.metadata.uid.as_ref() == Some(uid)) {
                    assert_eq!(start(job), Start::Never, "a Job that runs was deleted as a stray");
                    self.jobs.push(None);
                }
            }
            Decision::RecordJob(_)
            | Decision::Wait(_)
            | Decision::Follow
            | Decision::Stop(_)
            | Decision::WaitForWorkers(_)
            | Decision::Finish(_) => {
                // the status patch names UID and resourceVersion
                if seen.metadata.resource_version == self.live().metadata.resource_version {
                    assert!(
                        self.meddled || !matches!(decision, Decision::Finish(_)),
                        "{decision:?}, though nobody touched the Job, and its workers run"
                    );
                    let observed = Observed::new(seen.clone(), self.job().cloned(), &[], at(0));
                    let status = next(&observed, &decision, at(0));
                    let version = self.load_tests.len() + 1;
                    self.load_tests.push(versioned(LoadTest { status, ..seen.clone() }, version));
                }
            }
            Decision::EndJob(uid) | Decision::RemoveJob(uid) => {
                let is_live = self.job().is_some_and(|job| {
                    job.metadata.uid.as_ref() == Some(uid) && owner(job) == self.live().uid()
                });
                assert!(self.meddled || !is_live, "a Job was ended that nobody touched");
            }
            Decision::CreateJob(_)
            | Decision::Conclude(_)
            | Decision::ExpireJob(..)
            | Decision::Leave
            | Decision::MakePlan => {}
        }
    }

    fn uid(&mut self, of: &str) -> String {
        self.uids += 1;
        format!("{of}-{}", self.uids)
    }
}

fn decided(load_test: LoadTest, job: Option<Job>) -> (LoadTest, Decision) {
    let plan = Plan { workers: 2, ..Plan::default() };
    let decision = decide(&Observed::new(load_test.clone(), job, &[], at(0)), Some(Ok(plan)));
    (load_test, decision)
}

fn versioned(mut load_test: LoadTest, version: usize) -> LoadTest {
    load_test.metadata.resource_version = Some(version.to_string());
    load_test
}

fn owner(job: &Job) -> String {
    job.metadata.owner_references.as_ref().map(|owners| owners[0].uid.clone()).unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn no_order_of_events_starts_a_load_test_twice(events in prop::collection::vec(event(), 1..60)) {
        let mut world = World::new();
        for event in events {
            world.happen(event);
            for (load_test, started) in &world.starts {
                prop_assert!(started.len() <= 1, "{load_test} was started {} times: {started:?}", started.len());
            }
        }
    }
}

#[test]
fn the_model_reaches_a_start() {
    let mut world = World::new();
    for _ in 0..4 {
        let (load_test, job) = (world.live().clone(), world.job().cloned());
        world.managers[0] = Some(decided(load_test, job));
        world.happen(Event::Act { manager: 0 });
    }
    assert_eq!(
        world.starts.values().map(Vec::len).collect::<Vec<_>>(),
        [1],
        "the property above is not empty"
    );
}
