//! `run`: a script becomes a load test, here or in a cluster, which is followed to its end and reported.

use std::path::Path;

use super::{ended, manifests, plan};
use crate::cluster::Connection;
use crate::cluster::bundle::{Bundle, name_of};
use crate::cluster::follow::{Follow, OnInterrupt};
use crate::cluster::made::Made;
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Output, Run, in_cluster};
use crate::plan::Asked;
use crate::plan::objects;
use crate::project::Project;
use crate::reports::Targets;
use crate::signals::Signals;
use crate::terminal::{harmless_lines, print, say, say_failure};
use crate::{local, reports};

/// This machine runs no more workers: each is a process of some 100 MB.
const MAX_LOCAL: u32 = 100;

pub async fn run(flags: &Run, cluster: &Cluster) -> Result<Exit, Failure> {
    // all that can be wrong is found before anything is started
    let targets = Targets::of(&flags.reports)?;
    let Some(script) = &flags.script else { return manifests::run(flags, cluster, &targets).await };
    match script.to_str().and_then(in_cluster).filter(|_| !script.exists()) {
        Some("") => Err(Failure::usage("loadtest/ names no load test: give it as loadtest/NAME")),
        Some(name) => manifests::run_existing(flags, cluster, &targets, name).await,
        None if flags.local => here(script, flags, &targets).await,
        None => there(script, flags, cluster, &targets).await,
    }
}

async fn here(script: &Path, flags: &Run, targets: &Targets) -> Result<Exit, Failure> {
    if flags.count() > MAX_LOCAL {
        let count = flags.count();
        return Err(Failure::usage(format!("--count {count}: on this machine it is 1 to {MAX_LOCAL}")));
    }
    let project = Project::read(script, &flags.artillery)?;
    let name = name_of(script);
    plan::refuse_unsound(&asked(&project, &name, flags), true, flags.validate)?;
    // what is made from here on is ended in order
    let mut signals = Signals::listen()?;
    let ran = local::run(flags, &project, &mut signals).await?;
    let report = ran.report();
    let document = reports::document(&report)?;
    let (targets, form) = (targets.clone(), flags.output.into());
    let delivered =
        reports::unless_stuck(move || reports::deliver(&document, &targets, form), &mut signals).await;
    let unread = || Failure::interrupted("left: nobody reads the report, and not all of it is written");
    let printed = delivered.ok_or_else(unread)???;
    if flags.output == Output::Json {
        // a log of a pipeline has this alone
        let metrics::verdict::Verdict { outcome, message, .. } = &report.verdict;
        say(harmless_lines(&format!("{outcome:?}: {message}")));
    }
    printed?;
    Ok(if ran.is_interrupted { Exit::Interrupted } else { Exit::of(&report.verdict) })
}

async fn there(script: &Path, flags: &Run, cluster: &Cluster, targets: &Targets) -> Result<Exit, Failure> {
    let bundle = bundle_of(script, flags)?;
    let connection = Connection::open(cluster).await?;
    // what is made from here on is ended in order
    let mut signals = Signals::listen()?;
    let made = make(&connection, &bundle, &mut signals).await?;
    let (name, namespace) = (bundle.load_test.name(), &connection.namespace);
    if flags.detach {
        print(format_args!("loadtest/{name}"))?;
        say(format_args!(
            "It runs in namespace {namespace}: {} waits for its verdict",
            connection.hint(&format!("wait {name}"))
        ));
        return Ok(Exit::Passed);
    }
    say(format_args!("Made the load test {name} in namespace {namespace}"));
    let follow = Follow {
        connection: &connection,
        name,
        on_interrupt: OnInterrupt::Stop,
        gives_up: true,
        timeout: None,
        is_quiet: false,
        uid: Some(made.uid()),
        among: None,
    };
    let followed = match follow.to_its_end(&mut signals).await {
        Ok(followed) => followed,
        Err(lost) => {
            if lost.is_useless
                && let Err(stays) = remove(made, name, &connection, &mut signals).await
            {
                say(harmless_lines(&stays.to_string()));
            }
            let stays = flags.rm && lost.is_left;
            return Err(if stays { with_what_stays(lost.failure, name, &connection) } else { lost.failure });
        }
    };
    let wanted = ended::Wanted { targets, output: flags.output };
    let reported = match ended::reported(&connection, &followed, wanted, &mut signals).await {
        // its report may be had another time
        Err(failure) if flags.rm => return Err(with_what_stays(failure, name, &connection)),
        reported => reported?,
    };
    if flags.rm && !reported.is_had {
        let report = connection.hint(&format!("report {name}"));
        say(format_args!("The load test {name} stays, for nobody has its report: {report}"));
    } else if flags.rm {
        let removed = remove(made, name, &connection, &mut signals).await;
        return match (removed, reported.end()) {
            (Err(stays), Err(failure)) => {
                say_failure(&stays);
                Err(failure)
            }
            (removed, ended) => removed.and(ended),
        };
    }
    reported.end()
}

