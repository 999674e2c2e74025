//! `kubectl artillery` as its users type it: what it makes, how it ends, and that nothing half-made is left.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use e2e::{Bed, WHOLE_TEST, cluster, config_map, list, load_test};
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::eventually::eventually;
use tokio::net::TcpListener;

const SCRIPT: &str = "
config:
  target: http://loadtest-target
  phases: [{ duration: 4, arrivalCount: 12 }]
  payload: { path: data/users.csv, fields: [user], order: sequence }
  processor: ./hooks.js
  plugins: { ensure: {} }
  ensure: { conditions: [{ expression: 'vusers.failed == 0' }] }
scenarios:
  - name: look
    flow:
      - function: greet
      - get: { url: '/of/{{ user }}/{{ greeting }}' }
";

/// A script with a CSV file, a processor, and what that requires.
fn project(script: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    std::fs::create_dir(folder.path().join("data")).expect("a folder");
    write("script.yaml", script);
    write("data/users.csv", &(0..12).map(|row| format!("user{row}\n")).collect::<String>());
    write(
        "hooks.js",
        "const { greeting } = require('./lib/helper');
module.exports = { greet(context, events, done) { context.vars.greeting = greeting; done(); } };\n",
    );
    std::fs::create_dir(folder.path().join("lib")).expect("a folder");
    write("lib/helper.js", "exports.greeting = 'hello';\n");
    folder
}

