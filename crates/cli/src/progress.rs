//! How a load test goes, on standard error: a few lines that are painted again on a terminal, and a line now and then elsewhere.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use crate::terminal::say;

/// How often there is a line where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);
/// So many periods are drawn.
const DRAWN: usize = 40;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What is to be seen of a load test.
#[derive(Clone, Debug, PartialEq)]
pub enum Seen {
    /// There is no load yet; what is waited for.
    Waiting(String),
    /// There is load.
    Running(Running),
}

/// What is to be seen of a load test that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// How many workers run, in words.
    pub workers: String,
    /// How many virtual users there are to be, where that is known.
    pub planned_vusers: Option<u64>,
    /// Virtual users created, completed and failed.
    pub vusers: [u64; 3],
    /// HTTP requests.
    pub requests: u64,
    /// In the last full period.
    pub requests_per_second: Option<f64>,
    /// Its 50th, 95th and 99th percentile, in milliseconds.
    pub response_time: Option<[f64; 3]>,
    /// Errors of all kinds.
    pub errors: u64,
}

/// Shows it.
pub struct Progress {
    is_terminal: bool,
    began: Instant,
    /// Since when there is load.
    load: Option<Instant>,
    /// When there was a line, and whether of load.
    said: Option<(Instant, bool)>,
    /// How many lines are painted.
    painted: usize,
    /// Requests per second, a value for each time that it changed.
    rates: Vec<f64>,
}

impl Progress {
    /// Begins.
    pub fn begin(now: Instant) -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            began: now,
            load: None,
            said: None,
            painted: 0,
            rates: Vec::new(),
        }
    }

    /// There has been load for so long already.
    pub fn under_load_since(&mut self, since: Instant) {
        self.load.get_or_insert(since);
    }

    /// Shows how it goes now.
    pub fn show(&mut self, seen: &Seen, now: Instant) {
        let runs = matches!(seen, Seen::Running(_));
        if runs {
            self.load.get_or_insert(now);
        }
        if let Seen::Running(Running { requests_per_second: Some(rate), .. }) = seen
            && self.rates.last() != Some(rate)
        {
            self.rates.push(*rate);
        }
        let elapsed = now.saturating_duration_since(self.load.filter(|_| runs).unwrap_or(self.began));
        let mut lines = lines(seen, elapsed);
        if self.is_terminal {
            if self.rates.len() > 1 {
                lines.push(format!("requests/s  {}", sparkline(&self.rates)));
            }
            self.paint(&lines);
        } else if self.said.is_none_or(|(said, of_load)| now.duration_since(said) >= EVERY || of_load != runs)
        {
            self.said = Some((now, runs));
            let line: Vec<_> = lines.iter().map(|line| line.trim()).collect();
            self.print(&line.join("; "));
        }
    }

    /// Says something that stays.
    pub fn say(&mut self, text: &str) {
        self.clear();
        self.print(text);
    }

    /// Takes away what is painted.
    pub fn end(&mut self) {
        self.clear();
    }

    fn print(&self, text: &str) {
        say(text);
    }

    fn paint(&mut self, lines: &[String]) {
        let mut text = erase(self.painted);
        for line in lines {
            let _ = writeln!(text, "{line}");
        }
        self.painted = lines.len();
        let _ = write!(io::stderr(), "{text}");
    }

    fn clear(&mut self) {
        let _ = write!(io::stderr(), "{}", erase(self.painted));
        self.painted = 0;
    }
}

/// Goes up so many lines, and erases to the end of the screen.
fn erase(lines: usize) -> String {
    if lines == 0 { String::new() } else { format!("\x1b[{lines}A\x1b[0J") }
}

fn lines(seen: &Seen, elapsed: Duration) -> Vec<String> {
    let clock = clock(elapsed);
    let running = match seen {
        Seen::Waiting(what) => return vec![format!("{clock}  {what}")],
        Seen::Running(running) => running,
    };
    let Running { workers, planned_vusers, vusers: [created, completed, failed], requests, errors, .. } =
        running;
    let planned = planned_vusers.map_or_else(String::new, |planned| format!(" of {planned}"));
    let mut second = format!("       {requests} requests");
    if let Some(rate) = running.requests_per_second {
        let _ = write!(second, ", {rate:.0}/s");
    }
    if let Some([p50, p95, p99]) = running.response_time {
        let _ = write!(second, "; response time p50 {p50:.0}, p95 {p95:.0}, p99 {p99:.0} ms");
    }
    let _ = write!(second, "; {errors} errors");
    vec![
        format!(
            "{clock}  {workers}; virtual users: {created}{planned} created, {completed} completed, {failed} failed"
        ),
        second,
    ]
}

/// `1:02:03`, or `02:03`.
fn clock(elapsed: Duration) -> String {
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
    use super::*;

    #[test]
    fn what_is_known_is_said_and_nothing_else() {
        let mut running = Running {
            workers: "2 of 2 workers run".to_owned(),
            planned_vusers: None,
            vusers: [3, 1, 0],
            requests: 7,
            requests_per_second: None,
            response_time: None,
            errors: 0,
        };
        let said = lines(&Seen::Running(running.clone()), Duration::from_secs(3));
        assert_eq!(
            said,
            [
                "00:03  2 of 2 workers run; virtual users: 3 created, 1 completed, 0 failed",
                "       7 requests; 0 errors"
            ]
        );
        running.planned_vusers = Some(40);
        running.requests_per_second = Some(3.6);
        running.response_time = Some([1.0, 2.0, 30.4]);
        let said = lines(&Seen::Running(running), Duration::from_secs(3)).join("\n");
        assert!(said.contains("3 of 40 created"), "{said}");
        assert!(said.ends_with("7 requests, 4/s; response time p50 1, p95 2, p99 30 ms; 0 errors"), "{said}");
    }

    #[test]
    fn times_and_values_are_drawn() {
        assert_eq!(clock(Duration::from_secs(3723)), "1:02:03");
        assert_eq!(sparkline(&[0.0, 50.0, 100.0]), "▁▅█");
        assert_eq!(sparkline(&[0.0]), "▁");
        assert_eq!(sparkline(&vec![1.0; 100]).chars().count(), DRAWN);
        assert_eq!((erase(0), erase(2)), (String::new(), "\u{1b}[2A\u{1b}[0J".to_owned()));
    }
}
