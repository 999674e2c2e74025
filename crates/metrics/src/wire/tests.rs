//! Batches in bytes: what is taken, what is refused and why, and that no bytes do harm.

use proptest::prelude::*;

use super::*;

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
    Batch::decode(&message.encode_to_vec())
}

fn one(histogram: HistogramMessage) -> Vec<String> {
    let message = BatchMessage { sequence: 1, histograms: vec![histogram], ..BatchMessage::default() };
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
        period: 20_000,
        counters: vec![number("http.requests", 4.0)],
        rates: vec![number("http.request_rate", 2.0)],
        histograms: vec![histogram("http.response_time")],
    };
    let batch = decode(&message).expect("a batch");
    assert_eq!((batch.sequence, batch.period, batch.counters["http.requests"]), (3, 20_000, 4));
    let sketch = &batch.histograms["http.response_time"];
    assert_eq!((sketch.count(), sketch.min(), sketch.max(), sketch.sum()), (4, Some(0.0), Some(1.1), 3.2));
    assert_eq!(batch.refused, []);
}

#[test]
fn what_is_no_measurement_is_left_out_and_named_and_the_rest_is_taken() {
    let values = [f64::NAN, -1.0, 0.5, 1e300, f64::INFINITY];
    let mut counters: Vec<_> = values.iter().map(|value| number(&format!("{value}"), *value)).collect();
    counters.extend([number("good", 1.0), number("good", 2.0), number("", 1.0)]);
    let message = BatchMessage { sequence: 1, counters, ..BatchMessage::default() };
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
        ((|h| h.sum = f64::NAN) as fn(&mut HistogramMessage), "its sum is NaN: a finite number is expected"),
        (|h| h.min = 2.0, "its smallest value 2 is larger than its largest 1.1"),
        (|h| h.positive = vec![0; MAX_WIRE_BINS + 1], "it has 16385 bins, more than 16384"),
        (
            |h| h.positive = vec![u64::MAX],
            "18446744073709552000 is no count: a whole number from 0 to 2^53 is expected",
        ),
        (
            |h| h.positive = [vec![1], vec![0; MAX_BINS], vec![1]].concat(),
            "its values would span 4098 bins, more than 4096",
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
    assert_eq!(Batch::decode(&vec![0; MAX_BATCH_BYTES + 1]), Err(BatchError::TooLarge(MAX_BATCH_BYTES + 1)));
    assert!(matches!(Batch::decode(b"\xff\xff"), Err(BatchError::Malformed(_))));
    assert_eq!(decode(&BatchMessage::default()), Err(BatchError::NoSequence));
    let counters = vec![number("n", 1.0); MAX_NAMES + 1];
    let message = BatchMessage { sequence: 1, counters, ..BatchMessage::default() };
    assert_eq!(decode(&message), Err(BatchError::TooManyNames(MAX_NAMES + 1)));
}

proptest! {
    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = Batch::decode(&bytes);
        let _ = from_artillery(&bytes);
    }

    #[test]
    fn no_damage_to_a_good_batch_does_harm(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let message = BatchMessage {
            sequence: 3,
            period: 20_000,
            counters: vec![number("http.requests", 4.0)],
            rates: vec![number("http.request_rate", 2.0)],
            histograms: vec![histogram("http.response_time")],
        };
        let mut bytes = message.encode_to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Ok(batch) = Batch::decode(&bytes) {
            let mut aggregate = crate::aggregate::Aggregate::default();
            aggregate.add(&batch);
            for sketch in aggregate.total().histograms.values() {
                prop_assert!(sketch.quantile(0.99).is_none_or(f64::is_finite));
            }
        }
    }
}
