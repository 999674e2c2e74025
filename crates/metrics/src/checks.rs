//! Checks: the script's `ensure` as Artillery's own plugin reads and evaluates it, on what all workers measured together.
//!
//! The way of an expression: `names` (which metrics it names) → `tokens` → `program` → `run`, with `value` for JavaScript's conversions.
//! What the plugin would pass over in silence is an error here: a gate that nobody closes must not look like one.

mod entries;
mod keys;
mod names;
mod program;
mod run;
mod tokens;
mod value;

use serde::Serialize;
use serde_json::Value as Json;

use self::entries::{condition, kind, list, number, text, thresholds};
use self::keys::Unknown;
use self::names::Named;
use self::program::Program;
use self::run::run;
use self::tokens::tokens;
use self::value::Value;
use crate::aggregate::{Measured, Measurers};
use crate::javascript;
use crate::summary::Figures;

/// No script has more checks.
pub const MAX_CHECKS: usize = 500;
/// Nor more patterns in all of them, each of which is compiled.
const MAX_PATTERNS: usize = 100;
/// No expression is longer, in bytes.
pub const MAX_EXPRESSION_BYTES: usize = 4096;
/// No expression has more expressions in each other.
pub const MAX_DEPTH: usize = 64;

/// The checks of a script.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ensure {
    checks: Vec<Check>,
    /// Keys that Artillery's plugin does not know.
    unknown: Vec<Unknown>,
}

/// A check that can be evaluated once everything was measured.
#[derive(Clone, Debug, PartialEq)]
struct Check {
    /// Where it is in the script.
    path: String,
    /// As Artillery prints it.
    check: String,
    strict: bool,
    /// The one metric that it is about, where the script says so.
    metric: Option<String>,
    expression: String,
}

/// What came of a check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckResult {
    /// The check, as Artillery prints it.
    pub check: String,
    /// Whether it holds.
    pub passed: bool,
    /// Whether the test fails where it does not hold; `false` is Artillery's "(optional)".
    pub strict: bool,
    /// What the metrics that it names were, or why it could not be evaluated.
    pub actual: String,
}

/// Why an `ensure` cannot be read.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
#[error("{path}: {message}")]
pub struct EnsureError {
    /// The field, such as `ensure.thresholds[0]`.
    pub path: String,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// Why an expression cannot be evaluated, and where.
#[derive(Clone, Debug, PartialEq)]
struct ExpressionError {
    /// In bytes of the expression.
    at: usize,
    message: String,
}

impl ExpressionError {
    fn new(at: usize, message: String) -> Self {
        Self { at, message }
    }

    /// With line and column, from 1 on, in characters.
    fn in_text(&self, expression: &str) -> String {
        let before = expression.get(..self.at).unwrap_or(expression);
        let line = before.lines().count().max(1) + usize::from(before.ends_with('\n'));
        let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
        format!("line {line}, column {column}: {}", self.message)
    }
}

impl EnsureError {
    fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// The failed check that stands for an `ensure` which cannot be read.
    pub fn as_check(&self) -> CheckResult {
        let Self { path, message } = self;
        CheckResult { check: path.clone(), passed: false, strict: true, actual: message.clone() }
    }
}

impl Ensure {
    /// Reads what is at `config.ensure` or `config.plugins.ensure`: `thresholds`, `conditions`, and the older `min`, `max`, `median`, `p95`,
    /// `p99` and `maxErrorRate`. Other keys are no checks: one that is meant as one fails, others are told before the test ([`Ensure::doubts`]).
    ///
    /// Whether an expression can be evaluated shows only with the names that were measured, for anything may be in a name. Here it is
    /// refused where no name can save it: too long, empty, or not a text.
    ///
    /// # Errors
    /// Something is no check that Artillery's plugin evaluates: it would pass over it in silence, or pass over all of them.
    pub fn read(ensure: &Json) -> Result<Self, EnsureError> {
        let fields = match ensure {
            Json::Null | Json::Bool(_) => return Ok(Self::default()),
            Json::Object(fields) => fields,
            other => {
                let message =
                    format!("a mapping with thresholds or conditions is expected, not {}", kind(other));
                return Err(EnsureError::new("ensure", message));
            }
        };
        let mut checks = Vec::new();
        for (path, entry) in list(fields.get("thresholds"), "ensure.thresholds")? {
            checks.extend(thresholds(&path, entry)?);
        }
        for (path, entry) in list(fields.get("conditions"), "ensure.conditions")? {
            checks.push(condition(&path, entry)?);
        }
        for key in ["min", "max", "median", "p95", "p99"] {
            let Some(most) = fields.get(key) else { continue };
            let most = javascript::string(javascript::parse_int(&text(most)));
            let metric = format!("http.response_time.{key}");
            let expression = format!("{metric} < {most}");
            let check = format!("{key} < {most}");
            checks.push(Check {
                path: format!("ensure.{key}"),
                check,
                strict: true,
                metric: Some(metric),
                expression,
            });
        }
        if let Some(most) = fields.get("maxErrorRate") {
            let most = javascript::string(number(most));
            let expression = format!("((vusers.created - vusers.completed)/vusers.created * 100) <= {most}");
            let check = format!("maxErrorRate < {most}");
            checks.push(Check {
                path: "ensure.maxErrorRate".to_owned(),
                check,
                strict: true,
                metric: None,
                expression,
            });
        }
        let unknown = keys::unknown(fields);
        let count = checks.len() + unknown.len();
        if count > MAX_CHECKS {
            let message = format!("at most {MAX_CHECKS} checks are expected, not {count}");
            return Err(EnsureError::new("ensure", message));
        }
        let patterns: usize = checks.iter().map(|check| check.expression.matches("~=").count()).sum();
        if patterns > MAX_PATTERNS {
            let message = format!("at most {MAX_PATTERNS} patterns (`~=`) are expected, not {patterns}");
            return Err(EnsureError::new("ensure", message));
        }
        Ok(Self { checks, unknown })
    }

