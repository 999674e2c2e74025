//! `report`: the report of a load test in a cluster, or one that was written earlier, in any form.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use metrics::report::Document;
use metrics::report::document::MAX_BYTES;

use crate::cluster::{Connection, stored};
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Report, in_cluster};
use crate::reports::{Form, Targets, print};

pub async fn run(flags: &Report, cluster: &Cluster) -> Result<Exit, Failure> {
    let targets = Targets::of(&flags.reports)?;
    let document = document(&flags.of, cluster).await?;
    targets.write(&document)?;
    if flags.reports.is_empty() {
        print(&document, Form::from(flags.output))?;
    }
    Ok(Exit::Passed)
}

/// Where a report is.
enum Source<'a> {
    File(&'a Path),
    /// In the cluster: the name of its load test.
    Cluster(&'a str),
}

impl<'a> Source<'a> {
    /// What is there is meant as a file, and spoken of even where it is none; so is what no load test can be called.
    fn of(typed: &'a Path) -> Self {
        let text = typed.to_str().unwrap_or_default();
        if typed.is_file() {
            return Self::File(typed);
        }
        match in_cluster(text) {
            Some(name) => Self::Cluster(name),
            None if text.contains(['/', '.']) || text.is_empty() => Self::File(typed),
            // a folder, or a link that leads nowhere
            None if fs::symlink_metadata(typed).is_ok() => Self::File(typed),
            None => Self::Cluster(text),
        }
    }
}

/// A report in a file, or of a load test in the cluster.
///
/// # Errors
/// It is not there, or no report.
pub async fn document(typed: &Path, cluster: &Cluster) -> Result<Document, Failure> {
    match Source::of(typed) {
        Source::File(path) => read(path),
        Source::Cluster(name) => {
            let connection = Connection::open(cluster).await?;
            stored::fetch(&connection, &connection.load_test(name).await?).await
        }
    }
}

/// A file, of which no more is read than a report may have.
fn read(path: &Path) -> Result<Document, Failure> {
    let wrong = |what: String| Failure::usage(format!("the report {}: {what}", path.display()));
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| wrong(error.to_string()))?;
    file.take(MAX_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(|error| wrong(error.to_string()))?;
    if bytes.len() > MAX_BYTES {
        return Err(wrong(format!("it has more than {MAX_BYTES} bytes, and no report has")));
    }
    Document::parse(&bytes).map_err(|error| wrong(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_by_that_name_is_meant_and_else_the_load_test() {
        let is_file = |typed: &str| matches!(Source::of(Path::new(typed)), Source::File(_));
        // tests run where this package is, which has such a folder
        for (typed, is) in [
            ("src", true),
            ("Cargo.toml", true),
            ("none.json", true),
            ("checkout", false),
            ("loadtest/src", false),
        ] {
            assert_eq!(is_file(typed), is, "{typed}");
        }
    }

    #[test]
    fn what_is_no_report_is_wrong_usage_and_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("cut.json"), r#"{"aggregate": {"coun"#).expect("a file");
        std::fs::write(at("later.json"), r#"{"aggregate": {}, "loadtest": {"schemaVersion": 2}}"#)
            .expect("a file");
        // a hole takes no room
        File::create(at("huge.json")).and_then(|file| file.set_len(MAX_BYTES as u64 + 1)).expect("a file");
        for (path, said) in [
            (at("cut.json"), "cut.json: it is no report of a load test: EOF while parsing a string"),
            (at("later.json"), "later.json: it is a report of schema version 2"),
            (at("huge.json"), "huge.json: it has more than 67108864 bytes"),
            (at("none.json"), "none.json: No such file"),
            (folder.path().to_owned(), "Is a directory"),
            // it never ends
            (Path::new("/dev/zero").to_owned(), "/dev/zero: it has more than 67108864 bytes"),
        ] {
            let failure = read(&path).expect_err(said);
            assert!(failure.exit == Exit::Usage && failure.to_string().contains(said), "{failure}");
        }
    }
}
