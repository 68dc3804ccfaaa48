//! How far each partition of a feed is: what may be committed, and what has been read.
//!
//! An offset may be committed when every worker that was sent the record is past it, all that it caused is acknowledged, and no
//! dead letter before it is still on its way. Ingest and egress write, each its own cells; whoever commits reads.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::event::Origin;

/// The progress of one feed.
#[derive(Debug)]
pub struct Offsets {
    topics: Vec<Vec<Partition>>,
}

#[derive(Debug)]
struct Partition {
    /// Next offset by worker; [`NONE`] where that worker is not sent this partition.
    covered: Vec<AtomicU64>,
    /// First dead letter that is not acknowledged.
    dead: AtomicU64,
    /// Next offset to be read.
    read: AtomicU64,
    /// What was last offered for commit.
    offered: AtomicU64,
}

const NONE: u64 = u64::MAX;

impl Offsets {
    /// For topics with these numbers of partitions and that many workers.
    #[must_use]
    pub fn new(partitions: &[usize], workers: usize) -> Self {
        let none = || AtomicU64::new(NONE);
        let partition = || Partition {
            covered: (0..workers).map(|_| none()).collect(),
            dead: none(),
            read: none(),
            offered: none(),
        };
        Self { topics: partitions.iter().map(|count| (0..*count).map(|_| partition()).collect()).collect() }
    }

    fn partition(&self, topic: u16, partition: u16) -> Option<&Partition> {
        self.topics.get(usize::from(topic))?.get(usize::from(partition))
    }

    /// How many partitions a topic has.
    #[must_use]
    pub fn partitions(&self, topic: usize) -> usize {
        self.topics.get(topic).map_or(0, Vec::len)
    }

    /// A record is about to be sent to these workers: the first of its partition opens the account.
    pub fn begin(&self, origin: Origin, workers: impl Iterator<Item = usize>) {
        let Some(state) = self.partition(origin.topic, origin.partition) else { return };
        if state.read.load(Ordering::Relaxed) == NONE {
            state.read.store(origin.offset, Ordering::Release);
            workers
                .filter_map(|worker| state.covered.get(worker))
                .for_each(|c| c.store(origin.offset, Ordering::Release));
        }
    }

    /// A record is in the rings of all its workers.
    pub fn read(&self, origin: Origin) {
        if let Some(state) = self.partition(origin.topic, origin.partition) {
            state.read.store(origin.offset + 1, Ordering::Release);
        }
    }

    /// The partition is given up: nothing of it is offered any more.
    pub fn end(&self, topic: u16, partition: u16) {
        let Some(state) = self.partition(topic, partition) else { return };
        state.covered.iter().chain([&state.read, &state.offered]).for_each(|cell| cell.store(NONE, Ordering::Release));
    }

    /// Everything before `next` that one worker was sent is done and acknowledged.
    pub fn cover(&self, topic: u16, partition: u16, worker: usize, next: u64) {
        let Some(covered) = self.partition(topic, partition).and_then(|state| state.covered.get(worker)) else {
            return;
        };
        // A partition that has been given up stays given up: only an open account moves.
        let _ = covered.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| (now != NONE).then_some(next));
    }

    /// The first dead letter that is not acknowledged, if any.
    pub fn hold(&self, topic: u16, partition: u16, dead: Option<u64>) {
        if let Some(state) = self.partition(topic, partition) {
            state.dead.store(dead.unwrap_or(NONE), Ordering::Release);
        }
    }

    /// The offset that may be committed, `None` where nothing has been read.
    #[must_use]
    pub fn committable(&self, topic: u16, partition: u16) -> Option<u64> {
        let state = self.partition(topic, partition)?;
        let covered = state.covered.iter().map(|covered| covered.load(Ordering::Acquire)).min()?;
        (covered != NONE).then(|| covered.min(state.dead.load(Ordering::Acquire)))
    }

    /// Whether all that has been read is done and acknowledged.
    #[must_use]
    pub fn is_covered(&self, topic: u16, partition: u16) -> bool {
        let read = self.partition(topic, partition).map_or(NONE, |state| state.read.load(Ordering::Acquire));
        read == NONE || self.committable(topic, partition) == Some(read)
    }

    /// Whether that holds for every partition.
    #[must_use]
    pub fn all_covered(&self) -> bool {
        self.places().all(|(topic, partition)| self.is_covered(topic, partition))
    }

    /// (topic, partition, offset) that may be committed: all, or only what has moved since this was last asked.
    pub fn to_commit(&self, all: bool) -> impl Iterator<Item = (u16, u16, u64)> + '_ {
        self.places().filter_map(move |(topic, partition)| {
            let next = self.committable(topic, partition)?;
            let offered = self.partition(topic, partition)?.offered.swap(next, Ordering::AcqRel);
            (all || offered != next).then_some((topic, partition, next))
        })
    }

    /// Every (topic, partition).
    #[must_use]
    pub fn all(&self) -> Vec<(u16, u16)> {
        self.places().collect()
    }

    fn places(&self) -> impl Iterator<Item = (u16, u16)> + '_ {
        let numbered = |length: usize| (0_u16..=u16::MAX).take(length);
        let topics = numbered(self.topics.len()).zip(&self.topics);
        topics.flat_map(move |(topic, partitions)| numbered(partitions.len()).map(move |partition| (topic, partition)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(offset: u64) -> Origin {
        Origin { topic: 0, partition: 0, offset }
    }

    #[test]
    fn an_offset_waits_for_the_slowest_worker() {
        let offsets = Offsets::new(&[1], 2);
        assert_eq!(offsets.committable(0, 0), None);
        offsets.begin(at(7), 0..2);
        offsets.read(at(7));
        assert_eq!(offsets.committable(0, 0), Some(7));
        offsets.cover(0, 0, 0, 8);
        assert_eq!(offsets.committable(0, 0), Some(7));
        offsets.cover(0, 0, 1, 8);
        assert_eq!(offsets.committable(0, 0), Some(8));
        assert!(offsets.is_covered(0, 0));
    }

    #[test]
    fn an_offset_waits_for_the_dead_letters_before_it() {
        let offsets = Offsets::new(&[1], 1);
        offsets.begin(at(0), 0..1);
        offsets.hold(0, 0, Some(3));
        offsets.cover(0, 0, 0, 10);
        assert_eq!(offsets.committable(0, 0), Some(3));
        offsets.hold(0, 0, None);
        assert_eq!(offsets.committable(0, 0), Some(10));
    }

    #[test]
    fn a_partition_that_was_given_up_offers_nothing_though_its_last_orders_are_still_acknowledged() {
        let offsets = Offsets::new(&[1], 1);
        offsets.begin(at(0), 0..1);
        offsets.cover(0, 0, 0, 5);
        offsets.end(0, 0);
        offsets.cover(0, 0, 0, 6);
        assert_eq!(offsets.to_commit(false).count(), 0);
        offsets.begin(at(9), 0..1);
        assert_eq!(offsets.to_commit(false).collect::<Vec<_>>(), [(0, 0, 9)]);
    }

    #[test]
    fn only_what_moved_is_committed_again() {
        let offsets = Offsets::new(&[2], 1);
        offsets.begin(at(0), 0..1);
        offsets.cover(0, 0, 0, 4);
        assert_eq!(offsets.to_commit(false).collect::<Vec<_>>(), [(0, 0, 4)]);
        assert_eq!(offsets.to_commit(false).count(), 0);
    }
}
