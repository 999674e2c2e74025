//! Texts that come from elsewhere (names of a script, errors of a target) as writers for people show them.

/// A name or a text from elsewhere in one line, without characters that are not seen, that end the line, do something to a terminal, or
/// turn the rest around.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if is_hidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Whether a character is none that is read: controls, ends of lines, what is not seen, and what changes the direction of a text.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_seen_or_turns_a_text_round_is_told_from_what_is_read() {
        for c in
            ['\u{7}', '\n', '\u{9b}', '\u{61c}', '\u{200d}', '\u{202e}', '\u{2060}', '\u{2069}', '\u{feff}']
        {
            assert!(is_hidden(c), "{c:?}");
        }
        assert_eq!(visible("Größe 漢字 – 🙂"), "Größe 漢字 – 🙂");
    }
}
