//! The rights of the installation against the API server's audit log: the manager uses every right that `config` gives it,
//! and asks for nothing more; installed for one namespace it keeps to that one. A binary with an API server of its own, so
//! that nobody else's calls are in the log.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

#[allow(dead_code, reason = "shared with the tests of the controller, which use all of it")]
#[path = "api/bed.rs"]
mod bed;
#[allow(dead_code, reason = "shared with the tests of the manager, which use all of it")]
#[path = "common/manager.rs"]
mod process;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};
use testbed::api_server::{As, Call, OPERATOR_USER};
use testbed::eventually::eventually;
use testbed::scrape::scrape;
use testbed::worker::Worker;
use tokio::sync::Mutex;

use bed::{API, Bed, SOON};
use process::{Manager, free_addresses};

/// The name of the manager's ServiceAccount.
const ACCOUNT: &str = "artillery-operator-controller-manager";

/// One manager at a time: two would share the work, and neither need use all its rights.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A right, as `verb resource.group`, as kubectl names resources, and a name behind it where it is given for that name alone.
type Rights = BTreeSet<String>;

/// All rights that an account was given, in whatever roles and namespaces; `["*"]` or a URL is one, too, which nobody uses.
async fn given(namespace: &str, account: &str) -> Rights {
    let client = API.client(As::Admin).await.expect("a client");
    let is_theirs = |subjects: &Option<Vec<Subject>>| {
        let mut subjects = subjects.iter().flatten();
        subjects.any(|s| s.name == account && s.namespace.as_deref() == Some(namespace))
    };
    let (cluster_roles, mut rules): (Api<ClusterRole>, Vec<PolicyRule>) =
        (Api::all(client.clone()), Vec::new());
    let all = ListParams::default();
    for binding in Api::<ClusterRoleBinding>::all(client.clone()).list(&all).await.expect("bindings") {
        if is_theirs(&binding.subjects) {
            let role = cluster_roles.get(&binding.role_ref.name).await.expect("its role");
            rules.extend(role.rules.into_iter().flatten());
        }
    }
    for binding in Api::<RoleBinding>::all(client.clone()).list(&all).await.expect("bindings") {
        if is_theirs(&binding.subjects) {
            assert_eq!(binding.role_ref.kind, "Role", "{}", binding.name_any());
            let roles: Api<Role> =
                Api::namespaced(client.clone(), &binding.namespace().expect("a namespace"));
            let role = roles.get(&binding.role_ref.name).await.expect("its role");
            rules.extend(role.rules.into_iter().flatten());
        }
    }
    let mut rights = Rights::new();
    for rule in rules {
        rights.extend(rule.non_resource_urls.into_iter().flatten());
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                let whole = rule.verbs.iter().map(|verb| format!("{verb} {resource}.{group}"));
                let names = rule.resource_names.as_deref().unwrap_or_default();
                match names {
                    [] => rights.extend(whole),
                    // the manager of the tests has an address of one family
                    names => rights.extend(whole.flat_map(|right| {
                        let names = names.iter().filter(|name| !name.ends_with("-ipv6"));
                        names.map(move |name| format!("{right} {name}")).collect::<Vec<_>>()
                    })),
                }
            }
        }
    }
    rights
}

/// The rights that calls needed; of those that were given for one name, that.
fn used<'a>(calls: impl IntoIterator<Item = &'a Call>, given: &Rights) -> Rights {
    let resource = |call: &Call| match call.subresource.as_str() {
        "" => call.resource.clone(),
        subresource => format!("{}/{subresource}", call.resource),
    };
    let right = |call: &Call| {
        let whole = format!("{} {}.{}", call.verb, resource(call), call.group);
        let named = format!("{whole} {}", call.name);
        if given.contains(&named) { named } else { whole }
    };
    calls.into_iter().map(right).collect()
}

