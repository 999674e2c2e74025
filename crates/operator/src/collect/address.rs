//! Where workers find the leader: the Service has no selector, and its one EndpointSlice is written by who leads.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kube::Api;
use kube::api::PostParams;
use kube::core::ObjectMeta;

/// The Service's port, by name; its number is the Service's own affair.
const PORT: &str = "https";
/// How often it is tried at once to write the slice while others write it.
const TRIES: u32 = 10;

/// This process, as the Service's only endpoint.
pub struct Leader {
    /// The Service, in the operator's namespace.
    pub service: String,
    /// The operator's namespace.
    pub namespace: String,
    /// The pod's address.
    pub address: IpAddr,
    /// The port that it listens on.
    pub port: u16,
    /// The pod's name.
    pub pod: String,
}

impl Leader {
    /// The names under which workers may call.
    pub fn names(&self) -> Vec<String> {
        let Self { service, namespace, .. } = self;
        vec![
            format!("{service}.{namespace}.svc"),
            format!("{service}.{namespace}"),
            format!("{service}.{namespace}.svc.cluster.local"),
            self.address.to_string(),
        ]
    }

    /// The address that workers call.
    pub fn url(&self) -> String {
        format!("https://{}.{}.svc", self.service, self.namespace)
    }

    /// Leads the Service to this process.
    ///
    /// # Errors
    /// The API server does not take the EndpointSlice.
    pub async fn take(&self, client: &kube::Client) -> Result<()> {
        let slices: Api<EndpointSlice> = Api::namespaced(client.clone(), &self.namespace);
        let mut wanted = self.slice();
        let name = wanted.metadata.name.clone().unwrap_or_default();
        let doing = || format!("cannot lead Service {}/{} to this manager", self.namespace, self.service);
        for tries in 1.. {
            let there = slices.get_opt(&name).await.with_context(doing)?;
            wanted.metadata.resource_version = there.and_then(|there| there.metadata.resource_version);
            let params = PostParams::default();
            let written = match wanted.metadata.resource_version {
                None => slices.create(&params, &wanted).await,
                Some(_) => slices.replace(&name, &params, &wanted).await,
            };
            match written {
                Ok(_) => break,
                // an earlier leader's last write came between
                Err(kube::Error::Api(status))
                    if tries < TRIES && (status.is_conflict() || status.is_already_exists()) => {}
                Err(error) => return Err(error).with_context(doing),
            }
        }
        tracing::info!(address = %self.address, port = self.port, "Service {} leads to this manager", self.service);
        Ok(())
    }

    fn slice(&self) -> EndpointSlice {
        let family = if self.address.is_ipv4() { "IPv4" } else { "IPv6" };
        let labels = [
            ("kubernetes.io/service-name", self.service.as_str()),
            ("endpointslice.kubernetes.io/managed-by", "artillery-operator"),
        ];
        EndpointSlice {
            metadata: ObjectMeta {
                // the family cannot be changed
                name: Some(format!("{}-leader-{}", self.service, family.to_lowercase())),
                namespace: Some(self.namespace.clone()),
                labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
                ..ObjectMeta::default()
            },
            address_type: family.to_owned(),
            endpoints: vec![Endpoint {
                addresses: vec![self.address.to_string()],
                conditions: Some(EndpointConditions { ready: Some(true), ..EndpointConditions::default() }),
                target_ref: Some(ObjectReference {
                    kind: Some("Pod".to_owned()),
                    name: Some(self.pod.clone()),
                    namespace: Some(self.namespace.clone()),
                    ..ObjectReference::default()
                }),
                ..Endpoint::default()
            }],
            ports: Some(vec![EndpointPort {
                name: Some(PORT.to_owned()),
                port: Some(i32::from(self.port)),
                protocol: Some("TCP".to_owned()),
                app_protocol: None,
            }]),
        }
    }
}
