//! What to do next with a load test: one function of facts, whose table of tests reads as sentences.
//!
//! The order that starts a test exactly once, whatever is killed in between: the Job is created *suspended*; its UID is
//! recorded in the status (by resourceVersion); only then is it unsuspended, by a patch that names that UID. A Job
//! that is gone after that is never made again, and one that was lost before never had a pod.

use k8s_openapi::api::batch::v1::Job;

use crate::LoadTest;
use crate::job::{Start, is_suspended, start};
use crate::observed::{JobFact, Observed};
use crate::plan::{Plan, Problem};

/// What to do next.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Nothing: it is over, or being deleted.
    Leave,
    /// Look at the files that it names, make a plan of it, and decide again.
    MakePlan,
    /// Say what it waits for, and look again in a while.
    Wait(Problem),
    /// Create the Job, suspended.
    CreateJob(Plan),
    /// Record the UID of its Job in the status.
    RecordJob(String),
    /// Unsuspend the Job with that UID.
    StartJob(String),
    /// Delete the Job with that UID: it was never started, and another one is the recorded one.
    DeleteStrayJob(String),
    /// Tell how it goes.
    Follow,
    /// Tell how it ended.
    Finish(Outcome),
}

/// How a load test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every worker succeeded.
    Succeeded,
    /// At least one worker did not.
    WorkersFailed,
    /// Its Job was deleted before it ended.
    JobDeleted,
    /// Its Job was suspended by somebody after the start, which ends its workers.
    JobSuspended,
    /// The cluster does not keep `backoffLimitPerIndex`: Kubernetes older than 1.29.
    KubernetesTooOld,
}

impl Outcome {
    const ALL: [Self; 5] =
        [Self::Succeeded, Self::WorkersFailed, Self::JobDeleted, Self::JobSuspended, Self::KubernetesTooOld];

    /// The reason that the conditions give.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Succeeded => "Succeeded",
            Self::WorkersFailed => "WorkersFailed",
            Self::JobDeleted => "JobDeleted",
            Self::JobSuspended => "JobSuspended",
            Self::KubernetesTooOld => "KubernetesTooOld",
        }
    }

    /// The outcome whose reason that is.
    pub fn from_reason(reason: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.reason() == reason)
    }
}

/// A Job of that name is somebody else's.
pub const JOB_NAME_TAKEN: &str = "JobNameTaken";
/// A Job of an earlier LoadTest of that name is still there.
pub const EARLIER_JOB: &str = "WaitingForEarlierJob";

/// Decides what to do next. `plan` is what came of [`Decision::MakePlan`], or what the API server had against the Job;
/// `None` before either.
pub fn decide(observed: &Observed, plan: Option<Result<Plan, Problem>>) -> Decision {
    let Observed { load_test, job, workers } = observed;
    if load_test.metadata.deletion_timestamp.is_some() {
        return Decision::Leave;
    }
    if let Some(stray) = stray(observed) {
        return Decision::DeleteStrayJob(stray);
    }
    if is_settled(load_test) {
        return Decision::Leave;
    }
    match (recorded(load_test), job) {
        (None, JobFact::Absent) if is_the_first_operators(load_test) => Decision::Finish(Outcome::JobDeleted),
        (None, JobFact::Absent) => match plan {
            None => Decision::MakePlan,
            Some(Ok(plan)) => Decision::CreateJob(plan),
            Some(Err(problem)) => Decision::Wait(problem),
        },
        (None, JobFact::Ours(job)) => Decision::RecordJob(uid(job)),
        (None, JobFact::Earlier) => Decision::Wait(earlier(load_test)),
        (None, JobFact::Foreign(owner)) => Decision::Wait(taken(load_test, owner.as_deref())),
        (Some(recorded), JobFact::Ours(job)) if uid(job) != recorded => Decision::Finish(Outcome::JobDeleted),
        (Some(_), JobFact::Ours(job)) => match (is_suspended(job), start(job)) {
            // also of an old view of a Job that runs already: then the patch's tests fail, and the Job is read anew
            (true, Start::Never) if !fails_per_index(job) => Decision::Finish(Outcome::KubernetesTooOld),
            (true, Start::Never) => match plan {
                Some(Err(refused)) => Decision::Wait(refused),
                _ => Decision::StartJob(uid(job)),
            },
            _ if workers.all_ended() => Decision::Finish(outcome(observed)),
            (true, Start::At(_) | Start::Unknown) => Decision::Finish(Outcome::JobSuspended),
            (false, _) => Decision::Follow,
        },
        (Some(_), JobFact::Absent | JobFact::Earlier | JobFact::Foreign(_)) => {
            Decision::Finish(Outcome::JobDeleted)
        }
    }
}