    /// The checks of an `ensure` as a script has it, before Artillery has resolved it; `None` where it has templates, of which nothing can
    /// be told yet.
    ///
    /// # Errors
    /// It cannot be read, or one of its checks can never hold.
    pub fn as_written(ensure: &Json) -> Result<Option<Self>, EnsureError> {
        if reads_templates(ensure) {
            return Ok(None);
        }
        let read = Self::read(ensure)?;
        match read.errors().into_iter().next() {
            Some(error) => Err(error),
            None => Ok(Some(read)),
        }
    }

    /// Whether there is no check.
    pub fn is_empty(&self) -> bool {
        self.checks.is_empty()
    }

    /// How many checks there are.
    pub fn len(&self) -> usize {
        self.checks.len()
    }

    /// What is wrong whatever the names of metrics are: keys that are nearly those of checks, expressions that end too early, or thresholds
    /// whose value begins as a number and is none. Such a check fails always.
    pub fn errors(&self) -> Vec<EnsureError> {
        let meant = self.unknown.iter().filter(|key| key.is_meant).map(|key| key.error.clone());
        let wrong = self.wrong(|check, expression, error| {
            let value = expression.rsplit_once("< ").map_or("", |(_, value)| value);
            let is_number = check.metric.is_some() && value.starts_with(|c: char| c.is_ascii_digit());
            is_number || error.at >= expression.trim_end().len()
        });
        meant.chain(wrong).collect()
    }

    /// What is worth a warning before the test, which it may pass nevertheless: what is wrong with expressions, unless it is part of the
    /// name of a metric, and keys that are no checks. Has the [`Ensure::errors`] too.
    pub fn doubts(&self) -> Vec<EnsureError> {
        let fails = |error: EnsureError| {
            let message =
                format!("{}: such a check fails, unless that is part of the name of a metric", error.message);
            EnsureError { message, ..error }
        };
        let unknown = self.unknown.iter().map(|key| key.error.clone());
        unknown.chain(self.wrong(|_, _, _| true).into_iter().map(fails)).collect()
    }

    fn wrong(&self, is_meant: impl Fn(&Check, &str, &ExpressionError) -> bool) -> Vec<EnsureError> {
        let doubt = |check: &Check| {
            // whatever is in the name of a threshold, it is meant
            let expression = match &check.metric {
                Some(metric) => check.expression.replacen(metric.as_str(), "metric", 1),
                None => check.expression.clone(),
            };
            let named = Named::of(&expression, &Figures::default());
            let error =
                program(&named, &expression).err().filter(|error| is_meant(check, &expression, error))?;
            Some(EnsureError::new(&check.path, error.in_text(&expression)))
        };
        self.checks.iter().filter_map(doubt).collect()
    }

    /// What comes of the checks, in the order of the script. As in Artillery they read what its summary shows: figures of
    /// distributions to one decimal, and rates to the nearest whole number. One whose metric was not measured does not hold, and a key that
    /// is meant as a check does not either. Of any other key nothing comes: it checks nothing.
    pub fn evaluate(&self, measured: &Measured, by: Measurers) -> Vec<CheckResult> {
        let figures = Figures::of(measured, by);
        let meant = self.unknown.iter().filter(|key| key.is_meant).map(|key| key.error.as_check());
        self.checks.iter().map(|check| check.evaluate(&figures)).chain(meant).collect()
    }
}

impl Check {
    fn evaluate(&self, figures: &Figures) -> CheckResult {
        let Self { check, strict, metric, expression, .. } = self;
        let named = Named::of(expression, figures);
        let program = program(&named, expression);
        let result = match &program {
            Ok(program) => run(&program.steps, &named.metrics),
            Err(error) => Err(error.in_text(expression)),
        };
        let passed = result == Ok(Value::Number(1.0));
        let found = named.found();
        // what is left of a name that was not measured says nothing
        let is_unmeasured = |metric: &&String| match program {
            Ok(_) => found.is_empty(),
            Err(_) => !found.contains_key(metric.as_str()),
        };
        let mut actual: Vec<_> =
            found.iter().map(|(name, value)| format!("{name} = {}", javascript::string(*value))).collect();
        match (metric.as_ref().filter(is_unmeasured), &program) {
            (Some(metric), _) => actual = vec![format!("{metric} was not measured")],
            (_, Ok(program)) => {
                actual.extend(program.unmeasured.iter().map(|name| format!("{name} was not measured")));
                actual.extend(result.err());
            }
            (_, Err(_)) => actual.extend(result.err()),
        }
        CheckResult { check: check.clone(), passed, strict: *strict, actual: actual.join(", ") }
    }
}

fn program(named: &Named, expression: &str) -> Result<Program, ExpressionError> {
    tokens(&named.characters, expression.len()).and_then(|tokens| Program::of(&tokens))
}

/// Whether an `ensure` has templates, `{{ … }}`: then it can be read only once Artillery has resolved them.
pub fn reads_templates(ensure: &Json) -> bool {
    let has_template = |text: &str| text.split_once("{{").is_some_and(|(_, rest)| rest.contains("}}"));
    let mut rest = vec![ensure];
    while let Some(value) = rest.pop() {
        match value {
            Json::String(text) if has_template(text) => return true,
            Json::Array(values) => rest.extend(values),
            Json::Object(fields) if fields.keys().any(|key| has_template(key)) => return true,
            Json::Object(fields) => rest.extend(fields.values()),
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests;
