//! What was typed: subcommands and their flags, as clap reads them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use metrics::report::compare::Condition;

/// Run Artillery load tests and read their reports.
#[derive(Parser, Debug)]
#[command(
    name = "kubectl-artillery",
    bin_name = "kubectl artillery",
    version,
    about,
    after_help = "Exit codes: 0 passed; 1 checks failed; 2 wrong usage or script; 3 the test did not end properly, or its result is inconclusive; 130 interrupted."
)]
pub struct Flags {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Run an Artillery script with several workers, and report on all of them together.
    Run(Box<Run>),
    /// Write the manifests of a load test of a script, for kubectl apply -k.
    #[command(alias = "gen")]
    Generate(Generate),
    /// Show a report that was written earlier, in any form.
    Report(Report),
    /// Compare two reports, and fail where the second is worse than it may be.
    Compare(Compare),
    /// Show the versions of this program and of the Artillery that it would use.
    Version(Version),
}

/// `run`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  # two workers on this machine, each of which runs the whole script
  kubectl artillery run script.yaml --local --count 2

  # four that run it once together, in the script's environment staging, with a page and a report for the pipeline
  kubectl artillery run script.yaml --local --count 4 --distribution Split -e staging --report report.html --report junit.xml")]
pub struct Run {
    /// The Artillery script.
    pub script: PathBuf,

    /// Run the workers as processes of this machine: without a cluster.
    #[arg(long)]
    pub local: bool,

    /// Number of workers: 1 to 100 on this machine.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub count: u32,

    /// Whether each worker runs the whole script, or all of them run it once together.
    #[arg(long, value_enum, ignore_case = true, default_value_t = Distribution::Replicate)]
    pub distribution: Distribution,

    /// Name of the load test in its report; the script's file name by default.
    #[arg(long)]
    pub name: Option<String>,

    /// How Artillery runs the script.
    #[command(flatten)]
    pub artillery: Options,

    /// How long workers wait for each other before they start together, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(i32).range(1..=86_400))]
    pub start_timeout: i32,

    /// Write a report to this file; its ending says in which form: .html, .json, .xml (JUnit), .md or .txt. Can be given several times.
    #[arg(long = "report", value_name = "FILE")]
    pub reports: Vec<PathBuf>,

    /// What is printed at the end: the summary, or the whole report as JSON.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,

    /// Print what each worker prints, with its number before each line.
    #[arg(long)]
    pub logs: bool,

    /// The Artillery to use, as `artillery` is installed by npm; by default that on the PATH, or one that is installed once from npm.
    #[arg(long = "artillery", value_name = "PATH")]
    pub executable: Option<PathBuf>,
}

/// Options of `artillery run` that shape a test; each is what Artillery's documentation says of it.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of artillery run")]
pub struct Options {
    /// Environment of the script (config.environments) to use.
    #[arg(short, long)]
    pub environment: Option<String>,
    /// Target of the test instead of the script's.
    #[arg(short, long, value_name = "URL")]
    pub target: Option<String>,
    /// Variables for the script's templates, an object in JSON.
    #[arg(short, long, value_name = "JSON")]
    pub variables: Option<String>,
    /// Parts of the script to replace, an object in JSON.
    #[arg(long, value_name = "JSON")]
    pub overrides: Option<String>,
    /// Run only the scenarios whose name this is, or that match it as a regular expression.
    #[arg(long, value_name = "NAME")]
    pub scenario_name: Option<String>,
    /// A file with configuration that is merged into the script.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A file with environment variables.
    #[arg(long, value_name = "FILE")]
    pub dotenv: Option<PathBuf>,
}

/// `generate`.
#[derive(Args, Debug)]
#[command(after_help = "Example:
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
}

/// `report`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  # the summary of a report, and a page
  kubectl artillery report report.json
  kubectl artillery report report.json --report report.html

  # for the summary of a GitHub job
  kubectl artillery report report.json -o markdown >> $GITHUB_STEP_SUMMARY")]
pub struct Report {
    /// A report.json, or what `artillery run --output` wrote.
    pub file: PathBuf,

    /// Write it to this file; its ending says in which form: .html, .json, .xml (JUnit), .md or .txt. Can be given several times.
    #[arg(long = "report", value_name = "FILE")]
    pub reports: Vec<PathBuf>,

    /// The form in which it is printed, where no file is given.
    #[arg(short, long, value_enum, default_value_t = Printed::Text)]
    pub output: Printed,
}

/// `compare`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  kubectl artillery compare before.json after.json

  # exit code 1 where the second is more than a tenth slower, or has errors
  kubectl artillery compare before.json after.json --fail-if 'p95 > +10%' --fail-if 'errors > 0'")]
pub struct Compare {
    /// The first report: a report.json, or what `artillery run --output` wrote.
    pub a: PathBuf,

    /// The second one.
    pub b: PathBuf,

    /// Fail where this holds: METRIC > VALUE or METRIC < VALUE, of the second report; of the change where the value has a sign, and in
    /// parts of the first where it has % as well. Can be given several times.
    #[arg(long, value_name = "CONDITION")]
    pub fail_if: Vec<Condition>,

    /// What is printed: a table, or JSON.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// In which form a report is printed.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Printed {
    /// The summary, as Artillery lays it out.
    Text,
    /// The report as JSON.
    Json,
    /// For a pull request.
    Markdown,
    /// For continuous integration.
    Junit,
    /// A page.
    Html,
}

/// `version`.
#[derive(Args, Debug)]
pub struct Version {
    /// The Artillery to look at.
    #[arg(long = "artillery", value_name = "PATH")]
    pub executable: Option<PathBuf>,
}

/// How the load is shared out.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
#[value(rename_all = "PascalCase")]
pub enum Distribution {
    /// Each worker runs the whole script.
    Replicate,
    /// The workers together run it once.
    Split,
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
        let Ok(Flags { command: Command::Run(run) }) = read else { panic!("{read:?}") };
        assert_eq!((run.count, run.artillery.environment.as_deref(), run.local), (3, Some("dev"), true));
        for wrong in ["--count=0", "--count=101", "--distribution=Half"] {
            let error =
                Flags::try_parse_from(["kubectl-artillery", "run", "a.yaml", wrong]).expect_err(wrong);
            assert_eq!(error.exit_code(), 2, "{error}");
        }
    }
}
