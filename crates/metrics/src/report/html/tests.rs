//! What stands in the page, and that nothing in it gets out of its place.

use serde_json::{Value, json};

use super::words::{date_and_time, lasted, number};
use super::*;

fn page_of(document: Value) -> String {
    let document = Document::parse(document.to_string().as_bytes()).expect("a report");
    let mut written = Vec::new();
    write(&document, &mut written).expect("written");
    String::from_utf8(written).expect("UTF-8")
}

fn summary(count: u64) -> Value {
    json!({ "min": 1, "max": 90.5, "count": count, "mean": 12.3, "median": 10, "p95": 40, "p99": 80 })
}

fn report() -> Value {
    let step = |start: u64| {
        json!({
            "period": start.to_string(), "counters": { "http.requests": 50, "vusers.created": 50, "errors.ETIMEDOUT": 1 },
            "summaries": { "http.response_time": summary(50) },
        })
    };
    json!({
        "aggregate": {
            "counters": {
                "http.requests": 12_345, "vusers.created": 100, "vusers.failed": 2, "errors.ETIMEDOUT": 2,
                "vusers.created_by_name.buy": 100, "plugins.metrics-by-endpoint./a.codes.200": 7,
            },
            "rates": { "http.request_rate": 5 },
            "summaries": {
                "http.response_time": summary(100), "plugins.metrics-by-endpoint.response_time./a": summary(7),
            },
        },
        "intermediate": [step(1_795_684_730_000), step(1_795_684_740_000)],
        "loadtest": {
            "name": "checkout", "namespace": "shop", "artillery": ["2.0.34"], "node": ["24.21.0"],
            "verdict": { "outcome": "Failed", "reason": "ChecksFailed", "message": "1 of 1 checks does not hold" },
            "workers": { "planned": 2, "joined": 2, "reporting": 2, "succeeded": 2, "failed": 0, "lost": 0 },
            "startedAtMilliseconds": 1_795_684_734_485_u64, "endedAtMilliseconds": 1_795_684_777_420_u64,
            "startSkewMilliseconds": 2.4, "vusers": { "planned": 100, "created": 100 },
            "checks": [{ "check": "p95 < 30", "passed": false, "actual": "it is 40", "strict": true }],
            "missing": ["worker 1: 2 periods"], "timeLineStepMilliseconds": 10_000,
            "distributions": { "http.response_time": [{ "upToMilliseconds": 10, "count": 60 }, { "upToMilliseconds": 90.5, "count": 40 }] },
        },
    })
}

/// The data of the charts.
fn charts(page: &str) -> Value {
    let (_, rest) = page.split_once(r#"id="data">"#).expect("data");
    serde_json::from_str(rest.split_once("</script>").expect("its end").0).expect("JSON")
}

#[test]
fn the_verdict_comes_first_then_what_it_stands_on() {
    let page = page_of(report());
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text:?} is not in the page"));
    let order = [
        "<title>Failed: shop/checkout</title>",
        r#"<p class="badge failed">Failed</p>"#,
        "ChecksFailed: 1 of 1 checks does not hold",
        "2026-11-26 09:18:54 UTC, 42 s",
        "p95 &#60; 30",
        "worker 1: 2 periods",
        "12\u{202f}345",
        "<bdi>/a</bdi>",
        "<bdi>buy</bdi>",
        "ETIMEDOUT",
    ];
    let places: Vec<_> = order.iter().map(|text| at(text)).collect();
    assert!(places.is_sorted(), "{places:?}");
    let charts = charts(&page);
    assert_eq!(charts["perSecond"], json!([5.0, 5.0]));
    assert_eq!(charts["times"], json!([1_795_684_730.0, 1_795_684_740.0]));
    assert_eq!(charts["errors"], json!([{ "name": "ETIMEDOUT", "values": [1.0, 1.0] }]));
    let counts = charts["distribution"]["counts"].as_array().map_or(&[][..], Vec::as_slice);
    assert_eq!((counts.first(), counts.last()), (Some(&json!(60.0)), Some(&json!(40.0))));
}

