//! Which part of the load a worker has, where all together run the script once: it is told with the answer to its join.

use std::sync::Arc;

use serde_json::Value;

use metrics::delivery::{Distribution, Split, check_rows};

use super::hello::{Hello, SHARING_PROTOCOL};
use super::{Denied, Joined, Process, Session, refused};
use crate::edge::Reason;
use crate::moment::Moment;

/// A load that could not be shared out, and why, in words.
#[derive(Clone, Debug)]
pub(super) struct Unshared {
    phases: Value,
    rows: Vec<Option<u64>>,
    pub(super) why: String,
    /// How often that was found out.
    tries: u32,
}

/// So often it is found out for a load test: it may take half a second each time, and who says something else each time is no
/// worker of one script.
const MAX_TRIES: u32 = 8;

impl Session {
    /// A process claims an index, and is given its share where the load is shared out. All shares are of what the first worker said.
    ///
    /// # Errors
    /// It may not take part, or has no share: then nobody has one.
    pub fn join_as(
        &mut self,
        distribution: Distribution,
        index: u32,
        process: &Process,
        hello: Hello,
        now: Moment,
    ) -> Result<Joined, Denied> {
        match self.access(index, process, now) {
            Ok(()) | Err(Denied::Unknown) => {}
            Err(denied) => return Err(denied),
        }
        let split = match distribution {
            Distribution::Replicate => None,
            Distribution::Split => match self.split(&hello) {
                Ok(split) => Some(split),
                Err(denied) => {
                    // one of an older protocol that comes later says nothing of the others
                    if let (Denied::Refused(refused), true) = (&denied, self.members.is_empty()) {
                        let why = refused.message.clone();
                        let tries = self.tries(&hello);
                        self.unshared = Some(Unshared { phases: hello.phases, rows: hello.rows, why, tries });
                    }
                    return Err(denied);
                }
            },
        };
        let joined = self.join(index, process, hello, now)?;
        self.split.clone_from(&split);
        Ok(Joined { share: split.map(|split| split.phases(index)), ..joined })
    }

    /// How often it was found out for this load test that a load cannot be shared out, with this one.
    fn tries(&self, hello: &Hello) -> u32 {
        let (tries, is_known) = self.unshared.as_ref().map_or((0, false), |known| {
            (known.tries, (&known.phases, &known.rows) == (&hello.phases, &hello.rows))
        });
        tries + u32::from(!is_known && tries < MAX_TRIES && hello.protocol >= SHARING_PROTOCOL)
    }

    fn split(&self, hello: &Hello) -> Result<Arc<Split>, Denied> {
        if hello.protocol < SHARING_PROTOCOL {
            let why = format!(
                "`protocol` is {}: a worker takes a share of the load from version {SHARING_PROTOCOL} on; use the reporter that belongs to this collector",
                hello.protocol
            );
            return refused(Reason::CannotSplit, why);
        }
        if let Some(split) = &self.split {
            return Ok(Arc::clone(split));
        }
        // all have the same script, and it takes a while to find out
        if let Some(Unshared { phases, rows, why, tries }) = &self.unshared
            && (*tries >= MAX_TRIES || (phases, rows) == (&hello.phases, &hello.rows))
        {
            return refused(Reason::CannotSplit, why.clone());
        }
        let first = self.hello.as_ref().unwrap_or(hello);
        let split =
            check_rows(&first.rows, self.workers).and_then(|()| Split::new(&first.phases, self.workers));
        split
            .map(Arc::new)
            .or_else(|why| refused(Reason::CannotSplit, format!("the load cannot be shared out: {why}")))
    }
}
