//! Objects that a command makes in a cluster: all of them, or none. What an earlier load test of that name leaves behind is waited for, and
//! an answer that is lost on its way changes nothing.

#[cfg(test)]
mod tests;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use futures::future::{join, join_all, join3};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions, Request};
use kube::core::NamespaceResourceScope;
use kube::core::params::PropagationPolicy;
use kube::{Api, Resource, ResourceExt as _};
use loadtest::LoadTest;
use loadtest::api::Distribution;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::sleep;

use super::bundle::Bundle;
use super::patience::{PATIENCE, PAUSE, answered, at_last};
use super::{Connection, is_lost};
use crate::exit::Failure;
use crate::local::random_hex;
use crate::terminal::{harmless_lines, say};

/// The annotation that tells what this run made from what somebody else did.
const RUN: &str = "loadtest.artillery.io/run";

/// A load test that was made, and that has its ConfigMaps.
pub struct Made {
    connection: Connection,
    load_test: LoadTest,
    /// What could not be given to it, and does not go with it by itself.
    on_its_own: Tried,
}

impl Made {
    /// Makes a load test, its ConfigMaps and its Secret, which go with it.
    ///
    /// # Errors
    /// What the cluster has against one of them; then none is left.
    pub async fn make(connection: &Connection, bundle: &Bundle) -> Result<Self, Failure> {
        let maker = Maker { connection, run: random_hex()?, patience: PATIENCE };
        let (load_test, on_its_own) = maker.make(bundle).await?;
        Ok(Self { connection: connection.clone(), load_test, on_its_own })
    }

    /// Which it is.
    pub fn uid(&self) -> String {
        self.load_test.uid().to_owned()
    }

    /// Removes it, and with it its ConfigMaps, its Secret, its Job and its report.
    ///
    /// # Errors
    /// The cluster refuses it.
    pub async fn remove(self) -> Result<(), Failure> {
        let Self { connection, load_test, on_its_own } = &self;
        let name = load_test.name_any();
        // each of them has a UID: of no run need be asked whose it is
        let maker = Maker { connection, run: String::new(), patience: PATIENCE };
        let removing = at_last(PATIENCE, async || delete(connection, load_test).await);
        let (removed, ()) = join(removing, maker.undo(on_its_own)).await;
        removed.map_err(|error| {
            let refused = connection.refused(&format!("remove the load test {name}"), &error);
            let delete = connection.kubectl(&format!("delete loadtest {name}"));
            refused.and(&format!("it may still be there: {delete}"))
        })
    }
}

/// What objects of a load test are.
trait Object:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + Serialize + DeserializeOwned
{
}

impl Object for ConfigMap {}
impl Object for Secret {}
impl Object for LoadTest {}

struct Maker<'a> {
    connection: &'a Connection,
    /// Of this run alone.
    run: String,
    patience: Duration,
}

/// What was made, and has a UID then, and what may have been made.
#[derive(Default)]
struct Tried {
    config_maps: Vec<ConfigMap>,
    secrets: Vec<Secret>,
    load_tests: Vec<LoadTest>,
}

impl Tried {
    fn is_empty(&self) -> bool {
        self.config_maps.is_empty() && self.secrets.is_empty() && self.load_tests.is_empty()
    }
}

/// Why an object is not made.
struct Refused {
    failure: Failure,
    /// Whether it may be there nevertheless, for an answer got lost.
    may_be_there: bool,
}

/// Notes what has to go if anything fails.
fn note<K: Object>(made: Result<K, Refused>, object: &K, tried: &mut Vec<K>) -> Result<(), Failure> {
    match made {
        Ok(made) => {
            tried.push(made);
            Ok(())
        }
        Err(Refused { failure, may_be_there }) => {
            tried.extend(may_be_there.then(|| object.clone()));
            Err(failure)
        }
    }
}

/// Whose an object is that has the name of one that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum There {
    /// This run made it.
    Ours,
    /// It will soon be gone.
    Leaving,
    /// Somebody else's.
    Taken,
}

/// Whose an object is, as far as it says itself.
fn whose(meta: &ObjectMeta, run: &str) -> There {
    let is_ours = meta.annotations.as_ref().and_then(|all| all.get(RUN)).is_some_and(|of| of == run);
    match &meta.deletion_timestamp {
        Some(_) => There::Leaving,
        None if is_ours => There::Ours,
        None => There::Taken,
    }
}

