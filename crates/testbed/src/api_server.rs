//! A Kubernetes without nodes: etcd, API server and the controllers of Jobs, garbage and namespaces, on free loopback
//! ports, each a real program. It ends with the test.

mod call;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Api;
use kube::api::PostParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::ObjectMeta;

use crate::cluster::repository;
use crate::eventually::eventually;
use crate::history::{self, History};
use crate::pki::{self, Pki};
use crate::process;

pub use call::Call;

/// The token of the administrator.
const ADMIN: &str = "admin-token";
/// The token of the operator's ServiceAccount, with the rights that `config/rbac` gives it.
const OPERATOR: &str = "operator-token";
/// The token of somebody without any rights.
const STRANGER: &str = "stranger-token";
/// The operator's ServiceAccount as the API server names it.
pub const OPERATOR_USER: &str =
    "system:serviceaccount:artillery-operator-system:artillery-operator-controller-manager";
/// How long the programs may take to be ready.
const READY: Duration = Duration::from_secs(60);

/// A running Kubernetes without nodes.
pub struct ApiServer {
    folder: PathBuf,
    programs: PathBuf,
    url: String,
    pki: Pki,
    etcd_url: String,
    port: u16,
    controllers_port: u16,
    api_server: Mutex<Child>,
    etcd: Mutex<Child>,
    /// Kept so that it is ended with this.
    controllers: Mutex<Option<Child>>,
    history: History,
}

/// Who talks to the API server.
#[derive(Clone, Copy)]
pub enum As {
    /// An administrator who may do everything.
    Admin,
    /// The operator, with the rights that its installation gives it.
    Operator,
    /// Somebody without any rights.
    Stranger,
}

impl As {
    fn token(self) -> &'static str {
        match self {
            Self::Admin => ADMIN,
            Self::Operator => OPERATOR,
            Self::Stranger => STRANGER,
        }
    }
}

impl ApiServer {
    /// Starts one whose files lie in `folder`, which is emptied, from the programs in the folder that `TESTBED_BIN`
    /// names (`hack/cluster/build` prints it).
    ///
    /// # Errors
    /// Programs are missing, or did not become ready: then the error names their logs.
    pub fn start(folder: &Path) -> Result<Self> {
        let programs = std::env::var_os("TESTBED_BIN").map(PathBuf::from).context(
            "TESTBED_BIN is not set: run `make test-api`, or set it to what hack/cluster/build prints",
        )?;
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
        }
        fs::create_dir_all(folder)?;
        let pki = pki::make(folder)?;
        let tokens = format!(
            "{ADMIN},admin,admin,system:masters\n{OPERATOR},{OPERATOR_USER},operator,\"system:serviceaccounts,system:serviceaccounts:artillery-operator-system\"\n{STRANGER},stranger,stranger\n"
        );
        fs::write(folder.join("tokens.csv"), tokens)?;

