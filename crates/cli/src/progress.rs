//! How a load test goes, on standard error: a few lines that are painted again on a terminal, and a line now and then elsewhere.

mod lines;
mod schedule;

use std::time::{Duration, Instant};

use crate::terminal::{can_paint, erase, harmless_lines, paint, say};
pub use schedule::Schedule;

/// How often there is a line where there is no terminal.
const EVERY: Duration = Duration::from_secs(10);
/// A rate is that of a period of so many seconds.
const PERIOD: u64 = metrics::aggregate::PERIOD / 1000;

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
    /// What is planned; nothing where that is not known.
    pub schedule: Schedule,
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
    is_painted: bool,
    began: Instant,
    /// Since when there is load.
    load: Option<Instant>,
    /// When there was a line, and whether of load.
    said: Option<(Instant, bool)>,
    /// Requests per second, a value for each period.
    rates: Vec<f64>,
    /// In which period the last one was taken.
    taken: Option<u64>,
    /// Its place and name, where several are shown.
    among: Option<(usize, String)>,
}

impl Progress {
    /// Begins.
    pub fn begin(now: Instant) -> Self {
        Self::begin_among(now, None)
    }

    /// Begins to show one of several, in this place and by this name.
    pub fn begin_among(now: Instant, among: Option<(usize, String)>) -> Self {
        Self {
            is_painted: can_paint(),
            began: now,
            load: None,
            said: None,
            rates: Vec::new(),
            taken: None,
            among,
        }
    }

    /// There has been load for so long already.
    pub fn under_load_since(&mut self, since: Instant) {
        self.load = Some(since);
    }

    /// Shows how it goes now.
    pub fn show(&mut self, seen: &Seen, now: Instant) {
        let runs = matches!(seen, Seen::Running(_));
        if runs {
            self.load.get_or_insert(now);
        }
        let elapsed = now.saturating_duration_since(self.load.filter(|_| runs).unwrap_or(self.began));
        if let Seen::Running(Running { requests_per_second: Some(rate), .. }) = seen {
            self.take(*rate, elapsed);
        }
        if self.is_painted {
            match &self.among {
                Some((at, name)) => paint(*at, vec![lines::one_of_several(name, seen, elapsed)]),
                None => paint(0, lines::several(seen, elapsed, &self.rates)),
            }
        } else if self.said.is_none_or(|(said, of_load)| now.duration_since(said) >= EVERY || of_load != runs)
        {
            self.said = Some((now, runs));
            say(format_args!("{}{}", self.name(), lines::plain(seen, elapsed)));
        }
    }

    /// Says something that stays.
    pub fn say(&self, text: &str) {
        say(format_args!("{}{}", self.name(), harmless_lines(text)));
    }

    /// What says so in its place, for who does not have it.
    pub fn sayer(&self) -> impl Fn(&str) + use<> {
        let name = self.name().to_string();
        move |text| say(format_args!("{name}{}", harmless_lines(text)))
    }

    /// Takes away what is painted.
    pub fn end(&mut self) {
        if self.is_painted {
            erase(self.among.as_ref().map_or(0, |(at, _)| *at));
        }
    }

    fn name(&self) -> String {
        self.among.as_ref().map_or_else(String::new, |(_, name)| format!("{name}: "))
    }

    /// A rate for each period; the newest that was seen in it.
    fn take(&mut self, rate: f64, elapsed: Duration) {
        let period = elapsed.as_secs() / PERIOD;
        if self.taken.replace(period) == Some(period) {
            self.rates.pop();
        }
        self.rates.push(rate);
        if self.rates.len() > lines::DRAWN {
            self.rates.remove(0);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_rate_for_each_period_also_where_it_stays_the_same() {
        let mut progress = Progress::begin(Instant::now());
        for (seconds, rate) in [(12, 1.0), (13, 5.0), (21, 5.0), (32, 5.0), (39, 6.0)] {
            progress.take(rate, Duration::from_secs(seconds));
        }
        assert_eq!(progress.rates, [5.0, 5.0, 6.0]);
        for period in 4..100 {
            progress.take(1.0, Duration::from_secs(period * 10));
        }
        assert_eq!(progress.rates.len(), lines::DRAWN);
    }
}
