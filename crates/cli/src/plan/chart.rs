//! A chart of virtual users over time, in characters.

use std::fmt::Write as _;

use loadtest::human_duration::human_duration;

/// How many lines it is high.
const HEIGHT: usize = 6;
/// Eighths of a line.
const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Draws how many arrive in a second, of how many arrive in equal parts of so many milliseconds.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "it is drawn in eighths of a few lines"
)]
pub fn chart(arrivals: &[f64], milliseconds: f64) -> String {
    let width = milliseconds / 1000.0 / arrivals.len().max(1) as f64;
    let rates: Vec<f64> = arrivals.iter().map(|arrivals| arrivals / width.max(f64::MIN_POSITIVE)).collect();
    let most = rates.iter().copied().fold(0.0, f64::max);
    let top = ceiling(most);
    let levels = (HEIGHT * 8) as f64;
    // who arrives at all is seen
    let level = |rate: f64| if rate > 0.0 { ((rate / top * levels).round() as usize).max(1) } else { 0 };
    let labels = [number(top), number(top / 2.0), "0".to_owned()];
    let margin = labels.iter().map(String::len).max().unwrap_or(0);
    let mut text = String::new();
    for line in (0..HEIGHT).rev() {
        let label = match line {
            line if line + 1 == HEIGHT => labels[0].as_str(),
            line if line + 1 == HEIGHT / 2 => labels[1].as_str(),
            _ => "",
        };
        let blocks = rates.iter().map(|rate| BLOCKS[level(*rate).saturating_sub(line * 8).min(8)]);
        let blocks: String = blocks.collect();
        // writing to a text does not fail
        let _ = writeln!(text, "{label:>margin$} │{}", blocks.trim_end());
    }
    let axis = "─".repeat(rates.len());
    let end = human_duration((milliseconds / 1000.0).round() as i64);
    let space = rates.len().saturating_sub(1);
    let _ = writeln!(text, "{:>margin$} └{axis}", labels[2]);
    let _ = writeln!(text, "{:>margin$}  0{end:>space$}", "");
    text
}

/// A round number that is not less.
fn ceiling(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let magnitude = 10_f64.powf(most.log10().floor());
    let round = [1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0].map(|step| step * magnitude);
    // a hair's breadth less is the same
    round.into_iter().find(|round| *round >= most * (1.0 - 1e-9)).unwrap_or(most)
}

/// A number with as many digits as say something.
pub fn number(value: f64) -> String {
    let digits = if value >= 100.0 || value == 0.0 { 0 } else { 3 };
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_is_drawn_as_one() {
        let arrivals: Vec<f64> = (1..=12).map(f64::from).collect();
        let text = chart(&arrivals, 12_000.0);
        let lines = [
            "12 │          ▄█",
            "   │        ▄███",
            "   │      ▄█████",
            " 6 │    ▄███████",
            "   │  ▄█████████",
            "   │▄███████████",
            " 0 └────────────",
            "    0        12s",
            "",
        ];
        assert_eq!(text, lines.join("\n"));
    }

    #[test]
    fn numbers_are_short_and_round() {
        for (value, shown) in [(0.0, "0"), (2.5, "2.5"), (0.1234, "0.123"), (10.0, "10"), (1234.5, "1234")] {
            assert_eq!(number(value), shown);
        }
        for (most, top) in [(0.0, 1.0), (3.0, 3.0), (11.0, 12.0), (99.0, 100.0), (0.7, 0.8)] {
            assert!((ceiling(most) - top).abs() < 1e-9, "{most}: {}", ceiling(most));
        }
    }
}
