//! Where what workers sent is kept: ConfigMaps of the LoadTest, beside its report, replaced by resourceVersion.
//!
//! `<name>-report` is written last, and says which others belong to it; these are named by what is in them and never
//! change, so that a manager killed between two writes has stored nothing by half. What no longer belongs to it goes
//! with the LoadTest: there is no right to delete ConfigMaps.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use collector::{SaveError, Snapshot, Store, TestRef, Unavailable, Version};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::PostParams;
use kube::core::ObjectMeta;
use kube::{Api, Resource};
use loadtest::reporter::report_name;
use loadtest::{LoadTest, labels};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

/// How long the API server may take for one of its answers.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes that one ConfigMap is given: with base64 they stay below the API server's 1 MiB.
const MOST: usize = 700 * 1024;
/// A part that is smaller than this is not worth a ConfigMap of its own, up to so many bytes in all.
const SMALL: usize = 8 * 1024;
const SMALL_IN_ALL: usize = 64 * 1024;
/// No snapshot has more parts, nor more bytes in all of them: somebody else may have written what is read.
const MAX_PARTS: usize = 200;
const MAX_BYTES: usize = 16 << 20;
const SNAPSHOT: &str = "snapshot";
/// The keys of parts that lie beside the head: this and a number.
const CLOSED: &str = "closed-";
const PART: &str = "part";
const PARTS: &str = "parts.json";
/// The report, for programs and for people.
pub const REPORT_JSON: &str = "report.json";
pub const REPORT_TEXT: &str = "report.txt";

/// The ConfigMaps of all LoadTests.
#[derive(Clone)]
pub struct ConfigMaps {
    client: kube::Client,
    /// Parts that are known to be there, by the UID of their LoadTest.
    known: Arc<Mutex<HashMap<String, HashSet<String>>>>,
}

/// Which ConfigMaps belong to a snapshot, in order.
#[derive(Serialize, Deserialize, Default)]
struct Parts {
    /// The head, where it is too large for the ConfigMap that names the parts.
    #[serde(default)]
    head: Vec<String>,
    #[serde(default)]
    closed: Vec<Place>,
}

/// Where a closed part is.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Place {
    /// Beside the head, under that key.
    Key(String),
    /// In ConfigMaps of its own, one after the other.
    ConfigMaps(Vec<String>),
}

impl Place {
    /// The ConfigMaps that it is in, but for the first of the load test.
    fn config_maps(&self) -> &[String] {
        match self {
            Self::Key(_) => &[],
            Self::ConfigMaps(names) => names,
        }
    }
}

/// A rendered report.
pub struct Rendered {
    /// `report.json`.
    pub json: String,
    /// `report.txt`.
    pub text: String,
}

enum Put {
    Stored(Version),
    Conflict,
    Gone,
    Failed(String),
}

impl ConfigMaps {
    pub fn new(client: kube::Client) -> Self {
        Self { client, known: Arc::default() }
    }

