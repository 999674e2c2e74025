//! A cluster as kubectl knows it: how it is reached, and what its refusals mean to whoever typed a command.

pub mod bundle;
pub mod follow;
pub mod made;
pub mod patience;
mod seen;
pub mod stop;
pub mod stored;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use loadtest::LoadTest;

use crate::exit::Failure;
use crate::flags::Cluster;

/// A cluster, and the namespace that is meant.
#[derive(Clone)]
pub struct Connection {
    /// Speaks to its API server.
    pub client: Client,
    /// Where load tests are looked for.
    pub namespace: String,
    /// The flags by which this cluster was chosen, as a shell takes them: of other commands that speak to the same.
    pub chosen_by: String,
}

impl Connection {
    /// Reads the kubeconfig, as kubectl would; nothing is asked yet.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub async fn open(flags: &Cluster) -> Result<Self, Failure> {
        // the first one is taken: a second call says only that
        let _ = rustls::crypto::ring::default_provider().install_default();
        let no_cluster = |error: &dyn std::error::Error| {
            Failure::cluster(format!(
                "there is no cluster to speak to: {}: give --kubeconfig or --context, or run the script on this machine with --local",
                chain(error)
            ))
        };
        let flags = &flags.given();
        let options = KubeConfigOptions { context: flags.context.clone(), ..KubeConfigOptions::default() };
        let config = match &flags.kubeconfig {
            Some(path) => {
                let read = Kubeconfig::read_from(path).map_err(|error| no_cluster(&error))?;
                Config::from_custom_kubeconfig(read, &options).await.map_err(|error| no_cluster(&error))?
            }
            None => match Config::from_kubeconfig(&options).await {
                Ok(config) => config,
                // a pod has its own cluster where nobody says another: a kubeconfig with a mistake says one
                Err(error) if flags.context.is_some() || has_kubeconfig() => return Err(no_cluster(&error)),
                Err(error) => Config::incluster().map_err(|_| no_cluster(&error))?,
            },
        };
        let namespace = flags.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        let client = Client::try_from(config).map_err(|error| no_cluster(&error))?;
        Ok(Self { client, namespace, chosen_by: chosen_by(flags) })
    }

    /// A command for the same cluster and namespace, to be typed.
    pub fn hint(&self, words: &str) -> String {
        self.kubectl(&format!("artillery {words}"))
    }

    /// A command of kubectl itself for the same cluster and namespace, to be typed.
    pub fn kubectl(&self, words: &str) -> String {
        format!("kubectl {words} -n {}{}", self.namespace, self.chosen_by)
    }

    /// The same cluster, and that namespace.
    #[must_use]
    pub fn in_namespace(&self, namespace: &str) -> Self {
        Self { namespace: namespace.to_owned(), ..self.clone() }
    }

    /// Its load tests in the namespace.
    pub fn load_tests(&self) -> Api<LoadTest> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// A load test.
    ///
    /// # Errors
    /// There is none of that name, or it cannot be read.
    pub async fn load_test(&self, name: &str) -> Result<LoadTest, Failure> {
        // the API server would list all of them
        if name.is_empty() {
            return Err(Failure::usage("give the name of a load test, such as loadtest/checkout"));
        }
        let read = self.load_tests().get(name).await;
        read.map_err(|error| self.refused(&format!("read the load test {name}"), &error))
    }

    /// What a refusal means, in its namespace: see [`refused`].
    pub fn refused(&self, doing: &str, error: &kube::Error) -> Failure {
        refused(doing, &self.namespace, &self.chosen_by, error)
    }
}

/// What a refusal means: what was to be done, why not, and what can be done about it.
/// `chosen_by` are the flags that choose the cluster.
pub fn refused(doing: &str, namespace: &str, chosen_by: &str, error: &kube::Error) -> Failure {
    let kube::Error::Api(status) = error else {
        return Failure::cluster(format!("cannot {doing}: the cluster cannot be asked: {}", chain(error)));
    };
    let words = status.message.trim();
    let named = status.details.as_ref().is_some_and(|details| !details.name.is_empty());
    match status.code {
        401 => Failure::cluster(format!("cannot {doing}: the cluster does not know who you are: {words}")),
        403 => Failure::cluster(format!("cannot {doing}: {words}")),
        404 if status.details.as_ref().is_some_and(|details| details.kind == "namespaces") => {
            Failure::usage(format!("cannot {doing}: {words}: give another --namespace, or make it first"))
        }
        404 if named => Failure::usage(format!(
            "cannot {doing}: {words} in namespace {namespace}: kubectl artillery list -n {namespace}{chosen_by} shows those that are there"
        )),
        404 => Failure::cluster(format!(
            "cannot {doing}: this cluster has no LoadTests: install the operator (operator-deploy.sh)"
        )),
        409 => Failure::usage(format!("cannot {doing}: {words}: give another --name, or delete it first")),
        400 | 422 if words.contains("unknown field") => Failure::cluster(format!(
            "cannot {doing}: the operator in this cluster is older than this program: {words}"
        )),
        400 | 413 | 422 => Failure::usage(format!("cannot {doing}: {words}")),
        code => Failure::cluster(format!("cannot {doing}: the cluster answers {code}: {words}")),
    }
}

/// Whether it cannot be told what came of a request.
pub fn is_lost(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => [429, 500, 502, 503, 504].contains(&status.code),
        kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => false,
        _ => true,
    }
}

