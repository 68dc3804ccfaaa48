//! Looks where the logs of partitions end whose worker is behind. Of those nothing is fetched for a while, and nothing that is fetched says
//! how far: a load that has doubled meanwhile would look like one that has gone.
//!
//! A thread of its own, because each look waits for the broker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::app::App;
use crate::subscription;
use crate::supervisor::{SharedApp, lock};

/// How often: as often as the client says it of partitions that it fetches.
const EVERY: Duration = Duration::from_secs(1);

/// The thread, as its owner ends it.
#[derive(Debug, Clone, Default)]
pub(crate) struct LagWatch {
    stop: Arc<AtomicBool>,
    thread: Arc<OnceLock<std::thread::Thread>>,
}

impl LagWatch {
    /// Looks until it is stopped.
    pub(crate) fn run(&self, app: &SharedApp) {
        let _ = self.thread.set(std::thread::current());
        while !self.stop.load(Ordering::Acquire) {
            // Not kept over the wait: whoever ends a feed drops its consumer, and the last to drop it closes it.
            let consumers = lock(app).as_ref().map_or_else(Vec::new, App::consumers);
            consumers.iter().for_each(|consumer| subscription::look_at_ends(consumer));
            drop(consumers);
            std::thread::park_timeout(EVERY);
        }
    }

    /// Ends [`LagWatch::run`].
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}
