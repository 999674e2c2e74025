//! What is measured: managers, and the bare-minimum client, each a process of its own with the operator's rights.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use testbed::api_server::As;
use testbed::process;
use tokio::time::{Instant, sleep};

use crate::machine::{self, Usage};
use crate::stand::Stand;

/// As in `config/manager`.
const GRACE_PERIOD: Duration = Duration::from_secs(10);

/// A build of the manager.
#[derive(Clone, Debug)]
pub struct Build {
    /// What it is called in the report.
    pub name: String,
    program: PathBuf,
}

impl Build {
    /// The manager that was built with this program.
    pub fn beside_this() -> Result<Self> {
        let program = std::env::current_exe()?.with_file_name("manager");
        anyhow::ensure!(
            program.exists(),
            "there is no {}: build the manager too, or run `make bench`",
            program.display()
        );
        Ok(Self { name: "manager".to_owned(), program })
    }
}

impl FromStr for Build {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) =
            text.split_once('=').ok_or("give NAME=PATH, such as before=target/before/manager")?;
        if !Path::new(path).is_file() {
            return Err(format!("there is no program {path}"));
        }
        Ok(Self { name: name.to_owned(), program: path.into() })
    }
}

/// A running process that is measured; it ends with this.
pub struct Contender {
    /// What it is called in the report.
    pub name: String,
    child: Child,
    /// Its output.
    pub log: PathBuf,
}

impl Contender {
    /// A manager as `config/manager` starts it, on ports of its own, for all namespaces.
    pub fn manager(stand: &Stand, build: &Build) -> Result<Self> {
        let elect = ["--leader-elect", "--leader-election-namespace=artillery-operator-system"];
        Self::start(stand, &build.name, &build.program, &[&elect[..], &SERVERS].concat())
    }

    /// A manager that collects, with the addresses of its collector and of its metrics.
    pub fn collecting(stand: &Stand, build: &Build) -> Result<(Self, SocketAddr, SocketAddr)> {
        let free = || TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let (collector, metrics) = (free()?, free()?);
        let args = [
            "--leader-elect".to_owned(),
            "--leader-election-namespace=artillery-operator-system".to_owned(),
            "--health-probe-bind-address=127.0.0.1:0".to_owned(),
            format!("--metrics-bind-address={metrics}"),
            format!("--collector-bind-address={collector}"),
            format!("--collector-url=https://{collector}"),
        ];
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        Ok((Self::start(stand, &build.name, &build.program, &args)?, collector, metrics))
    }

    /// A manager for one namespace, that does not wait for others to stop leading.
    pub fn manager_of(stand: &Stand, build: &Build, namespace: &str) -> Result<Self> {
        let confined = format!("--namespace={namespace}");
        Self::start(stand, &build.name, &build.program, &[&[confined.as_str()][..], &SERVERS].concat())
    }

    /// The client that does the bare minimum for one namespace.
    pub fn bare(stand: &Stand, namespace: &str) -> Result<Self> {
        Self::start(stand, "bare minimum", &std::env::current_exe()?, &["bare", namespace])
    }

    /// The client that keeps everything in memory; not as the operator, whose calls are counted.
    pub fn reflect(stand: &Stand) -> Result<Self> {
        Self::start_as(As::Admin, stand, "bare minimum", &std::env::current_exe()?, &["reflect"])
    }

    fn start(stand: &Stand, name: &str, program: &Path, args: &[&str]) -> Result<Self> {
        Self::start_as(As::Operator, stand, name, program, args)
    }

    fn start_as(who: As, stand: &Stand, name: &str, program: &Path, args: &[&str]) -> Result<Self> {
        let kubeconfig = stand.server.kubeconfig(who).display().to_string();
        let environment = [
            ("KUBECONFIG", kubeconfig.as_str()),
            ("POD_NAME", name),
            ("POD_NAMESPACE", "artillery-operator-system"),
            ("RUST_LOG", "info"),
            // as config/manager has it
            ("MALLOC_MMAP_THRESHOLD_", "131072"),
            ("MALLOC_TRIM_THRESHOLD_", "131072"),
            ("MALLOC_ARENA_MAX", "2"),
        ];
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        // one is started again and again: what the earlier ones said must stay
        let log =
            (0..).map(|n| stand.file(&format!("{name}-{n}.log").replace(' ', "-"))).find(|log| !log.exists());
        let log = log.context("no name for a log")?;
        let child = process::start(program, &args, &environment, &log)?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// What it takes now.
    pub fn usage(&self) -> Result<Usage> {
        machine::usage(self.child.id()).with_context(|| format!("see {}", self.log.display()))
    }

    /// Ends it as Kubernetes does, by SIGTERM, so that it gives its Lease back.
    pub async fn terminate(mut self) -> Result<()> {
        process::output(Command::new("kill").arg(self.child.id().to_string()))?;
        let deadline = Instant::now() + GRACE_PERIOD;
        while self.child.try_wait()?.is_none() {
            anyhow::ensure!(
                Instant::now() < deadline,
                "{} does not end, see {}",
                self.name,
                self.log.display()
            );
            sleep(Duration::from_millis(50)).await; // poll interval, bounded above
        }
        Ok(())
    }
}

/// As in `config/manager`, but for the ports, which the machine may need for others.
const SERVERS: [&str; 4] = [
    "--health-probe-bind-address=127.0.0.1:0",
    "--metrics-bind-address=127.0.0.1:0",
    "--metrics-secure-bind-address=127.0.0.1:0",
    "--collector-bind-address=127.0.0.1:0",
];

impl Drop for Contender {
    fn drop(&mut self) {
        // it may have ended; then there is nothing to end
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
