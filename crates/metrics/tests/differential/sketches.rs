//! Sketches and what is made of them: decoded, merged and summarised as Artillery does.

use std::collections::BTreeMap;

use metrics::aggregate::{Aggregate, PERIOD};
use metrics::report::{HIDDEN, Identity, Report, Workers};
use metrics::sketch::Sketch;
use metrics::verdict::{Facts, verdict};
use metrics::wire::{Batch, Span, from_artillery};
use serde_json::{Value, json};

use crate::artillery::{ask, bytes, float, random};
use crate::random::Random;

const QUANTILES: [f64; 11] = [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999, 1.0];

/// Values as a load test measures them, mostly.
fn values(random: &mut Random, with_negative: bool) -> Vec<f64> {
    let (median, sigma) = (10_f64.powf(random.uniform() * 5.0 - 1.0), random.uniform() * 1.5);
    let number = if random.below(5) == 0 { random.below(4) } else { random.below(700) };
    let is_whole = random.below(2) == 0;
    (0..number)
        .map(|_| match random.below(20) {
            0 => 0.0,
            1 if with_negative => -random.time(median, sigma),
            _ if is_whole => random.time(median, sigma).round(),
            _ => random.time(median, sigma),
        })
        .collect()
}

fn sketch(values: &[f64]) -> Sketch {
    let mut sketch = Sketch::default();
    values.iter().for_each(|value| sketch.accept(*value).expect("a value"));
    sketch
}

fn is_within_one_ulp(ours: f64, theirs: f64) -> bool {
    ours == theirs || ours.next_up() == theirs || ours.next_down() == theirs
}

/// Merges what Artillery serialised, and compares with what Artillery merged.
fn compare(lists: &[Vec<f64>]) {
    let theirs = ask("sketches", json!({"lists": lists, "quantiles": QUANTILES}));
    let mut merged = Sketch::default();
    for (list, proto) in lists.iter().zip(theirs["protos"].as_array().expect("sketches")) {
        let read = from_artillery(&bytes(proto)).expect("a sketch of Artillery's");
        // the sums are those of JavaScript, which depend on the order
        let own = sketch(list);
        assert_eq!((read.count(), read.min(), read.max()), (own.count(), own.min(), own.max()));
        for q in QUANTILES {
            assert_eq!(read.quantile(q), own.quantile(q), "{q}: a bin is another one");
        }
        merged.merge(&read).expect("one sketch");
    }
    assert_eq!(json!(merged.count()), theirs["count"]);
    if merged.count() == 0 {
        return;
    }
    assert_eq!(merged.min(), Some(float(&theirs["min"])));
    assert_eq!(merged.max(), Some(float(&theirs["max"])));
    let sum = float(&theirs["sum"]);
    assert!((merged.sum() - sum).abs() <= 1e-12 * lists.concat().iter().map(|v| v.abs()).sum::<f64>());
    for (q, theirs) in QUANTILES.into_iter().zip(theirs["quantiles"].as_array().expect("quantiles")) {
        let (ours, theirs) = (merged.quantile(q).expect("a value"), float(theirs));
        assert!(is_within_one_ulp(ours, theirs), "{q}: {ours} {theirs}");
    }
}

#[test]
fn merged_sketches_have_the_quantiles_of_artillerys_to_the_last_digit() {
    let mut random = random("merged sketches");
    for _ in 0..150 {
        let lists: Vec<_> = (0..1 + random.below(8)).map(|_| values(&mut random, false)).collect();
        compare(&lists);
    }
}

/// Artillery loses what is below zero where it merges; alone it keeps it.
#[test]
fn a_sketch_with_values_below_zero_is_read_as_artillery_has_it() {
    let mut random = random("values below zero");
    for _ in 0..100 {
        compare(&[values(&mut random, true)]);
    }
}

/// What a worker measured in a period, as the script of the tests wants it.
fn period(random: &mut Random, start: u64) -> Value {
    let mut counters = BTreeMap::from([("vusers.created", random.below(100)), ("vusers.failed", 0)]);
    counters.insert("plugins.metrics-by-endpoint./a.codes.200", random.below(100));
    counters.insert("errors.a long message that has more characters than there are columns in a summary", 1);
    let mut histograms = BTreeMap::from([("http.response_time", values(random, false))]);
    if random.below(2) == 0 {
        counters.insert("errors.ETIMEDOUT", random.below(5));
        histograms.insert("vusers.session_length", values(random, false));
    }
    histograms.retain(|_, values| !values.is_empty());
    let rates = BTreeMap::from([("http.request_rate", random.below(300))]);
    json!({"period": start, "counters": counters, "rates": rates, "histograms": histograms})
}

