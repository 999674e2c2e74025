//! Workers as processes of this machine: started, told to end, and waited for. None outlives this program, also when it is killed.
//! What they print is kept in files, and shown by a thread of its own: a reader that is slow keeps those waiting who print, and nobody else.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use loadtest::api::Hooks;
use loadtest::process::{self, PLUGIN, Reporting};
use loadtest::reporter::FILES;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::exit::Failure;
use crate::local::artillery::Found;
use crate::terminal::say;

/// Preloaded by Node: ends a worker, and what it started, soon after the program that is its parent is gone; a parent that was killed cannot
/// do it, and nobody can ask Artillery to. The parent's number stays in the process table until it is waited for, so a worker looks
/// whether it has been given to another parent, too.
const LEASH: &str = "--import=data:text/javascript,import{isMainThread}from'node:worker_threads';\
    const%20ours=Number(process.env.LOADTEST_PARENT),first=process.ppid===1?ours:process.ppid;\
    const%20look=()=>{try{process.kill(ours,0);if(process.ppid===first)return}catch{}\
    try{process.kill(-process.pid,'SIGKILL')}catch{process.kill(process.pid,'SIGKILL')}};\
    if(isMainThread){look();setInterval(look,250).unref()}";
/// A worker that is asked to end may take so many seconds.
const GRACE_PERIOD_SECONDS: i64 = 60;
/// So many bytes of the end of a failed worker's output are shown.
const TAIL: u64 = 2000;

/// So many lines of each worker, and of all together, wait for whoever reads more slowly than they print; then the worker waits, as any program
/// does whose output is not read.
const LINES: usize = 256;
/// What a worker started may still hold its output open; and whoever reads what it printed is waited for so long, before the rest is kept alone.
const LAST_LINES: Duration = Duration::from_secs(1);

/// What all workers have in common.
pub struct Common<'a> {
    /// The Artillery that they run.
    pub artillery: &'a Found,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// What a script sees as `$testId`.
    pub uid: &'a str,
    /// What the load test is called.
    pub name: &'a str,
    /// `http://127.0.0.1:PORT`.
    pub collector: &'a str,
    /// How long they wait for each other, in seconds.
    pub start_timeout_seconds: i32,
    /// Whether they share the load.
    pub distribution: loadtest::api::Distribution,
    /// Where the script's hooks run.
    pub hooks: Hooks,
    /// Where tokens, logs and the reporter lie: only its user can look into it.
    pub folder: &'a Path,
    /// Whether what they print is printed, too.
    pub shows_logs: bool,
}

/// The workers that were started.
pub struct Workers {
    running: JoinSet<(u32, std::io::Result<ExitStatus>)>,
    signals: BTreeMap<u32, UnboundedSender<Signal>>,
    folder: PathBuf,
    /// Resolves when all that is to be shown is.
    shown: Option<oneshot::Receiver<()>>,
}

impl Workers {
    /// Starts a worker for each token.
    ///
    /// # Errors
    /// One cannot be started; those that were are killed.
    pub fn start(common: &Common<'_>, tokens: &[String]) -> Result<Self, Failure> {
        let plugin = common.folder.join(PLUGIN);
        fs::create_dir(&plugin).map_err(|error| Failure::file("make", &plugin, &error))?;
        for (name, text) in FILES {
            let file = plugin.join(name);
            fs::write(&file, text).map_err(|error| Failure::file("write", &file, &error))?;
        }
        let (show, shown) = if common.shows_logs { Some(show()?) } else { None }.unzip();
        let folder = common.folder.to_owned();
        let mut workers = Self { running: JoinSet::new(), signals: BTreeMap::new(), folder, shown };
        for (index, token) in (0..).zip(tokens) {
            let child = spawn(common, index, token)?;
            let (signal, signals) = unbounded_channel();
            workers.signals.insert(index, signal);
            let log = log_of(common.folder, index);
            let shown = show.clone().map(|show| (index, show));
            workers.running.spawn(async move { (index, attend(child, signals, &log, shown).await) });
        }
        Ok(workers)
    }

    /// Waits for the next worker that ends: its completion index, and its exit code, 128 and more for a signal. `None` once all have.
    pub async fn next_end(&mut self) -> Option<(u32, i32)> {
        let (index, status) = self.running.join_next().await?.ok()?;
        self.signals.remove(&index);
        let code = status.map_or(1, |status| {
            status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
        });
        Some((index, code))
    }

