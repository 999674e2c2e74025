//! Leadership: the leader killed, stopped, restarted and frozen, with a second manager that stands by.

use std::ops::Range;
use std::time::{Duration, Instant};

use futures::future::join_all;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use kube::Api;
use loadtest::Timestamp;
use testbed::api_server::Call;
use testbed::eventually::eventually;
use testbed::history::Change;

use crate::bed::{API, Bed, SOON};
use crate::manager::Manager;
use crate::tally::Tally;
use crate::workers::{GOOD_LIFE, exit_all, finish, running, until_reason};
use crate::{IS_LONG, ROUNDS, alone, confined, whole};

/// A Lease holds for 15 s; the rest is a busy machine's.
const TAKE_OVER: Duration = Duration::from_secs(60);
/// Past its deadline of 10 s the leader must not write; until its Lease is over, after 15 s, nobody else may.
const NOBODY_LEADS: Duration = Duration::from_millis(12_500);
/// In this time a manager has sent all that it is about to send.
const WRITES_HANG: Duration = Duration::from_millis(700);
/// How many load tests wait for the leader that wakes up: each would be a write.
const TEMPTATIONS: usize = 10;

/// Managers of one Lease of their own, and what they work on.
struct Office {
    bed: Bed,
    leases: Api<Lease>,
}

impl Office {
    async fn new() -> Self {
        let bed = Bed::without_controller().await;
        bed.script().await;
        // the installation gives the right to the Lease in the operator's own namespace only
        let namespace = ["-n", bed.namespace.as_str()];
        let role = ["create", "role", "leader", "--verb=get,create,update", "--resource=leases"];
        API.kubectl(&[&namespace[..], &role].concat()).expect("a Role");
        let account = "--serviceaccount=artillery-operator-system:artillery-operator-controller-manager";
        let binding = ["create", "rolebinding", "leader", "--role=leader", account];
        API.kubectl(&[&namespace[..], &binding].concat()).expect("a RoleBinding");
        let leases = bed.api();
        Self { bed, leases }
    }

    /// A candidate; its pod's UID follows from its name, so that another one of that name is its restarted container.
    fn start(&self, name: &str) -> Manager {
        let lease = format!("--leader-election-namespace={}", self.bed.namespace);
        Manager::start_in_pod(name, &uid_of(name), &["--leader-elect", &lease, &confined(&self.bed)])
    }

    /// A candidate that leads or stands by.
    async fn candidate(&self, name: &str) -> Manager {
        let manager = self.start(name);
        manager.until_ready().await;
        manager
    }

    async fn lease(&self) -> LeaseSpec {
        let lease = self.leases.get_opt("84f84c74.artillery.io").await.expect("an answer");
        lease.and_then(|lease| lease.spec).unwrap_or_default()
    }

    /// Waits until that manager holds the Lease, in another epoch than `before`, and says in which.
    async fn until_led_by(&self, manager: &Manager, before: Option<i32>) -> Option<i32> {
        let what = format!("{} leads, after epoch {before:?}", manager.name);
        let is_led = |lease: &LeaseSpec| {
            let holder = lease.holder_identity.as_deref().unwrap_or_default();
            holder == format!("{}_{}", manager.name, uid_of(&manager.name))
                && lease.lease_transitions != before
        };
        eventually(&what, TAKE_OVER, async || self.lease().await, is_led).await.lease_transitions
    }

    /// Creates load tests, and stops the leader while its writes for them hang in an etcd that stands still: the answers lie
    /// ready when it wakes, and the next writes are due at once. None is half sent.
    async fn freeze_at_work(&self, leader: &Manager, names: &[String]) {
        let is_first = |change: &Change| {
            change.is_of("jobs") && names.iter().any(|name| change.text("/metadata/name") == name)
        };
        let freeze = async {
            API.history().until(&self.bed.namespace, is_first).await.expect("a Job");
            let pause = tokio::task::spawn_blocking(|| API.pause_etcd(WRITES_HANG * 2));
            tokio::time::sleep(WRITES_HANG).await; // the fault itself
            leader.freeze();
            pause.await.expect("no panic").expect("etcd goes on");
        };
        let create = join_all(names.iter().map(|name| self.bed.load_test(name, 2)));
        tokio::join!(freeze, create);
    }

