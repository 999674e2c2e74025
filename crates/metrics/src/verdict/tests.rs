//! Verdicts: the table of the module, line by line, and the words.

use super::*;

fn check(passed: bool, strict: bool) -> CheckResult {
    let actual = "http.response_time.p95 = 231.4".to_owned();
    CheckResult { check: "http.response_time.p95 < 250".to_owned(), passed, strict, actual }
}

fn worker(index: u32, end: WorkerEnd) -> WorkerFacts {
    WorkerFacts { index, end, gaps: Gaps { unsent_periods: Some(0), ..Gaps::default() } }
}

fn exited(codes: &[i32]) -> Facts {
    let workers = (0..).zip(codes).map(|(index, code)| worker(index, WorkerEnd::Exited(*code)));
    Facts {
        planned: u32::try_from(codes.len()).expect("few"),
        workers: workers.collect(),
        vusers_created: 1,
        ..Facts::default()
    }
}

fn of(facts: &Facts) -> (Outcome, Reason, String) {
    let Verdict { outcome, reason, message } = verdict(facts);
    (outcome, reason, message)
}

#[test]
fn a_complete_test_without_checks_passes() {
    let message = "all workers succeeded; the script has no checks".to_owned();
    assert_eq!(of(&exited(&[0, 0])), (Outcome::Passed, Reason::NoChecks, message));
}

#[test]
fn a_complete_test_passes_where_its_strict_checks_hold_and_fails_where_one_does_not() {
    for (checks, outcome, reason, message) in [
        (vec![check(true, true)], Outcome::Passed, Reason::ChecksPassed, "the check holds"),
        (
            vec![check(true, true), check(true, false)],
            Outcome::Passed,
            Reason::ChecksPassed,
            "all 2 checks hold",
        ),
        (
            vec![check(true, true), check(false, false)],
            Outcome::Passed,
            Reason::ChecksPassed,
            "the strict check holds; 1 optional does not: http.response_time.p95 < 250 (optional) (http.response_time.p95 = 231.4)",
        ),
        (
            vec![check(false, true), check(true, true)],
            Outcome::Failed,
            Reason::ChecksFailed,
            "1 of 2 checks failed: http.response_time.p95 < 250 (http.response_time.p95 = 231.4)",
        ),
    ] {
        assert_eq!(of(&Facts { checks, ..exited(&[0, 0]) }), (outcome, reason, message.to_owned()));
    }
}

#[test]
fn a_worker_that_failed_fails_the_test_whatever_the_checks_say() {
    for (codes, reason, message) in [
        (
            vec![0, 21],
            Reason::ExpectationsFailed,
            "expectations of the script failed in 1 worker: worker 1 with exit code 21",
        ),
        (vec![0, 11], Reason::WorkersFailed, "1 worker failed: worker 1 with exit code 11"),
        (
            vec![21, 11],
            Reason::WorkersFailed,
            "2 workers failed: worker 0 with exit code 21, worker 1 with exit code 11",
        ),
    ] {
        for passed in [true, false] {
            let facts = Facts { checks: vec![check(passed, true)], ..exited(&codes) };
            assert_eq!(of(&facts), (Outcome::Failed, reason, message.to_owned()));
        }
    }
}

#[test]
fn a_test_of_which_data_is_missing_is_inconclusive_and_says_what_is_missing() {
    let gaps = |gaps: Gaps| Facts {
        workers: vec![WorkerFacts { index: 0, end: WorkerEnd::Exited(0), gaps }],
        planned: 1,
        checks: vec![check(false, true)],
        ..Facts::default()
    };
    let complete = Gaps { unsent_periods: Some(0), ..Gaps::default() };
    for (facts, missing) in [
        (Facts { planned: 2, ..exited(&[0]) }, "worker 1 never joined"),
        (
            Facts { workers: vec![worker(0, WorkerEnd::NeverJoined)], planned: 1, ..Facts::default() },
            "worker 0 never joined",
        ),
        (
            Facts { workers: vec![worker(0, WorkerEnd::Lost)], planned: 1, ..Facts::default() },
            "worker 0 was lost",
        ),
        (
            gaps(Gaps { unsent_periods: None, ..Gaps::default() }),
            "worker 0 ended with exit code 0 before all that it measured was sent",
        ),
        (gaps(Gaps { unsent_periods: Some(1), ..complete.clone() }), "worker 0 did not send 1 batch"),
        (
            gaps(Gaps { lost_periods: 2, ..complete.clone() }),
            "worker 0 sent 2 batches that could not be taken in",
        ),
        (
            gaps(Gaps {
                different_counters: vec!["http.requests".to_owned(), "vusers.failed".to_owned()],
                unsent_periods: Some(3),
                ..complete.clone()
            }),
            "worker 0 did not send 3 batches and has other numbers in its own summary (http.requests, vusers.failed)",
        ),
    ] {
        assert_eq!(facts.missing(), [missing]);
        let message = format!("data of 1 worker is missing, and none may be missing: {missing}");
        assert_eq!(of(&facts), (Outcome::Inconclusive, Reason::Inconclusive, message));
    }
    let many = Facts { planned: 8, ..exited(&[0]) };
    assert_eq!(
        of(&many).2,
        "data of 7 workers is missing, and none may be missing: worker 1 never joined; worker 2 never joined; \
         worker 3 never joined; worker 4 never joined; worker 5 never joined; and 2 more"
    );
}