    /// Waits until all that those printed that have ended is shown.
    pub async fn all_shown(&mut self) {
        if let Some(shown) = self.shown.take() {
            // it is dropped in the end
            let _ = shown.await;
        }
    }

    /// Sends a signal to all that run.
    pub fn signal(&self, signal: Signal) {
        for worker in self.signals.values() {
            // one that has just ended does not listen any more
            let _ = worker.send(signal);
        }
    }

    /// How many run.
    pub fn running(&self) -> usize {
        self.signals.len()
    }

    /// The end of what a worker printed.
    pub fn tail(&self, index: u32) -> String {
        let read = || -> std::io::Result<String> {
            let mut file = File::open(log_of(&self.folder, index))?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            Ok(String::from_utf8_lossy(&bytes).into_owned())
        };
        read().unwrap_or_else(|error| format!("(its log cannot be read: {error})"))
    }
}

/// Begins to show lines. Returns where they are put, and what tells that they are all shown once nobody puts any more there.
fn show() -> Result<(Sender<String>, oneshot::Receiver<()>), Failure> {
    let (show, mut lines) = channel::<String>(LINES);
    let (done, shown) = oneshot::channel::<()>();
    let showing = move || {
        while let Some(line) = lines.blocking_recv() {
            say(line);
        }
        drop(done);
    };
    let thread = std::thread::Builder::new().name("logs".to_owned()).spawn(showing);
    thread.map_err(|error| Failure::internal(format!("cannot start a thread for --logs: {error}")))?;
    Ok((show, shown))
}

/// Where what a worker prints is kept.
fn log_of(folder: &Path, index: u32) -> PathBuf {
    folder.join(format!("worker-{index}.log"))
}

fn spawn(common: &Common<'_>, index: u32, token: &str) -> Result<Child, Failure> {
    let token_file = common.folder.join(format!("token-{index}"));
    fs::write(&token_file, token).map_err(|error| Failure::file("write", &token_file, &error))?;
    let theirs = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let node_options = [Some(LEASH.to_owned()), theirs("NODE_OPTIONS")];
    let node_options = node_options.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let (plugins, plugin_path) = (theirs("ARTILLERY_PLUGINS"), theirs("ARTILLERY_PLUGIN_PATH"));
    let reporting = Reporting {
        collector: common.collector,
        folder: common.folder.to_str().unwrap_or_default(),
        token_file: token_file.display().to_string(),
        ca_file: None,
        start_timeout_seconds: common.start_timeout_seconds,
        grace_period_seconds: GRACE_PERIOD_SECONDS,
        distribution: common.distribution,
        hooks: common.hooks,
        plugins: plugins.as_deref(),
        plugin_path: plugin_path.as_deref(),
    };
    let mut command = Command::from(common.artillery.command());
    command
        .args(&common.arguments)
        .envs(process::variables(common.uid, Some(&node_options)))
        .envs(reporting.variables())
        .env("LOADTEST_PARENT", std::process::id().to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // a Ctrl-C is for this program alone, which tells the workers
        .process_group(0)
        .kill_on_drop(true);
    if theirs("ARTILLERY_CLOUD_API_KEY").is_none() {
        // as in a pod; with such a key Artillery would take it for a worker of its cloud's
        command.env("WORKER_ID", format!("{}-{index}", common.name));
    }
    command.spawn().map_err(|error| {
        Failure::usage(format!("{} cannot be started: {error}", common.artillery.program.display()))
    })
}

/// Keeps what a worker prints, and passes signals on, until it has ended.
async fn attend(
    mut child: Child,
    mut signals: UnboundedReceiver<Signal>,
    log: &Path,
    shown: Option<(u32, Sender<String>)>,
) -> std::io::Result<ExitStatus> {
    let log = tokio::fs::File::create(log).await?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (lines, mut printed) = channel(LINES);
    for output in [stdout.map(boxed), stderr.map(boxed)].into_iter().flatten() {
        let lines = lines.clone();
        tokio::spawn(async move {
            let mut reader = BufReader::new(output);
            let mut line = Vec::new();
            while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
                if lines.send(std::mem::take(&mut line)).await.is_err() {
                    break;
                }
            }
        });
    }
    drop(lines);
    let late = CancellationToken::new();
    let is_late = late.clone();
    let mut keeping = tokio::spawn(async move {
        let (mut log, mut shown) = (log, shown);
        loop {
            let line = tokio::select! {
                line = printed.recv() => line,
                () = is_late.cancelled(), if shown.is_some() => {
                    shown = None;
                    continue;
                }
            };
            let Some(line) = line else { return log.flush().await };
            log.write_all(&line).await?;
            if let Some((index, show)) = &shown {
                let text = String::from_utf8_lossy(&line);
                let text = format!("worker-{index} | {}", text.trim_end_matches('\n'));
                // who takes no more does not want it
                let _ = is_late.run_until_cancelled(show.send(text)).await;
            }
        }
    });
    let mut group = Group(child);
    let status = loop {
        tokio::select! {
            status = group.0.wait() => break status,
            Some(signal) = signals.recv() => group.signal(signal),
        }
    };
    if timeout(LAST_LINES, &mut keeping).await.is_err() {
        late.cancel();
        let _ = timeout(LAST_LINES, keeping).await;
    }
    status
}

