//! `plan`: what a load test would do, and everything that is wrong with its script, without running it.

use std::path::PathBuf;

use clap::Args;
use collector::session::Hello;
use loadtest::api::Artillery;

use crate::cluster::bundle::name_of;
use crate::exit::{Exit, Failure};
use crate::flags::{self, Options, Output};
use crate::local;
use crate::local::artillery::Found;
use crate::local::resolve::Answer;
use crate::plan::compiled::Compiled;
use crate::plan::{Asked, Problem, Resolved, plan};
use crate::project::Project;
use crate::signals::Signals;
use crate::terminal::{harmless_lines, print, say};

/// `plan`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  # what four workers would do, and what is wrong with the script
  kubectl artillery plan script.yaml --count 4

  # what each would have of a load that they share, in the environment staging, as JSON
  kubectl artillery plan script.yaml --count 4 --distribution Split -e staging -o json

  # the same, as Artillery itself resolves templates and environments; none of the load or the hooks runs
  kubectl artillery plan script.yaml --count 4 --resolve

Exit codes: 0 nothing is wrong; 2 something is, and it is said on standard error as FILE:LINE:COLUMN: what.")]
pub struct Flags {
    /// The Artillery script.
    #[arg(value_hint = clap::ValueHint::FilePath)]
    pub script: PathBuf,

    /// Number of workers: 1 to 10000.
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub count: u32,

    /// Whether each worker runs the whole script, or all of them run it once together.
    #[arg(long, value_enum, ignore_case = true, default_value_t = flags::Distribution::Replicate)]
    pub distribution: flags::Distribution,

    /// Whether each worker runs the script's before and after (the default), or one of them for all.
    #[arg(long, value_enum, ignore_case = true)]
    pub hooks: Option<flags::Hooks>,

    /// Name of the load test; by default made of the script's file name.
    #[arg(long)]
    pub name: Option<String>,

    /// How Artillery runs the script.
    #[command(flatten)]
    pub artillery: Options,

    /// Ask Artillery itself what it makes of the script, its templates and environments. Nothing of the load, and no hook, runs.
    #[arg(long)]
    pub resolve: bool,

    /// The Artillery to ask; by default that on the PATH, or one that is installed once from npm.
    #[arg(long = "artillery", value_name = "PATH", value_hint = clap::ValueHint::FilePath)]
    pub executable: Option<PathBuf>,

    /// What is printed: words and a chart, or JSON.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    pub output: Output,
}

/// Prints the plan; what is wrong is said on standard error.
///
/// # Errors
/// A file cannot be read, an option is wrong, or Artillery cannot be asked.
pub async fn run(flags: &Flags) -> Result<Exit, Failure> {
    let project = Project::read(&flags.script, &flags.artillery)?;
    let name = flags.name.clone().unwrap_or_else(|| name_of(&flags.script));
    let asked = Asked {
        project: &project,
        name: &name,
        workers: flags.count,
        distribution: flags.distribution.into(),
        hooks: flags.hooks.map(Into::into).unwrap_or_default(),
    };
    let is_read = project.unreadable.is_empty();
    let mut problems = Vec::new();
    let resolved = if flags.resolve && is_read {
        // what is made from here on is removed in order
        let mut signals = Signals::listen()?;
        let _compiled = Compiled::of(&project);
        resolve(flags, &project.artillery, &mut problems, &mut signals).await?
    } else {
        None
    };
    let mut plan = plan(&asked, resolved.as_ref());
    // what Artillery refuses is the end of it, but for what it does not say: where
    plan.problems.extend(problems);
    match flags.output {
        Output::Text => print(format_args!("{}", plan.to_string().trim_end()))?,
        Output::Json => {
            let json = serde_json::to_string_pretty(&plan);
            print(json.map_err(|error| Failure::internal(format!("the plan cannot be written: {error}")))?)?;
        }
    }
    plan.problems.iter().for_each(say_problem);
    plan.warnings.iter().for_each(say_warning);
    Ok(if plan.problems.is_empty() { Exit::Passed } else { Exit::Usage })
}

/// Refuses a script with which something is wrong, as far as can be told, and says all of it: Artillery passes over much, and then makes no
/// load. What is of a cluster does not matter where it runs on this machine.
///
/// # Errors
/// Something is wrong, and `validates`; or it cannot be read at all.
pub fn refuse_unsound(asked: &Asked<'_>, is_local: bool, validates: bool) -> Result<(), Failure> {
    let unreadable = &asked.project.unreadable;
    let (problems, warnings) = if validates {
        let plan = plan(asked, None);
        (plan.problems, plan.warnings)
    } else {
        (unreadable.clone(), Vec::new())
    };
    let matters = |problem: &&Problem| !(is_local && problem.is_of_cluster);
    warnings.iter().filter(matters).for_each(say_warning);
    let problems: Vec<_> = problems.iter().filter(matters).collect();
    problems.iter().for_each(|problem| say_problem(problem));
    let shown = asked.project.script.display();
    match (problems.is_empty(), unreadable.is_empty()) {
        (true, _) => Ok(()),
        (false, true) => Err(Failure::usage(format!(
            "{shown} is refused for the above; --validate=false takes it all the same"
        ))),
        (false, false) => Err(Failure::usage(format!("{shown} is refused for the above"))),
    }
}

/// It quotes the script, which may be somebody else's.
fn say_problem(problem: &Problem) {
    say(harmless_lines(&problem.to_string()));
}

/// It does not keep anything from running.
pub fn say_warning(problem: &Problem) {
    say(harmless_lines(&format!("warning: {problem}")));
}

/// Asks Artillery. What it refuses is a problem.
async fn resolve(
    flags: &Flags,
    artillery: &Artillery,
    problems: &mut Vec<Problem>,
    signals: &mut Signals,
) -> Result<Option<Resolved>, Failure> {
    let found = Found::find(flags.executable.as_deref(), signals).await?;
    let environment = flags.artillery.environment.as_deref();
    Ok(match local::resolve::resolve(&found, &flags.script, environment, artillery, signals).await? {
        Answer::Plan(hello) => {
            let Hello { artillery, phases, ensure, rows, .. } = *hello;
            Some(Resolved { artillery, phases, ensure, rows })
        }
        Answer::Refused(said) => {
            problems
                .push(Problem::nowhere(format!("Artillery {} refuses the script: {said}", found.version)));
            None
        }
    })
}
