//! The operator's metrics as Prometheus reads them: through the Service, with a token that the ClusterRole allows.

use std::time::Duration;

use e2e::{Bed, cluster};
use testbed::eventually::eventually;
use testbed::scrape::scrape;

#[tokio::test]
async fn metrics_are_read_by_those_who_are_bound_to_metrics_reader_and_by_nobody_else() {
    let bed = Bed::new("metrics").await;
    bed.kubectl(&["create", "serviceaccount", "prometheus"]);
    bed.kubectl(&["create", "serviceaccount", "stranger"]);
    let _binding = Binding::new("e2e-metrics-reader", &format!("{}:prometheus", bed.namespace));

    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("port-forward.log");
    let service = "service/artillery-operator-controller-manager-metrics-service";
    let mut forward =
        cluster().port_forward("artillery-operator-system", service, 8443, &log).expect("kubectl");
    let said = async || std::fs::read_to_string(&log).expect("a log");
    let said = eventually("a forwarded port", Duration::from_secs(30), said, |said| {
        said.contains("Forwarding from 127.0.0.1:") && said.contains('\n')
    })
    .await;
    let port = said.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next()).expect("a port");
    let server = format!("https://127.0.0.1:{port}");

    let token = |account: &str| bed.kubectl(&["create", "token", account]).trim().to_owned();
    let metrics = scrape(&server, Some(&token("prometheus"))).await.expect("an answer").expect("metrics");
    assert!(metrics.contains("leader_election_master_status"), "{metrics}");
    assert_eq!(scrape(&server, Some(&token("stranger"))).await.expect("an answer"), Err(403));
    assert_eq!(scrape(&server, None).await.expect("an answer"), Err(401));
    forward.kill().expect("killed");
    forward.wait().expect("dead");
}

/// A binding of a ServiceAccount to the ClusterRole; it goes with this.
struct Binding(&'static str);

impl Binding {
    fn new(name: &'static str, account: &str) -> Self {
        let _ = cluster().kubectl(&["delete", "clusterrolebinding", name]); // of an earlier run that was killed
        let role = "--clusterrole=artillery-operator-metrics-reader";
        let account = format!("--serviceaccount={account}");
        cluster().kubectl(&["create", "clusterrolebinding", name, role, &account]).expect("a binding");
        Self(name)
    }
}

impl Drop for Binding {
    fn drop(&mut self) {
        if let Err(error) = cluster().kubectl(&["delete", "clusterrolebinding", self.0]) {
            eprintln!("the binding {} stays: {error}", self.0);
        }
    }
}
