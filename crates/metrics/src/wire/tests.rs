//! Batches in bytes: what is taken, what is refused and why, and that no bytes do harm.

use proptest::prelude::*;

use super::messages::{DdSketch, IndexMapping, Store};
use super::*;
use crate::sketch::GAMMA;

/// The collector's time in these tests.
const NOW: u64 = 40 * 24 * 60 * 60 * 1000;

fn number(name: &str, value: f64) -> NumberMessage {
    NumberMessage { name: name.into(), value }
}

fn histogram(name: &str) -> HistogramMessage {
    let positive = vec![0, 2, 0, 1, 0];
    HistogramMessage {
        name: name.into(),
        zeros: 1,
        max: 1.1,
        sum: 3.2,
        positive_first: -2,
        positive,
        ..HistogramMessage::default()
    }
}

fn decode(message: &BatchMessage) -> Result<Batch, BatchError> {
    Batch::decode(&message.encode_to_vec(), NOW)
}

fn one(histogram: HistogramMessage) -> Vec<String> {
    let message =
        BatchMessage { sequence: 1, period: NOW, histograms: vec![histogram], ..BatchMessage::default() };
    decode(&message).expect("a batch").refused.into_iter().map(|refused| refused.why.to_string()).collect()
}

fn artillery(change: impl FnOnce(&mut DdSketch)) -> Result<Sketch, ValueError> {
    let mapping = IndexMapping { gamma: GAMMA, ..IndexMapping::default() };
    let store = Store { contiguous: vec![0.0, 2.0, 0.0], first: 5, ..Store::default() };
    let mut sketch = DdSketch {
        mapping: Some(mapping),
        positive: Some(store),
        negative: Some(Store::default()),
        min: 1.1,
        max: 1.2,
        sum: 2.3,
        ..DdSketch::default()
    };
    change(&mut sketch);
    from_artillery(&sketch.encode_to_vec())
}

#[test]
fn a_batch_is_what_the_worker_sent() {
    let message = BatchMessage {
        sequence: 3,
        period: NOW,
        counters: vec![number("http.requests", 4.0)],
        rates: vec![number("http.request_rate", 2.0)],
        histograms: vec![histogram("http.response_time")],
        ..BatchMessage::default()
    };
    let batch = decode(&message).expect("a batch");
    assert_eq!((batch.sequence, batch.period, batch.counters["http.requests"]), (3, NOW, 4));
    let sketch = &batch.histograms["http.response_time"];
    assert_eq!((sketch.count(), sketch.min(), sketch.max(), sketch.sum()), (4, Some(0.0), Some(1.1), 3.2));
    assert_eq!(batch.refused, []);
}

#[test]
fn what_is_no_measurement_is_left_out_and_named_and_the_rest_is_taken() {
    let values = [f64::NAN, -1.0, 0.5, 1e300, f64::INFINITY];
    let mut counters: Vec<_> = values.iter().map(|value| number(&format!("{value}"), *value)).collect();
    counters.extend([number("good", 1.0), number("good", 2.0), number("", 1.0)]);
    let message = BatchMessage { sequence: 1, period: NOW, counters, ..BatchMessage::default() };
    let batch = decode(&message).expect("a batch");
    assert_eq!(batch.counters, [("good".to_owned(), 1)].into());
    let refused: Vec<_> = batch.refused.iter().map(|r| (r.name.as_str(), r.why.to_string())).collect();
    assert_eq!(refused.len(), 7);
    assert_eq!(refused[1], ("-1", "-1 is no count: a whole number from 0 to 2^53 is expected".to_owned()));
    assert_eq!(refused[5].1, "its name comes twice");
}

