//! From a load test in a cluster to its end: what its status says is shown meanwhile, and Ctrl-C is heard.

use std::pin::pin;
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use kube::api::{Patch, PatchParams};
use kube::runtime::{WatchStreamExt as _, watcher};
use loadtest::api::{COMPLETED, LoadTestStatus, PROGRESSING, Stop};
use loadtest::plan::{
    CONFLICTING_FILES, INVALID_SPEC, INVALID_TEST_SCRIPT, MISSING_CONFIG_MAP, MISSING_FILE,
    MISSING_TEST_SCRIPT, REPORT_NAME_TAKEN, UNREADABLE_CONFIG_MAP,
};
use loadtest::{LoadTest, Timestamp};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{Connection, chain};
use crate::exit::{Exit, Failure};
use crate::progress::{Progress, Running, Seen};
use crate::signals::Signals;

/// How often there is a look at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// What its user has to mend stands for so long before it is given up: a ConfigMap may be on its way.
const MENDING: Duration = Duration::from_secs(15);
/// An operator looks at a load test within a moment; where none has for so long, none runs.
const UNSEEN: Duration = Duration::from_secs(60);
/// What only its user can mend. Jobs that are refused are tried again, and may find room later.
const TO_BE_MENDED: [&str; 9] = [
    CONFLICTING_FILES,
    INVALID_SPEC,
    INVALID_TEST_SCRIPT,
    MISSING_CONFIG_MAP,
    MISSING_FILE,
    MISSING_TEST_SCRIPT,
    REPORT_NAME_TAKEN,
    UNREADABLE_CONFIG_MAP,
    loadtest::lifecycle::JOB_NAME_TAKEN,
];

/// What Ctrl-C does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnInterrupt {
    /// It stops the load test; a second one leaves.
    Stop,
    /// It leaves; the load test goes on.
    Leave,
}

/// How a load test is followed.
pub struct Follow<'a> {
    /// Where it is.
    pub connection: &'a Connection,
    /// Its name.
    pub name: &'a str,
    /// What Ctrl-C does.
    pub on_interrupt: OnInterrupt,
    /// Whether it is given up where it cannot start without being mended.
    pub gives_up: bool,
    /// How long it is waited for.
    pub timeout: Option<Duration>,
    /// Whether nothing is shown but what is amiss.
    pub is_quiet: bool,
}

/// Why it is followed no more.
pub struct Lost {
    /// What is said.
    pub failure: Failure,
    /// Whether whoever made it should remove it: it never began and never will, or its maker may not see it.
    pub is_useless: bool,
}

impl From<Failure> for Lost {
    fn from(failure: Failure) -> Self {
        Self { failure, is_useless: false }
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        lost.failure
    }
}

/// A load test that is over.
pub struct Followed {
    /// As it is now.
    pub load_test: LoadTest,
    /// Whether its user ended it before its time.
    pub is_interrupted: bool,
}

