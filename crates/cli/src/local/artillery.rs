//! Which Artillery runs: the one that is named, the one on the PATH, or one that is installed once from npm, with a Node that can run it.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tokio::time::sleep;

use crate::exit::Failure;
use crate::signals::Signals;
use crate::terminal::say;

/// Older ones have not been tried with the reporter.
const OLDEST: (u32, u32, u32) = (2, 0, 1);
/// The one that is installed, with Node, exactly as the tests have it.
const PINNED: &str = "2.0.34";
/// How often there is a look whether another process has installed it.
const LOOK: Duration = Duration::from_millis(500);
/// Where it is below the folder that it is installed in.
const PROGRAM: &str = "node_modules/artillery/bin/run";
/// What is installed is in a folder of such a name until it is complete.
const NEW: &str = "new-";
const PACKAGE: &str = include_str!("../../../../hack/cluster/artillery/package.json");
const LOCK: &str = include_str!("../../../../hack/cluster/artillery/package-lock.json");

/// An Artillery that can run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The program that is started, a script of Node's.
    pub program: PathBuf,
    /// The Node that it is started with, if not the one on the PATH.
    node: Option<PathBuf>,
    /// Its version; `unknown` where nothing tells.
    pub version: String,
    /// The oldest Node that runs it, as its package says.
    needed_node: Option<(u32, u32, u32)>,
}

impl Found {
    /// The one that is named, the one on the PATH, or one that was installed before.
    ///
    /// # Errors
    /// What is named is none, or too old.
    pub fn look(named: Option<&Path>) -> Result<Option<Self>, Failure> {
        if let Some(path) = named {
            if !path.is_file() {
                let shown = path.display();
                return Err(Failure::usage(format!(
                    "--artillery {shown}: there is no such file; give the program, such as node_modules/.bin/artillery"
                )));
            }
            return Self::at(path).map(Some);
        }
        match on_the_path("artillery") {
            Some(path) => Self::at(&path).map(Some),
            None => Self::installed(),
        }
    }

    /// The same, with a Node that can run it. What is not there is installed, after saying so.
    ///
    /// # Errors
    /// It cannot be installed, or it was interrupted; or as for [`Found::look`].
    pub async fn find(named: Option<&Path>, signals: &mut Signals) -> Result<Self, Failure> {
        let Some(found) = Self::look(named)? else {
            let why =
                format!("there is no artillery on the PATH: installing Artillery {PINNED} and its Node.js");
            install(&why, signals).await?;
            return Self::installed()?.ok_or_else(not_complete);
        };
        let there = if found.node.is_none() { node_on_the_path() } else { None };
        match (found.needed_node, there) {
            (Some(needed), Some(there)) if there < needed => {
                let ((major, minor, _), (has_major, has_minor, _)) = (needed, there);
                let version = &found.version;
                let why = format!(
                    "Artillery {version} needs Node.js {major}.{minor}, and that on the PATH is {has_major}.{has_minor}: installing one with Artillery {PINNED}"
                );
                install(&why, signals).await?;
                let node = Self::installed()?.and_then(|installed| installed.node).ok_or_else(no_node)?;
                Ok(Self { node: Some(node), ..found })
            }
            _ => Ok(found),
        }
    }

    /// How it is started.
    pub fn command(&self) -> Command {
        match &self.node {
            Some(node) => {
                let mut command = Command::new(node);
                command.arg(&self.program);
                command
            }
            None => Command::new(&self.program),
        }
    }

    fn at(path: &Path) -> Result<Self, Failure> {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let Some(package) = package_of(&real) else {
            // a shim of a version manager, say
            let version = "unknown".to_owned();
            return Ok(Self { program: path.to_owned(), node: None, version, needed_node: None });
        };
        let version = package["version"].as_str().unwrap_or("unknown").to_owned();
        if numbers(&version).is_some_and(|version| version < OLDEST) {
            let (major, minor, patch) = OLDEST;
            return Err(Failure::usage(format!(
                "{} is Artillery {version}: at least {major}.{minor}.{patch} is needed; give another one by --artillery",
                path.display()
            )));
        }
        let needed_node = package["engines"]["node"].as_str().and_then(numbers);
        let node = node_beside(&real);
        // Node runs what the link leads to, whatever its name
        let program = if node.is_some() { real } else { path.to_owned() };
        Ok(Self { program, node, version, needed_node })
    }

