//! Hooks that run once for all workers: worker 0 tells what `before` captured, the others start with it, and `after` waits for them.

use std::sync::Arc;

use super::start::Start;
use super::{Denied, Process, Session, StartAnswer, refused};
use crate::edge::Reason;
use crate::moment::Moment;

/// The worker that runs the hooks.
pub const HOOKS_WORKER: u32 = 0;

/// Variables of Artillery's, by name: a JSON object, as worker 0 wrote it. Parsed it would take many times its bytes.
pub type Variables = Arc<str>;

/// Why nobody starts whose hooks were to run in another worker.
const ENDED: &str =
    "worker 0 runs the script's `before` for all workers, and it ended before it could say what was captured";
const UNKNOWN: &str = "worker 0 runs the script's `before` for all workers, and the collector, which was restarted after the start, does not know what was captured";
const LATE: &str = "worker 0 runs the script's `before` for all workers, and it had not said what was captured when the time for the start was over";

/// What a worker says of the hooks, where they run once, as it asks for the start.
#[derive(Clone, Debug, PartialEq)]
pub enum Before {
    /// It has run `before`, and captured these.
    Ran(Variables),
    /// It needs what was captured.
    Wanted,
    /// It was told.
    Known,
}

impl Session {
    /// A worker asks whether it may start, where hooks run once. It is ready when it knows the variables, which come with the answer to
    /// whoever needs them. They are stored nowhere, for they may be secrets: worker 0 tells them whenever it asks.
    ///
    /// # Errors
    /// It may not take part; or `before` has not run, and will not.
    pub fn poll_once(
        &mut self,
        index: u32,
        process: &Process,
        before: Before,
        now: Moment,
    ) -> Result<(StartAnswer, Option<Variables>), Denied> {
        match before {
            Before::Known => return Ok((self.poll(index, process, now)?, None)),
            Before::Ran(variables) => {
                let answer = self.poll(index, process, now)?;
                self.variables = Some(variables);
                return Ok((answer, None));
            }
            Before::Wanted => self.heard(index, process, now)?,
        }
        if self.variables.is_none()
            && let Some(why) = self.hookless()
        {
            self.why_hookless = Some(why);
            return refused(Reason::HooksFailed, why.to_owned());
        }
        Ok((self.start_answer(now), self.variables.clone()))
    }

