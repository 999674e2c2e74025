//! Time as the collector counts it: passed in as a value everywhere, read from one clock at the edge.

use std::ops::Add;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// A moment, in microseconds of the Unix time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// That many microseconds after 1970.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// That many milliseconds after 1970.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// Microseconds since 1970.
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// Whole milliseconds since 1970.
    pub const fn millis(self) -> u64 {
        self.0 / 1000
    }

    /// How long after `earlier` it is; nothing where it is before.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// How many milliseconds after `now` it is; negative where it has passed.
    #[allow(clippy::cast_precision_loss, reason = "differences of years are exact")]
    pub const fn milliseconds_from(self, now: Self) -> f64 {
        let (ahead, behind) = (self.0.saturating_sub(now.0), now.0.saturating_sub(self.0));
        (ahead as f64 - behind as f64) / 1000.0
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, time: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// A clock that begins at the wall clock's time and runs with the monotonic one, so that a start once announced is not moved by a
/// step of the wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Moment,
    at: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { began: Moment::default() + unix, at: Instant::now() }
    }
}

impl Clock {
    /// The moment.
    pub fn now(&self) -> Moment {
        self.began + self.at.elapsed()
    }

    /// When `moment` is, for a timer.
    pub fn instant(&self, moment: Moment) -> Instant {
        self.at + moment.since(self.began)
    }
}
