//! `compare`: two reports side by side, and whether the second is worse than it may be.

use std::io::{self, BufWriter, Write as _};

use metrics::report::compare::{about, rows, write_text};
use serde_json::json;

use super::report::document;
use crate::exit::{Exit, Failure};
use crate::flags::{Cluster, Compare, Output};
use crate::terminal::{printed, say};

pub async fn run(flags: &Compare, cluster: &Cluster) -> Result<Exit, Failure> {
    let (a, b) = (document(&flags.a, cluster).await?, document(&flags.b, cluster).await?);
    let held: Vec<_> = flags.fail_if.iter().map(|condition| condition.evaluate(&a, &b)).collect();
    let mut to = BufWriter::new(io::stdout().lock());
    let written = match flags.output {
        Output::Text => {
            let name = |path: &std::path::Path| path.display().to_string();
            write_text((&name(&flags.a), &a), (&name(&flags.b), &b), &mut to)
        }
        Output::Json => {
            let failed = held.iter().flatten().filter(|held| held.holds).map(|held| &held.words);
            let unknown = held.iter().filter_map(|held| held.as_ref().err());
            let all = json!({
                "reports": { "a": about(&a), "b": about(&b) },
                "rows": rows(&a, &b),
                "failed": failed.collect::<Vec<_>>(),
                "unknown": unknown.collect::<Vec<_>>(),
                "incomplete": { "a": a.partial(), "b": b.partial() },
            });
            writeln!(to, "{all:#}")
        }
    };
    printed(written.and_then(|()| to.flush()))?;
    let mut exit = Exit::Passed;
    for held in held {
        match held {
            Ok(held) if held.holds => {
                say(format_args!("failed: {}", held.words));
                exit = exit.or_worse(Exit::ChecksFailed);
            }
            Ok(_) => {}
            Err(words) => {
                say(format_args!("cannot be told: {words}"));
                exit = exit.or_worse(Exit::Inconclusive);
            }
        }
    }
    Ok(exit)
}
