//! `make bench`: what the operator costs, measured in one run beside a client that does the bare minimum.
//!
//! A section starts a real API server without nodes ([`stand`]), plays its kubelets ([`kubelet`]), watches as a user would
//! ([`witness`]), and prints a Markdown table ([`report`]) for `docs/benchmarks.md`. What is about the workers' measurements alone does
//! without: it has the collector itself ([`loopback`]) and the real Artillery ([`artillery`]); so does the command line ([`cli`]).

mod artillery;
mod bare;
mod batches;
mod cli;
mod collect;
mod contender;
mod intake;
mod kubelet;
mod lag;
mod latency;
mod loopback;
mod machine;
mod memory;
mod report;
mod reporter;
mod sample;
mod shares;
mod stand;
mod start;
mod view;
mod witness;
mod workers;
mod writes;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};

use contender::Build;

/// Measures what the operator costs, beside a client that does the bare minimum.
#[derive(Parser)]
#[command(name = "benches", about)]
struct Flags {
    /// What to measure; all of it by default.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Section>,

    /// A manager to measure, as NAME=PATH; given twice, two builds are compared. The one beside this program by default.
    #[arg(long = "manager", value_name = "NAME=PATH")]
    managers: Vec<Build>,

    #[command(subcommand)]
    command: Option<Command>,
}

/// The other side of the comparison, which the bench starts as a process of its own.
#[derive(Subcommand)]
enum Command {
    /// Do the bare minimum for the LoadTests of one namespace: create the Job, patch a status for each change of a pod.
    Bare {
        /// The namespace.
        namespace: String,
    },
    /// Keep all LoadTests, Jobs and worker pods in memory, as kube's reflectors do without further thought.
    Reflect,
    /// Be a collector on loopback that believes every token.
    Collector {
        /// The file that will say where it is.
        file: std::path::PathBuf,
        /// How many connections it keeps open between batches.
        kept: usize,
    },
    /// Be the workers of a load test, as a file says.
    Workers {
        /// The file.
        orders: std::path::PathBuf,
    },
}

/// One question of what the operator costs.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq)]
enum Section {
    /// How long from a LoadTest to its Job.
    Latency,
    /// How many calls a LoadTest takes.
    Writes,
    /// How long from a pod's change to the status that tells it.
    Lag,
    /// How much memory and time the manager takes.
    Memory,
    /// What it takes to collect what many workers measure.
    Collect,
    /// How many batches are decoded and merged in a second, and by Artillery's own code.
    Batches,
    /// How long it takes to share a script out among ten thousand workers.
    Shares,
    /// How many requests a collector takes in over HTTPS.
    Intake,
    /// What the reporter costs a worker.
    Reporter,
    /// How far apart workers start.
    Start,
    /// How soon the command line answers, and how large it is.
    Cli,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benches: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let flags = Flags::parse();
    // the only provider there is; an error means that one is installed already
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        match &flags.command {
            Some(Command::Bare { namespace }) => bare::follow(namespace).await,
            Some(Command::Reflect) => bare::reflect().await,
            Some(Command::Collector { file, kept }) => loopback::stay(file, *kept).await,
            Some(Command::Workers { orders }) => workers::work(orders).await,
            None => measure(&flags).await,
        }
    })
}

async fn measure(flags: &Flags) -> Result<()> {
    let builds = || {
        if flags.managers.is_empty() {
            Ok(vec![Build::beside_this()?])
        } else {
            anyhow::Ok(flags.managers.clone())
        }
    };
    let wanted = |section| flags.only.is_empty() || flags.only.contains(&section);
    let command = std::iter::once("benches".to_owned()).chain(std::env::args().skip(1)).collect::<Vec<_>>();
    report::line(&format!("{} Command: `{}`.", machine::description()?, command.join(" ")));
    for (section, name) in [
        (Section::Latency, "latency"),
        (Section::Writes, "writes"),
        (Section::Lag, "lag"),
        (Section::Memory, "memory"),
        (Section::Collect, "collecting"),
        (Section::Batches, "merging"),
        (Section::Shares, "sharing"),
        (Section::Intake, "taking in"),
        (Section::Reporter, "the reporter"),
        (Section::Start, "the start"),
        (Section::Cli, "the command line"),
    ] {
        if !wanted(section) {
            continue;
        }
        let load = machine::load()?;
        match section {
            Section::Latency => latency::measure(&builds()?).await,
            Section::Writes => writes::measure(&builds()?).await,
            Section::Lag => lag::measure(&builds()?).await,
            Section::Memory => memory::measure(&builds()?).await,
            Section::Collect => collect::measure(&builds()?).await,
            Section::Batches => batches::measure(),
            Section::Shares => shares::measure(),
            Section::Intake => intake::measure().await,
            Section::Reporter => reporter::measure().await,
            Section::Start => start::measure().await,
            Section::Cli => cli::measure().await,
        }
        .with_context(|| format!("cannot measure {name}"))?;
        report::line(&format!("Load average: {load} before this section, {} after it.", machine::load()?));
    }
    Ok(())
}
