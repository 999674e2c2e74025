//! A Kubernetes with nodes: the one that `hack/cluster/up` started, or one of the user's; and the faults that the former
//! can have.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde::de::DeserializeOwned;

use crate::process;
use crate::target::{Arrivals, Counts};

/// A cluster with nodes.
pub struct Cluster {
    kubeconfig: PathBuf,
    is_ours: bool,
}

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

impl Cluster {
    /// The cluster of `E2E_KUBECONFIG`, or else the one that `hack/cluster/test` started, which says so. `KUBECONFIG`
    /// alone is not enough: it may be anybody's, and the tests remove the operator and all load tests.
    ///
    /// # Errors
    /// Neither is set.
    pub fn from_environment() -> Result<Self> {
        let named = |variable: &str| std::env::var_os(variable).filter(|v| !v.is_empty()).map(PathBuf::from);
        let given = named("E2E_KUBECONFIG");
        let is_ours = given.is_none();
        let kubeconfig = given.or_else(|| named("HACK_CLUSTER_KUBECONFIG")).context(
            "no cluster: run `make test-e2e`, or set E2E_KUBECONFIG to the kubeconfig of a cluster to test in, which \
             loses its operator and all load tests",
        )?;
        Ok(Self { kubeconfig, is_ours })
    }

    /// A command of the repository (such as `./operator-deploy.sh`) or of the PATH, that finds this cluster.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(repository()).env("KUBECONFIG", &self.kubeconfig).stdin(Stdio::null());
        command
    }

    /// The kubeconfig of its administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// `kubectl artillery`: kubectl finds the plugin that was built beside the tests.
    ///
    /// # Panics
    /// A test has no path.
    pub fn artillery(&self) -> Command {
        #[allow(clippy::expect_used, reason = "a test that cannot go on panics")]
        let tests = std::env::current_exe().expect("the test's own path");
        let built = tests.ancestors().nth(2).unwrap_or(&tests).to_owned();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::iter::once(built).chain(std::env::split_paths(&path));
        let mut command = self.command("kubectl");
        command.arg("artillery").env_remove("NODE_OPTIONS");
        // no folder of the PATH has a colon in its name
        command.env("PATH", std::env::join_paths(path).unwrap_or_default());
        command
    }

    /// Runs kubectl and returns what it printed.
    ///
    /// # Errors
    /// kubectl's own words, if it ends with another code than 0.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        process::output(self.command("kubectl").args(args))
    }

    /// Starts a `kubectl port-forward` from a free port of this machine, which its `log` names, to that `port` of, say, a
    /// Service. It ends with this process at the latest.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn port_forward(&self, namespace: &str, to: &str, port: u16, log: &Path) -> Result<Child> {
        let args = ["--namespace", namespace, "port-forward", to, &format!(":{port}")].map(str::to_owned);
        let kubeconfig = self.kubeconfig.to_str().context("the kubeconfig's path is not UTF-8")?;
        process::start(Path::new("kubectl"), &args, &[("KUBECONFIG", kubeconfig)], log)
    }

    /// A client that lives in the calling runtime: for looks that are cheaper than a kubectl.
    ///
    /// # Errors
    /// The kubeconfig cannot be read.
    pub async fn client(&self) -> Result<kube::Client> {
        let kubeconfig = Kubeconfig::read_from(&self.kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(kube::Client::try_from(config)?)
    }

    /// What the target in that namespace has counted: the truth about the load.
    ///
    /// # Errors
    /// It does not run, or answers something else.
    pub fn target_counts(&self, namespace: &str) -> Result<Counts> {
        self.ask_target(namespace, "counts")
    }

    /// When it was reached, second by second.
    ///
    /// # Errors
    /// As [`Self::target_counts`].
    pub fn target_arrivals(&self, namespace: &str) -> Result<Vec<Arrivals>> {
        self.ask_target(namespace, "arrivals")
    }

    fn ask_target<T: DeserializeOwned>(&self, namespace: &str, what: &str) -> Result<T> {
        let path = format!("/api/v1/namespaces/{namespace}/services/loadtest-target:admin/proxy/{what}");
        let text = self.kubectl(&["get", "--raw", &path])?;
        serde_json::from_str(&text).with_context(|| format!("not the target's {what}: {text}"))
    }

    /// How many writes the API server has answered for that resource (`loadtests`), by its own metrics; subresources
    /// count. All clients' writes are in it.
    ///
    /// # Errors
    /// The metrics cannot be read.
    pub fn writes(&self, resource: &str) -> Result<u64> {
        let metrics = self.kubectl(&["get", "--raw", "/metrics"])?;
        let is_write = |line: &&str| {
            line.starts_with("apiserver_request_total{")
                && line.contains(&format!("resource=\"{resource}\""))
                && ["APPLY", "DELETE", "PATCH", "POST", "PUT"]
                    .iter()
                    .any(|v| line.contains(&format!("verb=\"{v}\"")))
        };
        let count = |line: &str| line.rsplit(' ').next().and_then(|n| n.parse::<f64>().ok());
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a counter is a whole number"
        )]
        Ok(metrics.lines().filter(is_write).filter_map(count).sum::<f64>() as u64)
    }

    /// Makes an image of the files below `root`, with that OCI configuration, known to the cluster.
    ///
    /// # Errors
    /// The cluster is the user's own, or the image cannot be made.
    pub fn load_image(&self, name: &str, root: &Path, config: &str) -> Result<String> {
        self.ours("load an image")?;
        process::output(self.command("hack/cluster/load").arg(name).arg(root).arg(config))
    }

    /// Kills the manager's process with SIGKILL; in a cluster of the user's own its pod is deleted by force.
    ///
    /// # Errors
    /// No manager runs.
    pub fn kill_manager(&self) -> Result<()> {
        if self.is_ours {
            return self.fault(&["kill-manager"]);
        }
        let pods =
            ["delete", "pods", "-l", "control-plane=controller-manager", "--grace-period=0", "--force"];
        self.kubectl(&[&["-n", "artillery-operator-system"], &pods[..]].concat()).map(drop)
    }

    /// Kills the API server with SIGKILL, and returns when it is started again, `away` (whole seconds, at least 1) later.
    ///
    /// # Errors
    /// The cluster is the user's own.
    pub fn restart_api_server(&self, away: Duration) -> Result<()> {
        self.fault(&["restart-apiserver", &away.as_secs().to_string()])
    }

    /// Drops all packets from a node's pods to one address, until [`Self::unblock`].
    ///
    /// # Errors
    /// The cluster is the user's own, or has no such node.
    pub fn block(&self, node: &str, ip: &str) -> Result<()> {
        self.fault(&["block", node, ip])
    }

    /// Lets those packets through again.
    ///
    /// # Errors
    /// They were not blocked.
    pub fn unblock(&self, node: &str, ip: &str) -> Result<()> {
        self.fault(&["unblock", node, ip])
    }

    /// One of the verbs of `hack/cluster/fault`.
    ///
    /// # Errors
    /// The cluster is the user's own, or the fault cannot be had.
    pub fn fault(&self, verb: &[&str]) -> Result<()> {
        self.ours("break it")?;
        process::output(self.command("hack/cluster/fault").args(verb)).map(drop)
    }

    /// Whether it is the cluster of `hack/cluster/up`, which may be broken.
    pub fn is_ours(&self) -> bool {
        self.is_ours
    }

    fn ours(&self, what: &str) -> Result<()> {
        anyhow::ensure!(self.is_ours, "cannot {what}: E2E_KUBECONFIG is a cluster of the user's own");
        Ok(())
    }
}
