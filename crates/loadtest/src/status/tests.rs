//! The status in sentences: what is said after which decision, and when it is written.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;

use super::*;
use crate::LoadTest;
use crate::api::PlanStatus;
use crate::collected::CommonStart;
use crate::fixtures::{JobFixture as _, LoadTestFixture as _, PodFixture as _, at, job_of, load_test, pod};

fn test() -> LoadTest {
    load_test("t").with_count(2).recorded("job-1")
}

fn started() -> Job {
    job_of(&test()).started()
}

/// The status after a decision, stored in the LoadTest.
fn after(load_test: LoadTest, job: Option<Job>, pods: &[Pod], decision: &Decision, seconds: i64) -> LoadTest {
    let observed = Observed::new(load_test.clone(), job, &pods.iter().collect::<Vec<_>>(), at(seconds));
    LoadTest { status: next(&observed, decision, at(seconds)), ..load_test }
}

fn said(load_test: &LoadTest, type_: &str) -> (String, String, String) {
    let c = status(load_test).condition(type_).expect("the condition").clone();
    (c.status, c.reason.expect("a reason"), c.message.expect("a message"))
}

fn since(load_test: &LoadTest, type_: &str) -> Timestamp {
    status(load_test).condition(type_).and_then(|c| c.last_transition_time.clone()).expect("a time").0
}

fn status(load_test: &LoadTest) -> &LoadTestStatus {
    load_test.status.as_ref().expect("a status")
}

#[test]
fn a_waiting_test_says_what_for_and_that_nothing_has_run() {
    let problem = Problem { reason: "MissingTestScript", message: "see field …".into() };
    let waiting = after(load_test("t").with_count(2), None, &[], &Decision::Wait(problem), 5);
    assert_eq!(
        said(&waiting, PROGRESSING),
        ("False".into(), "MissingTestScript".into(), "see field …".into())
    );
    assert!(!status(&waiting).is_over());
    let s = status(&waiting);
    assert_eq!(
        (s.completions.as_deref(), s.duration.as_deref(), s.observed_generation),
        (Some("0/2"), None, Some(1))
    );
}

#[test]
fn admissions_changing_words_are_no_news() {
    let refused =
        |load_test, words| after(load_test, None, &[], &Decision::Wait(Problem::job_refused(words)), 5);
    let first = refused(load_test("t"), "request 1");
    for (first_words, words) in [
        ("request 1", "request 22"),
        ("used: cpu=1500m, limited: cpu=2", "used: cpu=1, limited: cpu=2"),
        ("request 0c2df6a4-beef-4dad-8efa-5b0ac8a3a3fe", "request 9a1b2c3d-4e5f-4a6b-8c7d-0123456789ab"),
    ] {
        let first = refused(load_test("t"), first_words);
        let second = refused(first.clone(), words);
        assert_eq!(due(status(&first), status(&second), None, at(99)), Write::Nothing, "{words}");
    }
    let other = refused(first.clone(), "exceeded quota: q");
    assert!(said(&other, PROGRESSING).2.ends_with("exceeded quota: q"), "another reason is told");
    assert_eq!(due(status(&first), status(&other), None, at(99)), Write::Now);
}

#[test]
fn workers_that_get_no_pod_are_told_with_admissions_words() {
    let message = |seconds, refusal: Option<&str>| {
        let observed = Observed::new(test(), Some(started()), &[&pod("t", 0).running(3)], at(seconds));
        let observed = observed.with_refusal(refusal.map(str::to_owned));
        let running = LoadTest { status: next(&observed, &Decision::Follow, at(seconds)), ..test() };
        said(&running, PROGRESSING).2
    };
    assert_eq!(message(10, None), "2 workers: 1 waiting, 1 running, 0 succeeded, 0 failed");
    assert!(message(11, None).contains("1 waiting (1 without a pod)"), "{}", message(11, None));
    let told = message(3, Some("its pod is forbidden: exceeded quota: q"));
    assert!(told.contains("1 waiting (1 without a pod: its pod is forbidden: exceeded quota: q)"), "{told}");
}

