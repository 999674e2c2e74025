//! Whether a report is as `docs/report.schema.json` says.

use serde_json::Value;

/// Checks that a report is as `docs/report.schema.json` says.
pub(super) fn is_valid(report: &Value) {
    let errors = errors(report);
    assert!(errors.is_empty(), "{errors:?}");
}

/// What is not as `docs/report.schema.json` says.
pub(super) fn errors(report: &Value) -> Vec<String> {
    let schema: Value =
        serde_json::from_str(include_str!("../../../../docs/report.schema.json")).expect("a schema");
    let mut errors = Vec::new();
    check(&schema, &schema, report, "", &mut errors);
    errors
}

/// The words of JSON Schema that the schema uses; any other is an error. A library for all of it would bring 20 crates.
fn check(root: &Value, schema: &Value, value: &Value, path: &str, errors: &mut Vec<String>) {
    let mut wrong = |what: String| errors.push(format!("{path}: {what}"));
    let types = |types: &Value| types.as_array().cloned().unwrap_or_else(|| vec![types.clone()]);
    let is_of = |value: &Value, of: &Value| match of.as_str().expect("a type") {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "integer" => value.is_i64() || value.is_u64(),
        other => panic!("the schema has the type {other}"),
    };
    for (word, rule) in schema.as_object().expect("a schema") {
        match word.as_str() {
            "$schema" | "$id" | "$defs" | "title" | "description" => {}
            "type" if types(rule).iter().any(|of| is_of(value, of)) => {}
            "type" => wrong(format!("not {}", types(rule)[0].as_str().expect("a type"))),
            "enum" if rule.as_array().expect("values").contains(value) => {}
            "enum" => wrong(format!("not one of {rule}")),
            "anyOf" => {
                let any = rule.as_array().expect("rules").iter().any(|rule| {
                    let mut errors = Vec::new();
                    check(root, rule, value, path, &mut errors);
                    errors.is_empty()
                });
                if !any {
                    wrong(format!("none of {rule}"));
                }
            }
            "maxProperties" => {
                let most = rule.as_u64().expect("a number");
                if value.as_object().is_some_and(|fields| fields.len() as u64 > most) {
                    wrong(format!("more than {most} fields"));
                }
            }
            "minimum" if value.as_f64().is_some_and(|number| number < rule.as_f64().expect("a number")) => {
                wrong(format!("less than {rule}"));
            }
            "required" => {
                let names = rule.as_array().expect("names").iter().filter_map(Value::as_str);
                names
                    .filter(|name| value.get(name).is_none())
                    .for_each(|name| wrong(format!("without {name}")));
            }
            "$ref" | "allOf" | "properties" | "additionalProperties" | "items" | "minimum" => {}
            other => panic!("the schema says {other}, which is not checked"),
        }
    }
    if let Some(rule) = schema.get("$ref").and_then(Value::as_str) {
        check(root, root.pointer(&rule[1..]).expect("a definition"), value, path, errors);
    }
    for rule in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        check(root, rule, value, path, errors);
    }
    for (name, field) in value.as_object().into_iter().flatten() {
        let path = format!("{path}/{name}");
        match (schema.pointer(&format!("/properties/{name}")), schema.get("additionalProperties")) {
            (Some(rule), _) => check(root, rule, field, &path, errors),
            (None, Some(Value::Bool(false))) => errors.push(format!("{path}: not expected")),
            (None, Some(rule)) => check(root, rule, field, &path, errors),
            (None, None) => {}
        }
    }
    for (index, entry) in value.as_array().into_iter().flatten().enumerate() {
        if let Some(rule) = schema.get("items") {
            check(root, rule, entry, &format!("{path}/{index}"), errors);
        }
    }
}
