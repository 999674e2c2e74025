//! How the manager collects what workers measure: whom they trust, where they call, who they are, and where what they
//! send is kept. The collector itself (`crates/collector`) knows nothing of Kubernetes.

mod address;
mod authority;
pub(crate) mod store;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use loadtest::reporter::{FILES, Kit};
use rustls::ServerConfig;
use tokio::net::TcpListener;

use crate::flags::Flags;
use address::Leader;
use authority::Authority;

/// How long to wait before asking the API server again for what is needed to begin.
const AGAIN: Duration = Duration::from_secs(2);

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
    fn a_certificate_is_for_the_host_of_the_collectors_address() {
        assert_eq!(host("https://127.0.0.1:9443").as_deref(), Some("127.0.0.1"));
        assert_eq!(host("https://[::1]:9443").as_deref(), Some("::1"));
        assert_eq!(host("https://collector.example").as_deref(), Some("collector.example"));
    }
}
