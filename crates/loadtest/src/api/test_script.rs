//! The part of a `LoadTest` that says where the test script and the files beside it are.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::CONFIG_MAP_NAME;
use super::artillery::FILE_NAME;

/// What a key of a ConfigMap looks like.
pub(super) const KEY: &str = r"^[-._a-zA-Z0-9]+$";
/// The key of the script's ConfigMap that is the test script, where none is given.
pub const SCRIPT_KEY: &str = "test-script.yaml";

/// What is said of a script of another name: Artillery refuses it as an unknown file type.
pub const SCRIPT_ENDINGS: &str =
    "Artillery takes test scripts whose names end with .yaml, .yml, .json, .js or .ts";

/// That a script bears such a name.
fn is_script() -> kube::core::Rule {
    let message = format!("'\"' + self + '\": {SCRIPT_ENDINGS}'");
    kube::core::Rule::new("self.matches('(?i)[.](ya?ml|json|js|ts)$')")
        .message(kube::core::Message::Expression(message))
}

/// The Artillery test script and the files beside it.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = kube::core::Rule::new("has(self.config) != has(self.path)").message("give either config.configMap, a ConfigMap with the test script, or path, where the test script lies in the worker's image or in one of its volumes"),
    validation = kube::core::Rule::new("!has(self.path) || (!has(self.external) && !has(self.files))").message("external and files lie beside a test script from config.configMap: with path, give all files with the test script")
)]
pub struct TestScript {
    /// Where the test script itself is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<ScriptConfig>,

    /// Where the test script lies in the worker's image, or in a volume of worker.podTemplate, instead of a ConfigMap: an absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1024), regex(pattern = r"^(/[^/]+)+$"))]
    #[x_kube(validation = is_script())]
    pub path: Option<String>,

    /// More files that the test script names, such as CSV payloads and processors; all lie in the script's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external: Option<External>,

    /// More files, also in folders below the script's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub files: Vec<File>,
}

/// Where the test script itself is.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ScriptConfig {
    /// Name of the ConfigMap with the test script; its other keys become files beside it.
    #[serde(default)]
    #[schemars(!default, length(min = 1, max = 253), regex(pattern = CONFIG_MAP_NAME))]
    pub config_map: String,

    /// The key of the ConfigMap that is the test script; default test-script.yaml.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = KEY))]
    #[x_kube(validation = is_script())]
    pub key: Option<String>,
}

/// More files that the test script names.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct External {
    /// Data files, such as CSV, that the test script's config.payload names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<Files>,

    /// JavaScript or TypeScript that the test script's config.processor names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub processor: Option<Processor>,
}

/// ConfigMaps and Secrets, each of whose keys becomes a file.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Files {
    /// Names of ConfigMaps in the LoadTest's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = CONFIG_MAP_NAME)))]
    pub config_maps: Vec<String>,

    /// Names of Secrets in the LoadTest's namespace; the operator does not read them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = CONFIG_MAP_NAME)))]
    pub secrets: Vec<String>,
}

/// The test script's processor and what it requires.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Processor {
    /// The processor itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub main: Option<ConfigMapName>,

    /// Files that the processor requires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related: Option<Files>,
}

/// One ConfigMap.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapName {
    /// Name of a ConfigMap in the LoadTest's namespace.
    #[serde(default)]
    #[schemars(!default, length(min = 1, max = 253), regex(pattern = CONFIG_MAP_NAME))]
    pub config_map: String,
}

/// Files of one ConfigMap or Secret.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = kube::core::Rule::new("has(self.configMap) != has(self.secret)").message("give either configMap or secret")
)]
pub struct File {
    /// Name of a ConfigMap in the LoadTest's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = CONFIG_MAP_NAME))]
    pub config_map: Option<String>,

    /// Name of a Secret in the LoadTest's namespace; the operator does not read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = CONFIG_MAP_NAME))]
    pub secret: Option<String>,

    /// Which keys become which files; by default each key becomes a file of its name in the script's folder.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub items: Vec<KeyToPath>,
}

/// A key that becomes a file.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KeyToPath {
    /// The key.
    #[schemars(length(min = 1, max = 253), regex(pattern = KEY))]
    pub key: String,

    /// The file, below the script's folder, such as data/users.csv; no part of it may begin with two dots.
    #[schemars(length(min = 1, max = 253), regex(pattern = FILE_NAME))]
    pub path: String,
}

/// What files come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileSource {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret, which the operator never reads.
    Secret,
}

/// One ConfigMap or Secret that a LoadTest names, and the field that does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Such as `.spec.testScript.config.configMap`.
    pub field: String,
    /// What it is.
    pub source: FileSource,
    /// Its name.
    pub name: String,
    /// Which keys become which files, as (key, path); all, under their own names, if there are none.
    pub items: Vec<(String, String)>,
}

impl TestScript {
    /// The key that is the test script.
    pub fn key(&self) -> &str {
        self.config.as_ref().and_then(|config| config.key.as_deref()).unwrap_or(SCRIPT_KEY)
    }

    /// Every ConfigMap and Secret whose keys become files, the script's first.
    pub fn named(&self) -> Vec<Named> {
        let External { payload, processor } = self.external.clone().unwrap_or_default();
        let Processor { main, related } = processor.unwrap_or_default();
        let one =
            |field: &str, source, name| Named { field: field.to_owned(), source, name, items: Vec::new() };
        let many = |field: &str, files: Option<Files>| {
            let Files { config_maps, secrets } = files.unwrap_or_default();
            let maps = config_maps.into_iter().enumerate();
            let maps =
                maps.map(|(i, name)| one(&format!("{field}.configMaps[{i}]"), FileSource::ConfigMap, name));
            let secrets = secrets.into_iter().enumerate();
            let secrets =
                secrets.map(|(i, name)| one(&format!("{field}.secrets[{i}]"), FileSource::Secret, name));
            maps.chain(secrets).collect::<Vec<_>>()
        };
        let config = self.config.iter();
        let mut named: Vec<_> = config
            .map(|config| one("config.configMap", FileSource::ConfigMap, config.config_map.clone()))
            .collect();
        named.extend(many("external.payload", payload));
        named.extend(
            main.map(|main| one("external.processor.main.configMap", FileSource::ConfigMap, main.config_map)),
        );
        named.extend(many("external.processor.related", related));
        named.extend(self.files.iter().enumerate().flat_map(|(i, file)| file.named(i)));
        for each in &mut named {
            each.field.insert_str(0, ".spec.testScript.");
        }
        named
    }
}

impl File {
    fn named(&self, index: usize) -> impl Iterator<Item = Named> + '_ {
        let items = || self.items.iter().map(|item| (item.key.clone(), item.path.clone())).collect();
        let of = move |what: &str, source, name: &Option<String>| {
            name.clone().map(|name| Named {
                field: format!("files[{index}].{what}"),
                source,
                name,
                items: items(),
            })
        };
        let config_map = of("configMap", FileSource::ConfigMap, &self.config_map);
        config_map.into_iter().chain(of("secret", FileSource::Secret, &self.secret))
    }
}
