//! Who says what of a worker's pod.

use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

use super::*;
use crate::fixtures::{LoadTestFixture as _, load_test};
use crate::job;
use crate::plan::Plan;
use crate::reporter::{Kit, Reporter};

fn template(worker: Value) -> Result<Template, Problem> {
    let worker: Worker = serde_json::from_value(worker).expect("a worker");
    Template::of(Some(&worker), "t", &Files::default())
}

/// The pods of a LoadTest "t" of such workers.
fn pods(worker: Value) -> Value {
    let test = load_test("t").with_count(2);
    let template = template(worker).expect("a template");
    let kit = Kit { collector: "https://c".into(), ..Kit::default() };
    let reporter = Some(Reporter::new(&test, &kit));
    let Job { spec, .. } = job::build(&test, &Plan { workers: 2, template, reporter, ..Plan::default() });
    serde_json::to_value(spec.expect("a spec").template).expect("JSON")
}

fn refusal(worker: Value) -> String {
    let problem = template(worker).expect_err("a problem");
    assert_eq!(problem.reason, "InvalidSpec");
    problem.message
}

fn env(pods: &Value, name: &str) -> Value {
    let env = pods["spec"]["containers"][0]["env"].as_array().expect("variables");
    let of_that_name: Vec<_> = env.iter().filter(|variable| variable["name"] == name).collect();
    assert!(of_that_name.len() < 2, "{of_that_name:?}");
    of_that_name.first().map_or(Value::Null, |variable| variable["value"].clone())
}

#[test]
fn image_policy_and_sources_of_variables_are_the_users() {
    let pods = pods(json!({
        "image": "registry.example/artillery:2.0.34", "imagePullPolicy": "IfNotPresent",
        "env": [{ "name": "RATE", "value": "4" }],
        "envFrom": [{ "secretRef": { "name": "keys" } }],
    }));
    let worker = &pods["spec"]["containers"][0];
    assert_eq!(worker["image"], "registry.example/artillery:2.0.34");
    assert_eq!(worker["imagePullPolicy"], "IfNotPresent");
    assert_eq!(worker["envFrom"], json!([{ "secretRef": { "name": "keys" } }]));
    assert_eq!(worker["name"], "t");
    assert_eq!((env(&pods, "RATE"), env(&pods, "WORKERS")), (json!("4"), json!("1")));
}

#[test]
fn a_resource_that_is_named_is_the_users_and_the_others_stay() {
    let resources = |resources: Value| {
        pods(json!({ "resources": resources }))["spec"]["containers"][0]["resources"].clone()
    };
    assert_eq!(
        resources(json!({ "limits": { "memory": "256Mi" } })),
        json!({ "requests": { "cpu": "100m" }, "limits": { "memory": "256Mi" } })
    );
    assert_eq!(
        resources(json!({ "requests": { "memory": "4Gi", "cpu": 2 } })),
        json!({ "requests": { "cpu": "2", "memory": "4Gi" }, "limits": {} })
    );
    assert_eq!(
        resources(json!({ "limits": { "nvidia.com/gpu": "1" } })),
        json!({ "requests": { "cpu": "100m", "memory": "512Mi" }, "limits": { "memory": "1Gi", "nvidia.com/gpu": "1" } })
    );
}

#[test]
fn the_users_plugins_and_node_options_are_added_to() {
    let pods = pods(json!({ "env": [
        { "name": "ARTILLERY_PLUGINS", "value": "{\"mine\": {\"a\": 1}}" },
        { "name": "ARTILLERY_PLUGIN_PATH", "value": "/plugins" },
        { "name": "NODE_OPTIONS", "value": "--max-old-space-size=2048" },
        { "name": "HOME", "value": "/home/me" },
    ]}));
    let plugins = env(&pods, "ARTILLERY_PLUGINS");
    let plugins: Value = serde_json::from_str(plugins.as_str().expect("a text")).expect("JSON");
    assert_eq!(plugins, json!({ "mine": { "a": 1 }, "operator": { "scope": "artillery-plugin-" } }));
    assert_eq!(env(&pods, "ARTILLERY_PLUGIN_PATH"), "/artillery-operator:/plugins");
    let options = env(&pods, "NODE_OPTIONS");
    let options = options.as_str().expect("a text");
    assert!(options.starts_with("--import=data:") && options.ends_with(" --max-old-space-size=2048"));
    assert_eq!(env(&pods, "HOME"), "/home/me");
}

