//! The worker's end of a journal: no file, no lock, and no entry per record.

use std::sync::Arc;

use crate::event::Origin;
use crate::limits::JOURNAL_RING;
use crate::metrics::WorkerMetrics;

use super::{Entry, Run};

/// Notes what a worker presents. Without a ring it notes nothing.
#[derive(Debug, Default)]
pub struct Scribe {
    ring: Option<Ring>,
    /// The run that goes on.
    run: Option<Run>,
}

#[derive(Debug)]
struct Ring {
    entries: rtrb::Producer<Entry>,
    metrics: Arc<WorkerMetrics>,
}

impl Scribe {
    /// The two ends of a worker's journal.
    #[must_use]
    pub fn new(metrics: Arc<WorkerMetrics>) -> (Self, rtrb::Consumer<Entry>) {
        let (entries, consumer) = rtrb::RingBuffer::new(JOURNAL_RING);
        (Self { ring: Some(Ring { entries, metrics }), run: None }, consumer)
    }

    /// A record has been presented to its end.
    #[inline]
    pub fn record(&mut self, feed: u32, origin: Origin) {
        if self.ring.is_none() {
            return;
        }
        match &mut self.run {
            Some(run)
                if (run.feed, run.topic, run.partition) == (feed, origin.topic, origin.partition)
                    && run.last < origin.offset =>
            {
                run.last = origin.offset;
                run.records += 1;
            }
            _ => {
                self.flush();
                let Origin { topic, partition, offset } = origin;
                self.run = Some(Run { feed, topic, partition, first: offset, last: offset, records: 1 });
            }
        }
    }

    /// Something else happens, after what has been presented. What it is is made only where it is noted.
    #[cold]
    pub fn note(&mut self, entry: impl FnOnce() -> Entry) {
        if self.ring.is_some() {
            self.flush();
            self.push(entry());
        }
    }

    /// Hands the run on that goes on, so that the journal is not behind while nothing comes.
    #[inline]
    pub fn flush(&mut self) {
        if let Some(run) = self.run.take() {
            self.push(Entry::Run(run));
        }
    }

    /// Nothing is left out: a worker whose writer is behind waits for it, counted.
    fn push(&mut self, entry: Entry) {
        let Some(ring) = &mut self.ring else { return };
        let mut entry = entry;
        while let Err(rtrb::PushError::Full(back)) = ring.entries.push(entry) {
            if ring.entries.is_abandoned() {
                // The writer is gone: the process ends.
                self.ring = None;
                return;
            }
            entry = back;
            ring.metrics.journal_full.add(1);
            std::thread::yield_now();
        }
    }
}
