//! Which files a script names, in the order in which Artillery merges what says so: the script, the file of `--config`, the environment of
//! both, and `--overrides`.

use serde_json::Value;

use super::{Named, Script};

/// What Artillery adds to a processor's name, as Node does.
pub const PROCESSOR_ENDINGS: &[&str] = &["", ".js", ".cjs", ".mjs", ".ts", "/index.js"];

/// From where a relative path leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The script's folder.
    Script,
    /// The folder of the file of `--config` where it has such a file, otherwise the script's.
    Config,
    /// Where Artillery is started.
    Working,
}

/// A file that a script names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// `payload` or `processor`.
    pub key: &'static str,
    /// Where it is named, such as `config.payload.path`.
    pub what: &'static str,
    /// As it is written there.
    pub path: String,
    /// From where that leads.
    pub base: Base,
}

impl NamedFile {
    /// What Artillery may add to the path, as Node does: the file is there under one of these endings.
    pub fn endings(&self) -> &'static [&'static str] {
        if self.key == "processor" { PROCESSOR_ENDINGS } else { &[""] }
    }

    /// Whether it can be told where the file is: not of a template.
    pub fn is_known(&self) -> bool {
        !self.path.contains("{{")
    }
}

/// A script and all that is merged into it.
#[derive(Clone, Copy, Debug)]
pub struct Merged<'a> {
    /// The script.
    pub script: &'a Script,
    /// The file of `--config`.
    pub config: Option<&'a Script>,
    /// The environment.
    pub environment: Option<&'a str>,
    /// `--overrides`.
    pub overrides: Option<&'a Value>,
}

impl Merged<'_> {
    /// The files that it names.
    pub fn files(&self) -> Vec<NamedFile> {
        let overrides = self.overrides.and_then(|overrides| overrides.get("config"));
        let of_overrides = |key: &str| overrides.and_then(|config| config.get(key));
        let (payload, base) = match (self.of_texts(|named| named.payload.as_ref()), of_overrides("payload")) {
            // only a list takes the place of the list that is there by then
            (_, Some(Value::Array(payloads))) => (payloads.clone(), Base::Working),
            (Value::Array(payloads), None | Some(Value::Object(_))) => (payloads, Base::Script),
            (payload @ Value::Object(_), None | Some(Value::Object(_))) => (vec![payload], Base::Script),
            _ => (Vec::new(), Base::Script),
        };
        let file = |key, what, path: &str, base| NamedFile { key, what, path: path.to_owned(), base };
        let payloads = payload.iter().filter_map(|payload| payload["path"].as_str());
        let mut files: Vec<_> =
            payloads.map(|path| file("payload", "config.payload.path", path, base)).collect();
        let base = if self.config.is_some() { Base::Config } else { Base::Script };
        let of_texts = self.of_texts(|named| named.processor.as_ref());
        let (processor, base) = match of_overrides("processor") {
            Some(processor) => (processor, Base::Script),
            None => (&of_texts, base),
        };
        files.extend(processor.as_str().map(|path| file("processor", "config.processor", path, base)));
        files
    }

    /// What the script and the file of `--config` say together, in the environment.
    fn of_texts(&self, key: impl Fn(&Named) -> Option<&Value>) -> Value {
        let texts = || [Some(self.script), self.config].into_iter().flatten();
        let mut all = Value::Null;
        for value in texts().filter_map(|text| key(&text.config)) {
            merge(&mut all, value);
        }
        let of_environment = |text: &Script| key(text.environments.get(self.environment?)?).cloned();
        let of_environment = texts().filter_map(of_environment).reduce(|mut all, value| {
            merge(&mut all, &value);
            all
        });
        if let Some(value) = of_environment {
            merge(&mut all, &value);
        }
        all
    }
}

/// As lodash's `_.merge` has it: mappings by their keys, lists by index.
fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(into), Value::Array(from)) => {
            for (at, value) in from.iter().enumerate() {
                match into.get_mut(at) {
                    Some(there) => merge(there, value),
                    None => into.push(value.clone()),
                }
            }
        }
        // the keys become properties of the list, which nobody reads
        (Value::Array(_), Value::Object(_)) => {}
        (into, from) => *into = from.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::script::read;

    /// What is named by a script, a file of `--config` and `--overrides`, in the environment `dev`.
    fn named(script: &str, config: Option<&str>, overrides: Value) -> Vec<String> {
        let read = |text: &str| read(&format!("config: {text}")).expect("a script");
        let (script, config) = (read(script), config.map(read));
        let merged = Merged {
            script: &script,
            config: config.as_ref(),
            environment: Some("dev"),
            overrides: Some(&overrides),
        };
        merged.files().iter().map(|file| format!("{} from {:?}", file.path, file.base)).collect()
    }

    #[test]
    fn files_are_named_in_the_order_in_which_artillery_merges() {
        let two = "{payload: [{path: a.csv}, {path: b.csv}], processor: ./a, environments: {dev: {payload: [{path: c.csv}]}}}";
        for (script, config, overrides, wanted) in [
            (
                "{payload: {path: a.csv}, processor: ./a}",
                None,
                json!({}),
                "a.csv from Script, ./a from Script",
            ),
            (two, None, json!({}), "c.csv from Script, b.csv from Script, ./a from Script"),
            // the environments are merged before they are merged into the rest
            (
                two,
                Some(
                    "{payload: [{}, {}, {path: d.csv}], environments: {dev: {payload: [{}, {path: e.csv}]}}}",
                ),
                json!({}),
                "c.csv from Script, e.csv from Script, d.csv from Script, ./a from Config",
            ),
            ("{}", Some("{processor: ./p}"), json!({}), "./p from Config"),
            (
                "{environments: {dev: {processor: ./e}, load: {processor: ./l}}}",
                None,
                json!({}),
                "./e from Script",
            ),
            (
                "{payload: {path: a}, environments: {dev: {payload: {path: b}}}}",
                None,
                json!({}),
                "b from Script",
            ),
            (
                "{payload: {path: a}, environments: {dev: {payload: [{path: b}]}}}",
                None,
                json!({}),
                "b from Script",
            ),
            (
                "{payload: [{path: a}], environments: {dev: {payload: {path: b}}}}",
                None,
                json!({}),
                "a from Script",
            ),
            ("{payload: {path: a}, environments: {dev: {payload: null}}}", None, json!({}), ""),
            // overrides come last: their lists take the place of what is there, and are not resolved any more
            (
                two,
                Some("{}"),
                json!({"config": {"payload": [{"path": "/x.csv"}], "processor": "./o"}}),
                "/x.csv from Working, ./o from Script",
            ),
            ("{payload: {path: a}}", None, json!({"config": {"payload": {"path": "b"}}}), "a from Script"),
            (
                "{payload: {path: a}, processor: ./p}",
                None,
                json!({"config": {"payload": null, "processor": null}}),
                "",
            ),
        ] {
            assert_eq!(named(script, config, overrides).join(", "), wanted, "{script} {config:?}");
        }
    }

    #[test]
    fn what_is_a_template_only_artillery_can_tell() {
        let script = read("config: {payload: [{path: '{{ $env.F }}'}, {path: a.csv}, {fields: [b]}]}")
            .expect("a script");
        let files = script.files(None);
        assert_eq!(files.iter().map(NamedFile::is_known).collect::<Vec<_>>(), [false, true]);
    }
}
