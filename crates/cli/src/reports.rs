//! Where reports go: to standard output, and to files whose endings say in which form.

use std::fs::{self, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use metrics::report::{Document, HIDDEN, Report, html, junit, markdown};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::exit::Failure;
use crate::flags::{Output, Printed};
use crate::signals::Signals;
use crate::terminal::{Delivered, delivered};

/// What is being written as a signal comes has so long to be written.
const MOMENT: Duration = Duration::from_secs(1);

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

/// The files that are to be written. Those that are not there yet are not made before, so that none is left empty whatever ends the program.
#[derive(Clone, Debug)]
pub struct Targets(Vec<Target>);

#[derive(Clone, Debug)]
struct Target {
    path: PathBuf,
    form: Form,
}

impl Targets {
    /// Reads what was asked for, and finds that it can be written, before anything runs.
    ///
    /// # Errors
    /// An ending that stands for no form, or a file that cannot be written.
    pub fn of(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut targets = Self(Vec::new());
        for path in paths {
            let shown = path.display();
            let form = Form::of(path).ok_or_else(|| {
                Failure::usage(format!("--report {shown}: its ending says in which form: give .html, .json, .xml (JUnit), .md or .txt"))
            })?;
            can_be_written(path)
                .map_err(|error| Failure::usage(format!("--report {shown} cannot be written: {error}")))?;
            targets.0.push(Target { path: path.clone(), form });
        }
        // a pipe waits for its reader, and the others do not wait for that
        targets.0.sort_by_key(|target| fs::metadata(&target.path).is_ok_and(|meta| !meta.is_file()));
        Ok(targets)
    }

    /// Whether none was asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Writes all of them, also where one cannot be.
    ///
    /// # Errors
    /// Those that cannot be written.
    pub fn write(&self, document: &Document) -> Result<(), Failure> {
        let written = |target: &Target| {
            // as a whole, or not at all
            let mut bytes = Vec::new();
            target.form.write(document, &mut bytes).and_then(|()| replace(&target.path, &bytes))
        };
        let failed: Vec<_> = self
            .0
            .iter()
            .filter_map(|target| Some(format!("{}: {}", target.path.display(), written(target).err()?)))
            .collect();
        match failed.is_empty() {
            true => Ok(()),
            false => Err(Failure::internal(format!("cannot write {}", failed.join("; ")))),
        }
    }
}

/// Finds that a file can be written, and leaves it as it is.
fn can_be_written(path: &Path) -> io::Result<()> {
    match make(path) {
        Ok(()) => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let meta = match fs::metadata(path) {
                // what a link leads to is made when it is written; one that leads to itself is another error
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let to = fs::read_link(path)?;
                    return can_be_written(&path.parent().unwrap_or(Path::new("")).join(to));
                }
                meta => meta?,
            };
            if meta.is_dir() {
                return Err(ErrorKind::IsADirectory.into());
            }
            // whoever opens a pipe waits for its reader
            if meta.is_file() {
                OpenOptions::new().write(true).open(path)?;
            }
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// Makes a file that is not there.
fn make(path: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path).map(drop)
}

/// Writes a file so that it is never half there: beside it, and then in its place. A pipe, a device and what a link leads to are written as
/// they are, and so is a file in a folder that takes no other.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let is_new = make(path).is_ok();
    let replaced = replace_what_is_there(path, bytes);
    if is_new && replaced.is_err() {
        // an empty file would seem to be a report
        let _ = fs::remove_file(path);
    }
    replaced
}

fn replace_what_is_there(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let there = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file);
    let folder =
        path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder });
    let beside = there.zip(folder).and_then(|(there, folder)| {
        let beside = tempfile::Builder::new().prefix(".kubectl-artillery-").tempfile_in(folder).ok()?;
        // others may read it as they could before
        fs::set_permissions(beside.path(), there.permissions()).ok()?;
        Some(beside)
    });
    let Some(mut beside) = beside else { return fs::write(path, bytes) };
    beside.write_all(bytes)?;
    beside.persist(path)?;
    Ok(())
}

/// The report of a load test that has just ended, as a file would have it.
///
/// # Errors
/// It has a number that JSON cannot say.
pub fn document(report: &Report<'_>) -> Result<Document, Failure> {
    Document::of(report).map_err(|error| Failure::internal(format!("there is no report: {error}")))
}

/// Writes a report as `work` does, and is interrupted where that waits for somebody else, as for whoever reads a pipe: then there is `None`.
///
/// # Errors
/// It broke down.
pub async fn unless_stuck<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    signals: &mut Signals,
) -> Option<Result<T, Failure>> {
    let mut working = spawn_blocking(work);
    let done = match signals.unless(&mut working).await {
        Some(done) => done,
        // what waits for nobody is written nevertheless
        None => timeout(MOMENT, working).await.ok()?,
    };
    Some(done.map_err(|error| Failure::internal(format!("the report cannot be written: {error}"))))
}

/// Writes all files, and then prints: whoever is to read the latter may be gone. Returns what came of printing, once the files are there.
///
/// # Errors
/// Those that cannot be written.
pub fn deliver(
    document: &Document,
    targets: &Targets,
    form: Form,
) -> Result<Result<Delivered, Failure>, Failure> {
    let (written, printed) = (targets.write(document), print(document, form));
    match (written, printed) {
        (Err(files), Err(output)) => Err(Failure::internal(format!("{files}; {output}"))),
        (written, printed) => written.map(|()| printed),
    }
}