    /// What the managers of that name wrote in that time, but to the Lease.
    fn writes_of(&self, name: &str, time: &Range<Timestamp>) -> Vec<Call> {
        let agent = format!("({name})");
        let is_its = |c: &Call| c.user_agent.ends_with(&agent) && time.contains(&c.received);
        let calls = self.bed.calls().into_iter();
        calls.filter(|c| is_its(c) && c.is_write() && c.resource != "leases").collect()
    }

    /// Measures how soon the next leader tells the truth about a test that ends just then.
    async fn take_over(
        &self,
        tally: &mut Tally,
        test: &str,
        next: &Manager,
        before: Option<i32>,
    ) -> Option<i32> {
        let began = Instant::now();
        tally.fault();
        exit_all(&self.bed, test).await;
        let led = async {
            let epoch = self.until_led_by(next, before).await;
            (epoch, began.elapsed())
        };
        let (led, time) = tokio::join!(led, until_reason(&self.bed, test, began, "Succeeded"));
        tally.also("the Lease taken", led.1);
        tally.true_after(time);
        tally.ended(&self.bed, test, &["Succeeded"], &GOOD_LIFE).await;
        led.0
    }
}

#[tokio::test]
async fn a_standby_takes_over_from_a_leader_that_is_killed() {
    let _whole = whole().await;
    let office = Office::new().await;
    let mut tally = Tally::of("leader killed", "SIGKILL; another manager stands by");
    let mut leader = office.candidate("killed-0").await;
    let mut epoch = office.until_led_by(&leader, None).await;
    for round in 0..*ROUNDS {
        let next = office.candidate(&format!("killed-{}", round + 1)).await;
        let test = format!("t{round}");
        running(&office.bed, &test).await;
        leader.kill();
        epoch = office.take_over(&mut tally, &test, &next, epoch).await;
        leader = next;
    }
    tally.verdict(&office.bed).await;
}

#[tokio::test]
async fn a_standby_takes_over_at_once_from_a_leader_that_is_stopped() {
    let _whole = whole().await;
    let office = Office::new().await;
    let mut tally = Tally::of("leader stopped", "SIGTERM; another manager stands by");
    let mut leader = office.candidate("stopped-0").await;
    let mut epoch = office.until_led_by(&leader, None).await;
    for round in 0..*ROUNDS {
        let next = office.candidate(&format!("stopped-{}", round + 1)).await;
        let test = format!("t{round}");
        running(&office.bed, &test).await;
        let (took, code) = leader.terminate();
        assert!(took < Duration::from_secs(5) && code == Some(0), "{took:?} {code:?}\n{}", leader.log());
        epoch = office.take_over(&mut tally, &test, &next, epoch).await;
        leader = next;
    }
    tally.verdict(&office.bed).await;
}

#[tokio::test]
async fn a_leader_whose_container_restarts_takes_its_own_lease_back_in_another_epoch() {
    let _whole = whole().await;
    let office = Office::new().await;
    let mut tally = Tally::of(
        "leader's container restarted",
        "SIGKILL, and a new process with the same pod's UID; another manager stands by",
    );
    let mut leader = office.candidate("restarted").await;
    let mut epoch = office.until_led_by(&leader, None).await;
    let _standby = office.candidate("restarted-standby").await;
    for round in 0..*ROUNDS {
        let test = format!("t{round}");
        running(&office.bed, &test).await;
        leader.kill();
        leader = office.start("restarted");
        epoch = office.take_over(&mut tally, &test, &leader, epoch).await;
    }
    tally.verdict(&office.bed).await;
}

