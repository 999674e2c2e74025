//! JSON of the user's in a `LoadTest`, kept as text: parsed it takes sixteen times the memory, and every LoadTest is in memory.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// More of it, in bytes of JSON without blanks, is not kept, but counted. Some of it becomes an argument of `artillery run`, and Linux
/// bears no longer one than 128 KiB (`MAX_ARG_STRLEN`).
pub const MAX_JSON: usize = 100 * 1024;

/// A value of a field that is read only when it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// It, without blanks.
    Text(Box<str>),
    /// It was not kept; how many bytes it has.
    TooLarge(usize),
}

/// Why such a value cannot be used; says it behind the name of its field.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// More than is kept.
    #[error("has {0} bytes as JSON: give at most {MAX_JSON}")]
    TooLarge(usize),
    /// It is of another shape.
    #[error("cannot be read: {0}")]
    Shape(String),
}

impl Json {
    /// As the type that it should have.
    ///
    /// # Errors
    /// It is too large, or of another shape.
    pub fn read<'de, T: Deserialize<'de>>(&'de self) -> Result<T, JsonError> {
        match self {
            Self::Text(text) => {
                serde_json::from_str(text).map_err(|error| JsonError::Shape(error.to_string()))
            }
            Self::TooLarge(bytes) => Err(JsonError::TooLarge(*bytes)),
        }
    }

    /// As it is, without blanks.
    ///
    /// # Errors
    /// It is too large.
    pub fn text(&self) -> Result<&str, JsonError> {
        match self {
            Self::Text(text) => Ok(text),
            Self::TooLarge(bytes) => Err(JsonError::TooLarge(*bytes)),
        }
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        let text = value.to_string();
        if text.len() > MAX_JSON { Self::TooLarge(text.len()) } else { Self::Text(text.into()) }
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.read::<Value>().map_err(S::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut kept = Kept::default();
        Write(&mut kept).deserialize(deserializer)?;
        let Kept { text, bytes } = kept;
        Ok(if bytes > MAX_JSON { Self::TooLarge(bytes) } else { Self::Text(text.into()) })
    }
}

/// The beginning of a text, and how long all of it is.
#[derive(Default)]
struct Kept {
    text: String,
    bytes: usize,
}

impl Kept {
    fn push(&mut self, text: &str) {
        self.bytes += text.len();
        if self.bytes <= MAX_JSON {
            self.text.push_str(text);
        }
    }

    fn push_value<E: serde::de::Error>(&mut self, value: impl Serialize) -> Result<(), E> {
        self.push(&serde_json::to_string(&value).map_err(E::custom)?);
        Ok(())
    }
}

/// Writes what it reads, so that no tree of it is ever there.
struct Write<'a>(&'a mut Kept);

impl<'de> DeserializeSeed<'de> for Write<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Write<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.0.push_value(value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.0.push_value(value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.0.push_value(value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.0.push_value(value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.0.push_value(value)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.0.push("null");
        Ok(())
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self(kept) = self;
        kept.push("[");
        let mut separator = "";
        loop {
            let before = kept.bytes;
            kept.push(separator);
            if items.next_element_seed(Write(kept))?.is_none() {
                kept.take_back(before);
                break;
            }
            separator = ",";
        }
        kept.push("]");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self(kept) = self;
        kept.push("{");
        let mut separator = "";
        while let Some(key) = entries.next_key::<String>()? {
            kept.push(separator);
            kept.push_value::<A::Error>(&key)?;
            kept.push(":");
            entries.next_value_seed(Write(kept))?;
            separator = ",";
        }
        kept.push("}");
        Ok(())
    }
}

impl Kept {
    /// Goes back to where it had so many bytes.
    fn take_back(&mut self, bytes: usize) {
        self.bytes = bytes;
        self.text.truncate(bytes);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let values = [
            json!(null),
            json!([]),
            json!({}),
            json!([1, -2, 2.5, "a\"b\n", true, null, [[]], { "a": { "b": [1, 2] }, "": "ü" }]),
        ];
        for value in values {
            let json: Json = serde_json::from_value(value.clone()).expect("JSON");
            assert_eq!(json.text(), Ok(&*value.to_string()));
            assert_eq!(serde_json::from_str::<Json>(&format!(" {value:#} ")).expect("JSON"), json);
            assert_eq!(serde_json::to_value(&json).expect("JSON"), value);
            assert_eq!(json.read::<Value>(), Ok(value));
        }
    }

    #[test]
    fn what_is_too_large_is_counted_but_not_kept() {
        let largest = json!(["x".repeat(MAX_JSON - 4)]);
        let kept: Json = serde_json::from_value(largest).expect("JSON");
        assert_eq!(kept.text().map(str::len), Ok(MAX_JSON));

        let larger = json!({ "list": vec!["x"; MAX_JSON], "last": 1 });
        let dropped: Json = serde_json::from_str(&larger.to_string()).expect("JSON");
        assert_eq!(dropped, Json::TooLarge(larger.to_string().len()));
        assert_eq!(Json::from(larger.clone()), dropped);
        let error = dropped.read::<Value>().expect_err("too large");
        assert_eq!(
            error.to_string(),
            format!("has {} bytes as JSON: give at most 102400", larger.to_string().len())
        );
        assert!(serde_json::to_string(&dropped).is_err(), "what is not there is not written");
    }
}
