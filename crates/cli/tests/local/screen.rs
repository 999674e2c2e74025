//! `run --local` on a terminal: `script` of util-linux gives it one, and what is written to it is drawn here as a terminal would.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use crate::bed::{Bed, artillery, descendants, signal, until};

const COLUMNS: usize = 60;

/// What a terminal of so many columns shows, in rows, and where its cursor is.
#[derive(Default, Debug)]
struct Screen {
    rows: Vec<String>,
    row: usize,
    column: usize,
}

impl Screen {
    fn of(written: &str) -> Self {
        let mut screen = Self { rows: vec![String::new()], ..Self::default() };
        let mut rest = written.chars();
        while let Some(c) = rest.next() {
            match c {
                '\r' => screen.column = 0,
                '\n' => screen.down(),
                '\u{1b}' => {
                    assert_eq!(rest.next(), Some('['), "another escape than is known here");
                    let sequence = rest.as_str();
                    let end = sequence.find(|c: char| c.is_ascii_alphabetic()).expect("its end");
                    screen.control(&sequence[..end], sequence[end..].chars().next());
                    rest = sequence[end + 1..].chars();
                }
                c => screen.put(c),
            }
        }
        screen
    }

    fn down(&mut self) {
        self.row += 1;
        self.column = 0;
        if self.row == self.rows.len() {
            self.rows.push(String::new());
        }
    }

    fn put(&mut self, c: char) {
        if self.column == COLUMNS {
            self.down();
        }
        assert_eq!(
            self.rows[self.row].chars().count(),
            self.column,
            "it writes over {:?}",
            self.rows[self.row]
        );
        self.rows[self.row].push(c);
        self.column += 1;
    }

    fn control(&mut self, sequence: &str, end: Option<char>) {
        match (sequence, end) {
            (up, Some('A')) => {
                self.row = self.row.checked_sub(up.parse().expect("rows")).expect("it goes above the top")
            }
            ("0", Some('J')) => {
                assert_eq!(self.column, 0, "it erases half a row");
                self.rows.truncate(self.row);
                self.rows.push(String::new());
            }
            (_, Some('m')) => {}
            other => panic!("another sequence than is known here: {other:?}"),
        }
    }
}

fn on_a_terminal(bed: &Bed, arguments: &str, no_color: &str) -> Child {
    let program = env!("CARGO_BIN_EXE_kubectl-artillery");
    let run = format!(
        "stty cols {COLUMNS} rows 30 && exec '{program}' run script.yaml --local --artillery '{}' {arguments} > report.txt",
        artillery().display()
    );
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--flush", "--command", &run, "/dev/null"])
        .current_dir(bed.folder.path())
        .env("TMPDIR", bed.folder.path().join("tmp"))
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .env("NO_COLOR", no_color)
        .env_remove("NODE_OPTIONS")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command.spawn().expect("script, of util-linux")
}

fn written(child: &mut Child) -> String {
    let mut written = String::new();
    child.stdout.take().expect("it is piped").read_to_string(&mut written).expect("UTF-8");
    written
}

#[test]
fn the_view_shows_phases_and_times_fits_and_leaves_nothing_behind() {
    let bed = Bed::new(
        "
config:
  target: TARGET
  phases: [{ name: warm up, duration: 4, arrivalRate: 1 }, { duration: 4, arrivalRate: 2 }]
  processor: ./hooks.js
scenarios: [{ flow: [{ function: tell }, { get: { url: / } }] }]
",
    );
    let long = "x".repeat(2 * COLUMNS);
    bed.write(
        "hooks.js",
        &format!(
            "module.exports = {{ tell(context, events, done) {{ console.log('{long}'); done(); }} }};\n"
        ),
    );
    let mut child = on_a_terminal(&bed, "--logs", "");
    let written = written(&mut child);
    assert_eq!(child.wait().expect("it ends").code(), Some(0), "{written}");
    for said in [
        "of 00:08, ",
        " left",
        "phase 1/2 warm up, ",
        "phase 2/2, ",
        "1 of 1 workers run",
        "virtual users",
        "response time",
        "\u{1b}[1m",
    ] {
        assert!(written.contains(said), "{said:?} is not in {written}");
    }
    // a row that was broken would have been left behind, for as many are gone up as were painted
    let screen = Screen::of(&written);
    let all = screen.rows.concat();
    assert!(!all.contains("virtual users  ") && !all.contains("waiting for the start"), "{screen:?}");
    assert_eq!(
        all.matches(&format!("worker-0 | {long}")).count(),
        12,
        "no line of the log is lost or painted over: {screen:?}"
    );
    assert_eq!((screen.column, screen.rows.last().map(String::as_str)), (0, Some("")));
}

#[test]
fn ctrl_c_takes_the_view_away_and_no_color_is_heard() {
    let bed = Bed::new(
        "config: { target: TARGET, phases: [{ duration: 120, arrivalRate: 5 }] }\nscenarios: [{ flow: [{ get: { url: / } }] }]",
    );
    let mut child = on_a_terminal(&bed, "", "1");
    bed.until_seen(10);
    child.stdin.as_mut().expect("it is piped").write_all(b"\x03").expect("typed");
    let written = written(&mut child);
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{written}");
    assert!(written.contains("phase 1/1"), "{written}");
    let colours = written
        .split('\u{1b}')
        .skip(1)
        .filter(|sequence| sequence.trim_start_matches(['[', '0', '1', '2', '3', '6', ';']).starts_with('m'));
    assert_eq!(colours.count(), 0, "{written}");
    let screen = Screen::of(&written);
    let rows: Vec<_> = screen.rows.iter().filter(|row| !row.is_empty()).collect();
    assert!(rows.iter().any(|row| row.starts_with("Stopping")), "{rows:?}");
    assert!(!rows.iter().any(|row| row.starts_with("virtual users")), "{rows:?}");
    assert_eq!(screen.column, 0);
}

#[test]
fn a_terminal_that_is_closed_costs_nobody_the_report() {
    let bed = Bed::new(
        "config: { target: TARGET, phases: [{ duration: 120, arrivalRate: 5 }] }\nscenarios: [{ flow: [{ get: { url: / } }] }]",
    );
    let program = env!("CARGO_BIN_EXE_kubectl-artillery");
    let run = format!(
        "exec '{program}' run script.yaml --local --artillery '{}' --report report.json",
        artillery().display()
    );
    // whoever runs the tests may ignore it, as `nohup` does, and a program heeds that
    let mut terminal = Command::new("env")
        .args(["--default-signal=HUP", "script", "--quiet", "--flush", "--command", &run, "/dev/null"])
        .current_dir(bed.folder.path())
        .env("TMPDIR", bed.folder.path().join("tmp"))
        .env("SHELL", "/bin/sh")
        .env_remove("NODE_OPTIONS")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("script, of util-linux");
    bed.until_seen(10);
    let report = bed.folder.path().join("report.json");
    assert!(!report.exists(), "none is left empty, whatever happens");
    let its = descendants(terminal.id());
    // as the window is closed: the system hangs up, and so may a shell
    signal(terminal.id(), "KILL");
    signal(its[0], "HUP");
    terminal.wait().expect("it ends");
    until("the report", || report.exists());
    let report = bed.report("report.json");
    assert_eq!(report["loadtest"]["verdict"]["reason"], "Stopped");
    assert_eq!(report["loadtest"]["workers"]["lost"], 0);
    until("it ends", || bed.left().is_empty());
}
