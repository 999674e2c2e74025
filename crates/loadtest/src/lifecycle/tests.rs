//! The lifecycle in sentences: what is done next, by the facts.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::*;
use crate::api::Stop;
use crate::collected::Collected;
use crate::fixtures::{
    JobFixture as _, LoadTestFixture as _, PodFixture as _, at, conclusion, job_of, load_test, pod,
};
use crate::job::GENERATION;
use crate::workers::{LOST_AFTER_SECONDS, START_DEADLINE_SECONDS};

fn plan() -> Plan {
    Plan { workers: 2, ..Plan::default() }
}

fn test() -> LoadTest {
    load_test("t").with_count(2)
}

fn decision(load_test: LoadTest, job: Option<Job>, pods: &[Pod]) -> Decision {
    decision_at(99, load_test, job, pods)
}

fn decision_at(seconds: i64, load_test: LoadTest, job: Option<Job>, pods: &[Pod]) -> Decision {
    let observed = Observed::new(load_test, job, &pods.iter().collect::<Vec<_>>(), at(seconds));
    decide(&observed, Some(Ok(plan())))
}

fn waits_for(decision: &Decision) -> &'static str {
    match decision {
        Decision::Wait(problem) => problem.reason,
        other => panic!("{other:?} is not waiting"),
    }
}

#[test]
fn a_new_test_gets_its_job() {
    assert_eq!(decision(test(), None, &[]), Decision::CreateJob(Box::new(plan())));
}

#[test]
fn a_test_with_a_problem_waits_until_it_is_mended() {
    let problem = Problem { reason: "MissingTestScript", message: "…".into() };
    let observed = Observed::new(test(), None, &[], at(99));
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
    assert_eq!(over, Decision::Conclude(Outcome::Succeeded));
    let pods = [pod("t", 0).exited(0, 9), pod("t", 1).exited(21, 9)];
    let over = decision(test().recorded("job-1"), Some(job), &pods);
    assert_eq!(over, Decision::Conclude(Outcome::WorkersFailed));
}

#[test]
fn a_test_is_told_over_once_its_report_is_stored() {
    let job = job_of(&test()).started().with_indexes("0,1", "");
    let observed = Observed::new(test().recorded("job-1"), Some(job), &[], at(99));
    assert_eq!(decide(&observed, None), Decision::Conclude(Outcome::Succeeded));
    let concluded = Observed { conclusion: Some(conclusion()), ..observed };
    assert_eq!(decide(&concluded, None), Decision::Finish(Outcome::Succeeded));
}

#[test]
fn a_failed_job_ends_the_test() {
    let job = job_of(&test()).started().with_condition("Failed", "True", 9).with_indexes("0", "1");
    assert_eq!(
        decision(test().recorded("job-1"), Some(job), &[]),
        Decision::Conclude(Outcome::WorkersFailed)
    );
}

#[test]
fn a_finished_test_whose_job_was_deleted_is_left_alone() {
    let over = test().recorded("job-1").with_condition("Completed", "True");
    assert_eq!(decision(over, None, &[]), Decision::Leave);
}

#[test]
fn a_running_test_whose_job_was_deleted_is_over_and_never_started_again() {
    assert_eq!(decision(test().recorded("job-1"), None, &[]), Decision::Conclude(Outcome::JobDeleted));
}

#[test]
fn a_recorded_job_that_somebody_replaced_ends_the_test() {
    let theirs = job_of(&test()).with_uid("job-2").unowned();
    let over = decision(test().recorded("job-1"), Some(theirs), &[]);
    assert_eq!(over, Decision::Conclude(Outcome::JobDeleted));
}

#[test]
fn a_second_job_made_from_a_stale_view_is_deleted_unstarted() {
    let second = job_of(&test()).with_uid("job-2");
    let stray = decision(test().recorded("job-1"), Some(second.clone()), &[]);
    assert_eq!(stray, Decision::DeleteStrayJob("job-2".into()));
    let started = decision(test().recorded("job-1"), Some(second.started()), &[]);
    assert_eq!(started, Decision::Conclude(Outcome::JobDeleted), "what runs is never deleted as a stray");
}

