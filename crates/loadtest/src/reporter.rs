//! What is added to a worker so that it reports: the reporter's files and settings, beside the stock image and the
//! user's script, which stay as they are. `docs/protocol.md` says what the settings mean.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMap, ConfigMapProjection, KeyToPath, ProjectedVolumeSource, ServiceAccountTokenProjection, Volume,
    VolumeProjection,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;

use crate::api::{Distribution, Hooks, Start};
use crate::events::short_hash;
use crate::process::{PLUGIN, Reporting};
use crate::template::{REPORTER_FOLDER as FOLDER, Template};
use crate::{LoadTest, labels};

mod files;

pub use files::FILES;

/// Whom a worker's token is for; it opens nothing else.
pub const AUDIENCE: &str = "collector.loadtest.artillery.io";
/// The annotation of a Job whose workers report: the collector's address.
pub const COLLECTOR: &str = "loadtest.artillery.io/collector";
/// How long the first worker waits for the rest, in seconds, where the spec does not say.
pub const START_TIMEOUT_SECONDS: i32 = 600;
/// With which code a worker's process ends that was turned away (`EX_NOPERM` of sysexits.h); Artillery has no such code.
pub const TURNED_AWAY: i32 = 77;

/// Name of the volume that has it.
const VOLUME: &str = "artillery-operator";
const TOKEN: &str = "token";
const CA: &str = "ca.crt";
/// How long a token is good for, in seconds; the kubelet replaces it after 80 % of that.
const TOKEN_SECONDS: i64 = 3600;

/// How the workers of a load test report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reporter {
    /// The collector's address: `https://HOST:PORT`.
    pub collector: String,
    /// The ConfigMap with the reporter's files.
    pub config_map: String,
    /// The names of these files.
    pub files: Vec<String>,
    /// How long the workers wait for each other, in seconds.
    pub start_timeout_seconds: i32,
    /// Whether a worker may run without a share of the load.
    pub distribution: Distribution,
    /// Whether the script's hooks run in one worker for all.
    pub hooks: Hooks,
}

/// Everything of the operator's that every worker gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Kit {
    /// The collector's address: `https://HOST:PORT`.
    pub collector: String,
    /// The certificate that the collector's is checked against, PEM.
    pub ca: String,
    /// The plugin's files by name.
    pub files: BTreeMap<String, String>,
}

impl Reporter {
    /// How the workers of `load_test` report with that kit.
    pub fn new(load_test: &LoadTest, kit: &Kit) -> Self {
        Self {
            collector: kit.collector.clone(),
            config_map: config_map_name(load_test, kit),
            files: kit.files.keys().cloned().collect(),
            start_timeout_seconds: start_timeout_seconds(load_test.spec.start.as_ref()),
            distribution: load_test.spec.distribution.unwrap_or_default(),
            hooks: load_test.spec.hooks.unwrap_or_default(),
        }
    }

    /// The volume that [`mount`](Self::mount_path) shows: files, certificate and token.
    pub fn volume(&self) -> Volume {
        let item = |key: &str, path: String| KeyToPath { key: key.to_owned(), path, mode: None };
        let mut items: Vec<_> =
            self.files.iter().map(|file| item(file, format!("{PLUGIN}/{file}"))).collect();
        items.push(item(CA, CA.to_owned()));
        let files = VolumeProjection {
            config_map: Some(ConfigMapProjection {
                name: self.config_map.clone(),
                items: Some(items),
                optional: None,
            }),
            ..VolumeProjection::default()
        };
        let token = VolumeProjection {
            service_account_token: Some(ServiceAccountTokenProjection {
                audience: Some(AUDIENCE.to_owned()),
                expiration_seconds: Some(TOKEN_SECONDS),
                path: TOKEN.to_owned(),
            }),
            ..VolumeProjection::default()
        };
        Volume {
            name: VOLUME.to_owned(),
            projected: Some(ProjectedVolumeSource {
                sources: Some(vec![files, token]),
                ..ProjectedVolumeSource::default()
            }),
            ..Volume::default()
        }
    }

    /// The volume's name and where it is mounted.
    pub fn mount_path(&self) -> (&'static str, &'static str) {
        (VOLUME, FOLDER)
    }

    /// The settings of the worker's container, for a pod of that grace period, with the plugins that its user loads in the same way.
    pub fn environment(&self, grace_period_seconds: i64, theirs: &Template) -> Vec<(&'static str, String)> {
        let reporting = Reporting {
            collector: &self.collector,
            folder: FOLDER,
            token_file: format!("{FOLDER}/{TOKEN}"),
            ca_file: Some(format!("{FOLDER}/{CA}")),
            start_timeout_seconds: self.start_timeout_seconds,
            grace_period_seconds,
            distribution: self.distribution,
            hooks: self.hooks,
            plugins: theirs.variable("ARTILLERY_PLUGINS"),
            plugin_path: theirs.variable("ARTILLERY_PLUGIN_PATH"),
        };
        reporting.variables()
    }
}

/// How long the first worker waits for the rest, in seconds.
pub fn start_timeout_seconds(start: Option<&Start>) -> i32 {
    start.and_then(|start| start.timeout_seconds).unwrap_or(START_TIMEOUT_SECONDS)
}

/// The name of the ConfigMap with the report of the load test of that name.
pub fn report_name(load_test: &str) -> String {
    format!("{load_test}-report")
}

