//! A small model of collectors, a store, and workers that keep to the protocol: whatever is lost, repeated, delayed or killed, in whatever
//! order, what was measured is merged exactly once, nothing called durable is lost, and no index is let go twice.
//!
//! The collectors run the real [`Session`], and there may be two that both believe to own the load test. Requests and
//! answers may be lost, and requests arrive late and more than once. A save may fail, conflict, or be applied without an answer. A crash
//! forgets everything but the store.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::edge::{OnTimeout, Snapshot};

const COLLECTORS: usize = 2;
const INDEXES: u32 = 3;
/// Two processes want each index: a container that was started twice.
const PROCESSES: usize = INDEXES as usize * 2;
const BEGAN: Moment = Moment::from_millis(1_700_000_000_000);
/// So many batches there are of a worker.
const BATCHES: u64 = 5;

/// One thing that happens.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// A worker does what comes next, by that collector; the answer may be lost.
    Go { process: usize, collector: usize, is_answered: bool },
    /// A batch of a worker arrives that it sent some time ago, or once more.
    Late { process: usize, collector: usize, sequence: u64 },
    /// A worker that has joined starts by itself, for it heard nothing for too long.
    Impatient { process: usize },
    /// A collector begins to store what it has.
    BeginSave { collector: usize },
    /// That comes to an end.
    EndSave { collector: usize, outcome: Outcome },
    /// A collector forgets everything.
    Crash { collector: usize },
    /// Time passes.
    Time { seconds: u64 },
}

/// What becomes of a save.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// The store decides by the version.
    Arrives,
    /// It never arrives, and no answer either.
    Lost,
    /// It arrives, if the version is right, but no answer comes.
    Unanswered,
}

fn event() -> impl Strategy<Value = Event> {
    let (process, collector) = (0..PROCESSES, 0..COLLECTORS);
    let outcome =
        prop_oneof![4 => Just(Outcome::Arrives), 1 => Just(Outcome::Lost), 1 => Just(Outcome::Unanswered)];
    prop_oneof![
        30 => (process.clone(), collector.clone(), prop::bool::weighted(0.8))
            .prop_map(|(process, collector, is_answered)| Event::Go { process, collector, is_answered }),
        4 => (process.clone(), collector.clone(), 1..=BATCHES)
            .prop_map(|(process, collector, sequence)| Event::Late { process, collector, sequence }),
        1 => process.prop_map(|process| Event::Impatient { process }),
        5 => collector.clone().prop_map(|collector| Event::BeginSave { collector }),
        5 => (collector.clone(), outcome).prop_map(|(collector, outcome)| Event::EndSave { collector, outcome }),
        2 => collector.prop_map(|collector| Event::Crash { collector }),
        1 => (0..400_u64).prop_map(|seconds| Event::Time { seconds }),
    ]
}

/// Where a worker stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    New,
    Waiting,
    Running,
    /// It was turned away for good.
    Away,
    /// Everything is durable, its end too.
    Done,
}

/// A worker that keeps to the protocol: it forgets what is durable, and sends the rest in order.
#[derive(Clone, Debug)]
struct Simulated {
    index: u32,
    process: Process,
    stage: Stage,
    /// Whether it was told that nobody knows it.
    joins_again: bool,
    /// Whether it was ever told to start.
    was_released: bool,
    /// The next batch to send.
    next: u64,
    durable: u64,
}

/// A collector that has opened the load test.
struct Running {
    session: Session,
    version: Option<u64>,
    /// What is on its way to the store, and which version it replaces.
    saving: Option<(Snapshot, Option<u64>)>,
}

struct World {
    policy: StartPolicy,
    now: Moment,
    stored: Option<(Snapshot, u64)>,
    collectors: [Option<Running>; COLLECTORS],
    workers: Vec<Simulated>,
}

