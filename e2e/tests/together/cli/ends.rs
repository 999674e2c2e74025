//! How it ends, by what became of the load test: the exit code, what is said, and what can still be asked for.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Child;

use e2e::{Bed, WHOLE_TEST};
use serde_json::json;
use testbed::eventually::eventually;
use testbed::process::signal;

use super::{SCRIPT, begin, end, project, report, run, seen, somebody};

/// Five requests of each worker a second for so long, to a path of the load test's name; by which the script is called, too.
fn write_load(folder: &Path, name: &str, seconds: u32) {
    let script = format!(
        "config: {{ target: 'http://loadtest-target', phases: [{{ duration: {seconds}, arrivalRate: 5 }}] }}\nscenarios: [{{ flow: [{{ get: {{ url: /of/{name} }} }}] }}]\n"
    );
    std::fs::write(folder.join(format!("{name}.yaml")), script).expect("a file");
}

/// How many requests of that load test the target has seen.
fn of(bed: &Bed, name: &str) -> u64 {
    seen(bed).count("GET", &format!("/of/{name}"))
}

async fn under_load(bed: &Bed, name: &str) {
    eventually(&format!("the load of {name}"), WHOLE_TEST, async || of(bed, name), |seen| *seen >= 10).await;
}

/// Interrupts it, and again as soon as it says that it stops. Returns its exit code, and all that it said and printed.
fn interrupt_twice(mut child: Child) -> (Option<i32>, String, String) {
    signal(&child, "INT").expect("it runs");
    let mut stderr = BufReader::new(child.stderr.take().expect("it is piped"));
    let (mut said, mut has_been_told) = (String::new(), false);
    while stderr.read_line(&mut said).expect("text") > 0 {
        if !has_been_told && said.contains("again to leave at once") {
            has_been_told = true;
            signal(&child, "INT").expect("it runs");
        }
    }
    assert!(has_been_told, "{said}");
    let mut printed = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut printed).expect("text");
    (child.wait().expect("it ends").code(), said, printed)
}

#[tokio::test]
async fn each_end_has_its_exit_code() {
    let bed = Bed::with_target("cli-ends").await;
    let project = project(&SCRIPT.replace("vusers.failed == 0", "http.requests < 5"));
    let folder = project.path();
    checks_that_fail(&bed, folder);

    for (name, seconds) in [("killed", 20), ("stopped", 120), ("twice", 120), ("left", 120)] {
        write_load(folder, name, seconds);
    }
    let killed = begin(&bed, folder, &["run", "killed.yaml", "--count=2", "--name=killed"]);
    let stopped = ["run", "stopped.yaml", "--count=2", "--name=stopped", "--report=stopped.json"];
    let stopped = begin(&bed, folder, &stopped);
    let twice = begin(&bed, folder, &["run", "twice.yaml", "--name=twice"]);
    let (code, printed, said) = run(&bed, folder, &["run", "left.yaml", "--name=left", "--detach"]);
    assert_eq!((code, printed.as_str()), (Some(0), "loadtest/left\n"), "{said}");

    under_load(&bed, "killed").await;
    bed.kubectl(&["delete", "pod", &bed.workers("killed")[0], "--force", "--grace-period=0"]);

    under_load(&bed, "stopped").await;
    signal(&stopped, "INT").expect("it runs");

    under_load(&bed, "twice").await;
    let (code, said, printed) = interrupt_twice(twice);
    // it leaves at once: without its report
    assert_eq!((code, printed.as_str()), (Some(130), ""), "{said}");
    let goes_on = format!("left: the load test twice goes on in namespace {}", bed.namespace);
    assert!(said.contains(&goes_on), "{said}");
    // the second signal may come before the cluster has answered, and what was on its way then may have arrived
    let is_known_to_be_told = said.contains("as they are told");

    under_load(&bed, "left").await;
    somebody_else_s(&bed, folder).await;

    let (code, printed, said) = end(stopped);
    assert_eq!(code, Some(130), "{printed}{said}");
    let stopped = report(folder, "stopped.json");
    assert_eq!(stopped["loadtest"]["verdict"]["reason"], "Stopped");
    // one that was under way when its worker stopped has no answer
    let counted = |what: &str| stopped["aggregate"]["counters"][what].as_u64().expect("a number");
    let ran = of(&bed, "stopped");
    assert!(
        counted("http.responses") <= ran && ran <= counted("http.requests") && ran >= 10,
        "a report of what ran: {ran} of {stopped}"
    );

    let (code, printed, said) = end(killed);
    assert_eq!(code, Some(3), "{printed}{said}");
    // it may have had the time to send what it had
    let ends = ["1 failed, 0 lost", "0 failed, 1 lost", "1 failed, 1 lost"];
    let is_told = ends.iter().any(|end| printed.contains(&format!("1 succeeded, {end}")));
    assert!(is_told && !printed.contains("(Stopped)"), "{printed}{said}");

    let (code, printed, said) = run(&bed, folder, &["wait", "twice"]);
    let was_told = bed.of_test("twice", "{.spec.stop}") == "Graceful";
    assert!(was_told || !is_known_to_be_told, "{printed}{said}");
    let (expected, start) =
        if was_told { (Some(3), "twice: Inconclusive: ") } else { (Some(0), "twice: Passed: ") };
    assert!(code == expected && printed.starts_with(start), "{printed}{said}");
    let (code, printed, _) = run(&bed, folder, &["list"]);
    assert_eq!((code, printed.lines().count()), (Some(0), 7), "a head and six: {printed}");
    let (code, printed, said) =
        run(&bed, folder, &["compare", "stopped", "stopped.json", "--fail-if=requests < -1%"]);
    // of a load that was stopped nobody can tell
    let is_told = said.contains("the load test was stopped");
    assert!(code == Some(3) && is_told, "{printed}{said}");
    let (code, printed, said) = run(&bed, folder, &["compare", "stopped", "stopped.json"]);
    assert_eq!(code, Some(0), "{printed}{said}");
    let (code, printed, said) = run(&bed, folder, &["report", "stopped", "--output=markdown"]);
    assert!(code == Some(0) && printed.contains("stopped: Inconclusive"), "{printed}{said}");
}