#[test]
fn a_job_that_was_made_before_the_spec_was_mended_is_not_the_one_that_runs() {
    let job = job_of(&test());
    let mut mended = test();
    mended.metadata.generation = Some(2);
    assert_eq!(decision(mended.clone(), Some(job.clone()), &[]), Decision::DeleteStrayJob("job-1".into()));
    assert_eq!(
        decision(test(), Some(job_of(&mended)), &[]),
        Decision::RecordJob("job-1".into()),
        "an old view"
    );
    assert_eq!(
        decision(mended.clone(), Some(job.clone().started()), &[]),
        Decision::RecordJob("job-1".into()),
        "what runs is never deleted"
    );
    let mut going = job.clone();
    going.metadata.deletion_timestamp = Some(Time(at(1)));
    assert!(matches!(decision(mended.clone(), Some(going), &[]), Decision::Wait(_)));
    let mut an_earlier_operators = job;
    an_earlier_operators.metadata.annotations.as_mut().expect("annotations").remove(GENERATION);
    assert_eq!(decision(mended, Some(an_earlier_operators), &[]), Decision::RecordJob("job-1".into()));
}

#[test]
fn a_second_job_is_deleted_also_when_the_test_is_over() {
    let over = test().recorded("job-1").with_condition("Completed", "True");
    let second = job_of(&test()).with_uid("job-2");
    assert_eq!(decision(over.clone(), Some(second.clone()), &[]), Decision::DeleteStrayJob("job-2".into()));
    assert_eq!(decision(over.being_deleted(), Some(second), &[]), Decision::Leave);
}

#[test]
fn a_start_that_the_api_server_refuses_is_waited_for() {
    let observed = Observed::new(test().recorded("job-1"), Some(job_of(&test())), &[], at(99));
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
    assert_eq!(running, Decision::Conclude(Outcome::JobDeleted));
}

#[test]
fn an_old_view_of_a_job_that_runs_ends_nothing() {
    let mut load_test = test().recorded("job-1");
    let before = job_of(&load_test);
    load_test.status.get_or_insert_default().start_time = test().being_deleted().metadata.deletion_timestamp;
    assert_eq!(decision(load_test, Some(before), &[]), Decision::StartJob("job-1".into()));
}

#[test]
fn a_suspended_job_whose_annotation_is_gone_may_have_run_and_is_not_started() {
    let mut job = job_of(&test());
    job.metadata.annotations = None;
    let over = decision(test().recorded("job-1"), Some(job), &[]);
    assert_eq!(over, Decision::Conclude(Outcome::JobSuspended));
}

#[test]
fn the_first_operators_job_that_somebody_suspended_is_not_blamed_on_the_cluster() {
    let job = job_of(&test()).of_the_first_operator().suspended();
    let over = decision(test().recorded("job-1"), Some(job), &[]);
    assert_eq!(over, Decision::Conclude(Outcome::JobSuspended));
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
    let over = decision(test().recorded("job-1"), Some(job), &[pod("t", 0).exited(143, 9)]);
    assert_eq!(over, Decision::Conclude(Outcome::JobSuspended));
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
    assert_eq!(decision(old.clone(), None, &[]), Decision::Finish(Outcome::JobDeleted));
    // whatever bears its Job's name by now: once that is deleted it must not run
    let others = [
        job_of(&test()).owned_by("CronJob", "nightly", "uid-of-nightly"),
        job_of(&test()).owned_by("LoadTest", "t", "uid-of-the-earlier-t"),
    ];
    for other in others {
        assert_eq!(decision(old.clone(), Some(other), &[]), Decision::Finish(Outcome::JobDeleted));
    }
}

#[test]
fn the_first_operators_finished_test_is_left_alone() {
    let old = test().with_condition("Progressing", "False").with_condition("Completed", "True");
    assert_eq!(decision(old, None, &[]), Decision::Leave);
}

