//! A LoadTest as it is taken from the API server's answers. What manages its fields is not parsed: it is nested as deep as
//! its values are, `serde_json` reads 128 levels of a whole answer, and one that is deeper would hide all LoadTests of a list. So
//! would one that lacks what our schema requires, which the first operator's let pass: it is read, and told to be invalid.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::Resource;
use kube::core::{NamespaceResourceScope, ObjectMeta};
use kube::runtime::watcher::Event;
use loadtest::LoadTest;
use loadtest::api::{LoadTestSpec, LoadTestStatus};
use serde::Deserialize;

/// A LoadTest without what is never read of it.
#[derive(Deserialize, Clone, Debug)]
#[serde(from = "Written")]
pub struct Watched(LoadTest);

/// As `LoadTest`.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default = "nothing")]
    spec: LoadTestSpec,
    #[serde(default)]
    status: Option<LoadTestStatus>,
}

fn nothing() -> LoadTestSpec {
    LoadTestSpec { count: 1, ..LoadTestSpec::default() }
}

/// As `ObjectMeta`, but for what nobody reads: the managed fields, the annotations, in which what `kubectl apply` was given is there
/// twice, and the labels, which have no bound.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: Option<String>,
    generate_name: Option<String>,
    namespace: Option<String>,
    uid: Option<String>,
    resource_version: Option<String>,
    generation: Option<i64>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    deletion_grace_period_seconds: Option<i64>,
    finalizers: Option<Vec<String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

impl From<Written> for Watched {
    fn from(Written { metadata, spec, status }: Written) -> Self {
        let metadata = ObjectMeta {
            name: metadata.name,
            generate_name: metadata.generate_name,
            namespace: metadata.namespace,
            uid: metadata.uid,
            resource_version: metadata.resource_version,
            generation: metadata.generation,
            creation_timestamp: metadata.creation_timestamp,
            deletion_timestamp: metadata.deletion_timestamp,
            deletion_grace_period_seconds: metadata.deletion_grace_period_seconds,
            finalizers: metadata.finalizers,
            owner_references: metadata.owner_references,
            ..ObjectMeta::default()
        };
        Self(LoadTest { metadata, spec, status })
    }
}

impl From<Watched> for LoadTest {
    fn from(Watched(load_test): Watched) -> Self {
        load_test
    }
}

/// The same event, of the LoadTest.
pub fn event(event: Event<Watched>) -> Event<LoadTest> {
    match event {
        Event::Apply(Watched(load_test)) => Event::Apply(load_test),
        Event::Delete(Watched(load_test)) => Event::Delete(load_test),
        Event::Init => Event::Init,
        Event::InitApply(Watched(load_test)) => Event::InitApply(load_test),
        Event::InitDone => Event::InitDone,
    }
}

impl Resource for Watched {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        LoadTest::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        LoadTest::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        LoadTest::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        LoadTest::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.meta()
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.meta_mut()
    }
}

#[cfg(test)]
mod tests {
    use kube::core::{ObjectList, WatchEvent};

    use super::*;

    /// As the API server writes it, with an object of so many levels that somebody has applied.
    fn written(levels: usize) -> String {
        let nested =
            |key: &str| format!("{}{{}}{}", format!("{{\"{key}\":").repeat(levels), "}".repeat(levels));
        format!(
            r#"{{"apiVersion":"loadtest.artillery.io/v1alpha1","kind":"LoadTest","metadata":{{"name":"deep","namespace":"a","uid":"u","generation":3,"creationTimestamp":"2026-01-01T00:00:00Z","labels":{{"team":"x"}},"managedFields":[{{"manager":"kubectl","operation":"Update","fieldsType":"FieldsV1","fieldsV1":{}}}]}},"spec":{{"testScript":{{"config":{{"configMap":"test-script"}}}},"artillery":{{"variables":{}}}}}}}"#,
            nested("f:a"),
            nested("a"),
        )
    }

    #[test]
    fn one_that_is_nested_too_deep_hides_no_other() {
        let list = format!(
            r#"{{"apiVersion":"loadtest.artillery.io/v1alpha1","kind":"LoadTestList","metadata":{{}},"items":[{},{}]}}"#,
            written(5_000),
            written(1)
        );
        let list: ObjectList<Watched> = serde_json::from_str(&list).expect("a list");
        assert_eq!(list.items.len(), 2);
        let added = format!(r#"{{"type":"ADDED","object":{}}}"#, written(5_000));
        let Ok(WatchEvent::Added(Watched(load_test))) = serde_json::from_str(&added) else {
            panic!("an event")
        };
        assert_eq!(
            (load_test.name(), load_test.uid(), load_test.metadata.generation),
            ("deep", "u", Some(3))
        );
    }

    #[test]
    fn one_that_lacks_what_it_must_have_hides_no_other() {
        for spec in [
            r#""status":{}"#,
            r#""spec":{}"#,
            r#""spec":{"testScript":{"config":{}}}"#,
            r#""spec":{"count":9223372036854775807,"testScript":{"external":{"processor":{"main":{}}}}}"#,
        ] {
            let one = format!(r#"{{"metadata":{{"name":"old","namespace":"a","uid":"u"}},{spec}}}"#);
            let Watched(load_test) = serde_json::from_str(&one).expect(spec);
            let problem = loadtest::plan::config_maps(&load_test).expect_err(spec);
            assert_eq!(problem.reason, loadtest::plan::INVALID_SPEC, "{}", problem.message);
        }
    }

    #[test]
    fn all_else_is_read_as_of_any_load_test() {
        let mut whole: LoadTest = serde_json::from_str(&written(1)).expect("a LoadTest");
        (whole.metadata.managed_fields, whole.metadata.labels) = (None, None);
        let Watched(watched) = serde_json::from_str(&written(1)).expect("a LoadTest");
        assert_eq!(watched, whole);
    }
}