    /// Forgets a load test that is over or gone.
    pub fn forget(&self, uid: &str) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    fn is_known(&self, test: &TestRef, part: &str) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&test.uid).is_some_and(|parts| parts.contains(part))
    }

    fn know(&self, test: &TestRef, part: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.entry(test.uid.clone()).or_default().insert(part.to_owned());
    }

    fn api(&self, test: &TestRef) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &test.namespace)
    }

    async fn get(&self, test: &TestRef, name: &str) -> Result<Option<ConfigMap>, Unavailable> {
        let config_map = match timeout(PATIENCE, self.api(test).get_opt(name)).await {
            Ok(Ok(config_map)) => config_map,
            Ok(Err(error)) => return Err(Unavailable(format!("cannot read ConfigMap {name}: {error}"))),
            Err(_) => return Err(Unavailable("the API server did not answer in time".to_owned())),
        };
        match config_map {
            Some(config_map) if !is_of(test, &config_map) => Err(Unavailable(format!(
                "ConfigMap {name} is not of this LoadTest, but of an earlier one or of somebody else"
            ))),
            config_map => Ok(config_map),
        }
    }

    /// Creates a ConfigMap, or replaces the one of that version.
    async fn put(&self, test: &TestRef, config_map: &ConfigMap, version: Option<&str>) -> Put {
        let (api, params) = (self.api(test), PostParams::default());
        let name = config_map.metadata.name.clone().unwrap_or_default();
        let put = async {
            match version {
                None => api.create(&params, config_map).await,
                Some(version) => {
                    let mut config_map = config_map.clone();
                    config_map.metadata.resource_version = Some(version.to_owned());
                    match api.replace(&name, &params, &config_map).await {
                        // somebody has deleted it, which loses nothing as long as it is known here
                        Err(kube::Error::Api(status)) if status.is_not_found() => {
                            config_map.metadata.resource_version = None;
                            api.create(&params, &config_map).await
                        }
                        answer => answer,
                    }
                }
            }
        };
        match timeout(PATIENCE, put).await {
            Ok(Ok(stored)) => Put::Stored(version_of(&stored)),
            Ok(Err(kube::Error::Api(status))) if status.is_conflict() || status.is_already_exists() => {
                Put::Conflict
            }
            Ok(Err(kube::Error::Api(status)))
                if status.is_not_found() || status.message.contains("being terminated") =>
            {
                Put::Gone
            }
            Ok(Err(error)) => Put::Failed(format!("cannot write ConfigMap {name}: {error}")),
            Err(_) => Put::Failed("the API server did not answer in time".to_owned()),
        }
    }

    /// Writes bytes that never change, under a name that follows from them.
    async fn put_part(&self, test: &TestRef, bytes: &[u8]) -> Result<String, SaveError> {
        let name = format!("{}-report-{}", test.name, digest(test, bytes));
        if self.is_known(test, &name) {
            return Ok(name);
        }
        let mut config_map = config_map(test, &name);
        config_map.immutable = Some(true);
        config_map.binary_data = Some([(PART.to_owned(), ByteString(bytes.to_vec()))].into());
        match self.put(test, &config_map, None).await {
            // there already: the name says what is in it
            Put::Stored(_) | Put::Conflict => {
                self.know(test, &name);
                Ok(name)
            }
            Put::Gone => Err(SaveError::Gone),
            Put::Failed(why) => Err(SaveError::Unavailable(why)),
        }
    }

    async fn get_part(&self, test: &TestRef, name: &str) -> Result<Vec<u8>, Unavailable> {
        let part = self.get(test, name).await?;
        let bytes = part.and_then(|part| part.binary_data?.remove(PART));
        bytes
            .map(|bytes| bytes.0)
            .ok_or_else(|| Unavailable(format!("ConfigMap {name}, a part of the report, is gone or empty")))
    }

    /// Stores the report of a load test that is over beside its last snapshot, if it has one. Returns the names of all its
    /// ConfigMaps, that with the report first.
    ///
    /// # Errors
    /// It is not stored, or that is not known.
    pub async fn add_report(&self, test: &TestRef, report: &Rendered) -> Result<Vec<String>, SaveError> {
        let Rendered { json, text } = report;
        let name = report_name(&test.name);
        let there = self.get(test, &name).await.map_err(not_known)?;
        let version = there.as_ref().map(version_of);
        let mut parts = there.as_ref().map(parts_of).transpose().map_err(not_known)?.unwrap_or_default();
        let mut config_map = config_map(test, &name);
        let mut beside = there.and_then(|there| there.binary_data).unwrap_or_default();
        if let Some(head) = beside.remove(SNAPSHOT) {
            let taken = json.len() + text.len();
            self.put_head(test, head.0, taken, &mut config_map, &mut parts).await?;
        }
        config_map.binary_data.get_or_insert_default().extend(beside);
        let report = [(REPORT_JSON.to_owned(), json.clone()), (REPORT_TEXT.to_owned(), text.clone())];
        config_map.data = Some(report.into());
        self.put_first(test, config_map, &parts, version.as_ref()).await?;
        let closed = parts.closed.iter().flat_map(Place::config_maps).cloned();
        Ok([name].into_iter().chain(parts.head.iter().cloned()).chain(closed).collect())
    }

    /// Puts the head where there is room for it.
    async fn put_head(
        &self,
        test: &TestRef,
        head: Vec<u8>,
        taken: usize,
        config_map: &mut ConfigMap,
        parts: &mut Parts,
    ) -> Result<(), SaveError> {
        if head.len() + taken <= MOST {
            config_map.binary_data = Some([(SNAPSHOT.to_owned(), ByteString(head))].into());
            return Ok(());
        }
        parts.head = self.put_parts(test, &head).await?;
        Ok(())
    }

    /// Writes bytes to as many ConfigMaps as they need. Returns their names, in order.
    async fn put_parts(&self, test: &TestRef, bytes: &[u8]) -> Result<Vec<String>, SaveError> {
        let mut names = Vec::new();
        for chunk in bytes.chunks(MOST) {
            names.push(self.put_part(test, chunk).await?);
        }
        Ok(names)
    }

    /// Writes the ConfigMap that says which others belong to it.
    async fn put_first(
        &self,
        test: &TestRef,
        mut config_map: ConfigMap,
        parts: &Parts,
        version: Option<&Version>,
    ) -> Result<Version, SaveError> {
        let list = serde_json::to_string(parts).map_err(|error| SaveError::Unavailable(error.to_string()))?;
        config_map.data.get_or_insert_default().insert(PARTS.to_owned(), list);
        match self.put(test, &config_map, version.map(|version| version.0.as_str())).await {
            Put::Stored(version) => Ok(version),
            Put::Conflict => Err(SaveError::Conflict),
            Put::Gone => Err(SaveError::Gone),
            Put::Failed(why) => Err(SaveError::Unavailable(why)),
        }
    }
}

