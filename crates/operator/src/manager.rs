//! The manager's life: servers, leadership, controller, and the end of all three.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use kube::Client;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::client::Clients;
use crate::collect::Collecting;
use crate::flags::Flags;
use crate::leader::{Candidate, Term};
use crate::metrics::Metrics;
use crate::serve::{Readiness, Transport, authorized, health, metrics};
use crate::{controller, serve};

/// After a signal everything has this long to end.
const SHUTDOWN: Duration = Duration::from_secs(4);

/// Prints the CustomResourceDefinition.
pub fn print_crd() -> ExitCode {
    match crd_yaml() {
        Ok(yaml) => {
            print!("{yaml}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot write the CustomResourceDefinition as YAML: {error}");
            ExitCode::FAILURE
        }
    }
}

fn crd_yaml() -> Result<String, serde_saphyr::ser::Error> {
    let generated = "# Generated from the API types by `make manifests`.\n";
    Ok(format!("{generated}{}", serde_saphyr::to_string(&loadtest::crd::crd())?))
}

/// Runs the manager until SIGTERM or SIGINT.
///
/// # Errors
/// It could not begin, lost its leadership, or did not end in time.
pub fn main(flags: &Flags) -> Result<()> {
    // the only provider there is; an error means that one is installed already
    let _ = rustls::crypto::ring::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let ended = runtime.block_on(run(flags));
    runtime.shutdown_timeout(Duration::from_millis(200));
    ended
}

async fn run(flags: &Flags) -> Result<()> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;

    let config = kube::Config::infer()
        .await
        .context("no cluster: neither a ServiceAccount in a pod nor a kubeconfig (KUBECONFIG, ~/.kube/config) was found")?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), cluster = %config.cluster_url, "the manager starts");
    let own_namespace = config.default_namespace.clone();
    let counters = Arc::new(Metrics::default());
    let clients = Clients::new(config, &instance(), Arc::clone(&counters))?;
    let client = clients.within(&Term::endless())?;
    let readiness = Readiness::default();
    start_servers(flags, &client, &counters, &readiness, &stop).await?;
    let collecting = bind("--collector-bind-address", flags.collector_bind_address).await?;
    let home = flags.pod_namespace.clone().unwrap_or_else(|| own_namespace.clone());
    let namespace = flags.leader_election_namespace.clone().unwrap_or(own_namespace);
    let control = |client: Client| {
        readiness.acts.cancel();
        counters.leads(true);
        let setup = controller::Setup {
            namespaces: flags.namespace.clone().unwrap_or_default(),
            instance: instance(),
            settings: flags.settings.clone().into(),
        };
        let synced = readiness.synced.clone();
        let (counters, stop, home) = (Arc::clone(&counters), stop.clone(), home.clone());
        async move {
            let ready = async {
                let Some(listener) = collecting else { return Ok(None) };
                Collecting::prepare(&client, flags, &home, &instance(), listener).await
            };
            let collecting = tokio::select! {
                () = stop.cancelled() => return Ok(()),
                ready = ready => ready?,
            };
            controller::run(client, setup, counters, collecting, synced, stop).await;
            anyhow::Ok(())
        }
    };

    let work = async {
        if !flags.leader_elect {
            return control(client.clone()).await;
        }
        let candidate = Candidate::new(client.clone(), &namespace, identity());
        let leader = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            leader = candidate.acquire() => leader,
        };
        // the Lease outlives the last write: it is given back only once the controller has ended
        let controller_ended = CancellationToken::new();
        let fenced = clients.within(&leader.term())?;
        let controlling = async {
            let ended = control(fenced).await;
            controller_ended.cancel();
            ended
        };
        let holding = leader.hold(controller_ended.clone());
        tokio::pin!(holding);
        tokio::select! {
            lost = &mut holding => {
                counters.leads(false);
                return lost.context("no longer the leader");
            }
            ended = controlling => ended?,
        }
        holding.await
    };
    tokio::pin!(work);
    tokio::select! {
        ended = &mut work => return ended.and_then(|()| anyhow::bail!("the controller ended by itself")),
        _ = terminate.recv() => tracing::info!("SIGTERM: stopping"),
        _ = interrupt.recv() => tracing::info!("SIGINT: stopping"),
    }
    stop.cancel();
    timeout(SHUTDOWN, work).await.context("not everything ended in time")??;
    tracing::info!("stopped");
    Ok(())
}

/// Binds all addresses before anything is served, so that one that is taken ends the manager at once.
async fn start_servers(
    flags: &Flags,
    client: &Client,
    counters: &Arc<Metrics>,
    readiness: &Readiness,
    stop: &CancellationToken,
) -> Result<()> {
    let health_listener = bind("--health-probe-bind-address", flags.health_probe_bind_address).await?;
    let metrics_listener = bind("--metrics-bind-address", flags.metrics_bind_address).await?;
    let secure_listener = bind("--metrics-secure-bind-address", flags.metrics_secure_bind_address).await?;
    let start = |listener: Option<TcpListener>, router: Router, transport: Transport| {
        if let Some(listener) = listener {
            tokio::spawn(serve::serve(listener, router, transport, stop.clone()));
        }
    };
    start(health_listener, health(readiness.clone()), Transport::Plain);
    start(metrics_listener, metrics(Arc::clone(counters)), Transport::Plain);
    let guarded = authorized(metrics(Arc::clone(counters)), client.clone());
    start(secure_listener, guarded, Transport::self_signed()?);
    Ok(())
}

async fn bind(flag: &str, address: Option<SocketAddr>) -> Result<Option<TcpListener>> {
    let Some(address) = address else { return Ok(None) };
    let listener =
        TcpListener::bind(address).await.with_context(|| format!("{flag}={address}: cannot listen there"))?;
    tracing::info!(%address, "listening for {}", flag.trim_start_matches("--").trim_end_matches("-bind-address"));
    Ok(Some(listener))
}

/// Who reports events.
fn instance() -> String {
    std::env::var("POD_NAME").or_else(|_| std::env::var("HOSTNAME")).unwrap_or_else(|_| "manager".to_owned())
}

/// Who holds the Lease: the pod's UID, so that a restarted container takes its own Lease back at once; outside a
/// cluster, this process.
fn identity() -> String {
    std::env::var("POD_UID").map_or_else(
        |_| format!("{}_{}", instance(), std::process::id()),
        |uid| format!("{}_{uid}", instance()),
    )
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_crd_file_is_what_the_types_say() {
        let file = include_str!("../../../config/crd/bases/loadtest.artillery.io_loadtests.yaml");
        let generated = super::crd_yaml().expect("YAML");
        assert_eq!(file, generated, "config/crd/bases is stale: run `make manifests`");
    }
}
