//! A load test's life in sentences.

use std::time::Duration;

use metrics::wire::PhaseTimes;

use super::*;
use crate::edge::{OnTimeout, Snapshot};

pub(super) const BEGAN: Moment = Moment::from_millis(1_700_000_000_000);

pub(super) fn at(millis: u64) -> Moment {
    BEGAN + Duration::from_millis(millis)
}

pub(super) fn session(workers: u32, on_timeout: OnTimeout) -> Session {
    Session::new(workers, StartPolicy { timeout: Duration::from_secs(600), on_timeout }, BEGAN)
}

/// The first process of the pod of an index.
pub(super) fn process(index: u32) -> Process {
    process_of(index, 1)
}

pub(super) fn process_of(index: u32, nonce: u8) -> Process {
    let pod_uid = format!("00000000-0000-4000-8000-{index:012x}");
    Process { pod_uid, nonce: Nonce([nonce; 16]) }
}

fn joined(session: &mut Session, indexes: impl IntoIterator<Item = u32>, now: Moment) {
    for index in indexes {
        let joined = session.join(index, &process(index), Hello::default(), now);
        assert_eq!(joined, Ok(Joined { index, workers: session.workers, share: None }));
    }
}

/// They have joined, and wait for the start.
fn ready(session: &mut Session, indexes: impl IntoIterator<Item = u32> + Clone, now: Moment) {
    joined(session, indexes.clone(), now);
    for index in indexes {
        polled(session, index, now);
    }
}

pub(super) fn saved(session: &mut Session, now: Moment) -> Snapshot {
    let snapshot = session.begin_save().compress();
    session.saved(now);
    snapshot
}

/// All are ready, and the start is stored.
pub(super) fn started(workers: u32) -> Session {
    let mut session = session(workers, OnTimeout::Run);
    ready(&mut session, 0..workers, at(0));
    saved(&mut session, at(1));
    session
}

pub(super) fn batch(sequence: u64, requests: u64) -> Batch {
    let period = BEGAN.millis() + sequence * PERIOD;
    let counters = [("http.requests".to_owned(), requests), ("vusers.created".to_owned(), 1)].into();
    Batch { sequence, period, counters, ..Batch::default() }
}

pub(super) fn reason(denied: Result<impl std::fmt::Debug, Denied>) -> Reason {
    match denied {
        Err(Denied::Refused(refused)) => refused.reason,
        other => panic!("{other:?} is no refusal"),
    }
}

pub(super) fn polled(session: &mut Session, index: u32, now: Moment) -> StartAnswer {
    session.poll(index, &process(index), now).expect("an answer")
}

#[test]
fn nobody_is_told_to_start_before_all_are_ready() {
    let mut session = session(2, OnTimeout::Run);
    joined(&mut session, [0], at(0));
    let wait = StartAnswer::Wait { pause: Duration::from_millis(250), ready: 1, workers: 2 };
    assert_eq!(polled(&mut session, 0, at(599_999)), wait);
}

#[test]
fn a_worker_that_has_joined_and_still_prepares_holds_up_the_start_and_one_that_has_ended_does_not() {
    let mut session = session(3, OnTimeout::Run);
    joined(&mut session, 0..3, at(0));
    ready(&mut session, [0], at(1));
    let failed = Finish { exit_code: Some(1), ..Finish::default() };
    session.finish(1, &process(1), failed, at(2)).expect("an answer");
    assert!(matches!(polled(&mut session, 0, at(3)), StartAnswer::Wait { ready: 2, workers: 3, .. }));
    let snapshot = saved(&mut session, at(4));
    // another collector knows those who ended, and hears of the others when they ask again
    let mut restored = Session::restore(&snapshot, at(5)).expect("a session");
    assert!(matches!(polled(&mut restored, 0, at(6)), StartAnswer::Wait { ready: 2, .. }));
    assert!(matches!(polled(&mut restored, 2, at(7)), StartAnswer::Wait { ready: 3, .. }));
    saved(&mut restored, at(8));
    assert_eq!(polled(&mut restored, 0, at(9)), StartAnswer::Go { milliseconds: 748.0 });
}