#[tokio::test]
async fn a_frozen_leader_ends_when_it_wakes_and_writes_nothing() {
    let _whole = whole().await;
    let office = Office::new().await;
    let how = "SIGSTOP until another manager leads, then SIGCONT: it ends with an error and writes nothing";
    let mut tally = Tally::of("leader frozen", how);
    let mut leader = office.candidate("frozen-0").await;
    let mut epoch = office.until_led_by(&leader, None).await;
    for round in 0..*ROUNDS {
        let next = office.candidate(&format!("frozen-{}", round + 1)).await;
        let test = format!("t{round}");
        running(&office.bed, &test).await;
        let so_far = Timestamp::UNIX_EPOCH..Timestamp::now();
        assert_ne!(office.writes_of(&leader.name, &so_far), [], "who wrote is known");
        leader.freeze();
        epoch = office.take_over(&mut tally, &test, &next, epoch).await;
        let tempting: Vec<_> = (0..TEMPTATIONS).map(|n| format!("t{round}-{n}")).collect();
        for name in &tempting {
            office.bed.load_test(name, 2).await;
        }
        let awake = wake_and_end(&mut leader).await;
        for name in &tempting {
            finish(&office.bed, name).await;
            tally.ended(&office.bed, name, &["Succeeded"], &GOOD_LIFE).await;
        }
        // only now, for the audit log has a call once it is answered
        assert_eq!(office.writes_of(&leader.name, &awake), [], "{}", leader.log());
        leader = next;
    }
    tally.verdict(&office.bed).await;
}

#[tokio::test]
async fn a_leader_that_wakes_past_its_deadline_writes_nothing_though_nobody_else_leads() {
    let _alone = alone().await;
    let office = Office::new().await;
    let how = "SIGSTOP past the leader's own deadline of 10 s, in the midst of its work, before anybody else may lead: it ends with an error and writes nothing";
    let mut tally = Tally::of("leader frozen for 12.5 s", how);
    for round in 0..if *IS_LONG { *ROUNDS } else { 1 } {
        let mut leader = office.candidate(&format!("late-{round}")).await;
        office.until_led_by(&leader, None).await;
        let test = format!("t{round}");
        running(&office.bed, &test).await;
        let so_far = Timestamp::UNIX_EPOCH..Timestamp::now();
        assert_ne!(office.writes_of(&leader.name, &so_far), [], "who wrote is known");
        let tempting: Vec<_> = (0..TEMPTATIONS).map(|n| format!("t{round}-{n}")).collect();
        office.freeze_at_work(&leader, &tempting).await;
        let frozen = Instant::now();
        tally.fault();
        exit_all(&office.bed, &test).await;
        tokio::time::sleep(NOBODY_LEADS.saturating_sub(frozen.elapsed())).await; // the fault itself
        let awake = wake_and_end(&mut leader).await;
        let began = Instant::now();
        // the same pod: its Lease is its own
        leader = office.candidate(&leader.name).await;
        tally.true_after(until_reason(&office.bed, &test, began, "Succeeded").await);
        tally.ended(&office.bed, &test, &["Succeeded"], &GOOD_LIFE).await;
        for name in &tempting {
            finish(&office.bed, name).await;
            tally.ended(&office.bed, name, &["Succeeded"], &GOOD_LIFE).await;
        }
        let (_, code) = leader.terminate();
        assert_eq!(code, Some(0), "{}", leader.log());
        // only now, for the audit log has a call once it is answered
        assert_eq!(office.writes_of(&leader.name, &awake), []);
    }
    tally.verdict(&office.bed).await;
}

/// Wakes a leader that leads no more: it must end with an error. Says when it was awake.
async fn wake_and_end(leader: &mut Manager) -> Range<Timestamp> {
    let woken = Timestamp::now();
    leader.wake();
    let status = eventually(
        "the old leader ends",
        SOON,
        async || leader.child.try_wait().expect("its state"),
        Option::is_some,
    )
    .await;
    let log = leader.log();
    assert_eq!(status.and_then(|s| s.code()), Some(1), "{log}");
    assert!(log.contains("no longer the leader"), "{log}");
    woken..Timestamp::now()
}

fn uid_of(name: &str) -> String {
    format!("uid-of-{name}")
}
