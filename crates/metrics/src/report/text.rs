//! The report for people: what came of the load test, the summary in 79 columns as Artillery prints it, and the checks.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::{Report, Times};
use crate::javascript::string;
use crate::summary::{Figures, Summary};
use crate::verdict::Reason;

const WIDTH: usize = 79;
/// Names of lines in the head, with the colon and a blank.
const INDENT: usize = 11;

pub(super) fn write(report: &Report<'_>, mut to: impl Write, hidden: &[&str]) -> io::Result<()> {
    head(report, &mut to)?;
    let total = report.aggregate.total();
    let times = Times::of(total).metrics();
    let end = report.ended_at.or(times.map(|times| times.last));
    if let (Some(times), Some(end)) = (times, end) {
        let what = match report.verdict.reason {
            Reason::Stopped | Reason::DeadlineExceeded => "Stopped.",
            _ if report.workers.lost > 0 => "What became of all VUs is not known.",
            _ => "All VUs finished.",
        };
        // what is measured is dated by periods of 10 s
        let began = report.started_at.unwrap_or(times.first);
        writeln!(to, "{what} Total time: {}\n", duration(end.saturating_sub(began)))?;
    }
    let title = format!("Summary report @ {}", end.map_or_else(|| "unknown time".to_owned(), time_of_day));
    let line = "-".repeat(title.len());
    writeln!(to, "{line}\n{title}\n{line}\n")?;
    summary(&Figures::of(total), &mut to, hidden)?;
    checks(report, &mut to)
}

fn head(report: &Report<'_>, to: &mut impl Write) -> io::Result<()> {
    let Report { identity, workers, verdict, start_skew_milliseconds, planned_vusers, .. } = report;
    let name = match &identity.namespace {
        Some(namespace) => format!("{namespace}/{}", identity.name),
        None => identity.name.clone(),
    };
    let versions = match (&*identity.artillery, &*identity.node) {
        ([], _) => String::new(),
        (artillery, []) => format!(" (Artillery {})", artillery.join(", ")),
        (artillery, node) => format!(" (Artillery {}, Node {})", artillery.join(", "), node.join(", ")),
    };
    line(to, "Load test", &format!("{name}{versions}"))?;
    let (outcome, reason) = (verdict.outcome, verdict.reason);
    line(to, "Verdict", &format!("{outcome:?} ({reason:?}): {}", verdict.message))?;
    let super::Workers { planned, joined, reporting, succeeded, failed, lost } = *workers;
    line(
        to,
        "Workers",
        &format!(
            "{planned} planned, {joined} joined, {reporting} reporting, {succeeded} succeeded, {failed} failed, {lost} lost"
        ),
    )?;
    let count = |name: &str| report.aggregate.total().counters.get(name).copied().unwrap_or(0);
    let planned = planned_vusers.map_or_else(String::new, |planned| format!(" of {planned} planned"));
    let skipped = match count("vusers.skipped") {
        0 => String::new(),
        skipped => format!(", {skipped} skipped for maxVusers"),
    };
    let skew = start_skew_milliseconds
        .map_or_else(String::new, |skew| format!("; started within {} ms", skew.ceil()));
    line(to, "Load", &format!("{}{planned} virtual users created{skipped}{skew}", count("vusers.created")))?;
    for (name, lines) in [("Missing", &report.missing), ("Load", &report.undelivered)] {
        for (number, text) in lines.iter().enumerate() {
            line(to, if number == 0 { name } else { "" }, text)?;
        }
    }
    let refused = report.aggregate.refused_values();
    if refused > 0 {
        let first = report.aggregate.refused().next();
        let first = first.map_or_else(String::new, |(name, reason, _)| format!(", such as {name}: {reason}"));
        line(to, "Refused", &format!("{refused} values{first}"))?;
    }
    writeln!(to)
}

/// A named line of the head, broken between words.
fn line(to: &mut impl Write, name: &str, text: &str) -> io::Result<()> {
    let name = if name.is_empty() { String::new() } else { format!("{name}:") };
    let mut row = format!("{name:INDENT$}");
    let mut is_empty = true;
    for word in printable(text).split(' ') {
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
fn summary(figures: &Figures, to: &mut impl Write, hidden: &[&str]) -> io::Result<()> {
    let Figures { counters, rates, summaries } = figures;
    let names: BTreeSet<_> = counters.keys().chain(rates.keys()).chain(summaries.keys()).collect();
    if names.is_empty() {
        return writeln!(to, "No measurements recorded during this period");
    }
    for name in names {
        if hidden.iter().any(|hidden| name.contains(hidden)) {
            continue;
        }
        let title = printable(&format!("{name}:"));
        if let Some(count) = counters.get(name) {
            writeln!(to, "{}", padded(&title, &count.to_string()))?;
        }
        if let Some(Summary { min, max, mean, median, p95, p99, .. }) = summaries.get(name) {
            writeln!(to, "{title}")?;
            for (figure, value) in
                [("min", min), ("max", max), ("mean", mean), ("median", median), ("p95", p95), ("p99", p99)]
            {
                writeln!(to, "{}", padded(&format!("  {figure}:"), &string(*value)))?;
            }
        }
        if let Some(rate) = rates.get(name) {
            writeln!(to, "{}/sec", padded(&title, &string(*rate)))?;
        }
    }
    Ok(())
}

/// Without characters that would do something to a terminal; lines may end.
fn printable(text: &str) -> String {
    let is_harmless = |c: char| !c.is_control() || c == '\n';
    text.chars().map(|c| if is_harmless(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
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
fn checks(report: &Report<'_>, to: &mut impl Write) -> io::Result<()> {
    if report.checks.is_empty() {
        return Ok(());
    }
    writeln!(to, "\nChecks:")?;
    let (ok, failed): (Vec<_>, Vec<_>) = report.checks.iter().partition(|check| check.passed);
    for check in ok {
        writeln!(to, "ok: {}", printable(&check.check))?;
    }
    for check in failed {
        writeln!(to, "fail: {}{}", printable(&check.check), if check.strict { "" } else { " (optional)" })?;
        if !check.actual.is_empty() {
            writeln!(to, "      {}", printable(&check.actual))?;
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
fn duration(milliseconds: u64) -> String {
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
