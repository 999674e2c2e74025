//! `version`: of this program, of the operator in the cluster, and of the Artillery that this machine would use.

use k8s_openapi::api::apps::v1::Deployment;
use kube::Api;
use kube::api::ListParams;

use crate::cluster::{Connection, chain};
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Version};
use crate::local::artillery::Found;
use crate::terminal::print;

/// Selects the operator's Deployment, as the first operator's has it, too.
const OPERATOR: &str = "control-plane=controller-manager";
/// What its image is called, whatever the registry.
const IMAGE: &str = "artillery-operator";

pub async fn run(flags: &Version, cluster: &Cluster) -> Result<Exit, Failure> {
    print(format_args!("kubectl-artillery {}", env!("CARGO_PKG_VERSION")))?;
    if !flags.client {
        print(format_args!("operator {}", operator(cluster).await))?;
    }
    match Found::look(flags.executable.as_deref())? {
        Some(found) => print(format_args!("Artillery {} ({})", found.version, found.program.display()))?,
        None => print("Artillery: none here yet; run --local installs one from npm")?,
    }
    Ok(Exit::Passed)
}

/// The images of the operators, or why they are not known: that is no reason not to show the rest.
async fn operator(cluster: &Cluster) -> String {
    let connection = match Connection::open(cluster).await {
        Ok(connection) => connection,
        Err(failure) => return format!("unknown: {failure}"),
    };
    let deployments: Api<Deployment> = Api::all(connection.client.clone());
    let listed = match deployments.list(&ListParams::default().labels(OPERATOR)).await {
        Ok(listed) => listed,
        Err(kube::Error::Api(status)) => return format!("unknown: {}", status.message),
        Err(error) => return format!("unknown: the cluster cannot be asked: {}", chain(&error)),
    };
    let images = listed.items.iter().flat_map(|deployment| {
        let spec = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
        let containers = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default();
        let images = containers.iter().filter_map(|container| container.image.as_deref());
        images
            .filter(|image| image.contains(IMAGE))
            .map(move |image| format!("{image} in namespace {namespace}"))
    });
    let images = images.collect::<Vec<_>>().join(", ");
    if images.is_empty() {
        "none in this cluster: install it with operator-deploy.sh".to_owned()
    } else {
        images
    }
}
