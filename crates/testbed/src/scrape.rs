//! Reading metrics over TLS as Prometheus does: with a token, from a server whose certificate nobody vouches for.

use anyhow::{Context as _, Result};

/// The answer to a GET of `url` (`https://host:port/path`) with that bearer token: the body, or the code of a refusal.
///
/// # Errors
/// Nobody answers there, or no HTTP.
pub async fn scrape(url: &str, token: Option<&str>) -> Result<std::result::Result<String, u16>> {
    let url: http::Uri = url.parse().with_context(|| format!("not a URL: {url}"))?;
    let request = http::Request::get(url.path()).body(Vec::new())?;
    let mut config = kube::Config::new(url);
    config.accept_invalid_certs = true; // made by the manager itself, as kube-rbac-proxy did
    config.default_retry = false;
    config.auth_info.token = token.map(|token| token.to_owned().into());
    match kube::Client::try_from(config)?.request_text(request).await {
        Ok(body) => Ok(Ok(body)),
        Err(kube::Error::Api(status)) => Ok(Err(status.code)),
        Err(error) => Err(error.into()),
    }
}