#[test]
fn a_step_in_which_nothing_was_measured_is_drawn_as_nothing() {
    let mut document = report();
    document["intermediate"][1]["period"] = "1795684760000".into();
    let charts = charts(&page_of(document));
    assert_eq!(charts["perSecond"], json!([5.0, 0.0, 0.0, 5.0]));
    assert_eq!(charts["latency"]["p95"], json!([40.0, null, null, 40.0]));
    assert_eq!(charts["times"][1], json!(1_795_684_740.0));
}

#[test]
fn workers_and_the_plan_are_told_with_their_units() {
    let mut document = report();
    let worker = json!({
        "worker": 1, "end": "Exited", "exitCode": 21, "startedAfterMilliseconds": 2.4, "vusers": { "created": 50, "completed": 48, "failed": 2, "skipped": 0 },
        "batches": 2, "eventLoopMostPercent": 31.2, "eventLoopMeanPercent": 20, "cpuThrottledPercent": null,
        "memoryMostBytes": 100 << 20, "memoryLimitBytes": 512 << 20,
    });
    document["loadtest"]["perWorker"] = json!([worker]);
    document["loadtest"]["plan"] = json!({
        "distribution": "Replicate", "workers": 2, "vusers": 1200, "phasesLeftOut": 0, "phases": [
            { "kind": "arrivalRate", "name": "</td><b>", "durationMilliseconds": 60_000, "arrivalRate": 10, "maxVusers": 20, "vusers": 1200 },
            { "kind": "rampTo", "durationMilliseconds": 1500, "arrivalRate": 1, "rampTo": 5, "vusers": null },
        ],
    });
    let page = page_of(document);
    for row in [
        r#"<span class="mark failed">exit code 21</span></td><td>2.4</td><td>50</td><td>48</td><td>2</td><td>31.2</td><td>20</td><td>–</td><td>100 of 512</td>"#,
        "All that said when they started did so within 2.4 ms.",
        "2 workers run the whole script each (Replicate): 1\u{202f}200 virtual users in all.",
        "<th class=\"text\">Arrivals of each worker</th>",
        "0: &#60;/td&#62;&#60;b&#62;</bdi></td><td class=\"text\"><bdi>10 per second, at most 20 at a time</bdi></td><td><bdi>1 min 0 s</bdi></td><td><bdi>1\u{202f}200</bdi>",
        "<bdi>from 1 to 5 per second</bdi></td><td><bdi>1.5 s</bdi></td><td><bdi>–</bdi>",
    ] {
        assert!(page.contains(row), "{row} is not in {}", &page[page.find("id=\"workers\"").unwrap_or(0)..]);
    }
}

#[test]
fn of_ten_thousand_workers_and_names_some_are_shown_and_the_rest_is_counted() {
    let mut document = report();
    let worker = |index: u64| json!({ "worker": index, "end": "Exited", "exitCode": u8::from(index == 950) });
    document["loadtest"]["perWorker"] = (0..1000).map(worker).collect();
    document["loadtest"]["perWorkerLeftOut"] = 9000.into();
    document["loadtest"]["missing"] = (0..500).map(|index| format!("worker {index} never joined")).collect();
    for i in 0..600 {
        document["aggregate"]["counters"][format!("errors.E{i}")] = 1.into();
    }
    let page = page_of(document);
    let workers = &page[page.find("id=\"workers\"").expect("the workers")
        ..page.find("All that was measured").expect("the rest")];
    assert_eq!(workers.matches("<tr>").count(), 101);
    assert!(
        workers.contains("exit code 1<")
            && workers.contains("and 9\u{202f}900 more, which are not shown here"),
        "{workers}"
    );
    assert!(page.contains("<li>worker 29 never joined</li><li>and 470 more</li>"));
    assert_eq!(page.matches("and 101 more, which are not shown here").count(), 1, "errors");
}

#[test]
fn nothing_is_fetched_from_anywhere() {
    let page = page_of(report());
    for wanted in ["src=", "href=", "@import", "url(", "fetch(", "XMLHttpRequest"] {
        assert!(!page.contains(wanted), "{wanted}");
    }
    assert!(page.contains("default-src 'none'"));
}

