//! Events, as `kubectl describe` shows them. One that cannot be written soon is only logged: the conditions say the same.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::Resource;
use kube::runtime::events::{Event, Recorder, Reporter};

use crate::client::Patience;
use crate::metrics::{Call, Metrics};
use crate::status::Happening;

/// Writes events.
pub struct Events {
    recorder: Recorder,
    patience: Arc<Patience>,
    metrics: Arc<Metrics>,
}

/// How long one may take: a round waits for it.
const WRITE_MAX: Duration = Duration::from_secs(1);

/// Characters of an event's note that Kubernetes takes.
const NOTE_CHARS_MAX: usize = 1_000;

impl Events {
    /// Events of an operator of this name.
    #[must_use]
    pub fn new(client: Client, identity: &str, patience: Arc<Patience>, metrics: Arc<Metrics>) -> Self {
        let reporter = Reporter { controller: "pinion-operator".into(), instance: Some(identity.to_owned()) };
        Self { recorder: Recorder::new(client, reporter), patience, metrics }
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
        if self.patience.left().is_some() {
            return;
        }
        match tokio::time::timeout(WRITE_MAX, self.recorder.publish(&event, &resource.object_ref(&()))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                self.metrics.kube_error(Call::Write, Some(&error));
                tracing::warn!(%error, "an event could not be written");
            }
            Err(_) => {
                self.metrics.kube_error(Call::Write, None);
                tracing::warn!("an event could not be written within {WRITE_MAX:?}");
            }
        }
    }
}
