//! A report that may have only so many bytes: what is left out of its JSON, what least is missed first, and that this is said.

use serde_json::{Map, Value};

use super::{Report, endpoints, fewer, html};

/// Leaves something out, and says whether there was something that is told nowhere else in the report.
type Cut = fn(&mut Value, &Report<'_>) -> bool;

/// What is left out where there is no room, in this order, and what is said of it.
const CUTS: [(Cut, &str); 7] = [
    (|json, report| workers(json, report, 100), WORKERS),
    (copies, ""),
    (
        |json, _| steps(json, |name| !name.starts_with(endpoints::PREFIX)),
        "intermediate: figures by endpoint have no room in the steps of the time line; they are in the snapshot beside this report",
    ),
    (
        |json, _| steps(json, html::is_drawn),
        "intermediate: the steps of the time line have room only for what a page draws; the rest is in the snapshot beside this report",
    ),
    (|json, report| workers(json, report, 0), WORKERS),
    (
        |json, _| emptied(&mut json["intermediate"], Value::Array(Vec::new())),
        "intermediate: the time line has no room here; it is in the snapshot beside this report",
    ),
    (
        |json, _| emptied(&mut json["aggregate"], Value::Object(Map::new())),
        "aggregate: it has no room here; it is in the snapshot beside this report",
    ),
];
const WORKERS: &str =
    "perWorker: not all workers have room here; they are in the snapshot beside this report";
/// What a step has by name.
const NAMED: [&str; 3] = ["counters", "rates", "summaries"];

impl Report<'_> {
    /// Its JSON in so many bytes, if that can be: then `loadtest.leftOut` says what there is no room for. The totals are never thinned.
    ///
    /// # Errors
    /// It has a number that JSON cannot say.
    pub fn json_within(&self, most: usize) -> serde_json::Result<String> {
        Ok(fit(serde_json::to_value(self)?, self, most))
    }
}

fn fit(mut json: Value, report: &Report<'_>, most: usize) -> String {
    let mut whole = json.to_string();
    let mut said: Vec<&str> = Vec::new();
    for (cut, why) in CUTS {
        if whole.len() <= most {
            break;
        }
        if cut(&mut json, report) {
            // of what was thinned before it is told once what is left
            said.retain(|before| field(before) != field(why));
            said.push(why);
            json["loadtest"]["leftOut"] = said.join(". ").into();
        }
        whole = json.to_string();
    }
    whole
}

/// What a sentence on what is left out is about.
fn field(why: &str) -> Option<&str> {
    why.split(':').next()
}

fn workers(json: &mut Value, report: &Report<'_>, told: usize) -> bool {
    let is_more = report.per_worker.len() > told;
    if is_more {
        let all = report.per_worker.len() + report.per_worker_left_out;
        // of numbers and texts JSON is made without an error
        json["loadtest"]["perWorker"] =
            serde_json::to_value(fewer(report.per_worker.clone(), told)).unwrap_or_default();
        json["loadtest"]["perWorkerLeftOut"] = Value::from(all - told);
    }
    is_more
}

/// Artillery writes them twice, under `summaries` and `histograms`.
fn copies(json: &mut Value, _: &Report<'_>) -> bool {
    for step in json["intermediate"].as_array_mut().into_iter().flatten() {
        step.as_object_mut().map(|step| step.remove("histograms"));
    }
    json["aggregate"].as_object_mut().map(|aggregate| aggregate.remove("histograms"));
    false
}

/// Leaves in the steps of the time line what has such a name.
fn steps(json: &mut Value, stays: fn(&str) -> bool) -> bool {
    let mut is_less = false;
    for step in json["intermediate"].as_array_mut().into_iter().flatten() {
        for kind in NAMED {
            let Some(named) = step.get_mut(kind).and_then(Value::as_object_mut) else { continue };
            let all = named.len();
            named.retain(|name, _| stays(name));
            is_less |= named.len() < all;
        }
    }
    is_less
}