#[test]
fn as_many_workers_as_may_be_missing_may_be_and_nobody_asks_how_they_ended() {
    let mut facts = Facts { planned: 4, may_be_missing: 2, ..exited(&[0, 0]) };
    facts.workers.push(worker(2, WorkerEnd::Lost));
    assert_eq!(of(&facts).1, Reason::NoChecks);
    assert_eq!(facts.missing(), ["worker 2 was lost", "worker 3 never joined"]);
    facts.workers[1] = WorkerFacts { index: 1, end: WorkerEnd::Exited(137), gaps: Gaps::default() };
    assert_eq!(
        of(&facts).2,
        "data of 3 workers is missing, and 2 may be missing: \
         worker 1 ended with exit code 137 before all that it measured was sent; worker 2 was lost; worker 3 never joined"
    );
    facts.may_be_missing = 3;
    assert_eq!(of(&facts).1, Reason::NoChecks);
}

#[test]
fn a_test_whose_load_was_not_delivered_is_inconclusive() {
    let undelivered = vec!["1 of 2 workers took longer for a phase than planned (…)".to_owned()];
    let facts =
        Facts { undelivered: undelivered.clone(), checks: vec![check(true, true)], ..exited(&[0, 11]) };
    assert_eq!(of(&facts), (Outcome::Inconclusive, Reason::Inconclusive, undelivered[0].clone()));
}

#[test]
fn a_test_that_was_stopped_is_inconclusive_and_tells_how_far_it_came() {
    for (end, reason, what) in [
        (End::Stopped, Reason::Stopped, "the load test was stopped"),
        (End::DeadlineExceeded, Reason::DeadlineExceeded, "the load test was stopped at its deadline"),
    ] {
        let stopped = Facts { end, ..exited(&[143, 143]) };
        assert_eq!(of(&stopped), (Outcome::Inconclusive, reason, what.to_owned()));
        let facts = Facts { checks: vec![check(true, true)], planned: 3, ..stopped };
        let message =
            format!("{what}; data of 1 worker is missing: worker 2 never joined; until then the check holds");
        assert_eq!(of(&facts), (Outcome::Inconclusive, reason, message));
    }
}

#[test]
fn the_condition_passed_is_true_false_or_unknown() {
    let conditions = [Outcome::Passed, Outcome::Failed, Outcome::Inconclusive].map(Outcome::condition);
    assert_eq!(conditions, ["True", "False", "Unknown"]);
}

#[test]
fn of_nothing_nobody_can_say_that_it_passed_however_many_may_be_missing() {
    let nothing = Facts { planned: 2, may_be_missing: 2, vusers_created: 1, ..Facts::default() };
    let Verdict { outcome, reason, message } = verdict(&nothing);
    assert_eq!((outcome, reason), (Outcome::Inconclusive, Reason::Inconclusive));
    assert!(message.contains("of none it is complete"), "{message}");
    let one = Facts { workers: vec![worker(0, WorkerEnd::Exited(0))], ..nothing };
    assert_eq!(verdict(&one).outcome, Outcome::Passed, "{:?}", verdict(&one));
    assert!(verdict(&one).message.contains("all workers but 1"), "{:?}", verdict(&one));
}

#[test]
fn a_test_that_created_no_virtual_user_is_inconclusive_whatever_its_checks_say() {
    let why = "no virtual user was created, so nothing was tested: give the script a phase in which some arrive (arrivalRate, rampTo or \
               arrivalCount above 0)";
    let actual = "http.response_time.p95 = 231.4";
    for (checks, and) in [
        (vec![], String::new()),
        (vec![check(true, true)], "; of nothing the check holds".to_owned()),
        (
            vec![check(false, true)],
            format!("; of nothing 1 of 1 check failed: http.response_time.p95 < 250 ({actual})"),
        ),
    ] {
        let facts = Facts { vusers_created: 0, checks, ..exited(&[0, 0]) };
        assert_eq!(of(&facts), (Outcome::Inconclusive, Reason::NoVusers, format!("{why}{and}")));
    }
    // what is known for certain, or better, comes first
    for (codes, end, reason) in [
        (&[0, 11], End::ByItself, Reason::WorkersFailed),
        (&[0, 21], End::ByItself, Reason::ExpectationsFailed),
        (&[0, 0], End::Stopped, Reason::Stopped),
        (&[0, 0], End::DeadlineExceeded, Reason::DeadlineExceeded),
    ] {
        assert_eq!(of(&Facts { vusers_created: 0, end, ..exited(codes) }).1, reason);
    }
    let undelivered = vec!["1 of 1 worker created fewer virtual users than planned".to_owned()];
    assert_eq!(of(&Facts { vusers_created: 0, undelivered, ..exited(&[0]) }).1, Reason::Inconclusive);
    assert_eq!(of(&Facts { vusers_created: 0, planned: 2, ..exited(&[0]) }).1, Reason::Inconclusive);
}