#[test]
fn a_worker_that_joined_and_whose_pod_ended_without_a_word_is_not_waited_for() {
    let mut session = session(3, OnTimeout::Run);
    joined(&mut session, 0..2, at(0));
    ready(&mut session, [0], at(1));
    session.ended([1], at(2));
    assert!(matches!(polled(&mut session, 0, at(3)), StartAnswer::Wait { ready: 2, .. }), "2 may still join");
    ready(&mut session, [2], at(4));
    assert!(matches!(polled(&mut session, 0, at(5)), StartAnswer::Wait { ready: 3, .. }));
    saved(&mut session, at(6));
    assert!(matches!(polled(&mut session, 0, at(7)), StartAnswer::Go { .. }));
}

#[test]
fn a_worker_whose_pod_ended_before_it_joined_is_not_waited_for() {
    let mut session = session(3, OnTimeout::Run);
    ready(&mut session, [0, 1], at(0));
    session.ended([2], at(1));
    saved(&mut session, at(2));
    assert!(matches!(polled(&mut session, 0, at(3)), StartAnswer::Go { .. }));
    assert_eq!(session.facts(at(3)).start, StartFacts::Released { at: at(751), workers: 2 });
}

#[test]
fn nobody_is_told_to_start_before_claims_and_start_are_stored_and_then_all_are_told_one_moment() {
    let mut session = session(2, OnTimeout::Run);
    ready(&mut session, 0..2, at(0));
    assert!(session.take_news(), "all are ready");
    assert!(matches!(polled(&mut session, 0, at(100)), StartAnswer::Wait { ready: 2, .. }));
    session.begin_save();
    assert!(matches!(polled(&mut session, 0, at(150)), StartAnswer::Wait { .. }));
    session.saved(at(200));
    assert!(session.take_news(), "the start is stored");
    assert_eq!(polled(&mut session, 0, at(250)), StartAnswer::Go { milliseconds: 500.0 });
    assert_eq!(polled(&mut session, 1, at(500)), StartAnswer::Go { milliseconds: 250.0 });
    assert_eq!(polled(&mut session, 1, at(1750)), StartAnswer::Go { milliseconds: -1000.0 });
}

#[test]
fn a_start_that_could_not_be_stored_is_not_told_and_one_that_the_store_overtook_is_moved_and_stored_again() {
    let mut session = session(1, OnTimeout::Run);
    ready(&mut session, [0], at(0));
    session.begin_save();
    session.not_saved();
    assert!(matches!(polled(&mut session, 0, at(5000)), StartAnswer::Wait { .. }));
    assert!(session.unsaved().due(at(0), 1, at(5000)).is_some());
    saved(&mut session, at(6000));
    assert_eq!(polled(&mut session, 0, at(6000)), StartAnswer::Go { milliseconds: 750.0 });
    assert_eq!(session.unsaved().due(at(6000), 0, at(0)), Some((at(6000), Urgency::Now)));
}

#[test]
fn the_first_process_of_an_index_has_it_and_may_join_again() {
    let mut session = session(2, OnTimeout::Run);
    joined(&mut session, [0, 0], at(0));
    let again = session.join(0, &process_of(0, 2), Hello::default(), at(1));
    assert_eq!(again, Err(Denied::NotYet), "the claim is not stored");
    assert_eq!(session.unsaved().due(at(0), 0, at(0)), Some((at(3000), Urgency::Finish)));
    saved(&mut session, at(2));
    assert_eq!(reason(session.join(0, &process_of(0, 2), Hello::default(), at(3))), Reason::AlreadyClaimed);
    assert_eq!(reason(session.join(0, &process(1), Hello::default(), at(3))), Reason::AlreadyClaimed);
    joined(&mut session, [0], at(4));
}

#[test]
fn after_the_release_those_who_joined_may_join_again_and_nobody_else() {
    let mut session = session(3, OnTimeout::Run);
    joined(&mut session, [0, 1], at(0));
    polled(&mut session, 0, at(600_000));
    let late = session.join(2, &process(2), Hello::default(), at(600_000));
    assert_eq!(late, Err(Denied::NotYet), "the start is not stored");
    saved(&mut session, at(600_001));
    joined(&mut session, [0, 1], at(600_002));
    let late = session.join(2, &process(2), Hello::default(), at(600_002));
    assert_eq!(reason(late), Reason::AlreadyReleased);
    let facts = session.facts(at(600_002));
    assert_eq!(facts.start, StartFacts::Released { at: at(600_750), workers: 2 });
    assert_eq!((facts.planned, facts.joined, facts.first_join), (3, 2, Some(at(0))));
}