/// What is restored is what was stored.
fn assert_same(original: &Session, snapshot: &Snapshot, now: Moment) {
    let mut restored = Session::restore(snapshot, now).expect("a session");
    assert_eq!(restored.members, original.members);
    assert_eq!(restored.aggregate(), original.aggregate());
    assert_eq!((restored.hello(), restored.differing()), (original.hello(), original.differing()));
    assert_eq!(restored.first_join, original.first_join);
    assert_eq!(&restored.begin_save().compress(), snapshot);
}

/// What a worker measured, by its number.
fn batch(index: u32, process: usize, sequence: u64) -> Batch {
    let requests = 1 + u64::from(index) * 100 + process as u64 * 10_000 + sequence * 1_000_000;
    Batch {
        sequence,
        period: BEGAN.millis() + sequence * PERIOD,
        counters: [("http.requests".to_owned(), requests), ("vusers.created".to_owned(), 1)].into(),
        ..Batch::default()
    }
}

impl World {
    fn new(on_timeout: OnTimeout) -> Self {
        let workers = (0..PROCESSES).map(|i| Simulated {
            index: i as u32 / 2,
            process: Process { pod_uid: format!("pod-{}", i / 2), nonce: Nonce([i as u8; 16]) },
            stage: Stage::New,
            joins_again: false,
            was_released: false,
            next: 1,
            durable: 0,
        });
        Self {
            policy: StartPolicy { timeout: Duration::from_secs(600), on_timeout },
            now: BEGAN,
            stored: None,
            collectors: [const { None }; COLLECTORS],
            workers: workers.collect(),
        }
    }

    fn happen(&mut self, event: Event) {
        self.now = self.now + Duration::from_millis(10);
        match event {
            Event::Go { process, collector, is_answered } => self.go(process, collector, is_answered),
            Event::Late { process, collector, sequence } => {
                let worker = self.workers[process].clone();
                // it can only have sent what there was to send
                if sequence < worker.next {
                    let now = self.now;
                    let late = batch(worker.index, process, sequence);
                    let _ = self.session(collector).take(worker.index, &worker.process, &late, now);
                }
            }
            Event::Impatient { process } => {
                let worker = &mut self.workers[process];
                if worker.stage == Stage::Waiting {
                    worker.stage = Stage::Running;
                }
            }
            Event::BeginSave { collector } => self.begin_save(collector),
            Event::EndSave { collector, outcome } => self.end_save(collector, outcome),
            Event::Crash { collector } => self.collectors[collector] = None,
            Event::Time { seconds } => self.now = self.now + Duration::from_secs(seconds),
        }
    }

    /// The load test in that collector, which loads what is stored where it has nothing.
    fn session(&mut self, collector: usize) -> &mut Session {
        let (stored, policy, now) = (&self.stored, self.policy, self.now);
        let running = self.collectors[collector].get_or_insert_with(|| match stored {
            Some((snapshot, version)) => {
                let session = Session::restore(snapshot, now).expect("a session");
                Running { session, version: Some(*version), saving: None }
            }
            None => Running { session: Session::new(INDEXES, policy, now), version: None, saving: None },
        });
        &mut running.session
    }

    fn begin_save(&mut self, collector: usize) {
        let now = self.now;
        let Some(running) = &mut self.collectors[collector] else { return };
        if running.saving.is_none() && !running.session.unsaved().is_empty() {
            let snapshot = running.session.begin_save().compress();
            let mut original = running.session.clone();
            original.saved(now);
            assert_same(&original, &snapshot, now);
            running.saving = Some((snapshot, running.version));
        }
    }

    fn end_save(&mut self, collector: usize, outcome: Outcome) {
        let now = self.now;
        let Some(running) = &mut self.collectors[collector] else { return };
        let Some((snapshot, replaces)) = running.saving.take() else { return };
        let version = self.stored.as_ref().map(|(_, version)| *version);
        let is_applied = replaces == version && !matches!(outcome, Outcome::Lost);
        let next = version.unwrap_or(0) + 1;
        if is_applied {
            self.stored = Some((snapshot, next));
        }
        match outcome {
            Outcome::Arrives if is_applied => {
                running.version = Some(next);
                running.session.saved(now);
            }
            Outcome::Arrives => self.collectors[collector] = None, // it conflicts
            Outcome::Lost | Outcome::Unanswered => running.session.not_saved(),
        }
    }

