//! How much memory and time the manager takes: idle, with 100 LoadTests and 1,000 pods, and with 1,000 and 10,000.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use kube::Api;
use kube::api::DeleteParams;
use kube::runtime::watcher;
use loadtest::LoadTest;
use testbed::eventually::eventually;
use tokio::time::sleep;

use crate::bare;
use crate::contender::{Build, Contender};
use crate::kubelet;
use crate::machine::Usage;
use crate::report;
use crate::sample::Sample;
use crate::stand::{Pace, SOON, Stand, load_test};
use crate::witness::Witness;
use crate::writes::calls_of;

/// Loads, as how many LoadTests there are, with what the manager may take then, MiB.
const LOADS: [(usize, f64); 3] = [(0, 20.0), (100, 40.0), (1000, 100.0)];
const WORKERS: i32 = 10;
const PER_SECOND: u32 = 20;
/// How long usage is looked at once nothing new happens.
const WINDOW: Duration = Duration::from_secs(60);
/// The same after a restart, where memory is asked for, and less time need pass.
const SHORT: Duration = Duration::from_secs(20);
/// 10,000 pods at the 200 requests a second of the Job controller take a few minutes, and more on a busy machine.
const ALL_RUN: Duration = Duration::from_secs(900);
/// Where the LoadTests are.
const LOAD: &str = "load";
/// Where the one is by which a manager shows that it works.
const CANARY: &str = "canary";

/// What was seen of one process at one load.
struct Row {
    what: String,
    name: String,
    seen: Window,
    /// MiB that it may take, where an aim was set.
    aim: Option<f64>,
}

/// What a process took for a while.
struct Window {
    /// MiB, the median of one look a second.
    resident: f64,
    /// MiB, since its start.
    peak: f64,
    /// Seconds since its start, at the end of the window.
    cpu_in_all: f64,
    /// Seconds of CPU in a minute of the window.
    cpu_a_minute: f64,
}

/// Measures, and prints the tables. The first build is there from the beginning, as are its load tests; the others are
/// started at each load, as it is again.
pub async fn measure(builds: &[Build]) -> Result<()> {
    let first = builds.first().context("no manager to measure")?;
    let stand = Stand::start("memory").await?;
    for namespace in [LOAD, CANARY] {
        stand.namespace(namespace).await?;
    }
    let kubelets = tokio::spawn(kubelet::run_all(stand.admin.clone()));
    let mut rows = Vec::new();
    let mut notes = Vec::new();
    let mut manager = Contender::manager(&stand, first)?;
    until_works(&stand, &manager).await?;
    let bare = Contender::reflect(&stand)?;
    let mut there = 0;
    for (tests, aim) in LOADS {
        let began = Instant::now();
        fill(&stand, there, tests).await?;
        there = tests;
        let load = match tests {
            0 => "idle".to_owned(),
            n => format!("{n} LoadTests, {} pods", n * usize::try_from(WORKERS)?),
        };
        report::progress(format!(
            "memory: {load} after {} s; now {} s of it",
            began.elapsed().as_secs(),
            WINDOW.as_secs()
        ));
        let before = stand.server.calls()?.len();
        let (seen, seen_bare) = tokio::try_join!(look(&manager, WINDOW), look(&bare, WINDOW))?;
        let calls = stand.server.calls()?.split_off(before);
        notes.push(format!("{load}, for {} s: {}", WINDOW.as_secs(), calls_of(&calls)));
        rows.push(Row { what: load.clone(), name: manager.name.clone(), seen, aim: Some(aim) });
        rows.push(Row { what: load.clone(), name: bare.name.clone(), seen: seen_bare, aim: None });

        // what a process takes that finds it all there, in one list
        manager.terminate().await?;
        for build in builds {
            let new = Contender::manager(&stand, build)?;
            until_works(&stand, &new).await?;
            let seen = look(&new, SHORT).await?;
            rows.push(Row {
                what: format!("{load}, restarted"),
                name: new.name.clone(),
                seen,
                aim: Some(aim),
            });
            new.terminate().await?;
        }
        let new = Contender::reflect(&stand)?;
        until_synced(&new).await;
        let seen = look(&new, SHORT).await?;
        rows.push(Row { what: format!("{load}, restarted"), name: new.name.clone(), seen, aim: None });
        drop(new);
        manager = Contender::manager(&stand, first)?;
        until_works(&stand, &manager).await?;
    }
    kubelets.abort();
    print(&rows, &notes);
    Ok(())
}

