//! The fake nodes: kwok plays them and the pods on them, and the API server's own admission sends a namespace's pods there.

use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::Api;
use kube::api::{ListParams, PostParams};
use serde_json::json;
use testbed::cluster::repository;
use testbed::process;

use crate::within;

/// The label of a fake node, by which pods are sent there, and the key of its taint, by which others stay away.
const FAKE: &str = "scale.artillery.io/fake";

/// kwok, which ends with this.
pub struct Fakes(Child);

impl Fakes {
    /// Starts kwok, whose pods run for `worker`, and makes so many nodes of room for `pods_per_node` pods each.
    ///
    /// # Errors
    /// kwok cannot be built or started, or its nodes do not become ready.
    pub async fn start(
        client: &kube::Client,
        nodes: u32,
        pods_per_node: u32,
        worker: Duration,
    ) -> Result<Self> {
        let build = process::output(Command::new("hack/scale/build").current_dir(repository()))?;
        let folder = repository().join("target/scale");
        std::fs::create_dir_all(&folder)?;
        let stages = std::fs::read_to_string(repository().join("hack/scale/stages.yaml"))?;
        let config = folder.join("stages.yaml");
        std::fs::write(&config, stages.replace("WORKER_MILLISECONDS", &worker.as_millis().to_string()))?;
        let kubeconfig = std::env::var("HACK_CLUSTER_KUBECONFIG")
            .context("no cluster with fake nodes: run `make scale`")?;
        let args = [
            format!("--kubeconfig={kubeconfig}"),
            format!("--config={}", config.display()),
            "--manage-all-nodes=false".to_owned(),
            format!("--manage-nodes-with-label-selector={FAKE}=true"),
            "--node-lease-duration-seconds=40".to_owned(),
        ];
        let program: PathBuf = Path::new(build.trim()).join("kwok");
        let fakes = Self(process::start(&program, &args, &[], &folder.join("kwok.log"))?);
        let api: Api<Node> = Api::all(client.clone());
        for i in 0..nodes {
            api.create(&PostParams::default(), &node(&format!("fake-{i}"), pods_per_node)?).await?;
        }
        let selector = ListParams::default().labels(FAKE);
        within(Duration::from_secs(120), "all fake nodes are ready", async || {
            let list = api.list(&selector).await?;
            let is_ready = |node: &&Node| {
                let conditions = node.status.iter().flat_map(|s| s.conditions.iter().flatten());
                conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
            };
            Ok(list.iter().filter(is_ready).count() == nodes as usize)
        })
        .await?;
        Ok(fakes)
    }
}

impl Drop for Fakes {
    fn drop(&mut self) {
        let _ = self.0.kill(); // it may have ended
        let _ = self.0.wait();
    }
}

/// Makes a namespace whose pods all go to fake nodes.
///
/// # Errors
/// The API server refuses it.
pub async fn namespace(client: &kube::Client, name: &str) -> Result<()> {
    let tolerations = json!([{ "key": FAKE, "operator": "Exists" }]).to_string();
    let namespace: Namespace = serde_json::from_value(json!({
        "metadata": { "name": name, "annotations": {
            "scheduler.alpha.kubernetes.io/node-selector": format!("{FAKE}=true"),
            "scheduler.alpha.kubernetes.io/defaultTolerations": tolerations,
        } },
    }))?;
    Api::all(client.clone()).create(&PostParams::default(), &namespace).await?;
    Ok(())
}

fn node(name: &str, pods: u32) -> Result<Node> {
    let room = json!({ "cpu": "1000", "memory": "4Ti", "pods": pods.to_string() });
    Ok(serde_json::from_value(json!({
        "metadata": { "name": name, "labels": {
            FAKE: "true", "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64",
        } },
        "spec": { "taints": [{ "key": FAKE, "value": "true", "effect": "NoSchedule" }] },
        "status": { "allocatable": room, "capacity": room },
    }))?)
}
