//! Where a section measures: an API server of its own with the operator installed, and LoadTests in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, PostParams};
use loadtest::LoadTest;
use serde_json::json;
use testbed::api_server::{ApiServer, As};
use testbed::cluster::repository;
use tokio::time::{Instant, sleep_until};

/// Longer than anything but the largest load should take, for machines that are busy.
pub const SOON: Duration = Duration::from_secs(60);
/// The ConfigMap of every LoadTest.
const SCRIPT: &str = "test-script";

/// An API server with the operator installed; it ends with this.
pub struct Stand {
    /// The server.
    pub server: ApiServer,
    /// An administrator's client.
    pub admin: kube::Client,
    folder: PathBuf,
}

impl Stand {
    /// Starts one whose files lie in a folder of that name.
    pub async fn start(name: &str) -> Result<Self> {
        crate::report::progress(format!("{name}: starting the API server"));
        let folder = repository().join("target/bench").join(name);
        let server = ApiServer::start(&folder)?;
        server.install_operator()?;
        let admin = server.client(As::Admin).await?;
        Ok(Self { server, admin, folder })
    }

    /// A file among those of this server.
    pub fn file(&self, name: &str) -> PathBuf {
        Path::new(&self.folder).join(name)
    }

    /// A namespace with the script that the LoadTests name.
    pub async fn namespace(&self, name: &str) -> Result<()> {
        self.server.create_namespace(name).await?;
        let script =
            "config:\n  target: http://target\n  phases: [{duration: 30, arrivalRate: 1}]\nscenarios: []\n";
        let metadata = json!({ "name": SCRIPT });
        let config_map: ConfigMap =
            serde_json::from_value(json!({ "metadata": metadata, "data": { "test-script.yaml": script } }))?;
        let api: Api<ConfigMap> = Api::namespaced(self.admin.clone(), name);
        api.create(&PostParams::default(), &config_map).await?;
        Ok(())
    }

    /// Creates a LoadTest of that many workers.
    pub async fn create(&self, namespace: &str, name: &str, count: i32) -> Result<()> {
        let api: Api<LoadTest> = Api::namespaced(self.admin.clone(), namespace);
        api.create(&PostParams::default(), &load_test(name, count)?).await?;
        Ok(())
    }

    /// Where a client finds the script of a namespace, and under which name.
    pub fn script(client: kube::Client, namespace: &str) -> (Api<ConfigMap>, &'static str) {
        (Api::namespaced(client, namespace), SCRIPT)
    }
}

/// A LoadTest of that many workers, as its user writes it.
pub fn load_test(name: &str, count: i32) -> Result<LoadTest> {
    let spec = json!({ "count": count, "testScript": { "config": { "configMap": SCRIPT } } });
    let (api_version, kind) = ("loadtest.artillery.io/v1alpha1", "LoadTest");
    let whole =
        json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name }, "spec": spec });
    Ok(serde_json::from_value(whole)?)
}

/// A steady rate: moments one after the other, each waited for, none made up for by haste that would be a burst.
pub struct Pace {
    next: Instant,
    interval: Duration,
}

impl Pace {
    /// That many a second.
    pub fn per_second(rate: u32) -> Self {
        Self { next: Instant::now(), interval: Duration::from_secs(1) / rate }
    }

    /// Waits for the next moment: this is the load's own rhythm.
    pub async fn tick(&mut self) {
        self.next = self.next.max(Instant::now());
        sleep_until(self.next).await;
        self.next += self.interval;
    }
}
