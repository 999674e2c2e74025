//! The log of one worker to its end, over streams that break.

use std::pin::pin;
use std::time::Duration;

use futures::{AsyncBufRead, AsyncBufReadExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, LogParams};
use tokio::sync::mpsc::Sender;
use tokio::time::{sleep, timeout};

use super::lines::Lines;
use super::state;
use crate::cluster::{Connection, chain};
use crate::exit::Failure;
use crate::terminal::{harmless, say};

/// So often a log that is followed is opened in vain, one after the other.
const TRIES: u32 = 8;
/// So often one that is only read: workers are read one after the other, and who reads waits for each.
const FEW_TRIES: u32 = 2;
/// How long there is a pause before it is opened again; each time twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// Of a stream of which nothing comes for so long it is not known whether anybody still sends: it is opened again.
pub const IDLE: Duration = Duration::from_secs(120);
/// An answer is waited for so long.
const ANSWER: Duration = Duration::from_secs(10);

/// A worker whose log is read.
pub struct Reading {
    pub connection: Connection,
    pub index: u32,
    pub pod: String,
    pub container: String,
    pub is_followed: bool,
    pub tail: Option<i64>,
    pub prefix: String,
    pub idle: Duration,
}

/// How a stream ended.
enum Ended {
    /// It says so itself.
    Whole,
    /// Nobody reads any more.
    Unread,
    /// Nothing comes, and it is not known why.
    Idle,
    /// It broke, for this reason.
    Broken(String),
    /// The cluster does not answer, for this reason.
    Away(String),
}

impl Reading {
    /// Reads it, and opens it again where it breaks.
    ///
    /// # Errors
    /// There is no right to do it, or it can be read no more.
    pub async fn to_its_end(&self, to: &Sender<Vec<u8>>) -> Result<(), Failure> {
        let pods: Api<Pod> = Api::namespaced(self.connection.client.clone(), &self.connection.namespace);
        let mut lines = Lines::new(self.prefix.clone());
        let mut since = None;
        let mut tries = 0;
        loop {
            // of one that has ended before, the end of the stream is the end of the log
            let has_ended = !self.is_followed || self.has_ended(&pods).await;
            let params = LogParams {
                container: Some(self.container.clone()),
                follow: self.is_followed && !has_ended,
                tail_lines: self.tail.filter(|_| since.is_none()),
                since_time: since,
                timestamps: true,
                ..LogParams::default()
            };
            let mut has_read = false;
            let ended = match within(self.idle(&lines), pods.log_stream(&self.pod, &params)).await {
                None => Ended::Idle,
                Some(Ok(stream)) => self.forward(stream, &mut lines, to, &mut has_read).await,
                Some(Err(kube::Error::Api(status))) if status.code == 404 => Ended::Whole,
                Some(Err(error @ kube::Error::Api(_))) if is_final(&error) => {
                    let doing = format!("read the log of worker {} (the right to get pods/log)", self.index);
                    return Err(self.connection.refused(&doing, &error));
                }
                Some(Err(error @ kube::Error::Api(_))) => Ended::Broken(chain(&error)),
                Some(Err(error)) => Ended::Away(chain(&error)),
            };
            let is_away = matches!(ended, Ended::Away(_));
            let why = match ended {
                Ended::Unread => return Ok(()),
                Ended::Idle => {
                    // its worker may have printed nothing, so that there is nothing to say
                    tries = 0;
                    since = lines.again().or(since);
                    continue;
                }
                Ended::Whole if has_ended => {
                    // nobody to read it any more is no failure
                    let _ = to.send(lines.end()).await;
                    return Ok(());
                }
                Ended::Whole => None,
                Ended::Broken(why) | Ended::Away(why) => Some(why),
            };
            tries = if has_read { 1 } else { tries + 1 };
            let Self { index, pod, .. } = self;
            let most = if self.is_followed { TRIES } else { FEW_TRIES };
            if is_away && self.is_followed {
                // the log is still there when the cluster is back, however long that takes
                tries = tries.min(most);
            }
            if tries > most {
                let why = why.unwrap_or_else(|| "it ends, and the worker runs".to_owned());
                return Err(Failure::internal(format!(
                    "the log of worker {index} (pod {pod}) cannot be read on: {why}"
                )));
            }
            if let (Some(why), 1) = (&why, tries) {
                let why = harmless(why);
                say(format_args!("The log of worker {index} (pod {pod}) broke off, and is read on: {why}"));
            }
            since = lines.again().or(since);
            sleep(PAUSE * 2_u32.pow(tries - 1)).await;
        }
    }

