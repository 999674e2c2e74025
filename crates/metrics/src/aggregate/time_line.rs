//! The time line of a running load test: the steps that batches come for in the open, the others packed in groups.
//!
//! An open step takes 25 KB for 20 histograms of 500 values, a packed one 1 to 3 KB. A late batch opens its step, which is packed
//! again when others are needed. Where there are too many steps, or they would take too much memory, their distributions
//! become coarse first, and then steps become twice as long, again and again. Both measures grow with whatever is
//! taken in, so that the level that is reached does not depend on the order of batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::bits::{Reader, Writer};
use super::measured::{Form, Measured};
use super::pack::Names;
use super::parts::PartsError;
use super::{ENOUGH_STEPS, GROUP_STEPS, MAX_STEPS, MAX_WEIGHT, PERIOD};

/// So many steps are open: the current one, and that before it, for which some workers are late.
const OPEN_STEPS: usize = 2;
/// No step begins at a later period: in the year 15,000.
const MAX_PERIOD: usize = 1 << 35;

#[derive(Clone, Debug, Default)]
pub(super) struct TimeLine {
    level: Level,
    /// Open steps by their first millisecond, the least recently used first. They hold all of their step.
    open: Vec<(u64, Measured)>,
    /// Groups by their first millisecond. Of a step that is open they hold what it was before, or nothing.
    groups: BTreeMap<u64, Group>,
    /// How much each step takes where it is packed, about, in bytes.
    weights: BTreeMap<u64, usize>,
}

/// How detailed a time line is: 0 has exact steps of a period, 1 coarse ones, and each further level twice as long ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Level(u32);

/// Packed steps of one group; it is written by this module, or was read by it with success.
#[derive(Clone, Debug)]
struct Group(Arc<[u8]>);

impl Level {
    /// The last one has steps of 2,700 years.
    const LAST: u32 = 34;

    /// How long a step is, in milliseconds.
    fn step(self) -> u64 {
        PERIOD << self.0.saturating_sub(1)
    }

    fn form(self) -> Form {
        if self.0 == 0 { Form::Exact } else { Form::Coarse }
    }

    fn next(self) -> Self {
        Self((self.0 + 1).min(Self::LAST))
    }
}

impl TimeLine {
    pub fn level(&self) -> Level {
        self.level
    }

    /// How long a step is, in milliseconds.
    pub fn step(&self) -> u64 {
        self.level.step()
    }

