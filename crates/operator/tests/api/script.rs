//! Scripts that are missing or bad: told by field, and the test starts by itself once they are mended.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::bed::{Bed, SCRIPT, is, message_of, spec};

/// A script that was mended is found within this.
const MENDED: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_missing_script_is_told_and_the_test_starts_within_10_s_of_its_coming() {
    let bed = Bed::new().await;
    bed.load_test("t", 2).await;
    let status = bed.until_reason("t", "MissingTestScript").await;
    let expected = "Load Test test script ConfigMap is missing, see field .spec.testScript.config.configMap";
    assert!(message_of(&status, "Progressing").starts_with(expected), "{status:?}");
    assert!(is(&status, "Progressing", "False") && is(&status, "Completed", "False"));
    let events = bed.until_events("t", 1).await;
    assert_eq!((events[0].0.as_str(), events[0].1.as_str()), ("Warning", "MissingTestScript"));
    assert!(events[0].2.starts_with(expected), "{events:?}");
    assert!(bed.job("t").await.is_none());

    bed.script().await;
    let mended = Instant::now();
    bed.until_reason("t", "WorkersStarting").await;
    assert!(mended.elapsed() <= MENDED, "{:?}", mended.elapsed());
    // waiting neither repeats its event nor writes a status that says nothing new
    assert_eq!(bed.events("t").await.iter().filter(|e| e.0 == "Warning").count(), 1);
}

#[tokio::test]
async fn a_config_map_without_the_key_is_told_and_mended() {
    let bed = Bed::new().await;
    bed.config_map("test-script", json!({ "script.yml": SCRIPT })).await;
    bed.load_test("t", 1).await;
    let status = bed.until_reason("t", "InvalidTestScript").await;
    let message = message_of(&status, "Progressing");
    for part in [".spec.testScript.config.configMap", "\"test-script.yaml\"", "it has script.yml"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let patch = json!({ "data": { "test-script.yaml": SCRIPT } });
    let maps = bed.api::<ConfigMap>();
    maps.patch("test-script", &PatchParams::default(), &Patch::Merge(&patch)).await.expect("mended");
    bed.until_reason("t", "WorkersStarting").await;
}

#[tokio::test]
async fn an_empty_script_is_told() {
    let bed = Bed::new().await;
    bed.config_map("test-script", json!({ "test-script.yaml": " \n" })).await;
    bed.load_test("t", 1).await;
    let status = bed.until_reason("t", "InvalidTestScript").await;
    assert!(message_of(&status, "Progressing").starts_with("Load Test test script is empty"), "{status:?}");
}

#[tokio::test]
async fn a_spec_may_be_mended_until_the_start() {
    let bed = Bed::new().await;
    bed.script().await;
    let mut typo = spec(1);
    typo["testScript"]["config"]["configMap"] = json!("tset-script");
    bed.create("t", typo).await.expect("a LoadTest");
    bed.until_reason("t", "MissingTestScript").await;
    bed.create("t", spec(3)).await.expect("the mended spec");
    let status = bed.until_reason("t", "WorkersStarting").await;
    assert_eq!(status.completions.as_deref(), Some("0/3"));
    assert_eq!(status.observed_generation, Some(2));
}

#[tokio::test]
async fn deleting_the_script_after_the_start_changes_nothing() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 1).await;
    let pod = bed.pods("t", 1).await.remove(0);
    bed.api::<ConfigMap>().delete("test-script", &DeleteParams::default()).await.expect("deleted");
    bed.exit(&pod, 0).await;
    bed.until_reason("t", "Succeeded").await;
}

#[tokio::test]
async fn a_script_that_is_no_yaml_or_has_a_check_that_is_none_starts_nothing_and_is_told_with_its_place() {
    let bed = Bed::new().await;
    let checks = "config:\n  target: http://t\n  plugins:\n    ensure:\n      conditions:\n        - expression: http.requests >\nscenarios: []\n";
    let with_unit = "config:\n  target: http://t\n  plugins:\n    ensure:\n      thresholds:\n        - http.response_time.p95: 250ms\nscenarios: []\n";
    for (name, text, says) in [
        ("yaml", "config:\n  target: [a\nscenarios: x", "line 3"),
        ("ensure", checks, "ensure.conditions[0].expression: line 1, column"),
        (
            "value",
            with_unit,
            "ensure.thresholds[0].http.response_time.p95: line 1, column 10: a number without `ms`",
        ),
    ] {
        bed.config_map(name, json!({ "test-script.yaml": text })).await;
        let spec = json!({ "testScript": { "config": { "configMap": name } } });
        bed.create(name, spec).await.expect("a LoadTest");
        let status = bed.until_reason(name, "InvalidTestScript").await;
        assert!(message_of(&status, "Progressing").contains(says), "{status:?}");
        assert_eq!(status.job_uid, None);
    }
}

#[tokio::test]
async fn a_check_that_looks_wrong_is_told_before_the_start_for_it_may_be_a_name() {
    let bed = Bed::new().await;
    let checks = "config:\n  target: http://t\n  plugins:\n    ensure:\n      conditions:\n        - expression: vusers.failed == 0 && http.requests > 1\nscenarios: []\n";
    bed.config_map("test-script", json!({ "test-script.yaml": checks })).await;
    bed.load_test("t", 1).await;
    bed.pods("t", 1).await;
    let events = bed.events("t").await;
    let told = "ensure.conditions[0].expression: line 1, column 20: `and` is expected, not `&`: such a check fails, \
                unless that is part of the name of a metric";
    let doubtful = events.iter().find(|(_, reason, _)| reason == "DoubtfulCheck");
    assert_eq!(
        doubtful.map(|(type_, _, note)| (type_.as_str(), note.as_str())),
        Some(("Warning", told)),
        "{events:?}"
    );
}
