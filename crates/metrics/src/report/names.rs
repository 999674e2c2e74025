//! Texts that come from elsewhere (names of a script, errors of a target) as writers for people show them.

/// A name or a text from elsewhere in one line, without characters that are not seen, that end the line, do something to a terminal, or
/// turn the rest around.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Whether a character is none that is read: controls, ends of lines, and what changes the direction of a text.
pub(super) fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}' | '\u{feff}'
        )
        || ('\u{202a}'..='\u{202e}').contains(&c)
        || ('\u{2066}'..='\u{2069}').contains(&c)
}