    /// How fine the distributions of the steps are.
    pub fn form(&self) -> Form {
        self.level.form()
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// The step that holds that moment, opened.
    pub fn at(&mut self, moment: u64, names: &Names) -> &mut Measured {
        let start = moment - moment % self.step();
        let step = match self.open.iter().position(|(open, _)| *open == start) {
            Some(position) => self.open.remove(position),
            None => {
                if self.open.len() >= OPEN_STEPS {
                    let (start, measured) = self.open.remove(0);
                    self.pack(start, &measured, names);
                }
                (start, self.packed(start, names).unwrap_or_default())
            }
        };
        self.open.push(step);
        let last = self.open.len() - 1;
        &mut self.open[last].1
    }

    /// After something was added to the step opened last: goes on to the level at which all steps fit.
    pub fn fit(&mut self, names: &mut Names) {
        if let Some((start, measured)) = self.open.last() {
            self.weights.insert(*start, measured.weight(self.form()));
        }
        while self.is_too_much() {
            self.reach(self.level.next(), names);
        }
    }

    /// Goes on to a level.
    pub fn reach(&mut self, level: Level, names: &mut Names) {
        if level <= self.level {
            return;
        }
        let mut reached = Self { level, ..Self::default() };
        for start in self.weights.keys() {
            let step = self.step_of(*start, names);
            let longer = reached.at(*start, names);
            #[allow(clippy::expect_used, reason = "steps are parts of one total")]
            longer.add(&step, level.form(), names, |_, _| false).expect("parts of one total");
        }
        reached.weigh();
        *self = reached;
    }

    /// The steps by their first millisecond, in order.
    pub fn steps<'a>(&'a self, names: &'a Names) -> impl Iterator<Item = (u64, Measured)> + 'a {
        self.weights.keys().map(|start| (*start, self.step_of(*start, names)))
    }

    fn step_of(&self, start: u64, names: &Names) -> Measured {
        let open = self.open.iter().find(|(open, _)| *open == start).map(|(_, measured)| measured.clone());
        open.or_else(|| self.packed(start, names)).unwrap_or_default()
    }

    /// The groups that are stored each for itself, from the latest on: all but the last one, which still grows.
    pub fn closed(&self) -> impl Iterator<Item = Arc<[u8]>> {
        self.groups.values().rev().skip(1).map(|group| group.0.clone())
    }

    /// Writes what is not in the closed groups.
    pub fn write(&self, to: &mut Writer, names: &Names) {
        to.number(u64::from(self.level.0));
        to.size(self.groups.len());
        to.bytes(self.groups.values().next_back().map_or(&[], |group| &group.0));
        to.size(self.open.len());
        for (start, measured) in &self.open {
            to.number(start / PERIOD);
            measured.write(to, names, self.form());
        }
    }

    /// Reads what was written, and the closed groups.
    pub fn read(from: &mut Reader<'_>, closed: &[Arc<[u8]>], names: &Names) -> Result<Self, PartsError> {
        let level = u32::try_from(from.size(Level::LAST as usize)?).map_or(Level(Level::LAST), Level);
        let mut line = Self { level, ..Self::default() };
        let number = from.size(MAX_STEPS)?;
        let last = from.bytes()?;
        if number != closed.len() + usize::from(!last.is_empty()) {
            return Err(PartsError::Groups(number.saturating_sub(1), closed.len()));
        }
        for bytes in closed.iter().cloned().chain((!last.is_empty()).then(|| Arc::from(last))) {
            let group = Group(bytes);
            let key = group.key(level)?;
            for (start, bytes) in group.steps(level)? {
                let mut reader = Reader::new(bytes);
                let weight = Measured::read(&mut reader, names, level.form())?.weight(level.form());
                let is_in_place = line.group_of(start) == key && reader.is_empty();
                if !is_in_place || line.weights.insert(start, weight).is_some() {
                    return Err(PartsError::Damaged("a step is out of its place"));
                }
            }
            line.groups.insert(key, group);
        }
        for _ in 0..from.size(OPEN_STEPS)? {
            let start = from.size(MAX_PERIOD)? as u64 * PERIOD;
            line.open.push((start, Measured::read(from, names, level.form())?));
        }
        line.weigh();
        let is_in_place = |(start, _): &(u64, Measured)| start.is_multiple_of(level.step());
        if !line.open.iter().all(is_in_place) || line.len() > MAX_STEPS {
            return Err(PartsError::Damaged("a step is out of its place"));
        }
        Ok(line)
    }

    fn is_too_much(&self) -> bool {
        let is_heavy = || self.weights.values().sum::<usize>() > MAX_WEIGHT;
        self.len() > MAX_STEPS || (self.len() > ENOUGH_STEPS && is_heavy())
    }

    /// Takes note of how large the open steps are.
    fn weigh(&mut self) {
        let form = self.form();
        self.weights.extend(self.open.iter().map(|(start, measured)| (*start, measured.weight(form))));
    }

    fn group_of(&self, start: u64) -> u64 {
        start - start % (self.step() * GROUP_STEPS)
    }

    /// A step as it was packed last.
    fn packed(&self, start: u64, names: &Names) -> Option<Measured> {
        let group = self.groups.get(&self.group_of(start))?;
        #[allow(clippy::expect_used, reason = "a group was written here, or was read with success")]
        let steps = group.steps(self.level).expect("a group");
        let (_, bytes) = steps.into_iter().find(|(there, _)| *there == start)?;
        #[allow(clippy::expect_used, reason = "as the group")]
        Some(Measured::read(&mut Reader::new(bytes), names, self.form()).expect("a step"))
    }

    /// Puts a step in its group, in place of what the group has of it.
    fn pack(&mut self, start: u64, measured: &Measured, names: &Names) {
        let key = self.group_of(start);
        let mut step = Writer::default();
        measured.write(&mut step, names, self.form());
        let step = step.into_bytes();
        let old = self.groups.remove(&key);
        let mut steps: BTreeMap<u64, &[u8]> = BTreeMap::new();
        if let Some(old) = &old {
            #[allow(clippy::expect_used, reason = "a group was written here, or was read with success")]
            steps.extend(old.steps(self.level).expect("a group"));
        }
        steps.insert(start, &step);
        self.groups.insert(key, Group::of(key, self.level, &steps));
        self.weights.insert(start, measured.weight(self.form()));
    }
}

impl Group {
    fn of(key: u64, level: Level, steps: &BTreeMap<u64, &[u8]>) -> Self {
        let mut writer = Writer::default();
        writer.number(u64::from(level.0));
        writer.number(key / PERIOD);
        for (start, bytes) in steps {
            writer.number((start - key) / level.step());
            writer.bytes(bytes);
        }
        Self(writer.into_bytes().into())
    }

    /// Its first millisecond, if it is a group of that level.
    fn key(&self, level: Level) -> Result<u64, PartsError> {
        let mut reader = Reader::new(&self.0);
        let (of, key) = (reader.number()?, reader.size(MAX_PERIOD)? as u64 * PERIOD);
        if of != u64::from(level.0) || !key.is_multiple_of(level.step() * GROUP_STEPS) {
            return Err(PartsError::Damaged("a group has steps of another length"));
        }
        Ok(key)
    }

    /// The steps by their first millisecond.
    fn steps(&self, level: Level) -> Result<Vec<(u64, &[u8])>, PartsError> {
        let mut reader = Reader::new(&self.0);
        let _level = reader.number()?;
        let key = reader.size(MAX_PERIOD)? as u64 * PERIOD;
        let mut steps: Vec<(u64, &[u8])> = Vec::new();
        while !reader.is_empty() {
            let start = key + reader.number()?.min(GROUP_STEPS) * level.step();
            steps.push((start, reader.bytes()?));
        }
        Ok(steps)
    }
}
