//! When a load test is given up, which one is meant, and how each end is told.

use serde_json::{Value, json};

use super::*;
use crate::cluster::bare;

fn status(value: Value) -> LoadTestStatus {
    serde_json::from_value(value).expect("a status")
}

fn progressing(reason: &str, message: &str) -> LoadTestStatus {
    let condition = json!({ "type": "Progressing", "status": "False", "reason": reason, "message": message });
    status(json!({ "conditions": [condition] }))
}

#[tokio::test]
async fn what_will_never_start_is_given_up_and_what_may_is_waited_for() {
    let connection = Connection::to("http://127.0.0.1:9");
    let missing = progressing(MISSING_FILE, "the script names users.csv");
    let invalid = progressing(INVALID_SPEC, "resources");
    let queued = progressing("Queued", "3 are before it");
    let no_room = progressing(loadtest::plan::JOB_REFUSED, "exceeded quota: q");
    for (status, seconds, said) in [
        (None, 59, None),
        (None, 60, Some((4, "no operator has looked at the load test checkout for 60 s"))),
        (Some(&missing), 14, None),
        (
            Some(&missing),
            15,
            Some((2, "the load test checkout cannot start: MissingFile: the script names users.csv")),
        ),
        (Some(&invalid), 15, Some((2, "the load test checkout cannot start: InvalidSpec: resources"))),
        (Some(&queued), 9_999, None),
        (Some(&no_room), 9_999, None),
    ] {
        let failure = hopeless(&connection, "checkout", status, Duration::from_secs(seconds));
        let told = failure.map(|failure| (failure.exit.code(), failure.to_string()));
        match (told, said) {
            (None, None) => {}
            (Some((code, words)), Some((exit, start))) => {
                assert!(code == exit && words.starts_with(start), "{code}: {words}");
            }
            (told, said) => panic!("{told:?}, not {said:?}"),
        }
    }
}

#[tokio::test]
async fn what_stands_is_given_up_after_an_outage_too_and_none_counts() {
    let connection = Connection::to("http://127.0.0.1:9");
    let follow = Follow {
        connection: &connection,
        name: "checkout",
        on_interrupt: OnInterrupt::Leave,
        gives_up: true,
        timeout: None,
        is_quiet: true,
        uid: None,
        among: None,
    };
    let missing = || {
        let mut load_test = LoadTest::new("checkout", loadtest::LoadTestSpec::default());
        load_test.metadata.uid = Some("1".to_owned());
        load_test.status = Some(progressing(MISSING_FILE, "the script names users.csv"));
        Ok(Some(load_test))
    };
    let now = Instant::now();
    let mut following = Following {
        progress: Progress::begin(now),
        latest: None,
        stands: (now, None),
        is_unreachable: false,
        is_told: false,
        refusals: Refusals::default(),
    };
    let long_ago = || Instant::now().checked_sub(MENDING).expect("a machine that runs for longer");
    let mut sees = |change| assert!(follow.changed(change, &mut following).is_ok_and(|over| over.is_none()));
    sees(missing());
    sees(Err(watcher::Error::NoResourceVersion));
    following.stands.0 = long_ago();
    // nothing is heard of a watch that goes on
    assert!(follow.look(&mut following).is_ok_and(|asks| asks));
    assert!(follow.changed(missing(), &mut following).is_ok_and(|over| over.is_none()));
    assert!(follow.look(&mut following).is_ok_and(|asks| !asks), "its user had no time to mend it");
    following.stands.0 = long_ago();
    assert!(follow.look(&mut following).is_err_and(|lost| lost.is_useless));
}

#[tokio::test]
async fn another_of_the_same_name_is_not_taken_for_it() {
    let connection = Connection::to("http://127.0.0.1:9");
    assert!(another(&connection, "checkout", "a", "a").is_none());
    let failure = another(&connection, "checkout", "a", "b").expect("another");
    assert_eq!(failure.exit.code(), 3);
    let said = failure.to_string();
    assert!(said.starts_with("the load test checkout was deleted, and another one was made"), "{said}");
    let watch = "; kubectl artillery watch checkout -n shop --context test follows the other";
    assert!(said.ends_with(watch), "commands that are named are of the same cluster: {said}");
}

#[test]
fn each_end_has_its_exit_code() {
    for (verdict, reason, code) in [
        ("Passed", "ChecksPassed", 0),
        ("Failed", "ChecksFailed", 1),
        ("Failed", "ExpectationsFailed", 1),
        ("Failed", "WorkersFailed", 3),
        ("Inconclusive", "Stopped", 3),
    ] {
        let condition =
            json!({ "type": "Passed", "status": "False", "reason": reason, "message": "so it is" });
        let mut load_test = LoadTest::new("checkout", loadtest::LoadTestSpec::default());
        load_test.status = Some(status(json!({ "verdict": verdict, "conditions": [condition] })));
        let (exit, words) = conclusion(&load_test);
        assert_eq!((exit.code(), words), (code, format!("checkout: {verdict}: so it is")), "{reason}");
    }
}

#[tokio::test]
async fn what_its_user_has_ended_ends_so_also_where_it_is_given_up() {
    // the stop is refused, and so is looking at it, again and again
    let connection = Connection::to_one_that_answers((0..4).map(|_| bare(403)).collect()).await;
    let follow = Follow {
        connection: &connection,
        name: "checkout",
        on_interrupt: OnInterrupt::Stop,
        gives_up: true,
        timeout: None,
        is_quiet: true,
        uid: None,
        among: None,
    };
    let (_send, came) = tokio::sync::watch::channel(1);
    let mut signals = Signals::of(came);
    let followed = timeout(Duration::from_secs(60), follow.to_its_end(&mut signals)).await;
    let lost = followed.expect("not for ever").err().expect("it cannot be followed");
    assert_eq!((lost.failure.exit.code(), lost.is_useless, lost.is_left), (130, true, false));
    let said = lost.failure.to_string();
    assert!(said.starts_with("cannot watch the load test checkout: no; following takes"), "{said}");
}
