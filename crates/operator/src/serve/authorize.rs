//! Who may read the metrics over TLS: those whom the API server lets; what the first operator had a side-car for.

use std::time::Duration;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::api::{Api, PostParams};
use tokio::time::timeout;

/// How long the reviews of one request may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Lets through to `router` those who may `get` the path that they ask for, as the API server says.
pub fn authorized(router: Router, client: kube::Client) -> Router {
    router.layer(from_fn_with_state(client, authorize))
}

async fn authorize(State(client): State<kube::Client>, request: Request, next: Next) -> Response {
    let bearer = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = bearer.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
    let path = request.uri().path().to_owned();
    let Some(token) = token else {
        return (StatusCode::UNAUTHORIZED, "send a ServiceAccount token: Authorization: Bearer …\n")
            .into_response();
    };
    match timeout(PATIENCE, may_get(client, token, &path)).await {
        Ok(Ok(Verdict::Allowed)) => next.run(request).await,
        Ok(Ok(Verdict::Unknown)) => {
            (StatusCode::UNAUTHORIZED, "the API server does not know this token\n").into_response()
        }
        Ok(Ok(Verdict::Denied(user))) => {
            let message = format!(
                "{user} may not get {path}: bind it to the ClusterRole artillery-operator-metrics-reader\n"
            );
            (StatusCode::FORBIDDEN, message).into_response()
        }
        Ok(Err(error)) => {
            tracing::warn!("cannot review a request for metrics: {error:#}");
            (StatusCode::SERVICE_UNAVAILABLE, "the API server did not review the request\n").into_response()
        }
        Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the API server did not answer in time\n").into_response()
        }
    }
}

enum Verdict {
    Allowed,
    Unknown,
    Denied(String),
}

async fn may_get(client: kube::Client, token: String, path: &str) -> Result<Verdict> {
    let review = TokenReview {
        spec: TokenReviewSpec { token: Some(token), audiences: None },
        ..TokenReview::default()
    };
    let reviews: Api<TokenReview> = Api::all(client.clone());
    let reviewed = reviews.create(&PostParams::default(), &review).await.context("TokenReview")?;
    let Some((true, user)) =
        reviewed.status.map(|s| (s.authenticated == Some(true), s.user.unwrap_or_default()))
    else {
        return Ok(Verdict::Unknown);
    };
    let UserInfo { username, uid, groups, extra } = user;
    let review = SubjectAccessReview {
        spec: SubjectAccessReviewSpec {
            non_resource_attributes: Some(NonResourceAttributes {
                path: Some(path.to_owned()),
                verb: Some("get".to_owned()),
            }),
            user: username.clone(),
            uid,
            groups,
            extra,
            ..SubjectAccessReviewSpec::default()
        },
        ..SubjectAccessReview::default()
    };
    let reviews: Api<SubjectAccessReview> = Api::all(client);
    let reviewed = reviews.create(&PostParams::default(), &review).await.context("SubjectAccessReview")?;
    match reviewed.status {
        Some(SubjectAccessReviewStatus { allowed: true, .. }) => Ok(Verdict::Allowed),
        _ => Ok(Verdict::Denied(username.unwrap_or_default())),
    }
}
