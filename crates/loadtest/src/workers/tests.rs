//! The workers in sentences: what their Job and pods say of them.

use serde_json::json;

use super::*;
use crate::fixtures::{JobFixture as _, LoadTestFixture as _, PodFixture as _, at, job_of, load_test, pod};

fn job(count: i32) -> Job {
    job_of(&load_test("t").with_count(count)).started()
}

fn workers(job: &Job, pods: &[Pod]) -> Workers {
    Workers::of(job, &pods.iter().collect::<Vec<_>>(), at(99))
}

fn counts(w: &Workers) -> (u32, u32, u32, u32) {
    (w.active(), w.running(), w.succeeded, w.failed)
}

#[test]
fn a_worker_whose_container_ended_has_ended_though_its_side_car_lives_on() {
    let w = workers(&job(2), &[pod("t", 0).exited(0, 9), pod("t", 1).running(3)]);
    assert_eq!(counts(&w), (1, 1, 1, 0));
    assert!(!w.all_ended());
}

#[test]
fn one_worker_that_fails_leaves_the_others_running() {
    let w = workers(&job(2), &[pod("t", 0).exited(1, 9), pod("t", 1).running(3)]);
    assert_eq!(counts(&w), (1, 1, 0, 1));
    assert_eq!(w.failures[&0], "exited with code 1");
    assert!(!w.all_ended());
}

#[test]
fn an_index_that_the_job_counted_is_not_counted_again_by_its_pod() {
    let job = job(3).with_indexes("0", "2");
    let w = workers(&job, &[pod("t", 0).exited(0, 9), pod("t", 1).exited(0, 9), pod("t", 2).exited(1, 9)]);
    assert_eq!((w.succeeded, w.failed), (2, 1));
    assert!(w.all_ended());
}

#[test]
fn a_side_car_that_fails_does_not_fail_its_worker() {
    let job = job(2).with_indexes("1", "0").with_condition("Failed", "True", 20);
    let w = workers(&job, &[pod("t", 0).exited(0, 9)]);
    assert_eq!((w.succeeded, w.failed, &w.failures), (2, 0, &BTreeMap::new()));
    assert_eq!(w.exit_codes, BTreeMap::from([(0, 0), (1, 0)]));
}

#[test]
fn a_worker_that_kubernetes_told_to_end_is_as_the_job_counts_it_though_it_exited_with_0() {
    let job = job(1).with_indexes("", "0");
    let w = workers(&job, &[pod("t", 0).exited(0, 9).disrupted_by("TerminationByKubelet")]);
    assert_eq!((w.succeeded, w.failed), (0, 1));
}

#[test]
fn a_pod_that_was_deleted_is_known_by_the_job() {
    let w = workers(&job(2).with_indexes("1", "0"), &[]);
    assert_eq!(counts(&w), (0, 0, 1, 1));
    assert_eq!(w.failures[&0], "its pod is gone");
}

#[test]
fn an_evicted_pod_has_failed_and_says_why() {
    let w = workers(&job(1), &[pod("t", 0).evicted()]);
    assert_eq!(w.failures[&0], "Evicted");
    assert!(w.all_ended());
}

#[test]
fn pods_of_another_job_do_not_count() {
    let mut stranger = pod("t", 0).exited(0, 9);
    stranger.metadata.owner_references.as_mut().expect("owner")[0].uid = "job-0".into();
    assert_eq!(workers(&job(1), &[stranger]).pods.len(), 0);
}

#[test]
fn waiting_workers_say_what_kubernetes_says() {
    let w = workers(
        &job(3),
        &[pod("t", 0).waiting("ImagePullBackOff"), pod("t", 1).waiting("ImagePullBackOff"), pod("t", 2)],
    );
    assert_eq!(counts(&w), (3, 0, 0, 0));
    let reasons: Vec<_> = w.waiting_reasons().into_iter().map(|(reason, (n, _))| (reason, n)).collect();
    assert_eq!(reasons, [("ImagePullBackOff", 2)]);
}

#[test]
fn the_end_is_the_last_containers_or_the_jobs_when_a_pod_is_gone() {
    let both = [pod("t", 0).exited(0, 9), pod("t", 1).exited(0, 12)];
    assert_eq!(workers(&job(2), &both).ended_at(), Some(at(12)));
    let job = job(2).with_indexes("0", "1").with_condition("Failed", "True", 20);
    assert_eq!(workers(&job, &both[..1]).ended_at(), Some(at(20)));
}

#[test]
fn the_final_condition_counts_wherever_it_stands_and_only_if_true() {
    let job_with = |conditions: &[(&str, &str)]| {
        conditions.iter().fold(job(1), |job, (type_, status)| job.with_condition(type_, status, 20))
    };
    for (conditions, ended) in [
        (vec![("Complete", "True"), ("SuccessCriteriaMet", "True")], true),
        (vec![("Suspended", "False"), ("Failed", "True")], true),
        (vec![("Failed", "False")], false),
        (vec![("FailureTarget", "True")], false),
        (vec![("Suspended", "True")], false),
    ] {
        let end = workers(&job_with(&conditions), &[]).job_end;
        assert_eq!(end.is_some(), ended, "{conditions:?}");
    }
}

