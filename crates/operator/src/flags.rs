//! What the manager was asked to do: the first operator's flags, and few more.

mod settings;

use std::net::SocketAddr;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};

pub use settings::SettingsFlags;

/// Runs Artillery load tests as native Kubernetes resources.
#[derive(Parser, Clone, Debug)]
#[command(name = "manager", version, about)]
pub struct Flags {
    /// Where metrics are served as plain HTTP; :8080 means every address, 0 serves none.
    #[arg(long, default_value = ":8080", value_name = "ADDRESS", value_parser = address)]
    pub metrics_bind_address: Bind,

    /// Where metrics are served over TLS to those whom the API server lets "get /metrics"; 0 serves none.
    #[arg(long, default_value = "0", value_name = "ADDRESS", value_parser = address)]
    pub metrics_secure_bind_address: Bind,

    /// Where the probes /healthz and /readyz are served; 0 serves none.
    #[arg(long, default_value = ":8081", value_name = "ADDRESS", value_parser = address)]
    pub health_probe_bind_address: Bind,

    /// Where workers report over TLS; 0 collects no reports.
    #[arg(long, default_value = ":9443", value_name = "ADDRESS", value_parser = address)]
    pub collector_bind_address: Bind,

    /// How workers reach that address from elsewhere: https://HOST[:PORT]; by default through the Service, which needs POD_IP.
    #[arg(long, value_name = "URL", value_parser = collector_url)]
    pub collector_url: Option<String>,

    /// The Service, without a selector, that is led to the manager that leads.
    #[arg(long, default_value = "artillery-operator-collector", value_name = "NAME")]
    pub collector_service: String,

    /// This pod's address, for that Service.
    #[arg(long, env = "POD_IP", value_name = "ADDRESS", hide = true)]
    pub pod_ip: Option<std::net::IpAddr>,

    /// The namespace that this manager runs in, with the collector's Secret and Service; by default that of the kubeconfig.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE", hide = true)]
    pub pod_namespace: Option<String>,

    /// The one namespace whose LoadTests are run, with rights in that namespace only; by default all namespaces.
    #[arg(long, env = "WATCH_NAMESPACE", value_name = "NAMESPACE", value_parser = namespaces)]
    pub namespace: Option<Namespaces>,

    /// Run only while holding the Lease 84f84c74.artillery.io, so that of several managers one acts.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub leader_elect: bool,

    /// The namespace of that Lease; by default the one that the manager runs in.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAMESPACE")]
    pub leader_election_namespace: Option<String>,

    #[command(flatten)]
    /// What the administrator allows.
    pub settings: SettingsFlags,

    /// How log lines are written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What the log tells, as RUST_LOG directives: info, debug, operator=debug,kube=info, …
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "DIRECTIVES")]
    pub log_level: String,

    #[command(flatten)]
    /// The first operator's logging flags.
    pub zap: Zap,

    /// What to do instead of running the manager.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// The first operator's logging flags, taken with the nearest meaning.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Flags of the first operator")]
pub struct Zap {
    /// Development logging: as --log-level=debug.
    #[arg(long, num_args = 0..=1, require_equals = true, default_value_t = false, default_missing_value = "true", action = clap::ArgAction::Set)]
    pub zap_devel: bool,

    /// As --log-format: console means text.
    #[arg(long, value_parser = ["json", "console"])]
    pub zap_encoder: Option<String>,

    /// As --log-level: debug, info, error, or a number above 0 for debug.
    #[arg(long, value_name = "LEVEL")]
    pub zap_log_level: Option<String>,

    /// Accepted without effect, with a warning: there are no stack traces in the log.
    #[arg(long, value_name = "LEVEL")]
    pub zap_stacktrace_level: Option<String>,

    /// Accepted without effect, with a warning: times are RFC 3339.
    #[arg(long, value_name = "ENCODING")]
    pub zap_time_encoding: Option<String>,
}

/// What to do instead of running the manager.
#[derive(Subcommand, Clone, Debug)]
pub enum Command {
    /// Print the CustomResourceDefinition as YAML.
    Crd,
}

/// How log lines are written.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs, one object a line.
    Json,
}

/// Which namespaces' LoadTests are run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Namespaces {
    /// Those of all.
    #[default]
    All,
    /// Those of one.
    One(String),
}

