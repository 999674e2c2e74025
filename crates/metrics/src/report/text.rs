//! The report for people: what came of the load test, the summary in 79 columns as Artillery prints it, and the checks. It stands on the
//! document alone, so that a file gives the same text as the load test that wrote it.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::document::{Check, Document, Figures, Section, Stats};
use super::doubts::{Doubt, doubts};
use super::names::visible;
use crate::javascript::string;

const WIDTH: usize = 79;
/// Names of lines in the head, with the colon and a blank.
const INDENT: usize = 11;

pub(super) fn write(document: &Document, mut to: impl Write, hidden: &[&str]) -> io::Result<()> {
    let section = document.loadtest.as_ref();
    line(&mut to, "Load test", &heading(document))?;
    match section {
        Some(section) => head(document, section, &mut to)?,
        None => line(&mut to, "Verdict", "none: a report of Artillery's own")?,
    }
    writeln!(to)?;
    let Stats { first_metric_at, last_metric_at, .. } = document.aggregate;
    let end = section.and_then(|section| section.ended_at_milliseconds).or(last_metric_at.map(whole));
    if let (Some(section), Some(first), Some(end)) = (section, first_metric_at, end) {
        let what = match section.verdict.reason.as_str() {
            "Stopped" | "DeadlineExceeded" => "Stopped.",
            _ if section.workers.lost > 0 => "What became of all VUs is not known.",
            _ => "All VUs finished.",
        };
        // what is measured is dated by periods of 10 s
        let began = section.started_at_milliseconds.unwrap_or(whole(first));
        writeln!(to, "{what} Total time: {}\n", duration(end.saturating_sub(began)))?;
    }
    let title = format!("Summary report @ {}", end.map_or_else(|| "unknown time".to_owned(), time_of_day));
    let line = "-".repeat(title.len());
    writeln!(to, "{line}\n{title}\n{line}\n")?;
    match document.gap() {
        _ if document.is_left_out() => writeln!(to, "What was measured was left out of this report")?,
        Some(_) if document.aggregate.is_empty() => writeln!(to, "No measurements were received")?,
        _ => summary(&document.aggregate, &mut to, hidden)?,
    }
    checks(section.map_or(&[], |section| &section.checks), &mut to)
}

fn heading(document: &Document) -> String {
    let versions = match document.loadtest.as_ref().map(|section| (&*section.artillery, &*section.node)) {
        None | Some(([], _)) => String::new(),
        Some((artillery, [])) => format!(" (Artillery {})", artillery.join(", ")),
        Some((artillery, node)) => format!(" (Artillery {}, Node {})", artillery.join(", "), node.join(", ")),
    };
    format!("{}{versions}", document.title())
}

fn head(document: &Document, section: &Section, to: &mut impl Write) -> io::Result<()> {
    let Section { workers, verdict, start_skew_milliseconds, .. } = section;
    line(to, "Verdict", &format!("{} ({}): {}", verdict.outcome, verdict.reason, verdict.message))?;
    let super::Workers { planned, joined, reporting, .. } = *workers;
    let ends = section.ends();
    line(to, "Workers", &format!("{planned} planned, {joined} joined, {reporting} reporting, {ends}"))?;
    let skipped = match document.counted("vusers.skipped") {
        None | Some(0.0) => String::new(),
        Some(skipped) => format!(", {} skipped for maxVusers", string(skipped)),
    };
    let skew = start_skew_milliseconds
        .map_or_else(String::new, |skew| format!("; started within {} ms", string(skew.ceil())));
    line(to, "Load", &format!("{}{skipped}{skew}", counted(document, section)))?;
    let mut before = "";
    for Doubt { kind, text } in doubts(section) {
        line(to, if kind == before { "" } else { kind }, &text)?;
        before = kind;
    }
    Ok(())
}

/// How many virtual users there were, and were to be.
pub(super) fn counted(document: &Document, section: &Section) -> String {
    let planned = section.vusers.planned.map_or_else(String::new, |planned| format!(" of {planned} planned"));
    let created = document.counted("vusers.created").map_or_else(|| "–".to_owned(), string);
    format!("{created}{planned} virtual users created")
}

