//! The report as Markdown, for a pull request or a job summary: the verdict, the checks, and the figures that people ask for.

use std::io::{self, Write};

use super::document::{Document, Figures};
use super::doubts::doubts;
use super::endpoints::{self, endpoints, listed};
use super::names::is_hidden;

/// No table has more rows.
const MAX_ROWS: usize = 30;

/// Writes it.
///
/// # Errors
/// Of the writer.
pub fn write(document: &Document, mut to: impl Write) -> io::Result<()> {
    let title = text(&document.title());
    match &document.loadtest {
        Some(section) => {
            let mark = match section.verdict.outcome.as_str() {
                "Passed" => "✅",
                "Failed" => "❌",
                _ => "⚠️",
            };
            let verdict = &section.verdict;
            writeln!(to, "### {mark} {title}: {}\n", text(&verdict.outcome))?;
            writeln!(to, "{}: {}\n", text(&verdict.reason), text(&verdict.message))?;
            if !section.checks.is_empty() {
                writeln!(to, "| check | | measured |\n|---|---|---|")?;
                for check in &section.checks {
                    let held = match (check.passed, check.strict) {
                        (true, _) => "ok",
                        (false, true) => "**failed**",
                        (false, false) => "failed, optional",
                    };
                    writeln!(to, "| {} | {held} | {} |", text(&check.check), text(&check.actual))?;
                }
                writeln!(to)?;
            }
            let of =
                section.vusers.planned.map_or_else(String::new, |planned| format!(" of {planned} planned"));
            let skew = section
                .start_skew_milliseconds
                .map_or_else(String::new, |skew| format!("; started within {skew} ms"));
            let created = or_dash(document.counted("vusers.created"));
            writeln!(
                to,
                "{} workers ({}{skew}); {created} virtual users created{of}\n",
                section.workers.planned,
                section.ends()
            )?;
            let doubts = doubts(section);
            if !doubts.is_empty() {
                writeln!(to, "**What is missing or doubtful**\n")?;
                doubts.iter().try_for_each(|doubt| writeln!(to, "- {}", text(&doubt.text)))?;
                writeln!(to)?;
            }
        }
        None => writeln!(to, "### {title}\n\nA report of Artillery's own: it has no verdict.\n")?,
    }
    let requests = document.counter("http.requests");
    if requests > 0.0 {
        let rate = document.request_rate(|rate| rate.to_string());
        let rate = rate.map_or_else(String::new, |rate| format!(", {rate}"));
        writeln!(to, "{requests} HTTP requests{rate}\n")?;
    }
    by_endpoint(document, &mut to)?;
    let all = || document.aggregate.summaries.iter().filter(|(name, _)| !name.starts_with(endpoints::PREFIX));
    if all().next().is_some() {
        writeln!(
            to,
            "| distribution | count | min | median | p95 | p99 | max |\n|---|--:|--:|--:|--:|--:|--:|"
        )?;
        for (name, figures) in all().take(MAX_ROWS) {
            let Figures { min, max, count, median, p95, p99, .. } = *figures;
            let cells = [count, min, median, p95, p99, max].map(or_dash).join(" | ");
            let unit = if is_time(name) { " (ms)" } else { "" };
            writeln!(to, "| {}{unit} | {cells} |", text(name))?;
        }
        more(all().count(), &mut to)?;
    }
    let errors = document.errors();
    if !errors.is_empty() {
        writeln!(to, "| error | count |\n|---|--:|")?;
        for (code, count) in errors.iter().take(MAX_ROWS) {
            writeln!(to, "| {} | {count} |", text(code))?;
        }
        more(errors.len(), &mut to)?;
    } else if let Some(gap) = document.gap() {
        writeln!(to, "Whether there were errors is not known: {}.\n", text(&gap))?;
    }
    Ok(())
}

/// Whether it is known to be in milliseconds, and not a size, a score, or what a script measures in its own unit.
fn is_time(name: &str) -> bool {
    name.split('.').any(|part| ["response_time", "session_length"].contains(&part))
}

/// A count; a dash where it is not known.
fn or_dash(count: Option<f64>) -> String {
    count.map_or_else(|| "–".to_owned(), |count| count.to_string())
}

fn by_endpoint(document: &Document, to: &mut impl Write) -> io::Result<()> {
    let (endpoints, left) = endpoints(&document.aggregate, MAX_ROWS);
    if endpoints.is_empty() {
        return Ok(());
    }
    writeln!(
        to,
        "| endpoint | answers by code | errors | count | median ms | p95 ms | p99 ms | max ms |\n|---|---|---|--:|--:|--:|--:|--:|"
    )?;
    let told = endpoints.len();
    for endpoint in endpoints {
        let [codes, errors] =
            [&endpoint.codes, &endpoint.errors].map(|counts| listed(counts, text, |count| count.to_string()));
        let figures = endpoint.times.map_or_else(
            || "| | | |".to_owned(),
            |Figures { count, median, p95, p99, max, .. }| {
                [*count, *median, *p95, *p99, *max].map(or_dash).join(" | ")
            },
        );
        writeln!(to, "| {} | {codes} | {errors} | {figures} |", text(endpoint.name))?;
    }
    more(told + left, to)
}

/// The end of a table, and how many rows had no room in it.
fn more(all: usize, to: &mut impl Write) -> io::Result<()> {
    match all.saturating_sub(MAX_ROWS) {
        0 => writeln!(to),
        left => writeln!(to, "\nand {left} more\n"),
    }
}

