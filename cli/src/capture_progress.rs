//! A progress bar over a capture file: on a terminal only, and only for what takes longer than people wait without one.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pinion_runtime::clock::mono_ns;

/// What takes longer shows a bar.
const QUIET_NS: u64 = 2_000_000_000;

/// The bar, on stderr; hidden where that is no terminal.
pub(crate) struct Progress {
    bar: ProgressBar,
    bytes_read: Arc<AtomicU64>,
    started_ns: u64,
    shown: bool,
}

impl Progress {
    /// A bar over `bytes`, of which `bytes_read` are done.
    #[must_use]
    pub(crate) fn new((bytes, bytes_read): (u64, Arc<AtomicU64>)) -> Self {
        let style = ProgressStyle::with_template("{wide_bar} {percent:>3} %  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::hidden()).with_style(style);
        Self { bar, bytes_read, started_ns: mono_ns(), shown: false }
    }

    /// Called now and then; `message` is made only when the bar is drawn.
    pub(crate) fn tick(&mut self, message: impl FnOnce() -> String) {
        if !self.shown {
            if mono_ns() - self.started_ns < QUIET_NS {
                return;
            }
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            self.shown = true;
        }
        if !self.bar.is_hidden() {
            self.bar.set_message(Cow::Owned::<str>(message()));
            self.bar.set_position(self.bytes_read.load(Ordering::Relaxed));
        }
    }
}

impl Drop for Progress {
    /// Takes the bar away, however the reading ends.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
