//! What kubectl does for `run`: it reads manifests and kustomizations, tries them, and applies them.

use std::ffi::{OsStr, OsString};
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::exit::{Exit, Failure};
use crate::flags::Cluster;
use crate::terminal::{harmless_lines, say};

/// What kubectl says where it is not the manifests that are wrong: there is no cluster, it does not answer, or it does not allow it.
const OF_CLUSTER: [&str; 12] = [
    "(Forbidden)",
    "is forbidden:",
    "(Unauthorized)",
    "You must be logged in",
    "Unable to connect to the server",
    "was refused - did you specify the right host",
    "no configuration has been provided",
    "invalid configuration",
    "(InternalError)",
    "(ServiceUnavailable)",
    "(Timeout)",
    "(TooManyRequests)",
];

/// How long it is asked whose fault it is that they are not applied.
const PATIENCE: Duration = Duration::from_secs(30);

/// kubectl, for these manifests and this cluster.
pub struct Kubectl<'a> {
    /// What is called.
    pub program: &'a OsStr,
    /// `-f FILE`, also several times, or `-k FOLDER`.
    pub from: &'a [OsString],
    /// Which cluster.
    pub cluster: &'a Cluster,
}

impl Kubectl<'_> {
    /// Does what changes nothing. Returns what it prints.
    ///
    /// # Errors
    /// kubectl is not there, or refuses it; what it says is said.
    pub async fn read(&self, verb: &[&str]) -> Result<Vec<u8>, Failure> {
        let ran = self.command(verb).kill_on_drop(true).output().await.map_err(|error| missing(&error))?;
        let said = String::from_utf8_lossy(&ran.stderr);
        if !said.trim().is_empty() {
            say(harmless_lines(said.trim_end()));
        }
        if ran.status.success() { Ok(ran.stdout) } else { Err(refused(&said)) }
    }

    /// Applies them, in a group of processes of its own: Ctrl-C would end it half-way, and it goes on also when this program ends.
    /// `list` is a command that shows load tests.
    ///
    /// # Errors
    /// kubectl is not there, or did not apply all of them.
    pub async fn apply(&self, list: &str) -> Result<(), Failure> {
        let mut command = self.command(&["apply"]);
        // nothing that it says goes through this program, which it may outlive
        command.process_group(0).stdout(io::stderr()).stderr(Stdio::inherit());
        let status = command.status().await.map_err(|error| missing(&error))?;
        match status.success() {
            true => Ok(()),
            false => Err(Failure::cluster(format!(
                "kubectl did not apply all of the manifests, see above; {list} shows the load tests that there are"
            ))),
        }
    }

    /// Whether it is the manifests that are wrong where not all were applied, by what kubectl says when it tries them once more: what it said
    /// at first was not seen.
    pub async fn refuses(&self) -> bool {
        let mut command = self.command(&["apply", "--dry-run=server"]);
        let tried = timeout(PATIENCE, command.kill_on_drop(true).output()).await;
        let Ok(Ok(ran)) = tried else { return false };
        !ran.status.success() && refused(&String::from_utf8_lossy(&ran.stderr)).exit == Exit::Usage
    }

    fn command(&self, verb: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        let Cluster { namespace, context, kubeconfig } = self.cluster.given();
        command.args(verb).args(self.from);
        for (flag, value) in [("--namespace", namespace), ("--context", context)] {
            command.args(value.iter().flat_map(|value| [flag, value.as_str()]));
        }
        command.args(kubeconfig.iter().flat_map(|path| ["--kubeconfig".as_ref(), path.as_os_str()]));
        command.stdin(Stdio::null());
        command
    }
}

fn missing(error: &io::Error) -> Failure {
    Failure::usage(format!("-f and -k need kubectl on the PATH: {error}"))
}

