//! The kubelets' part: workers run and exit, also where Kubernetes removes them meanwhile.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use loadtest::LoadTestStatus;
use testbed::eventually::eventually;

use crate::FORGOTTEN;
use crate::bed::{Bed, exited, is, reason_of};

/// How many workers the LoadTests have.
pub const WORKERS: usize = 2;
/// What is said of a LoadTest with that many workers that nothing befell.
pub const GOOD_LIFE: [&str; 5] = ["Completed", "Created", "Inconclusive", "Running", "Running"];

/// A LoadTest whose workers run.
pub async fn running(bed: &Bed, name: &str) {
    bed.load_test(name, 2).await;
    run_all(bed, name).await;
    bed.until_reason(name, "WorkersRunning").await;
}

/// All workers of a LoadTest run, once they are there.
pub async fn run_all(bed: &Bed, name: &str) {
    for pod in pods(bed, name).await {
        bed.run(&pod).await;
    }
}

/// Waits for the worker pods of a LoadTest, one of each index, for as long as Kubernetes' controllers may take after an
/// outage.
pub async fn pods(bed: &Bed, name: &str) -> Vec<Pod> {
    let index = |pod: &Pod| {
        let labels = pod.metadata.labels.as_ref();
        labels.and_then(|labels| labels.get("batch.kubernetes.io/job-completion-index")).cloned()
    };
    let are_whole = |pods: &Vec<Pod>| {
        pods.len() == WORKERS && pods.iter().map(index).collect::<BTreeSet<_>>().len() == WORKERS
    };
    let what = format!("the pods of {name}");
    eventually(&what, FORGOTTEN, async || list(bed, name).await, are_whole).await
}

async fn list(bed: &Bed, name: &str) -> Vec<Pod> {
    let selector = ListParams::default().labels(&format!("artillery.io/test-name={name}"));
    bed.api::<Pod>().list(&selector).await.expect("pods").items
}

/// The worker pods of a LoadTest that have not ended.
pub async fn alive(bed: &Bed, name: &str) -> Vec<Pod> {
    let mut pods = list(bed, name).await;
    let phase = |pod: &Pod| pod.status.as_ref().and_then(|s| s.phase.clone()).unwrap_or_default();
    pods.retain(|pod| !["Succeeded", "Failed"].contains(&phase(pod).as_str()));
    pods
}

/// All workers of a LoadTest that there are exit with 0.
pub async fn exit_all(bed: &Bed, name: &str) {
    for pod in alive(bed, name).await {
        let (phase, state) = exited(0);
        match bed.report(&pod, phase, state).await {
            Err(kube::Error::Api(status)) if status.is_not_found() => {} // Kubernetes removed it meanwhile
            reported => drop(reported.expect("the kubelet's word")),
        }
    }
}

/// Waits until the status is true again, and says how long after `since` that was.
pub async fn until_true(
    bed: &Bed,
    name: &str,
    since: Instant,
    what: &str,
    done: impl FnMut(&LoadTestStatus) -> bool,
) -> Duration {
    let what = format!("{name}: {what}");
    eventually(&what, FORGOTTEN, async || bed.status(name).await, done).await;
    since.elapsed()
}

/// As [`until_true`], for the reason of the Progressing condition.
pub async fn until_reason(bed: &Bed, name: &str, since: Instant, reason: &str) -> Duration {
    until_true(bed, name, since, reason, |status| reason_of(status, "Progressing") == reason).await
}

/// Lets workers exit with 0 as they come, until the LoadTest is over.
pub async fn finish(bed: &Bed, name: &str) {
    finish_within(bed, name, FORGOTTEN).await;
}

/// As [`finish`], where it may take longer.
pub async fn finish_within(bed: &Bed, name: &str, patience: Duration) {
    let look = async || {
        exit_all(bed, name).await;
        bed.status(name).await
    };
    let what = format!("{name} is over");
    eventually(&what, patience, look, |status| is(status, "Completed", "True")).await;
}
