//! Who may start while only so many load tests may run at a time: those that wait go in the order of their creation.
//!
//! All load tests are looked at once, which makes a queue; to ask it for one of them looks at few of those that wait.

use std::collections::{HashMap, HashSet};

use crate::api::{LoadTestStatus, PROGRESSING};
use crate::plan::Problem;
use crate::settings::Settings;
use crate::{LoadTest, Timestamp};

/// It could start, but for the load tests that run or come before it.
pub const QUEUED: &str = "Queued";
/// A load test that nobody has looked at holds up others for so many seconds after its creation: one whose reconcile always fails
/// would do so for ever.
const UNSEEN_SECONDS: i64 = 60;

/// Who runs and who waits.
#[derive(Debug, Default)]
pub struct Queue {
    most: usize,
    most_per_namespace: usize,
    /// UIDs of those that run, or were let go.
    running: HashSet<String>,
    namespaces: HashMap<String, Namespace>,
    /// Those that wait and for which their namespace has room, in their order: who waits for room in a namespace of its own holds up
    /// nobody elsewhere.
    able: Vec<Place>,
}

#[derive(Debug, Default)]
struct Namespace {
    running: usize,
    /// In their order.
    waiting: Vec<Place>,
}

/// The place of one that waits: Kubernetes tells ages in whole seconds, so namespace and name follow.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    created: Option<Timestamp>,
    namespace: String,
    name: String,
}

impl Place {
    fn of(test: &LoadTest) -> Self {
        Self {
            created: test.metadata.creation_timestamp.as_ref().map(|at| at.0),
            namespace: namespace(test).to_owned(),
            name: test.name().to_owned(),
        }
    }
}

impl Queue {
    /// With the administrator's limits, and nobody in it.
    pub fn new(settings: &Settings) -> Self {
        Self {
            most: settings.max_tests as usize,
            most_per_namespace: settings.max_tests_per_namespace as usize,
            ..Self::default()
        }
    }

    /// The queue of `all`. `admitted` are the UIDs of those that were let go before, which may not be seen yet.
    pub fn of<'a>(
        all: impl Iterator<Item = &'a LoadTest>,
        admitted: &HashSet<String>,
        settings: &Settings,
        now: Timestamp,
    ) -> Self {
        let mut queue = Self::new(settings);
        all.for_each(|test| queue.add(test, admitted, now));
        queue.arranged()
    }

    /// Adds one; [`Self::arranged`] after all.
    pub fn add(&mut self, test: &LoadTest, admitted: &HashSet<String>, now: Timestamp) {
        let has_begun = is_recorded(test) || admitted.contains(test.uid());
        let namespace = || namespace(test).to_owned();
        if has_begun && !test.is_settled() {
            self.namespaces.entry(namespace()).or_default().running += 1;
            self.running.insert(test.uid().to_owned());
        } else if is_queued(test, now) {
            self.namespaces.entry(namespace()).or_default().waiting.push(Place::of(test));
        }
    }

    /// With all of its members in their order.
    pub fn arranged(mut self) -> Self {
        self.able.clear();
        for Namespace { running, waiting } in self.namespaces.values_mut() {
            waiting.sort_unstable();
            let room = match self.most_per_namespace {
                0 => usize::MAX,
                most => most.saturating_sub(*running),
            };
            self.able.extend(waiting.iter().take(room).cloned());
        }
        self.able.sort_unstable();
        self
    }

    /// Whether a load test may start now.
    ///
    /// # Errors
    /// It has to wait; for what.
    pub fn admit(&self, test: &LoadTest) -> Result<(), Problem> {
        let place = Place::of(test);
        // it does not wait for itself
        let own = usize::from(self.running.contains(test.uid()));
        let before = |waiting: &[Place]| waiting.partition_point(|other| *other < place);
        let is_full = |taken: usize, most: usize| most > 0 && taken >= most;
        let (here, first) = match self.namespaces.get(&place.namespace) {
            Some(Namespace { running, waiting }) => (running - own.min(*running), before(waiting)),
            None => (0, 0),
        };
        if is_full(here + first, self.most_per_namespace) {
            return Err(wait(here + first, self.most_per_namespace, "in this namespace"));
        }
        let (everywhere, first) = (self.running.len() - own, before(&self.able));
        if is_full(everywhere + first, self.most) {
            return Err(wait(everywhere + first, self.most, "in this cluster"));
        }
        Ok(())
    }

    /// Whether a load test is among those that wait. What the queue says of it stays so when others of them are let go, for
    /// those before it have their room already.
    pub fn has(&self, test: &LoadTest) -> bool {
        let here = self.namespaces.get(namespace(test));
        here.is_some_and(|here| here.waiting.binary_search(&Place::of(test)).is_ok())
    }

    /// Who may start now, of those that wait: namespaces and names.
    pub fn next(&self) -> impl Iterator<Item = (&str, &str)> {
        let room = if self.most == 0 { usize::MAX } else { self.most.saturating_sub(self.running.len()) };
        self.able.iter().take(room).map(|place| (place.namespace.as_str(), place.name.as_str()))
    }
}

/// Whether there is room once it is gone: it had taken some, and was not told over, which gave it back.
pub fn gives_room(test: &LoadTest) -> bool {
    is_recorded(test) && !test.status.as_ref().is_some_and(LoadTestStatus::is_over)
}

