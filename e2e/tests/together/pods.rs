//! What `spec.worker` says of pods, read off live ones, and out of them.

use std::path::Path;

use e2e::{Bed, cluster, in_summary, on_a_laptop};
use serde_json::{Value, json};

/// Whether a node of the user's own has the label or the taint that the example's pool has: undoing would take it away.
fn has_a_pool() -> bool {
    let path = r#"jsonpath={.items[*].metadata.labels.pool}{.items[*].spec.taints[?(@.key=="pool")].key}"#;
    !cluster().kubectl(&["get", "nodes", "-o", path]).expect("the nodes").is_empty()
}

/// A node that takes nothing but load, until this is dropped.
struct Pool {
    node: String,
}

impl Pool {
    fn new() -> Self {
        let path = r#"jsonpath={range .items[*]}{.metadata.name} {.spec.taints[*].effect}{"\n"}{end}"#;
        let nodes = cluster().kubectl(&["get", "nodes", "-o", path]).expect("the nodes");
        let free = nodes.lines().rfind(|node| !node.contains("NoSchedule")).expect("a node for pods");
        let pool = Self { node: free.split(' ').next().unwrap_or_default().to_owned() };
        cluster().kubectl(&["label", "node", &pool.node, "pool=load"]).expect("a label");
        cluster().kubectl(&["taint", "node", &pool.node, "pool=load:NoSchedule"]).expect("a taint");
        pool
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for undo in [["taint", "node", &self.node, "pool-"], ["label", "node", &self.node, "pool-"]] {
            if let Err(error) = cluster().kubectl(&undo) {
                eprintln!("{} stays in the pool: {error:#}", self.node);
            }
        }
    }
}

/// What a process in a worker's container finds there, as one line of JSON.
const FOUND: &str = r"
    const fs = require('node:fs');
    const read = (path) => (fs.existsSync(path) ? Number(fs.readFileSync(path)) : undefined);
    fs.writeFileSync('/scratch/mine', 'x');
    console.log(JSON.stringify({
      user: process.getuid(), product: process.env.PRODUCT, options: process.env.NODE_OPTIONS,
      heap: Math.round(require('node:v8').getHeapStatistics().heap_size_limit / 2 ** 20),
      memory: (read('/sys/fs/cgroup/memory.max') ?? read('/sys/fs/cgroup/memory/memory.limit_in_bytes')) / 2 ** 20,
    }));";

#[tokio::test]
async fn what_the_spec_says_of_pods_is_so_in_live_ones() {
    if !cluster().is_ours() && has_a_pool() {
        return println!("not tried: a node of the user's own has a label or taint `pool`");
    }
    // while the pool is there, nobody else needs its node
    let bed = Bed::alone_with_target("example-pods").await;
    let typed = ["--target", "http://TARGET", "script.yaml"];
    let environment = [("PRODUCT", "7")];
    let alone = on_a_laptop(Path::new("examples/pods"), &typed, &environment);
    let (alone, ()) = tokio::join!(alone, looked_at(&bed));
    let report = bed.report("pods");
    let seen = cluster().target_counts(&bed.namespace).expect("the target's counts");
    let expected = 2 * in_summary(&alone.log, "http.codes.200");
    assert_eq!((report.counter("http.codes.200"), seen.count("GET", "/products/7")), (expected, expected));
}

async fn looked_at(bed: &Bed) {
    let pool = Pool::new();
    bed.kubectl(&["apply", "-k", "examples/pods"]);
    let workers = bed.until_running("pods", 2).await;
    // of one: the other may have ended meanwhile
    let found = bed.kubectl(&["exec", &workers[0], "--", "node", "-e", FOUND]);
    let found: Value = serde_json::from_str(&found).expect("one line of JSON");
    assert_eq!(found["user"], 10_001, "{found}");
    assert_eq!(found["product"], "7", "{found}");
    assert_eq!(found["memory"].as_f64(), Some(1200.0), "{found}");
    // the old space, and some of the new
    assert!(found["heap"].as_u64().is_some_and(|heap| (800..1000).contains(&heap)), "{found}");
    let options = found["options"].as_str().unwrap_or_default();
    assert!(options.contains("--import") && options.contains("--max-old-space-size=800"), "{found}");
    for worker in &workers {
        let pod = bed.kubectl(&["get", "pod", worker, "-o", "json"]);
        let pod: Value = serde_json::from_str(&pod).expect("a pod");
        let (spec, container) = (&pod["spec"], &pod["spec"]["containers"][0]);
        assert_eq!(
            spec["nodeName"],
            pool.node.as_str(),
            "the one node with that label, which takes nothing else"
        );
        assert_eq!(pod["metadata"]["labels"]["team"], "shop");
        assert_eq!(pod["metadata"]["annotations"]["example.com/budget"], "42");
        assert_eq!(container["imagePullPolicy"], "IfNotPresent");
        assert_eq!(container["resources"]["requests"], json!({ "cpu": "150m", "memory": "600Mi" }));
        let spread = spec["topologySpreadConstraints"].as_array().expect("constraints");
        assert!(
            matches!(&spread[..], [it] if it["topologyKey"] == "topology.kubernetes.io/zone"),
            "{spread:?}"
        );
    }
    bed.until_over("pods").await;
    assert_eq!(bed.verdict("pods").verdict, "Passed", "{:?}", bed.verdict("pods"));
}
