//! What the API server refuses at once, and in which words.

use serde_json::json;

use crate::bed::{API, Bed, spec};

#[tokio::test]
async fn counts_outside_1_to_10000_are_refused() {
    let bed = Bed::without_controller().await;
    for count in [0, -1, 1_000_000] {
        let refusal = bed.refusal("t", spec(count)).await;
        let bound = if count < 1 { "greater than or equal to 1" } else { "less than or equal to 10000" };
        assert!(refusal.contains("spec.count") && refusal.contains(bound), "{count}: {refusal}");
        assert!(refusal.contains(&count.to_string()), "{count}: {refusal}");
    }
    bed.create("t", spec(10_000)).await.expect("the largest");
}

#[tokio::test]
async fn names_that_a_job_or_its_pods_cannot_bear_are_refused() {
    let bed = Bed::without_controller().await;
    let dot = bed.refusal("a.b", spec(1)).await;
    assert!(dot.contains("metadata.name must not contain dots"), "{dot}");

    let long = "n".repeat(63);
    for (name, count) in [(&long[..], 1), (&long[..62], 1), (&long[..60], 1000)] {
        let refusal = bed.refusal(name, spec(count)).await;
        assert!(refusal.contains("metadata.name is too long"), "{} {count}: {refusal}", name.len());
    }
    bed.create(&long[..61], spec(10)).await.expect("the longest name of ten workers");
    bed.create(&long[..59], spec(1000)).await.expect("the longest name of a thousand");
}

#[tokio::test]
async fn a_spec_cannot_be_changed_once_the_test_has_started() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 1).await;
    bed.until_reason("t", "WorkersStarting").await;
    let refusal = bed.refusal("t", spec(2)).await;
    assert!(refusal.contains("spec cannot be changed once the load test has started"), "{refusal}");
    assert!(refusal.contains("delete the LoadTest and create it again"), "{refusal}");
}

#[tokio::test]
async fn unknown_fields_are_refused_by_name() {
    let bed = Bed::without_controller().await;
    let manifest = json!({
        "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest",
        "metadata": { "name": "t", "namespace": bed.namespace },
        "spec": { "workers": 3, "testScript": { "config": { "configMap": "s" } } },
    });
    let file = bed.file("unknown.json", &manifest.to_string());
    let apply = API.kubectl(&["apply", "--validate=strict", "-f", file.to_str().expect("a path")]);
    let refusal = apply.expect_err("a refusal").to_string();
    assert!(refusal.contains("unknown field \"spec.workers\""), "{refusal}");
}

#[tokio::test]
async fn a_script_must_be_named() {
    let bed = Bed::without_controller().await;
    let refusal = bed.refusal("t", json!({ "testScript": { "config": { "configMap": "" } } })).await;
    assert!(refusal.contains("spec.testScript.config.configMap"), "{refusal}");
    let refusal = bed.refusal("t", json!({ "count": 1 })).await;
    assert!(refusal.contains("spec.testScript"), "{refusal}");
}

#[tokio::test]
async fn what_is_no_config_maps_name_is_refused() {
    let bed = Bed::without_controller().await;
    for name in ["my script", "a/b", "a?b", "../../other/configmaps/x", "Upper"] {
        let refusal = bed.refusal("t", json!({ "testScript": { "config": { "configMap": name } } })).await;
        assert!(refusal.contains("spec.testScript.config.configMap") && refusal.contains(name), "{refusal}");
    }
}

#[tokio::test]
async fn a_count_that_is_not_given_is_1() {
    let bed = Bed::without_controller().await;
    let test = bed
        .create("t", json!({ "testScript": { "config": { "configMap": "s" } } }))
        .await
        .expect("a LoadTest");
    assert_eq!(test.spec.count, 1);
}
