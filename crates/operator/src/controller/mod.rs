//! What happens to each LoadTest: watch streams in, one reconcile per change, until told to stop.

mod apply;
mod cache;
mod collection;
mod identify;
mod memory;
mod observe;
mod patience;
mod publish;
mod reconcile;
mod refusals;
mod turns;
mod warnings;
mod watched;
mod worker_pod;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::core::NamespaceResourceScope;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, watcher};
use loadtest::settings::Settings;
use loadtest::tally::State;
use loadtest::{LoadTest, labels};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::collect::Collecting;
use crate::flags::Namespaces;
use crate::metrics::{Ended, Metrics, Tally};
use cache::{Pods, Synced};
use collection::Collection;
use identify::Identifier;
use memory::Memory;
use patience::Patience;
use refusals::Refusals;
use turns::Turns;
use watched::Watched;
use worker_pod::WorkerPod;

/// How many LoadTests are reconciled at a time.
const CONCURRENCY: u16 = 32;
/// How many objects a page of a list has. All of a page are in memory at once, whole, and the allocator keeps most of what it
/// once asked for. kube's own pages have 500.
const PAGE: u32 = 100;
/// A LoadTest may have a megabyte and a half.
const PAGE_OF_LOAD_TESTS: u32 = 20;
/// A reconcile is a few calls; one that takes longer is given up and tried again. A webhook has up to 30 s to answer, and what the API
/// server says of one that does not is to be told.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(50);

fn of_namespaces<K>(client: &kube::Client, namespaces: &Namespaces) -> Api<K>
where
    K: kube::Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespaces {
        Namespaces::All => Api::all(client.clone()),
        Namespaces::One(namespace) => Api::namespaced(client.clone(), namespace),
    }
}

/// What every reconcile shares.
struct Context {
    client: kube::Client,
    /// Who reports events: the manager's pod, or its host.
    instance: String,
    jobs: Store<Job>,
    jobs_synced: Arc<Synced>,
    pods: Arc<Pods>,
    refusals: Arc<Refusals>,
    memory: Arc<Memory>,
    metrics: Arc<Metrics>,
    collection: Arc<Collection>,
    settings: Settings,
    turns: Arc<Turns>,
    /// Places for those who read what a LoadTest names.
    readers: Semaphore,
}

/// Of ConfigMaps, which may have megabytes each, so many are held at a time, whatever asks for them.
const READ_AT_A_TIME: usize = 4;

/// Who runs the controller, over what, and with what its administrator allows.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Whose LoadTests are run.
    pub namespaces: Namespaces,
    /// Who reports events: the manager's pod, or its host.
    pub instance: String,
    /// The administrator's.
    pub settings: Settings,
}

/// Why a reconcile failed; it is tried again, later and later.
#[derive(thiserror::Error, Debug)]
enum Error {
    /// The API server said no, or nothing.
    #[error("cannot {doing}: {source}")]
    Api {
        /// What was being done.
        doing: &'static str,
        /// What came back.
        source: kube::Error,
    },
    /// A patch of ours is none.
    #[error("cannot write a patch: {0}")]
    Patch(serde_json::Error),
    /// What the workers sent cannot be concluded, or its report cannot be stored.
    #[error("cannot conclude what its workers sent: {0}")]
    Collect(String),
    /// It took too long.
    #[error("the API server did not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The steps of one reconcile did not come to an end.
    #[error("the facts changed faster than they could be acted on")]
    Unsettled,
}

impl Error {
    fn api(doing: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { doing, source }
    }
}

