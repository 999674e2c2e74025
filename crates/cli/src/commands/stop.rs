//! `stop`: a load test in a cluster is ended before its time.

use loadtest::api;

use crate::cluster::{Connection, stop};
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Stop};
use crate::terminal::print;

pub async fn run(flags: &Stop, cluster: &Cluster) -> Result<Exit, Failure> {
    let connection = Connection::open(cluster).await?;
    let name = &flags.name;
    let load_test = connection.load_test(name).await?;
    let uid = load_test.uid().to_owned();
    if load_test.is_settled() {
        print(format_args!("loadtest/{name} is over already"))?;
        return Ok(Exit::Passed);
    }
    let has_begun = load_test.status.is_some_and(|status| status.job_uid.is_some());
    let (how, words) = match flags.now {
        true if has_begun => (api::Stop::Immediate, "its workers' pods are ended"),
        true => (api::Stop::Immediate, "none of its workers has begun"),
        false if !has_begun => (api::Stop::Graceful, "none of its workers has begun"),
        false => (api::Stop::Graceful, "its workers end by themselves, and what they measured is reported"),
    };
    stop::stop(&connection, name, Some(uid), how).await?;
    print(format_args!("loadtest/{name} stops: {words}"))?;
    Ok(Exit::Passed)
}