    /// What was installed before.
    fn installed() -> Result<Option<Self>, Failure> {
        let program = tree()?.join(PROGRAM);
        if program.is_file() { Self::at(&program).map(Some) } else { Ok(None) }
    }
}

fn no_node() -> Failure {
    let machine = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    Failure::internal(format!(
        "npm has no Node.js for this machine, {machine}: give an Artillery by --artillery"
    ))
}

/// The Node that was installed as a package in the same tree.
fn node_beside(program: &Path) -> Option<PathBuf> {
    let modules = program.ancestors().find(|folder| folder.ends_with("node_modules"))?;
    let node = modules.join(format!("node-linux-{}", machine())).join("bin/node");
    node.is_file().then_some(node)
}

/// Where it is installed.
fn tree() -> Result<PathBuf, Failure> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = variable("XDG_CACHE_HOME")
        .or_else(|| variable("HOME").map(|home| home.join(".cache")))
        .ok_or_else(|| Failure::usage("HOME is not set: give an Artillery by --artillery"))?;
    Ok(cache.join("kubectl-artillery").join(format!("artillery-{PINNED}-{}", machine())))
}

/// This machine, as npm calls it.
fn machine() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Installs from the lock file into a folder beside, which gets its name when it is complete; two at once wait for each other. One of which
/// something was removed is installed anew. `why` is said before.
async fn install(why: &str, signals: &mut Signals) -> Result<(), Failure> {
    let tree = &tree()?;
    let is_complete = |tree: &Path| tree.join(PROGRAM).is_file();
    if is_complete(tree) {
        return Ok(());
    }
    let npm = on_the_path("npm").ok_or_else(|| {
        Failure::usage(format!(
            "{why} is not possible, for there is no npm on the PATH: install Node.js with npm, or give an Artillery by --artillery"
        ))
    })?;
    let parent = tree.parent().unwrap_or(tree);
    fs::create_dir_all(parent).map_err(|error| Failure::file("make", parent, &error))?;
    let lock = parent.join("lock");
    let held = signals.unless(hold(&lock)).await.ok_or_else(not_installed)?;
    let _held = held.map_err(|error| Failure::file("lock", &lock, &error))?;
    if is_complete(tree) {
        return Ok(());
    }
    clear(parent, tree)?;
    say(format_args!("{why} from npm into {} (once; about a minute)", tree.display()));
    let new = tempfile::Builder::new().prefix(NEW).tempdir_in(parent);
    let new = new.map_err(|error| Failure::file("make a folder in", parent, &error))?;
    for (name, text) in [("package.json", PACKAGE), ("package-lock.json", LOCK)] {
        let file = new.path().join(name);
        fs::write(&file, text).map_err(|error| Failure::file("write", &file, &error))?;
    }
    let mut npm_ci = tokio::process::Command::new(&npm);
    npm_ci
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"])
        .env("PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD", "1")
        .current_dir(new.path())
        .stdin(Stdio::null())
        // standard output is the report's
        .stdout(Stdio::from(std::io::stderr()))
        // a Ctrl-C is for this program alone, which ends it
        .process_group(0);
    let cannot = |error: std::io::Error| Failure::file("run", &npm, &error);
    let mut child = npm_ci.spawn().map_err(cannot)?;
    let Some(status) = signals.unless(child.wait()).await else {
        // it would write into a folder that is being removed
        let _ = child.kill().await;
        return Err(not_installed());
    };
    let status = status.map_err(cannot)?;
    if !status.success() {
        return Err(Failure::internal("npm could not install Artillery, see above; give one by --artillery"));
    }
    if !is_complete(new.path()) {
        return Err(not_complete());
    }
    let complete = new.keep();
    fs::rename(&complete, tree).map_err(|error| Failure::file("rename", &complete, &error))
}

/// Removes an installation that is not complete, and what installations that were killed have left. Whoever does so has the lock.
fn clear(parent: &Path, tree: &Path) -> Result<(), Failure> {
    let left = fs::read_dir(parent).map_err(|error| Failure::file("read", parent, &error))?;
    for entry in left.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(NEW)) {
        // an npm that has outlived who started it may still write there
        let _ = fs::remove_dir_all(entry.path());
    }
    match fs::remove_dir_all(tree) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::file("remove", tree, &error)),
        _ => Ok(()),
    }
}

