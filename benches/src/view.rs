//! What the live view costs whoever looks on: `kubectl artillery watch` on a terminal, of a load test that changes each second. The cluster is a
//! server on loopback, and the workers are nobody's: what is measured is the client alone.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use crate::cli::{kubeconfig, send};
use crate::{machine, report};

/// How long it is looked at.
const LOOKED: Duration = Duration::from_secs(30);
/// How long it may take to begin.
const SOON: Duration = Duration::from_secs(10);
/// Of one core, in percent, that is aimed for.
const LITTLE: f64 = 2.0;

/// Measures, and prints a line.
pub async fn measure(program: &Path, folder: &Path) -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let kubeconfig = kubeconfig(folder, &format!("http://{}", listener.local_addr()?))?;
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    // `script` of util-linux gives it a terminal
    let run = format!("exec '{}' watch runs --kubeconfig '{}'", program.display(), kubeconfig.display());
    let mut command = tokio::process::Command::new("script");
    command.args(["--quiet", "--return", "--flush", "--command", &run, "/dev/null"]);
    command.env("SHELL", "/bin/sh").env("TERM", "xterm").env_remove("NO_COLOR");
    // its end takes the terminal away, which ends the program
    let mut terminal = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut painted = BufReader::new(terminal.stdout.take().context("its output")?);
    timeout(SOON, until(&mut painted, "phase 2/3")).await.context("no phase is painted")??;
    let pid = child_of(terminal.id().context("it runs")?)?;
    let (before, begun) = (machine::usage(pid)?.cpu, Instant::now());
    let mut bytes = 0;
    while let Some(left) = LOOKED.checked_sub(begun.elapsed()) {
        // who paints waits for whoever looks
        let Ok(read) = timeout(left, painted.fill_buf()).await else { break };
        let read = read?.len();
        anyhow::ensure!(read > 0, "the view ended");
        bytes += read;
        painted.consume(read);
    }
    let percent = (machine::usage(pid)?.cpu - before) / begun.elapsed().as_secs_f64() * 100.0;
    server.abort();
    let verdict = if percent <= LITTLE { "met" } else { "missed" };
    report::line(&format!(
        "The live view takes {percent:.2} % of one core, over {} s with a new status each second, and paints {bytes} bytes (aim: {LITTLE:.0} %, {verdict}).",
        LOOKED.as_secs()
    ));
    Ok(())
}

async fn until(painted: &mut BufReader<tokio::process::ChildStdout>, said: &str) -> Result<()> {
    let mut all = String::new();
    while !all.contains(said) {
        let read = painted.fill_buf().await?;
        anyhow::ensure!(!read.is_empty(), "it ended: {all}");
        all.push_str(&String::from_utf8_lossy(read));
        let read = read.len();
        painted.consume(read);
    }
    Ok(())
}

fn child_of(pid: u32) -> Result<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    children.split_whitespace().next().context("it has no child")?.parse().context("a number")
}

/// Answers one connection's requests: lists and watches of the one load test.
async fn answer(stream: TcpStream) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let (mut request, mut header) = (String::new(), String::new());
        if stream.read_line(&mut request).await? == 0 {
            return Ok(());
        }
        while stream.read_line(&mut header).await? > 2 {
            header.clear();
        }
        if request.contains("watch=true") || request.contains("watch=1") {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n")
                .await?;
            for second in 2.. {
                sleep(Duration::from_secs(1)).await;
                let event = json!({ "type": "MODIFIED", "object": load_test(second) });
                stream.write_all(format!("{event}\n").as_bytes()).await?;
            }
        }
        let body = json!({
            "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTestList",
            "metadata": { "resourceVersion": "1" }, "items": [load_test(1)],
        })
        .to_string();
        send(&mut stream, &body).await?;
    }
}

/// It has run for a minute, and runs on.
fn load_test(second: i64) -> Value {
    let now = loadtest::Timestamp::now().as_second();
    let time = |second: i64| {
        loadtest::Timestamp::from_second(second).map(|time| time.to_string()).unwrap_or_default()
    };
    json!({
        "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest",
        "metadata": { "name": "runs", "namespace": "default", "uid": "1", "resourceVersion": second.to_string() },
        "spec": { "count": 100, "testScript": { "config": { "configMap": "runs" } } },
        "status": {
            "active": 100, "workers": { "planned": 100 },
            "plan": {
                "startTime": time(now - 60 - second), "endTime": time(now - second + 940), "phaseCount": 3,
                "phases": [{ "durationMilliseconds": 10_000 }, { "name": "peak", "durationMilliseconds": 900_000 }, { "durationMilliseconds": 90_000 }],
            },
            "metrics": {
                "vusers": { "created": 100 * second, "completed": 99 * second, "failed": second }, "errors": second,
                "http": { "requests": 1000 * second, "requestsPerSecond": 1000 + second % 7 * 100, "responseTimeMilliseconds": { "p50": 12, "p95": 40 + second % 9, "p99": 99 } },
            },
        },
    })
}
