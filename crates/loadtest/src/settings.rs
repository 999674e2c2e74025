//! What the operator's administrator allows, and what workers are where their LoadTest does not say.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ResourceRequirements;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::api::MAX_COUNT;

/// The administrator's settings.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The most workers of one load test.
    pub max_count: i32,
    /// The most load tests that run at a time; 0: any number.
    pub max_tests: u32,
    /// The most of them in one namespace; 0: any number.
    pub max_tests_per_namespace: u32,
    /// What workers are by default.
    pub worker: WorkerDefaults,
}

/// What a worker is where its LoadTest does not say.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkerDefaults {
    /// Its image.
    pub image: String,
    /// CPU that it requests. There is no limit, for throttling distorts what is measured.
    pub cpu_request: String,
    /// Memory that it requests.
    pub memory_request: String,
    /// Memory that it is killed beyond.
    pub memory_limit: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_count: MAX_COUNT,
            max_tests: 0,
            max_tests_per_namespace: 0,
            worker: WorkerDefaults::default(),
        }
    }
}

/// One running Artillery takes 360 MiB (`docs/architecture.md` has the measurement); what takes more than the limit is killed
/// rather than its node's neighbours. The CPU is enough that a worker is not starved from the start.
impl Default for WorkerDefaults {
    fn default() -> Self {
        Self {
            image: "artilleryio/artillery:latest".to_owned(),
            cpu_request: "100m".to_owned(),
            memory_request: "512Mi".to_owned(),
            memory_limit: "1Gi".to_owned(),
        }
    }
}

impl WorkerDefaults {
    /// As a container has them.
    pub fn resources(&self) -> ResourceRequirements {
        let list = |pairs: &[(&str, &String)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), Quantity((*value).clone())));
            Some(pairs.collect::<BTreeMap<_, _>>())
        };
        ResourceRequirements {
            requests: list(&[("cpu", &self.cpu_request), ("memory", &self.memory_request)]),
            limits: list(&[("memory", &self.memory_limit)]),
            ..ResourceRequirements::default()
        }
    }
}
