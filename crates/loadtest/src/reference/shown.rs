//! Which end-to-end test shows each field of the spec acting on real pods, and by what: the second half of `docs/reference.md`.

/// A field, the test that shows it, and how. Of a field that is Kubernetes' own, such as `podTemplate`, the main parts have rows as well.
pub struct Shown {
    /// Its path, as in the reference.
    pub field: &'static str,
    /// The function in `e2e/tests`.
    pub test: &'static str,
    /// What is looked at.
    pub by: &'static str,
}

const EXAMPLES: &str = "every_example_gives_what_artillery_gives_without_the_operator";
const OPTIONS: &str = "the_options_of_artillery_reach_the_workers";
const PODS: &str = "what_the_spec_says_of_pods_is_so_in_live_ones";
const TOO_FEW: &str = "workers_that_are_not_there_in_time_are_done_without_or_keep_all_from_starting";
const STOPPING: &str = "a_test_that_is_ended_before_its_time_reports_what_the_target_counted";
const SPLIT: &str = "four_workers_together_are_one_process_and_use_each_row_once";
const VOLUME: &str = "a_script_in_a_volume_of_the_users_starts_when_its_user_says_so";
const FAILING: &str = "a_worker_that_exits_1_leaves_the_others_to_finish";
const SIDE_CAR: &str = "a_side_car_does_not_keep_a_test_alive_and_a_job_goes_when_its_time_has_come";
const SILENT: &str = "a_worker_of_whom_nothing_is_heard_after_its_planned_end_is_lost_so_many_seconds_later";
const HOOKS: &str = "hooks_that_run_once_reach_all_workers_first_and_last";
const REPORT: &str = "the_report_of_four_workers_is_what_the_target_counted";

const fn row(field: &'static str, test: &'static str, by: &'static str) -> Shown {
    Shown { field, test, by }
}