fn parts_of(config_map: &ConfigMap) -> Result<Parts, Unavailable> {
    let list = config_map.data.as_ref().and_then(|data| data.get(PARTS)).map_or("{}", String::as_str);
    let name = config_map.metadata.name.as_deref().unwrap_or_default();
    let parts: Parts = serde_json::from_str(list)
        // whoever may write ConfigMaps may have written it: it goes to the log
        .map_err(|error| Unavailable(format!("key {PARTS} of ConfigMap {name}: {:?}", error.to_string())))?;
    let is_ours = |part: &String| {
        let own = part.strip_prefix(name).and_then(|rest| rest.strip_prefix('-'));
        own.is_some_and(|own| !own.is_empty() && own.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let named = parts.head.iter().chain(parts.closed.iter().flat_map(Place::config_maps));
    if let Some(other) = named.into_iter().find(|part| !is_ours(part)) {
        return Err(Unavailable(format!(
            "key {PARTS} of ConfigMap {name} names {other:?}, which is no part of it"
        )));
    }
    let closed = parts.closed.iter().map(|place| place.config_maps().len().max(1));
    match parts.head.len() + closed.sum::<usize>() {
        0..=MAX_PARTS => Ok(parts),
        many => Err(Unavailable(format!(
            "key {PARTS} of ConfigMap {name} names {many} parts, more than {MAX_PARTS}"
        ))),
    }
}

/// Adds to the bytes that were read so far.
fn bounded(read: &mut usize, bytes: Vec<u8>) -> Result<Vec<u8>, Unavailable> {
    *read += bytes.len();
    match *read {
        0..=MAX_BYTES => Ok(bytes),
        _ => Err(Unavailable(format!("the parts of the report have more than {MAX_BYTES} bytes"))),
    }
}

impl Store for ConfigMaps {
    async fn load(&self, test: &TestRef) -> Result<Option<(Snapshot, Version)>, Unavailable> {
        let Some(config_map) = self.get(test, &report_name(&test.name)).await? else { return Ok(None) };
        let version = version_of(&config_map);
        let parts = parts_of(&config_map)?;
        let mut read = 0;
        let mut beside = config_map.binary_data.unwrap_or_default();
        let snapshot = beside.remove(SNAPSHOT);
        // the report of a test of which nothing was heard has none: its manager was killed before the status told of it
        if snapshot.is_none() && parts.head.is_empty() && parts.closed.is_empty() {
            return Ok(None);
        }
        let mut head = snapshot.unwrap_or_default().0;
        for name in &parts.head {
            head.extend(bounded(&mut read, self.get_part(test, name).await?)?);
        }
        let mut closed = Vec::new();
        for place in &parts.closed {
            let mut bytes = match place {
                Place::ConfigMaps(_) => Vec::new(),
                Place::Key(key) => {
                    let bytes = beside.remove(key).map(|bytes| bytes.0);
                    bytes.ok_or_else(|| {
                        Unavailable(format!("key {key:?} of the report's ConfigMap is gone"))
                    })?
                }
            };
            for name in place.config_maps() {
                bytes.extend(bounded(&mut read, self.get_part(test, name).await?)?);
            }
            closed.push(Arc::from(bytes));
        }
        Ok(Some((Snapshot { head, closed }, version)))
    }

    async fn save(
        &self,
        test: &TestRef,
        snapshot: &Snapshot,
        version: Option<&Version>,
    ) -> Result<Version, SaveError> {
        let (mut parts, mut beside, mut taken) = (Parts::default(), BTreeMap::new(), 0);
        for closed in &snapshot.closed {
            let is_small = closed.len() <= SMALL && taken + closed.len() <= SMALL_IN_ALL;
            parts.closed.push(if is_small {
                taken += closed.len();
                let key = format!("{CLOSED}{}", beside.len());
                beside.insert(key.clone(), ByteString(closed.to_vec()));
                Place::Key(key)
            } else {
                Place::ConfigMaps(self.put_parts(test, closed).await?)
            });
        }
        let mut config_map = config_map(test, &report_name(&test.name));
        self.put_head(test, snapshot.head.clone(), taken, &mut config_map, &mut parts).await?;
        config_map.binary_data.get_or_insert_default().extend(beside);
        self.put_first(test, config_map, &parts, version).await
    }
}

fn not_known(Unavailable(why): Unavailable) -> SaveError {
    SaveError::Unavailable(why)
}

fn is_of(test: &TestRef, config_map: &ConfigMap) -> bool {
    config_map.metadata.owner_references.iter().flatten().any(|owner| owner.uid == test.uid)
}

fn version_of(config_map: &ConfigMap) -> Version {
    Version(config_map.metadata.resource_version.clone().unwrap_or_default())
}

/// An empty ConfigMap that goes with the LoadTest.
fn config_map(test: &TestRef, name: &str) -> ConfigMap {
    let owner = OwnerReference {
        api_version: LoadTest::api_version(&()).into_owned(),
        kind: LoadTest::kind(&()).into_owned(),
        name: test.name.clone(),
        uid: test.uid.clone(),
        controller: Some(true),
        // some clusters let only those say so who may change the LoadTest's finalizers
        block_owner_deletion: None,
    };
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(test.namespace.clone()),
            labels: Some(labels::labels(&test.name, labels::REPORT)),
            owner_references: Some(vec![owner]),
            ..ObjectMeta::default()
        },
        ..ConfigMap::default()
    }
}

