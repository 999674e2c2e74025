//! What the API server writes down of those who call it, in its audit log.

use k8s_openapi::jiff::Timestamp;

/// One call that the operator made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who called.
    pub user: String,
    /// Empty for all namespaces.
    pub namespace: String,
    /// Such as `get`, `create` or `patch`.
    pub verb: String,
    /// The resource's API group; empty for the core's.
    pub group: String,
    /// Such as `loadtests`.
    pub resource: String,
    /// Such as `status`; empty for the object itself.
    pub subresource: String,
    /// The object's name, where the call names one.
    pub name: String,
    /// Path and query, decoded as little as it came.
    pub uri: String,
    /// HTTP status of the answer.
    pub code: u64,
    /// Which program asked, such as `artillery-operator/VERSION (POD)`.
    pub user_agent: String,
    /// When the API server received it.
    pub received: Timestamp,
}

impl Call {
    pub(super) fn of(event: &serde_json::Value) -> Self {
        let field = |path: &str| event.pointer(path).and_then(|v| v.as_str()).unwrap_or_default().to_owned();
        Self {
            user: field("/user/username"),
            namespace: field("/objectRef/namespace"),
            verb: field("/verb"),
            group: field("/objectRef/apiGroup"),
            resource: field("/objectRef/resource"),
            subresource: field("/objectRef/subresource"),
            name: field("/objectRef/name"),
            uri: field("/requestURI"),
            code: event.pointer("/responseStatus/code").and_then(serde_json::Value::as_u64).unwrap_or(0),
            user_agent: field("/userAgent"),
            received: field("/requestReceivedTimestamp").parse().unwrap_or(Timestamp::UNIX_EPOCH),
        }
    }

    /// Whether it asks for a change.
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }
}
