//! From a load test in a cluster to its end: what its status says is shown meanwhile, and Ctrl-C is heard.

mod refusals;
#[cfg(test)]
mod tests;

use std::pin::pin;
use std::time::{Duration, Instant};

use futures::future::OptionFuture;
use futures::{FutureExt as _, StreamExt as _};
use kube::runtime::{WatchStreamExt as _, watcher};
use loadtest::LoadTest;
use loadtest::api::{COMPLETED, LoadTestStatus, PROGRESSING, Stop};
use loadtest::plan::{
    CONFLICTING_FILES, INVALID_SPEC, INVALID_TEST_SCRIPT, MISSING_CONFIG_MAP, MISSING_FILE,
    MISSING_TEST_SCRIPT, REPORT_NAME_TAKEN, UNREADABLE_CONFIG_MAP,
};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::stop::stop_at_last;
use super::{Connection, chain, seen};
use crate::exit::{Exit, Failure};
use crate::progress::Progress;
use crate::signals::Signals;
use crate::terminal::harmless;
use refusals::{Refusals, Refused, refusal};

/// How often there is a look at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// What its user has to mend stands for so long before it is given up: a ConfigMap may be on its way.
const MENDING: Duration = Duration::from_secs(15);
/// An operator looks at a load test within a moment; where none has for so long, none runs.
const UNSEEN: Duration = Duration::from_secs(60);
/// An answer is waited for so long.
const ANSWER: Duration = Duration::from_secs(10);
/// The namespace of an operator that is installed as it comes.
const OPERATOR: &str = "artillery-operator-system";
const STOPPING: &str =
    "Stopping: the workers end, and what they measured is reported (again to leave at once)";
/// What only its user can mend. Jobs that admission refuses are tried again, and may find room later.
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
    /// Which it is, where that is known: another of its name is not meant.
    pub uid: Option<String>,
    /// Its place among several that are followed together.
    pub among: Option<usize>,
}

/// Why it is followed no more.
pub struct Lost {
    /// What is said.
    pub failure: Failure,
    /// Whether whoever made it should remove it: it never began and never will, or its maker may not see it.
    pub is_useless: bool,
    /// Whether its user did not want to wait any longer.
    pub is_left: bool,
}

impl From<Failure> for Lost {
    fn from(failure: Failure) -> Self {
        Self { failure, is_useless: false, is_left: false }
    }
}

