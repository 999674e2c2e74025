//! The manager killed (SIGKILL) at random moments of a load test's life, against a real API server: nothing is started
//! twice, nothing is forgotten, nothing is said twice. `KILLS=100` kills more often; the seed is printed.

#![allow(clippy::expect_used, reason = "a test that cannot go on panics")]

#[allow(dead_code, reason = "shared with the tests of the controller, which use all of it")]
#[path = "api/bed.rs"]
mod bed;

use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use bed::{API, Bed, reason_of};
use testbed::api_server::As;
use testbed::process;
use tokio::time::sleep;

/// A test that is not over after this was forgotten.
const FORGOTTEN: Duration = Duration::from_secs(60);
/// A manager needs about this long to do anything, and this long to do all it can.
const LIFE_MILLISECONDS: std::ops::Range<u64> = 30..700;

/// A manager with the operator's rights.
fn manager() -> Child {
    let kubeconfig = API.kubeconfig(As::Operator);
    let environment = [("KUBECONFIG", kubeconfig.to_str().expect("a path"))];
    let log = Path::new(env!("CARGO_TARGET_TMPDIR")).join("killed.log");
    let off = ["--health-probe-bind-address=0".to_owned(), "--metrics-bind-address=0".to_owned()];
    let program = Path::new(env!("CARGO_BIN_EXE_manager"));
    process::start(program, &off, &environment, &log).expect("a manager")
}

async fn kill_after(life: Duration, mut manager: Child) {
    sleep(life).await; // the moment of its death is the fault under test
    manager.kill().expect("killed");
    manager.wait().expect("dead");
}

/// Numbers that follow from a seed (xorshift64, Marsaglia 2003): a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, range: std::ops::Range<u64>) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        range.start + self.0 % (range.end - range.start)
    }
}

#[tokio::test]
async fn a_manager_killed_at_random_moments_starts_each_test_once_and_forgets_none() {
    let number = |name: &str| std::env::var(name).ok().and_then(|n| n.parse::<u64>().ok());
    let kills = number("KILLS").unwrap_or(20);
    let seed =
        number("SEED").unwrap_or_else(|| loadtest::Timestamp::now().as_microsecond().unsigned_abs() | 1);
    println!("SEED={seed} KILLS={kills}");
    let mut random = Random(seed);
    let bed = Bed::without_controller().await;
    bed.script().await;

    let (mut killed, mut tests) = (0, 0);
    while killed < kills {
        let name = format!("t{tests}");
        tests += 1;
        bed.load_test(&name, 2).await;
        let (began, before) = (Instant::now(), killed);
        loop {
            // a busy machine needs longer lives to get anywhere
            let longest = LIFE_MILLISECONDS.end * (1 + (killed - before) / 8);
            let life = random.below(LIFE_MILLISECONDS.start..longest);
            kill_after(Duration::from_millis(life), manager()).await;
            killed += 1;
            let status = bed.status(&name).await;
            if reason_of(&status, "Completed") == "Succeeded" {
                break;
            }
            assert!(began.elapsed() < FORGOTTEN, "SEED={seed}: {name} was forgotten: {status:#?}");
            // the kubelets do their part meanwhile
            let selector = kube::api::ListParams::default().labels(&format!("artillery.io/test-name={name}"));
            for pod in bed.api::<k8s_openapi::api::core::v1::Pod>().list(&selector).await.expect("pods") {
                if random.below(0..2) == 0 {
                    bed.exit(&pod, 0).await;
                }
            }
        }
    }
    // a last one that lives says what the killed ones left unsaid
    let last = manager();
    for test in 0..tests {
        let name = format!("t{test}");
        let said: Vec<_> = bed.until_events(&name, 4).await.into_iter().map(|event| event.1).collect();
        assert_eq!(said, ["Completed", "Created", "Running", "Running"], "SEED={seed}: events of {name}");
        let calls = bed.calls();
        let worked = |verb: &str, resource: &str| {
            calls
                .iter()
                .filter(|c| c.verb == verb && c.resource == resource && c.name == name && c.code < 300)
                .count()
        };
        // a call whose caller died may have no good code in the log: never more than one has
        assert!(worked("create", "jobs") <= 1, "SEED={seed}: Jobs of {name}");
        assert!(worked("patch", "jobs") <= 1, "SEED={seed}: starts of {name}");
        let job = bed.job(&name).await.expect("its Job");
        assert_eq!(job.metadata.uid, bed.status(&name).await.job_uid, "SEED={seed}: the Job of {name}");
        bed.pods(&name, 2).await;
    }
    // and it outlives an API server that is away for a while
    bed.load_test("after", 1).await;
    bed.until_reason("after", "WorkersStarting").await;
    tokio::task::spawn_blocking(|| API.restart(Duration::from_secs(5)))
        .await
        .expect("no panic")
        .expect("it is back");
    let pod = bed.pods("after", 1).await.remove(0);
    bed.exit(&pod, 0).await;
    bed.until_reason("after", "Succeeded").await;
    kill_after(Duration::ZERO, last).await;
    println!("{killed} kills, {tests} load tests, none started twice, none forgotten");
}
