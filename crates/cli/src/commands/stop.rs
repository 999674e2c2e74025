//! `stop`: a load test in a cluster is ended before its time.

use loadtest::api;

use crate::cluster::{Connection, follow};
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Stop};
use crate::terminal::print;

pub async fn run(flags: &Stop, cluster: &Cluster) -> Result<Exit, Failure> {
    let connection = Connection::open(cluster).await?;
    let name = &flags.name;
    if connection.load_test(name).await?.is_settled() {
        print(format_args!("loadtest/{name} is over already"))?;
        return Ok(Exit::Passed);
    }
    let (how, words) = match flags.now {
        true => (api::Stop::Immediate, "its workers' pods are ended"),
        false => (api::Stop::Graceful, "its workers end by themselves, and what they measured is reported"),
    };
    follow::stop(&connection, name, how).await?;
    print(format_args!("loadtest/{name} stops: {words}"))?;
    Ok(Exit::Passed)
}