/// Runs the controller until `stop`; returns once the reconciles under way have ended. `synced` is
/// cancelled once it knows all there is. What workers measure is collected if there is a `collecting`.
pub async fn run(
    client: kube::Client,
    setup: Setup,
    metrics: Arc<Metrics>,
    collecting: Option<Collecting>,
    synced: CancellationToken,
    stop: CancellationToken,
) {
    let Setup { namespaces, instance, settings } = setup;
    let namespaces = &namespaces;
    let (load_tests, load_test_writer) = reflector::store();
    let (jobs, job_writer) = reflector::store();
    let pods = Arc::new(Pods::default());
    let refusals = Arc::new(Refusals::default());
    let memory = Arc::new(Memory::default());
    let (tests_synced, jobs_synced) = (Arc::new(Synced::default()), Arc::new(Synced::default()));
    let identifier = Identifier {
        client: client.clone(),
        load_tests: load_tests.clone(),
        tests_synced: Arc::clone(&tests_synced),
        pods: Arc::clone(&pods),
        memory: Arc::clone(&memory),
    };
    let (collection, told) = collection::begin(&client, identifier, collecting, &metrics, &stop);
    let (turns, woken) = Turns::new(settings.clone(), load_tests.clone(), Arc::clone(&memory));
    let turns = Arc::new(turns);
    let all = || watcher::Config::default().page_size(PAGE);
    let selected = |selector| all().labels(selector);

    let (forget, there, tests_come) = (Arc::clone(&memory), load_tests.clone(), Arc::clone(&tests_synced));
    let (collected, left) = (Arc::clone(&collection), Arc::clone(&turns));
    let load_test_stream =
        watcher(of_namespaces::<Watched>(&client, namespaces), all().page_size(PAGE_OF_LOAD_TESTS))
            .backoff(Patience::default())
            .map(|event| event.map(watched::event))
            .reflect(load_test_writer)
            .inspect(move |event| {
                match event {
                    Ok(watcher::Event::Delete(load_test)) => {
                        forget.forget(load_test.uid());
                        collected.forget(load_test);
                        left.ended(load_test);
                    }
                    Ok(watcher::Event::InitDone) => {
                        let uids = there.state().iter().map(|load_test| load_test.uid().to_owned()).collect();
                        forget.keep_only(&uids);
                        collected.keep_only(&uids);
                        left.wake_next();
                    }
                    _ => {}
                }
                if let Ok(event) = event {
                    tests_come.apply(event);
                }
            })
            .applied_objects()
            // our own status writes change neither: they do not come back as work
            .predicate_filter(uid_and_generation, kube::runtime::PredicateConfig::default());
    let jobs_come = Arc::clone(&jobs_synced);
    let job_stream = watcher(of_namespaces::<Job>(&client, namespaces), selected(labels::JOB_SELECTOR))
        .backoff(Patience::default())
        .modify(cache::strip_job)
        .reflect(job_writer)
        .inspect(move |event| {
            if let Ok(event) = event {
                jobs_come.apply(event);
            }
        })
        .touched_objects();
    let index = Arc::clone(&pods);
    let pod_stream =
        watcher(of_namespaces::<WorkerPod>(&client, namespaces), selected(labels::WORKER_SELECTOR))
            .backoff(Patience::default())
            .inspect(move |event| {
                if let Ok(event) = event {
                    index.apply(event);
                }
            })
            .touched_objects();

    let refused = Arc::clone(&refusals);
    let refusal_stream =
        watcher(of_namespaces::<Event>(&client, namespaces), all().fields(refusals::SELECTOR))
            .backoff(Patience::default())
            .inspect(move |event| {
                if let Ok(event) = event {
                    refused.apply(event);
                }
            })
            .applied_objects();

    let (tallied_tests, tallied_pods) = (load_tests.clone(), Arc::clone(&pods));
    metrics.tallied_by(move || tally(&tallied_tests, &tallied_pods));

    let graceful = stop.clone();
    let (all_jobs, all_pods) = (Arc::clone(&jobs_synced), Arc::clone(&pods));
    let context = Arc::new(Context {
        client,
        instance,
        jobs,
        jobs_synced,
        pods,
        refusals,
        memory,
        metrics,
        collection,
        settings,
        turns,
        readers: Semaphore::new(READ_AT_A_TIME),
    });
    let controlling = Controller::for_stream(heard("LoadTests", load_test_stream), load_tests)
        .owns_stream(heard("Jobs", job_stream))
        .watches_stream(heard("pods", pod_stream), |pod: WorkerPod| cache::load_test_of(&pod))
        .watches_stream(heard("events of Jobs", refusal_stream), |told| refusals::load_test_of(&told))
        .reconcile_on(told)
        .reconcile_on(woken)
        .with_config(Config::default().concurrency(CONCURRENCY))
        .graceful_shutdown_on(async move { graceful.cancelled().await })
        .run(measured, retry, context)
        .for_each(|_| std::future::ready(()));
    let knows_all = async {
        tests_synced.wait().await;
        all_jobs.wait().await;
        all_pods.synced.wait().await;
        synced.cancel();
        std::future::pending::<()>().await;
    };
    // before the first lists are whole nothing can go on, and the controller would wait for it
    let stopped_early = async {
        stop.cancelled().await;
        // later it knows enough to end what is under way
        if tests_synced.is() && all_jobs.is() && all_pods.synced.is() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = knows_all => {}
        () = controlling => {}
        () = stopped_early => {}
    }
}

fn tally(load_tests: &Store<LoadTest>, pods: &Pods) -> Tally {
    let mut by_state = BTreeMap::new();
    for load_test in load_tests.state() {
        *by_state.entry(State::of(&load_test)).or_default() += 1;
    }
    Tally { load_tests: by_state, worker_pods: pods.phases() }
}

/// Tells a watch's errors and keeps them from the controller, which would stop listening to all watches for a while.
fn heard<K>(
    what: &'static str,
    stream: impl Stream<Item = Result<K, watcher::Error>> + Send + 'static,
) -> impl Stream<Item = Result<K, watcher::Error>> + Send + 'static
where
    K: Send + 'static,
{
    stream.filter(move |item| {
        if let Err(error) = item {
            tracing::warn!("the watch on {what} broke, and is tried again: {error}");
        }
        std::future::ready(item.is_ok())
    })
}

fn uid_and_generation(load_test: &LoadTest) -> Option<u64> {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    (load_test.uid(), load_test.metadata.generation, &load_test.metadata.deletion_timestamp.is_some())
        .hash(&mut hasher);
    Some(hasher.finish())
}

async fn measured(load_test: Arc<LoadTest>, context: Arc<Context>) -> Result<Action, Error> {
    let began = Instant::now();
    let span = tracing::info_span!(parent: None, "reconcile", loadtest = object(&load_test));
    let work = reconcile::reconcile(&load_test, &context).instrument(span);
    let result = tokio::time::timeout(RECONCILE_TIMEOUT, work)
        .await
        .unwrap_or(Err(Error::TimedOut(RECONCILE_TIMEOUT)));
    let ended = if result.is_ok() { Ended::success } else { Ended::error };
    context.metrics.reconciled(ended, began.elapsed());
    if result.is_ok() {
        context.memory.succeeded(load_test.uid());
    }
    result
}

#[allow(clippy::needless_pass_by_value, reason = "the signature that the runtime calls")]
fn retry(load_test: Arc<LoadTest>, error: &Error, context: Arc<Context>) -> Action {
    let wait = context.memory.failed(load_test.uid());
    tracing::warn!(loadtest = object(&load_test), "{error}; trying again in {} ms", wait.as_millis());
    Action::requeue(wait)
}

/// How log lines name a LoadTest: `namespace/name`.
fn object(load_test: &LoadTest) -> String {
    format!("{}/{}", load_test.metadata.namespace.as_deref().unwrap_or_default(), load_test.name())
}
