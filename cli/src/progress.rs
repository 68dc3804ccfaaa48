//! That something slow is going on: a line on stderr that says what, and on a terminal for how long already.

use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shown until it is dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Says what begins. Where stderr is no terminal it is a plain line.
    #[must_use]
    pub(crate) fn begin(what: &str) -> Self {
        let style = ProgressStyle::with_template("  {spinner} {msg} {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(10)).with_style(style);
        if bar.is_hidden() {
            eprintln!("  {what}");
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

/// What takes longer than this is said; the rest would only flicker.
const SAID_AFTER: Duration = Duration::from_secs(2);

/// Says that something goes on once it has taken [`SAID_AFTER`], until this is dropped.
pub(crate) struct Late {
    done: Option<Sender<()>>,
    teller: Option<JoinHandle<()>>,
}

impl Late {
    /// Begins.
    #[must_use]
    pub(crate) fn begin(what: &'static str) -> Self {
        let (done, ended) = mpsc::channel();
        let tell = move || {
            if ended.recv_timeout(SAID_AFTER) == Err(RecvTimeoutError::Timeout) {
                let _progress = Progress::begin(what);
                let _ = ended.recv();
            }
        };
        // Where there can be no thread nothing is said.
        let teller = std::thread::Builder::new().name("progress".to_owned()).spawn(tell).ok();
        Self { done: Some(done), teller }
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        drop(self.done.take());
        if let Some(teller) = self.teller.take() {
            let _ = teller.join();
        }
    }
}