        let [etcd, etcd_peer, port, controllers_port] = free_ports()?;
        let etcd_url = format!("http://127.0.0.1:{etcd}");
        let etcd = start_etcd(&programs, folder, &etcd_url, etcd_peer)?;
        let history = History::of(&etcd_url);
        let url = format!("https://127.0.0.1:{port}");
        let api_server = start_api_server(&programs, folder, &pki, &etcd_url, port)?;
        let server = Self {
            folder: folder.to_owned(),
            programs,
            url,
            pki,
            etcd_url,
            port,
            controllers_port,
            api_server: Mutex::new(api_server),
            etcd: Mutex::new(etcd),
            controllers: Mutex::default(),
            history,
        };
        for who in [As::Admin, As::Operator, As::Stranger] {
            fs::write(server.kubeconfig(who), server.kubeconfig_text(who.token()))?;
        }
        server.wait_ready()?;
        server.restart_controllers()?;
        Ok(server)
    }

    /// The file with which `kubectl` and the manager find it.
    pub fn kubeconfig(&self, who: As) -> PathBuf {
        self.folder.join(match who {
            As::Admin => "admin.kubeconfig",
            As::Operator => "operator.kubeconfig",
            As::Stranger => "stranger.kubeconfig",
        })
    }

    /// A client's configuration.
    ///
    /// # Errors
    /// The kubeconfig is not there any more.
    pub async fn config(&self, who: As) -> Result<kube::Config> {
        let kubeconfig = Kubeconfig::read_from(self.kubeconfig(who))?;
        Ok(kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
    }

    /// A client that lives in the calling runtime.
    ///
    /// # Errors
    /// As [`Self::config`].
    pub async fn client(&self, who: As) -> Result<kube::Client> {
        Ok(kube::Client::try_from(self.config(who).await?)?)
    }

    /// Runs kubectl as the administrator and returns what it printed.
    ///
    /// # Errors
    /// kubectl's own words, if it ends with another code than 0.
    pub fn kubectl(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(self.programs.join("kubectl"));
        command
            .env("KUBECONFIG", self.kubeconfig(As::Admin))
            .env("KUBECACHEDIR", self.folder.join("kubecache"));
        process::output(command.args(args))
    }

    /// Installs the operator by its own manifests, and waits until LoadTests can be created. Its manager does not run:
    /// there are no nodes.
    ///
    /// # Errors
    /// kubectl's own words.
    pub fn install_operator(&self) -> Result<()> {
        let manifests = repository().join("config/default");
        self.kubectl(&["apply", "-k", &manifests.display().to_string()])?;
        self.until_crd_is_served()
    }

    /// Waits until LoadTests can be created.
    ///
    /// # Errors
    /// kubectl's words: they cannot after 30 s.
    pub fn until_crd_is_served(&self) -> Result<()> {
        // kubectl fails at once while there are no conditions at all
        for what in ["jsonpath={.status.conditions[0].type}", "condition=Established"] {
            let what = format!("--for={what}");
            self.kubectl(&["wait", &what, "--timeout=30s", "crd/loadtests.loadtest.artillery.io"])?;
        }
        Ok(())
    }

    /// Creates a namespace, and waits until pods can be created in it: they are refused until it has its ServiceAccount.
    ///
    /// # Errors
    /// The API server's.
    ///
    /// # Panics
    /// The ServiceAccount does not come.
    pub async fn create_namespace(&self, name: &str) -> Result<()> {
        let client = self.client(As::Admin).await?;
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let new = Namespace { metadata, ..Namespace::default() };
        Api::<Namespace>::all(client.clone()).create(&PostParams::default(), &new).await?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client, name);
        let look = async || accounts.get_opt("default").await.is_ok_and(|account| account.is_some());
        eventually(&format!("the ServiceAccount of {name}"), READY, look, |there| *there).await;
        Ok(())
    }

    /// Kills the API server, and starts it again `after` that long. Kubernetes' controllers are started anew with it, as they
    /// are in a cluster where they lose their Lease meanwhile: without one they would wait up to 30 s until they try again.
    ///
    /// # Errors
    /// It did not come back.
    pub fn restart(&self, after: Duration) -> Result<()> {
        let mut api_server = self.api_server.lock().unwrap_or_else(PoisonError::into_inner);
        api_server.kill()?;
        api_server.wait()?;
        std::thread::sleep(after); // the outage itself, not a hope
        *api_server = start_api_server(&self.programs, &self.folder, &self.pki, &self.etcd_url, self.port)?;
        drop(api_server);
        self.wait_ready()?;
        self.restart_controllers()
    }

    /// Lets etcd stand still for that long: what is written meanwhile hangs.
    ///
    /// # Errors
    /// It has ended.
    pub fn pause_etcd(&self, time: Duration) -> Result<()> {
        let etcd = self.etcd.lock().unwrap_or_else(PoisonError::into_inner);
        process::signal(&etcd, "STOP")?;
        std::thread::sleep(time); // the outage itself, not a hope
        process::signal(&etcd, "CONT")
    }

    /// Lets etcd forget all revisions but the newest, which is returned. An API server that is started after that knows of
    /// no change before it.
    ///
    /// # Errors
    /// etcd does not answer.
    pub async fn compact_etcd(&self) -> Result<u64> {
        history::compact(&self.etcd_url).await
    }

    /// The witness of all that is written.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// A file with which somebody of that token finds it.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn kubeconfig_of(&self, name: &str, token: &str) -> Result<PathBuf> {
        let file = self.folder.join(format!("{name}.kubeconfig"));
        fs::write(&file, self.kubeconfig_text(token))?;
        Ok(file)
    }

    /// What the operator (and any other ServiceAccount) has asked so far, in order, by the API server's audit log.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn calls(&self) -> Result<Vec<Call>> {
        let log = fs::read_to_string(self.folder.join("audit.log")).context("cannot read the audit log")?;
        // the last line may be half written
        Ok(log
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .map(|event| Call::of(&event))
            .collect())
    }

    fn restart_controllers(&self) -> Result<()> {
        let mut controllers = self.controllers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut old) = controllers.take() {
            old.kill()?;
            old.wait()?;
        }
        let args = [
            format!("--kubeconfig={}", self.kubeconfig(As::Admin).display()),
            "--leader-elect=false".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--secure-port={}", self.controllers_port),
            format!("--cert-dir={}", self.folder.join("kcm").display()),
            format!("--root-ca-file={}", self.pki.ca.display()),
            "--controllers=job-controller,garbage-collector-controller,ttl-after-finished-controller,namespace-controller,serviceaccount-controller"
                .to_owned(),
            "--kube-api-qps=200".to_owned(),
            "--kube-api-burst=400".to_owned(),
        ];
        let program = self.programs.join("kube-controller-manager");
        let log = self.folder.join("kube-controller-manager.log");
        *controllers = Some(process::start(&program, &args, &[], &log)?);
        Ok(())
    }

    fn wait_ready(&self) -> Result<()> {
        let deadline = Instant::now() + READY;
        loop {
            let ended = self.api_server.lock().unwrap_or_else(PoisonError::into_inner).try_wait()?;
            if let Some(status) = ended {
                bail!("the API server ended with {status}, see {}/kube-apiserver.log", self.folder.display());
            }
            match self.kubectl(&["get", "--raw", "/readyz"]) {
                Ok(_) => return Ok(()),
                Err(error) if Instant::now() > deadline => {
                    bail!(
                        "the API server is not ready within {} s, see {}: {error}",
                        READY.as_secs(),
                        self.folder.display()
                    );
                }
                Err(_) => std::thread::sleep(Duration::from_millis(200)), // poll interval, bounded above
            }
        }
    }

    fn kubeconfig_text(&self, token: &str) -> String {
        let (url, ca) = (&self.url, self.pki.ca.display());
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: testbed\n\
             contexts: [{{name: testbed, context: {{cluster: testbed, user: testbed}}}}]\n\
             clusters: [{{name: testbed, cluster: {{server: \"{url}\", certificate-authority: \"{ca}\"}}}}]\n\
             users: [{{name: testbed, user: {{token: {token}}}}}]\n"
        )
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        let mut controllers = self.controllers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut api_server = self.api_server.lock().unwrap_or_else(PoisonError::into_inner);
        let mut etcd = self.etcd.lock().unwrap_or_else(PoisonError::into_inner);
        for child in controllers.iter_mut().chain([&mut *api_server, &mut *etcd]) {
            // it may have ended already; the kernel ends what remains
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // all are held until all are known, so that they differ
    let held: Vec<TcpListener> =
        (0..N).map(|_| TcpListener::bind(("127.0.0.1", 0))).collect::<std::io::Result<_>>()?;
    let ports: Vec<u16> =
        held.iter().map(|l| l.local_addr().map(|a| a.port())).collect::<std::io::Result<_>>()?;
    ports.try_into().map_err(|_| anyhow::anyhow!("a port is missing"))
}

fn start_etcd(programs: &Path, folder: &Path, url: &str, peer_port: u16) -> Result<Child> {
    let peer = format!("http://127.0.0.1:{peer_port}");
    let args = [
        format!("--data-dir={}", folder.join("etcd").display()),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
        format!("--listen-client-urls={url}"),
        format!("--advertise-client-urls={url}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
    ];
    process::start(&programs.join("etcd"), &args, &[], &folder.join("etcd.log"))
}

fn start_api_server(programs: &Path, folder: &Path, pki: &Pki, etcd: &str, port: u16) -> Result<Child> {
    let policy = folder.join("audit.yaml");
    fs::write(
        &policy,
        "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- {level: Metadata, userGroups: [\"system:serviceaccounts\"]}\n",
    )?;
    let args = [
        format!("--etcd-servers={etcd}"),
        // so that the witness can read what is stored
        "--storage-media-type=application/json".to_owned(),
        "--bind-address=127.0.0.1".to_owned(),
        "--advertise-address=127.0.0.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", pki.certificate.display()),
        format!("--tls-private-key-file={}", pki.key.display()),
        format!("--token-auth-file={}", folder.join("tokens.csv").display()),
        "--authorization-mode=RBAC".to_owned(),
        "--service-cluster-ip-range=10.0.0.0/24".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", pki.public_key.display()),
        format!("--service-account-signing-key-file={}", pki.key.display()),
        format!("--cert-dir={}", folder.join("apiserver").display()),
        format!("--audit-policy-file={}", policy.display()),
        format!("--audit-log-path={}", folder.join("audit.log").display()),
        "--allow-privileged".to_owned(),
    ];
    process::start(&programs.join("kube-apiserver"), &args, &[], &folder.join("kube-apiserver.log"))
}
