//! The page with every field of a LoadTest, from the schema that the API server checks: what `make manifests` writes to
//! `docs/reference.md`.

mod shown;

use std::fmt::Write as _;

use serde_json::Value;

use crate::crd::crd;
use shown::{SHOWN, Shown};

/// Whose parts are Kubernetes' own, and documented there.
const KUBERNETES: [&str; 4] = ["env", "envFrom", "resources", "podTemplate"];

/// The page, as Markdown.
pub fn reference() -> String {
    let mut page = "# Every field of a LoadTest\n\nGenerated from the API types by `make manifests`; `kubectl explain loadtest --recursive` says the same. What the fields of a pod\nare is [Kubernetes' affair](https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/).\n".to_owned();
    for part in ["spec", "status"] {
        let _ = write!(page, "\n## {part}\n\n| field | type | |\n|---|---|---|\n");
        fields(&mut page, "", &schema_of(part));
    }
    page.push_str("\n## Shown on real pods\n\nEach field of the spec acts in a test with real pods, by what is said here; a unit test finds a field that has none.\n\n| field | test | by |\n|---|---|---|\n");
    for Shown { field, test, by } in SHOWN {
        let _ = writeln!(page, "| `{field}` | `{test}` | {by} |");
    }
    page
}

fn schema_of(part: &str) -> Value {
    let crd = serde_json::to_value(crd()).unwrap_or_default();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part].clone()
}

fn fields(page: &mut String, path: &str, schema: &Value) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        let about = field["description"].as_str().unwrap_or_default().replace('|', "\\|").replace('\n', " ");
        let required = schema["required"].as_array().is_some_and(|names| names.iter().any(|it| it == name));
        let required = if required { "; required" } else { "" };
        // writing to a String does not fail
        let _ = writeln!(page, "| `{path}` | {}{required} | {about} |", kind(field));
        if KUBERNETES.contains(&name.as_str()) {
            continue;
        }
        fields(page, &path, field);
        fields(page, &format!("{path}[]"), &field["items"]);
    }
}

fn kind(field: &Value) -> String {
    if field["x-kubernetes-int-or-string"] == true {
        return "integer or text".to_owned();
    }
    let one = |field: &Value| match (field["type"].as_str().unwrap_or("object"), field["enum"].as_array()) {
        (_, Some(values)) => values
            .iter()
            .filter_map(Value::as_str)
            .map(|value| format!("`{value}`"))
            .collect::<Vec<_>>()
            .join(", "),
        ("string", None) => "text".to_owned(),
        (other, None) => other.to_owned(),
    };
    let bound = |name: &str| field[name].as_f64();
    match (field["type"].as_str(), bound("minimum"), bound("maximum")) {
        (Some("array"), ..) => format!("list of {}", one(&field["items"])),
        (_, Some(least), Some(most)) => format!("{}, {least} to {most}", one(field)),
        _ => one(field),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_reference_page_is_what_the_types_say() {
        let file = include_str!("../../../docs/reference.md");
        assert_eq!(file, super::reference(), "docs/reference.md is stale: run `make manifests`");
    }
}
