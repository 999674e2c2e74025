//! Where reports go: to standard output, and to files whose endings say in which form.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use metrics::report::{Document, HIDDEN, Report, html, junit, markdown};

use crate::cluster::stored::Stored;
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

/// What is said of other forms.
const FROM_FILE: &str = "a report that was read from a file can be written as .html, .xml (JUnit) or .md";
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

    fn write(self, report: &Report<'_>, mut to: impl Write) -> io::Result<()> {
        match self {
            Self::Json => {
                report.write_json(&mut to)?;
                writeln!(to)
            }
            Self::Text => report.write_text(&mut to, &HIDDEN),
            Self::Html | Self::Junit | Self::Markdown => {
                self.write_document(&Document::of(report).map_err(io::Error::other)?, to)
            }
        }
    }

    /// Writes what is stored in a cluster, where the operator has written some forms.
    ///
    /// # Errors
    /// Of the writer.
    pub fn write_stored(self, stored: &Stored, mut to: impl Write) -> io::Result<()> {
        match self {
            Self::Json => writeln!(to, "{}", stored.json.trim_end()),
            Self::Text => writeln!(to, "{}", stored.text.trim_end_matches('\n')),
            Self::Html | Self::Junit | Self::Markdown => self.write_document(&stored.document, to),
        }
    }

    /// Writes what was read from a file.
    ///
    /// # Errors
    /// Of the writer; or it is a form that stands on more than a file says.
    pub fn write_document(self, document: &Document, to: impl Write) -> io::Result<()> {
        match self {
            Self::Html => html::write(document, to),
            Self::Junit => junit::write(document, to),
            Self::Markdown => markdown::write(document, to),
            Self::Json | Self::Text => Err(io::Error::new(io::ErrorKind::InvalidInput, FROM_FILE)),
        }
    }
}

impl From<Printed> for Form {
    fn from(printed: Printed) -> Self {
        match printed {
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

    /// The same for what was read from a file.
    ///
    /// # Errors
    /// As before; or a form that stands on more than a file says.
    pub fn of_document(paths: &[PathBuf]) -> Result<Self, Failure> {
        let targets = Self::of(paths)?;
        match targets.0.iter().find(|(_, form)| matches!(form, Form::Json | Form::Text)) {
            Some((path, _)) => {
                let shown = path.display();
                Err(Failure::usage(format!("--report {shown}: {FROM_FILE}")))
            }
            None => Ok(targets),
        }
    }

    /// Writes all of them.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, report: &Report<'_>) -> Result<(), Failure> {
        self.each(|form, file| form.write(report, file))
    }

    /// The same of what was read from a file.
    ///
    /// # Errors
    /// As for [`Form::write_document`].
    pub fn write_document(&self, document: &Document) -> Result<(), Failure> {
        self.each(|form, file| form.write_document(document, file))
    }

    /// The same of what is stored in a cluster.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write_stored(&self, stored: &Stored) -> Result<(), Failure> {
        self.each(|form, file| form.write_stored(stored, file))
    }

    fn each(&self, write: impl Fn(Form, &mut BufWriter<File>) -> io::Result<()>) -> Result<(), Failure> {
        for (path, form) in &self.0 {
            let written = File::create(path).and_then(|file| {
                let mut file = BufWriter::new(file);
                write(*form, &mut file)?;
                file.flush()
            });
            written.map_err(|error| Failure::file("write", path, &error))?;
        }
        Ok(())
    }
}

/// Prints what is asked for.
///
/// # Errors
/// Standard output cannot be written for another reason.
pub fn print(report: &Report<'_>, output: Output) -> Result<(), Failure> {
    let form = match output {
        Output::Text => Form::Text,
        Output::Json => Form::Json,
    };
    let mut to = BufWriter::new(io::stdout().lock());
    printed(form.write(report, &mut to).and_then(|()| to.flush()))
}

/// Prints what is asked for of what is stored in a cluster.
///
/// # Errors
/// Standard output cannot be written for another reason.
pub fn print_stored(stored: &Stored, output: Output) -> Result<(), Failure> {
    let form = match output {
        Output::Text => Form::Text,
        Output::Json => Form::Json,
    };
    let mut to = BufWriter::new(io::stdout().lock());
    printed(form.write_stored(stored, &mut to).and_then(|()| to.flush()))
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
        let error = Targets::of_document(&["a.txt".into()]).expect_err("refused").to_string();
        assert_eq!(error, format!("--report a.txt: {FROM_FILE}"));
        let targets = Targets::of(&["a.json".into(), "b.html".into()]).expect("targets");
        assert_eq!(targets.0.iter().map(|(_, form)| *form).collect::<Vec<_>>(), [Form::Json, Form::Html]);
    }
}
