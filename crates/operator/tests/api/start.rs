//! From a LoadTest to running workers: created suspended, recorded, started, once.

use k8s_openapi::api::batch::v1::Job;
use kube::api::{DeleteParams, PostParams};
use loadtest::LoadTest;
use serde_json::json;
use testbed::eventually::eventually;

use crate::bed::{Bed, SOON, is, message_of, spec};

#[tokio::test]
async fn a_load_test_becomes_one_indexed_job_that_is_started_once_it_is_recorded() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("basic-test", 2).await;
    let status = bed.until_reason("basic-test", "WorkersStarting").await;
    let job = bed.job("basic-test").await.expect("the Job");
    assert_eq!(status.job_uid, job.metadata.uid);
    assert_eq!(status.observed_generation, Some(1));
    assert!(is(&status, "Progressing", "True") && is(&status, "Completed", "False"));
    assert_eq!(status.completions.as_deref(), Some("0/2"));

    let owner = &job.metadata.owner_references.as_ref().expect("an owner")[0];
    assert_eq!((owner.kind.as_str(), owner.controller), ("LoadTest", Some(true)));
    let job_spec = job.spec.expect("a spec");
    assert_eq!(
        (job_spec.completions, job_spec.parallelism, job_spec.suspend),
        (Some(2), Some(2), Some(false))
    );
    assert_eq!(job_spec.backoff_limit_per_index, Some(0));
    assert_eq!(job_spec.pod_replacement_policy.as_deref(), Some("Failed"));
    bed.pods("basic-test", 2).await;

    // the order is the invariant: created, recorded, and only then started
    let writes: Vec<_> = bed
        .calls()
        .into_iter()
        .filter(|c| matches!(c.verb.as_str(), "create" | "patch") && c.resource != "events")
        .map(|c| format!("{} {}", c.verb, c.resource))
        .collect();
    let order = ["create configmaps", "create jobs", "patch loadtests", "patch jobs"];
    assert_eq!(writes[..4], order, "{writes:?}");
}

#[tokio::test]
async fn the_environment_reaches_artillery() {
    let bed = Bed::new().await;
    bed.script().await;
    let mut with_environment = spec(1);
    with_environment["environment"] = json!("staging");
    bed.create("t", with_environment).await.expect("a LoadTest");
    let pod = bed.pods("t", 1).await.remove(0);
    let args = pod.spec.expect("a spec").containers[0].args.clone().expect("args");
    assert_eq!(args, ["run", "/data/test-script.yaml", "--environment=staging"]);
    // Artillery would run it against another target, and say so in its log only
    let events = bed.until_events("t", 2).await;
    let (type_, reason, note) = &events[1];
    assert_eq!((type_.as_str(), reason.as_str()), ("Warning", "UnknownEnvironment"));
    assert!(
        note.starts_with("field .spec.environment is \"staging\": the test script has no such environment"),
        "{note}"
    );
}

#[tokio::test]
async fn every_config_map_that_is_named_lies_in_one_folder() {
    let bed = Bed::new().await;
    bed.script().await;
    for name in ["users", "hooks", "helpers"] {
        bed.config_map(name, json!({ format!("{name}.js"): "x" })).await;
    }
    let external = json!({
        "payload": { "configMaps": ["users"] },
        "processor": { "main": { "configMap": "hooks" }, "related": { "configMaps": ["helpers"] } },
    });
    let config = json!({ "configMap": "test-script" });
    bed.create("t", json!({ "testScript": { "config": config, "external": external } }))
        .await
        .expect("a LoadTest");
    let pod = bed.pods("t", 1).await.remove(0);
    let spec = pod.spec.expect("a spec");
    let volume =
        spec.volumes.expect("volumes").into_iter().find(|v| v.name == "test-script").expect("the volume");
    let sources = volume.projected.expect("a projected volume").sources.expect("sources");
    let names: Vec<_> = sources.into_iter().filter_map(|s| s.config_map).map(|c| c.name).collect();
    assert_eq!(names, ["test-script", "users", "hooks", "helpers"]);
}

#[tokio::test]
async fn a_job_of_somebody_else_is_not_touched_and_the_test_starts_when_it_is_gone() {
    let bed = Bed::new().await;
    bed.script().await;
    let theirs: Job = serde_json::from_value(json!({
        "metadata": { "name": "t" },
        "spec": { "suspend": true, "template": { "spec": {
            "restartPolicy": "Never", "containers": [{ "name": "c", "image": "i" }],
        } } },
    }))
    .expect("a Job");
    let theirs = bed.api::<Job>().create(&PostParams::default(), &theirs).await.expect("their Job");
    bed.load_test("t", 1).await;
    let status = bed.until_reason("t", "JobNameTaken").await;
    assert!(
        message_of(&status, "Progressing").contains("there is a Job \"t\" that has no owner"),
        "{status:?}"
    );
    assert_eq!(status.job_uid, None);
    let events = bed.until_events("t", 1).await;
    assert_eq!((events[0].0.as_str(), events[0].1.as_str()), ("Warning", "JobNameTaken"));
    assert_eq!(bed.job("t").await.expect("their Job").metadata.uid, theirs.metadata.uid);

    bed.api::<Job>().delete("t", &DeleteParams::background()).await.expect("deleted");
    let status = bed.until_reason("t", "WorkersStarting").await;
    assert_ne!(status.job_uid, theirs.metadata.uid);
}

#[tokio::test]
async fn a_test_created_again_under_its_name_waits_for_the_earlier_job_and_runs() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 1).await;
    let first = bed.until_reason("t", "WorkersStarting").await.job_uid;
    let tests = bed.api::<LoadTest>();
    tests.delete("t", &DeleteParams::background()).await.expect("deleted");
    eventually(
        "the LoadTest is gone",
        SOON,
        async || tests.get_opt("t").await.expect("an answer"),
        Option::is_none,
    )
    .await;
    bed.load_test("t", 1).await;
    let second = bed.until_reason("t", "WorkersStarting").await.job_uid;
    assert!(second.is_some() && second != first);
}

#[tokio::test]
async fn the_job_is_created_with_the_fewest_calls() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 1).await;
    bed.until_reason("t", "WorkersStarting").await;
    bed.until_events("t", 1).await;
    for (verb, resource, times) in [
        ("get", "configmaps", 2),    // the script, and whether its report's name is free
        ("create", "configmaps", 1), // the reporter
        ("create", "jobs", 1),
        ("patch", "jobs", 1),
        ("list", "configmaps", 0),
        ("watch", "configmaps", 0),
        ("create", "events", 1),
    ] {
        assert_eq!(bed.count_calls(verb, resource), times, "{verb} {resource}: {:#?}", bed.calls());
    }
    assert!(bed.count_calls("patch", "loadtests/status") <= 3, "{:#?}", bed.calls());
}
