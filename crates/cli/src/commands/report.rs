//! `report`: the report of a load test in a cluster, or one that was written earlier, in any form.

use std::fs;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use metrics::report::Document;

use crate::cluster::Connection;
use crate::cluster::stored::Stored;
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Report, in_cluster};
use crate::reports::{Form, Targets};
use crate::terminal::printed;

pub async fn run(flags: &Report, cluster: &Cluster) -> Result<Exit, Failure> {
    let source = Source::of(&flags.of);
    let form = Form::from(flags.output);
    let mut to = BufWriter::new(io::stdout());
    let written = match source {
        Source::File(path) => {
            let targets = Targets::of_document(&flags.reports)?;
            let document = read(path)?;
            targets.write_document(&document)?;
            flags.reports.is_empty().then(|| form.write_document(&document, &mut to))
        }
        Source::Cluster(name) => {
            let targets = Targets::of(&flags.reports)?;
            let stored = fetch(name, cluster).await?;
            targets.write_stored(&stored)?;
            flags.reports.is_empty().then(|| form.write_stored(&stored, &mut to))
        }
    };
    printed(written.unwrap_or(Ok(())).and_then(|()| to.flush()))?;
    Ok(Exit::Passed)
}

/// Where a report is.
enum Source<'a> {
    File(&'a Path),
    /// In the cluster: the name of its load test.
    Cluster(&'a str),
}

impl<'a> Source<'a> {
    /// A file that is there is meant as one, and so is what no load test can be called.
    fn of(typed: &'a Path) -> Self {
        let text = typed.to_str().unwrap_or_default();
        if typed.is_file() {
            return Self::File(typed);
        }
        match in_cluster(text) {
            Some(name) => Self::Cluster(name),
            None if text.contains(['/', '.']) || text.is_empty() => Self::File(typed),
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
        Source::Cluster(name) => Ok(fetch(name, cluster).await?.document),
    }
}

async fn fetch(name: &str, cluster: &Cluster) -> Result<Stored, Failure> {
    let connection = Connection::open(cluster).await?;
    Stored::fetch(&connection, &connection.load_test(name).await?).await
}

fn read(path: &Path) -> Result<Document, Failure> {
    let shown = path.display();
    let bytes = fs::read(path).map_err(|error| Failure::usage(format!("the report {shown}: {error}")))?;
    Document::parse(&bytes).map_err(|error| Failure::usage(format!("the report {shown}: {error}")))
}