/// Adds LoadTests until there are that many, and waits until the status of each says that all its workers run.
async fn fill(stand: &Stand, there: usize, wanted: usize) -> Result<()> {
    let told =
        Witness::<LoadTest>::start(Api::namespaced(stand.admin.clone(), LOAD), watcher::Config::default())
            .await?;
    let mut pace = Pace::per_second(PER_SECOND);
    for i in there..wanted {
        pace.tick().await;
        stand.create(LOAD, &format!("t{i}"), WORKERS).await?;
    }
    let all = format!(" {WORKERS} running");
    let runs = |test: &LoadTest| {
        let conditions = test.status.iter().flat_map(|status| &status.conditions);
        conditions.filter_map(|c| c.message.as_deref()).any(|message| message.contains(&all))
    };
    let running = async || told.last(runs).len();
    eventually("every test tells that all its workers run", ALL_RUN, running, |n| *n == wanted).await;
    Ok(())
}

/// Waits until a manager has told of a new LoadTest what it waits for: it does so only when it knows all there is.
async fn until_works(stand: &Stand, manager: &Contender) -> Result<()> {
    let api: Api<LoadTest> = Api::namespaced(stand.admin.clone(), CANARY);
    let mut canary = load_test("canary", 1)?;
    if let Some(config) = canary.spec.test_script.config.as_mut() {
        config.config_map = "missing".to_owned();
    }
    api.create(&kube::api::PostParams::default(), &canary).await?;
    let told = async || api.get_opt("canary").await.ok().flatten().and_then(|test| test.status);
    let what = format!("a word of {}, see {}", manager.name, manager.log.display());
    eventually(&what, SOON, told, Option::is_some).await;
    api.delete("canary", &DeleteParams::default()).await?;
    Ok(())
}

/// Waits until the bare client has its three lists.
async fn until_synced(bare: &Contender) {
    let log = async || std::fs::read_to_string(&bare.log).unwrap_or_default();
    eventually("the bare client's lists", SOON, log, |log| log.matches(bare::SYNCED).count() == 3).await;
}

async fn look(contender: &Contender, window: Duration) -> Result<Window> {
    let (began, first) = (Instant::now(), contender.usage()?);
    let mut looks = Vec::new();
    while began.elapsed() < window {
        sleep(Duration::from_secs(1)).await; // between two looks
        looks.push(contender.usage()?);
    }
    let last = *looks.last().context("the window is too short")?;
    let resident: Sample = looks.iter().map(|usage: &Usage| usage.resident).collect();
    Ok(Window {
        resident: resident.median(),
        peak: last.peak,
        cpu_in_all: last.cpu,
        cpu_a_minute: (last.cpu - first.cpu) / began.elapsed().as_secs_f64() * 60.0,
    })
}

fn print(rows: &[Row], notes: &[String]) {
    report::heading("Memory and CPU time");
    let cells = |row: &Row| {
        let Window { resident, peak, cpu_in_all, cpu_a_minute } = row.seen;
        let verdict = |aim: f64| format!("{aim:.0}: {}", if resident <= aim { "met" } else { "missed" });
        [
            row.what.clone(),
            row.name.clone(),
            report::number(resident),
            report::number(peak),
            row.aim.map(verdict).unwrap_or_default(),
            format!("{cpu_a_minute:.2}"),
            report::number(cpu_in_all),
        ]
    };
    let columns =
        ["", "who", "VmRSS, MiB", "VmHWM, MiB", "aim, MiB", "CPU, s a minute", "CPU, s since its start"];
    report::table(columns, &rows.iter().map(cells).collect::<Vec<_>>());
    for note in notes {
        report::line(note);
    }
}