/// The load test that an object belongs to.
fn load_test_of(meta: &ObjectMeta) -> Option<&OwnerReference> {
    meta.owner_references.iter().flatten().find(|owner| owner.kind == LoadTest::kind(&()))
}

impl Maker<'_> {
    /// Makes everything. Returns the load test, and what could not be given to it.
    async fn make(&self, bundle: &Bundle) -> Result<(LoadTest, Tried), Failure> {
        let Bundle { config_maps, secret, load_test } = bundle;
        let mut tried = Tried::default();
        let made = async {
            // what the cluster has against it is known before anything is there
            self.create(&telling(load_test), true).await.map_err(|refused| refused.failure)?;
            for map in config_maps {
                note(self.create(map, false).await, map, &mut tried.config_maps)?;
            }
            if let Some(secret) = secret {
                note(self.create(secret, false).await, secret, &mut tried.secrets)?;
            }
            note(self.create(load_test, false).await, load_test, &mut tried.load_tests)
        };
        let made = made.await;
        let load_test = match (made, tried.load_tests.pop()) {
            (Ok(()), Some(load_test)) => load_test,
            (made, load_test) => {
                tried.load_tests.extend(load_test);
                let failure = made.err().unwrap_or_else(|| Failure::internal("the load test was not made"));
                if !tried.is_empty() {
                    // it may take its time, and whoever does not wait for it has read why
                    let said = format!("{failure}; what was made of it is removed");
                    say(harmless_lines(&said));
                    self.undo(&tried).await;
                }
                return Err(failure);
            }
        };
        let owner = OwnerReference {
            api_version: LoadTest::api_version(&()).into_owned(),
            kind: LoadTest::kind(&()).into_owned(),
            name: load_test.name_any(),
            uid: load_test.uid().to_owned(),
            ..OwnerReference::default()
        };
        let maps = tried.config_maps.iter().map(|map| self.give(map, &owner));
        let secrets = tried.secrets.iter().map(|secret| self.give(secret, &owner));
        let (maps, secrets) = join(join_all(maps), join_all(secrets)).await;
        let on_its_own = Tried {
            config_maps: maps.into_iter().flatten().collect(),
            secrets: secrets.into_iter().flatten().collect(),
            load_tests: Vec::new(),
        };
        Ok((load_test, on_its_own))
    }

    /// Creates an object, or only tries whether it would be taken.
    async fn create<K: Object>(&self, object: &K, is_dry: bool) -> Result<K, Refused> {
        let mut object = object.clone();
        object.annotations_mut().insert(RUN.to_owned(), self.run.clone());
        let (kind, name) = (K::kind(&()), object.name_any());
        let api: Api<K> = Api::namespaced(self.connection.client.clone(), &self.connection.namespace);
        let began = Instant::now();
        let (mut was_said, mut may_be_there) = (false, false);
        loop {
            let error = match answered(self.patience, began, post(self.connection, &object, is_dry)).await {
                Ok(made) => return Ok(made),
                Err(error) => error,
            };
            let is_taken = matches!(&error, kube::Error::Api(status) if status.code == 409);
            may_be_there |= is_lost(&error) && !is_dry;
            let may_change = is_taken || (is_lost(&error) && !is_dry);
            let there = if may_change {
                answered(self.patience, began, self.look(&api, &name)).await
            } else {
                Ok(None)
            };
            match &there {
                Ok(Some((made, There::Ours))) => return Ok(made.clone()),
                Ok(Some((_, There::Leaving))) if !was_said => {
                    say(format_args!("Waiting for the {kind} {name}, which is being deleted"));
                    was_said = true;
                }
                _ => {}
            }
            let is_final = match &there {
                Ok(Some((_, There::Taken))) => is_taken,
                // nobody is there any more who took the name, or it was never made
                Ok(_) => !may_change,
                // one that may not be looked at is somebody's
                Err(_) => is_taken,
            };
            if is_final || began.elapsed() >= self.patience {
                let failure = self.connection.refused(&format!("make the {} {name}", word(&kind)), &error);
                return Err(Refused { failure, may_be_there });
            }
            sleep(PAUSE).await;
        }
    }

    /// An object of that name, and whose it is.
    async fn look<K: Object>(&self, api: &Api<K>, name: &str) -> Result<Option<(K, There)>, kube::Error> {
        let Some(object) = api.get_opt(name).await? else { return Ok(None) };
        let mut there = whose(object.meta(), &self.run);
        if there == There::Taken
            && let Some(owner) = load_test_of(object.meta())
        {
            // what belongs to a load test that is gone goes, too, in its time
            let load_test = self.connection.load_tests().get_opt(&owner.name).await?;
            if load_test.is_none_or(|load_test| load_test.uid() != owner.uid) {
                there = There::Leaving;
            }
        }
        Ok(Some((object, there)))
    }

    /// Removes what was made, also where the answer that it was got lost.
    async fn undo(&self, tried: &Tried) {
        let load_tests = tried.load_tests.iter().map(|load_test| self.remove(load_test));
        let secrets = tried.secrets.iter().map(|secret| self.remove(secret));
        let maps = tried.config_maps.iter().map(|map| self.remove(map));
        join3(join_all(load_tests), join_all(secrets), join_all(maps)).await;
    }

    async fn remove<K: Object>(&self, object: &K) {
        let name = object.name_any();
        let api = Api::namespaced(self.connection.client.clone(), &self.connection.namespace);
        let remove = async || match object.meta().uid {
            Some(_) => delete(self.connection, object).await,
            None => match self.look::<K>(&api, &name).await? {
                Some((made, There::Ours)) => delete(self.connection, &made).await,
                _ => Ok(()),
            },
        };
        if let Err(error) = at_last(self.patience, remove).await {
            let kind = K::kind(&());
            let delete = self.connection.kubectl(&format!("delete {} {name}", kind.to_lowercase()));
            let said = format!(
                "The {} {name} may be left, for it cannot be deleted: {error}: {delete}",
                word(&kind)
            );
            say(harmless_lines(&said));
        }
    }

    /// Gives an object to its load test, with which it goes. Returns it where that cannot be done.
    async fn give<K: Object>(&self, object: &K, owner: &OwnerReference) -> Option<K> {
        let api: Api<K> = Api::namespaced(self.connection.client.clone(), &self.connection.namespace);
        let (kind, name) = (K::kind(&()), object.name_any());
        let owned = json!({ "metadata": { "ownerReferences": [owner] } });
        // it only stays when the load test goes: no reason not to run it
        let give = async || {
            api.patch_metadata(&name, &PatchParams::default(), &Patch::Merge(&owned)).await.map(drop)
        };
        at_last(self.patience, give).await.err().map(|error| {
            let words = self.connection.refused(&format!("give the {kind} {name} to its load test"), &error);
            let delete = self.connection.kubectl(&format!("delete {} {name}", kind.to_lowercase()));
            let said = format!("{words}: it does not go with the load test by itself: {delete}");
            say(harmless_lines(&said));
            object.clone()
        })
    }
}