impl Lost {
    /// There is no use in it.
    fn useless(failure: Failure) -> Self {
        Self { failure, is_useless: true, is_left: false }
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

/// What is known of a load test while it is followed.
struct Following {
    progress: Progress,
    latest: Option<LoadTest>,
    /// Since when it stands where it stands, and in what; what is not seen does not count.
    stands: (Instant, Option<String>),
    /// Whether the cluster did not answer, and has not since.
    is_unreachable: bool,
    /// Whether it is told to end.
    is_told: bool,
    refusals: Refusals,
}

impl Follow<'_> {
    /// Waits until it is over.
    ///
    /// # Errors
    /// It was deleted, cannot be read, or will never start; it took too long; or it was interrupted.
    pub async fn to_its_end(&self, signals: &mut Signals) -> Result<Followed, Lost> {
        let mut is_interrupted = false;
        let followed = self.until_over(signals, &mut is_interrupted).await;
        followed.map_err(|mut lost| {
            // whatever else keeps it from its end then: it was not to go on
            if is_interrupted {
                lost.failure.exit = Exit::Interrupted;
            }
            lost
        })
    }

    async fn until_over(&self, signals: &mut Signals, is_interrupted: &mut bool) -> Result<Followed, Lost> {
        let mut changes =
            pin!(watcher::watch_object(self.connection.load_tests(), self.name).default_backoff());
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let began = Instant::now();
        let among = self.among.map(|at| (at, self.name.to_owned()));
        let mut following = Following {
            progress: Progress::begin_among(began, among),
            latest: None,
            stands: (began, None),
            is_unreachable: false,
            is_told: false,
            refusals: Refusals::default(),
        };
        // while it is being told; the cluster may take its time, and a second signal does not wait for it
        let mut stopping: OptionFuture<_> = None.into();
        // while it is looked at, for a watch that begins again says nothing where nothing changes
        let (mut asking, mut is_asking): (OptionFuture<_>, bool) = (None.into(), false);
        loop {
            tokio::select! {
                () = signals.next() => {
                    if *is_interrupted || self.on_interrupt == OnInterrupt::Leave {
                        let failure = self.left(*is_interrupted, following.is_told);
                        return Err(Lost { failure, is_useless: false, is_left: true });
                    }
                    *is_interrupted = true;
                    following.progress.say(STOPPING);
                    let uid = following.latest.as_ref().map(|test| test.uid().to_owned()).or(self.uid.clone());
                    // it ends with the load test, however long the cluster does not answer
                    let say = following.progress.sayer();
                    stopping = Some(stop_at_last(self.connection, self.name, uid, Stop::Graceful, say).boxed()).into();
                }
                Some(stopped) = &mut stopping => {
                    stopping = None.into();
                    following.is_told = stopped.is_ok();
                    if let Err(failure) = stopped {
                        following.progress.say(&failure.to_string());
                    }
                }
                change = changes.next() => {
                    let Some(change) = change else {
                        return Err(Failure::internal(format!("cannot watch the load test {}", self.name)).into());
                    };
                    if let Some(load_test) = self.changed(change, &mut following)? {
                        return Ok(Followed { load_test, is_interrupted: *is_interrupted });
                    }
                }
                _ = look.tick() => {
                    if self.look(&mut following)? && !is_asking {
                        (asking, is_asking) = (Some(self.ask().boxed()).into(), true);
                    }
                }
                Some(asked) = &mut asking => {
                    (asking, is_asking) = (None.into(), false);
                    if let Some(there) = asked
                        && let Some(load_test) = self.changed(Ok(there), &mut following)?
                    {
                        return Ok(Followed { load_test, is_interrupted: *is_interrupted });
                    }
                }
                () = until(self.timeout.map(|timeout| timeout.saturating_sub(began.elapsed()))) => {
                    return Err(Failure::internal(format!("the load test {} was not over within --timeout, and goes on", self.name)).into());
                }
            }
        }
    }

    /// Takes in what is seen of it. Returns it once it is over.
    fn changed(
        &self,
        change: watcher::Result<Option<LoadTest>>,
        following: &mut Following,
    ) -> Result<Option<LoadTest>, Lost> {
        let name = self.name;
        match change {
            Ok(Some(load_test)) => {
                following.refusals.seen(Instant::now());
                if std::mem::take(&mut following.is_unreachable) {
                    following.stands.0 = Instant::now();
                }
                let uid = following.latest.as_ref().map(LoadTest::uid).or(self.uid.as_deref());
                if let Some(failure) =
                    uid.and_then(|uid| another(self.connection, name, uid, load_test.uid()))
                {
                    return Err(failure.into());
                }
                if load_test.status.as_ref().is_some_and(LoadTestStatus::is_over) {
                    return Ok(Some(load_test));
                }
                let reason = why(load_test.status.as_ref()).map(|(reason, _)| reason.to_owned());
                if following.stands.1 != reason {
                    following.stands = (Instant::now(), reason);
                }
                following.latest = Some(load_test);
            }
            Ok(None) if following.latest.is_some() || self.uid.is_some() => {
                return Err(Failure::internal(format!(
                    "the load test {name} was deleted: there is no report"
                ))
                .into());
            }
            Ok(None) => {
                return Err(Failure::usage(format!(
                    "there is no load test {name} in namespace {}: {} shows those that are there",
                    self.connection.namespace,
                    self.connection.hint("list")
                ))
                .into());
            }
            Err(error) => {
                if let Some(failure) = self.refusal(&error) {
                    // once it was seen, a refusal may be of a moment
                    match following.refusals.refused(Instant::now()) {
                        Refused::FromTheStart => return Err(Lost::useless(failure)),
                        Refused::ForLong => return Err(failure.and(&self.goes_on()).into()),
                        Refused::Perhaps => {}
                    }
                }
                if !following.is_unreachable {
                    let words = format!("The cluster cannot be asked, and is tried again: {}", chain(&error));
                    following.progress.say(&words);
                }
                following.is_unreachable = true;
            }
        }
        Ok(None)
    }

    /// Shows it, or gives it up. Returns whether it is to be asked for first.
    fn look(&self, following: &mut Following) -> Result<bool, Lost> {
        let Some(load_test) = &following.latest else { return Ok(false) };
        let status = load_test.status.as_ref();
        let stands = following.stands.0.elapsed();
        let failure = self.gives_up.then(|| hopeless(self.connection, self.name, status, stands)).flatten();
        match failure {
            Some(failure) if !following.is_unreachable => Err(Lost::useless(failure)),
            failure => {
                if !self.is_quiet {
                    seen::show(&mut following.progress, status);
                }
                Ok(failure.is_some())
            }
        }
    }

    /// It, as it is now, unless the cluster does not answer.
    async fn ask(&self) -> Option<Option<LoadTest>> {
        let load_tests = self.connection.load_tests();
        timeout(ANSWER, load_tests.get_opt(self.name)).await.ok()?.ok()
    }

    /// It is followed no more, and goes on.
    fn left(&self, is_asked: bool, is_told: bool) -> Failure {
        let Self { name, connection, .. } = self;
        let until = match (is_asked, is_told) {
            (_, true) => " until its workers have ended, as they are told",
            // what was on its way may have arrived
            (true, false) => ", or ends, where the cluster took the stop without an answer",
            (false, false) => "",
        };
        Failure::interrupted(format!(
            "left: the load test {name} goes on in namespace {}{until}; {}",
            connection.namespace,
            self.commands()
        ))
    }

    fn goes_on(&self) -> String {
        format!("the load test {} may go on; {}", self.name, self.commands())
    }

    /// What there is to do with one that goes on.
    fn commands(&self) -> String {
        let command = |verb: &str| self.connection.hint(&format!("{verb} {}", self.name));
        format!("{} shows it, {} ends it", command("watch"), command("stop"))
    }

    /// Why it cannot be followed, where that may not become better by trying again.
    fn refusal(&self, error: &watcher::Error) -> Option<Failure> {
        let (error, code) = refusal(error)?;
        let failure = self.connection.refused(&format!("watch the load test {}", self.name), error);
        let rights = "following takes the rights to list and to watch loadtests in namespace";
        Some(match code {
            403 => failure.and(&format!("{rights} {}", self.connection.namespace)),
            _ => failure,
        })
    }
}

/// Why one that is seen is not the one that is followed.
fn another(connection: &Connection, name: &str, followed: &str, seen: &str) -> Option<Failure> {
    (seen != followed).then(|| {
        let watch = connection.hint(&format!("watch {name}"));
        Failure::internal(format!(
            "the load test {name} was deleted, and another one was made by its name: there is no report of the one that was followed; {watch} follows the other"
        ))
    })
}

/// How a load test that is over ends the program, and what its status says of it.
pub fn conclusion(load_test: &LoadTest) -> (Exit, String) {
    let status = load_test.status.clone().unwrap_or_default();
    let said =
        [loadtest::api::PASSED, COMPLETED].into_iter().find_map(|of| status.condition(of)?.message.clone());
    let verdict = status.verdict.map_or_else(|| "no verdict".to_owned(), |verdict| format!("{verdict:?}"));
    let words = format!("{}: {verdict}: {}", load_test.name(), said.unwrap_or_default());
    (Exit::of_status(&status), harmless(&words))
}

async fn until(left: Option<Duration>) {
    match left {
        Some(left) => sleep(left).await,
        None => std::future::pending().await,
    }
}

/// Reason and message of what it is doing, or waiting for.
pub(super) fn why(status: Option<&LoadTestStatus>) -> Option<(&str, &str)> {
    let condition = status?.condition(PROGRESSING)?;
    Some((condition.reason.as_deref()?, condition.message.as_deref().unwrap_or_default()))
}

/// Why there is no use in waiting, after it stood like this for so long.
fn hopeless(
    connection: &Connection,
    name: &str,
    status: Option<&LoadTestStatus>,
    stands: Duration,
) -> Option<Failure> {
    match why(status) {
        None if stands >= UNSEEN => Some(Failure::cluster(format!(
            "no operator has looked at the load test {name} for {} s: does one run? {}",
            UNSEEN.as_secs(),
            connection.in_namespace(OPERATOR).kubectl("get pods")
        ))),
        Some((reason, message)) if TO_BE_MENDED.contains(&reason) && stands >= MENDING => {
            Some(Failure::usage(format!("the load test {name} cannot start: {reason}: {message}")))
        }
        _ => None,
    }
}
