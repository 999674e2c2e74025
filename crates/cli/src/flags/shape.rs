//! Flags that shape a load test of a script: Artillery's own, and how workers share it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Options of `artillery run` that shape a test; each is what Artillery's documentation says of it.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Options of artillery run")]
pub struct Options {
    /// Environment of the script (config.environments) to use.
    #[arg(short, long)]
    pub environment: Option<String>,
    /// Target of the test instead of the script's.
    #[arg(short, long, value_name = "URL")]
    pub target: Option<String>,
    /// Variables for the script's templates, an object in JSON.
    #[arg(short, long, value_name = "JSON")]
    pub variables: Option<String>,
    /// Parts of the script to replace, an object in JSON.
    #[arg(long, value_name = "JSON")]
    pub overrides: Option<String>,
    /// Run only the scenarios whose name this is, or that match it as a regular expression.
    #[arg(long, value_name = "NAME")]
    pub scenario_name: Option<String>,
    /// A file with configuration that is merged into the script.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// A file with environment variables.
    #[arg(long, value_name = "FILE")]
    pub dotenv: Option<PathBuf>,
}

/// How the load is shared out.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
#[value(rename_all = "PascalCase")]
pub enum Distribution {
    /// Each worker runs the whole script.
    Replicate,
    /// The workers together run it once.
    Split,
}

impl From<Distribution> for metrics::delivery::Distribution {
    fn from(distribution: Distribution) -> Self {
        match distribution {
            Distribution::Replicate => Self::Replicate,
            Distribution::Split => Self::Split,
        }
    }
}

impl From<Distribution> for loadtest::api::Distribution {
    fn from(distribution: Distribution) -> Self {
        match distribution {
            Distribution::Replicate => Self::Replicate,
            Distribution::Split => Self::Split,
        }
    }
}

/// Where the script's `before` and `after` run.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
#[value(rename_all = "PascalCase")]
pub enum Hooks {
    /// In each worker.
    PerWorker,
    /// In one of them, for all.
    Once,
}

impl From<Hooks> for loadtest::api::Hooks {
    fn from(hooks: Hooks) -> Self {
        match hooks {
            Hooks::PerWorker => Self::PerWorker,
            Hooks::Once => Self::Once,
        }
    }
}