impl Follow<'_> {
    /// Waits until it is over.
    ///
    /// # Errors
    /// It was deleted, cannot be read, or will never start; it took too long; or it was interrupted.
    pub async fn to_its_end(&self, signals: &mut Signals) -> Result<Followed, Lost> {
        let Self { connection, name, .. } = *self;
        let mut changes = pin!(watcher::watch_object(connection.load_tests(), name).default_backoff());
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let began = Instant::now();
        let mut progress = Progress::begin(began);
        let mut is_interrupted = false;
        let mut is_unreachable = false;
        let mut latest: Option<LoadTest> = None;
        // since when it stands where it stands, and in what
        let mut stands = (began, None);
        loop {
            tokio::select! {
                change = changes.next() => match change {
                    Some(Ok(Some(load_test))) => {
                        is_unreachable = false;
                        if load_test.status.as_ref().is_some_and(LoadTestStatus::is_over) {
                            progress.end();
                            return Ok(Followed { load_test, is_interrupted });
                        }
                        let reason = why(load_test.status.as_ref()).map(|(reason, _)| reason.to_owned());
                        if stands.1 != reason {
                            stands = (Instant::now(), reason);
                        }
                        latest = Some(load_test);
                    }
                    Some(Ok(None)) => {
                        progress.end();
                        return Err(Lost::from(match latest {
                            Some(_) => Failure::internal(format!("the load test {name} was deleted: there is no report")),
                            None => Failure::usage(format!("there is no load test {name} in namespace {}: kubectl artillery list shows those that are there", connection.namespace)),
                        }));
                    }
                    Some(Err(error)) => {
                        // once it was seen, a refusal may be of a moment
                        if latest.is_none() && let Some(failure) = self.is_final(&error) {
                            progress.end();
                            return Err(Lost { failure, is_useless: true });
                        }
                        if !is_unreachable {
                            progress.say(&format!("The cluster cannot be asked, and is tried again: {}", chain(&error)));
                        }
                        is_unreachable = true;
                    }
                    None => return Err(Failure::internal(format!("cannot watch the load test {name}")).into()),
                },
                _ = look.tick() => {
                    let Some(load_test) = &latest else { continue };
                    if self.gives_up && !is_unreachable
                        && let Some(failure) = hopeless(name, load_test.status.as_ref(), stands.0.elapsed())
                    {
                        progress.end();
                        return Err(Lost { failure, is_useless: true });
                    }
                    if !self.is_quiet {
                        show(&mut progress, load_test.status.as_ref());
                    }
                }
                () = until(self.timeout.map(|timeout| timeout.saturating_sub(began.elapsed()))) => {
                    progress.end();
                    return Err(Failure::internal(format!("the load test {name} was not over within --timeout, and goes on")).into());
                }
                () = signals.next() => {
                    if is_interrupted || self.on_interrupt == OnInterrupt::Leave {
                        progress.end();
                        return Err(Failure::interrupted(format!(
                            "left: the load test {name} goes on in namespace {}; kubectl artillery watch {name} shows it, kubectl artillery stop {name} ends it",
                            connection.namespace
                        ))
                        .into());
                    }
                    is_interrupted = true;
                    progress.say("Stopping: the workers end, and what they measured is reported (again to leave at once)");
                    if let Err(failure) = stop(connection, name, Stop::Graceful).await {
                        progress.say(&format!("{failure}"));
                    }
                }
            }
        }
    }

    /// What does not become better by trying again.
    fn is_final(&self, error: &watcher::Error) -> Option<Failure> {
        let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error
        else {
            return None;
        };
        let failure = self.connection.refused(&format!("watch the load test {}", self.name), error);
        match error {
            kube::Error::Api(status) if [401, 403, 404].contains(&status.code) => Some(failure),
            _ => None,
        }
    }
}

/// Ends a load test before its time.
///
/// # Errors
/// It is not there, or may not be changed.
pub async fn stop(connection: &Connection, name: &str, how: Stop) -> Result<LoadTest, Failure> {
    let patch = Patch::Merge(json!({ "spec": { "stop": how } }));
    let patched = connection.load_tests().patch(name, &PatchParams::default(), &patch).await;
    patched.map_err(|error| connection.refused(&format!("stop the load test {name}"), &error))
}

/// How a load test that is over ends the program, and what its status says of it.
pub fn conclusion(load_test: &LoadTest) -> (Exit, String) {
    let status = load_test.status.clone().unwrap_or_default();
    let said =
        [loadtest::api::PASSED, COMPLETED].into_iter().find_map(|of| status.condition(of)?.message.clone());
    let verdict = status.verdict.map_or_else(|| "no verdict".to_owned(), |verdict| format!("{verdict:?}"));
    let words = format!("{}: {verdict}: {}", load_test.name(), said.unwrap_or_default());
    (Exit::of_status(&status), words)
}

async fn until(left: Option<Duration>) {
    match left {
        Some(left) => sleep(left).await,
        None => std::future::pending().await,
    }
}

/// Reason and message of what it is doing, or waiting for.
fn why(status: Option<&LoadTestStatus>) -> Option<(&str, &str)> {
    let condition = status?.condition(PROGRESSING)?;
    Some((condition.reason.as_deref()?, condition.message.as_deref().unwrap_or_default()))
}

/// Why there is no use in waiting, after it stood like this for so long.
fn hopeless(name: &str, status: Option<&LoadTestStatus>, stands: Duration) -> Option<Failure> {
    match why(status) {
        None if stands >= UNSEEN => Some(Failure::cluster(format!(
            "no operator has looked at the load test {name} for {} s: does one run? kubectl get pods -n artillery-operator-system",
            UNSEEN.as_secs()
        ))),
        Some((reason, message)) if TO_BE_MENDED.contains(&reason) && stands >= MENDING => {
            Some(Failure::usage(format!("the load test {name} cannot start: {reason}: {message}")))
        }
        _ => None,
    }
}

