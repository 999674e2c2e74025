//! Checks: how they are read, what they say, and what is wrong with those that cannot be evaluated. That they come out as
//! Artillery's plugin has them is tested beside the plugin itself, in `tests/differential.rs`.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::aggregate::Measurers;
use crate::sketch::Sketch;

fn measured() -> Measured {
    let mut times = Sketch::default();
    for time in 1..=200 {
        times.accept(f64::from(time)).expect("a time");
    }
    let mut batch = crate::wire::Batch { sequence: 1, ..crate::wire::Batch::default() };
    batch.counters.extend([
        ("vusers.created".to_owned(), 100),
        ("vusers.created_by_name.buy it, now!".to_owned(), 60),
        ("vusers.completed".to_owned(), 98),
        ("plugins.metrics-by-endpoint./api/users?x=(1).codes.200".to_owned(), 5),
    ]);
    batch.rates.insert("http.request_rate".to_owned(), 12.6);
    batch.histograms.insert("http.response_time".to_owned(), times);
    let mut aggregate = crate::aggregate::Aggregate::default();
    aggregate.add(&batch);
    aggregate.total().clone()
}

fn results(ensure: Json) -> Vec<CheckResult> {
    Ensure::read(&ensure).expect("an ensure").evaluate(&measured(), Measurers::One)
}

/// Whether the expression holds, and what it says.
fn condition(expression: &str) -> (bool, String) {
    let results = results(json!({"conditions": [{"expression": expression}]}));
    (results[0].passed, results[0].actual.clone())
}

fn error(ensure: Json) -> String {
    Ensure::read(&ensure).expect_err("no ensure").to_string()
}

#[test]
fn thresholds_conditions_and_the_older_forms_read_as_artillery_prints_them() {
    let results = results(json!({
        "thresholds": [{"http.response_time.p99": 250}, {"http.response_time.p95": "100"}],
        "conditions": [
            {"expression": "http.request_rate > 10 and vusers.created == 100"},
            {"expression": "vusers.created > 200", "strict": false},
            {"expression": "vusers.created > 200", "strict": "false"},
        ],
        "p95": "195ms", "max": 100.7, "maxErrorRate": 2,
        "suppressOutput": true,
    }));
    let lines: Vec<_> = results
        .iter()
        .map(|result| (result.check.as_str(), result.passed, result.strict, result.actual.as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            ("http.response_time.p99 < 250", true, true, "http.response_time.p99 = 198.4"),
            ("http.response_time.p95 < 100", false, true, "http.response_time.p95 = 190.6"),
            (
                "http.request_rate > 10 and vusers.created == 100",
                true,
                true,
                "http.request_rate = 13, vusers.created = 100"
            ),
            ("vusers.created > 200", false, false, "vusers.created = 100"),
            ("vusers.created > 200", false, true, "vusers.created = 100"),
            ("max < 100", false, true, "http.response_time.max = 200"),
            ("p95 < 195", true, true, "http.response_time.p95 = 190.6"),
            ("maxErrorRate < 2", true, true, "vusers.completed = 98, vusers.created = 100"),
        ]
    );
}

#[test]
fn anything_may_be_in_the_name_of_a_metric() {
    for expression in [
        "vusers.created_by_name.buy it, now! == 60",
        "plugins.metrics-by-endpoint./api/users?x=(1).codes.200 * 2 == 10",
        "(vusers.created_by_name.buy it, now!/vusers.created) == 0.6",
    ] {
        assert!(condition(expression).0, "{expression}: {}", condition(expression).1);
    }
    let result = &results(json!({"thresholds": [{"vusers.created_by_name.sell it, later!": 1}]}))[0];
    assert_eq!(
        (result.passed, &*result.actual),
        (false, "vusers.created_by_name.sell it, later! was not measured")
    );
}

#[test]
fn what_was_not_measured_fails_and_is_said() {
    for (expression, actual) in [
        ("http.codes.500 < 5", "http.codes.500 was not measured"),
        (
            "http.codes.500 < 5 or vusers.created > 500",
            "vusers.created = 100, http.codes.500 was not measured",
        ),
        ("vuser.created > 5", "vuser.created was not measured"),
        ("'http.codes.500' < 5", "http.codes.500 was not measured"),
    ] {
        assert_eq!(condition(expression), (false, actual.to_owned()));
    }
    // as in the plugin: nothing is not more than 5
    assert!(condition("not (http.codes.500 > 5)").0);
}

