//! Record: one status patch where it is due, then the events that are not there yet.

use k8s_openapi::api::core::v1::{Event, EventSource};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::ObjectMeta;
use kube::{Api, Resource};
use loadtest::events::{Announcement, REPORTING_CONTROLLER};
use loadtest::observed::Observed;
use loadtest::status::{self, Write};
use loadtest::{LoadTest, LoadTestStatus, Timestamp, events};
use serde_json::json;

use super::watched::Watched;
use super::{Context, Error};

/// The API server's bound on an event's note, in bytes.
const MAX_NOTE: usize = 1024;

/// What became of a status.
pub enum Recorded {
    /// It is stored; this is the object now.
    Stored(Box<LoadTest>),
    /// It is stored no earlier than that; until then the stored one stands.
    NotBefore(Timestamp),
    /// Somebody else wrote first: what was decided stands on old facts.
    Conflict,
    /// The object is gone.
    Gone,
}

/// Writes a status if it is due. It names the resourceVersion that it was made from, so that no two managers can both
/// believe that they wrote.
pub async fn record(
    context: &Context,
    load_test: &LoadTest,
    new: &LoadTestStatus,
    now: Timestamp,
) -> Result<Recorded, Error> {
    let old = load_test.status.clone().unwrap_or_default();
    match status::due(&old, new, context.memory.last_write(load_test.uid()), now) {
        Write::Nothing => return Ok(Recorded::Stored(Box::new(load_test.clone()))),
        Write::NotBefore(at) => return Ok(Recorded::NotBefore(at)),
        Write::Now => {}
    }
    let namespace = load_test.metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<Watched> = Api::namespaced(context.client.clone(), namespace);
    let patch = json!({
        "metadata": { "resourceVersion": load_test.metadata.resource_version, "uid": load_test.metadata.uid },
        "status": new,
    });
    match api.patch_status(load_test.name(), &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(stored) => {
            let stored = LoadTest::from(stored);
            context.memory.wrote(stored.clone(), now);
            Ok(Recorded::Stored(Box::new(stored)))
        }
        Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Recorded::Conflict),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Recorded::Gone),
        Err(error) => Err(Error::api("write its status")(error)),
    }
}

/// Publishes what is to be said of `observed` and is not there yet.
pub async fn announce(
    context: &Context,
    observed: &Observed,
    status: &LoadTestStatus,
    now: Timestamp,
) -> Result<(), Error> {
    announce_all(context, &observed.load_test, events::due(observed, status, now), now).await
}

/// Announces what has not been announced yet.
pub async fn announce_all(
    context: &Context,
    load_test: &LoadTest,
    announcements: impl IntoIterator<Item = Announcement>,
    now: Timestamp,
) -> Result<(), Error> {
    for announcement in announcements {
        if context.memory.was_announced(load_test.uid(), &announcement.name) {
            continue;
        }
        let name = announcement.name.clone();
        publish(context, load_test, announcement, now).await?;
        context.memory.announced(load_test.uid(), name);
    }
    Ok(())
}

async fn publish(
    context: &Context,
    load_test: &LoadTest,
    announcement: Announcement,
    now: Timestamp,
) -> Result<(), Error> {
    let namespace = load_test.metadata.namespace.as_deref().unwrap_or_default();
    let Announcement { name, is_warning, reason, note } = announcement;
    let time = Some(Time(now));
    // core/v1, not events.k8s.io: only it has the time stamps that `kubectl describe` sorts by
    let event = Event {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        involved_object: load_test.object_ref(&()),
        type_: Some(if is_warning { "Warning" } else { "Normal" }.to_owned()),
        reason: Some(reason),
        message: Some(shortened(note)),
        first_timestamp: time.clone(),
        last_timestamp: time,
        count: Some(1),
        source: Some(EventSource { component: Some(REPORTING_CONTROLLER.to_owned()), host: None }),
        reporting_component: Some(REPORTING_CONTROLLER.to_owned()),
        reporting_instance: Some(context.instance.clone()),
        ..Event::default()
    };
    let api: Api<Event> = Api::namespaced(context.client.clone(), namespace);
    match api.create(&PostParams::default(), &event).await {
        Ok(_) => context.metrics.published_event(),
        // said before, by this process or an earlier one
        Err(kube::Error::Api(status)) if status.is_already_exists() => {}
        // the namespace is going, and nobody will read it
        Err(kube::Error::Api(status))
            if status.is_not_found() || status.message.contains("being terminated") => {}
        Err(error) => return Err(Error::api("publish an event")(error)),
    }
    Ok(())
}

fn shortened(mut note: String) -> String {
    if note.len() > MAX_NOTE {
        let mut end = MAX_NOTE - "…".len();
        while !note.is_char_boundary(end) {
            end -= 1;
        }
        note.truncate(end);
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_where_the_api_server_takes_it() {
        assert_eq!(shortened("short".into()), "short");
        let cut = shortened("é".repeat(600));
        assert!(cut.len() <= MAX_NOTE && cut.ends_with("é…"), "{} bytes", cut.len());
    }
}
