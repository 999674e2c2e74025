//! JSON of the user's in a `LoadTest`, kept as text: parsed it takes sixteen times the memory, and every LoadTest is in memory.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// More of it, in bytes of JSON without blanks, is not kept, but counted. Some of it becomes an argument of `artillery run`, and Linux
/// bears no longer one than 128 KiB (`MAX_ARG_STRLEN`).
pub const MAX_JSON: usize = 100 * 1024;
/// What is nested deeper, in levels, is not kept. The API server takes 10,000 levels, `serde_json` reads 128 of a whole answer: one
/// deep value would hide all LoadTests of a list.
pub const MAX_LEVELS: usize = 100;

/// A value of a field that is read only when it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// It, without blanks.
    Text(Box<str>),
    /// It was not kept; how many bytes it has.
    TooLarge(usize),
    /// It was not kept: it is nested deeper than [`MAX_LEVELS`].
    TooDeep,
}

/// Why such a value cannot be used; says it behind the name of its field.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum JsonError {
    /// More than is kept.
    #[error("has {0} bytes as JSON: give at most {MAX_JSON}")]
    TooLarge(usize),
    /// Lists and objects in each other beyond what is read.
    #[error("is nested deeper than {MAX_LEVELS} levels")]
    TooDeep,
    /// It is of another shape.
    #[error("cannot be read: {0}")]
    Shape(String),
}

impl Json {
    /// As the type that it should have.
    ///
    /// # Errors
    /// It is too large, too deep, or of another shape.
    pub fn read<'de, T: Deserialize<'de>>(&'de self) -> Result<T, JsonError> {
        match self {
            Self::Text(text) => {
                serde_json::from_str(text).map_err(|error| JsonError::Shape(error.to_string()))
            }
            Self::TooLarge(bytes) => Err(JsonError::TooLarge(*bytes)),
            Self::TooDeep => Err(JsonError::TooDeep),
        }
    }

    /// As it is, without blanks.
    ///
    /// # Errors
    /// It is too large, or too deep.
    pub fn text(&self) -> Result<&str, JsonError> {
        match self {
            Self::Text(text) => Ok(text),
            Self::TooLarge(bytes) => Err(JsonError::TooLarge(*bytes)),
            Self::TooDeep => Err(JsonError::TooDeep),
        }
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        if is_deeper(&value, MAX_LEVELS) {
            return Self::TooDeep;
        }
        let text = value.to_string();
        if text.len() > MAX_JSON { Self::TooLarge(text.len()) } else { Self::Text(text.into()) }
    }
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    let inner = |value| is_deeper(value, levels - 1);
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(inner),
        Value::Object(fields) => levels == 0 || fields.values().any(inner),
        _ => false,
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
        Write { kept: &mut kept, levels: MAX_LEVELS }.deserialize(deserializer)?;
        let Kept { text, bytes, is_too_deep } = kept;
        if is_too_deep {
            return Ok(Self::TooDeep);
        }
        Ok(if bytes > MAX_JSON { Self::TooLarge(bytes) } else { Self::Text(text.into()) })
    }
}

/// The beginning of a text, and how long all of it is.
#[derive(Default)]
struct Kept {
    text: String,
    bytes: usize,
    is_too_deep: bool,
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
struct Write<'a> {
    kept: &'a mut Kept,
    /// How many more levels are read.
    levels: usize,
}

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
        self.kept.push_value(value)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.kept.push_value(value)
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.kept.push_value(value)
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<(), E> {
        self.kept.push_value(value)
    }

    fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<(), E> {
        self.kept.push_value(value)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.kept.push("null");
        Ok(())
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<(), E> {
        self.visit_unit()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { kept, levels } = self;
        let Some(levels) = levels.checked_sub(1) else {
            kept.is_too_deep = true;
            // serde_json skips without recursion, and without a limit
            while items.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        kept.push("[");
        let mut separator = "";
        loop {
            let before = kept.bytes;
            kept.push(separator);
            if items.next_element_seed(Write { kept: &mut *kept, levels })?.is_none() {
                kept.take_back(before);
                break;
            }
            separator = ",";
        }
        kept.push("]");
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self { kept, levels } = self;
        let Some(levels) = levels.checked_sub(1) else {
            kept.is_too_deep = true;
            while entries.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        kept.push("{");
        let mut separator = "";
        while let Some(key) = entries.next_key::<String>()? {
            kept.push(separator);
            kept.push_value::<A::Error>(&key)?;
            kept.push(":");
            entries.next_value_seed(Write { kept: &mut *kept, levels })?;
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

    #[test]
    fn what_is_nested_too_deep_is_skipped() {
        let nested = |open: &str, close: &str, levels: usize| {
            let text = format!("{}0{}", open.repeat(levels), close.repeat(levels));
            serde_json::from_str::<Json>(&text).expect("JSON")
        };
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deepest = nested(open, close, MAX_LEVELS);
            let value = deepest.read::<Value>().expect("it is kept");
            assert_eq!(Json::from(value.clone()), deepest);
            assert_eq!(Json::from(json!([value])), Json::TooDeep);
            for levels in [MAX_LEVELS + 1, 10_000] {
                assert_eq!(nested(open, close, levels), Json::TooDeep);
            }
        }
        let beside = format!("[{}{}, 1, {{}}]", "[".repeat(5_000), "]".repeat(5_000));
        let json: Json = serde_json::from_str(&beside).expect("JSON");
        let error = json.text().expect_err("too deep");
        assert_eq!(error.to_string(), "is nested deeper than 100 levels");
    }
}
