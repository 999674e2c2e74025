//! How the manager collects what workers measure: whom they trust, where they call, who they are, and where what they
//! send is kept. The collector itself (`crates/collector`) knows nothing of Kubernetes.

mod address;
mod authority;
pub(crate) mod store;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use loadtest::reporter::Kit;
use rustls::ServerConfig;
use tokio::net::TcpListener;

use crate::flags::Flags;
use address::Leader;
use authority::Authority;

/// How long to wait before asking the API server again for what is needed to begin.
const AGAIN: Duration = Duration::from_secs(2);

/// The reporter, as it is mounted into workers.
const FILES: [(&str, &str); 13] = [
    ("answers.js", include_str!("../../../../worker/answers.js")),
    ("batch.js", include_str!("../../../../worker/batch.js")),
    ("courier.js", include_str!("../../../../worker/courier.js")),
    ("health.js", include_str!("../../../../worker/health.js")),
    ("http.js", include_str!("../../../../worker/http.js")),
    ("index.js", include_str!("../../../../worker/index.js")),
    ("launcher.js", include_str!("../../../../worker/launcher.js")),
    ("package.json", include_str!("../../../../worker/package.json")),
    ("queue.js", include_str!("../../../../worker/queue.js")),
    ("settings.js", include_str!("../../../../worker/settings.js")),
    ("share.js", include_str!("../../../../worker/share.js")),
    ("shared.js", include_str!("../../../../worker/shared.js")),
    ("thread.js", include_str!("../../../../worker/thread.js")),
];

/// All that is needed to collect.
pub struct Collecting {
    /// What workers get.
    pub kit: Kit,
    /// Where they call.
    pub listener: TcpListener,
    /// What they are shown.
    pub tls: Arc<ServerConfig>,
}

impl Collecting {
    /// Makes everything ready to collect at `listener`, as the leader; `None` if workers could not reach this process.
    ///
    /// # Errors
    /// What the API server gave is no CA that a server can use. While it gives nothing this waits.
    pub async fn prepare(
        client: &kube::Client,
        flags: &Flags,
        namespace: &str,
        instance: &str,
        listener: TcpListener,
    ) -> Result<Option<Self>> {
        let bound = listener.local_addr().context("the collector listens nowhere")?;
        let leader = flags.pod_ip.map(|address| Leader {
            service: flags.collector_service.clone(),
            namespace: namespace.to_owned(),
            address,
            port: bound.port(),
            pod: instance.to_owned(),
        });
        let Some(collector) = flags.collector_url.clone().or_else(|| leader.as_ref().map(Leader::url)) else {
            tracing::warn!(
                "workers cannot report: this manager runs outside of a cluster, and --collector-url does not say how they reach it"
            );
            return Ok(None);
        };
        let mut names = leader.as_ref().map(Leader::names).unwrap_or_default();
        names.extend(host(&collector));
        let authority = loop {
            let asked = async {
                let authority = Authority::of(client, namespace).await?;
                if let (Some(leader), None) = (&leader, &flags.collector_url) {
                    leader.take(client).await?;
                }
                anyhow::Ok(authority)
            };
            match asked.await {
                Ok(authority) => break authority,
                // also for want of a right, which may be given later: it is alive, not ready, and says why
                Err(error) => tracing::warn!(
                    "cannot collect what workers measure yet, and no load test is looked at before: {error:#}; trying again in {} s",
                    AGAIN.as_secs()
                ),
            }
            tokio::time::sleep(AGAIN).await;
        };
        let tls = authority.server(names)?;
        let files = FILES.map(|(name, text)| (name.to_owned(), text.to_owned())).into();
        Ok(Some(Self { kit: Kit { collector, ca: authority.certificate, files }, listener, tls }))
    }
}

fn host(url: &str) -> Option<String> {
    let uri: http::Uri = url.parse().ok()?;
    Some(uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_reporter_is_mounted() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../worker");
        let files = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry"));
        let mut names: Vec<_> = files
            .filter(|entry| entry.file_type().expect("a type").is_file())
            .map(|entry| entry.file_name().into_string().expect("a name"))
            .collect();
        names.sort();
        assert_eq!(names, FILES.map(|(name, _)| name));
        let size: usize = FILES.iter().map(|(_, text)| text.len()).sum();
        assert!(size < 48 * 1024, "{size} bytes for each load test");
    }

    #[test]
    fn a_certificate_is_for_the_host_of_the_collectors_address() {
        assert_eq!(host("https://127.0.0.1:9443").as_deref(), Some("127.0.0.1"));
        assert_eq!(host("https://[::1]:9443").as_deref(), Some("::1"));
        assert_eq!(host("https://collector.example").as_deref(), Some("collector.example"));
    }
}
