//! The report of a load test in a cluster, as the operator stores it.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use loadtest::LoadTest;
use metrics::report::Document;

use super::Connection;
use crate::exit::Failure;

/// The key that it is under.
const REPORT: &str = "report.json";

/// The report of a load test that is over.
///
/// # Errors
/// It is not over, has no report, or that cannot be read.
pub async fn fetch(connection: &Connection, load_test: &LoadTest) -> Result<Document, Failure> {
    let name = load_test.name();
    let status = load_test.status.as_ref();
    if !status.is_some_and(loadtest::LoadTestStatus::is_over) {
        return Err(Failure::internal(format!(
            "the load test {name} is not over: {} waits for its report",
            connection.hint(&format!("wait {name}"))
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
    let json = map.data.and_then(|mut data| data.remove(REPORT));
    let json = json.ok_or_else(|| Failure::internal(format!("the ConfigMap {first} has no {REPORT}")))?;
    Document::parse(json.as_bytes())
        .map_err(|error| Failure::internal(format!("the report in the ConfigMap {first}: {error}")))
}
