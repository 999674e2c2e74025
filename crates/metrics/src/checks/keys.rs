//! Keys of an `ensure` that Artillery's plugin passes over in silence: those that are meant as checks switch a gate off.

use serde_json::{Map, Value};

use super::EnsureError;

/// All that the plugin knows.
const KEYS: [&str; 8] = ["thresholds", "conditions", "min", "max", "median", "p95", "p99", "maxErrorRate"];
/// What is no check, and means something elsewhere.
const OPTIONS: [&str; 1] = ["suppressOutput"];
/// No more of a key is shown, in characters.
const SHOWN: usize = 60;

/// A key that the plugin does not know.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Unknown {
    /// Whether it is nearly one that the plugin knows, or a metric: then somebody meant a check.
    pub is_meant: bool,
    /// Its path, and what would be right.
    pub error: EnsureError,
}

/// The keys that the plugin does not know, in order.
pub(super) fn unknown(fields: &Map<String, Value>) -> Vec<Unknown> {
    let unknown = fields.keys().filter(|key| ![&KEYS[..], &OPTIONS[..]].concat().contains(&key.as_str()));
    unknown.map(|key| Unknown::of(key, fields.get(key).unwrap_or(&Value::Null))).collect()
}

impl Unknown {
    fn of(key: &str, value: &Value) -> Self {
        let shown: String = key.chars().take(SHOWN).collect();
        let bound =
            if value.is_number() || value.is_string() { super::text(value) } else { "250".to_owned() };
        let bound: String = bound.chars().take(SHOWN).collect();
        let (is_meant, right) = if is_figure(key) {
            let entry = format!("http.response_time.{shown}: {bound}");
            (true, format!("give it as an entry of thresholds, `{entry}`"))
        } else if key.contains('.') {
            (true, format!("give it as an entry of thresholds, `{shown}: {bound}`"))
        } else if let Some(nearest) = nearest(key) {
            (true, format!("did you mean `{nearest}`?"))
        } else {
            (false, format!("it knows {}", KEYS.join(", ")))
        };
        let message = format!("Artillery checks nothing of that name: {right}");
        Self { is_meant, error: EnsureError::new(format!("ensure.{shown}"), message) }
    }
}

/// Another figure of a distribution than those that the plugin knows.
fn is_figure(key: &str) -> bool {
    let is_percentile = key
        .strip_prefix('p')
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|c| c.is_ascii_digit()));
    is_percentile || key == "mean"
}

/// The key that was most likely meant.
fn nearest(key: &str) -> Option<&'static str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '_'], "");
    let typed = plain(key);
    let is_part = |known: &&&str| typed.len() > 3 && plain(known).contains(&typed);
    let close = |known: &&'static str| {
        let away = distance(&typed, &plain(known));
        // of three characters one is much, and another percentile is no slip
        let most = if known.len() > 4 { 2 } else { usize::from(!known.starts_with('p')) };
        (away <= most).then_some((away, *known))
    };
    KEYS.iter().filter_map(close).min().map(|(_, known)| known).or(KEYS.iter().find(is_part).copied())
}

/// How many characters have to be put in, left out or changed to make one text of the other (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    // no key that is so long is near any
    for (i, mine) in one.chars().take(SHOWN).enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, theirs) in other.iter().enumerate() {
            let changed = before + usize::from(mine != *theirs);
            before = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(before + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_key_that_is_nearly_one_is_meant_and_another_one_is_not() {
        for (key, is_meant, right) in [
            ("threshold", true, "did you mean `thresholds`?"),
            ("tresholds", true, "did you mean `thresholds`?"),
            ("Thresholds", true, "did you mean `thresholds`?"),
            ("condition", true, "did you mean `conditions`?"),
            ("maxErorRate", true, "did you mean `maxErrorRate`?"),
            ("max_error_rate", true, "did you mean `maxErrorRate`?"),
            ("errorRate", true, "did you mean `maxErrorRate`?"),
            ("P95", true, "did you mean `p95`?"),
            ("mix", true, "did you mean `max`?"),
            ("p90", true, "give it as an entry of thresholds, `http.response_time.p90: 250`"),
            ("p999", true, "give it as an entry of thresholds, `http.response_time.p999: 250`"),
            ("mean", true, "give it as an entry of thresholds, `http.response_time.mean: 250`"),
            ("vusers.failed", true, "give it as an entry of thresholds, `vusers.failed: 250`"),
            (
                "description",
                false,
                "it knows thresholds, conditions, min, max, median, p95, p99, maxErrorRate",
            ),
            ("slo", false, "it knows thresholds"),
            ("", false, "it knows thresholds"),
        ] {
            let found = Unknown::of(key, &Value::Null);
            assert_eq!(found.is_meant, is_meant, "{key}");
            let message = found.error.to_string();
            assert!(message.starts_with(&format!("ensure.{key}: ")) && message.contains(right), "{message}");
        }
        let all: Map<_, _> = KEYS.iter().map(|key| ((*key).to_owned(), json!(1))).collect();
        assert_eq!(unknown(&all), []);
        let options = OPTIONS.iter().map(|key| ((*key).to_owned(), json!(true))).collect();
        assert_eq!(unknown(&options), []);
    }
}
