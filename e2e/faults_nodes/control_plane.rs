//! Faults of the control plane and of the manager, under two workers that go on.

use std::time::{Duration, Instant};

use e2e::{Account, Run, WHOLE_TEST, cluster};
use testbed::eventually::eventually;
use testbed::random::Random;
use tokio::time::sleep;

use crate::report::Row;
use crate::truth::reason;
use crate::watch::Watch;

/// How often the manager is killed.
const KILLS: usize = 10;
/// How long the workers of a test send.
const SECONDS: u64 = 20;

/// When in a test's life it happens.
#[derive(Clone, Copy)]
enum Moment {
    /// Right after it was applied.
    Created,
    /// When its workers have begun to send.
    Sending,
    /// So late that the workers end meanwhile, or soon after.
    Ending,
}

impl Moment {
    async fn of(self, run: &Run<'_>) {
        match self {
            Self::Created => {}
            Self::Sending => drop(run.until_sending().await),
            Self::Ending => {
                run.until_sending().await;
                sleep(Duration::from_secs(SECONDS - 4)).await; // the moment is the fault's
            }
        }
    }
}

/// The manager is killed at random moments; the kubelet starts it again.
pub async fn manager_killed() -> Row {
    let mut random = Random::of_environment("the manager's deaths");
    let mut row = Row::new(
        "manager killed (SIGKILL)",
        "at random moments of a load test's life; the kubelet starts it again",
    );
    let watch = Watch::new("manager-killed").await;
    let (mut kills, mut tests) = (0, 0);
    while kills < KILLS {
        let run = Run::start(&watch.bed, &format!("t{tests}"), 2, 2 * SECONDS);
        tests += 1;
        loop {
            sleep(Duration::from_millis(random.below(0..9_000))).await; // the moment is the fault's
            // it is not there for a second, if it ended of itself
            let kill = async || cluster().kill_manager();
            eventually("a manager to kill", WHOLE_TEST, kill, Result::is_ok).await.expect("killed");
            let since = Instant::now();
            kills += 1;
            row.had(watch.until_true(&run, 2, since).await);
            let seen = watch.look(&run.name).await.expect("a load test");
            if kills == KILLS || reason(&seen.load_test, "Completed").0 == "True" {
                break;
            }
        }
        row.add(ends_well(&watch, &run).await);
    }
    row
}

/// etcd stands still for 10 s.
pub async fn etcd_paused() -> Row {
    let how = "for 10 s: as the test is created, as its workers send, as they end";
    under(Row::new("etcd stands still", how), "etcd-paused", || cluster().fault(&["pause-etcd", "10"])).await
}

/// The API server is killed, and comes back so much later.
pub async fn api_server_away(away: Duration) -> Row {
    let seconds = away.as_secs();
    let how = format!("for {seconds} s: as the test is created, as its workers send, as they end");
    let row = Row::new("API server killed (SIGKILL) and away", &how);
    under(row, &format!("api-away-{seconds}"), move || cluster().restart_api_server(away)).await
}

/// One load test for each moment, and the fault in it.
async fn under(
    mut row: Row,
    name: &str,
    fault: impl FnOnce() -> anyhow::Result<()> + Copy + Send + 'static,
) -> Row {
    let watch = Watch::new(name).await;
    for (test, moment) in
        [("created", Moment::Created), ("sending", Moment::Sending), ("ending", Moment::Ending)]
    {
        let run = Run::start(&watch.bed, test, 2, SECONDS);
        moment.of(&run).await;
        tokio::task::spawn_blocking(fault).await.expect("no panic").expect("the fault");
        let since = watch.until_api_answers().await;
        row.had(watch.until_true(&run, 2, since).await);
        row.add(ends_well(&watch, &run).await);
    }
    row
}

/// The test succeeds as if nothing had happened, and says so once.
pub async fn ends_well(watch: &Watch, run: &Run<'_>) -> Account {
    assert_eq!(watch.bed.until_over(&run.name).await, "Succeeded");
    assert_eq!(watch.bed.of_test(&run.name, "{.status.completions}"), "2/2");
    watch.bed.until_events(&run.name, &["Completed", "Created", "Running", "Running"]).await;
    run.account(&run.workers())
}