#[test]
fn hostile_names_stay_texts() {
    let hostile = "</script><img src=x onerror=alert(1)>\"'&\u{202e}\u{1}\u{2028}<!--";
    let mut document = report();
    document["loadtest"]["name"] = hostile.into();
    document["loadtest"]["verdict"]["message"] = hostile.into();
    document["loadtest"]["checks"][0]["check"] = hostile.into();
    document["loadtest"]["missing"][0] = hostile.into();
    let long = "x".repeat(1024);
    for name in [hostile, long.as_str()] {
        for place in ["errors.", "vusers.created_by_name.", "plugins.metrics-by-endpoint.", ""] {
            document["aggregate"]["counters"][format!("{place}{name}")] = 1.into();
        }
        document["aggregate"]["summaries"][format!("{name}.response_time")] = summary(1);
        document["intermediate"][0]["counters"][format!("errors.{name}")] = 1.into();
    }
    let page = page_of(document);
    assert!(!page.contains("<img") && !page.contains("onerror=alert(1)>"), "markup got through");
    assert_eq!(page.matches("</script>").count(), 3, "of the data and of the two scripts");
    assert!(!page.contains('\u{202e}') && !page.contains('\u{1}') && !page.contains('\u{2028}'));
    let name = &charts(&page)["errors"][1]["name"];
    assert!(name.as_str().is_some_and(|name| name.contains("</script><img") || name.len() == 1024), "{name}");
}