#[test]
fn workers_that_never_ran_failed_once_the_job_has_ended() {
    let w = workers(&job(4).with_indexes("0", "").with_condition("Failed", "True", 9), &[]);
    assert_eq!((w.succeeded, w.failed, w.all_ended()), (1, 3, true));
}

#[test]
fn the_first_operators_job_is_counted_by_its_own_counts() {
    let mut job = job(2).of_the_first_operator();
    job.status.get_or_insert_default().succeeded = Some(1);
    let w = workers(&job, &[pod("t", 0).running(3)]);
    assert_eq!((w.planned, w.succeeded, w.active(), w.all_ended()), (2, 1, 1, false));
}

#[test]
fn index_lists_are_read_within_bounds() {
    for (text, planned, expected) in [
        ("", 4, vec![]),
        ("0", 4, vec![0]),
        ("0,2-3", 4, vec![0, 2, 3]),
        ("1-4000000000", 3, vec![1, 2]),
        ("x,3-1,2", 4, vec![2]),
    ] {
        assert_eq!(indexes(text, planned), expected.into_iter().collect(), "{text:?}");
    }
}

#[test]
fn what_kubernetes_did_to_a_pod_comes_before_the_exit_code_that_followed() {
    let w = workers(&job(1), &[pod("t", 0).exited(143, 9).disrupted_by("EvictionByEvictionAPI")]);
    assert_eq!(w.failures[&0], "EvictionByEvictionAPI: exited with code 143");
}

#[test]
fn a_worker_killed_for_memory_says_so() {
    let w = workers(&job(1), &[pod("t", 0).killed_for_memory(9)]);
    assert_eq!(w.failures[&0], "OOMKilled (exit code 137)");
}

#[test]
fn workers_given_up_say_what_they_waited_for() {
    let pods =
        [pod("t", 0).waiting("ImagePullBackOff"), pod("t", 1).unschedulable("0/2 nodes are available")];
    let w = Workers::of(&job(3), &pods.iter().collect::<Vec<_>>(), at(1 + START_DEADLINE_SECONDS));
    assert_eq!((w.failed, w.presumed, w.all_ended()), (3, 3, true));
    assert_eq!(w.ended_at(), None, "it ends when it is given up");
    let causes: Vec<_> = w.failures.values().map(String::as_str).collect();
    let expected = ["ImagePullBackOff", "Unschedulable: 0/2 nodes are available", "it got no pod"]
        .map(|why| format!("did not start within 600 s ({why})"));
    assert_eq!(causes, expected);
}

#[test]
fn kubernetes_words_are_passed_on_in_one_short_line() {
    assert_eq!(brief(" one\ntwo"), "one");
    assert_eq!(brief(&"é".repeat(300)).chars().count(), 201);
}

#[test]
fn an_init_container_that_keeps_a_worker_from_running_is_named() {
    let waiting =
        |reason: &str, message: &str| json!({ "waiting": { "reason": reason, "message": message } });
    let (runs, usual) = (json!({ "running": {} }), waiting("PodInitializing", ""));
    let ended = |code: i32| json!({ "terminated": { "exitCode": code } });
    for (containers, reason, message) in [
        (
            vec![waiting("ImagePullBackOff", "Back-off pulling image \"i\"")],
            "ImagePullBackOff",
            "init container a: Back-off pulling image \"i\"",
        ),
        (
            vec![ended(0), waiting("CreateContainerConfigError", "couldn't find key k in Secret ns/s")],
            "CreateContainerConfigError",
            "init container b: couldn't find key k in Secret ns/s",
        ),
        (
            vec![waiting("CrashLoopBackOff", "back-off 10s")],
            "CrashLoopBackOff",
            "init container a: back-off 10s",
        ),
        (vec![runs.clone(), usual.clone()], "PodInitializing", "init container a: runs"),
        // a side-car that runs beside the one whose turn it is
        (vec![runs, waiting("ErrImagePull", "no")], "ErrImagePull", "init container b: no"),
        (vec![ended(1)], "Error", "init container a: exited with code 1"),
        (vec![usual], "PodInitializing", ""),
    ] {
        let names = ["a", "b"];
        let pod = pod("t", 0).waiting("PodInitializing");
        let pod = names
            .iter()
            .zip(&containers)
            .fold(pod, |pod, (name, state)| pod.initializing(name, state.clone()));
        let w = workers(&job(1), &[pod]);
        let why =
            w.waiting_reasons().remove(reason).unwrap_or_else(|| panic!("{containers:?}: {w:?}")).1.clone();
        assert_eq!(why.message, message, "{containers:?}");
        assert_eq!(why.is_problem(), reason != "PodInitializing");
    }
}

