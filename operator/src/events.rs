//! Events, as `kubectl describe` shows them. One that cannot be written is only logged: the conditions say the same.

use kube::Client;
use kube::Resource;
use kube::runtime::events::{Event, Recorder, Reporter};

use crate::status::Happening;

/// Writes events.
pub struct Events {
    recorder: Recorder,
}

/// Characters of an event's note that Kubernetes takes.
const NOTE_CHARS_MAX: usize = 1_000;

impl Events {
    /// Events of an operator of this name.
    #[must_use]
    pub fn new(client: Client, identity: &str) -> Self {
        let reporter = Reporter { controller: "pinion-operator".into(), instance: Some(identity.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Tells of something that happened to a resource.
    pub async fn tell<T: Resource<DynamicType = ()>>(&self, resource: &T, happening: Happening) {
        let note: String = happening.note.chars().take(NOTE_CHARS_MAX).collect();
        tracing::info!(
            name = resource.meta().name,
            namespace = resource.meta().namespace,
            event = happening.reason,
            note
        );
        let event = Event {
            type_: happening.kind,
            reason: happening.reason.into(),
            note: Some(note),
            action: happening.reason.into(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, &resource.object_ref(&())).await {
            tracing::warn!(%error, "an event could not be written");
        }
    }
}
