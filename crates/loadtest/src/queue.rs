//! Who may start while only so many load tests may run at a time: those that wait go in the order of their creation.

use std::collections::HashSet;

use crate::api::PROGRESSING;
use crate::plan::Problem;
use crate::settings::Settings;
use crate::{LoadTest, Timestamp};

/// It could start, but for the load tests that run or come before it.
pub const QUEUED: &str = "Queued";
/// A load test that nobody has looked at holds up others for so many seconds after its creation: one whose reconcile always fails
/// would do so for ever.
const UNSEEN_SECONDS: i64 = 60;

/// Whether a load test may start now among `all`. `admitted` are the UIDs of those that were let go before, which may not be seen yet.
///
/// # Errors
/// It has to wait; for what.
pub fn admit<'a>(
    load_test: &LoadTest,
    all: impl Iterator<Item = &'a LoadTest> + Clone,
    admitted: &HashSet<String>,
    settings: &Settings,
    now: Timestamp,
) -> Result<(), Problem> {
    let runs = |test: &&LoadTest| {
        let is_recorded = test.status.as_ref().is_some_and(|status| status.job_uid.is_some());
        test.uid() != load_test.uid() && !test.is_settled() && (is_recorded || admitted.contains(test.uid()))
    };
    let is_before = |test: &&LoadTest| {
        is_queued(test, now) && !admitted.contains(test.uid()) && key(test) < key(load_test)
    };
    let within =
        |namespace: &LoadTest, test: &&LoadTest| test.metadata.namespace == namespace.metadata.namespace;
    let is_full = |running: usize, most: u32| most > 0 && running >= most as usize;
    let running_in = |of: &LoadTest| all.clone().filter(|test| runs(test) && within(of, test)).count();

    let (here, before) = (
        running_in(load_test),
        all.clone().filter(|test| is_before(test) && within(load_test, test)).count(),
    );
    if is_full(here + before, settings.max_tests_per_namespace) {
        return Err(wait(here, before, settings.max_tests_per_namespace, "in this namespace"));
    }
    let everywhere = all.clone().filter(runs).count();
    // who waits for room in a namespace of its own holds up nobody elsewhere
    let could_start = |test: &&LoadTest| !is_full(running_in(test), settings.max_tests_per_namespace);
    let before = all.clone().filter(|test| is_before(test) && could_start(test)).count();
    if is_full(everywhere + before, settings.max_tests) {
        return Err(wait(everywhere, before, settings.max_tests, "in this cluster"));
    }
    Ok(())
}

/// Whether it waits for room, or is so new that nobody has looked at it yet.
fn is_queued(test: &LoadTest, now: Timestamp) -> bool {
    let progressing = test.status.as_ref().and_then(|status| status.condition(PROGRESSING));
    let waits = match progressing {
        Some(condition) => condition.reason.as_deref() == Some(QUEUED),
        None => {
            let created = test.metadata.creation_timestamp.as_ref();
            created.is_some_and(|at| now.as_second() - at.0.as_second() < UNSEEN_SECONDS)
        }
    };
    let is_recorded = test.status.as_ref().is_some_and(|status| status.job_uid.is_some());
    waits && !is_recorded && !test.is_settled()
}

/// The order of those that wait: Kubernetes tells their age in whole seconds.
fn key(test: &LoadTest) -> impl Ord + use<'_> {
    let metadata = &test.metadata;
    (
        metadata.creation_timestamp.as_ref().map(|at| at.0),
        metadata.namespace.as_deref(),
        metadata.name.as_deref(),
    )
}