#[test]
fn when_not_all_joined_in_time_and_all_or_none_are_wanted_everybody_is_turned_away_once_that_is_stored() {
    let mut session = session(2, OnTimeout::Fail);
    joined(&mut session, [0], at(0));
    assert!(matches!(polled(&mut session, 0, at(600_000)), StartAnswer::Wait { .. }));
    saved(&mut session, at(600_001));
    assert!(session.take_news());
    assert_eq!(reason(session.poll(0, &process(0), at(600_002))), Reason::StartTimedOut);
    let late = session.join(1, &process(1), Hello::default(), at(600_002));
    assert_eq!(reason(late), Reason::StartTimedOut);
    assert_eq!(session.facts(at(600_002)).start, StartFacts::TimedOut { at: at(600_000) });
}

#[test]
fn who_never_joined_is_told_so_before_the_start() {
    let mut session = session(2, OnTimeout::Run);
    assert_eq!(session.poll(0, &process(0), at(0)), Err(Denied::Unknown));
    assert_eq!(session.progress(0, &process(0), at(0)), Err(Denied::Unknown));
    assert_eq!(reason(session.poll(2, &process(2), at(0))), Reason::NotAWorker);
}

#[test]
fn batches_are_taken_in_once_and_in_order() {
    let mut session = started(1);
    let mut take = |sequence, requests| {
        let (progress, taken) =
            session.take(0, &process(0), &batch(sequence, requests), at(2)).expect("an answer");
        (progress.received, progress.durable, taken)
    };
    assert_eq!(take(1, 5), (1, 0, Taken::In));
    assert_eq!(take(1, 5), (1, 0, Taken::Repeated));
    assert_eq!(take(3, 7), (1, 0, Taken::Ahead));
    assert_eq!(take(2, 6), (2, 0, Taken::In));
    assert_eq!(take(1, 5), (2, 0, Taken::Repeated));
    assert_eq!((session.facts(at(2)).requests, session.aggregate().batches()), (11, 2));
}

#[test]
fn a_batch_is_durable_once_a_snapshot_that_has_it_is_stored() {
    let mut session = started(1);
    let durable = |session: &mut Session| session.progress(0, &process(0), at(9)).expect("an answer").durable;
    session.take(0, &process(0), &batch(1, 5), at(2)).expect("taken");
    session.begin_save();
    session.take(0, &process(0), &batch(2, 5), at(3)).expect("taken");
    assert_eq!(durable(&mut session), 0);
    session.saved(at(4));
    assert_eq!(durable(&mut session), 1);
    session.begin_save();
    session.not_saved();
    assert_eq!(durable(&mut session), 1);
    saved(&mut session, at(5));
    assert_eq!(durable(&mut session), 2);
}

#[test]
fn a_worker_is_over_once_its_end_and_all_its_batches_are_stored() {
    let mut session = started(1);
    session.take_news();
    let finish = |exit_code| Finish { batches: 1, exit_code, counters: None, cut_short: false };
    session.finish(0, &process(0), finish(None), at(2)).expect("an answer");
    assert_eq!(session.unsaved().due(at(1), 0, at(0)), Some((at(3001), Urgency::Finish)));
    saved(&mut session, at(3));
    assert!(session.take_news(), "its end is stored");
    assert!(!session.facts(at(3)).workers[0].is_over, "a batch is missing");
    session.take(0, &process(0), &batch(1, 5), at(4)).expect("taken");
    assert_eq!(session.unsaved().due(at(3), 0, at(0)), Some((at(3003), Urgency::Finish)));
    saved(&mut session, at(5));
    assert!(session.take_news());
    assert!(session.facts(at(5)).workers[0].is_over);
    // the exit code is known last, and stays
    session.finish(0, &process(0), finish(Some(21)), at(6)).expect("an answer");
    assert_eq!(session.unsaved().due(at(5), 0, at(0)), Some((at(6), Urgency::Now)), "nobody else is to come");
    session.finish(0, &process(0), finish(None), at(7)).expect("an answer");
    let worker = &session.facts(at(7)).workers[0];
    assert_eq!(worker.finish.as_ref().and_then(|finish| finish.exit_code), Some(21));
    assert!(!worker.is_over, "its exit code is not stored");
    saved(&mut session, at(8));
    assert!(session.take_news());
    session.finish(0, &process(0), finish(Some(21)), at(9)).expect("an answer");
    assert!(session.unsaved().is_empty(), "nothing new");
}

