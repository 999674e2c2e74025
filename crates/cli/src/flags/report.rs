//! Flags of the commands that show reports.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use metrics::report::compare::Condition;

use super::Output;

/// `report`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  # the summary of a report, and a page
  kubectl artillery report report.json
  kubectl artillery report report.json --report report.html

  # for the summary of a GitHub job
  kubectl artillery report report.json -o markdown >> $GITHUB_STEP_SUMMARY")]
pub struct Report {
    /// A report.json, or what `artillery run --output` wrote; or the name of a load test in the cluster.
    #[arg(value_name = "FILE|NAME")]
    pub of: PathBuf,

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

  # exit code 1 where the second is more than a tenth slower, or has errors; 3 where that cannot be told
  kubectl artillery compare before.json after.json --fail-if 'p95 > +10%' --fail-if 'errors > 0'")]
pub struct Compare {
    /// The first report: a report.json, or what `artillery run --output` wrote; or the name of a load test in the cluster.
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
