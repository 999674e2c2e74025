//! The report of a load test in a cluster, as the operator stores it.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use loadtest::LoadTest;
use metrics::report::Document;

use super::Connection;
use crate::exit::Failure;

/// A report as it is stored.
#[derive(Debug)]
pub struct Stored {
    /// `report.json`, to the letter.
    pub json: String,
    /// `report.txt`, to the letter.
    pub text: String,
    /// The same, as it is read.
    pub document: Document,
}

impl Stored {
    /// The report of a load test that is over.
    ///
    /// # Errors
    /// It is not over, has no report, or that cannot be read.
    pub async fn fetch(connection: &Connection, load_test: &LoadTest) -> Result<Self, Failure> {
        let name = load_test.name();
        let status = load_test.status.as_ref();
        if !status.is_some_and(loadtest::LoadTestStatus::is_over) {
            return Err(Failure::internal(format!(
                "the load test {name} is not over: kubectl artillery wait {name} waits for its report"
            )));
        }
        let first =
            status.and_then(|status| status.report.as_ref()).and_then(|report| report.config_maps.first());
        let first = first.ok_or_else(|| {
            let said = status.and_then(|status| status.condition(loadtest::api::PASSED));
            let said =
                said.and_then(|condition| condition.message.as_deref()).unwrap_or("nothing is said of why");
            Failure::internal(format!("the load test {name} has no report: {said}"))
        })?;
        let maps: Api<ConfigMap> = Api::namespaced(connection.client.clone(), &connection.namespace);
        let map = maps.get(first).await.map_err(|error| match &error {
            kube::Error::Api(status) if status.code == 404 => Failure::internal(format!(
                "the report of the load test {name} is gone: somebody deleted the ConfigMap {first}"
            )),
            _ => connection.refused(&format!("read the report of the load test {name}"), &error),
        })?;
        let mut data = map.data.unwrap_or_default();
        let mut take = |key: &str| {
            data.remove(key).ok_or_else(|| Failure::internal(format!("the ConfigMap {first} has no {key}")))
        };
        let (json, text) = (take("report.json")?, take("report.txt")?);
        let document = Document::parse(json.as_bytes())
            .map_err(|error| Failure::internal(format!("the report in the ConfigMap {first}: {error}")))?;
        Ok(Self { json, text, document })
    }
}