/// Reads the name of a namespace; an empty one, as a variable that is not set may be, means all.
fn namespaces(text: &str) -> Result<Namespaces, String> {
    let is_edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_name = text.len() <= 63
        && text.chars().all(|c| is_edge(c) || c == '-')
        && text.starts_with(is_edge)
        && text.ends_with(is_edge);
    match text {
        "" => Ok(Namespaces::All),
        _ if is_name => Ok(Namespaces::One(text.to_owned())),
        _ => Err(format!(
            "\"{text}\" is no namespace: give one name of lowercase letters, digits and -; run a manager for each namespace"
        )),
    }
}

/// Reads `https://HOST[:PORT]`.
fn collector_url(text: &str) -> Result<String, String> {
    let uri: Option<http::Uri> = text.parse().ok();
    let is_one = uri.is_some_and(|uri| {
        uri.scheme_str() == Some("https") && uri.host().is_some() && matches!(uri.path(), "" | "/")
    });
    if is_one {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(format!("\"{text}\" is no address of a collector: give https://HOST or https://HOST:PORT"))
    }
}

/// Where to serve something; `None`: nowhere.
pub type Bind = Option<SocketAddr>;

/// Reads Go's form of an address: `:8080` is every address, `0` is none.
fn address(text: &str) -> Result<Bind, String> {
    if text.is_empty() || text == "0" {
        return Ok(None);
    }
    let whole = if text.starts_with(':') {
        format!("0.0.0.0{text}")
    } else {
        text.replace("localhost:", "127.0.0.1:")
    };
    whole.parse().map(Some).map_err(|_| {
        format!("\"{text}\" is no address: give HOST:PORT such as 127.0.0.1:8080, :PORT for every address, or 0 for none")
    })
}

/// Turns Go's `-flag` into `--flag`, so that the first operator's command lines are understood.
pub fn modern(args: impl Iterator<Item = String>) -> impl Iterator<Item = String> {
    args.map(|arg| {
        let single = arg.starts_with('-') && !arg.starts_with("--");
        let is_word = arg.len() > 2 && arg.as_bytes()[1].is_ascii_lowercase();
        if single && is_word { format!("-{arg}") } else { arg }
    })
}

impl Flags {
    /// Reads a command line and the environment.
    ///
    /// # Errors
    /// What was asked for cannot be, or is help.
    pub fn read(args: impl Iterator<Item = String>) -> Result<Self, clap::Error> {
        let flags = Self::try_parse_from(modern(args))?;
        match flags.settings.check() {
            Ok(()) => Ok(flags),
            Err(why) => Err(Self::command().error(ErrorKind::ValueValidation, why)),
        }
    }

    /// The log format, where the first operator's flag may have the say.
    pub fn format(&self) -> LogFormat {
        match self.zap.zap_encoder.as_deref() {
            Some("json") => LogFormat::Json,
            Some(_) => LogFormat::Text,
            None => self.log_format,
        }
    }

    /// The log directives, where the first operator's flags may have the say.
    pub fn directives(&self) -> String {
        match self.zap.zap_log_level.as_deref() {
            Some(level @ ("debug" | "info" | "warn" | "error")) => level.to_owned(),
            Some(number) if number.parse::<i8>().is_ok_and(|n| n > 0) => "debug".to_owned(),
            Some(_) => self.log_level.clone(),
            None if self.zap.zap_devel => "debug".to_owned(),
            None => self.log_level.clone(),
        }
    }

