//! Schemas of what is Kubernetes' own, made from its types: whole, and without descriptions, which would make the
//! CustomResourceDefinition too large for `kubectl apply`.

use k8s_openapi::api::core::v1::{EnvFromSource, EnvVar, PodSpec, ResourceRequirements};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use super::rules;

/// An object with anything in it.
pub fn any_object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// `resources` of a container.
pub fn resources(_: &mut SchemaGenerator) -> Schema {
    of::<ResourceRequirements>(
        "Requests and limits of the worker container; what is not given stays as it is by default.",
    )
}

/// `env` of a container.
pub fn env(_: &mut SchemaGenerator) -> Schema {
    let mut list = list::<EnvVar>("Environment variables of the worker container.", 256, rules::of_variable);
    list.insert("x-kubernetes-list-type".to_owned(), json!("map"));
    list.insert("x-kubernetes-list-map-keys".to_owned(), json!(["name"]));
    list
}

/// `envFrom` of a container.
pub fn env_from(_: &mut SchemaGenerator) -> Schema {
    list::<EnvFromSource>(
        "ConfigMaps and Secrets whose keys become environment variables of the worker container, but for those that env or the operator sets.",
        64,
        rules::of_source,
    )
}

/// A pod template.
pub fn pod_template(_: &mut SchemaGenerator) -> Schema {
    let mut strings = json!({ "type": "object", "additionalProperties": { "type": "string" } });
    rules::of_keys(&mut strings);
    json_schema!({
        "type": "object",
        "description": "Everything else of a worker's pod. A container named worker stands for the worker container; others are side-cars.",
        "properties": {
            "metadata": { "type": "object", "properties": { "labels": strings, "annotations": strings } },
            "spec": pod_spec(),
        },
    })
}

/// Who has no side-car, and nothing to add to the worker container, names no container.
fn pod_spec() -> Value {
    let mut pod = bare::<PodSpec>();
    if let Some(pod) = pod.as_object_mut() {
        pod.remove("required");
    }
    rules::of_pod(&mut pod);
    pod
}

fn list<T: JsonSchema>(description: &str, most: usize, add_rules: impl Fn(&mut Value)) -> Schema {
    let mut items = bare::<T>();
    add_rules(&mut items);
    json_schema!({ "type": "array", "description": description, "maxItems": most, "items": items })
}

fn of<T: JsonSchema>(description: &str) -> Schema {
    let mut schema = bare::<T>();
    schema["description"] = json!(description);
    // it is a schema with one more word
    Schema::try_from(schema).unwrap_or_default()
}

/// The schema of a type in Kubernetes' structural form: nothing is referred to, nothing described.
fn bare<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::openapi3().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings.into_generator().into_root_schema_for::<T>().to_value();
    strip(&mut schema);
    schema
}

/// What users write as a number or as a text: quantities, which Kubernetes' types have as texts.
const QUANTITIES: [&str; 2] = ["divisor", "sizeLimit"];
const LISTS_OF_QUANTITIES: [&str; 2] = ["limits", "requests"];
/// What Kubernetes reads as a quantity (`resource.ParseQuantity`): a number with a unit, such as 512Mi, 0.5 or 100m.
const QUANTITY: &str =
    r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+))?$";
/// What no template of a Job's pods can have.
const NEVER: &str = "ephemeralContainers";

fn strip(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            // a property may bear such a name too, and then it is an object
            object.retain(|key, value| {
                !(["description", "title"].contains(&key.as_str()) && value.is_string()) && key != NEVER
            });
            for (key, value) in object.iter_mut() {
                strip(value);
                let quantity = || json!({ "x-kubernetes-int-or-string": true, "pattern": QUANTITY });
                if QUANTITIES.contains(&key.as_str()) {
                    *value = quantity();
                } else if LISTS_OF_QUANTITIES.contains(&key.as_str())
                    && value["additionalProperties"].is_object()
                {
                    value["additionalProperties"] = quantity();
                }
            }
        }
        Value::Array(array) => array.iter_mut().for_each(strip),
        _ => {}
    }
}
