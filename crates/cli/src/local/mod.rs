//! A load test on this machine: the collector, the start, the merge and the checks are those of a cluster; only the workers are processes.

pub mod artillery;
mod edge;
pub mod resolve;
mod workers;

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use collector::session::{Facts, StartFacts};
use collector::{Collector, Conclusion, Ended, Limits, TestRef, Transport, serve};
use loadtest::process;
use metrics::delivery;
use metrics::report::Report;
use metrics::verdict::{EXPECTATIONS_FAILED, End};
use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::flags::Run;
use crate::progress::{Progress, Running, Schedule, Seen};
use crate::project::Project;
use crate::signals::Signals;
use crate::terminal::{harmless_lines, say};
use artillery::Found;
pub use edge::random_hex;
use edge::{Memory, Tokens};
use workers::{Common, Workers};

/// Workers that were asked to end and do not are killed so long after; they may need 60 s.
const PATIENCE: Duration = Duration::from_secs(75);
/// How often there is a look at how it goes.
const LOOK: Duration = Duration::from_secs(1);

/// A load test that is over.
pub struct Ran {
    conclusion: Option<Conclusion>,
    name: String,
    workers: u32,
    distribution: delivery::Distribution,
    exit_codes: BTreeMap<u32, i32>,
    ended_at: Option<u64>,
    /// Whether its user ended it before its time.
    pub is_interrupted: bool,
}

impl Ran {
    /// The report of what was received.
    pub fn report(&self) -> Report<'_> {
        let ended = Ended {
            name: &self.name,
            namespace: None,
            uid: None,
            planned: self.workers,
            may_be_missing: 0,
            distribution: self.distribution,
            end: if self.is_interrupted { End::Stopped } else { End::ByItself },
            exit_codes: &self.exit_codes,
            why_nothing: self.conclusion.is_none().then(|| {
                "no worker reported: Artillery ended before, or could not load the reporter".to_owned()
            }),
            at: self.ended_at,
        };
        collector::report(&ended, self.conclusion.as_ref())
    }
}

/// Runs it to its end, and shows how it goes on standard error.
///
/// # Errors
/// What keeps it from starting; or it was interrupted before, or twice.
pub async fn run(flags: &Run, project: &Project, signals: &mut Signals) -> Result<Ran, Failure> {
    let found = Found::find(flags.executable.as_deref(), signals).await?;
    let folder = private_folder()?;
    let name = flags.name.as_deref().unwrap_or(project.stem());
    let shared = delivery::Distribution::from(flags.distribution());
    let uid = random_hex()?;
    let test = TestRef { uid: uid.clone(), namespace: "local".to_owned(), name: name.to_owned() };
    let timeout = Duration::from_secs(u64::from(flags.start_timeout().unsigned_abs()));
    let (tokens, secrets) = Tokens::draw(test.clone(), flags.count(), timeout, shared)?;
    let stop = CancellationToken::new();
    let _stop = stop.clone().drop_guard();
    let listening = signals.unless(listen(tokens, &stop)).await;
    let (collector, address) =
        listening.ok_or_else(|| Failure::interrupted("interrupted: nothing was started"))??;
    let script = project.script.display().to_string();
    let common = Common {
        artillery: &found,
        arguments: process::arguments(
            script,
            project.environment.as_deref(),
            &project.artillery,
            str::to_owned,
        ),
        uid: &uid,
        name,
        collector: &address,
        start_timeout_seconds: flags.start_timeout(),
        distribution: flags.distribution().into(),
        hooks: flags.hooks(),
        folder: folder.path(),
        shows_logs: flags.logs,
    };
    let workers = Workers::start(&common, &secrets)?;
    let mut ran = Ran {
        conclusion: None,
        name: name.to_owned(),
        workers: flags.count(),
        distribution: shared,
        exit_codes: BTreeMap::new(),
        ended_at: None,
        is_interrupted: false,
    };
    let failed = follow(workers, &collector, &test, &mut ran, signals).await?;
    ran.ended_at =
        SystemTime::now().duration_since(UNIX_EPOCH).ok().and_then(|at| at.as_millis().try_into().ok());
    let conclusion = collector.conclude(&test).await;
    ran.conclusion = conclusion.map_err(|error| Failure::internal(format!("there is no report: {error}")))?;
    if let Some(tail) = failed {
        say(harmless_lines(&tail));
        keep(folder);
    }
    Ok(ran)
}

/// A folder that only its user can look into: it has tokens.
fn private_folder() -> Result<TempDir, Failure> {
    let mut builder = tempfile::Builder::new();
    let made = builder.prefix("kubectl-artillery-").permissions(Permissions::from_mode(0o700)).tempdir();
    made.map_err(|error| Failure::internal(format!("cannot make a folder for its files: {error}")))
}

/// Leaves the logs to whoever wants to read more.
fn keep(folder: TempDir) {
    let path = folder.keep();
    let _: std::io::Result<()> = remove_secrets(&path);
    say(format_args!("All that the workers printed: {}/worker-*.log", path.display()));
}