/// Whether it was told that it waits for room, of whatever spec.
pub fn has_place(test: &LoadTest) -> bool {
    let progressing = test.status.as_ref().and_then(|status| status.condition(PROGRESSING));
    progressing.is_some_and(|condition| condition.reason.as_deref() == Some(QUEUED))
}

/// Whether it was told that it waits for room, and its spec has not changed since: then nothing else is to be looked at until there is
/// some.
pub fn is_told_to_wait(test: &LoadTest) -> bool {
    let observed = test.status.as_ref().and_then(|status| status.observed_generation);
    observed == test.metadata.generation && has_place(test)
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
    waits && !is_recorded(test) && !test.is_settled()
}

fn is_recorded(test: &LoadTest) -> bool {
    test.status.as_ref().is_some_and(|status| status.job_uid.is_some())
}

fn namespace(test: &LoadTest) -> &str {
    test.metadata.namespace.as_deref().unwrap_or_default()
}

/// What is told is how many have to end, of those that run and those that wait alike: one that goes from the one to the other changes
/// nothing for those behind it.
fn wait(before: usize, most: usize, place: &str) -> Problem {
    let first = about((before + 1).saturating_sub(most));
    let message = format!(
        "waits for its turn: {first} of those before it must end first, for at most {most} may run at a time {place}; the administrator's limit is in ConfigMap artillery-operator-manager-config"
    );
    Problem { reason: QUEUED, message }
}

/// A number that changes seldom where it is large: whoever waits would have a new status each time that another one starts.
fn about(number: usize) -> String {
    match number {
        0..=10 => number.to_string(),
        _ => format!("at least {}", number - number % 10_usize.pow(number.ilog10())),
    }
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
        let queue = Queue::of(others.iter(), &admitted, &settings, now);
        queue.admit(who).err().map(|problem| problem.message)
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
                "waits for its turn: 2 of those before it must end first, for at most 2 may run at a time in this cluster"
            ),
            "{message}"
        );
        assert_eq!(waits(&test("c", "t", 9), &others, &[], (4, 1)), None);
        let message = waits(&test("a", "t", 9), &others, &[], (4, 1)).expect("a wait");
        assert!(
            message.contains(
                "1 of those before it must end first, for at most 1 may run at a time in this namespace"
            ),
            "{message}"
        );
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

    #[test]
    fn who_waits_for_its_namespace_holds_up_no_other_though_it_has_room_for_one() {
        let others: Vec<_> = (0..5).map(|i| queued("a", &format!("t{i}"), 5)).collect();
        assert_eq!(waits(&test("b", "t", 9), &others, &[], (2, 1)), None, "one of a's five could start");
        assert!(waits(&test("b", "t", 9), &others, &[], (1, 1)).is_some());
    }

    #[test]
    fn who_may_start_next_is_told_by_name() {
        let others = [
            running("a", "one"),
            queued("a", "two", 5),
            queued("a", "three", 6),
            queued("b", "four", 7),
            queued("b", "five", 8),
        ];
        for (limits, expected) in [
            ((2, 0), vec!["two"]),
            ((3, 0), vec!["two", "three"]),
            ((0, 1), vec!["four"]),
            ((0, 2), vec!["two", "four", "five"]),
            ((2, 1), vec!["four"]),
            ((1, 0), vec![]),
        ] {
            let settings =
                Settings { max_tests: limits.0, max_tests_per_namespace: limits.1, ..Settings::default() };
            let queue = Queue::of(others.iter(), &HashSet::new(), &settings, at(10));
            let next: Vec<_> = queue.next().map(|(_, name)| name).collect();
            assert_eq!(next, expected, "{limits:?}");
            for test in &others[1..] {
                assert!(queue.has(test));
                assert_eq!(queue.admit(test).is_ok(), expected.contains(&test.name()), "{limits:?}");
            }
        }
    }

    #[test]
    fn ten_thousand_are_looked_at_once_however_many_ask() {
        let all: Vec<_> =
            (0..10_000).map(|i| queued(&format!("n{}", i % 100), &format!("t{i:05}"), i)).collect();
        let settings = Settings { max_tests: 300, max_tests_per_namespace: 5, ..Settings::default() };
        let mut looked = 0;
        let seen = all.iter().inspect(|_| looked += 1);
        let queue = Queue::of(seen, &HashSet::new(), &settings, at(20_000));
        // one after the other, without looking at them all again
        let mut left: HashMap<&str, usize> = HashMap::new();
        let mut went = 0;
        for test in &all {
            assert!(queue.has(test));
            let here = left.entry(namespace(test)).or_default();
            let expected = *here < 5 && went < 300;
            assert_eq!(queue.admit(test).is_ok(), expected, "{}", test.name());
            went += usize::from(expected);
            *here += usize::from(*here < 5);
        }
        assert_eq!((looked, went, queue.next().count()), (10_000, 300, 300));
    }

    #[test]
    fn a_long_queue_is_told_in_round_numbers() {
        for (number, told) in
            [(0, "0"), (10, "10"), (11, "at least 10"), (99, "at least 90"), (9_999, "at least 9000")]
        {
            assert_eq!(about(number), told);
        }
    }

    #[test]
    fn who_was_told_to_wait_is_not_read_again_unless_its_spec_was_changed() {
        let mut test = queued("a", "t", 5);
        test.metadata.generation = Some(2);
        test.status.as_mut().expect("a status").observed_generation = Some(2);
        assert!(is_told_to_wait(&test));
        test.metadata.generation = Some(3);
        assert!(!is_told_to_wait(&test));
        assert!(!is_told_to_wait(&running("a", "t")));
    }
}