/// Whether a cached Job is not enough to decide by: that the recorded Job is gone ends a test, and a cache that does not
/// have it, or still has another of its name, may be behind.
pub fn wants_fresh_job(load_test: &LoadTest, cached: Option<&Job>) -> bool {
    if is_settled(load_test) {
        return false;
    }
    match (recorded(load_test), cached) {
        (_, None) => true,
        (Some(recorded), Some(job)) => uid(job) != recorded,
        (None, Some(_)) => false,
    }
}

/// A second Job that was made from an old view, and never started; also after the test is over.
fn stray(Observed { load_test, job, .. }: &Observed) -> Option<String> {
    let job = job.ours()?;
    let is_another = match recorded(load_test) {
        Some(recorded) => uid(job) != recorded,
        None => is_settled(load_test),
    };
    let is_going = job.metadata.deletion_timestamp.is_some();
    (is_another && !is_going && is_suspended(job) && start(job) == Start::Never).then(|| uid(job))
}

fn outcome(Observed { workers, .. }: &Observed) -> Outcome {
    if workers.failed == 0 { Outcome::Succeeded } else { Outcome::WorkersFailed }
}

/// Over or going: nothing is created, changed or told any more.
fn is_settled(load_test: &LoadTest) -> bool {
    load_test.metadata.deletion_timestamp.is_some() || load_test.status.as_ref().is_some_and(|s| s.is_over())
}

fn recorded(load_test: &LoadTest) -> Option<&str> {
    load_test.status.as_ref()?.job_uid.as_deref()
}

/// The first operator wrote conditions only once a Job existed, and never an observed generation: such a LoadTest has
/// run, or is running, and must not be started.
fn is_the_first_operators(load_test: &LoadTest) -> bool {
    load_test.status.as_ref().is_some_and(|s| !s.conditions.is_empty() && s.observed_generation.is_none())
}

fn uid(job: &Job) -> String {
    job.metadata.uid.clone().unwrap_or_default()
}

fn fails_per_index(job: &Job) -> bool {
    job.spec.as_ref().is_some_and(|s| s.backoff_limit_per_index.is_some())
}

fn earlier(load_test: &LoadTest) -> Problem {
    let name = load_test.name();
    let message = format!(
        "waiting until the Job \"{name}\" of an earlier LoadTest \"{name}\" is gone; if it stays, delete it: kubectl delete job {name}"
    );
    Problem { reason: EARLIER_JOB, message }
}