#[test]
fn distributions_out_of_bounds_are_refused_with_their_reason() {
    let with = |change: fn(&mut HistogramMessage)| {
        let mut changed = histogram("h");
        change(&mut changed);
        one(changed)
    };
    for (change, why) in [
        (
            (|h| h.sum = f64::NAN) as fn(&mut HistogramMessage),
            "its sum is NaN: a number within 1e200 of 0 is expected",
        ),
        (|h| h.min = 2.0, "its smallest value 2 is larger than its largest 1.1"),
        (|h| h.positive = vec![0; MAX_WIRE_BINS + 1], "it has 16393 bins, more than 16392"),
        (
            |h| h.positive = vec![u64::MAX],
            "18446744073709552000 is no count: a whole number from 0 to 2^53 is expected",
        ),
        (
            |h| h.positive = [vec![1], vec![0; MAX_BINS], vec![1]].concat(),
            "its values would span 4100 bins, more than 4098",
        ),
    ] {
        assert_eq!(with(change), [why]);
    }
    assert_eq!(one(histogram("h")), [""; 0]);
}

#[test]
fn artillerys_own_form_is_read_and_other_sketches_are_refused() {
    let sketch = artillery(|_| {}).expect("a sketch");
    assert_eq!((sketch.count(), sketch.min(), sketch.max()), (2, Some(1.1), Some(1.2)));
    let sparse = artillery(|s| {
        s.positive = Some(Store { sparse: [(6, 2.0)].into(), ..Store::default() });
    });
    assert_eq!(sparse, Ok(sketch));
    let why = |change: fn(&mut DdSketch)| artillery(change).expect_err("refused").to_string();
    assert!(why(|s| s.mapping = None).contains("ratio 0"));
    assert!(
        why(|s| s.mapping = Some(IndexMapping { gamma: f64::NAN, ..IndexMapping::default() }))
            .contains("NaN")
    );
    assert!(
        why(|s| s.mapping = Some(IndexMapping { gamma: GAMMA, interpolation: 3, ..IndexMapping::default() }))
            .contains("interpolation 3")
    );
    assert!(why(|s| s.zeros = -1.0).contains("-1 is no count"));
    let empty = artillery(|s| {
        (s.positive, s.min, s.max) = (None, f64::INFINITY, f64::NEG_INFINITY);
    });
    assert_eq!(empty, Ok(Sketch::default()));
}

#[test]
fn batches_out_of_bounds_are_refused_as_a_whole() {
    assert_eq!(
        Batch::decode(&vec![0; MAX_BATCH_BYTES + 1], NOW),
        Err(BatchError::TooLarge(MAX_BATCH_BYTES + 1))
    );
    assert!(matches!(Batch::decode(b"\xff\xff", NOW), Err(BatchError::Malformed(_))));
    assert_eq!(decode(&BatchMessage::default()), Err(BatchError::NoSequence));
    let counters = vec![number("n", 1.0); MAX_NAMES + 1];
    let message = BatchMessage { sequence: 1, period: NOW, counters, ..BatchMessage::default() };
    assert_eq!(decode(&message), Err(BatchError::TooManyNames(MAX_NAMES + 1)));
}

#[test]
fn a_batch_of_another_time_is_refused_with_its_reason() {
    let at = |period| {
        let counters = vec![number("n", 1.0)];
        decode(&BatchMessage { sequence: 1, period, counters, ..BatchMessage::default() })
    };
    assert_eq!(at(NOW + 5), Err(BatchError::NoPeriod(NOW + 5)));
    assert_eq!(at(NOW + AHEAD + PERIOD), Err(BatchError::FromTheFuture(AHEAD + PERIOD)));
    assert_eq!(at(NOW - BEHIND - PERIOD), Err(BatchError::TooOld(BEHIND + PERIOD)));
    assert_eq!(at(u64::MAX - u64::MAX % PERIOD).map(|_| ()).expect_err("refused").to_string(), {
        let ahead = u64::MAX - u64::MAX % PERIOD - NOW;
        format!(
            "its period begins {ahead} ms after the collector's time: at most 86400000 ms are expected; \
             is the node's clock right?"
        )
    });
    for period in [NOW, NOW + AHEAD, NOW - BEHIND] {
        assert_eq!(at(period).map(|batch| batch.period), Ok(period));
    }
}

#[test]
fn what_replaces_a_refused_batch_is_taken_whatever_its_time() {
    let lost = "x".repeat(2 * MAX_LOST_CHARACTERS);
    let message = BatchMessage { sequence: 2, period: u64::MAX, lost, ..BatchMessage::default() };
    let batch = decode(&message).expect("a batch");
    assert_eq!((batch.sequence, batch.period, batch.has_measurements()), (2, 0, false));
    assert_eq!(batch.lost.map(|lost| lost.len()), Some(MAX_LOST_CHARACTERS));
}