/// They are of no use any more.
fn remove_secrets(folder: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("token-")) {
            std::fs::remove_file(path)?;
        }
    }
    std::fs::remove_dir_all(folder.join(process::PLUGIN))
}

type Here = Collector<Tokens, Memory>;

/// A collector on a free port of loopback, until `stop`, and its address.
async fn listen(tokens: Tokens, stop: &CancellationToken) -> Result<(Here, String), Failure> {
    let cannot = |error: std::io::Error| Failure::internal(format!("cannot listen on 127.0.0.1: {error}"));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(cannot)?;
    let address = format!("http://{}", listener.local_addr().map_err(cannot)?);
    let collector = Collector::new(tokens, Memory::default());
    collector.set_leading(true);
    let (saver, stopped) = (collector.clone(), stop.clone());
    tokio::spawn(async move { saver.run(stopped).await });
    let (router, counters) = (collector.router(), collector.counters());
    tokio::spawn(serve(listener, router, Transport::Plain, Limits::default(), counters, stop.clone()));
    Ok((collector, address))
}

/// Waits until all workers have ended. Returns the end of what the first one printed that failed by itself.
async fn follow(
    mut workers: Workers,
    collector: &Here,
    test: &TestRef,
    ran: &mut Ran,
    signals: &mut Signals,
) -> Result<Option<String>, Failure> {
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut progress = Progress::begin(Instant::now().into_std());
    let mut failed = None;
    let mut patience: Option<Instant> = None;
    loop {
        tokio::select! {
            ended = workers.next_end() => match ended {
                None => break,
                Some((index, code)) => {
                    ran.exit_codes.insert(index, code);
                    collector.ended(test, [index]);
                    if ![0, EXPECTATIONS_FAILED].contains(&code) && failed.is_none() && !ran.is_interrupted {
                        failed = Some(format!(
                            "Worker {index} ended with exit code {code}. The end of what it printed:\n{}",
                            workers.tail(index)
                        ));
                    }
                }
            },
            _ = look.tick() => {
                let (facts, now) = (collector.facts(test), Instant::now().into_std());
                if let Some(since) = facts.as_ref().and_then(|facts| under_load_since(facts, now)) {
                    progress.under_load_since(since);
                }
                progress.show(&seen(facts.as_ref(), ran.workers, workers.running()), now);
            }
            () = until(patience) => {
                progress.say("The workers that still run are killed, for they do not end");
                workers.signal(Signal::SIGKILL);
                patience = None;
            }
            () = signals.next() => {
                if ran.is_interrupted {
                    let running = workers.running();
                    // they are killed with what holds them
                    drop(workers);
                    progress.end();
                    return Err(Failure::interrupted(format!("left at once: {running} workers were killed, and there is no report")));
                }
                ran.is_interrupted = true;
                patience = Some(Instant::now() + PATIENCE);
                progress.say("Stopping: the workers end, and what they measured is reported (again to leave at once)");
                // who is not asked in the answer to what it sends has the signal
                collector.stop(test);
                workers.signal(Signal::SIGTERM);
            }
        }
    }
    // who does not wait for the rest of what they printed has heard enough
    let _ = signals.unless(workers.all_shown()).await;
    progress.end();
    Ok(failed)
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// When the workers began together; now where that is yet to come.
fn under_load_since(facts: &Facts, now: std::time::Instant) -> Option<std::time::Instant> {
    let StartFacts::Released { at, .. } = facts.start else { return None };
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.checked_sub(unix.saturating_sub(Duration::from_micros(at.micros())))
}

/// What is to be seen of a load test of so many workers, of which so many still run.
fn seen(facts: Option<&Facts>, planned: u32, running: usize) -> Seen {
    let Some(facts) = facts.filter(|facts| matches!(facts.start, StartFacts::Released { .. })) else {
        let joined = facts.map_or(0, |facts| facts.joined);
        return Seen::Waiting(format!("waiting for the start: {joined} of {planned} workers joined"));
    };
    let vusers = facts.vusers;
    Seen::Running(Running {
        workers: format!("{running} of {planned} workers run"),
        schedule: facts.phases.as_deref().map(Schedule::from).unwrap_or_default(),
        planned_vusers: None,
        vusers: [vusers.created, vusers.completed, vusers.failed],
        requests: facts.requests,
        requests_per_second: facts.requests_per_second,
        response_time: facts.response_time.map(|times| [times.p50, times.p95, times.p99]),
        errors: facts.errors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn before_anything_is_known_it_is_said_what_is_waited_for() {
        let said = "waiting for the start: 0 of 2 workers joined".to_owned();
        assert_eq!(seen(None, 2, 2), Seen::Waiting(said));
    }

    #[test]
    fn only_its_user_can_look_into_the_folder_with_the_tokens() {
        let folder = private_folder().expect("a folder");
        let mode = folder.path().metadata().expect("it is there").permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
    }
}
