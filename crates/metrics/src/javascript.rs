//! Numbers as JavaScript rounds, writes and reads them: Artillery's reports and checks are made of these.

use serde::Serializer;
use serde_json::Number;

/// As JSON has it: without `.0` where it is whole; 0 in place of what is no number.
#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "it is checked")]
pub fn json(number: f64) -> Number {
    let whole = number as i64;
    if whole as f64 == number && whole.unsigned_abs() < 1 << 53 {
        whole.into()
    } else {
        Number::from_f64(number).unwrap_or_else(|| 0.into())
    }
}

/// Writes a number that may be missing as [`json`] has it.
///
/// # Errors
/// Of the writer.
#[allow(clippy::ref_option, reason = "serde asks for it")]
pub fn serialize<S: Serializer>(number: &Option<f64>, serializer: S) -> Result<S::Ok, S::Error> {
    serde::Serialize::serialize(&number.map(json), serializer)
}

/// `Math.round`: to the nearest whole number, halves upwards.
pub fn round(number: f64) -> f64 {
    let floor = number.floor();
    let rounded = if number - floor >= 0.5 { floor + 1.0 } else { floor };
    if rounded == 0.0 { 0.0 } else { rounded } // -0 is written as 0
}

/// To one decimal, as Artillery rounds summaries.
pub fn round_to_tenths(number: f64) -> f64 {
    round(number * 10.0) / 10.0
}

/// `String(number)`: the fewest digits that give the same number back, without an exponent from 1e-6 to 1e21 (ECMA-262,
/// `Number::toString`).
pub fn string(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    let sign = if number < 0.0 { "-" } else { "" };
    if number.is_infinite() {
        return format!("{sign}Infinity");
    }
    let scientific = format!("{:e}", number.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    let zeros = |number: i32| "0".repeat(usize::try_from(number).unwrap_or(0));
    let point = exponent + 1;
    let text = if count <= point && point <= 21 {
        format!("{digits}{}", zeros(point - count))
    } else if 0 < point && point <= 21 {
        let (whole, rest) = digits.split_at(usize::try_from(point).unwrap_or(0));
        format!("{whole}.{rest}")
    } else if -6 < point && point <= 0 {
        format!("0.{}{digits}", zeros(-point))
    } else {
        let (first, rest) = digits.split_at(1);
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{first}{dot}{rest}e{}{exponent}", if exponent < 0 { "" } else { "+" })
    };
    format!("{sign}{text}")
}

/// `Number(text)`: NaN where it is none.
pub fn number(text: &str) -> f64 {
    let text = text.trim_matches(is_space);
    let of_base = |digits: &str, base: u32| {
        let all = digits.chars().map(|digit| digit.to_digit(base));
        let sum = all
            .map(|digit| digit.map(f64::from))
            .try_fold(0.0, |sum, digit| Some(sum * f64::from(base) + digit?));
        sum.filter(|_| !digits.is_empty()).unwrap_or(f64::NAN)
    };
    match text.get(..2).unwrap_or("") {
        "0x" | "0X" => return of_base(&text[2..], 16),
        "0o" | "0O" => return of_base(&text[2..], 8),
        "0b" | "0B" => return of_base(&text[2..], 2),
        _ => {}
    }
    match text {
        "" => return 0.0,
        "Infinity" | "+Infinity" => return f64::INFINITY,
        "-Infinity" => return f64::NEG_INFINITY,
        _ => {}
    }
    // Rust reads the same decimals, and words besides
    let is_decimal = text.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | '+' | '-' | 'e' | 'E'));
    if is_decimal { text.parse().unwrap_or(f64::NAN) } else { f64::NAN }
}

/// `parseInt(text, 10)`: the whole number that the text begins with; NaN where there is none.
pub fn parse_int(text: &str) -> f64 {
    let text = text.trim_start_matches(is_space);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let digits = unsigned.len() - unsigned.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: f64 = unsigned[..digits].parse().unwrap_or(f64::NAN);
    if text.starts_with('-') { -number } else { number }
}

/// What `\s` matches, and `trim` removes.
pub fn is_space(c: char) -> bool {
    matches!(c, '\u{feff}') || (c.is_whitespace() && c != '\u{85}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_in_javascript() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (123_456_789.0, "123456789"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.25e22, "1.25e+22"),
            (1e-6, "0.000001"),
            (1.5e-7, "1.5e-7"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(string(number), text);
        }
    }

    #[test]
    fn numbers_are_rounded_as_in_javascript() {
        for (number, rounded) in
            [(0.5, 1.0), (1.5, 2.0), (-0.5, 0.0), (-1.5, -1.0), (0.499_999_999_999_999_94, 0.0), (2.4, 2.0)]
        {
            assert_eq!(round(number), rounded, "{number}");
        }
        assert_eq!((round_to_tenths(1.25), round_to_tenths(0.04), round_to_tenths(-0.04)), (1.3, 0.0, 0.0));
        assert!(round_to_tenths(-0.04).is_sign_positive());
    }

    #[test]
    fn numbers_are_read_as_in_javascript() {
        for (text, is) in [
            (" 12 ", 12.0),
            ("", 0.0),
            ("0x1f", 31.0),
            ("0b101", 5.0),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("-Infinity", f64::NEG_INFINITY),
        ] {
            assert_eq!(number(text), is, "{text}");
        }
        for text in ["1%", "1,5", "inf", "nan", "1e", "0x", "--1", "1 2", "infinity"] {
            assert!(number(text).is_nan(), "{text}");
        }
        assert_eq!((parse_int(" 200ms"), parse_int("-3.9"), parse_int("1e3")), (200.0, -3.0, 1.0));
        assert!(parse_int("ms").is_nan() && parse_int("").is_nan());
    }
}
