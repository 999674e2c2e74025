//! Workers and Jobs that somebody deletes while a load test runs: it ends with the truth, and nothing is started again.

use e2e::{Account, Bed, Run, sending};

#[tokio::test]
async fn workers_that_are_deleted_gracefully_and_by_force_count_as_failed_and_are_not_replaced() {
    let bed = Bed::with_target("workers-deleted").await;
    let run = Run::start(&bed, "bereft", 3, 20);
    let workers = run.until_sending().await;
    bed.kubectl(&["delete", "pod", &workers[0].pod, "--wait=false"]);
    bed.kubectl(&["delete", "pod", &workers[1].pod, "--grace-period=0", "--force"]);
    assert_eq!(bed.until_over("bereft").await, "WorkersFailed");
    assert_eq!(bed.of_test("bereft", "{.status.completions} {.status.failed} {.status.active}"), "1/3 2 0");
    assert_eq!(run.account(&workers[2..]), Account { started_twice: 0, lost: 0 });
    bed.until_events("bereft", &["Created", "Failed", "Running", "Running", "Running"]).await;
}

#[tokio::test]
async fn a_job_that_is_deleted_while_it_runs_ends_its_test_and_is_not_made_again() {
    let bed = Bed::with_target("job-deleted").await;
    let run = Run::start(&bed, "orphan", 1, 60);
    run.until_sending().await;
    bed.kubectl(&["delete", "job", "orphan"]);
    assert_eq!(bed.until_over("orphan").await, "JobDeleted");
    bed.until_events("orphan", &["Created", "Failed", "Running"]).await;
}

#[tokio::test]
async fn a_load_test_that_is_replaced_while_it_runs_runs_again_once() {
    let bed = Bed::with_target("replaced").await;
    let run = Run::start(&bed, "phoenix", 1, 60);
    run.until_sending().await;
    let again = run.replaced(5);
    assert_eq!(bed.until_over("phoenix").await, "Succeeded");
    assert_eq!(again.account(&again.workers()), Account { started_twice: 0, lost: 0 });
}

#[tokio::test]
async fn a_worker_that_is_deleted_gracefully_reports_what_it_has_sent() {
    let bed = Bed::with_target("graceful").await;
    let workers = sending(&bed, "graceful", 40).await;
    bed.kubectl(&["delete", "pod", &workers[1], "--wait=false"]);
    assert_eq!(bed.until_over("graceful").await, "WorkersFailed");
    bed.assert_exact("graceful", &[]);
    let verdict = bed.verdict("graceful");
    assert_eq!(
        (verdict.verdict.as_str(), verdict.reason.as_str()),
        ("Failed", "WorkersFailed"),
        "{verdict:?}"
    );
    assert_eq!(bed.of_test("graceful", "{.status.workers.lost}"), "0");
}
