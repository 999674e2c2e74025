//! The administrator's guard rails: flags and variables that become [`Settings`].

use loadtest::api::MAX_COUNT;
use loadtest::settings::{Settings, WorkerDefaults};

/// What the administrator allows: in the operator's ConfigMap, `artillery-operator-manager-config`, or on the command line.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Guard rails")]
pub struct SettingsFlags {
    /// The most workers of one load test: 1 to 10000.
    #[arg(long, env = "MAX_COUNT", default_value_t = MAX_COUNT, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    pub max_count: i32,

    /// The most load tests that run at a time; the others wait in the order of their creation. 0: any number.
    #[arg(long, env = "MAX_TESTS", default_value_t = 0)]
    pub max_tests: u32,

    /// The most load tests that run at a time in one namespace. 0: any number.
    #[arg(long, env = "MAX_TESTS_PER_NAMESPACE", default_value_t = 0)]
    pub max_tests_per_namespace: u32,

    /// The image of workers whose LoadTest does not say.
    #[arg(long, env = "WORKER_IMAGE", default_value_t = WorkerDefaults::default().image, value_parser = image)]
    pub worker_image: String,

    /// The CPU that such workers request.
    #[arg(long, env = "WORKER_CPU_REQUEST", default_value_t = WorkerDefaults::default().cpu_request, value_parser = cpu)]
    pub worker_cpu_request: String,

    /// The memory that such workers request.
    #[arg(long, env = "WORKER_MEMORY_REQUEST", default_value_t = WorkerDefaults::default().memory_request, value_parser = memory)]
    pub worker_memory_request: String,

    /// The memory that such workers are killed beyond.
    #[arg(long, env = "WORKER_MEMORY_LIMIT", default_value_t = WorkerDefaults::default().memory_limit, value_parser = memory)]
    pub worker_memory_limit: String,
}

impl From<SettingsFlags> for Settings {
    fn from(flags: SettingsFlags) -> Self {
        Self {
            max_count: flags.max_count,
            max_tests: flags.max_tests,
            max_tests_per_namespace: flags.max_tests_per_namespace,
            worker: WorkerDefaults {
                image: flags.worker_image,
                cpu_request: flags.worker_cpu_request,
                memory_request: flags.worker_memory_request,
                memory_limit: flags.worker_memory_limit,
            },
        }
    }
}

/// Reads the reference of an image, as far as a mistyped one can be told.
fn image(text: &str) -> Result<String, String> {
    let is_one = !text.is_empty() && !text.contains(char::is_whitespace);
    is_one
        .then(|| text.to_owned())
        .ok_or_else(|| format!("\"{text}\" is no image: give one such as artilleryio/artillery:2.0.34"))
}

/// What a unit of CPU stands for.
const CPU_UNITS: [(&str, f64); 2] = [("", 1.0), ("m", 0.001)];
/// What a unit of memory stands for, in bytes.
const MEMORY_UNITS: [(&str, f64); 9] = [
    ("", 1.0),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
];

/// A quantity above 0, as Kubernetes writes it, in one of these units.
fn quantity(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, of_unit) = units.iter().find(|(known, _)| *known == unit)?;
    let number: f64 = number.parse().ok()?;
    (number > 0.0).then_some(number * of_unit)
}

fn cpu(text: &str) -> Result<String, String> {
    quantity(text, &CPU_UNITS)
        .map(|_| text.to_owned())
        .ok_or_else(|| format!("\"{text}\" is no quantity of CPU: give one such as 100m, or 2"))
}

fn memory(text: &str) -> Result<String, String> {
    quantity(text, &MEMORY_UNITS)
        .map(|_| text.to_owned())
        .ok_or_else(|| format!("\"{text}\" is no quantity of memory: give one such as 512Mi, or 1Gi"))
}

impl SettingsFlags {
    /// What its fields do not say each by itself: no pod can request more than its limit.
    pub(super) fn check(&self) -> Result<(), String> {
        let Self { worker_memory_request: request, worker_memory_limit: limit, .. } = self;
        if quantity(request, &MEMORY_UNITS) <= quantity(limit, &MEMORY_UNITS) {
            return Ok(());
        }
        Err(format!(
            "--worker-memory-request (WORKER_MEMORY_REQUEST) is {request}, which is more than --worker-memory-limit (WORKER_MEMORY_LIMIT), {limit}: lower the one, or raise the other"
        ))
    }
}