#[test]
fn an_expression_that_cannot_be_evaluated_fails_with_the_place_and_what_would_be_right() {
    for (expression, actual) in [
        (
            "vusers.created > 5 && vusers.created < 9",
            "vusers.created = 100, line 1, column 20: `and` is expected, not `&`",
        ),
        ("1 < 2\n  = 3", "line 2, column 3: `==` is expected, not `=`"),
        ("(1 < 2", "line 1, column 7: `)` is expected, not the end"),
        ("1 <", "line 1, column 4: a metric, a number, a text or `(` is expected, not the end"),
        ("(1 < 2))", "line 1, column 8: an operator, or the end, is expected, not `)`"),
        (
            "http.response_time.p95 < 250ms",
            "http.response_time.p95 = 190.6, line 1, column 26: a number without `ms` is expected: times are in ms, there are no units",
        ),
        (
            "endpoint./a b.p99 < 5",
            "line 1, column 13: an operator, or the end, is expected, not `b.p99`; is it part of a name that was not measured?",
        ),
        ("\"a", "line 1, column 1: a \" is expected to end what begins here"),
        ("'a\\b'", "line 1, column 3: `\\'` or `\\\\` is expected: nothing else is written with `\\`"),
        ("5 ~= \"(\"", "\"(\" is no pattern: error: unclosed group"),
        (
            "5 ~= \"(a{99}){99}\"",
            "\"(a{99}){99}\" is no pattern: Compiled regex exceeds size limit of 32768 bytes.",
        ),
        ("median(1, 2) == 1", "there is no function median()"),
        ("random() < 2", "random() is not evaluated: no check may depend on chance"),
        ("017.5 < 20", "line 1, column 1: a number without leading zeros is expected, not `017.5`"),
    ] {
        assert_eq!(condition(expression), (false, actual.to_owned()));
    }
    let (passed, actual) = condition(&format!("{}1{} == 1", "(".repeat(MAX_DEPTH), ")".repeat(MAX_DEPTH)));
    assert_eq!(
        (passed, &*actual),
        (false, "line 1, column 65: no more than 64 expressions in each other are expected")
    );
    assert!(condition(&format!("1{} == 1000", " + 1".repeat(999))).0, "many, but not in each other");
}

#[test]
fn what_the_plugin_would_pass_over_in_silence_is_an_error_that_names_the_field() {
    for (ensure, message) in [
        (json!([]), "ensure: a mapping with thresholds or conditions is expected, not a list"),
        (
            json!({"thresholds": {"http.response_time.p99": 250}}),
            "ensure.thresholds: a list is expected, not a mapping",
        ),
        (
            json!({"thresholds": ["http.response_time.p99 < 250"]}),
            "ensure.thresholds[0]: a metric and its bound are expected, such as `http.response_time.p99: 250`, not a text",
        ),
        (
            json!({"thresholds": [{}]}),
            "ensure.thresholds[0]: a metric and its bound are expected, such as `http.response_time.p99: 250`, not an empty mapping",
        ),
        (
            json!({"thresholds": [{"p99": 1}, {"http.response_time.p99": null}]}),
            "ensure.thresholds[1].http.response_time.p99: a number is expected, not null",
        ),
        (
            json!({"conditions": ["vusers.failed == 0"]}),
            "ensure.conditions[0]: give `expression: \"vusers.failed == 0\"`, not the expression alone",
        ),
        (
            json!({"conditions": [{"expression": "1 == 1"}, {"expression": " "}]}),
            "ensure.conditions[1].expression: line 1, column 1: an expression is expected, not the end",
        ),
        (
            json!({"conditions": [{"expression": "x".repeat(4097)}]}),
            "ensure.conditions[0].expression: at most 4096 bytes are expected, not 4097",
        ),
        (
            json!({"conditions": [{"expression": "1 ==\u{f0000}"}]}),
            "ensure.conditions[0].expression: line 1, column 5: no character for private use is expected",
        ),
        (
            json!({"thresholds": vec![json!({"a": 1}); MAX_CHECKS + 1]}),
            "ensure: at most 500 checks are expected, not 501",
        ),
    ] {
        assert_eq!(error(ensure), message);
    }
    let check = Ensure::read(&json!(5)).expect_err("no ensure").as_check();
    assert_eq!((&*check.check, check.passed, check.strict), ("ensure", false, true));
}

