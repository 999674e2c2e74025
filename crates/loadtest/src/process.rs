//! What the process of a worker is told, in a pod or on this machine: the arguments of `artillery run`, and the environment that makes the
//! stock Artillery one thread that reports. `docs/protocol.md` says what the reporter's settings mean.

use serde_json::{Map, Value, json};

use crate::api::{Artillery, Distribution, Hooks, Json};

/// The folder that Artillery finds the reporter in, below one of `ARTILLERY_PLUGIN_PATH`.
pub const PLUGIN: &str = "artillery-plugin-operator";
/// Loads the plugin whatever `config.pluginsScope` the script has.
const PLUGIN_NAME: &str = "operator";
/// A worker that has joined waits this much longer than the collector does, in seconds.
const START_MARGIN_SECONDS: i32 = 60;

/// Artillery starts a load-generating thread per CPU *of the node* but one, whatever the container's share. A worker is
/// one thread, so that N workers are N on every node: this module, preloaded by Node (18.18 or newer), shows Artillery
/// one CPU. `WORKERS=1` says the same to Artillery up to 2.0.10.
const ONE_THREAD: &str = "--import=data:text/javascript,import%20os%20from'node:os';\
    import{syncBuiltinESMExports}from'node:module';\
    const%20one=os.cpus().slice(0,1);os.cpus=()=>one;syncBuiltinESMExports()";

/// `artillery run`, its options, and the script. Each option is one word, so that no value is taken for another option. `place` says where
/// a file lies that an option names.
pub fn arguments(
    script: String,
    environment: Option<&str>,
    artillery: &Artillery,
    place: impl Fn(&str) -> String,
) -> Vec<String> {
    let Artillery { target, variables, overrides, scenario_name, config, dotenv } = artillery;
    // what is too large was refused before
    let json = |value: &Option<Json>| value.as_ref().and_then(|json| json.text().ok()).map(str::to_owned);
    let file = |name: &Option<String>| name.as_deref().map(&place);
    let options = [
        ("environment", environment.map(str::to_owned)),
        ("target", target.clone()),
        ("variables", json(variables)),
        ("overrides", json(overrides)),
        ("scenario-name", scenario_name.clone()),
        ("config", file(config)),
        ("dotenv", file(dotenv)),
    ];
    let given = options.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value?)));
    ["run".to_owned(), script].into_iter().chain(given).collect()
}

/// The environment of a worker of the test of that UID, whose Node has these options more.
pub fn variables(uid: &str, node_options: Option<&str>) -> Vec<(&'static str, String)> {
    let node_options = [Some(ONE_THREAD), node_options];
    vec![
        ("ARTILLERY_DISABLE_TELEMETRY", "1".to_owned()),
        // what a script sees as $testId: the same in all workers
        ("ARTILLERY_TEST_RUN_ID", uid.to_owned()),
        ("WORKERS", "1".to_owned()),
        ("NODE_OPTIONS", node_options.into_iter().flatten().collect::<Vec<_>>().join(" ")),
    ]
}

/// How a worker reports.
#[derive(Clone, Debug)]
pub struct Reporting<'a> {
    /// The collector's address: `https://HOST:PORT`, or `http://127.0.0.1:PORT` on this machine.
    pub collector: &'a str,
    /// The folder that has [`PLUGIN`].
    pub folder: &'a str,
    /// The file with the token that says which worker it is.
    pub token_file: String,
    /// The file with the certificate that the collector's is checked against.
    pub ca_file: Option<String>,
    /// How long the workers wait for each other, in seconds.
    pub start_timeout_seconds: i32,
    /// How long a worker that is asked to stop may take, in seconds.
    pub grace_period_seconds: i64,
    /// Whether a worker may run without a share of the load.
    pub distribution: Distribution,
    /// Whether the script's hooks run in one worker for all.
    pub hooks: Hooks,
    /// The user's own `ARTILLERY_PLUGINS`, an object in JSON.
    pub plugins: Option<&'a str>,
    /// The user's own `ARTILLERY_PLUGIN_PATH`.
    pub plugin_path: Option<&'a str>,
}

impl Reporting<'_> {
    /// As environment variables.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let folders = [Some(self.folder), self.plugin_path];
        let mut variables = vec![
            ("ARTILLERY_PLUGINS", plugins(self.plugins)),
            ("ARTILLERY_PLUGIN_PATH", folders.into_iter().flatten().collect::<Vec<_>>().join(":")),
            ("LOADTEST_COLLECTOR", self.collector.to_owned()),
            ("LOADTEST_TOKEN_FILE", self.token_file.clone()),
        ];
        variables.extend(self.ca_file.clone().map(|file| ("LOADTEST_CA_FILE", file)));
        let start = self.start_timeout_seconds.saturating_add(START_MARGIN_SECONDS);
        variables.push(("LOADTEST_START_SECONDS", start.to_string()));
        variables.push(("LOADTEST_GRACE_SECONDS", self.grace_period_seconds.to_string()));
        if self.distribution == Distribution::Split {
            // without it a worker that gets no share runs the whole script
            variables.push(("LOADTEST_DISTRIBUTION", "Split".to_owned()));
        }
        if self.hooks == Hooks::Once {
            variables.push(("LOADTEST_HOOKS", "Once".to_owned()));
        }
        variables
    }
}

/// What `ARTILLERY_PLUGINS` is, with the user's own.
fn plugins(theirs: Option<&str>) -> String {
    let theirs: Option<Map<String, Value>> = theirs.and_then(|theirs| serde_json::from_str(theirs).ok());
    let mut plugins = theirs.unwrap_or_default();
    plugins.insert(PLUGIN_NAME.to_owned(), json!({ "scope": "artillery-plugin-" }));
    Value::from(plugins).to_string()
}