#[test]
fn how_the_worker_was_is_read_and_what_is_no_number_is_left_out_and_named() {
    let health =
        HealthMessage { event_loop_utilization: 1.000_1, cpu_periods: 7, ..HealthMessage::default() };
    let phase = |index, started_milliseconds, length_milliseconds| PhaseMessage {
        index,
        started_milliseconds,
        length_milliseconds,
    };
    let message = BatchMessage {
        sequence: 1,
        health: Some(health.clone()),
        phases: vec![
            phase(0, 0.5, 60_000.25),
            phase(1, 60_000.75, 0.0),
            phase(2, f64::NAN, 0.0),
            phase(2, 0.0, -1.0),
            phase(1000, 0.0, 0.0),
        ],
        ..BatchMessage::default()
    };
    let batch = decode(&message).expect("a batch");
    assert_eq!(
        batch.health,
        Some(Health { event_loop_utilization: 1.0, cpu_periods: 7, ..Health::default() })
    );
    let times = |index, started_milliseconds, length_milliseconds| PhaseTimes {
        index,
        started_milliseconds,
        length_milliseconds,
    };
    assert_eq!(batch.phases, [times(0, 0.5, Some(60_000.25)), times(1, 60_000.75, None)]);
    let why: Vec<_> = batch.refused.iter().map(|refused| refused.why.to_string()).collect();
    assert_eq!(
        why,
        [
            "its start is NaN: a number within 1e200 of 0 is expected",
            "its length is -1: 0 or more is expected",
            "it is phase 1000: 0 to 999 are expected",
        ]
    );
    let health = Some(HealthMessage { event_loop_utilization: f64::INFINITY, ..health });
    let batch = decode(&BatchMessage { health, ..message }).expect("a batch");
    assert_eq!((batch.health, batch.refused.len()), (None, 4));
}

#[test]
fn times_of_another_period_are_left_out_and_named() {
    let batch = |first_counter_at, last_counter_at| {
        let counters = vec![number("n", 1.0)];
        let message = BatchMessage { sequence: 1, period: NOW, counters, ..BatchMessage::default() };
        decode(&BatchMessage { first_counter_at, last_counter_at, ..message }).expect("a batch")
    };
    let told = batch(NOW, NOW + 9_999);
    assert_eq!((told.counters_at, told.refused.len()), (Some(Span { first: NOW, last: NOW + 9_999 }), 0));
    for (first, last) in [(NOW + 1, NOW), (0, NOW), (NOW - 1, NOW), (NOW, NOW + PERIOD)] {
        let told = batch(first, last);
        assert_eq!((told.counters_at, told.refused.len()), (None, 1), "{first} {last}");
    }
}

#[test]
fn many_empty_parts_are_refused_before_they_take_memory() {
    for (part, is_refused) in [(3, true), (4, true), (5, true), (7, true), (8, false)] {
        let bytes = [part << 3 | 2, 0].repeat(100_000);
        let refused = Batch::decode(&bytes, NOW).expect_err("refused");
        let is_too_much =
            matches!(refused, BatchError::TooManyNames(100_000) | BatchError::TooManyPhases(100_000));
        assert_eq!(is_too_much, is_refused, "{refused}");
    }
}

fn any_sketch() -> impl Strategy<Value = Sketch> {
    let value =
        prop_oneof![4 => 0.0..60_000.0_f64, 1 => Just(0.0), 1 => -500.0..0.0_f64, 1 => 1e-6..1e-3_f64];
    prop::collection::vec(value, 0..40).prop_map(|values| {
        let mut sketch = Sketch::default();
        for value in values {
            sketch.accept(value).expect("a value");
        }
        sketch
    })
}

