//! What is printed: Markdown on standard output, for `docs/benchmarks.md`; how it goes on standard error.

use std::fmt::Display;

use crate::sample::Sample;

/// A paragraph of the report.
pub fn line(text: &str) {
    println!("{text}\n");
}

/// A heading of the report.
pub fn heading(text: &str) {
    println!("## {text}\n");
}

/// How it goes, for whoever waits.
pub fn progress(text: impl Display) {
    eprintln!("bench: {text}");
}

/// A table of the report: its columns, then its rows.
pub fn table<const N: usize>(columns: [&str; N], rows: &[[String; N]]) {
    print!("{}", markdown(columns, rows));
    println!();
}

/// A measurement with as many digits as mean something.
pub fn number(value: f64) -> String {
    if value.abs() < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

/// The median, and the least and the most.
pub fn spread(values: &Sample) -> String {
    let [median, least, most] = [values.median(), values.least(), values.worst()].map(number);
    format!("{median} ({least} to {most})")
}

fn markdown<const N: usize>(columns: [&str; N], rows: &[[String; N]]) -> String {
    let row = |cells: Vec<&str>| format!("| {} |\n", cells.join(" | "));
    // the first column says what, the others are numbers
    let rule: Vec<&str> = (0..N).map(|i| if i == 0 { "---" } else { "--:" }).collect();
    let rows: String = rows.iter().map(|cells| row(cells.iter().map(String::as_str).collect())).collect();
    format!("{}|{}|\n{rows}", row(columns.to_vec()), rule.join("|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown() {
        let rows = [["a".to_owned(), number(1.26)], ["b".to_owned(), number(12.6)]];
        assert_eq!(markdown(["what", "ms"], &rows), "| what | ms |\n|---|--:|\n| a | 1.3 |\n| b | 13 |\n");
    }
}
