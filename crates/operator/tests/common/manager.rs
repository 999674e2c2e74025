//! A manager as a process, with the operator's rights, for the tests that start, signal and kill it.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant};

use testbed::api_server::As;
use testbed::eventually::eventually;
use testbed::process;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::bed::{API, SOON};

/// How much of a manager's log is told where a test fails.
const LINES_TOLD: usize = 40;

/// A manager; it is killed when this is dropped.
pub struct Manager {
    pub child: Child,
    pub name: String,
    pub health: SocketAddr,
    pub metrics: SocketAddr,
    pub collector: SocketAddr,
    log: PathBuf,
}

impl Manager {
    /// In a pod of that name.
    pub fn start(name: &str, more: &[&str]) -> Self {
        Self::start_as(As::Operator, name, more)
    }

    pub fn start_as(who: As, name: &str, more: &[&str]) -> Self {
        Self::start_by(&API.kubeconfig(who), name, more)
    }

    /// With that kubeconfig.
    pub fn start_by(kubeconfig: &Path, name: &str, more: &[&str]) -> Self {
        Self::start_with(kubeconfig, name, &[], more)
    }

    /// Installed in that namespace, with that kubeconfig.
    pub fn start_installed(namespace: &str, kubeconfig: &Path, name: &str, more: &[&str]) -> Self {
        Self::start_with(kubeconfig, name, &[("POD_NAMESPACE", namespace)], more)
    }

    /// In a pod of that name and UID: another one of the same is its restarted container.
    pub fn start_in_pod(name: &str, uid: &str, more: &[&str]) -> Self {
        Self::start_with(&API.kubeconfig(As::Operator), name, &[("POD_UID", uid)], more)
    }

    fn start_with(kubeconfig: &Path, name: &str, variables: &[(&str, &str)], more: &[&str]) -> Self {
        let [health, metrics, collector] = free_addresses();
        let mut args = vec![
            format!("--health-probe-bind-address={health}"),
            format!("--metrics-bind-address={metrics}"),
            format!("--collector-bind-address={collector}"),
        ];
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.log"));
        let mut environment = vec![
            ("KUBECONFIG", kubeconfig.to_str().expect("a path")),
            ("POD_NAME", name),
            ("POD_NAMESPACE", crate::bed::SYSTEM),
            ("POD_IP", "192.0.2.1"), // for documentation: nobody is there, and no EndpointSlice may have a loopback address
        ];
        environment.extend(variables);
        let program = Path::new(env!("CARGO_BIN_EXE_manager"));
        let child = process::start(program, &args, &environment, &log).expect("a manager");
        Self { child, name: name.to_owned(), health, metrics, collector, log }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).expect("a log")
    }

    /// Waits until it knows all there is, or stands by.
    pub async fn until_ready(&self) {
        let ready = async || get(self.health, "/readyz").await;
        eventually("ready", SOON, ready, |answer| {
            answer.as_ref().is_some_and(|(status, _)| status.contains("200"))
        })
        .await;
    }

    /// SIGTERM, and how long it took to end with which code.
    pub fn terminate(&mut self) -> (Duration, Option<i32>) {
        let began = Instant::now();
        process::signal(&self.child, "TERM").expect("a signal");
        let status = self.child.wait().expect("an end");
        (began.elapsed(), status.code())
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("dead");
    }

    /// SIGSTOP: it does nothing, and does not know.
    pub fn freeze(&self) {
        process::signal(&self.child, "STOP").expect("a signal");
    }

    /// SIGCONT.
    pub fn wake(&self) {
        process::signal(&self.child, "CONT").expect("a signal");
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let ended = self.child.try_wait().ok().flatten();
            let state =
                ended.map_or_else(|| "it runs".to_owned(), |status| format!("it had ended: {status}"));
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<_> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(LINES_TOLD)..];
            eprintln!("--- manager {} ({state}), the end of its log:\n{}", self.name, last.join("\n"));
        }
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// Addresses where nobody listens, all different.
pub fn free_addresses<const N: usize>() -> [SocketAddr; N] {
    let held = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    held.each_ref().map(|listener| listener.local_addr().expect("an address"))
}

/// The status line and body of a GET, or nothing while nobody listens.
pub async fn get(address: SocketAddr, path: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nHost: m\r\nConnection: close\r\n\r\n").as_bytes())
        .await
        .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), body.to_owned()))
}
