//! What is restored is what was stored, and what cannot be restored does no harm.

use metrics::wire::{Batch, Health, PhaseTimes};
use proptest::prelude::*;

use super::*;
use crate::edge::Reason;
use crate::session::tests::{BEGAN, at, batch, polled, process, process_of, reason, saved, session, started};
use crate::session::{Facts, Fingerprint, Finish, Nonce, Process, StartAnswer};

#[test]
fn it_is_restored_as_it_was_stored() {
    let mut session = session(3, OnTimeout::Run);
    let hello = |node: &str| Hello {
        node: node.to_owned(),
        phases: serde_json::json!([{"duration": 60}]),
        rows: vec![None, Some(3)],
        ..Hello::default()
    };
    for (index, node) in [(0, "24"), (1, "24"), (2, "22")] {
        session.join(index, &process(index), hello(node), at(u64::from(index))).expect("joined");
        polled(&mut session, index, at(2));
    }
    saved(&mut session, at(10));
    let health = Health {
        event_loop_utilization: 0.5,
        cpu_periods: 7,
        memory_limit_bytes: Some(9),
        ..Health::default()
    };
    let phases =
        vec![PhaseTimes { index: 0, started_milliseconds: -1.5, length_milliseconds: Some(60_000.0) }];
    let full = Batch { health: Some(health), phases, ..batch(1, 5) };
    session.take(0, &process(0), &full, at(20)).expect("taken");
    let lost = Batch { sequence: 2, lost: Some("why".to_owned()), ..Batch::default() };
    session.take(0, &process(0), &lost, at(21)).expect("taken");
    let finish = Finish { batches: 2, exit_code: Some(-1), counters: Some(Fingerprint(7)), cut_short: true };
    session.finish(0, &process(0), finish, at(22)).expect("an answer");
    let snapshot = saved(&mut session, at(30));
    let mut restored = Session::restore(&snapshot, at(40)).expect("a session");
    assert_eq!(restored.members, session.members);
    assert_eq!((restored.hello(), restored.differing()), (session.hello(), session.differing()));
    assert_eq!(restored.differing().versions.first, [2]);
    assert_eq!(restored.aggregate(), session.aggregate());
    let without_rate = |session: &Session| Facts { requests_per_second: None, ..session.facts(at(50)) };
    assert_eq!(without_rate(&restored), without_rate(&session));
    assert_eq!(restored.begin_save().compress(), snapshot);
    // whoever joined goes on, and nobody else comes in
    assert_eq!(polled(&mut restored, 2, at(250)), StartAnswer::Go { milliseconds: 502.0 });
    assert_eq!(reason(restored.join(1, &process_of(1, 2), Hello::default(), at(50))), Reason::AlreadyClaimed);
}

#[test]
fn claims_are_written_once_for_they_do_not_change_after_the_start() {
    let mut session = started(2);
    let first = saved(&mut session, at(2));
    session.take(0, &process(0), &batch(1, 5), at(3)).expect("taken");
    let second = saved(&mut session, at(4));
    assert!(Arc::ptr_eq(&first.closed[0], &second.closed[0]));
    assert_ne!(first.head, second.head);
}

#[test]
fn another_collector_whose_clock_is_behind_lets_nobody_wait_longer_than_was_meant() {
    let mut session = started(1);
    let snapshot = saved(&mut session, at(2));
    let behind = Moment::from_millis(BEGAN.millis() - 3_600_000);
    let mut restored = Session::restore(&snapshot, behind).expect("a session");
    assert_eq!(polled(&mut restored, 0, behind), StartAnswer::Go { milliseconds: 750.0 });
}

#[test]
fn damaged_snapshots_are_refused_with_what_is_wrong() {
    let mut session = started(2);
    let good = saved(&mut session, at(2));
    let why = |snapshot: &Snapshot| Session::restore(snapshot, at(3)).expect_err("an error").to_string();
    assert_eq!(
        why(&Snapshot { closed: Vec::new(), ..good.clone() }),
        "the stored snapshot has no opening: a first part is expected"
    );
    let cut = Snapshot { head: good.head[..good.head.len() / 2].to_vec(), ..good.clone() };
    assert!(why(&cut).starts_with("the stored head cannot be unpacked"), "{}", why(&cut));
    let other = saved(&mut started(1), at(2));
    assert_eq!(
        why(&Snapshot { head: other.head, ..good }),
        "the stored snapshot says of claims what cannot be: 2 claims, 1 workers"
    );
}

