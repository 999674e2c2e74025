//! What is known of load tests by what their workers send: asked of the collector, in the words of `loadtest`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use collector::session::{Facts, StartFacts};

use collector::{Collector, Limits, Moment, TestRef, Transport, serve};
use futures::stream::{self, BoxStream, StreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::runtime::reflector::ObjectRef;
use loadtest::api::{
    HttpStatus, MetricsStatus, Percentiles, PhaseStatus, PlanStatus, ReportStatus, VusersStatus,
};
use loadtest::collected::{self, Collected, CommonStart};
use loadtest::lifecycle::Outcome;
use loadtest::observed::Observed;
use loadtest::reporter::Kit;
use loadtest::{LoadTest, Timestamp};
use tokio_util::sync::CancellationToken;

use super::Error;
use super::identify::{Identifier, distribution, test_ref};
use crate::collect::Collecting;
use crate::collect::store::ConfigMaps;
use crate::metrics::Metrics;
use crate::report::{self, ceil, round};

/// A report that cannot be stored for so long (a quota, a ConfigMap that somebody has taken) is given up, and the test told over
/// without: nothing waits for ever.
const GIVE_UP: Duration = Duration::from_secs(120);
/// So many phases are told one by one: every LoadTest is kept in memory.
const MAX_PHASES: usize = 50;

/// The collector, if this manager has one.
pub struct Collection(Option<On>);

struct On {
    kit: Kit,
    collector: Collector<Identifier, ConfigMaps>,
    store: ConfigMaps,
    /// Since when reports could not be stored, by the UID of their LoadTest.
    failing: Mutex<HashMap<String, Instant>>,
}

/// Begins to collect, until `stop`. Returns with what is known the load tests of which something is new.
pub fn begin(
    client: &kube::Client,
    identifier: Identifier,
    collecting: Option<Collecting>,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> (Arc<Collection>, BoxStream<'static, ObjectRef<LoadTest>>) {
    let Some(Collecting { kit, listener, tls }) = collecting else {
        return (Arc::new(Collection(None)), stream::pending().boxed());
    };
    let store = ConfigMaps::new(client.clone());
    let collector = Collector::new(identifier, store.clone());
    collector.set_leading(true);
    let tallied = collector.clone();
    metrics.collecting.by(collector.counters(), move || tallied.tally());
    tokio::spawn(serve(
        listener,
        collector.router(),
        Transport::Tls(tls),
        Limits::default(),
        collector.counters(),
        stop.clone(),
    ));
    let (saving, stopped) = (collector.clone(), stop.clone());
    tokio::spawn(async move { saving.run(stopped).await });
    let told = stream::unfold(collector.clone(), |collector| async move {
        let test = collector.changed().await;
        Some((ObjectRef::new(&test.name).within(&test.namespace), collector))
    });
    (Arc::new(Collection(Some(On { kit, collector, store, failing: Mutex::default() }))), told.boxed())
}

impl Collection {
    /// What workers get so that they report; `None` if they do not.
    pub fn kit(&self) -> Option<&Kit> {
        self.0.as_ref().map(|on| &on.kit)
    }

    /// Tells which workers have ended, whatever they said themselves.
    pub fn ended(&self, observed: &Observed) {
        let workers = &observed.workers;
        let has_some = workers.failed > 0 || !workers.exit_codes.is_empty();
        if let Some(on) = self.0.as_ref().filter(|_| has_some) {
            let ended = workers.failures.keys().chain(workers.exit_codes.keys()).copied();
            on.collector.ended(&test_ref(&observed.load_test), ended);
        }
    }

    /// What the workers of a load test have sent so far.
    pub fn collected(&self, load_test: &LoadTest) -> Collected {
        let Some(on) = &self.0 else { return Collected::default() };
        let test = test_ref(load_test);
        let facts = on.collector.facts(&test);
        if facts.is_none() && has_joined(load_test) {
            // its workers may never speak again, and then they are lost
            on.collector.open_stored(&test);
        }
        let collected = facts.map(|facts| collected(&facts)).unwrap_or_default();
        Collected { trouble: on.collector.trouble(&test), ..collected }
    }

    /// Takes in nothing more of a load test that is over, and stores its report. To do so again makes the same report.
    pub async fn conclude(
        &self,
        observed: &Observed,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<collected::Conclusion, Error> {
        let Some(on) = &self.0 else {
            return Ok(report::none(observed, "this operator collects no reports: see its log"));
        };
        let uid = observed.load_test.uid();
        let why = match on.conclude(observed, outcome, now).await {
            Ok(conclusion) => {
                on.failing.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
                return Ok(conclusion);
            }
            Err(why) => why,
        };
        let since = {
            let mut failing = on.failing.lock().unwrap_or_else(PoisonError::into_inner);
            failing.entry(uid.to_owned()).or_insert_with(Instant::now).elapsed()
        };
        if since < GIVE_UP || !on.collector.is_leading() {
            return Err(Error::Collect(why));
        }
        tracing::error!("the report is given up, for it cannot be stored: {why}");
        Ok(report::none(observed, &format!("its report cannot be stored: {why}")))
    }

    /// Tells the workers of a load test to end.
    pub fn stop(&self, load_test: &LoadTest) {
        if let Some(on) = &self.0 {
            on.collector.stop(&test_ref(load_test));
        }
    }

    /// Forgets a load test that is over or gone.
    pub fn forget(&self, load_test: &LoadTest) {
        if let Some(on) = &self.0 {
            on.forget(&test_ref(load_test));
        }
    }

    /// Forgets all but these: some may have gone while nobody looked.
    pub fn keep_only(&self, uids: &HashSet<String>) {
        let Some(on) = &self.0 else { return };
        on.collector
            .references()
            .iter()
            .filter(|test| !uids.contains(&test.uid))
            .for_each(|test| on.forget(test));
    }
}

impl On {
    fn forget(&self, test: &TestRef) {
        self.collector.forget(test);
        self.store.forget(&test.uid);
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).remove(&test.uid);
    }

    async fn conclude(
        &self,
        observed: &Observed,
        outcome: Outcome,
        now: Timestamp,
    ) -> Result<collected::Conclusion, String> {
        let test = test_ref(&observed.load_test);
        let concluded = self.collector.conclude(&test).await.map_err(|error| error.to_string())?;
        let (rendered, conclusion) =
            report::make(observed, distribution(&observed.load_test), outcome, concluded.as_ref(), now);
        let names = self.store.add_report(&test, &rendered).await;
        let config_maps = names.map_err(|error| error.to_string())?;
        tracing::info!(verdict = ?conclusion.verdict, reason = conclusion.reason, "stored the report");
        Ok(collected::Conclusion { report: ReportStatus { config_maps }, ..conclusion })
    }
}

/// Whether it runs, and had workers that spoke to a collector.
fn has_joined(load_test: &LoadTest) -> bool {
    let workers = load_test.status.as_ref().and_then(|status| status.workers.as_ref());
    workers.is_some_and(|workers| workers.joined > 0) && !load_test.is_settled()
}

fn collected(facts: &Facts) -> Collected {
    Collected {
        joined: facts.joined,
        reporting: count(facts.workers.iter().filter(|worker| worker.received > 0).count()),
        start: match facts.start {
            StartFacts::Waiting => CommonStart::Waiting,
            StartFacts::Released { workers, .. } => CommonStart::Released(workers),
            StartFacts::TimedOut { .. } => CommonStart::TimedOut,
        },
        silent: silent(facts),
        trouble: None,
        start_skew_milliseconds: facts.start_skew.map(ceil),
        plan: plan(facts),
        metrics: facts.workers.iter().any(|worker| worker.received > 0).then(|| metrics(facts)),
    }
}

/// Once they were released together, where Artillery's phases can be told.
fn plan(facts: &Facts) -> Option<PlanStatus> {
    let (StartFacts::Released { at, .. }, Some(phases)) = (facts.start, &facts.phases) else { return None };
    let time = |at: Moment| Some(Time(Timestamp::from_second(whole(at.millis() / 1000)).ok()?));
    let told = phases.iter().take(MAX_PHASES).map(|phase| PhaseStatus {
        name: phase.name.clone(),
        duration_milliseconds: i64::try_from(phase.length.as_millis()).unwrap_or(i64::MAX),
    });
    Some(PlanStatus {
        start_time: time(at)?,
        end_time: time(phases.iter().fold(at, |at, phase| at + phase.length))?,
        phase_count: i32::try_from(phases.len()).unwrap_or(i32::MAX),
        phases: told.collect(),
    })
}

/// Those who have not said that they end, though they were to.
fn silent(facts: &Facts) -> BTreeMap<u32, i64> {
    let seconds = |silent: Duration| i64::try_from(silent.as_secs()).unwrap_or(i64::MAX);
    let silent = facts.workers.iter().map(|worker| (worker.index, seconds(worker.silent)));
    silent.filter(|(_, seconds)| *seconds > 0).collect()
}

fn metrics(facts: &Facts) -> MetricsStatus {
    let vusers = &facts.vusers;
    MetricsStatus {
        vusers: VusersStatus {
            planned: None,
            created: whole(vusers.created),
            completed: whole(vusers.completed),
            failed: whole(vusers.failed),
        },
        errors: whole(facts.errors),
        http: (facts.requests > 0).then(|| HttpStatus {
            requests: whole(facts.requests),
            requests_per_second: facts.requests_per_second.map(round),
            response_time_milliseconds: facts.response_time.map(|times| Percentiles {
                p50: ceil(times.p50),
                p95: ceil(times.p95),
                p99: ceil(times.p99),
            }),
        }),
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn whole(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
