//! What is said in passing: words that whoever closed the pipe does not want to know, so that they never end the program. What is painted on a
//! terminal meanwhile stays below them.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use metrics::report::is_hidden;
use rustix::io::Errno;

use crate::exit::Failure;
use crate::view::{Line, Screen, View};

/// What is painted on standard error: one for all that is said.
static VIEW: Mutex<View> = Mutex::new(View::new());

/// Says a line on standard error.
pub fn say(text: impl Display) {
    let mut view = view();
    let text = format!("{text}\n");
    let told = if view.is_empty() { text } else { view.say(&text, screen()) };
    tell(&told);
}

/// Says why something ended early.
pub fn say_failure(failure: &Failure) {
    say(format_args!("kubectl-artillery: {}", harmless_lines(&failure.to_string())));
}

/// Paints lines as a section below what is said, in place of those that it had.
pub fn paint(section: usize, lines: Vec<Line>) {
    let mut view = view();
    let told = view.show(section, lines, screen());
    tell(&told);
}

/// Takes a section away.
pub fn erase(section: usize) {
    let mut view = view();
    if !view.is_empty() {
        let told = view.hide(section, screen());
        tell(&told);
    }
}

/// Whether lines can be painted again on standard error.
pub fn can_paint() -> bool {
    io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Whether nobody asked for no colours (<https://no-color.org>).
pub fn may_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// Prints a line on standard output.
///
/// # Errors
/// As for [`printed`].
pub fn print(text: impl Display) -> Result<(), Failure> {
    printed(writeln!(io::stdout(), "{text}"))
}

/// Whether what was printed went to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// All of it.
    Yes,
    /// Its reader went away, or its terminal was closed.
    Unread,
}

/// A reader of standard output that goes away is none of our business, and neither is a terminal that is closed.
///
/// # Errors
/// It cannot be written for another reason.
pub fn printed(written: io::Result<()>) -> Result<(), Failure> {
    delivered(written).map(drop)
}

/// The same, for whoever has the only copy of what was printed.
///
/// # Errors
/// As for [`printed`].
pub fn delivered(written: io::Result<()>) -> Result<Delivered, Failure> {
    match written {
        Ok(()) => Ok(Delivered::Yes),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe || is_of_a_dead_terminal(&error) => {
            Ok(Delivered::Unread)
        }
        Err(error) => Err(Failure::internal(format!("standard output cannot be written: {error}"))),
    }
}

/// A disk may say the same, but is no terminal.
fn is_of_a_dead_terminal(error: &io::Error) -> bool {
    let is_dead = || matches!(rustix::termios::tcgetattr(io::stdout()), Err(Errno::IO));
    Errno::from_io_error(error) == Some(Errno::IO) && is_dead()
}

/// A text from elsewhere as one line that does nothing to a terminal: what would is written as in Rust, `\u{1b}` or `\n`.
pub fn harmless(text: &str) -> String {
    escaped(text, is_hidden)
}

/// The same, whose lines stay lines.
pub fn harmless_lines(text: &str) -> String {
    escaped(text, |c| is_hidden(c) && !matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match is_escaped(c) {
            true => safe.extend(c.escape_default()),
            false => safe.push(c),
        }
    }
    safe
}

fn view() -> MutexGuard<'static, View> {
    VIEW.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(text: &str) {
    // where it cannot be said, nobody reads either
    let _ = io::stderr().write_all(text.as_bytes());
}

/// As it is now: it may have become another since the last look.
fn screen() -> Screen {
    let size = rustix::termios::tcgetwinsize(io::stderr()).ok();
    // some terminals do not know their size
    let known = |n: Option<u16>, otherwise: usize| n.map(usize::from).filter(|n| *n > 0).unwrap_or(otherwise);
    Screen {
        columns: known(size.map(|size| size.ws_col), 80),
        rows: known(size.map(|size| size.ws_row), 24),
        is_coloured: may_colour(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_goes_away_is_no_failure_and_has_not_read() {
        let told = |written: io::Result<()>| delivered(written).map_err(|failure| failure.to_string());
        assert_eq!(told(Ok(())), Ok(Delivered::Yes));
        assert_eq!(told(Err(io::ErrorKind::BrokenPipe.into())), Ok(Delivered::Unread));
        assert!(printed(Err(io::ErrorKind::BrokenPipe.into())).is_ok());
        let full = told(Err(io::ErrorKind::StorageFull.into())).expect_err("nobody has it");
        assert!(full.starts_with("standard output cannot be written: "), "{full}");
    }

    #[test]
    fn a_text_from_elsewhere_does_nothing_to_a_terminal() {
        let hostile = "a\u{1b}[2Jb\nc\r\u{9b}1m\u{202e}é\t";
        assert_eq!(harmless(hostile), "a\\u{1b}[2Jb\\nc\\r\\u{9b}1m\\u{202e}é\\t");
        assert_eq!(harmless_lines(hostile), "a\\u{1b}[2Jb\nc\\r\\u{9b}1m\\u{202e}é\t");
    }
}
