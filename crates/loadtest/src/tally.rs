//! How many load tests are in which state, for those who watch the operator itself.

use crate::LoadTest;
use crate::api::PROGRESSING;
use crate::lifecycle::Outcome;
use crate::status::{JOB_CREATED, WORKERS_STARTING};

/// The state of a load test in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing has been said of it yet.
    New,
    /// Something keeps it from running, which its status tells, and which somebody may have to mend.
    Waiting,
    /// Its workers are on their way.
    Starting,
    /// At least one worker has run, and it is not over.
    Running,
    /// Over: every worker succeeded.
    Succeeded,
    /// Over otherwise.
    Failed,
}

impl State {
    /// Every state there is.
    pub const ALL: [Self; 6] =
        [Self::New, Self::Waiting, Self::Starting, Self::Running, Self::Succeeded, Self::Failed];

    /// What a load test's status says.
    pub fn of(load_test: &LoadTest) -> Self {
        let Some(status) = &load_test.status else { return Self::New };
        let progressing = status.condition(PROGRESSING);
        let reason = progressing.and_then(|c| c.reason.as_deref());
        if status.is_over() {
            // the first operator's tests gave no reasons, and a count of failures
            let is_success = match reason.and_then(Outcome::from_reason) {
                Some(outcome) => outcome == Outcome::Succeeded,
                None => status.failed == 0,
            };
            return if is_success { Self::Succeeded } else { Self::Failed };
        }
        match progressing.map(|c| c.status.as_str()) {
            None => Self::New,
            Some("False") => Self::Waiting,
            Some(_) if reason == Some("WorkersWaiting") => Self::Waiting,
            Some(_) if matches!(reason, Some(JOB_CREATED | WORKERS_STARTING)) => Self::Starting,
            // also when its Job is gone and workers still run
            Some(_) => Self::Running,
        }
    }

    /// Its name, as metrics and people have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "New",
            Self::Waiting => "Waiting",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{
        JobFixture as _, LoadTestFixture as _, PodFixture as _, at, job_of, load_test, pod,
    };
    use crate::lifecycle::Decision;
    use crate::observed::Observed;
    use crate::plan::Problem;
    use crate::status::next;

    fn after(pods: &[k8s_openapi::api::core::v1::Pod], decision: &Decision) -> State {
        let test = load_test("t").recorded("job-1");
        let job = job_of(&test).started();
        let observed = Observed::new(test.clone(), Some(job), &pods.iter().collect::<Vec<_>>(), at(99));
        State::of(&LoadTest { status: next(&observed, decision, at(99)), ..test })
    }

    #[test]
    fn a_test_has_the_state_that_its_status_tells() {
        let problem = Problem { reason: "MissingTestScript", message: String::new() };
        assert_eq!(State::of(&load_test("t")), State::New);
        assert_eq!(after(&[], &Decision::Wait(problem)), State::Waiting);
        assert_eq!(after(&[], &Decision::Follow), State::Starting);
        assert_eq!(after(&[pod("t", 0).waiting("ErrImagePull")], &Decision::Follow), State::Waiting);
        assert_eq!(after(&[pod("t", 0).running(3)], &Decision::Follow), State::Running);
        let ending = Decision::WaitForWorkers(Outcome::JobSuspended);
        assert_eq!(after(&[pod("t", 0).running(3)], &ending), State::Running);
        assert_eq!(after(&[], &Decision::Finish(Outcome::Succeeded)), State::Succeeded);
        assert_eq!(after(&[], &Decision::Finish(Outcome::JobDeleted)), State::Failed);
    }
}
