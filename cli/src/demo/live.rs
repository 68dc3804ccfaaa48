//! What the demo shows while it runs, and the plain lines that it shows where there is no terminal.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use pinion_runtime::clock::mono_ns;
use pinion_runtime::metrics::Metrics;

use super::paper::Latest;
use super::publisher::Published;
use crate::summary::Summary;
use crate::summary_text::listed;
use crate::time::{count, duration};

/// Between two plain lines.
const LINE: Duration = Duration::from_secs(1);

/// The running demo, as it can be seen.
#[derive(Clone)]
pub(super) struct Live {
    /// What the runtime counts.
    pub(super) metrics: Arc<Metrics>,
    /// What the publisher counts.
    pub(super) published: Arc<Published>,
    /// What the paper venue has come to.
    pub(super) venue: Latest,
    /// When the publisher started, monotonic.
    pub(super) started_ns: u64,
    /// How long it is to publish.
    pub(super) seconds: u64,
    /// Records a second that it aims at.
    pub(super) rate: u32,
    /// Whether the broker lives in this process.
    pub(super) embedded: bool,
}

impl Live {
    /// All counts now.
    pub(super) fn summary(&self) -> Summary {
        let mut summary = Summary::of(&self.metrics, mono_ns() - self.started_ns);
        summary.published = Some(self.published.sent.load(Ordering::Relaxed));
        summary.late_sends = Some(self.published.late.load(Ordering::Relaxed));
        summary.add_paper(self.venue.lock().unwrap_or_else(PoisonError::into_inner).clone());
        summary
    }

    /// Kafka records that the runtime has read.
    pub(super) fn records_read(&self) -> u64 {
        self.metrics.feeds().iter().map(|feed| feed.records.get()).sum()
    }

    /// Whether nothing more is published, and how much was.
    pub(super) fn finished(&self) -> Option<u64> {
        let finished = self.published.finished.load(Ordering::Acquire);
        finished.then(|| self.published.acked.load(Ordering::Acquire))
    }
}

/// Events a second over the last second, from samples of a running count.
#[derive(Debug, Default)]
pub(super) struct EventRate {
    samples: VecDeque<(f64, u64)>,
}

impl EventRate {
    /// Adds a sample: seconds since the start, events until then. Returns the rate.
    pub(super) fn sample(&mut self, seconds: f64, events: u64) -> u64 {
        self.samples.push_back((seconds, events));
        // One sample older than a second stays: the window's beginning.
        while self.samples.get(1).is_some_and(|(at, _)| seconds - at >= 1.0) {
            self.samples.pop_front();
        }
        let Some((at, before)) = self.samples.front().filter(|(at, _)| seconds > *at) else { return 0 };
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate for people"
        )]
        let rate = ((events - before) as f64 / (seconds - at)).round() as u64;
        rate
    }
}

/// One line a second until `done`.
pub(super) fn lines(live: &Live, out: &mut impl Write, done: &Receiver<()>) {
    let mut rate = EventRate::default();
    rate.sample(0.0, 0);
    while let Err(RecvTimeoutError::Timeout) = done.recv_timeout(LINE) {
        let summary = live.summary();
        let rate = rate.sample(summary.seconds, summary.events_total());
        // Who reads may go away; the demo goes on to its summary.
        let _ = writeln!(out, "{}", line(&summary, rate));
    }
}

fn line(summary: &Summary, rate: u64) -> String {
    let decision = summary.latency_ns.get("decision").copied().unwrap_or_default();
    format!(
        "{:>4.0} s  {} events/s ({})  orders {}  denied {}  faults {}  decision p50 {} p99 {} max {}",
        summary.seconds,
        count(rate),
        listed(&summary.events),
        count(summary.orders.approved),
        listed(&summary.orders.denied),
        listed(&summary.faults),
        duration(decision.p50),
        duration(decision.p99),
        duration(decision.max),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_second() {
        let mut rate = EventRate::default();
        assert_eq!(rate.sample(0.0, 0), 0);
        assert_eq!(rate.sample(0.5, 100), 200);
        assert_eq!(rate.sample(1.0, 200), 200);
        assert_eq!(rate.sample(1.5, 1_200), 1_100);
        assert_eq!(rate.sample(2.0, 1_200), 1_000);
        assert_eq!(rate.sample(3.5, 1_200), 0);
    }

    #[test]
    fn a_plain_line_says_what_goes_on() {
        let mut summary = Summary { seconds: 3.2, ..Summary::default() };
        summary.events.insert("quote", 4_000);
        summary.orders.denied.insert("message_rate", 2);
        let line = line(&summary, 2_000);
        assert_eq!(
            line,
            "   3 s  2,000 events/s (quote 4,000)  orders 0  denied message_rate 2  faults none  decision p50 0 ns p99 0 ns max 0 ns"
        );
    }
}