fn not_complete() -> Failure {
    Failure::internal(format!(
        "npm has not installed Artillery, for there is no {PROGRAM}: give one by --artillery"
    ))
}

fn not_installed() -> Failure {
    Failure::interrupted("interrupted: Artillery is not installed, and nothing was started")
}

/// Holds a lock for as long as the file is open; says so where another process has it.
async fn hold(path: &Path) -> std::io::Result<File> {
    let file = File::create(path)?;
    let mut was_said = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if was_said => {}
            Err(TryLockError::WouldBlock) => {
                let shown = path.display();
                say(format_args!("Waiting for another process that installs Artillery, and holds {shown}"));
                was_said = true;
            }
        }
        sleep(LOOK).await;
    }
}

/// The package.json of the Artillery whose program that is.
fn package_of(real: &Path) -> Option<Value> {
    let read = |folder: &Path| -> Option<Value> {
        let package: Value = serde_json::from_slice(&fs::read(folder.join("package.json")).ok()?).ok()?;
        (package["name"] == "artillery").then_some(package)
    };
    real.ancestors().skip(1).take(4).find_map(read)
}

fn on_the_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

fn node_on_the_path() -> Option<(u32, u32, u32)> {
    let said = Command::new(on_the_path("node")?).arg("--version").output().ok()?;
    numbers(std::str::from_utf8(&said.stdout).ok()?)
}

/// The first version in a text such as `v24.1.0` or `>= 22.18`.
fn numbers(text: &str) -> Option<(u32, u32, u32)> {
    let start = text.find(|c: char| c.is_ascii_digit())?;
    let version = text[start..].split(|c: char| !(c.is_ascii_digit() || c == '.')).next()?;
    let mut parts = version.split('.').map(|part| part.parse().ok());
    let mut next = || parts.next().map_or(Some(0), |part| part);
    Some((next()?, next()?, next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(numbers("v24.1.0\n"), Some((24, 1, 0)));
        assert_eq!(numbers(">= 22.18"), Some((22, 18, 0)));
        assert_eq!(numbers("2.0.34"), Some((2, 0, 34)));
        assert_eq!(numbers("unknown"), None);
    }

    #[tokio::test]
    async fn an_installation_that_waits_or_goes_on_is_interrupted_and_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let lock = folder.path().join("lock");
        let held = hold(&lock).await.expect("nobody else holds it");
        let (send, came) = tokio::sync::watch::channel(0);
        let mut signals = Signals::of(came);
        let (ended, ()) = tokio::join!(signals.unless(hold(&lock)), async {
            sleep(LOOK).await;
            send.send_replace(1);
        });
        assert!(ended.is_none());
        drop(held);
        assert!(hold(&lock).await.is_ok());
    }

    #[test]
    fn what_is_not_complete_makes_way_and_others_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["artillery-1/node_modules", "artillery-2/node_modules", "new-a/node_modules"] {
            fs::create_dir_all(at(name)).expect("a folder");
        }
        fs::write(at("lock"), "").expect("a file");
        for _ in 0..2 {
            clear(folder.path(), &at("artillery-1")).expect("removed, or not there");
            let entries = fs::read_dir(folder.path()).expect("a folder");
            let mut left: Vec<_> = entries.map(|entry| entry.expect("one").file_name()).collect();
            left.sort();
            assert_eq!(left, ["artillery-2", "lock"]);
        }
    }

    #[test]
    fn what_is_named_must_be_there_and_new_enough() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("bin/run");
        let error = Found::look(Some(&program)).expect_err("refused").to_string();
        assert!(error.contains("there is no such file"), "{error}");
        fs::create_dir(folder.path().join("bin")).expect("a folder");
        fs::write(&program, "").expect("a file");
        let package = folder.path().join("package.json");
        fs::write(&package, r#"{"name": "artillery", "version": "1.7.9"}"#).expect("a file");
        let error = Found::look(Some(&program)).expect_err("refused").to_string();
        assert!(error.contains("is Artillery 1.7.9: at least 2.0.1 is needed"), "{error}");
        fs::write(&package, r#"{"name": "artillery", "version": "2.0.10"}"#).expect("a file");
        let found = Found::look(Some(&program)).expect("an Artillery").expect("found");
        assert_eq!((found.version.as_str(), found.node, found.needed_node), ("2.0.10", None, None));
    }
}
