//! Whether the cluster refuses what following takes for a moment, or for good. A watch that begins says nothing, so that is told by the refusals alone.

use std::time::{Duration, Instant};

use kube::runtime::watcher;

use crate::cluster::patience::PATIENCE;

/// So soon after the first look a watch that is refused never began.
const AT_ONCE: Duration = Duration::from_secs(10);
/// Tries follow each other within less: what is refused later is refused anew.
const APART: Duration = Duration::from_secs(90);
/// Refusals that are final at the start: one or two may be of an API server that has just begun, of several. They take some 4 s.
const SOME: u32 = 3;
/// Refusals that are final later: in half a minute there are more, and as many hiccups do not follow each other.
const MANY: u32 = 5;

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
    /// The first and the last of refusals that follow each other, and their number.
    refused: Option<(Instant, Instant, u32)>,
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
        let (since, count) = match self.refused {
            Some((first, last, count)) if now.duration_since(last) < APART => (first, count + 1),
            _ => (now, 1),
        };
        self.refused = Some((since, now, count));
        let is_at_once = self.seen_once.is_some_and(|seen| since.duration_since(seen) < AT_ONCE);
        let has_begun = self.was_seen && !is_at_once;
        if !has_begun && count >= SOME {
            Refused::FromTheStart
        } else if has_begun && count >= MANY && now.duration_since(since) >= PATIENCE {
            Refused::ForLong
        } else {
            Refused::Perhaps
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
            (&[][..], &[0, 1][..], Refused::Perhaps),
            (&[], &[0, 1, 3], Refused::FromTheStart),
            (&[0], &[1, 2], Refused::Perhaps),
            (&[0], &[1, 2, 4], Refused::FromTheStart),
            (&[0], &[300, 301, 303], Refused::Perhaps),
            (&[0], &[300, 301, 303, 306, 329], Refused::Perhaps),
            (&[0], &[300, 301, 303, 306, 313, 330], Refused::ForLong),
            (&[0, 1], &[2, 3, 5], Refused::Perhaps),
            (&[0, 1], &[2, 3, 5, 8, 32], Refused::ForLong),
            (&[0, 20], &[10, 11, 30, 31, 33, 45], Refused::Perhaps),
            // servers that begin anew one after the other, and a watch that waits between
            (&[0], &[100, 160, 220, 280], Refused::Perhaps),
            (&[0], &[100, 200, 300, 400, 500], Refused::Perhaps),
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
