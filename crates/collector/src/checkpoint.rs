//! When what a load test has in memory is stored: at once before a start, soon when a worker ends, else rarely, and all
//! load tests together within what etcd bears.

use std::time::Duration;

use crate::moment::Moment;

/// A load test that runs is stored no more often.
pub const ROUTINE: Duration = Duration::from_secs(60);
/// Ends of workers that come within this time are stored together.
pub const COALESCE: Duration = Duration::from_millis(250);
/// And no more often than this: workers seldom end in the same moment. The last of them does not wait.
pub const ENDS: Duration = Duration::from_secs(3);
/// So many bytes a second may be written, over all load tests.
pub const BYTES_PER_SECOND: f64 = 1024.0 * 1024.0;
/// So many may be saved up.
const SAVED_UP: f64 = 4.0 * BYTES_PER_SECOND;
/// Routine leaves so many for ends of workers.
const RESERVE: f64 = BYTES_PER_SECOND;
/// The pause after a failed save; it doubles with each further one.
const FIRST_RETRY: Duration = Duration::from_millis(500);
/// And grows no longer.
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// How much something wants to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// All wait for it: a start, or the last worker's end.
    Now,
    /// A worker waits for it, and can wait some seconds: its end.
    Finish,
    /// Nobody waits for it.
    Routine,
}

/// Since when something is not stored, by urgency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unsaved {
    now: Option<Moment>,
    finish: Option<Moment>,
    routine: Option<Moment>,
}

impl Unsaved {
    /// Something more is not stored.
    pub fn note(&mut self, urgency: Urgency, now: Moment) {
        let since = match urgency {
            Urgency::Now => &mut self.now,
            Urgency::Finish => &mut self.finish,
            Urgency::Routine => &mut self.routine,
        };
        since.get_or_insert(now);
    }

    /// Takes back what was to be stored and was not.
    pub fn merge(&mut self, older: &Self) {
        *self = Self {
            now: older.now.or(self.now),
            finish: older.finish.or(self.finish),
            routine: older.routine.or(self.routine),
        };
    }

    /// Whether everything is stored.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// When it is due, and how urgent it is then: the earliest of them. `last` is when the load test was last stored, or opened;
    /// `failures` how often in a row storing has failed since, the last time at `failed`.
    pub fn due(&self, last: Moment, failures: u32, failed: Moment) -> Option<(Moment, Urgency)> {
        let due = [
            self.now.map(|since| (since, Urgency::Now)),
            self.finish.map(|since| ((since + COALESCE).max(last + ENDS), Urgency::Finish)),
            self.routine.map(|since| (since.max(last + ROUTINE), Urgency::Routine)),
        ];
        let (at, urgency) = due.into_iter().flatten().min()?;
        let at = if failures > 0 { at.max(failed + retry_pause(failures)) } else { at };
        Some((at, urgency))
    }
}

fn retry_pause(failures: u32) -> Duration {
    (FIRST_RETRY * (1 << (failures - 1).min(6))).min(LONGEST_RETRY)
}

/// What may be written now, over all load tests: it refills steadily, and may be owed.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    bytes: f64,
    at: Moment,
}

impl Budget {
    /// A full one.
    pub fn new(now: Moment) -> Self {
        Self { bytes: SAVED_UP, at: now }
    }

    /// When something of that urgency may be written.
    pub fn earliest(&self, urgency: Urgency, now: Moment) -> Moment {
        let needed = match urgency {
            Urgency::Now => return now,
            Urgency::Finish => 0.0,
            Urgency::Routine => RESERVE,
        };
        let missing = needed - self.left(now);
        if missing > 0.0 { now + Duration::from_secs_f64(missing / BYTES_PER_SECOND) } else { now }
    }

    /// So many bytes are written.
    #[allow(clippy::cast_precision_loss, reason = "sizes are small")]
    pub fn spend(&mut self, bytes: usize, now: Moment) {
        *self = Self { bytes: self.left(now) - bytes as f64, at: now };
    }

    /// So many fewer bytes were written than was said.
    #[allow(clippy::cast_precision_loss, reason = "sizes are small")]
    pub fn give_back(&mut self, bytes: usize, now: Moment) {
        *self = Self { bytes: (self.left(now) + bytes as f64).min(SAVED_UP), at: now };
    }

