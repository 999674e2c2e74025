//! The manager as a process: probes, metrics, Lease, log lines, and an end within 5 s. A binary with an API server of its
//! own, for several managers act here.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

#[allow(dead_code, reason = "shared with the tests of the controller, which use all of it")]
#[path = "api/bed.rs"]
mod bed;
#[allow(dead_code, reason = "shared with the tests that kill it")]
#[path = "common/manager.rs"]
mod process;

use std::net::TcpListener;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use testbed::api_server::As;
use testbed::eventually::eventually;
use testbed::scrape::scrape;

use bed::{API, Bed, SOON};
use process::{Manager, free_addresses, get};

async fn holder() -> Option<String> {
    let client = API.client(As::Admin).await.expect("a client");
    let leases: Api<Lease> = Api::namespaced(client, "artillery-operator-system");
    leases.get_opt("84f84c74.artillery.io").await.expect("an answer").and_then(|l| l.spec?.holder_identity)
}

#[tokio::test]
async fn a_manager_leads_stands_by_hands_over_and_ends_within_5_s() {
    drop(Bed::without_controller().await);
    let elect = ["--leader-elect", "--leader-election-namespace=artillery-operator-system"];
    let mut first = Manager::start("manager-1", &elect);
    first.until_ready().await;
    eventually("the first leads", SOON, holder, |h| h.as_deref().is_some_and(|h| h.starts_with("manager-1")))
        .await;

    let mut second = Manager::start("manager-2", &elect);
    second.until_ready().await;
    let (status, body) = get(second.metrics, "/metrics").await.expect("metrics");
    assert!(
        status.contains("200")
            && body.contains("leader_election_master_status{name=\"84f84c74.artillery.io\"} 0"),
        "{status}\n{body}"
    );

    let (took, code) = first.terminate();
    assert!(took < Duration::from_secs(5) && code == Some(0), "{took:?} {code:?}\n{}", first.log());
    // it gave the Lease back, so that nobody waits for it to expire
    eventually("the second leads", SOON, holder, |h| {
        h.as_deref().is_some_and(|h| h.starts_with("manager-2"))
    })
    .await;
    let (took, code) = second.terminate();
    assert!(took < Duration::from_secs(5) && code == Some(0), "{took:?} {code:?}\n{}", second.log());
}

#[tokio::test]
async fn log_lines_name_the_object_in_text_and_in_json() {
    let bed = Bed::new().await;
    for (name, more) in [("text", &[][..]), ("json", &["--log-format=json"][..])] {
        let manager = Manager::start(&format!("manager-{name}"), more);
        manager.until_ready().await;
        // it takes part in the work, or finds it done: either way it reads the LoadTest
        let debug = Manager::start(
            &format!("manager-{name}-debug"),
            &[more, &["--log-level=operator=debug"]].concat(),
        );
        bed.load_test(name, 1).await;
        let lines = async || debug.log();
        let decided = eventually("a decision", SOON, lines, |log| {
            log.lines()
                .any(|line| line.contains("decided") && line.contains(&format!("{}/{name}", bed.namespace)))
        })
        .await;
        // every line of a reconcile names its object
        for line in decided.lines().filter(|line| line.contains("operator::controller")) {
            assert!(line.contains("loadtest\":\"") || line.contains("loadtest=\""), "{line}");
        }
        if name == "json" {
            for line in decided.lines() {
                serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            }
        }
    }
}

#[tokio::test]
async fn a_manager_that_starts_looks_at_every_load_test_that_is_there() {
    let bed = Bed::new().await;
    let names: Vec<String> = (0..40).map(|i| format!("t{i}")).collect();
    for name in &names {
        bed.load_test(name, 1).await;
    }
    bed.script().await;
    for name in &names {
        bed.until_reason(name, "WorkersStarting").await;
    }
    let manager = Manager::start("manager-late", &["--log-level=operator=debug"]);
    let missing = async || {
        let log = manager.log();
        let is_missing = |name: &&String| !log.contains(&format!("\"{}/{name}\"", bed.namespace));
        names.iter().filter(is_missing).cloned().collect::<Vec<_>>()
    };
    eventually("every LoadTest is looked at", SOON, missing, Vec::is_empty).await;
}

#[tokio::test]
async fn metrics_over_tls_are_for_those_whom_the_api_server_lets_read_them() {
    let bed = Bed::without_controller().await;
    API.kubectl(&["-n", &bed.namespace, "create", "serviceaccount", "scraper"]).expect("a ServiceAccount");
    let role = "--clusterrole=artillery-operator-metrics-reader";
    let account = format!("--serviceaccount={}:scraper", bed.namespace);
    API.kubectl(&["create", "clusterrolebinding", "scraper", role, &account]).expect("a binding");
    let token = |account: &str| {
        API.kubectl(&["-n", &bed.namespace, "create", "token", account]).expect("a token").trim().to_owned()
    };
    let [address] = free_addresses();
    let manager = Manager::start("manager-secure", &[&format!("--metrics-secure-bind-address={address}")]);
    manager.until_ready().await;
    for (token, code) in [
        (Some(token("scraper")), 200),
        (Some(token("default")), 403),
        (Some("forged".to_owned()), 401),
        (None, 401),
    ] {
        match scrape(&format!("https://{address}"), token.as_deref()).await.expect("an answer") {
            Ok(text) => {
                assert!(code == 200 && text.contains("controller_runtime_reconcile"), "{token:?}: {text}")
            }
            Err(refused) => assert_eq!(refused, code, "{token:?}"),
        }
    }
}

#[tokio::test]
async fn a_manager_without_its_rights_is_alive_and_not_ready_and_says_why() {
    drop(Bed::without_controller().await);
    let manager = Manager::start_as(As::Stranger, "manager-stranger", &[]);
    let healthy =
        async || get(manager.health, "/healthz").await.is_some_and(|(status, _)| status.contains("200"));
    eventually("alive", SOON, healthy, |healthy| *healthy).await;
    let why = "cannot collect what workers measure yet, and no load test is looked at before";
    eventually(
        "the reason",
        SOON,
        async || manager.log(),
        |log| log.contains(why) && log.contains("forbidden"),
    )
    .await;
    let (status, body) = get(manager.health, "/readyz").await.expect("an answer");
    assert!(status.contains("503") && body.contains("not synced"), "{status} {body}");
}

#[tokio::test]
async fn a_manager_that_cannot_begin_says_why() {
    drop(Bed::without_controller().await);
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address");
    let mut manager = Manager::start("manager-taken", &[&format!("--metrics-secure-bind-address={address}")]);
    assert_eq!(manager.child.wait().expect("an end").code(), Some(1));
    assert!(
        manager.log().contains(&format!("--metrics-secure-bind-address={address}: cannot listen there")),
        "{}",
        manager.log()
    );
}
