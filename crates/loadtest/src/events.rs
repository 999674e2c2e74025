//! What is announced as Kubernetes events: a level-triggered list of all that is to be said of a test's present state.
//!
//! Each has a name that follows from what it says, so that saying it again is refused by the API server: an event is
//! there exactly once, whatever restarts, without a memory in the cluster.

use crate::Timestamp;
use crate::api::{COMPLETED, LoadTestStatus, PASSED, PROGRESSING, Verdict};
use crate::collected::CommonStart;
use crate::job::{Start, start};
use crate::lifecycle::{Outcome, SUSPENDED};
use crate::observed::Observed;
use crate::plan::{JOB_REFUSED, without_numbers};
use crate::queue::QUEUED;
use crate::status::WORKERS_WAITING;

/// The component that reports, as the first operator's users know it.
pub const REPORTING_CONTROLLER: &str = "loadtest-controller";
/// Workers up to this number have a Running event each; one more counts them all where there are more.
pub const NAMED_WORKERS: u32 = 100;

/// Facts older than this are no news: Kubernetes keeps events for an hour, and a manager that starts must not say
/// again what has been said and forgotten.
pub const NEWS_SECONDS: i64 = 50 * 60;

/// Of a test that ended longer ago than this all has been said, unless no manager ran since: a start looks at every
/// LoadTest, and must not say it all again.
const AFTER_THE_END_SECONDS: i64 = 10 * 60;

/// One event on a LoadTest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announcement {
    /// `metadata.name` of the event, which says it once.
    pub name: String,
    /// Whether it is a Warning, not Normal.
    pub is_warning: bool,
    /// One CamelCase word.
    pub reason: String,
    /// A sentence.
    pub note: String,
}

/// All that is to be said of a test now that `status` is stored; nothing of one that is being deleted.
pub fn due(observed: &Observed, status: &LoadTestStatus, now: Timestamp) -> Vec<Announcement> {
    let mut announcements = Vec::new();
    if observed.load_test.metadata.deletion_timestamp.is_some() {
        return announcements;
    }
    let age = |at: Timestamp| now.as_second() - at.as_second();
    let is_news = |at: Option<Timestamp>| at.is_none_or(|at| age(at) < NEWS_SECONDS);
    let ended = status
        .condition(COMPLETED)
        .filter(|_| status.is_over())
        .and_then(|c| c.last_transition_time.as_ref());
    if ended.is_some_and(|at| age(at.0) > AFTER_THE_END_SECONDS) {
        return announcements;
    }
    announcements.extend(problem(observed, status));
    let job = observed.job.ours().filter(|job| status.job_uid == job.metadata.uid);
    // a Job that says nothing of its start is the first operator's, which has announced it and its workers
    if let Some(job) = job.filter(|job| start(job) != Start::Unknown) {
        if is_news(job.metadata.creation_timestamp.as_ref().map(|at| at.0)) {
            announcements.push(created(observed));
        }
        announcements.extend(running(observed, status, &is_news));
        announcements.extend(incomplete_start(observed));
        if !status.is_over() {
            announcements.extend(held_up(observed));
        }
        // a worker that is told to end does not exit with 0
        announcements.extend(Some(observed).filter(|_| status.stop_time.is_none()).and_then(first_failure));
    }
    announcements.extend(finished(observed, status));
    announcements.extend(verdict(observed, status));
    announcements
}

/// What a test waits for.
fn problem(observed: &Observed, status: &LoadTestStatus) -> Option<Announcement> {
    let progressing = status.condition(PROGRESSING).filter(|c| c.status == "False" && !status.is_over())?;
    let (reason, message) = (progressing.reason.clone()?, progressing.message.clone()?);
    let detail = match reason.as_str() {
        // admission's words may have other numbers each time it refuses
        JOB_REFUSED => short_hash(&without_numbers(&message)),
        QUEUED => observed.load_test.metadata.generation.unwrap_or(0).to_string(),
        _ => short_hash(&message),
    };
    let key = format!("{}.{detail}", reason.to_lowercase());
    Some(announcement(observed, &key, ![SUSPENDED, QUEUED].contains(&reason.as_str()), &reason, message))
}

fn created(observed: &Observed) -> Announcement {
    // the Job bears the LoadTest's name
    let note = format!("Created Load Test worker master job: {}", observed.load_test.name());
    announcement(observed, "created", false, "Created", note)
}

