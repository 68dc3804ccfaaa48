//! Events, as `kubectl describe` shows them. They are written one after another, apart from the rounds, which do not wait for them. One
//! that cannot be written soon is only logged: the conditions say the same.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::Resource;
use kube::runtime::events::{Event, Recorder, Reporter};
use tokio::sync::mpsc;

use crate::client::Patience;
use crate::metrics::{Call, Metrics};
use crate::status::Happening;

/// How long one may take.
const WRITE_MAX: Duration = Duration::from_secs(2);
/// Events that may wait: more than one for each strategy of a large cluster. What comes on top is only logged.
const WAITING_MAX: usize = 2_048;
/// Characters of an event's note that Kubernetes takes.
const NOTE_CHARS_MAX: usize = 1_000;

/// Takes events.
pub struct Events {
    waiting: mpsc::Sender<(Event, ObjectReference)>,
}

impl Events {
    /// Events of an operator of this name. They are written by a task that ends with this value.
    #[must_use]
    pub fn start(client: Client, identity: &str, patience: Arc<Patience>, metrics: Arc<Metrics>) -> Self {
        let reporter = Reporter { controller: "pinion-operator".into(), instance: Some(identity.to_owned()) };
        let (waiting, mut next) = mpsc::channel::<(Event, ObjectReference)>(WAITING_MAX);
        tokio::spawn(async move {
            while let Some((event, about)) = next.recv().await {
                if patience.left().is_none() {
                    // One of its own each: a recorder makes one series of events that share a reason, and its note stays the first.
                    let recorder = Recorder::new(client.clone(), reporter.clone());
                    publish(&recorder, &metrics, &event, &about).await;
                }
            }
        });
        Self { waiting }
    }

    /// Tells of something that happened to a resource.
    pub fn tell<T: Resource<DynamicType = ()>>(&self, resource: &T, happening: Happening) {
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
        // It is in the log.
        let _ = self.waiting.try_send((event, resource.object_ref(&())));
    }
}

async fn publish(recorder: &Recorder, metrics: &Metrics, event: &Event, about: &ObjectReference) {
    match tokio::time::timeout(WRITE_MAX, recorder.publish(event, about)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            metrics.kube_error(Call::Write, Some(&error));
            tracing::warn!(%error, "an event could not be written");
        }
        Err(_) => {
            metrics.kube_error(Call::Write, None);
            tracing::warn!("an event could not be written within {WRITE_MAX:?}");
        }
    }
}
