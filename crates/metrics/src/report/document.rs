//! A report as `report.json` says it, read back: what the writers for people stand on, whether it comes from a load test that has just ended or from
//! a file. A file of `artillery run --output` has no section `loadtest`, and is read as far as that goes.

use std::collections::BTreeMap;
use std::io;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::json::Totals;
use super::{PerWorker, Plan, Report, Workers, round_to_tenths, text};

/// No file has more bytes.
pub const MAX_BYTES: usize = 64 << 20;

/// The shape of a report that is written and read here: `loadtest.schemaVersion`. A report of before that was told has this one.
pub const SCHEMA_VERSION: u32 = 1;

/// What a report says.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Document {
    /// All of it together.
    pub aggregate: Stats,
    /// The steps of the time line.
    #[serde(default)]
    pub intermediate: Vec<Stats>,
    /// What Artillery has no word for; `None` in a file of Artillery's own.
    pub loadtest: Option<Section>,
    /// All of it as it was read, what is not known here included.
    #[serde(skip)]
    json: Vec<u8>,
}

/// What was measured, of a step or in all.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Stats {
    /// Totals.
    pub counters: BTreeMap<String, f64>,
    /// Events per second.
    pub rates: BTreeMap<String, f64>,
    /// Figures of distributions.
    pub summaries: BTreeMap<String, Figures>,
    /// The beginning of a step, in milliseconds of the Unix time: a text or a number.
    pub period: Value,
    /// When the first was measured, in milliseconds of the Unix time.
    pub first_metric_at: Option<f64>,
    /// When the last was.
    pub last_metric_at: Option<f64>,
}

/// Figures of a distribution, in its own unit: milliseconds for times. Older Artillery does not have all of them.
#[derive(Deserialize, Clone, Copy, Debug, Default, PartialEq)]
#[serde(default)]
pub struct Figures {
    /// The smallest value.
    pub min: Option<f64>,
    /// The largest value.
    pub max: Option<f64>,
    /// How many there are.
    pub count: Option<f64>,
    /// Their mean.
    pub mean: Option<f64>,
    /// Half are below.
    pub median: Option<f64>,
    /// 75 % are below.
    pub p75: Option<f64>,
    /// 90 % are below.
    pub p90: Option<f64>,
    /// 95 % are below.
    pub p95: Option<f64>,
    /// 99 % are below.
    pub p99: Option<f64>,
    /// 99.9 % are below.
    pub p999: Option<f64>,
}

/// Which load test it was, what came of it, and what it stands on.
#[derive(Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Section {
    /// Which shape of a report it is; `None` in those of before that was told.
    pub schema_version: Option<u64>,
    /// Its name.
    pub name: String,
    /// Its namespace; `None` outside a cluster.
    pub namespace: Option<String>,
    /// The versions of Artillery.
    pub artillery: Vec<String>,
    /// The versions of Node.
    pub node: Vec<String>,
    /// Whether it passed, and why.
    pub verdict: Verdict,
    /// What became of its workers.
    pub workers: Workers,
    /// When the workers were released, in milliseconds of the Unix time.
    pub started_at_milliseconds: Option<u64>,
    /// When it was over.
    pub ended_at_milliseconds: Option<u64>,
    /// Between the first and the last start of a worker, in milliseconds.
    pub start_skew_milliseconds: Option<f64>,
    /// Virtual users.
    pub vusers: Vusers,
    /// What is missing of the data, in words.
    pub missing: Vec<String>,
    /// What was wrong with the load, in words.
    pub undelivered: Vec<String>,
    /// What came of the checks.
    pub checks: Vec<Check>,
    /// Values that were not taken in, by their kinds.
    pub refused: Vec<Refused>,
    /// How many measured values were not taken in.
    pub refused_values: u64,
    /// Distributions in steps, by the metric's name.
    pub distributions: BTreeMap<String, Vec<Step>>,
    /// The length of a step of the time line, in milliseconds.
    pub time_line_step_milliseconds: Option<u64>,
    /// How far percentiles of the time line may be off, in parts of them; `None` where that is not told.
    pub time_line_relative_accuracy: Option<f64>,
    /// What had no room in the report, in words.
    pub left_out: Option<String>,
    /// What the script asked for.
    pub plan: Option<Plan>,
    /// What became of each worker.
    pub per_worker: Vec<PerWorker>,
    /// So many workers are not among them.
    pub per_worker_left_out: u64,
}

