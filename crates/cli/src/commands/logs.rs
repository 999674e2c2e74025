//! `logs`: what all workers of a load test in a cluster print, each line with its worker's index before it.

mod lines;
mod worker;

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::Api;
use kube::api::ListParams;
use loadtest::labels::{TEST_NAME, WORKER_SELECTOR};
use loadtest::workers::COMPLETION_INDEX;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;

use crate::cluster::Connection;
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Logs};
use crate::terminal::{may_colour, printed, say_failure};
use worker::Reading;

/// How often there is a look for workers that have begun.
const LOOK: Duration = Duration::from_secs(2);
/// So many chunks of lines wait to be printed; then workers are read more slowly.
const WAITING: usize = 256;
/// Colours of the prefixes, one after the other (ANSI).
const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];

pub async fn run(flags: &Logs, cluster: &Cluster) -> Result<Exit, Failure> {
    let connection = Connection::open(cluster).await?;
    connection.load_test(&flags.name).await?;
    let (to, mut from) = channel(WAITING);
    let reading = tokio::spawn(read_all(connection, flags.clone(), to));
    let mut out = io::BufWriter::with_capacity(1 << 16, io::stdout());
    while let Some(lines) = from.recv().await {
        let lines: Vec<u8> = lines;
        let mut written = out.write_all(&lines);
        if from.is_empty() {
            written = written.and_then(|()| out.flush());
        }
        if written.is_err() {
            // who reads no more wants no more
            reading.abort();
            return printed(written).map(|()| Exit::Passed);
        }
    }
    printed(out.flush())?;
    match reading.await {
        Ok(read) => read.map(|()| Exit::Passed),
        Err(error) => Err(Failure::internal(format!("reading the logs failed: {error}"))),
    }
}

/// Reads the log of each worker, until there is no more.
async fn read_all(connection: Connection, flags: Logs, to: Sender<Vec<u8>>) -> Result<(), Failure> {
    let pods: Api<Pod> = Api::namespaced(connection.client.clone(), &connection.namespace);
    let selector = format!("{WORKER_SELECTOR},{TEST_NAME}={}", flags.name);
    let params = ListParams::default().labels(&selector);
    let is_coloured = io::stdout().is_terminal() && may_colour();
    let mut known = BTreeSet::new();
    let mut reading = JoinSet::new();
    let mut failed = None;
    loop {
        // whoever is over before this look has pods that this look sees
        let is_over = !flags.follow || connection.load_test(&flags.name).await?.is_settled();
        let seen =
            pods.list(&params).await.map_err(|error| connection.refused("list the workers' pods", &error))?;
        let mut begun: Vec<_> = seen.items.iter().filter_map(|pod| Some((index(pod)?, pod))).collect();
        begun.sort_by_key(|(index, _)| *index);
        for (index, pod) in begun {
            let name = pod.metadata.name.clone().unwrap_or_default();
            let is_wanted = flags.worker.is_none_or(|worker| worker == index);
            if !is_wanted || !has_begun(pod, &flags.name) || !known.insert(name.clone()) {
                continue;
            }
            let read = Reading {
                connection: connection.clone(),
                index,
                pod: name,
                container: flags.name.clone(),
                is_followed: flags.follow,
                tail: flags.tail.map(i64::from),
                prefix: if flags.prefix { prefix(index, is_coloured) } else { String::new() },
            };
            if flags.follow {
                let to = to.clone();
                reading.spawn(async move { read.to_its_end(&to).await });
            } else {
                note(read.to_its_end(&to).await, &mut failed)?;
            }
        }
        while let Some(read) = reading.try_join_next() {
            note(joined(read), &mut failed)?;
        }
        if is_over || to.is_closed() {
            break;
        }
        sleep(LOOK).await;
    }
    if known.is_empty() {
        let whose = flags.worker.map_or_else(|| "a worker".to_owned(), |index| format!("worker {index}"));
        return Err(Failure::internal(format!(
            "there is no log of {whose} of the load test {}: none has begun, or its pods are gone",
            flags.name
        )));
    }
    while let Some(read) = reading.join_next().await {
        note(joined(read), &mut failed)?;
    }
    failed.map_or(Ok(()), Err)
}

fn joined(read: Result<Result<(), Failure>, JoinError>) -> Result<(), Failure> {
    read.unwrap_or_else(|error| Err(Failure::internal(format!("reading a log failed: {error}"))))
}

/// Of a log that cannot be read the others are none the worse; without the right to read one none can be read.
fn note(read: Result<(), Failure>, failed: &mut Option<Failure>) -> Result<(), Failure> {
    match read {
        Err(failure) if failure.exit == Exit::Cluster => Err(failure),
        Err(failure) => {
            if let Some(before) = failed.replace(failure) {
                say_failure(&before);
            }
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

fn index(pod: &Pod) -> Option<u32> {
    pod.metadata.labels.as_ref()?.get(COMPLETION_INDEX)?.parse().ok()
}

/// Whether the container has printed, or may have.
fn has_begun(pod: &Pod, container: &str) -> bool {
    state(pod, container).is_some_and(|state| state.running.is_some() || state.terminated.is_some())
}

fn state<'a>(pod: &'a Pod, container: &str) -> Option<&'a ContainerState> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == container)?.state.as_ref()
}

fn prefix(index: u32, is_coloured: bool) -> String {
    if is_coloured {
        let colour = COLOURS[index as usize % COLOURS.len()];
        format!("\x1b[{colour}mworker-{index} | \x1b[0m")
    } else {
        format!("worker-{index} | ")
    }
}
