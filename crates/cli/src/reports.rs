//! Where reports go: to standard output, and to files whose endings say in which form.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use metrics::report::{Document, HIDDEN, Report, html, junit, markdown};

use crate::exit::Failure;
use crate::flags::{Output, Printed};
use crate::terminal::printed;

/// The form of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `report.json`.
    Json,
    /// The summary, as Artillery lays it out.
    Text,
    /// A page.
    Html,
    /// For continuous integration.
    Junit,
    /// For a pull request.
    Markdown,
}

/// What endings stand for.
const ENDINGS: [(&str, Form); 5] = [
    ("html", Form::Html),
    ("json", Form::Json),
    ("xml", Form::Junit),
    ("md", Form::Markdown),
    ("txt", Form::Text),
];

impl Form {
    fn of(path: &Path) -> Option<Self> {
        let ending = path.extension()?.to_str()?;
        ENDINGS.iter().find(|(known, _)| *known == ending).map(|(_, form)| *form)
    }

    /// Writes a report, of a load test that has just ended or of a file.
    ///
    /// # Errors
    /// Of the writer.
    pub fn write(self, document: &Document, to: impl Write) -> io::Result<()> {
        match self {
            Self::Json => document.write_json(to),
            Self::Text => document.write_text(to, &HIDDEN),
            Self::Html => html::write(document, to),
            Self::Junit => junit::write(document, to),
            Self::Markdown => markdown::write(document, to),
        }
    }
}

impl From<Output> for Form {
    fn from(output: Output) -> Self {
        match output {
            Output::Text => Self::Text,
            Output::Json => Self::Json,
        }
    }
}

impl From<Printed> for Form {
    fn from(printed: Printed) -> Self {
        match printed {
            Printed::Text => Self::Text,
            Printed::Json => Self::Json,
            Printed::Markdown => Self::Markdown,
            Printed::Junit => Self::Junit,
            Printed::Html => Self::Html,
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
                Failure::usage(format!("--report {shown}: its ending says in which form: give .html, .json, .xml (JUnit), .md or .txt"))
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
    pub fn write(&self, document: &Document) -> Result<(), Failure> {
        for (path, form) in &self.0 {
            let written = File::create(path).and_then(|file| {
                let mut file = BufWriter::new(file);
                form.write(document, &mut file)?;
                file.flush()
            });
            written.map_err(|error| Failure::file("write", path, &error))?;
        }
        Ok(())
    }
}

/// The report of a load test that has just ended, as a file would have it.
///
/// # Errors
/// It has a number that JSON cannot say.
pub fn document(report: &Report<'_>) -> Result<Document, Failure> {
    Document::of(report).map_err(|error| Failure::internal(format!("there is no report: {error}")))
}

/// Prints what is asked for.
///
/// # Errors
/// Standard output cannot be written for another reason.
pub fn print(document: &Document, form: Form) -> Result<(), Failure> {
    let mut to = BufWriter::new(io::stdout().lock());
    printed(form.write(document, &mut to).and_then(|()| to.flush()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_that_stands_for_no_form_is_refused_before_anything_runs() {
        let error = Targets::of(&["report.doc".into()]).expect_err("refused").to_string();
        assert_eq!(
            error,
            "--report report.doc: its ending says in which form: give .html, .json, .xml (JUnit), .md or .txt"
        );
        let error = Targets::of(&["nowhere/report.json".into()]).expect_err("refused").to_string();
        assert!(error.ends_with("there is no folder nowhere"), "{error}");
        let targets = Targets::of(&["a.json".into(), "b.html".into()]).expect("targets");
        assert_eq!(targets.0.iter().map(|(_, form)| *form).collect::<Vec<_>>(), [Form::Json, Form::Html]);
    }
}
