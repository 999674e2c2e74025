//! Load tests that wait for room, under a manager that is killed: they start one after the other, in the order of their creation.

use loadtest::LoadTestStatus;
use testbed::eventually::eventually;

use crate::bed::{Bed, SOON, message_of, reason_of};
use crate::manager::Manager;
use crate::workers::finish;
use crate::{confined, whole};

const NAMES: [&str; 3] = ["first", "second", "third"];

async fn reasons(bed: &Bed) -> Vec<String> {
    let mut reasons = Vec::new();
    for name in NAMES {
        reasons.push(reason_of(&bed.status(name).await, "Progressing"));
    }
    reasons
}

#[tokio::test]
async fn of_tests_that_may_not_run_together_each_waits_for_its_turn_also_when_the_manager_is_killed() {
    let _whole = whole().await;
    let bed = Bed::without_controller().await;
    bed.script().await;
    let confined = confined(&bed);
    let limits = [&confined[..], "--max-tests=1", "--max-count=2"];
    for name in NAMES {
        bed.load_test(name, 2).await;
        // Kubernetes tells ages in whole seconds: the names are in the order of the alphabet, too
    }
    let mut manager = Manager::start("queue-1", &limits);
    for (i, name) in NAMES.into_iter().enumerate() {
        let expected: Vec<_> = (0..NAMES.len())
            .map(|other| match other {
                over if over < i => "Succeeded",
                now if now == i => "WorkersStarting",
                _ => "Queued",
            })
            .collect();
        let starts = async || reasons(&bed).await;
        eventually(&format!("{name} starts, and the others wait"), 2 * SOON, starts, |it| *it == expected)
            .await;
        if i == 0 {
            let status = bed.status(NAMES[1]).await;
            let message = message_of(&status, "Progressing");
            let waits = "waits for its turn: 1 of those before it must end first, for at most 1 may run at a time in this cluster";
            assert!(message.starts_with(waits), "{message}");
            manager.kill();
            manager = Manager::start("queue-2", &limits);
        }
        finish(&bed, name).await;
    }
    bed.load_test("large", 3).await;
    let refused = |status: &LoadTestStatus| message_of(status, "Progressing").contains("at most 2 workers");
    bed.until("large", "refused by its size", refused).await;
    drop(manager);
}