    /// A worker does its next step.
    fn go(&mut self, process: usize, collector: usize, is_answered: bool) {
        let (worker, now) = (self.workers[process].clone(), self.now);
        let session = self.session(collector);
        let (index, who) = (worker.index, &worker.process);
        match worker.stage {
            Stage::Away | Stage::Done => {}
            stage if stage == Stage::New || worker.joins_again => {
                let joined = session.join(index, who, Hello::default(), now);
                if is_answered {
                    let worker = &mut self.workers[process];
                    match joined {
                        Ok(_) if stage == Stage::New => worker.stage = Stage::Waiting,
                        Ok(_) => worker.joins_again = false,
                        Err(denied) => self.denied(process, denied),
                    }
                }
            }
            Stage::New => unreachable!("the arm above has it"),
            Stage::Waiting => {
                let answer = session.poll(index, who, now);
                if is_answered {
                    match answer {
                        Ok(StartAnswer::Wait { .. }) => {}
                        Ok(StartAnswer::Go { .. }) => self.release(process),
                        Err(denied) => self.denied(process, denied),
                    }
                }
            }
            Stage::Running => {
                let answer = if worker.next <= BATCHES {
                    session
                        .take(index, who, &batch(index, process, worker.next), now)
                        .map(|(progress, _)| progress)
                } else {
                    let counters = (1..=BATCHES).map(|sequence| batch(index, process, sequence).counters);
                    let mut fingerprint = Fingerprint::default();
                    for counters in counters {
                        fingerprint.add_all(counters.iter().map(|(name, count)| (name.as_str(), *count)));
                    }
                    let finish = Finish {
                        batches: BATCHES,
                        exit_code: Some(0),
                        counters: Some(fingerprint),
                        cut_short: false,
                    };
                    session.finish(index, who, finish, now)
                };
                if is_answered {
                    match answer {
                        Ok(progress) => self.progressed(process, progress),
                        Err(denied) => self.denied(process, denied),
                    }
                }
            }
        }
    }

    fn denied(&mut self, process: usize, denied: Denied) {
        let worker = &mut self.workers[process];
        match denied {
            Denied::NotYet => {}
            Denied::Unknown => worker.joins_again = true,
            Denied::Refused(refused) => {
                assert!(
                    !worker.was_released || refused.reason == Reason::Gone,
                    "worker {process} was let go, and then told {refused}"
                );
                worker.stage = Stage::Away;
            }
        }
    }

    fn release(&mut self, process: usize) {
        let index = self.workers[process].index;
        let (snapshot, _) = self.stored.as_ref().expect("the release is stored");
        let stored = Session::restore(snapshot, self.now).expect("a session");
        assert!(matches!(stored.start, Start::Released { .. }), "the start that was told is not stored");
        assert_eq!(stored.members[&index].process, self.workers[process].process, "nor is the claim");
        let worker = &mut self.workers[process];
        (worker.stage, worker.was_released) = (Stage::Running, true);
        let released =
            self.workers.iter().filter(|worker| worker.index == index && worker.was_released).count();
        assert!(released <= 1, "the index {index} was let go twice");
    }

    fn progressed(&mut self, process: usize, progress: Progress) {
        let (snapshot, index) = (&self.stored, self.workers[process].index);
        let worker = &mut self.workers[process];
        if progress.received < worker.durable {
            return; // a collector that lost the load test to another, and does not know it yet
        }
        if progress.durable > worker.durable {
            let (snapshot, _) = snapshot.as_ref().expect("something is stored");
            let stored = Session::restore(snapshot, BEGAN).expect("a session");
            assert_eq!(stored.members[&index].process, worker.process, "another process was stored");
            assert!(
                stored.members[&index].received >= progress.durable,
                "what was called durable is not stored"
            );
        }
        worker.durable = worker.durable.max(progress.durable);
        worker.next = progress.received + 1;
        if worker.durable == BATCHES && progress.finished {
            worker.stage = Stage::Done;
        }
    }