#[test]
fn a_job_that_is_absent_or_another_is_asked_for_before_a_test_is_ended() {
    let job = job_of(&test());
    assert!(!wants_fresh_job(&test(), None), "a Job that is there refuses a second one");
    assert!(wants_fresh_job(&test().recorded("job-1"), None));
    let mut old = test().with_condition("Progressing", "True");
    old.status.as_mut().expect("a status").observed_generation = None;
    assert!(wants_fresh_job(&old, None), "of the first operator, which started it");
    assert!(!wants_fresh_job(&test(), Some(&job)));
    assert!(!wants_fresh_job(&test().recorded("job-1"), Some(&job)));
    assert!(wants_fresh_job(&test().recorded("job-2"), Some(&job)));
    let over = test().recorded("job-2").with_condition("Completed", "True");
    assert!(!wants_fresh_job(&over, Some(&job)) && !wants_fresh_job(&over, None));
}

#[test]
fn files_are_looked_at_only_before_a_job_is_created() {
    let wants =
        |load_test, job| decide(&Observed::new(load_test, job, &[], at(99)), None) == Decision::MakePlan;
    assert!(wants(test(), None));
    assert!(!wants(test(), Some(job_of(&test()))));
    assert!(!wants(test().recorded("job-1"), None));
    assert!(!wants(test().being_deleted(), None));
}

#[test]
fn workers_that_do_not_start_are_given_up_once_none_runs_and_none_has_started_for_ten_minutes() {
    let recorded = || test().recorded("job-1");
    let job = || Some(job_of(&test()).started()); // at 1
    let (deadline, stuck) = (START_DEADLINE_SECONDS, pod("t", 1).waiting("ImagePullBackOff"));
    let never = [pod("t", 0).waiting("ImagePullBackOff"), stuck.clone()];
    let over = Decision::Conclude(Outcome::WorkersFailed);
    assert_eq!(decision_at(deadline, recorded(), job(), &never), Decision::Follow);
    assert_eq!(decision_at(deadline + 1, recorded(), job(), &never), over);
    assert_eq!(decision_at(deadline + 1, recorded(), job(), &[]), over, "also those without a pod");
    let one_runs = [pod("t", 0).running(3), stuck.clone()];
    assert_eq!(decision_at(deadline + 9, recorded(), job(), &one_runs), Decision::Follow);
    let one_ended = [pod("t", 0).exited(0, 900), stuck];
    let said = "the room that a worker leaves may be what the next one waited for";
    assert_eq!(decision_at(901, recorded(), job(), &one_ended), Decision::Follow, "{said}");
    assert_eq!(decision_at(900 + deadline, recorded(), job(), &one_ended), over);
    let suspended = Some(job_of(&test()).started().suspended());
    let over = Decision::Conclude(Outcome::JobSuspended);
    assert_eq!(decision_at(deadline + 1, recorded(), suspended, &[]), over, "that is why none starts");
}

#[test]
fn a_worker_on_a_lost_node_has_failed_a_minute_after_its_pod_should_have_been_gone() {
    let pods = [pod("t", 0).exited(0, 9), pod("t", 1).running(3).to_be_gone(100)];
    let look =
        |seconds| decision_at(seconds, test().recorded("job-1"), Some(job_of(&test()).started()), &pods);
    assert_eq!(look(100 + LOST_AFTER_SECONDS - 1), Decision::Follow);
    assert_eq!(look(100 + LOST_AFTER_SECONDS), Decision::Conclude(Outcome::WorkersFailed));
}

