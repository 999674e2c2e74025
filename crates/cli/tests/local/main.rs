//! `run --local` with the real Artillery against a target that counts: the numbers, the exit codes, and that nothing outlives it; and a cluster
//! that misbehaves.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

mod bed;
mod cluster;
mod npm;
mod plan;
mod screen;

use std::process::{Command, Stdio};

use bed::{Bed, Ended, descendants, runs, signal, until, until_said, wait};

const SCRIPT: &str = "
config:
  target: TARGET
  phases: [{ duration: 4, arrivalRate: 3 }]
  payload: { path: data/users.csv, fields: [user], order: sequence }
  processor: ./hooks.js
scenarios:
  - name: look
    flow:
      - function: greet
      - get: { url: '/of/{{ user }}/{{ greeting }}' }
";

/// Twenty requests of each worker, one after the other.
const LONG: &str = "
config: { target: TARGET, phases: [{ duration: 120, arrivalRate: 5 }] }
scenarios: [{ flow: [{ get: { url: / } }] }]
";

fn project() -> Bed {
    let bed = Bed::new(SCRIPT);
    std::fs::create_dir(bed.folder.path().join("data")).expect("a folder");
    bed.write("data/users.csv", "a\nb\nc\nd\n");
    bed.write("hooks.js", "const { greeting } = require('./helper');\nmodule.exports = { greet(context, events, done) { context.vars.greeting = greeting; done(); } };\n");
    bed.write("helper.js", "module.exports = { greeting: 'hello' };\n");
    bed
}

