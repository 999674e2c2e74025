//! What Artillery's plugin `metrics-by-endpoint` measured, put together again by endpoint.

use std::collections::BTreeMap;

use super::document::{Figures, Stats};

/// How the names of its metrics begin.
pub(super) const PREFIX: &str = "plugins.metrics-by-endpoint.";

/// What was measured of an endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Endpoint<'a> {
    /// As the plugin calls it.
    pub name: &'a str,
    /// Answers by their code.
    pub codes: Vec<(&'a str, f64)>,
    /// Errors by their code.
    pub errors: Vec<(&'a str, f64)>,
    /// Response times, in milliseconds.
    pub times: Option<&'a Figures>,
}

impl Endpoint<'_> {
    /// Answers and errors.
    fn count(&self) -> f64 {
        self.codes.iter().chain(&self.errors).map(|(_, count)| count).sum()
    }
}

/// By name; where there are more than `most`, those with the most answers. And how many more there are.
pub(super) fn endpoints(stats: &Stats, most: usize) -> (Vec<Endpoint<'_>>, usize) {
    let mut by_name: BTreeMap<&str, Endpoint<'_>> = BTreeMap::new();
    for (name, count) in &stats.counters {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if let Some((name, code)) = rest.rsplit_once(".codes.") {
            by_name.entry(name).or_default().codes.push((code, *count));
        }
        if let Some((name, code)) = rest.rsplit_once(".errors.") {
            by_name.entry(name).or_default().errors.push((code, *count));
        }
    }
    for (name, figures) in &stats.summaries {
        if let Some(name) = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_prefix("response_time.")) {
            by_name.entry(name).or_default().times = Some(figures);
        }
    }
    let named = by_name.into_iter().map(|(name, endpoint)| Endpoint { name, ..endpoint });
    let mut all: Vec<_> = named.collect();
    let more = all.len().saturating_sub(most);
    if more > 0 {
        all.sort_by(|a, b| b.count().total_cmp(&a.count()).then(a.name.cmp(b.name)));
        all.truncate(most);
        all.sort_by_key(|endpoint| endpoint.name);
    }
    (all, more)
}

/// `200: 7, 404: 1`.
pub(super) fn listed(
    counts: &[(&str, f64)],
    text: impl Fn(&str) -> String,
    number: impl Fn(f64) -> String,
) -> String {
    let each: Vec<_> =
        counts.iter().map(|(code, count)| format!("{}: {}", text(code), number(*count))).collect();
    each.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_put_together_and_of_many_the_busiest_are_told() {
        let mut stats = Stats::default();
        for (name, count) in [
            ("/a.codes.200", 1.0),
            ("/b.codes.200", 3.0),
            ("/b.codes.404", 1.0),
            ("/b.errors.X", 1.0),
            ("/c.codes.200", 2.0),
        ] {
            stats.counters.insert(format!("{PREFIX}{name}"), count);
        }
        stats
            .summaries
            .insert(format!("{PREFIX}response_time./b"), Figures { count: Some(4.0), ..Figures::default() });
        let (two, more) = endpoints(&stats, 2);
        assert_eq!(
            (two.iter().map(|endpoint| endpoint.name).collect::<Vec<_>>(), more),
            (vec!["/b", "/c"], 1)
        );
        assert_eq!((&*two[0].codes, &*two[0].errors), (&[("200", 3.0), ("404", 1.0)][..], &[("X", 1.0)][..]));
        assert_eq!(two[0].times.and_then(|times| times.count), Some(4.0));
        assert_eq!(listed(&two[0].codes, str::to_owned, |n| n.to_string()), "200: 3, 404: 1");
    }
}
