//! What the API server says at once of the workers' pods: rules in Kubernetes' own schemas, where the operator has a say.

use serde_json::{Value, json};

use super::CONFIG_MAP_NAME;
use super::test_script::KEY;
use crate::template::{COPY, GRACE, OUR_PREFIXES, OUR_VOLUMES, REPORTER_FOLDER, SHARED_VARIABLES, WORKER};

/// The most containers, volumes or mounts of a pod template, and a quarter of the most labels: rules on each must have a bounded cost.
const MOST: usize = 64;
/// Of a name of a variable, in characters, likewise.
const LONGEST_VARIABLE: usize = 1024;

/// A list of CEL.
fn any_of(texts: &[&str]) -> String {
    let quoted: Vec<_> = texts.iter().map(|text| format!("'{text}'")).collect();
    format!("[{}]", quoted.join(", "))
}

/// Refuses every value of a field, with what is right instead.
fn never(schema: &mut Value, why: &str) {
    schema["x-kubernetes-validations"] = json!([{ "rule": "false", "message": why }]);
}

/// Of `env`: names that Kubernetes takes from 1.32 on (before, it wants letters, digits, `-`, `_` and `.`, no digit first, and says so of
/// the Job), and that are not the operator's.
pub(super) fn of_variable(item: &mut Value) {
    let name = &mut item["properties"]["name"];
    name["minLength"] = json!(1);
    name["maxLength"] = json!(LONGEST_VARIABLE);
    let told = |rule: &str, why: &str| json!({ "rule": rule, "message": why, "messageExpression": format!("'\"' + self + '\" {why}'") });
    name["x-kubernetes-validations"] = json!([
        told(
            "self.matches('^[ -<>-~]+$')",
            "is no name of a variable: give printable ASCII characters without ="
        ),
        told(
            "!self.startsWith('LOADTEST_')",
            "is reserved: variables that begin with LOADTEST_ tell the reporter what to do"
        ),
        told("self != 'WORKERS'", "is reserved: a worker is one thread"),
        told("self != 'WORKER_ID'", "is reserved: it is the name of the pod"),
    ]);
    item["x-kubernetes-validations"] = json!([{
        "rule": format!("!(self.name in {}) || has(self.value)", any_of(&SHARED_VARIABLES)),
        "messageExpression": "'\"' + self.name + '\" must be given by its value, for the operator adds to it'",
        "message": "must be given by its value, for the operator adds to it",
    }]);
    for source in ["configMapKeyRef", "secretKeyRef"] {
        let source = &mut item["properties"]["valueFrom"]["properties"][source]["properties"];
        is_name(&mut source["name"]);
        source["key"] = json!({ "type": "string", "minLength": 1, "maxLength": 253, "pattern": KEY });
    }
}

/// Of `envFrom`: names that a ConfigMap or Secret can bear.
pub(super) fn of_source(item: &mut Value) {
    for source in ["configMapRef", "secretRef"] {
        is_name(&mut item["properties"][source]["properties"]["name"]);
    }
}

fn is_name(name: &mut Value) {
    *name = json!({ "type": "string", "minLength": 1, "maxLength": 253, "pattern": CONFIG_MAP_NAME });
}

/// Of `podTemplate.metadata`: keys that tell which worker a pod is.
pub(super) fn of_keys(map: &mut Value) {
    map["maxProperties"] = json!(4 * MOST);
    let ours: Vec<_> = OUR_PREFIXES.iter().map(|prefix| format!("key.startsWith('{prefix}')")).collect();
    map["x-kubernetes-validations"] = json!([{
        "rule": format!("!self.exists(key, {})", ours.join(" || ")),
        "message": format!("keys that begin with {} are the operator's own: they tell which worker a pod is", OUR_PREFIXES.join(", ")),
    }]);
}

/// Names of a list's items that are the operator's own.
fn reserve_names(list: &mut Value, ours: &[&str], why: &str) {
    list["maxItems"] = json!(MOST);
    let name = &mut list["items"]["properties"]["name"];
    name["maxLength"] = json!(63);
    name["x-kubernetes-validations"] = json!([{
        "rule": format!("!(self in {})", any_of(ours)),
        "messageExpression": format!("'\"' + self + '\" is the operator\\'s own: {why}'"),
        "message": format!("is the operator's own: {why}"),
    }]);
}

/// Of `podTemplate.spec`: what the operator sets itself, and what has its field elsewhere.
pub(super) fn of_pod(pod: &mut Value) {
    let fields = &mut pod["properties"];
    never(&mut fields["restartPolicy"], "is the operator's own: a worker is started once; leave it out");
    never(
        &mut fields["activeDeadlineSeconds"],
        "is the operator's own: use spec.activeDeadlineSeconds, which ends a test in order",
    );
    let grace = &mut fields["terminationGracePeriodSeconds"];
    (grace["minimum"], grace["maximum"]) = (json!(GRACE.start()), json!(GRACE.end()));

    reserve_names(&mut fields["volumes"], &OUR_VOLUMES, "give the volume another name");
    reserve_names(&mut fields["initContainers"], &[COPY, WORKER], "give the init container another name");

    let containers = &mut fields["containers"];
    containers["maxItems"] = json!(MOST);
    let of_container = &mut containers["items"]["properties"];
    of_container["name"]["maxLength"] = json!(63);
    of_container["volumeMounts"]["maxItems"] = json!(MOST);
    let elsewhere = ["image", "imagePullPolicy", "resources", "env", "envFrom"]
        .map(|field| of_worker(field, &format!("cannot be given here: give it as spec.worker.{field}")));
    let mut rules = vec![
        of_worker(
            "args",
            "is the operator's own: use spec.artillery, whose fields become Artillery's options",
        ),
        of_worker("restartPolicy", "is the operator's own: a worker is started once"),
        json!({
            "rule": "self.name == 'worker' || has(self.image)",
            "message": "image is missing: a side-car needs one (the worker container is called worker here)",
        }),
        json!({
            "rule": format!("self.name != 'worker' || !has(self.volumeMounts) || self.volumeMounts.all(mount, mount.mountPath != '{REPORTER_FOLDER}' && !mount.mountPath.startsWith('{REPORTER_FOLDER}/'))"),
            "message": format!("{REPORTER_FOLDER} is the operator's own: it has the operator's reporter; mount the volume elsewhere"),
            "fieldPath": ".volumeMounts",
        }),
    ];
    rules.extend(elsewhere);
    containers["items"]["x-kubernetes-validations"] = json!(rules);
}

/// That the container that stands for the worker does not have the field.
fn of_worker(field: &str, why: &str) -> Value {
    json!({
        "rule": format!("self.name != 'worker' || !has(self.{field})"),
        "message": format!("{field} of the container worker {why}"),
        "fieldPath": format!(".{field}"),
    })
}
