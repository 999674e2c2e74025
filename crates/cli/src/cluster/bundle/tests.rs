//! The objects of a script: what is in which, and what none can hold.

use super::*;
use crate::flags::Options;

fn wanted(name: &str) -> Wanted<'_> {
    Wanted {
        name,
        count: 2,
        distribution: Distribution::Replicate,
        hooks: Hooks::PerWorker,
        start_timeout: START_TIMEOUT,
    }
}

/// The objects of a script with these files beside it.
fn of_files(name: &str, files: &[Beside]) -> Result<Bundle, Failure> {
    let script = (SCRIPT_KEY, b"config: {}".to_vec());
    bundle(wanted(name), None, Artillery::default(), Contents { script, files, dotenv: None })
}

fn files(folder: &tempfile::TempDir, files: &[(&str, &[u8])]) -> Vec<Beside> {
    let each = files.iter().map(|(path, content)| {
        let from = folder.path().join(path);
        fs::create_dir_all(from.parent().expect("a folder")).expect("a folder");
        fs::write(&from, content).expect("a file");
        Beside { from, path: (*path).to_owned() }
    });
    each.collect()
}

#[test]
fn hooks_that_run_once_are_told_and_the_default_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("s.yaml");
    std::fs::write(&path, "config: {}").expect("a file");
    let project = Project::read(&path, &Options::default()).expect("a project");
    let told = |hooks| {
        let (bundle, _) = of_project(&project, Wanted { hooks, ..wanted("t") }).expect("objects");
        bundle.load_test.spec.hooks
    };
    assert_eq!((told(Hooks::Once), told(Hooks::PerWorker)), (Some(Hooks::Once), None));
}

#[test]
fn files_are_put_where_the_script_looks_for_them_in_as_many_config_maps_as_they_need() {
    let folder = tempfile::tempdir().expect("a folder");
    let large = vec![b'x'; 600_000];
    let files = files(
        &folder,
        &[("a_b", b"text"), ("a/b", b"other"), ("c.bin", &[0xff, 0xfe]), ("d", &large), ("e", &large)],
    );
    let made = of_files("checkout", &files).expect("objects");
    let names: Vec<_> =
        made.config_maps.iter().map(|map| map.metadata.name.as_deref().unwrap_or("")).collect();
    assert_eq!(names, ["checkout-test-script", "checkout-files-1", "checkout-files-2", "checkout-files-3"]);
    let given = &made.load_test.spec.test_script.files;
    let paths: Vec<Vec<_>> =
        given.iter().map(|file| file.items.iter().map(|item| item.path.as_str()).collect()).collect();
    assert_eq!(paths, [vec!["a_b"], vec!["a/b", "c.bin", "d"], vec!["e"]]);
    assert_eq!(made.config_maps[2].binary_data.as_ref().map(BTreeMap::len), Some(1));
    let spec = serde_json::to_value(&made.load_test.spec).expect("JSON");
    assert_eq!(spec["testScript"]["config"], serde_json::json!({ "configMap": "checkout-test-script" }));
    assert!(spec.get("start").is_none() && spec.get("artillery").is_none(), "defaults are not said: {spec}");
}

#[test]
fn environment_variables_are_in_a_secret_and_overrides_name_files_as_they_lie_in_a_worker() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("conf")).expect("a folder");
    for (name, text) in [("s.yaml", "config: {}"), ("conf/.env", "PASSWORD=x"), ("users.csv", "a")] {
        fs::write(at(name), text).expect("a file");
    }
    let overrides =
        json!({ "config": { "payload": [{ "path": at("users.csv") }, { "path": "/in/the/image.csv" }] } });
    let flags = Options {
        dotenv: Some(at("conf/.env")),
        overrides: Some(overrides.to_string()),
        ..Options::default()
    };
    let project = Project::read(&at("s.yaml"), &flags).expect("a project");
    let (made, _) = of_project(&project, wanted("checkout")).expect("objects");
    let secret = made.secret.as_ref().expect("a Secret");
    assert_eq!(secret.metadata.name.as_deref(), Some("checkout-dotenv"));
    assert_eq!(
        secret.data.as_ref().and_then(|data| data.get("conf_.env")),
        Some(&ByteString(b"PASSWORD=x".to_vec()))
    );
    let spec = serde_json::to_value(&made.load_test.spec).expect("JSON");
    assert_eq!(
        spec["testScript"]["files"],
        json!([
            { "configMap": "checkout-files-1", "items": [{ "key": "users.csv", "path": "users.csv" }] },
            { "secret": "checkout-dotenv", "items": [{ "key": "conf_.env", "path": "conf/.env" }] },
        ])
    );
    assert_eq!(spec["artillery"]["dotenv"], "conf/.env");
    assert_eq!(
        spec["artillery"]["overrides"]["config"]["payload"],
        json!([{ "path": "/data/users.csv" }, { "path": "/in/the/image.csv" }])
    );
    let in_clear = serde_json::to_string(&made.config_maps).expect("JSON");
    assert!(!in_clear.contains("PASSWORD"), "{in_clear}");
    assert_eq!(made.paths("checkout-files-1"), [("users.csv", "users.csv")]);
    assert_eq!(made.paths("checkout-test-script"), [(SCRIPT_KEY, SCRIPT_KEY)]);
}

#[test]
fn what_no_cluster_can_hold_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let large = vec![b'x'; MAX_BYTES + 1];
    for (name, path, content, said) in [
        ("checkout", "big.csv", &large[..], "has 1000001 bytes, and a ConfigMap holds 1000000"),
        ("checkout", "a b.csv", b"", "\"a b.csv\" cannot be given by a ConfigMap"),
        ("check.out", "a", b"", "\"check.out\": metadata.name must not contain dots"),
    ] {
        let files = files(&folder, &[(path, content)]);
        let error = of_files(name, &files).expect_err(said).to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn a_file_of_any_size_is_refused_without_being_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let from = folder.path().join("huge.csv");
    // a hole takes no room
    fs::File::create(&from).and_then(|file| file.set_len(1 << 42)).expect("a file");
    // this never ends
    for (from, said) in [
        (from, "huge.csv has 4398046511104 bytes, and a ConfigMap holds 1000000"),
        ("/dev/zero".into(), "/dev/zero has 1000001 bytes, and a ConfigMap holds 1000000"),
    ] {
        let error = content(&Beside { from, path: "huge.csv".to_owned() }, "ConfigMap").expect_err(said);
        assert!(error.exit.code() == 2 && error.to_string().contains(said), "{error}");
    }
}

#[test]
fn a_script_s_name_becomes_one_that_a_load_test_can_bear() {
    for (script, name) in [
        ("load/Check Out_v2.yaml", "check-out-v2"),
        ("2024.yml", "load-test"),
        ("Ünï.yml", "n"),
        (&format!("{}.yml", "a".repeat(80)), &"a".repeat(40)),
    ] {
        assert_eq!(name_of(Path::new(script)), *name);
    }
}
