//! The values of an expression, with JavaScript's conversions, for that is what Artillery evaluates expressions in.

use std::cmp::Ordering;

use crate::javascript;

/// A value. There are no truth values: comparisons give 1 or 0.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Number(f64),
    Text(String),
    Array(Vec<Value>),
    /// What a metric that was not measured has.
    Undefined,
}

impl From<bool> for Value {
    fn from(is_true: bool) -> Self {
        Self::Number(f64::from(u8::from(is_true)))
    }
}

impl Value {
    pub fn number(&self) -> f64 {
        match self {
            Self::Number(number) => *number,
            Self::Text(text) => javascript::number(text),
            Self::Array(_) => javascript::number(&self.text()),
            Self::Undefined => f64::NAN,
        }
    }

    pub fn text(&self) -> String {
        match self {
            Self::Number(number) => javascript::string(*number),
            Self::Text(text) => text.clone(),
            Self::Array(values) => {
                let text =
                    |value: &Self| if *value == Self::Undefined { String::new() } else { value.text() };
                values.iter().map(text).collect::<Vec<_>>().join(",")
            }
            Self::Undefined => "undefined".to_owned(),
        }
    }

    pub fn is_true(&self) -> bool {
        match self {
            Self::Number(number) => *number != 0.0 && !number.is_nan(),
            Self::Text(text) => !text.is_empty(),
            Self::Array(_) => true,
            Self::Undefined => false,
        }
    }

    /// `+`: of texts and arrays their texts, one after the other.
    pub fn plus(&self, other: &Self) -> Self {
        let is_text = |value: &Self| matches!(value, Self::Text(_) | Self::Array(_));
        if is_text(self) || is_text(other) {
            Self::Text(self.text() + &other.text())
        } else {
            Self::Number(self.number() + other.number())
        }
    }

    /// Which comes first; `None` where neither does: what is no number compares with nothing.
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        let is_text = |value: &Self| matches!(value, Self::Text(_) | Self::Array(_));
        if is_text(self) && is_text(other) {
            Some(self.text().encode_utf16().cmp(other.text().encode_utf16()))
        } else {
            self.number().partial_cmp(&other.number())
        }
    }

    /// `==`.
    pub fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Undefined, Self::Undefined) => true,
            // no two arrays are the same one
            (Self::Undefined, _) | (_, Self::Undefined) | (Self::Array(_), Self::Array(_)) => false,
            (Self::Number(_), _) | (_, Self::Number(_)) => self.number() == other.number(),
            _ => self.text() == other.text(),
        }
    }

    /// Whether this, or each of these, is among others, or is the other one.
    pub fn is_subset_of(&self, other: &Self) -> bool {
        let values = |value: &Self| match value {
            Self::Array(values) => values.clone(),
            value => vec![value.clone()],
        };
        let others = values(other);
        let is_same = |a: &Self, b: &Self| match (a, b) {
            (Self::Number(a), Self::Number(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Self::Array(_), _) => false,
            (a, b) => a == b,
        };
        values(self).iter().all(|value| others.iter().any(|other| is_same(value, other)))
    }

    /// What it has under that name: texts and arrays have a length, and parts by their numbers; the empty text has nothing.
    pub fn property(&self, name: &str) -> Self {
        let index = name.parse::<usize>().ok().filter(|index| index.to_string() == name);
        #[allow(clippy::cast_precision_loss, reason = "expressions are short")]
        match (self, index) {
            (Self::Text(text), _) if text.is_empty() => Self::Undefined,
            (Self::Text(text), _) if name == "length" => Self::Number(text.encode_utf16().count() as f64),
            (Self::Array(values), _) if name == "length" => Self::Number(values.len() as f64),
            (Self::Text(text), Some(index)) => match text.encode_utf16().nth(index) {
                Some(unit) => Self::Text(String::from_utf16_lossy(&[unit])),
                None => Self::Undefined,
            },
            (Self::Array(values), Some(index)) => values.get(index).cloned().unwrap_or(Self::Undefined),
            _ => Self::Undefined,
        }
    }
}
