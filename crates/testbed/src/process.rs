//! Child processes of tests, which never outlive them: also when a test is killed.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result};

/// A request to the thread that starts children, and where the answer goes.
type Request = (Command, mpsc::Sender<std::io::Result<Child>>);

/// The kernel ends a child with the *thread* that started it, so one thread starts them all and lives as long as the
/// process does.
static NURSERY: LazyLock<Mutex<mpsc::Sender<Request>>> = LazyLock::new(|| {
    let (sender, requests) = mpsc::channel::<Request>();
    thread::spawn(move || {
        for (mut command, answer) in requests {
            // nobody waits for the answer only if the asking thread has panicked
            let _ = answer.send(command.spawn());
        }
    });
    Mutex::new(sender)
});

/// Starts a program that the kernel kills when this process ends, however it ends. Its output goes to `log`.
///
/// # Errors
/// The program or the log's folder is missing.
pub fn start(program: &Path, args: &[String], environment: &[(&str, &str)], log: &Path) -> Result<Child> {
    let output = File::create(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .arg(program)
        .args(args)
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let (answer, child) = mpsc::channel();
    NURSERY
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .send((command, answer))
        .context("the thread that starts children is gone")?;
    child
        .recv()
        .context("the thread that starts children is gone")?
        .with_context(|| format!("cannot start setpriv (Debian: util-linux) for {}", program.display()))
}

/// Sends a signal: `STOP`, `CONT`, `TERM`.
///
/// # Errors
/// The child has ended, or there is no such signal.
pub fn signal(child: &Child, signal: &str) -> Result<()> {
    let pid = child.id().to_string();
    let status = Command::new("kill")
        .args(["-s", signal, &pid])
        .stdin(Stdio::null())
        .status()
        .context("cannot start kill (Debian: procps)")?;
    anyhow::ensure!(status.success(), "process {pid} did not take SIG{signal}");
    Ok(())
}

/// No program that a test runs to its end may take longer, in seconds; coreutils' `timeout` ends it.
const PATIENCE_SECONDS: u32 = 400;

/// Runs a program to its end and returns what it printed on standard output.
///
/// # Errors
/// It could not be started, took too long, or ended with another code than 0: then its output is part of the error.
pub fn output(command: &Command) -> Result<String> {
    let mut bounded = Command::new("timeout");
    // in the foreground: a signal to the test's process group must reach what it runs
    bounded.args(["--foreground", "--kill-after=10"]).arg(PATIENCE_SECONDS.to_string());
    bounded.arg(command.get_program());
    bounded.args(command.get_args()).stdin(Stdio::null());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => bounded.env(name, value),
            None => bounded.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        bounded.current_dir(folder);
    }
    let output =
        bounded.output().with_context(|| format!("cannot start timeout (coreutils) for {command:?}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    anyhow::ensure!(
        output.status.success(),
        "{command:?}: {}{}\n{}{}",
        output.status,
        if output.status.code() == Some(124) {
            format!(": not done within {PATIENCE_SECONDS} s")
        } else {
            String::new()
        },
        text(&output.stdout),
        text(&output.stderr)
    );
    Ok(text(&output.stdout))
}
