//! The entries of an `ensure` as checks, with JavaScript's conversions where the plugin has them.

use serde_json::Value as Json;

use super::{Check, EnsureError, ExpressionError, MAX_EXPRESSION_BYTES, names};
use crate::javascript;

/// The entries of a list, each with its path.
pub(super) fn list<'a>(value: Option<&'a Json>, path: &str) -> Result<Vec<(String, &'a Json)>, EnsureError> {
    match value {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::Array(entries)) => {
            Ok(entries.iter().enumerate().map(|(i, entry)| (format!("{path}[{i}]"), entry)).collect())
        }
        Some(other) => Err(EnsureError::new(path, format!("a list is expected, not {}", kind(other)))),
    }
}

/// Each metric of a threshold is a check. The plugin takes the first one and passes over the rest; its author meant all.
pub(super) fn thresholds(path: &str, entry: &Json) -> Result<Vec<Check>, EnsureError> {
    let what = "a metric and its bound are expected, such as `http.response_time.p99: 250`";
    let fields = match entry {
        Json::Object(fields) if !fields.is_empty() => fields,
        other => return Err(EnsureError::new(path, format!("{what}, not {}", kind(other)))),
    };
    let check = |(metric, bound): (&String, &Json)| match bound {
        Json::Number(_) | Json::String(_) => {
            let expression = bounded(path, format!("{metric} < {}", text(bound)))?;
            let path = format!("{path}.{metric}");
            Ok(Check {
                path,
                check: expression.clone(),
                strict: true,
                metric: Some(metric.clone()),
                expression,
            })
        }
        other => Err(EnsureError::new(
            format!("{path}.{metric}"),
            format!("a number is expected, not {}", kind(other)),
        )),
    };
    fields.iter().map(check).collect()
}

pub(super) fn condition(path: &str, entry: &Json) -> Result<Check, EnsureError> {
    let expression = match entry.get("expression") {
        Some(Json::String(expression)) if expression.trim().is_empty() => {
            return Err(EnsureError::new(
                format!("{path}.expression"),
                "line 1, column 1: an expression is expected, not the end",
            ));
        }
        Some(Json::String(expression)) => bounded(&format!("{path}.expression"), expression.clone())?,
        None if entry.is_string() => {
            let message = format!("give `expression: {entry}`, not the expression alone");
            return Err(EnsureError::new(path.to_owned(), message));
        }
        other => {
            let what = "an expression in quotes is expected, such as \"http.response_time.p95 < 250 and vusers.failed == 0\"";
            let message = format!("{what}, not {}", other.map_or("nothing", kind));
            return Err(EnsureError::new(format!("{path}.expression"), message));
        }
    };
    // anything else than `false` is strict, as in the plugin
    let strict = entry.get("strict") != Some(&Json::Bool(false));
    Ok(Check {
        path: format!("{path}.expression"),
        check: expression.clone(),
        strict,
        metric: None,
        expression,
    })
}

fn bounded(path: &str, expression: String) -> Result<String, EnsureError> {
    if expression.len() > MAX_EXPRESSION_BYTES {
        let message = format!("at most {MAX_EXPRESSION_BYTES} bytes are expected, not {}", expression.len());
        return Err(EnsureError::new(path, message));
    }
    match expression.char_indices().find(|(_, character)| names::is_reserved(*character)) {
        Some((at, _)) => {
            let error = ExpressionError::new(at, "no character for private use is expected".to_owned());
            Err(EnsureError::new(path, error.in_text(&expression)))
        }
        None => Ok(expression),
    }
}

/// What JavaScript makes a text of.
pub(super) fn text(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        Json::Number(number) => javascript::string(number.as_f64().unwrap_or(f64::NAN)),
        other => other.to_string(),
    }
}

/// What JavaScript makes a number of.
pub(super) fn number(value: &Json) -> f64 {
    match value {
        Json::Null => 0.0,
        Json::Bool(is_true) => f64::from(u8::from(*is_true)),
        Json::Number(number) => number.as_f64().unwrap_or(f64::NAN),
        Json::String(text) => javascript::number(text),
        Json::Array(_) | Json::Object(_) => f64::NAN,
    }
}

pub(super) fn kind(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "true or false",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(fields) if fields.is_empty() => "an empty mapping",
        Json::Object(_) => "a mapping",
    }
}
