//! A worker without Artillery: speaks `docs/protocol.md` to a collector, for tests and measurements of what is behind it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Where collectors are, and whom to trust there; cheap to clone.
#[derive(Clone)]
pub struct Collectors {
    address: String,
    host: ServerName<'static>,
    tls: TlsConnector,
    source: Option<IpAddr>,
}

impl Collectors {
    /// Those at `https://HOST:PORT`, under that CA.
    ///
    /// # Errors
    /// The URL is none, or the CA is no PEM.
    pub fn at(url: &str, ca_pem: &str) -> Result<Self> {
        let address = url.strip_prefix("https://").context("https:// is expected")?.to_owned();
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host).to_owned();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).context("the CA is no PEM")?)?;
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let tls = TlsConnector::from(Arc::new(config));
        Ok(Self { address, host: ServerName::try_from(host)?, tls, source: None })
    }

    /// The same, reached at that address, where no cluster leads to the URL's host.
    #[must_use]
    pub fn by_way_of(self, address: SocketAddr) -> Self {
        Self { address: address.to_string(), ..self }
    }

    /// The same, called from that address of this machine: pods have one each.
    #[must_use]
    pub fn called_from(self, source: IpAddr) -> Self {
        Self { source: Some(source), ..self }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        let stream = match self.source {
            None => TcpStream::connect(&self.address).await?,
            Some(source) => {
                let socket = TcpSocket::new_v4()?;
                socket.bind(SocketAddr::new(source, 0))?;
                socket.connect(self.address.parse().context("an address, not a name, is expected")?).await?
            }
        };
        stream.set_nodelay(true)?;
        let stream = self.tls.connect(self.host.clone(), stream).await?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// A token of the default ServiceAccount that is bound to that pod, for that audience: what a kubelet mounts.
///
/// # Errors
/// The API server does not give one.
pub async fn token(
    client: &kube::Client,
    namespace: &str,
    pod: &str,
    pod_uid: Option<&str>,
    audience: &str,
) -> Result<String> {
    let request = json!({
        "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {
            "audiences": [audience], "expirationSeconds": 3600,
            "boundObjectRef": { "apiVersion": "v1", "kind": "Pod", "name": pod, "uid": pod_uid },
        },
    });
    let uri = format!("/api/v1/namespaces/{namespace}/serviceaccounts/default/token");
    let post = http::Request::post(uri).header(header::CONTENT_TYPE, "application/json");
    let answer: Value = client.request(post.body(request.to_string().into_bytes())?).await?;
    Ok(answer["status"]["token"].as_str().context("an answer without a token")?.to_owned())
}

/// What a collector answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Value,
}

impl Answer {
    /// The reason of a refusal, if it is one.
    pub fn refused(&self) -> Option<&str> {
        self.body["refused"]["reason"].as_str()
    }
}

/// One process of a worker.
pub struct Worker {
    collectors: Collectors,
    sender: Option<SendRequest<Full<Bytes>>>,
    token: String,
    process: String,
}

impl Worker {
    /// The process with that number, which shows that token.
    pub fn new(collectors: &Collectors, token: &str, process: u128) -> Self {
        let (collectors, token) = (collectors.clone(), token.to_owned());
        Self { collectors, sender: None, token, process: format!("{process:032x}") }
    }

    /// Asks once, on the connection that there is, or on a new one.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn post(&mut self, path: &str, body: Vec<u8>) -> Result<Answer> {
        let answer = timeout(PATIENCE, self.ask(path, body)).await.context("no answer in time").flatten();
        if answer.is_err() {
            self.sender = None;
        }
        answer
    }

    async fn ask(&mut self, path: &str, body: Vec<u8>) -> Result<Answer> {
        let mut sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => self.collectors.connect().await?,
        };
        sender.ready().await?;
        let request = Request::post(path)
            .header(header::HOST, &self.collectors.address)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
            .header("loadtest-process", &self.process)
            .body(Full::new(Bytes::from(body)))?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await?.to_bytes();
        self.sender = Some(sender);
        Ok(Answer { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) })
    }

    /// Joins with the phases and checks that Artillery would have resolved.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn join(&mut self, phases: &Value, ensure: &Value) -> Result<Answer> {
        let hello = json!({
            "protocol": 1, "reporter": "testbed", "artillery": "none", "node": "none",
            "phases": phases, "ensure": ensure,
        });
        self.post("/v1/join", hello.to_string().into_bytes()).await
    }

    /// Polls until it may start, and returns when that is, in milliseconds from now.
    ///
    /// # Errors
    /// It may not, or not within `patience`.
    pub async fn until_released(&mut self, patience: Duration) -> Result<f64> {
        let polling = async {
            loop {
                let answer = self.post("/v1/start", b"{}".to_vec()).await?;
                if let Some(milliseconds) = answer.body["go"]["inMilliseconds"].as_f64() {
                    return Ok(milliseconds);
                }
                let Some(pause) = answer.body["wait"]["milliseconds"].as_f64() else {
                    bail!("no start: {answer:?}");
                };
                sleep(Duration::from_secs_f64(pause / 1000.0)).await;
            }
        };
        timeout(patience, polling).await.context("not released in time")?
    }

    /// Sends an encoded batch.
    ///
    /// # Errors
    /// There is no answer.
    pub async fn batch(&mut self, bytes: Vec<u8>) -> Result<Answer> {
        self.post("/v1/batches", bytes).await
    }

    /// Says that it ends, after so many batches, and asks until they are durable.
    ///
    /// # Errors
    /// They are not within `patience`, or it is turned away.
    pub async fn finish(&mut self, batches: u64, exit_code: i32, patience: Duration) -> Result<()> {
        let finish = json!({ "batches": batches, "exitCode": exit_code }).to_string().into_bytes();
        let asking = async {
            let mut answer = self.post("/v1/finish", finish).await?;
            while answer.body["durable"].as_u64() != Some(batches) {
                if answer.refused().is_some() {
                    bail!("{answer:?}");
                }
                sleep(Duration::from_millis(50)).await;
                answer = self.post("/v1/batches", Vec::new()).await?;
            }
            Ok(())
        };
        timeout(patience, asking).await.context("not durable in time")?
    }
}