/// The flags that choose a cluster, with a blank before each.
pub fn chosen_by(flags: &Cluster) -> String {
    let Cluster { namespace: _, context, kubeconfig } = flags.given();
    let kubeconfig = kubeconfig.map(|path| path.display().to_string());
    let given = [("--context", context), ("--kubeconfig", kubeconfig)];
    given.into_iter().filter_map(|(flag, value)| Some(format!(" {flag} {}", word(&value?)))).collect()
}

/// A value as a shell takes it for one word.
pub fn word(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@=+,".contains(c);
    let quoted = || format!("'{}'", value.replace('\'', r"'\''"));
    if !value.is_empty() && value.chars().all(is_plain) { value.to_owned() } else { quoted() }
}

/// Whether there is a kubeconfig where kubectl looks for one.
fn has_kubeconfig() -> bool {
    let is_set = std::env::var_os("KUBECONFIG").is_some_and(|paths| !paths.is_empty());
    is_set || std::env::home_dir().is_some_and(|home| home.join(".kube/config").exists())
}

/// An error and what it came from, once each.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        let words = error.to_string();
        if !text.contains(&words) {
            text = format!("{text}: {words}");
        }
        next = error.source();
    }
    text
}

#[cfg(test)]
impl Connection {
    /// To a server of a test, or to where there is none.
    pub fn to(uri: &str) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::try_from(Config::new(uri.parse().expect("an address"))).expect("a client");
        Self { client, namespace: "shop".to_owned(), chosen_by: " --context test".to_owned() }
    }

    /// To a server that takes what it is asked, and never answers.
    pub async fn to_one_that_never_answers() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let connection = Self::to(&format!("http://{}", listener.local_addr().expect("it")));
        let router = axum::Router::new().fallback(std::future::pending::<()>);
        tokio::spawn(async move { axum::serve(listener, router).await });
        connection
    }

    /// To a server that answers with these, one after the other.
    pub async fn to_one_that_answers(answers: Vec<(u16, serde_json::Value)>) -> Self {
        use axum::http::StatusCode;

        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let connection = Self::to(&format!("http://{}", listener.local_addr().expect("it")));
        let left = std::sync::Mutex::new(answers.into_iter());
        let left = std::sync::Arc::new(left);
        let router = axum::Router::new().fallback(move || {
            let (code, body) = left.lock().expect("it").next().expect("no more is asked for");
            async move { (StatusCode::from_u16(code).expect("a code"), body.to_string()) }
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        connection
    }
}

/// An answer that says no more than that code.
#[cfg(test)]
pub fn bare(code: u16) -> (u16, serde_json::Value) {
    let status = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "", "message": "no",
    });
    (code, status)
}

#[cfg(test)]
mod tests {
    use kube::core::Status;
    use kube::core::response::StatusDetails;

    use super::*;

    #[test]
    fn the_flags_that_choose_a_cluster_can_be_typed_again() {
        let flags = |context: &str, kubeconfig: &str| Cluster {
            namespace: None,
            context: Some(context.to_owned()),
            kubeconfig: Some(kubeconfig.into()),
        };
        assert_eq!(chosen_by(&flags("kind-a", "/a/b.yaml")), " --context kind-a --kubeconfig /a/b.yaml");
        assert_eq!(chosen_by(&flags("a's", "a b")), r" --context 'a'\''s' --kubeconfig 'a b'");
        assert_eq!(chosen_by(&flags("", "")), "", "what is empty is not given");
        assert_eq!(chosen_by(&Cluster { namespace: None, context: None, kubeconfig: None }), "");
    }

    #[tokio::test]
    async fn each_refusal_says_what_to_do() {
        let connection = Connection::to("http://127.0.0.1:9");
        let named = StatusDetails {
            name: "checkout".to_owned(),
            group: String::new(),
            kind: "loadtests".to_owned(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
        };
        for (code, message, details, exit, said) in [
            (
                403,
                "loadtests is forbidden: User \"ann\" cannot create",
                None,
                4,
                "cannot run it: loadtests is forbidden: User \"ann\" cannot create",
            ),
            (
                401,
                "Unauthorized",
                None,
                4,
                "cannot run it: the cluster does not know who you are: Unauthorized",
            ),
            (
                404,
                "loadtests \"checkout\" not found",
                Some(named.clone()),
                2,
                "cannot run it: loadtests \"checkout\" not found in namespace shop: kubectl artillery list -n shop --context test shows those that are there",
            ),
            (
                404,
                "404 page not found",
                None,
                4,
                "cannot run it: this cluster has no LoadTests: install the operator (operator-deploy.sh)",
            ),
            (
                404,
                "namespaces \"shop\" not found",
                Some(StatusDetails { kind: "namespaces".to_owned(), ..named.clone() }),
                2,
                "cannot run it: namespaces \"shop\" not found: give another --namespace, or make it first",
            ),
            (
                409,
                "loadtests \"checkout\" already exists",
                Some(named),
                2,
                "cannot run it: loadtests \"checkout\" already exists: give another --name, or delete it first",
            ),
            (422, "spec.count: Invalid value: 0", None, 2, "cannot run it: spec.count: Invalid value: 0"),
            (
                400,
                "unknown field \"spec.distribution\"",
                None,
                4,
                "cannot run it: the operator in this cluster is older than this program: unknown field \"spec.distribution\"",
            ),
            (
                500,
                "etcdserver: timeout",
                None,
                4,
                "cannot run it: the cluster answers 500: etcdserver: timeout",
            ),
        ] {
            let status = Status { code, message: message.to_owned(), details, ..Status::default() };
            let failure = connection.refused("run it", &kube::Error::Api(Box::new(status)));
            assert_eq!((failure.exit.code(), failure.to_string().as_str()), (exit, said));
        }
    }
}
