//! Durations as kubectl prints them in its AGE and DURATION columns.

/// Renders whole seconds the way kubectl does (`HumanDuration` in k8s.io/apimachinery/pkg/util/duration): two units at
/// most, fewer the longer it is: `55s`, `2m30s`, `42m`, `3h12m`, `26h`, `5d3h`, `400d`, `3y10d`.
///
/// A clock that runs up to a second behind reads as `0s`, as there; more than that is `<invalid>`.
pub fn human_duration(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let two = |big: i64, big_unit, small: i64, small_unit| match small {
        0 => format!("{big}{big_unit}"),
        _ => format!("{big}{big_unit}{small}{small_unit}"),
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        s if s < 2 * MINUTE => format!("{s}s"),
        s if s < 10 * MINUTE => two(s / MINUTE, "m", s % MINUTE, "s"),
        s if s < 3 * HOUR => format!("{}m", s / MINUTE),
        s if s < 8 * HOUR => two(s / HOUR, "h", s % HOUR / MINUTE, "m"),
        s if s < 2 * DAY => format!("{}h", s / HOUR),
        s if s < 8 * DAY => two(s / DAY, "d", s % DAY / HOUR, "h"),
        s if s < 2 * YEAR => format!("{}d", s / DAY),
        s if s < 8 * YEAR => two(s / YEAR, "y", s % YEAR / DAY, "d"),
        s => format!("{}y", s / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::human_duration;

    #[test]
    fn reads_as_in_kubectl() {
        let (minute, hour, day, year) = (60, 3_600, 86_400, 365 * 86_400);
        for (seconds, text) in [
            (-5, "<invalid>"),
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (55, "55s"),
            (70, "70s"),
            (119, "119s"),
            (2 * minute, "2m"),
            (2 * minute + 30, "2m30s"),
            (9 * minute + 59, "9m59s"),
            (10 * minute + 1, "10m"),
            (3 * hour - 1, "179m"),
            (3 * hour, "3h"),
            (3 * hour + 12 * minute + 59, "3h12m"),
            (8 * hour + 59 * minute, "8h"),
            (47 * hour, "47h"),
            (48 * hour, "2d"),
            (5 * day + 3 * hour, "5d3h"),
            (8 * day, "8d"),
            (2 * year - 1, "729d"),
            (2 * year, "2y"),
            (3 * year + 10 * day, "3y10d"),
            (8 * year + 3 * day, "8y"),
        ] {
            assert_eq!(human_duration(seconds), text, "{seconds} seconds");
        }
    }
}
