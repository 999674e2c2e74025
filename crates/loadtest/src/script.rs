//! The test script as far as we read it: that it is YAML, what it wants checked, and which files it names. Artillery resolves the rest, and tells.

mod files;
mod repeated;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::options::DuplicateKeyPolicy;

use self::repeated::Repeated;
pub use files::{Base, Merged, NamedFile, PROCESSOR_ENDINGS};

/// No script is larger, in bytes: a ConfigMap holds no more.
pub const MAX_BYTES: usize = 1 << 20;
/// What is worth a warning where [`Script::has_idle_checks`].
pub const IDLE_CHECKS: &str = "config.ensure is not looked at, for config.plugins does not name ensure: nothing is checked; give `plugins: {ensure: {}}` too";
/// No more of a key is told, in characters.
const MAX_KEY: usize = 100;
/// No script is nested deeper: each level takes some 20 KB of stack in a build for tests, and a thread has 2 MB.
pub const MAX_DEPTH: usize = 64;

/// What is read of a script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// What Artillery's ensure plugin would check, as it is written: the environment may say otherwise. It is not loaded where
    /// `config.plugins` does not name it, and prefers `config.ensure` to its own settings.
    pub ensure: Option<Value>,
    /// Whether there is a `config.ensure` that nobody looks at, for want of the plugin, in the environments too: [`IDLE_CHECKS`].
    pub has_idle_checks: bool,
    config: Named,
    /// By the environment's name.
    environments: BTreeMap<String, Named>,
}

/// Whether Artillery takes a script of that name: it refuses other endings as unknown file types.
pub fn is_script(name: &str) -> bool {
    has_ending(name, &["yaml", "yml", "json", "js", "ts"])
}

/// Whether Artillery runs a script of that name as a program, instead of reading it as YAML.
pub fn is_program(name: &str) -> bool {
    has_ending(name, &["ts", "js", "mjs", "cjs"])
}

/// Whether a name ends so, in whatever case: Artillery compares the endings of scripts in lower case.
pub(crate) fn has_ending(name: &str, endings: &[&str]) -> bool {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_lowercase());
    ending.is_some_and(|ending| endings.contains(&ending.as_str()))
}

/// A relative path in its shortest form; `None` if it leads upwards.
pub fn below(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// What names files in a `config`, or in one of its environments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Named {
    payload: Option<Value>,
    processor: Option<Value>,
}

impl Script {
    /// The names of its environments, in order.
    pub fn environments(&self) -> impl Iterator<Item = &str> {
        self.environments.keys().map(String::as_str)
    }

    /// The files that it names by itself, in that environment.
    pub fn files(&self, environment: Option<&str>) -> Vec<NamedFile> {
        Merged { script: self, config: None, environment, overrides: None }.files()
    }
}

#[derive(Deserialize, Default)]
struct Root {
    #[serde(default)]
    config: Option<Config>,
}

#[derive(Deserialize, Default)]
struct Config {
    #[serde(default)]
    payload: Option<Value>,
    #[serde(default)]
    processor: Option<Value>,
    #[serde(default)]
    environments: Option<Value>,
    #[serde(default)]
    ensure: Option<Value>,
    #[serde(default)]
    plugins: Option<BTreeMap<String, Value>>,
}

/// Reads a script as whatever type, within the bounds of what Artillery could read.
///
/// # Errors
/// It is no such YAML, or not of that type; where, by line and column.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, serde_saphyr::Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            max_documents: 1,
            // many requests may share one anchor; what is repeated without end is refused by how much it comes to
            enforce_alias_anchor_ratio: false,
        },
        duplicate_keys: DuplicateKeyPolicy::LastWins,
        strict_booleans: true,
        legacy_octal_numbers: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options)
}