#[test]
fn a_test_without_its_job_is_over_only_when_its_workers_have_ended() {
    let pods = [pod("t", 0).running(3), pod("t", 1).exited(143, 9)];
    let deleted = |pods: &[Pod]| decision(test().recorded("job-1"), None, pods);
    assert_eq!(deleted(&pods), Decision::WaitForWorkers(Outcome::JobDeleted));
    assert_eq!(deleted(&pods[1..]), Decision::Conclude(Outcome::JobDeleted));
    let mut orphan = pod("t", 0).running(3);
    orphan.metadata.owner_references = None;
    assert_eq!(deleted(&[orphan]), Decision::Conclude(Outcome::JobDeleted), "nobody ends that one");
    let lost = [pod("t", 0).running(3).to_be_gone(99 - LOST_AFTER_SECONDS)];
    assert_eq!(deleted(&lost), Decision::Conclude(Outcome::JobDeleted), "nobody hears of that one");
    let suspended = Some(job_of(&test()).started().suspended());
    let ending = decision(test().recorded("job-1"), suspended, &pods);
    assert_eq!(ending, Decision::WaitForWorkers(Outcome::JobSuspended));
}

#[test]
fn workers_of_an_earlier_test_of_that_name_are_waited_for_so_that_loads_do_not_add_up() {
    let before = [pod("t", 0).running(3)];
    assert_eq!(waits_for(&decision(test(), None, &before)), "WaitingForEarlierJob");
    assert_eq!(decision(test(), None, &[pod("t", 0).exited(0, 9)]), Decision::CreateJob(Box::new(plan())));
}

#[test]
fn what_a_test_that_is_over_has_not_started_is_ended_with_its_job() {
    let over = || test().recorded("job-1").with_condition("Completed", "True");
    let pods = [pod("t", 0).exited(0, 9), pod("t", 1).waiting("ImagePullBackOff")];
    let job = job_of(&test()).started();
    assert_eq!(decision(over(), Some(job.clone()), &pods), Decision::EndJob("job-1".into()));
    assert_eq!(decision(over(), Some(job.clone()), &pods[..1]), Decision::EndJob("job-1".into()));
    let started_late = [pod("t", 0).exited(0, 9), pod("t", 1).running(700)];
    assert_eq!(decision(over(), Some(job.clone()), &started_late), Decision::EndJob("job-1".into()));
    let ended = [pod("t", 0).exited(0, 9), pod("t", 1).exited(1, 9)];
    let after = |seconds| decision_at(seconds, over(), Some(job.clone()), &ended);
    assert_eq!(after(29), Decision::Leave, "it ends by itself");
    assert_eq!(after(30), Decision::EndJob("job-1".into()), "it has a side-car that does not end");
    let resumable = decision(over(), Some(job.clone().suspended()), &[]);
    assert_eq!(resumable, Decision::EndJob("job-1".into()), "somebody may resume it");
    let until = |seconds| {
        let mut job = job.clone();
        job.spec.as_mut().expect("a spec").active_deadline_seconds = Some(seconds);
        decision(over(), Some(job), &pods)
    };
    assert_eq!(until(1), Decision::Leave, "it is told already");
    assert_eq!(until(86_400), Decision::EndJob("job-1".into()), "a deadline that somebody's policy set");
    let counted = job.clone().with_indexes("0,1", "");
    let behind = [pod("t", 0).running(3), pod("t", 1).running(3)];
    assert_eq!(decision_at(9, over(), Some(counted), &behind), Decision::Leave, "the Job's count stands");
    assert_eq!(
        decision(over(), Some(job.clone().with_condition("Failed", "True", 9)), &pods),
        Decision::Leave
    );
    assert_eq!(
        decision(over(), Some(job.with_uid("job-2")), &pods),
        Decision::Leave,
        "another Job is not ours to end"
    );
}

#[test]
fn a_suspended_test_is_checked_and_waits() {
    let mut suspended = test();
    suspended.spec.suspend = Some(true);
    let asked = Observed::new(suspended.clone(), None, &[], at(99));
    assert_eq!(decide(&asked, None), Decision::MakePlan);
    assert_eq!(waits_for(&decision(suspended.clone(), None, &[])), "Suspended");
    suspended.spec.suspend = Some(false);
    assert_eq!(decision(suspended, None, &[]), Decision::CreateJob(Box::new(plan())));
}