fn taken(load_test: &LoadTest, owner: Option<&str>) -> Problem {
    let name = load_test.name();
    let whose = owner.map_or_else(|| "has no owner".to_owned(), |owner| format!("belongs to {owner}"));
    let message = format!(
        "there is a Job \"{name}\" that {whose}, and a LoadTest's Job bears its name, see field .metadata.name: delete that Job, or create the LoadTest under another name"
    );
    Problem { reason: JOB_NAME_TAKEN, message }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;

    use super::*;
    use crate::fixtures::{JobFixture as _, LoadTestFixture as _, PodFixture as _, job_of, load_test, pod};

    fn plan() -> Plan {
        Plan { workers: 2, environment: None, config_maps: vec!["test-script".into()] }
    }

    fn test() -> LoadTest {
        load_test("t").with_count(2)
    }

    fn decision(load_test: LoadTest, job: Option<Job>, pods: &[Pod]) -> Decision {
        decide(&Observed::new(load_test, job, &pods.iter().collect::<Vec<_>>()), Some(Ok(plan())))
    }

    fn waits_for(decision: &Decision) -> &'static str {
        match decision {
            Decision::Wait(problem) => problem.reason,
            other => panic!("{other:?} is not waiting"),
        }
    }

    #[test]
    fn a_new_test_gets_its_job() {
        assert_eq!(decision(test(), None, &[]), Decision::CreateJob(plan()));
    }

    #[test]
    fn a_test_with_a_problem_waits_until_it_is_mended() {
        let problem = Problem { reason: "MissingTestScript", message: "…".into() };
        let observed = Observed::new(test(), None, &[]);
        assert_eq!(decide(&observed, Some(Err(problem.clone()))), Decision::Wait(problem));
    }

    #[test]
    fn a_created_job_is_recorded_before_it_is_started() {
        assert_eq!(decision(test(), Some(job_of(&test())), &[]), Decision::RecordJob("job-1".into()));
    }

    #[test]
    fn a_recorded_job_is_started() {
        let job = job_of(&test());
        assert_eq!(decision(test().recorded("job-1"), Some(job), &[]), Decision::StartJob("job-1".into()));
    }

    #[test]
    fn a_started_job_is_followed() {
        let job = job_of(&test()).started();
        let pods = [pod("t", 0).running(3), pod("t", 1)];
        assert_eq!(decision(test().recorded("job-1"), Some(job), &pods), Decision::Follow);
    }

    #[test]
    fn a_test_is_over_when_its_workers_ended_though_the_job_has_not_said_so() {
        let job = job_of(&test()).started();
        let pods = [pod("t", 0).exited(0, 9), pod("t", 1).exited(0, 9)];
        let over = decision(test().recorded("job-1"), Some(job.clone()), &pods);
        assert_eq!(over, Decision::Finish(Outcome::Succeeded));
        let pods = [pod("t", 0).exited(0, 9), pod("t", 1).exited(21, 9)];
        let over = decision(test().recorded("job-1"), Some(job), &pods);
        assert_eq!(over, Decision::Finish(Outcome::WorkersFailed));
    }

    #[test]
    fn a_failed_job_ends_the_test() {
        let job = job_of(&test()).started().with_condition("Failed", "True", 9).with_indexes("0", "1");
        assert_eq!(
            decision(test().recorded("job-1"), Some(job), &[]),
            Decision::Finish(Outcome::WorkersFailed)
        );
    }

    #[test]
    fn a_finished_test_whose_job_was_deleted_is_left_alone() {
        let over = test().recorded("job-1").with_condition("Completed", "True");
        assert_eq!(decision(over, None, &[]), Decision::Leave);
    }

    #[test]
    fn a_running_test_whose_job_was_deleted_is_over_and_never_started_again() {
        assert_eq!(decision(test().recorded("job-1"), None, &[]), Decision::Finish(Outcome::JobDeleted));
    }

    #[test]
    fn a_recorded_job_that_somebody_replaced_ends_the_test() {
        let theirs = job_of(&test()).with_uid("job-2").unowned();
        let over = decision(test().recorded("job-1"), Some(theirs), &[]);
        assert_eq!(over, Decision::Finish(Outcome::JobDeleted));
    }

    #[test]
    fn a_second_job_made_from_a_stale_view_is_deleted_unstarted() {
        let second = job_of(&test()).with_uid("job-2");
        let stray = decision(test().recorded("job-1"), Some(second.clone()), &[]);
        assert_eq!(stray, Decision::DeleteStrayJob("job-2".into()));
        let started = decision(test().recorded("job-1"), Some(second.started()), &[]);
        assert_eq!(started, Decision::Finish(Outcome::JobDeleted), "what runs is never deleted as a stray");
    }

    #[test]
    fn a_second_job_is_deleted_also_when_the_test_is_over() {
        let over = test().recorded("job-1").with_condition("Completed", "True");
        let second = job_of(&test()).with_uid("job-2");
        assert_eq!(
            decision(over.clone(), Some(second.clone()), &[]),
            Decision::DeleteStrayJob("job-2".into())
        );
        assert_eq!(decision(over.being_deleted(), Some(second), &[]), Decision::Leave);
    }

    #[test]
    fn a_start_that_the_api_server_refuses_is_waited_for() {
        let observed = Observed::new(test().recorded("job-1"), Some(job_of(&test())), &[]);
        let refused = Problem::job_refused("a webhook says no");
        assert_eq!(decide(&observed, Some(Err(refused.clone()))), Decision::Wait(refused));
    }

    #[test]
    fn a_second_job_that_is_going_already_is_let_go() {
        let mut second = job_of(&test()).with_uid("job-2");
        second.metadata.deletion_timestamp = test().being_deleted().metadata.deletion_timestamp;
        let over = test().recorded("job-1").with_condition("Completed", "True");
        assert_eq!(decision(over, Some(second.clone()), &[]), Decision::Leave);
        let running = decision(test().recorded("job-1"), Some(second), &[]);
        assert_eq!(running, Decision::Finish(Outcome::JobDeleted));
    }

    #[test]
    fn an_old_view_of_a_job_that_runs_ends_nothing() {
        let mut load_test = test().recorded("job-1");
        let before = job_of(&load_test);
        load_test.status.get_or_insert_default().start_time =
            test().being_deleted().metadata.deletion_timestamp;
        assert_eq!(decision(load_test, Some(before), &[]), Decision::StartJob("job-1".into()));
    }

    #[test]
    fn a_suspended_job_whose_annotation_is_gone_may_have_run_and_is_not_started() {
        let mut job = job_of(&test());
        job.metadata.annotations = None;
        let over = decision(test().recorded("job-1"), Some(job), &[]);
        assert_eq!(over, Decision::Finish(Outcome::JobSuspended));
    }

    #[test]
    fn the_first_operators_job_that_somebody_suspended_is_not_blamed_on_the_cluster() {
        let job = job_of(&test()).of_the_first_operator().suspended();
        let over = decision(test().recorded("job-1"), Some(job), &[]);
        assert_eq!(over, Decision::Finish(Outcome::JobSuspended));
    }

    #[test]
    fn a_test_that_is_being_deleted_creates_nothing() {
        assert_eq!(decision(test().being_deleted(), None, &[]), Decision::Leave);
        assert_eq!(decision(test().recorded("job-1").being_deleted(), None, &[]), Decision::Leave);
    }

    #[test]
    fn a_job_of_somebody_else_is_reported_and_not_adopted() {
        let unowned = decision(test(), Some(job_of(&test()).unowned()), &[]);
        assert_eq!(waits_for(&unowned), "JobNameTaken");
        let cron = decision(test(), Some(job_of(&test()).owned_by("CronJob", "nightly", "uid-9")), &[]);
        let Decision::Wait(problem) = cron else { panic!("{cron:?}") };
        assert!(problem.message.contains("belongs to CronJob/nightly"), "{}", problem.message);
    }

    #[test]
    fn a_job_of_an_earlier_test_of_that_name_is_waited_for() {
        let earlier = job_of(&test()).owned_by("LoadTest", "t", "uid-of-the-earlier-t");
        assert_eq!(waits_for(&decision(test(), Some(earlier), &[])), "WaitingForEarlierJob");
    }

    #[test]
    fn a_job_that_somebody_suspended_after_the_start_is_not_started_again() {
        let job = job_of(&test()).started().suspended();
        let over = decision(test().recorded("job-1"), Some(job), &[pod("t", 0).running(3)]);
        assert_eq!(over, Decision::Finish(Outcome::JobSuspended));
    }

    #[test]
    fn a_cluster_that_drops_backoff_limit_per_index_is_refused_before_anything_runs() {
        let mut job = job_of(&test());
        job.spec.as_mut().expect("a spec").backoff_limit_per_index = None;
        let refused = decision(test().recorded("job-1"), Some(job), &[]);
        assert_eq!(refused, Decision::Finish(Outcome::KubernetesTooOld));
    }

    #[test]
    fn the_first_operators_running_test_is_followed() {
        let old = test().with_condition("Progressing", "True");
        let mut old = old;
        old.status.as_mut().expect("a status").observed_generation = None;
        let job = job_of(&test()).of_the_first_operator();
        assert_eq!(decision(old.clone(), Some(job.clone()), &[]), Decision::RecordJob("job-1".into()));
        assert_eq!(decision(old.recorded("job-1"), Some(job), &[pod("t", 0).running(3)]), Decision::Follow);
    }

    #[test]
    fn the_first_operators_test_without_a_job_is_over_and_not_run_again() {
        let old = test().with_condition("Progressing", "Unknown");
        assert_eq!(decision(old, None, &[]), Decision::Finish(Outcome::JobDeleted));
    }

    #[test]
    fn the_first_operators_finished_test_is_left_alone() {
        let old = test().with_condition("Progressing", "False").with_condition("Completed", "True");
        assert_eq!(decision(old, None, &[]), Decision::Leave);
    }

    #[test]
    fn a_job_that_is_absent_or_another_is_asked_for_before_a_test_is_ended() {
        let job = job_of(&test());
        assert!(wants_fresh_job(&test(), None));
        assert!(!wants_fresh_job(&test(), Some(&job)));
        assert!(!wants_fresh_job(&test().recorded("job-1"), Some(&job)));
        assert!(wants_fresh_job(&test().recorded("job-2"), Some(&job)));
        let over = test().recorded("job-2").with_condition("Completed", "True");
        assert!(!wants_fresh_job(&over, Some(&job)) && !wants_fresh_job(&over, None));
    }

    #[test]
    fn files_are_looked_at_only_before_a_job_is_created() {
        let wants = |load_test, job| decide(&Observed::new(load_test, job, &[]), None) == Decision::MakePlan;
        assert!(wants(test(), None));
        assert!(!wants(test(), Some(job_of(&test()))));
        assert!(!wants(test().recorded("job-1"), None));
        assert!(!wants(test().being_deleted(), None));
    }
}
