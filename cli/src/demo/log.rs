//! Warnings while the live view has the terminal: kept, the newest shown in the view, and written to stderr when it is gone.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Lines that are kept; the oldest give way.
const LINES_MAX: usize = 100;

/// The lines, shared by all who write or show them.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept(Arc<Mutex<VecDeque<String>>>);

impl Kept {
    /// The newest line.
    pub(super) fn last(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).back().cloned()
    }

    /// All lines, oldest first; none are left.
    pub(super) fn take(&self) -> VecDeque<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Kept {
    /// One call is one line: the subscriber writes each event at once.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(String::from_utf8_lossy(bytes).trim_end().to_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Warnings go to what is returned while a view has the terminal, else to stderr.
pub(super) fn start(view: bool) -> Kept {
    let kept = Kept::default();
    // What the runtime says of the demo's own strategy files at the start is known.
    let targets = Targets::new().with_default(LevelFilter::WARN).with_target("pinion_runtime::run", LevelFilter::ERROR);
    let builder = tracing_subscriber::fmt().with_target(false).with_max_level(LevelFilter::WARN);
    // Fails only when a subscriber is set already, and then that one serves.
    let _ = if view {
        let writer = kept.clone();
        builder.with_ansi(false).without_time().with_writer(move || writer.clone()).finish().with(targets).try_init()
    } else {
        builder.with_writer(io::stderr).finish().with(targets).try_init()
    };
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept_and_no_more() {
        let mut kept = Kept::default();
        for n in 0..=LINES_MAX {
            kept.write_all(format!("{n}\n").as_bytes()).unwrap();
        }
        assert_eq!(kept.last(), Some(LINES_MAX.to_string()));
        let lines = kept.take();
        assert_eq!((lines.len(), lines.front().map(String::as_str)), (LINES_MAX, Some("1")));
    }
}
