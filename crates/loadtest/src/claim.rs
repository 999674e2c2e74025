//! Which worker a pod is, as the API server knows it: what a process says of itself does not count.

use k8s_openapi::api::core::v1::Pod;

use crate::LoadTest;
use crate::labels::TEST_NAME;
use crate::workers::COMPLETION_INDEX;

/// What a pod is to a load test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The worker with that completion index.
    Worker(u32),
    /// Nothing, for good; why.
    NotAWorker(String),
    /// A worker of a load test that is over or deleted; which.
    Gone(String),
    /// That cannot be said yet: what is known of the load test is older than the pod.
    NotYet,
}

/// The name of the LoadTest whose worker a pod says that it is.
pub fn load_test_of(pod: &Pod) -> Option<&str> {
    pod.metadata.labels.as_ref()?.get(TEST_NAME).map(String::as_str)
}

/// What that pod is to the LoadTest that [`load_test_of`] names.
pub fn claim(load_test: Option<&LoadTest>, pod: &Pod) -> Claim {
    let pod_name = pod.metadata.name.as_deref().unwrap_or_default();
    let Some(name) = load_test_of(pod) else {
        return Claim::NotAWorker(format!("the pod {pod_name} has no label {TEST_NAME}"));
    };
    let Some(load_test) = load_test else {
        return Claim::Gone(format!("there is no LoadTest {name}"));
    };
    if load_test.is_settled() {
        return Claim::Gone(format!("the LoadTest {name} is over"));
    }
    let Some(job_uid) = load_test.status.as_ref().and_then(|status| status.job_uid.as_deref()) else {
        return Claim::NotYet;
    };
    if !is_of_job(pod, job_uid) {
        return Claim::NotAWorker(format!("the pod {pod_name} is not of the Job of LoadTest {name}"));
    }
    let index = pod.metadata.labels.as_ref().and_then(|labels| labels.get(COMPLETION_INDEX));
    match index.map(|index| (index, index.parse::<u32>())) {
        Some((_, Ok(index))) if i64::from(index) < i64::from(load_test.spec.count) => Claim::Worker(index),
        Some((index, _)) => Claim::NotAWorker(format!(
            "the pod {pod_name} has the completion index \"{index}\": 0 to {} are expected",
            load_test.spec.count - 1
        )),
        None => Claim::NotAWorker(format!("the pod {pod_name} has no label {COMPLETION_INDEX}")),
    }
}

/// Whether a pod is of the Job with that UID, and not of an earlier one of its name.
pub fn is_of_job(pod: &Pod, job_uid: &str) -> bool {
    pod.metadata.owner_references.iter().flatten().any(|owner| owner.uid == job_uid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::COMPLETED;
    use crate::fixtures::{LoadTestFixture as _, PodFixture as _, load_test, pod};

    fn test() -> LoadTest {
        load_test("t").with_count(2).recorded("job-1")
    }

    fn why(claim: Claim) -> String {
        match claim {
            Claim::NotAWorker(why) | Claim::Gone(why) => why,
            other => panic!("{other:?} is no refusal"),
        }
    }

    #[test]
    fn a_pod_of_the_recorded_job_is_the_worker_with_its_index() {
        assert_eq!(claim(Some(&test()), &pod("t", 1)), Claim::Worker(1));
    }

    #[test]
    fn a_pod_of_no_job_or_another_is_no_worker_though_it_has_the_labels() {
        let mut copy = pod("t", 1);
        copy.metadata.owner_references = None;
        assert!(why(claim(Some(&test()), &copy)).contains("not of the Job"));
        assert!(why(claim(Some(&test().recorded("job-2")), &pod("t", 1))).contains("not of the Job"));
        copy.metadata.labels = None;
        assert!(why(claim(None, &copy)).contains("no label"));
    }

    #[test]
    fn an_index_that_is_none_or_beyond_the_planned_ones_is_no_worker() {
        assert!(why(claim(Some(&test()), &pod("t", 2))).contains("0 to 1"));
        let mut odd = pod("t", 1);
        odd.metadata.labels.as_mut().expect("labels").insert(COMPLETION_INDEX.into(), "-1".into());
        assert!(why(claim(Some(&test()), &odd)).contains("\"-1\""));
        odd.metadata.labels.as_mut().expect("labels").remove(COMPLETION_INDEX);
        assert!(why(claim(Some(&test()), &odd)).contains("no label"));
    }

    #[test]
    fn a_test_that_is_gone_or_over_has_no_workers_any_more() {
        assert!(matches!(claim(None, &pod("t", 0)), Claim::Gone(_)));
        assert!(matches!(claim(Some(&test().being_deleted()), &pod("t", 0)), Claim::Gone(_)));
        let over = test().with_condition(COMPLETED, "True");
        assert!(matches!(claim(Some(&over), &pod("t", 0)), Claim::Gone(_)));
    }

    #[test]
    fn a_pod_that_is_newer_than_what_is_known_has_to_ask_again() {
        assert_eq!(claim(Some(&load_test("t")), &pod("t", 0)), Claim::NotYet);
    }

    #[test]
    fn a_lost_pod_that_still_speaks_is_the_worker_that_it_is() {
        assert_eq!(claim(Some(&test()), &pod("t", 0).running(3)), Claim::Worker(0));
    }
}
