//! How a load test goes, as lines: of what is known of it, how long it has gone, and how its rate went. Pure.

use std::time::Duration;

use super::schedule::{At, Schedule};
use super::{Running, Seen};
use crate::terminal::harmless;
use crate::view::{Line, Style};

/// So many periods are drawn.
pub const DRAWN: usize = 40;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Some lines for one load test alone on a terminal.
pub fn several(seen: &Seen, elapsed: Duration, rates: &[f64]) -> Vec<Line> {
    let running = match seen {
        Seen::Waiting(what) => return vec![waiting(what, elapsed)],
        Seen::Running(running) => running,
    };
    let row = |head: &str| Line::default().with(Style::Dim, format!("{head:<15}"));
    let first = Line::default().with(Style::Bold, times(running, elapsed));
    let first = match phase(&running.schedule, elapsed) {
        Some(phase) => first.with(Style::Plain, format!("  {phase}")),
        None => first,
    };
    let mut requests = row("requests").with(Style::Plain, running.requests.to_string());
    if let Some(rate) = running.requests_per_second {
        requests = requests.with(Style::Plain, format!(", {rate:.0}/s"));
    }
    if rates.len() > 1 {
        requests = requests.with(Style::Plain, "  ").with(Style::Chart, sparkline(rates));
    }
    let [p50, p95, p99] = running
        .response_time
        .map_or(["-"; 3].map(str::to_owned), |times| times.map(|time| format!("{time:.0}")));
    let unit = if running.response_time.is_some() { " ms" } else { "" };
    let bad = |n: u64| if n > 0 { Style::Bad } else { Style::Plain };
    let [created, completed, failed] = running.vusers;
    let vusers = row("virtual users")
        .with(
            Style::Plain,
            format!("{created}{} created, {completed} completed, ", of(running.planned_vusers)),
        )
        .with(bad(failed), format!("{failed} failed"));
    vec![
        first,
        row("workers").with(Style::Plain, running.workers.clone()),
        vusers,
        requests,
        row("response time").with(Style::Plain, format!("p50 {p50}, p95 {p95}, p99 {p99}{unit}")),
        row("errors").with(bad(running.errors), running.errors.to_string()),
    ]
}

/// One line for one of several load tests on a terminal.
pub fn one_of_several(name: &str, seen: &Seen, elapsed: Duration) -> Line {
    let line = Line::default().with(Style::Bold, format!("{name}  "));
    match seen {
        Seen::Waiting(what) => line.with(Style::Plain, waiting(what, elapsed).text()),
        Seen::Running(running) => {
            let line = line.with(Style::Plain, times(running, elapsed));
            let line = match phase(&running.schedule, elapsed) {
                Some(phase) => line.with(Style::Plain, format!("  {phase}")),
                None => line,
            };
            let rate = running.requests_per_second.map_or_else(String::new, |rate| format!("{rate:.0}/s, "));
            let p95 =
                running.response_time.map_or_else(String::new, |[_, p95, _]| format!("p95 {p95:.0} ms, "));
            let style = if running.errors > 0 { Style::Bad } else { Style::Plain };
            line.with(Style::Plain, format!("  {rate}{p95}"))
                .with(style, format!("{} errors", running.errors))
        }
    }
}

/// A line for whoever reads it later.
pub fn plain(seen: &Seen, elapsed: Duration) -> String {
    let running = match seen {
        Seen::Waiting(what) => return waiting(what, elapsed).text(),
        Seen::Running(running) => running,
    };
    let [created, completed, failed] = running.vusers;
    let mut said = vec![
        format!("{}  {}", times(running, elapsed), running.workers),
        format!(
            "virtual users: {created}{} created, {completed} completed, {failed} failed",
            of(running.planned_vusers)
        ),
    ];
    if let Some(phase) = phase(&running.schedule, elapsed) {
        said.insert(1, phase);
    }
    let rate = running.requests_per_second.map_or_else(String::new, |rate| format!(", {rate:.0}/s"));
    said.push(format!("{} requests{rate}", running.requests));
    if let Some([p50, p95, p99]) = running.response_time {
        said.push(format!("response time p50 {p50:.0}, p95 {p95:.0}, p99 {p99:.0} ms"));
    }
    said.push(format!("{} errors", running.errors));
    said.join("; ")
}

fn waiting(what: &str, elapsed: Duration) -> Line {
    Line::default().with(Style::Plain, format!("{}  {}", clock(elapsed), harmless(what)))
}

fn of(planned: Option<u64>) -> String {
    planned.map_or_else(String::new, |planned| format!(" of {planned}"))
}

/// How long it has gone, and still goes where that is known.
fn times(running: &Running, elapsed: Duration) -> String {
    let Schedule { length, count, .. } = running.schedule;
    match length.checked_sub(elapsed) {
        Some(left) if count > 0 => {
            format!("{} of {}, {} left", clock(elapsed), clock(rounded_up(length)), clock(rounded_up(left)))
        }
        _ => clock(elapsed),
    }
}

