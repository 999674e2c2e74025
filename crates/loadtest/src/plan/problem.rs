//! Why a load test cannot start, in words that say what its user has to mend.

use std::borrow::Cow;

use k8s_openapi::api::batch::v1::Job;

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
/// A value that cannot be used, or of which the API server says that it makes no valid Job.
pub const INVALID_SPEC: &str = "InvalidSpec";

/// The API server's words, with code 500, where a webhook that must let in what is created does not answer.
pub const WEBHOOK_FAILED: &str = "failed calling webhook ";

/// The Job is refused by admission, by quota, or for want of a right of the operator's: it may be taken later, as it is.
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

/// Whether a webhook or a policy refuses, which may do so by any code: 400 is a webhook's and 422 a policy's where they name none. Or
/// a webhook does not answer.
fn is_of_admission(code: u16, words: &str) -> bool {
    let is_policy = words.split_once("\" is ").is_some_and(|(_, why)| why.starts_with("forbidden: "));
    let is_unanswered = code == 500 && words.contains(WEBHOOK_FAILED);
    is_policy || is_unanswered || words.starts_with("admission webhook ")
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
        Self::refused(words, None)
    }

    fn refused(words: &str, job: Option<&Job>) -> Self {
        let message = format!("the API server refuses the Job: {}", in_fields(words, job));
        Self { reason: JOB_REFUSED, message }
    }

    /// The same of that Job, by the status code of its answer: one that is invalid or too large stays so until the spec is mended.
    pub fn job_answered(code: u16, words: &str, job: &Job) -> Self {
        let refused = Self::refused(words, Some(job));
        if code == 403 || is_of_admission(code, words) {
            return refused;
        }
        Self { reason: INVALID_SPEC, ..refused }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_finds_invalid_is_the_specs_and_what_admission_refuses_is_not() {
        let invalid = "Job.batch \"t\" is invalid: spec.template.spec.containers[0].resources.requests: Invalid value: \"4Gi\"";
        let policy = "jobs.batch \"t\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: not now";
        let webhook = "admission webhook \"w.example\" denied the request: the job is invalid: spec";
        let unanswered = "Internal error occurred: failed calling webhook \"w.example\": failed to call webhook: Post \"https://w.a.svc:443/?timeout=10s\": dial tcp 10.0.0.7:443: connect: connection refused";
        for (code, words, reason) in [
            (422, invalid, INVALID_SPEC),
            (400, "Job in version \"v1\" cannot be handled as a Job: quantities must match", INVALID_SPEC),
            (413, "Request entity too large: limit is 3145728", INVALID_SPEC),
            (500, "etcdserver: request is too large", INVALID_SPEC),
            (422, "Job.batch \"t\" is invalid: x: Invalid value: \"a\" is forbidden: \"", INVALID_SPEC),
            (403, "jobs.batch \"t\" is forbidden: exceeded quota: q", JOB_REFUSED),
            (422, policy, JOB_REFUSED),
            (400, webhook, JOB_REFUSED),
            (422, webhook, JOB_REFUSED),
            (500, unanswered, JOB_REFUSED),
        ] {
            let problem = Problem::job_answered(code, words, &Job::default());
            assert_eq!(problem.reason, reason, "{code} {words}");
            assert!(problem.message.starts_with("the API server refuses the Job: "), "{}", problem.message);
        }
        let told = Problem::job_answered(422, invalid, &Job::default()).message;
        assert!(told.contains(" .spec.worker.resources.requests: Invalid value"), "{told}");
    }
}
