//! Ctrl-C and its like, from the moment on that something is made that has to be ended in order.

use std::pin::pin;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::exit::Failure;

/// SIGINT, SIGTERM and SIGHUP, which end nothing by themselves any more; but none of them that was ignored before, as `nohup` has it. A clone
/// hears all that this one has not heard yet.
#[derive(Clone)]
pub struct Signals {
    came: watch::Receiver<u32>,
    heard: u32,
}

impl Signals {
    /// Listens from now on.
    ///
    /// # Errors
    /// The system does not let us.
    pub fn listen() -> Result<Self, Failure> {
        // where nothing tells it none is
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let one = |kind: SignalKind| {
            let heard = (!is_ignored(&status, kind.as_raw_value())).then(|| signal(kind)).transpose();
            heard.map_err(|error| Failure::internal(format!("cannot listen for signals: {error}")))
        };
        let (mut interrupt, mut terminate, mut hang_up) =
            (one(SignalKind::interrupt())?, one(SignalKind::terminate())?, one(SignalKind::hangup())?);
        let (send, came) = watch::channel(0_u32);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = next_of(&mut interrupt) => {}
                    () = next_of(&mut terminate) => {}
                    // the shell and the system both tell that a terminal is closed: that is nobody's second Ctrl-C
                    () = next_of(&mut hang_up) => hang_up = None,
                    () = send.closed() => return,
                }
                send.send_modify(|came| *came = came.saturating_add(1));
            }
        });
        Ok(Self { came, heard: 0 })
    }

    /// Of clones, one that has heard as much as any of them: what one was told is not told to the others again.
    pub fn furthest<'a>(all: impl Iterator<Item = &'a Self>) -> Option<Self> {
        all.max_by_key(|signals| signals.heard).cloned()
    }

    /// The next one.
    pub async fn next(&mut self) {
        let heard = self.heard;
        if self.came.wait_for(|came| *came > heard).await.is_err() {
            // who sends them ends only with the program
            std::future::pending::<()>().await;
        }
        self.heard += 1;
    }

    /// What comes of it; `None` where a signal comes first, and it is dropped as it is.
    pub async fn unless<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.next() => None,
            done = work => Some(done),
        }
    }

    /// What comes of work that is to be ended in order: the first signal is told to `first`, and the work goes on; at the second it is
    /// dropped as it is, and there is `None`. Says, too, whether a signal came.
    pub async fn unless_twice<T>(
        &mut self,
        work: impl Future<Output = T>,
        first: impl FnOnce(),
    ) -> Option<(T, bool)> {
        let mut work = pin!(work);
        if let Some(done) = self.unless(&mut work).await {
            return Some((done, false));
        }
        first();
        Some((self.unless(work).await?, true))
    }
}

async fn next_of(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether a process with that status (proc(5)) ignores a signal.
fn is_ignored(status: &str, number: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask >> (number - 1) & 1 == 1
}

#[cfg(test)]
impl Signals {
    /// Those that are sent here, instead of the system's.
    pub fn of(came: watch::Receiver<u32>) -> Self {
        Self { came, heard: 0 }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[test]
    fn what_was_ignored_is_known() {
        let status = "SigBlk:\t0000000000004007\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n";
        assert_eq!([1, 2, 13, 15].map(|number| is_ignored(status, number)), [true, false, true, false]);
        assert!(!is_ignored("", 1));
    }

    #[tokio::test]
    async fn work_that_never_ends_is_left_at_the_second_signal_at_the_latest() {
        let (send, came) = watch::channel(0);
        let signals = Signals::of(came);
        assert_eq!(signals.clone().unless(ready(1)).await, Some(1));
        send.send_replace(1);
        assert_eq!(signals.clone().unless(pending::<u8>()).await, None);
        let mut is_told = false;
        let done = signals.clone().unless_twice(ready(1), || is_told = true).await;
        assert_eq!((done, is_told), (Some((1, true)), true));
        // both came before anybody listened: none is lost, and each clone hears both
        send.send_replace(2);
        for _ in 0..2 {
            assert_eq!(signals.clone().unless_twice(pending::<u8>(), || ()).await, None);
        }
    }

    #[tokio::test]
    async fn what_one_of_several_has_heard_is_not_heard_again_by_who_goes_on_for_all() {
        let (send, came) = watch::channel(1);
        let ended_before = Signals::of(came);
        let mut stopped = ended_before.clone();
        stopped.next().await;
        let furthest = || Signals::furthest([&ended_before, &stopped].into_iter()).expect("one of them");
        assert_eq!(furthest().unless(ready(1)).await, Some(1));
        send.send_replace(2);
        assert_eq!(furthest().unless(ready(1)).await, None, "a second one");
    }
}
