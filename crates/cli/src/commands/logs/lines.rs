//! A log's bytes as whole lines without the time that Kubernetes writes before each; by it a log that is read again goes on where it was. Pure.

use loadtest::Timestamp;

/// A line is cut where it has more bytes.
pub const MAX_LINE: usize = 64 * 1024;
/// No time has more bytes: `2026-01-01T00:00:00.123456789+00:00`.
const MAX_STAMP: usize = 40;

/// The lines of one log.
#[derive(Debug)]
pub struct Lines {
    /// What is written before each.
    prefix: Vec<u8>,
    /// The beginning of one that is not whole yet.
    rest: Vec<u8>,
    /// The time of the last one, as it was written, and how many of that time there were.
    last: (Vec<u8>, u64),
    /// What is there already of a log that is read again: all before this time, and so many of it.
    skipped: Option<(Timestamp, u64)>,
    /// The line that goes on is a long one that was cut, and whether it is left out.
    continued: Option<bool>,
}

impl Lines {
    /// With this before each line.
    pub fn new(prefix: String) -> Self {
        Self {
            prefix: prefix.into_bytes(),
            rest: Vec::new(),
            last: (Vec::new(), 0),
            skipped: None,
            continued: None,
        }
    }

    /// Takes in what was read. Returns the whole lines.
    pub fn take(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.rest.extend_from_slice(bytes);
        self.whole(false)
    }

    /// The last line, where it does not end.
    pub fn end(&mut self) -> Vec<u8> {
        self.whole(true)
    }

    /// The log is read again. Returns from which second on, if a line of it is there: what is not whole comes again, but for the rest of a line that
    /// was cut.
    pub fn again(&mut self) -> Option<Timestamp> {
        self.rest.clear();
        self.continued = None;
        let (stamp, count) = &self.last;
        let last = time(stamp)?;
        self.skipped = Some((last, *count));
        // Kubernetes is asked by whole seconds, which must not be rounded up
        Timestamp::from_second(last.as_second()).ok()
    }

    /// Whether a log that is read again goes on just where it is: not so of the rest of a line that was cut, nor of the last lines of a log
    /// (without `is_whole`) of which none was read.
    pub fn can_go_on(&self, is_whole: bool) -> bool {
        self.continued.is_none() && (is_whole || !self.last.0.is_empty())
    }

    fn whole(&mut self, is_end: bool) -> Vec<u8> {
        let mut lines = Vec::new();
        let rest = std::mem::take(&mut self.rest);
        let mut taken = 0;
        while let Some(length) = next_line(&rest[taken..], is_end) {
            let line = &rest[taken..taken + length];
            let text = match self.continued {
                Some(is_left_out) => (!is_left_out).then_some(line),
                None => self.begun(line),
            };
            self.continued = (line.last() != Some(&b'\n')).then_some(text.is_none());
            if let Some(text) = text {
                lines.extend_from_slice(&self.prefix);
                lines.extend_from_slice(text);
                if lines.last() != Some(&b'\n') {
                    lines.push(b'\n');
                }
            }
            taken += length;
        }
        self.rest = rest[taken..].to_vec();
        lines
    }

    /// The text of a line that begins here; `None` if it is there already.
    fn begun<'a>(&mut self, line: &'a [u8]) -> Option<&'a [u8]> {
        let blank = line.iter().take(MAX_STAMP).position(|byte| *byte == b' ');
        // what has no time is of no log of Kubernetes, and is passed on as it is
        let Some(at) = blank.filter(|_| line[0].is_ascii_digit()) else { return Some(line) };
        let (stamp, text) = (&line[..at], &line[at + 1..]);
        if let Some((until, left)) = &mut self.skipped {
            match time(stamp) {
                Some(time) if time < *until => return None,
                Some(time) if time == *until && *left > 0 => {
                    *left -= 1;
                    return None;
                }
                _ => self.skipped = None,
            }
        }
        if self.last.0 == stamp {
            self.last.1 += 1;
        } else {
            self.last.0.clear();
            self.last.0.extend_from_slice(stamp);
            self.last.1 = 1;
        }
        Some(text)
    }
}

fn time(stamp: &[u8]) -> Option<Timestamp> {
    std::str::from_utf8(stamp).ok()?.parse().ok()
}

/// The length of the first line, with its end; `None` while it is not whole.
fn next_line(bytes: &[u8], is_end: bool) -> Option<usize> {
    let searched = &bytes[..bytes.len().min(MAX_LINE)];
    match searched.iter().position(|byte| *byte == b'\n') {
        Some(at) => Some(at + 1),
        None if bytes.len() >= MAX_LINE => Some(MAX_LINE),
        None => (is_end && !bytes.is_empty()).then_some(bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "2026-01-01T00:00:01.1Z a\n2026-01-01T00:00:01.2Z b b\n2026-01-01T00:00:01.2Z c\n2026-01-01T00:00:01.2Z d\n2026-01-01T00:00:02Z \n";

    fn text(bytes: Vec<u8>) -> String {
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn lines_stay_whole_and_lose_their_time() {
        let mut lines = Lines::new("w | ".to_owned());
        let (first, second) = LOG.split_at(40);
        assert_eq!(text(lines.take(first.as_bytes())), "w | a\n");
        assert_eq!(text(lines.take(second.as_bytes())), "w | b b\nw | c\nw | d\nw | \n");
        assert_eq!(text(lines.take(b"no time\n2026-01-01T00:00:03Z end")), "w | no time\n");
        assert_eq!(text(lines.end()), "w | end\n");
    }

    #[test]
    fn one_without_end_is_cut() {
        let mut lines = Lines::new("w | ".to_owned());
        let stamp = "2026-01-01T00:00:01Z ";
        let long = "x".repeat(MAX_LINE);
        let cut = &long[stamp.len()..];
        assert_eq!(
            text(lines.take(format!("{stamp}{long}\nb\n").as_bytes())),
            format!("w | {cut}\nw | {}\nw | b\n", &long[cut.len()..])
        );
    }

    #[test]
    fn what_would_not_go_on_where_it_is_is_known() {
        let mut lines = Lines::new(String::new());
        assert!(lines.can_go_on(true) && !lines.can_go_on(false), "which lines are the last ones may change");
        lines.take(b"2026-01-01T00:00:01Z a\n2026-01-01T00:00:02Z half");
        assert!(lines.can_go_on(true) && lines.can_go_on(false), "one that is not whole comes again");
        lines.take("x".repeat(MAX_LINE).as_bytes());
        assert!(!lines.can_go_on(true), "it was cut");
        lines.take(b"\n");
        assert!(lines.can_go_on(true));
    }

    #[test]
    fn a_log_that_is_read_again_goes_on_where_it_broke() {
        for broken in 0..LOG.len() {
            let mut lines = Lines::new(String::new());
            let mut all = lines.take(&LOG.as_bytes()[..broken]);
            let from = lines.again();
            // Kubernetes begins with the second that the time lies in
            assert!(from.is_none_or(|from| from.as_second() <= 1_767_225_602), "{from:?}");
            let again = if from.is_some_and(|from| from.as_second() == 1_767_225_602) {
                &LOG[LOG.len() - 22..]
            } else {
                LOG
            };
            all.extend(lines.take(again.as_bytes()));
            assert_eq!(text(all), "a\nb b\nc\nd\n\n", "broken at {broken}");
        }
    }
}
