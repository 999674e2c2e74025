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
/// A pod that waits has few warnings, for those that repeat are one event that counts.
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
    let warnings = format!("involvedObject.kind=Pod,involvedObject.uid={pod_uid},type=Warning");
    match events.list(&ListParams::default().fields(&warnings).limit(MOST)).await {
        Ok(list) => latest(&list.items),
        Err(error) => {
            // advice only: the status then says where to look
            tracing::warn!("cannot read the events of a pod that does not start: {error}");
            None
        }
    }
}

fn latest(events: &[Event]) -> Option<Why> {
    let at = |event: &&Event| {
        let last = event.last_timestamp.as_ref().map(|at| at.0);
        last.or(event.event_time.as_ref().map(|at| at.0))
    };
    let latest = events.iter().max_by_key(at)?;
    Why::new(latest.reason.as_deref(), latest.message.as_deref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_warning_counts_whichever_way_its_time_is_written() {
        let event = |reason: &str, times: serde_json::Value| {
            let mut event = serde_json::json!({
                "metadata": {}, "involvedObject": {}, "reason": reason, "message": "two\nlines",
            });
            event.as_object_mut().expect("an object").extend(times.as_object().expect("times").clone());
            serde_json::from_value::<Event>(event).expect("an event")
        };
        let events = [
            event("FailedScheduling", serde_json::json!({ "eventTime": "2026-11-24T08:40:00.000000Z" })),
            event("FailedMount", serde_json::json!({ "lastTimestamp": "2026-11-24T08:41:00Z" })),
            event("Untimed", serde_json::json!({})),
        ];
        let why = Why { reason: "FailedMount".into(), message: "two".into() };
        assert_eq!(latest(&events), Some(why));
        assert_eq!(latest(&[]), None);
    }
}
