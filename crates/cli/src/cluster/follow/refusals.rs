//! Whether the cluster refuses what following takes for a moment, or for good. A watch that begins says nothing, so that is told by the refusals alone.

use std::time::{Duration, Instant};

use kube::runtime::watcher;

use crate::cluster::patience::PATIENCE;

/// So soon after the first look a watch that is refused never began.
const AT_ONCE: Duration = Duration::from_secs(10);
/// Tries follow each other within less: what is refused later is refused anew.
const APART: Duration = Duration::from_secs(90);

/// What the cluster refuses of following, and its code: it does not know who we are, we may not, or there are no load tests.
pub(super) fn refusal(error: &watcher::Error) -> Option<(&kube::Error, u16)> {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) = error else {
        return None;
    };
    match error {
        kube::Error::Api(status) if [401, 403, 404].contains(&status.code) => Some((error, status.code)),
        _ => None,
    }
}

/// What was refused, and what was seen, until now.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    /// When the load test was seen, where that was once.
    seen_once: Option<Instant>,
    was_seen: bool,
    /// The first and the last of refusals that follow each other.
    refused: Option<(Instant, Instant)>,
}

/// What a refusal means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is tried again.
    Perhaps,
    /// There is no right to it, and never was.
    FromTheStart,
    /// It was seen before, and is refused for long.
    ForLong,
}

impl Refusals {
    /// The load test is seen.
    pub(super) fn seen(&mut self, now: Instant) {
        self.seen_once = (!self.was_seen).then_some(now);
        self.was_seen = true;
        self.refused = None;
    }

    /// It is refused.
    pub(super) fn refused(&mut self, now: Instant) -> Refused {
        let since = match self.refused {
            Some((first, last)) if now.duration_since(last) < APART => first,
            _ => now,
        };
        self.refused = Some((since, now));
        let is_at_once = self.seen_once.is_some_and(|seen| now.duration_since(seen) < AT_ONCE);
        match (self.was_seen && !is_at_once, now.duration_since(since) >= PATIENCE) {
            (false, _) => Refused::FromTheStart,
            (true, true) => Refused::ForLong,
            (true, false) => Refused::Perhaps,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_final_at_the_start_and_where_it_lasts() {
        let now = Instant::now();
        // when it is seen, and when it is refused, in seconds; what the last refusal means
        for (seen, refused, means) in [
            (&[][..], &[0][..], Refused::FromTheStart),
            (&[0], &[1], Refused::FromTheStart),
            (&[0], &[300], Refused::Perhaps),
            (&[0], &[300, 329], Refused::Perhaps),
            (&[0], &[300, 310, 330], Refused::ForLong),
            (&[0, 1], &[2], Refused::Perhaps),
            (&[0, 1], &[2, 10, 32], Refused::ForLong),
            (&[0, 20], &[10, 45], Refused::Perhaps),
            (&[0], &[100, 200], Refused::Perhaps),
        ] {
            let mut refusals = Refusals::default();
            let at = |seconds: &u64| now + Duration::from_secs(*seconds);
            let mut events: Vec<_> = seen.iter().map(|s| (at(s), true)).collect();
            events.extend(refused.iter().map(|s| (at(s), false)));
            events.sort_by_key(|(at, _)| *at);
            let mut last = Refused::Perhaps;
            for (at, is_seen) in events {
                match is_seen {
                    true => refusals.seen(at),
                    false => last = refusals.refused(at),
                }
            }
            assert_eq!(last, means, "seen at {seen:?}, refused at {refused:?}");
        }
    }
}
