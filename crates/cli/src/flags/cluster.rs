//! Flags of kubectl's own, and of the subcommands that are about load tests in a cluster.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Which cluster, and which namespace in it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of kubectl")]
pub struct Cluster {
    /// Namespace of the load test; by default that of the kubeconfig's context.
    #[arg(short, long, global = true)]
    pub namespace: Option<String>,
    /// Context of the kubeconfig; by default its current one.
    #[arg(long, global = true)]
    pub context: Option<String>,
    /// The kubeconfig; by default those of $KUBECONFIG, or ~/.kube/config.
    #[arg(long, value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,
}

impl Cluster {
    /// Those that say something: to kubectl an empty one is none.
    #[must_use]
    pub fn given(&self) -> Self {
        let Self { namespace, context, kubeconfig } = self.clone();
        Self {
            namespace: namespace.filter(|name| !name.is_empty()),
            context: context.filter(|name| !name.is_empty()),
            kubeconfig: kubeconfig.filter(|path| !path.as_os_str().is_empty()),
        }
    }
}

/// `list`.
#[derive(Args, Debug)]
#[command(
    alias = "ls",
    after_help = "Examples:
  kubectl artillery list --all-namespaces -o wide"
)]
pub struct List {
    /// In all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Only those whose labels are so, as kubectl get has it.
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    pub selector: Option<String>,
    /// What is printed: a table by default.
    #[arg(short, long, value_enum)]
    pub output: Option<Listed>,
}

/// In which form load tests are listed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// A table with more columns.
    Wide,
    /// The objects, as JSON.
    Json,
    /// The objects, as YAML.
    Yaml,
    /// A name on each line.
    Name,
}

/// `watch`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl artillery watch checkout")]
pub struct Watch {
    /// The load test.
    #[arg(value_name = "NAME", value_parser = super::load_test_name)]
    pub name: String,
    /// Write a report to this file at the end; its ending says in which form: .html, .json, .xml (JUnit), .md or .txt. Can be given several times.
    #[arg(long = "report", value_name = "FILE")]
    pub reports: Vec<PathBuf>,
}

/// `wait`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl apply -k loadtests/checkout && kubectl artillery wait checkout --timeout 30m")]
pub struct Wait {
    /// The load test.
    #[arg(value_name = "NAME", value_parser = super::load_test_name)]
    pub name: String,
    /// How long to wait, such as 90s, 30m or 2h; without end by default.
    #[arg(long, value_name = "DURATION", value_parser = super::duration)]
    pub timeout: Option<std::time::Duration>,
    /// Write a report to this file at the end; its ending says in which form: .html, .json, .xml (JUnit), .md or .txt. Can be given several times.
    #[arg(long = "report", value_name = "FILE")]
    pub reports: Vec<PathBuf>,
}

/// `logs`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Examples:
  # what all workers print, as they do, each line with the worker's index
  kubectl artillery logs checkout -f

  # all of worker 2, as it is
  kubectl artillery logs checkout --worker 2 --prefix=false")]
pub struct Logs {
    /// The load test.
    #[arg(value_name = "NAME", value_parser = super::load_test_name)]
    pub name: String,
    /// Go on until the load test is over.
    #[arg(short, long)]
    pub follow: bool,
    /// Only the worker of that index, from 0 on.
    #[arg(short, long, value_name = "INDEX")]
    pub worker: Option<u32>,
    /// Only the last lines of each worker.
    #[arg(long, value_name = "LINES")]
    pub tail: Option<u32>,
    /// Whether each line begins with the worker's index.
    #[arg(long, value_name = "true|false", default_value_t = true, action = clap::ArgAction::Set)]
    pub prefix: bool,
}

/// `stop`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  # the workers end by themselves, and what they measured is reported
  kubectl artillery stop checkout")]
pub struct Stop {
    /// The load test.
    #[arg(value_name = "NAME", value_parser = super::load_test_name)]
    pub name: String,
    /// End the workers' pods at once; they report within their grace period.
    #[arg(long)]
    pub now: bool,
}
