//! Keys that stand twice in one mapping: Artillery refuses a script that has one.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

/// The first key that stands twice in one mapping, anywhere in a value, and the line of the second one.
#[derive(Debug, Default)]
pub(super) struct Repeated(pub Option<(String, u64)>);

impl<'de> Deserialize<'de> for Repeated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

/// Looks through a value, of which nothing but the keys of the mappings that it is in is kept.
struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Repeated;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Repeated, E> {
        Ok(Repeated(None))
    }

    fn visit_none<E>(self) -> Result<Repeated, E> {
        Ok(Repeated(None))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Repeated, D::Error> {
        Repeated::deserialize(deserializer)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Repeated, E> {
        Ok(Repeated(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Repeated, E> {
        Ok(Repeated(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Repeated, E> {
        Ok(Repeated(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Repeated, E> {
        Ok(Repeated(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Repeated, E> {
        Ok(Repeated(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Repeated, A::Error> {
        let mut found = None;
        while let Some(Repeated(within)) = list.next_element()? {
            found = found.or(within);
        }
        Ok(Repeated(found))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Repeated, A::Error> {
        let (mut found, mut seen) = (None, HashSet::new());
        while let Some(Spanned { value: key, referenced, .. }) = map.next_key::<Spanned<String>>()? {
            let is_repeated = seen.contains(&key);
            if is_repeated {
                found = found.or_else(|| Some((key, referenced.line())));
            } else {
                seen.insert(key);
            }
            let Repeated(within) = map.next_value()?;
            found = found.or(within);
        }
        Ok(Repeated(found))
    }
}
