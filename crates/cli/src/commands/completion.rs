//! `completion`: what a shell, or kubectl, needs to complete what is being typed; and the answers to kubectl, by cobra's protocol.

use std::env;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::aot;
use clap_complete::engine::complete;

use crate::exit::{Exit, Failure};
use crate::terminal::{print, printed};

/// What kubectl looks for on the PATH to complete `kubectl artillery`.
const KUBECTL_COMPLETE: &str = "kubectl_complete-artillery";
/// What cobra's own programs are asked by.
const COMPLETE: &str = "__complete";
/// The name of this program.
const NAME: &str = "kubectl-artillery";

/// Cobra's directives, which are added up: no blank after the word, and no names of files besides what is told.
const NO_SPACE: u8 = 2;
const NO_FILES: u8 = 4;

/// `completion`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  # of kubectl artillery …, where kubectl's own completion is set up: a small script that kubectl runs
  kubectl artillery completion kubectl > ~/.local/bin/kubectl_complete-artillery
  chmod +x ~/.local/bin/kubectl_complete-artillery

  # of kubectl-artillery …, in this shell; in ~/.bashrc for all
  source <(kubectl artillery completion bash)
  source <(kubectl artillery completion zsh)
  kubectl artillery completion fish | source")]
pub struct Flags {
    /// For which shell, or for kubectl.
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Who completes.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    /// Bash.
    Bash,
    /// Zsh.
    Zsh,
    /// Fish.
    Fish,
    /// PowerShell.
    Powershell,
    /// kubectl, in whichever shell: the script that it runs, to be put on the PATH as kubectl_complete-artillery.
    Kubectl,
}

/// Prints it.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(flags: &Flags) -> Result<Exit, Failure> {
    let shell = match flags.shell {
        Shell::Bash => aot::Shell::Bash,
        Shell::Zsh => aot::Shell::Zsh,
        Shell::Fish => aot::Shell::Fish,
        Shell::Powershell => aot::Shell::PowerShell,
        Shell::Kubectl => {
            let script = format!(
                "#!/bin/sh\n# kubectl runs this to complete kubectl artillery\nexec {NAME} {COMPLETE} \"$@\""
            );
            print(script)?;
            return Ok(Exit::Passed);
        }
    };
    let mut script = Vec::new();
    aot::generate(shell, &mut crate::flags::Flags::command(), NAME, &mut script);
    printed(std::io::Write::write_all(&mut std::io::stdout(), &script))?;
    Ok(Exit::Passed)
}

/// The answer to kubectl, where it is kubectl that asks: this program is called `kubectl_complete-artillery` then, or with `__complete` and
/// the words.
pub fn asked() -> Option<String> {
    let mut words = env::args_os();
    let program = words.next()?;
    let is_complete = Path::new(&program).file_stem().is_some_and(|name| name == KUBECTL_COMPLETE);
    let mut words: Vec<_> = words.collect();
    if words.first().is_some_and(|word| word == COMPLETE) {
        words.remove(0);
    } else if !is_complete {
        return None;
    }
    Some(answer(words))
}

/// What the last one of these words may become, as cobra tells it: a line for each, and how the shell is to take them.
fn answer(words: Vec<OsString>) -> String {
    let mut all = vec![OsString::from(NAME)];
    all.extend(words);
    if all.len() == 1 {
        all.push(OsString::new());
    }
    let (last, folder) = (all.len() - 1, env::current_dir().ok());
    let found = complete(&mut crate::flags::Flags::command(), all, last, folder.as_deref());
    let mut text = String::new();
    // where one of them is a whole word, a blank may follow
    let mut is_begun = true;
    let mut count = 0;
    for candidate in found.unwrap_or_default() {
        // what is no text cannot be told
        let Some(word) = candidate.get_value().to_str() else { continue };
        is_begun &= word.ends_with(['/', '=']);
        count += 1;
        text.push_str(word);
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        if let Some(help) = help.lines().next().map(str::trim).filter(|help| !help.is_empty()) {
            // writing to a text does not fail
            let _ = write!(text, "\t{}", help.replace('\t', " "));
        }
        text.push('\n');
    }
    let directive = if is_begun && count > 0 { NO_FILES | NO_SPACE } else { NO_FILES };
    let _ = write!(text, ":{directive}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(words: &[&str]) -> Vec<String> {
        answer(words.iter().map(OsString::from).collect()).lines().map(str::to_owned).collect()
    }

    #[test]
    fn words_become_what_may_stand_there() {
        for (words, first, directive) in [
            (
                &["pl"][..],
                "plan\tSay what a load test would do, and everything that is wrong with its script, without running it",
                ":4",
            ),
            (
                &["run", "--distr"],
                "--distribution\tWhether each worker runs the whole script (the default), or all of them run it once together",
                ":4",
            ),
            (&["run", "--distribution", "S"], "Split\tThe workers together run it once", ":4"),
            (&["plan", "-o", "j"], "json\tThe report as JSON", ":4"),
            (
                &["completion", "ku"],
                "kubectl\tkubectl, in whichever shell: the script that it runs, to be put on the PATH as kubectl_complete-artillery",
                ":4",
            ),
            (&["nothing", "--such"], ":4", ":4"),
        ] {
            let lines = answered(words);
            assert_eq!(
                (lines[0].as_str(), lines.last().map(String::as_str)),
                (first, Some(directive)),
                "{words:?}"
            );
        }
        let all = answered(&[""]);
        assert!(all.iter().any(|line| line.starts_with("run\t")), "{all:?}");
        assert!(!all.iter().any(|line| line.contains("__complete")), "{all:?}");
        assert_eq!(answered(&[]), all, "nothing typed is an empty word");
    }

    #[test]
    fn files_are_completed_where_files_are_expected() {
        // tests run in the folder of the crate
        let lines = answered(&["plan", "Car"]);
        assert_eq!(lines, ["Cargo.toml", ":4"]);
        let lines = answered(&["run", "--report", "sr"]);
        assert_eq!(lines, ["src/", ":6"]);
    }
}
