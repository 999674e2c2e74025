//! `run`: a script becomes a load test, which is run and reported.

use crate::exit::{Exit, Failure};
use crate::flags::Run;
use crate::project::Project;
use crate::reports::Targets;
use crate::{local, reports};

pub async fn run(flags: &Run) -> Result<Exit, Failure> {
    if !flags.local {
        return Err(Failure::usage(
            "give --local: a script cannot be run on a cluster from here yet; make a LoadTest of it, and kubectl apply it (examples/)",
        ));
    }
    // all that can be wrong is found before anything is started
    let targets = Targets::of(&flags.reports)?;
    let project = Project::read(flags)?;
    let ran = local::run(flags, &project).await?;
    let report = ran.report();
    let document = reports::document(&report)?;
    reports::print(&document, flags.output.into())?;
    targets.write(&document)?;
    Ok(if ran.is_interrupted { Exit::Interrupted } else { Exit::of(&report.verdict) })
}
