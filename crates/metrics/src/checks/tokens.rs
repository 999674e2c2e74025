//! The words of an expression, as filtrex takes them apart: each rule of its lexer, in its order, and with its surprises.

use super::ExpressionError;
use crate::javascript::is_space;

/// A word, and where it begins in the expression, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub kind: Kind,
    pub at: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    /// An operator, a bracket, a comma, `and`, `or`, `not`, `in` or `of`.
    Sign(&'static str),
    Number(f64),
    /// The name of a metric, a function or a property.
    Symbol(String),
    Text(String),
    End,
}

const SIGNS: [&str; 18] =
    ["*", "/", "-", "+", "^", "%", "(", ")", ",", "==", "!=", "~=", ">=", "<=", "<", ">", "?", ":"];
const WORDS: [&str; 5] = ["and", "or", "not", "in", "of"];

/// Takes an expression apart. `end` is where it ends, in bytes.
pub(super) fn tokens(characters: &[(char, usize)], end: usize) -> Result<Vec<Token>, ExpressionError> {
    let mut tokens = Vec::new();
    let mut rest = characters;
    while let Some((first, at)) = rest.first().copied() {
        let (kind, length) = if let Some(sign) = SIGNS.into_iter().find(|sign| starts_with(rest, sign)) {
            (Some(Kind::Sign(sign)), sign.len())
        } else if let Some(word) = WORDS.into_iter().find(|word| is_word(rest, word)) {
            (Some(Kind::Sign(word)), word.len() + 1) // it takes the next character with it
        } else if is_space(first) {
            (None, 1)
        } else if first.is_ascii_digit() {
            let (number, length) = number(rest)?;
            (Some(Kind::Number(number)), length)
        } else if is_symbol_start(first) {
            let length =
                rest.iter().take_while(|(c, _)| is_symbol_start(*c) || matches!(c, '.' | '0'..='9')).count();
            (Some(Kind::Symbol(text_of(&rest[..length]))), length)
        } else if matches!(first, '\'' | '"') {
            let (text, length) = quoted(rest, first)?;
            (Some(if first == '"' { Kind::Text(text) } else { Kind::Symbol(text) }), length)
        } else {
            return Err(unknown(rest, first, at));
        };
        tokens.extend(kind.map(|kind| Token { kind, at }));
        rest = &rest[length..];
    }
    tokens.push(Token { kind: Kind::End, at: end });
    Ok(tokens)
}

fn starts_with(rest: &[(char, usize)], text: &str) -> bool {
    text.chars()
        .zip(rest.iter().map(Some).chain(std::iter::repeat(None)))
        .all(|(c, there)| there.is_some_and(|(there, _)| *there == c))
}

/// Whether the word is here, and a character follows that is in no word: at the end of an expression it is a symbol.
fn is_word(rest: &[(char, usize)], word: &str) -> bool {
    starts_with(rest, word) && rest.get(word.len()).is_some_and(|(next, _)| !is_word_character(*next))
}

/// What `\w` matches.
fn is_word_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_symbol_start(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '$' | '_')
}

fn text_of(characters: &[(char, usize)]) -> String {
    characters.iter().map(|(c, _)| c).collect()
}

/// A number, whose digits no letter may follow, as JavaScript reads it: one that begins with 0 has the base 8.
fn number(rest: &[(char, usize)]) -> Result<(f64, usize), ExpressionError> {
    let digits = |rest: &[(char, usize)]| rest.iter().take_while(|(c, _)| c.is_ascii_digit()).count();
    let whole = digits(rest);
    let fraction = match rest.get(whole) {
        Some(('.', _)) => digits(&rest[whole + 1..]),
        _ => 0,
    };
    let is_end = |length: usize| !rest.get(length).is_some_and(|(c, _)| is_word_character(*c));
    let length = match fraction {
        0 => Some(whole).filter(|length| is_end(*length)),
        _ => Some(whole + 1 + fraction).filter(|length| is_end(*length)).or(Some(whole)),
    };
    let at = rest.first().map_or(0, |(_, at)| *at);
    let Some(length) = length else {
        let unit = text_of(&rest[whole..]);
        let unit: String = unit.chars().take_while(|c| is_word_character(*c)).take(20).collect();
        return Err(ExpressionError::new(
            at,
            format!("a number without `{unit}` is expected: times are in ms, there are no units"),
        ));
    };
    let text = text_of(&rest[..length]);
    let is_octal = whole > 1 && text.starts_with('0') && text[..whole].bytes().all(|digit| digit < b'8');
    if !is_octal {
        return Ok((text.parse().unwrap_or(f64::NAN), length));
    }
    if length > whole {
        return Err(ExpressionError::new(
            at,
            format!("a number without leading zeros is expected, not `{text}`"),
        ));
    }
    let octal = text
        .chars()
        .filter_map(|digit| digit.to_digit(8))
        .fold(0.0, |sum, digit| sum * 8.0 + f64::from(digit));
    Ok((octal, length))
}

/// What is between quotes, and how long it is with them. `\` stands before a quote or another `\`.
fn quoted(rest: &[(char, usize)], quote: char) -> Result<(String, usize), ExpressionError> {
    let mut text = String::new();
    let mut index = 1;
    while let Some((c, at)) = rest.get(index) {
        match (*c, rest.get(index + 1)) {
            (c, _) if c == quote => return Ok((text, index + 1)),
            ('\\', Some((next, _))) if *next == quote || *next == '\\' => {
                text.push(*next);
                index += 2;
            }
            ('\\', _) => {
                let message = format!("`\\{quote}` or `\\\\` is expected: nothing else is written with `\\`");
                return Err(ExpressionError::new(*at, message));
            }
            (c, _) => {
                text.push(c);
                index += 1;
            }
        }
    }
    let at = rest.first().map_or(0, |(_, at)| *at);
    Err(ExpressionError::new(at, format!("a {quote} is expected to end what begins here")))
}

fn unknown(rest: &[(char, usize)], first: char, at: usize) -> ExpressionError {
    let right = match first {
        '&' => "`and` is expected".to_owned(),
        '|' => "`or` is expected".to_owned(),
        '=' => "`==` is expected".to_owned(),
        '!' if starts_with(rest, "!") => "`not` or `!=` is expected".to_owned(),
        '.' => "a digit is expected before and after a point".to_owned(),
        _ => "a metric that was measured, a number, a text in \", or an operator is expected".to_owned(),
    };
    ExpressionError::new(at, format!("{right}, not `{first}`"))
}
