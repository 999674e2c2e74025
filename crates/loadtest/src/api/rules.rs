//! What the API server says at once of the workers' pods: rules in Kubernetes' own schemas, where the operator has a say.

use serde_json::{Value, json};

use super::CONFIG_MAP_NAME;
use super::test_script::KEY;
use crate::template::GRACE;

/// The most containers of a pod template: rules on each must have a bounded cost.
const MOST_CONTAINERS: usize = 64;
/// Of a name of a variable, in characters, likewise.
const LONGEST_VARIABLE: usize = 1024;

/// Refuses every value of a field, with what is right instead.
fn never(schema: &mut Value, why: &str) {
    schema["x-kubernetes-validations"] = json!([{ "rule": "false", "message": why }]);
}

/// Of `env`: names that every Kubernetes takes, and that are not the operator's.
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

    let containers = &mut fields["containers"];
    containers["maxItems"] = json!(MOST_CONTAINERS);
    containers["items"]["properties"]["name"]["maxLength"] = json!(63);
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
