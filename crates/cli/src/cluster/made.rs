//! Objects that a command makes in a cluster: all of them, or none.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, Request};
use kube::core::params::PropagationPolicy;
use kube::{Api, Resource as _, ResourceExt as _};
use loadtest::LoadTest;
use loadtest::api::Distribution;
use serde_json::json;

use super::Connection;
use super::bundle::Bundle;
use crate::exit::Failure;
use crate::terminal::say;

/// A load test that was made, and that has its ConfigMaps.
pub struct Made {
    connection: Connection,
    load_test: LoadTest,
}

impl Made {
    /// Makes a load test and its ConfigMaps, which go with it.
    ///
    /// # Errors
    /// What the cluster has against one of them; then none is left.
    pub async fn make(connection: &Connection, bundle: &Bundle) -> Result<Self, Failure> {
        let name = bundle.load_test.name_any();
        let doing = format!("make the load test {name}");
        // what the cluster has against it is known before anything is there
        create(connection, &telling(&bundle.load_test), true)
            .await
            .map_err(|error| connection.refused(&doing, &error))?;
        let maps: Api<ConfigMap> = Api::namespaced(connection.client.clone(), &connection.namespace);
        let mut made = Vec::new();
        match create_all(connection, &maps, bundle, &mut made).await {
            Ok(load_test) => Ok(Self { connection: connection.clone(), load_test }),
            Err((doing, error)) => {
                for map in made {
                    remove(&maps, &map).await;
                }
                Err(connection.refused(&doing, &error))
            }
        }
    }

    /// Removes it, and with it its ConfigMaps, its Job and its report.
    ///
    /// # Errors
    /// The cluster refuses it.
    pub async fn remove(self) -> Result<(), Failure> {
        let name = self.load_test.name_any();
        let params = DeleteParams {
            propagation_policy: Some(PropagationPolicy::Background),
            preconditions: Some(Preconditions {
                uid: self.load_test.metadata.uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match self.connection.load_tests().delete(&name, &params).await {
            Ok(_) => Ok(()),
            // somebody else has
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
            Err(error) => Err(self.connection.refused(&format!("remove the load test {name}"), &error)),
        }
    }
}

/// Creates everything, and notes in `made` what has to go if it fails. Fails with what was being done.
async fn create_all(
    connection: &Connection,
    maps: &Api<ConfigMap>,
    bundle: &Bundle,
    made: &mut Vec<ConfigMap>,
) -> Result<LoadTest, (String, kube::Error)> {
    for map in &bundle.config_maps {
        let doing = || format!("make the ConfigMap {}", map.name_any());
        made.push(maps.create(&PostParams::default(), map).await.map_err(|error| (doing(), error))?);
    }
    let name = bundle.load_test.name_any();
    let load_test = create(connection, &bundle.load_test, false)
        .await
        .map_err(|error| (format!("make the load test {name}"), error))?;
    let owner = OwnerReference {
        api_version: LoadTest::api_version(&()).into_owned(),
        kind: LoadTest::kind(&()).into_owned(),
        name,
        uid: load_test.uid().to_owned(),
        ..OwnerReference::default()
    };
    let owned = json!({ "metadata": { "ownerReferences": [owner] } });
    for map in made.iter() {
        let name = map.name_any();
        // they only stay when the load test goes: no reason not to run it
        if let Err(error) = maps.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&owned)).await {
            let words = connection.refused(&format!("give the ConfigMap {name} to its load test"), &error);
            say(format_args!("{words}: it has to be deleted by hand"));
        }
    }
    Ok(load_test)
}

/// The same load test with a field said that the first operator did not have: it would run one without, and report nothing.
fn telling(load_test: &LoadTest) -> LoadTest {
    let mut telling = load_test.clone();
    telling.spec.distribution.get_or_insert(Distribution::Replicate);
    telling
}

async fn remove(maps: &Api<ConfigMap>, map: &ConfigMap) {
    let name = map.name_any();
    let ours = Preconditions { uid: map.metadata.uid.clone(), resource_version: None };
    let params = DeleteParams { preconditions: Some(ours), ..DeleteParams::default() };
    if let Err(error) = maps.delete(&name, &params).await {
        say(format_args!("The ConfigMap {name} stays, for it cannot be deleted: {error}"));
    }
}

/// Creates a load test, or tries it; a field that the cluster does not know is refused.
async fn create(
    connection: &Connection,
    load_test: &LoadTest,
    is_dry: bool,
) -> Result<LoadTest, kube::Error> {
    let url = LoadTest::url_path(&(), Some(&connection.namespace));
    let body = serde_json::to_vec(load_test).map_err(kube::Error::SerdeError)?;
    let params = PostParams { dry_run: is_dry, field_manager: None };
    let mut request = Request::new(url).create(&params, body).map_err(kube::Error::BuildRequest)?;
    let strict = format!("{}&fieldValidation=Strict", request.uri());
    *request.uri_mut() = strict.parse().map_err(|error| kube::Error::HttpError(http::Error::from(error)))?;
    connection.client.request(request).await
}
