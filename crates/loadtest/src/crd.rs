//! The CustomResourceDefinition, generated from the types in [`crate::api`]: what `make manifests` writes.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::LoadTest;

/// The CustomResourceDefinition `loadtests.loadtest.artillery.io`.
pub fn crd() -> CustomResourceDefinition {
    LoadTest::crd()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printer_columns_are_those_of_the_first_operator_and_more_when_wide() {
        let version = &crd().spec.versions[0];
        let columns = version.additional_printer_columns.as_ref().expect("columns");
        let narrow = |c: &&_| -> bool {
            let c: &k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceColumnDefinition = c;
            c.priority.unwrap_or(0) == 0
        };
        let names: Vec<_> = columns.iter().filter(narrow).map(|c| c.name.as_str()).collect();
        assert_eq!(names, ["Completions", "Duration", "Age", "Environment", "Image"]);
    }

    #[test]
    fn the_committed_one_is_small_enough_for_a_client_side_apply() {
        let yaml = include_str!("../../../config/crd/bases/loadtest.artillery.io_loadtests.yaml");
        assert!(yaml.len() < 200_000, "{} bytes of YAML", yaml.len());
        // kubectl apply keeps it in an annotation, and all annotations together have 262,144 bytes
        let json = serde_json::to_string(&crd()).expect("JSON");
        assert!(json.len() < 131_072, "{} bytes of JSON", json.len());
    }

    #[test]
    fn the_schema_is_the_reviewed_one() {
        insta::assert_yaml_snapshot!(crd());
    }
}