#[test]
fn a_worker_whose_own_container_says_why_it_waits_is_believed() {
    let pod =
        pod("t", 0).waiting("CreateContainerConfigError").initializing("proxy", json!({ "running": {} }));
    assert!(workers(&job(1), &[pod]).waiting_reasons().contains_key("CreateContainerConfigError"));
}

#[test]
fn a_worker_whose_init_container_failed_says_which_and_how() {
    for (state, cause) in [
        (json!({ "exitCode": 3, "reason": "Error" }), "init container fetch: exited with code 3"),
        (
            json!({ "exitCode": 137, "reason": "OOMKilled" }),
            "init container fetch: OOMKilled (exit code 137)",
        ),
    ] {
        let mut pod =
            pod("t", 0).waiting("PodInitializing").initializing("fetch", json!({ "terminated": state }));
        pod.status.as_mut().expect("a status").phase = Some("Failed".into());
        let w = workers(&job(1), &[pod]);
        assert_eq!((w.failures[&0].as_str(), w.exit_codes.is_empty()), (cause, true));
    }
}

#[test]
fn a_pod_that_does_not_say_why_it_waits_is_asked_about_after_30_s() {
    let why = |message: &str| Some(Why { reason: "FailedMount".into(), message: message.into() });
    for (pod, asked, said, told) in [
        (
            pod("t", 0).waiting("ContainerCreating").created(69),
            true,
            why("secret \"s\" not found"),
            "FailedMount: secret \"s\" not found",
        ),
        (
            pod("t", 0).waiting("ContainerCreating").created(69),
            true,
            None,
            "ContainerCreating: see kubectl describe pod t-0-abcde",
        ),
        (pod("t", 0).created(69), true, None, "Pending: see kubectl describe pod t-0-abcde"),
        (pod("t", 0).waiting("ContainerCreating").created(70), false, why("x"), "FailedMount: x"),
        (pod("t", 0).waiting("ErrImagePull").created(1), false, why("x"), "ErrImagePull: "),
        (pod("t", 0).unschedulable("no nodes").created(1), false, why("x"), "Unschedulable: no nodes"),
    ] {
        let mut w = workers(&job(1), &[pod]);
        assert_eq!(w.unexplained(at(99)).is_some(), asked, "{told}");
        w.explain("t-0-abcde", said);
        let reasons: Vec<_> =
            w.waiting_reasons().values().map(|(_, why)| format!("{}: {}", why.reason, why.message)).collect();
        assert_eq!(reasons, [told]);
    }
}

#[test]
fn a_worker_given_up_says_what_its_events_say() {
    let pods = [pod("t", 0).waiting("ContainerCreating").created(1)];
    let mut w = Workers::of(&job(1), &pods.iter().collect::<Vec<_>>(), at(1 + START_DEADLINE_SECONDS));
    w.explain("t-0-abcde", Why::new(Some("FailedMount"), Some("secret \"s\" not found")));
    assert_eq!(w.failures[&0], "did not start within 600 s (FailedMount: secret \"s\" not found)");
}

#[test]
fn the_end_of_a_failed_workers_log_is_quoted_without_what_moves_a_cursor() {
    let fails = |index: u32, message: &str, reason: &str| {
        let mut pod = pod("t", index).exited(1, 9);
        let statuses = pod.status.as_mut().and_then(|s| s.container_statuses.as_mut()).expect("statuses");
        let end = statuses[1].state.as_mut().and_then(|s| s.terminated.as_mut()).expect("an end");
        (end.message, end.reason) = (Some(message.into()), Some(reason.into()));
        pod
    };
    let said = |message: &str| {
        let w =
            workers(&job(3), &[fails(2, message, "Error"), fails(1, "", "Error"), pod("t", 0).exited(0, 9)]);
        w.last_words().map(|(index, pod, words)| (index, pod.to_owned(), words.to_owned()))
    };
    let expected = "one | Scenario validation error: \"flow\" is required";
    let log = "one\r\n\n\u{1b}[31mScenario\u{7} validation error:\u{1b}[0m \"flow\" is\u{202e} required\n";
    assert_eq!(said(log), Some((2, "t-2-abcde".into(), expected.into())));
    assert_eq!(said(" \n\u{1b}[2J"), None);
    assert_eq!(said("1\n2\n3\n4\n5\n6").expect("words").2, "2 | 3 | 4 | 5 | 6");
    let long = said(&format!("{}end", "é".repeat(900))).expect("words").2;
    assert!(long.chars().count() == 401 && long.starts_with('…') && long.ends_with("éend"), "{long}");
    let runtime = workers(&job(1), &[fails(0, "no such file: node", "StartError")]);
    assert_eq!(
        (runtime.last_words(), runtime.failures[&0].as_str()),
        (None, "StartError (exit code 1): no such file: node")
    );
}