/// A worker, and what it has started, which is killed with it where nobody waits for its end any more.
struct Group(Child);

impl Group {
    /// Sends a signal: who is to end in order ends what it has started by itself.
    fn signal(&self, signal: Signal) {
        // it has not been waited for, so the number is its own
        let Some(pid) = self.0.id().and_then(|pid| i32::try_from(pid).ok()) else { return };
        let of_all = if signal == Signal::SIGKILL { -pid } else { pid };
        // it may have ended meanwhile
        let _ = kill(Pid::from_raw(of_all), signal);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

fn boxed(output: impl AsyncRead + Send + Unpin + 'static) -> Box<dyn AsyncRead + Send + Unpin> {
    Box::new(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printing(script: &str) -> Child {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true).spawn().expect("a shell")
    }

    #[tokio::test]
    async fn a_reader_that_pauses_keeps_a_worker_waiting_and_costs_no_line_of_its_log() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = log_of(folder.path(), 0);
        let lines = || fs::read_to_string(&log).expect("a log").lines().count();
        // nobody takes what is put there
        let (show, _shown) = channel(1);
        let (_signal, signals) = unbounded_channel();
        let status = attend(printing("seq 100"), signals, &log, Some((0, show.clone()))).await;
        assert!(status.expect("it ended").success());
        assert_eq!(lines(), 100, "the rest is kept alone");

        let (signal, signals) = unbounded_channel();
        let attended = attend(printing("seq 1000000"), signals, &log, Some((0, show)));
        let killed = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            signal.send(Signal::SIGKILL).expect("it is waited for");
        };
        let (status, ()) = tokio::join!(attended, killed);
        assert_eq!(status.expect("it ended").signal(), Some(9), "it waited, and nothing else did");
        assert!(lines() < 1_000_000);
    }

    #[tokio::test]
    async fn what_a_worker_has_started_is_killed_with_it() {
        let folder = tempfile::tempdir().expect("a folder");
        for is_left in [false, true] {
            let log = log_of(folder.path(), 0);
            let (signal, signals) = unbounded_channel();
            let child = printing("sleep 600 & echo $!; wait");
            let attended = tokio::spawn(async move { attend(child, signals, &log, None).await });
            let begun = async || loop {
                let told = fs::read_to_string(log_of(folder.path(), 0)).unwrap_or_default();
                if let Ok(pid) = told.trim().parse::<i32>() {
                    return Pid::from_raw(pid);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            let started = timeout(Duration::from_secs(30), begun()).await.expect("it tells its number");
            if is_left {
                attended.abort();
                assert!(attended.await.is_err());
            } else {
                signal.send(Signal::SIGKILL).expect("it is waited for");
                attended.await.expect("no panic").expect("it ended");
            }
            let gone = async || {
                while is_running(started) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            timeout(Duration::from_secs(30), gone()).await.expect("it is killed");
            fs::remove_file(log_of(folder.path(), 0)).expect("a log");
        }
    }

    /// One that nobody has waited for yet is none any more.
    fn is_running(pid: Pid) -> bool {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
    }
}