    /// Everything works from now on, with one collector: all who can come to their end.
    fn settle(&mut self) {
        for collector in 1..COLLECTORS {
            self.collectors[collector] = None;
        }
        for round in 0..200 {
            if self.workers.iter().all(|worker| matches!(worker.stage, Stage::Away | Stage::Done)) {
                return;
            }
            for process in 0..PROCESSES {
                self.happen(Event::Go { process, collector: 0, is_answered: true });
            }
            self.happen(Event::BeginSave { collector: 0 });
            self.happen(Event::EndSave { collector: 0, outcome: Outcome::Arrives });
            if round == 20 {
                self.happen(Event::Time { seconds: 700 });
            }
        }
    }

    /// What all processes that count measured.
    fn expected(&self) -> Aggregate {
        let mut aggregate = Aggregate::default();
        for (process, worker) in self.workers.iter().enumerate() {
            if worker.stage == Stage::Done {
                for sequence in 1..=BATCHES {
                    aggregate.add(&batch(worker.index, process, sequence));
                }
            }
        }
        aggregate
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_everything_is_merged_once_and_no_index_is_let_go_twice(
        events in prop::collection::vec(event(), 0..200),
    ) {
        let mut world = World::new(OnTimeout::Run);
        for event in events {
            world.happen(event);
        }
        world.settle();
        let stages: BTreeMap<u32, Vec<Stage>> = world.workers.iter().fold(BTreeMap::new(), |mut stages, worker| {
            stages.entry(worker.index).or_insert_with(Vec::new).push(worker.stage);
            stages
        });
        for (index, stages) in stages {
            let done = stages.iter().filter(|stage| **stage == Stage::Done).count();
            let away = stages.iter().filter(|stage| **stage == Stage::Away).count();
            prop_assert!(done <= 1 && done + away == 2, "worker {}: {:?}", index, stages);
        }
        let now = world.now;
        world.session(0).conclude(now);
        world.happen(Event::BeginSave { collector: 0 });
        world.happen(Event::EndSave { collector: 0, outcome: Outcome::Arrives });
        let (snapshot, _) = world.stored.as_ref().expect("a snapshot");
        let stored = Session::restore(snapshot, now).expect("a session");
        prop_assert_eq!(stored.aggregate(), &world.expected());
        let done: BTreeSet<_> = world.workers.iter().filter(|worker| worker.stage == Stage::Done).map(|worker| worker.index).collect();
        for worker in stored.facts(now).workers {
            prop_assert_eq!(worker.is_over, done.contains(&worker.index));
            prop_assert!(!worker.is_over || worker.counters_agree == Some(true));
        }
    }

    #[test]
    fn where_all_or_none_are_wanted_nobody_is_let_go_after_somebody_was_turned_away_for_time(
        events in prop::collection::vec(event(), 0..200),
    ) {
        let mut world = World::new(OnTimeout::Fail);
        for event in events.into_iter().filter(|event| !matches!(event, Event::Impatient { .. })) {
            world.happen(event);
        }
        world.settle();
        let (snapshot, _) = world.stored.as_ref().expect("a snapshot");
        let stored = Session::restore(snapshot, world.now).expect("a session");
        let released = world.workers.iter().filter(|worker| worker.was_released).count();
        match stored.start {
            Start::TimedOut { .. } => prop_assert_eq!(released, 0),
            Start::Released { .. } => prop_assert_eq!(released, INDEXES as usize),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}

#[test]
fn the_model_reaches_the_end() {
    let mut world = World::new(OnTimeout::Run);
    world.settle();
    let done = world.workers.iter().filter(|worker| worker.stage == Stage::Done).count();
    assert_eq!((done, world.expected().batches()), (3, 15), "the properties above are not empty");
}
