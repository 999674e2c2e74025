//! Where there is no Artillery, the pinned one is installed from npm, once and with a Node that runs it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use super::bed::{Bed, Ended};

const NPM: &str = r#"#!/bin/sh
set -e
[ "$1" = ci ]
cmp package-lock.json "$LOCK"
ln -s "$ARTILLERY_HOME/node_modules" node_modules
echo added 462 packages
"#;

#[test]
fn artillery_is_installed_once_where_there_is_none() {
    let bed = Bed::new(
        "config: { target: TARGET, phases: [{ duration: 1, arrivalCount: 2 }] }\nscenarios: [{ flow: [{ get: { url: / } }] }]",
    );
    // what `hack/artillery` had npm install from the same file: to do it again takes half a minute, and half a gigabyte
    let bin = bed.folder.path().join("bin");
    let npm = bin.join("npm");
    std::fs::create_dir(&bin).expect("a folder");
    std::fs::write(&npm, NPM).expect("a file");
    std::fs::set_permissions(&npm, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let path = std::env::var_os("PATH").expect("a PATH");
    let has_no_artillery = |folder: &PathBuf| !folder.join("artillery").exists();
    let path = std::env::split_paths(&path).filter(has_no_artillery);
    let path = std::env::join_paths(std::iter::once(bin).chain(path)).expect("a PATH");
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-artillery"));
        command
            .args(["run", "script.yaml", "--local"])
            .args(more)
            .current_dir(bed.folder.path())
            .env("PATH", &path)
            .env("TMPDIR", bed.folder.path().join("tmp"))
            .env("XDG_CACHE_HOME", bed.folder.path())
            .env(
                "LOCK",
                concat!(env!("CARGO_MANIFEST_DIR"), "/../../hack/cluster/artillery/package-lock.json"),
            )
            .env_remove("NODE_OPTIONS");
        Ended::of(command.output().expect("it runs"))
    };
    let first = run(&[]);
    assert_eq!((first.code, bed.seen()), (Some(0), 2), "{first:?}");
    let installed = "there is no artillery on the PATH: installing Artillery 2.0.34 and its Node.js from npm";
    assert!(first.stderr.contains(installed) && first.stderr.contains("added 462 packages"), "{first:?}");
    assert!(!first.stdout.contains("added"), "standard output is the report's: {first:?}");
    let cache = bed.folder.path().join("kubectl-artillery");
    let names = || {
        let entries = std::fs::read_dir(&cache).expect("the cache");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let complete = names();
    assert!(complete.len() == 2 && complete[1] == "lock", "the tree, complete, and the lock: {complete:?}");
    let second = run(&["-o", "json"]);
    assert_eq!((second.code, bed.seen()), (Some(0), 4), "{second:?}");
    assert!(!second.stderr.contains("installing"), "once: {second:?}");
    let report: serde_json::Value = serde_json::from_str(&second.stdout).expect("JSON alone");
    assert_eq!(report["aggregate"]["counters"]["http.requests"], 2);
    // somebody cleans up, and a run was killed while it installed
    std::fs::remove_file(cache.join(&complete[0]).join("node_modules")).expect("a link");
    std::fs::create_dir_all(cache.join("new-abc/node_modules")).expect("a folder");
    let third = run(&[]);
    assert_eq!((third.code, bed.seen()), (Some(0), 6), "{third:?}");
    assert!(third.stderr.contains(installed), "what is not complete is installed anew: {third:?}");
    assert_eq!(names(), complete);
}