/// Prints what is asked for.
///
/// # Errors
/// Standard output cannot be written for another reason than that nobody reads it.
pub fn print(document: &Document, form: Form) -> Result<Delivered, Failure> {
    let mut to = BufWriter::new(io::stdout().lock());
    delivered(form.write(document, &mut to).and_then(|()| to.flush()))
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
        assert!(error.starts_with("--report nowhere/report.json cannot be written: No such file"), "{error}");
    }

    #[test]
    fn files_that_cannot_be_written_are_found_before_and_none_is_left_empty() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("folder.md")).expect("a folder");
        fs::write(at("old.json"), "{}").expect("a file");
        let error = Targets::of(&[at("a.html"), at("old.json"), at("folder.md")]).expect_err("refused");
        assert!(
            error.exit.code() == 2 && error.to_string().contains("folder.md cannot be written"),
            "{error}"
        );
        assert!(!at("a.html").exists(), "nothing is left");
        assert_eq!(
            fs::read_to_string(at("old.json")).expect("a file"),
            "{}",
            "what was there stays until the end"
        );
        drop(Targets::of(&[at("a.html"), at("old.json")]).expect("targets"));
        assert!(!at("a.html").exists() && at("old.json").exists());
    }

    #[test]
    fn what_a_link_leads_to_need_not_be_there_yet() {
        use std::os::unix::fs::symlink;

        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("runs")).expect("a folder");
        for (to, name) in [("runs/1.json", "latest.json"), ("latest.json", "last.json")] {
            symlink(to, at(name)).expect("a link");
        }
        let targets = Targets::of(&[at("latest.json"), at("last.json")]).expect("it can be made");
        assert!(!at("runs/1.json").exists(), "nothing is left");
        targets.write(&Document::parse(br#"{"aggregate": {}}"#).expect("a report")).expect("written");
        assert!(at("latest.json").is_symlink() && at("last.json").is_symlink());
        assert!(Document::parse(&fs::read(at("runs/1.json")).expect("a report")).is_ok());
        for (to, name, said) in
            [("none/1.json", "a.json", "No such file"), ("b.json", "b.json", "symbolic link")]
        {
            symlink(to, at(name)).expect("a link");
            let error = Targets::of(&[at(name)]).expect_err(said).to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn one_that_cannot_be_written_at_the_end_does_not_cost_the_others() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let document =
            Document::parse(br#"{"aggregate": {"counters": {"http.requests": 1}}}"#).expect("a report");
        fs::create_dir(at("gone")).expect("a folder");
        let targets = Targets::of(&[at("gone/a.json"), at("b.json")]).expect("targets");
        fs::remove_dir_all(at("gone")).expect("a folder");
        let error = targets.write(&document).expect_err("one is gone").to_string();
        assert!(error.contains("gone/a.json: No such file") && !error.contains("b.json"), "{error}");
        drop(targets);
        assert!(Document::parse(&fs::read(at("b.json")).expect("a report")).is_ok());
    }

    #[tokio::test]
    async fn one_that_nobody_reads_is_left_at_a_signal_and_what_is_written_by_then_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(at("pipe.json")).status();
        assert!(made.expect("mkfifo").success());
        let document = Document::parse(br#"{"aggregate": {}}"#).expect("a report");
        let (_send, came) = tokio::sync::watch::channel(2);
        let mut signals = Signals::of(came);
        let mut write = async |names: &[&str]| {
            let paths: Vec<_> = names.iter().map(|name| at(name)).collect();
            let (targets, document) = (Targets::of(&paths).expect("targets"), document.clone());
            unless_stuck(move || targets.write(&document), &mut signals).await
        };
        let written = write(&["file.json"]).await.expect("nothing is in its way").expect("it is done");
        assert!(written.is_ok() && at("file.json").exists());
        assert!(write(&["pipe.json", "other.json"]).await.is_none());
        assert!(at("other.json").exists(), "the others are written first");
        // whoever waits for a reader gets one
        assert!(Document::parse(&fs::read(at("pipe.json")).expect("a report")).is_ok());
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_a_link_is_written_through() {
        use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("old.json"), "old").expect("a file");
        fs::set_permissions(at("old.json"), fs::Permissions::from_mode(0o640)).expect("its mode");
        let mut reader = fs::File::open(at("old.json")).expect("a file");
        let inode = |name: &str| fs::metadata(at(name)).expect("a file").ino();
        replace(&at("old.json"), b"new").expect("written");
        assert_eq!(fs::read(at("old.json")).expect("a file"), b"new");
        assert_eq!(fs::metadata(at("old.json")).expect("a file").permissions().mode() & 0o777, 0o640);
        assert_eq!(io::read_to_string(&mut reader).expect("text"), "old", "who reads it reads all of it");

        symlink("old.json", at("link.json")).expect("a link");
        let before = inode("old.json");
        replace(&at("link.json"), b"through").expect("written");
        assert!(at("link.json").is_symlink() && inode("old.json") == before);
        assert_eq!(fs::read(at("old.json")).expect("a file"), b"through");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 2, "nothing else is left");
    }
}