    fn left(&self, now: Moment) -> f64 {
        (self.bytes + now.since(self.at).as_secs_f64() * BYTES_PER_SECOND).min(SAVED_UP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGAN: Moment = Moment::from_millis(1_000_000_000);

    fn at(millis: u64) -> Moment {
        BEGAN + Duration::from_millis(millis)
    }

    fn due(notes: &[(Urgency, u64)], last: u64, failures: u32, failed: u64) -> Option<(u64, Urgency)> {
        let mut unsaved = Unsaved::default();
        for (urgency, millis) in notes {
            unsaved.note(*urgency, at(*millis));
        }
        let due = unsaved.due(at(last), failures, at(failed));
        due.map(|(moment, urgency)| (moment.millis() - BEGAN.millis(), urgency))
    }

    #[test]
    fn a_start_is_stored_at_once_an_end_soon_anything_else_a_minute_after_the_last_and_nothing_never() {
        assert_eq!(due(&[(Urgency::Now, 500)], 0, 0, 0), Some((500, Urgency::Now)));
        assert_eq!(due(&[(Urgency::Finish, 5000)], 0, 0, 0), Some((5250, Urgency::Finish)));
        assert_eq!(due(&[(Urgency::Routine, 500)], 400, 0, 0), Some((60_400, Urgency::Routine)));
        assert_eq!(due(&[(Urgency::Routine, 99_500)], 400, 0, 0), Some((99_500, Urgency::Routine)));
        assert_eq!(due(&[], 0, 0, 0), None);
    }

    #[test]
    fn ends_that_come_close_together_are_stored_together() {
        let notes = [(Urgency::Finish, 5000), (Urgency::Finish, 5200)];
        assert_eq!(due(&notes, 0, 0, 0), Some((5250, Urgency::Finish)));
        assert_eq!(
            due(&notes, 4900, 0, 0),
            Some((7900, Urgency::Finish)),
            "and three seconds after the last ones"
        );
    }

    #[test]
    fn the_earliest_of_several_decides() {
        let notes = [(Urgency::Routine, 10), (Urgency::Finish, 5000), (Urgency::Now, 5100)];
        assert_eq!(due(&notes, 0, 0, 0), Some((5100, Urgency::Now)));
        assert_eq!(due(&notes[..2], 0, 0, 0), Some((5250, Urgency::Finish)));
    }

    #[test]
    fn failed_saves_are_tried_again_after_pauses_that_double_up_to_ten_seconds() {
        let pauses = [1, 2, 3, 5, 6, 99]
            .map(|failures| due(&[(Urgency::Now, 0)], 0, failures, 1000).map(|(at, _)| at - 1000));
        assert_eq!(pauses, [500, 1000, 2000, 8000, 10_000, 10_000].map(Some));
    }

    #[test]
    fn what_was_to_be_stored_and_was_not_is_due_since_it_first_was() {
        let (mut older, mut newer) = (Unsaved::default(), Unsaved::default());
        older.note(Urgency::Finish, at(5100));
        newer.note(Urgency::Finish, at(5900));
        newer.note(Urgency::Routine, at(5900));
        newer.merge(&older);
        assert_eq!(newer.due(at(0), 0, at(0)), Some((at(5350), Urgency::Finish)));
    }

    #[test]
    fn all_load_tests_together_write_a_mebibyte_a_second_and_ends_go_before_routine() {
        let mut budget = Budget::new(at(0));
        budget.spend(3 << 20, at(0));
        assert_eq!(budget.earliest(Urgency::Routine, at(0)), at(0));
        budget.spend(1 << 20, at(0));
        assert_eq!(budget.earliest(Urgency::Routine, at(0)), at(1000));
        assert_eq!(budget.earliest(Urgency::Finish, at(0)), at(0));
        budget.spend(1 << 20, at(0));
        assert_eq!(budget.earliest(Urgency::Finish, at(0)), at(1000));
        assert_eq!(budget.earliest(Urgency::Now, at(0)), at(0));
        budget.give_back(1 << 20, at(500));
        assert_eq!(budget.earliest(Urgency::Finish, at(500)), at(500));
        assert_eq!(budget.earliest(Urgency::Routine, at(3_600_000)), at(3_600_000));
        budget.spend(5 << 20, at(3_600_000));
        assert_eq!(budget.earliest(Urgency::Finish, at(3_600_000)), at(3_601_000));
    }
}
