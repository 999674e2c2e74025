//! Why a load test cannot start, in words that say what its user has to mend.

use std::borrow::Cow;

use super::job_fields::in_fields;
use crate::api::JsonError;

/// Why a load test cannot start: shown as condition and as Warning event until it is mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// One CamelCase word.
    pub reason: &'static str,
    /// A sentence that names the field, the value and what would be right.
    pub message: String,
}

/// No more of a problem's message is told, in characters: it is stored twice, and etcd refuses what is too large for ever.
pub const MAX_MESSAGE: usize = 1000;

/// The script's ConfigMap does not exist.
pub const MISSING_TEST_SCRIPT: &str = "MissingTestScript";
/// The script's ConfigMap has no script in it.
pub const INVALID_TEST_SCRIPT: &str = "InvalidTestScript";
/// Another ConfigMap does not exist.
pub const MISSING_CONFIG_MAP: &str = "MissingConfigMap";
/// The script, or the spec, names a file that nobody gives.
pub const MISSING_FILE: &str = "MissingFile";
/// Two ConfigMaps have a file of the same name.
pub const CONFLICTING_FILES: &str = "ConflictingFiles";
/// The object was stored before the API server refused such values.
pub const INVALID_SPEC: &str = "InvalidSpec";

/// The Job is refused by admission, by quota, or for want of a right of the operator's.
pub const JOB_REFUSED: &str = "JobRefused";
/// A ConfigMap of the report's name is somebody else's.
pub const REPORT_NAME_TAKEN: &str = "ReportNameTaken";
/// The report of an earlier LoadTest of that name is still there.
pub const EARLIER_REPORT: &str = "WaitingForEarlierReport";
/// The operator may not read a ConfigMap.
pub const UNREADABLE_CONFIG_MAP: &str = "UnreadableConfigMap";

/// What is said, without its numbers and ids: the same where only these differ, as in the words of an admission that counts.
pub(crate) fn without_numbers(message: &str) -> String {
    let is_hex = |word: &str| word.bytes().all(|c| c.is_ascii_hexdigit());
    // some parts of an id have no digit
    let is_id = |word: &str| is_hex(word) && (word.len() > 3 || word.contains(is_digit));
    let is_quantity = |word: &str| word.starts_with(is_digit);
    let words = message.split_inclusive(|c: char| !c.is_alphanumeric());
    let mut said = String::with_capacity(message.len());
    for part in words {
        let word = part.trim_end_matches(|c: char| !c.is_alphanumeric());
        if is_id(word) || is_quantity(word) {
            said.push('#');
            said.push_str(&part[word.len()..]);
        } else {
            said.extend(part.chars().filter(|c| !is_digit(*c)));
        }
    }
    said
}

fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
}

impl Problem {
    /// Its message as far as it is told; says if it was cut.
    pub fn told(&self) -> Cow<'_, str> {
        const CUT: &str = "… (cut: the rest is too long to be told)";
        if self.message.chars().nth(MAX_MESSAGE).is_none() {
            return Cow::Borrowed(&self.message);
        }
        let kept = self.message.chars().take(MAX_MESSAGE - CUT.chars().count());
        Cow::Owned(kept.chain(CUT.chars()).collect())
    }

    /// A value of the spec that cannot be used; why, with its field.
    pub fn invalid_spec(message: impl Into<String>) -> Self {
        Self { reason: INVALID_SPEC, message: message.into() }
    }

    /// A field whose JSON cannot be used.
    pub fn invalid_json(field: &str, why: &JsonError) -> Self {
        Self::invalid_spec(format!("{field} {why}"))
    }

    /// The API server refuses to create or to start the Job, in its own words, but for the fields: they are the LoadTest's.
    pub fn job_refused(words: &str) -> Self {
        Self { reason: JOB_REFUSED, message: format!("the API server refuses the Job: {}", in_fields(words)) }
    }

    /// The script's ensure cannot be evaluated; why, with its place.
    pub fn invalid_ensure(why: &str) -> Self {
        let message = format!("Load Test test script has a check that cannot be evaluated: {why}");
        Self { reason: INVALID_TEST_SCRIPT, message }
    }

    /// The API server refuses to show a ConfigMap, in its own words.
    pub fn unreadable(field: &str, name: &str, words: &str) -> Self {
        let message = format!("ConfigMap \"{name}\" cannot be read, see field {field}: {words}");
        Self { reason: UNREADABLE_CONFIG_MAP, message }
    }
}
