//! `list`: the load tests in a cluster, with what came of them.

use kube::api::{ApiResource, DynamicObject, ListParams, TypeMeta};
use kube::{Api, ResourceExt as _};
use loadtest::api::PROGRESSING;
use loadtest::human_duration::human_duration;
use loadtest::{LoadTest, LoadTestSpec, Timestamp};
use serde_json::{Value, json};

use crate::cluster::Connection;
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, List, Listed};
use crate::terminal::{harmless, print, say};

/// So many are asked for at a time.
const PAGE: u32 = 100;
const COLUMNS: [&str; 9] =
    ["NAME", "COMPLETIONS", "DURATION", "VERDICT", "REQUESTS/S", "P95(MS)", "ERRORS", "PROGRESS", "AGE"];
const WIDE: [&str; 4] = ["ENVIRONMENT", "ACTIVE", "REPORTING", "IMAGE"];

pub async fn run(flags: &List, cluster: &Cluster) -> Result<Exit, Failure> {
    let connection = Connection::open(cluster).await?;
    match flags.output {
        Some(Listed::Json) => print(format_args!("{:#}", as_kubectl_lists(all(&connection, flags).await?)))?,
        Some(Listed::Yaml) => {
            let yaml = serde_saphyr::to_string(&as_kubectl_lists(all(&connection, flags).await?))
                .map_err(|error| Failure::internal(format!("cannot be written as YAML: {error}")))?;
            print(yaml.trim_end())?;
        }
        Some(Listed::Name | Listed::Wide) | None => show(&connection, flags).await?,
    }
    Ok(Exit::Passed)
}

/// Prints their names, or a table of them.
async fn show(connection: &Connection, flags: &List) -> Result<(), Failure> {
    let tests: Vec<_> = all(connection, flags).await?.into_iter().map(read).collect();
    match flags.output {
        Some(Listed::Name) => {
            for test in &tests {
                print(format_args!("loadtest.loadtest.artillery.io/{}", test.name()))?;
            }
        }
        output if !tests.is_empty() => {
            let is_wide = output == Some(Listed::Wide);
            let rows = rows(&tests, flags.all_namespaces, is_wide, Timestamp::now());
            for line in aligned(&rows) {
                print(line)?;
            }
        }
        _ if flags.all_namespaces => say("No load tests found"),
        _ => say(format_args!("No load tests found in namespace {}", connection.namespace)),
    }
    Ok(())
}

/// A load test, as far as it can be read: one that an older schema let in may lack what ours requires.
fn read(object: DynamicObject) -> LoadTest {
    let (metadata, status) = (object.metadata.clone(), object.data.get("status").cloned());
    let read = serde_json::to_value(object).and_then(serde_json::from_value::<LoadTest>);
    read.unwrap_or_else(|error| {
        let name = metadata.name.clone().unwrap_or_default();
        say(harmless(&format!("The load test {name} cannot be read whole: {error}")));
        let status = status.and_then(|status| serde_json::from_value(status).ok());
        LoadTest { metadata, status, ..LoadTest::new(&name, LoadTestSpec::default()) }
    })
}

/// As kubectl prints a list: not who set which field.
fn as_kubectl_lists(mut objects: Vec<DynamicObject>) -> Value {
    for object in &mut objects {
        object.metadata.managed_fields = None;
    }
    json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "" }, "items": objects })
}

/// The objects as the cluster has them, with what this program does not know; each says what it is.
async fn all(connection: &Connection, flags: &List) -> Result<Vec<DynamicObject>, Failure> {
    let resource = ApiResource::erase::<LoadTest>(&());
    let client = connection.client.clone();
    let api: Api<DynamicObject> = match flags.all_namespaces {
        true => Api::all_with(client, &resource),
        false => Api::namespaced_with(client, &connection.namespace, &resource),
    };
    let mut params = ListParams { limit: Some(PAGE), ..ListParams::default() };
    params.label_selector.clone_from(&flags.selector);
    let mut tests = Vec::new();
    loop {
        let page = api.list(&params).await.map_err(|error| connection.refused("list load tests", &error))?;
        tests.extend(page.items.into_iter().map(|object| typed(object, &resource)));
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok(tests);
        }
    }
}

/// Items of a list need not say what they are.
fn typed(object: DynamicObject, resource: &ApiResource) -> DynamicObject {
    let (api_version, kind) = (resource.api_version.clone(), resource.kind.clone());
    DynamicObject { types: Some(TypeMeta { api_version, kind }), ..object }
}