fn running(
    observed: &Observed,
    status: &LoadTestStatus,
    is_news: &impl Fn(Option<Timestamp>) -> bool,
) -> Vec<Announcement> {
    let workers = &observed.workers;
    let started = || workers.pods.iter().filter(|(_, pod)| pod.started.is_some());
    let mut announcements: Vec<_> = started()
        .filter(|(_, pod)| pod.index.is_none_or(|index| index < NAMED_WORKERS) && is_news(pod.started))
        .take(NAMED_WORKERS as usize)
        .map(|(name, pod)| {
            let note = format!("Running Load Test worker pod: {name}");
            announcement(observed, &format!("running.{}", pod.uid), false, "Running", note)
        })
        .collect();
    let count = started().count();
    let is_all = count as u64 >= u64::from(workers.planned) || (status.is_over() && count > 0);
    let last = started().filter_map(|(_, pod)| pod.started).max();
    if workers.planned > NAMED_WORKERS && is_all && is_news(last) {
        let note = format!("Running Load Test worker pods: {count} of {}", workers.planned);
        announcements.push(announcement(observed, "running", false, "Running", note));
    }
    announcements
}

/// What keeps workers from running: one event for each reason, in the words that were the first.
fn held_up(observed: &Observed) -> Vec<Announcement> {
    let say = |number: u32, reason: &str, words: &str| {
        // the one is said before each try, the other between them
        let reason = if reason == "ErrImagePull" { "ImagePullBackOff" } else { reason };
        let colon = if words.is_empty() { "" } else { ": " };
        let note = format!("{number} of {} workers: {reason}{colon}{words}", observed.workers.planned);
        announcement(observed, &format!("waiting.{}", short_hash(reason)), true, WORKERS_WAITING, note)
    };
    let reasons = observed.workers.waiting_reasons().into_iter();
    let pods = reasons.filter(|(_, (_, why))| why.is_problem());
    let refusal = observed.refusal.as_deref();
    let refused = refusal.map(|words| say(observed.workers.without_pod(), "without a pod", words));
    pods.map(|(reason, (number, why))| say(number, reason, &why.message)).chain(refused).collect()
}

/// Why the first worker failed, in the words of its log; the others' are most likely the same.
fn first_failure(observed: &Observed) -> Option<Announcement> {
    let (index, pod, words) = observed.workers.last_words()?;
    let cause = observed.workers.failures.get(&index)?;
    let note = format!("worker {index}: {cause}; see kubectl logs {pod}, which ends: {words}");
    Some(announcement(observed, "log", true, "WorkerFailed", note))
}

/// That the script does not have the environment that it is to run in.
pub fn unknown_environment(observed: &Observed, why: &str) -> Announcement {
    let key = format!("environment.{}", short_hash(why));
    announcement(observed, &key, true, "UnknownEnvironment", why.to_owned())
}

/// That not all workers took part in the common start.
fn incomplete_start(observed: &Observed) -> Option<Announcement> {
    let planned = observed.workers.planned;
    let note = match observed.collected.start {
        CommonStart::Released(released) if released < planned => {
            format!(
                "Started {released} of {planned} workers: the others had not joined in time, see .spec.start"
            )
        }
        CommonStart::TimedOut => {
            let joined = observed.collected.joined;
            format!(
                "Started no worker: not all {planned} were ready in time ({joined} had joined), see .spec.start"
            )
        }
        CommonStart::Waiting | CommonStart::Released(_) => return None,
    };
    Some(announcement(observed, "start", true, "IncompleteStart", note))
}

/// Checks that may not be what their author means; why, each with its place.
pub fn doubtful_checks(observed: &Observed, doubts: &[String]) -> Option<Announcement> {
    let (first, others) = doubts.split_first()?;
    let more = if others.is_empty() { String::new() } else { format!(" (and {} more)", others.len()) };
    let note = format!("{first}{more}");
    Some(announcement(observed, &format!("doubtful.{}", short_hash(&note)), true, "DoubtfulCheck", note))
}

/// What came of it.
fn verdict(observed: &Observed, status: &LoadTestStatus) -> Option<Announcement> {
    let passed = status.condition(PASSED).filter(|_| status.is_over())?;
    let is_warning = status.verdict != Some(Verdict::Passed);
    let note = format!("{:?}: {}", status.verdict?, passed.message.as_deref().unwrap_or_default());
    Some(announcement(observed, "verdict", is_warning, passed.reason.as_deref()?, note))
}

