//! What was typed: subcommands and their flags, as clap reads them.

use std::path::PathBuf;
use std::time::Duration;

mod cluster;
mod report;
mod shape;

pub use cluster::{Cluster, List, Listed, Logs, Stop, Wait, Watch};
pub use report::{Compare, Printed, Report};
pub use shape::{Distribution, Hooks, Options};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Run Artillery load tests and read their reports.
#[derive(Parser, Debug)]
#[command(
    name = "kubectl-artillery",
    bin_name = "kubectl artillery",
    version,
    after_help = "Examples:
  # four workers in the cluster, and a page of what they measured
  kubectl artillery run script.yaml --count 4 --report report.html

  # two on this machine, without a cluster
  kubectl artillery run script.yaml --local --count 2

  # what is there, and how one of it goes
  kubectl artillery list
  kubectl artillery watch checkout

Exit codes: 0 passed; 1 checks failed; 2 wrong usage or script; 3 the test did not end properly, or its result is inconclusive; 4 no cluster, no operator in it, or no right; 130 interrupted."
)]
pub struct Flags {
    /// Which cluster.
    #[command(flatten)]
    pub cluster: Cluster,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run an Artillery script with several workers, and report on all of them together.
    Run(Box<Run>),
    /// List the load tests in a cluster.
    List(List),
    /// Show how a load test in a cluster goes, and its report at the end.
    Watch(Watch),
    /// Wait until a load test in a cluster is over; the exit code is that of its verdict.
    Wait(Wait),
    /// Print what the workers of a load test in a cluster print.
    Logs(Logs),
    /// End a load test in a cluster before its time.
    Stop(Stop),
    /// Write the manifests of a load test of a script, for kubectl apply -k.
    #[command(alias = "gen")]
    Generate(Generate),
    /// Say what a load test would do, and everything that is wrong with its script, without running it.
    Plan(Box<crate::commands::plan::Flags>),
    /// Write first scripts of services in a cluster, of the HTTP liveness probes behind them.
    Scaffold(crate::commands::scaffold::Flags),
    /// Show the report of a load test, or one that was written earlier, in any form.
    Report(Report),
    /// Compare two reports, and fail where the second is worse than it may be.
    Compare(Compare),
    /// Complete what is typed, in a shell or by kubectl.
    Completion(crate::commands::completion::Flags),
    /// Show the versions of this program, of the operator in the cluster, and of the Artillery that run --local would use.
    Version(Version),
}

/// `run`.
#[derive(Args, Debug)]
#[command(
    group = clap::ArgGroup::new("what").required(true).args(["script", "filename", "kustomize"]),
    after_help = "Examples:
  # four workers in the cluster, each of which runs the whole script
  kubectl artillery run script.yaml --count 4

  # that run it once together, in the script's environment staging, with a page and a report for the pipeline
  kubectl artillery run script.yaml --count 4 --distribution Split -e staging --report report.html --report junit.xml

  # two on this machine, without a cluster
  kubectl artillery run script.yaml --local --count 2

  # load tests that are written down, and one that is there and suspended
  kubectl artillery run -k loadtests/checkout
  kubectl artillery run loadtest/nightly"
)]
pub struct Run {
    /// The Artillery script; or loadtest/NAME, a load test that is in the cluster already.
    pub script: Option<PathBuf>,

    /// Run the load tests of these manifests (- for standard input); needs kubectl. Can be given several times.
    #[arg(short, long, value_name = "FILE")]
    pub filename: Vec<PathBuf>,

    /// Run the load tests of this kustomization; needs kubectl.
    #[arg(short, long, value_name = "FOLDER")]
    pub kustomize: Option<PathBuf>,

    /// Run the workers as processes of this machine: without a cluster.
    #[arg(long)]
    pub local: bool,

    /// Number of workers: 1 to 10000 in a cluster, 1 to 100 on this machine; 1 by default.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub count: Option<u32>,

    /// Whether each worker runs the whole script (the default), or all of them run it once together.
    #[arg(long, value_enum, ignore_case = true)]
    pub distribution: Option<Distribution>,

