//! What a phase comes to once its text is read; ramps second by second, as Artillery's `createRamp` counts their arrivals.

use super::plan::Arrivals;
use crate::javascript::round;

/// What a phase comes to in one process.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Load {
    /// No arrivals for so long.
    Pause {
        milliseconds: f64,
    },
    /// No arrivals, and over at once.
    Nothing,
    /// So many arrivals, one each time so many microseconds (a whole number) are over.
    Uniform {
        arrivals: u64,
        microseconds: f64,
    },
    /// As chance will have it; `rate` a second is the mean.
    Poisson {
        rate: f64,
        milliseconds: f64,
    },
    Ramp(Ramp),
}

impl Load {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is checked")]
    pub(super) fn arrivals(&self) -> Arrivals {
        match self {
            Self::Pause { .. } | Self::Nothing => Arrivals::Exactly(0),
            Self::Uniform { arrivals, .. } => Arrivals::Exactly(*arrivals),
            Self::Poisson { .. } => Arrivals::ByChance,
            Self::Ramp(ramp) => Arrivals::Exactly(ramp.arrivals() as u64),
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "counts are below 2^53")]
    pub(super) fn milliseconds(&self) -> f64 {
        match self {
            Self::Pause { milliseconds } | Self::Poisson { milliseconds, .. } => *milliseconds,
            Self::Nothing => 0.0,
            Self::Uniform { arrivals, microseconds } => *arrivals as f64 * microseconds / 1000.0,
            Self::Ramp(ramp) => ramp.seconds.ceil() * 1000.0,
        }
    }
}

/// A ramp as one worker runs it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ramp {
    /// Arrivals in the first second.
    pub(super) from: f64,
    /// Arrivals in the last second.
    pub(super) to: f64,
    pub(super) seconds: f64,
    /// Which of the workers this is, from 1.
    pub(super) worker: f64,
    pub(super) workers: f64,
}

impl Ramp {
    /// How many arrive in all.
    pub(super) fn arrivals(&self) -> f64 {
        self.rates()
            .map(|rate| (rate.floor() + f64::from(u8::from(self.more(rate) >= self.worker))).max(0.0))
            .sum()
    }

    /// What each second asks for of each worker, before anything is rounded.
    pub(super) fn rates(&self) -> impl Iterator<Item = f64> {
        let Self { from, to, seconds, .. } = *self;
        let is_one = seconds == 1.0;
        let second = move |second: f64| match is_one {
            true => f64::midpoint(to, from),
            false => (to - from) / (seconds - 1.0) * second + from,
        };
        std::iter::successors(Some(0.0), |second| Some(second + 1.0))
            .take_while(move |s| *s < seconds)
            .map(second)
    }

    /// So many workers, those with the lowest numbers, start one more in a second that asks for that rate.
    pub(super) fn more(&self, rate: f64) -> f64 {
        round(rate % 1.0 * self.workers)
    }
}