fn finished(observed: &Observed, status: &LoadTestStatus) -> Option<Announcement> {
    let completed = status.condition(COMPLETED).filter(|_| status.is_over())?;
    // the first operator gave no reasons, and has said so itself
    let (is_warning, note) = match Outcome::from_reason(completed.reason.as_deref()?)? {
        Outcome::Succeeded => (false, "Load Test completed"),
        Outcome::WorkersFailed => (true, "Load Test completed with failed workers"),
        Outcome::Stopped => (false, "Load Test stopped, see field .spec.stop"),
        Outcome::DeadlineExceeded => {
            (true, "Load Test stopped after its time, see field .spec.activeDeadlineSeconds")
        }
        Outcome::JobDeleted => (true, "Load Test failed: its Job was gone before it was seen to end"),
        Outcome::JobSuspended => (true, "Load Test failed: its Job was suspended after the start"),
        Outcome::KubernetesTooOld => {
            (true, "Load Test failed: Kubernetes 1.29 or newer is needed; nothing was started")
        }
    };
    let reason = match (Outcome::from_reason(completed.reason.as_deref()?)?, is_warning) {
        (outcome @ (Outcome::Stopped | Outcome::DeadlineExceeded), _) => outcome.reason(),
        (_, true) => "Failed",
        (_, false) => "Completed",
    };
    // one name for both: a test ends once
    Some(announcement(observed, "over", is_warning, reason, note.to_owned()))
}

fn announcement(
    observed: &Observed,
    key: &str,
    is_warning: bool,
    reason: &str,
    note: String,
) -> Announcement {
    let load_test = &observed.load_test;
    let prefix: String = load_test.name().chars().take(63).collect();
    let prefix = prefix.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    Announcement {
        name: format!("{prefix}.{}.{key}", load_test.uid()),
        is_warning,
        reason: reason.to_owned(),
        note,
    }
}