fn emptied(value: &mut Value, nothing: Value) -> bool {
    let is_less = *value != nothing;
    *value = nothing;
    is_less
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::schema::is_valid;
    use super::super::tests::{batch, report};
    use super::super::{Document, PerWorker};
    use super::*;
    use crate::aggregate::{Aggregate, MAX_STEPS};

    /// What the operator stores.
    const MOST: usize = 600 * 1024;

    /// What was measured of so many endpoints in so many periods, with codes and times of each in all of them.
    fn measured(endpoints: usize, periods: u64) -> Aggregate {
        let mut aggregate = Aggregate::default();
        for period in 0..periods {
            let mut batch = batch(period, &[1.0, 2.0, 30.5], true);
            batch.counters.insert("errors.ETIMEDOUT".to_owned(), 1);
            batch.counters.insert("mine".to_owned(), 1);
            for endpoint in 0..endpoints {
                let name = format!("/shops/{{{{ shop }}}}/products/{endpoint}/reviews?page={{{{ page }}}}");
                for code in [200, 503] {
                    batch.counters.insert(format!("{}{name}.codes.{code}", endpoints::PREFIX), 1234);
                }
                let times = batch.histograms["http.response_time"].clone();
                batch.histograms.insert(format!("{}response_time.{name}", endpoints::PREFIX), times);
            }
            aggregate.add(&batch);
        }
        aggregate
    }

    fn parsed(text: &str) -> Value {
        serde_json::from_str(text).expect("JSON")
    }

    /// What the charts of its page are drawn from.
    fn charts(json: &Value) -> Value {
        let document = Document::parse(json.to_string().as_bytes()).expect("a report");
        let mut page = Vec::new();
        html::write(&document, &mut page).expect("written");
        let page = String::from_utf8(page).expect("UTF-8");
        let (_, data) = page.split_once(r#"id="data">"#).expect("data");
        parsed(data.split_once("</script>").expect("its end").0)
    }

    #[test]
    fn what_is_missed_least_is_left_out_first_and_every_stage_is_as_the_schema_says() {
        let aggregate = measured(3, 20);
        let mut report = report(&aggregate);
        report.per_worker = (0..1000).map(|worker| PerWorker { worker, ..PerWorker::default() }).collect();
        report.per_worker_left_out = 200;
        let endpoint = |json: &Value| {
            let step = &json["intermediate"][19]["counters"];
            step.as_object().is_some_and(|step| step.keys().any(|name| name.starts_with(endpoints::PREFIX)))
        };
        let mut stages = Vec::new();
        let mut most = usize::MAX;
        loop {
            let text = report.json_within(most).expect("JSON");
            let json = parsed(&text);
            let is_least = json["aggregate"] == json!({});
            assert!(text.len() <= most || is_least, "{} of {most}: {stages:?}", text.len());
            is_valid(&json);
            let left_out = json["loadtest"]["leftOut"].as_str().unwrap_or_default().to_owned();
            let told: Vec<_> =
                left_out.split(". ").map(|why| why.chars().take(32).collect::<String>()).collect();
            let is = |what: &str, is: bool| if is { format!(" {what}") } else { String::new() };
            stages.push(format!(
                "{} workers{}{}{}{}{}: {}",
                json["loadtest"]["perWorker"].as_array().map_or(0, Vec::len),
                is("copies", json["aggregate"]["histograms"].is_object()),
                is("endpoints", endpoint(&json)),
                is("mine", json["intermediate"][19]["counters"]["mine"].is_u64()),
                is("steps", json["intermediate"][19]["counters"]["http.requests"].is_u64()),
                is("totals", json["aggregate"]["summaries"].is_object()),
                told.join(", "),
            ));
            let workers = json["loadtest"]["perWorker"].as_array().map_or(0, Vec::len);
            assert_eq!(json["loadtest"]["perWorkerLeftOut"], 1200 - workers);
            if is_least {
                break;
            }
            most = text.len() - 1;
        }
        assert_eq!(
            stages,
            [
                "1000 workers copies endpoints mine steps totals: ",
                "100 workers copies endpoints mine steps totals: perWorker: not all workers have ",
                "100 workers endpoints mine steps totals: perWorker: not all workers have ",
                "100 workers mine steps totals: perWorker: not all workers have , intermediate: figures by endpoin",
                "100 workers steps totals: perWorker: not all workers have , intermediate: the steps of the t",
                "0 workers steps totals: intermediate: the steps of the t, perWorker: not all workers have ",
                "0 workers totals: perWorker: not all workers have , intermediate: the time line has ",
                "0 workers: perWorker: not all workers have , intermediate: the time line has , aggregate: it has no room here; ",
            ]
        );
    }

    #[test]
    fn two_hundred_endpoints_cost_no_chart() {
        let aggregate = measured(200, 30);
        let report = report(&aggregate);
        let whole = serde_json::to_value(&report).expect("JSON");
        // the longest time line that there may be, whatever it takes while the load test runs
        let mut longest = whole.clone();
        let mut step = longest["intermediate"][0].clone();
        step["histograms"] = json!({});
        let steps = (0..MAX_STEPS).map(|number| {
            let mut step = step.clone();
            step["period"] = (1_700_000_000_000 + 10_000 * number).to_string().into();
            step
        });
        longest["intermediate"] = steps.collect();
        for json in [whole, longest] {
            let steps = json["intermediate"].as_array().map_or(0, Vec::len);
            assert!(steps > 1 && json.to_string().len() > MOST, "{steps} steps");
            let text = fit(json.clone(), &report, MOST);
            let fitted = parsed(&text);
            is_valid(&fitted);
            assert!(text.len() <= MOST, "{} bytes", text.len());
            assert_eq!(charts(&fitted), charts(&json));
            assert_eq!(fitted["aggregate"]["summaries"], json["aggregate"]["summaries"]);
            let left_out = fitted["loadtest"]["leftOut"].as_str().unwrap_or_default();
            assert!(left_out.starts_with("intermediate: figures by endpoint have no room"), "{left_out}");
        }
    }

    #[test]
    fn what_fits_is_left_alone() {
        let aggregate = measured(1, 2);
        let report = report(&aggregate);
        let whole = serde_json::to_value(&report).expect("JSON");
        let text = report.json_within(whole.to_string().len()).expect("JSON");
        assert_eq!(parsed(&text), whole);
    }
}
