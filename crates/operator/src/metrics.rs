//! What the manager counts about itself, for Prometheus; names as controller-runtime has them where it has them.

mod collecting;

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use loadtest::tally::State;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::leader::LEASE_NAME;
pub use collecting::Collecting;

/// Counters of one manager.
pub struct Metrics {
    registry: Registry,
    reconciles: Family<Reconciled, Counter>,
    seconds: Family<Of, Histogram>,
    leading: Family<Lease, Gauge>,
    events: Counter<u64, AtomicU64>,
    calls: Family<Called, Counter>,
    load_tests: Family<InState, Gauge>,
    worker_pods: Family<InPhase, Gauge>,
    tally: OnceLock<Box<dyn Fn() -> Tally + Send + Sync>>,
    /// What the collector counts.
    pub collecting: Collecting,
}

/// How many there are of what the controller knows.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// LoadTests by state.
    pub load_tests: BTreeMap<State, i64>,
    /// Worker pods by phase, those of tests that are over included.
    pub worker_pods: BTreeMap<String, i64>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InState {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InPhase {
    phase: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Called {
    verb: &'static str,
    resource: String,
    code: String,
}

/// The one controller's name, as controller-runtime would have made it of the kind.
const CONTROLLER: &str = "loadtest";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Of {
    controller: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Lease {
    name: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Reconciled {
    controller: &'static str,
    result: Ended,
}

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "label values, as controller-runtime has them")]
pub enum Ended {
    /// As it should; it may look again later.
    success,
    /// With an error; it is tried again.
    error,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::default();
        let reconciles = Family::<Reconciled, Counter>::default();
        registry.register("controller_runtime_reconcile", "Reconciles by result", reconciles.clone());
        // from 1 ms to 16 s, doubling
        let seconds = Family::<Of, Histogram>::new_with_constructor(|| {
            Histogram::new((0..15).map(|i| 0.001 * f64::from(1_u32 << i)))
        });
        registry.register_with_unit(
            "controller_runtime_reconcile_time",
            "Duration of reconciles",
            Unit::Seconds,
            seconds.clone(),
        );
        let leading = Family::<Lease, Gauge>::default();
        registry.register(
            "leader_election_master_status",
            "1 while this manager may act, 0 while it stands by",
            leading.clone(),
        );
        leading.get_or_create(&Lease { name: LEASE_NAME }).set(0);
        let events = Counter::default();
        registry.register(
            "artillery_operator_events_published",
            "Kubernetes events published",
            events.clone(),
        );
        let calls = Family::<Called, Counter>::default();
        registry.register(
            "artillery_operator_api_calls",
            "Calls to the API server by verb, resource and HTTP status; status 0 means no answer",
            calls.clone(),
        );
        let load_tests = Family::<InState, Gauge>::default();
        registry.register(
            "artillery_operator_load_tests",
            "LoadTests by state, as their status tells it; none while this manager stands by",
            load_tests.clone(),
        );
        let worker_pods = Family::<InPhase, Gauge>::default();
        registry.register(
            "artillery_operator_worker_pods",
            "Worker pods by phase, those of finished LoadTests included; none while this manager stands by",
            worker_pods.clone(),
        );
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("artillery_operator_build", "This manager", build);
        let collecting = Collecting::default();
        registry.register_collector(Box::new(collecting.clone()));
        Self {
            registry,
            reconciles,
            seconds,
            leading,
            events,
            calls,
            load_tests,
            worker_pods,
            tally: OnceLock::new(),
            collecting,
        }
    }
}

impl Metrics {
    /// Counts a reconcile.
    pub fn reconciled(&self, result: Ended, took: Duration) {
        self.reconciles.get_or_create(&Reconciled { controller: CONTROLLER, result }).inc();
        self.seconds.get_or_create(&Of { controller: CONTROLLER }).observe(took.as_secs_f64());
    }

    /// Counts a published Kubernetes event.
    pub fn published_event(&self) {
        self.events.inc();
    }

    /// Counts a call to the API server, and the HTTP status of its answer, if one came.
    pub fn called(&self, verb: &'static str, resource: String, code: Option<u16>) {
        let code = code.unwrap_or(0).to_string();
        self.calls.get_or_create(&Called { verb, resource, code }).inc();
    }

    /// Says whether this manager may act.
    pub fn leads(&self, leads: bool) {
        self.leading.get_or_create(&Lease { name: LEASE_NAME }).set(i64::from(leads));
    }

    /// Whom to ask, at each scrape, what there is; the first who says so is asked.
    pub fn tallied_by(&self, tally: impl Fn() -> Tally + Send + Sync + 'static) {
        let _ = self.tally.set(Box::new(tally)); // a controller is made once in a process
    }

    /// Everything in the OpenMetrics text format.
    ///
    /// # Errors
    /// None in practice: writing to a string does not fail.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        if let Some(tally) = self.tally.get() {
            let Tally { load_tests, worker_pods } = tally();
            for state in State::ALL {
                let count = load_tests.get(&state).copied().unwrap_or(0);
                self.load_tests.get_or_create(&InState { state: state.name() }).set(count);
            }
            for phase in ["Pending", "Running", "Succeeded", "Failed", "Unknown"] {
                let count = worker_pods.get(phase).copied().unwrap_or(0);
                self.worker_pods.get_or_create(&InPhase { phase }).set(count);
            }
        }
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_the_names_that_dashboards_know() {
        let metrics = Metrics::default();
        metrics.reconciled(Ended::success, Duration::from_millis(3));
        metrics.leads(true);
        metrics.called("patch", "jobs".to_owned(), Some(200));
        metrics.tallied_by(|| Tally {
            load_tests: [(State::Running, 2)].into(),
            worker_pods: [("Pending".to_owned(), 3)].into(),
        });
        let text = metrics.text().expect("text");
        for line in [
            "artillery_operator_api_calls_total{verb=\"patch\",resource=\"jobs\",code=\"200\"} 1",
            "artillery_operator_load_tests{state=\"Running\"} 2",
            "artillery_operator_load_tests{state=\"Waiting\"} 0",
            "artillery_operator_worker_pods{phase=\"Pending\"} 3",
            "controller_runtime_reconcile_total{controller=\"loadtest\",result=\"success\"} 1",
            "controller_runtime_reconcile_time_seconds_count{controller=\"loadtest\"} 1",
            "leader_election_master_status{name=\"84f84c74.artillery.io\"} 1",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
