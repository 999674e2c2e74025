//! Finds the metrics that an expression names: anything may be in a name, so that this comes before the grammar.
//!
//! Artillery's plugin puts a quoted hash in place of each name that occurs anywhere in the expression, one name after the other, in the
//! order in which they were first measured. Here the longest comes first: so `vusers.created_by_name.buy` is never the rest
//! of `vusers.created`.

use std::collections::BTreeMap;

use crate::summary::Figures;

/// Characters that stand for metrics: no expression has any of them.
const STAND_INS: std::ops::RangeInclusive<char> = '\u{f0000}'..='\u{f3fff}';

/// An expression in which each metric is one quoted character.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Named {
    /// Its characters, and where each was in the expression, in bytes.
    pub characters: Vec<(char, usize)>,
    /// The names and values of the metrics.
    pub metrics: Vec<(String, f64)>,
}

/// Whether a character may not be in an expression.
pub(super) fn is_reserved(character: char) -> bool {
    STAND_INS.contains(&character)
}

/// Which metric a symbol stands for.
pub(super) fn metric_of(symbol: &str) -> Option<usize> {
    let mut characters = symbol.chars();
    let number = number_of(characters.next()?);
    number.filter(|_| characters.next().is_none())
}

fn number_of(character: char) -> Option<usize> {
    is_reserved(character).then(|| (u32::from(character) - u32::from(*STAND_INS.start())) as usize)
}

impl Named {
    pub fn of(expression: &str, figures: &Figures) -> Self {
        let mut metrics: Vec<_> = metrics_in(expression, figures).into_iter().collect();
        metrics.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
        let mut pieces = vec![Piece::Text(0, expression)];
        for (number, (name, _)) in metrics.iter().enumerate() {
            pieces = pieces.into_iter().flat_map(|piece| piece.split(name, number)).collect();
        }
        let mut characters = Vec::new();
        for piece in pieces {
            match piece {
                Piece::Text(at, text) => {
                    characters.extend(text.char_indices().map(|(index, character)| (character, at + index)));
                }
                Piece::Metric(at, number) => {
                    let stand_in = u32::try_from(number).ok();
                    let stand_in =
                        stand_in.and_then(|number| char::from_u32(u32::from(*STAND_INS.start()) + number));
                    characters.extend([('\'', at), (stand_in.unwrap_or(*STAND_INS.end()), at), ('\'', at)]);
                }
            }
        }
        Self { characters, metrics }
    }

    /// The metrics that it has, by name.
    pub fn found(&self) -> BTreeMap<&str, f64> {
        let numbers = self.characters.iter().filter_map(|(character, _)| number_of(*character));
        let metrics = numbers.filter_map(|number| self.metrics.get(number));
        metrics.map(|(name, value)| (name.as_str(), *value)).collect()
    }
}

/// Text from a place of the expression on, or a metric at a place.
enum Piece<'a> {
    Text(usize, &'a str),
    Metric(usize, usize),
}

impl<'a> Piece<'a> {
    /// With the metric in each place where the text has its name.
    fn split(self, name: &str, number: usize) -> Vec<Self> {
        let Self::Text(at, text) = self else { return vec![self] };
        let mut pieces = Vec::new();
        let mut end = 0;
        for (start, _) in text.match_indices(name) {
            pieces.extend([Self::Text(at + end, &text[end..start]), Self::Metric(at + start, number)]);
            end = start + name.len();
        }
        pieces.push(Self::Text(at + end, &text[end..]));
        pieces.retain(|piece| !matches!(piece, Self::Text(_, "")));
        pieces
    }
}

/// What was measured under names that occur in the expression: of counters, rates and figures of distributions that are called the same
/// the last one.
#[allow(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn metrics_in(expression: &str, figures: &Figures) -> BTreeMap<String, f64> {
    let Figures { counters, rates, summaries } = figures;
    let counters = counters.iter().map(|(name, count)| (name, *count as f64));
    let numbers = counters.chain(rates.iter().map(|(name, rate)| (name, *rate)));
    let mut metrics: BTreeMap<_, _> = numbers
        .filter(|(name, _)| expression.contains(&***name))
        .map(|(name, number)| (name.to_string(), number))
        .collect();
    for (name, summary) in summaries.iter().filter(|(name, _)| expression.contains(&***name)) {
        let figures = summary.named().map(|(figure, number)| (format!("{name}.{figure}"), number));
        metrics.extend(figures.into_iter().filter(|(name, _)| expression.contains(name)));
    }
    metrics
}
