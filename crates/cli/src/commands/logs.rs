//! `logs`: what all workers of a load test in a cluster print, each line with its worker's index before it.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use futures::{AsyncBufRead, AsyncBufReadExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, LogParams};
use loadtest::labels::{TEST_NAME, WORKER_SELECTOR};
use loadtest::workers::COMPLETION_INDEX;
use tokio::sync::mpsc::{Sender, channel};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::cluster::{Connection, chain};
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Logs};
use crate::terminal::{printed, say};

/// How often there is a look for workers that have begun.
const LOOK: Duration = Duration::from_secs(2);
/// A line is cut where it has more bytes.
const MAX_LINE: usize = 64 * 1024;
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
    let is_coloured = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let mut known = BTreeSet::new();
    let mut reading = JoinSet::new();
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
            let log = LogParams {
                container: Some(flags.name.clone()),
                follow: flags.follow,
                tail_lines: flags.tail.map(i64::from),
                ..LogParams::default()
            };
            let prefix = if flags.prefix { prefix(index, is_coloured) } else { String::new() };
            let (pods, to) = (pods.clone(), to.clone());
            let read = async move {
                let outcome = match pods.log_stream(&name, &log).await {
                    Ok(stream) => forward(stream, &prefix, &to).await.map_err(|error| error.to_string()),
                    Err(error) => Err(chain(&error)),
                };
                if let Err(why) = outcome {
                    say(format_args!("The log of worker {index} (pod {name}) cannot be read: {why}"));
                }
            };
            if flags.follow {
                reading.spawn(read);
            } else {
                read.await;
            }
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
    while reading.join_next().await.is_some() {}
    Ok(())
}

fn index(pod: &Pod) -> Option<u32> {
    pod.metadata.labels.as_ref()?.get(COMPLETION_INDEX)?.parse().ok()
}

/// Whether the container has printed, or may have.
fn has_begun(pod: &Pod, container: &str) -> bool {
    let statuses = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
    let state = statuses.and_then(|all| all.iter().find(|status| status.name == container)?.state.as_ref());
    state.is_some_and(|state| state.running.is_some() || state.terminated.is_some())
}

fn prefix(index: u32, is_coloured: bool) -> String {
    if is_coloured {
        let colour = COLOURS[index as usize % COLOURS.len()];
        format!("\x1b[{colour}mworker-{index} | \x1b[0m")
    } else {
        format!("worker-{index} | ")
    }
}

/// Sends whole lines on, all that are there at a time together.
async fn forward(stream: impl AsyncBufRead, prefix: &str, to: &Sender<Vec<u8>>) -> io::Result<()> {
    let mut stream = std::pin::pin!(stream);
    let mut rest = Vec::new();
    loop {
        let bytes = stream.fill_buf().await?;
        let read = bytes.len();
        rest.extend_from_slice(bytes);
        stream.consume_unpin(read);
        let lines = whole_lines(&mut rest, prefix, read == 0);
        if !lines.is_empty() && to.send(lines).await.is_err() || read == 0 {
            return Ok(());
        }
    }
}

/// Takes the whole lines off, each with the prefix before it; at the end also one that is not whole.
fn whole_lines(rest: &mut Vec<u8>, prefix: &str, is_end: bool) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut taken = 0;
    while let Some(length) = next_line(&rest[taken..], is_end) {
        lines.extend_from_slice(prefix.as_bytes());
        lines.extend_from_slice(&rest[taken..taken + length]);
        if lines.last() != Some(&b'\n') {
            lines.push(b'\n');
        }
        taken += length;
    }
    rest.drain(..taken);
    lines
}

/// The length of the first line, with its end; `None` while it is not whole.
fn next_line(bytes: &[u8], is_end: bool) -> Option<usize> {
    let searched = &bytes[..bytes.len().min(MAX_LINE)];
    match searched.iter().position(|byte| *byte == b'\n') {
        Some(at) => Some(at + 1),
        None if bytes.len() >= MAX_LINE => Some(MAX_LINE),
        None => (is_end && !bytes.is_empty()).then_some(bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_stay_whole_and_one_without_end_is_cut() {
        let (to, mut from) = channel(8);
        let long = "x".repeat(MAX_LINE + 1);
        let text = format!("a\nb b\n\n{long}\nend");
        forward(futures::io::Cursor::new(text.as_bytes()), "w | ", &to).await.expect("read");
        drop(to);
        let mut read = Vec::new();
        while let Some(lines) = from.recv().await {
            read.extend(lines);
        }
        let cut = "x".repeat(MAX_LINE);
        let read = String::from_utf8(read).expect("text");
        assert_eq!(read, format!("w | a\nw | b b\nw | \nw | {cut}\nw | x\nw | end\n"));
    }

    #[test]
    fn half_a_line_waits_for_the_rest() {
        let mut rest = b"one\ntw".to_vec();
        assert_eq!(whole_lines(&mut rest, "", false), b"one\n");
        rest.extend_from_slice(b"o\n");
        assert_eq!(whole_lines(&mut rest, "", false), b"two\n");
        assert!(rest.is_empty());
    }
}
