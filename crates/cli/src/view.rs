//! Lines at the end of a terminal that are painted again and again, while what is said stays above them. Pure: makes texts for a terminal of a size.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// How a piece of a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As everything.
    Plain,
    /// What does not change.
    Dim,
    /// What is looked for.
    Bold,
    /// What is amiss.
    Bad,
    /// A chart.
    Chart,
}

impl Style {
    fn code(self) -> Option<u8> {
        match self {
            Self::Plain => None,
            Self::Dim => Some(2),
            Self::Bold => Some(1),
            Self::Bad => Some(31),
            Self::Chart => Some(36),
        }
    }
}

/// A line of pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(Vec<(Style, String)>);

impl Line {
    /// With a piece more.
    #[must_use]
    pub fn with(mut self, style: Style, text: impl Into<String>) -> Self {
        self.0.push((style, text.into()));
        self
    }

    /// Its text alone.
    pub fn text(&self) -> String {
        self.0.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// As a terminal of so many columns is told it, and how many of them it takes; where it is longer it ends with `…`.
    fn painted(&self, columns: usize, is_coloured: bool) -> (String, usize) {
        let all: usize = self.0.iter().map(|(_, text)| text.width()).sum();
        let room = if all > columns { columns.saturating_sub(1) } else { columns };
        let (mut painted, mut taken) = (String::new(), 0);
        'pieces: for (style, text) in &self.0 {
            let code = style.code().filter(|_| is_coloured);
            if let Some(code) = code {
                let _ = write!(painted, "\x1b[{code}m");
            }
            let mut is_full = false;
            for c in text.chars() {
                let width = c.width().unwrap_or(0);
                if taken + width > room {
                    is_full = true;
                    break;
                }
                painted.push(c);
                taken += width;
            }
            if code.is_some() {
                painted.push_str("\x1b[0m");
            }
            if is_full {
                break 'pieces;
            }
        }
        if all > columns && columns > 0 {
            painted.push('…');
            taken += 1;
        }
        (painted, taken)
    }
}

/// How large a terminal is, and what it may be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Characters in a line.
    pub columns: usize,
    /// Lines.
    pub rows: usize,
    /// Whether there are colours.
    pub is_coloured: bool,
}

/// What is painted: a section for each load test that is followed, in their order.
#[derive(Debug, Default)]
pub struct View {
    sections: BTreeMap<usize, Vec<Line>>,
    /// How many columns each painted line takes.
    painted: Vec<usize>,
}

impl View {
    /// Without anything.
    pub const fn new() -> Self {
        Self { sections: BTreeMap::new(), painted: Vec::new() }
    }

    /// Whether nothing is painted.
    pub fn is_empty(&self) -> bool {
        self.painted.is_empty() && self.sections.is_empty()
    }

    /// Shows these lines as a section. Returns what the terminal is told.
    pub fn show(&mut self, section: usize, lines: Vec<Line>, screen: Screen) -> String {
        self.sections.insert(section, lines);
        self.say("", screen)
    }

    /// Takes a section away.
    pub fn hide(&mut self, section: usize, screen: Screen) -> String {
        self.sections.remove(&section);
        self.say("", screen)
    }

    /// Says something that stays, above it.
    pub fn say(&mut self, text: &str, screen: Screen) -> String {
        let mut told = self.erased(screen.columns);
        told.push_str(text);
        self.painted.clear();
        let lines: Vec<&Line> = self.sections.values().flatten().collect();
        // the last row is the cursor's
        let room = screen.rows.saturating_sub(1).max(1);
        let more = Line::default()
            .with(Style::Dim, format!("… and {} lines more", (lines.len() + 1).saturating_sub(room)));
        let is_cut = lines.len() > room;
        let shown =
            lines.into_iter().take(if is_cut { room - 1 } else { room }).chain(is_cut.then_some(&more));
        for line in shown {
            let (text, columns) = line.painted(screen.columns, screen.is_coloured);
            told.push_str(&text);
            told.push('\n');
            self.painted.push(columns);
        }
        told
    }

    /// Goes to where it begins, and erases from there. A terminal that has become narrower has broken what was painted into more rows.
    fn erased(&self, columns: usize) -> String {
        let rows: usize = self.painted.iter().map(|taken| taken.div_ceil(columns.max(1)).max(1)).sum();
        if rows == 0 { String::new() } else { format!("\r\x1b[{rows}A\x1b[0J") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCREEN: Screen = Screen { columns: 10, rows: 24, is_coloured: false };

    fn line(text: &str) -> Line {
        Line::default().with(Style::Plain, text)
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_also_where_characters_are() {
        for (text, columns, painted, taken) in [
            ("0123456789", 10, "0123456789", 10),
            ("0123456789a", 10, "012345678…", 10),
            // each of these takes two columns
            ("日本語日本", 10, "日本語日本", 10),
            ("日本語日本語", 10, "日本語日…", 9),
            ("abc", 1, "…", 1),
            ("abc", 0, "", 0),
        ] {
            assert_eq!(line(text).painted(columns, true), (painted.to_owned(), taken), "{text} in {columns}");
        }
        let coloured = line("ab").with(Style::Bad, "cdef").with(Style::Plain, "gh");
        assert_eq!(coloured.painted(5, true).0, "ab\x1b[31mcd\x1b[0m…");
        assert_eq!(coloured.painted(5, false).0, "abcd…");
    }

    #[test]
    fn what_is_said_stands_above_and_sections_keep_their_order() {
        let mut view = View::new();
        assert_eq!(view.show(1, vec![line("b")], SCREEN), "b\n");
        assert_eq!(view.show(0, vec![line("a"), line("a2")], SCREEN), "\r\x1b[1A\x1b[0Ja\na2\nb\n");
        assert_eq!(view.say("said\n", SCREEN), "\r\x1b[3A\x1b[0Jsaid\na\na2\nb\n");
        assert_eq!(view.hide(0, SCREEN), "\r\x1b[3A\x1b[0Jb\n");
        assert_eq!(view.hide(1, SCREEN), "\r\x1b[1A\x1b[0J");
        assert!(view.is_empty());
        assert_eq!(view.say("more\n", SCREEN), "more\n");
    }

    #[test]
    fn a_terminal_that_becomes_narrower_or_lower_is_not_smeared() {
        let mut view = View::new();
        view.show(0, vec![line("0123456789"), line("a")], SCREEN);
        // the first line takes three rows of four columns now
        let narrow = Screen { columns: 4, ..SCREEN };
        assert_eq!(view.say("", narrow), "\r\x1b[4A\x1b[0J012…\na\n");
        let low = Screen { rows: 3, columns: 20, is_coloured: false };
        view.hide(0, low);
        let lines = ["a", "b", "c"].map(line).to_vec();
        assert_eq!(view.show(0, lines, low), "a\n… and 2 lines more\n");
    }
}
