//! A script's text as a tree in which everything knows its line and column, so that what is wrong is shown where it stands.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use serde_saphyr::{Location, Spanned};

/// Where something stands: line and column, from 1 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

impl Place {
    /// Where a text begins.
    pub const START: Self = Self { line: 1, column: 1 };
}

impl From<Location> for Place {
    fn from(location: Location) -> Self {
        Self { line: location.line().max(1), column: location.column().max(1) }
    }
}

/// A value, and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it is.
    pub at: Place,
    /// What it is.
    pub content: Content,
}

/// What a value is.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Neither a list nor a mapping.
    Scalar(Value),
    /// A list.
    List(Vec<Node>),
    /// A mapping, in its order; a key may be there twice.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Where it is.
    pub at: Place,
    /// What it is.
    pub text: String,
}

impl Node {
    /// The value of a key, and the key: the last one, where there are several.
    pub fn entry(&self, key: &str) -> Option<(&Key, &Self)> {
        let (key, node) = self.entries().iter().rev().find(|(there, _)| there.text == key)?;
        Some((key, node))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        Some(self.entry(key)?.1)
    }

    /// All keys of a mapping; none of anything else.
    pub fn entries(&self) -> &[(Key, Self)] {
        match &self.content {
            Content::Map(entries) => entries,
            Content::Scalar(_) | Content::List(_) => &[],
        }
    }

    /// The entries of a list; none of anything else.
    pub fn list(&self) -> Option<&[Self]> {
        match &self.content {
            Content::List(nodes) => Some(nodes),
            Content::Scalar(_) | Content::Map(_) => None,
        }
    }

    /// Whether it is a mapping.
    pub fn is_map(&self) -> bool {
        matches!(self.content, Content::Map(_))
    }

    /// Whether it is neither a list nor a mapping.
    pub fn is_scalar(&self) -> bool {
        matches!(self.content, Content::Scalar(_))
    }

    /// Whether it is nothing.
    pub fn is_null(&self) -> bool {
        self.content == Content::Scalar(Value::Null)
    }

    /// A text.
    pub fn text(&self) -> Option<&str> {
        match &self.content {
            Content::Scalar(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    /// Without the places.
    pub fn json(&self) -> Value {
        match &self.content {
            Content::Scalar(value) => value.clone(),
            Content::List(nodes) => nodes.iter().map(Self::json).collect(),
            Content::Map(entries) => Value::Object(
                entries.iter().map(|(key, node)| (key.text.clone(), node.json())).collect::<Map<_, _>>(),
            ),
        }
    }

    /// Keys that stand twice in one mapping, anywhere in it: the second ones.
    pub fn repeated_keys(&self) -> Vec<&Key> {
        let mut repeated = Vec::new();
        let mut rest = vec![self];
        while let Some(node) = rest.pop() {
            let mut seen = std::collections::HashSet::new();
            for (key, value) in node.entries() {
                if !seen.insert(key.text.as_str()) {
                    repeated.push(key);
                }
                rest.push(value);
            }
            rest.extend(node.list().into_iter().flatten());
        }
        repeated.sort_by_key(|key| key.at);
        // what an alias stands for is seen again
        repeated.dedup();
        repeated
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Spanned { value, referenced, .. } = Spanned::<Content>::deserialize(deserializer)?;
        Ok(Self { at: referenced.into(), content: value })
    }
}

impl<'de> Deserialize<'de> for Content {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ContentVisitor)
    }
}

struct ContentVisitor;

impl<'de> Visitor<'de> for ContentVisitor {
    type Value = Content;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_none<E>(self) -> Result<Content, E> {
        Ok(Content::Scalar(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Content, D::Error> {
        Content::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Content, E> {
        // as JSON has it, and so what is told of a script
        Ok(Content::Scalar(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Content, E> {
        Ok(Content::Scalar(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Content, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = list.next_element()? {
            nodes.push(node);
        }
        Ok(Content::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Content, A::Error> {
        let mut entries = Vec::new();
        while let Some(Spanned { value: text, referenced, .. }) = map.next_key::<Spanned<String>>()? {
            entries.push((Key { at: referenced.into(), text }, map.next_value()?));
        }
        Ok(Content::Map(entries))
    }
}

/// Reads a text, within the bounds of a script.
///
/// # Errors
/// It is no YAML that Artillery could read: why, and where.
pub fn read(text: &str) -> Result<Node, (Place, String)> {
    let read: Result<Option<Node>, _> = loadtest::script::parse(text);
    match read {
        Ok(Some(node)) => Ok(node),
        Ok(None) => Err((Place::START, "it is empty".to_owned())),
        Err(error) => Err((error.location().map_or(Place::START, Place::from), error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn everything_knows_its_place() {
        let text = "config:\n  target: http://a\n  phases:\n    - {duration: 5, arrivalRate: 1.5}\n    - pause: 1m\n";
        let node = read(text).expect("a tree");
        let config = node.get("config").expect("config");
        let (key, phases) = config.entry("phases").expect("phases");
        assert_eq!(key.at, Place { line: 3, column: 3 });
        let (key, duration) = phases.list().expect("a list")[0].entry("duration").expect("a duration");
        assert_eq!((key.at.column, duration.at), (8, Place { line: 4, column: 18 }));
        assert_eq!(phases.json(), json!([{"duration": 5, "arrivalRate": 1.5}, {"pause": "1m"}]));
        assert_eq!(phases.list().expect("a list")[1].at, Place { line: 5, column: 7 });
    }

    #[test]
    fn what_is_repeated_is_found_and_what_is_merged_is_not_repeated() {
        let node = read("a: {x: 1}\nb:\n  - y: 1\n    z: 1\n    y: 2\na: 2\n").expect("a tree");
        let repeated = node.repeated_keys().into_iter().map(|key| (key.text.as_str(), key.at.line));
        assert_eq!(repeated.collect::<Vec<_>>(), [("y", 5), ("a", 6)]);
        assert_eq!(node.get("a").map(Node::json), Some(json!(2)), "the last one counts");
        let node = read("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: [*a]\n").expect("a tree");
        assert_eq!(node.repeated_keys(), Vec::<&Key>::new());
        assert_eq!(
            node.json(),
            json!({"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}, "c": [{"x": 1, "y": 2}]})
        );
    }

    #[test]
    fn what_is_no_yaml_has_a_place_too() {
        let (place, why) = read("config:\n  target: [a\nscenarios: x").expect_err("an error");
        assert_eq!(place.line, 3, "{why}");
        let (place, _) = read("config:\n\ttarget: a").expect_err("an error");
        assert_eq!(place.line, 2);
        assert_eq!(read("# nothing\n"), Err((Place::START, "it is empty".to_owned())));
    }
}
