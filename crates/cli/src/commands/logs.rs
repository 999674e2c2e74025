//! `logs`: what all workers of a load test in a cluster print, each line with its worker's index before it.

mod lines;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ContainerState, Pod};
use kube::Api;
use kube::api::ListParams;
use loadtest::LoadTest;
use loadtest::claim::is_of_job;
use loadtest::labels::{TEST_NAME, WORKER_SELECTOR};
use loadtest::workers::COMPLETION_INDEX;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep;

use crate::cluster::Connection;
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Logs};
use crate::terminal::{harmless, may_colour, printed, say, say_failure};
use worker::{IDLE, Reading, is_final};

/// How often there is a look for workers that have begun.
const LOOK: Duration = Duration::from_secs(2);
/// So often a cluster that cannot be asked is asked where nobody follows.
const LOOKS: u32 = 3;
/// So many chunks of lines wait to be printed; then workers are read more slowly.
const WAITING: usize = 256;
/// Colours of the prefixes, one after the other (ANSI).
const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];

pub async fn run(flags: &Logs, cluster: &Cluster) -> Result<Exit, Failure> {
    let connection = Connection::open(cluster).await?;
    let load_test = connection.load_test(&flags.name).await?;
    let (to, mut from) = channel(WAITING);
    let reading = tokio::spawn(All::of(connection, flags.clone(), &load_test, to).read(LOOK));
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

/// What a look at the cluster saw.
struct Look {
    /// Whether none of its workers begins any more.
    is_over: bool,
    pods: Vec<Pod>,
}

/// The workers of a load test that are read, and those whose logs were.
struct All {
    connection: Connection,
    flags: Logs,
    /// Which load test it is: another of its name is not meant.
    uid: String,
    /// Whose pods are its workers: others of its name are of an earlier load test. Without one none has begun.
    job_uid: Option<String>,
    to: Sender<Vec<u8>>,
    known: BTreeSet<String>,
    reading: JoinSet<Result<(), Failure>>,
    failed: Option<Failure>,
}

impl All {
    fn of(connection: Connection, flags: Logs, load_test: &LoadTest, to: Sender<Vec<u8>>) -> Self {
        Self {
            connection,
            flags,
            uid: load_test.uid().to_owned(),
            job_uid: job_uid(load_test),
            to,
            known: BTreeSet::new(),
            reading: JoinSet::new(),
            failed: None,
        }
    }

    /// Reads the log of each worker, until there is no more. A cluster that cannot be asked for a while ends nothing that is followed.
    async fn read(mut self, every: Duration) -> Result<(), Failure> {
        let mut in_vain = 0;
        loop {
            let is_over = match self.look().await {
                Ok(look) => {
                    in_vain = 0;
                    self.begin(look.pods).await?;
                    look.is_over
                }
                Err((doing, error)) => {
                    in_vain += 1;
                    let failure = self.connection.refused(doing, &error);
                    if is_final(&error) || (!self.flags.follow && in_vain >= LOOKS) {
                        return Err(failure);
                    }
                    if in_vain == 1 {
                        let words = harmless(&failure.to_string());
                        say(format_args!("{words}; it is tried again"));
                    }
                    false
                }
            };
            while let Some(read) = self.reading.try_join_next() {
                note(joined(read), &mut self.failed)?;
            }
            if is_over || self.to.is_closed() {
                break;
            }
            sleep(every).await;
        }
        if self.known.is_empty() {
            let Logs { name, worker, .. } = &self.flags;
            let whose = worker.map_or_else(|| "a worker".to_owned(), |index| format!("worker {index}"));
            return Err(Failure::internal(format!(
                "there is no log of {whose} of the load test {name}: none has begun, or its pods are gone"
            )));
        }
        while let Some(read) = self.reading.join_next().await {
            note(joined(read), &mut self.failed)?;
        }
        self.failed.map_or(Ok(()), Err)
    }

    /// Whoever is over before a look has pods that it sees; one that is deleted, or made anew, is over.
    async fn look(&mut self) -> Result<Look, (&'static str, kube::Error)> {
        let Self { connection, flags, uid, .. } = &*self;
        let there = match flags.follow {
            true => match connection.load_tests().get(&flags.name).await {
                Ok(there) => Some(there),
                Err(kube::Error::Api(status)) if status.code == 404 => None,
                Err(error) => return Err(("read the load test", error)),
            },
            false => None,
        };
        if there.as_ref().is_some_and(|load_test| load_test.uid() != uid) {
            let name = &flags.name;
            let other = connection.hint(&format!("logs {name} -f"));
            say(format_args!(
                "the load test {name} was deleted, and another one was made by its name: {other} reads the other"
            ));
            return Ok(Look { is_over: true, pods: Vec::new() });
        }
        let job_uid = there.as_ref().and_then(job_uid).or_else(|| self.job_uid.clone());
        let pods: Api<Pod> = Api::namespaced(connection.client.clone(), &connection.namespace);
        let selector = format!("{WORKER_SELECTOR},{TEST_NAME}={}", flags.name);
        let seen = pods.list(&ListParams::default().labels(&selector)).await;
        let mut pods = seen.map_err(|error| ("list the workers' pods", error))?.items;
        pods.retain(|pod| job_uid.as_deref().is_some_and(|job| is_of_job(pod, job)));
        self.job_uid = job_uid;
        Ok(Look { is_over: there.is_none_or(|load_test| load_test.is_settled()), pods })
    }

    /// Reads those that are new: at once where they are followed, or else one after the other.
    async fn begin(&mut self, pods: Vec<Pod>) -> Result<(), Failure> {
        let Self { connection, flags, to, known, reading, failed, .. } = self;
        let is_coloured = io::stdout().is_terminal() && may_colour();
        let mut begun: Vec<_> = pods.iter().filter_map(|pod| Some((index(pod)?, pod))).collect();
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
                idle: IDLE,
            };
            if flags.follow {
                let to = to.clone();
                reading.spawn(async move { read.to_its_end(&to).await });
            } else {
                note(read.to_its_end(to).await, failed)?;
            }
        }
        Ok(())
    }
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

fn job_uid(load_test: &LoadTest) -> Option<String> {
    load_test.status.as_ref()?.job_uid.clone()
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
