//! `report`: the report of a load test in a cluster, or one that was written earlier, in any form.

use std::fs;
use std::path::Path;

use metrics::report::Document;

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
        Source::Cluster(name) => {
            let connection = Connection::open(cluster).await?;
            stored::fetch(&connection, &connection.load_test(name).await?).await
        }
    }
}

fn read(path: &Path) -> Result<Document, Failure> {
    let shown = path.display();
    let bytes = fs::read(path).map_err(|error| Failure::usage(format!("the report {shown}: {error}")))?;
    Document::parse(&bytes).map_err(|error| Failure::usage(format!("the report {shown}: {error}")))
}