/// Whose fault it is, by what kubectl said: it has one exit code for all.
fn refused(said: &str) -> Failure {
    if OF_CLUSTER.iter().any(|words| said.contains(words)) || names_a_field_that_is_known(said) {
        return Failure::cluster("the cluster does not take the manifests, see above: nothing is applied");
    }
    Failure::usage("kubectl refuses the manifests, see above: nothing is applied")
}

/// Whether the cluster does not know a field of a LoadTest that this program knows: then its operator is older, and nothing is mistyped.
fn names_a_field_that_is_known(said: &str) -> bool {
    if !said.contains("handled as a LoadTest:") {
        return false;
    }
    let crd = serde_json::to_value(loadtest::crd::crd()).unwrap_or_default();
    let root = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let is_known = |path: &str| {
        path.split('.').try_fold(root, |schema, name| {
            let (name, is_item) = name.split_once('[').map_or((name, false), |(name, _)| (name, true));
            let schema = schema["properties"].get(name)?;
            if is_item { schema.get("items") } else { Some(schema) }
        })
    };
    let mut unknown = said.split("unknown field \"").skip(1).filter_map(|rest| rest.split('"').next());
    unknown.any(|path| is_known(path).is_some())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_not_applied_is_tried_again_to_tell_whose_fault_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("kubectl");
        for (on_trial, is_wrong) in [
            // a manifest that is wrong, a cluster that refuses, and what has become good meanwhile
            ("echo 'The LoadTest \"a\" is invalid: spec.count: Invalid value: 0' >&2; exit 1", true),
            ("echo 'Unable to connect to the server: EOF' >&2; exit 1", false),
            ("exit 0", false),
        ] {
            let script = format!("#!/bin/sh\ncase $2 in --dry-run=server) {on_trial};; esac\nexit 1\n");
            fs::write(&program, script).expect("a program");
            fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("it can be run");
            let from = ["-f".into(), "a.yaml".into()];
            let kubectl = Kubectl { program: program.as_os_str(), from: &from, cluster: &Cluster::default() };
            let failure = kubectl.apply("list").await.expect_err("it fails");
            assert_eq!((failure.exit.code(), kubectl.refuses().await), (4, is_wrong), "{on_trial}");
        }
    }

    #[test]
    fn what_kubectl_says_tells_whose_fault_it_is() {
        for (said, code) in [
            (
                "Error from server (Forbidden): error when creating \"a.yaml\": loadtests.loadtest.artillery.io is forbidden: User \"ann\" cannot create",
                4,
            ),
            (
                "The connection to the server 127.0.0.1:1 was refused - did you specify the right host or port?",
                4,
            ),
            ("Unable to connect to the server: dial tcp: lookup nowhere: no such host", 4),
            ("error: You must be logged in to the server (Unauthorized)", 4),
            ("error: error parsing a.yaml: error converting YAML to JSON: yaml: line 2", 2),
            ("error: the path \"a.yaml\" does not exist", 2),
            // a field that this program knows, and one that nobody does
            (
                "Error from server (BadRequest): error when creating \"a.yaml\": LoadTest in version \"v1alpha1\" cannot be handled as a LoadTest: strict decoding error: unknown field \"spec.testScript.files[0].items[1].path\"",
                4,
            ),
            (
                "Error from server (BadRequest): error when creating \"a.yaml\": LoadTest in version \"v1alpha1\" cannot be handled as a LoadTest: strict decoding error: unknown field \"spec.cuont\"",
                2,
            ),
            (
                "Error from server (BadRequest): error when creating \"a.yaml\": Job in version \"v1\" cannot be handled as a Job: strict decoding error: unknown field \"spec.suspend\", unknown field \"spec.count\"",
                2,
            ),
            ("The LoadTest \"a\" is invalid: spec.count: Invalid value: 0", 2),
            (
                "error: resource mapping not found for name: \"a\": no matches for kind \"Wrong\" in version \"v1\"",
                2,
            ),
        ] {
            assert_eq!(refused(said).exit.code(), code, "{said}");
        }
    }
}
