//! Pulls the modules of an assignment from their registries, on a thread of its own: a registry that is slow or gone delays no document,
//! and no other strategy. What fails is tried again, ever later, as long as the document wants it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pinion_spec::oci::Reference;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::clock::mono_ns;
use crate::limits::{PULL_RETRY_NS, PULL_RETRY_NS_MAX, PULLS_MAX};
use crate::modules::Modules;
use crate::registry::{Registry, RegistryError};

/// Why a module is not there yet.
#[derive(Debug)]
pub(super) enum Pending {
    /// Its first pull is under way.
    Pulling,
    /// The last pull failed; the next is due or under way.
    Failed(Arc<RegistryError>),
}

/// The pulls of a pod.
pub(super) struct Pulls {
    shared: Arc<Shared>,
    begin: UnboundedSender<Reference>,
}

struct Shared {
    registry: Registry,
    modules: Arc<Modules>,
    pulls: Mutex<BTreeMap<Reference, Pull>>,
}

/// One module that is not here.
#[derive(Default)]
struct Pull {
    under_way: bool,
    failure: Option<Arc<RegistryError>>,
    failures: u32,
    next_ns: u64,
}

impl Pulls {
    /// Starts the thread.
    ///
    /// # Errors
    /// What the operating system says.
    pub(super) fn start(registry: Registry, modules: Arc<Modules>) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { registry, modules, pulls: Mutex::default() });
        let (begin, begun) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let serving = Arc::clone(&shared);
        let serve = move || {
            runtime.block_on(serve(serving, begun));
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("registry".to_owned()).spawn(serve)?;
        Ok(Self { shared, begin })
    }

    /// The digest of a module that is here, or why it is not; then its pull is begun, if none is under way and one is due.
    pub(super) fn want(&self, reference: &Reference) -> Result<String, Pending> {
        let modules = &self.shared.modules;
        if let Some(digest) = modules.pulled(&reference.digest).filter(|digest| modules.has(digest)) {
            return Ok(digest);
        }
        let mut pulls = self.shared.pulls();
        let pull = pulls.entry(reference.clone()).or_default();
        if !pull.under_way && pull.next_ns <= mono_ns() {
            pull.under_way = true;
            // The thread ends with this value.
            let _ = self.begin.send(reference.clone());
        }
        Err(pull.failure.as_ref().map_or(Pending::Pulling, |failure| Pending::Failed(Arc::clone(failure))))
    }

    /// Forgets what failed and is wanted no more.
    pub(super) fn retain(&self, is_wanted: impl Fn(&Reference) -> bool) {
        self.shared.pulls().retain(|reference, pull| pull.under_way || is_wanted(reference));
    }
}

impl Shared {
    fn pulls(&self) -> MutexGuard<'_, BTreeMap<Reference, Pull>> {
        self.pulls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn pull(&self, reference: &Reference) {
        let started_ns = mono_ns();
        let outcome = self.registry.pull(reference, &self.modules).await;
        let mut pulls = self.pulls();
        match outcome {
            Ok(sha256) => {
                let millis = (mono_ns() - started_ns) / 1_000_000;
                tracing::info!(module = %reference, sha256, millis, "pulled a module");
                pulls.remove(reference);
            }
            Err(error) => {
                let Some(pull) = pulls.get_mut(reference) else { return };
                pull.under_way = false;
                pull.failures = pull.failures.saturating_add(1);
                pull.next_ns = mono_ns().saturating_add(wait_ns(pull.failures));
                pull.failure = Some(Arc::new(error));
            }
        }
    }
}

async fn serve(shared: Arc<Shared>, mut begun: UnboundedReceiver<Reference>) {
    let permits = Arc::new(Semaphore::new(PULLS_MAX));
    while let Some(reference) = begun.recv().await {
        let (shared, permits) = (Arc::clone(&shared), Arc::clone(&permits));
        tokio::spawn(async move {
            // Never closed.
            let _permit = permits.acquire().await.ok();
            shared.pull(&reference).await;
        });
    }
}

/// How long after so many failures the next pull is due.
fn wait_ns(failures: u32) -> u64 {
    let doubled = PULL_RETRY_NS.checked_shl(failures.saturating_sub(1).min(16)).unwrap_or(PULL_RETRY_NS_MAX);
    doubled.min(PULL_RETRY_NS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_a_second_to_a_minute() {
        let seconds: Vec<u64> = (1..9).map(|failures| wait_ns(failures) / 1_000_000_000).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(wait_ns(u32::MAX), PULL_RETRY_NS_MAX);
    }
}
