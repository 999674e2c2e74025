//! A node whose network cable is pulled while one of two workers runs there.

use std::time::{Duration, Instant};

use e2e::{Run, Worker, cluster};
use testbed::eventually::eventually;
use tokio::time::sleep;

use crate::report::Row;
use crate::watch::{NEVER, Watch};

/// How long a node that comes back is away.
const AWAY: Duration = Duration::from_secs(20);
/// The manager's namespace.
const SYSTEM: &str = "artillery-operator-system";

/// A bed on two nodes: cluster DNS, manager and target are at home, so that only a worker is lost with the other.
struct Nodes {
    watch: Watch,
    away: String,
}

impl Nodes {
    async fn new(name: &str) -> Self {
        let kubectl = |args: &[&str]| cluster().kubectl(args).expect("kubectl");
        let dns = kubectl(&[
            "-n",
            "kube-system",
            "get",
            "pods",
            "-l",
            "k8s-app=kube-dns",
            "-o",
            "jsonpath={.items[0].spec.nodeName}",
        ]);
        let nodes = kubectl(&["get", "nodes", "-o", "jsonpath={.items[*].metadata.name}"]);
        let away = nodes.split(' ').find(|node| *node != dns).expect("a second node").to_owned();
        kubectl(&["cordon", &away]);
        let watch = Watch::new(name).await;
        let manager = "deployment/artillery-operator-controller-manager";
        kubectl(&["-n", SYSTEM, "rollout", "restart", manager]);
        kubectl(&["-n", SYSTEM, "rollout", "status", manager, "--timeout=120s"]);
        kubectl(&["uncordon", &away]);
        Self { watch, away }
    }

    /// Starts a test and waits until both workers send; returns that at home, and the other.
    async fn start(&self, name: &str, seconds: u64) -> (Run<'_>, Worker, Worker) {
        let run = Run::start(&self.watch.bed, name, 2, seconds);
        let (mut away, mut home): (Vec<_>, Vec<_>) =
            run.until_sending().await.into_iter().partition(|worker| worker.node == self.away);
        assert!(away.len() == 1 && home.len() == 1, "a worker on each node: {away:?} {home:?}");
        (run, home.remove(0), away.remove(0))
    }
}

/// A node without its cable, which it gets back in the end.
struct Cut<'a>(&'a str);

impl<'a> Cut<'a> {
    fn new(node: &'a str) -> Self {
        cluster().fault(&["cut", node]).expect("cut");
        Self(node)
    }
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        if let Err(error) = cluster().fault(&["heal", self.0]) {
            eprintln!("{} stays cut off: {error}", self.0);
        }
    }
}

/// The node is away for a while; its worker runs on there.
pub async fn cut_and_back() -> Row {
    let how = format!(
        "for {} s, while one of the two workers runs there; what that one sends meanwhile gets nowhere",
        AWAY.as_secs()
    );
    let mut row = Row::new("node cut off and back", &how);
    let nodes = Nodes::new("node-cut").await;
    for test in ["t0", "t1"] {
        let (run, home, _) = nodes.start(test, 50).await;
        let cut = Cut::new(&nodes.away);
        sleep(AWAY).await; // the outage itself
        drop(cut);
        row.had(nodes.watch.until_true(&run, 2, Instant::now()).await);
        assert_eq!(nodes.watch.bed.until_over(test).await, "Succeeded");
        nodes.watch.bed.until_events(test, &["Completed", "Created", "Running", "Running"]).await;
        row.add(run.account(&[home]));
        until_ready(&nodes.away).await;
    }
    row
}

/// The node never comes back: its pod is Terminating for as long as the node is there.
pub async fn cut_for_good() -> Row {
    let how = "while one of the two workers runs there; since the cut, of which the node's grace, the toleration and \
        the pod's grace period are Kubernetes' part";
    let mut row = Row::new("node cut off for good", how);
    let nodes = Nodes::new("node-lost").await;
    let (run, home, away) = nodes.start("lost", 20).await;
    let cut = Cut::new(&nodes.away);
    row.had(nodes.watch.until_over_for(&run, "WorkersFailed", Instant::now()).await);
    let bed = &nodes.watch.bed;
    assert_eq!(bed.of_test("lost", "{.status.completions} {.status.failed}"), "1/2 1");
    let going = bed.kubectl(&["get", "pod", &away.pod, "-o", "jsonpath={.metadata.deletionTimestamp}"]);
    assert!(!going.is_empty(), "{} is Terminating: that is why it was lost", away.pod);
    row.add(run.account(&[home]));
    let over = bed.of_test("lost", "{.status}");
    drop(cut);
    until_ready(&nodes.away).await;
    // once the node says what became of the pod, that is no news to a test that is over
    let pods = async || bed.workers("lost");
    eventually("the lost pod is gone", NEVER, pods, |pods| !pods.contains(&away.pod)).await;
    nodes.watch.until_over_for(&run, "WorkersFailed", Instant::now()).await;
    assert_eq!(bed.of_test("lost", "{.status}"), over, "a test that is over is left alone");
    row
}

async fn until_ready(node: &str) {
    let path = "jsonpath={.status.conditions[?(@.type==\"Ready\")].status}";
    let ready = async || cluster().kubectl(&["get", "node", node, "-o", path]).unwrap_or_default();
    eventually("the node is ready", NEVER, ready, |ready| ready == "True").await;
}