/// Says of one that `--rm` does not remove how it is removed.
fn with_what_stays(failure: Failure, name: &str, connection: &Connection) -> Failure {
    let delete = connection.kubectl(&format!("delete loadtest {name}"));
    failure.and(&format!("in spite of --rm the load test {name} stays: {delete} removes it"))
}

/// Makes everything; where it is interrupted nothing stays.
async fn make(connection: &Connection, bundle: &Bundle, signals: &mut Signals) -> Result<Made, Failure> {
    let name = bundle.load_test.name();
    let making = signals.unless_twice(Made::make(connection, bundle), || {
        say("Stopping: what is being made is removed (again to leave at once)");
    });
    let Some((made, is_interrupted)) = making.await else {
        return Err(Failure::interrupted(format!(
            "left: the load test {name} and its ConfigMaps may be there, for they were being made: {}; {}",
            connection.kubectl(&format!("delete loadtest {name}")),
            connection.kubectl("get configmaps")
        )));
    };
    let made = match made {
        Err(failure) if is_interrupted => {
            say_failure(&failure);
            return Err(Failure::interrupted(format!("interrupted: the load test {name} is not made")));
        }
        made => made?,
    };
    if !is_interrupted {
        return Ok(made);
    }
    remove(made, name, connection, signals).await?;
    Err(Failure::interrupted(format!("interrupted: the load test {name} is removed")))
}

/// Removes everything, unless it is interrupted.
async fn remove(
    made: Made,
    name: &str,
    connection: &Connection,
    signals: &mut Signals,
) -> Result<(), Failure> {
    signals.unless(made.remove()).await.unwrap_or_else(|| {
        Err(Failure::interrupted(format!(
            "left: the load test {name} may still be there: {}",
            connection.kubectl(&format!("delete loadtest {name}"))
        )))
    })
}

/// What is asked for, as a plan has it.
fn asked<'a>(project: &'a Project, name: &'a str, flags: &Run) -> Asked<'a> {
    Asked {
        project,
        name,
        workers: flags.count(),
        distribution: flags.distribution().into(),
        hooks: flags.hooks(),
    }
}

/// The objects of a script with which nothing is wrong.
fn bundle_of(path: &Path, flags: &Run) -> Result<Bundle, Failure> {
    let project = Project::read(path, &flags.artillery)?;
    let name = match &flags.name {
        Some(name) => name.clone(),
        // it can be run again
        None => format!("{}-{}", name_of(path), &local::random_hex()?[..5]),
    };
    let asked = asked(&project, &name, flags);
    plan::refuse_unsound(&asked, false, flags.validate)?;
    let (bundle, notes) = objects::bundle_of(&asked, flags.start_timeout())?;
    // who validates was told
    notes.iter().filter(|_| !flags.validate).for_each(plan::say_warning);
    Ok(bundle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_one_without_a_report_it_is_said_that_it_stays() {
        let connection = Connection::to("http://127.0.0.1:9");
        let failure = with_what_stays(Failure::internal("no report"), "a", &connection);
        let said = "no report; in spite of --rm the load test a stays: kubectl delete loadtest a -n shop --context test removes it";
        assert_eq!((failure.exit.code(), failure.to_string().as_str()), (3, said));
    }
}
