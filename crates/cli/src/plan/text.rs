//! A plan in words, for people.

use std::fmt;

use loadtest::human_duration::human_duration;

use super::Plan;
use super::chart::{chart, number};
use super::load::{Load, Share};
use super::objects::Object;
use super::phases::{Asks, Phase};
use crate::terminal::harmless;

/// So many shares are shown.
const MAX_SHARES: usize = 20;
/// So many phases of a share are shown.
const MAX_PARTS: usize = 10;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { workers, distribution, .. } = self;
        // a script, and the names of its files, may be somebody else's
        let (name, script) = (harmless(&self.name), harmless(&self.script));
        let workers = if *workers == 1 { "1 worker".to_owned() } else { format!("{workers} workers") };
        write!(f, "Load test {name} of {script}: {workers}, {distribution}")?;
        if let Some(environment) = &self.environment {
            write!(f, ", environment {}", harmless(environment))?;
        }
        if let Some(version) = &self.resolved_by_artillery {
            write!(f, ", as Artillery {} resolved it", harmless(version))?;
        }
        writeln!(f)?;
        if !self.phases.is_empty() {
            writeln!(f, "\nPhases of the script")?;
            let rows: Vec<_> = self.phases.iter().enumerate().map(|(i, phase)| row(i, phase)).collect();
            table(f, &rows)?;
        }
        if let Some(load) = &self.load {
            write_load(f, load)?;
        }
        for (payload, rows) in self.rows.iter().enumerate() {
            match rows {
                Some(rows) => writeln!(f, "Rows of payload {payload}: {rows}")?,
                None => writeln!(f, "Rows of payload {payload}: all of them for each worker")?,
            }
        }
        if let Some(checks @ 1..) = self.checks {
            writeln!(f, "Checks at the end, on what all workers measured: {checks}")?;
        }
        if !self.known_at_run_time.is_empty() {
            writeln!(f, "\nKnown at run time (plan --resolve asks Artillery)")?;
            for what in &self.known_at_run_time {
                writeln!(f, "  {}", harmless(what))?;
            }
        }
        if self.objects.is_empty() {
            // of a script with which something is wrong
            return Ok(());
        }
        writeln!(f, "\nObjects in a cluster")?;
        let of = |is_operators| {
            self.objects
                .iter()
                .filter(move |object| object.is_operators == is_operators)
                .map(line)
                .collect::<Vec<_>>()
        };
        table(f, &of(false))?;
        writeln!(f, "  and by the operator")?;
        table(f, &of(true))
    }
}

fn line(object: &Object) -> Vec<String> {
    let size = object.bytes.map_or(String::new(), size);
    vec![format!("{} {}", object.kind, harmless(&object.name)), size, harmless(&object.content)]
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        #[allow(clippy::cast_precision_loss, reason = "it is rounded")]
        bytes => format!("{:.1} KiB", bytes as f64 / 1024.0),
    }
}

#[allow(clippy::cast_possible_truncation, reason = "casts of floats saturate")]
fn time(milliseconds: f64) -> String {
    match milliseconds {
        0.0 => "no time".to_owned(),
        short @ ..1000.0 => format!("{} ms", number(short.round())),
        // as long as Artillery takes, and not as it is counted
        long => human_duration((long / 1000.0).round() as i64),
    }
}

fn arrive(vusers: Option<u64>) -> String {
    match vusers {
        Some(1) => "1 virtual user".to_owned(),
        Some(vusers) => format!("{vusers} virtual users"),
        None => "by chance".to_owned(),
    }
}

fn rate((from, to): (f64, f64)) -> String {
    if from.to_bits() == to.to_bits() {
        format!("{} a second", number(from))
    } else {
        format!("{} to {} a second", number(from), number(to))
    }
}

fn row(index: usize, phase: &Phase) -> Vec<String> {
    let name = phase.name.as_ref().map_or(format!("{index}"), |name| format!("{index} {}", harmless(name)));
    let mut cells = vec![name];
    match &phase.asks {
        Asks::Load { milliseconds, vusers: Some(0), .. } => {
            cells.extend([time(*milliseconds), "pause".to_owned()])
        }
        Asks::Load { milliseconds, vusers, rate: of } => {
            let cap = phase.phase.get("maxVusers");
            let cap = cap.map(|cap| format!(", at most {} at a time", harmless(&cap.to_string())));
            cells.extend([time(*milliseconds), rate(*of), arrive(*vusers) + &cap.unwrap_or_default()]);
        }
        Asks::PassedOver => {
            cells.extend([String::new(), "Artillery passes over it: no load, and no time".to_owned()])
        }
        Asks::KnownAtRunTime => cells.extend([String::new(), "known at run time".to_owned()]),
        Asks::Wrong => cells.extend([String::new(), "wrong".to_owned()]),
    }
    cells
}

fn write_load(f: &mut fmt::Formatter<'_>, load: &Load) -> fmt::Result {
    let vusers = match load.vusers {
        None => format!("about {:.0} virtual users, for chance decides,", load.arrivals.iter().sum::<f64>()),
        known => arrive(known),
    };
    writeln!(f, "\nAll workers: {vusers} in {}", time(load.milliseconds))?;
    writeln!(f, "Virtual users that arrive in a second:")?;
    for line in chart(&load.arrivals, load.milliseconds).lines() {
        writeln!(f, "  {line}")?;
    }
    writeln!(f, "\nEach worker")?;
    for share in load.shares.iter().take(MAX_SHARES) {
        writeln!(f, "  {}: {}", workers(share), arrive(share.vusers))?;
        let parts = share.phases.iter().take(MAX_PARTS).enumerate().map(|(i, part)| {
            let cap = part.max_vusers.map_or(String::new(), |cap| format!("at most {cap} at a time"));
            let rate = if part.vusers == Some(0) { "pause".to_owned() } else { rate(part.rate) };
            vec![format!("  {i}"), arrive(part.vusers), rate, cap]
        });
        table(f, &parts.collect::<Vec<_>>())?;
        if share.phases.len() > MAX_PARTS {
            writeln!(f, "    … {} phases more (-o json has all)", share.phases.len() - MAX_PARTS)?;
        }
    }
    if load.shares.len() > MAX_SHARES {
        writeln!(f, "  … {} shares more (-o json has all)", load.shares.len() - MAX_SHARES)?;
    }
    Ok(())
}

/// `workers 0-3, 7 (5 of them)`.
fn workers(share: &Share) -> String {
    let runs = share
        .workers
        .iter()
        .take(MAX_PARTS)
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") });
    let mut text = runs.collect::<Vec<_>>().join(", ");
    if share.workers.len() > MAX_PARTS {
        text.push_str(", …");
    }
    if share.count == 1 {
        format!("worker {text}")
    } else {
        format!("workers {text} ({}), each", share.count)
    }
}

/// Cells under each other.
fn table(f: &mut fmt::Formatter<'_>, rows: &[Vec<String>]) -> fmt::Result {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(f, "  {}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