fn stopped(stop: Stop) -> LoadTest {
    let mut test = test();
    test.spec.stop = Some(stop);
    test
}

/// Told to end at that second.
fn told(mut test: LoadTest, seconds: i64) -> LoadTest {
    test.status.get_or_insert_default().stop_time = Some(Time(at(seconds)));
    test
}

#[test]
fn a_test_that_is_stopped_before_its_start_never_starts() {
    let over = Decision::Finish(Outcome::Stopped);
    assert_eq!(decision(stopped(Stop::Graceful), None, &[]), over);
    let created = || Some(job_of(&test()));
    assert_eq!(decision(stopped(Stop::Graceful).recorded("job-1"), created(), &[]), over);
    let told = stopped(Stop::Graceful).recorded("job-1").with_condition("Completed", "True");
    let left = decision(told, created(), &[]);
    assert_eq!(left, Decision::EndJob("job-1".into()), "nobody shall let it go now");
    let foreign = Some(job_of(&load_test("another")));
    assert_eq!(decision(stopped(Stop::Graceful), foreign, &[]), over, "there is nothing to wait for");
}

#[test]
fn a_running_test_that_is_stopped_tells_its_workers_and_ends_those_that_do_not_hear() {
    let pods = [pod("t", 0).running(3), pod("t", 1).running(3)];
    let job = || Some(job_of(&test()).started());
    let at_second = |seconds, test: LoadTest| decision_at(seconds, test.recorded("job-1"), job(), &pods);
    let tell = Decision::Stop(Outcome::Stopped);
    assert_eq!(at_second(10, stopped(Stop::Graceful)), tell);
    let told = |stop| told(stopped(stop), 10);
    assert_eq!(at_second(89, told(Stop::Graceful)), tell);
    assert_eq!(at_second(90, told(Stop::Graceful)), Decision::EndJob("job-1".into()), "10 + 60 + 20");
    assert_eq!(at_second(10, stopped(Stop::Immediate)), tell, "that is said first");
    assert_eq!(at_second(10, told(Stop::Immediate)), Decision::EndJob("job-1".into()));
    let mut patient = told(Stop::Graceful);
    let template = serde_json::json!({ "podTemplate": { "spec": { "terminationGracePeriodSeconds": 600 } } });
    patient.spec.worker = serde_json::from_value(template).expect("a worker");
    assert_eq!(at_second(90, patient), tell);
    let ended = [pod("t", 0).exited(143, 20), pod("t", 1).exited(0, 20)];
    let over = decision(told(Stop::Graceful).recorded("job-1"), job(), &ended);
    assert_eq!(over, Decision::Conclude(Outcome::Stopped));
}

#[test]
fn a_test_ends_at_its_deadline_which_counts_from_its_start() {
    let pods = [pod("t", 0).running(3), pod("t", 1).running(3)];
    let mut test = test().recorded("job-1");
    test.spec.active_deadline_seconds = Some(60);
    let job = job_of(&test).started();
    let Start::At(Some(start)) = start(&job) else { panic!("started") };
    let start = start.as_second() - at(0).as_second();
    let after = |seconds, test: LoadTest| decision_at(start + seconds, test, Some(job.clone()), &pods);
    assert_eq!(after(59, test.clone()), Decision::Follow);
    assert_eq!(after(60, test.clone()), Decision::Stop(Outcome::DeadlineExceeded));
    assert_eq!(after(140, told(test.clone(), start + 60)), Decision::EndJob("job-1".into()));
    let ended = [pod("t", 0).exited(0, 50), pod("t", 1).exited(0, 59)];
    let over = decision_at(start + 70, test, Some(job), &ended);
    assert_eq!(over, Decision::Conclude(Outcome::Succeeded), "it ended before anybody was told to end");
}