/// Everything that a manager, installed in the namespace `system`, ever does for LoadTests, in one namespace.
async fn all_that_can_happen(bed: &Bed, system: &str, manager: &Manager) {
    bed.script().await;
    // one whose worker reports; its pod is asked for when somebody whom nobody knows shows a token
    bed.load_test("reported", 1).await;
    let pod = bed.pods("reported", 1).await.remove(0);
    let url = format!("https://artillery-operator-collector.{system}.svc");
    let collectors = bed.collectors_at(&url, system).await.by_way_of(manager.collector);
    let stranger: Pod = serde_json::from_value(json!({
        "metadata": { "name": "stranger" }, "spec": { "containers": [{ "name": "t", "image": "i" }] },
    }))
    .expect("a pod");
    let stranger = bed.api::<Pod>().create(&PostParams::default(), &stranger).await.expect("a pod");
    for (pod, status) in [(&stranger, 403), (&pod, 200)] {
        let token = bed.token(pod, loadtest::reporter::AUDIENCE).await;
        let mut worker = Worker::new(&collectors, &token, 1);
        let joined = async || worker.join(&json!([]), &Value::Null).await.ok();
        eventually("an answer", SOON, joined, |answer| answer.as_ref().is_some_and(|a| a.status == status))
            .await;
        if status == 200 {
            worker.until_released(SOON).await.expect("released");
            worker.finish(0, 0, SOON).await.expect("finished");
        }
    }
    bed.exit(&pod, 0).await;
    bed.until_reason("reported", "Succeeded").await;
    // one ends well; then somebody puts a Job in the place of its own
    bed.load_test("good", 1).await;
    let pod = bed.pods("good", 1).await.remove(0);
    bed.exit(&pod, 0).await;
    bed.until_reason("good", "Succeeded").await;
    let jobs = bed.api::<Job>();
    let mut again = bed.job("good").await.expect("its Job");
    jobs.delete("good", &DeleteParams::background()).await.expect("deleted");
    eventually("it is gone", SOON, async || bed.job("good").await, Option::is_none).await;
    again.metadata = ObjectMeta {
        name: Some("good".into()),
        labels: again.metadata.labels,
        annotations: Some([("loadtest.artillery.io/started-at".to_owned(), String::new())].into()),
        owner_references: again.metadata.owner_references,
        ..ObjectMeta::default()
    };
    let spec = again.spec.as_mut().expect("a spec");
    (spec.suspend, spec.selector, spec.template.metadata) = (Some(true), None, None);
    jobs.create(&PostParams::default(), &again).await.expect("a second Job");
    eventually("the stray is gone", SOON, async || bed.job("good").await, Option::is_none).await;
    // one whose Job somebody deletes
    bed.load_test("robbed", 1).await;
    bed.pods("robbed", 1).await;
    jobs.delete("robbed", &DeleteParams::background()).await.expect("deleted");
    bed.until_reason("robbed", "JobDeleted").await;
    // one whose pods a quota refuses
    let metadata = ObjectMeta { name: Some("no-pods".into()), ..ObjectMeta::default() };
    let quota = ResourceQuota { metadata, ..ResourceQuota::default() };
    let quotas = bed.api::<ResourceQuota>();
    quotas.create(&PostParams::default(), &quota).await.expect("a quota");
    let status = json!({ "status": { "hard": { "pods": "0" }, "used": { "pods": "0" } } });
    quotas.patch_status("no-pods", &PatchParams::default(), &Patch::Merge(status)).await.expect("its status");
    bed.load_test("refused", 1).await;
    bed.until_reason("refused", "WorkersWaiting").await;
}

#[tokio::test]
async fn every_right_that_the_installation_gives_is_used_and_none_is_missing() {
    let _alone = ALONE.lock().await;
    let bed = Bed::without_controller().await;
    let [address] = free_addresses();
    let secure = format!("--metrics-secure-bind-address={address}");
    let lease = "--leader-election-namespace=artillery-operator-system";
    let more = ["--leader-elect", lease, &secure];
    one_led_before(Manager::start("manager-before", &more), bed::SYSTEM).await;
    let manager = Manager::start("manager-rights", &more);
    all_that_can_happen(&bed, bed::SYSTEM, &manager).await;
    // it has to ask who that is, and what they may
    let token = API.kubectl(&["create", "token", "default", "-n", "default"]).expect("a token");
    let answer = scrape(&format!("https://{address}"), Some(token.trim())).await.expect("an answer");
    assert_eq!(answer, Err(403));

    let given = given("artillery-operator-system", ACCOUNT).await;
    // the log may be a moment behind
    let of_operator = async || calls_of(OPERATOR_USER);
    let calls =
        eventually("every right is used", SOON, of_operator, |calls| used(calls, &given) == given).await;
    let forbidden: Vec<_> = calls.iter().filter(|call| call.code == 403).collect();
    assert_eq!(forbidden, [] as [&Call; 0], "a right is missing");
}

/// A manager that led the Service to itself, and ended: the next one leads it elsewhere.
async fn one_led_before(mut manager: Manager, system: &str) {
    let slices: Api<EndpointSlice> = Api::namespaced(API.client(As::Admin).await.expect("a client"), system);
    let led = async || {
        let slices = slices.list(&ListParams::default()).await.expect("an answer").items;
        slices.iter().any(|slice| slice.name_any().starts_with("artillery-operator-collector"))
    };
    eventually("the Service is led to it", SOON, led, |led| *led).await;
    manager.terminate();
}

