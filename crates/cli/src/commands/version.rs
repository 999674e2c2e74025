//! `version`: of this program, of the operator in the cluster, and of the Artillery that this machine would use.

use futures::future::join_all;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;

use crate::cluster::{Connection, chain};
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Version};
use crate::local::artillery::Found;
use crate::terminal::{harmless, print};

/// Selects the operator's Deployment, as the first operator's has it, too.
const OPERATOR: &str = "control-plane=controller-manager";
/// Its version, as it was installed.
const VERSION: &str = "app.kubernetes.io/version";
/// The setting of the image of workers, as the operator's ConfigMap has it.
const WORKER_IMAGE: &str = "WORKER_IMAGE";
/// What its image is called, whatever the registry.
const IMAGE: &str = "artillery-operator";

pub async fn run(flags: &Version, cluster: &Cluster) -> Result<Exit, Failure> {
    // one that is named and is not there is wrong usage
    let named = flags.executable.as_deref();
    let artillery = match Found::look(named) {
        Err(failure) if named.is_some() => return Err(failure),
        looked => artillery(looked),
    };
    print(format_args!("kubectl-artillery {}", env!("CARGO_PKG_VERSION")))?;
    if !flags.client {
        print(format_args!("operator {}", operator(cluster).await))?;
    }
    print(artillery)?;
    Ok(Exit::Passed)
}

/// The Artillery of this machine, or why it is not known.
fn artillery(looked: Result<Option<Found>, Failure>) -> String {
    match looked {
        Ok(Some(found)) => format!("Artillery {} ({})", found.version, found.program.display()),
        Ok(None) => "Artillery: none here yet; run --local installs one from npm".to_owned(),
        Err(failure) => format!("Artillery: none that can run: {}", harmless(&failure.to_string())),
    }
}

/// The versions and images of the operators, or why they are not known: that is no reason not to show the rest.
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
    let told = listed.items.iter().filter_map(|deployment| Some((installed(deployment)?, deployment)));
    let told = told.map(async |(operator, deployment)| match workers(&connection, deployment).await {
        Some(image) => format!("{operator}, whose workers run {image} by default"),
        None => operator,
    });
    let operators = join_all(told).await.join(", ");
    if operators.is_empty() {
        "none in this cluster: install it with operator-deploy.sh".to_owned()
    } else {
        operators
    }
}

/// The image of its workers, where it is set and may be read.
async fn workers(connection: &Connection, deployment: &Deployment) -> Option<String> {
    let namespace = deployment.metadata.namespace.as_deref()?;
    let maps: Api<ConfigMap> = Api::namespaced(connection.client.clone(), namespace);
    for name in settings(deployment) {
        let map = maps.get_opt(name).await.ok().flatten();
        if let Some(image) = map.and_then(|map| map.data?.remove(WORKER_IMAGE)) {
            return Some(harmless(&image));
        }
    }
    None
}

/// The ConfigMaps that an operator has its settings from, that which wins first.
fn settings(deployment: &Deployment) -> Vec<&str> {
    let spec = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    let containers = spec.map(|spec| spec.containers.as_slice()).unwrap_or_default().iter();
    let from = containers.flat_map(|container| container.env_from.iter().flatten().rev());
    from.filter_map(|from| Some(from.config_map_ref.as_ref()?.name.as_str())).collect()
}

/// An operator, as it is installed; one that is older does not say its version. `None` of another's Deployment.
fn installed(deployment: &Deployment) -> Option<String> {
    let spec = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let images = spec.containers.iter().filter_map(|container| container.image.as_deref());
    let image = images.into_iter().find(|image| image.contains(IMAGE))?;
    let namespace = deployment.metadata.namespace.as_deref().unwrap_or_default();
    let labels = deployment.metadata.labels.as_ref();
    Some(match labels.and_then(|labels| labels.get(VERSION)) {
        Some(version) => format!("{version} ({image}) in namespace {namespace}"),
        None => format!("{image} in namespace {namespace}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::bare;

    #[test]
    fn an_operator_is_shown_with_its_version_where_it_says_it() {
        let deployment = |labels, image: &str| {
            let spec = json!({ "containers": [{ "name": "manager", "image": image }] });
            let deployment = json!({
                "metadata": { "name": "m", "namespace": "shop", "labels": labels },
                "spec": { "selector": {}, "template": { "spec": spec } },
            });
            installed(&serde_json::from_value(deployment).expect("a Deployment"))
        };
        let image = "registry/artillery-operator:latest";
        assert_eq!(
            deployment(json!({ VERSION: "0.2.0" }), image).as_deref(),
            Some("0.2.0 (registry/artillery-operator:latest) in namespace shop")
        );
        assert_eq!(
            deployment(json!({}), image).as_deref(),
            Some("registry/artillery-operator:latest in namespace shop")
        );
        assert_eq!(deployment(json!({ VERSION: "1" }), "registry/other:1"), None);
    }

    #[tokio::test]
    async fn the_image_of_workers_is_shown_where_it_is_set_and_may_be_read() {
        let from = json!([{ "configMapRef": { "name": "telemetry" } }, { "secretRef": { "name": "s" } }, { "configMapRef": { "name": "settings" } }]);
        let deployment = json!({
            "metadata": { "name": "m", "namespace": "ops" },
            "spec": { "selector": {}, "template": { "spec": { "containers": [{ "name": "manager", "envFrom": from }] } } },
        });
        let deployment: Deployment = serde_json::from_value(deployment).expect("a Deployment");
        assert_eq!(settings(&deployment), ["settings", "telemetry"]);
        let map = |data| {
            (
                200,
                json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "m" }, "data": data }),
            )
        };
        for (answers, image) in [
            (vec![map(json!({ WORKER_IMAGE: "registry/a:1" }))], Some("registry/a:1")),
            (vec![map(json!({})), map(json!({ WORKER_IMAGE: "registry/a:2" }))], Some("registry/a:2")),
            (vec![bare(403), bare(403)], None),
        ] {
            let connection = Connection::to_one_that_answers(answers).await;
            assert_eq!(workers(&connection, &deployment).await.as_deref(), image);
        }
    }

    #[test]
    fn the_setting_of_the_image_of_workers_is_that_of_the_manifests() {
        let manifest = include_str!("../../../../config/manager/manager_config.yaml");
        assert_eq!(manifest.matches(&format!("\n  {WORKER_IMAGE}: ")).count(), 1);
    }

    #[test]
    fn an_artillery_that_cannot_run_hides_none_of_the_rest() {
        assert_eq!(
            artillery(Err(Failure::usage("it is too old"))),
            "Artillery: none that can run: it is too old"
        );
    }

    #[test]
    fn the_manifests_say_the_version_that_is_built() {
        let manifests = include_str!("../../../../config/manager/manager.yaml");
        let label = format!("\n    {VERSION}: {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(manifests.matches(&label).count(), 1, "{label} in config/manager/manager.yaml");
    }
}
