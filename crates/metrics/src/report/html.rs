//! The report as a page: one file that needs nothing else, for a mail or a pipeline's artifacts. Tables are made here and can be read without
//! JavaScript; charts are drawn by uPlot (`html/uplot`) from data that is in the page.

mod charts;
mod tables;
mod words;

use std::io::{self, Write};

use askama::Template;

use super::document::{Document, Figures, Section, Stats};
use super::doubts::doubts;
use super::endpoints::PREFIX;
use super::names::visible;
pub(super) use charts::is_drawn;
use tables::{EndpointRow, Figured, PlanTable, Table, WorkerTable};
use words::{date_and_time, lasted, number, or_dash};

/// So many versions are told in the head.
const MAX_VERSIONS: usize = 10;

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    style: &'static str,
    chart_style: &'static str,
    chart_script: &'static str,
    script: &'static str,
    title: String,
    badge: Badge,
    when: String,
    checks: Vec<(&'static str, String, String)>,
    has_no_checks: bool,
    cards: Vec<Card>,
    doubts: Vec<String>,
    /// Where nothing was measured: that, or that it is not there.
    nothing: Option<&'static str>,
    versions: Vec<String>,
    endpoints: Table<EndpointRow>,
    scenarios: Table<(String, String)>,
    errors: Table<(String, String)>,
    counters: Table<(String, String)>,
    summaries: Table<Figured>,
    workers: Option<WorkerTable>,
    plan: Option<PlanTable>,
    data: String,
}

struct Badge {
    class: &'static str,
    word: String,
    message: String,
}

struct Card {
    name: &'static str,
    value: String,
    more: String,
}

/// Writes the page.
///
/// # Errors
/// Of the writer.
pub fn write(document: &Document, mut to: impl Write) -> io::Result<()> {
    let page = page(document).render().map_err(io::Error::other)?;
    to.write_all(page.as_bytes())
}

fn page(document: &Document) -> Page {
    let section = document.loadtest.as_ref();
    let checks = section.map(|section| &section.checks).into_iter().flatten();
    Page {
        style: include_str!("html/report.css"),
        chart_style: include_str!("html/uplot/uPlot.min.css"),
        chart_script: include_str!("html/uplot/uPlot.iife.min.js"),
        script: include_str!("html/report.js"),
        title: visible(&document.title()),
        badge: badge(section),
        when: when(document),
        checks: checks
            .map(|check| {
                let class = match (check.passed, check.strict) {
                    (true, _) => "passed",
                    (false, true) => "failed",
                    (false, false) => "optional",
                };
                (class, visible(&check.check), visible(&check.actual))
            })
            .collect(),
        has_no_checks: document.has_no_checks(),
        cards: cards(document),
        doubts: section.map(doubts).into_iter().flatten().map(|doubt| doubt.text).collect(),
        nothing: nothing(document),
        versions: section.map(versions).unwrap_or_default(),
        endpoints: tables::endpoints(&document.aggregate),
        scenarios: tables::scenarios(&document.aggregate),
        errors: tables::errors(document),
        counters: tables::counters(&document.aggregate),
        summaries: tables::summaries(&document.aggregate),
        workers: section.and_then(WorkerTable::of),
        plan: section.and_then(|section| section.plan.as_ref()).map(PlanTable::of),
        data: charts::data(document),
    }
}

fn badge(section: Option<&Section>) -> Badge {
    let Some(Section { verdict, .. }) = section else {
        let message = "a report of Artillery's own: it has no verdict".to_owned();
        return Badge { class: "unknown", word: "No verdict".to_owned(), message };
    };
    let class = match verdict.outcome.as_str() {
        "Passed" => "passed",
        "Failed" => "failed",
        _ => "unknown",
    };
    let message = format!("{}: {}", verdict.reason, verdict.message);
    Badge { class, word: visible(&verdict.outcome), message: visible(&message) }
}

fn cards(document: &Document) -> Vec<Card> {
    let mut cards = Vec::new();
    let card = |name, value: String, more: String| Card { name, value, more };
    let requests = document.counter("http.requests");
    if requests > 0.0 {
        let rate = document.request_rate(number);
        cards.push(card("HTTP requests", number(requests), rate.unwrap_or_default()));
    }
    if let Some((name, figures)) = latency_of(&document.aggregate) {
        let more = format!("median {} ms, p99 {} ms", or_dash(figures.median), or_dash(figures.p99));
        let name = if name == "http.response_time" { "Response time, p95" } else { "Latency, p95" };
        cards.push(card(name, format!("{} ms", or_dash(figures.p95)), more));
    }
    let kinds = document.errors().len();
    let errors = document.errors_counted();
    let more = match kinds {
        0 if errors.is_none() => "none in what was received".to_owned(),
        0 => String::new(),
        1 => "of one kind".to_owned(),
        kinds => format!("of {kinds} kinds"),
    };
    cards.push(card("Errors", or_dash(errors), more));
    let planned = document.loadtest.as_ref().and_then(|section| section.vusers.planned);
    #[allow(clippy::cast_precision_loss, reason = "it is shown")]
    let of = planned.map(|planned| format!("of {} planned", number(planned as f64)));
    let failed = document.counted("vusers.failed").map(|failed| format!("{} failed", number(failed)));
    let more: Vec<_> = of.into_iter().chain(failed).collect();
    cards.push(card("Virtual users", or_dash(document.counted("vusers.created")), more.join("; ")));
    if let Some(section) = &document.loadtest {
        let skew = section
            .start_skew_milliseconds
            .map_or_else(String::new, |skew| format!("; started within {} ms", number(skew)));
        let more = format!("{}{skew}", section.ends());
        cards.push(card("Workers", section.workers.planned.to_string(), more));
    }
    cards
}

/// Where nothing was measured: that, or that it is not known.
fn nothing(document: &Document) -> Option<&'static str> {
    let is_nothing = document.aggregate.is_empty();
    is_nothing.then(|| match document.gap() {
        _ if document.is_left_out() => "What was measured was left out of this report.",
        Some(_) => "Nothing was received.",
        None => "Nothing was measured.",
    })
}

/// The versions of Artillery and of Node.
fn versions(section: &Section) -> Vec<String> {
    let named = |name: &'static str, versions: &[String]| -> Vec<String> {
        versions.iter().take(MAX_VERSIONS).map(|version| format!("{name} {}", visible(version))).collect()
    };
    [named("Artillery", &section.artillery), named("Node", &section.node)].concat()
}

/// The response times of HTTP, or of the first other engine that has some.
fn latency_of(stats: &Stats) -> Option<(&str, &Figures)> {
    let http = stats.summaries.get_key_value("http.response_time");
    let other = || stats.summaries.iter().find(|(name, _)| is_latency(name));
    http.or_else(other).map(|(name, figures)| (name.as_str(), figures))
}

/// Whether it is the distribution of an engine's response times.
fn is_latency(name: &str) -> bool {
    name.ends_with(".response_time") && !name.starts_with(PREFIX)
}

#[allow(clippy::cast_precision_loss, reason = "a count of lines or workers")]
fn number_of(count: usize) -> String {
    number(count as f64)
}

/// When it was, in UTC, and for how long.
fn when(document: &Document) -> String {
    let section = document.loadtest.as_ref();
    let began = section.and_then(|section| section.started_at_milliseconds);
    let ended = section.and_then(|section| section.ended_at_milliseconds);
    match (began, ended) {
        (Some(began), Some(ended)) => {
            format!("{} UTC, {}", date_and_time(began), lasted(ended.saturating_sub(began)))
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests;