fn show(progress: &mut Progress, status: Option<&LoadTestStatus>) {
    let now = Instant::now();
    if let Some(start) = status.and_then(|status| status.start_time.as_ref()) {
        let ago = Timestamp::now().duration_since(start.0).unsigned_abs();
        progress.under_load_since(now.checked_sub(ago).unwrap_or(now));
    }
    progress.show(&seen(status), now);
}

/// What is to be seen of it.
fn seen(status: Option<&LoadTestStatus>) -> Seen {
    let waiting = |what: &str| Seen::Waiting(what.to_owned());
    let Some(status) = status else { return waiting("waiting for the operator") };
    let Some(metrics) = &status.metrics else {
        return waiting(why(Some(status)).map_or("waiting for the operator", |(reason, message)| {
            if message.is_empty() { reason } else { message }
        }));
    };
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    let http = metrics.http.clone().unwrap_or_default();
    let vusers = &metrics.vusers;
    let planned = status.workers.as_ref().map_or(0, |workers| workers.planned);
    #[allow(clippy::cast_precision_loss, reason = "they are shown without decimals")]
    let shown = |n: i64| n as f64;
    Seen::Running(Running {
        workers: format!("{} of {planned} workers run", status.active),
        planned_vusers: vusers.planned.map(number),
        vusers: [number(vusers.created), number(vusers.completed), number(vusers.failed)],
        requests: number(http.requests),
        requests_per_second: metrics.http.as_ref().map(|http| shown(http.requests_per_second)),
        response_time: http
            .response_time_milliseconds
            .map(|times| [times.p50, times.p95, times.p99].map(shown)),
        errors: number(metrics.errors),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn status(value: Value) -> LoadTestStatus {
        serde_json::from_value(value).expect("a status")
    }

    fn progressing(reason: &str, message: &str) -> LoadTestStatus {
        let condition =
            json!({ "type": "Progressing", "status": "False", "reason": reason, "message": message });
        status(json!({ "conditions": [condition] }))
    }

    #[test]
    fn what_will_never_start_is_given_up_and_what_may_is_waited_for() {
        let missing = progressing(MISSING_FILE, "the script names users.csv");
        let queued = progressing("Queued", "3 are before it");
        for (status, seconds, said) in [
            (None, 59, None),
            (None, 60, Some((4, "no operator has looked at the load test checkout for 60 s"))),
            (Some(&missing), 14, None),
            (
                Some(&missing),
                15,
                Some((2, "the load test checkout cannot start: MissingFile: the script names users.csv")),
            ),
            (Some(&queued), 9_999, None),
        ] {
            let failure = hopeless("checkout", status, Duration::from_secs(seconds));
            let told = failure.map(|failure| (failure.exit.code(), failure.to_string()));
            match (told, said) {
                (None, None) => {}
                (Some((code, words)), Some((exit, start))) => {
                    assert!(code == exit && words.starts_with(start), "{code}: {words}");
                }
                (told, said) => panic!("{told:?}, not {said:?}"),
            }
        }
    }

    #[test]
    fn the_status_is_shown_as_far_as_it_goes() {
        assert_eq!(seen(None), Seen::Waiting("waiting for the operator".to_owned()));
        let queued = progressing("Queued", "3 are before it");
        assert_eq!(seen(Some(&queued)), Seen::Waiting("3 are before it".to_owned()));
        let running = status(json!({
            "active": 2, "workers": { "planned": 3 },
            "metrics": { "vusers": { "planned": 9, "created": 4, "completed": 2, "failed": 1 }, "errors": 1 },
        }));
        let Seen::Running(running) = seen(Some(&running)) else { panic!("it runs") };
        assert_eq!(running.workers, "2 of 3 workers run");
        assert_eq!(
            (running.planned_vusers, running.vusers, running.requests_per_second),
            (Some(9), [4, 2, 1], None)
        );
    }

    #[test]
    fn each_end_has_its_exit_code() {
        for (verdict, reason, code) in [
            ("Passed", "ChecksPassed", 0),
            ("Failed", "ChecksFailed", 1),
            ("Failed", "ExpectationsFailed", 1),
            ("Failed", "WorkersFailed", 3),
            ("Inconclusive", "Stopped", 3),
        ] {
            let condition =
                json!({ "type": "Passed", "status": "False", "reason": reason, "message": "so it is" });
            let mut load_test = LoadTest::new("checkout", loadtest::LoadTestSpec::default());
            load_test.status = Some(status(json!({ "verdict": verdict, "conditions": [condition] })));
            let (exit, words) = conclusion(&load_test);
            assert_eq!((exit.code(), words), (code, format!("checkout: {verdict}: so it is")), "{reason}");
        }
    }
}