#[test]
fn a_test_that_had_ended_well_before_it_was_told_to_end_was_not_stopped() {
    for (codes, ended, outcome) in [
        ([0, 0], 59, Outcome::Succeeded),
        ([0, 0], 60, Outcome::DeadlineExceeded),
        ([0, 1], 59, Outcome::DeadlineExceeded),
    ] {
        let mut test = told(test().recorded("job-1"), 60);
        test.spec.active_deadline_seconds = Some(50);
        let pods = [pod("t", 0).exited(codes[0], 20), pod("t", 1).exited(codes[1], ended)];
        let over = decision(test.clone(), Some(job_of(&test).started()), &pods);
        assert_eq!(over, Decision::Conclude(outcome), "{codes:?} at {ended}");
    }
}

#[test]
fn a_job_that_never_ends_is_removed_when_its_time_has_come() {
    let mut over = test().recorded("job-1").with_condition("Completed", "True");
    over.status.as_mut().expect("a status").conditions[0].last_transition_time = Some(Time(at(100)));
    over.spec.ttl_seconds_after_finished = Some(60);
    let job = job_of(&test());
    let end = || Decision::EndJob("job-1".into());
    assert_eq!(decision_at(159, over.clone(), Some(job.clone()), &[]), end(), "nobody shall let it go now");
    let remove = Decision::RemoveJob("job-1".into());
    let is_suspended_by_somebody = job.clone().started().suspended();
    for job in [job.clone(), is_suspended_by_somebody] {
        assert_eq!(decision_at(160, over.clone(), Some(job), &[]), remove);
    }
    for (job, why) in [
        (job.clone().started(), "it runs, and is told to end"),
        (job.clone().with_uid("job-2"), "it is another one"),
        (job.clone().with_condition("Failed", "True", 120), "Kubernetes removes it"),
    ] {
        assert_ne!(decision_at(160, over.clone(), Some(job), &[]), remove, "{why}");
    }
    over.spec.ttl_seconds_after_finished = None;
    assert_eq!(decision_at(100_000, over, Some(job), &[]), end());
}

#[test]
fn the_job_of_a_test_that_is_over_goes_when_its_time_has_come() {
    let mut over = test().recorded("job-1").with_condition("Completed", "True");
    over.spec.ttl_seconds_after_finished = Some(60);
    let job = job_of(&test()).started();
    let ended = [pod("t", 0).exited(0, 9), pod("t", 1).exited(0, 9)];
    assert_eq!(decision_at(9, over.clone(), Some(job.clone()), &ended), Decision::Leave, "it has not ended");
    let job = job.with_condition("Complete", "True", 9);
    let expire = Decision::ExpireJob("job-1".into(), Some(60));
    assert_eq!(decision(over.clone(), Some(job.clone()), &ended), expire);
    let mut known = job;
    known.spec.as_mut().expect("a spec").ttl_seconds_after_finished = Some(60);
    assert_eq!(decision(over.clone(), Some(known.clone()), &ended), Decision::Leave);
    over.spec.ttl_seconds_after_finished = None;
    let keep = Decision::ExpireJob("job-1".into(), None);
    assert_eq!(decision(over.clone(), Some(known), &ended), keep, "its user thought better of it");
    assert_eq!(decision(over, None, &[]), Decision::Leave, "it is gone");
}

#[test]
fn a_worker_that_is_silent_after_its_planned_end_is_lost() {
    let pods = [pod("t", 0).exited(0, 9), pod("t", 1).running(3)];
    let look = |silent, lost_after_seconds| {
        let mut test = test().recorded("job-1");
        test.spec.lost_after_seconds = lost_after_seconds;
        let job = job_of(&test).started();
        let observed = Observed::new(test, Some(job), &pods.iter().collect::<Vec<_>>(), at(99));
        let collected = Collected { silent: [(1, silent)].into(), ..Collected::default() };
        decide(&observed.with_collected(collected), None)
    };
    assert_eq!(look(119, None), Decision::Follow);
    assert_eq!(look(120, None), Decision::Conclude(Outcome::WorkersFailed));
    assert_eq!(look(30, Some(30)), Decision::Conclude(Outcome::WorkersFailed));
}
