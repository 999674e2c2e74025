//! The manager killed (SIGKILL) at random moments of a load test's life.

use std::time::{Duration, Instant};

use testbed::random::{Random, number};
use tokio::time::sleep;

use crate::bed::Bed;
use crate::manager::Manager;
use crate::tally::Tally;
use crate::workers::{GOOD_LIFE, alive, exit_all, pods, until_reason};
use crate::{confined, whole};

/// A manager needs about this long to do anything, and this long to do all it can.
const LIFE_MILLISECONDS: std::ops::Range<u64> = 30..700;

#[tokio::test]
async fn a_manager_killed_at_random_moments_starts_each_test_once_and_forgets_none() {
    let _whole = whole().await;
    let kills = number("KILLS").unwrap_or(20);
    let mut random = Random::of_environment("the manager's deaths");
    let bed = Bed::without_controller().await;
    bed.script().await;
    let confined = confined(&bed);
    let mut tally = Tally::of(
        "manager killed",
        "SIGKILL 1 to 8 times at random moments of a load test's life, then one that lives",
    );

    let mut test = 0;
    while tally.faults() < kills {
        let name = format!("t{test}");
        test += 1;
        bed.load_test(&name, 2).await;
        for _ in 0..random.below(1..9) {
            let mut manager = Manager::start("killed", &[&confined]);
            let life = random.below(LIFE_MILLISECONDS);
            sleep(Duration::from_millis(life)).await; // the moment of its death is the fault under test
            manager.kill();
            tally.fault();
            // the kubelets do their part meanwhile
            for pod in alive(&bed, &name).await {
                if random.below(0..3) == 0 {
                    bed.exit(&pod, 0).await;
                }
            }
        }
        // one that lives finds it anywhere between not begun and over
        let began = Instant::now();
        let _last = Manager::start("last", &[&confined]);
        pods(&bed, &name).await;
        exit_all(&bed, &name).await;
        tally.true_after(until_reason(&bed, &name, began, "Succeeded").await);
        tally.ended(&bed, &name, &["Succeeded"], &GOOD_LIFE).await;
    }
    tally.verdict(&bed).await;
}
