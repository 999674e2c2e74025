//! What the status of a load test in a cluster shows of how it goes.

use std::time::Instant;

use loadtest::Timestamp;
use loadtest::api::LoadTestStatus;

use super::follow::why;
use crate::progress::{Progress, Running, Schedule, Seen};

/// Shows how it goes now.
pub fn show(progress: &mut Progress, status: Option<&LoadTestStatus>) {
    let now = Instant::now();
    let start =
        status.and_then(|status| Some(&status.plan.as_ref()?.start_time).or(status.start_time.as_ref()));
    if let Some(start) = start {
        // the start may lie some seconds ahead
        let ago = std::time::Duration::try_from(Timestamp::now().duration_since(start.0)).unwrap_or_default();
        progress.under_load_since(now.checked_sub(ago).unwrap_or(now));
    }
    progress.show(&seen(status), now);
}

/// What is to be seen of it.
fn seen(status: Option<&LoadTestStatus>) -> Seen {
    let waiting = |what: &str| Seen::Waiting(what.to_owned());
    let Some(status) = status else { return waiting("waiting for the operator") };
    let metrics = match (&status.metrics, &status.plan) {
        (Some(metrics), _) => metrics.clone(),
        // they have begun, and nothing is measured yet
        (None, Some(_)) => loadtest::api::MetricsStatus::default(),
        (None, None) => {
            return waiting(why(Some(status)).map_or("waiting for the operator", |(reason, message)| {
                if message.is_empty() { reason } else { message }
            }));
        }
    };
    let number = |n: i64| u64::try_from(n).unwrap_or(0);
    let http = metrics.http.clone().unwrap_or_default();
    let vusers = &metrics.vusers;
    let planned = status.workers.as_ref().map_or(0, |workers| workers.planned);
    #[allow(clippy::cast_precision_loss, reason = "they are shown without decimals")]
    let shown = |n: i64| n as f64;
    Seen::Running(Running {
        workers: format!("{} of {planned} workers run", status.active),
        schedule: status.plan.as_ref().map(Schedule::from).unwrap_or_default(),
        planned_vusers: vusers.planned.map(number),
        vusers: [number(vusers.created), number(vusers.completed), number(vusers.failed)],
        requests: number(http.requests),
        requests_per_second: metrics.http.as_ref().and_then(|http| http.requests_per_second).map(shown),
        response_time: http
            .response_time_milliseconds
            .map(|times| [times.p50, times.p95, times.p99].map(shown)),
        errors: number(metrics.errors),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;

    fn status(value: Value) -> LoadTestStatus {
        serde_json::from_value(value).expect("a status")
    }

    #[test]
    fn the_status_is_shown_as_far_as_it_goes() {
        assert_eq!(seen(None), Seen::Waiting("waiting for the operator".to_owned()));
        let condition = json!({ "type": "Progressing", "status": "False", "reason": "Queued", "message": "3 are before it" });
        let queued = status(json!({ "conditions": [condition] }));
        assert_eq!(seen(Some(&queued)), Seen::Waiting("3 are before it".to_owned()));
        let running = status(json!({
            "active": 2, "workers": { "planned": 3 },
            "metrics": { "vusers": { "planned": 9, "created": 4, "completed": 2, "failed": 1 }, "errors": 1 },
        }));
        let Seen::Running(running) = seen(Some(&running)) else { panic!("it runs") };
        assert_eq!(running.workers, "2 of 3 workers run");
        assert_eq!(
            (running.planned_vusers, running.vusers, running.requests_per_second),
            (Some(9), [4, 2, 1], None)
        );
        let begun = status(json!({ "active": 3, "workers": { "planned": 3 }, "plan": {
            "startTime": "2026-01-01T00:00:00Z", "endTime": "2026-01-01T00:01:10Z", "phaseCount": 2,
            "phases": [{ "name": "warm up", "durationMilliseconds": 10_000 }, { "durationMilliseconds": 60_000 }],
        } }));
        let Seen::Running(running) = seen(Some(&begun)) else { panic!("it has begun") };
        assert_eq!((running.schedule.count, running.schedule.length), (2, Duration::from_secs(70)));
        assert_eq!(running.schedule.phases[0].name.as_deref(), Some("warm up"));
    }
}