    /// Whether nobody will say what was captured, for worker 0 has ended, or the start was decided without a word of it: then which.
    fn hookless(&self) -> Option<&'static str> {
        let finish = self.members.get(&HOOKS_WORKER).and_then(|worker| worker.finish.as_ref());
        if finish.is_some() || self.over.contains(&HOOKS_WORKER) {
            return Some(ENDED);
        }
        match self.start {
            Start::Waiting => self.ready.contains(&HOOKS_WORKER).then_some(LATE),
            Start::Decided { at }
            | Start::Released { at }
            | Start::Expired { at }
            | Start::TimedOut { at } => Some(if at < self.opened { UNKNOWN } else { LATE }),
        }
    }

    /// Whether all who take part but this one have ended, by their own word or their pods'; only asked of whoever runs the hooks.
    pub(super) fn others_ended(&self, index: u32) -> bool {
        index == HOOKS_WORKER
            && self.members.iter().all(|(other, worker)| {
                *other == index || worker.finish.is_some() || self.over.contains(other)
            })
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{at, process, reason, saved, session};
    use super::super::{Finish, Hello};
    use super::*;
    use crate::edge::OnTimeout;

    fn captured() -> Variables {
        r#"{"token":"a"}"#.into()
    }

    fn joined(workers: u32) -> Session {
        let mut session = session(workers, OnTimeout::Run);
        for index in 0..workers {
            session.join(index, &process(index), Hello::default(), at(0)).expect("it takes part");
        }
        session
    }

    fn polled(
        session: &mut Session,
        index: u32,
        before: Before,
        millis: u64,
    ) -> (StartAnswer, Option<Variables>) {
        session.poll_once(index, &process(index), before, at(millis)).expect("an answer")
    }

    fn failed(session: &mut Session) {
        let finish = Finish { exit_code: Some(1), ..Finish::default() };
        session.finish(0, &process(0), finish, at(2)).expect("an answer");
    }

    #[test]
    fn nobody_is_ready_before_it_knows_what_before_captured_and_then_all_start() {
        let mut session = joined(3);
        let nothing = polled(&mut session, 1, Before::Wanted, 1);
        assert!(matches!(nothing, (StartAnswer::Wait { ready: 0, workers: 3, .. }, None)), "{nothing:?}");
        assert!(matches!(
            polled(&mut session, 0, Before::Ran(captured()), 2),
            (StartAnswer::Wait { ready: 1, .. }, None)
        ));
        for index in 1..3 {
            let told = polled(&mut session, index, Before::Wanted, 3);
            assert!(matches!(told.0, StartAnswer::Wait { ready: 1, .. }), "{told:?}");
            assert_eq!(told.1, Some(captured()));
        }
        polled(&mut session, 1, Before::Known, 4);
        assert!(matches!(
            polled(&mut session, 2, Before::Known, 5),
            (StartAnswer::Wait { ready: 3, .. }, None)
        ));
        saved(&mut session, at(6));
        assert!(matches!(
            polled(&mut session, 0, Before::Ran(captured()), 7),
            (StartAnswer::Go { .. }, None)
        ));
    }

    #[test]
    fn a_collector_that_is_restarted_is_told_the_variables_again_for_they_are_not_stored() {
        let mut session = joined(2);
        polled(&mut session, 0, Before::Ran(captured()), 1);
        let snapshot = saved(&mut session, at(2));
        let mut restored = Session::restore(&snapshot, at(3)).expect("a session");
        assert_eq!(polled(&mut restored, 1, Before::Wanted, 4).1, None);
        polled(&mut restored, 0, Before::Ran(captured()), 5);
        assert_eq!(polled(&mut restored, 1, Before::Wanted, 6).1, Some(captured()));
    }

    #[test]
    fn who_comes_after_the_start_to_a_collector_that_was_restarted_is_told_that_it_does_not_know() {
        let mut session = joined(3);
        polled(&mut session, 0, Before::Ran(captured()), 1);
        polled(&mut session, 1, Before::Wanted, 2);
        polled(&mut session, 1, Before::Known, 3);
        session.tick(at(600_000)); // 2 is not waited for any longer
        let snapshot = saved(&mut session, at(600_001));
        assert_eq!(polled(&mut session, 2, Before::Wanted, 600_002).1, Some(captured()));
        let mut restored = Session::restore(&snapshot, at(700_000)).expect("a session");
        let answer = restored.poll_once(2, &process(2), Before::Wanted, at(700_001));
        assert_eq!(reason(answer), Reason::HooksFailed);
        assert_eq!(restored.facts(at(700_002)).unshared.as_deref(), Some(UNKNOWN));
    }

    #[test]
    fn where_the_one_before_failed_died_or_came_too_late_the_others_are_turned_away_and_the_facts_say_why() {
        let failures: [(fn(&mut Session), _); 3] = [
            (failed, ENDED),
            (|session| session.ended([0], at(2)), ENDED),
            (|session| session.tick(at(600_000)), LATE),
        ];
        for (fails, why) in failures {
            let mut session = joined(2);
            polled(&mut session, 1, Before::Wanted, 1);
            fails(&mut session);
            let answer = session.poll_once(1, &process(1), Before::Wanted, at(600_001));
            assert_eq!(reason(answer), Reason::HooksFailed);
            assert_eq!(session.facts(at(600_002)).unshared.as_deref(), Some(why));
        }
        let mut without = session(2, OnTimeout::Run);
        without.join(1, &process(1), Hello::default(), at(0)).expect("it takes part");
        without.ended([0], at(1));
        let answer = without.poll_once(1, &process(1), Before::Wanted, at(2));
        assert_eq!(reason(answer), Reason::HooksFailed, "worker 0 can never join");
    }

    #[test]
    fn a_worker_0_that_ends_after_it_told_the_variables_is_not_missed() {
        let mut session = joined(2);
        polled(&mut session, 0, Before::Ran(captured()), 1);
        failed(&mut session);
        assert_eq!(polled(&mut session, 1, Before::Wanted, 3).1, Some(captured()));
    }

    #[test]
    fn worker_0_alone_is_told_when_all_others_have_ended_by_their_word_or_their_pods() {
        let mut session = joined(3);
        for index in 0..3 {
            session.poll(index, &process(index), at(1)).expect("an answer");
        }
        saved(&mut session, at(2));
        let told = |session: &mut Session, index| {
            session.progress(index, &process(index), at(3)).expect("an answer").others_ended
        };
        session.finish(1, &process(1), Finish::default(), at(3)).expect("an answer");
        assert!(!told(&mut session, 0), "2 runs");
        session.ended([2], at(4));
        assert!(told(&mut session, 0) && !told(&mut session, 1));
    }
}
