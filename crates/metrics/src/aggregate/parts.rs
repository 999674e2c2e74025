//! An aggregate in bytes, for whoever stores it: a part that changes with each batch, and parts that hardly ever do.

use std::sync::Arc;

use super::bits::{Reader, Writer};
use super::measured::{Form, Measured};
use super::pack::Names;
use super::time_line::TimeLine;
use super::{Aggregate, MAX_REFUSED, MAX_STEPS};

/// Which form of these bytes this is.
const VERSION: u64 = 1;

/// An aggregate in bytes. For 20 histograms of 500 values per period, 30 counters and 10 workers, `live` takes up to 44 KB, of which 9 KB are
/// the total, a closed group of 12 steps 20 to 38 KB, and all closed groups 50 KB at most (`tests/memory.rs` has the figures).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// The total, what was refused, and the newest steps: as good as new with each batch.
    pub live: Vec<u8>,
    /// Groups of 12 steps, from the latest to the first. The bytes of one are the same until a late batch comes for it, or steps are
    /// made longer: then all are new.
    pub closed: Vec<Arc<[u8]>>,
}

/// Why bytes are no aggregate.
#[derive(thiserror::Error, Clone, Debug, PartialEq)]
pub enum PartsError {
    /// Written by another version.
    #[error("it has the form {0}: {VERSION} is expected")]
    Version(u64),
    /// It ends too early.
    #[error("it ends before all is there")]
    Cut,
    /// It is something else.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// Groups are missing, or there are more.
    #[error("it has {0} closed groups, but {1} are given")]
    Groups(usize, usize),
    /// The parts are not of one moment.
    #[error("its steps are not its total: a closed group is older or newer than the rest")]
    NotOne,
}

impl Aggregate {
    /// Writes it.
    pub fn to_parts(&self) -> Parts {
        let mut live = Writer::default();
        live.number(VERSION);
        live.number(self.batches);
        live.number(self.lost);
        live.number(self.refused_values);
        live.size(self.refused.len());
        for ((name, why), count) in &self.refused {
            live.bytes(name.as_bytes());
            live.bytes(why.as_bytes());
            live.number(*count);
        }
        self.names.write(&mut live);
        self.total.write(&mut live, &self.names, Form::Exact);
        self.time_line.write(&mut live, &self.names);
        Parts { live: live.into_bytes(), closed: self.time_line.closed().collect() }
    }

    /// Reads what [`Aggregate::to_parts`] wrote. Nothing becomes larger than 100 times its bytes.
    ///
    /// # Errors
    /// The parts are not that, or not of one moment.
    pub fn from_parts(parts: &Parts) -> Result<Self, PartsError> {
        let Parts { live, closed } = parts;
        if closed.len() > MAX_STEPS {
            return Err(PartsError::Groups(MAX_STEPS, closed.len()));
        }
        let mut reader = Reader::new(live);
        let version = reader.number()?;
        if version != VERSION {
            return Err(PartsError::Version(version));
        }
        let (batches, lost, refused_values) = (reader.number()?, reader.number()?, reader.number()?);
        let mut aggregate = Self { batches, lost, refused_values, ..Self::default() };
        for _ in 0..reader.size(MAX_REFUSED)? {
            let key = (reader.text()?.to_owned(), reader.text()?.to_owned());
            aggregate.refused.insert(key, reader.number()?);
        }
        aggregate.names = Names::read(&mut reader)?;
        aggregate.total = Measured::read(&mut reader, &aggregate.names, Form::Exact)?;
        aggregate.bins = aggregate.total.histograms.values().map(|sketch| sketch.len()).sum();
        aggregate.time_line = TimeLine::read(&mut reader, closed, &aggregate.names)?;
        if !reader.is_empty() {
            return Err(PartsError::Damaged("there is more after its end"));
        }
        let mut total = Measured::default();
        let mut names = aggregate.names.clone();
        for (_, step) in aggregate.time_line() {
            total.add(&step, Form::Exact, &mut names, |_, _| false).map_err(|_| PartsError::NotOne)?;
        }
        let is_total = match aggregate.form() {
            Form::Exact => total == aggregate.total,
            Form::Coarse => total == aggregate.total.clone().coarse(),
        };
        if !is_total {
            return Err(PartsError::NotOne);
        }
        Ok(aggregate)
    }
}
