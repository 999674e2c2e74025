//! Who may speak for a worker, and what those are told who may not.

use super::answers::{Denied, Progress, refused};
use super::{Process, Session, Start};
use crate::checkpoint::Urgency;
use crate::edge::Reason;
use crate::moment::Moment;

impl Session {
    /// Whether that process may say anything of that index. What is refused for good rests on what is stored, and never changes; with
    /// anything else another collector, whose snapshot replaced ours, may not agree.
    pub(super) fn access(&mut self, index: u32, process: &Process, now: Moment) -> Result<(), Denied> {
        if self.concluded {
            return refused(Reason::Gone, "the load test is over: nothing more counts".to_owned());
        }
        if index >= self.workers {
            let why = format!("the completion index is {index}: this load test has {} workers", self.workers);
            return refused(Reason::NotAWorker, why);
        }
        if let Start::TimedOut { .. } = self.start {
            let (workers, seconds) = (self.workers, self.policy.timeout.as_secs());
            let why = format!(
                "not all {workers} workers joined and were ready within {seconds} s, and the load test wants all or none"
            );
            return refused(Reason::StartTimedOut, why);
        }
        match (self.members.get(&index), self.start) {
            (Some(worker), _) if worker.process == *process => Ok(()),
            (Some(worker), _) if worker.has_durable_claim() => {
                let pod = &worker.process.pod_uid;
                let why = format!("worker {index} is another process, of the pod {pod}: it is started once");
                refused(Reason::AlreadyClaimed, why)
            }
            (Some(_), _) => {
                self.unsaved.note(Urgency::Finish, now);
                Err(Denied::NotYet)
            }
            (None, Start::Waiting) => Err(Denied::Unknown),
            (None, Start::Released { .. }) => {
                refused(Reason::AlreadyReleased, format!("worker {index} came after the others had started"))
            }
            (None, _) => Err(Denied::NotYet),
        }
    }

    /// The last answer to a worker that is over, in a load test that is: it is not turned away while it ends.
    pub(super) fn after_the_end(&self, index: u32, process: &Process) -> Option<Progress> {
        let worker = self.members.get(&index)?;
        let is_over = self.concluded && worker.process == *process && worker.is_over();
        if is_over { self.progress_of(index).ok() } else { None }
    }
}
