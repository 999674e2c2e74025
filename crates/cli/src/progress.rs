//! How a load test goes, on standard error: a few lines that are painted again on a terminal, and a line now and then elsewhere.

use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use collector::session::{Facts, StartFacts};

use crate::terminal::say;

/// How often there is a line where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);
/// So many periods are drawn.
const DRAWN: usize = 40;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// What is shown.
pub struct Progress {
    is_terminal: bool,
    workers: u32,
    began: Instant,
    /// Since when there is load.
    load: Option<Instant>,
    said: Option<Instant>,
    /// How many lines are painted.
    painted: usize,
    /// Requests per second, a value for each time that it changed.
    rates: Vec<f64>,
}

impl Progress {
    /// Begins to show a load test of so many workers.
    pub fn begin(workers: u32) -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            workers,
            began: Instant::now(),
            load: None,
            said: None,
            painted: 0,
            rates: Vec::new(),
        }
    }

    /// Shows how it goes now.
    pub fn show(&mut self, facts: Option<&Facts>, running: usize) {
        let now = Instant::now();
        if facts.is_some_and(|facts| matches!(facts.start, StartFacts::Released { .. })) {
            self.load.get_or_insert(now);
        }
        if let Some(rate) = facts.and_then(|facts| facts.requests_per_second)
            && self.rates.last() != Some(&rate)
        {
            self.rates.push(rate);
        }
        let elapsed = now.duration_since(self.load.unwrap_or(self.began));
        let lines = lines(facts, self.workers, running, elapsed);
        if self.is_terminal {
            let mut lines = lines;
            if self.rates.len() > 1 {
                lines.push(format!("requests/s  {}", sparkline(&self.rates)));
            }
            self.paint(&lines);
        } else if self.said.is_none_or(|said| now.duration_since(said) >= EVERY) {
            self.said = Some(now);
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

fn lines(facts: Option<&Facts>, workers: u32, running: usize, elapsed: Duration) -> Vec<String> {
    let clock = clock(elapsed);
    let Some(facts) = facts.filter(|facts| matches!(facts.start, StartFacts::Released { .. })) else {
        let joined = facts.map_or(0, |facts| facts.joined);
        return vec![format!("{clock}  waiting for the start: {joined} of {workers} workers joined")];
    };
    let vusers = facts.vusers;
    let mut lines = vec![format!(
        "{clock}  {running} of {workers} workers run; virtual users: {} created, {} completed, {} failed",
        vusers.created, vusers.completed, vusers.failed
    )];
    let mut requests = format!("       {} requests", facts.requests);
    if let Some(rate) = facts.requests_per_second {
        let _ = write!(requests, ", {rate:.0}/s");
    }
    if let Some(times) = facts.response_time {
        let _ = write!(
            requests,
            "; response time p50 {:.0}, p95 {:.0}, p99 {:.0} ms",
            times.p50, times.p95, times.p99
        );
    }
    let _ = write!(requests, "; {} errors", facts.errors);
    lines.push(requests);
    lines
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
    fn before_anything_is_known_it_says_what_is_waited_for() {
        let said = lines(None, 2, 2, Duration::from_secs(3));
        assert_eq!(said, ["00:03  waiting for the start: 0 of 2 workers joined"]);
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