#[test]
fn a_snapshot_that_would_take_much_memory_is_refused_before_it_does() {
    let draft = started(1).draft();
    let why = |snapshot: &Snapshot| Session::restore(snapshot, at(3)).expect_err("an error").to_string();
    for in_opening in [false, true] {
        let bomb = draft.damaged(in_opening, |bytes| bytes.extend([0x42, 0x00].repeat(1 << 20)));
        assert!(why(&bomb).contains("fields, more than 20000"), "{}", why(&bomb));
        let bomb = draft.damaged(in_opening, |bytes| bytes.extend(vec![0; 17 << 20]));
        assert!(why(&bomb).contains("cannot be unpacked"), "{}", why(&bomb));
    }
}

proptest! {
    #[test]
    fn no_damage_to_a_snapshot_does_harm(
        in_opening in any::<bool>(),
        at_byte in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut session = started(2);
        let phases = vec![PhaseTimes { index: 0, started_milliseconds: 1.0, length_milliseconds: None }];
        session.take(0, &process(0), &Batch { phases, ..batch(1, 5) }, at(2)).expect("taken");
        let snapshot = session.draft().damaged(in_opening, |bytes| {
            let at = at_byte.index(bytes.len());
            bytes[at] = byte;
            bytes.truncate(cut.index(bytes.len() + 1));
        });
        if let Ok(mut restored) = Session::restore(&snapshot, at(3)) {
            let _ = restored.facts(at(4));
            let _ = restored.poll(0, &process(0), at(5));
            let _ = restored.take(0, &process(0), &batch(2, 5), at(6));
            restored.begin_save().compress();
            restored.saved(at(7));
        }
    }

    #[test]
    fn no_bytes_do_harm_as_a_join_or_a_snapshot(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Hello::read(&bytes);
        let snapshot = Snapshot { head: bytes.clone(), closed: vec![bytes.into()] };
        prop_assert!(Session::restore(&snapshot, at(0)).is_err());
    }
}

/// Numbers that do not compress, the same in each run (splitmix64).
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *seed;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[test]
fn ten_thousand_workers_take_400_kb_once_and_600_kb_each_time() {
    const WORKERS: u32 = 10_000;
    let mut seed = 7;
    let mut session = session(WORKERS, OnTimeout::Run);
    let processes: Vec<_> = (0..WORKERS)
        .map(|_| {
            let bytes = u128::from(random(&mut seed)) << 64 | u128::from(random(&mut seed));
            let hex = format!("{bytes:032x}");
            let pod_uid =
                format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]);
            let nonce = u128::from(random(&mut seed)) << 64 | u128::from(random(&mut seed));
            Process { pod_uid, nonce: Nonce(nonce.to_le_bytes()) }
        })
        .collect();
    for (index, process) in (0..).zip(&processes) {
        session.join(index, process, Hello::default(), at(u64::from(index))).expect("joined");
    }
    saved(&mut session, at(20_000));
    for (index, process) in (0..).zip(&processes) {
        let mut below = |most: u64| random(&mut seed) % most;
        let health = Health {
            event_loop_utilization: below(1000) as f64 / 1000.0,
            cpu_periods: 5000 + below(1000),
            cpu_throttled_periods: below(100),
            cpu_throttled_microseconds: below(1_000_000),
            memory_bytes: 400_000_000 + below(100_000_000),
            memory_limit_bytes: Some(1 << 30),
        };
        let phases = (0..3).map(|index| PhaseTimes {
            index,
            started_milliseconds: f64::from(index) * 60_000.0 + below(2000) as f64 / 10.0,
            length_milliseconds: Some(60_000.0 + below(2000) as f64 / 10.0),
        });
        let batch = Batch { health: Some(health), phases: phases.collect(), ..batch(1, below(1000)) };
        session.take(index, process, &batch, at(30_000 + below(10_000))).expect("taken");
        let finish = Finish {
            batches: 1,
            exit_code: Some(0),
            counters: Some(Fingerprint(below(u64::MAX))),
            cut_short: false,
        };
        session.finish(index, process, finish, at(40_000)).expect("an answer");
    }
    let snapshot = saved(&mut session, at(50_000));
    let (opening, head) = (snapshot.closed[0].len(), snapshot.head.len());
    assert!(opening < 420_000 && head < 600_000, "{opening} {head}");
}
