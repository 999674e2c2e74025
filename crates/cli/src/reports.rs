//! Where reports go: to standard output, and to files whose endings say in which form.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use metrics::report::{HIDDEN, Report};

use crate::exit::Failure;
use crate::flags::Output;

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Text,
}

impl Form {
    fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()? {
            "json" => Some(Self::Json),
            "txt" => Some(Self::Text),
            _ => None,
        }
    }

    fn write(self, report: &Report<'_>, mut to: impl Write) -> io::Result<()> {
        match self {
            Self::Json => {
                report.write_json(&mut to)?;
                writeln!(to)
            }
            Self::Text => report.write_text(&mut to, &HIDDEN),
        }
    }
}

/// The files that are to be written.
#[derive(Debug)]
pub struct Targets(Vec<(PathBuf, Form)>);

impl Targets {
    /// Reads what was asked for, before anything runs.
    ///
    /// # Errors
    /// An ending that stands for no form, or a folder that is not there.
    pub fn of(paths: &[PathBuf]) -> Result<Self, Failure> {
        let target = |path: &PathBuf| {
            let shown = path.display();
            let form = Form::of(path).ok_or_else(|| {
                Failure::usage(format!("--report {shown}: its ending says in which form: give .json or .txt"))
            })?;
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            match folder.filter(|folder| !folder.is_dir()) {
                Some(folder) => {
                    Err(Failure::usage(format!("--report {shown}: there is no folder {}", folder.display())))
                }
                None => Ok((path.clone(), form)),
            }
        };
        paths.iter().map(target).collect::<Result<_, _>>().map(Self)
    }

    /// Writes all of them.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, report: &Report<'_>) -> Result<(), Failure> {
        for (path, form) in &self.0 {
            let written = File::create(path).and_then(|file| {
                let mut file = BufWriter::new(file);
                form.write(report, &mut file)?;
                file.flush()
            });
            written.map_err(|error| Failure::file("write", path, &error))?;
        }
        Ok(())
    }
}

/// Prints what is asked for. A reader that goes away is none of our business.
///
/// # Errors
/// Standard output cannot be written for another reason.
pub fn print(report: &Report<'_>, output: Output) -> Result<(), Failure> {
    let form = match output {
        Output::Text => Form::Text,
        Output::Json => Form::Json,
    };
    let mut to = BufWriter::new(io::stdout().lock());
    match form.write(report, &mut to).and_then(|()| to.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::internal(format!("cannot print the report: {error}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_that_stands_for_no_form_is_refused_before_anything_runs() {
        let error = Targets::of(&["report.doc".into()]).expect_err("refused").to_string();
        assert_eq!(error, "--report report.doc: its ending says in which form: give .json or .txt");
        let error = Targets::of(&["nowhere/report.json".into()]).expect_err("refused").to_string();
        assert!(error.ends_with("there is no folder nowhere"), "{error}");
        let targets = Targets::of(&["a.json".into(), "b.txt".into()]).expect("targets");
        assert_eq!(targets.0.iter().map(|(_, form)| *form).collect::<Vec<_>>(), [Form::Json, Form::Text]);
    }
}