/// `kubectl artillery …` in that folder and namespace.
fn command(bed: &Bed, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = cluster().artillery();
    command.args(arguments).args(["--namespace", &bed.namespace]).current_dir(folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Exit code, standard output and standard error.
fn ended(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn run(bed: &Bed, folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    ended(command(bed, folder, arguments).output().expect("it runs"))
}

fn report(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).expect("a report")).expect("JSON")
}

fn seen(bed: &Bed) -> u64 {
    cluster().target_counts(&bed.namespace).expect("the target's counts").total
}

/// What of a report does not depend on how quick anything was.
fn counts(report: &Value) -> Value {
    let mut counters = report["aggregate"]["counters"].clone();
    // headers of another length
    counters.as_object_mut().expect("counters").remove("http.downloaded_bytes");
    counters
}

fn fields(value: &Value) -> Vec<String> {
    value.as_object().expect("an object").keys().cloned().collect()
}

// the target of this machine answers while the program is waited for
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_script_runs_on_the_cluster_as_on_this_machine() {
    let bed = Bed::with_target("cli-script").await;
    let project = project(SCRIPT);
    let folder = project.path();
    let forms = ["--report=all.html", "--report=all.json", "--report=all.txt", "--report=all.xml"];
    let typed = ["run", "script.yaml", "--count=3", "--name=whole", "--rm"];
    let (code, printed, said) = run(&bed, folder, &[&typed[..], &forms].concat());
    assert_eq!(code, Some(0), "{printed}{said}");
    assert_eq!(seen(&bed), 36);
    let whole = report(folder, "all.json");
    assert_eq!(whole["aggregate"]["counters"]["http.requests"], 36);
    assert_eq!(std::fs::read_to_string(folder.join("all.txt")).expect("a report"), printed);
    assert!(std::fs::read_to_string(folder.join("all.html")).expect("a page").contains("</html>"));
    let gone = || {
        bed.kubectl(&["get", "loadtests,configmaps,jobs", "-l", "artillery.io/test-name=whole", "-o", "name"])
    };
    eventually("nothing is left", WHOLE_TEST, async || gone(), String::is_empty).await;

    let typed = ["run", "script.yaml", "--count=3", "--distribution=Split", "--name=once", "-o=json"];
    let (code, printed, said) = run(&bed, folder, &typed);
    assert_eq!(code, Some(0), "{said}");
    let once: Value = serde_json::from_str(&printed).expect("JSON alone");
    assert_eq!((once["aggregate"]["counters"]["http.requests"].as_u64(), seen(&bed)), (Some(12), 48));
    let users = cluster().target_counts(&bed.namespace).expect("the target's counts");
    for user in 0..12 {
        // three times by each worker alone, and once by all together
        assert_eq!(users.count("GET", &format!("/of/user{user}/hello")), 4, "{user}");
    }

    // the same on this machine
    let listen = async || TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let (service, admin) = (listen().await, listen().await);
    let address = format!("--target=http://{}", service.local_addr().expect("an address"));
    tokio::spawn(testbed::target::serve(service, admin, std::future::pending()));
    let artillery =
        std::env::var("ARTILLERY_HOME").expect("ARTILLERY_HOME: what `hack/artillery 2.0.34` prints");
    let artillery = format!("--artillery={artillery}/node_modules/artillery/bin/run");
    for (here, there, more) in [("here.json", &whole, "Replicate"), ("split.json", &once, "Split")] {
        let distribution = format!("--distribution={more}");
        let to = format!("--report={here}");
        let typed = ["run", "script.yaml", "--local", "--count=3", &address, &artillery, &distribution, &to];
        let mut local = cluster().artillery();
        let output = local.args(typed).current_dir(folder).output();
        let (code, _, said) = ended(output.expect("it runs"));
        assert_eq!(code, Some(0), "{said}");
        let here = report(folder, here);
        assert_eq!(counts(&here), counts(there), "{more}");
        assert_eq!(fields(&here["loadtest"]), {
            let mut fields = fields(&there["loadtest"]);
            // which only a cluster has
            fields.retain(|field| !["namespace", "uid"].contains(&field.as_str()));
            fields
        });
        assert_eq!(fields(&here["aggregate"]), fields(&there["aggregate"]), "{more}");
    }
}

#[tokio::test]
async fn each_end_has_its_exit_code() {
    let bed = Bed::with_target("cli-ends").await;
    let project = project(&SCRIPT.replace("vusers.failed == 0", "http.requests < 5"));
    let folder = project.path();
    let (code, printed, said) = run(&bed, folder, &["run", "script.yaml", "--name=fails", "--report=j.xml"]);
    assert_eq!(code, Some(1), "{printed}{said}");
    assert!(std::fs::read_to_string(folder.join("j.xml")).expect("a report").contains("<failure"));
    let (code, said, _) = run(&bed, folder, &["wait", "fails"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.starts_with("fails: Failed: "), "{said}");

    for (name, seconds) in [("long.yaml", 120), ("short.yaml", 20)] {
        let script = format!(
            "config: {{ target: 'http://loadtest-target', phases: [{{ duration: {seconds}, arrivalRate: 5 }}] }}\nscenarios: [{{ flow: [{{ get: {{ url: / }} }}] }}]\n"
        );
        std::fs::write(folder.join(name), script).expect("a file");
    }
    let load = async |requests: u64| {
        eventually("load", WHOLE_TEST, async || seen(&bed), |seen| *seen >= requests).await;
    };
    let before = seen(&bed);
    let killed =
        command(&bed, folder, &["run", "short.yaml", "--count=2", "--name=killed"]).spawn().expect("it runs");
    load(before + 20).await;
    bed.kubectl(&["delete", "pod", &bed.workers("killed")[0], "--force", "--grace-period=0"]);
    let (code, printed, said) = ended(killed.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(3), "{printed}{said}");
    // it may have had the time to send what it had
    let is_told = printed.contains("1 succeeded, 1 failed, 0 lost")
        || printed.contains("1 succeeded, 0 failed, 1 lost");
    assert!(is_told && !printed.contains("(Stopped)"), "{printed}{said}");

    let before = seen(&bed);
    let typed = ["run", "long.yaml", "--count=2", "--name=stopped", "--report=stopped.json"];
    let stopped = command(&bed, folder, &typed).spawn().expect("it runs");
    load(before + 20).await;
    testbed::process::signal(&stopped, "INT").expect("it runs");
    let (code, printed, said) = ended(stopped.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(130), "{printed}{said}");
    let report = report(folder, "stopped.json");
    assert_eq!(report["loadtest"]["verdict"]["reason"], "Stopped");
    assert_eq!(report["aggregate"]["counters"]["http.requests"], seen(&bed) - before, "a report of what ran");

    let before = seen(&bed);
    let typed = ["run", "long.yaml", "--count=1", "--name=left", "--detach"];
    let (code, printed, said) = run(&bed, folder, &typed);
    assert_eq!((code, printed.as_str()), (Some(0), "loadtest/left\n"), "{said}");
    let (code, _, said) = run(&bed, folder, &["wait", "left", "--timeout=1s"]);
    assert_eq!(code, Some(3), "{said}");
    let watch = command(&bed, folder, &["watch", "left"]).spawn().expect("it runs");
    let logs = command(&bed, folder, &["logs", "left", "--follow"]).spawn().expect("it runs");
    // one that is stopped before it has printed anything has no log
    load(before + 5).await;
    let (code, said, _) = run(&bed, folder, &["stop", "loadtest/left", "--now"]);
    assert_eq!(code, Some(0), "{said}");
    let (code, printed, said) = ended(watch.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(3), "{printed}{said}");
    assert!(printed.contains("Inconclusive (Stopped)"), "{printed}");
    let (code, printed, said) = ended(logs.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(0), "{said}");
    assert!(
        printed.lines().count() > 0 && printed.lines().all(|line| line.starts_with("worker-0 | ")),
        "{printed}"
    );

    let (code, printed, _) = run(&bed, folder, &["list"]);
    assert_eq!((code, printed.lines().count()), (Some(0), 5), "a head and four: {printed}");
    let (code, printed, said) =
        run(&bed, folder, &["compare", "stopped", "stopped.json", "--fail-if=requests < -1%"]);
    assert_eq!(code, Some(0), "{printed}{said}");
    let (code, printed, said) = run(&bed, folder, &["report", "stopped", "--output=markdown"]);
    assert!(code == Some(0) && printed.contains("stopped: Inconclusive"), "{printed}{said}");
}

#[tokio::test]
async fn what_is_written_down_runs_as_it_is() {
    let bed = Bed::with_target("cli-files").await;
    let folder = tempfile::tempdir().expect("a folder");
    let script = "config: { target: 'http://loadtest-target', phases: [{ duration: 2, arrivalRate: 2 }] }\nscenarios: [{ flow: [{ get: { url: / } }] }]\n";
    let test = load_test("written", 1, &json!({ "config": { "configMap": "written" } }));
    let manifests = list(&[config_map("written", "test-script.yaml", script), test]);
    std::fs::write(folder.path().join("manifests.json"), manifests.to_string()).expect("a file");
    let typed = ["run", "-f", "manifests.json", "--report=written.json"];
    let (code, printed, said) = run(&bed, folder.path(), &typed);
    assert_eq!(code, Some(0), "{printed}{said}");
    assert_eq!(seen(&bed), 4);
    let (code, _, said) = run(&bed, folder.path(), &typed);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("the load test written is there already"), "{said}");

    let mut waiting = load_test("waiting", 1, &json!({ "config": { "configMap": "written" } }));
    waiting["spec"]["suspend"] = json!(true);
    bed.apply(&waiting);
    let (code, printed, said) = run(&bed, folder.path(), &["run", "loadtest/waiting"]);
    assert_eq!((code, seen(&bed)), (Some(0), 8), "{printed}{said}");
}

#[tokio::test]
async fn what_cannot_be_is_said_and_leaves_nothing() {
    let bed = Bed::new("cli-refused").await;
    let project = project(SCRIPT);
    let folder = project.path();
    bed.apply(&load_test("taken", 1, &json!({ "config": { "configMap": "nowhere" } })));
    // one who may do nothing
    bed.kubectl(&["create", "serviceaccount", "nobody"]);
    let token = bed.kubectl(&["create", "token", "nobody"]);
    let kubeconfig = folder.join("nobody.kubeconfig");
    std::fs::copy(cluster().kubeconfig(), &kubeconfig).expect("a kubeconfig");
    let nobody = kubeconfig.to_str().expect("a path");
    bed.kubectl(&["--kubeconfig", nobody, "config", "set-credentials", "nobody", "--token", token.trim()]);
    bed.kubectl(&["--kubeconfig", nobody, "config", "set-context", "--current", "--user", "nobody"]);
    let who = format!("system:serviceaccount:{}:nobody", bed.namespace);
    for (arguments, code, words) in [
        (&["run", "nothing.yaml"][..], 2, "the script nothing.yaml: No such file"),
        (&["run", "script.yaml", "--name=taken"], 2, "\"taken\" already exists"),
        (&["run", "script.yaml", "-e=prod"], 2, "has no such environment"),
        (
            &["run", "script.yaml", "--kubeconfig", nobody],
            4,
            &format!("User \"{who}\" cannot create resource \"loadtests\""),
        ),
        (&["run", "script.yaml", "--context=nowhere"], 4, "there is no cluster to speak to"),
        (&["wait", "nothing"], 2, "there is no load test nothing"),
        (&["logs", "nothing"], 2, "\"nothing\" not found"),
        (&["report", "taken"], 3, "the load test taken is not over"),
    ] {
        let (ended, printed, said) = run(&bed, folder, arguments);
        assert_eq!(ended, Some(code), "{arguments:?}: {printed}{said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
        assert_eq!(printed, "", "{arguments:?}");
    }
    let made = bed.kubectl(&["get", "configmaps,jobs", "-l", "artillery.io/part-of=loadtest", "-o", "name"]);
    assert_eq!(made, "", "nothing is left");
}
