//! `loadtest-target`: the server of `testbed::target` as a program, for the example load test and for tests in a cluster.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

/// How long `--reach` tries.
const REACH: Duration = Duration::from_secs(120);

/// A small shop that counts every request: point a load test at it, then compare with its /counts.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// Address and port that the shop is served on; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8080", value_parser = address)]
    listen: SocketAddr,
    /// Address and port of /counts, /arrivals and /healthz.
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "0.0.0.0:8081", value_parser = address)]
    admin_listen: SocketAddr,
    /// Serve nothing: end as soon as a server answers there, by name too, or with an error after two minutes.
    #[arg(long, value_name = "HOST:PORT")]
    reach: Option<String>,
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "give an IP address and a port, as 0.0.0.0:8080 or [::]:8080".to_owned())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    if let Some(place) = &options.reach {
        return reach(place).await;
    }
    let service = bind("--listen", options.listen).await?;
    let admin = bind("--admin-listen", options.admin_listen).await?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    println!("shop on {}, counts on {}", service.local_addr()?, admin.local_addr()?);
    testbed::target::serve(service, admin, async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await
    .context("the server failed")
}

/// Waits until a server takes connections there.
async fn reach(place: &str) -> anyhow::Result<()> {
    let deadline = Instant::now() + REACH;
    loop {
        let tried = timeout(Duration::from_secs(5), TcpStream::connect(place)).await;
        match tried.map_err(anyhow::Error::from).and_then(|connection| Ok(connection?)) {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() >= deadline => {
                return Err(
                    error.context(format!("not reached within {} s: {place}, see --reach", REACH.as_secs()))
                );
            }
            Err(_) => sleep(Duration::from_millis(200)).await,
        }
    }
}

async fn bind(flag: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}, see {flag}"))
}
