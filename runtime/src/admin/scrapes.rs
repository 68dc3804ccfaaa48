//! `GET /metrics`, on a thread of its own: the text of a thousand strategies is tens of MB, and neither a command nor a core of the flow
//! is to wait for it.

use std::sync::Arc;

use crossbeam_channel::{Sender, TrySendError};
use rustix::process::{getpriority_process, setpriority_process};
use tokio::sync::oneshot;

use crate::egress::EgressMetrics;
use crate::limits::SCRAPES_WAITING_MAX;
use crate::metrics::{Metrics, scrape};

/// How much the thread lets others go first. At a tenth of a share it is done before Prometheus gives up even where all cores are busy.
const NICE: i32 = 10;

type Answer = oneshot::Sender<String>;

/// Asks the thread.
#[derive(Debug, Clone)]
pub struct Scrapes(Sender<Answer>);

/// Why there is no text.
#[derive(Debug, thiserror::Error)]
pub(super) enum ScrapeError {
    /// More scrapes wait than may.
    #[error("{SCRAPES_WAITING_MAX} scrapes are under way; scrape less often, or from fewer places")]
    Busy,
    /// The thread has ended.
    #[error("nobody answers scrapes any more")]
    Gone,
}

impl Scrapes {
    /// Starts the thread, which ends with the last of these.
    ///
    /// # Errors
    /// What the system says.
    pub fn start(metrics: Arc<Metrics>, egress: Arc<EgressMetrics>) -> std::io::Result<Self> {
        let (asks, asked) = crossbeam_channel::bounded::<Answer>(SCRAPES_WAITING_MAX);
        std::thread::Builder::new().name("scrapes".to_owned()).spawn(move || {
            step_back();
            while let Ok(answer) = asked.recv() {
                // Fails only when whoever asked has gone.
                let _ = answer.send(scrape(&metrics, &egress));
            }
        })?;
        Ok(Self(asks))
    }

    pub(super) async fn text(&self) -> Result<String, ScrapeError> {
        let (answer, answered) = oneshot::channel();
        self.0.try_send(answer).map_err(|error| match error {
            TrySendError::Full(_) => ScrapeError::Busy,
            TrySendError::Disconnected(_) => ScrapeError::Gone,
        })?;
        answered.await.map_err(|_| ScrapeError::Gone)
    }
}

/// On Linux priority is a thread's, and anybody may lower his own.
fn step_back() {
    let lowered = getpriority_process(None).and_then(|before| setpriority_process(None, before + NICE));
    if let Err(error) = lowered {
        tracing::warn!(%error, "scrapes take a core like everybody else");
    }
}
