//! What was seen of one fault: the row of the table, and the verdict at the end.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use testbed::eventually::eventually;

use crate::FORGOTTEN;
use crate::bed::Bed;
use crate::lives::{Life, life, lives};

/// The counts of one fault.
pub struct Tally {
    fault: &'static str,
    how: String,
    faults: u64,
    load_tests: usize,
    twice: Vec<String>,
    /// Pods that Kubernetes made twice, where it may.
    other_pods: Vec<String>,
    may_repeat_pods: bool,
    doubled: Vec<String>,
    until_true: Vec<Duration>,
    /// Another time that is told, by its name.
    also: Option<(&'static str, Vec<Duration>)>,
}

impl Tally {
    /// Of a fault that is brought about in that way.
    pub fn of(fault: &'static str, how: impl Into<String>) -> Self {
        Self {
            fault,
            how: how.into(),
            faults: 0,
            load_tests: 0,
            twice: Vec::new(),
            other_pods: Vec::new(),
            may_repeat_pods: false,
            doubled: Vec::new(),
            until_true: Vec::new(),
            also: None,
        }
    }

    /// Of a fault that may cost the Job controller the answer to its creation of a pod: then it makes another one, and
    /// removes one of the two. That is Kubernetes' own, and is counted apart.
    pub fn where_kubernetes_may_repeat_pods(mut self) -> Self {
        self.may_repeat_pods = true;
        self
    }

    /// One more fault was brought about.
    pub fn fault(&mut self) {
        self.faults += 1;
    }

    /// How many were.
    pub fn faults(&self) -> u64 {
        self.faults
    }

    /// Says more of how it was brought about.
    pub fn how(&mut self, more: &str) {
        self.how.push_str(more);
    }

    /// So long after a fault's end a status was true again.
    pub fn true_after(&mut self, time: Duration) {
        self.until_true.push(time);
    }

    /// So long another thing of interest took.
    pub fn also(&mut self, what: &'static str, time: Duration) {
        self.also.get_or_insert_with(|| (what, Vec::new())).1.push(time);
    }

    /// Waits until the last LoadTest of that name ended in one of those ways, and those events are on it.
    pub async fn ended(&mut self, bed: &Bed, name: &str, outcomes: &[&str], events: &[&str]) {
        let what = format!("{name} ends with one of {outcomes:?} and with the events {events:?}");
        let whole = |life: &Life| {
            // nobody reports in these lives; whether that is Inconclusive or Stopped goes with the outcome
            let is_verdict = |said: &str| matches!(said, "Inconclusive" | "Stopped");
            let said = life.said.iter().map(String::as_str).filter(|said| !is_verdict(said));
            life.outcome.as_deref().is_some_and(|outcome| outcomes.contains(&outcome))
                && said.eq(events.iter().copied().filter(|event| !is_verdict(event)))
        };
        eventually(&what, FORGOTTEN, async || life(bed, name).await, whole).await;
    }

    /// The verdict on all LoadTests of the namespace.
    ///
    /// # Panics
    /// Something was started or said twice, after the row with the counts is written.
    pub async fn verdict(mut self, bed: &Bed) {
        for life in lives(bed).await {
            self.load_tests += 1;
            let of = |what: &String| format!("{}: {what}", life.name);
            self.twice.extend(life.twice.iter().map(of));
            self.doubled.extend(life.doubled.iter().map(of));
            let pods = if self.may_repeat_pods { &mut self.other_pods } else { &mut self.twice };
            pods.extend(life.other_pods.iter().map(of));
        }
        if self.may_repeat_pods {
            let repeated = self.other_pods.len();
            self.how(&format!(
                ". Kubernetes itself made {repeated} pods a second time, and removed one of the two"
            ));
        }
        let row = self.row();
        println!("{row}");
        if let Some(table) = std::env::var_os("TABLE") {
            let mut table = OpenOptions::new().create(true).append(true).open(table).expect("the table");
            writeln!(table, "{row}").expect("a row");
        }
        assert!(self.twice.is_empty() && self.doubled.is_empty(), "{:#?} {:#?}", self.twice, self.doubled);
    }

    fn row(&self) -> String {
        let Self { fault, how, faults, load_tests, twice, doubled, .. } = self;
        let (twice, doubled) = (twice.len(), doubled.len());
        let also = self
            .also
            .as_ref()
            .map_or_else(String::new, |(what, times)| format!("; {what}: {}", median_and_worst(times)));
        let until_true = median_and_worst(&self.until_true);
        format!(
            "| {fault} | {how} | {faults}, {load_tests} load tests | {twice} | {doubled} | {until_true}{also} |"
        )
    }
}

/// In seconds; of an even number of times the later of the two in the middle.
fn median_and_worst(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort();
    match (times.get(times.len() / 2), times.last()) {
        (Some(median), Some(worst)) => format!("{:.1}, {:.1}", median.as_secs_f64(), worst.as_secs_f64()),
        _ => "–".to_owned(),
    }
}
