//! Observe: what the caches and the API server know about a LoadTest.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::Api;
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use loadtest::lifecycle::wants_fresh_job;
use loadtest::observed::Observed;
use loadtest::plan::{self, ConfigMapFact, Content, Problem};
use loadtest::reporter::report_name;
use loadtest::{LoadTest, Timestamp, labels};

use super::warnings::explained;
use super::worker_pod::WorkerPod;
use super::{Context, Error, PAGE, cache};

/// The facts about a LoadTest, from the caches as far as these are enough.
pub async fn observe(context: &Context, cached: &LoadTest, now: Timestamp) -> Result<Observed, Error> {
    context.jobs_synced.wait().await;
    context.pods.synced.wait().await;
    let load_test = context.memory.freshest(cached);
    let namespace = load_test.metadata.namespace.clone().unwrap_or_default();
    let cached = context.jobs.get(&ObjectRef::new(load_test.name()).within(&namespace));
    let cached = context.memory.freshest_job(load_test.uid(), cached.map(|job| Job::clone(&job)));
    let job = if wants_fresh_job(&load_test, cached.as_ref()) {
        get_job(context, &load_test).await?
    } else {
        cached
    };
    observed(context, load_test, job, now).await
}

/// The facts with a Job as it was just read or written.
pub async fn observed(
    context: &Context,
    load_test: LoadTest,
    job: Option<Job>,
    now: Timestamp,
) -> Result<Observed, Error> {
    let namespace = load_test.metadata.namespace.as_deref().unwrap_or_default();
    let pods = context.pods.of(namespace, load_test.name());
    let observed = facts(context, load_test, job, &pods, now);
    if !observed.ends_unseen() {
        return Ok(explained(context, observed, now).await);
    }
    // the Job after the pods: it counts those that are gone
    let pods = get_pods(context, &observed.load_test).await?;
    let job = get_job(context, &observed.load_test).await?;
    Ok(explained(context, facts(context, observed.load_test, job, &pods, now), now).await)
}

fn facts(context: &Context, load_test: LoadTest, job: Option<Job>, pods: &[Pod], now: Timestamp) -> Observed {
    let uid = job.as_ref().and_then(|job| job.metadata.uid.as_deref());
    let refusal = uid.and_then(|uid| context.refusals.of(uid));
    let observed = Observed::new(load_test, job, &pods.iter().collect::<Vec<_>>(), now).with_refusal(refusal);
    context.collection.ended(&observed);
    let failed = observed.workers.failed;
    let collected = context.collection.collected(&observed.load_test);
    let observed = observed.with_default_image(&context.settings.worker.image).with_collected(collected);
    if observed.workers.failed > failed {
        // nobody waits for who is lost, as it is told by its silence
        context.collection.ended(&observed);
    }
    observed
}

/// The Job of a LoadTest's name as the API server has it now.
pub async fn get_job(context: &Context, load_test: &LoadTest) -> Result<Option<Job>, Error> {
    let namespace = load_test.metadata.namespace.as_deref().unwrap_or_default();
    let jobs: Api<Job> = Api::namespaced(context.client.clone(), namespace);
    let mut job = jobs.get_opt(load_test.name()).await.map_err(Error::api("read its Job"))?;
    if let Some(job) = &mut job {
        cache::strip_job(job);
    }
    Ok(job)
}

/// The worker pods of a LoadTest as the API server has them now.
async fn get_pods(context: &Context, load_test: &LoadTest) -> Result<Vec<Pod>, Error> {
    let namespace = load_test.metadata.namespace.as_deref().unwrap_or_default();
    let pods: Api<WorkerPod> = Api::namespaced(context.client.clone(), namespace);
    let selector = format!("{},{}={}", labels::WORKER_SELECTOR, labels::TEST_NAME, load_test.name());
    let mut page = ListParams::default().labels(&selector).limit(PAGE);
    let mut all = Vec::new();
    loop {
        let list = pods.list(&page).await.map_err(Error::api("read its pods"))?;
        all.extend(list.items.iter().map(WorkerPod::to_pod));
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => page = page.continue_token(&token),
            None => return Ok(all),
        }
    }
}

/// More keys of ConfigMaps are not kept: a megabyte has room for many thousands, and a LoadTest may name some two hundred of them.
const MAX_FILES: usize = 20_000;

/// The ConfigMaps that a LoadTest names, each read by its name (there is no right to list them), up to the first that is
/// missing; or what its user has to mend before they can be read.
pub async fn config_maps(
    context: &Context,
    load_test: &LoadTest,
) -> Result<Result<Vec<ConfigMapFact>, Problem>, Error> {
    let namespace = load_test.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
    let named = match plan::config_maps(load_test) {
        Ok(named) => named,
        Err(problem) => return Ok(Err(problem)),
    };
    let (mut facts, mut files): (Vec<ConfigMapFact>, _) = (Vec::new(), 0);
    for (field, name) in named {
        // each is read once, however often it is named
        if let Some(known) = facts.iter().find(|fact| fact.name == name) {
            let keys = known.keys.clone();
            facts.push(ConfigMapFact { field, name, keys });
            continue;
        }
        if files > MAX_FILES {
            return Ok(Err(Problem::invalid_spec(format!(
                "{field}: the ConfigMaps that come before \"{name}\" have {files} keys together, and at most {MAX_FILES} can become files: put them in a volume, see .spec.testScript.path"
            ))));
        }
        let script = facts.is_empty().then(|| load_test.spec.test_script.key());
        // it is never closed
        let _place = context.readers.acquire().await;
        let keys = match api.get_opt(&name).await {
            Ok(config_map) => config_map.map(|config_map| Arc::new(keys(config_map, script))),
            Err(kube::Error::Api(status)) if status.is_forbidden() => {
                return Ok(Err(Problem::unreadable(&field, &name, &status.message)));
            }
            Err(error) => return Err(Error::api("read a ConfigMap that it names")(error)),
        };
        let is_missing = keys.is_none();
        files += keys.as_ref().map_or(0, |keys| keys.len());
        facts.push(ConfigMapFact { field, name, keys });
        if is_missing {
            return Ok(Ok(facts));
        }
    }
    if context.collection.kit().is_some() {
        let name = report_name(load_test.name());
        let there = api.get_opt(&name).await.map_err(Error::api("look for its report"))?;
        if let Some(problem) = there.and_then(|there| plan::report_taken(load_test, &there)) {
            return Ok(Err(problem));
        }
    }
    Ok(Ok(facts))
}

/// What is in a ConfigMap; `script` is the key whose text matters.
fn keys(config_map: ConfigMap, script: Option<&str>) -> BTreeMap<String, Content> {
    let text = config_map.data.unwrap_or_default().into_iter().map(|(key, text)| (key, text.into_bytes()));
    let binary = config_map.binary_data.unwrap_or_default().into_iter().map(|(key, bytes)| (key, bytes.0));
    text.chain(binary)
        .map(|(key, bytes)| {
            let content = match bytes.trim_ascii() {
                [] => Content::Blank,
                _ if Some(key.as_str()) == script => {
                    String::from_utf8(bytes).map_or(Content::Present, Content::Script)
                }
                _ => Content::Present,
            };
            (key, content)
        })
        .collect()
}