/// The name of the ConfigMap with a load test's reporter: another one for each LoadTest and each content, so that none of an earlier
/// LoadTest of the same name, or of an operator of another version, is in its way.
fn config_map_name(load_test: &LoadTest, kit: &Kit) -> String {
    let mut content = format!("{}\n{}", load_test.uid(), kit.ca);
    for (name, text) in &kit.files {
        content.extend(["\n", name, "\n", text]);
    }
    format!("{}-reporter-{}", load_test.name(), short_hash(&content))
}

/// The ConfigMap with a load test's reporter. It never changes: an operator that is upgraded leaves running tests alone.
pub fn config_map(load_test: &LoadTest, kit: &Kit) -> ConfigMap {
    let mut data = kit.files.clone();
    data.insert(CA.to_owned(), kit.ca.clone());
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(config_map_name(load_test, kit)),
            namespace: load_test.metadata.namespace.clone(),
            labels: Some(labels::labels(load_test.name(), labels::REPORTER)),
            owner_references: load_test.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        data: Some(data),
        ..ConfigMap::default()
    }
}

/// Whether a ConfigMap that is there already is that one: whoever may create ConfigMaps may have put something else in its place.
pub fn is_config_map(there: &ConfigMap, load_test: &LoadTest, kit: &Kit) -> bool {
    let wanted = config_map(load_test, kit);
    let mut owners = there.metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.uid == load_test.uid())
        && (&there.data, there.immutable) == (&wanted.data, wanted.immutable)
        && there.binary_data.as_ref().is_none_or(std::collections::BTreeMap::is_empty)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::load_test;

    fn kit() -> Kit {
        Kit {
            collector: "https://collector.system.svc".into(),
            ca: "PEM".into(),
            files: [("index.js".to_owned(), "'use strict';".to_owned())].into(),
        }
    }

    #[test]
    fn what_the_volume_names_is_in_the_config_map() {
        let test = load_test("t");
        let config_map = config_map(&test, &kit());
        let reporter = Reporter::new(&test, &kit());
        assert_eq!(config_map.metadata.name.as_ref(), Some(&reporter.config_map));
        let sources = reporter.volume().projected.and_then(|p| p.sources).expect("sources");
        let items = sources[0].config_map.as_ref().and_then(|c| c.items.as_ref()).expect("items");
        let keys: Vec<_> = items.iter().map(|item| item.key.clone()).collect();
        assert_eq!(keys, ["index.js", "ca.crt"]);
        assert!(keys.iter().all(|key| config_map.data.as_ref().expect("data").contains_key(key)));
    }

    #[test]
    fn another_load_test_of_the_same_name_has_another_config_map() {
        let mut other = load_test("t");
        other.metadata.uid = Some("0f9e-11".into());
        let name = config_map_name(&other, &kit());
        assert!(name.starts_with("t-reporter-") && name.len() == "t-reporter-".len() + 16, "{name}");
        assert_ne!(config_map_name(&load_test("t"), &kit()), name);
        let newer =
            Kit { files: [("index.js".to_owned(), "'use strict'; // newer".to_owned())].into(), ..kit() };
        assert_ne!(config_map_name(&other, &newer), name, "of another version of the operator");
    }

    #[test]
    fn a_config_map_of_the_name_is_the_operators_only_if_nothing_in_it_was_changed() {
        let test = load_test("t");
        let ours = config_map(&test, &kit());
        assert!(is_config_map(&ours, &test, &kit()));
        let changes: [fn(&mut ConfigMap); 4] = [
            |map| map.metadata.owner_references = None,
            |map| map.immutable = None,
            |map| _ = map.data.as_mut().expect("data").insert("index.js".into(), "theirs()".into()),
            |map| map.binary_data = Some([("more.js".to_owned(), Default::default())].into()),
        ];
        for change in changes {
            let mut theirs = ours.clone();
            change(&mut theirs);
            assert!(!is_config_map(&theirs, &test, &kit()), "{theirs:?}");
        }
    }

    #[test]
    fn a_worker_that_is_to_have_a_share_is_told_to_do_nothing_without_one() {
        let distribution = |distribution| {
            let mut test = load_test("t");
            test.spec.distribution = distribution;
            let environment = Reporter::new(&test, &kit()).environment(60, &Template::default());
            environment.into_iter().find(|(name, _)| *name == "LOADTEST_DISTRIBUTION").map(|(_, value)| value)
        };
        assert_eq!(distribution(Some(Distribution::Split)).as_deref(), Some("Split"));
        assert_eq!(distribution(Some(Distribution::Replicate)), None);
        assert_eq!(distribution(None), None);
    }

    #[test]
    fn a_worker_whose_hooks_run_once_is_told_so() {
        let hooks = |hooks| {
            let mut test = load_test("t");
            test.spec.hooks = hooks;
            let environment = Reporter::new(&test, &kit()).environment(60, &Template::default());
            environment.into_iter().find(|(name, _)| *name == "LOADTEST_HOOKS").map(|(_, value)| value)
        };
        assert_eq!(hooks(Some(Hooks::Once)).as_deref(), Some("Once"));
        assert_eq!(hooks(Some(Hooks::PerWorker)), None);
        assert_eq!(hooks(None), None);
    }

    #[test]
    fn a_worker_waits_longer_than_the_collector_does() {
        let mut test = load_test("t");
        test.spec.start = Some(Start { timeout_seconds: Some(30), on_timeout: None });
        let environment = Reporter::new(&test, &kit()).environment(60, &Template::default());
        let seconds = environment.iter().find(|(name, _)| *name == "LOADTEST_START_SECONDS");
        assert_eq!(seconds.map(|(_, value)| value.as_str()), Some("90"));
    }
}
