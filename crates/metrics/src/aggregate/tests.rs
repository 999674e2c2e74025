//! Aggregates: small, exact, the same in whatever order batches come, and the same after they were stored.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::wire::Span;

fn batch(period: u64, requests: u64, times: &[f64]) -> Batch {
    let mut sketch = Sketch::default();
    for time in times {
        sketch.accept(*time).expect("a time");
    }
    Batch {
        sequence: 1,
        period: period * PERIOD,
        counters: [("http.requests".to_owned(), requests)].into(),
        rates: [("http.request_rate".to_owned(), 2.0)].into(),
        histograms: [("http.response_time".to_owned(), sketch)].into(),
        ..Batch::default()
    }
}

fn all<'a>(batches: impl IntoIterator<Item = &'a Batch>) -> Aggregate {
    let mut aggregate = Aggregate::default();
    batches.into_iter().for_each(|batch| aggregate.add(batch));
    aggregate
}

fn merged(a: &Aggregate, b: &Aggregate) -> Aggregate {
    let mut merged = a.clone();
    merged.merge(b);
    merged
}

#[test]
fn the_time_line_stays_small_and_the_total_exact() {
    let mut aggregate = Aggregate::default();
    for period in 0..1000 {
        aggregate.add(&batch(period, 3, &[1.0]));
    }
    assert!(aggregate.steps() <= MAX_STEPS, "{}", aggregate.steps());
    assert_eq!(aggregate.step(), 16 * PERIOD);
    let by_step: u64 = aggregate.time_line().map(|(_, step)| step.counters["http.requests"]).sum();
    assert_eq!((by_step, aggregate.total().counters["http.requests"]), (3000, 3000));
    assert_eq!(aggregate.total().histograms["http.response_time"].count(), 1000);
}

#[test]
fn the_order_of_batches_does_not_matter_either_where_they_are_heavy() {
    let heavy = |period: u64| {
        let mut batch = batch(period, 1, &[]);
        for histogram in 0..100_u64 {
            let mut sketch = Sketch::default();
            for value in 0..40_u64 {
                let time = (value * (histogram + 7) * (period + 3)) % 5_000;
                sketch.accept(time as f64).expect("a time");
            }
            batch.histograms.insert(format!("time-{histogram}"), sketch);
        }
        batch
    };
    let batches: Vec<_> = (0..50).map(heavy).collect();
    let forwards = all(&batches);
    // 100 histograms of 60 bytes and 50 periods are 300 KB: too much, so that there are 20 steps at most
    assert_eq!((forwards.steps(), forwards.step(), forwards.form()), (13, 4 * PERIOD, Form::Coarse));
    assert!(forwards == all(batches.iter().rev()), "the other way round");
    let [odd, even] = [0, 1].map(|rest| all(batches.iter().skip(rest).step_by(2)));
    assert_eq!(odd.steps(), 13);
    assert!(forwards == merged(&odd, &even), "merged");
    assert!(Aggregate::from_parts(&forwards.to_parts()) == Ok(forwards), "stored");
}

#[test]
fn a_rate_is_that_of_all_workers_together_in_the_mean_of_the_periods() {
    // two workers in the first period, one in the second, none in the third, two in the fourth
    let aggregate = all(&[0, 0, 1, 3, 3].map(|period| batch(period, 1, &[])));
    for by in [Measurers::One, Measurers::Several] {
        // when anything was measured was not told
        assert_eq!(aggregate.total().rate("http.request_rate", by), Some(10.0 / 3.0));
        assert_eq!(aggregate.total().rate("another", by), None);
        let by_step: Vec<_> =
            aggregate.time_line().map(|(_, step)| step.rate("http.request_rate", by)).collect();
        assert_eq!(by_step, [Some(4.0), Some(2.0), Some(4.0)]);
    }
}