    /// Whether each worker runs the script's before and after (the default), or one of them for all.
    #[arg(long, value_enum, ignore_case = true)]
    pub hooks: Option<Hooks>,

    /// Name of the load test; by default the script's file name, in a cluster with something random behind it.
    #[arg(long)]
    pub name: Option<String>,

    /// Do not wait for the end.
    #[arg(short, long, conflicts_with_all = ["local", "reports", "output", "rm"])]
    pub detach: bool,

    /// Remove the load test from the cluster when its report is written.
    #[arg(long, conflicts_with = "local")]
    pub rm: bool,

    /// How Artillery runs the script.
    #[command(flatten)]
    pub artillery: Options,

    /// How long workers wait for each other before they start together, in seconds: 600 by default.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(i32).range(1..=86_400))]
    pub start_timeout: Option<i32>,

    /// Whether a script with which something is wrong is refused, as kubectl artillery plan tells it.
    #[arg(long, value_name = "true|false", default_value_t = true, action = clap::ArgAction::Set)]
    pub validate: bool,

    /// Write a report to this file; its ending says in which form: .html, .json, .xml (JUnit), .md or .txt. Can be given several times.
    #[arg(long = "report", value_name = "FILE")]
    pub reports: Vec<PathBuf>,

    /// What is printed at the end: the summary, or the whole report as JSON.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Print what each worker prints, with its number before each line: on this machine.
    #[arg(long, requires = "local")]
    pub logs: bool,

    /// The Artillery to use on this machine, as `artillery` is installed by npm; by default that on the PATH, or one that is installed
    /// once from npm.
    #[arg(long = "artillery", value_name = "PATH", requires = "local")]
    pub executable: Option<PathBuf>,
}

impl Run {
    /// Number of workers.
    pub fn count(&self) -> u32 {
        self.count.unwrap_or(1)
    }

    /// How the load is shared out.
    pub fn distribution(&self) -> Distribution {
        self.distribution.unwrap_or(Distribution::Replicate)
    }

    /// Where the script's hooks run.
    pub fn hooks(&self) -> loadtest::api::Hooks {
        self.hooks.map(Into::into).unwrap_or_default()
    }

    /// How long workers wait for each other, in seconds.
    pub fn start_timeout(&self) -> i32 {
        self.start_timeout.unwrap_or(crate::cluster::bundle::START_TIMEOUT)
    }

    /// The first flag that was given of those that make a load test of a script: one that is written down says all that itself.
    pub fn first_of_script(&self) -> Option<&'static str> {
        let Options { environment, target, variables, overrides, scenario_name, config, dotenv } =
            &self.artillery;
        [
            (self.local, "--local"),
            (self.count.is_some(), "--count"),
            (self.distribution.is_some(), "--distribution"),
            (self.hooks.is_some(), "--hooks"),
            (self.name.is_some(), "--name"),
            (self.rm, "--rm"),
            (self.start_timeout.is_some(), "--start-timeout"),
            (environment.is_some(), "--environment"),
            (target.is_some(), "--target"),
            (variables.is_some(), "--variables"),
            (overrides.is_some(), "--overrides"),
            (scenario_name.is_some(), "--scenario-name"),
            (config.is_some(), "--config"),
            (dotenv.is_some(), "--dotenv"),
        ]
        .into_iter()
        .find_map(|(is_given, flag)| is_given.then_some(flag))
    }
}

/// The name of a load test, as it is or as kubectl has it: `checkout`, `loadtest/checkout`, `lt/checkout`.
fn load_test_name(text: &str) -> Result<String, String> {
    let name = in_cluster(text).unwrap_or(text);
    let is_good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    match name.is_empty() || !name.chars().all(is_good) {
        true => Err("give the name of a load test, such as checkout or loadtest/checkout".to_owned()),
        false => Ok(name.to_owned()),
    }
}

/// The name in `loadtest/NAME`.
pub fn in_cluster(text: &str) -> Option<&str> {
    let (kind, name) = text.split_once('/')?;
    ["loadtest", "loadtests", "lt", "loadtest.loadtest.artillery.io", "loadtests.loadtest.artillery.io"]
        .contains(&kind)
        .then_some(name)
}