    /// Whether its container has ended, or its pod is gone.
    async fn has_ended(&self, pods: &Api<Pod>) -> bool {
        // whoever may list them may not get them
        let this = ListParams::default().fields(&format!("metadata.name={}", self.pod));
        // where that cannot be told it may run
        let Ok(Ok(seen)) = timeout(ANSWER, pods.list(&this)).await else { return false };
        let has_ended =
            |pod: &Pod| state(pod, &self.container).is_some_and(|state| state.terminated.is_some());
        seen.items.first().is_none_or(has_ended)
    }

    /// How long nothing may come of a stream; for ever where one that is opened again would not go on just there.
    fn idle(&self, lines: &Lines) -> Option<Duration> {
        (self.is_followed && lines.can_go_on(self.tail.is_none())).then_some(self.idle)
    }

    /// Sends whole lines on, all that are there at a time together.
    async fn forward(
        &self,
        stream: impl AsyncBufRead,
        lines: &mut Lines,
        to: &Sender<Vec<u8>>,
        has_read: &mut bool,
    ) -> Ended {
        let mut stream = pin!(stream);
        loop {
            let bytes = match within(self.idle(lines), stream.fill_buf()).await {
                None => return Ended::Idle,
                Some(Ok(bytes)) => bytes,
                Some(Err(error)) => return Ended::Broken(error.to_string()),
            };
            let read = bytes.len();
            if read == 0 {
                return Ended::Whole;
            }
            *has_read = true;
            let whole = lines.take(bytes);
            stream.consume_unpin(read);
            if !whole.is_empty() && to.send(whole).await.is_err() {
                return Ended::Unread;
            }
        }
    }
}

/// What comes of it; `None` where that takes longer.
async fn within<T>(idle: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match idle {
        Some(idle) => timeout(idle, work).await.ok(),
        None => Some(work.await),
    }
}