#[test]
fn the_rate_of_many_workers_that_do_little_is_not_the_sum_of_what_artillery_rounds() {
    // a hundred workers send a request every ten seconds each, which Artillery calls 1 a second, from second 2 of the first period on to second 4 of the last
    let of = |name: &str, periods: std::ops::Range<u64>| {
        let mut batches = Vec::new();
        for worker in 0..100 {
            for period in periods.clone() {
                let mut batch = batch(period, 1, &[]);
                let at = batch.period + worker % 2 * 2_000 + 2_000;
                batch.counters = [(name.to_owned(), 1)].into();
                batch.rates = [("http.request_rate".to_owned(), 1.0)].into();
                batch.counters_at = Some(Span { first: at, last: at });
                batches.push(batch);
            }
        }
        all(&batches)
    };
    let rate = |aggregate: &Aggregate, by| aggregate.total().rate("http.request_rate", by);
    let aggregate = of("http.requests", 0..10);
    assert_eq!(rate(&aggregate, Measurers::Several), Some(1000.0 / 92.0));
    assert_eq!(rate(&aggregate, Measurers::One), Some(100.0), "of one worker it is Artillery's");
    let steps: Vec<_> =
        aggregate.time_line().map(|(_, step)| step.rate("http.request_rate", Measurers::Several)).collect();
    assert_eq!(steps, [Some(50.0); 10], "all came within 2 s of each period");
    // in less than a second it is as if it had been one
    let aggregate = all(&[0, 0].map(|_| {
        let mut batch = batch(0, 1, &[]);
        batch.counters = [("http.requests".to_owned(), 3)].into();
        batch.counters_at = Some(Span { first: batch.period, last: batch.period + 10 });
        batch
    }));
    assert_eq!(rate(&aggregate, Measurers::Several), Some(6.0));
    // nothing counts its events
    assert_eq!(rate(&of("another", 0..10), Measurers::Several), Some(100.0));
}

#[test]
fn what_has_no_measurements_is_counted_and_nothing_else() {
    let lost = Batch { sequence: 1, lost: Some("too large".into()), ..Batch::default() };
    let aggregate = all([&lost, &Batch { sequence: 2, ..Batch::default() }]);
    assert_eq!((aggregate.batches(), aggregate.lost(), aggregate.steps()), (2, 1, 0));
    assert_eq!(aggregate.total(), &Measured::default());
}

#[test]
fn names_without_end_are_refused_and_counted() {
    let mut aggregate = Aggregate::default();
    for i in 0..=MAX_NAMES as u64 {
        let counters = [(format!("name-{i}"), 1)].into();
        aggregate.add(&Batch { sequence: 1, counters, ..Batch::default() });
    }
    assert_eq!(aggregate.total().counters.len(), MAX_NAMES);
    let refused: Vec<_> = aggregate.refused().collect();
    assert_eq!((refused.len(), refused[0].2, aggregate.refused_values()), (1, 1, 1));
}

#[test]
fn distributions_without_end_are_refused_and_counted_and_the_steps_do_not_get_them_either() {
    let mut aggregate = Aggregate::default();
    let mut wide = Sketch::default();
    for exponent in -40..=40 {
        wide.accept(2_f64.powi(exponent)).expect("a value");
    }
    for i in 0..200 {
        let histograms = [(format!("name-{i}"), wide.clone())].into();
        aggregate.add(&Batch { sequence: 1, histograms, ..Batch::default() });
    }
    let taken = aggregate.total().histograms.len();
    assert_eq!(taken, MAX_TOTAL_BINS / wide.len());
    assert_eq!(aggregate.refused_values(), 200 - taken as u64);
    // more names than can be read again, were they kept
    for part in 0..10_u64 {
        let name = |i: u64| (format!("more-{}", part * 2000 + i), wide.clone());
        let histograms = (0..2000).map(name).collect();
        aggregate.add(&Batch { sequence: 2 + part, histograms, ..Batch::default() });
    }
    assert_eq!(aggregate.refused_values(), 20_200 - taken as u64);
    assert_eq!(aggregate.time_line().next().map(|(_, step)| step.histograms.len()), Some(taken));
    assert_eq!(Aggregate::from_parts(&aggregate.to_parts()).as_ref(), Ok(&aggregate));
}

