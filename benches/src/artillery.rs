//! The real Artillery, run as a worker's container runs it, with the reporter or without.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;
use testbed::cluster::repository;
use testbed::process;
use tokio::time::{Instant, sleep};

use crate::loopback::Address;

/// The version that the images of the tests have.
const VERSION: &str = "2.0.34";
/// How long a run may take; all of them are made for seconds.
const PATIENCE: Duration = Duration::from_secs(180);

/// Artillery and its Node.
pub struct Installed {
    /// The folder that has `node_modules`.
    pub home: PathBuf,
}

/// To whom a run reports, and as whom.
pub struct Reporting<'a> {
    /// The collector.
    pub address: &'a Address,
    /// The worker's token.
    pub token: String,
}

/// One `artillery run`; it ends with this.
pub struct Run {
    child: Child,
    log: PathBuf,
}

impl Installed {
    /// The one that `hack/artillery` installs, the first time with npm.
    pub fn find() -> Result<Self> {
        let printed = process::output(Command::new(repository().join("hack/artillery")).arg(VERSION))?;
        let home = printed.lines().last().context("hack/artillery prints no folder")?;
        Ok(Self { home: home.into() })
    }

    /// The Node that runs it.
    pub fn node(&self) -> PathBuf {
        self.home.join("node_modules/.bin/node")
    }

    /// Starts `artillery run` of that script; its files lie in `folder` and begin with `name`.
    pub fn run(
        &self,
        folder: &Path,
        name: &str,
        script: &Value,
        reporting: Option<&Reporting>,
    ) -> Result<Run> {
        let file = |ending: &str| folder.join(format!("{name}{ending}"));
        std::fs::write(file(".json"), script.to_string())?;
        let text = |path: PathBuf| path.display().to_string();
        let home = text(folder.to_owned());
        let mut environment = vec![
            ("HOME", home),
            ("ARTILLERY_DISABLE_TELEMETRY", "1".to_owned()),
            ("WORKERS", "1".to_owned()),
        ];
        if let Some(Reporting { address, token }) = reporting {
            let (ca, token_file) = (file(".ca.crt"), file(".token"));
            std::fs::write(&ca, &address.ca)?;
            std::fs::write(&token_file, token)?;
            environment.extend([
                ("ARTILLERY_PLUGINS", r#"{"operator":{"scope":"artillery-plugin-"}}"#.to_owned()),
                ("ARTILLERY_PLUGIN_PATH", text(plugins(folder)?)),
                ("LOADTEST_COLLECTOR", address.url.clone()),
                ("LOADTEST_TOKEN_FILE", text(token_file)),
                ("LOADTEST_CA_FILE", text(ca)),
            ]);
        }
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let args =
            [text(self.home.join("node_modules/.bin/artillery")), "run".to_owned(), text(file(".json"))];
        let log = file(".log");
        Ok(Run { child: process::start(&self.node(), &args, &environment, &log)?, log })
    }
}

impl Run {
    /// Waits for the end, and returns what was printed.
    ///
    /// # Errors
    /// It does not end in time, or with another code than 0.
    pub async fn end(mut self) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let log = self.log.clone();
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            anyhow::ensure!(
                Instant::now() < deadline,
                "not over after {} s, see {}",
                PATIENCE.as_secs(),
                log.display()
            );
            sleep(Duration::from_millis(50)).await; // poll interval, bounded above
        };
        anyhow::ensure!(status.success(), "artillery run: {status}, see {}", log.display());
        std::fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // it may have ended; then there is nothing to end
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A counter of the summary that Artillery prints at the end; 0 where it has none.
pub fn counter(printed: &str, name: &str) -> u64 {
    let value = |line: &str| {
        let (found, rest) = line.split_once(": ")?;
        (found == name).then(|| rest.trim_start_matches(['.', ' ']).parse().ok())?
    };
    // the summary comes last
    printed.lines().rev().find_map(value).unwrap_or(0)
}

/// The folder of Artillery's plugins, with the reporter in it.
fn plugins(folder: &Path) -> Result<PathBuf> {
    let plugins = folder.join("plugins");
    let reporter = plugins.join("artillery-plugin-operator");
    if reporter.exists() {
        return Ok(plugins);
    }
    std::fs::create_dir_all(&reporter)?;
    for entry in std::fs::read_dir(repository().join("worker"))? {
        let from = entry?.path();
        if from.is_file()
            && let Some(name) = from.file_name()
        {
            std::fs::copy(&from, reporter.join(name))?;
        }
    }
    Ok(plugins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_the_last_that_names_a_counter() {
        let printed = "http.requests: ................ 120\nSummary report\nhttp.requests: ........ 4000\nhttp.responses: ... 1\n";
        assert_eq!(counter(printed, "http.requests"), 4000);
        assert_eq!(counter(printed, "errors.ETIMEDOUT"), 0);
    }
}