/// What does not become better by trying again.
pub fn is_final(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if [401, 403].contains(&status.code))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use kube::{Client, Config};
    use serde_json::json;
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::TcpListener;
    use tokio::sync::mpsc::channel;

    use super::*;

    /// An API server that answers one request after the other with these, and whose pods have ended once the first log was read. Where that
    /// `is_held` nothing more comes of the first log, and it does not end.
    async fn server(logs: Vec<String>, is_held: bool) -> (Connection, Arc<Mutex<Vec<String>>>) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let uri = format!("http://{}", listener.local_addr().expect("it")).parse().expect("an address");
        let client = Client::try_from(Config::new(uri)).expect("a client");
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut logs = logs.into_iter();
            let (mut held, mut holds) = (Vec::new(), is_held);
            let mut state = json!({ "running": {} });
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                let (mut request, mut header) = (String::new(), String::new());
                stream.read_line(&mut request).await.expect("a request");
                while stream.read_line(&mut header).await.expect("a header") > 2 {
                    header.clear();
                }
                let is_log = request.contains("/log?");
                let answer = if is_log {
                    state = json!({ "terminated": { "exitCode": 0 } });
                    seen.lock().expect("it").push(request);
                    logs.next().expect("no more is asked for")
                } else {
                    let status = json!({ "name": "t", "image": "i", "imageID": "i", "ready": false, "restartCount": 0, "state": state });
                    let pod =
                        json!({ "metadata": { "name": "t-0" }, "status": { "containerStatuses": [status] } });
                    let list =
                        json!({ "apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": [pod] })
                            .to_string();
                    format!(
                        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{list}",
                        list.len()
                    )
                };
                stream.write_all(answer.as_bytes()).await.expect("sent");
                if is_log && std::mem::take(&mut holds) {
                    stream.flush().await.expect("sent");
                    held.push(stream);
                    continue;
                }
                stream.shutdown().await.expect("closed");
            }
        });
        (Connection { client, namespace: "shop".to_owned(), chosen_by: String::new() }, asked)
    }

    async fn read(connection: Connection, idle: Duration) -> (Result<(), Failure>, String) {
        let (to, mut from) = channel(64);
        let reading = Reading {
            connection,
            index: 0,
            pod: "t-0".to_owned(),
            container: "t".to_owned(),
            is_followed: true,
            tail: None,
            prefix: "w | ".to_owned(),
            idle,
        };
        let done = reading.to_its_end(&to).await;
        drop(to);
        let mut read = Vec::new();
        while let Some(lines) = from.recv().await {
            read.extend(lines);
        }
        (done, String::from_utf8(read).expect("text"))
    }

    #[tokio::test]
    async fn a_stream_that_breaks_is_opened_again_and_no_line_is_lost_or_doubled() {
        let whole = "2026-01-01T00:00:01.5Z a\n2026-01-01T00:00:01.5Z b\n2026-01-01T00:00:02Z c\n";
        let answer = |length: usize, text: &str| {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}")
        };
        // in the middle of a line
        let logs = vec![answer(9_999, &whole[..60]), answer(whole.len(), whole)];
        let (connection, asked) = server(logs, false).await;
        let (done, text) = read(connection, IDLE).await;
        done.expect("it is read");
        assert_eq!(text, "w | a\nw | b\nw | c\n");
        let asked = asked.lock().expect("it").clone();
        assert!(asked[0].contains("follow=true") && !asked[0].contains("sinceTime"), "{asked:?}");
        assert!(
            !asked[1].contains("follow=true") && asked[1].contains("sinceTime=2026-01-01T00%3A00%3A01"),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn a_stream_of_which_nothing_comes_is_opened_again_and_no_line_is_lost_or_doubled() {
        let whole = "2026-01-01T00:00:01.5Z a\n2026-01-01T00:00:01.5Z b\n2026-01-01T00:00:02Z c\n";
        let answer = |length: usize, text: &str| {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{text}")
        };
        // the machine may be slow as well, so that it is opened more often
        let again = vec![answer(whole.len(), whole); 9];
        // in the middle of a line
        let logs = std::iter::once(answer(9_999, &whole[..60])).chain(again).collect();
        let (connection, asked) = server(logs, true).await;
        let reading = read(connection, Duration::from_millis(500));
        let (done, text) = timeout(Duration::from_secs(60), reading).await.expect("not for ever");
        done.expect("it is read");
        assert_eq!(text, "w | a\nw | b\nw | c\n");
        let asked = asked.lock().expect("it").clone();
        assert!(asked[1].contains("sinceTime=2026-01-01T00%3A00%3A01"), "{asked:?}");
    }

    #[tokio::test]
    async fn without_the_right_the_exit_code_is_4_and_the_right_is_named() {
        let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403, "reason": "Forbidden", "message": "pods \"t-0\" is forbidden" }).to_string();
        let forbidden = format!(
            "HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{status}",
            status.len()
        );
        let (connection, _) = server(vec![forbidden], false).await;
        let failure = read(connection, IDLE).await.0.expect_err("forbidden");
        assert_eq!(failure.exit.code(), 4);
        assert_eq!(
            failure.to_string(),
            "cannot read the log of worker 0 (the right to get pods/log): pods \"t-0\" is forbidden"
        );
    }
}
