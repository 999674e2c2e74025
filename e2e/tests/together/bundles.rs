//! What a script needs beside itself reaches the workers, whoever names it: the environment, `--config`, `--dotenv`; and a name can be used
//! again as soon as it is free.

use std::process::Output;

use e2e::{Bed, cluster};
use tempfile::TempDir;

/// Names no file itself; its path and its target are known in a worker only.
const SCRIPT: &str = "
config:
  target: '{{ $env.TARGET_URL }}'
  phases: [{ duration: 2, arrivalCount: 2 }]
  environments:
    shop: { payload: { path: data/users.csv, fields: [user], order: sequence } }
    other: { payload: { path: data/not-there.csv } }
scenarios: [{ flow: [{ function: greet }, { get: { url: '/of/{{ user }}/{{ greeting }}' } }] }]
";

fn project() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for below in ["data", "conf"] {
        std::fs::create_dir(folder.path().join(below)).expect("a folder");
    }
    for (name, text) in [
        ("script.yaml", SCRIPT),
        ("data/users.csv", "ann\nbob\n"),
        ("conf/shop.yaml", "config: { processor: ./hooks.js }\n"),
        (
            "conf/hooks.js",
            "const { greeting } = require('./greeting');
module.exports = { greet(context, events, done) { context.vars.greeting = greeting; done(); } };\n",
        ),
        ("conf/greeting.js", "exports.greeting = 'hello';\n"),
        (".env", "TARGET_URL=http://loadtest-target\n"),
    ] {
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    folder
}

#[tokio::test]
async fn files_of_the_environment_of_config_and_of_dotenv_reach_the_workers() {
    let bed = Bed::with_target("cli-bundles").await;
    let project = project();
    let run = |more: &[&str]| -> Output {
        let mut command = cluster().artillery();
        command.args([
            "run",
            "script.yaml",
            "-e=shop",
            "--config=conf/shop.yaml",
            "--dotenv=.env",
            "--name=again",
        ]);
        command.args(more).args(["--namespace", &bed.namespace]).current_dir(project.path());
        command.output().expect("it runs")
    };
    let ended = run(&["--rm"]);
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    let seen = cluster().target_counts(&bed.namespace).expect("the target's counts");
    assert_eq!(["ann", "bob"].map(|user| seen.count("GET", &format!("/of/{user}/hello"))), [1, 1]);

    // what belonged to the first one may still be there
    let ended = run(&["--detach"]);
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
    let made = ["configmaps", "secrets"].map(|kind| {
        let of = ["get", kind, "-l", "artillery.io/component=loadtest-config", "-o"];
        bed.kubectl(
            &[
                &of[..],
                &["jsonpath={range .items[*]}{.metadata.name}={.metadata.ownerReferences[0].name} {end}"],
            ]
            .concat(),
        )
    });
    assert_eq!(made, ["again-files-1=again again-test-script=again ", "again-dotenv=again "]);
    bed.kubectl(&["delete", "loadtest", "again"]);
}
