//! What the script, its `--config` file, the environment and the overrides say of one setting, as far as that can be told without Artillery:
//! what only one of them says, or all of them as one value. Lists and mappings of several are merged by Artillery.

use serde_json::Value;

use super::document::{Key, Node};

/// A text that settings come from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its file, as it was named.
    pub file: String,
    /// What is in it.
    pub root: Node,
}

/// All that settings come from.
#[derive(Clone, Debug, Default)]
pub struct Sources<'a> {
    /// The script, and the file of `--config` if there is one.
    pub texts: Vec<&'a Source>,
    /// The environment that is used.
    pub environment: Option<&'a str>,
    /// `--overrides`.
    pub overrides: Option<&'a Value>,
}

/// A setting of a text.
#[derive(Clone, Copy, Debug)]
pub struct Setting<'a> {
    /// The text's file.
    pub file: &'a str,
    /// The key.
    pub key: &'a Key,
    /// The value.
    pub node: &'a Node,
}

/// What is known of a setting.
#[derive(Clone, Debug)]
pub enum Known<'a> {
    /// Nobody says anything.
    Nothing,
    /// It stands there.
    Here(Setting<'a>),
    /// `--overrides` replaces it.
    Overridden(&'a Value),
    /// Artillery merges it of several, of which these are texts.
    Merged(Vec<Setting<'a>>),
}

/// Whether there is a template in a value, which Artillery alone resolves.
pub fn has_template(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("{{"),
        Value::Array(values) => values.iter().any(has_template),
        Value::Object(fields) => fields.iter().any(|(key, value)| key.contains("{{") || has_template(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

impl<'a> Sources<'a> {
    /// What says so at the top of a text: the last one that does.
    pub fn top(&self, key: &str) -> Option<Setting<'a>> {
        let at = |source: &&'a Source| setting(&source.file, &source.root, key);
        self.texts.iter().rev().find_map(at)
    }

    /// Whether `--overrides` has that at its top.
    pub fn overrides_top(&self, key: &str) -> bool {
        self.overrides.is_some_and(|overrides| overrides.get(key).is_some())
    }

    /// What all texts say of a key of `config`, in the order in which Artillery merges them.
    pub fn all(&self, key: &str) -> Vec<Setting<'a>> {
        let config = |source: &&'a Source| setting(&source.file, source.root.get("config")?, key);
        let of_environment = |source: &&'a Source| {
            let environments = source.root.get("config")?.get("environments")?;
            setting(&source.file, environments.get(self.environment?)?, key)
        };
        self.texts.iter().filter_map(config).chain(self.texts.iter().filter_map(of_environment)).collect()
    }

    /// What is known of a key of `config`.
    pub fn find(&self, key: &str) -> Known<'a> {
        let mut all = self.all(key);
        if let Some(value) = self.overrides.and_then(|overrides| overrides.get("config")?.get(key)) {
            // a list replaces what is there, a mapping does not
            if !value.is_object() || all.is_empty() {
                return Known::Overridden(value);
            }
            return Known::Merged(all);
        }
        let Some(last) = all.last().copied() else { return Known::Nothing };
        if last.node.is_scalar() || all.iter().rev().skip(1).all(|earlier| earlier.node.is_scalar()) {
            return Known::Here(last);
        }
        all.sort_by_key(|setting| setting.node.at);
        Known::Merged(all)
    }

    /// The names of all environments, in order.
    pub fn environments(&self) -> Vec<&'a str> {
        let all = self.texts.iter().filter_map(|source| source.root.get("config")?.get("environments"));
        let mut names: Vec<_> =
            all.flat_map(|node| node.entries().iter().map(|(key, _)| key.text.as_str())).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

fn setting<'a>(file: &'a str, node: &'a Node, key: &str) -> Option<Setting<'a>> {
    let (key, node) = node.entry(key)?;
    Some(Setting { file, key, node })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::document::read;

    #[test]
    fn a_setting_is_known_where_nothing_has_to_be_merged() {
        let source =
            |file: &str, text: &str| Source { file: file.to_owned(), root: read(text).expect("a tree") };
        let script = source(
            "s.yaml",
            "config: {target: a, phases: [{pause: 1}], environments: {dev: {target: b, phases: [{pause: 2}], payload: [{path: d}]}, load: {}}}",
        );
        let more = source("c.yaml", "config: {processor: ./p, environments: {more: {}}}");
        let overrides = json!({"config": {"phases": [], "plugins": {"ensure": {}}}});
        let of = |environment, overrides, key: &str| {
            let sources = Sources { texts: vec![&script, &more], environment, overrides };
            match sources.find(key) {
                Known::Nothing => "nothing".to_owned(),
                Known::Here(Setting { file, node, .. }) => format!("{file}: {}", node.json()),
                Known::Overridden(value) => format!("overridden: {value}"),
                Known::Merged(all) => format!("merged of {}", all.len()),
            }
        };
        for (environment, overrides, key, wanted) in [
            (None, None, "target", "s.yaml: \"a\""),
            (Some("dev"), None, "target", "s.yaml: \"b\""),
            (None, None, "phases", "s.yaml: [{\"pause\":1}]"),
            (Some("load"), None, "phases", "s.yaml: [{\"pause\":1}]"),
            (Some("dev"), None, "phases", "merged of 2"),
            (Some("dev"), Some(&overrides), "phases", "overridden: []"),
            (Some("dev"), None, "payload", "s.yaml: [{\"path\":\"d\"}]"),
            (None, None, "payload", "nothing"),
            (None, None, "processor", "c.yaml: \"./p\""),
            (None, Some(&overrides), "plugins", "overridden: {\"ensure\":{}}"),
        ] {
            assert_eq!(of(environment, overrides, key), wanted, "{key} in {environment:?}");
        }
        let sources = Sources { texts: vec![&script, &more], ..Sources::default() };
        assert_eq!(sources.environments(), ["dev", "load", "more"]);
    }
}
