//! The report as a page: one file that needs nothing else, for a mail or a pipeline's artifacts. Tables are made here and can be read without
//! JavaScript; charts are drawn by uPlot (`html/uplot`) from data that is in the page.

mod charts;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use askama::Template;

use super::document::{Document, Figures, Section, Stats};

/// Artillery's plugin that measures each URL.
const BY_ENDPOINT: &str = "plugins.metrics-by-endpoint.";
#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    style: &'static str,
    chart_style: &'static str,
    chart_script: &'static str,
    script: &'static str,
    title: String,
    badge: Badge,
    section: Option<&'a Section>,
    when: String,
    checks: Vec<(&'static str, String, String)>,
    cards: Vec<Card>,
    doubts: Vec<String>,
    endpoints: Vec<Endpoint>,
    scenarios: Vec<(String, String)>,
    errors: Vec<(String, String)>,
    counters: Vec<(String, String)>,
    summaries: Vec<(String, [String; 7])>,
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

struct Endpoint {
    name: String,
    codes: String,
    errors: String,
    figures: [String; 7],
}

/// Writes the page.
///
/// # Errors
/// Of the writer.
pub fn write(document: &Document, mut to: impl Write) -> io::Result<()> {
    let page = page(document).render().map_err(io::Error::other)?;
    to.write_all(page.as_bytes())
}

fn page(document: &Document) -> Page<'_> {
    let section = document.loadtest.as_ref();
    let checks = section.map(|section| &section.checks).into_iter().flatten();
    Page {
        style: include_str!("html/report.css"),
        chart_style: include_str!("html/uplot/uPlot.min.css"),
        chart_script: include_str!("html/uplot/uPlot.iife.min.js"),
        script: include_str!("html/report.js"),
        title: visible(&document.title()),
        badge: badge(section),
        section,
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
        cards: cards(document),
        doubts: section.map(doubts).unwrap_or_default(),
        endpoints: endpoints(&document.aggregate),
        scenarios: named(&document.aggregate, "vusers.created_by_name."),
        errors: document.errors().into_iter().map(|(code, count)| (visible(code), number(count))).collect(),
        counters: document
            .aggregate
            .counters
            .iter()
            .map(|(name, count)| (visible(name), number(*count)))
            .collect(),
        summaries: document
            .aggregate
            .summaries
            .iter()
            .map(|(name, figures)| (visible(name), cells(figures)))
            .collect(),
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

/// What keeps the figures from being the whole truth.
fn doubts(section: &Section) -> Vec<String> {
    let Section { missing, undelivered, refused_values, left_out, .. } = section;
    let refused =
        (*refused_values > 0).then(|| format!("{refused_values} measured values were not taken in"));
    let left_out = left_out.as_ref().map(|what| format!("left out of this report: {what}"));
    missing.iter().chain(undelivered).chain(&refused).chain(&left_out).map(|text| visible(text)).collect()
}

fn cards(document: &Document) -> Vec<Card> {
    let mut cards = Vec::new();
    let card = |name, value: String, more: String| Card { name, value, more };
    let requests = document.counter("http.requests");
    if requests > 0.0 {
        let rate = document.aggregate.rates.get("http.request_rate");
        cards.push(card(
            "HTTP requests",
            number(requests),
            rate.map_or_else(String::new, |rate| format!("{} per second", number(*rate))),
        ));
    }
    if let Some((name, figures)) = latency_of(&document.aggregate) {
        let more = format!("median {} ms, p99 {} ms", number(figures.median), number(figures.p99));
        let name = if name == "http.response_time" { "Response time, p95" } else { "Latency, p95" };
        cards.push(card(name, format!("{} ms", number(figures.p95)), more));
    }
    let errors: f64 = document.errors().iter().map(|(_, count)| count).sum();
    let kinds = document.errors().len();
    let more = match kinds {
        0 => String::new(),
        1 => "of one kind".to_owned(),
        kinds => format!("of {kinds} kinds"),
    };
    cards.push(card("Errors", number(errors), more));
    let planned = document.loadtest.as_ref().and_then(|section| section.vusers.planned);
    let created = document.counter("vusers.created");
    let failed = document.counter("vusers.failed");
    let of = planned.map_or_else(String::new, |planned| format!("of {planned} planned; "));
    cards.push(card("Virtual users", number(created), format!("{of}{} failed", number(failed))));
    if let Some(section) = &document.loadtest {
        let workers = section.workers;
        let skew = section
            .start_skew_milliseconds
            .map_or_else(String::new, |skew| format!("; started within {} ms", number(skew)));
        let more = format!(
            "{} succeeded, {} failed, {} lost{skew}",
            workers.succeeded, workers.failed, workers.lost
        );
        cards.push(card("Workers", workers.planned.to_string(), more));
    }
    cards
}

/// The response times of HTTP, or of the first other engine that has some.
fn latency_of(stats: &Stats) -> Option<(&str, &Figures)> {
    let http = stats.summaries.get_key_value("http.response_time");
    let other = || stats.summaries.iter().find(|(name, _)| name.ends_with(".response_time"));
    http.or_else(other).map(|(name, figures)| (name.as_str(), figures))
}

fn named(stats: &Stats, prefix: &str) -> Vec<(String, String)> {
    let with = stats.counters.iter().filter_map(|(name, count)| Some((name.strip_prefix(prefix)?, count)));
    with.map(|(name, count)| (visible(name), number(*count))).collect()
}

fn endpoints(stats: &Stats) -> Vec<Endpoint> {
    let mut names = BTreeSet::new();
    let mut codes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut errors = codes.clone();
    for (name, count) in &stats.counters {
        let Some(rest) = name.strip_prefix(BY_ENDPOINT) else { continue };
        for (kind, into) in [(".codes.", &mut codes), (".errors.", &mut errors)] {
            if let Some((endpoint, code)) = rest.rsplit_once(kind) {
                names.insert(endpoint);
                into.entry(endpoint).or_default().push(format!("{}: {}", visible(code), number(*count)));
            }
        }
    }
    let times = format!("{BY_ENDPOINT}response_time.");
    names.extend(stats.summaries.keys().filter_map(|name| name.strip_prefix(&times)));
    let joined =
        |lists: &BTreeMap<&str, Vec<String>>, name: &str| lists.get(name).map(|list| list.join(", "));
    names
        .into_iter()
        .map(|name| Endpoint {
            name: visible(name),
            codes: joined(&codes, name).unwrap_or_default(),
            errors: joined(&errors, name).unwrap_or_default(),
            figures: stats.summaries.get(&format!("{times}{name}")).map(cells).unwrap_or_default(),
        })
        .collect()
}

fn cells(figures: &Figures) -> [String; 7] {
    let Figures { min, max, count, mean, median, p95, p99, .. } = *figures;
    [count, min, mean, median, p95, p99, max].map(number)
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

fn lasted(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds} s"),
        (0, _) => format!("{minutes} min {seconds} s"),
        _ => format!("{hours} h {minutes} min {seconds} s"),
    }
}

/// `2026-11-26 09:19:37`; the calendar by Howard Hinnant's `civil_from_days`.
fn date_and_time(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let time = seconds % 86_400;
    format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02}", time / 3600, time / 60 % 60, time % 60)
}

/// A name or a text from elsewhere, without characters that are not seen, or that turn the rest around.
pub(super) fn visible(text: &str) -> String {
    let is_hidden = |c: char| {
        c.is_control()
            || ['\u{2028}', '\u{2029}'].contains(&c)
            || ('\u{202a}'..='\u{202e}').contains(&c)
            || ('\u{2066}'..='\u{2069}').contains(&c)
    };
    text.chars().map(|c| if is_hidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// `12 345.6`: thousands apart, one decimal where there is one.
fn number(value: f64) -> String {
    let rounded = (value * 10.0).round() / 10.0;
    let text = if rounded.fract() == 0.0 { format!("{rounded:.0}") } else { format!("{rounded:.1}") };
    let (whole, decimals) = text.split_once('.').map_or((text.as_str(), None), |(a, b)| (a, Some(b)));
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    match decimals {
        Some(decimals) => format!("{sign}{grouped}.{decimals}"),
        None => format!("{sign}{grouped}"),
    }
}

#[cfg(test)]
mod tests;