/// A named line of the head, broken between words.
fn line(to: &mut impl Write, name: &str, text: &str) -> io::Result<()> {
    let name = if name.is_empty() { String::new() } else { format!("{name}:") };
    let mut row = format!("{name:INDENT$}");
    let mut is_empty = true;
    for word in visible(text).split(' ') {
        if !is_empty && row.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(to, "{row}")?;
            row = " ".repeat(INDENT);
            is_empty = true;
        }
        if !is_empty {
            row.push(' ');
        }
        row.push_str(word);
        is_empty = false;
    }
    writeln!(to, "{row}")
}

/// All names in one order, whatever their kinds.
fn summary(stats: &Stats, to: &mut impl Write, hidden: &[&str]) -> io::Result<()> {
    let Stats { counters, rates, summaries, .. } = stats;
    let names: BTreeSet<_> = counters.keys().chain(rates.keys()).chain(summaries.keys()).collect();
    if names.is_empty() {
        return writeln!(to, "No measurements recorded during this period");
    }
    for name in names {
        if hidden.iter().any(|hidden| name.contains(hidden)) {
            continue;
        }
        let title = visible(&format!("{name}:"));
        if let Some(count) = counters.get(name) {
            writeln!(to, "{}", padded(&title, &string(*count)))?;
        }
        if let Some(Figures { min, max, mean, median, p95, p99, .. }) = summaries.get(name) {
            writeln!(to, "{title}")?;
            for (figure, value) in
                [("min", min), ("max", max), ("mean", mean), ("median", median), ("p95", p95), ("p99", p99)]
            {
                // older Artillery does not have all
                if let Some(value) = value {
                    writeln!(to, "{}", padded(&format!("  {figure}:"), &string(*value)))?;
                }
            }
        }
        if let Some(rate) = rates.get(name) {
            writeln!(to, "{}/sec", padded(&title, &string(*rate)))?;
        }
    }
    Ok(())
}

/// Dots between a name and its value, which begins in column 82.
fn padded(name: &str, value: &str) -> String {
    let length = name.chars().count();
    let name = if length > WIDTH {
        name.chars().take(WIDTH - 3).chain("...".chars()).collect()
    } else {
        name.to_owned()
    };
    format!("{name} {} {value}", ".".repeat(WIDTH.saturating_sub(length)))
}

/// As Artillery prints them, those that hold first; and what a failed one had to do with.
fn checks(checks: &[Check], to: &mut impl Write) -> io::Result<()> {
    if checks.is_empty() {
        return Ok(());
    }
    writeln!(to, "\nChecks:")?;
    let (ok, failed): (Vec<_>, Vec<_>) = checks.iter().partition(|check| check.passed);
    for check in ok {
        writeln!(to, "ok: {}", visible(&check.check))?;
    }
    for check in failed {
        writeln!(to, "fail: {}{}", visible(&check.check), if check.strict { "" } else { " (optional)" })?;
        if !check.actual.is_empty() {
            writeln!(to, "      {}", visible(&check.actual))?;
        }
    }
    Ok(())
}

/// `02:19:41(+0000)`: the time of day, UTC.
fn time_of_day(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000 % 86_400;
    format!("{:02}:{:02}:{:02}(+0000)", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `1 hour, 0 minutes, 5 seconds`.
pub(super) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    let units = [
        (seconds / 86_400, "day"),
        (seconds / 3600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
    ];
    let parts = units.iter().enumerate().skip_while(|(index, (amount, _))| *amount == 0 && *index < 3);
    let part = |(_, (amount, unit)): (usize, &(u64, &str))| {
        format!("{amount} {unit}{}", if *amount == 1 { "" } else { "s" })
    };
    parts.map(part).collect::<Vec<_>>().join(", ")
}

/// A time of a file, which may be anything.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "casts of floats saturate")]
fn whole(milliseconds: f64) -> u64 {
    milliseconds.round() as u64
}