/// By one worker alone, and by three together.
fn checks_that_fail(bed: &Bed, folder: &Path) {
    let alone = begin(bed, folder, &["run", "script.yaml", "--name=fails", "--report=fails.xml"]);
    let together = ["--name=shared", "--count=3", "--distribution=Split", "--report=shared.xml"];
    let (code, printed, said) = run(bed, folder, &[&["run", "script.yaml"], &together[..]].concat());
    assert_eq!(code, Some(1), "{printed}{said}");
    let (code, printed, said) = end(alone);
    assert_eq!(code, Some(1), "{printed}{said}");
    for name in ["fails", "shared"] {
        let junit = std::fs::read_to_string(folder.join(format!("{name}.xml"))).expect("a report");
        assert!(junit.contains("<failure"), "{junit}");
        let (code, printed, said) = run(bed, folder, &["wait", name]);
        assert_eq!(code, Some(1), "{printed}{said}");
        assert!(printed.starts_with(&format!("{name}: Failed: ")), "{printed}");
    }
    let seen = seen(bed);
    for user in 0..12 {
        assert_eq!(seen.count("GET", &format!("/of/user{user}-/hello")), 2, "user {user}, once by each");
    }
}

/// A load test that others watch, read and end; one of them may not read logs.
async fn somebody_else_s(bed: &Bed, folder: &Path) {
    let reader = json!([
        { "apiGroups": ["loadtest.artillery.io"], "resources": ["loadtests"], "verbs": ["get", "list", "watch"] },
        { "apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"] },
    ]);
    let reader = somebody(bed, folder, "reader", &reader).await;
    let (code, printed, said) = run(bed, folder, &["logs", "left", "--kubeconfig", &reader]);
    assert_eq!((code, printed.as_str()), (Some(4), ""), "{said}");
    assert!(said.contains("cannot get resource \"pods/log\""), "{said}");

    let (code, _, said) = run(bed, folder, &["wait", "left", "--timeout=1s"]);
    assert_eq!(code, Some(3), "{said}");
    let watch = begin(bed, folder, &["watch", "left"]);
    let mut logs = begin(bed, folder, &["logs", "left", "--follow"]);
    // before it is stopped: what has printed nothing has no log
    let mut lines = BufReader::new(logs.stdout.take().expect("it is piped"));
    let mut read = String::new();
    lines.read_line(&mut read).expect("text");
    let (code, printed, said) = run(bed, folder, &["stop", "loadtest/left", "--now"]);
    assert_eq!(code, Some(0), "{printed}{said}");
    let (code, printed, said) = end(watch);
    assert_eq!(code, Some(3), "{printed}{said}");
    assert!(printed.contains("Inconclusive (Stopped)"), "{printed}");
    lines.read_to_string(&mut read).expect("text");
    let (code, _, said) = end(logs);
    assert_eq!(code, Some(0), "{said}");
    assert!(!read.is_empty() && read.lines().all(|line| line.starts_with("worker-0 | ")), "{read}");
}