#[test]
fn a_worker_whose_own_counters_differ_is_told_of() {
    let mut session = started(2);
    for index in 0..2 {
        session.take(index, &process(index), &batch(1, 5), at(2)).expect("taken");
        let counters = [("http.requests", 5 + u64::from(index)), ("vusers.created", 1)];
        let counters = Some(counters.into_iter().collect());
        let finish = Finish { batches: 1, exit_code: Some(0), counters, cut_short: false };
        session.finish(index, &process(index), finish, at(3)).expect("an answer");
    }
    let facts = session.facts(at(4));
    assert_eq!(
        facts.workers.iter().map(|worker| worker.counters_agree).collect::<Vec<_>>(),
        [Some(true), Some(false)]
    );
    assert_eq!(facts.vusers.created, 2);
}

#[test]
fn lost_periods_are_counted_and_named() {
    let mut session = started(1);
    for sequence in 1..=30 {
        let lost = Batch {
            lost: Some(format!("it was too large ({sequence})")),
            ..Batch { sequence, ..Batch::default() }
        };
        session.take(0, &process(0), &lost, at(2)).expect("taken");
    }
    assert_eq!(session.facts(at(3)).workers[0].lost, 30);
    let (_, worker) = session.members().next().expect("a worker");
    assert_eq!(
        (worker.lost_periods.len(), worker.lost_periods[0].why.as_str()),
        (20, "it was too large (1)")
    );
}

#[test]
fn the_start_skew_is_the_time_between_the_first_and_the_last_first_phase() {
    let mut session = started(3);
    assert_eq!(session.facts(at(2)).start_skew, None);
    for (index, started_milliseconds) in [(0, 12.5), (1, -3.0), (2, 40.0)] {
        let phase = |index, later| PhaseTimes {
            index,
            started_milliseconds: started_milliseconds + later,
            length_milliseconds: None,
        };
        let phases = vec![phase(0, 0.0), phase(1, 60_000.0)];
        session.take(index, &process(index), &Batch { phases, ..batch(1, 1) }, at(2)).expect("taken");
    }
    assert_eq!(session.facts(at(3)).start_skew, Some(43.0));
}

#[test]
fn the_rate_is_that_of_the_last_full_period() {
    let mut session = started(1);
    assert_eq!(session.facts(at(30_000)).requests_per_second, None);
    for sequence in 1..=4 {
        let period = BEGAN.millis() + (sequence - 1) * PERIOD;
        let batch = Batch { period, ..batch(sequence, (sequence - 1) * 100) };
        session.take(0, &process(0), &batch, at(2)).expect("taken");
    }
    assert_eq!(session.facts(at(29_999)).requests_per_second, None, "the load began within the first");
    assert_eq!(session.facts(at(30_000)).requests_per_second, Some(10.0));
    assert_eq!(session.facts(at(49_999)).requests_per_second, Some(20.0));
    assert_eq!(session.facts(at(50_000)).requests_per_second, Some(30.0));
    assert_eq!(session.facts(at(60_000)).requests_per_second, Some(0.0));
}

#[test]
fn a_load_test_that_is_to_end_tells_its_workers() {
    let mut session = started(1);
    assert!(!session.progress(0, &process(0), at(2)).expect("an answer").stop);
    session.stop();
    assert!(session.progress(0, &process(0), at(2)).expect("an answer").stop);
}