#[test]
fn the_users_variables_keep_their_order_so_that_kubernetes_expands_them() {
    let pods = pods(json!({ "env": [
        { "name": "MEGABYTES", "value": "2048" },
        { "name": "NODE_OPTIONS", "value": "--max-old-space-size=$(MEGABYTES)" },
        { "name": "USER_NAME", "value": "me" },
        { "name": "HOME", "value": "/home/$(USER_NAME)" },
    ]}));
    let variables = pods["spec"]["containers"][0]["env"].as_array().expect("variables");
    let names: Vec<_> = variables.iter().filter_map(|variable| variable["name"].as_str()).collect();
    assert_eq!(names[names.len() - 4..], ["MEGABYTES", "NODE_OPTIONS", "USER_NAME", "HOME"]);
    let options = env(&pods, "NODE_OPTIONS");
    let options = options.as_str().expect("a text");
    assert!(options.starts_with("--import=data:") && options.ends_with("=$(MEGABYTES)"), "{options}");
    assert_eq!(env(&pods, "HOME"), "/home/$(USER_NAME)");
}

#[test]
fn a_volume_of_the_users_may_lie_where_the_operator_mounts_nothing() {
    let mounted_at = |path: &str, files: &Files| {
        let mount = json!({ "name": "v", "mountPath": path });
        let worker = json!({ "name": "worker", "volumeMounts": [mount] });
        let worker = json!({ "podTemplate": { "spec": { "containers": [worker] } } });
        let worker: Worker = serde_json::from_value(worker).expect("a worker");
        Template::of(Some(&worker), "t", files).map(drop).map_err(|problem| problem.message)
    };
    let in_image = Files::InImage("/data/script.yaml".into());
    assert_eq!(mounted_at("/data", &in_image), Ok(()));
    assert_eq!(mounted_at("/source", &Files::default()), Ok(()), "that is the init container's");
    assert!(mounted_at("/data", &Files::default()).is_err());
    let message = mounted_at("/artillery-operator", &in_image).expect_err("a problem");
    assert!(message.ends_with("/artillery-operator has the operator's reporter"), "{message}");
}

#[test]
fn a_volume_may_be_called_as_one_of_the_operators_that_is_not_there() {
    let mounted = |are_copied| Files::Mounted { script: "s.yaml".into(), sources: Vec::new(), are_copied };
    let in_image = Files::InImage("/tests/script.yaml".into());
    for (name, files, is_taken) in [
        ("test-script", &in_image, true),
        ("files", &in_image, true),
        ("tmp", &in_image, false),
        ("artillery-operator", &in_image, false),
        ("test-script", &mounted(false), false),
        ("files", &mounted(false), true),
        ("files", &mounted(true), false),
        ("test-script", &mounted(true), false),
    ] {
        let worker = json!({ "podTemplate": { "spec": { "volumes": [{ "name": name, "emptyDir": {} }] } } });
        let worker: Worker = serde_json::from_value(worker).expect("a worker");
        let refused = Template::of(Some(&worker), "t", files).err().map(|problem| problem.message);
        let wanted = format!(
            ".spec.worker.podTemplate.spec.volumes[0].name is the operator's own: \"{name}\" has the operator's files"
        );
        assert_eq!(refused, (!is_taken).then_some(wanted), "{name} with {files:?}");
    }
}

