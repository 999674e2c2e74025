//! What the collector counts, as Prometheus reads it: taken from the collector at each scrape.

use std::fmt::Error;
use std::sync::{Arc, OnceLock};

use collector::{Counters, Tally};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The collector's counts, once there is one.
#[derive(Clone, Default)]
pub struct Collecting(Arc<OnceLock<Source>>);

struct Source {
    counters: Arc<Counters>,
    tally: Box<dyn Fn() -> Tally + Send + Sync>,
}

impl Collecting {
    /// Whom to ask; the first is asked.
    pub fn by(&self, counters: Arc<Counters>, tally: impl Fn() -> Tally + Send + Sync + 'static) {
        let _ = self.0.set(Source { counters, tally: Box::new(tally) }); // a collector is made once in a process
    }
}

impl std::fmt::Debug for Collecting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collecting").finish_non_exhaustive()
    }
}

impl Collector for Collecting {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Some(Source { counters, tally }) = self.0.get() else { return Ok(()) };
        let mut requests = encoder.encode_descriptor(
            "artillery_operator_collector_requests",
            "Requests of workers by endpoint and HTTP status; status 0 is any other",
            None,
            MetricType::Counter,
        )?;
        for (endpoint, status, count) in counters.requests() {
            let labels = [("endpoint", endpoint.name().to_owned()), ("status", status.to_string())];
            ConstCounter::new(count).encode(requests.encode_family(&labels)?)?;
        }
        let mut batches = encoder.encode_descriptor(
            "artillery_operator_collector_batches",
            "Batches of workers by what became of them; refused ones have the reason",
            None,
            MetricType::Counter,
        )?;
        let taken = [
            ("accepted", &counters.batches_accepted),
            ("repeated", &counters.batches_repeated),
            ("ahead", &counters.batches_ahead),
            ("lost", &counters.batches_lost),
        ];
        let taken = taken.map(|(result, count)| ((result, ""), count.get()));
        let refused = counters.batches_refused().into_iter().map(|(why, count)| (("refused", why), count));
        for ((result, reason), count) in taken.into_iter().chain(refused) {
            let labels = [("result", result), ("reason", reason)];
            ConstCounter::new(count).encode(batches.encode_family(&labels)?)?;
        }
        let mut saves = encoder.encode_descriptor(
            "artillery_operator_collector_saves",
            "Snapshots of load tests by what came of storing them",
            None,
            MetricType::Counter,
        )?;
        for (result, count) in [
            ("stored", &counters.saves),
            ("conflicting", &counters.saves_conflicting),
            ("gone", &counters.saves_gone),
            ("failed", &counters.saves_failed),
        ] {
            ConstCounter::new(count.get()).encode(saves.encode_family(&[("result", result)])?)?;
        }
        for (name, help, count) in [
            ("received_bytes", "Bytes of bodies that workers sent", &counters.bytes),
            ("saved_bytes", "Bytes in snapshots that had to be written", &counters.saved_bytes),
            ("values_refused", "Values in batches that were taken in without them", &counters.values_refused),
            ("loads_failed", "Snapshots that could not be loaded", &counters.loads_failed),
            (
                "connections_refused",
                "Connections closed at once, being too many",
                &counters.connections_refused,
            ),
            (
                "connections_timed_out",
                "Connections closed for being too slow",
                &counters.connections_timed_out,
            ),
            ("handshakes_failed", "TLS handshakes that failed or took too long", &counters.handshakes_failed),
        ] {
            let counter = ConstCounter::new(count.get());
            let name = format!("artillery_operator_collector_{name}");
            counter.encode(encoder.encode_descriptor(&name, help, None, MetricType::Counter)?)?;
        }
        let seconds = ConstCounter::new(counters.save_seconds());
        seconds.encode(encoder.encode_descriptor(
            "artillery_operator_collector_save_seconds",
            "Time that storing snapshots took",
            None,
            MetricType::Counter,
        )?)?;
        let Tally { open_tests, waiting_workers } = tally();
        for (name, help, count) in [
            ("connections", "Open connections of workers", counters.connections.get()),
            ("open_tests", "Load tests in memory", open_tests as u64),
            ("waiting_workers", "Workers that wait for the common start", waiting_workers),
        ] {
            let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
            let name = format!("artillery_operator_collector_{name}");
            gauge.encode(encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?)?;
        }
        Ok(())
    }
}
