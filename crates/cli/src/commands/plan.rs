//! `plan`: what a load test would do, and everything that is wrong with its script, without running it.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use collector::session::Hello;
use loadtest::api::Artillery;
use loadtest::script;
use serde_json::Value;

use crate::cluster::bundle::name_of;
use crate::exit::{Exit, Failure};
use crate::flags::{self, Options, Output};
use crate::local;
use crate::local::artillery::Found;
use crate::local::resolve::Answer;
use crate::plan::compiled::Compiled;
use crate::plan::config::{Source, Sources};
use crate::plan::{Asked, Problem, Resolved, document, plan};
use crate::project::{Project, options};
use crate::terminal::{print, say};

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
    let artillery = options(&flags.artillery)?;
    let overrides: Option<Value> = artillery.overrides.as_ref().and_then(|json| json.read().ok());
    let (text, texts, mut problems) = texts(&flags.script, flags.artillery.config.as_deref())?;
    let name = flags.name.clone().unwrap_or_else(|| name_of(&flags.script));
    let asked = Asked {
        name: &name,
        script: &flags.script,
        text: &text,
        workers: flags.count,
        distribution: flags.distribution.into(),
        environment: flags.artillery.environment.as_deref(),
        artillery: &artillery,
        overrides: overrides.as_ref(),
    };
    let is_read = problems.is_empty();
    let resolved = if flags.resolve && is_read {
        let sources = Sources {
            texts: texts.iter().collect(),
            environment: asked.environment,
            overrides: asked.overrides,
        };
        let _compiled = Compiled::of(&flags.script, &sources);
        resolve(flags, &artillery, &mut problems).await?
    } else {
        None
    };
    // what Artillery refuses is the end of it, but for what it does not say: where
    let refused = if resolved.is_none() && flags.resolve && is_read {
        std::mem::take(&mut problems)
    } else {
        Vec::new()
    };
    let mut plan = plan(&asked, &texts, problems, resolved.as_ref());
    plan.problems.extend(refused);
    match flags.output {
        Output::Text => print(format_args!("{}", plan.to_string().trim_end()))?,
        Output::Json => {
            let json = serde_json::to_string_pretty(&plan);
            print(json.map_err(|error| Failure::internal(format!("the plan cannot be written: {error}")))?)?;
        }
    }
    for problem in &plan.problems {
        say(problem);
    }
    Ok(if plan.problems.is_empty() { Exit::Passed } else { Exit::Usage })
}

/// What is wrong with the script of a load test that is about to run, as far as its texts tell.
///
/// # Errors
/// A file cannot be read.
pub fn problems(project: &Project, run: &flags::Run) -> Result<Vec<Problem>, Failure> {
    let (text, texts, problems) = texts(&project.script, run.artillery.config.as_deref())?;
    let overrides: Option<Value> = project.artillery.overrides.as_ref().and_then(|json| json.read().ok());
    let name = name_of(&project.script);
    let asked = Asked {
        name: &name,
        script: &project.script,
        text: &text,
        workers: run.count(),
        distribution: run.distribution().into(),
        environment: project.environment.as_deref(),
        artillery: &project.artillery,
        overrides: overrides.as_ref(),
    };
    let of_the_script = |problem: &Problem| !(run.local && problem.is_of_cluster);
    let problems = plan(&asked, &texts, problems, None).problems;
    Ok(problems.into_iter().filter(of_the_script).collect())
}

/// The script's text; this and that of `--config` as they are read, and why one cannot be.
fn texts(script: &Path, config: Option<&Path>) -> Result<(String, Vec<Source>, Vec<Problem>), Failure> {
    let text = read(script, "the script")?;
    let mut files = vec![(script, text.clone())];
    if let Some(config) = config {
        files.push((config, read(config, "--config")?));
    }
    let (mut texts, mut problems) = (Vec::new(), Vec::new());
    for (path, text) in files {
        if path.to_str().is_some_and(loadtest::script::is_program) {
            continue;
        }
        let file = path.display().to_string();
        match document::read(&text) {
            Ok(root) => texts.push(Source { file, root }),
            Err((at, why)) => problems.push(Problem::at(&file, at, why)),
        }
    }
    Ok((text, texts, problems))
}

/// Asks Artillery. What it refuses is a problem.
async fn resolve(
    flags: &Flags,
    artillery: &Artillery,
    problems: &mut Vec<Problem>,
) -> Result<Option<Resolved>, Failure> {
    let found = Found::find(flags.executable.as_deref())?;
    let environment = flags.artillery.environment.as_deref();
    Ok(match local::resolve::resolve(&found, &flags.script, environment, artillery).await? {
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

/// A text file, within the bounds of a script.
fn read(path: &Path, what: &str) -> Result<String, Failure> {
    let shown = path.display();
    let bytes = fs::read(path).map_err(|error| Failure::usage(format!("{what} {shown}: {error}")))?;
    if bytes.len() > script::MAX_BYTES {
        let (is, most) = (bytes.len(), script::MAX_BYTES);
        return Err(Failure::usage(format!("{what} {shown} has {is} bytes, more than {most}")));
    }
    String::from_utf8(bytes)
        .map_err(|error| Failure::usage(format!("{what} {shown} is no text in UTF-8: {error}")))
}