#[test]
fn two_workers_run_a_project_of_several_files_each_and_the_report_is_what_the_target_counted() {
    let bed = project();
    let forms = ["json", "txt", "html", "xml", "md"].map(|ending| format!("--report=report.{ending}"));
    let forms = forms.each_ref().map(String::as_str);
    let ended = bed.run(&[&["--count", "2"], &forms[..]].concat());
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(bed.seen(), 24);
    let report = bed.report("report.json");
    assert_eq!(report["aggregate"]["counters"]["http.requests"], 24);
    assert_eq!(report["aggregate"]["counters"]["vusers.created"], 24);
    assert_eq!(report["loadtest"]["workers"]["succeeded"], 2);
    assert_eq!(report["loadtest"]["verdict"]["outcome"], "Passed");
    // from the file the same page is made
    let page = bed.report_command(&["report", "report.json", "--output", "html"]);
    assert_eq!(page.stdout, std::fs::read_to_string(bed.folder.path().join("report.html")).expect("a page"));
    // and the same summary and JSON, to the byte
    for (form, name) in [("text", "report.txt"), ("json", "report.json")] {
        let read = bed.report_command(&["report", "report.json", "--output", form]);
        assert_eq!(read.stdout, std::fs::read_to_string(bed.folder.path().join(name)).expect("a report"));
    }
    let written = bed.report_command(&["report", "report.json", "--report=again.txt", "--report=again.json"]);
    assert_eq!(written.code, Some(0), "{written:?}");
    for (again, first) in [("again.txt", "report.txt"), ("again.json", "report.json")] {
        let read = |name| std::fs::read(bed.folder.path().join(name)).expect("a report");
        assert_eq!(read(again), read(first));
    }
    let workers = report["loadtest"]["perWorker"].as_array().expect("workers");
    for (index, worker) in workers.iter().enumerate() {
        assert_eq!((&worker["worker"], &worker["exitCode"]), (&index.into(), &0.into()), "{worker}");
        assert_eq!(worker["vusers"]["created"], 12, "{worker}");
        assert!(worker["startedAfterMilliseconds"].is_number(), "{worker}");
        assert!(worker["eventLoopMostPercent"].as_f64() > Some(0.0), "{worker}");
    }
    let plan = &report["loadtest"]["plan"];
    assert_eq!((workers.len(), &plan["distribution"]), (2, &"Replicate".into()));
    let phase = serde_json::json!([{ "kind": "arrivalRate", "durationMilliseconds": 4000, "arrivalRate": 3, "vusers": 24 }]);
    assert_eq!(plan["phases"], phase);
    let same = bed.report_command(&["compare", "report.json", "report.json", "--fail-if", "requests < -1%"]);
    assert_eq!(same.code, Some(0), "{same:?}");
    let fewer = bed.report_command(&["compare", "report.json", "report.json", "--fail-if", "requests > 23"]);
    assert_eq!((fewer.code, fewer.stderr.as_str()), (Some(1), "failed: requests > 23: it is 24\n"));
    let printed = std::fs::read_to_string(bed.folder.path().join("report.txt")).expect("a report");
    assert_eq!(printed, ended.stdout, "what is printed is what is written");
    assert!(ended.stdout.contains("\nhttp.requests: .."), "{}", ended.stdout);
    assert!(ended.stderr.contains("waiting for the start"), "{}", ended.stderr);
    assert!(!ended.stderr.contains('\u{1b}'), "no terminal, no escapes: {}", ended.stderr);
    assert_eq!(bed.left(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn what_only_a_cluster_could_not_have_runs_here() {
    let bed = Bed::new(
        "
config:
  target: TARGET
  phases: [{ duration: 1, arrivalCount: 2 }]
  payload: { path: 'large users.csv', fields: [user] }
scenarios: [{ flow: [{ get: { url: / } }] }]
",
    );
    bed.write("large users.csv", &"0123456789abcdef\n".repeat(70_000));
    let ended = bed.run(&[]);
    assert_eq!((ended.code, bed.seen()), (Some(0), 2), "{ended:?}");
    let ended = bed.report_command(&["plan", "script.yaml"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
}

#[test]
fn three_workers_share_a_script_and_each_row_is_used_once() {
    let bed = Bed::new(&SCRIPT.replace("duration: 4, arrivalRate: 3", "duration: 4, arrivalCount: 12"));
    std::fs::create_dir(bed.folder.path().join("data")).expect("a folder");
    let rows: String = (0..12).map(|row| format!("row{row}\n")).collect();
    bed.write("data/users.csv", &rows);
    bed.write(
        "hooks.js",
        "module.exports = { greet(context, events, done) { context.vars.greeting = 'once'; done(); } };\n",
    );
    let ended = bed.run(&["--count", "3", "--distribution", "Split", "-o", "json"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let report: serde_json::Value =
        serde_json::from_str(&ended.stdout).expect("JSON alone on standard output");
    assert!(ended.stderr.contains("Passed: all workers succeeded"), "{}", ended.stderr);
    assert_eq!(report["aggregate"]["counters"]["http.requests"], 12);
    let counts = bed.counts();
    let mut paths: Vec<_> = counts["requests"]
        .as_array()
        .expect("requests")
        .iter()
        .map(|seen| {
            (seen["path"].as_str().expect("a path").to_owned(), seen["count"].as_u64().expect("a count"))
        })
        .collect();
    paths.sort();
    let mut wanted: Vec<_> = (0..12).map(|row| (format!("/of/row{row}/once"), 1)).collect();
    wanted.sort();
    assert_eq!(paths, wanted);
}

#[test]
fn hooks_that_run_once_run_in_one_worker_for_all() {
    let bed = Bed::new(
        "
config: { target: TARGET, phases: [{ duration: 2, arrivalCount: 4 }] }
before: { flow: [{ post: { url: /cart, capture: { json: $.cartId, as: token } } }] }
scenarios: [{ flow: [{ get: { url: '/of/{{ token }}' } }] }]
after: { flow: [{ get: { url: '/after/{{ token }}' } }] }
",
    );
    let ended = bed.run(&["--count", "3", "--hooks", "Once"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let counts = bed.counts();
    let count = |path: &str| {
        let of_path = counts["requests"].as_array().expect("requests").iter();
        of_path.filter(|seen| seen["path"] == path).filter_map(|seen| seen["count"].as_u64()).sum::<u64>()
    };
    assert_eq!((count("/cart"), count("/of/cart-1"), count("/after/cart-1")), (1, 12, 1), "{counts}");
}

#[test]
fn a_check_that_fails_is_exit_code_1_and_is_named() {
    let checked = |most: u32| {
        format!(
            "
config:
  target: TARGET
  phases: [{{ duration: 2, arrivalRate: 2 }}]
  plugins: {{ ensure: {{ conditions: [{{ expression: 'http.requests <= {most}' }}] }} }}
scenarios: [{{ flow: [{{ get: {{ url: / }} }}] }}]
"
        )
    };
    // four of each worker: it is the sum that is checked
    let ended = Bed::new(&checked(8)).run(&["--count", "2"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = Bed::new(&checked(7)).run(&["--count", "2"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stdout.contains("fail: http.requests <= 7"), "{}", ended.stdout);
}

#[test]
fn a_worker_that_is_killed_leaves_an_inconclusive_report() {
    let bed = Bed::new(&LONG.replace("120", "8"));
    let child = bed.command(&["--count", "2", "--report", "report.json"]).spawn().expect("it runs");
    bed.until_seen(10);
    let workers = descendants(child.id());
    signal(workers[0], "KILL");
    let ended = wait(child);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    let report = bed.report("report.json");
    assert_eq!(report["loadtest"]["verdict"]["outcome"], "Inconclusive", "{report}");
    let reported = report["aggregate"]["counters"]["http.requests"].as_u64();
    assert!(reported > Some(0) && reported <= Some(bed.seen()), "{reported:?} of {}", bed.seen());
    assert!(ended.stderr.contains("ended with exit code 137"), "{}", ended.stderr);
}

#[test]
fn a_script_that_crashes_shows_the_end_of_what_it_printed() {
    let bed = Bed::new(
        "config: { target: TARGET, phases: [{ duration: 2, arrivalRate: 1 }], processor: ./broken.js }\nscenarios: [{ flow: [{ get: { url: / } }] }]",
    );
    bed.write("broken.js", "throw new Error('the processor is broken');\n");
    let ended = bed.run(&[]);
    assert_eq!(ended.code, Some(3), "{ended:?}");
    assert!(ended.stderr.contains("the processor is broken"), "{}", ended.stderr);
    assert_eq!(bed.left().len(), 1, "its logs are kept, and it is said where: {}", ended.stderr);
}

#[test]
fn an_interrupt_or_a_termination_ends_it_in_order_with_a_report_of_what_ran() {
    for how in ["INT", "TERM"] {
        ends_in_order_by(how);
    }
}

fn ends_in_order_by(how: &str) {
    let bed = Bed::new(LONG);
    let child = bed.command(&["--count", "2", "--report", "report.json"]).spawn().expect("it runs");
    bed.until_seen(10);
    signal(child.id(), how);
    let ended = wait(child);
    assert_eq!(ended.code, Some(130), "{ended:?}");
    let report = bed.report("report.json");
    assert_eq!(report["loadtest"]["verdict"]["reason"], "Stopped");
    let counter = |name: &str| report["aggregate"]["counters"][name].as_u64().unwrap_or(0);
    // a request under way when its worker ended may have been counted by one side only
    let (answered, sent, seen) = (counter("http.responses"), counter("http.requests"), bed.seen());
    assert!(answered <= seen && seen <= sent && sent > 0, "{answered} {seen} {sent}");
    assert_eq!(report["loadtest"]["workers"]["lost"], 0);
}

#[test]
fn nothing_outlives_it_also_when_it_is_killed_or_interrupted_twice() {
    for kill in [true, false] {
        let bed = Bed::new(&LONG.replace("config: {", "config: { processor: ./starts.js,"));
        bed.write(
            "starts.js",
            "require('node:child_process').spawn('sleep', ['600'], { stdio: 'ignore' }).unref();\n",
        );
        let mut child = bed.command(&["--count", "2"]).spawn().expect("it runs");
        bed.until_seen(4);
        // and what they have started
        let workers = descendants(child.id());
        assert!(workers.len() >= 4, "{workers:?}");
        if kill {
            signal(child.id(), "KILL");
        } else {
            signal(child.id(), "INT");
            until_said(&mut child, "Stopping");
            signal(child.id(), "INT");
            until_said(&mut child, "left at once");
        }
        // one that nobody waits for keeps its number: the workers must see it nevertheless
        until("the workers are gone", || !workers.iter().any(|worker| runs(*worker)));
        let status = child.wait().expect("it ends");
        assert!(kill || status.code() == Some(130), "{status:?}");
    }
}

#[test]
fn a_hang_up_that_was_ignored_at_the_start_is_ignored() {
    let bed = Bed::new(LONG);
    let command = bed.command(&[]);
    // as nohup does
    let mut ignoring = Command::new("sh");
    ignoring
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(bed.folder.path())
        .env("TMPDIR", bed.folder.path().join("tmp"))
        .env_remove("NODE_OPTIONS")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = ignoring.spawn().expect("it runs");
    bed.until_seen(4);
    signal(child.id(), "HUP");
    bed.until_seen(bed.seen() + 20);
    signal(child.id(), "INT");
    assert_eq!(wait(child).code, Some(130));
}

#[test]
fn what_is_wrong_is_exit_code_2_and_a_sentence() {
    let bed = Bed::new(LONG);
    for (arguments, said) in [
        (&["-e", "prod"][..], "--environment prod: the script has no such environment: it has none"),
        (&["--report", "r.pdf"], "--report r.pdf: its ending says in which form"),
        (&["--variables", "a=1"], "--variables cannot be read"),
        (&["--artillery", "nowhere"], "--artillery"),
    ] {
        let ended = bed.run(arguments);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(said) && ended.stdout.is_empty(), "{ended:?}");
    }
    let ended = bed.report_command(&["run", "loadtest/"]);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("loadtest/ names no load test"), "{ended:?}");
    std::os::unix::fs::symlink("nowhere", bed.folder.path().join("latest")).expect("a link");
    for (report, said) in [("latest", "latest: No such file"), ("tmp", "tmp: Is a directory")] {
        let ended = bed.report_command(&["report", report]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(&format!("the report {said}")), "no cluster is asked: {ended:?}");
    }
    for (script, said) in [
        (None, "the script wrong.yaml: No such file or directory"),
        (Some("config:\n\ttarget: a\n"), "line 2"),
        (
            Some("config: { payload: { path: no.csv } }"),
            "wrong.yaml:1:28: config.payload.path is \"no.csv\", and there is no such file in .",
        ),
        (
            Some("config: { plugins: { ensure: { conditions: [{ expression: 'p95 <' }] } } }"),
            "wrong.yaml:1:59: ensure.conditions.expression cannot be evaluated",
        ),
    ] {
        if let Some(text) = script {
            bed.write("wrong.yaml", text);
        }
        let ended = bed.report_command(&["run", "wrong.yaml", "--local"]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(said) && ended.stdout.is_empty(), "{ended:?}");
        assert!(!ended.stderr.contains("installing"), "nothing is begun: {ended:?}");
    }
    assert_eq!(bed.seen(), 0);
}

#[test]
fn a_pipe_that_is_closed_neither_panics_nor_changes_how_it_ends() {
    let bed = Bed::new(LONG);
    bed.write("one.yaml", "config: { target: http://127.0.0.1:1 }\nscenarios: []\n");
    for (arguments, is_stderr, code) in [
        (&["version"][..], false, 0),
        (&["--help"], false, 0),
        (&["generate", "one", "--script", "one.yaml"], false, 0),
        (&["run", "nothing.yaml", "--local"], true, 2),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-artillery"));
        command.args(arguments).current_dir(bed.folder.path());
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        if is_stderr {
            command.stderr(writer)
        } else {
            command.stdout(writer)
        };
        let ended = Ended::of(command.output().expect("it runs"));
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        assert!(!ended.stderr.contains("panicked"), "{arguments:?}: {ended:?}");
    }
}

#[test]
fn logs_that_nobody_reads_any_more_are_kept_whole() {
    let bed = Bed::new(
        "config: { target: TARGET, phases: [{ duration: 2, arrivalRate: 1 }], processor: ./broken.js }\nscenarios: [{ flow: [{ get: { url: / } }] }]",
    );
    bed.write(
        "broken.js",
        "for (let i = 0; i < 100; i++) console.log('line', i);\nthrow new Error('at the end');\n",
    );
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let status = bed.command(&["--logs"]).stderr(writer).stdout(Stdio::null()).status().expect("it runs");
    assert_eq!(status.code(), Some(3));
    let kept = bed.left();
    assert_eq!(kept.len(), 1, "{kept:?}");
    let log = std::fs::read_to_string(kept[0].join("worker-0.log")).expect("a log");
    assert!(log.contains("line 99") && log.contains("at the end"), "{log}");
}
