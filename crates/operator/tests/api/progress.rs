//! How a running test is told: counts, times, events, and few writes.

use std::time::{Duration, Instant};

use testbed::eventually::eventually;

use crate::bed::{API, Bed, SOON, is, message_of, spec};

#[tokio::test]
async fn a_test_is_followed_to_its_success() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 2).await;
    let pods = bed.pods("t", 2).await;
    bed.run(&pods[0]).await;
    let status = bed.until_reason("t", "WorkersRunning").await;
    assert_eq!(status.active, 2);
    bed.run(&pods[1]).await;
    bed.exit(&pods[0], 0).await;
    bed.exit(&pods[1], 0).await;
    let status = bed.until_reason("t", "Succeeded").await;
    assert!(is(&status, "Completed", "True") && is(&status, "Progressing", "False"));
    assert_eq!((status.active, status.succeeded, status.failed), (0, 2, 0));
    assert_eq!(status.completions.as_deref(), Some("2/2"));
    let (start, end) = (status.start_time.expect("a start"), status.completion_time.expect("an end"));
    assert!(start <= end);

    let name = |pod: &k8s_openapi::api::core::v1::Pod| pod.metadata.name.clone().expect("a name");
    let events = bed.until_events("t", 5).await;
    let said: Vec<_> =
        events.iter().map(|(type_, reason, note)| format!("{type_} {reason} {note}")).collect();
    assert_eq!(
        said[..4],
        [
            "Normal Completed Load Test completed".to_owned(),
            "Normal Created Created Load Test worker master job: t".to_owned(),
            format!("Normal Running Running Load Test worker pod: {}", name(&pods[0])),
            format!("Normal Running Running Load Test worker pod: {}", name(&pods[1])),
        ]
    );
    assert!(said[4].starts_with("Warning Inconclusive Inconclusive: "), "nobody reported: {}", said[4]);
}

#[tokio::test]
async fn one_worker_that_fails_leaves_the_others_and_the_test_ends_failed() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 3).await;
    let pods = bed.pods("t", 3).await;
    for pod in &pods {
        bed.run(pod).await;
    }
    bed.exit(&pods[1], 1).await;
    bed.until("t", "one failed", |status| status.failed == 1).await;
    bed.pods("t", 3).await; // none is killed, none is replaced
    let status = bed.status("t").await;
    assert!(is(&status, "Completed", "False") && is(&status, "Progressing", "True"));
    bed.exit(&pods[0], 0).await;
    bed.exit(&pods[2], 0).await;
    let status = bed.until_reason("t", "WorkersFailed").await;
    assert!(is(&status, "Completed", "True"), "over, whatever its outcome");
    assert_eq!((status.succeeded, status.failed, status.completions.as_deref()), (2, 1, Some("2/3")));
    assert!(
        message_of(&status, "Completed").contains("1 of 3 workers failed: worker 1: exited with code 1"),
        "{status:?}"
    );
    let events = bed.until_events("t", 6).await;
    let ends: Vec<_> = events.iter().filter(|e| e.1 == "Failed" || e.1 == "Completed").collect();
    assert_eq!(ends.len(), 1);
    assert_eq!(
        (ends[0].0.as_str(), ends[0].2.as_str()),
        ("Warning", "Load Test completed with failed workers")
    );
}

#[tokio::test]
async fn the_duration_ticks_and_the_status_is_written_at_most_once_in_10_s() {
    let bed = Bed::new().await;
    bed.script().await;
    bed.load_test("t", 4).await;
    let pods = bed.pods("t", 4).await;
    for pod in &pods {
        bed.run(pod).await;
    }
    bed.until_reason("t", "WorkersRunning").await;
    let (began, before) = (Instant::now(), bed.count_calls("patch", "loadtests/status"));
    let first = bed.status("t").await.duration;
    // progress that is no milestone comes in between
    for pod in &pods[..3] {
        bed.exit(pod, 0).await;
    }
    let long = Duration::from_secs(40);
    let ticked = async || bed.status("t").await;
    let status =
        eventually("two ticks", long, ticked, |_| bed.count_calls("patch", "loadtests/status") >= before + 2)
            .await;
    let (took, writes) = (began.elapsed(), bed.count_calls("patch", "loadtests/status") - before);
    assert!(writes as u64 <= took.as_secs() / 10 + 1, "{writes} writes in {took:?}");
    assert_ne!(status.duration, first);
    assert_eq!(status.succeeded, 3);
}

#[tokio::test]
async fn kubectl_prints_the_first_operators_columns() {
    let bed = Bed::new().await;
    bed.script().await;
    let mut with_environment = spec(2);
    with_environment["environment"] = "dev".into();
    bed.create("basic-test", with_environment).await.expect("a LoadTest");
    bed.until_reason("basic-test", "WorkersStarting").await;
    let print = |more: &[&str]| {
        let args = [&["get", "lt", "-n", &bed.namespace], more].concat();
        let table = API.kubectl(&args).expect("a table");
        table.lines().map(|l| l.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect::<Vec<_>>()
    };
    let narrow = eventually("a row", SOON, async || print(&[]), |rows| rows[1].len() == 6).await;
    assert_eq!(narrow[0], ["NAME", "COMPLETIONS", "DURATION", "AGE", "ENVIRONMENT", "IMAGE"]);
    assert_eq!((narrow[1][0].as_str(), narrow[1][1].as_str()), ("basic-test", "0/2"));
    assert_eq!(narrow[1][4..], ["dev", "artilleryio/artillery:latest"]);
    let wide = print(&["-o", "wide"]);
    assert_eq!(
        wide[0][6..],
        ["ACTIVE", "FAILED", "REPORTING", "REQUESTS/S", "P95", "ERRORS", "VERDICT", "PROGRESS"]
    );
    assert_eq!(wide[1][8], "WorkersStarting");
}