#[test]
fn an_artillery_report_and_an_empty_one_are_pages_too() {
    let mut artillerys = report();
    artillerys.as_object_mut().expect("an object").remove("loadtest");
    assert!(page_of(artillerys).contains("a report of Artillery&#39;s own"));
    let empty = page_of(
        json!({ "aggregate": {}, "loadtest": { "name": "t", "verdict": { "outcome": "Inconclusive", "reason": "Inconclusive", "message": "no worker reported" } } }),
    );
    assert!(empty.contains("Nothing was measured.") && empty.contains(r#"badge unknown">Inconclusive"#));
}

#[test]
fn that_there_are_no_checks_is_said_only_where_it_is_known() {
    let no = "The script has no checks";
    let unknown = "Checks (<code>ensure</code>) are not known";
    let plan = json!({ "workers": 1 });
    let told = |reason: &str| json!({ "outcome": "Inconclusive", "reason": reason, "message": "" });
    let check = json!([{ "check": "p95 < 30", "passed": true }]);
    for (loadtest, said) in [
        (json!({ "verdict": told("Stopped"), "plan": plan }), Some(no)),
        // of before the plan was told
        (json!({ "verdict": told("NoChecks") }), Some(no)),
        (json!({ "verdict": told("Inconclusive"), "plan": null }), Some(unknown)),
        (json!({ "verdict": told("Stopped"), "plan": plan, "checks": check }), None),
        (json!(null), Some(unknown)),
    ] {
        let page = page_of(json!({ "aggregate": {}, "loadtest": loadtest }));
        let found: Vec<_> = [no, unknown].into_iter().filter(|text| page.contains(text)).collect();
        assert_eq!(found, Vec::from_iter(said), "{loadtest}");
    }
}

#[test]
fn a_chart_of_coarse_percentiles_says_so() {
    for (accuracy, percent) in [(json!(0.01), None), (json!(0.03), Some(3.0)), (json!(null), None)] {
        let mut document = report();
        document["loadtest"]["timeLineRelativeAccuracy"] = accuracy;
        assert_eq!(charts(&page_of(document))["withinPercent"].as_f64(), percent);
    }
}

#[test]
fn of_many_codes_of_errors_the_chart_has_some_and_the_sum_of_the_others() {
    let names = |codes: u64| {
        let mut document = report();
        for stats in ["/aggregate", "/intermediate/1"] {
            let counters: serde_json::Map<String, Value> =
                (0..codes).map(|code| (format!("errors.E{code}"), json!(100 - code))).collect();
            document.pointer_mut(stats).expect("it")["counters"] = counters.into();
        }
        document["intermediate"][0]["counters"] = json!({});
        let charts = charts(&page_of(document));
        let lines = charts["errors"].as_array().expect("lines");
        let line = |line: &Value| {
            format!("{}: {} {}", line["name"].as_str().expect("a name"), line["values"][0], line["values"][1])
        };
        lines.iter().map(line).collect::<Vec<_>>()
    };
    let five = ["E0: 0.0 100.0", "E1: 0.0 99.0", "E2: 0.0 98.0", "E3: 0.0 97.0", "E4: 0.0 96.0"];
    assert_eq!(names(6)[..5], five);
    assert_eq!(names(6)[5..], ["E5: 0.0 95.0"]);
    assert_eq!(names(7)[..5], five);
    assert_eq!(names(7)[5..], ["2 other codes: 0.0 189.0"]);
}

#[test]
fn a_distribution_is_drawn_with_its_empty_steps() {
    let mut document = report();
    let step = |up_to: f64, count: u64| json!({ "upToMilliseconds": up_to, "count": count });
    document["loadtest"]["distributions"]["http.response_time"] = json!([step(2.0, 50), step(2000.0, 50)]);
    let distribution = charts(&page_of(document))["distribution"].clone();
    let counts = distribution["counts"].as_array().expect("counts");
    assert_eq!((counts.len(), &counts[0], &counts[1]), (88, &json!(50.0), &json!(0.0)));
    assert_eq!((counts.last(), distribution["up_to"][87].as_f64()), (Some(&json!(50.0)), Some(2000.0)));
}

#[test]
fn an_hour_with_two_hundred_endpoints_is_below_three_megabytes() {
    let mut counters = serde_json::Map::new();
    let mut summaries = serde_json::Map::new();
    for endpoint in 0..200 {
        let name = format!("/shops/{{{{ shop }}}}/products/{endpoint}/reviews?page={{{{ page }}}}");
        for code in [200, 404, 503] {
            counters.insert(format!("plugins.metrics-by-endpoint.{name}.codes.{code}"), 1_234_567.into());
        }
        summaries.insert(format!("plugins.metrics-by-endpoint.response_time.{name}"), summary(1_234_567));
    }
    counters.insert("http.requests".to_owned(), 99_999_999.into());
    summaries.insert("http.response_time".to_owned(), summary(99_999_999));
    let step = |i: u64| json!({ "period": (1_795_684_730_000 + i * 10_000).to_string(), "counters": counters.clone(), "summaries": summaries.clone() });
    // an hour of which so much is measured has no shorter steps
    let steps: Vec<_> = (0..90).map(|i| step(4 * i)).collect();
    let page = page_of(json!({
        "aggregate": { "counters": counters, "summaries": summaries }, "intermediate": steps,
        "loadtest": { "timeLineStepMilliseconds": 40_000 },
    }));
    assert_eq!(charts(&page)["perSecond"].as_array().map(Vec::len), Some(90));
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
}

#[test]
fn numbers_and_days_are_written_for_people() {
    for (value, wanted) in [
        (0.0, "0"),
        (-0.0, "0"),
        (-0.04, "0"),
        (999.0, "999"),
        (1234.56, "1\u{202f}234.6"),
        (-1_000_000.0, "-1\u{202f}000\u{202f}000"),
    ] {
        assert_eq!(number(value), wanted);
    }
    for (milliseconds, wanted) in [
        (0, "1970-01-01 00:00:00"),
        (951_782_399_000, "2000-02-28 23:59:59"),
        (951_782_400_000, "2000-02-29 00:00:00"),
        (1_795_684_777_420, "2026-11-26 09:19:37"),
    ] {
        assert_eq!(date_and_time(milliseconds), wanted);
    }
    assert_eq!((lasted(42_900), lasted(3_723_000)), ("42 s".to_owned(), "1 h 2 min 3 s".to_owned()));
}
