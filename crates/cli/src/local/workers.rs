//! Workers as processes of this machine: started, told to end, and waited for. None outlives this program, also when it is killed.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use loadtest::api::Hooks;
use loadtest::process::{self, PLUGIN, Reporting};
use loadtest::reporter::FILES;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::exit::Failure;
use crate::local::artillery::Found;
use crate::terminal::say;

/// Preloaded by Node: ends a worker, and what it started, soon after the program that is its parent is gone; a parent that was killed cannot
/// do it, and nobody can ask Artillery to. The parent's number stays in the process table until it is waited for, so a worker looks
/// whether it has been given to another parent, too.
const LEASH: &str = "--import=data:text/javascript,import{isMainThread}from'node:worker_threads';\
    const%20ours=Number(process.env.LOADTEST_PARENT),first=process.ppid===1?ours:process.ppid;\
    const%20look=()=>{try{process.kill(ours,0);if(process.ppid===first)return}catch{}process.kill(process.pid,'SIGKILL')};\
    if(isMainThread){look();setInterval(look,250).unref()}";
/// A worker that is asked to end may take so many seconds.
const GRACE_PERIOD_SECONDS: i64 = 60;
/// So many bytes of the end of a failed worker's output are shown.
const TAIL: u64 = 2000;

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
        let mut workers =
            Self { running: JoinSet::new(), signals: BTreeMap::new(), folder: common.folder.to_owned() };
        for (index, token) in (0..).zip(tokens) {
            let child = spawn(common, index, token)?;
            let (signal, signals) = unbounded_channel();
            workers.signals.insert(index, signal);
            let log = log_of(common.folder, index);
            let shown = common.shows_logs.then_some(index);
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
    shown: Option<u32>,
) -> std::io::Result<ExitStatus> {
    let log = tokio::fs::File::create(log).await?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (lines, mut printed) = unbounded_channel();
    for output in [stdout.map(boxed), stderr.map(boxed)].into_iter().flatten() {
        let lines = lines.clone();
        tokio::spawn(async move {
            let mut reader = BufReader::new(output);
            let mut line = Vec::new();
            while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
                if lines.send(std::mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });
    }
    drop(lines);
    let keeping = tokio::spawn(async move {
        let mut log = log;
        while let Some(line) = printed.recv().await {
            if let Some(index) = shown {
                let text = String::from_utf8_lossy(&line);
                say(format_args!("worker-{index} | {}", text.trim_end_matches('\n')));
            }
            log.write_all(&line).await?;
        }
        log.flush().await
    });
    let status = loop {
        tokio::select! {
            status = child.wait() => break status,
            Some(signal) = signals.recv() => {
                // it has not been waited for, so the number is its own
                if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
                    // it may have ended meanwhile
                    let _ = kill(Pid::from_raw(pid), signal);
                }
            }
        }
    };
    // what it started may still hold its output open
    let _ = tokio::time::timeout(std::time::Duration::from_secs(1), keeping).await;
    status
}

fn boxed(output: impl AsyncRead + Send + Unpin + 'static) -> Box<dyn AsyncRead + Send + Unpin> {
    Box::new(output)
}
