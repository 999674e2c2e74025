//! What `kubectl artillery` costs whoever types it: how soon it answers, how large it is, and whether `logs -f` keeps up with many workers.
//! The logs come from a server on loopback that answers as an API server does, for nodes that print so much do not fit on one machine.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::sample::{Sample, milliseconds};
use crate::{report, view};

const ROUNDS: usize = 20;
/// Milliseconds that are aimed for.
const SOON: f64 = 20.0;
const PLAN_SOON: f64 = 200.0;
/// Lines of the script that is planned.
const SCRIPT_LINES: usize = 10_000;
/// Bytes that are aimed for.
const SMALL: u64 = 20_000_000;
const WORKERS: usize = 100;
const LINES_EACH: usize = 5_000;
/// Lines in a second that are aimed for.
const KEPT_UP: f64 = 10_000.0;

/// Measures, and prints the table.
pub async fn measure() -> Result<()> {
    let program = std::env::current_exe()?.with_file_name("kubectl-artillery");
    let size = program.metadata().with_context(|| format!("{} is not built", program.display()))?.len();
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("script.yaml");
    std::fs::write(&script, long_script())?;
    let script = script.to_str().context("a path")?;
    let mut rows = Vec::new();
    for (what, arguments, aim) in [
        ("--help", &["--help"][..], SOON),
        ("completion", &["completion", "bash"], SOON),
        ("plan of a script of 10,000 lines", &["plan", script], PLAN_SOON),
    ] {
        let (ours, least) = side_by_side(&program, arguments)?;
        let verdict = if ours.median() <= aim { "met" } else { "missed" };
        rows.push([
            what.to_owned(),
            report::spread(&ours),
            report::spread(&least),
            format!("{aim:.0}: {verdict}"),
        ]);
    }
    report::heading("The command line");
    report::line(&format!(
        "Milliseconds from start to exit, beside a program that does nothing (/bin/true), in turns; median (and range) of {ROUNDS} rounds."
    ));
    report::table(["", "ms", "/bin/true", "aim"], &rows);
    let verdict = if size <= SMALL { "met" } else { "missed" };
    #[allow(clippy::cast_precision_loss, reason = "a file's size")]
    let megabytes = size as f64 / 1e6;
    report::line(&format!("The program has {megabytes:.1} MB (aim: 20 MB at most, {verdict})."));
    let seconds = logs(&program, folder.path()).await?;
    #[allow(clippy::cast_precision_loss, reason = "a few hundred thousand")]
    let rate = (WORKERS * LINES_EACH) as f64 / seconds;
    let verdict = if rate >= KEPT_UP { "met" } else { "missed" };
    report::line(&format!(
        "`logs -f` of {WORKERS} workers that print {LINES_EACH} lines of 80 bytes each as fast as they are read: {rate:.0} lines/s (aim: {KEPT_UP:.0}, {verdict})."
    ));
    view::measure(&program, folder.path()).await
}

/// Our program and one that does nothing, in turns.
fn side_by_side(program: &Path, arguments: &[&str]) -> Result<(Sample, Sample)> {
    let (mut ours, mut least) = (Sample::default(), Sample::default());
    for round in 0..=ROUNDS {
        for (program, arguments, sample) in
            [(program, arguments, &mut ours), (Path::new("/bin/true"), &[][..], &mut least)]
        {
            let begun = Instant::now();
            let mut command = Command::new(program);
            let ended = command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).status()?;
            ensure!(ended.success(), "{} {} failed", program.display(), arguments.join(" "));
            // the first round fills the caches
            if round > 0 {
                sample.push(milliseconds(begun.elapsed()));
            }
        }
    }
    Ok((ours, least))
}

/// A script of so many lines, most of them requests.
fn long_script() -> String {
    let mut script = "config:\n  target: http://127.0.0.1:9\n  phases: [{ duration: 60, arrivalRate: 5, rampTo: 50 }]\nscenarios:\n  - flow:\n".to_owned();
    for request in script.lines().count()..SCRIPT_LINES {
        script.push_str(&format!("      - get: {{ url: '/of/{request}' }}\n"));
    }
    script
}

/// Seconds from the start of `logs -f` to its end.
async fn logs(program: &Path, folder: &Path) -> Result<f64> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let kubeconfig = kubeconfig(folder, &format!("http://{}", listener.local_addr()?))?;
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    let begun = Instant::now();
    let mut command = tokio::process::Command::new(program);
    command
        .args(["logs", "many", "-f", "--kubeconfig"])
        .arg(kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
    let mut count = 0;
    while let Some(line) = lines.next_line().await? {
        ensure!(line.starts_with("worker-"), "a line is not whole: {line}");
        count += 1;
    }
    let status = child.wait().await?;
    let seconds = begun.elapsed().as_secs_f64();
    server.abort();
    ensure!(
        status.success() && count == WORKERS * LINES_EACH,
        "logs gave {count} lines, and ended with {status}"
    );
    Ok(seconds)
}

pub fn kubeconfig(folder: &Path, server: &str) -> Result<PathBuf> {
    let path = folder.join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": server } }],
        "users": [{ "name": "c", "user": {} }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "c" } }],
    });
    std::fs::write(&path, config.to_string())?;
    Ok(path)
}

/// Answers one connection's requests: for the load test, its pods, and their logs.
async fn answer(stream: TcpStream) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if stream.read_line(&mut request).await? == 0 {
            return Ok(());
        }
        let mut header = String::new();
        while stream.read_line(&mut header).await? > 2 {
            header.clear();
        }
        let path = request.split(' ').nth(1).unwrap_or_default();
        if path.contains("/log?") {
            stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n").await?;
            // as the API server has them with times
            let line = format!("2026-01-01T00:00:00.123456789Z {}\n", "x".repeat(79));
            let some = line.repeat(50);
            for _ in 0..LINES_EACH / 50 {
                stream.write_all(some.as_bytes()).await?;
            }
            return Ok(stream.shutdown().await?);
        }
        let body = if path.contains("/pods") { pods() } else { load_test() }.to_string();
        send(&mut stream, &body).await?;
    }
}

/// Answers a request with that, and keeps the connection.
pub async fn send(stream: &mut (impl AsyncWrite + Unpin), body: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.flush().await
}

/// One that is over: its workers have printed all that they will.
fn load_test() -> Value {
    json!({
        "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "metadata": { "name": "many" },
        "spec": { "count": WORKERS, "testScript": { "config": { "configMap": "many" } } },
        "status": { "jobUID": "j", "conditions": [{ "type": "Completed", "status": "True" }] },
    })
}

fn pods() -> Value {
    let pod = |index: usize| {
        json!({
            "metadata": {
                "name": format!("many-{index}"), "labels": { "batch.kubernetes.io/job-completion-index": index.to_string() },
                "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": "many", "uid": "j" }],
            },
            "status": { "containerStatuses": [{
                "name": "many", "image": "i", "imageID": "i", "ready": false, "restartCount": 0, "state": { "terminated": { "exitCode": 0 } },
            }] },
        })
    };
    json!({ "apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": (0..WORKERS).map(pod).collect::<Vec<_>>() })
}