#[test]
fn the_rest_of_the_pod_is_merged_field_by_field() {
    let pods = pods(json!({ "podTemplate": {
        "metadata": { "labels": { "team": "a" }, "annotations": { "sidecar.istio.io/inject": "true" } },
        "spec": {
            "serviceAccountName": "tester",
            "imagePullSecrets": [{ "name": "registry" }],
            "nodeSelector": { "pool": "load" },
            "tolerations": [{ "key": "load", "operator": "Exists" }],
            "securityContext": { "runAsUser": 1000 },
            "terminationGracePeriodSeconds": 90,
            "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule" }],
            "volumes": [{ "name": "big", "emptyDir": {} }],
            "containers": [
                { "name": "proxy", "image": "proxy:1" },
                { "name": "worker", "volumeMounts": [{ "name": "big", "mountPath": "/big" }],
                  "securityContext": { "readOnlyRootFilesystem": false }, "terminationMessagePolicy": "File" },
            ],
        },
    }}));
    let (metadata, spec) = (&pods["metadata"], &pods["spec"]);
    assert_eq!(metadata["labels"]["team"], "a");
    assert_eq!(metadata["labels"]["artillery.io/test-name"], "t");
    assert_eq!(metadata["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"], "false");
    assert_eq!(metadata["annotations"]["sidecar.istio.io/inject"], "true");
    for (field, value) in [
        ("serviceAccountName", json!("tester")),
        ("automountServiceAccountToken", json!(false)),
        ("imagePullSecrets", json!([{ "name": "registry" }])),
        ("nodeSelector", json!({ "pool": "load" })),
        ("tolerations", json!([{ "key": "load", "operator": "Exists" }])),
        ("restartPolicy", json!("Never")),
        ("terminationGracePeriodSeconds", json!(90)),
    ] {
        assert_eq!(spec[field], value, "{field}");
    }
    let (user, is_root) = (&spec["securityContext"]["runAsUser"], &spec["securityContext"]["runAsNonRoot"]);
    assert_eq!((user, is_root), (&json!(1000), &json!(true)));
    let zones: Vec<_> = spec["topologySpreadConstraints"].as_array().expect("a list").iter().collect();
    assert_eq!((zones.len(), &zones[0]["topologyKey"]), (1, &json!("zone")));
    let names = |list: &str| -> Vec<_> {
        spec[list]
            .as_array()
            .expect("a list")
            .iter()
            .map(|item| item["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    assert_eq!(names("containers"), ["t", "proxy"], "the worker stays the first");
    assert_eq!(names("volumes"), ["test-script", "tmp", "artillery-operator", "big"]);
    let worker = &spec["containers"][0];
    assert_eq!(worker["terminationMessagePolicy"], "File");
    assert_eq!(worker["securityContext"]["readOnlyRootFilesystem"], false);
    assert_eq!(worker["securityContext"]["allowPrivilegeEscalation"], false);
    let mounts: Vec<_> =
        worker["volumeMounts"].as_array().expect("a list").iter().map(|m| m["mountPath"].clone()).collect();
    assert_eq!(mounts, ["/data", "/tmp", "/artillery-operator", "/big"]);
    assert_eq!(env(&pods, "LOADTEST_GRACE_SECONDS"), "90");
}

#[test]
fn what_only_the_operator_may_say_is_refused_by_name() {
    let spec = |spec: Value| json!({ "podTemplate": { "spec": spec } });
    let worker = |field: &str, value: Value| {
        let mut worker = json!({ "name": "worker" });
        worker[field] = value;
        spec(json!({ "containers": [worker] }))
    };
    for (wanted, field, why) in [
        (
            json!({ "env": [{ "name": "LOADTEST_TOKEN", "value": "x" }] }),
            ".spec.worker.env[0] (LOADTEST_TOKEN)",
            "begin with LOADTEST_",
        ),
        (
            json!({ "env": [{ "name": "WORKERS", "value": "4" }] }),
            ".spec.worker.env[0] (WORKERS)",
            "one thread",
        ),
        (
            json!({ "env": [{ "name": "NODE_OPTIONS", "valueFrom": { "configMapKeyRef": { "name": "a", "key": "b" } } }] }),
            ".spec.worker.env[0] (NODE_OPTIONS)",
            "must be given by its value",
        ),
        (
            json!({ "env": [{ "name": "ARTILLERY_PLUGINS", "value": "[1]" }] }),
            ".spec.worker.env[0] (ARTILLERY_PLUGINS) is \"[1]\"",
            "an object in JSON",
        ),
        (
            json!({ "podTemplate": { "metadata": { "labels": { "artillery.io/test-name": "x" } } } }),
            "metadata.labels[\"artillery.io/test-name\"]",
            "which worker a pod is",
        ),
        (spec(json!({ "containers": [], "restartPolicy": "Always" })), "spec.restartPolicy", "started once"),
        (
            spec(json!({ "containers": [], "activeDeadlineSeconds": 5 })),
            "spec.activeDeadlineSeconds",
            ".spec.activeDeadlineSeconds",
        ),
        (
            spec(json!({ "containers": [], "terminationGracePeriodSeconds": 5 })),
            "terminationGracePeriodSeconds is 5",
            "give 10 to 3600",
        ),
        (
            spec(json!({ "containers": [], "volumes": [{ "name": "tmp" }] })),
            "spec.volumes[0].name",
            "the operator's files",
        ),
        (
            spec(json!({ "containers": [{ "name": "t", "image": "x" }] })),
            "spec.containers[0].name",
            "called worker",
        ),
        (
            spec(json!({ "containers": [{ "name": "proxy" }] })),
            "spec.containers[0].image is missing",
            "a side-car needs one",
        ),
        (worker("args", json!(["run"])), "spec.containers[0].args", ".spec.artillery"),
        (worker("restartPolicy", json!("Always")), "spec.containers[0].restartPolicy", "started once"),
        (worker("image", json!("x")), "spec.containers[0].image", ".spec.worker.image"),
        (worker("env", json!([])), "spec.containers[0].env", ".spec.worker.env"),
        (
            worker("volumeMounts", json!([{ "name": "v", "mountPath": "/data/more" }])),
            "spec.containers[0].volumeMounts[0].mountPath",
            "/data has the files",
        ),
        (json!({ "resources": { "limits": ["memory"] } }), ".spec.worker.resources cannot be read", "map"),
    ] {
        let message = refusal(wanted);
        assert!(message.contains(field) && message.contains(why), "{field}, {why} in {message}");
    }
}
