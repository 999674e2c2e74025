//! What became of each worker of a load test that is over: a row for each completion index.

use std::collections::BTreeMap;

use metrics::report::{PerWorker, WorkerEnd as End, WorkerVusers, round_to_tenths};
use metrics::verdict::{WorkerEnd, WorkerFacts};

use super::Ended;
use crate::Conclusion;
use crate::session::Worker;

/// Those that joined, and those that never did.
pub(super) fn all(ended: &Ended<'_>, workers: &[WorkerFacts], heard: Option<&Conclusion>) -> Vec<PerWorker> {
    let joined = heard.map(|heard| heard.workers.iter().zip(workers)).into_iter().flatten();
    let starts = heard.into_iter().flat_map(|heard| &heard.workers);
    let first = starts.filter_map(|(_, worker)| worker.phases.first_start()).reduce(f64::min).unwrap_or(0.0);
    let mut rows: BTreeMap<u32, PerWorker> =
        joined.map(|((index, worker), facts)| (*index, row(worker, facts, first))).collect();
    for index in 0..ended.planned {
        rows.entry(index).or_insert_with(|| PerWorker {
            worker: index,
            end: End::NeverJoined,
            exit_code: ended.exit_codes.get(&index).copied(),
            ..PerWorker::default()
        });
    }
    rows.into_values().collect()
}

fn row(worker: &Worker, facts: &WorkerFacts, first_start: f64) -> PerWorker {
    let Worker { vusers, health, .. } = worker;
    let (end, exit_code) = match facts.end {
        WorkerEnd::Exited(code) => (End::Exited, Some(code)),
        WorkerEnd::Lost => (End::Lost, None),
        WorkerEnd::NeverJoined => (End::NeverJoined, None),
    };
    let percent = |share: f64| round_to_tenths(share * 100.0);
    PerWorker {
        worker: facts.index,
        end,
        exit_code,
        missing: facts.missing(),
        started_after_milliseconds: worker
            .phases
            .first_start()
            .map(|start| round_to_tenths(start - first_start)),
        vusers: WorkerVusers {
            created: vusers.created,
            completed: vusers.completed,
            failed: vusers.failed,
            skipped: vusers.skipped,
        },
        batches: worker.received.saturating_sub(worker.lost),
        event_loop_most_percent: health.busiest().map(percent),
        event_loop_mean_percent: health.mean().map(percent),
        cpu_throttled_percent: health.throttled().map(percent),
        memory_most_bytes: Some(health.memory_most).filter(|bytes| *bytes > 0),
        memory_limit_bytes: Some(health.memory_limit).filter(|bytes| *bytes > 0),
    }
}

#[cfg(test)]
mod tests {
    use metrics::verdict::Gaps;
    use metrics::wire::Batch;

    use super::*;
    use crate::moment::Moment;
    use crate::session::{Nonce, Process};

    #[test]
    fn a_batch_that_is_lost_is_none_that_was_taken_in() {
        let process = Process { pod_uid: "a".to_owned(), nonce: Nonce([0; 16]) };
        for (lost, batches) in [(vec![true], 0), (vec![false], 1), (vec![false, true, false], 2)] {
            let mut worker = Worker::new(process.clone(), Moment::default());
            for (sequence, is_lost) in (1..).zip(&lost) {
                let lost = is_lost.then(|| "it was too large".to_owned());
                worker.take(&Batch { sequence, lost, ..Batch::default() }, Moment::default());
            }
            let facts = WorkerFacts { index: 0, end: WorkerEnd::Exited(0), gaps: Gaps::default() };
            assert_eq!(row(&worker, &facts, 0.0).batches, batches, "{lost:?}");
        }
    }
}
