//! What is said of a pool.

use jiff::Timestamp;
use pinion_spec::status::{ConditionType, Reason, RuntimePoolStatus};

use super::{conditions, say};
use crate::crd::RuntimePool;
use crate::pinning::{self, Pinning};

/// What a round has found of a pool.
#[derive(Debug, Default)]
pub struct PoolView {
    /// Pods that it is to have.
    pub pods: u32,
    /// Pods that answer.
    pub ready_pods: u32,
    /// Their workers.
    pub workers: u32,
    /// Workers that serve a strategy.
    pub workers_used: u32,
    /// Where their workers run, as they say.
    pub pinning: Option<Pinning>,
    /// One that was there before has said nothing yet to this operator, which has not led for long.
    pub unheard: bool,
    /// Why it has fewer pods than it is to have.
    pub short: Option<(Reason, String)>,
}

/// A pool's status.
#[must_use]
pub fn pool(resource: &RuntimePool, view: &PoolView, now: Timestamp) -> RuntimePoolStatus {
    let before = resource.status.clone().unwrap_or_default();
    let generation = resource.metadata.generation.unwrap_or_default();
    if view.unheard && before.observed_generation == generation && before.pods == view.pods {
        return RuntimePoolStatus { workers_used: view.workers_used, ..before };
    }
    let required = resource.spec.0.require_pinned;
    let pinned = pinning::condition(view.pinning.as_ref());
    let all_ready = view.ready_pods >= view.pods;
    let ready = if let Some((reason, message)) = &view.short {
        say(ConditionType::Ready, false, *reason, message)
    } else if !all_ready {
        let message = format!("{} of {} pods answer", view.ready_pods, view.pods);
        say(ConditionType::Ready, false, Reason::NoReadyPod, message)
    } else if required && view.pods > 0 && view.pinning != Some(Pinning::Exclusive) {
        say(ConditionType::Ready, false, Reason::SharedCores, format!("requirePinned is not met: {}", pinned.3))
    } else {
        say(ConditionType::Ready, true, Reason::AsSpecified, "every pod answers")
    };
    RuntimePoolStatus {
        observed_generation: generation,
        conditions: conditions(&before.conditions, vec![ready, pinned], generation, now),
        pods: view.pods,
        ready_pods: view.ready_pods,
        workers: view.workers,
        workers_used: view.workers_used,
    }
}
