//! `kubectl artillery` as its users type it, through kubectl: what it makes, how it ends, and that nothing half-made is left.

mod ends;
mod files;
mod refusals;
mod scripts;

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use e2e::{Bed, cluster};
use serde_json::{Value, json};
use tempfile::TempDir;
use testbed::eventually::eventually;
use testbed::target::Counts;

const SCRIPT: &str = "
config:
  target: http://loadtest-target
  phases: [{ duration: 4, arrivalCount: 12 }]
  payload: { path: data/users.csv, fields: [user], order: sequence }
  processor: ./hooks.js
  plugins: { ensure: {} }
  ensure: { conditions: [{ expression: 'vusers.failed == 0' }] }
scenarios:
  - name: look
    flow:
      - function: greet
      - get: { url: '/of/{{ user }}/{{ greeting }}' }
";

/// A script with a CSV file of twelve rows, a processor, and what that requires.
fn project(script: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("a file");
    std::fs::create_dir(folder.path().join("data")).expect("a folder");
    write("script.yaml", script);
    write("data/users.csv", &(0..12).map(|row| format!("user{row}-\n")).collect::<String>());
    write(
        "hooks.js",
        "const { greeting } = require('./lib/helper');
module.exports = { greet(context, events, done) { context.vars.greeting = greeting; done(); } };\n",
    );
    std::fs::create_dir(folder.path().join("lib")).expect("a folder");
    write("lib/helper.js", "exports.greeting = 'hello';\n");
    folder
}

/// `kubectl artillery …` in that folder and namespace.
fn command(bed: &Bed, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = cluster().artillery();
    command.args(arguments).args(["--namespace", &bed.namespace]).current_dir(folder);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn begin(bed: &Bed, folder: &Path, arguments: &[&str]) -> Child {
    command(bed, folder, arguments).spawn().expect("it runs")
}

fn run(bed: &Bed, folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    ended(command(bed, folder, arguments).output().expect("it runs"))
}

fn end(child: Child) -> (Option<i32>, String, String) {
    ended(child.wait_with_output().expect("it ends"))
}

/// Exit code, standard output and standard error.
fn ended(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn report(folder: &Path, name: &str) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join(name)).expect("a report")).expect("JSON")
}

fn seen(bed: &Bed) -> Counts {
    cluster().target_counts(&bed.namespace).expect("the target's counts")
}

/// A kubeconfig of somebody who may do in the bed's namespace what these rules of a Role say, and nothing else.
async fn somebody(bed: &Bed, folder: &Path, name: &str, rules: &Value) -> String {
    let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name });
    let who = json!({ "kind": "ServiceAccount", "name": name, "namespace": bed.namespace });
    let metadata = json!({ "name": name });
    let rbac = "rbac.authorization.k8s.io/v1";
    bed.apply(&e2e::list(&[
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata }),
        json!({ "apiVersion": rbac, "kind": "Role", "metadata": metadata, "rules": rules }),
        json!({ "apiVersion": rbac, "kind": "RoleBinding", "metadata": metadata, "roleRef": role, "subjects": [who] }),
    ]));
    if let Some(rule) = rules.as_array().and_then(|rules| rules.last()) {
        let word = |of: &str| rule[of][0].as_str().expect("a word").to_owned();
        let user = format!("--as=system:serviceaccount:{}:{name}", bed.namespace);
        let (verb, resource) = (word("verbs"), word("resources"));
        let namespace = ["--namespace", &bed.namespace];
        let asked = [&namespace[..], &["auth", "can-i", &verb, &resource, &user]].concat();
        let may = async || cluster().kubectl(&asked).is_ok();
        eventually("the API server knows the role", e2e::WHOLE_TEST, may, |may| *may).await;
    }
    let token = bed.kubectl(&["create", "token", name]);
    let path = folder.join(format!("{name}.kubeconfig"));
    std::fs::copy(cluster().kubeconfig(), &path).expect("a kubeconfig");
    let kubeconfig = path.to_str().expect("a path");
    bed.kubectl(&["--kubeconfig", kubeconfig, "config", "set-credentials", name, "--token", token.trim()]);
    bed.kubectl(&["--kubeconfig", kubeconfig, "config", "set-context", "--current", "--user", name]);
    kubeconfig.to_owned()
}
