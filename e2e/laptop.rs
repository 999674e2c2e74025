//! A project in an Artillery of this machine, started as its author types it, against a target of its own: what a load test in the
//! cluster is compared with. Nothing of it comes from the operator.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use testbed::cluster::repository;
use testbed::target::{Arrivals, Counts};
use tokio::sync::oneshot;

/// Longer than any of these projects runs, in seconds.
const PATIENCE_SECONDS: &str = "240";
/// Artillery starts a thread for each processor but one: let there be one, whatever the machine has.
const ONE_THREAD: &str = "--import=data:text/javascript,import%20os%20from%20%22node:os%22;os.cpus=()=>[{}];";

/// What came of it.
pub struct Laptop {
    /// What Artillery printed.
    pub log: String,
    /// What the target counted.
    pub counts: Counts,
    /// When the target was reached, second by second.
    pub arrivals: Vec<Arrivals>,
}

/// Runs `artillery run` with these arguments in a copy of that folder of the repository. `TARGET` in them becomes the address and port of the
/// target.
///
/// # Panics
/// Artillery cannot be started, does not end in time, or prints no summary.
pub async fn on_a_laptop(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Laptop {
    let target = Target::start();
    // TypeScript is compiled beside the script
    let copy = tempfile::tempdir().expect("a folder");
    let project = copy.path().join("project");
    let copied = Command::new("cp").arg("-R").arg(repository().join(folder)).arg(&project).status();
    assert!(copied.expect("cp").success(), "{} is copied", folder.display());

    let (node, artillery) = artillery();
    let mut command = Command::new("timeout");
    command.args(["--foreground", "--kill-after=10", PATIENCE_SECONDS]).arg(node).arg(artillery).arg("run");
    command.args(arguments.iter().map(|argument| argument.replace("TARGET", &target.shop.to_string())));
    command.envs(environment.iter().copied()).env("NODE_OPTIONS", ONE_THREAD);
    command.env("ARTILLERY_DISABLE_TELEMETRY", "1").current_dir(project);
    // the target, and other tests, go on meanwhile
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it is waited for");
    let output = output.expect("timeout, of coreutils");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let log = text(&output.stdout);
    // its code may tell of a check that is meant for all workers together
    let is_whole = matches!(output.status.code(), Some(0 | 1)) && log.contains("Summary report");
    assert!(is_whole, "{}: {}\n{log}{}", folder.display(), output.status, text(&output.stderr));
    Laptop { log, counts: target.tells("/counts").await, arrivals: target.tells("/arrivals").await }
}

/// Node.js and Artillery, as npm has installed them.
fn artillery() -> (PathBuf, PathBuf) {
    let home =
        std::env::var_os("ARTILLERY_HOME").expect("ARTILLERY_HOME: what `hack/artillery 2.0.34` prints");
    let modules = Path::new(&home).join("node_modules");
    let packages = std::fs::read_dir(&modules).expect("packages");
    let mut paths = packages.map(|package| package.expect("a package").path());
    let is_node = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("node-linux-"))
    };
    let node = paths.find(is_node).expect("Node.js among the packages").join("bin/node");
    (node, modules.join("artillery/bin/run"))
}

/// A target in a thread of its own: tests wait for kubectl in theirs.
struct Target {
    shop: SocketAddr,
    admin: SocketAddr,
    /// It ends with this.
    _stop: oneshot::Sender<()>,
}

impl Target {
    fn start() -> Self {
        let listen = || {
            let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
            listener.set_nonblocking(true).expect("a socket");
            (listener.local_addr().expect("an address"), listener)
        };
        let ((shop, service), (admin, numbers)) = (listen(), listen());
        let (stop, stopped) = oneshot::channel::<()>();
        thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = |it| tokio::net::TcpListener::from_std(it).expect("a listener");
                // an error means that its owner is gone: that is the end as well
                let stopped = async { drop(stopped.await) };
                testbed::target::serve(listener(service), listener(numbers), stopped)
                    .await
                    .expect("a target");
            });
        });
        Self { shop, admin, _stop: stop }
    }

    async fn tells<T: serde::de::DeserializeOwned>(&self, path: &str) -> T {
        let admin = format!("http://{}", self.admin).parse().expect("a URL");
        let client = kube::Client::try_from(kube::Config::new(admin)).expect("a client");
        let request = http::Request::get(path).body(Vec::new()).expect("a request");
        client.request(request).await.expect("the target's numbers")
    }
}
