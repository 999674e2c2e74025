//! `watch` and `wait`: a load test in a cluster is followed to its end by somebody who did not start it.

use super::ended::{self, Wanted};
use crate::cluster::follow::{Follow, Followed, OnInterrupt, conclusion};
use crate::cluster::{Connection, stored};
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Output, Wait, Watch};
use crate::reports::Targets;
use crate::signals::Signals;
use crate::terminal::print;

/// Shows how it goes, and its report.
pub async fn watch(flags: &Watch, cluster: &Cluster) -> Result<Exit, Failure> {
    let targets = Targets::of(&flags.reports)?;
    let connection = Connection::open(cluster).await?;
    let followed = follow(&connection, &flags.name, None, false).await?;
    ended::report(&connection, &followed, Wanted { targets: &targets, output: Output::Text }).await
}

/// Says only what came of it.
pub async fn wait(flags: &Wait, cluster: &Cluster) -> Result<Exit, Failure> {
    let targets = Targets::of(&flags.reports)?;
    let connection = Connection::open(cluster).await?;
    let followed = follow(&connection, &flags.name, flags.timeout, true).await?;
    let (exit, words) = conclusion(&followed.load_test);
    print(words)?;
    if !flags.reports.is_empty() {
        targets.write(&stored::fetch(&connection, &followed.load_test).await?)?;
    }
    Ok(exit)
}

async fn follow(
    connection: &Connection,
    name: &str,
    timeout: Option<std::time::Duration>,
    is_quiet: bool,
) -> Result<Followed, Failure> {
    let follow =
        Follow { connection, name, on_interrupt: OnInterrupt::Leave, gives_up: true, timeout, is_quiet };
    Ok(follow.to_its_end(&mut Signals::listen()?).await?)
}
