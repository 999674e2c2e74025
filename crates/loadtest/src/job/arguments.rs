//! What a worker's Artillery is told: its arguments and its environment.

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector};

use super::GRACE_PERIOD_SECONDS;
use crate::plan::Plan;
use crate::process;

/// Kubernetes, which expands `$(NAME)` in arguments, leaves every value as it is.
pub(super) fn args(plan: &Plan) -> Vec<String> {
    let place = |name: &str| format!("{}/{name}", plan.files.folder());
    let words = process::arguments(plan.files.script(), plan.environment.as_deref(), &plan.artillery, place);
    words.into_iter().map(|word| word.replace('$', "$$")).collect()
}

pub(super) fn environment(uid: &str, plan: &Plan) -> Vec<EnvVar> {
    let value =
        |name: &str, value: String| EnvVar { name: name.to_owned(), value: Some(value), value_from: None };
    // Artillery labels what it publishes to a Pushgateway with it; why it is safe to set: docs/compatibility.md
    let worker_id = EnvVar {
        name: "WORKER_ID".to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                field_path: "metadata.name".to_owned(),
                api_version: None,
            }),
            ..EnvVarSource::default()
        }),
    };
    let variables = process::variables(uid, plan.template.variable("NODE_OPTIONS"));
    let grace = plan.template.grace_period_seconds().unwrap_or(GRACE_PERIOD_SECONDS);
    let reporting = plan.reporter.iter().flat_map(|reporter| reporter.environment(grace, &plan.template));
    // without SHELL Artillery looks its user up, and ends where /etc/passwd of the image has none of that number
    let person = [("SHELL", "/bin/sh".to_owned()), ("HOME", "/tmp".to_owned())];
    let all = variables.into_iter().chain(person).chain(reporting);
    [worker_id].into_iter().chain(all.map(|(name, text)| value(name, text))).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::api::Artillery;
    use crate::plan::Files;

    #[test]
    fn values_that_look_like_options_or_variables_stay_values() {
        let artillery = Artillery {
            target: Some("http://t/?a=$(HOME)&b=$$".into()),
            scenario_name: Some("^buy$".into()),
            ..Artillery::default()
        };
        let plan = Plan { environment: Some("--quiet".into()), artillery, ..Plan::default() };
        assert_eq!(
            args(&plan),
            [
                "run",
                "/data/test-script.yaml",
                "--environment=--quiet",
                // Kubernetes makes one of two
                "--target=http://t/?a=$$(HOME)&b=$$$$",
                "--scenario-name=^buy$$"
            ]
        );
    }

    #[test]
    fn options_are_artillerys_and_files_lie_beside_the_script() {
        let artillery = Artillery {
            variables: Some(json!({ "users": [1, 2] }).into()),
            overrides: Some(json!({ "config": { "phases": [] } }).into()),
            config: Some("conf/base.yaml".into()),
            dotenv: Some(".env".into()),
            ..Artillery::default()
        };
        let mut plan = Plan { artillery, ..Plan::default() };
        let options = |folder: &str| {
            [
                r#"--variables={"users":[1,2]}"#.to_owned(),
                r#"--overrides={"config":{"phases":[]}}"#.to_owned(),
                format!("--config={folder}/conf/base.yaml"),
                format!("--dotenv={folder}/.env"),
            ]
        };
        assert_eq!(args(&plan)[2..], options("/data"));
        plan.files = Files::InImage("/tests/checkout/script.yaml".into());
        assert_eq!(args(&plan)[1], "/tests/checkout/script.yaml");
        assert_eq!(args(&plan)[2..], options("/tests/checkout"));
    }
}