/// The batch of a period, whose sketches are as Artillery serialised them.
fn batch(period: &Value, protos: &Value) -> Batch {
    let numbers = |field: &str| period[field].as_object().expect("numbers").clone().into_iter();
    let protos = protos.as_object().expect("sketches").iter();
    let start = period["period"].as_u64().expect("a time");
    Batch {
        sequence: 1,
        period: start,
        counters_at: Some(Span { first: start + 1, last: start + 9000 }),
        histograms_at: Some(Span { first: start + 2, last: start + 9999 }),
        counters: numbers("counters").map(|(name, count)| (name, count.as_u64().expect("a count"))).collect(),
        rates: numbers("rates").map(|(name, rate)| (name, rate.as_f64().expect("a rate"))).collect(),
        histograms: protos
            .map(|(name, proto)| (name.clone(), from_artillery(&bytes(proto)).expect("a sketch")))
            .collect(),
        ..Batch::default()
    }
}

/// The report on an aggregate, as JSON and as text.
fn report(aggregate: &Aggregate) -> (Value, String) {
    let report = Report {
        identity: Identity::default(),
        workers: Workers::default(),
        started_at: None,
        ended_at: None,
        start_skew_milliseconds: None,
        planned_vusers: None,
        missing: Vec::new(),
        undelivered: Vec::new(),
        checks: Vec::new(),
        verdict: verdict(&Facts::default()),
        plan: None,
        per_worker: Vec::new(),
        per_worker_left_out: 0,
        aggregate,
    };
    let mut json = Vec::new();
    report.write_json(&mut json).expect("it is written");
    let mut text = Vec::new();
    report.write_text(&mut text, &HIDDEN).expect("it is written");
    (serde_json::from_slice(&json).expect("JSON"), String::from_utf8(text).expect("UTF-8"))
}

/// What is below the title of a summary.
fn summary(text: &str) -> &str {
    let (_, title_and_rest) = text.split_once("Summary report @").expect("a title");
    title_and_rest.split_once("-\n\n").expect("a line below the title").1.trim_end()
}

/// What Artillery's report has: without the nulls that it writes beside the rates of a period, a slip of `mergeBuckets`.
fn without_nulls(mut stats: Value) -> Value {
    stats.as_object_mut().expect("stats").retain(|_, value| !value.is_null());
    stats
}

#[test]
fn the_report_on_a_run_is_what_artillery_would_have_written() {
    let mut random = random("a run");
    for round in 0..60 {
        let workers = 1 + round % 4;
        let mut start = 1_700_000_000_000;
        let mut periods = vec![Vec::new(); workers];
        for _ in 0..1 + random.below(6) {
            start += PERIOD * (1 + random.below(2) as u64);
            // all workers end in the same period, so that Artillery has one report to merge
            periods.iter_mut().for_each(|periods| periods.push(period(&mut random, start)));
        }
        let theirs = ask("run", json!({"workers": periods}));
        let mut aggregate = Aggregate::default();
        for (periods, protos) in periods.iter().zip(theirs["emitted"].as_array().expect("workers")) {
            for (period, protos) in periods.iter().zip(protos.as_array().expect("periods")) {
                let batch = batch(period, protos);
                let read = Batch::decode(&batch.encode(), start).expect("a batch");
                assert_eq!(read, batch);
                aggregate.add(&read);
            }
        }
        let ((mut ours, text), mut theirs) = (report(&aggregate), theirs);
        if workers == 1 {
            assert_eq!(summary(&text), summary(theirs["text"].as_str().expect("a text")));
        }
        // for several workers Artillery rounds the mean of each, and adds these up
        let rate =
            |report: &Value| report["aggregate"]["rates"]["http.request_rate"].as_f64().expect("a rate");
        let most = if workers == 1 { 0.0 } else { workers as f64 / 2.0 + 0.5 };
        assert!((rate(&ours) - rate(&theirs)).abs() <= most, "{} {}", rate(&ours), rate(&theirs));
        ours["aggregate"]["rates"] = json!({});
        theirs["aggregate"]["rates"] = json!({});
        let (ours_of_all, theirs_of_all) = (&ours["aggregate"], without_nulls(theirs["aggregate"].take()));
        assert!(is_equal(ours_of_all, &theirs_of_all), "{ours_of_all}\n{theirs_of_all}");
        let steps = |report: &Value| report["intermediate"].as_array().expect("steps").clone();
        assert_eq!(steps(&ours).len(), steps(&theirs).len());
        for (ours, theirs) in steps(&ours).iter().zip(steps(&theirs)) {
            let theirs = without_nulls(theirs);
            assert!(is_equal(ours, &theirs), "{ours}\n{theirs}");
        }
    }
}

/// Equal, where 1 is 1.0.
fn is_equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| is_equal(value, other)))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}