/// The version alone.
#[derive(Deserialize)]
struct Versioned {
    loadtest: VersionOf,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VersionOf {
    schema_version: Option<u64>,
}

/// Values of one kind that were not taken in.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default)]
pub struct Refused {
    /// Of which metric.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl Section {
    /// How its workers ended, in words. Artillery exits with another code than 0 when it is told to end, which is no failure.
    pub fn ends(&self) -> String {
        let Workers { succeeded, failed, lost, .. } = self.workers;
        let otherwise = match self.verdict.reason.as_str() {
            "Stopped" | "DeadlineExceeded" => "did not",
            _ => "failed",
        };
        format!("{succeeded} succeeded, {failed} {otherwise}, {lost} lost")
    }
}

/// Whether it passed, and why.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default)]
pub struct Verdict {
    /// Passed, Failed or Inconclusive.
    pub outcome: String,
    /// Why, in one word.
    pub reason: String,
    /// Why, in a sentence.
    pub message: String,
}

/// Virtual users.
#[derive(Deserialize, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(default)]
pub struct Vusers {
    /// There should be; `None` where that is not known.
    pub planned: Option<u64>,
    /// Started.
    pub created: u64,
    /// Came to their end.
    pub completed: u64,
    /// Broke off.
    pub failed: u64,
    /// Not started, for there were too many.
    pub skipped: u64,
}

/// What came of a check.
#[derive(Deserialize, Clone, Debug, Default, PartialEq, Eq)]
#[serde(default)]
pub struct Check {
    /// As Artillery prints it.
    pub check: String,
    /// Whether it held.
    pub passed: bool,
    /// What was measured.
    pub actual: String,
    /// Whether the verdict depends on it.
    pub strict: bool,
}

/// So many values lie above the step before, and up to that one.
#[derive(Deserialize, Clone, Copy, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct Step {
    /// In milliseconds.
    pub up_to_milliseconds: f64,
    /// How many.
    pub count: u64,
}

/// Why something is no report.
#[derive(thiserror::Error, Debug)]
pub enum DocumentError {
    /// It is larger than any report.
    #[error("it has {0} bytes, and no report has more than {MAX_BYTES}")]
    TooLarge(usize),
    /// It is one of a later program.
    #[error(
        "it is a report of schema version {0} (loadtest.schemaVersion), and this program reads version {SCHEMA_VERSION}: use the one that wrote it"
    )]
    Version(u64),
    /// It has another shape.
    #[error(
        "it is no report of a load test: {0}; give a report.json, or what `artillery run --output` wrote"
    )]
    Shape(#[from] serde_json::Error),
}

impl Document {
    /// What a load test's own report says.
    ///
    /// # Errors
    /// It has a number that JSON cannot say.
    pub fn of(report: &Report<'_>) -> Result<Self, DocumentError> {
        let mut json = serde_json::to_vec_pretty(report)?;
        json.push(b'\n');
        let document: Self = serde_json::from_slice(&json)?;
        Ok(Self { json, ..document })
    }

    /// The same without the time line, which takes long to unpack.
    ///
    /// # Errors
    /// As before.
    pub(super) fn totals(report: &Report<'_>) -> Result<Self, DocumentError> {
        Ok(serde_json::from_slice(&serde_json::to_vec(&Totals(report))?)?)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It is none, or one of another version.
    pub fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() > MAX_BYTES {
            return Err(DocumentError::TooLarge(bytes.len()));
        }
        let read = serde_json::from_slice::<Self>(bytes);
        // one of another version may have any shape
        let version = match &read {
            Ok(document) => document.loadtest.as_ref().and_then(|section| section.schema_version),
            Err(_) => {
                serde_json::from_slice::<Versioned>(bytes).ok().and_then(|read| read.loadtest.schema_version)
            }
        };
        match version {
            Some(version) if version != u64::from(SCHEMA_VERSION) => Err(DocumentError::Version(version)),
            _ => Ok(Self { json: bytes.to_vec(), ..read? }),
        }
    }

    /// Writes it as it was read.
    ///
    /// # Errors
    /// Of the writer.
    pub fn write_json(&self, mut to: impl io::Write) -> io::Result<()> {
        to.write_all(&self.json)
    }

    /// Writes it for people, as [`Report::write_text`] does.
    ///
    /// # Errors
    /// Of the writer.
    pub fn write_text(&self, to: impl io::Write, hidden: &[&str]) -> io::Result<()> {
        text::write(self, to, hidden)
    }