/// A text in a line or a cell that does nothing: no markup, no mention, no link, no end of the line.
fn text(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            // an empty comment keeps a name from being called, and an address from being a link
            '@' => safe.push_str("@<!-- -->"),
            '/' if safe.ends_with(':') => safe.push_str("<!-- -->/"),
            '.' if safe.ends_with("www") || safe.ends_with("WWW") => safe.push_str("<!-- -->."),
            '|' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '#' | '!' | '~' | '\\' | '$' => {
                safe.push('\\');
                safe.push(character);
            }
            c if is_hidden(c) => safe.push(char::REPLACEMENT_CHARACTER),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_do_nothing_in_it() {
        for (name, wanted) in [
            ("a|b`c`\n<img> @all", "a\\|b\\`c\\`\u{fffd}&lt;img&gt; @<!-- -->all"),
            ("http://a.test www.a.test", "http:<!-- -->//a.test www<!-- -->.a.test"),
            ("\u{202e}\u{1b}[31m", "\u{fffd}\u{fffd}\\[31m"),
        ] {
            assert_eq!(text(name), wanted);
        }
    }

    #[test]
    fn endpoints_have_a_table_and_no_table_is_too_long() {
        let codes =
            (0..31).map(|i| (format!("plugins.metrics-by-endpoint./{i:02}|.codes.200"), json!(i + 1)));
        let mut counters: serde_json::Map<_, _> = codes.collect();
        counters.insert("plugins.metrics-by-endpoint./30|.errors.ETIMEDOUT".to_owned(), 2.into());
        let times = json!({ "min": 1, "max": 9, "count": 31, "median": 2, "p95": 8, "p99": 9 });
        let name = "plugins.metrics-by-endpoint.response_time./30|";
        let document = json!({ "aggregate": { "counters": counters, "summaries": { name: times } } });
        let document = Document::parse(document.to_string().as_bytes()).expect("a report");
        let mut written = Vec::new();
        write(&document, &mut written).expect("written");
        let written = String::from_utf8(written).expect("UTF-8");
        assert!(
            written.contains("\n| /30\\| | 200: 31 | ETIMEDOUT: 2 | 31 | 2 | 8 | 9 | 9 |\n\nand 1 more\n"),
            "{written}"
        );
        assert!(
            written.contains("\n| /01\\| | 200: 2 |  | | | | |") && !written.contains("| /00"),
            "{written}"
        );
        assert!(!written.contains("| distribution |"), "it would say the same again: {written}");
    }

    #[test]
    fn a_rate_that_artillery_rounds_to_nothing_is_told_by_the_time_that_the_test_took() {
        for (requests, rate) in
            [(5, "less than 0.1 per second"), (60, "0.1 per second"), (200, "0.3 per second")]
        {
            let document = json!({
                "aggregate": { "counters": { "http.requests": requests }, "rates": { "http.request_rate": 0 } },
                "loadtest": {
                    "name": "t", "verdict": { "outcome": "Passed", "reason": "NoChecks", "message": "" },
                    "startedAtMilliseconds": 1000, "endedAtMilliseconds": 601_000,
                },
            });
            let document = Document::parse(document.to_string().as_bytes()).expect("a report");
            let mut written = Vec::new();
            write(&document, &mut written).expect("written");
            let written = String::from_utf8(written).expect("UTF-8");
            assert!(written.contains(&format!("{requests} HTTP requests, {rate}\n")), "{written}");
        }
    }

    #[test]
    fn only_what_is_known_to_be_a_time_is_in_milliseconds() {
        for (name, is) in [
            ("http.response_time", true),
            ("http.response_time.2xx", true),
            ("vusers.session_length", true),
            ("websocket.response_time", true),
            ("browser.memory_used_mb", false),
            ("browser.page.CLS.https://a.test/", false),
            ("my_response_time_score", false),
            ("basket", false),
        ] {
            assert_eq!(is_time(name), is, "{name}");
        }
        let summaries = json!({ "basket.size": { "min": 1 }, "http.response_time": { "min": 2 } });
        let document = json!({ "aggregate": { "summaries": summaries } });
        let document = Document::parse(document.to_string().as_bytes()).expect("a report");
        let mut written = Vec::new();
        write(&document, &mut written).expect("written");
        let written = String::from_utf8(written).expect("UTF-8");
        let table = "| distribution | count | min | median | p95 | p99 | max |\n|---|--:|--:|--:|--:|--:|--:|\n\
                     | basket.size | – | 1 | – | – | – | – |\n| http.response\\_time (ms) | – | 2 | – | – | – | – |\n";
        assert!(written.contains(table), "{written}");
    }

    #[test]
    fn a_failed_test_says_so_first() {
        let document = json!({
            "aggregate": {
                "counters": { "http.requests": 12, "errors.ETIMEDOUT": 2 },
                "rates": { "http.request_rate": 3 },
                "summaries": { "http.response_time": { "min": 1, "max": 9, "count": 12, "median": 2, "p95": 8, "p99": 9 } },
            },
            "loadtest": {
                "name": "checkout", "verdict": { "outcome": "Failed", "reason": "ChecksFailed", "message": "no" },
                "checks": [{ "check": "p95 < 5", "passed": false, "actual": "it is 8", "strict": true }],
                "missing": ["worker 1 never joined"],
            },
        });
        let document = Document::parse(document.to_string().as_bytes()).expect("a report");
        let mut written = Vec::new();
        write(&document, &mut written).expect("written");
        let written = String::from_utf8(written).expect("UTF-8");
        assert!(written.starts_with("### ❌ checkout: Failed\n\nChecksFailed: no\n"), "{written}");
        for line in [
            "| p95 &lt; 5 | **failed** | it is 8 |",
            "- worker 1 never joined",
            "12 HTTP requests, 3 per second",
            r"| http.response\_time (ms) | 12 | 1 | 2 | 8 | 9 | 9 |",
            "| ETIMEDOUT | 2 |",
        ] {
            assert!(written.lines().any(|written| written == line), "{line} in {written}");
        }
    }
}
