//! The report of a load test in a cluster, as the operator stores it.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use loadtest::LoadTest;
use metrics::report::Document;

use super::patience::{PATIENCE, at_last};
use super::{Connection, is_lost};
use crate::exit::Failure;

/// The key that it is under.
const REPORT: &str = "report.json";

/// The report of a load test that is over. A cluster that does not answer is asked again for a while.
///
/// # Errors
/// It is not over, has no report, or that cannot be read.
pub async fn fetch(connection: &Connection, load_test: &LoadTest) -> Result<Document, Failure> {
    fetch_within(PATIENCE, connection, load_test).await
}

async fn fetch_within(
    patience: Duration,
    connection: &Connection,
    load_test: &LoadTest,
) -> Result<Document, Failure> {
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
    let map = at_last(patience, async || maps.get(first).await).await.map_err(|error| {
        if matches!(&error, kube::Error::Api(status) if status.code == 404) {
            return Failure::internal(format!(
                "the report of the load test {name} is gone: somebody deleted the ConfigMap {first}"
            ));
        }
        let refused = connection.refused(&format!("read the report of the load test {name}"), &error);
        if !is_lost(&error) {
            return refused;
        }
        let report = connection.hint(&format!("report {name} --report FILE"));
        refused.and(&format!("it stays in the cluster: {report} writes it"))
    })?;
    let json = map.data.and_then(|mut data| data.remove(REPORT));
    let json = json.ok_or_else(|| Failure::internal(format!("the ConfigMap {first} has no {REPORT}")))?;
    // there it takes as little room as it can; here it is for people, as on a machine of their own
    Document::parse(laid_out(&json).as_bytes())
        .map_err(|error| Failure::internal(format!("the report in the ConfigMap {first}: {error}")))
}

/// JSON over lines, as `serde_json` lays it out, every number as it is written; what is none stays none.
fn laid_out(json: &str) -> String {
    let mut text = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let (mut is_text, mut is_escaped, mut is_empty) = (false, false, false);
    let line = |text: &mut String, depth: usize| {
        text.push('\n');
        text.extend(std::iter::repeat_n("  ", depth));
    };
    for c in json.chars() {
        if is_text {
            is_text = c != '"' || is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            text.push(c);
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        let closes = matches!(c, '}' | ']');
        if closes {
            depth = depth.saturating_sub(1);
        }
        // what is empty stays on its line
        if is_empty != closes {
            line(&mut text, depth);
        }
        is_empty = false;
        text.push(c);
        match c {
            '{' | '[' => (depth, is_empty) = (depth + 1, true),
            ',' => line(&mut text, depth),
            ':' => text.push(' '),
            '"' => is_text = true,
            _ => {}
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::bare;
    use super::*;

    fn over() -> LoadTest {
        let mut load_test = LoadTest::new("checkout", loadtest::LoadTestSpec::default());
        let status = json!({
            "conditions": [{ "type": "Completed", "status": "True" }], "report": { "configMaps": ["checkout-report"] },
        });
        load_test.status = Some(serde_json::from_value(status).expect("a status"));
        load_test
    }

    #[tokio::test]
    async fn an_outage_of_a_moment_does_not_cost_a_report_and_a_longer_one_leaves_it_where_it_is() {
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "checkout-report" },
            "data": { REPORT: r#"{"aggregate": {"counters": {"http.requests": 7}}}"# },
        });
        let connection = Connection::to_one_that_answers(vec![bare(500), bare(502), (200, map)]).await;
        let document = fetch(&connection, &over()).await.expect("it is read");
        assert_eq!(document.aggregate.counters["http.requests"], 7.0);
        let connection = Connection::to_one_that_answers(vec![bare(500)]).await;
        let failure = fetch_within(Duration::ZERO, &connection, &over()).await.expect_err("not for ever");
        let said = "cannot read the report of the load test checkout: the cluster answers 500: no; it stays in the cluster: kubectl artillery report checkout --report FILE -n shop --context test writes it";
        assert_eq!((failure.exit.code(), failure.to_string().as_str()), (4, said));
        let connection = Connection::to_one_that_answers(vec![bare(404), bare(500)]).await;
        let failure = fetch(&connection, &over()).await.expect_err("it is gone");
        assert_eq!(failure.exit.code(), 3);
    }

    #[test]
    fn a_report_of_a_cluster_is_laid_out_as_one_of_this_machine() {
        let report = json!({
            "aggregate": { "counters": { "a\"b\\": 1.5e300, "[,]:{": -0.1 }, "empty": {}, "none": [] },
            "list": [1, [2, {}], { "deep": [[]] }, "\\", "\n", null, true],
        });
        let pretty = format!("{report:#}\n");
        assert_eq!(laid_out(&report.to_string()), pretty);
        assert_eq!(laid_out(&pretty), pretty);
        assert_eq!(laid_out("[0.30000000000000004,1e5]"), "[\n  0.30000000000000004,\n  1e5\n]\n");
        assert!(Document::parse(laid_out("{]").as_bytes()).is_err());
    }
}