fn any_health() -> impl Strategy<Value = Health> {
    let counts = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>(), prop::option::of(1..=u64::MAX));
    (0.0..=1.0_f64, counts).prop_map(|(event_loop_utilization, (periods, throttled, us, memory, limit))| {
        Health {
            event_loop_utilization,
            cpu_periods: periods,
            cpu_throttled_periods: throttled,
            cpu_throttled_microseconds: us,
            memory_bytes: memory,
            memory_limit_bytes: limit,
        }
    })
}

fn any_phase() -> impl Strategy<Value = PhaseTimes> {
    (0..MAX_PHASES as u32, -1e9..1e9_f64, prop::option::of(1e-3..1e9_f64)).prop_map(|(index, at, length)| {
        PhaseTimes { index, started_milliseconds: at, length_milliseconds: length }
    })
}

fn any_span() -> impl Strategy<Value = Option<Span>> {
    prop::option::of((0..PERIOD, 0..PERIOD).prop_map(|(a, b)| Span { first: a.min(b), last: a.max(b) }))
}

prop_compose! {
    /// A batch that a worker may send.
    pub(crate) fn any_batch()(
        sequence in 1..u64::MAX,
        periods in -100..100_i64,
        counters in prop::collection::btree_map("[a-z .é]{1,20}", 0..=MAX_COUNT, 0..5),
        rates in prop::collection::btree_map("[a-z]{1,3}", 0.0..1e6_f64, 0..3),
        histograms in prop::collection::btree_map("[a-z]{1,3}", any_sketch(), 0..3),
        health in prop::option::of(any_health()),
        phases in prop::collection::vec(any_phase(), 0..3),
        lost in prop::option::of(".{1,50}"),
        spans in [any_span(), any_span()],
    ) -> Batch {
        let period = NOW.wrapping_add_signed(periods * PERIOD as i64);
        let mut batch = Batch { sequence, period, counters, rates, histograms, health, phases, lost, ..Batch::default() };
        if batch.has_measurements() {
            let within = |span: Option<Span>| span.map(|s| Span { first: period + s.first, last: period + s.last });
            [batch.counters_at, batch.histograms_at] = spans.map(within);
        }
        batch
    }
}

/// A good batch in bytes, of which some are damaged.
fn damaged(batch: &Batch, damage: &[(prop::sample::Index, u8)], cut: prop::sample::Index) -> Vec<u8> {
    let mut bytes = batch.encode();
    for (at, byte) in damage {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    bytes.truncate(cut.index(bytes.len() + 1));
    bytes
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_it_was(batch in any_batch()) {
        prop_assert_eq!(Batch::decode(&batch.encode(), NOW), Ok(batch));
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Batch::decode(&bytes, NOW);
        let _ = from_artillery(&bytes);
    }

    #[test]
    fn no_damage_to_a_good_batch_does_harm(
        batch in any_batch(),
        damage in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4),
        cut in any::<prop::sample::Index>(),
    ) {
        if let Ok(batch) = Batch::decode(&damaged(&batch, &damage, cut), NOW) {
            let mut aggregate = crate::aggregate::Aggregate::default();
            aggregate.add(&batch);
            for sketch in aggregate.total().histograms.values() {
                prop_assert!(sketch.quantile(0.99).is_none_or(f64::is_finite));
                prop_assert!(sketch.mean().is_none_or(f64::is_finite));
            }
            // and what was taken of it is a good batch
            let taken = Batch { refused: Vec::new(), ..batch };
            prop_assert_eq!(Batch::decode(&taken.encode(), NOW), Ok(taken));
        }
    }

    #[test]
    fn no_damage_to_artillerys_own_form_does_harm(
        damage in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..6),
        sparse in prop::collection::hash_map(any::<i32>(), any::<f64>(), 0..3),
    ) {
        let mapping = IndexMapping { gamma: GAMMA, ..IndexMapping::default() };
        let store = Store { contiguous: vec![0.0, 2.0, 0.0], first: 5, sparse };
        let sketch = DdSketch { mapping: Some(mapping), positive: Some(store), max: 9.0, ..DdSketch::default() };
        let mut bytes = sketch.encode_to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Ok(sketch) = from_artillery(&bytes) {
            prop_assert!(sketch.quantile(0.99).is_none_or(f64::is_finite));
        }
    }
}
