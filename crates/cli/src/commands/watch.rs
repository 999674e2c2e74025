//! `watch` and `wait`: a load test in a cluster is followed to its end by somebody who did not start it.

use std::time::Duration;

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
    let mut signals = Signals::listen()?;
    let followed = follow(&connection, &flags.name, None, false, &mut signals).await?;
    let wanted = Wanted { targets: &targets, output: Output::Text };
    ended::report(&connection, &followed, wanted, &mut signals).await
}

/// Says only what came of it.
pub async fn wait(flags: &Wait, cluster: &Cluster) -> Result<Exit, Failure> {
    let targets = Targets::of(&flags.reports)?;
    let connection = Connection::open(cluster).await?;
    let mut signals = Signals::listen()?;
    let followed = follow(&connection, &flags.name, flags.timeout, true, &mut signals).await?;
    let (exit, words) = conclusion(&followed.load_test);
    // before anything is said, for whom it is said to may be gone
    if !flags.reports.is_empty() {
        let fetched = signals.unless(stored::fetch(&connection, &followed.load_test)).await;
        let left = || {
            let report = connection.hint(&format!("report {} --report FILE", flags.name));
            Failure::interrupted(format!(
                "left: the load test is over, and its report is not written: {report} writes it"
            ))
        };
        let written = fetched.ok_or_else(left).flatten().and_then(|report| targets.write(&report));
        print(words)?;
        return written.map(|()| exit);
    }
    print(words)?;
    Ok(exit)
}

async fn follow(
    connection: &Connection,
    name: &str,
    timeout: Option<Duration>,
    is_quiet: bool,
    signals: &mut Signals,
) -> Result<Followed, Failure> {
    let follow = Follow {
        connection,
        name,
        on_interrupt: OnInterrupt::Leave,
        gives_up: true,
        timeout,
        is_quiet,
        uid: None,
        among: None,
    };
    Ok(follow.to_its_end(signals).await?)
}
