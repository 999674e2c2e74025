//! What a script needs beside itself is found wherever Artillery finds it, and nothing outside its folder is.

use serde_json::{Value, json};

use super::*;

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    }
    folder
}

fn found(folder: &tempfile::TempDir) -> Result<(Vec<String>, Vec<String>), String> {
    of(folder, None, json!({})).map(|found| {
        (found.files.into_iter().map(|file| file.path).collect(), found.packages.into_iter().collect())
    })
}

/// What `load/script.yaml` needs in the environment `dev`.
fn of(folder: &tempfile::TempDir, config: Option<&str>, overrides: Value) -> Result<Found, String> {
    let read = |path: &Path| script::read(&fs::read_to_string(path).expect("a script")).expect("a script");
    let at = |path: &&str| folder.path().join(path);
    let (script, config) = (at(&"load/script.yaml"), config.as_ref().map(at));
    let (read_script, read_config) = (read(&script), config.as_deref().map(read));
    let merged = Merged {
        script: &read_script,
        config: read_config.as_ref(),
        environment: Some("dev"),
        overrides: Some(&overrides),
    };
    let shown = folder.path().canonicalize().expect("a folder").display().to_string();
    find(&script, &merged, config.as_deref()).map_err(|failure| failure.to_string().replace(&shown, ""))
}

#[test]
fn what_the_processor_requires_is_found_and_what_that_requires() {
    let folder = project(&[
        (
            "load/script.yaml",
            "config: {processor: ./hooks, payload: [{path: data/a.csv}, {path: 'data/*.csv'}]}",
        ),
        (
            "load/hooks.ts",
            "import { a } from './lib/a';\nimport './lib';\nconst fs = require('fs'), x = await import(\"./lib/x.json\");\ntry { require('./not-there') } catch {}",
        ),
        (
            "load/lib/a.js",
            "const b = require ( '../b' ); require('lodash/fp'); require('@faker-js/faker/locale'); require('node:path')",
        ),
        ("load/lib/index.mjs", "export * from './a.js'"),
        ("load/lib/x.json", "{}"),
        ("load/b.cjs", "require('./hooks')"),
        ("load/data/a.csv", "a"),
        ("load/not-named.js", ""),
    ]);
    let (files, packages) = found(&folder).expect("files");
    assert_eq!(files, ["b.cjs", "data/a.csv", "hooks.ts", "lib/a.js", "lib/index.mjs", "lib/x.json"]);
    assert_eq!(packages, ["@faker-js/faker", "lodash"]);
    let notes = of(&folder, None, json!({})).expect("files").notes();
    assert!(
        notes[0].message.contains("hooks.ts requires \"./not-there\", and there is no such file"),
        "{notes:?}"
    );
    assert!(notes[1].message.starts_with("Required, and not given: @faker-js/faker, lodash."), "{notes:?}");
}

#[test]
fn files_of_the_environment_of_config_and_of_overrides_are_found_where_artillery_finds_them() {
    let folder = project(&[
        (
            "load/script.yaml",
            "config: {payload: [{path: a.csv}], environments: {dev: {payload: [{path: dev.csv}, {path: more.csv}]}, prod: {payload: [{path: not-there.csv}]}}}",
        ),
        ("load/a.csv", ""),
        ("load/dev.csv", ""),
        ("load/more.csv", ""),
        ("load/last.csv", ""),
        (
            "load/conf/staging.yaml",
            "config: {processor: ./hooks.js, environments: {dev: {payload: [{}, {}, {path: last.csv}]}}}",
        ),
        ("load/conf/bare.yaml", "config: {processor: ./hooks}"),
        ("load/conf/hooks.js", "require('./of-config')"),
        ("load/conf/of-config.js", ""),
        ("load/hooks.js", ""),
    ]);
    let files = |config, overrides| -> Vec<_> {
        let found = of(&folder, config, overrides).expect("files");
        found.files.into_iter().map(|file| file.path).collect()
    };
    assert_eq!(files(None, json!({})), ["dev.csv", "more.csv"]);
    assert_eq!(
        files(Some("load/conf/staging.yaml"), json!({})),
        ["conf/hooks.js", "conf/of-config.js", "conf/staging.yaml", "dev.csv", "last.csv", "more.csv"]
    );
    // without its ending Artillery does not find it there
    assert_eq!(
        files(Some("load/conf/bare.yaml"), json!({})),
        ["conf/bare.yaml", "dev.csv", "hooks.js", "more.csv"]
    );
    let payload = folder.path().join("load/a.csv");
    let overrides = json!({ "config": { "payload": [{ "path": payload }], "processor": "conf/hooks.js" } });
    assert_eq!(files(None, overrides), ["a.csv", "conf/hooks.js", "conf/of-config.js"]);
}

#[test]
fn what_lies_elsewhere_is_refused() {
    let folder = project(&[
        ("load/script.yaml", "config: {processor: ./hooks.js}"),
        ("load/hooks.js", "require('../shared')"),
        ("shared.js", ""),
        (".env", ""),
    ]);
    let error = found(&folder).expect_err("outside");
    assert!(error.ends_with("\"../shared\" lies outside the script's folder: move it there"), "{error}");
    fs::write(folder.path().join("load/hooks.js"), "require('./link')").expect("a file");
    std::os::unix::fs::symlink("../shared.js", folder.path().join("load/link.js")).expect("a link");
    let error = found(&folder).expect_err("outside");
    assert!(error.ends_with("load/link.js lies outside the script's folder /load: move it there"), "{error}");
    fs::write(folder.path().join("load/hooks.js"), "").expect("a file");
    let error = of(&folder, Some(".env"), json!({})).expect_err("outside");
    assert!(error.ends_with("lies outside the script's folder /load: move it there"), "{error}");
}

#[test]
fn typescript_finds_what_is_called_as_it_will_be_compiled_and_javascript_does_not() {
    let files = [
        ("load/script.yaml", "config: {processor: ./hooks.ts}"),
        (
            "load/hooks.ts",
            "import './helper.js'; import './module.mjs'; import './common.cjs'; import './both.js'",
        ),
        ("load/helper.ts", "import './deep.js'"),
        ("load/deep.ts", ""),
        ("load/module.mts", ""),
        ("load/common.cts", ""),
        ("load/both.js", ""),
        ("load/both.ts", ""),
    ];
    let (found, _) = found(&project(&files)).expect("files");
    assert_eq!(found, ["both.js", "common.cts", "deep.ts", "helper.ts", "hooks.ts", "module.mts"]);
    let files = [
        ("load/script.yaml", "config: {processor: ./hooks.js}"),
        ("load/hooks.js", "require('./helper.js')"),
        ("load/helper.ts", ""),
    ];
    let found = of(&project(&files), None, json!({})).expect("files");
    assert_eq!(found.files.len(), 1);
    let missing = found.missing.iter().map(|(required, _)| required.as_str()).collect::<Vec<_>>();
    assert_eq!(missing, ["./helper.js"]);
}