/// FNV-1a, 64 bits: the same in every release, so that an upgrade says nothing again.
pub(crate) fn short_hash(text: &str) -> String {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::batch::v1::Job;
    use k8s_openapi::api::core::v1::Pod;

    use super::*;
    use crate::LoadTest;
    use crate::fixtures::{
        JobFixture as _, LoadTestFixture as _, PodFixture as _, at, job_of, load_test, pod,
    };
    use crate::lifecycle::Decision;
    use crate::plan::Problem;
    use crate::status::next;

    fn test(count: i32) -> LoadTest {
        load_test("t").with_count(count).recorded("job-1")
    }

    fn said(load_test: LoadTest, job: Option<Job>, pods: &[Pod], decision: &Decision) -> Vec<Announcement> {
        let observed = Observed::new(load_test, job, &pods.iter().collect::<Vec<_>>(), at(99));
        let status = next(&observed, decision, at(99)).expect("a status");
        due(&observed, &status, at(99))
    }

    fn notes(announcements: &[Announcement]) -> Vec<(&str, &str)> {
        announcements.iter().map(|a| (a.reason.as_str(), a.note.as_str())).collect()
    }

    #[test]
    fn a_recorded_job_is_announced_in_the_first_operators_words() {
        let job = job_of(&test(1));
        let events = said(load_test("t"), Some(job), &[], &Decision::RecordJob("job-1".into()));
        assert_eq!(notes(&events), [("Created", "Created Load Test worker master job: t")]);
    }

    #[test]
    fn every_worker_that_ran_is_announced_though_it_ended_before_it_was_seen() {
        let pods = [pod("t", 0).running(3), pod("t", 1).exited(0, 9), pod("t", 2)];
        let events = said(test(3), Some(job_of(&test(3)).started()), &pods, &Decision::Follow);
        assert_eq!(
            notes(&events)[1..],
            [
                ("Running", "Running Load Test worker pod: t-0-abcde"),
                ("Running", "Running Load Test worker pod: t-1-abcde")
            ]
        );
    }

    #[test]
    fn many_workers_have_a_hundred_events_and_one_that_counts_them() {
        let pods: Vec<_> = (0..150).map(|i| pod("t", i).running(3)).collect();
        let job = job_of(&test(150)).started();
        let events = said(test(150), Some(job.clone()), &pods, &Decision::Follow);
        assert_eq!(events.len(), 1 + 100 + 1);
        assert_eq!(events[101].note, "Running Load Test worker pods: 150 of 150");
        let events = said(test(150), Some(job), &pods[..120], &Decision::Follow);
        assert_eq!(events.len(), 1 + 100, "the count waits for all of them");
        let job = job_of(&test(150)).started();
        let events = said(test(150), Some(job), &[], &Decision::Finish(Outcome::WorkersFailed));
        assert_eq!(notes(&events)[1..2], [("Failed", "Load Test completed with failed workers")], "none ran");
    }

    #[test]
    fn the_end_is_either_completed_or_failed() {
        for (outcome, is_warning, note) in [
            (Outcome::Succeeded, false, ("Completed", "Load Test completed")),
            (Outcome::WorkersFailed, true, ("Failed", "Load Test completed with failed workers")),
        ] {
            let events = said(test(1), None, &[], &Decision::Finish(outcome));
            assert_eq!(notes(&events)[..1], [note]);
            assert_eq!(events[0].is_warning, is_warning);
        }
        let name = |outcome| said(test(1), None, &[], &Decision::Finish(outcome)).remove(0).name;
        assert_eq!(
            name(Outcome::Succeeded),
            name(Outcome::JobDeleted),
            "so that the API server lets only one in"
        );
    }

    #[test]
    fn a_problem_is_a_warning_of_its_own_for_each_message() {
        let say = |message: &str| {
            let problem = Problem { reason: "MissingConfigMap", message: message.into() };
            said(load_test("t"), None, &[], &Decision::Wait(problem)).remove(0)
        };
        assert!(say("a").is_warning);
        assert_eq!(say("a").name, say("a").name);
        assert_ne!(say("a").name, say("b").name);
    }

    #[test]
    fn what_keeps_workers_from_running_is_one_warning_for_each_reason() {
        let say = |pods: &[Pod]| {
            let mut said = said(test(2), Some(job_of(&test(2)).started()), pods, &Decision::Follow);
            said.split_off(1)
        };
        let pulls = say(&[pod("t", 0).waiting("ErrImagePull"), pod("t", 1).waiting("ErrImagePull")]);
        assert_eq!(notes(&pulls), [("WorkersWaiting", "2 of 2 workers: ImagePullBackOff")]);
        assert!(pulls[0].is_warning);
        let backs_off = say(&[pod("t", 0).waiting("ImagePullBackOff"), pod("t", 1).running(3)]);
        assert_eq!(pulls[0].name, backs_off[1].name, "the same, said once");
        let other = say(&[pod("t", 0).unschedulable("0/3 nodes"), pod("t", 1)]);
        assert_eq!(notes(&other), [("WorkersWaiting", "1 of 2 workers: Unschedulable: 0/3 nodes")]);
        assert_ne!(other[0].name, pulls[0].name);
        assert_eq!(say(&[pod("t", 0).waiting("ContainerCreating")]), []);
    }

    #[test]
    fn the_first_operators_job_is_not_announced_again() {
        let job = job_of(&test(1)).of_the_first_operator();
        assert_eq!(said(test(1), Some(job), &[pod("t", 0).running(3)], &Decision::Follow), []);
    }

    #[test]
    fn what_is_older_than_an_event_lives_is_not_said_again() {
        let job = job_of(&test(1)).started();
        let observed = Observed::new(test(1), Some(job), &[&pod("t", 0).running(3)], at(99));
        let status = next(&observed, &Decision::Follow, at(99)).expect("a status");
        let later = |seconds| due(&observed, &status, at(seconds)).len();
        assert_eq!(
            (later(NEWS_SECONDS + 2), later(NEWS_SECONDS + 3)),
            (2, 1),
            "Created has no time in this test"
        );
    }

    #[test]
    fn a_test_that_ended_long_ago_is_not_spoken_of_again() {
        let observed = Observed::new(test(1), None, &[], at(99));
        let status = next(&observed, &Decision::Finish(Outcome::Succeeded), at(99)).expect("a status");
        let said = |seconds| due(&observed, &status, at(seconds)).len();
        assert_eq!(
            (said(99), said(99 + AFTER_THE_END_SECONDS), said(100 + AFTER_THE_END_SECONDS)),
            (2, 2, 0)
        );
    }

    #[test]
    fn admissions_changing_words_are_one_event() {
        let say = |words: &str| said(load_test("t"), None, &[], &Decision::Wait(Problem::job_refused(words)));
        assert_eq!(say("request 1")[0].name, say("request 2")[0].name);
        assert_ne!(say("exceeded quota: q")[0].name, say("a webhook says no")[0].name);
    }

    #[test]
    fn a_test_that_is_being_deleted_is_not_spoken_of() {
        let observed = Observed::new(test(1).being_deleted(), Some(job_of(&test(1)).started()), &[], at(99));
        assert_eq!(due(&observed, &LoadTestStatus::default(), at(99)), []);
    }

    #[test]
    fn event_names_are_names() {
        let long = load_test(&format!("{}-.{}", "n".repeat(62), "m".repeat(150)));
        let problem = Problem { reason: "InvalidSpec", message: String::new() };
        let name = said(long, None, &[], &Decision::Wait(problem)).remove(0).name;
        assert!(name.starts_with(&format!("{}.uid-of-", "n".repeat(62))), "{name}");
    }
}
