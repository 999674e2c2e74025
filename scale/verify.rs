//! Whether what the operator says of many load tests is right: their status, their Jobs and their events.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Event;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, ResourceExt as _};

use crate::shapes::{Shape, load_test_kind};
use crate::within;

/// Up to so many workers of a test have an event each; where there are more, one more counts them.
const NAMED_WORKERS: usize = 100;
/// How many objects a page of a list has.
const PAGE: u32 = 500;

/// Looks at every load test of a namespace.
///
/// # Errors
/// The first thing that is wrong.
pub async fn verify(client: &kube::Client, namespace: &str, shape: Shape) -> Result<()> {
    let Shape { tests, workers } = shape;
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &load_test_kind());
    let load_tests = all(&api, &ListParams::default()).await?;
    ensure!(load_tests.len() == tests, "{} of {tests} LoadTests are there", load_tests.len());
    let jobs: Api<Job> = Api::namespaced(client.clone(), namespace);
    let jobs = all(&jobs, &ListParams::default()).await?;
    ensure!(jobs.len() == tests, "{tests} LoadTests have {} Jobs", jobs.len());
    let uids: BTreeMap<String, Option<String>> = jobs.iter().map(|job| (job.name_any(), job.uid())).collect();
    for test in &load_tests {
        let (name, status) = (test.name_any(), &test.data["status"]);
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let completed = conditions.into_iter().find(|c| c["type"] == "Completed");
        ensure!(completed.is_some_and(|c| c["reason"] == "Succeeded"), "{name} has not succeeded: {status}");
        ensure!(status["completions"] == format!("{workers}/{workers}"), "{name}: {status}");
        ensure!(status["failed"] == 0 && status["active"] == 0, "{name}: {status}");
        let recorded = status["jobUID"].as_str().map(str::to_owned);
        ensure!(recorded.is_some() && uids.get(&name) == Some(&recorded), "{name} has another Job: {status}");
    }
    let running = if workers > NAMED_WORKERS { NAMED_WORKERS + 1 } else { workers };
    let expected = BTreeMap::from([("Created", 1), ("Running", running), ("Completed", 1)]);
    let expected: BTreeMap<String, usize> =
        expected.into_iter().map(|(reason, n)| (reason.to_owned(), n)).collect();
    let events: Api<Event> = Api::namespaced(client.clone(), namespace);
    // the last ones are written after the status
    let mut wrong = Vec::new();
    let complete = within(Duration::from_secs(60), "all events are there", async || {
        let mut said: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        for event in all(&events, &ListParams::default().fields("involvedObject.kind=LoadTest")).await? {
            let of_test = said.entry(event.involved_object.name.unwrap_or_default()).or_default();
            *of_test.entry(event.reason.unwrap_or_default()).or_default() += 1;
        }
        wrong = said.iter().filter(|(_, events)| **events != expected).map(|w| format!("{w:?}")).collect();
        Ok(wrong.is_empty() && said.len() == tests)
    })
    .await;
    complete.map_err(|error| error.context(format!("not {expected:?}: {:?}", wrong.first())))
}

/// All objects of a list, page by page.
async fn all<K>(api: &Api<K>, params: &ListParams) -> Result<Vec<K>>
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let mut all = Vec::new();
    let mut params = params.clone().limit(PAGE);
    loop {
        let page = api.list(&params).await?;
        all.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(all),
        }
    }
}
