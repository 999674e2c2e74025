//! Why a pod does not start where its state does not say: a volume that cannot be mounted, for want of a Secret, is told in its
//! events only. One pod of a load test is asked about, for what keeps one keeps all.

use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Event;
use kube::Api;
use kube::api::ListParams;
use loadtest::Timestamp;
use loadtest::observed::Observed;
use loadtest::workers::Why;

use super::Context;

/// How long an answer is good for: what has many events has a whole list to be searched each time.
const GOOD_FOR: Duration = Duration::from_secs(10);
/// How long an answer is waited for: it is advice, and the rest of the reconcile waits meanwhile.
const PATIENCE: Duration = Duration::from_secs(3);
/// A pod that waits has few events, for those that repeat are one event that counts.
const MOST: u32 = 50;

/// The latest warning of a pod, and when it was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    pod_uid: String,
    at: Instant,
    said: Option<Why>,
}

/// The facts, with what the events of a pod say that has waited for long and does not say for what.
pub async fn explained(context: &Context, observed: Observed, now: Timestamp) -> Observed {
    let Some((name, pod)) = observed.workers.unexplained(now) else { return observed };
    let (name, pod_uid) = (name.to_owned(), pod.uid.clone());
    let uid = observed.load_test.uid();
    let known = context.memory.asked(uid).filter(|a| a.pod_uid == pod_uid && a.at.elapsed() < GOOD_FOR);
    let said = match known {
        Some(asked) => asked.said,
        None => {
            let namespace = observed.load_test.metadata.namespace.as_deref().unwrap_or_default();
            let said = ask(context, namespace, &pod_uid).await;
            context.memory.has_asked(uid, Asked { pod_uid, at: Instant::now(), said: said.clone() });
            said
        }
    };
    observed.with_warning(&name, said)
}

async fn ask(context: &Context, namespace: &str, pod_uid: &str) -> Option<Why> {
    let events: Api<Event> = Api::namespaced(context.client.clone(), namespace);
    let its = format!("involvedObject.kind=Pod,involvedObject.uid={pod_uid}");
    let its = ListParams::default().fields(&its).limit(MOST);
    // advice only: without it the status says where to look
    match tokio::time::timeout(PATIENCE, events.list(&its)).await {
        Ok(Ok(list)) => latest(&list.items),
        Ok(Err(error)) => {
            tracing::warn!("cannot read the events of a pod that does not start: {error}");
            None
        }
        Err(_) => {
            tracing::warn!(
                "the events of a pod that does not start were not told in {} s",
                PATIENCE.as_secs()
            );
            None
        }
    }
}

/// The latest event, if it is a warning: once the pod got on, what warned before holds it no more.
fn latest(events: &[Event]) -> Option<Why> {
    let is_warning = |event: &Event| event.type_.as_deref() == Some("Warning");
    // some times are in whole seconds: of two in the same one the warning counts
    let latest = events.iter().max_by_key(|event| (last_second(event), is_warning(event)))?;
    Some(latest)
        .filter(|event| is_warning(event))
        .and_then(|event| Why::new(event.reason.as_deref(), event.message.as_deref()))
}

/// When it was last seen, in whole seconds of the Unix time, whichever way that is written.
fn last_second(event: &Event) -> Option<i64> {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref());
    let times = [
        event.last_timestamp.as_ref().map(|at| at.0),
        series.map(|at| at.0),
        event.event_time.as_ref().map(|at| at.0),
    ];
    times.into_iter().flatten().map(|at| at.as_second()).max()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn the_latest_warning_counts_whichever_way_its_time_is_written() {
        let events = [
            event("Warning", "FailedScheduling", json!({ "eventTime": "2026-11-24T08:40:00.000000Z" })),
            event("Warning", "FailedMount", json!({ "lastTimestamp": "2026-11-24T08:41:00Z" })),
            event("Warning", "Untimed", json!({})),
        ];
        assert_eq!(latest(&events), why("FailedMount"));
        let again = json!({ "eventTime": "2026-11-24T08:39:00.000000Z", "series": { "lastObservedTime": "2026-11-24T08:42:00.000000Z" } });
        let [first, second, third] = events;
        assert_eq!(latest(&[first, event("Warning", "Repeated", again), second, third]), why("Repeated"));
        assert_eq!(latest(&[]), None);
    }

    #[test]
    fn a_warning_that_the_pod_got_over_is_told_no_more() {
        let scheduled = event("Normal", "Scheduled", json!({ "eventTime": "2026-11-24T08:41:00.700000Z" }));
        let at = |time: &str| json!({ "lastTimestamp": time });
        let none = event("Warning", "FailedScheduling", at("2026-11-24T08:40:59Z"));
        assert_eq!(latest(&[none.clone(), scheduled.clone()]), None);
        // of the same second, and later
        for time in ["2026-11-24T08:41:00Z", "2026-11-24T08:41:01Z"] {
            let mount = event("Warning", "FailedMount", at(time));
            assert_eq!(latest(&[mount, none.clone(), scheduled.clone()]), why("FailedMount"), "{time}");
        }
    }

    fn event(type_: &str, reason: &str, times: Value) -> Event {
        let mut event = json!({
            "metadata": {}, "involvedObject": {}, "type": type_, "reason": reason, "message": "two\nlines",
        });
        event.as_object_mut().expect("an object").extend(times.as_object().expect("times").clone());
        serde_json::from_value(event).expect("an event")
    }

    fn why(reason: &str) -> Option<Why> {
        Some(Why { reason: reason.into(), message: "two".into() })
    }
}
