//! A phase of one worker's share, as Artillery's runner takes it. A type and no JSON: ten thousand workers have a hundred thousand of them.

use serde::Serialize;

/// A phase of a share; a field that is not there is not written.
#[derive(Serialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SharedPhase {
    /// For how long nobody arrives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pause: Option<Time>,
    /// How many virtual users arrive.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrival_count: Option<u64>,
    /// How many arrive in a second, at the beginning of a ramp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrival_rate: Option<f64>,
    /// How many at its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp_to: Option<f64>,
    /// For how long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration: Option<Time>,
    /// How they are spread, where not evenly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<&'static str>,
    /// Which of the workers of a ramp it is, from 1 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker: Option<u32>,
    /// How many share the ramp.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_workers: Option<f64>,
    /// How many virtual users there may be at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_vusers: Option<u64>,
    /// The phase of the script that it belongs to, of those that Artillery does not pass over.
    pub index: usize,
}

/// A time as Artillery reads it.
#[derive(Serialize, Clone, Debug, PartialEq)]
#[serde(untagged)]
pub enum Time {
    /// Whole seconds.
    Seconds(u64),
    /// With its unit, such as `59998.848ms`.
    Text(String),
}

impl Time {
    /// So many microseconds, to a ten-thousandth of a millisecond where they are not whole seconds.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and within bounds")]
    pub(super) fn of(microseconds: f64) -> Self {
        let seconds = microseconds / 1e6;
        if seconds.fract() == 0.0 && seconds < 1e15 {
            Self::Seconds(seconds as u64)
        } else {
            Self::milliseconds(microseconds)
        }
    }

    /// As `59998.848ms`, to a tenth of a microsecond.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is checked")]
    pub(super) fn milliseconds(microseconds: f64) -> Self {
        let tenths = (microseconds * 10.0).round();
        // to write a float takes five times as long
        let mut text = if (0.0..1e17).contains(&tenths) {
            let tenths = tenths as u64;
            format!("{}.{:04}", tenths / 10_000, tenths % 10_000)
        } else {
            format!("{:.4}", microseconds / 1000.0)
        };
        text.truncate(text.trim_end_matches('0').trim_end_matches('.').len());
        text.push_str("ms");
        Self::Text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_artillery_reads_them() {
        let text = |microseconds| match Time::of(microseconds) {
            Time::Seconds(seconds) => seconds.to_string(),
            Time::Text(text) => text,
        };
        for (microseconds, wanted) in [
            (3e6, "3"),
            (0.0, "0"),
            (59_998_848.0, "59998.848ms"),
            (1_500_000.0, "1500ms"),
            (0.25, "0.0003ms"),
            (1.0, "0.001ms"),
            (1e17 + 1e5, "100000000000100ms"),
        ] {
            assert_eq!(text(microseconds), wanted, "{microseconds}");
        }
    }
}