/// Half of SHA-256 over the load test and the bytes, in hexadecimal: no two parts have the same.
fn digest(test: &TestRef, bytes: &[u8]) -> String {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    context.update(test.uid.as_bytes());
    context.update(bytes);
    context.finish().as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_wrote_names_no_parts_and_no_lines_of_the_log() {
        let said = |parts: &str| {
            let metadata = ObjectMeta { name: Some("t-report".to_owned()), ..ObjectMeta::default() };
            let data = Some([(PARTS.to_owned(), parts.to_owned())].into());
            let read = parts_of(&ConfigMap { metadata, data, ..ConfigMap::default() });
            read.map(|parts| parts.head.len()).map_err(|Unavailable(why)| why)
        };
        assert_eq!(said(r#"{"head":["t-report-0a1f"],"closed":[{"key":"closed-0"}]}"#), Ok(1));
        for other in ["kubernetes", "t-report", "t-report-", "t-report-x/../y", "u-report-0a1f"] {
            let why = said(&format!(r#"{{"head":["{other}"]}}"#)).expect_err("a reason");
            assert!(why.contains("which is no part of it"), "{why}");
        }
        let hostile = said(r#"{"closed":[{"\n2026-11-27 ERROR all is lost":1}]}"#).expect_err("a reason");
        assert!(!hostile.contains('\n'), "{hostile}");
        let long = format!(r#"{{"head":{}}}"#, serde_json::json!(vec!["t-report-0a"; MAX_PARTS + 1]));
        assert!(said(&long).expect_err("a reason").contains("more than 200"));
        let most = bounded(&mut (MAX_BYTES - 1), vec![0; 2]).expect_err("a reason");
        assert!(most.0.contains("more than 16777216 bytes"), "{}", most.0);
    }
}
