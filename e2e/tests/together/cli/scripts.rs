//! Examples as they are, in the cluster and on this machine: the same counts, in reports of the same fields.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Stdio};

use e2e::{Bed, WHOLE_TEST, cluster};
use serde_json::Value;
use testbed::cluster::repository;
use testbed::eventually::eventually;
use tokio::net::TcpListener;

use super::{begin, command, end, ended, report, seen};

/// Examples, and how many arrive in a second.
const USERS: (&str, u64) = ("csv-users", 3);
const ORDERS: (&str, u64) = ("processor", 2);

/// Five of the twenty seconds are enough. Artillery takes a list as a whole.
fn five_seconds(rate: u64) -> String {
    format!(r#"--overrides={{"config":{{"phases":[{{"duration":5,"arrivalRate":{rate}}}]}}}}"#)
}

/// What of a report does not depend on how quick anything was, nor on the target's address.
fn counts(report: &Value) -> Value {
    let mut counters = report["aggregate"]["counters"].clone();
    // headers of another length
    counters.as_object_mut().expect("counters").remove("http.downloaded_bytes");
    counters
}

/// The names of all fields at any depth; those of a list's items are one set.
fn fields(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(object) => object
            .iter()
            .flat_map(|(key, value)| {
                let below = fields(value).into_iter().map(move |field| format!("{key}/{field}"));
                below.chain([key.clone()])
            })
            .collect(),
        Value::Array(items) => items.iter().flat_map(fields).collect(),
        _ => BTreeSet::new(),
    }
}

/// The script of an example.
fn script(example: &str) -> String {
    let script = repository().join("examples").join(example).join("script.yaml");
    script.canonicalize().expect("the example").to_str().expect("a path").to_owned()
}

/// An example on this machine, against that target.
fn here(folder: &Path, (example, rate): (&str, u64), target: &str, more: &[&str]) -> Child {
    let artillery =
        std::env::var("ARTILLERY_HOME").expect("ARTILLERY_HOME: what `hack/artillery 2.0.34` prints");
    let artillery = format!("--artillery={artillery}/node_modules/artillery/bin/run");
    let mut local = cluster().artillery();
    local
        .args(["run", &script(example), "--local", "--count=3", &five_seconds(rate), target, &artillery])
        .args(more);
    local.current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    local.spawn().expect("it runs")
}

/// Runs an example in the cluster by three workers, each the whole of it, and at the same time once by three together. Returns both reports.
async fn there(bed: &Bed, folder: &Path, (example, rate): (&str, u64)) -> (Value, Value) {
    let (requests, short) = (5 * rate, five_seconds(rate));
    let before = seen(bed).total;
    let script = script(example);
    let name = format!("--name={example}");
    let forms = ["html", "json", "txt", "xml", "md"].map(|ending| format!("--report={example}.{ending}"));
    let typed = ["run", &script, "--count=3", &name, "--rm", &short];
    let typed: Vec<_> = typed.into_iter().chain(forms.iter().map(String::as_str)).collect();
    let whole = begin(bed, folder, &typed);
    let split = ["run", &script, "--count=3", "--distribution=Split", &short, "-o=json"];
    let once = command(bed, folder, &split).output().expect("it runs");
    let (code, printed, said) = end(whole);
    assert_eq!(code, Some(0), "{printed}{said}");
    let read = |ending: &str| std::fs::read_to_string(folder.join(format!("{example}.{ending}")));
    assert_eq!(read("txt").expect("a report"), printed);
    assert!(read("html").expect("a page").contains("</html>"));
    let whole = report(folder, &format!("{example}.json"));
    let (code, printed, said) = ended(once);
    assert_eq!(code, Some(0), "{printed}{said}");
    let once: Value = serde_json::from_str(&printed).expect("JSON alone");
    let requested = |report: &Value| report["aggregate"]["counters"]["http.requests"].as_u64();
    assert_eq!((requested(&whole), requested(&once)), (Some(3 * requests), Some(requests)));
    assert_eq!(seen(bed).total - before, 4 * requests);
    let selector = format!("artillery.io/test-name={example}");
    let left = || bed.kubectl(&["get", "loadtests,configmaps,jobs", "-l", &selector, "-o", "name"]);
    eventually("nothing is left of --rm", WHOLE_TEST, async || left(), String::is_empty).await;
    (whole, once)
}

// the target of this machine answers while the program is waited for
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_script_runs_on_the_cluster_as_on_this_machine() {
    let bed = Bed::with_target("cli-script").await;
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let (users, _) = there(&bed, folder, USERS).await;
    // each worker walks through all six rows; of shared rows each has two for its five requests
    let seen = seen(&bed);
    for (user, of_each) in [("alice", 3), ("bob", 3), ("carol", 3), ("dave", 2), ("erin", 2), ("frank", 2)] {
        let times = seen.count("GET", &format!("/of/{user}/"));
        assert!([2, 3].contains(&(times - 3 * of_each)), "{user}: {times}");
    }
    let (orders, orders_once) = there(&bed, folder, ORDERS).await;
    assert_eq!(orders["aggregate"]["counters"]["orders.made"], 30);
    assert_eq!(orders_once["aggregate"]["counters"]["orders.made"], 10);

    let listen = async || TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let (service, admin) = (listen().await, listen().await);
    let target = format!("--target=http://{}", service.local_addr().expect("an address"));
    tokio::spawn(testbed::target::serve(service, admin, std::future::pending()));
    let locals = [
        ("users.json", users, here(folder, USERS, &target, &["--report=users.json"])),
        (
            "orders.json",
            orders_once,
            here(folder, ORDERS, &target, &["--report=orders.json", "--distribution=Split"]),
        ),
    ];
    for (name, there, local) in locals {
        let (code, printed, said) = end(local);
        assert_eq!(code, Some(0), "{printed}{said}");
        let here = report(folder, name);
        assert_eq!(counts(&here), counts(&there), "{name}");
        let (here, there) = (fields(&here), fields(&there));
        let more: Vec<_> = here.difference(&there).map(String::as_str).collect();
        let less: Vec<_> = there.difference(&here).map(String::as_str).collect();
        // which only a cluster has
        assert_eq!((more, less), (vec![], vec!["loadtest/namespace", "loadtest/uid"]), "{name}");
    }
}