/// A duration such as `90s`, `30m`, `2h`.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "give a number and a unit, such as 90s, 30m or 2h".to_owned();
    let end = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let number: u64 = text[..end].parse().map_err(|_| wrong())?;
    let unit = match &text[end..] {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).filter(|seconds| *seconds > 0).map(Duration::from_secs).ok_or_else(wrong)
}

/// `generate`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  # the manifests in artillery-manifests, which are applied then
  kubectl artillery generate checkout --script script.yaml --count 4 -e staging
  kubectl apply -k artillery-manifests")]
pub struct Generate {
    /// Name of the load test.
    pub name: String,

    /// The Artillery script; the files that it names are written, too.
    #[arg(short, long, value_name = "FILE")]
    pub script: PathBuf,

    /// Environment of the script (config.environments) to use.
    #[arg(short, long = "env", value_name = "ENVIRONMENT")]
    pub environment: Option<String>,

    /// The folder to write to.
    #[arg(short, long, value_name = "FOLDER", default_value = "artillery-manifests")]
    pub out: PathBuf,

    /// Number of workers: 1 to 10000.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub count: u32,

    /// Whether a script with which something is wrong is refused, as kubectl artillery plan tells it.
    #[arg(long, value_name = "true|false", default_value_t = true, action = clap::ArgAction::Set)]
    pub validate: bool,
}

/// `version`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  # of this program, of the operator in the cluster, and of the Artillery that run --local would use
  kubectl artillery version

  # without asking the cluster
  kubectl artillery version --client")]
pub struct Version {
    /// Do not ask the cluster.
    #[arg(long)]
    pub client: bool,
    /// The Artillery to look at.
    #[arg(long = "artillery", value_name = "PATH")]
    pub executable: Option<PathBuf>,
}

/// What is printed at the end.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The summary, as Artillery lays it out.
    Text,
    /// The report as JSON.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_flags_do_not_contradict_each_other() {
        Flags::command().debug_assert();
    }

    #[test]
    fn the_help_of_every_command_has_examples_of_it() {
        let mut command = Flags::command();
        command.build();
        let mut rest = vec![&command];
        let mut count = 0;
        while let Some(command) = rest.pop() {
            rest.extend(command.get_subcommands().filter(|command| command.get_name() != "help"));
            let (name, help) = (command.get_name(), command.get_after_help().map(ToString::to_string));
            let help = help.unwrap_or_default();
            let shown = if name == "kubectl-artillery" {
                "kubectl artillery "
            } else {
                &format!("kubectl artillery {name}")
            };
            assert!(help.starts_with("Examples:\n  ") && help.contains(shown), "{name}: {help}");
            count += 1;
        }
        assert!(count > 13, "{count} commands");
    }

    #[test]
    fn the_flags_are_read() {
        let read = Flags::try_parse_from([
            "kubectl-artillery",
            "run",
            "a.yaml",
            "--local",
            "--count=3",
            "-e",
            "dev",
        ]);
        let Ok(Flags { command: Command::Run(run), .. }) = read else { panic!("{read:?}") };
        assert_eq!((run.count(), run.artillery.environment.as_deref(), run.local), (3, Some("dev"), true));
        let read = Flags::try_parse_from(["kubectl-artillery", "run", "-f", "a.yaml", "-f", "-"]);
        let Ok(Flags { command: Command::Run(run), .. }) = read else { panic!("{read:?}") };
        assert_eq!(run.filename, ["a.yaml", "-"].map(PathBuf::from));
        Flags::try_parse_from(["kubectl-artillery", "run", "-f", "a.yaml", "-k", "b"])
            .expect_err("one of them");
        for wrong in ["--count=0", "--count=10001", "--distribution=Half", "-f=x.yaml", "--detach --rm"] {
            let error =
                Flags::try_parse_from(["kubectl-artillery", "run", "a.yaml", wrong]).expect_err(wrong);
            assert_eq!(error.exit_code(), 2, "{error}");
        }
    }
}