#[test]
fn what_looks_wrong_can_be_told_before_the_test() {
    let ensure = json!({
        "thresholds": [{"plugins.metrics-by-endpoint.response_time./a b.p99": 250}, {"http.response_time.p95": "250ms"}],
        "conditions": [{"expression": "vusers.failed == 0"}, {"expression": "vusers.failed == 0 && http.requests > 1"}],
        "p95": 200,
        "maxErrorRate": 1,
    });
    let doubts: Vec<_> =
        Ensure::read(&ensure).expect("an ensure").doubts().iter().map(ToString::to_string).collect();
    let errors = Ensure::read(&ensure).expect("an ensure").errors();
    assert_eq!(
        errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [doubts[0].trim_end_matches(": such a check fails, unless that is part of the name of a metric")],
        "a value has no name in it"
    );
    assert_eq!(
        doubts,
        [
            "ensure.thresholds[1].http.response_time.p95: line 1, column 10: a number without `ms` is expected: \
             times are in ms, there are no units: such a check fails, unless that is part of the name of a metric",
            "ensure.conditions[1].expression: line 1, column 20: `and` is expected, not `&`: such a check fails, unless that is \
             part of the name of a metric",
        ]
    );
}

#[test]
fn a_misspelt_key_is_an_error_and_a_strict_check_that_fails_and_another_key_is_no_check() {
    assert_eq!(results(json!({"slo": 1})), [], "nothing is checked");
    let ensure = json!({"threshold": [{"http.response_time.p95": 1}], "slo": 1, "maxErrorRate": 100});
    let misspelt = "ensure.threshold: Artillery checks nothing of that name: did you mean `thresholds`?";
    assert_eq!(Ensure::as_written(&ensure).expect_err("an error").to_string(), misspelt);
    let read = Ensure::read(&ensure).expect("an ensure");
    assert_eq!((read.len(), read.errors().len(), read.doubts().len()), (1, 1, 2));
    let results = results(ensure);
    let results: Vec<_> = results.iter().map(|it| (it.check.as_str(), it.passed, it.strict)).collect();
    assert_eq!(results, [("maxErrorRate < 100", true, true), ("ensure.threshold", false, true)]);
    let accepted = json!({"slo": 1});
    let accepted = Ensure::as_written(&accepted).expect("what Artillery takes").expect("no templates");
    assert!(accepted.is_empty() && accepted.doubts()[0].to_string().contains("ensure.slo: "));
}

#[test]
fn no_checks_are_none() {
    for none in [json!(null), json!(true), json!({}), json!({"thresholds": null, "conditions": []})] {
        assert!(Ensure::read(&none).expect("none").is_empty(), "{none}");
    }
}

#[test]
fn all_metrics_of_a_threshold_are_checked() {
    let results =
        results(json!({"thresholds": [{"http.response_time.p99": 250, "http.response_time.p95": 1}]}));
    assert_eq!(results.iter().map(|result| result.passed).collect::<Vec<_>>(), [false, true]);
}

#[test]
fn templates_are_seen_wherever_they_are() {
    assert!(reads_templates(&json!({"thresholds": [{"http.response_time.p99": "{{ $env.MOST }}"}]})));
    assert!(reads_templates(&json!({"conditions": [{"expression": "{{ metric }} < 1"}]})));
    assert!(reads_templates(&json!({"thresholds": [{"{{ metric }}": 1}]})));
    assert!(!reads_templates(&json!({"thresholds": [{"}} {{": 1}], "p95": 200})));
}

proptest! {
    #[test]
    fn no_expression_does_harm(expression in "[-a-z0-9.,()<>=!~?:'\"\\\\ +*/%^\u{e9}\n]{0,80}|(.{0,20}(vusers.created|and|not|in|of|max\\(|,|\\))){0,12}") {
        if let Ok(ensure) = Ensure::read(&json!({"conditions": [{"expression": expression}]})) {
            let results = ensure.evaluate(&measured(), Measurers::One);
            prop_assert!(results[0].actual.len() < 4 * MAX_EXPRESSION_BYTES);
        }
    }

    #[test]
    fn no_ensure_does_harm(ensure in any_json()) {
        if let Ok(ensure) = Ensure::read(&ensure) {
            prop_assert!(ensure.evaluate(&measured(), Measurers::One).len() >= ensure.len());
        }
        reads_templates(&ensure);
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let key = prop_oneof![
        Just("thresholds".to_owned()),
        Just("conditions".to_owned()),
        Just("expression".to_owned()),
        Just("p95".to_owned()),
        Just("maxErrorRate".to_owned()),
        ".{0,9}",
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,9}".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 30, 5, move |inner| {
        let fields = prop::collection::vec((key.clone(), inner.clone()), 0..5);
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(Json::from),
            fields.prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    })
}

#[test]
fn patterns_are_bounded_in_number() {
    let of = |patterns: usize| {
        let expression = ["'a' ~= 'a'"; 5].join(" and ");
        json!({ "conditions": vec![json!({ "expression": expression }); patterns / 5] })
    };
    assert!(results(of(100)).iter().all(|check| check.passed));
    assert_eq!(error(of(105)), "ensure: at most 100 patterns (`~=`) are expected, not 105");
}
