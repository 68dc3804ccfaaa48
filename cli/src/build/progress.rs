//! That something slow is going on: a line on stderr that says what, and on a terminal for how long already.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shown until it is dropped.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Says what begins. Where stderr is no terminal it is a plain line.
    #[must_use]
    pub(super) fn begin(what: &str) -> Self {
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