#[test]
fn what_holds_workers_up_is_told_at_once_and_in_kubernetes_words() {
    let starting = after(test(), Some(started()), &[pod("t", 0), pod("t", 1)], &Decision::Follow, 2);
    assert_eq!(said(&starting, PROGRESSING).1, "WorkersStarting");
    let unschedulable = pod("t", 0).unschedulable("0/2 nodes are available");
    let pods = [unschedulable, pod("t", 1).waiting("ImagePullBackOff")];
    let held_up = after(starting.clone(), Some(started()), &pods, &Decision::Follow, 3);
    let (_, reason, message) = said(&held_up, PROGRESSING);
    assert_eq!(reason, "WorkersWaiting");
    let why = "2 waiting (1 ImagePullBackOff; 1 Unschedulable: 0/2 nodes are available)";
    assert!(message.contains(why), "{message}");
    assert_eq!(due(status(&starting), status(&held_up), Some(at(2)), at(3)), Write::Now);
}

#[test]
fn a_worker_that_is_killed_while_others_run_is_named_by_reason() {
    let pods = [pod("t", 0).killed_for_memory(9), pod("t", 1).running(3)];
    let running = after(test(), Some(started()), &pods, &Decision::Follow, 31);
    let message = said(&running, PROGRESSING).2;
    assert!(message.ends_with("1 failed (worker 0: OOMKilled (exit code 137))"), "{message}");
}

#[test]
fn a_running_test_counts_its_workers_and_its_time() {
    let pods = [pod("t", 0).running(3), pod("t", 1).waiting("ErrImagePull")];
    let running = after(test(), Some(started()), &pods, &Decision::Follow, 31);
    let (progressing, reason, message) = said(&running, PROGRESSING);
    assert_eq!((progressing.as_str(), reason.as_str()), ("True", "WorkersRunning"));
    assert_eq!(message, "2 workers: 1 waiting (1 ErrImagePull), 1 running, 0 succeeded, 0 failed");
    let s = status(&running);
    assert_eq!((s.active, s.succeeded, s.failed, s.duration.as_deref()), (2, 0, 0, Some("30s")));
    assert_eq!(
        (s.completions.as_deref(), s.image.as_deref()),
        (Some("0/2"), Some("artilleryio/artillery:latest"))
    );
    assert_eq!(s.start_time, Some(Time(at(1))), "the time of the patch that let the workers go");
}

