//! Reading metrics over TLS as Prometheus does: with a token, from a server whose certificate nobody vouches for.

use anyhow::{Context as _, Result};

/// The answer of `server` (`https://host:port`) to a GET of `/metrics` with that bearer token: the body, or the code of a
/// refusal.
///
/// # Errors
/// Nobody answers there, or no HTTP.
pub async fn scrape(server: &str, token: Option<&str>) -> Result<std::result::Result<String, u16>> {
    let server = server.parse().with_context(|| format!("not a URL: {server}"))?;
    let mut config = kube::Config::new(server);
    config.accept_invalid_certs = true; // made by the manager itself, as kube-rbac-proxy did
    config.auth_info.token = token.map(|token| token.to_owned().into());
    let request = http::Request::get("/metrics").body(Vec::new())?;
    match kube::Client::try_from(config)?.request_text(request).await {
        Ok(body) => Ok(Ok(body)),
        Err(kube::Error::Api(status)) => Ok(Err(status.code)),
        Err(error) => Err(error.into()),
    }
}
