//! A target that counts, a folder with a script, and the real program with the real Artillery.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Artillery takes seconds to start on a busy machine.
pub const SOON: Duration = Duration::from_secs(60);

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// The Artillery of `hack/artillery`.
pub fn artillery() -> PathBuf {
    let home = std::env::var("ARTILLERY_HOME").expect("ARTILLERY_HOME: what `hack/artillery 2.0.34` prints");
    Path::new(&home).join("node_modules/artillery/bin/run")
}

pub struct Bed {
    pub folder: TempDir,
    admin: SocketAddr,
}

impl Bed {
    /// With a script of these phases and this flow, and more of its config; `TARGET` in it is the target.
    pub fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (target, admin) = RUNTIME.block_on(async {
            let bind = async || TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
            let (service, admin) = (bind().await, bind().await);
            let addresses = (service.local_addr().expect("it"), admin.local_addr().expect("it"));
            tokio::spawn(testbed::target::serve(service, admin, std::future::pending()));
            addresses
        });
        fs::create_dir(folder.path().join("tmp")).expect("a folder");
        let bed = Self { folder, admin };
        bed.write("script.yaml", &script.replace("TARGET", &format!("http://{target}")));
        bed
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("a file");
    }

    /// `run script.yaml --local` with these arguments more.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-artillery"));
        command
            .args(["run", "script.yaml", "--local", "--artillery"])
            .arg(artillery())
            .args(arguments)
            .current_dir(self.folder.path())
            .env("TMPDIR", self.folder.path().join("tmp"))
            .env_remove("NODE_OPTIONS")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Ended {
        Ended::of(self.command(arguments).output().expect("it runs"))
    }

    /// What comes of another command.
    pub fn report_command(&self, arguments: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-artillery"));
        Ended::of(command.args(arguments).current_dir(self.folder.path()).output().expect("it runs"))
    }

    /// What the target counted.
    pub fn seen(&self) -> u64 {
        self.counts()["total"].as_u64().expect("a number")
    }

    pub fn counts(&self) -> Value {
        let mut stream = TcpStream::connect(self.admin).expect("the target");
        stream.write_all(b"GET /counts HTTP/1.0\r\n\r\n").expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        serde_json::from_str(answer.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
    }

    /// Waits until the target has seen so many requests.
    pub fn until_seen(&self, requests: u64) {
        until("load", || self.seen() >= requests);
    }

    pub fn report(&self, name: &str) -> Value {
        let text = fs::read(self.folder.path().join(name)).expect("a report");
        serde_json::from_slice(&text).expect("JSON")
    }

    /// What is left of runs.
    pub fn left(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.folder.path().join("tmp")).expect("the folder");
        entries
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.to_string_lossy().contains("kubectl-artillery"))
            .collect()
    }
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// The processes that a process has started and that run, theirs included.
pub fn descendants(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> = lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect();
    children.iter().copied().flat_map(|child| std::iter::once(child).chain(descendants(child))).collect()
}

/// Whether a process runs: one that has ended, and that nobody has waited for, does not.
pub fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub fn signal(pid: u32, signal: &str) {
    let status = Command::new("kill").args([&format!("-{signal}"), &pid.to_string()]).status();
    assert!(status.expect("kill").success(), "kill -{signal} {pid}");
}

/// Waits until a line on its standard error has that in it.
pub fn until_said(child: &mut Child, said: &str) {
    let mut all = String::new();
    let mut byte = [0];
    let stderr = child.stderr.as_mut().expect("it is piped");
    while !all.contains(said) {
        let read = stderr.read(&mut byte).expect("readable");
        assert!(read > 0, "{said:?} was not said in {all}");
        all.push(char::from(byte[0]));
    }
}

pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}: not in {SOON:?}");
        std::thread::sleep(Duration::from_millis(50)); // between two looks
    }
}

pub fn wait(child: Child) -> Ended {
    Ended::of(child.wait_with_output().expect("it ends"))
}