    /// A counter of all; 0 where it is not there.
    pub fn counter(&self, name: &str) -> f64 {
        self.aggregate.counters.get(name).copied().unwrap_or(0.0)
    }

    /// Whether it is known that the script has no checks: where no worker said what it is, and in a report of Artillery's own, it is not.
    pub fn has_no_checks(&self) -> bool {
        let is_told = |section: &Section| section.plan.is_some() || section.verdict.reason == "NoChecks";
        self.loadtest.as_ref().is_some_and(|section| section.checks.is_empty() && is_told(section))
    }

    /// What the load test is called.
    pub fn title(&self) -> String {
        match &self.loadtest {
            Some(Section { namespace: Some(namespace), name, .. }) => format!("{namespace}/{name}"),
            Some(Section { name, .. }) => name.clone(),
            None => "artillery run".to_owned(),
        }
    }

    /// HTTP requests per second in words, the number as `number` writes it; `None` where that is not known. Artillery's rate is rounded to
    /// a whole number: where that is 0 and there were requests, it is their number over the time that the load test took, to a tenth.
    pub fn request_rate(&self, number: impl Fn(f64) -> String) -> Option<String> {
        let rate = self.aggregate.rates.get("http.request_rate").copied();
        let requests = self.counter("http.requests");
        let is_told = rate.is_some_and(|rate| rate > 0.0) || requests <= 0.0;
        let mean = || {
            let section = self.loadtest.as_ref()?;
            let took = section.ended_at_milliseconds?.checked_sub(section.started_at_milliseconds?)?;
            #[allow(clippy::cast_precision_loss, reason = "milliseconds of a load test")]
            let seconds = (took > 0).then_some(took as f64 / 1000.0)?;
            Some(round_to_tenths(requests / seconds))
        };
        let told = if is_told { rate } else { mean() }?;
        let is_less = !is_told && told <= 0.0;
        Some(if is_less {
            "less than 0.1 per second".to_owned()
        } else {
            format!("{} per second", number(told))
        })
    }

    /// All errors together.
    pub fn errors_in_all(&self) -> f64 {
        // to sum up nothing would give -0
        self.errors().iter().fold(0.0, |sum, (_, count)| sum + count)
    }

    /// Errors by their code, the most frequent first.
    pub fn errors(&self) -> Vec<(&str, f64)> {
        let mut errors: Vec<_> = self
            .aggregate
            .counters
            .iter()
            .filter_map(|(name, count)| Some((name.strip_prefix("errors.")?, *count)))
            .collect();
        errors.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(b.0)));
        errors
    }
}

impl Stats {
    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.counters.is_empty() && self.rates.is_empty() && self.summaries.is_empty()
    }

    /// When the step begins, in milliseconds of the Unix time.
    pub fn begins(&self) -> Option<f64> {
        match &self.period {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_is_refused_in_words_and_within_bounds() {
        let deep = format!("{{\"aggregate\": {{\"counters\": {}", "[".repeat(100_000));
        let deep_period = format!("{{\"aggregate\": {{\"period\": {}", "[".repeat(100_000));
        for (json, said) in [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("{\"aggregate\": {\"counters\": {\"a\": 1", "EOF while parsing an object"),
            ("[1]", "invalid type: integer `1`, expected struct Stats"),
            ("{}", "missing field `aggregate`"),
            ("{\"aggregate\": {\"counters\": {\"a\": \"1\"}}}", "expected f64 at line 1 column 36"),
            ("{\"aggregate\": {\"counters\": {\"a\": 1e999}}}", "number out of range"),
            (deep.as_str(), "expected a map"),
            (deep_period.as_str(), "recursion limit exceeded at line 1 column"),
            (
                "{\"aggregate\": {}, \"loadtest\": {\"schemaVersion\": 2}}",
                "version 2 (loadtest.schemaVersion), and this program reads version 1",
            ),
            (
                "{\"measured\": [], \"loadtest\": {\"schemaVersion\": 3, \"verdict\": 1}}",
                "version 3 (loadtest.schemaVersion)",
            ),
        ] {
            let error = Document::parse(json.as_bytes()).expect_err(said).to_string();
            assert!(error.contains(said) && error.len() < 300, "{said}: {error}");
        }
        let error = Document::parse(&vec![b' '; MAX_BYTES + 1]).expect_err("refused").to_string();
        assert_eq!(error, "it has 67108865 bytes, and no report has more than 67108864");
        assert!(Document::parse(br#"{"aggregate": {}, "loadtest": {"schemaVersion": 1}}"#).is_ok());
    }
}