fn calls_of(user: &str) -> Vec<Call> {
    API.calls().expect("the audit log").into_iter().filter(|call| call.user == user).collect()
}

#[tokio::test]
async fn installed_for_one_namespace_it_runs_there_with_rights_there_only() {
    let _alone = ALONE.lock().await;
    let bed = Bed::without_controller().await;
    let elsewhere = Bed::without_controller().await;
    let namespace = bed.namespace.clone();
    let account = format!("system:serviceaccount:{namespace}:artillery-operator-controller-manager");
    let kubeconfig = install_for(&namespace);
    elsewhere.script().await;
    elsewhere.load_test("not-ours", 1).await;
    let confined = [format!("--leader-election-namespace={namespace}"), format!("--namespace={namespace}")];
    let more = ["--leader-elect", &confined[0], &confined[1]];
    one_led_before(Manager::start_installed(&namespace, &kubeconfig, "manager-before", &more), &namespace)
        .await;
    let manager = Manager::start_installed(&namespace, &kubeconfig, "manager-namespaced", &more);
    all_that_can_happen(&bed, &namespace, &manager).await;

    let mut given = given(&namespace, ACCOUNT).await;
    // Kubernetes' own role has this one, too
    assert!(given.remove("create subjectaccessreviews.authorization.k8s.io"));
    let calls = eventually(
        "every right is used",
        SOON,
        async || calls_of(&account),
        |calls| used(calls, &given) == given,
    )
    .await;
    let outside: Vec<_> =
        calls.iter().filter(|call| call.namespace != namespace || call.code == 403).collect();
    // who somebody is cannot be asked of a namespace
    let outside: Vec<_> = outside.into_iter().filter(|call| call.resource != "tokenreviews").collect();
    assert_eq!(outside, [] as [&Call; 0], "it kept to its namespace");
}

/// Installs `config/namespaced` into a namespace, as its first lines say, and returns a kubeconfig of its manager.
fn install_for(namespace: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(namespace);
    std::fs::create_dir_all(&folder).expect("a folder");
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/namespaced");
    // kustomize takes relative paths only
    let up = folder
        .canonicalize()
        .expect("a path")
        .components()
        .skip(1)
        .map(|_| "..")
        .collect::<Vec<_>>()
        .join("/");
    let resource = format!("{up}{}", config.canonicalize().expect("a path").display());
    let kustomization = format!("namespace: {namespace}\nresources: [\"{resource}\"]\n");
    std::fs::write(folder.join("kustomization.yaml"), kustomization).expect("a file");
    API.kubectl(&["apply", "-k", folder.to_str().expect("a path")]).expect("the installation");
    let binding = format!("artillery-operator-{namespace}");
    let account = format!("--serviceaccount={namespace}:{ACCOUNT}");
    let delegator = "--clusterrole=system:auth-delegator";
    API.kubectl(&["create", "clusterrolebinding", &binding, delegator, &account]).expect("a binding");
    let token = API.kubectl(&["-n", namespace, "create", "token", ACCOUNT]).expect("a token");
    API.kubeconfig_of(namespace, token.trim()).expect("a kubeconfig")
}

#[tokio::test]
async fn the_service_monitor_selects_the_metrics_service() {
    drop(Bed::without_controller().await);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/prometheus");
    let monitor = API.kubectl(&["kustomize", folder.to_str().expect("a path")]).expect("manifests");
    let monitor =
        monitor.split("\n---\n").find(|object| object.contains("kind: ServiceMonitor")).expect("it");
    let monitor: Value = serde_saphyr::from_str(monitor).expect("YAML");
    let admin = API.client(As::Admin).await.expect("a client");
    let namespace = monitor["metadata"]["namespace"].as_str().expect("a namespace");
    let services: Api<k8s_openapi::api::core::v1::Service> = Api::namespaced(admin, namespace);
    let service =
        services.get("artillery-operator-controller-manager-metrics-service").await.expect("a Service");
    for (label, value) in monitor["spec"]["selector"]["matchLabels"].as_object().expect("labels") {
        assert_eq!(service.labels().get(label).map(String::as_str), value.as_str(), "{label}");
    }
    let ports = service.spec.and_then(|spec| spec.ports).expect("ports");
    let endpoint = &monitor["spec"]["endpoints"][0];
    assert_eq!(ports[0].name.as_deref(), endpoint["port"].as_str());
}