fn rows(tests: &[LoadTest], with_namespace: bool, is_wide: bool, now: Timestamp) -> Vec<Vec<String>> {
    let wide: &[&str] = if is_wide { &WIDE } else { &[] };
    let namespace: &[&str] = if with_namespace { &["NAMESPACE"] } else { &[] };
    let heads = namespace.iter().chain(&COLUMNS).chain(wide).map(|head| (*head).to_owned()).collect();
    let row = |test: &LoadTest| {
        let status = test.status.clone().unwrap_or_default();
        let metrics = status.metrics.clone().unwrap_or_default();
        let has_metrics = status.metrics.is_some();
        let http = metrics.http.as_ref();
        let number = |n: Option<i64>| n.map(|n| n.to_string());
        let progress = status.condition(PROGRESSING).and_then(|condition| condition.reason.clone());
        let created = test.metadata.creation_timestamp.as_ref().map(|at| at.0);
        let mut cells = Vec::new();
        if with_namespace {
            cells.push(test.namespace());
        }
        cells.extend([
            Some(test.name().to_owned()),
            status.completions.clone(),
            status.duration.clone(),
            status.verdict.map(|verdict| format!("{verdict:?}")),
            number(http.and_then(|http| http.requests_per_second)),
            number(http.and_then(|http| http.response_time_milliseconds.as_ref()).map(|times| times.p95)),
            number(has_metrics.then_some(metrics.errors)),
            progress,
            created.map(|created| human_duration(now.as_second() - created.as_second())),
        ]);
        if is_wide {
            cells.extend([
                test.spec.environment.clone(),
                Some(status.active.to_string()),
                status.workers.as_ref().map(|workers| format!("{}/{}", workers.reporting, workers.planned)),
                status.image.clone(),
            ]);
        }
        // some are free text
        cells.into_iter().map(|cell| cell.map_or_else(|| "-".to_owned(), |cell| harmless(&cell))).collect()
    };
    std::iter::once(heads).chain(tests.iter().map(row)).collect()
}

/// Cells below each other, as kubectl has them.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_listed_whole_but_for_who_set_which_field() {
        // as of a newer operator
        let object = json!({
            "metadata": { "name": "a", "namespace": "shop", "managedFields": [{ "manager": "kubectl" }] },
            "spec": { "testScript": {}, "isNew": [1] }, "status": { "isNew": true },
        });
        let object = serde_json::from_value(object).expect("an object");
        let listed = as_kubectl_lists(vec![typed(object, &ApiResource::erase::<LoadTest>(&()))]);
        let item = json!({
            "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest",
            "metadata": { "name": "a", "namespace": "shop" },
            "spec": { "testScript": {}, "isNew": [1] }, "status": { "isNew": true },
        });
        let list = json!({ "apiVersion": "v1", "kind": "List", "metadata": { "resourceVersion": "" }, "items": [item] });
        assert_eq!(listed, list);
    }

    #[test]
    fn one_that_cannot_be_read_hides_no_other_and_shows_what_is_known_of_it() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().expect("a time");
        let object = |value: Value| {
            let object = serde_json::from_value(value).expect("an object");
            read(typed(object, &ApiResource::erase::<LoadTest>(&())))
        };
        let metadata = |name: &str| json!({ "name": name, "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z" });
        let spec = json!({ "testScript": { "config": { "configMap": "a" } } });
        let status = json!({ "completions": "1/1", "duration": "5s" });
        let tests = [
            object(json!({ "metadata": metadata("a"), "status": status })),
            object(
                json!({ "metadata": metadata("b"), "spec": { "count": "two" }, "status": { "active": "x" } }),
            ),
            object(json!({ "metadata": metadata("c"), "spec": spec, "status": status })),
        ];
        assert_eq!(
            aligned(&rows(&tests, false, false, now)),
            [
                "NAME   COMPLETIONS   DURATION   VERDICT   REQUESTS/S   P95(MS)   ERRORS   PROGRESS   AGE",
                "a      1/1           5s         -         -            -         -        -          10m",
                "b      -             -          -         -            -         -        -          10m",
                "c      1/1           5s         -         -            -         -        -          10m",
            ]
        );
    }

    #[test]
    fn what_is_known_stands_below_its_head_and_what_is_not_is_a_dash() {
        let now: Timestamp = "2026-01-01T00:10:00Z".parse().expect("a time");
        let test = |value| serde_json::from_value::<LoadTest>(value).expect("a load test");
        let spec = json!({ "testScript": { "config": { "configMap": "a" } } });
        let tests = [
            test(json!({
                "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "spec": spec,
                "metadata": { "name": "checkout", "namespace": "shop", "creationTimestamp": "2026-01-01T00:00:00Z" },
                "status": {
                    "completions": "2/2", "duration": "55s", "verdict": "Passed", "active": 0,
                    "conditions": [{ "type": "Progressing", "status": "False", "reason": "Succeeded" }],
                    "metrics": { "errors": 1, "http": { "requests": 90, "requestsPerSecond": 9, "responseTimeMilliseconds": { "p50": 1, "p95": 31, "p99": 4 } } },
                },
            })),
            test(json!({
                "apiVersion": "loadtest.artillery.io/v1alpha1", "kind": "LoadTest", "spec": spec,
                "metadata": { "name": "b", "namespace": "shop", "creationTimestamp": "2026-01-01T00:09:30Z" },
            })),
        ];
        let lines = aligned(&rows(&tests, false, false, now));
        assert_eq!(
            lines,
            [
                "NAME       COMPLETIONS   DURATION   VERDICT   REQUESTS/S   P95(MS)   ERRORS   PROGRESS    AGE",
                "checkout   2/2           55s        Passed    9            31        1        Succeeded   10m",
                "b          -             -          -         -            -         -        -           30s",
            ]
        );
        let lines = aligned(&rows(&tests, true, true, now));
        assert!(lines[0].starts_with("NAMESPACE   NAME") && lines[0].ends_with("IMAGE"), "{}", lines[0]);
    }
}
