//! `report`: a report that was written earlier, in another form.

use std::fs;
use std::path::Path;

use metrics::report::Document;

use crate::exit::{Exit, Failure};
use crate::flags::Report;
use crate::reports::{Form, Targets, print};

pub fn run(flags: &Report) -> Result<Exit, Failure> {
    let targets = Targets::of(&flags.reports)?;
    let document = read(&flags.file)?;
    targets.write(&document)?;
    if flags.reports.is_empty() {
        print(&document, Form::from(flags.output))?;
    }
    Ok(Exit::Passed)
}

/// A report in a file.
///
/// # Errors
/// It is not there, or no report.
pub fn read(path: &Path) -> Result<Document, Failure> {
    let shown = path.display();
    let bytes = fs::read(path).map_err(|error| Failure::usage(format!("the report {shown}: {error}")))?;
    Document::parse(&bytes).map_err(|error| Failure::usage(format!("the report {shown}: {error}")))
}
