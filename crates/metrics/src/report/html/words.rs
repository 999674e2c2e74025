//! Names, numbers and times as the page writes them.

/// `42 s`, `1 h 2 min 3 s`.
pub(super) fn lasted(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {seconds} s"),
        _ => format!("{hours} h {minutes} min {seconds} s"),
    }
}

/// `2026-11-26 09:19:37`; the calendar by Howard Hinnant's `civil_from_days`.
pub(super) fn date_and_time(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let time = seconds % 86_400;
    format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02}", time / 3600, time / 60 % 60, time % 60)
}

/// `12 345.6`: thousands apart, one decimal where there is one.
pub(super) fn number(value: f64) -> String {
    // no -0, which sums of nothing are
    let rounded = (value * 10.0).round() / 10.0 + 0.0;
    let text = if rounded.fract() == 0.0 { format!("{rounded:.0}") } else { format!("{rounded:.1}") };
    let (whole, decimals) = text.split_once('.').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    match decimals {
        Some(decimals) => format!("{sign}{grouped}.{decimals}"),
        None => format!("{sign}{grouped}"),
    }
}

/// What [`number`] makes of it; a dash where it is not known.
pub(super) fn or_dash(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), number)
}

/// `1.5 s`, `2 min 0 s`: a planned time, which need not be whole seconds.
pub(super) fn length(milliseconds: u64) -> String {
    #[allow(clippy::cast_precision_loss, reason = "less than a minute")]
    if milliseconds < 60_000 {
        format!("{} s", number(milliseconds as f64 / 1000.0))
    } else {
        lasted(milliseconds)
    }
}