#[test]
fn of_what_is_refused_the_first_in_order_are_told_and_all_are_counted() {
    let why = ValueError::Twice;
    let batches: Vec<_> = (0..MAX_REFUSED + 100)
        .map(|i| {
            let refused = vec![Refused { name: format!("{:03}", i * 7 % 300), why: why.clone() }];
            Batch { sequence: 1, refused, ..Batch::default() }
        })
        .collect();
    let aggregate = all(&batches);
    assert_eq!((aggregate.refused().count(), aggregate.refused_values()), (MAX_REFUSED, 300));
    assert_eq!(aggregate.refused().last(), Some(("199", "its name comes twice", 1)));
    assert_eq!(aggregate, all(batches.iter().rev()));
}

#[test]
fn a_closed_group_keeps_its_bytes_until_a_late_batch_comes_for_it() {
    let mut aggregate = all(&(0..40).map(|period| batch(period, 1, &[1.0, 2.0])).collect::<Vec<_>>());
    let before = aggregate.to_parts();
    assert_eq!(before.closed.len(), 3);
    aggregate.add(&batch(40, 1, &[5.0]));
    aggregate.add(&batch(41, 1, &[5.0]));
    let after = aggregate.to_parts();
    assert!(before.closed.iter().zip(&after.closed).all(|(a, b)| Arc::ptr_eq(a, b)));
    // the second of them, from the latest on, is that of the periods 12 to 23
    aggregate.add(&batch(13, 1, &[9.0]));
    let opened = aggregate.to_parts();
    assert_eq!(opened.closed, after.closed, "it is open, and stored as that");
    assert_eq!(Aggregate::from_parts(&opened).as_ref(), Ok(&aggregate));
    aggregate.add(&batch(42, 1, &[5.0]));
    aggregate.add(&batch(43, 1, &[5.0]));
    let late = aggregate.to_parts();
    let is_same: Vec<_> = late.closed.iter().zip(&opened.closed).map(|(a, b)| Arc::ptr_eq(a, b)).collect();
    assert_eq!(is_same, [true, false, true]);
    assert_eq!(Aggregate::from_parts(&late).as_ref(), Ok(&aggregate));
}

#[test]
fn parts_of_different_moments_are_refused() {
    let mut aggregate = all(&(0..40).map(|period| batch(period, 1, &[1.0, 2.0])).collect::<Vec<_>>());
    let old = aggregate.to_parts();
    for period in [13, 44, 45] {
        aggregate.add(&batch(period, 1, &[9.0]));
    }
    let new = aggregate.to_parts();
    let mixed = Parts { live: new.live.clone(), closed: old.closed.clone() };
    assert_eq!(Aggregate::from_parts(&mixed), Err(PartsError::NotOne));
    let missing = Parts { live: new.live.clone(), closed: new.closed[1..].to_vec() };
    assert_eq!(Aggregate::from_parts(&missing), Err(PartsError::Groups(3, 2)));
    let twice = Parts { live: new.live.clone(), closed: vec![new.closed[0].clone(); 3] };
    assert_eq!(Aggregate::from_parts(&twice), Err(PartsError::Damaged("a step is out of its place")));
    let longer = Parts { live: new.live[..new.live.len() - 1].to_vec(), ..new.clone() };
    assert_eq!(Aggregate::from_parts(&longer), Err(PartsError::Cut));
    assert_eq!(Aggregate::from_parts(&Parts { live: vec![9], ..new }), Err(PartsError::Version(9)));
}

#[test]
fn bytes_that_claim_to_be_much_are_refused_before_they_are() {
    // so many bins, names, periods, groups as a varint can say, and nothing after it
    let much = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    for zeros in 1..40 {
        let live = [&[1][..], &vec![0; zeros], &much].concat();
        assert!(Aggregate::from_parts(&Parts { live, closed: Vec::new() }).is_err());
    }
}