/// The same load test with a field said that the first operator did not have: it would run one without, and report nothing.
fn telling(load_test: &LoadTest) -> LoadTest {
    let mut telling = load_test.clone();
    telling.spec.distribution.get_or_insert(Distribution::Replicate);
    telling
}

/// How a kind is called in a sentence.
fn word(kind: &str) -> &str {
    if kind == "LoadTest" { "load test" } else { kind }
}

/// Deletes an object, if it is still that one, and then what belongs to it.
async fn delete<K: Object>(connection: &Connection, object: &K) -> Result<(), kube::Error> {
    let api: Api<K> = Api::namespaced(connection.client.clone(), &connection.namespace);
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        preconditions: Some(Preconditions { uid: object.meta().uid.clone(), resource_version: None }),
        ..DeleteParams::default()
    };
    match api.delete(&object.name_any(), &params).await {
        Ok(_) => Ok(()),
        // somebody else has
        Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Creates an object, or tries it; a field that the cluster does not know is refused.
async fn post<K: Object>(connection: &Connection, object: &K, is_dry: bool) -> Result<K, kube::Error> {
    let url = K::url_path(&(), Some(&connection.namespace));
    let body = serde_json::to_vec(object).map_err(kube::Error::SerdeError)?;
    let params = PostParams { dry_run: is_dry, field_manager: None };
    let mut request = Request::new(url).create(&params, body).map_err(kube::Error::BuildRequest)?;
    let strict = format!("{}&fieldValidation=Strict", request.uri());
    *request.uri_mut() = strict.parse().map_err(|error| kube::Error::HttpError(http::Error::from(error)))?;
    connection.client.request(request).await
}