#[test]
fn that_nothing_can_be_stored_is_told_while_workers_wait_for_it_and_while_they_run() {
    let forbidden = || Some("cannot write ConfigMap t-report: exceeded quota".to_owned());
    for (start, words) in [
        (CommonStart::Waiting, "2 of 2 have joined; all start together once they are ready; "),
        (CommonStart::Released(2), ""),
    ] {
        let collected = Collected { joined: 2, start, trouble: forbidden(), ..Collected::default() };
        let pods = [pod("t", 0).running(3), pod("t", 1).running(3)];
        let pods: Vec<_> = pods.iter().collect();
        let observed = Observed::new(test(), Some(started()), &pods, at(31)).with_collected(collected);
        let told = LoadTest { status: next(&observed, &Decision::Follow, at(31)), ..test() };
        let message = said(&told, PROGRESSING).2;
        let expected = format!(
            "2 running ({words}what workers send cannot be stored: cannot write ConfigMap t-report: exceeded quota), 0 succeeded"
        );
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn the_plan_is_told_once_it_is_known_and_stays() {
    let plan =
        PlanStatus { start_time: Time(at(2)), end_time: Time(at(62)), phase_count: 1, phases: Vec::new() };
    let collected = Collected { joined: 2, plan: Some(plan.clone()), ..Collected::default() };
    let of = |load_test: LoadTest, collected: Collected| {
        let observed =
            Observed::new(load_test.clone(), Some(started()), &[], at(31)).with_collected(collected);
        LoadTest { status: next(&observed, &Decision::Follow, at(31)), ..load_test }
    };
    let told = of(test(), collected);
    assert_eq!(status(&told).plan, Some(plan.clone()));
    let after_a_restart = of(told, Collected::default());
    assert_eq!(status(&after_a_restart).plan, Some(plan));
}

#[test]
fn progress_stays_true_when_half_the_workers_have_finished() {
    let pods = [pod("t", 0).exited(0, 20), pod("t", 1).waiting("ContainerCreating")];
    let half = after(test(), Some(started()), &pods, &Decision::Follow, 31);
    assert_eq!(said(&half, PROGRESSING).0, "True");
    assert_eq!(said(&half, PROGRESSING).1, "WorkersRunning");
}

#[test]
fn a_succeeded_test_is_completed_at_the_time_its_last_worker_ended() {
    let pods = [pod("t", 0).exited(0, 41), pod("t", 1).exited(0, 51)];
    let over = after(test(), Some(started()), &pods, &Decision::Finish(Outcome::Succeeded), 60);
    assert_eq!(
        said(&over, COMPLETED),
        ("True".into(), "Succeeded".into(), "2 of 2 workers succeeded".into())
    );
    assert_eq!(said(&over, PROGRESSING).0, "False");
    let s = status(&over);
    assert_eq!((s.completion_time.clone(), s.duration.as_deref()), (Some(Time(at(51))), Some("50s")));
    assert_eq!((s.active, s.completions.as_deref()), (0, Some("2/2")));
}

#[test]
fn a_failed_test_is_completed_too_and_names_its_workers() {
    let pods = [pod("t", 0).exited(1, 41), pod("t", 1).exited(0, 51)];
    let over = after(test(), Some(started()), &pods, &Decision::Finish(Outcome::WorkersFailed), 60);
    let expected = "1 of 2 workers failed: worker 0: exited with code 1; see kubectl logs t-0-abcde";
    assert_eq!(said(&over, COMPLETED), ("True".into(), "WorkersFailed".into(), expected.into()));
    assert_eq!((status(&over).succeeded, status(&over).failed), (1, 1));
}

#[test]
fn many_failed_workers_are_named_up_to_five() {
    let many = load_test("t").with_count(8).recorded("job-1");
    let job = job_of(&many).started().with_indexes("", "0-7");
    let over = after(many, Some(job), &[], &Decision::Finish(Outcome::WorkersFailed), 60);
    let message = said(&over, COMPLETED).2;
    assert!(message.contains("worker 4: its pod is gone; and 3 more"), "{message}");
}

#[test]
fn a_test_whose_job_was_deleted_keeps_what_was_seen() {
    let pods = [pod("t", 0).exited(0, 20), pod("t", 1).running(3)];
    let running = after(test(), Some(started()), &pods, &Decision::Follow, 31);
    let over = after(running, None, &[], &Decision::Finish(Outcome::JobDeleted), 40);
    assert_eq!(said(&over, COMPLETED).1, "JobDeleted");
    let s = status(&over);
    assert_eq!((s.active, s.succeeded, s.completions.as_deref()), (0, 1, Some("1/2")));
    assert_eq!(s.duration.as_deref(), Some("39s"));
}

#[test]
fn a_test_whose_job_was_deleted_is_not_over_while_its_workers_run() {
    let pods = [pod("t", 0).running(3)];
    let running = after(test(), Some(started()), &pods, &Decision::Follow, 31);
    let ending = after(running, None, &pods, &Decision::WaitForWorkers(Outcome::JobDeleted), 40);
    let (completed, reason, message) = said(&ending, COMPLETED);
    assert_eq!((completed.as_str(), reason.as_str()), ("False", "JobDeleted"));
    assert!(message.ends_with("; 1 still run, until Kubernetes has ended them"), "{message}");
    assert_eq!((status(&ending).active, status(&ending).is_over()), (1, false));
}

#[test]
fn a_condition_keeps_its_time_while_its_status_stays() {
    let recorded =
        after(load_test("t"), Some(job_of(&load_test("t"))), &[], &Decision::RecordJob("job-1".into()), 5);
    assert_eq!(since(&recorded, PROGRESSING), at(5));
    let running = after(recorded, Some(job_of(&load_test("t")).started()), &[], &Decision::Follow, 30);
    assert_eq!((since(&running, PROGRESSING), since(&running, COMPLETED)), (at(5), at(5)));
    let pods = [pod("t", 0).exited(0, 60)];
    let job = job_of(&load_test("t")).started();
    let over = after(running, Some(job), &pods, &Decision::Finish(Outcome::Succeeded), 61);
    assert_eq!((since(&over, PROGRESSING), since(&over, COMPLETED)), (at(61), at(61)));
    let types: Vec<_> = status(&over).conditions.iter().map(|c| c.type_.as_str()).collect();
    assert_eq!(types, [PROGRESSING, COMPLETED, PASSED], "in a fixed order");
}

#[test]
fn decisions_that_are_not_about_the_status_leave_it() {
    let observed = Observed::new(test(), None, &[], at(5));
    assert_eq!(next(&observed, &Decision::Leave, at(0)), None);
}

#[test]
fn nothing_new_is_not_written() {
    let running = after(test(), Some(started()), &[], &Decision::Follow, 31);
    let again = after(running.clone(), Some(started()), &[], &Decision::Follow, 31);
    assert_eq!(due(status(&running), status(&again), Some(at(0)), at(99)), Write::Nothing);
}

#[test]
fn a_passing_second_waits_for_its_turn_and_a_milestone_does_not() {
    let pods = |n| [pod("t", 0).running(3), pod("t", 1).exited(0, n)];
    let running = after(test(), Some(started()), &[pod("t", 0).running(3)], &Decision::Follow, 31);
    let more = after(running.clone(), Some(started()), &pods(35), &Decision::Follow, 36);
    let (old, new) = (status(&running), status(&more));
    assert_eq!(due(old, new, Some(at(31)), at(36)), Write::NotBefore(at(41)));
    assert_eq!(due(old, new, Some(at(31)), at(41)), Write::Now);
    assert_eq!(due(old, new, None, at(36)), Write::Now, "a fresh process does not know of a write");
    assert_eq!(due(old, new, Some(at(99)), at(36)), Write::Now, "the clock was set back");
    let over = after(running.clone(), Some(started()), &[], &Decision::Finish(Outcome::Succeeded), 36);
    assert_eq!(due(old, status(&over), Some(at(31)), at(36)), Write::Now);
}

#[test]
fn that_workers_are_starting_is_told_only_if_none_runs_soon() {
    let recorded = after(
        load_test("t").with_count(2),
        Some(job_of(&test())),
        &[],
        &Decision::RecordJob("job-1".into()),
        1,
    );
    let starting = after(recorded.clone(), Some(started()), &[pod("t", 0)], &Decision::Follow, 2);
    let (old, new) = (status(&recorded), status(&starting));
    assert_eq!(due(old, new, Some(at(1)), at(2)), Write::NotBefore(at(1 + START_SECONDS)));
    assert_eq!(due(old, new, Some(at(1)), at(1 + START_SECONDS)), Write::Now);
    let running = after(recorded.clone(), Some(started()), &[pod("t", 0).running(2)], &Decision::Follow, 2);
    assert_eq!(due(old, status(&running), Some(at(1)), at(2)), Write::Now);
}

#[test]
fn a_problem_is_told_in_so_many_characters_and_says_that_it_was_cut() {
    let wait = |message: String| {
        let decision = Decision::Wait(Problem { reason: "MissingFile", message });
        let waiting = after(load_test("t"), None, &[], &decision, 0);
        let [progressing, completed] = [PROGRESSING, COMPLETED].map(|type_| said(&waiting, type_).2);
        assert_eq!(progressing, completed);
        progressing
    };
    let longest = "é".repeat(1000);
    assert_eq!(wait(longest.clone()), longest);
    let cut = wait("é".repeat(800_000));
    assert_eq!(cut.chars().count(), 1000);
    assert!(cut.ends_with("é… (cut: the rest is too long to be told)"), "{cut}");
}

#[test]
fn a_test_that_waits_is_looked_at_less_and_less_often() {
    let decision = Decision::Wait(Problem { reason: "MissingFile", message: "m".into() });
    let waiting = after(load_test("t"), None, &[], &decision, 0);
    for (waited, seconds) in [(0, 5), (50, 5), (59, 5), (60, 6), (300, 30), (600, 60), (100_000, 60), (-9, 5)]
    {
        assert_eq!(look_again(&waiting, at(waited)), Duration::from_secs(seconds), "{waited}");
    }
    assert_eq!(look_again(&load_test("t"), at(9)), Duration::from_secs(5));
}