/// Reads a script.
///
/// # Errors
/// It is no YAML that Artillery could read; where, by line and column.
pub fn read(text: &str) -> Result<Script, String> {
    if text.len() > MAX_BYTES {
        return Err(format!("it has {} bytes, more than {MAX_BYTES}", text.len()));
    }
    let root: Option<Root> = parse(text).map_err(|error| error.to_string())?;
    // what this cannot look through, such as keys that are no texts, Artillery looks at
    if let Ok(Some(Repeated(Some((key, line))))) = parse::<Option<Repeated>>(text) {
        let key: String = key.chars().take(MAX_KEY).collect();
        return Err(format!(
            "line {line}: {key:?} stands twice in one mapping, and Artillery refuses that: remove one"
        ));
    }
    Ok(of(root.and_then(|root| root.config).unwrap_or_default()))
}

/// The script of which this is the `config`, where it was read already; `None` where that has a shape of which [`read`] says what is wrong.
pub fn of_config(config: Value) -> Option<Script> {
    // of a list serde would take the fields in their order
    if !(config.is_object() || config.is_null()) {
        return None;
    }
    let config: Option<Config> = serde_json::from_value(config).ok()?;
    Some(of(config.unwrap_or_default()))
}

fn of(config: Config) -> Script {
    let plugin = config.plugins.and_then(|mut plugins| plugins.remove("ensure"));
    let named = |config: &Value| {
        let [payload, processor] = ["payload", "processor"].map(|key| config.get(key).cloned());
        Named { payload, processor }
    };
    let environments = || config.environments.as_ref().and_then(Value::as_object).into_iter().flatten();
    let is_named = || environments().any(|(_, config)| config.pointer("/plugins/ensure").is_some());
    Script {
        has_idle_checks: plugin.is_none()
            && config.ensure.as_ref().is_some_and(|it| !it.is_null())
            && !is_named(),
        ensure: plugin.map(|settings| config.ensure.unwrap_or(settings)),
        config: Named { payload: config.payload, processor: config.processor },
        environments: environments().map(|(name, config)| (name.clone(), named(config))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_checked_is_what_artillerys_plugin_would_check() {
        let ensure =
            |config: &str| read(&format!("config:\n  target: http://t\n{config}")).expect("a script").ensure;
        assert_eq!(ensure("  ensure: {p95: 200}"), None, "the plugin is not loaded");
        assert_eq!(ensure("  ensure: {p95: 200}\n  plugins: {ensure: {}}"), Some(json!({ "p95": 200 })));
        assert_eq!(
            ensure("  ensure: {p95: 1}\n  plugins:\n    ensure:\n    expect: {}"),
            Some(json!({ "p95": 1 }))
        );
        assert_eq!(ensure("  plugins: {ensure: {maxErrorRate: 1}}"), Some(json!({ "maxErrorRate": 1 })));
        assert_eq!(ensure("  plugins: {expect: {}}"), None);
        let is_idle =
            |config: &str| read(&format!("config: {{{config}}}")).expect("a script").has_idle_checks;
        for (config, wanted) in [
            ("ensure: {p95: 1}", true),
            ("ensure: {p95: 1}, plugins: {expect: {}}, environments: {dev: {plugins: {expect: {}}}}", true),
            ("ensure: {p95: 1}, plugins: {ensure: {}}", false),
            ("ensure: {p95: 1}, environments: {dev: {plugins: {ensure: {}}}}", false),
            ("ensure: ", false),
            ("plugins: {}", false),
        ] {
            assert_eq!(is_idle(config), wanted, "{config}");
        }
    }

    #[test]
    fn a_config_that_was_read_already_gives_the_same_script() {
        let text = "config:\n  payload: [{path: a.csv}, {path: 'b.csv'}]\n  processor: ./p\n  plugins: {ensure: {thresholds: []}}\n  environments: {dev: {processor: ./q}, prod: 1}\n";
        let config = parse::<Value>(text).expect("YAML")["config"].clone();
        let script = read(text).expect("a script");
        assert_eq!((of_config(config), of_config(Value::Null)), (Some(script), Some(Script::default())));
        assert_eq!(of_config(json!([1])), None);
    }

    #[test]
    fn what_artillery_reads_is_read() {
        for script in [
            "config:\n  target: \"{{ $env.TARGET }}\"\n  phases: [{duration: 1, arrivalRate: 1}]\nscenarios:\n- flow: [{get: {url: /}}]",
            "{\"config\": {\"target\": \"http://t\"}, \"scenarios\": []}",
            "x: &a {get: {url: /}}\nscenarios:\n- flow:\n  - *a\n  - <<: *a",
            "before: {flow: [{log: \"a: b\"}]}\nconfig: {target: 'http://t', variables: {date: 2024-01-02, time: 12:30:45, yes: no}}",
            "# nothing but words\n",
        ] {
            assert!(read(script).is_ok(), "{script}\n{:?}", read(script));
        }
    }

    #[test]
    fn what_is_no_yaml_is_refused_with_its_place() {
        let error = read("config:\n  target: [a\nscenarios: x").expect_err("an error");
        assert!(error.contains("line 3"), "{error}");
        let error = read("config:\n\ttarget: a").expect_err("an error");
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_key_that_stands_twice_in_a_mapping_is_refused_by_name() {
        for (script, key, line) in [
            ("config:\n  target: a\n  target: b\n", "target", "line 3"),
            ("config:\n  target: a\n  environments:\n    dev: {x: 1}\n    dev: {y: 1}\n", "dev", "line 5"),
            (
                "config: {target: a}\nscenarios:\n- flow:\n  - get:\n      url: /\n      url: /b\n",
                "url",
                "line 6",
            ),
            ("config: {target: a}\nscenarios: []\nconfig: {}\n", "config", "line 3"),
        ] {
            let error = read(script).expect_err(script);
            assert!(error.contains(key) && error.contains(line), "{error}");
        }
        assert!(read("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {y: 3, <<: *a}\n").is_ok());
    }

    #[test]
    fn the_endings_of_scripts_are_artillerys() {
        for name in ["a.yaml", "a.YML", "/x/a.b.json", "a.js", "a.ts"] {
            assert!(is_script(name), "{name}");
        }
        for name in ["a", "a.txt", "a.mjs", "a.cjs", "yaml", "/x.yaml/a", "a.yaml "] {
            assert!(!is_script(name), "{name}");
        }
        assert!(is_program("test.TS") && is_program("a.Js") && !is_program("a.YML"));
    }

    #[test]
    fn what_is_nested_or_repeated_without_end_is_refused() {
        let deep = format!("a: {}{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
        assert!(read(&deep).is_err());
        for (open, close) in [("[", "]"), ("{a: ", "}")] {
            let levels = MAX_DEPTH - 2;
            let deepest = format!("a: {}x{}", open.repeat(levels), close.repeat(levels));
            assert!(read(&deepest).is_ok(), "{:?}", read(&deepest));
        }
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let line = format!("a{i}: &a{i} [{}]\n", vec![format!("*a{}", i - 1); 10].join(", "));
            laughs.push_str(&line);
        }
        laughs.push_str("config: {ensure: *a11}\n");
        assert!(read(&laughs).is_err());
        assert!(read(&format!("a: {}", "x".repeat(MAX_BYTES))).is_err());
    }

    #[test]
    fn one_anchor_may_be_used_by_many_requests_but_not_without_end() {
        let requests = |headers: usize, requests: usize| {
            let headers = (0..headers).map(|i| format!("a{i}: b")).collect::<Vec<_>>().join(", ");
            let request = "  - get: {url: /, headers: *h}\n".repeat(requests);
            format!(
                "config: {{variables: &h {{{headers}}}, target: 'http://t'}}\nscenarios:\n- flow:\n{request}"
            )
        };
        for many in [101, 5_000] {
            let script = requests(3, many);
            assert!(read(&script).is_ok(), "{:?}", read(&script));
        }
        let list = vec!["x"; 10_000].join(", ");
        let wide = format!("x: &x [{list}]\nconfig: {{ensure: [{}]}}", vec!["*x"; 200].join(", "));
        assert!(read(&wide).is_err());
    }
}