prop_compose! {
    /// Batches of some periods, often more than the time line may have steps.
    fn any_batches()(
        batches in prop::collection::vec(
            (0..600_u64, 0..50_u64, prop::collection::vec(0.0..9e4_f64, 0..4), "[a-d]", 0.0..9.0_f64), 1..240,
        ),
    ) -> Vec<Batch> {
        batches.into_iter().map(|(period, requests, times, name, rate)| {
            let mut batch = batch(period, requests, &times);
            batch.counters.insert(name.clone(), 1);
            batch.rates.insert(name, rate);
            batch
        }).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_order_of_batches_does_not_matter(batches in any_batches()) {
        prop_assert_eq!(all(&batches), all(batches.iter().rev()));
    }

    #[test]
    fn merging_is_commutative_associative_and_the_aggregate_of_all(
        batches in any_batches(),
        cuts in any::<[prop::sample::Index; 2]>(),
    ) {
        let mut cuts = cuts.map(|cut| cut.index(batches.len() + 1));
        cuts.sort_unstable();
        let [a, b, c] = [&batches[..cuts[0]], &batches[cuts[0]..cuts[1]], &batches[cuts[1]..]].map(all);
        prop_assert_eq!(&merged(&a, &b), &merged(&b, &a));
        prop_assert_eq!(&merged(&merged(&a, &b), &c), &merged(&a, &merged(&b, &c)));
        prop_assert_eq!(&merged(&merged(&a, &b), &c), &all(&batches));
    }

    #[test]
    fn what_is_stored_comes_back_as_it_was_and_goes_on(batches in any_batches(), cut in any::<prop::sample::Index>()) {
        let (before, after) = batches.split_at(cut.index(batches.len() + 1));
        let stored = all(before);
        let mut restored = Aggregate::from_parts(&stored.to_parts()).expect("parts");
        prop_assert_eq!(&restored, &stored);
        after.iter().for_each(|batch| restored.add(batch));
        prop_assert_eq!(restored, all(&batches));
    }

    #[test]
    fn no_damage_to_parts_does_harm(
        batches in any_batches(),
        damage in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index, u8)>(), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        let Parts { live, closed } = all(&batches).to_parts();
        let mut parts: Vec<Vec<u8>> = [live].into_iter().chain(closed.iter().map(|part| part.to_vec())).collect();
        for (part, at, byte) in damage {
            let part = part.get_mut(&mut parts);
            if !part.is_empty() {
                *at.get_mut(part) = byte;
            }
        }
        let part = cut.index(parts.len() * 2);
        if let Some(part) = parts.get_mut(part) {
            part.truncate(cut.index(part.len() + 1));
        }
        let mut parts = parts.into_iter();
        let live = parts.next().expect("live");
        if let Ok(mut aggregate) = Aggregate::from_parts(&Parts { live, closed: parts.map(Arc::from).collect() }) {
            batches.iter().for_each(|batch| aggregate.add(batch));
            prop_assert_eq!(Aggregate::from_parts(&aggregate.to_parts()), Ok(aggregate));
        }
    }

    #[test]
    fn no_bytes_are_taken_for_parts_with_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let closed = vec![Arc::from(&*bytes)];
        let _ = Aggregate::from_parts(&Parts { live: bytes.clone(), closed });
        let _ = Aggregate::from_parts(&Parts { live: [&[1][..], &bytes].concat(), closed: Vec::new() });
    }
}

#[test]
fn names_that_are_too_long_together_are_refused() {
    let mut aggregate = Aggregate::default();
    for number in 0..400 {
        let name = format!("{number}{}", "n".repeat(3000));
        aggregate.add(&Batch { sequence: 1, counters: [(name, 1)].into(), ..Batch::default() });
    }
    let names: usize = aggregate.total().counters.keys().map(|name| name.len()).sum();
    assert!(names <= MAX_NAME_BYTES_IN_ALL && aggregate.refused_values() > 0, "{names} bytes");
}