fn phase(schedule: &Schedule, elapsed: Duration) -> Option<String> {
    let count = schedule.count;
    Some(match schedule.at(elapsed)? {
        At::Phase { number, name, left } => {
            let name = name.map_or_else(String::new, |name| format!(" {}", harmless(name)));
            // of the only one it is said already
            let left = if count > 1 { format!(", {} left", clock(rounded_up(left))) } else { String::new() };
            format!("phase {number}/{count}{name}{left}")
        }
        At::Later => format!("after phase {}/{count}", schedule.phases.len()),
        At::Over => "all phases are over: the last virtual users end".to_owned(),
    })
}

/// What is left is not nothing before it is.
fn rounded_up(left: Duration) -> Duration {
    Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0))
}

/// `1:02:03`, or `02:03`.
pub fn clock(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes:02}:{seconds:02}")
    }
}

/// The newest values, the largest of which is the whole height.
fn sparkline(values: &[f64]) -> String {
    let drawn = &values[values.len().saturating_sub(DRAWN)..];
    let most = drawn.iter().copied().fold(0.0, f64::max);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 7")]
    let bar = |value: &f64| if most > 0.0 { BARS[(value / most * 7.0).round() as usize] } else { BARS[0] };
    drawn.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use collector::session::PlannedPhase;

    use super::*;

    fn running() -> Running {
        Running {
            workers: "2 of 2 workers run".to_owned(),
            schedule: Schedule::default(),
            planned_vusers: None,
            vusers: [3, 1, 0],
            requests: 7,
            requests_per_second: None,
            response_time: None,
            errors: 0,
        }
    }

    fn in_two_phases() -> Running {
        let phase = |name: Option<&str>, seconds| PlannedPhase {
            name: name.map(str::to_owned),
            length: Duration::from_secs(seconds),
        };
        Running {
            schedule: Schedule::from(&[phase(Some("warm\u{1b}[2J up"), 10), phase(None, 290)][..]),
            planned_vusers: Some(40),
            requests_per_second: Some(3.6),
            response_time: Some([1.0, 2.0, 30.4]),
            errors: 2,
            ..running()
        }
    }

    fn texts(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|line| line.text().trim_end().to_owned()).collect()
    }

    #[test]
    fn what_is_known_is_said_and_nothing_else() {
        let seen = Seen::Running(running());
        let said = plain(&seen, Duration::from_secs(3));
        assert_eq!(
            said,
            "00:03  2 of 2 workers run; virtual users: 3 created, 1 completed, 0 failed; 7 requests; 0 errors"
        );
        assert_eq!(
            texts(&several(&seen, Duration::from_secs(3), &[])),
            [
                "00:03",
                "workers        2 of 2 workers run",
                "virtual users  3 created, 1 completed, 0 failed",
                "requests       7",
                "response time  p50 -, p95 -, p99 -",
                "errors         0"
            ]
        );
    }

    #[test]
    fn phase_and_what_is_left_of_it_and_of_all_are_said() {
        let seen = Seen::Running(in_two_phases());
        assert_eq!(
            texts(&several(&seen, Duration::from_millis(3500), &[0.0, 5.0, 10.0])),
            [
                "00:03 of 05:00, 04:57 left  phase 1/2 warm\\u{1b}[2J up, 00:07 left",
                "workers        2 of 2 workers run",
                "virtual users  3 of 40 created, 1 completed, 0 failed",
                "requests       7, 4/s  ▁▅█",
                "response time  p50 1, p95 2, p99 30 ms",
                "errors         2"
            ]
        );
        assert_eq!(
            one_of_several("checkout", &seen, Duration::from_secs(10)).text(),
            "checkout  00:10 of 05:00, 04:50 left  phase 2/2, 04:50 left  4/s, p95 2 ms, 2 errors"
        );
        assert_eq!(
            plain(&seen, Duration::from_secs(301)),
            "05:01  2 of 2 workers run; all phases are over: the last virtual users end; virtual users: 3 of 40 created, 1 completed, 0 failed; 7 requests, 4/s; response time p50 1, p95 2, p99 30 ms; 2 errors"
        );
        let waiting = Seen::Waiting("a\nb".to_owned());
        assert_eq!(texts(&several(&waiting, Duration::from_secs(1), &[])), ["00:01  a\\nb"]);
    }

    #[test]
    fn times_and_values_are_drawn() {
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
        assert_eq!(sparkline(&[0.0, 50.0, 100.0]), "▁▅█");
        assert_eq!(sparkline(&[0.0]), "▁");
        assert_eq!(sparkline(&vec![1.0; 100]).chars().count(), DRAWN);
    }
}