#[test]
fn a_stop_while_the_start_is_being_stored_turns_nobody_away_or_all() {
    let mut session = session(2, OnTimeout::Run);
    ready(&mut session, 0..2, at(0));
    session.begin_save();
    session.stop();
    assert!(matches!(polled(&mut session, 0, at(1)), StartAnswer::Wait { .. }));
    session.saved(at(2));
    for index in 0..2 {
        assert!(matches!(polled(&mut session, index, at(3)), StartAnswer::Go { .. }));
        assert!(session.progress(index, &process(index), at(4)).expect("an answer").stop);
    }
    let mut early = super::tests::session(2, OnTimeout::Run);
    joined(&mut early, 0..2, at(0));
    early.stop();
    assert_eq!(reason(early.poll(0, &process(0), at(1))), Reason::Gone);
}

#[test]
fn one_that_is_concluded_takes_in_nothing_more_and_is_closed_once_it_is_stored() {
    let mut session = started(1);
    session.take(0, &process(0), &batch(1, 5), at(2)).expect("taken");
    session.conclude(at(3));
    assert_eq!(reason(session.take(0, &process(0), &batch(2, 5), at(4))), Reason::Gone);
    assert_eq!(session.unsaved().due(at(1), 0, at(0)), Some((at(3), Urgency::Now)));
    let draft = session.begin_save();
    assert!(!session.is_closed());
    session.saved(at(5));
    assert!(session.is_closed());
    session.conclude(at(6));
    assert!(session.is_closed(), "asking again changes nothing");
    let mut restored = Session::restore(&draft.compress(), at(7)).expect("a session");
    assert!(restored.is_closed());
    assert_eq!(reason(restored.join(0, &process(0), Hello::default(), at(8))), Reason::Gone);
}

#[test]
fn a_worker_that_is_over_is_not_turned_away_while_it_ends_and_changes_nothing_any_more() {
    let mut session = started(2);
    session.take(0, &process(0), &batch(1, 5), at(2)).expect("taken");
    let finish = |exit_code| Finish { batches: 1, exit_code, counters: None, cut_short: false };
    session.finish(0, &process(0), finish(None), at(3)).expect("an answer");
    session.conclude(at(4));
    saved(&mut session, at(5));
    let last = Progress { received: 1, durable: 1, finished: true, stop: false, others_ended: false };
    assert_eq!(session.progress(0, &process(0), at(6)), Ok(last));
    assert_eq!(session.finish(0, &process(0), finish(Some(0)), at(6)), Ok(last));
    assert_eq!(session.take(0, &process(0), &batch(1, 5), at(6)), Ok((last, Taken::Repeated)));
    assert_eq!(reason(session.take(0, &process(0), &batch(2, 5), at(6))), Reason::Gone);
    assert_eq!(reason(session.progress(0, &process_of(0, 2), at(6))), Reason::Gone);
    assert_eq!(reason(session.progress(1, &process(1), at(6))), Reason::Gone, "it is not over");
    assert!(session.is_closed() && session.facts(at(7)).workers[0].finish == Some(finish(None)));
}

#[test]
fn the_phases_are_told_and_end_where_they_are_planned_to() {
    let mut session = session(1, OnTimeout::Run);
    let name = "n".repeat(61);
    let phases = serde_json::json!([
        { "duration": 10, "arrivalRate": 1, "name": name },
        { "duration": 5, "arrivalRate": 0 },
        { "pause": 2 },
    ]);
    session.join(0, &process(0), Hello { phases, ..Hello::default() }, at(0)).expect("joined");
    let told = session.facts(at(1)).phases.expect("phases");
    let phase = |name: Option<&str>, seconds| PlannedPhase {
        name: name.map(str::to_owned),
        length: Duration::from_secs(seconds),
    };
    assert_eq!(*told, [phase(Some(&name[..60]), 10), phase(None, 2)]);
    let restored = Session::restore(&saved(&mut session, at(2)), at(2)).expect("restored");
    assert_eq!(restored.facts(at(3)).phases, Some(told), "the next process knows them, too");
}

#[test]
fn phases_that_cannot_be_planned_are_not_told() {
    let year = serde_json::json!([{ "pause": 365 * 86_400 }, { "duration": 1, "arrivalRate": 1 }]);
    for phases in [serde_json::Value::Null, serde_json::json!([{ "arrivalRate": 2 }]), year] {
        assert_eq!(Session::planned_of(&phases), None, "{phases}");
    }
}