fn wait(running: usize, before: usize, most: u32, place: &str) -> Problem {
    let message = format!(
        "waits for its turn: {running} of at most {most} load tests run {place}, {before} wait before it; the administrator's limit is in ConfigMap manager-config of the operator"
    );
    Problem { reason: QUEUED, message }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::fixtures::{LoadTestFixture as _, at, load_test};

    fn test(namespace: &str, name: &str, created: i64) -> LoadTest {
        let mut test = load_test(name);
        test.metadata.namespace = Some(namespace.into());
        test.metadata.uid = Some(format!("{namespace}/{name}"));
        test.metadata.creation_timestamp = Some(Time(at(created)));
        test
    }

    fn running(namespace: &str, name: &str) -> LoadTest {
        test(namespace, name, 0).recorded("job")
    }

    fn queued(namespace: &str, name: &str, created: i64) -> LoadTest {
        let mut test = test(namespace, name, created).with_condition("Progressing", "False");
        test.status.as_mut().expect("a status").conditions[0].reason = Some(QUEUED.into());
        test
    }

    fn waits(who: &LoadTest, others: &[LoadTest], admitted: &[&str], limits: (u32, u32)) -> Option<String> {
        waits_at(at(10), who, others, admitted, limits)
    }

    fn waits_at(
        now: Timestamp,
        who: &LoadTest,
        others: &[LoadTest],
        admitted: &[&str],
        limits: (u32, u32),
    ) -> Option<String> {
        let settings =
            Settings { max_tests: limits.0, max_tests_per_namespace: limits.1, ..Settings::default() };
        let admitted = admitted.iter().map(|uid| (*uid).to_owned()).collect();
        admit(who, others.iter(), &admitted, &settings, now).err().map(|problem| problem.message)
    }

    #[test]
    fn without_limits_nobody_waits() {
        let others: Vec<_> = (0..100).map(|i| running("a", &format!("t{i}"))).collect();
        assert_eq!(waits(&test("a", "t", 9), &others, &[], (0, 0)), None);
    }

    #[test]
    fn who_finds_no_room_waits_and_says_for_what() {
        let others = [running("a", "one"), running("b", "two"), queued("b", "three", 5)];
        let message = waits(&test("c", "t", 9), &others, &[], (2, 0)).expect("a wait");
        assert!(
            message.starts_with(
                "waits for its turn: 2 of at most 2 load tests run in this cluster, 1 wait before it"
            ),
            "{message}"
        );
        assert_eq!(waits(&test("c", "t", 9), &others, &[], (4, 1)), None);
        let message = waits(&test("a", "t", 9), &others, &[], (4, 1)).expect("a wait");
        assert!(message.contains("1 of at most 1 load tests run in this namespace, 0 wait"), "{message}");
    }

    #[test]
    fn those_that_wait_go_in_the_order_of_their_creation() {
        let others = [running("a", "one"), queued("a", "early", 5), queued("a", "late", 7)];
        assert_eq!(waits(&others[1], &others, &[], (2, 0)), None);
        let new = [running("a", "one"), test("a", "b", 9), test("a", "c", 9)];
        assert_eq!(waits(&new[1], &new, &[], (2, 0)), None);
        assert!(waits(&new[2], &new, &[], (2, 0)).is_some(), "nobody has looked at b yet");
        assert!(waits(&others[2], &others, &[], (2, 0)).is_some());
        assert!(
            waits(&test("a", "new", 9), &others, &[], (2, 0)).is_some(),
            "there is room, and others were first"
        );
    }

    #[test]
    fn who_was_let_go_counts_though_nobody_has_seen_it_yet() {
        let others = [queued("a", "early", 5)];
        assert!(waits(&test("a", "t", 9), &others, &["a/early"], (1, 0)).is_some());
        assert_eq!(waits(&others[0], &others, &["a/early"], (1, 0)), None, "it does not wait for itself");
    }

    #[test]
    fn who_waits_for_its_namespace_holds_up_no_other() {
        let others = [running("a", "one"), queued("a", "early", 5)];
        assert_eq!(waits(&test("b", "t", 9), &others, &[], (2, 1)), None);
    }

    #[test]
    fn who_is_over_or_has_something_to_mend_is_in_nobodys_way() {
        let over = running("a", "over").with_condition("Completed", "True");
        let others = [over, test("a", "broken", 1).with_condition("Progressing", "False")];
        assert_eq!(waits(&test("a", "t", 9), &others, &[], (1, 1)), None);
    }

    #[test]
    fn who_is_never_looked_at_holds_up_others_only_while_it_is_new() {
        let others = [test("a", "unseen", 1)];
        let later = test("a", "t", 9);
        assert!(waits_at(at(60), &later, &others, &[], (1, 0)).is_some());
        assert_eq!(waits_at(at(61), &later, &others, &[], (1, 0)), None);
        assert_eq!(waits_at(at(61), &later, &others, &[], (0, 1)), None);
        let queued = [queued("a", "seen", 1)];
        assert!(waits_at(at(9_000), &later, &queued, &[], (1, 0)).is_some());
    }
}