/// In the order of the reference.
pub const SHOWN: &[Shown] = &[
    row("activeDeadlineSeconds", STOPPING, "the test ends long before its script, as `DeadlineExceeded`"),
    row("artillery.config", OPTIONS, "the phases stand in that file only"),
    row("artillery.dotenv", OPTIONS, "a variable of that file is in the path that the target is asked for"),
    row("artillery.overrides", OPTIONS, "what replaces a part of the script is in that path"),
    row("artillery.scenarioName", OPTIONS, "the other scenario's path is never asked for"),
    row("artillery.target", OPTIONS, "the script has none, and the target is reached"),
    row("artillery.variables", OPTIONS, "its value is in that path"),
    row("count", REPORT, "the target counts four times the script"),
    row("distribution", SPLIT, "four workers make the arrivals of one process, second by second"),
    row("environment", EXAMPLES, "each environment of `examples/environments` has a rate of its own"),
    row(
        "hooks",
        HOOKS,
        "of three workers one asks for `before`'s token, all have it, and `after` is the target's last request",
    ),
    row(
        "lostAfterSeconds",
        SILENT,
        "a worker that is cut off is given up 10 s after its planned end, not 120 s",
    ),
    row("maxMissingWorkers", TOO_FEW, "with `50%` one of three may be missing from a pass, with 0 none"),
    row("start.onTimeout", TOO_FEW, "`Run` starts without the one that has no node, `Fail` sends nothing"),
    row("start.timeoutSeconds", TOO_FEW, "after 45 s, not 600, those that are there go on"),
    row(
        "stop",
        STOPPING,
        "`Graceful` and `Immediate` each end a test of five minutes, with a report of what the target counted",
    ),
    row("suspend", VOLUME, "there is no Job until it is false"),
    row("testScript.config.configMap", EXAMPLES, "the script is run, and the keys beside it are found"),
    row("testScript.config.key", EXAMPLES, "`script.yaml` is run, which is not the default"),
    row(
        "testScript.external.payload.configMaps",
        FAILING,
        "each worker that runs logs the row of the CSV file",
    ),
    row("testScript.external.payload.secrets", EXAMPLES, "`examples/secrets` reads its accounts"),
    row(
        "testScript.external.processor.main.configMap",
        EXAMPLES,
        "`examples/processor` counts in its function",
    ),
    row("testScript.external.processor.related.configMaps", EXAMPLES, "that function requires a module"),
    row(
        "testScript.external.processor.related.secrets",
        EXAMPLES,
        "the processor of `examples/secrets` requires its key",
    ),
    row(
        "testScript.files[].configMap",
        EXAMPLES,
        "the target is asked for each user of `examples/csv-users`",
    ),
    row(
        "testScript.files[].items[].key",
        EXAMPLES,
        "`users.csv` of `examples/csv-users` is found in the folder `data`",
    ),
    row("testScript.files[].items[].path", EXAMPLES, "it is `data/users.csv` there, as the script names it"),
    row(
        "testScript.files[].secret",
        EXAMPLES,
        "a counter of `examples/secrets` bears the name that stands in the file",
    ),
    row("testScript.path", VOLUME, "the script lies in a volume of the user's, and is run"),
    row("ttlSecondsAfterFinished", SIDE_CAR, "the Job goes, the report stays"),
    row("worker.env", OPTIONS, "its value is in the path that the target is asked for"),
    row(
        "worker.env",
        PODS,
        "Node's heap is as large as `NODE_OPTIONS` says, and the operator's own options stay",
    ),
    row("worker.envFrom", PODS, "the target is asked for the product that a ConfigMap names"),
    row("worker.image", OPTIONS, "the live container has it, by a name that is not the default"),
    row("worker.imagePullPolicy", PODS, "the live container has it"),
    row("worker.podTemplate.metadata.annotations", PODS, "live pods have them"),
    row("worker.podTemplate.metadata.labels", PODS, "live pods have them"),
    row("worker.podTemplate.spec.affinity", TOO_FEW, "no two workers share a node, so that one finds none"),
    row("worker.podTemplate.spec.containers", SIDE_CAR, "a side-car runs, and does not keep the test alive"),
    row("worker.podTemplate.spec.imagePullSecrets", OPTIONS, "pods name the Secret"),
    row("worker.podTemplate.spec.nodeSelector", PODS, "workers run on the one node with that label"),
    row("worker.podTemplate.spec.securityContext", PODS, "a process in the container has that user"),
    row("worker.podTemplate.spec.tolerations", PODS, "they run there though it takes nothing else"),
    row(
        "worker.podTemplate.spec.topologySpreadConstraints",
        PODS,
        "live pods have it in place of the operator's own",
    ),
    row("worker.podTemplate.spec.volumes", VOLUME, "the script is read from one"),
    row("worker.resources", PODS, "the container's own memory limit, read inside it"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use serde_json::Value;

    use super::SHOWN;
    use crate::reference::{KUBERNETES, schema_of};

    /// Fields without fields of their own; of Kubernetes' own, the whole.
    fn leaves(path: &str, schema: &Value) -> Vec<String> {
        let properties = schema["properties"].as_object().filter(|fields| !fields.is_empty());
        let name = path.rsplit('.').next().unwrap_or_default();
        if KUBERNETES.contains(&name) {
            return vec![path.to_owned()];
        }
        match properties {
            Some(fields) => {
                let below =
                    |name: &String| if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                fields.iter().flat_map(|(name, field)| leaves(&below(name), field)).collect()
            }
            None if schema["items"]["properties"].is_object() => {
                leaves(&format!("{path}[]"), &schema["items"])
            }
            None => vec![path.to_owned()],
        }
    }

    /// The schema at a path.
    fn at<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
        path.split('.').try_fold(schema, |schema, part| {
            let field = schema["properties"].get(part.trim_end_matches("[]"))?;
            Some(if part.ends_with("[]") { &field["items"] } else { field })
        })
    }

    /// Names of the tests in that folder, and of those below.
    fn tests_in(folder: &Path) -> BTreeSet<String> {
        let entries = std::fs::read_dir(folder).expect("the end-to-end tests");
        let of = |path: &Path| {
            if path.is_dir() {
                return tests_in(path);
            }
            let text = std::fs::read_to_string(path).expect("a file");
            let tests = text.split("#[tokio::test").skip(1);
            tests
                .filter_map(|test| Some(test.split("async fn ").nth(1)?.split('(').next()?.to_owned()))
                .collect()
        };
        entries.flat_map(|entry| of(&entry.expect("an entry").path())).collect()
    }

    #[test]
    fn every_field_of_the_spec_is_shown_by_a_test_on_real_pods() {
        let schema = schema_of("spec");
        let without: Vec<_> = (leaves("", &schema).into_iter())
            .filter(|leaf| {
                !SHOWN.iter().any(|row| row.field == leaf || row.field.starts_with(&format!("{leaf}.")))
            })
            .collect();
        assert_eq!(without, [""; 0], "fields of the schema that no test shows");
    }

    #[test]
    fn what_is_said_to_be_shown_is_in_the_schema_and_by_a_test_that_is_there() {
        let schema = schema_of("spec");
        let tests = tests_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/tests"));
        for row in SHOWN {
            assert!(at(&schema, row.field).is_some(), "{}: there is no such field", row.field);
            assert!(tests.contains(row.test), "{}: there is no test {}", row.field, row.test);
            assert!(!row.by.is_empty(), "{}: by what?", row.field);
        }
        assert!(SHOWN.is_sorted_by_key(|row| row.field), "as in the reference");
    }
}