    /// What was asked for and will not be done, in sentences.
    pub fn warnings(&self) -> Vec<String> {
        let Zap { zap_devel: _, zap_encoder: _, zap_log_level, zap_stacktrace_level, zap_time_encoding } =
            &self.zap;
        let mut warnings = Vec::new();
        if let Some(level) = zap_stacktrace_level {
            warnings.push(format!(
                "--zap-stacktrace-level={level} has no effect: there are no stack traces in the log"
            ));
        }
        if let Some(encoding) = zap_time_encoding {
            warnings.push(format!("--zap-time-encoding={encoding} has no effect: times are RFC 3339"));
        }
        if let Some(level) = zap_log_level {
            let is_known = matches!(level.as_str(), "debug" | "info" | "warn" | "error");
            if !is_known && !level.parse::<i8>().is_ok_and(|n| n > 0) {
                warnings.push(format!(
                    "--zap-log-level={level} has no effect: give debug, info, warn, error, or a number above 0"
                ));
            }
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use loadtest::settings::Settings;

    use super::*;

    fn parse(line: &str) -> Result<Flags, clap::Error> {
        Flags::read(format!("manager {line}").split_whitespace().map(str::to_owned))
    }

    #[test]
    fn the_first_operators_command_lines_are_understood() {
        let flags =
            parse("--health-probe-bind-address=:8081 --metrics-bind-address=127.0.0.1:8080 --leader-elect")
                .expect("flags");
        assert!(flags.leader_elect);
        assert_eq!(flags.metrics_bind_address, Some(([127, 0, 0, 1], 8080).into()));
        assert_eq!(flags.health_probe_bind_address, Some(([0, 0, 0, 0], 8081).into()));

        let flags =
            parse("-leader-elect=false -metrics-bind-address=0 -zap-encoder=json -zap-devel").expect("flags");
        assert!(!flags.leader_elect);
        assert_eq!(flags.metrics_bind_address, None);
        assert_eq!((flags.format(), flags.directives().as_str()), (LogFormat::Json, "debug"));
    }

    #[test]
    fn the_ports_are_the_first_operators() {
        let flags = parse("").expect("flags");
        assert_eq!(flags.metrics_bind_address.map(|a| a.port()), Some(8080));
        assert_eq!(flags.health_probe_bind_address.map(|a| a.port()), Some(8081));
        assert!(!flags.leader_elect);
    }

    #[test]
    fn zap_levels_have_their_nearest_meaning_or_a_warning() {
        for (line, directives, warnings) in [
            ("--zap-log-level=debug", "debug", 0),
            ("--zap-log-level=3", "debug", 0),
            ("--zap-log-level=loud", "info", 1),
            ("--zap-stacktrace-level=error --zap-time-encoding=epoch", "info", 2),
        ] {
            let flags = parse(line).expect("flags");
            assert_eq!(
                (flags.directives().as_str(), flags.warnings().len()),
                (directives, warnings),
                "{line}"
            );
        }
    }

    #[test]
    fn guard_rails_that_cannot_be_are_refused_by_their_flag() {
        let settings = |line: &str| parse(line).map(|flags| Settings::from(flags.settings));
        assert_eq!(settings("").expect("flags"), Settings::default());
        let limited =
            settings("--max-count=50 --max-tests=3 --worker-image=a/b:1 --worker-memory-limit=2.5Gi");
        let limited = limited.expect("flags");
        assert_eq!((limited.max_count, limited.max_tests, limited.worker.image.as_str()), (50, 3, "a/b:1"));
        for (line, says) in [
            ("--max-count=0", "1..=10000"),
            ("--max-count=10001", "1..=10000"),
            ("--max-tests=-1", "invalid"),
            ("--max-tests-per-namespace=many", "invalid digit"),
            ("--worker-image=", "is no image"),
            ("--worker-cpu-request=fast", "is no quantity"),
            ("--worker-memory-limit=0", "is no quantity"),
            ("--worker-memory-request=1GiB", "such as 512Mi"),
            ("--worker-cpu-request=512Mi", "is no quantity of CPU"),
            ("--worker-memory-limit=512m", "is no quantity of memory"),
            ("--worker-memory-request=2Gi", "--worker-memory-limit (WORKER_MEMORY_LIMIT), 1Gi"),
            ("--worker-memory-limit=500M", "--worker-memory-request (WORKER_MEMORY_REQUEST) is 512Mi"),
        ] {
            let error = settings(line).expect_err(line).to_string();
            let flag = line.split('=').next().unwrap_or_default();
            assert!(error.contains(flag) && error.contains(says), "{error}");
        }
    }

    #[test]
    fn one_namespace_or_all() {
        let namespaces = |line: &str| parse(line).map(|flags| flags.namespace.unwrap_or_default());
        assert_eq!(namespaces("").expect("flags"), Namespaces::All);
        assert_eq!(namespaces("--namespace=").expect("flags"), Namespaces::All);
        assert_eq!(namespaces("--namespace=team-a").expect("flags"), Namespaces::One("team-a".into()));
        for wrong in ["a,b", "a/b", "-a", "A"] {
            let error = namespaces(&format!("--namespace={wrong}")).expect_err(wrong).to_string();
            assert!(error.contains(wrong) && error.contains("a manager for each namespace"), "{error}");
        }
    }

    #[test]
    fn a_bad_address_says_what_would_be_right() {
        let error = parse("--metrics-bind-address=8080").expect_err("an error").to_string();
        assert!(
            error.contains("--metrics-bind-address") && error.contains(":PORT for every address"),
            "{error}"
        );
    }

    #[test]
    fn a_worker_may_request_as_much_memory_as_its_limit() {
        for line in [
            "--worker-memory-request=1024Mi --worker-memory-limit=1Gi",
            "--worker-memory-request=2Gi --worker-memory-limit=2.5Gi",
            "--worker-cpu-request=2 --worker-memory-request=1G",
        ] {
            assert!(parse(line).is_ok(), "{line}");
        }
    }
}
